"""The timers of a height (spec D6)."""

from consensus.effects import ScheduleTimeout
from consensus.inputs import TimeoutExpired
from engines.builtin.height import Heights
from engines.builtin.machine import Inputs, Machine
from engines.builtin.presence import Presence
from engines.seam import Timers


class RoundTimers:
    """Feeds a timeout when its time is over, if its height is still being decided."""

    def __init__(
        self,
        *,
        heights: Heights,
        inputs: Inputs,
        machine: Machine,
        presence: Presence,
        timers: Timers,
    ) -> None:
        self._heights = heights
        self._inputs = inputs
        self._machine = machine
        self._presence = presence
        self._timers = timers

    def schedule(self, wanted: ScheduleTimeout) -> None:
        """Set a timer."""
        driver = self._heights.now.driver

        def expired() -> None:
            if driver is self._heights.now.driver:
                self._inputs.feed(TimeoutExpired(kind=wanted.kind, round=wanted.round))
                self._machine.drain()
                self._presence.resend()

        self._timers.after(wanted.after_ms, expired)
