"""What the host thread does when there is nothing better to do, and what it lets in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest

from engines.seam import EngineState, PeerState, Reachability
from ledger.execute import Head
from ledger.rules.base import ENVELOPE_BYTES_MAX
from ledger.status import Busy, TransactionStatus, Waiting
from ledger.transactions import parse
from node import host_side
from node.host_side import STORE_FULL_PERCENT, WAITING_BYTES_MAX, HostSide, Housekeeping
from node.inbox import HostTimers, Inbox, ThreadOwned
from tests import builders
from tests.node.test_inbox import StandingClock, nothing

ENVELOPE = builders.enrol("firm-a")


class Usage(NamedTuple):
    """Of a disk, in bytes."""

    total: int
    free: int


@dataclass
class Doings:
    """Store, engine, scrub and log keeper in one, which note what they are asked to do."""

    busy: bool = False
    to_fold: int = 3
    used_percent: int = 0
    done: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    waits: tuple[Waiting, ...] = ()
    snapshot: Any = None

    def has_work(self) -> bool:
        return self.busy

    def on_idle(self) -> None:
        self.done.append("sent")

    def fold_some(self) -> bool:
        self.done.append("folded")
        self.to_fold -= 1
        return self.to_fold > 0

    def check_readers(self) -> None:
        self.done.append("readers looked at")

    def pause_voting(self, cause: str, reason: str) -> None:
        self.reasons[cause] = reason

    def step(self, _: object) -> None:
        self.done.append("scrubbed")

    def refresh(self) -> None:
        self.done.append("head made")

    def used_share_percent(self) -> int:
        return self.used_percent

    def sequence_of(self, transaction: bytes, expires_at: int) -> int | None:
        return None

    def submit(self, transaction: object) -> None:
        self.done.append("taken in")

    def status(self, transaction: bytes) -> TransactionStatus:
        return TransactionStatus.pending(transaction, 1)

    def waiting(self, after: int) -> Iterator[Waiting]:
        return iter(self.waits)


class Kept(NamedTuple):
    """A housekeeping, and all that it works with."""

    housekeeping: Housekeeping
    doings: Doings
    inbox: Inbox
    timers: HostTimers
    clock: StandingClock


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    doings, inbox, clock = Doings(), Inbox(), StandingClock()
    timers = HostTimers(clock)
    housekeeping = Housekeeping(
        config=cast(Any, SimpleNamespace(folder=tmp_path)),
        store=cast(Any, doings),
        engine=cast(Any, doings),
        log_keeper=cast(Any, doings),
        inbox=inbox,
        timers=timers,
    )
    housekeeping._scrub = cast(Any, doings)
    return Kept(housekeeping, doings, inbox, timers, clock)


def test_idle_time_takes_the_state_tree_along_until_it_is_whole(kept: Kept) -> None:
    kept.housekeeping.use_idle_time()
    assert kept.doings.done == ["sent", "folded", "folded", "folded"]


def a_job_waits(kept: Kept) -> None:
    kept.inbox.put_bulk(nothing)


def a_timer_is_due(kept: Kept) -> None:
    kept.timers.after(0, nothing)


def a_transaction_waits(kept: Kept) -> None:
    kept.doings.busy = True


@pytest.mark.parametrize(
    ("happens", "still_done"),
    [(a_job_waits, []), (a_timer_is_due, ["sent"]), (a_transaction_waits, ["sent"])],
)
def test_what_is_due_goes_before_the_state_tree(
    kept: Kept, happens: Callable[[Kept], None], still_done: list[str]
) -> None:
    happens(kept)
    kept.housekeeping.use_idle_time()
    assert kept.doings.done == still_done


def test_a_timer_that_is_due_later_leaves_time_for_the_state_tree(kept: Kept) -> None:
    kept.timers.after(1, nothing)
    kept.housekeeping.use_idle_time()
    assert "folded" in kept.doings.done


@pytest.mark.parametrize("happens", [a_job_waits, a_transaction_waits])
def test_the_store_is_read_over_only_when_nothing_waits(
    kept: Kept, happens: Callable[[Kept], None]
) -> None:
    kept.housekeeping._scrub_a_step()
    assert kept.doings.done == ["scrubbed"]
    happens(kept)
    kept.housekeeping._scrub_a_step()
    assert kept.doings.done == ["scrubbed"]


def test_what_is_done_from_time_to_time_is_done_again(kept: Kept) -> None:
    kept.housekeeping.start()
    times = 3
    for _ in range(times):
        kept.clock.now_us += host_side.READERS_EVERY_MS * 1_000
        for job in kept.timers.take_due():
            job()
    assert kept.doings.done.count("readers looked at") == times + 1
    assert kept.doings.done.count("scrubbed") == times
    assert kept.doings.done.count("head made") == times


@pytest.mark.parametrize(("free", "is_low"), [(0, True), (4, True), (5, False), (100, False)])
def test_a_node_does_not_vote_while_less_than_a_twentieth_of_the_disk_is_free(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, free: int, is_low: bool
) -> None:
    monkeypatch.setattr("node.host_side.shutil.disk_usage", lambda _: Usage(total=100, free=free))
    kept.housekeeping._look_after_store()
    reason = "less than 5 % of the disk is free" if is_low else ""
    assert kept.doings.reasons == {"disk": reason}


def host_with(doings: Doings) -> HostSide:
    """Return a host of which only store and engine are there."""
    host = HostSide.__new__(HostSide)
    host._thread = ThreadOwned()
    host._store = host._engine = cast(Any, doings)
    return host


def test_a_store_that_is_nine_tenths_full_takes_nothing_in() -> None:
    assert STORE_FULL_PERCENT == 90
    transaction = parse(ENVELOPE)
    for percent, is_full in ((0, False), (89, False), (90, True), (100, True)):
        doings = Doings(used_percent=percent)
        answer = host_with(doings).admit(transaction)
        assert isinstance(answer, Busy) == is_full
        assert doings.done == ([] if is_full else ["taken in"])


@pytest.mark.parametrize(("beyond", "count"), [(0, 2), (1, 1)])
def test_a_page_of_what_waits_may_be_filled_to_the_last_byte(beyond: int, count: int) -> None:
    sizes = (ENVELOPE_BYTES_MAX, WAITING_BYTES_MAX - ENVELOPE_BYTES_MAX + beyond, 0)
    status = TransactionStatus.pending(bytes(32), 1)
    waits = tuple(
        Waiting(arrival=arrival, raw=bytes(size), status=status)
        for arrival, size in enumerate(sizes, start=1)
    )
    host = host_with(Doings(waits=waits[:2]))
    assert host.waiting(0, 10) == waits[:count]
    assert host.waiting(0, 1) == waits[:1]


def test_a_peer_that_was_never_measured_has_a_round_trip_of_nothing(tmp_path: Path) -> None:
    state = EngineState(round=0, step="", validates=True, pending=0, stopped="", commits=())
    head = Head(bytes(32), 1, 2, bytes(32), 3, (), ())
    host = host_with(Doings())
    host._engine = cast(Any, SimpleNamespace(state=lambda: state))
    host._ledger = cast(Any, SimpleNamespace(last=lambda: head))
    host._config = cast(Any, SimpleNamespace(party="shanghai"))
    host._network = "dev-test"
    peers = tuple(
        PeerState(name=name, up=True, round_trip_us=us) for name, us in (("a", 7), ("b", None))
    )
    status = host.status(Reachability(peers=peers, quorum_age_ms=0, faults=()))
    assert [repr(peer.round_trip_us) for peer in status.peers] == ["7", "0"]
