"""A validator that does its work and floods another: ``python -m tests.cluster.flooding node …``.

In its folder, the file ``junk`` holds what it sends, ``flood`` how many a second and to whom, and
``offered`` how many its links have taken.
"""

import asyncio
import itertools
import sys
import time
from pathlib import Path

import msgspec

from engines.builtin.p2p.frames import Channel
from engines.builtin.p2p.links import Links
from node.__main__ import main

JUNK, ORDER, OFFERED = Path("junk"), Path("flood"), Path("offered")
BURST_S = 0.02
"""What was missed longer ago is not sent."""
CHECK_S = 0.1

Stock = list[tuple[int, bytes]]
"""Channel and message."""


class Order(msgspec.Struct):
    """What the flooder is to do."""

    victim: str
    per_s: float


async def flood(links: Links) -> None:
    """Send junk as ordered, for ever."""
    stock = msgspec.msgpack.decode(JUNK.read_bytes(), type=Stock)
    messages = itertools.cycle([(Channel(channel), payload) for channel, payload in stock])
    offered, due, check = 0, 0.0, 0.0
    order = Order(victim="", per_s=0)
    while True:
        now = time.monotonic()
        if now >= check:
            check = now + CHECK_S
            order = msgspec.json.decode(ORDER.read_bytes(), type=Order)
            draft = OFFERED.with_suffix(".new")
            draft.write_text(str(offered))
            draft.replace(OFFERED)
        due = max(due, now - BURST_S)
        while order.per_s and due <= now:
            offered += links.send(order.victim, *next(messages))
            due += 1 / order.per_s
        await asyncio.sleep(0.002)


if __name__ == "__main__":
    start = Links.start
    tasks: list[asyncio.Task[None]] = []

    async def start_and_flood(self: Links, host: str, port: int) -> None:
        """Start a node's links, and flood over them."""
        await start(self, host, port)
        tasks.append(asyncio.create_task(flood(self)))

    Links.start = start_and_flood  # type: ignore[method-assign]
    del sys.argv[1]
    sys.exit(main())
