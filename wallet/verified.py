"""Answers that need no trust in the server that gives them (spec Y12.4).

The log id that a profile names makes the genesis certain, the genesis names the first validators,
and these make a policy. A head of the log that satisfies the policy makes a record of a block
certain, that record a root of the state, and that root every record. What was learned on the way is
kept beside the profile: the policy of later validators, and the largest head seen.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

import msgspec

from ledger import state_tree
from ledger.encoding import checkpoint, codec, merkle, note, policy, receipt, tiles
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.codec import NotCanonical
from ledger.encoding.note import BadSignature
from ledger.encoding.policy import Accepted, Policy, QuorumMissing, UntrustedLog
from ledger.encoding.receipt import NotIncluded, Receipt
from ledger.encoding.text import MalformedText
from ledger.encoding.tiles import Tile, TileNodes
from ledger.entries import ClosingEntry, decode_entry
from ledger.genesis import Genesis, genesis_changes, log_id_of, parse_genesis
from ledger.rules.governance import VALIDATORS, ValidatorSchedule, validators_at
from ledger.rules.vouchers import VOUCHERS, Voucher
from ledger.state_tree import Leaf, Proof
from ledger.trust import origin_of, parts_of, policy_of
from tally.exits import AuditFinding, NotCertain, TallyError, Unreachable, UsageError
from tally.plain import plain
from wallet.client import Json
from wallet.profile import Profile, replace_file, trust_path

HEAD_AGE_MAX_S = 120
"""Heads are cosigned anew every 30 seconds; one that is older than this is an old one."""
PATIENCE_S = 20.0
"""A change is provable within some ten seconds; after this the wallet gives up."""
PAUSE_S = 0.5


class DishonestServer(AuditFinding):
    """What a server says is not what the log says; the sentence says which lie it is."""


class Trust(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a profile has learned: the file beside it."""

    policy: str
    """A C2SP tlog-policy."""
    head: str | None
    """The largest head seen, a signed note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A record as it was when the state last had a root, or its absence."""

    value: bytes | None
    """The record's bytes; None if there is none."""
    sequence: int
    """Where it changed last; 0 if there is none."""
    height: int
    """The height after which it was so."""
    head: Checkpoint
    cosigned: tuple[str, ...]
    """Who cosigned the head that proves it, of those that the policy names."""


class Asked(Protocol):
    """One server; asking raises TallyError."""

    @property
    def url(self) -> str:
        """Return its address."""

    def get_bytes(self, path: str) -> bytes:
        """Return an answer as it comes."""

    def get_json(self, path: str) -> Json:
        """Return a JSON document."""

    def genesis(self) -> bytes:
        """Return the genesis bytes."""


class Memory(Protocol):
    """Where it is kept what was learned."""

    def stored(self) -> Trust | None:
        """Return it, if there is any."""

    def keep(self, trust: Trust) -> None:
        """Take its place."""


class Verifier:
    """Asks one server, and believes it nothing."""

    def __init__(
        self,
        profile: Profile,
        client: Asked,
        *,
        memory: Memory | None = None,
        now_s: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._now_s = now_s
        self._sleep = sleep
        self._memory = _File(trust_path(profile.name)) if memory is None else memory
        self._log_id = profile.log_id_bytes
        self._origin = origin_of(profile.network, self._log_id)
        self._trust = self._memory.stored() or Trust(policy=self._first_policy(), head=None)
        self._has_new_cosigners = False
        """Whether a head had lines of cosigners that the policy does not name."""

    @property
    def policy(self) -> Policy:
        """Return whom this wallet believes."""
        return policy.parse(self._trust.policy.encode())

    def record(self, key: bytes, claimed_sequence: int | None = None) -> Proven:
        """Return what a record is proven to be.

        ``claimed_sequence`` is a change that the server itself speaks of: its proof is waited for.
        Raises DishonestServer, or NotCertain if the server proves nothing in time.
        """
        deadline = self._now_s() + PATIENCE_S
        while True:
            reason = "the server has no proof of it yet"
            try:
                found = self._proven(key)
            except Unreachable as error:
                if not error.details.get("retryable"):
                    raise
                reason = error.message
            else:
                if claimed_sequence is None or found.sequence >= claimed_sequence:
                    return found
                reason = f"the server speaks of a change by entry {claimed_sequence}, unproven yet"
            if self._now_s() >= deadline:
                raise NotCertain(f"{key.decode()}: {reason}; ask again, or another node")
            self._sleep(PAUSE_S)

    def head(self) -> Accepted:
        """Return the server's head if it may be believed; raise DishonestServer."""
        return self._accept(self._client.get_bytes("/log/checkpoint"))

    def voucher(self, number: str) -> tuple[Json, Proven]:
        """Return a voucher as the server shows it, and the proof that it is so.

        Raises NotFound if there is none, DishonestServer if the log says something else.
        """
        answer = self._client.get_json(f"/v1/vouchers/{number}")
        try:
            item: Json = dict(answer["item"])
            sequence = int(answer["sequence"])
        except (KeyError, TypeError, ValueError):
            self._lie("a voucher that is malformed")
        found = self.record(VOUCHERS.key(number), sequence)
        if found.value is None or found.sequence < sequence:
            self._lie(f"a voucher {number} that the log does not have")
        if found.sequence > sequence:
            # It may have changed between the two answers: then both agree now.
            answer = self._client.get_json(f"/v1/vouchers/{number}")
            if answer.get("sequence") != found.sequence:
                self._lie(
                    f"voucher {number} as of entry {sequence}, and hides that entry "
                    f"{found.sequence} changed it"
                )
            item = dict(answer["item"])
        if self._has_new_cosigners:
            self.follow_validators()
        proven = plain(codec.decode_stored(Voucher, found.value))
        for name, value in proven.items():
            if item.get(name) != value:
                self._lie(f"a voucher {number} with {name} {item.get(name)}, the log has {value}")
        return item, found

    def receipt(self, data: bytes) -> tuple[Receipt, Accepted]:
        """Return a receipt that holds and its head; raise DishonestServer."""
        try:
            found = receipt.parse(data)
            head = self._accept(found.checkpoint.to_bytes())
            receipt.verify(found, entry=found.extra, trusted=self.policy)
        except (MalformedText, NotIncluded) as error:
            self._lie(f"a receipt that does not hold: {error}")
        return found, head

    # --- what a proof says -----------------------------------------------------------------------

    def _proven(self, key: bytes) -> Proven:
        answer = self._client.get_json(f"/v1/proofs/{key.decode('ascii')}")
        try:
            value, proof, data = _parts(answer)
        except (KeyError, TypeError, ValueError):
            self._lie("a proof that is malformed")
        carried, head = self.receipt(data)
        if carried.index != head.checkpoint.size - 1:
            # Each head ends with the newest root (Y10.3): any other record's would be an old state.
            self._lie(f"an old state: the root by entry {carried.index} is not the newest")
        root, height = self._root_of(carried.extra)
        if not state_tree.verify(root, key, value, proof):
            self._lie(
                f"a value of {key.decode()} that is not in the state whose root is on the log"
            )
        return Proven(
            value=None if value is None else value[8:],
            sequence=0 if value is None else int.from_bytes(value[:8], "big"),
            height=height,
            head=head.checkpoint,
            cosigned=tuple(name for name, _ in head.cosigned),
        )

    def _root_of(self, entry: bytes) -> tuple[bytes, int]:
        """Return the state root that a block's record carries, and of which height."""
        try:
            closing = decode_entry(entry)
        except NotCanonical:
            self._lie("a proof under something that is no entry of a ledger")
        if not isinstance(closing, ClosingEntry) or not closing.record.state_root:
            self._lie("a proof under an entry that carries no root of the state")
        root = closing.record.state_root[0]
        return root.root, root.height

    # --- heads -----------------------------------------------------------------------------------

    def _accept(self, data: bytes) -> Accepted:
        """Return what a head says once it is signed by enough, no old one, and no other log's."""
        try:
            signed = note.parse(data)
            accepted = policy.accept(self.policy, signed)
        except (MalformedText, BadSignature, UntrustedLog, QuorumMissing) as error:
            self._lie(f"a head that this wallet does not trust: {error}")
        if accepted.checkpoint.origin != self._origin:
            self._lie(f"the head of another log, {accepted.checkpoint.origin}")
        self._require_recent(accepted)
        self._require_extends(accepted.checkpoint)
        known = {(one.key.name, one.key.id) for one in self.policy.witnesses}
        self._has_new_cosigners = any(
            line.name.startswith(f"{self._origin}/") and (line.name, line.key_id) not in known
            for line in signed.signatures
        )
        seen = self.seen()
        if seen is None or accepted.checkpoint.size > seen.size:
            self._keep(Trust(policy=self._trust.policy, head=data.decode()))
        return accepted

    def _require_recent(self, head: Accepted) -> None:
        """Refuse a head that no honest cosigner need have seen lately."""
        seen_s = policy.seen_at_s(self.policy, head)
        if seen_s is None:
            self._lie(f"a head of entry {head.checkpoint.size} that too few say when they saw")
        age_s = int(self._now_s()) - seen_s
        if age_s > HEAD_AGE_MAX_S:
            self._lie(
                f"an old head: of entry {head.checkpoint.size}, cosigned {age_s} s ago, when "
                f"{HEAD_AGE_MAX_S} s is the longest that an honest server is behind"
            )

    def _require_extends(self, head: Checkpoint) -> None:
        """Refuse a head that takes back or contradicts the largest one seen before."""
        seen = self.seen()
        if seen is None or head == seen:
            return
        if head.size < seen.size:
            self._lie(f"an old head: of {head.size} entries, this wallet has seen {seen.size}")
        if head.size == seen.size:
            self._lie(
                f"a forked head: of {head.size} entries like one seen before, with other ones"
            )
        node = TileNodes(size=head.size, fetch=self._tile)
        try:
            proof = tiles.consistency_proof(node, size1=seen.size, size2=head.size)
        except MalformedText as error:
            self._lie(f"tiles that are malformed: {error}")
        if not merkle.verify_consistency(
            size1=seen.size, size2=head.size, root1=seen.root, root2=head.root, proof=proof
        ):
            self._lie(
                f"a forked head: its {head.size} entries do not begin with the {seen.size} of the "
                "head seen before"
            )

    def _tile(self, tile: Tile) -> bytes:
        return self._client.get_bytes(f"/log/{tile.path()}")

    def seen(self) -> Checkpoint | None:
        """Return the largest head that this profile has seen."""
        if self._trust.head is None:
            return None
        return checkpoint.parse(note.parse(self._trust.head.encode()).text)

    # --- what is kept ----------------------------------------------------------------------------

    def follow_validators(self) -> bool:
        """Take over the policy of the present validators, if they changed; return whether.

        The change is proven under the policy in force. After a change of more than a third at once
        no head satisfies the old policy: then a policy has to come from where one trusts it.
        """
        found = self.record(VALIDATORS.key("all"))
        self._has_new_cosigners = False
        if found.value is None:
            self._lie("a ledger without validators")
        schedule: ValidatorSchedule = codec.decode_stored(ValidatorSchedule, found.value)
        made = policy_of(self._origin, validators_at(schedule, found.height + 2)).to_bytes()
        if made.decode() == self._trust.policy:
            return False
        self._keep(Trust(policy=made.decode(), head=self._trust.head))
        return True

    def _first_policy(self) -> str:
        """Return the policy of the validators in genesis, which the log id proves."""
        data = self._client.genesis()
        if log_id_of(data) != self._log_id:
            self._lie("the genesis of another log")
        schedule = _schedule_of(parse_genesis(data))
        return policy_of(self._origin, validators_at(schedule, 1)).to_bytes().decode()

    def _keep(self, trust: Trust) -> None:
        self._memory.keep(trust)
        self._trust = trust

    def _lie(self, what: str) -> NoReturn:
        raise DishonestServer(f"{self._client.url} serves {what}")


def accept_policy(profile: Profile, data: bytes) -> None:
    """Believe a policy from now on; raise MalformedText, or UsageError if it is of another log."""
    parsed = policy.parse(data)
    origin = origin_of(profile.network, profile.log_id_bytes)
    if any(one.key.name != origin for one in parsed.logs):
        raise UsageError(f"expected the policy of {origin}")
    memory = _File(trust_path(profile.name))
    known = memory.stored()
    head = None if known is None else known.head
    memory.keep(Trust(policy=data.decode(), head=head))


def following(known: Policy, client: Asked) -> Policy | None:
    """Return the policy of the present validators as a server proves it, None if it is the same.

    It is proven under the known one, which is that of one log. Raises TallyError.
    """
    origin = known.logs[0].key.name
    network, log_id = parts_of(origin)
    profile = Profile(name="none", network=network, log_id=log_id.hex(), nodes=(), dev_seed=None)
    trust = Trust(policy=known.to_bytes().decode(), head=None)
    verifier = Verifier(profile, client, memory=_Passing(trust))
    return verifier.policy if verifier.follow_validators() else None


@dataclass(frozen=True, slots=True)
class _File:
    """A file beside the profile."""

    path: Path

    def stored(self) -> Trust | None:
        """Return what a profile has learned; raise TallyError if the file is damaged."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Trust)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise TallyError(f"{self.path} is damaged: {error}; take it from a backup") from None

    def keep(self, trust: Trust) -> None:
        """Replace the file."""
        replace_file(self.path, msgspec.json.encode(trust))


@dataclass(slots=True)
class _Passing:
    """Begins with what is known, and keeps nothing."""

    trust: Trust

    def stored(self) -> Trust | None:
        """Return what was known at the beginning."""
        return self.trust

    def keep(self, trust: Trust) -> None:
        """Do nothing: the verifier has it."""


def _schedule_of(genesis: Genesis) -> ValidatorSchedule:
    (schedule,) = (
        record
        for key, record in genesis_changes(genesis)
        if key == VALIDATORS.key("all") and isinstance(record, ValidatorSchedule)
    )
    return schedule


def _parts(answer: Json) -> tuple[bytes | None, Proof, bytes]:
    """Return value, proof and receipt of an answer; raise KeyError, TypeError or ValueError."""
    leaf: Any = answer["leaf"]
    proof = Proof(
        siblings=tuple(bytes.fromhex(one) for one in answer["siblings"]),
        leaf=None
        if leaf is None
        else Leaf(key=leaf["key"].encode("ascii"), value_hash=bytes.fromhex(leaf["value_hash"])),
    )
    value = None if answer["value"] is None else bytes.fromhex(answer["value"])
    if value is not None and len(value) < 8:
        raise ValueError("a value without its sequence number")
    return value, proof, answer["receipt"].encode()
