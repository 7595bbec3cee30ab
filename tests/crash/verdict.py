"""Opens an image with the node's own code and holds what is found against what was promised."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path

from engines.builtin.signer import Refused, create_signer, open_signer
from engines.builtin.wal import open_wal
from ledger.encoding import codec
from ledger.encoding.crypto import sign
from ledger.execute import Execution, Head
from ledger.ledger import Ledger
from ledger.store.lmdb_store import LmdbStore, StoreDamaged
from ledger.store.memory import MemoryStore
from ledger.store.rows import BlockRow, due_row, id_key, party_rows
from tests.crash.images import Image, Promises
from tests.crash.life import BLOCKS, GENESIS, SEED, batches, blocks, certificate, requests, steps
from tests.reference import tiles as naive

EVER = 2**62
UNSET = -1
TABLES = ("state", "history", "log", "blocks", "commits", "ids", "due", "parties", "tiles")

Tables = dict[str, bytes]
"""Hash of every table, by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Where an image stands; ``UNSET`` where there was nothing yet."""

    height: int
    log: tuple[int, int]
    signed: int


def write_image(image: Image, folder: Path) -> None:
    """Put an image into a folder in place of what is there."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.unlink()
    for name, content in image.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


def check(folder: Path, promises: Promises, *, goes_on: bool = False) -> Found:
    """Return where the image in ``folder`` stands; fail unless a node may start from it.

    With ``goes_on`` each part also takes its next step.
    """
    found = Found(
        height=check_store(folder / "store", promises.height, goes_on=goes_on),
        log=check_log(folder, promises.log, goes_on=goes_on),
        signed=check_signer(folder / "signer", promises.signed, goes_on=goes_on),
    )
    # The parts are of one moment: logged before signed (E2), logged before committed.
    assert max(1, found.height) <= max(1, found.log[0]) <= max(0, found.height) + 1
    if found.height > 0:
        assert found.log >= (found.height, len(batches(found.height)))
    if found.signed > 0:
        height = requests()[found.signed - 1].height
        assert found.log >= (height, steps(height).index(requests()[found.signed - 1].step) + 1)
    return found


# The store


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """All of a store at one height."""

    head: Head
    state_root: bytes
    """From the stored pages of the tree and what was written since."""
    tables: Tables


@cache
def twins() -> tuple[Whole, ...]:
    """Return what a store holds at every height, as the naive one has it."""
    twin = MemoryStore()
    ledger = Ledger(twin)
    genesis = ledger.begin(GENESIS)
    executions: list[Execution] = []

    def whole(head: Head) -> Whole:
        tables = tables_of_twin(twin, genesis, executions)
        return Whole(head=head, state_root=twin.state_root(), tables=tables)

    found = [whole(genesis)]
    for block in blocks():
        executions.append(ledger.execute(block))
        found.append(whole(ledger.commit(executions[-1], certificate(block.height))))
    return tuple(found)


def tables_of_twin(twin: MemoryStore, genesis: Head, executions: list[Execution]) -> Tables:
    """Return what an LMDB store should hold, said a second time from the naive one."""
    first = BlockRow(
        height=0,
        time_ms=genesis.time_ms,
        record_hash=genesis.record_hash,
        first_sequence=0,
        log_size=1,
    )
    records = tuple(twin.records())
    due = [row for key, record in records if (row := due_row(key, record)) is not None]
    results = [result for execution in executions for result in execution.results]
    rows: dict[str, dict[bytes, bytes]] = {
        "state": twin.state,
        "history": {key + b"\0" + _u64(number): v for (key, number), v in twin.history.items()},
        "log": {_u64(number): entry for number, entry in enumerate(twin.log)},
        "blocks": {_u64(at): codec.encode(row) for at, row in {0: first, **twin.blocks}.items()},
        "commits": {_u64(height): found for height, found in twin.commits.items()},
        "ids": {id_key(one.id, one.expires_at): _u64(one.sequence) for one in results},
        "due": dict.fromkeys(due, b""),
        "parties": {row: b"" for key, record in records for row in party_rows(key, record)},
        "tiles": {
            bytes([level]) + _u64(index): hashes
            for (level, index), hashes in naive.tiles(twin.log).items()
        },
    }
    return {name: _hash(sorted(rows[name].items())) for name in TABLES}


def tables_of(store: LmdbStore) -> Tables:
    """Return what a store holds."""
    snapshot = store.snapshot
    return {name: _hash(snapshot.scan(name, prefix=b"", limit=EVER)) for name in TABLES}


def check_store(path: Path, promised: int, *, goes_on: bool) -> int:
    """Return the height of a store; fail unless it is whole at the promised one or the next."""
    try:
        store = LmdbStore(path)
    except StoreDamaged:
        # LMDB makes its two meta pages by one write; torn, they are no store, and it says so.
        assert promised == UNSET, "a store that held something does not open"
        return UNSET
    with closing(store):
        head = store.head()
        height = UNSET if head is None else head.height
        assert promised <= height <= promised + 1
        if head is None:
            assert set(tables_of(store).values()) == {_hash(())}
        else:
            check_whole(store, head)
        if goes_on and height < BLOCKS:
            ledger = Ledger(store)
            head = ledger.begin(GENESIS)
            if height >= 0:
                block = blocks()[height]
                head = ledger.commit(ledger.execute(block), certificate(block.height))
            check_whole(store, head)
    return height


def check_whole(store: LmdbStore, head: Head) -> None:
    """Fail unless everything in a store is of its head's height."""
    assert store.head() == head
    assert store.genesis() == GENESIS
    whole = Whole(head=head, state_root=store.state_root(), tables=tables_of(store))
    assert whole == twins()[head.height]


# The write-ahead log


@cache
def log_positions() -> tuple[tuple[int, int], ...]:
    """Return every (height, batches) that a log goes through."""
    positions = [(UNSET, 0), (0, 0)]
    for height in range(1, BLOCKS + 1):
        positions += [(height, count) for count in range(1, len(batches(height)) + 1)]
    return tuple(positions)


def check_log(folder: Path, promised: tuple[int, int], *, goes_on: bool) -> tuple[int, int]:
    """Return where a log stands; fail unless it has all that was synced, and then no half batch."""
    with closing(open_wal(folder)) as log:
        height, records = log.height or 0, log.records
    with closing(open_wal(folder)) as log:
        assert (log.height or 0, log.records) == (height, records), "a torn end is cut off once"
        position = (height, 0)
        rest = records
        while rest:
            batch = batches(height)[position[1]]
            assert rest[: len(batch)] == batch
            position, rest = (height, position[1] + 1), rest[len(batch) :]
        place = log_positions().index(promised)
        # A log that is not there yet and an empty one are read alike.
        assert position in log_positions()[max(place, 1) : place + 2]
        if goes_on and position != log_positions()[-1]:
            next_height, count = log_positions()[log_positions().index(position) + 1]
            batch = batches(next_height)[count - 1]
            if next_height > height:
                log.start_height(next_height)
                records = ()
            for record in batch:
                log.append(record)
            log.sync()
            with closing(open_wal(folder)) as again:
                assert (again.height, again.records) == (next_height, (*records, *batch))
    return position


# The signer


def check_signer(path: Path, promised: int, *, goes_on: bool) -> int:
    """Return how many requests a record knows to be signed; fail unless it never goes back."""
    if not path.exists():
        assert promised == UNSET, "a record that was promised is lost"
        create_signer(path, SEED).close()
        return UNSET
    with closing(open_signer(path, SEED)) as signer:
        last = signer.last
        signed = 0 if last is None else requests().index(last.request) + 1
        assert max(promised, 0) <= signed <= promised + 1
        for old in requests()[max(0, signed - 3) : max(0, signed - 1)]:
            assert isinstance(signer.sign(old), Refused)
        if signed:
            request = requests()[signed - 1]
            assert isinstance(signer.sign(replace(request, message=b"other")), Refused)
            assert signer.sign(request) == sign(SEED, request.message)
        if goes_on and signed < len(requests()):
            assert isinstance(signer.sign(requests()[signed]), bytes)
    return signed


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _hash(rows: Iterable[tuple[bytes, bytes]]) -> bytes:
    digest = sha256()
    for key, value in rows:
        digest.update(b"%d %d " % (len(key), len(value)) + key + value)
    return digest.digest()
