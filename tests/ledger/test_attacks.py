"""Attacks on the audit of commits: proofs that a liar could stretch."""

from pathlib import Path
from random import Random

import pytest

from audit.files import COMMITS, ENTRIES
from engines.builtin.messages import StoredCommit
from ledger.encoding import codec
from ledger.ledger import Ledger
from ledger.store.memory import MemoryStore
from tests import builders
from tests.builders import Chain
from tests.decided import DecidedChain
from trials.replay import CheckFailed, check_export

FLIPS = 40


def decided(heights: int) -> tuple[Chain, list[StoredCommit], list[bytes]]:
    """Return a chain with an enrolment at height 1, its commits, and its log."""
    store = MemoryStore()
    made = DecidedChain(Chain(ledger=Ledger(store)))
    for height in range(1, heights + 1):
        made.block(*((builders.enrol("firm-a"),) if height == 1 else ()))
    return made.chain, made.commits, list(store.log)


def export(folder: Path, log: list[bytes], commits: list[bytes]) -> None:
    """Write an export's entries and commits."""
    (folder / ENTRIES).write_bytes(b"".join(len(one).to_bytes(4, "big") + one for one in log))
    (folder / COMMITS).write_bytes(
        b"".join(
            height.to_bytes(8, "big") + len(one).to_bytes(4, "big") + one
            for height, one in enumerate(commits, start=1)
        )
    )


def test_an_honest_export_is_recomputed(tmp_path: Path) -> None:
    chain, commits, log = decided(3)
    export(tmp_path, log, [codec.encode(commit) for commit in commits])
    report = check_export(chain.genesis, tmp_path)
    assert (report["commits"], report["transactions"]) == (3, 1)


def test_a_bit_flipped_in_a_carried_certificate_is_found(tmp_path: Path) -> None:
    chain, commits, log = decided(3)
    honest = [codec.encode(commit) for commit in commits]
    carried = codec.encode(commits[2].previous[0])
    start = honest[2].rindex(carried)
    dice = Random("carried certificate")
    for bit in dice.sample(range(8 * len(carried)), FLIPS):
        forged = bytearray(honest[2])
        forged[start + bit // 8] ^= 1 << bit % 8
        export(tmp_path, log, [*honest[:2], bytes(forged)])
        with pytest.raises(CheckFailed) as finding:
            check_export(chain.genesis, tmp_path)
        assert finding.value.details == {"height": 3, "field": "commit"}, f"bit {bit}"


def test_a_missing_carried_certificate_is_found(tmp_path: Path) -> None:
    chain, commits, log = decided(3)
    bare = StoredCommit(
        header=commits[2].header, certificate=commits[2].certificate, previous=(), evidence=()
    )
    export(tmp_path, log, [codec.encode(commit) for commit in (*commits[:2], bare)])
    with pytest.raises(CheckFailed, match="lacks its parent's certificate"):
        check_export(chain.genesis, tmp_path)
