"""The machine's clocks, behind the host's port."""

import time


class SystemClock:
    """Wall clock and monotonic clock of this machine."""

    def wall_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic_us(self) -> int:
        """Return a clock that never steps, in microseconds."""
        return time.monotonic_ns() // 1_000
