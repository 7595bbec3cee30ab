"""Trust policies: which logs, and whose cosignatures are enough (c2sp.org/tlog-policy, spec Y6).

A policy comes from its reader, not from a peer; limits are here because files are handed around.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass

from ledger.encoding import checkpoint, note
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.note import KeyType, Note, VerifierKey
from ledger.encoding.text import MalformedText, parse_decimal

POLICY_BYTES_MAX = 64 * 1024
DEFINITIONS_MAX = 64
"""Most logs, most witnesses and most groups of a policy, each. Everybody has to support 32."""
NO_QUORUM = "none"
"""The name of the quorum that asks for no cosignature."""


class MalformedPolicy(MalformedText):
    """A line of the policy is not one, or the lines do not fit together."""


class UntrustedLog(ValueError):
    """The note is not signed by a log of the policy under its own origin."""


class QuorumMissing(ValueError):
    """The log signed, but those who cosigned are not enough."""

    def __init__(self, *, quorum: str, cosigned: tuple[str, ...]) -> None:
        names = ", ".join(cosigned) or "nobody"
        super().__init__(f"cosigned by {names}; the policy asks for {quorum}")
        self.quorum, self.cosigned = quorum, cosigned


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log that the policy trusts once enough witnesses do."""

    key: VerifierKey
    """Its name is the log's origin. A log may have several keys, each on a line of its own."""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """Somebody whose cosignature counts."""

    name: str
    """A name within this policy; its octets are opaque (bytes beyond UTF-8 as surrogates)."""
    key: VerifierKey
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Has witnessed once enough of its members have."""

    name: str
    threshold: int
    """How many members: 1 to all."""
    members: tuple[str, ...]
    """Names of witnesses and of groups defined before; a name is a member of one group at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Whom to believe about a checkpoint."""

    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str
    """A witness, a group, or ``none``."""

    def to_bytes(self) -> bytes:
        """Return the policy's file, which ``parse`` takes back."""
        lines = [_line("log", log.key.text(), log.url) for log in self.logs]
        for witness in self.witnesses:
            lines.append(_line("witness", witness.name, witness.key.text(), witness.url))
        for group in self.groups:
            lines.append(_line("group", group.name, str(group.threshold), *group.members))
        lines.append(_line("quorum", self.quorum))
        data = "".join(lines).encode(errors="surrogateescape")
        assert parse(data) == self
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A checkpoint that a policy lets its reader believe."""

    checkpoint: Checkpoint
    log: VerifierKey
    cosigned: tuple[tuple[str, int], ...]
    """The policy's name of each witness that cosigned, and when it did, in seconds since 1970."""


def quorum_of(count: int) -> int:
    """Return how many of some cosigners are enough (Y6.7)."""
    return 2 * count // 3 + 1


def validators_policy(*, logs: Iterable[Log], witnesses: Iterable[Witness]) -> Policy:
    """Return the policy under which ⌊2n/3⌋ + 1 of n witnesses are enough (Y6.7)."""
    known = tuple(witnesses)
    group = Group(
        name="validators",
        threshold=quorum_of(len(known)),
        members=tuple(witness.name for witness in known),
    )
    return Policy(logs=tuple(logs), witnesses=known, groups=(group,), quorum=group.name)


def is_quorum(policy: Policy, cosigners: Set[str]) -> bool:
    """Return whether the witnesses of these names are enough. Names of others count nothing."""
    has_witnessed = {witness.name: witness.name in cosigners for witness in policy.witnesses}
    has_witnessed[NO_QUORUM] = True
    for group in policy.groups:
        present = sum(has_witnessed[member] for member in group.members)
        has_witnessed[group.name] = present >= group.threshold
    return has_witnessed[policy.quorum]


def accept(policy: Policy, signed: Note) -> Accepted:
    """Return the checkpoint of a note that satisfies the policy (Y6.6).

    Raises BadSignature, MalformedCheckpoint, UntrustedLog or QuorumMissing.
    """
    names = {witness.key: witness.name for witness in policy.witnesses}
    logs = {log.key: log for log in policy.logs}
    try:
        verified = note.verify(signed, [*logs, *names])
    except note.NotSigned:
        raise UntrustedLog("no log of the policy signed this") from None
    claimed = checkpoint.parse(signed.text)
    signers = [
        line.key for line in verified if line.key in logs and line.key.name == claimed.origin
    ]
    if not signers:
        raise UntrustedLog(f"no log of the policy signed this as {claimed.origin!r}")
    cosigned = tuple(
        (names[line.key], line.time_s)
        for line in verified
        if line.key in names and line.time_s is not None
    )
    if not is_quorum(policy, {name for name, _ in cosigned}):
        raise QuorumMissing(quorum=policy.quorum, cosigned=tuple(name for name, _ in cosigned))
    return Accepted(checkpoint=claimed, log=signers[0], cosigned=cosigned)


def seen_at_s(policy: Policy, accepted: Accepted) -> int | None:
    """Return the latest time such that a quorum cosigned then or later; None if none did (Y12.4).

    So it takes a quorum to make an old head look new, as it takes one to make a head.
    """
    names: dict[str, None] = {}
    for time_s, name in sorted(
        ((time_s, name) for name, time_s in accepted.cosigned), reverse=True
    ):
        names[name] = None
        if is_quorum(policy, names.keys()):
            return time_s
    return None


def parse(data: bytes) -> Policy:
    """Return the policy that a file writes. Raises MalformedPolicy with the number of the line."""
    if len(data) > POLICY_BYTES_MAX:
        raise MalformedPolicy(f"expected at most {POLICY_BYTES_MAX} bytes, got {len(data)}")
    if not data.endswith(b"\n"):
        raise MalformedPolicy("the last line does not end")
    read = _Reader()
    for number, line in enumerate(data[:-1].split(b"\n"), start=1):
        try:
            read.line(line)
        except MalformedText as error:
            raise MalformedPolicy(f"line {number}: {error}") from None
    return read.policy()


class _Reader:
    """Takes the lines of a policy in their order and remembers what they defined."""

    def __init__(self) -> None:
        self._logs: list[Log] = []
        self._witnesses: list[Witness] = []
        self._groups: list[Group] = []
        self._quorum: str | None = None
        self._free: dict[str, bool] = {NO_QUORUM: False}
        """Every defined name, and whether it may still become the member of a group."""
        self._signers: set[tuple[str, bytes]] = set()
        """Name and id of each key: what a signature line can be told by."""

    def line(self, line: bytes) -> None:
        """Take the next line. Raises MalformedText."""
        if any((octet < 0x20 and octet != 0x09) or octet == 0x7F for octet in line):
            raise MalformedPolicy("a control character")
        words = line.decode(errors="surrogateescape").replace("\t", " ").split(" ")
        match [word for word in words if word]:
            case []:
                pass
            case [first, *_] if first.startswith("#"):
                pass
            case ["log", key, *url] if len(url) <= 1:
                self._log(key, *url)
            case ["witness", name, key, *url] if len(url) <= 1:
                self._witness(name, key, *url)
            case ["group", name, threshold, *members] if members:
                self._group(name, threshold, members)
            case ["quorum", name]:
                self._choose(name)
            case [first, *_]:
                raise MalformedPolicy(f"not a line of a policy: {first[:24]!r}")

    def policy(self) -> Policy:
        """Return what all the lines define. Raises MalformedPolicy."""
        if self._quorum is None:
            raise MalformedPolicy("no quorum line")
        return Policy(
            logs=tuple(self._logs),
            witnesses=tuple(self._witnesses),
            groups=tuple(self._groups),
            quorum=self._quorum,
        )

    def _log(self, key_text: str, url: str = "") -> None:
        key = self._key(key_text, [log.key for log in self._logs])
        self._logs.append(Log(key=key, url=url))

    def _witness(self, name: str, key_text: str, url: str = "") -> None:
        self._define(name, len(self._witnesses))
        key = self._key(key_text, [witness.key for witness in self._witnesses])
        if key.type is not KeyType.COSIGNATURE:
            raise MalformedPolicy("a witness needs a key of type 04")
        self._witnesses.append(Witness(name=name, key=key, url=url))

    def _group(self, name: str, threshold_text: str, members: list[str]) -> None:
        for member in members:
            if not self._free.get(member, False):
                raise MalformedPolicy(f"not defined before, or in a group already: {member!r}")
            self._free[member] = False
        words = {"any": 1, "all": len(members)}
        threshold = words.get(threshold_text) or parse_decimal(threshold_text)
        if not 1 <= threshold <= len(members):
            raise MalformedPolicy(f"{threshold} of {len(members)} members")
        self._define(name, len(self._groups))
        self._groups.append(Group(name=name, threshold=threshold, members=tuple(members)))

    def _choose(self, name: str) -> None:
        if self._quorum is not None:
            raise MalformedPolicy("a second quorum line")
        if name not in self._free:
            raise MalformedPolicy(f"not defined before: {name!r}")
        self._quorum = name

    def _define(self, name: str, so_far: int) -> None:
        if name in self._free:
            raise MalformedPolicy(f"defined before: {name!r}")
        if so_far == DEFINITIONS_MAX:
            raise MalformedPolicy(f"more than {DEFINITIONS_MAX} of a kind")
        self._free[name] = True

    def _key(self, text: str, before: list[VerifierKey]) -> VerifierKey:
        if len(before) == DEFINITIONS_MAX:
            raise MalformedPolicy(f"more than {DEFINITIONS_MAX} of a kind")
        key = note.parse_verifier_key(text)
        # One key under two names would be counted twice.
        if any(key.public_key == earlier.public_key for earlier in before):
            raise MalformedPolicy(f"the key of {key.name} stands here before")
        if (key.name, key.id) in self._signers:
            raise MalformedPolicy(f"another key has the name and the id of {key.name}")
        self._signers.add((key.name, key.id))
        return key


def _line(*words: str) -> str:
    return " ".join(word for word in words if word) + "\n"
