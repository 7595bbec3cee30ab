"""Decoding envelopes and verifying their signatures, many at a time, off the event loop."""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from engines.failures import BrokenOff, Mistake, attempt
from ledger.encoding import crypto
from ledger.encoding.codec import NotCanonical
from ledger.inadmissible import BadSignature, Inadmissible, KindUnknown
from ledger.transactions import Transaction, parse, signing_bytes

VERIFIERS = max(1, (os.cpu_count() or 1) // 2)
"""Threads that verify signatures: the host thread needs a core of its own."""

Verified = Transaction | NotCanonical | Inadmissible | Mistake


class Verifiers:
    """A few threads; libsodium gives the interpreter free while it verifies."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(VERIFIERS, thread_name_prefix="verify")

    async def verify(self, raws: tuple[bytes, ...]) -> Sequence[Verified]:
        """Return what each envelope holds, or why it is none that can be taken in."""
        return await self._loop.run_in_executor(self._threads, _verify_all, raws)

    def stop(self) -> None:
        """Forget what waits."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _verify_all(raws: tuple[bytes, ...]) -> list[Verified]:
    verified = (attempt(partial(_verify, raw)) for raw in raws)
    return [
        Mistake(f"{type(outcome.error).__name__}: {outcome.error}")
        if isinstance(outcome, BrokenOff)
        else outcome
        for outcome in verified
    ]


def _verify(raw: bytes) -> Verified:
    try:
        transaction = parse(raw)
    except (NotCanonical, KindUnknown) as error:
        return error
    message = signing_bytes(transaction.body_bytes)
    for key, signature in transaction.signatures:
        if not crypto.verify(key, message, signature):
            return BadSignature(key=key.hex())
    return transaction
