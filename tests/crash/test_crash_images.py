"""Whatever a power cut leaves of a node's files, the node starts from it and keeps its promises."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from mmap import PAGESIZE
from pathlib import Path

import pytest

from engines.builtin.signer import SLOT_BYTES, SignerDamaged, open_signer
from engines.builtin.wal import WalDamaged, open_wal
from ledger.store.lmdb_store import LmdbStore, StoreDamaged
from tests.crash.disk import (
    SECTOR_BYTES,
    Disk,
    FolderSynced,
    Operation,
    Removed,
    Said,
    Synced,
    Written,
)
from tests.crash.hunt import AT_LEAST, finds_a_broken_image, hunt
from tests.crash.images import Image, Promises
from tests.crash.life import BLOCKS, SEED
from tests.crash.recording import can_record, record
from tests.crash.verdict import check, check_store, write_image

LONG = 100_000
STORE = "store/data.mdb"
META_PAGES = 2

pytestmark = pytest.mark.skipif(
    not can_record(), reason="system calls cannot be followed here: no strace, or no ptrace"
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Operation, ...]:
    """What one life of a node did to its disk."""
    return record(tmp_path_factory.mktemp("life"))


def is_meta(operation: Operation) -> bool:
    """Return whether LMDB writes a meta page: the only writes that are durable by themselves."""
    return isinstance(operation, Written) and operation.through


def after(operations: Sequence[Operation]) -> Image:
    """Return what is on disk when all these operations have returned and reached it."""
    disk = Disk()
    for operation in operations:
        disk.begin(operation)
        disk.end(operation)
    return disk.image("everything", random.Random(0))


def test_the_recording_is_of_a_whole_life(recorded: tuple[Operation, ...], tmp_path: Path) -> None:
    promises = Promises()
    for operation in recorded:
        if isinstance(operation, Said):
            promises = promises.heard(operation.line)
    assert promises.height == BLOCKS
    synced = {operation.name for operation in recorded if isinstance(operation, Synced)}
    assert synced == {STORE, "wal.0", "wal.1", "signer", "signer.new"}
    assert sum(map(is_meta, recorded)) > BLOCKS, "one for each commit, and the making of tables"
    write_image(after(recorded), tmp_path)
    found = check(tmp_path, promises)
    assert (found.height, found.log, found.signed) == (BLOCKS, promises.log, promises.signed)


def check_hunt(operations: tuple[Operation, ...], at_least: int, seed: int) -> None:
    """Assert that every image keeps the promises, and that all kinds of images were met."""
    counts = hunt(operations, at_least=at_least, dice=random.Random(seed))
    print(f"seed {seed}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    assert counts["images"] >= at_least
    assert min(counts.values()) > 0, "nothing was left out"


def test_every_image_opens_at_the_last_promise_or_the_next(
    recorded: tuple[Operation, ...],
) -> None:
    check_hunt(recorded, AT_LEAST, seed=1)


@pytest.mark.long
def test_a_hundred_thousand_images_open_at_the_last_promise_or_the_next(
    recorded: tuple[Operation, ...],
) -> None:
    check_hunt(recorded, LONG, seed=random.SystemRandom().randrange(2**32))


# Negative controls: a missing sync is found, so the hunt can fail


def without(is_dropped: Callable[[Operation], bool]) -> Callable[..., list[Operation]]:
    return lambda operations: [one for one in operations if not is_dropped(one)]


def without_one_sync_of_the_store(operations: Sequence[Operation]) -> list[Operation]:
    """Leave out the one sync before the first meta page after the twentieth commit."""
    late = operations.index(Said(line="commit 20"))
    first = next(
        place
        for place, one in enumerate(operations)
        if place > late and isinstance(one, Synced) and one.name == STORE
    )
    return [*operations[:first], *operations[first + 1 :]]


def with_lazy_meta_pages(operations: Sequence[Operation]) -> list[Operation]:
    return [replace(one, through=False) if isinstance(one, Written) else one for one in operations]


BREAKS: dict[str, Callable[[Sequence[Operation]], list[Operation]]] = {
    "one sync of a commit": without_one_sync_of_the_store,
    "O_DSYNC on the meta pages": with_lazy_meta_pages,
    "the syncs of the log": without(
        lambda one: isinstance(one, Synced) and one.name.startswith("wal.")
    ),
    "the syncs of the signer": without(
        lambda one: isinstance(one, Synced) and one.name == "signer"
    ),
    "the syncs of the signer's draft": without(
        lambda one: isinstance(one, Synced) and one.name == "signer.new"
    ),
    "the syncs of the folder for the log": lambda operations: [
        one
        for place, one in enumerate(operations)
        if not (isinstance(one, FolderSynced) and place > operations.index(Said(line="signed 0")))
    ],
    "all syncs of the folder": without(lambda one: isinstance(one, FolderSynced)),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_broken_image_is_found_without(
    what: str, recorded: tuple[Operation, ...], tmp_path: Path
) -> None:
    broken = BREAKS[what](recorded)
    assert broken != list(recorded)
    assert finds_a_broken_image(broken, tmp_path, seed=1)


def test_a_store_that_is_not_durable_leaves_a_broken_image(tmp_path: Path) -> None:
    operations = record(tmp_path, durable=False)
    assert not any(map(is_meta, operations))
    assert finds_a_broken_image(operations, tmp_path, seed=1)


def test_no_broken_image_is_found_where_nothing_is_left_out(
    recorded: tuple[Operation, ...], tmp_path: Path
) -> None:
    few = recorded[: recorded.index(Said(line="commit 6"))]
    assert not finds_a_broken_image(few, tmp_path, seed=1, at_least=200)


# Torn ends are mended; any other damage stops with a clear message


def test_a_torn_meta_page_falls_back_to_the_older_one(
    recorded: tuple[Operation, ...], tmp_path: Path
) -> None:
    pages = []
    for height in (20, 21, 22):
        end = recorded.index(Said(line=f"commit {height}"))
        place = max(place for place in range(end) if is_meta(recorded[place]))
        meta = recorded[place]
        assert isinstance(meta, Written)
        assert meta.offset // SECTOR_BYTES == (meta.offset + len(meta.data) - 1) // SECTOR_BYTES
        pages.append(meta.offset // PAGESIZE)
        before = after(recorded[:place])
        heights = []
        for size in range(len(meta.data) + 1):
            content = bytearray(before[STORE])
            content[meta.offset : meta.offset + size] = meta.data[:size]
            write_image({STORE: bytes(content)}, tmp_path)
            heights.append(check_store(tmp_path / "store", height - 1, goes_on=False))
        assert heights == sorted(heights), "its number is the last thing in it"
        assert (heights[0], heights[-1]) == (height - 1, height)
    assert set(pages) == {0, 1}, "both pages were torn"


@pytest.mark.parametrize("page", range(META_PAGES))
def test_a_store_with_a_damaged_meta_page_stops(
    page: int, recorded: tuple[Operation, ...], tmp_path: Path
) -> None:
    image = after(recorded)
    content = bytearray(image[STORE])
    content[page * PAGESIZE : page * PAGESIZE + SECTOR_BYTES] = bytes(SECTOR_BYTES)
    write_image({STORE: bytes(content)}, tmp_path)
    with pytest.raises(StoreDamaged, match="move it away and start again"):
        LmdbStore(tmp_path / "store")


def test_a_lost_sector_before_the_last_batch_of_a_log_stops_and_says_where(
    recorded: tuple[Operation, ...], tmp_path: Path
) -> None:
    image = after(recorded)
    name = f"wal.{BLOCKS % 2}"
    *_, last = (one for one in recorded if isinstance(one, Written) and one.data in image[name])
    lost = 0
    for start in range(0, last.offset - SECTOR_BYTES + 1, SECTOR_BYTES):
        content = bytearray(image[name])
        content[start : start + SECTOR_BYTES] = bytes(SECTOR_BYTES)
        write_image({**image, name: bytes(content)}, tmp_path)
        with pytest.raises(WalDamaged, match=f"{name} is damaged at byte") as damage:
            open_wal(tmp_path)
        assert damage.value.offset < start + SECTOR_BYTES
        lost += 1
    assert lost > 2


def test_a_signer_without_a_whole_slot_stops(
    recorded: tuple[Operation, ...], tmp_path: Path
) -> None:
    image = after(recorded)
    for start in (0, SLOT_BYTES):
        content = bytearray(image["signer"])
        content[start] ^= 1
        write_image({"signer": bytes(content)}, tmp_path)
        open_signer(tmp_path / "signer", SEED).close()
    content[0] ^= 1
    write_image({"signer": bytes(content)}, tmp_path)
    with pytest.raises(SignerDamaged, match="both slots"):
        open_signer(tmp_path / "signer", SEED)


def test_a_signer_whose_record_is_gone_stops(
    recorded: tuple[Operation, ...], tmp_path: Path
) -> None:
    assert any(isinstance(one, Removed) and one.name == "signer.new" for one in recorded)
    write_image({}, tmp_path)
    with pytest.raises(SignerDamaged, match="missing"):
        open_signer(tmp_path / "signer", SEED)
