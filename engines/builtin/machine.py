"""Inputs into the driver of the present height, one after the other, and its effects after each."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from consensus.driver import Driver
from consensus.effects import Effect
from consensus.inputs import Input
from engines.builtin.height import Heights
from engines.failures import unbroken
from engines.seam import Timers

Actions = Mapping[type[Effect], Callable[[Any], None]]
"""Who performs which effect. What that leads to is fed, and comes after the effects that follow."""


class Inputs:
    """What waits to be fed. An input belongs to the height at which it was put in."""

    def __init__(self, heights: Heights) -> None:
        self._heights = heights
        self._waiting: deque[tuple[Driver, Input]] = deque()

    def feed(self, input: Input) -> None:
        """Put in an input for the present height."""
        self._waiting.append((self._heights.now.driver, input))

    def take(self) -> tuple[Driver, Input] | None:
        """Return the next one and whose it is."""
        return self._waiting.popleft() if self._waiting else None

    def clear(self) -> None:
        """Forget all: the height is decided."""
        self._waiting.clear()

    def __bool__(self) -> bool:
        return bool(self._waiting)


class Machine:
    """Feeds the driver until nothing waits."""

    def __init__(self, heights: Heights, inputs: Inputs) -> None:
        self._heights = heights
        self._inputs = inputs
        self._actions: Actions = {}
        self._is_feeding = False

    def start(self, actions: Actions) -> None:
        """Have effects performed so."""
        self._actions = actions

    def perform(self, effect: Effect) -> None:
        """Perform one effect."""
        self._actions[type(effect)](effect)

    def drain(self) -> None:
        """Feed what waits until nothing does; effects may add more."""
        if self._is_feeding:
            return
        self._is_feeding = True
        with unbroken("the effects of an input"):
            while (taken := self._inputs.take()) is not None:
                driver, input_ = taken
                if driver is not self._heights.now.driver:
                    continue  # of a height that is decided
                for effect in driver.handle(input_):
                    assert driver is self._heights.now.driver, "nothing follows a decision"
                    self.perform(effect)
        self._is_feeding = False


class DrainedTimers:
    """Timers after whose actions the machine is fed what they put in."""

    def __init__(self, timers: Timers, machine: Machine) -> None:
        self._timers = timers
        self._machine = machine

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Call ``action`` after a delay, then feed."""

        def due() -> None:
            action()
            self._machine.drain()

        self._timers.after(delay_ms, due)
