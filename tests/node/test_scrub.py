"""Every row of a store that rots is found by the scrub, and named (N11)."""

from pathlib import Path
from random import Random

import lmdb
import pytest

from ledger.ledger import Ledger
from ledger.store.lmdb_store import LmdbStore
from node.scrub import ROWS_A_STEP, Scrub, StoreRotten
from tests import builders
from tests.builders import Chain
from tests.decided import DecidedChain

SEED = 20261
FLIPS = 300
MAP_BYTES = 2**26
HASHED = ("state", "history", "log", "blocks", "commits", "ids", "due", "parties", "tree", "tiles")


def life(path: Path) -> Path:
    """Return the folder of a store with a few blocks, some with state roots, and three tiles."""
    store = LmdbStore(path, map_bytes=MAP_BYTES)
    made = DecidedChain(Chain(ledger=Ledger(store)))
    made.block(builders.publish(), builders.enrol("firm-a"), builders.enrol("firm-b"))
    made.block(builders.accredit(), builders.appropriate(), builders.recognise())
    for amount in range(1, 40):
        raws = [builders.mint(("firm-a", amount), ("firm-b", one)) for one in range(1, 7)]
        made.block(*raws, after_ms=700)
    made.block(after_ms=100)
    store.close()
    return path


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return life(tmp_path_factory.mktemp("sound"))


def rows_of(path: Path) -> dict[str, dict[bytes, bytes]]:
    """Return every row of a store."""
    with lmdb.open(str(path), max_dbs=16, map_size=MAP_BYTES, lib_version=0) as environment:
        databases = {name: environment.open_db(name.encode()) for name in HASHED}
        with environment.begin() as snapshot:
            return {name: dict(snapshot.cursor(one)) for name, one in databases.items()}


def changed(
    path: Path, name: str, key: bytes, value: bytes | None, new_key: bytes | None = None
) -> None:
    """Put another row in the place of one, or none."""
    with lmdb.open(str(path), max_dbs=16, map_size=MAP_BYTES, lib_version=0) as environment:
        database = environment.open_db(name.encode())
        with environment.begin(write=True) as writing:
            if value is None or new_key is not None:
                writing.delete(key, db=database)
            if value is not None:
                writing.put(key if new_key is None else new_key, value, db=database)


def scrubbed(path: Path) -> str:
    """Return what the scrub finds in one pass over a store; empty if nothing."""
    store = LmdbStore(path, map_bytes=MAP_BYTES)
    scrub = Scrub()
    try:
        while not scrub.passes:
            scrub.step(store.snapshot)
    except StoreRotten as rotten:
        return str(rotten)
    finally:
        store.close()
    return ""


def flipped(data: bytes, dice: Random) -> bytes:
    at = dice.randrange(8 * len(data))
    changed_byte = data[at // 8] ^ 1 << at % 8
    return data[: at // 8] + bytes([changed_byte]) + data[at // 8 + 1 :]


def test_a_sound_store_passes_again_and_again_while_it_grows(tmp_path: Path) -> None:
    store = LmdbStore(life(tmp_path), map_bytes=MAP_BYTES)
    scrub, steps = Scrub(), 0
    while scrub.passes < 3:
        scrub.step(store.snapshot)
        steps += 1
    assert steps > 3 * len(rows_of_snapshot(store)) // ROWS_A_STEP
    store.close()


def rows_of_snapshot(store: LmdbStore) -> list[bytes]:
    return [key for key, _ in store.snapshot.scan("history", prefix=b"", limit=10**6)]


@pytest.mark.parametrize("name", HASHED)
def test_a_flipped_bit_is_found_wherever_it_is(name: str, sound: Path, tmp_path: Path) -> None:
    rows, dice = rows_of(sound)[name], Random(f"{SEED}/{name}")
    if name == "history":  # of an older version nothing but its form is checked
        rows = {key: rows[key] for key in {key[:-9]: key for key in sorted(rows)}.values()}
    copy = tmp_path / "copy"
    data = (sound / "data.mdb").read_bytes()
    found = 0
    for _ in range(FLIPS // len(HASHED)):
        key = dice.choice(sorted(rows))
        copy.mkdir(exist_ok=True)
        (copy / "data.mdb").write_bytes(data)
        if rows[key] and dice.random() < 0.7:
            changed(copy, name, key, flipped(rows[key], dice))
        else:
            changed(copy, name, key, rows[key], flipped(key, dice))
        sentence = scrubbed(copy)
        assert "the store is damaged" in sentence, (name, key, rows[key])
        found += 1
    assert found == FLIPS // len(HASHED)


@pytest.mark.parametrize("name", HASHED)
def test_a_lost_row_is_found(name: str, sound: Path, tmp_path: Path) -> None:
    stored, dice = rows_of(sound), Random(f"{SEED}/lost/{name}")
    rows = list(stored[name])
    if name == "history":  # a version that its own block overwrote is under no hash
        rows = [key + b"\x00" + value[:8] for key, value in stored["state"].items()]
    key = dice.choice(sorted(rows))
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "data.mdb").write_bytes((sound / "data.mdb").read_bytes())
    changed(copy, name, key, None)
    assert "the store is damaged" in scrubbed(copy), key
