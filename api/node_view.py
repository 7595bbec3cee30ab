"""How the node behind this server is: asked at most once a second, shared by all requests."""

import asyncio
from collections.abc import Awaitable
from time import monotonic
from typing import TypeVar

from ledger.encoding.plain import Plain
from ledger.execute import Head
from node.port import JobFailed, NodeStatus, PortClient, PortClosed

T = TypeVar("T")

STATUS_AGE_MAX_S = 0.5
"""How old a shared status may be before the node is asked again."""
ANSWER_WITHIN_S = 10
"""How long a node may take to answer; longer counts as unreachable."""
STATUS_WITHIN_S = 1
"""How long an answer may wait for the node's status; transactions are answered without it."""


async def answer(asked: Awaitable[T], within_s: float = ANSWER_WITHIN_S) -> T:
    """Return a node's answer; raise PortClosed if there is none in time."""
    try:
        async with asyncio.timeout(within_s):
            return await asked
    except TimeoutError:
        raise PortClosed("the node did not answer in time") from None


class NodeView:
    """The last known status of the node."""

    def __init__(self, port: PortClient) -> None:
        self._port = port
        self._last: NodeStatus | None = None
        self._asked_at = monotonic()
        self._reached_at = monotonic()
        self._fresh = False
        self._asking: asyncio.Task[NodeStatus | None] | None = None

    async def status(self) -> NodeStatus | None:
        """Return a status of at most STATUS_AGE_MAX_S, or None while the node is unreachable."""
        if monotonic() - self._asked_at < STATUS_AGE_MAX_S and self._last is not None:
            return self._last if self._fresh else None
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._answered)
        # Shielded: the request that asks first must not take the answer along when it is cut off.
        return await asyncio.shield(self._asking)

    async def required(self) -> NodeStatus:
        """Return the node's status; raise PortClosed while it is unreachable."""
        status = await self.status()
        if status is None:
            raise PortClosed("the node does not answer")
        return status

    async def brief(self, head: Head) -> Plain:
        """Return what every transaction document says of the node and of the store."""
        status = await self.status()
        # Out of reach, the age goes on from what was last known.
        age_ms = int((monotonic() - self._reached_at) * 1000) if status is None else 0
        if self._last is not None:
            age_ms += self._last.quorum_age_ms
        return {
            "name": "" if self._last is None else self._last.name,
            "height": head.height,
            "time_ms": head.time_ms,
            "record_hash": head.record_hash.hex(),
            "quorum_age_ms": age_ms,
        }

    async def _ask(self) -> NodeStatus | None:
        try:
            status = await answer(self._port.status(), STATUS_WITHIN_S)
        except (PortClosed, JobFailed):
            self._fresh = False
            return None
        else:
            self._last, self._fresh, self._reached_at = status, True, monotonic()
            return status
        finally:
            self._asked_at = monotonic()

    def _answered(self, _: asyncio.Task[NodeStatus | None]) -> None:
        self._asking = None
