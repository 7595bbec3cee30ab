"""Every edit of an exported ledger is found at its level, in its place, and not a level before."""

from pathlib import Path

import pytest

from tests.verifier.edits import MERKLE, SIGNATURES, STRUCTURE, Edit, some
from tests.verifier.ledgers import played
from trials.replay import CheckFailed, check_export
from verifier.finding import Finding, Level
from verifier.verify import verify

EACH = 3
"""Edits of each kind."""
EDITS_MIN = 100
FAMILIES: dict[Level, tuple[Edit, ...]] = {
    Level.STRUCTURE: STRUCTURE,
    Level.MERKLE: MERKLE,
    Level.SIGNATURES: SIGNATURES,
}


@pytest.mark.parametrize("level", Level)
def test_an_edit_is_found_at_its_level_and_named(level: Level, tmp_path: Path) -> None:
    export = played()
    below = [lower for lower in Level if level.includes(lower) and lower is not level]
    for name, edited in some(FAMILIES[level], export, each=EACH):
        folder = edited.export.write(tmp_path)
        for lower in below:
            verify(folder, export.log_id, lower)  # it fits, as far as this level looks
        with pytest.raises(Finding) as found:
            verify(folder, export.log_id, level)
        finding = found.value
        assert (finding.height, finding.sequence, finding.field) == edited.place, (
            f"{name}: {finding}"
        )


def test_there_are_a_hundred_edits_and_more() -> None:
    assert EACH * sum(map(len, FAMILIES.values())) >= EDITS_MIN


@pytest.mark.parametrize("level", Level)
def test_replay_refuses_what_the_second_reader_refuses(level: Level, tmp_path: Path) -> None:
    export = played()
    check_export(export.genesis, export.write(tmp_path))
    refused = 0
    for name, edited in some(FAMILIES[level], export, each=1):
        if not edited.replayed:
            continue
        folder = edited.export.write(tmp_path)
        print(name)
        with pytest.raises(CheckFailed):
            check_export(export.genesis, folder)
        refused += 1
    assert refused >= len(FAMILIES[level]) - 2
