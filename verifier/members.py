"""Members, parameters and validators, as governance on the log changed them (R14, R15).

Adoption follows from votes that the log says were accepted, and from nothing else; so no other rule
is executed here. What comes out is compared with the hashes that every record names (B4).
"""

from dataclasses import dataclass, replace
from typing import Any

from verifier.blocks import Genesis, Record
from verifier.wire import encode, tagged_hash

OPEN_MS = 14 * 86_400_000
"""T23: after that no vote on a proposal is accepted."""
EVIDENCE_AGE_MAX = 64
"""N9.2."""
KNOWN_RULES = 1
"""The rules version that these pages describe."""
REMAINING_MIN = 4
"""R15.3."""

ValidatorEntry = tuple[str, tuple[bytes, bytes, bytes, bytes, int]]
"""Party, and its consensus, log, cosigner and link keys and power (G1)."""
ValidatorSet = tuple[ValidatorEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What governance knows of a member."""

    kind: str
    party_class: str
    status: str = "active"


@dataclass(slots=True, kw_only=True)
class Proposal:
    """An action that members are asked about."""

    action: tuple[Any, ...]
    closes_ms: int
    yes: set[str]


class Members:
    """Who decides what, as of the last block that was given to ``follow``."""

    def __init__(self, genesis: Genesis) -> None:
        self.parameters = genesis.parameters
        """In force for the next block: G1's, from expiry_ahead_max_ms to tag_keys."""
        self._members = {
            member[0]: Member(kind=member[1], party_class=member[2]) for member in genesis.members
        }
        validating: ValidatorSet = tuple(
            (member[0], member[8][0]) for member in genesis.members if member[8]
        )
        self._sets: list[tuple[int, ValidatorSet]] = [(0, validating)]
        """From which height, ascending; the last one acts at the last block's height + 2."""
        self._rules: list[tuple[int, int]] = []
        """Version and first height."""
        self.engine_ends_at: int | None = None
        """The first height of another engine, or of a later epoch of this one."""
        self._proposals: dict[int, Proposal] = {}
        self._count = 0
        self._misbehaviours: set[tuple[bytes, int, str]] = set()

    def acting(self, height: int) -> ValidatorSet:
        """Return the validators of a height, at most two above the last block."""
        return next(validators for start, validators in reversed(self._sets) if start <= height)

    def rules_version(self, height: int) -> int:
        """Return the version of the rules at a height (R14.2)."""
        versions = [version for version, start in self._rules if start <= height]
        return versions[-1] if versions else KNOWN_RULES

    def validators_hash(self) -> bytes:
        """Return the hash of the set that acts two heights on (B4)."""
        parts = (encode(entry) for entry in self._sets[-1][1])
        return tagged_hash("tallystick/validators/v1", *parts)

    def parameters_hash(self) -> bytes:
        """Return the hash of the parameters (B4)."""
        return tagged_hash("tallystick/parameters/v1", encode(self.parameters))

    def wrong_misbehaviour(self, record: Record) -> str | None:
        """Return what is wrong with the misbehaviours of the next record (B3.1), or None."""
        keys = [
            {keys[0] for _, keys in self.acting(height)}
            for height in (record.height, record.height + 2)
        ]
        for key, kind, height, _ in record.misbehaviours:
            if not record.height - EVIDENCE_AGE_MAX < height <= record.height:
                return f"misbehaviour of height {height}"
            if not any(key in known for known in keys):
                return "misbehaviour of a key that does not validate"
            if (key, height, kind) in self._misbehaviours:
                return "misbehaviour that was recorded before"
        return None

    def follow(self, record: Record, accepted: list[tuple[Any, ...]]) -> None:
        """Take in a block: the operations that the rules accepted, in order, then misbehaviours."""
        for operation in accepted:
            match operation:
                case "governance.propose", str(proposer), tuple(action):
                    self._count += 1
                    self._proposals[self._count] = Proposal(
                        action=action, closes_ms=record.time_ms + OPEN_MS, yes=set()
                    )
                    self._approve(self._count, proposer, record.height)
                case "governance.vote", str(voter), int(number), True:
                    self._approve(number, voter, record.height)
        for misbehaviour in record.misbehaviours:
            self._strike(misbehaviour[0], record.height)
            self._misbehaviours.add((misbehaviour[0], misbehaviour[2], misbehaviour[1]))
        self._forget(record)

    def _approve(self, number: int, voter: str, height: int) -> None:
        """Count a yes; do what was proposed if it is the one that adopts it (R14.1)."""
        proposal = self._proposals.get(number)
        if proposal is None:  # closed: a log on which its vote was accepted is refused by execution
            return
        proposal.yes.add(voter)
        cities, members = [], []
        for party, member in self._members.items():
            if member.status != "active" or member.kind == "auditor":
                continue
            members.append(party)
            if (member.kind, member.party_class) == ("treasury", "city"):
                cities.append(party)
        if all(_is_two_thirds(asked, proposal.yes) for asked in (cities, members)):
            del self._proposals[number]
            self._do(proposal.action, height)

    def _do(self, action: tuple[Any, ...], height: int) -> None:
        """Do what an adopted action does to members, validators and parameters (R14.2)."""
        match action:
            case "admit", member, _:
                self._members[member[0]] = Member(kind=member[1], party_class=member[2])
                if member[8]:
                    self._schedule(height, _with(self._sets[-1][1], member[0], member[8]))
            case "status", party, status, _:
                if party in self._members:
                    self._members[party] = replace(self._members[party], status=status)
                if status != "active":
                    self._schedule(height, _without(self._sets[-1][1], party))
            case "validator", party, validator, _:
                self._schedule(height, _with(self._sets[-1][1], party, validator))
            case "parameters", parameters:
                self.parameters = parameters
            case "rules_version", version, start:
                self._rules.append((version, start))
            case "engine.switch", _, at_height if self.engine_ends_at is None:
                self.engine_ends_at = at_height

    def _strike(self, key: bytes, height: int) -> None:
        """Take a key that broke the protocol from the validators (R15.2, R15.3)."""
        acting, last = self.acting(height), self._sets[-1][1]
        left = tuple(entry for entry in last if entry[1][0] != key)
        kept = {keys[0] for _, keys in left}
        missing = sum(keys[4] for _, keys in acting if keys[0] not in kept)
        total = sum(keys[4] for _, keys in acting)
        if len(left) < len(last) and len(left) >= REMAINING_MIN and 3 * missing < total:
            self._schedule(height, left)

    def _schedule(self, height: int, validators: ValidatorSet) -> None:
        """Let a set act from two heights on."""
        if self._sets[-1][0] == height + 2:
            self._sets.pop()
        self._sets.append((height + 2, validators))

    def _forget(self, record: Record) -> None:
        """Drop what no later block can ask for."""
        past = [start for start, _ in self._sets if start <= record.height]
        self._sets = [entry for entry in self._sets if entry[0] >= past[-1]]
        for number, proposal in list(self._proposals.items()):
            if proposal.closes_ms <= record.time_ms:
                del self._proposals[number]
        oldest = record.height - EVIDENCE_AGE_MAX
        self._misbehaviours = {
            misbehaviour for misbehaviour in self._misbehaviours if misbehaviour[1] > oldest
        }


def _is_two_thirds(asked: list[str], yes: set[str]) -> bool:
    return 3 * sum(party in yes for party in asked) > 2 * len(asked)


def _without(validators: ValidatorSet, party: str) -> ValidatorSet:
    return tuple(entry for entry in validators if entry[0] != party)


def _with(validators: ValidatorSet, party: str, given: tuple[Any, ...]) -> ValidatorSet:
    """Return a set in which a party has the keys given, if any, in its place or the last one."""
    if any(entry[0] == party for entry in validators):
        entries = ((name, given if name == party else (keys,)) for name, keys in validators)
        return tuple((name, keys) for name, kept in entries for keys in kept)
    return (*validators, *((party, keys) for keys in given))
