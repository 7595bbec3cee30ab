"""One small ledger with commits, for all tests of the audit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from audit.replay import Plan, Report, replay
from audit.sources import ExportFolder, Source
from tests import builders
from tests.audit.forge import Log, heights_of, write
from tests.node.test_fetch import Mirror, live


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
