"""What a profile has learned of its log: whom to believe about it, and the largest head seen.

It stands in a file beside the profile. Several processes may use it, each alone for a moment.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from ledger.encoding import checkpoint, note, policy
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.policy import NO_QUORUM, Policy
from ledger.encoding.text import MalformedText
from ledger.trust import origin_of
from tally.exits import TallyError, UsageError
from wallet.profile import Profile, replace_file, trust_path


class Learned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was learned; the file's content."""

    policy: str
    """A C2SP tlog-policy."""
    head: str | None = None
    """The largest head seen, a signed note."""
    as_of: int = 0
    """Height as of which the log proved the policy: an older one never takes its place."""
    is_given: bool = False
    """Whether somebody gave it by hand: then the log's own does not take its place."""

    def trusted(self) -> Policy:
        """Return the policy; raise MalformedText."""
        return policy.parse(self.policy.encode())

    def seen(self) -> Checkpoint | None:
        """Return the largest head seen; raise MalformedText."""
        if self.head is None:
            return None
        return checkpoint.parse(note.parse(self.head.encode()).text)


class Memory(Protocol):
    """Where it is kept what was learned."""

    def alone(self) -> AbstractContextManager[None]:
        """Keep out all others who use it, for a moment."""

    def stored(self) -> Learned | None:
        """Return it, if there is any."""

    def keep(self, learned: Learned) -> None:
        """Put it in the place of what was there."""


@dataclass(frozen=True, slots=True)
class FileMemory:
    """The file beside a profile."""

    path: Path
    origin: str
    """Of the profile's log: a file about another one, of the same name, counts as none."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep out other processes; what they learned meanwhile is in ``stored``."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def stored(self) -> Learned | None:
        """Return what was learned of this log; raise TallyError if the file is damaged."""
        try:
            learned = msgspec.json.decode(self.path.read_bytes(), type=Learned)
            names = {log.key.name for log in learned.trusted().logs}
            learned.seen()
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, MalformedText) as error:
            raise TallyError(
                f"{self.path} is damaged: {error}. Take it from a backup; without it the wallet "
                "begins with the validators of genesis and has seen nothing"
            ) from None
        return learned if names == {self.origin} else None

    def keep(self, learned: Learned) -> None:
        """Replace the file, durably."""
        replace_file(self.path, msgspec.json.encode(learned))


@dataclass(slots=True)
class Passing:
    """Begins with what is known, and is gone with its user."""

    learned: Learned

    def alone(self) -> AbstractContextManager[None]:
        """Do nothing: there are no others."""
        return nullcontext()

    def stored(self) -> Learned | None:
        """Return what is known."""
        return self.learned

    def keep(self, learned: Learned) -> None:
        """Take it."""
        self.learned = learned


def memory_of(profile: Profile) -> FileMemory:
    """Return where a profile keeps what it learned."""
    origin = origin_of(profile.network, profile.log_id_bytes)
    return FileMemory(trust_path(profile.name), origin)


def accept_policy(profile: Profile, data: bytes) -> None:
    """Believe a policy from now on, and none that the log proves later.

    Raises MalformedText, or UsageError if it is of another log or would tell no old head from a
    new one.
    """
    given = policy.parse(data)
    memory = memory_of(profile)
    if {log.key.name for log in given.logs} != {memory.origin}:
        raise UsageError(f"expected a policy that names the log {memory.origin}, and no other")
    if given.quorum == NO_QUORUM:
        raise UsageError("expected a policy with a quorum: cosignatures tell how old a head is")
    with memory.alone():
        known = memory.stored()
        head = None if known is None else known.head
        memory.keep(Learned(policy=data.decode(), head=head, is_given=True))


def forget_policy(profile: Profile) -> None:
    """Follow the validators again, from those of the policy that was given by hand on."""
    memory = memory_of(profile)
    with memory.alone():
        known = memory.stored()
        if known is not None:
            memory.keep(Learned(policy=known.policy, head=known.head))
