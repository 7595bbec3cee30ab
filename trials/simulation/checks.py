"""What must hold at every step of every simulation; a breach raises Violation.

The letters are those of the invariants: agreement (I1), validity (I2), no double spend (I3), no
self-contradiction (I4), conservation (I5), replay equals live (I8), lock safety (I9).
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec

from consensus.certificate import Certificate
from consensus.evidence import Evidence
from consensus.messages import BlockId, ValidatorKey, VoteKind, vote_sign_bytes
from engines.builtin.messages import ENGINE_EPOCH, NO_BLOCK, block_id, decode_commit
from engines.builtin.proposals import TIMELY_INCREMENT_MS, TIMELY_MS
from engines.builtin.signer import PROPOSAL, SignRequest
from ledger.blocks import BlockInput, Misbehaviour
from ledger.execute import Execution, Verify
from ledger.ledger import Ledger
from ledger.store.memory import MemoryStore
from ledger.transactions import parse
from trials.simulation.churn import ACTS_AFTER, Register
from trials.simulation.member import Member
from trials.simulation.tally import Tally
from trials.simulation.world import Violation

NIL = b""
EVIDENCE_HEIGHTS_MAX = 5
"""Heights after which what an honest member has evidence of is on the log."""


@dataclass(slots=True)
class _Promises:
    """What one honest key has said at the height it is at."""

    height: int = 0
    locked: tuple[int, bytes] | None = None
    """Round and block of its last precommit for a block."""


@dataclass(slots=True, kw_only=True)
class Checks:
    """Watches all honest members from above."""

    log_id: bytes
    register: Register
    verify: Verify
    honest: Mapping[bytes, Member]
    """By consensus key: members whose state is sound, whatever they lost before."""
    keys: Mapping[bytes, Member]
    """Also those with rot in the log or the record: no key of theirs may break a promise."""
    compares_roots: bool
    """Whether the state roots on the log are compared with the naive twin's."""
    tally: Tally
    submitted: dict[bytes, bytes] = field(default_factory=dict)
    """What clients have handed in: envelope by id."""
    commits: int = 0
    blocks: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    """Block id and record hash by height."""
    lies: dict[tuple[bytes, int, str], None] = field(default_factory=dict)
    """What honest members noticed, by key, height and kind."""
    recorded: dict[tuple[bytes, int, str], int] = field(default_factory=dict)
    """Height of the block that recorded misbehaviour, by key, height and kind."""
    state: dict[bytes, bytes] = field(default_factory=dict)
    """Every record as of the last state root that was compared."""
    _later: deque[tuple[int, dict[bytes, bytes]]] = field(default_factory=deque)
    """What each height wrote since."""
    roots: int = 0
    """State roots that were compared."""
    _said: dict[tuple[bytes, int, int, int], bytes] = field(default_factory=dict)
    """Message by key, height, round and step."""
    _prevotes: dict[tuple[int, int, bytes], dict[bytes, None]] = field(default_factory=dict)
    """Keys by height, round and block."""
    _known: dict[tuple[bytes, int, str], int] = field(default_factory=dict)
    """What an honest member has evidence of and the log does not mention: since which height."""
    _promises: dict[bytes, _Promises] = field(default_factory=dict)
    _followed: dict[int, None] = field(default_factory=dict)
    """Heights that the tally has taken in."""
    _latest_ms: dict[bytes, int] = field(default_factory=dict)
    """How late each honest clock ever said it was before it stepped."""

    # --- signatures ------------------------------------------------------------------------------

    def signed(self, member: Member, request: SignRequest) -> None:
        """Check a signature that leaves an honest signer: I4 and I9."""
        place = (member.key, request.height, request.round, request.step)
        before = self._said.setdefault(place, request.message)
        if before != request.message and member.key in self.keys:
            raise Violation(f"contradiction: {member.name} signed two messages at {place[1:]}")
        if request.step != PROPOSAL:
            self._check_vote(member, request)

    def _check_vote(self, member: Member, request: SignRequest) -> None:
        kind, height, round_, block = _vote_in(request.message)
        if (height, round_) != (request.height, request.round):
            raise Violation("the signer's position is not the message's")
        promises = self._promises.setdefault(member.key, _Promises())
        if height > promises.height:
            promises.height, promises.locked = height, None
        if block == NIL:
            return
        is_bound = member.key in self.keys
        if kind == VoteKind.PREVOTE:
            self._prevotes.setdefault((height, round_, block), {})[member.key] = None
            if member.key in self.honest:
                self._check_proposed(member, height, round_, block)
            locked = promises.locked
            if is_bound and locked is not None and locked[1] != block:
                later = range(locked[0] + 1, round_)
                if not any(self._may_have_polka(height, between, block) for between in later):
                    raise Violation(f"lock broken: {member.name} at h{height} r{round_}")
        else:
            if is_bound and not self._may_have_polka(height, round_, block):
                raise Violation(f"no polka: {member.name} precommits at h{height} r{round_}")
            if promises.locked is None or promises.locked[0] < round_:
                promises.locked = (round_, block)

    def _check_proposed(self, member: Member, height: int, round_: int, block: bytes) -> None:
        """Check that a prevoted block was its maker's to propose, or had a polka (L22, L28)."""
        assert member.host is not None
        header = member.host.heights.now.blocks.must(BlockId(block)).header
        if header.proposer == self.register.at(height).proposer(height, round_):
            return
        if not any(self._may_have_polka(height, earlier, block) for earlier in range(round_)):
            raise Violation(
                f"not proposed: {member.name} prevotes an old block at h{height} r{round_}"
            )

    def _may_have_polka(self, height: int, round_: int, block: bytes) -> bool:
        """Return whether honest prevotes, and any that liars may have made, are a quorum."""
        honest = self._prevotes.get((height, round_, block), {})
        voters = self.register.at(height).validators
        power = sum(
            voter.power for voter in voters if voter.key in honest or voter.key not in self.keys
        )
        return 3 * power > 2 * sum(voter.power for voter in voters)

    # --- commits ---------------------------------------------------------------------------------

    def committed(self, member: Member, execution: Execution) -> None:
        """Check a block that a member made durable: I1, I2, I3, I5."""
        if member.key not in self.honest:
            return
        self.commits += 1
        height = execution.head.height
        data = member.store.stored_commit(height)
        if data is None or execution.parent.height != height - 1:
            raise Violation(f"heights skip: {member.name} commits {height}")
        commit = decode_commit(data)
        header, chosen = commit.header, block_id(commit.header)
        if header.record_hash != execution.head.record_hash:
            raise Violation(f"the header of {height} names another record")
        if (header.log_id, header.epoch, header.height) != (self.log_id, ENGINE_EPOCH, height):
            raise Violation(f"the header of {height} is of another place or log")
        if header.time_ms != execution.head.time_ms:
            raise Violation(f"time: the header of {height} says another than its execution")
        self._check_certificate(commit.certificate, height, chosen)
        self._check_proposer(header.proposer, height, commit.certificate.round)
        known = self.blocks.setdefault(height, (chosen, execution.head.record_hash))
        if known != (chosen, execution.head.record_hash):
            raise Violation(f"disagreement: {member.name} commits another block at {height}")
        if height == max(self.blocks) and height not in self._followed:
            self._check_carried(commit.previous, height)
            self._follow(member, height, header.parent, execution)
            self._check_misbehaviours(execution)
            self._check_promptness(height)
            self._check_root(execution)
            self._check_time(header.time_ms, height, commit.certificate.round)

    def _follow(self, member: Member, height: int, parent: bytes, execution: Execution) -> None:
        self._followed[height] = None
        if parent != (self.blocks[height - 1][0] if height > 1 else NO_BLOCK):
            raise Violation(f"the block of {height} names another parent")
        for raw in execution.block.transactions:
            transaction = parse(raw)
            if transaction.id not in self.submitted:
                raise Violation("a transaction that no client made")
            if transaction.body.expires_at <= execution.head.time_ms:
                raise Violation("an expired transaction is logged")
        self.tally.follow(execution)
        self.register.follow(execution)
        self.tally.compare(member.store)

    def _check_misbehaviours(self, execution: Execution) -> None:
        """Check that the log blames liars only, each for one thing once (I11)."""
        for misbehaviour in execution.block.misbehaviours:
            if misbehaviour.validator in self.keys:
                raise Violation(f"the log blames an honest key for height {misbehaviour.height}")
            place = (misbehaviour.validator, misbehaviour.height, misbehaviour.kind)
            if place in self.recorded:
                raise Violation(f"misbehaviour stands on the log twice: {place}")
            self.recorded[place] = execution.head.height

    def _check_promptness(self, height: int) -> None:
        """Check that what an honest member has evidence of does not wait for ever (I11, N9.3)."""
        open_ = [
            place
            for member in self.honest.values()
            if member.host is not None
            for evidence in member.host.evidence.known()
            if (place := _place(evidence)) not in self.recorded
            and self._may_be_named(evidence.validator, height + 1)
        ]
        self._known = {place: self._known.get(place, height) for place in open_}
        for place, since in self._known.items():
            if height - since > EVIDENCE_HEIGHTS_MAX:
                raise Violation(f"not recorded: at {height}, known since {since}: {place}")

    def _may_be_named(self, key: bytes, height: int) -> bool:
        """Return whether a block of this height may carry misbehaviour of a key (B3.1)."""
        sets = (self.register.at(height), self.register.at(height + ACTS_AFTER))
        return any(validators.power_of(ValidatorKey(key)) for validators in sets)

    def _check_root(self, execution: Execution) -> None:
        """Compare a record's state root with that of the state after the height it names (B7)."""
        roots = execution.record.state_root if execution.record is not None else ()
        if roots and self.compares_roots:
            while self._later and self._later[0][0] <= roots[0].height:
                self.state.update(self._later.popleft()[1])
            self.roots += 1
            if roots[0].root != state_root(self.state):
                raise Violation(f"state root: not that of the state after {roots[0].height}")
        if self.compares_roots:
            written = {write.key: write.value for write in execution.writes}
            self._later.append((execution.head.height, written))

    def _check_certificate(self, certificate: Certificate, height: int, block: bytes) -> None:
        """Count precommits naively: distinct keys of the set, each signature checked."""
        if (certificate.height, certificate.block_id) != (height, block):
            raise Violation(f"certificate of another block at {height}")
        message = vote_sign_bytes(
            self.log_id,
            ENGINE_EPOCH,
            VoteKind.PRECOMMIT,
            height,
            certificate.round,
            (certificate.block_id,),
        )
        signers = dict(certificate.signatures)
        voters = self.register.at(height).validators
        power = sum(voter.power for voter in voters if voter.key in signers)
        total = sum(voter.power for voter in voters)
        if len(signers) != len(certificate.signatures) or not 3 * power > 2 * total:
            raise Violation(f"certificate: {power} of {total} at {height}")
        for key, signature in signers.items():
            if not self.verify(key, message, signature):
                raise Violation(f"certificate: a bad signature at {height}")

    def _check_carried(self, carried: tuple[Certificate, ...], height: int) -> None:
        """Check that a block brought the certificate of its parent, and the first one none."""
        if len(carried) != (height > 1):
            raise Violation(f"certificate: the block of {height} carries {len(carried)}")
        for certificate in carried:
            self._check_certificate(certificate, height - 1, self.blocks[height - 1][0])

    def _check_proposer(self, proposer: bytes, height: int, round_: int) -> None:
        turns = [self.register.at(height).proposer(height, turn) for turn in range(round_ + 1)]
        if proposer not in turns:
            raise Violation(f"wrong proposer: the block of {height} was not its maker's turn")

    def _check_time(self, time_ms: int, height: int, round_: int) -> None:
        """Check a block's time against the clocks: one wrong clock must not move it.

        A quorum found it timely, and but for its maker and the liars these are honest.
        """
        self.clock_steps()
        latest_ms = sorted(self._latest_ms.values(), reverse=True)
        voters = self.register.at(height).validators
        are_equal = len({voter.power for voter in voters}) == 1
        outliers = 1 if are_equal and len(voters) > 3 and len(latest_ms) > 1 else 0
        bound_ms = TIMELY_MS + TIMELY_INCREMENT_MS * round_
        if time_ms > latest_ms[outliers] + bound_ms:
            raise Violation(f"time: a block of {time_ms} while clocks say {latest_ms}")

    def clock_steps(self) -> None:
        """Remember how late the clocks say it is, before one is set back."""
        for key, member in self.honest.items():
            now_ms = member.clock.wall_ms()
            self._latest_ms[key] = max(self._latest_ms.get(key, 0), now_ms)

    # --- misbehaviour ----------------------------------------------------------------------------

    def blamed(self, member: Member, peer: str, reason: str) -> None:
        """Check that nobody honest is blamed."""
        if member.key in self.honest and any(
            honest.name == peer for honest in self.honest.values()
        ):
            raise Violation(f"an honest peer blamed: {member.name} says {peer} {reason}")

    def all_may_vote(self) -> None:
        """Check that no honest member has given up, and that only liars were caught lying."""
        for member in self.honest.values():
            host = member.host
            if host is None:
                continue
            if host.key.stopped:
                raise Violation(f"{member.name} stopped: {host.key.stopped}")
            for evidence in host.evidence.known():
                if evidence.validator in self.keys:
                    raise Violation(f"an honest key is said to equivocate by {member.name}")
                self.lies[_place(evidence)] = None

    # --- the end ---------------------------------------------------------------------------------

    def same_everywhere(self, stores: Iterable[MemoryStore]) -> None:
        """Check that members at one height hold the same bytes."""
        first, *others = stores
        for store in others:
            if (store.state, store.history, store.log) != (first.state, first.history, first.log):
                raise Violation("disagreement: same height, other bytes")

    def replayed(self, genesis: bytes, store: MemoryStore) -> None:
        """Check that executing the log again from genesis gives the same bytes: I8."""
        again = MemoryStore()
        ledger = Ledger(again, verify=self.verify)
        ledger.begin(genesis)
        for height in sorted(store.blocks):
            data = store.stored_commit(height)
            assert data is not None
            row = store.blocks[height]
            entries = store.entries(row.first_sequence, row.log_size)
            block = BlockInput(
                height=height,
                time_ms=row.time_ms,
                transactions=_transactions(entries),
                misbehaviours=_misbehaviours(entries),
            )
            head = ledger.commit(ledger.execute(block), data)
            if head.record_hash != row.record_hash:
                raise Violation(f"a replay of block {height} gives another record")
        if (again.state, again.history, again.log) != (store.state, store.history, store.log):
            raise Violation("a replay gives other bytes")


def state_root(state: Mapping[bytes, bytes]) -> bytes:
    """Return the root of the state tree by its definition, nothing kept (state.md V2, V3)."""
    leaves = []
    for key in sorted(state):
        path, value = sha256(key).digest(), sha256(state[key]).digest()
        leaves.append((int.from_bytes(path, "big"), sha256(b"\x00" + path + value).digest()))
    return _subtree(leaves, 255)


def _subtree(leaves: list[tuple[int, bytes]], bit: int) -> bytes:
    """Return the hash over leaves whose paths agree above a bit."""
    if len(leaves) < 2:
        return leaves[0][1] if leaves else bytes(32)
    left = [leaf for leaf in leaves if not leaf[0] >> bit & 1]
    right = [leaf for leaf in leaves if leaf[0] >> bit & 1]
    return sha256(b"\x01" + _subtree(left, bit - 1) + _subtree(right, bit - 1)).digest()


def _transactions(raw_entries: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the envelopes of a block's entries, decoded without the ledger's own types."""
    decoded = (msgspec.msgpack.decode(raw) for raw in raw_entries)
    return tuple(entry[1] for entry in decoded if entry[0] == "transaction")


def _misbehaviours(raw_entries: Iterable[bytes]) -> tuple[Misbehaviour, ...]:
    decoded = (msgspec.msgpack.decode(raw) for raw in raw_entries)
    records = [entry[1] for entry in decoded if entry[0] == "block"]
    return tuple(
        Misbehaviour(validator=key, kind=kind, height=height, evidence=evidence)
        for record in records
        for key, kind, height, evidence in record[-1]
    )


def _vote_in(message: bytes) -> tuple[str, int, int, bytes]:
    """Return kind, height, round and block (empty for nil) of the bytes a vote signs (M2)."""
    tag_end = 1 + message[0]
    body = msgspec.msgpack.decode(message[tag_end + 4 :])
    _, _, kind, height, round_, block = body
    return kind, height, round_, block[0] if block else NIL


def _place(evidence: Evidence) -> tuple[bytes, int, str]:
    return evidence.validator, evidence.height, evidence.kind
