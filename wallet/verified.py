"""Answers that need no trust in the server that gives them (spec Y12.4).

The log id that a profile names makes the genesis certain, the genesis names the first validators,
and these make a policy. A head of the log that satisfies the policy makes a record of a block
certain, that record a root of the state, and that root every record. What was learned on the way is
kept beside the profile: the policy of later validators, and the largest head seen.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

import msgspec

from desk.documents import Json
from desk.following import QUORUM_AGE_MAX_MS
from ledger import state_tree
from ledger.encoding import codec, merkle, note, policy, receipt, tiles
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.codec import NotCanonical
from ledger.encoding.note import BadSignature
from ledger.encoding.plain import plain
from ledger.encoding.policy import Accepted, Policy, QuorumMissing, UntrustedLog
from ledger.encoding.receipt import NotIncluded, Receipt
from ledger.encoding.text import MalformedText
from ledger.encoding.tiles import Tile, TileNodes
from ledger.entries import ClosingEntry, decode_entry
from ledger.genesis import Genesis, genesis_changes, log_id_of, parse_genesis
from ledger.rules.validators import VALIDATORS, ValidatorSchedule, validators_at
from ledger.rules.vouchers import VOUCHERS, Voucher
from ledger.state_tree import Leaf, Proof
from ledger.trust import origin_of, parts_of, policy_of
from tally.exits import AuditFinding, NotCertain, TallyError, Unreachable
from wallet.learned import Learned, Memory, Passing, memory_of
from wallet.profile import Profile

HEAD_AGE_MAX_S = 120
"""Heads are cosigned anew every 30 seconds; one that is older than this is an old one."""
PATIENCE_S = 20.0
"""A change is provable within some ten seconds; after this the wallet gives up."""
PAUSE_S = 0.5
CHANGES_MAX = 5
"""Changes of one voucher while it is proven, before the wallet gives up."""


class DishonestServer(AuditFinding):
    """What a server says is not what the log says; the sentence says which lie it is."""


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


class _Shown(msgspec.Struct):
    """A single record as a server shows it."""

    item: Json
    sequence: int


class _Leaf(msgspec.Struct):
    key: str
    value_hash: str


class _MadeProof(msgspec.Struct):
    """A proof as a server gives it (Y12.3)."""

    value: str | None
    siblings: list[str]
    leaf: _Leaf | None
    receipt: str

    def value_bytes(self) -> bytes | None:
        """Return the value as it is stored; raise ValueError."""
        if self.value is None:
            return None
        value = bytes.fromhex(self.value)
        if len(value) < 8:
            raise ValueError("a value without its sequence number")
        return value

    def proof(self) -> Proof:
        """Return the way to the root; raise ValueError."""
        leaf = None
        if self.leaf is not None:
            value_hash = bytes.fromhex(self.leaf.value_hash)
            leaf = Leaf(key=self.leaf.key.encode("ascii"), value_hash=value_hash)
        siblings = tuple(bytes.fromhex(sibling) for sibling in self.siblings)
        return Proof(siblings=siblings, leaf=leaf)


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
        self._memory = memory_of(profile) if memory is None else memory
        self._log_id = profile.log_id_bytes
        self._origin = origin_of(profile.network, self._log_id)
        self._learned = self._memory.stored() or Learned(policy=self._first_policy())

    @property
    def policy(self) -> Policy:
        """Return whom this wallet believes."""
        return self._learned.trusted()

    def seen(self) -> Checkpoint | None:
        """Return the largest head that this profile has seen."""
        return self._learned.seen()

    def record(self, key: bytes, claimed_sequence: int | None = None) -> Proven:
        """Return what a record is proven to be.

        ``claimed_sequence`` is a change that the server itself speaks of: its proof is waited for.
        Raises DishonestServer, or NotCertain if the server proves nothing in time.
        """
        deadline = self._now_s() + PATIENCE_S
        while True:
            reason = "the server has no proof of it yet"
            try:
                proven = self._proven(key)
            except Unreachable as error:
                if not error.details.get("retryable"):
                    raise
                self._require_quorum()
                reason = error.message
            else:
                if claimed_sequence is None or proven.sequence >= claimed_sequence:
                    return proven
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
        item, sequence = self._shown(number)
        for _ in range(CHANGES_MAX):
            proven = self.record(VOUCHERS.key(number), sequence)
            if proven.value is None or proven.sequence < sequence:
                self._lie(f"a voucher {number} that the log does not have")
            if proven.sequence > sequence:  # it may have changed between the two answers
                before, (item, sequence) = sequence, self._shown(number)
                if sequence < proven.sequence:
                    self._lie(
                        f"voucher {number} as of entry {before}, and hides that entry "
                        f"{proven.sequence} changed it"
                    )
            if proven.sequence == sequence:
                self.follow_validators()
                return self._agreed(number, item, proven.value), proven
        raise NotCertain(f"voucher {number} changes faster than it can be proven; ask again")

    def _shown(self, number: str) -> tuple[Json, int]:
        """Return a voucher as the server shows it, and the entry that it says changed it."""
        try:
            shown = msgspec.convert(self._client.get_json(f"/v1/vouchers/{number}"), _Shown)
        except msgspec.ValidationError as error:
            self._lie(f"a voucher that is malformed: {error}")
        return shown.item, shown.sequence

    def _agreed(self, number: str, item: Json, value: bytes) -> Json:
        """Return what a server shows of a voucher, if the log says the same."""
        proven = plain(codec.decode_stored(Voucher, value))
        for name, true in proven.items():
            if item.get(name) != true:
                self._lie(f"a voucher {number} with {name} {item.get(name)}, the log has {true}")
        return {**item, **proven}

    def receipt(self, data: bytes) -> tuple[Receipt, Accepted]:
        """Return a receipt that holds and its head; raise DishonestServer."""
        try:
            parsed = receipt.parse(data)
            head = self._accept(parsed.checkpoint.to_bytes())
            receipt.verify(parsed, entry=parsed.extra, trusted=self.policy)
        except (MalformedText, NotIncluded) as error:
            self._lie(f"a receipt that does not hold: {error}")
        return parsed, head

    # --- what a proof says -----------------------------------------------------------------------

    def _proven(self, key: bytes) -> Proven:
        answer = self._client.get_json(f"/v1/proofs/{key.decode('ascii')}")
        try:
            made = msgspec.convert(answer, _MadeProof)
            value, proof = made.value_bytes(), made.proof()
        except (msgspec.ValidationError, ValueError) as error:
            self._lie(f"a proof that is malformed: {error}")
        carried, head = self.receipt(made.receipt.encode())
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
            self._lie(
                f"a head that this wallet does not trust: {error}. If the validators have changed "
                "much since it looked last: `tally profile trust --policy`"
            )
        if accepted.checkpoint.origin != self._origin:
            self._lie(f"the head of another log, {accepted.checkpoint.origin}")
        self._require_recent(accepted)
        self._remember(accepted.checkpoint, data.decode())
        return accepted

    def _remember(self, head: Checkpoint, signed: str) -> None:
        """Refuse a head that contradicts the largest one seen; keep it if it is larger."""
        for _ in range(CHANGES_MAX):
            known = self._learned = self._memory.stored() or self._learned
            self._require_extends(head)  # it may ask the server: nobody else waits for that
            with self._memory.alone():
                now = self._memory.stored() or known
                if now.head != known.head:
                    continue  # another process has seen more
                seen = known.seen()
                if seen is None or head.size > seen.size:
                    self._keep(msgspec.structs.replace(now, head=signed))
                return
        raise NotCertain("other commands use this profile all the time; try again")

    def _require_recent(self, head: Accepted) -> None:
        """Refuse a head unless a quorum cosigned it lately."""
        seen_s = policy.seen_at_s(self.policy, head)
        if seen_s is None:
            self._lie(f"a head of entry {head.checkpoint.size} that too few say when they saw")
        age_s = int(self._now_s()) - seen_s
        if age_s < -HEAD_AGE_MAX_S:
            self._lie(
                f"a head of the future: cosigned {-age_s} s from now, unless this machine's clock "
                "is slow"
            )
        if age_s > HEAD_AGE_MAX_S:
            self._require_quorum()
            self._lie(
                f"an old head: of entry {head.checkpoint.size}, cosigned {age_s} s ago by this "
                f"machine's clock, when {HEAD_AGE_MAX_S} s is the longest that an honest server is "
                "behind"
            )

    def _require_quorum(self) -> None:
        """Raise Unreachable if the server itself says that it sees no quorum, nor a new head."""
        try:
            age_ms = self._client.get_json("/v1/status").get("quorum_age_ms")
        except TallyError:
            return
        if isinstance(age_ms, int) and age_ms >= QUORUM_AGE_MAX_MS:
            raise Unreachable(
                f"{self._client.url} has seen no quorum for {age_ms // 1000} s: it can prove "
                "nothing new, and nothing can become final there now"
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

    # --- what is kept ----------------------------------------------------------------------------

    def follow_validators(self) -> bool:
        """Take over the policy of the present validators, if they changed; return whether.

        The change is proven under the policy in force. After a change of more than a third at once
        no head satisfies the old policy: then a policy has to come from where one trusts it. One
        that was given by hand stays.
        """
        if self._learned.is_given:
            return False
        proven = self.record(VALIDATORS.key("all"))
        if proven.value is None:
            self._lie("a ledger without validators")
        schedule: ValidatorSchedule = codec.decode_stored(ValidatorSchedule, proven.value)
        made = (
            policy_of(self._origin, validators_at(schedule, proven.height + 2)).to_bytes().decode()
        )
        with self._memory.alone():
            known = self._learned = self._memory.stored() or self._learned
            if made == known.policy or known.is_given or proven.height < known.as_of:
                return False
            self._keep(msgspec.structs.replace(known, policy=made, as_of=proven.height))
        return True

    def _first_policy(self) -> str:
        """Return the policy of the validators in genesis, which the log id proves."""
        data = self._client.genesis()
        if log_id_of(data) != self._log_id:
            self._lie("the genesis of another log")
        schedule = _schedule_of(parse_genesis(data))
        return policy_of(self._origin, validators_at(schedule, 1)).to_bytes().decode()

    def _keep(self, learned: Learned) -> None:
        self._memory.keep(learned)
        self._learned = learned

    def _lie(self, lie: str) -> NoReturn:
        raise DishonestServer(f"{self._client.url} serves {lie}")


def following(known: Policy, client: Asked) -> Policy | None:
    """Return the policy of the present validators as a server proves it, None if it is the same.

    It is proven under the known one, which is that of one log. Raises TallyError.
    """
    origin = known.logs[0].key.name
    network, log_id = parts_of(origin)
    profile = Profile(name="none", network=network, log_id=log_id.hex(), nodes=(), dev_seed=None)
    learned = Learned(policy=known.to_bytes().decode())
    verifier = Verifier(profile, client, memory=Passing(learned))
    return verifier.policy if verifier.follow_validators() else None


def _schedule_of(genesis: Genesis) -> ValidatorSchedule:
    (schedule,) = (
        record
        for key, record in genesis_changes(genesis)
        if key == VALIDATORS.key("all") and isinstance(record, ValidatorSchedule)
    )
    return schedule
