"""The way onto the host thread: what fits, in which order, and when it is due."""

import logging

import pytest

from node.inbox import BULK_MAX, TOLD_AGAIN_S, URGENT_MAX, HostTimers, Inbox, JobRunner


class StandingClock:
    """Goes only when it is told to."""

    def __init__(self) -> None:
        self.now_us = 0

    def monotonic_us(self) -> int:
        return self.now_us

    def wall_ms(self) -> int:
        raise AssertionError("timers do not look at the wall")


def nothing() -> None:
    """Do nothing."""


def test_a_queue_takes_as_many_jobs_as_it_may_hold_and_the_other_one_is_not_shortened() -> None:
    queues = Inbox()
    assert all(queues.put_urgent(nothing) for _ in range(URGENT_MAX))
    assert not queues.put_urgent(nothing)
    assert all(queues.put_bulk(nothing) for _ in range(BULK_MAX))
    assert not queues.put_bulk(nothing)


@pytest.mark.parametrize("kind", ["put_urgent", "put_bulk"])
def test_what_waits_is_handed_out_at_once_and_is_then_gone(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues = Inbox()
    monkeypatch.setattr(queues._ready, "wait", lambda _: pytest.fail("it waits for nothing"))
    assert queues.is_empty()
    getattr(queues, kind)(nothing)
    assert not queues.is_empty()
    assert queues.get(0) is nothing
    assert queues.is_empty()


def test_who_asks_an_empty_inbox_waits_and_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queues, waited = Inbox(), list[float]()
    monkeypatch.setattr(queues._ready, "wait", waited.append)
    assert queues.get(0.5) is None
    assert waited == [0.5]


def test_a_timer_is_due_at_its_microsecond_and_not_before() -> None:
    clock, done = StandingClock(), list[str]()
    timers = HostTimers(clock)
    timers.after(2, lambda: done.append("late"))
    timers.after(1, lambda: done.append("early"))
    assert timers.take_due() == []
    assert timers.wait_s() == 0.001
    for now_us, due in ((999, []), (1_000, ["early"]), (1_001, []), (9_000, ["late"])):
        clock.now_us = now_us
        for job in timers.take_due():
            job()
        assert done == due
        done.clear()
    assert timers.take_due() == []


def test_the_same_mistake_is_told_again_after_its_time_and_another_one_at_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, now_s = list[int](), 1_000.0
    monkeypatch.setattr("node.inbox.time.monotonic", lambda: now_s)
    runner = JobRunner(lambda: counted.append(1))

    def broken() -> None:
        raise KeyError("a mistake")

    def broken_elsewhere() -> None:
        raise KeyError("another one")

    def told() -> int:
        return sum(one.levelno == logging.ERROR for one in caplog.records)

    runner.run(broken)
    runner.run(broken)
    assert told() == 1
    runner.run(broken_elsewhere)
    assert told() == 2, "the place where it arose tells them apart"
    now_s += TOLD_AGAIN_S - 1
    runner.run(broken)
    assert told() == 2
    now_s += 1
    runner.run(broken)
    assert told() == 3
    runner.tell(KeyError("raised nowhere"))
    assert told() == 4
    assert len(counted) == 6
