"""Disks that are full, fail to sync or rot: a node stops or heals, and nothing final is lost."""

from random import Random

import pytest

from engines.builtin.wal import WalDamaged, WriteAheadLog
from trials.simulation.checks import state_root
from trials.simulation.disk import CrashPlan, SimulatedLogFile, SimulatedSlotFile, flipped
from trials.simulation.faults import LOST_PARTS, Faults
from trials.simulation.simulation import Report, Simulation, run_seed

SEEDS = 15
SLOW = ("log", "end of the log")
"""Parts that the default run leaves to continuous integration; its seeds lose them too."""


def run_many(faults: Faults) -> list[Report]:
    return [run_seed(seed, validators=4, faults=faults) for seed in range(SEEDS)]


def test_nothing_is_lost_when_disks_are_full() -> None:
    reports = run_many(Faults(lasts_ms=3_000, full_every_ms=200, crash_every_ms=1_000))
    assert sum(report.happened.get("full disks", 0) for report in reports) > 5 * SEEDS
    assert sum(report.happened.get("disk errors", 0) for report in reports) > SEEDS


def test_nothing_is_lost_when_syncs_fail() -> None:
    reports = run_many(Faults(lasts_ms=3_000, sync_error_every_ms=150))
    assert sum(report.happened.get("disk errors", 0) for report in reports) > SEEDS


def test_a_network_bears_a_flipped_bit_on_a_third_less_one_of_its_disks() -> None:
    reports = run_many(Faults(lasts_ms=3_000, bit_flips=1, crash_every_ms=1_000))
    assert sum(report.happened["bit flips"] for report in reports) == SEEDS
    assert sum(report.happened.get("damage that stopped a member", 0) for report in reports) > 0
    assert sum(report.happened.get("parts put aside for rot", 0) for report in reports) > 0


@pytest.mark.parametrize(
    "part",
    [pytest.param(one, marks=pytest.mark.ci) if one in SLOW else one for one in LOST_PARTS],
)
def test_what_a_member_loses_of_its_disk_is_made_good(part: str) -> None:
    reports = run_many(Faults(lost_disks=1, lost_part=part, drop=0.1))
    lost = sum(report.happened.get(f"lost: {part}", 0) for report in reports)
    assert lost > SEEDS // 3
    assert sum(report.happened.get("losses made good", 0) for report in reports) > lost // 2


def test_no_more_members_lack_something_than_may() -> None:
    simulation = Simulation(3, validators=7, faults=Faults(lost_disks=2, drop=0.2))
    lacking: list[int] = []

    def count() -> None:
        lacking.append(sum(not member.is_whole for member in simulation.members))
        simulation.world.after(10_000, count)

    count()
    simulation.run()
    assert max(lacking) == 2


def test_a_member_that_lost_its_record_hears_nothing_that_was_sent_before() -> None:
    simulation = Simulation(0, validators=4, faults=Faults(replay_every_ms=100))
    one, other = simulation.members[:2]
    one.start()
    other.start()
    simulation.world.run_until(100_000)
    heard: list[str] = []
    assert simulation.network._history, "they told each other where they are"
    other.kill()
    other.lose("all")
    other.receive = lambda peer, channel, payload: heard.append(peer)  # type: ignore[method-assign]
    other.start()
    simulation.network.repeat(1_000)
    simulation.world.run_until(101_000)
    assert heard == []


def test_the_twin_of_the_state_tree_knows_its_root() -> None:
    store = Simulation(0, validators=4).members[0].store
    assert state_root(store.state) == store.state_root()
    assert state_root({}) == bytes(32)


def test_a_member_that_stopped_for_rot_comes_back() -> None:
    simulation = Simulation(0, validators=4, faults=Faults())
    member = simulation.members[0]
    member.start()
    member.kill()
    member.rotten = "store"
    member.store.state.clear()
    member.start()
    assert not member.is_up
    assert not member.rotten, "its operator put the store aside"
    member.start()
    assert member.is_up


def test_a_record_that_rots_is_made_anew_and_its_key_silent() -> None:
    simulation = Simulation(0, validators=4, faults=Faults())
    member = simulation.members[0]
    member.rotten = "record"
    member._slots._durable = bytes(len(member._slots._durable))
    member.start()
    assert not member.is_up
    member.start()
    assert member.signer.is_silent


def test_an_error_on_a_sound_disk_is_no_excuse() -> None:
    simulation = Simulation(0, validators=4, faults=Faults())
    member = simulation.members[0]
    member.start()

    def breaks(_: object) -> None:
        raise AssertionError("an invariant")

    with pytest.raises(AssertionError, match="an invariant"):
        member._run(breaks)


def log_of(contents: list[list[bytes]]) -> tuple[SimulatedLogFile, SimulatedLogFile]:
    """Return the files of a log with one frame for every list of records."""
    plan = CrashPlan()
    files = (SimulatedLogFile("a", plan, Random(0)), SimulatedLogFile("b", plan, Random(0)))
    log = WriteAheadLog(files)
    log.start_height(7)
    for records in contents:
        for record in records:
            log.append(record)
        log.sync()
    return files


def test_every_flipped_bit_of_a_log_is_noticed() -> None:
    contents = [[b"first", b"second"], [b"third"], [b"fourth" * 9]]
    whole = tuple(record for records in contents for record in records)
    size = len(log_of(contents)[1].read_all())
    stopped = 0
    for place in range(8 * size):
        files = log_of(contents)
        data = bytearray(files[1].read_all())
        data[place // 8] ^= 1 << place % 8
        files[1]._durable = bytes(data)
        try:
            read = WriteAheadLog(files)
        except WalDamaged:
            stopped += 1
            continue
        assert read.records == whole[: len(read.records)], "what was altered is never used"
        assert len(read.records) == len(whole) - 1, "only the last frame can look torn"
    assert stopped > 8 * size // 2


def test_a_flip_changes_one_bit() -> None:
    dice = Random(1)
    data = dice.randbytes(100)
    for _ in range(50):
        changed = int.from_bytes(data, "big") ^ int.from_bytes(flipped(data, dice), "big")
        assert changed.bit_count() == 1
    assert flipped(b"", dice) == b""


def test_a_full_disk_takes_a_part_of_a_record_and_says_so() -> None:
    plan = CrashPlan()
    file = SimulatedLogFile("a", plan, Random(3))
    plan.is_full = True
    with pytest.raises(OSError, match="no space"):
        file.append(b"record")
    assert b"record".startswith(file.read_all())
    slots = SimulatedSlotFile(plan, Random(3))
    with pytest.raises(OSError, match="no space"):
        slots.write_at(0, b"x")
    assert not any(slots.read())


def test_a_failed_sync_leaves_open_what_is_durable() -> None:
    kept = set()
    for seed in range(20):
        plan = CrashPlan()
        file = SimulatedLogFile("a", plan, Random(seed))
        file.append(b"record")
        plan.sync_fails = True
        with pytest.raises(OSError, match="sync failed"):
            file.sync()
        file.crash()
        kept.add(file.read_all())
    assert {b"", b"record"} < kept
