"""The roots of changes and of the state, made in a process of their own (spec A5.4).

The executing process sends what each block wrote and what its record claims; nothing goes back but
whether the two agree. So a second core folds while the first executes.
"""

import gc
import pickle
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from audit.verdicts import Tampered
from audit.verifying import HelperLost
from ledger.execute import changes_root
from ledger.store.scratch import ScratchTree
from tally.helpers import end_with_parent, interrupts_held

AHEAD_MAX = 64
"""Blocks that the executing process may be ahead: their answers fit into a pipe."""
VALUES_MAX = 20_000
"""Records of one message when a tree is made anew."""

StateRoots = Literal["all", "none"]
"""Which state roots are made again: every one that a record carries, or none."""


class Written(NamedTuple):
    """What one block did to the state, and what its record says of it."""

    height: int
    sequence: int
    """Of the closing entry."""
    keys: list[bytes]
    values: list[bytes]
    changes_root: bytes
    state_root: bytes | None
    """As of the oldest cut before the block, if the record carries it."""
    cuts: int
    """Those without a root after the block."""


class Flush(NamedTuple):
    """Write all pages: they cover this many entries."""

    log_size: int


class Values(NamedTuple):
    """Records to begin with, as they were written for one cut."""

    values: list[tuple[bytes, bytes]]
    cuts: int
    """This one and those before it."""


class Rooted(NamedTuple):
    """The oldest cut had its root before."""


Message = Written | Flush | Values | Rooted | None
"""What the executing process sends; None: begin with nothing."""


class Answer(NamedTuple):
    """What became of one message."""

    field: str
    """The first field of the record that is wrong, empty if none is."""
    cpu_ns: int
    """What this process has spent since it began."""
    log_size: int | None
    """Entries that the stored pages cover; said once, at the beginning."""


def keep_roots(pipe: Connection, folder: Path, is_kept: bool) -> None:
    """Answer messages until the pipe ends; runs in the process of its own."""
    end_with_parent()
    gc.disable()  # nothing here is cyclic
    tree = ScratchTree(folder) if is_kept else None
    with suppress(EOFError, ConnectionError):  # the executing process is done, or gave up
        pipe.send(Answer("", 0, None if tree is None else tree.log_size()))
        while True:
            message = pickle.loads(pipe.recv_bytes())  # noqa: S301 (our own parent's)
            pipe.send(Answer(_answer(message, tree), time.process_time_ns(), None))
    if tree is not None:
        tree.close()


def _answer(message: Message, tree: ScratchTree | None) -> str:
    field = ""
    match message:
        case Written():
            values = dict(zip(message.keys, message.values, strict=True))
            if changes_root(values) != message.changes_root:
                field = "record.changes_root"
            if tree is not None:
                wanted = message.state_root
                if wanted is not None:
                    if wanted != tree.root():
                        field = field or "record.state_root"
                    tree.carried()
                tree.note(values.items(), message.cuts)
        case Flush(log_size):
            if tree is not None:
                tree.flush(log_size)
        case Values(values=pairs, cuts=cuts):
            if tree is not None:
                tree.note(pairs, cuts)
        case Rooted():
            if tree is not None:
                tree.root()
                tree.carried()
        case None:
            if tree is not None:
                tree.clear()
    return field


class _Pipe(Protocol):
    """What is used of a connection."""

    def send_bytes(self, data: bytes) -> None: ...

    def recv(self) -> Any: ...

    def poll(self) -> bool: ...

    def close(self) -> None: ...


class _Here:
    """The other end without another process: it answers while it is asked."""

    def __init__(self, folder: Path, is_kept: bool) -> None:
        self._tree = ScratchTree(folder) if is_kept else None
        self._answers = [Answer("", 0, None if self._tree is None else self._tree.log_size())]

    def send_bytes(self, data: bytes) -> None:
        """Take a message."""
        message = pickle.loads(data)  # noqa: S301 (our own)
        self._answers.append(Answer(_answer(message, self._tree), 0, None))

    def recv(self) -> Answer:
        """Return an answer."""
        return self._answers.pop(0)

    def poll(self) -> bool:
        """Return whether there is an answer."""
        return bool(self._answers)

    def close(self) -> None:
        """Close the tree."""
        if self._tree is not None:
            self._tree.close()


class RootKeeper:
    """The executing process's end."""

    def __init__(self, folder: Path, state_roots: StateRoots, *, is_apart: bool) -> None:
        """Begin; without ``is_apart`` in this very process."""
        is_kept = state_roots != "none"
        self._process: BaseProcess | None = None
        self._pipe: _Pipe
        if is_apart:
            spawn = get_context("spawn")
            self._pipe, theirs = spawn.Pipe()
            self._process = spawn.Process(
                target=keep_roots, args=(theirs, folder, is_kept), daemon=True
            )
            with interrupts_held():
                self._process.start()
            theirs.close()
        else:
            self._pipe = _Here(folder, is_kept)
        self._state_roots = state_roots
        self._under_way: deque[tuple[int, int]] = deque([(0, 0)])
        """Height and sequence of what was sent and not answered yet; first, the greeting."""
        self._log_size: int | None = None
        self.cpu_ns = 0

    def takes_up(self, log_size: int) -> bool:
        """Return whether pages of an earlier run cover just so many entries: go on with them."""
        self.settle(all_of_them=True)
        return self._state_roots == "none" or self._log_size == log_size

    def begin(self, by_cut: Iterable[Iterable[tuple[bytes, bytes]]], *, is_rooted: bool) -> None:
        """Begin with a state, as it is stored: what was written for each cut, the oldest first.

        ``is_rooted`` says that the oldest had its root.
        """
        if self._state_roots == "none":
            return
        self._send(None, (0, 0))
        for cuts, values in enumerate(by_cut, start=1):
            items = iter(values)
            while batch := list(islice(items, VALUES_MAX)):
                self._send(Values(batch, cuts), (0, 0))
        if is_rooted:
            self._send(Rooted(), (0, 0))

    def take(self, written: Written) -> None:
        """Have a block's roots made and compared; raise Tampered if an earlier one is wrong."""
        self._send(written, (written.height, written.sequence))

    def flush(self, log_size: int) -> None:
        """Have all pages written, and wait for it and for all answers."""
        self._send(Flush(log_size), (0, 0))
        self.settle(all_of_them=True)

    def settle(self, *, all_of_them: bool = False) -> None:
        """Take answers until few are open, or none.

        Raises Tampered at the first wrong root, HelperLost.
        """
        while self._under_way:
            if not all_of_them and len(self._under_way) <= AHEAD_MAX and not self._pipe.poll():
                return
            height, sequence = self._under_way.popleft()
            try:
                answer: Answer = self._pipe.recv()
            except (EOFError, ConnectionError):
                raise HelperLost("makes roots") from None
            self._log_size = answer.log_size
            self.cpu_ns = answer.cpu_ns
            if answer.field:
                reason = "executing gives another root"
                raise Tampered(height=height, sequence=sequence, field=answer.field, reason=reason)

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        if self._process is not None:
            self._process.join()

    def _send(self, message: Message, place: tuple[int, int]) -> None:
        try:
            self._pipe.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
        except ConnectionError:
            raise HelperLost("makes roots") from None
        self._under_way.append(place)
        self.settle()
