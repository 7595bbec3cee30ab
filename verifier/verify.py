"""Checks an exported ledger without executing it: structure, Merkle trees, signatures.

One pass over entries and commits, a block at a time. What is kept besides is bounded by the members
and by the transactions that have not expired, never by the length of the log.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verifier import files, tree
from verifier.blocks import (
    CLOSING,
    ENTRIES_MAX,
    LAST_MOMENT_MS,
    Entry,
    Genesis,
    Record,
    Transaction,
    decode_closing,
    decode_entry,
    decode_genesis,
    decode_transaction,
    is_ascending,
)
from verifier.commits import FAMILIES, FIRST_ENGINE
from verifier.dump import COSIGNED, SIGNED, Checkpoint, Tiles
from verifier.files import Source
from verifier.finding import FileDamaged, Finding, Level
from verifier.kinds import BLOCK_BYTES_MAX
from verifier.members import KNOWN_RULES, Members
from verifier.signatures import holds
from verifier.tree import EMPTY_ROOT, Tree
from verifier.wire import Malformed, tagged_hash

HOUR_MS = 3_600_000
ROOT_EVERY_MS = 5_000
ROOT_LAG_MS = 2_000
"""B7."""
ENTRIES_BYTES_MAX = 8 * BLOCK_BYTES_MAX
"""Of one block: its envelopes have at most BLOCK_BYTES_MAX, its postings far less than the rest."""

NOT_ASKED = {
    Level.STRUCTURE: "No hash and no signature was looked at.",
    Level.MERKLE: "No signature and no header was looked at.",
    Level.SIGNATURES: "No rule was executed.",
}
NOT_KNOWN = (
    "Whether each key may sign for its party, whether postings are what the rules give, "
    "and what changes roots and state roots stand for, only execution tells."
)
"""What no level here can say; validators with a quorum say it, and replay recomputes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What holds. Nothing beyond it was looked at."""

    level: Level
    log_id: bytes
    height: int
    """Of the last record."""
    time_ms: int
    record_hash: bytes
    """After the last record; as the records claim at structure level."""
    log_size: int
    log_root: bytes | None
    """Of all entries; none at structure level."""
    records: int
    transactions: int
    commits: int
    """Heights whose commits were checked."""
    unverifiable: tuple[str, ...]
    """Sentences about what could not be checked although it was asked for."""
    not_asked: tuple[str, ...]
    """Sentences about what this level does not look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The entries of a block, decoded."""

    first: int
    """Sequence number of its first entry."""
    automatic: bool
    entries: tuple[Entry, ...]
    """Its transactions' entries."""
    transactions: tuple[Transaction, ...]
    record: Record

    @property
    def closing(self) -> int:
        """Return the sequence number of the closing entry."""
        return self.first + self.automatic + len(self.entries)

    @property
    def envelopes(self) -> tuple[bytes, ...]:
        """Return the transactions as received."""
        return tuple(entry.content for entry in self.entries)

    @property
    def writes(self) -> bool:
        """Return whether it writes state."""
        return self.automatic or bool(self.entries) or bool(self.record.misbehaviours)


def verify(folder: Path, log_id: bytes, level: Level) -> Report:
    """Return what holds of an export or a dump; raise Finding at the first thing that does not."""
    try:
        source = files.open_source(folder)
    except FileDamaged as damage:
        raise Finding(height=0, sequence=None, field=damage.path, reason=damage.reason) from None
    tiles = Tiles(folder) if source.checkpoint is not None else None
    genesis, log = _begin(source, tiles, log_id, level)
    commits = FAMILIES[FIRST_ENGINE](log_id, genesis.time_ms, source.commits, level)
    unverifiable = []
    for first, raws in _blocks(source.entries, log):
        record = log.record(first, raws)
        version = log.members.rules_version(record.height)
        if version != KNOWN_RULES:
            unverifiable.append(
                f"From height {record.height} on, rules of version {version} hold, which this "
                "verifier does not know: nothing from there on was checked."
            )
            break
        block = log.decode(first, raws[:-1], record)
        log.check(block, raws)
        record_hash = record.record_hash()
        commits.through(record, record_hash, block.envelopes, log.members)
        log.follow(block, record_hash)
    else:
        commits.finish(log.members)
        if source.checkpoint is not None:
            unverifiable += log.check_checkpoint(source.checkpoint)
    if log.members.engine_ends_at is not None and log.members.engine_ends_at <= log.height:
        unverifiable.append(
            f"From height {log.members.engine_ends_at} on, another engine decides: "
            "who signed its blocks is not checked here."
        )
    return log.report(commits.height, tuple(unverifiable))


def _begin(
    source: Source, tiles: Tiles | None, log_id: bytes, level: Level
) -> tuple[Genesis, "_Log"]:
    """Return genesis and a log that has its entry; raise Finding."""

    def wrong(field: str, reason: str) -> Finding:
        return Finding(height=0, sequence=0, field=field, reason=reason)

    raw = _next(source.entries, height=0, sequence=0)
    if raw is None:
        raise wrong("file", "the log is empty")
    field = "entry"
    try:
        entry = decode_entry(raw)
        field = "genesis"
        data = entry.content if source.genesis is None else source.genesis
        genesis = decode_genesis(data)
    except Malformed as error:
        raise wrong(error.path or field, error.reason) from None
    if entry != Entry(kind="genesis", content=data):
        raise wrong("genesis", "entry 0 is not the genesis given")
    if level.includes(Level.MERKLE) and tagged_hash("tallystick/genesis/v1", data) != log_id:
        raise wrong("log_id", "it is of another genesis")
    return genesis, _Log(genesis, raw, tiles, log_id, level)


def _next(entries: Iterator[bytes], *, height: int, sequence: int) -> bytes | None:
    try:
        return next(entries, None)
    except FileDamaged as damage:
        raise Finding(
            height=height, sequence=sequence, field=damage.path, reason=damage.reason
        ) from None


def _blocks(entries: Iterator[bytes], log: "_Log") -> Iterator[tuple[int, list[bytes]]]:
    """Yield each block's first sequence number and its entries, the closing one last."""
    sequence = 1
    while True:
        raws: list[bytes] = []
        size = 0
        while not raws or not raws[-1].startswith(CLOSING):
            place = sequence + len(raws)
            raw = _next(entries, height=log.height + 1, sequence=place)
            if raw is None and not raws:
                return
            if raw is None:
                reason = "the log ends inside a block"
            elif len(raws) == ENTRIES_MAX or size > ENTRIES_BYTES_MAX:
                reason = "more than a block can have"
            else:
                raws.append(raw)
                size += len(raw)
                continue
            raise Finding(height=log.height + 1, sequence=place, field="block", reason=reason)
        yield sequence, raws
        sequence += len(raws)


class _Log:
    """What the entries so far add up to."""

    def __init__(
        self, genesis: Genesis, raw: bytes, tiles: Tiles | None, log_id: bytes, level: Level
    ) -> None:
        """Begin with the entry of genesis."""
        self.members = Members(genesis)
        self.height = 0
        self._log_id = log_id
        self._level = level
        self._network = genesis.network
        self._time_ms = genesis.time_ms
        self._record_hash = log_id
        self._tree = Tree()
        self._tiles = tiles
        self._size = 0
        self._ids: dict[int, set[bytes]] = {}
        """Logged ids that have not expired, by hour of expiry (S4)."""
        self._cuts = {_cut_of(genesis.time_ms): 0}
        """Cuts whose root no record has yet, with the last height that wrote for them (B7)."""
        self._records = self._transactions = 0
        self._append(raw, height=0)

    def record(self, first: int, raws: list[bytes]) -> Record:
        """Return the record that closes a block; raise Finding."""
        try:
            return decode_closing(raws[-1])
        except Malformed as error:
            raise Finding(
                height=self.height + 1,
                sequence=first + len(raws) - 1,
                field=error.path or "block",
                reason=error.reason,
            ) from None

    def decode(self, first: int, raws: list[bytes], record: Record) -> Block:
        """Return a block of canonical entries that stand where they may; raise Finding."""
        automatic = False
        entries, transactions = [], []
        for sequence, raw in enumerate(raws, start=first):
            field = "entry"
            try:
                entry = decode_entry(raw)
                if entry.kind == "automatic" and sequence == first:
                    automatic = True
                    continue
                if entry.kind != "transaction":
                    raise Malformed("it stands where no such entry may", entry.kind)
                field = "envelope"
                transactions.append(decode_transaction(entry.content))
                entries.append(entry)
            except Malformed as error:
                raise Finding(
                    height=record.height,
                    sequence=sequence,
                    field=error.path or field,
                    reason=error.reason,
                ) from None
        return Block(
            first=first,
            automatic=automatic,
            entries=tuple(entries),
            transactions=tuple(transactions),
            record=record,
        )

    def check(self, block: Block, raws: list[bytes]) -> None:
        """Check a block against all before it; raise Finding."""
        self._check_header(block)
        self._check_transactions(block)
        for raw in raws[:-1]:
            self._append(raw, height=block.record.height)
        if self._level.includes(Level.MERKLE):
            self._check_hashes(block)
        self._append(raws[-1], height=block.record.height)
        if self._level.includes(Level.SIGNATURES):
            _check_signatures(block)

    def follow(self, block: Block, record_hash: bytes) -> None:
        """Go on after a block whose commit was checked; raise Finding.

        What the record says of the time after its block can be compared only then.
        """
        record = block.record
        self.members.follow(record, [done.operation for done in block.transactions])
        if self._level.includes(Level.MERKLE):
            if record.validators_hash != self.members.validators_hash():
                raise _wrong(block, "validators_hash", "not that of the set that members chose")
            if record.parameters_hash != self.members.parameters_hash():
                raise _wrong(block, "parameters_hash", "not that of the parameters in force")
        self.height, self._time_ms, self._record_hash = record.height, record.time_ms, record_hash
        if record.state_root:  # below the level of hashes there may be one too many
            self._cuts.pop(min(self._cuts, default=0), None)
        if block.writes:
            self._cuts[_cut_of(record.time_ms)] = record.height
        self._records += 1
        self._transactions += len(block.entries)
        for hour in [hour for hour in self._ids if (hour + 1) * HOUR_MS <= record.time_ms]:
            del self._ids[hour]

    def report(self, commits: int, unverifiable: tuple[str, ...]) -> Report:
        """Return what holds so far."""
        hashed = self._level.includes(Level.MERKLE)
        return Report(
            level=self._level,
            log_id=self._log_id,
            height=self.height,
            time_ms=self._time_ms,
            record_hash=self._record_hash,
            log_size=self._size,
            log_root=self._tree.root() if hashed else None,
            records=self._records,
            transactions=self._transactions,
            commits=commits,
            unverifiable=unverifiable,
            not_asked=(NOT_ASKED[self._level], NOT_KNOWN),
        )

    def check_checkpoint(self, checkpoint: Checkpoint) -> list[str]:
        """Check the head of a dump; return what can't be verified of it; raise Finding."""

        def wrong(field: str, reason: str) -> Finding:
            return Finding(height=self.height, sequence=None, field=field, reason=reason)

        if self._level.includes(Level.MERKLE):
            if checkpoint.origin != f"tallystick.log/{self._network}/{self._log_id.hex()}":
                raise wrong("checkpoint.origin", "another log's")
            if checkpoint.root != self._tree.root():
                raise wrong("checkpoint.root", "not that of the entries")
            assert self._tiles is not None, "whoever has a checkpoint has tiles"
            try:
                self._tiles.finish()
            except FileDamaged as damage:
                raise wrong(damage.path, damage.reason) from None
        if not self._level.includes(Level.SIGNATURES):
            return []
        signed = 0
        # A key that acts no more, or not yet, may have signed the last checkpoint.
        sets = (self.members.acting(self.height + ahead) for ahead in (0, 2))
        for party, (_, log, cosigner, _, _) in sorted(
            {validator for acting in sets for validator in acting}
        ):
            by_log = checkpoint.signed_by(checkpoint.origin, log, SIGNED)
            if by_log is False or checkpoint.signed_by(None, cosigner, COSIGNED) is False:
                raise wrong("checkpoint.signatures", f"that of {party} does not verify")
            signed += by_log is True
        return [] if signed else ["No log key of a validator signed the checkpoint."]

    def _append(self, raw: bytes, *, height: int) -> None:
        self._size += 1
        if not self._level.includes(Level.MERKLE):
            return
        leaf = self._tree.append(raw)
        try:
            if self._tiles is not None:
                self._tiles.append(leaf)
        except FileDamaged as damage:
            raise Finding(
                height=height, sequence=self._size - 1, field=damage.path, reason=damage.reason
            ) from None

    def _check_header(self, block: Block) -> None:
        """Check what B3.1, B4 and B5 say of a record without a hash."""
        record = block.record
        known = self.members.rules_version(record.height)
        order = [(key, height, kind) for key, kind, height, _ in record.misbehaviours]
        wrongs = (
            (record.log_id != self._log_id, "log_id", "another ledger's"),
            (record.height <= self.height, "height", "not above that of the record before"),
            (record.time_ms <= self._time_ms, "time_ms", "not above that of the record before"),
            (record.time_ms > LAST_MOMENT_MS, "time_ms", "after the last moment"),
            (record.log_size != block.closing, "log_size", f"expected {block.closing}"),
            (record.rules_version != known, "rules_version", f"expected {known}"),
            (not is_ascending(order), "misbehaviours", "they do not ascend"),
            (
                not (block.writes or block.entries or record.state_root),
                "height",
                "a record of nothing",
            ),
        )
        for is_wrong, field, reason in wrongs:
            if is_wrong:
                raise _wrong(block, field, reason)
        misbehaviour = self.members.wrong_misbehaviour(record)
        if misbehaviour is not None:
            raise _wrong(block, "misbehaviours", misbehaviour)

    def _check_transactions(self, block: Block) -> None:
        """Check what B3.2 and B3.3 ask before any signature and rule."""
        ahead_ms, _, bytes_max, transactions_max, rows_max, *_ = self.members.parameters
        time_ms = block.record.time_ms
        rows = 0
        for position, transaction in enumerate(block.transactions):
            sequence = block.first + block.automatic + position
            ids = self._ids.setdefault(transaction.expires_at // HOUR_MS, set())
            rows += transaction.rows()
            wrongs = (
                (transaction.log_id != self._log_id, "log_id", "another ledger's"),
                (transaction.expires_at <= time_ms, "expires_at", "over before the block"),
                (transaction.expires_at > time_ms + ahead_ms, "expires_at", "too far ahead"),
                (transaction.id in ids, "id", "logged before"),
                (rows > rows_max, "rows", f"more than {rows_max} in the block"),
            )
            for is_wrong, field, reason in wrongs:
                if is_wrong:
                    raise Finding(
                        height=block.record.height, sequence=sequence, field=field, reason=reason
                    )
            ids.add(transaction.id)
        if len(block.transactions) > transactions_max:
            raise _wrong(block, "transactions", f"more than {transactions_max}")
        if sum(map(len, block.envelopes)) > bytes_max:
            raise _wrong(block, "transactions", f"more than {bytes_max} bytes")

    def _check_hashes(self, block: Block) -> None:
        record = block.record
        wrongs = (
            (record.previous != self._record_hash, "previous", "not the hash of the record before"),
            (
                record.transactions_root != tree.root_of(block.envelopes),
                "transactions_root",
                "not that of the envelopes",
            ),
            (record.log_root != self._tree.root(), "log_root", "not that of the entries before"),
            (
                block.writes == (record.changes_root == EMPTY_ROOT),
                "changes_root",
                "expected changes, found none" if block.writes else "expected no changes",
            ),
        )
        for is_wrong, field, reason in wrongs:
            if is_wrong:
                raise _wrong(block, field, reason)
        cut = min(self._cuts, default=None)
        is_due = cut is not None and record.time_ms >= cut + ROOT_LAG_MS
        due = self._cuts[cut] if cut is not None and is_due else None
        if due is None and record.state_root:
            raise _wrong(block, "state_root", "none is due")
        if due is not None and not record.state_root:
            raise _wrong(block, "state_root", "it is due and missing")
        if due is not None and record.state_root[0][1] != due:
            raise _wrong(block, "state_root", f"expected that after height {due}")


def _cut_of(time_ms: int) -> int:
    """Return the cut for which a record of this time writes (B7)."""
    return time_ms - time_ms % ROOT_EVERY_MS + ROOT_EVERY_MS


def _check_signatures(block: Block) -> None:
    for position, transaction in enumerate(block.transactions):
        message = transaction.signed()
        for number, (key, signature) in enumerate(transaction.signatures):
            if not holds(key, message, signature):
                raise Finding(
                    height=block.record.height,
                    sequence=block.first + block.automatic + position,
                    field=f"signatures.{number}",
                    reason="does not verify",
                )


def _wrong(block: Block, field: str, reason: str) -> Finding:
    return Finding(
        height=block.record.height,
        sequence=block.closing,
        field=f"record.{field}",
        reason=reason,
    )
