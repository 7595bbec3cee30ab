"""Whether there is a reason to decide another block (spec N4.2)."""

from consensus.inputs import WorkArrived
from engines.builtin.building import Builder
from engines.builtin.height import Heights
from engines.builtin.machine import Inputs, Machine
from engines.builtin.mempool import Mempool
from engines.seam import Clock
from ledger.ledger import Ledger


class Work:
    """Starts the present height once something waits to be put into a block."""

    def __init__(
        self,
        *,
        heights: Heights,
        ledger: Ledger,
        pool: Mempool,
        inputs: Inputs,
        machine: Machine,
        builder: Builder,
        clock: Clock,
    ) -> None:
        self._heights = heights
        self._ledger = ledger
        self._pool = pool
        self._inputs = inputs
        self._machine = machine
        self._builder = builder
        self._clock = clock

    def next_time_ms(self) -> int:
        """Return the earliest time that the next block could have."""
        return max(self._clock.wall_ms(), self._ledger.last().time_ms + 1)

    def start_if_due(self) -> None:
        """Start the height if there is a reason; call now and then."""
        if not self._heights.now.has_work and self._is_there():
            self.arrived()

    def arrived(self) -> None:
        """Start the height, unless it has begun already."""
        now = self._heights.now
        if now.has_work:
            return
        now.has_work = True
        now.note_work(self._clock.monotonic_us())
        self._inputs.feed(WorkArrived())
        self._machine.drain()
        # A stray vote may have started the height before: whoever waits has a reason now.
        self._builder.build_what_waits()

    def _is_there(self) -> bool:
        now_ms = self.next_time_ms()
        expiry_ms = self._pool.next_expiry_ms()
        return (
            self._pool.has_ready()
            or (expiry_ms is not None and expiry_ms <= now_ms)
            or now_ms - self._ledger.last().time_ms >= self._ledger.parameters().heartbeat_ms
            or self._ledger.has_due(now_ms)
        )
