"""All the images that cuts of a recorded life can leave, and what had been promised by then."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from tests.crash.disk import MANNERS, Disk, Operation, Said

Image = dict[str, bytes]
"""Names and contents of all files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """What the process had said to be durable."""

    height: int = -1
    """Of the last commit; 0 is genesis, -1 no store."""
    log: tuple[int, int] = (-1, 0)
    """Height and batches synced; height 0 is an empty log, -1 none."""
    signed: int = -1
    """How many requests were signed; -1 without a record."""

    def heard(self, line: str) -> "Promises":
        """Return the promises after one more line."""
        match line.split():
            case ["commit", height]:
                return replace(self, height=int(height))
            case ["log", height, count]:
                return replace(self, log=(int(height), int(count)))
            case ["signed", count]:
                return replace(self, signed=int(count))
        raise AssertionError(f"unknown promise: {line}")


def cuts(operations: Sequence[Operation]) -> Iterator[tuple[Disk, Promises]]:
    """Yield disk and promises at each moment: while an operation lasts, and after it returned."""
    disk, promises = Disk(), Promises()
    for operation in operations:
        disk.begin(operation)
        yield disk, promises
        disk.end(operation)
        if isinstance(operation, Said):
            promises = promises.heard(operation.line)
        yield disk, promises


def images(
    operations: Sequence[Operation], *, at_least: int, dice: random.Random
) -> Iterator[tuple[Image, Promises]]:
    """Yield at least so many images, no two alike, with what was promised before the cut.

    Every round goes through the whole life, each cut in another manner than the round before, so
    after five rounds each cut has kept nothing, everything, and some of what was pending.
    """
    seen: set[bytes] = set()
    number = 0
    while len(seen) < at_least or number < len(MANNERS):
        for place, (disk, promises) in enumerate(cuts(operations)):
            image = disk.image(MANNERS[(place + number) % len(MANNERS)], dice)
            if (print_ := _fingerprint(image, promises)) not in seen:
                seen.add(print_)
                yield image, promises
        number += 1


def _fingerprint(image: Image, promises: Promises) -> bytes:
    digest = sha256(repr(promises).encode())
    for name in sorted(image):
        digest.update(b"%s\0%d\0" % (name.encode(), len(image[name])))
        digest.update(image[name])
    return digest.digest()
