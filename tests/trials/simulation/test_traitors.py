"""More than a third lie together: the network forks, and who hears of it stops."""

from collections import Counter
from pathlib import Path

import pytest

from consensus.certificate import Certificate, verify_certificate
from engines.builtin.messages import ENGINE_EPOCH
from ledger.encoding import codec
from node.stopped import keep_evidence
from trials.simulation.signatures import STAND_IN
from trials.simulation.traitors import Conspiracy, Process

pytestmark = pytest.mark.ci

SEEDS = 20
SEEDS_CONTROL = 5
TOO_MANY = ((4, 2), (7, 3))
"""Validators, and traitors among them: one more than the third that may fail."""


def check_evidence(plot: Conspiracy, stopped: Process, folder: Path) -> str:
    """Check what a stopped node kept as somebody would who has nothing but the file."""
    found = stopped.evidence
    assert found is not None
    path = folder / f"{stopped.name}.bin"
    assert stopped.proof
    keep_evidence(path, stopped.proof)
    one, other = codec.decode(tuple[Certificate, Certificate], path.read_bytes(), 64 * 1024)
    validators = plot.foundation.validators
    for certificate in (one, other):
        verify_certificate(
            certificate, validators, plot.foundation.log_id, ENGINE_EPOCH, STAND_IN.verify
        )
    assert one.height == other.height
    assert one.block_id != other.block_id
    assert stopped.decided(one.height) in (one.block_id, other.block_id), "one side is its own"
    both = {key for key, _ in one.signatures} & {key for key, _ in other.signatures}
    assert both == set(found.named)
    assert 3 * len(both) > len(validators.validators), "more than a third"
    assert both <= plot.traitors, "nobody honest is named"
    return "proven" if found.proven else "suspected"


def other_half(plot: Conspiracy, one: Process) -> list[Process]:
    """Return the processes on the other branch."""
    return plot.halves[0] if one in plot.halves[1] else plot.halves[1]


@pytest.mark.parametrize(("validators", "traitors"), TOO_MANY)
def test_every_fork_stops_each_honest_node_that_hears_of_it_and_names_traitors_alone(
    validators: int, traitors: int, tmp_path: Path
) -> None:
    counted: Counter[str] = Counter()
    for seed in range(SEEDS):
        plot = Conspiracy(seed, validators=validators, traitors=traitors)
        fork = plot.run()
        if fork is None:
            continue
        counted["forks"] += 1
        counted["stopped"] += len(fork.stopped)
        counted["unaware"] += len(fork.unaware)
        assert fork.stopped, f"seed {seed}: nobody noticed"
        folder = tmp_path / str(seed)
        folder.mkdir()
        for one in fork.stopped:
            counted[check_evidence(plot, one, folder)] += 1
        for one in fork.unaware:
            # Nobody on the other branch can have shown it a block of the height it decides now.
            highest = max(process.store_height for process in other_half(plot, one))
            assert one.store_height + 1 > highest, f"seed {seed}: {one.name} did not stop"
    print(f"{validators} validators, {traitors} traitors, {SEEDS} seeds: {dict(counted)}")
    assert counted["forks"] >= SEEDS // 2


@pytest.mark.parametrize(("validators", "traitors"), [(4, 1), (7, 2)])
def test_as_many_traitors_as_may_fail_make_no_fork(validators: int, traitors: int) -> None:
    heights = []
    for seed in range(SEEDS_CONTROL):
        plot = Conspiracy(seed, validators=validators, traitors=traitors)
        assert plot.run() is None, f"seed {seed}"
        heights += [one.store_height for one in plot.processes if one.is_honest]
    assert min(heights) > 0
