"""Publishes heads of the log: gathers cosignatures over HTTP until they are enough (Y10, Y11).

A node that does not validate takes over the heads that others publish of the log that it has.

Runs on the event loop. What others send is believed only if it verifies under the key expected of
them; every answer is bounded in bytes and time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2

from ledger.encoding import checkpoint, note
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.note import NOTE_BYTES_MAX, BadSignature, NotSigned, Signature, VerifierKey
from ledger.encoding.policy import quorum_of
from ledger.encoding.text import MalformedText, parse_decimal
from ledger.status import Busy
from ledger.store.durable import write_durably
from node.cosigner import Request
from node.port import JobFailed

ANSWER_S = 10.0
"""A cosigner that has not answered after this is asked again later."""
ANSWER_BYTES_MAX = 16 * 1024
RETRY_S = 1.0
"""Before a cosigner is asked again about the same head; doubles up to the next."""
RETRY_MAX_S = 30.0
LATE_S = 1.0
"""A published head is written again after this, if more have cosigned it."""
TIME_OFF_MAX_S = 60
"""A cosignature whose time is further from this node's clock is left out: readers go by times."""
FOLLOW_EVERY_S = 2.0
"""A node that validates nothing asks the next of its peers for the head."""
TURNS_MAX = 8
"""Sizes that a cosigner may correct us to about one head, before it has to wait for the next."""

_LOGGER = logging.getLogger(__name__)

ProofBetween = Callable[[int, int], Awaitable[tuple[bytes, ...]]]
"""Returns the consistency proof between two sizes of the own log; raises Busy."""
Own = Callable[[bytes], Awaitable[tuple[bytes, ...]]]
"""Returns a head that others publish if it is one of the own log, else nothing; raises Busy."""
Clock = Callable[[], int]
"""Returns seconds since 1970."""


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

    def __init__(self, path: Path, proof_between: ProofBetween, now_s: Clock) -> None:
        self._path = path
        self._proof_between = proof_between
        self._now_s = now_s
        self._least_size = size_of(path)
        """Of the head that was published last, perhaps before this node started."""
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
        for target in [known for known in self._tasks if known not in targets]:
            self._tasks.pop(target).cancel()
        for target in targets:
            if target not in self._tasks:
                task = asyncio.create_task(self._serve(target))
                task.add_done_callback(_raise_what_ended_it)
                self._tasks[target] = task

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
        """Keep the line by a key if it verifies and is of now; return whether there is one."""
        try:
            made = note.verify(note.Note(text=head.checkpoint.text(), signatures=lines), [key])
        except (NotSigned, BadSignature):
            return False
        time_s = made[0].time_s
        if time_s is None or abs(time_s - self._now_s()) > TIME_OFF_MAX_S:
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
        if head.checkpoint.size < self._least_size:
            return  # this store is behind what its folder published before
        cosigned = (self._lines[place] for place in sorted(self._lines))
        signed = note.Note(text=head.checkpoint.text(), signatures=(*head.log_lines, *cosigned))
        try:
            write_durably(self._path, signed.to_bytes())
        except OSError as error:
            _LOGGER.error("the head is not published: %s", error)
            return
        self._written, self._least_size = head, head.checkpoint.size

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
                    wait_s = RETRY_S
                except TimeoutError:
                    wait_s = min(2 * wait_s, RETRY_MAX_S)

    async def _bring(self, target: Target, head: Head, size: int) -> int:
        """Have a head cosigned by a target that has cosigned ``size`` so far; return the new size.

        Raises _NotNow. A target that is ahead of the head is done with it.
        """
        log_note = note.Note(text=head.checkpoint.text(), signatures=head.log_lines)
        if size > head.checkpoint.size:
            size = 0  # what it said of itself may have been wrong: it says so again, or mends it
        for _ in range(TURNS_MAX):
            if size > head.checkpoint.size:
                return size
            try:
                proof = await self._proof_between(size, head.checkpoint.size)
            except (Busy, JobFailed) as error:
                raise _NotNow(f"this node makes no proof now: {error}") from None
            body = Request(old_size=size, proof=proof, head=log_note).to_bytes()
            status, answer = await self._post(target, body)
            if status == 200:
                try:
                    lines = note.parse_signatures(answer)
                except MalformedText as error:
                    raise _NotNow(f"its lines are malformed: {error}") from None
                if not self._take(head, target.key, lines):
                    raise _NotNow("it signed with another key than expected, or as of another time")
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
                return answer.status_code, await _bounded(answer, ANSWER_BYTES_MAX)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            # The address is not repeated: it may hold a secret.
            raise _NotNow(f"it cannot be reached ({type(error).__name__})") from None


class HeadFollower:
    """Takes over what validators publish, for a node that is none itself (Y10.6)."""

    def __init__(self, path: Path, own: Own) -> None:
        self._path = path
        self._own = own
        self._urls: tuple[str, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._client = httpx2.AsyncClient(timeout=ANSWER_S, trust_env=False, follow_redirects=False)

    def set_urls(self, urls: tuple[str, ...]) -> None:
        """Follow the nodes whose APIs are at these addresses from now on; none: stop following."""
        self._urls = urls
        if urls and self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(_raise_what_ended_it)
        elif not urls and self._task is not None:
            self._task.cancel()
            self._task = None

    async def stop(self) -> None:
        """End."""
        self.set_urls(())
        await self._client.aclose()

    async def _run(self) -> None:
        number = 0
        while True:
            number += 1
            try:
                url = self._urls[number % len(self._urls)]
                await self._take(await _get(self._client, f"{url}/log/checkpoint"))
            except _NotNow as reason:
                _LOGGER.info("no head is taken over now: %s", reason)
            await asyncio.sleep(FOLLOW_EVERY_S)

    async def _take(self, data: bytes) -> None:
        """Write a head of the own log, if it is as large as the last one, or larger."""
        present = self._path.read_bytes() if self._path.exists() else b""
        if data == present:
            return
        try:
            own = await self._own(data)
        except (Busy, JobFailed) as error:
            raise _NotNow(str(error)) from None
        if not own:
            raise _NotNow("it is none of this log, or this node has not come there yet")
        size = checkpoint.parse(note.parse(data).text).size
        if size >= size_of(self._path):
            try:
                write_durably(self._path, data)
            except OSError as error:
                raise _NotNow(str(error)) from None


async def _get(client: httpx2.AsyncClient, url: str) -> bytes:
    """Return what an address answers with 200; raise _NotNow."""
    try:
        async with asyncio.timeout(ANSWER_S), client.stream("GET", url) as answer:
            data = await _bounded(answer, NOTE_BYTES_MAX)
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
        raise _NotNow(f"a node cannot be reached ({type(error).__name__})") from None
    if answer.status_code != 200:
        raise _NotNow(f"a node answers {answer.status_code}")
    return data


async def _bounded(answer: httpx2.Response, bytes_max: int) -> bytes:
    """Return the body of an answer; raise _NotNow if it is longer."""
    data = b""
    async for piece in answer.aiter_bytes():
        data += piece
        if len(data) > bytes_max:
            raise _NotNow(f"its answer is longer than {bytes_max} bytes")
    return data


def size_of(path: Path) -> int:
    """Return how many entries the head in a file has; 0 if there is none that can be read."""
    try:
        with path.open("rb") as file:
            return checkpoint.parse(note.parse(file.read(NOTE_BYTES_MAX + 1)).text).size
    except (FileNotFoundError, MalformedText):
        return 0


def _raise_what_ended_it(task: asyncio.Task[None]) -> None:
    """Let the event loop hear of a task that ended by an error of ours: the node stops."""
    if not task.cancelled():
        task.result()


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
