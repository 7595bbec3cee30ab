"""Publishes heads of the log: gathers cosignatures over HTTP until they are enough (Y10, Y11).

Runs on the event loop. What others send is believed only if it verifies under the key expected of
them; every answer is bounded in bytes and time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2

from ledger.encoding import note
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.note import BadSignature, NotSigned, Signature, VerifierKey
from ledger.encoding.policy import quorum_of
from ledger.encoding.text import MalformedText, parse_decimal
from node.cosigner import Request
from node.durable import write_durably

ANSWER_S = 10.0
"""A cosigner that has not answered after this is asked again later."""
ANSWER_BYTES_MAX = 16 * 1024
RETRY_S = 1.0
"""Before a cosigner is asked again about the same head; doubles up to the next."""
RETRY_MAX_S = 30.0
LATE_S = 1.0
"""A published head is written again after this, if more have cosigned it."""
TURNS_MAX = 8
"""Sizes that a cosigner may correct us to about one head, before it has to wait for the next."""

_LOGGER = logging.getLogger(__name__)

ProofBetween = Callable[[int, int], Awaitable[tuple[bytes, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Somebody who may cosign."""

    name: str
    """For people: a party, or the name of an outside witness's key."""
    key: VerifierKey
    """Must have made a line of its answer."""
    url: str
    """To which ``/add-checkpoint`` is added; may hold a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A head to be published, with what this node says of it itself."""

    checkpoint: Checkpoint
    log_lines: tuple[Signature, ...]
    """By the node's log key, or its old and its new one."""
    own_lines: tuple[Signature, ...]
    """By its cosigner key; none while it is silent, or if it is no cosigner."""
    cosigners: tuple[VerifierKey, ...]
    """Whose votes count, this node's too."""


class Publisher:
    """Sends one head after the other to all targets, and writes the published one to a file."""

    def __init__(self, path: Path, proof_between: ProofBetween) -> None:
        self._path = path
        self._proof_between = proof_between
        self._head: Head | None = None
        self._lines: dict[tuple[str, bytes], Signature] = {}
        """Of this head, verified, by name and id of the key."""
        self._written: Head | None = None
        """The head that was published last."""
        self._rewrite: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._tasks: dict[Target, asyncio.Task[None]] = {}
        self._client = httpx2.AsyncClient(timeout=ANSWER_S, trust_env=False, follow_redirects=False)

    def set_targets(self, targets: tuple[Target, ...]) -> None:
        """Ask these from now on, and nobody else."""
        for target in [one for one in self._tasks if one not in targets]:
            self._tasks.pop(target).cancel()
        for target in targets:
            if target not in self._tasks:
                self._tasks[target] = asyncio.create_task(self._serve(target))

    def publish(self, head: Head) -> None:
        """Gather cosignatures for a head from now on; the one before it is given up."""
        self._head = head
        self._lines = {(line.name, line.key_id): line for line in head.own_lines}
        self._write_if_enough()
        self._changed.set()
        self._changed = asyncio.Event()

    async def stop(self) -> None:
        """End everything that is under way."""
        self.set_targets(())
        if self._rewrite is not None:
            self._rewrite.cancel()
        await self._client.aclose()

    def _take(self, head: Head, key: VerifierKey, lines: tuple[Signature, ...]) -> bool:
        """Keep the line by a key if it verifies; return whether there is one."""
        try:
            note.verify(note.Note(text=head.checkpoint.text(), signatures=lines), [key])
        except (NotSigned, BadSignature):
            return False
        if head is self._head:
            mine = (line for line in lines if (line.name, line.key_id) == (key.name, key.id))
            self._lines[key.name, key.id] = next(mine)
            self._write_if_enough()
        return True

    def _write_if_enough(self) -> None:
        """Publish the head once a quorum has cosigned it, and soon again with those that came."""
        head = self._head
        assert head is not None
        votes = sum((key.name, key.id) in self._lines for key in head.cosigners)
        if votes < quorum_of(len(head.cosigners)):
            return
        if self._written is not head:
            self._write(head)
        elif self._rewrite is None:
            self._rewrite = asyncio.get_running_loop().call_later(LATE_S, self._write_again)

    def _write_again(self) -> None:
        self._rewrite = None
        if self._written is not None and self._written is self._head:
            self._write(self._written)

    def _write(self, head: Head) -> None:
        cosigned = (self._lines[place] for place in sorted(self._lines))
        signed = note.Note(text=head.checkpoint.text(), signatures=(*head.log_lines, *cosigned))
        try:
            write_durably(self._path, signed.to_bytes())
        except OSError as error:
            _LOGGER.error("the head is not published: %s", error)
            return
        self._written = head

    async def _serve(self, target: Target) -> None:
        """Bring each head to a target, until it has cosigned it or there is another one."""
        size = 0
        done: Head | None = None
        wait_s = RETRY_S
        while True:
            head, changed = self._head, self._changed
            if head is None or head is done:
                await changed.wait()
                continue
            try:
                size = await self._bring(target, head, size)
                done, wait_s = head, RETRY_S
            except _NotNow as reason:
                _LOGGER.info("%s does not cosign now: %s", target.name, reason)
                try:
                    await asyncio.wait_for(changed.wait(), wait_s)
                except TimeoutError:
                    wait_s = min(2 * wait_s, RETRY_MAX_S)

    async def _bring(self, target: Target, head: Head, size: int) -> int:
        """Have a head cosigned by a target that has cosigned ``size`` so far; return the new size.

        Raises _NotNow. A target that is ahead of the head is done with it.
        """
        log_note = note.Note(text=head.checkpoint.text(), signatures=head.log_lines)
        for _ in range(TURNS_MAX):
            if size > head.checkpoint.size:
                return size
            proof = await self._proof_between(size, head.checkpoint.size)
            body = Request(old_size=size, proof=proof, head=log_note).to_bytes()
            status, answer = await self._post(target, body)
            if status == 200:
                try:
                    lines = note.parse_signatures(answer)
                except MalformedText as error:
                    raise _NotNow(f"its lines are malformed: {error}") from None
                if not self._take(head, target.key, lines):
                    raise _NotNow("it signed with another key than expected")
                return head.checkpoint.size
            if status != 409:
                raise _NotNow(f"it answers {status}: {_first_line(answer)}")
            try:
                size = parse_decimal(answer.decode("ascii").removesuffix("\n"))
            except (UnicodeDecodeError, MalformedText):
                raise _NotNow("it names no size that it has cosigned") from None
        raise _NotNow(f"it names another size {TURNS_MAX} times")

    async def _post(self, target: Target, body: bytes) -> tuple[int, bytes]:
        try:
            async with (
                asyncio.timeout(ANSWER_S),
                self._client.stream("POST", f"{target.url}/add-checkpoint", content=body) as answer,
            ):
                data = b""
                async for piece in answer.aiter_bytes():
                    data += piece
                    if len(data) > ANSWER_BYTES_MAX:
                        raise _NotNow(f"its answer is longer than {ANSWER_BYTES_MAX} bytes")
                return answer.status_code, data
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            # The address is not repeated: it may hold a secret.
            raise _NotNow(f"it cannot be reached ({type(error).__name__})") from None


class _NotNow(Exception):
    """A target has not cosigned a head; it is asked again."""


def _first_line(answer: bytes) -> str:
    """Return the beginning of what a stranger wrote, fit for a log."""
    return (
        answer[:200]
        .decode("ascii", errors="replace")
        .split("\n")[0]
        .encode("ascii", errors="replace")
        .decode("ascii")
    )
