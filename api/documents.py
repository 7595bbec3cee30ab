"""Transaction documents: the one shape in which a transaction's state is told (spec H3)."""

from dataclasses import dataclass

from api.reads import block_of
from ledger.encoding import codec
from ledger.encoding.plain import Plain, plain
from ledger.entries import Entry, TransactionEntry, decode_entry
from ledger.inadmissible import Expired
from ledger.rules.authority import KEYS
from ledger.rules.base import ENVELOPE_BYTES_MAX, Posting
from ledger.status import TransactionStatus, Waiting
from ledger.store.lmdb_store import Snapshot
from ledger.store.rows import BlockRow
from ledger.transactions import Envelope, Transaction, parse, transaction_id
from ledger.view import get
from node.port import Effect
from words import acts, answers
from words.languages import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A transaction that is in the log."""

    sequence: int
    block: BlockRow
    entry: TransactionEntry


def postings_of(postings: tuple[Posting, ...]) -> list[Plain]:
    """Return postings as JSON."""
    return [plain(posting) for posting in postings]


def find_logged(snapshot: Snapshot, transaction_id: bytes, expires_at: int | None) -> Logged | None:
    """Return a transaction if it is in the log; knowing its expiry makes this one read."""
    sequence = None
    if expires_at is not None:
        sequence = snapshot.sequence_of(transaction_id, expires_at)
    if sequence is None:
        sequence = snapshot.find(transaction_id)
    return None if sequence is None else logged_at(snapshot, sequence)


def logged_at(snapshot: Snapshot, sequence: int) -> Logged:
    """Return the transaction that was logged at a sequence number."""
    (data,) = snapshot.entries(sequence, sequence + 1)
    entry = decode_entry(data)
    assert isinstance(entry, TransactionEntry), "the id index names another kind of entry"
    return Logged(sequence=sequence, block=block_of(snapshot, sequence), entry=entry)


def of_logged(
    logged: Logged, transaction: Transaction, node: Plain, spoken: Language
) -> dict[str, Plain]:
    """Return the document of a logged transaction: it is final."""
    return _document(
        transaction.id,
        "final",
        code="ok",
        message=answers.meaning("ok", spoken),
        kind=transaction.kind,
        expires_at=transaction.body.expires_at,
        sequence=logged.sequence,
        height=logged.block.height,
        postings=logged.entry.postings,
        node=node,
    )


def of_status(
    status: TransactionStatus, kind: str | None, node: Plain, spoken: Language
) -> dict[str, Plain]:
    """Return the document of a transaction outside the log, as the node tells it."""
    (sequence,) = status.sequence or (None,)
    (height,) = status.height or (None,)
    return _document(
        status.id,
        status.status,
        code=status.code,
        number=status.number,
        message=sentence_of(status, spoken),
        values=dict(status.values),
        kind=kind,
        expires_at=status.expires_at,
        sequence=sequence,
        height=height,
        node=node,
    )


def sentence_of(told: TransactionStatus | Effect, spoken: Language) -> str:
    """Return why a node takes or would take no transaction, empty if it does."""
    return answers.sentence(told.code, dict(told.values), spoken, otherwise=told.sentence)


def expired(
    transaction_id: bytes, expires_at: int, kind: str | None, node: Plain, spoken: Language
) -> dict[str, Plain]:
    """Return the document of a transaction that can no longer become final."""
    values = Expired(expires_at_ms=expires_at, time_ms=node["time_ms"]).values
    return _document(
        transaction_id,
        "expired",
        code=Expired.code,
        message=answers.sentence(Expired.code, values, spoken),
        values=values,
        kind=kind,
        expires_at=expires_at,
        node=node,
    )


def _document(
    transaction_id: bytes,
    status: str,
    *,
    code: str,
    number: int = 0,
    message: str,
    values: Plain = None,
    kind: str | None,
    expires_at: int,
    sequence: int | None = None,
    height: int | None = None,
    postings: tuple[Posting, ...] = (),
    node: Plain,
) -> dict[str, Plain]:
    return {
        "id": transaction_id.hex(),
        "status": status,
        "code": code,
        "number": number,
        "message": message,
        "values": values or {},
        "kind": kind,
        "expires_at": expires_at,
        "sequence": sequence,
        "height": height,
        "postings": postings_of(postings),
        "node": node,
    }


def listed(
    snapshot: Snapshot,
    sequence: int,
    block: BlockRow,
    entry: TransactionEntry,
    spoken: Language,
) -> dict[str, Plain]:
    """Return a logged transaction decoded: its document, and what was asked by whom."""
    transaction = parse(entry.signed)
    logged = Logged(sequence=sequence, block=block, entry=entry)
    document = of_logged(logged, transaction, None, spoken)
    return {**_decoded(snapshot, document, transaction, spoken), "time_ms": block.time_ms}


def waiting(snapshot: Snapshot, one: Waiting, spoken: Language) -> dict[str, Plain]:
    """Return a transaction that waits on the node, decoded as a logged one."""
    transaction = parse(one.raw)
    document = of_status(one.status, transaction.kind, None, spoken)
    return _decoded(snapshot, document, transaction, spoken)


def _decoded(
    snapshot: Snapshot, document: dict[str, Plain], transaction: Transaction, spoken: Language
) -> dict[str, Plain]:
    """Return a document without the node, and what is asked by whom."""
    del document["node"]
    signers = []
    for key, _ in transaction.signatures:
        who = get(snapshot, KEYS, key.hex())  # a key that died since still names who signed
        assert who is not None, "what a node took in was signed by registered keys"
        signers.append({"party": who.party, "person": who.person})
    return {
        **document,
        "operation": plain(transaction.body.operation),
        "says": acts.in_words(transaction.body.operation, spoken),
        "signers": signers,
    }


def id_of(entry: Entry) -> bytes | None:
    """Return the id of a logged transaction, None for other entries."""
    if not isinstance(entry, TransactionEntry):
        return None
    envelope: Envelope = codec.decode(Envelope, entry.signed, ENVELOPE_BYTES_MAX)
    return transaction_id(envelope.body)
