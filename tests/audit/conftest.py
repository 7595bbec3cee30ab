"""The golden ledger behind a real server, and one small ledger with commits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from audit.replay import Plan, Report, replay
from audit.sources import ExportFolder, Source
from ledger.store.lmdb_store import LmdbStore
from tally import cli
from tests import builders
from tests.api.process import serving
from tests.audit.forge import Log, heights_of, write
from tests.node.test_fetch import Mirror, live
from trials.datasets import golden

Export = Callable[..., Path]
"""Takes a format and further words of the command; returns the folder."""


@pytest.fixture(scope="session")
def golden_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the golden ledger; no node runs beside the server."""
    folder = tmp_path_factory.mktemp("golden")
    store = LmdbStore(folder / "store", durable=False)
    golden.play(store)
    store.close()
    with serving(folder / "store", folder / "port") as (_, url):
        yield url


@pytest.fixture(scope="session")
def export(golden_url: str, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Return what runs `tally audit export --table all`, once for the same words."""
    made: dict[tuple[str, ...], Path] = {}

    def exported(form: str, *more: str) -> Path:
        if form == "parquet":
            pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet files")
        if (form, *more) not in made:
            out = tmp_path_factory.mktemp("tables") / form
            words = ("audit", "export", "--table", "all", "--format", form, "--node", golden_url)
            assert cli.run((*words, "--out", str(out), *more)) == 0
            made[form, *more] = out
        return made[form, *more]

    return exported


@dataclass(frozen=True, slots=True)
class World:
    """A store that executed everything, and what it exports."""

    store: Path
    mirror: Mirror
    log: Log
    export: Path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A ledger with state roots, idle heights and a validator that left."""
    folder = tmp_path_factory.mktemp("audit")
    live(folder / "store", blocks=14)
    mirror = Mirror.of(folder / "store")
    log = heights_of(mirror)
    return World(folder / "store", mirror, log, write(folder / "export", mirror.genesis, log))


def audited(source: Source | Path, work: Path, **plan: Any) -> Report:
    """Replay a source in this process."""
    if isinstance(source, Path):
        source = ExportFolder(source)
    asked: dict[str, Any] = {"log_id": builders.LOG_ID, "workers": 0} | plan
    return replay(source, Plan(**asked), work)
