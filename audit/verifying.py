"""What a worker does that verifies signatures. It imports little: workers start quickly so."""

import time
from typing import NamedTuple

import msgspec

from ledger.encoding import crypto

Job = tuple[bytes, bytes, bytes, str]
"""Key, message, signature, and the tag of the frame that the worker puts around the message, empty
if it has its frame: plain tuples, since there is one for each signature of the log."""
_JOBS = msgspec.msgpack.Decoder(list[Job])


class HelperLost(Exception):
    """A process that helps the executing one ended before its work; the sentence says which."""

    def __init__(self, work: str) -> None:
        super().__init__(
            f"a process that {work} ended unexpectedly: was it killed, or is memory or disk short?"
        )


class Verdict(NamedTuple):
    """What a worker found in a batch."""

    bad: int | None
    """The first signature that does not hold."""
    cpu_ns: int


def verify_batch(jobs: bytes) -> Verdict:
    """Verify the signatures of encoded jobs, in their order; runs in a worker."""
    before = time.process_time_ns()
    bad = None
    for number, (key, message, signature, tag) in enumerate(_JOBS.decode(jobs)):
        framed = crypto.frame(tag, message) if tag else message
        if not crypto.verify(key, framed, signature):
            bad = number
            break
    return Verdict(bad, time.process_time_ns() - before)
