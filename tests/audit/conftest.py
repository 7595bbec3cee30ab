"""The golden ledger behind a real server, and its tables as files of every format."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.store.lmdb_store import LmdbStore
from localnet.datasets import golden
from tally import cli
from tests.api.process import serving

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
