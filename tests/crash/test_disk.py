"""The disk of the crash images: what it must keep, what it may lose."""

import random
from collections.abc import Iterable

import pytest

from tests.crash.disk import (
    MANNERS,
    SECTOR_BYTES,
    Disk,
    FolderSynced,
    Named,
    Operation,
    Removed,
    Resized,
    Synced,
    Written,
)

NAMED = (Named(name="log", file=1), FolderSynced(folder="."))
SYNCED = Synced(file=1, name="log")
OLD, NEW = b"o" * SECTOR_BYTES, b"n" * SECTOR_BYTES
CUTS = 400


def written(data: bytes, *, offset: int = 0, through: bool = False) -> Written:
    return Written(file=1, offset=offset, data=data, through=through)


def contents(*operations: Operation, in_flight: Operation | None = None) -> set[bytes | None]:
    """Return all contents of ``log`` that many cuts after these operations leave."""
    disk = Disk()
    for operation in operations:
        disk.begin(operation)
        disk.end(operation)
    if in_flight is not None:
        disk.begin(in_flight)
    return {image.get("log") for image in cuts(disk)}


def cuts(disk: Disk) -> Iterable[dict[str, bytes]]:
    dice = random.Random(1)
    return [disk.image(MANNERS[number % len(MANNERS)], dice) for number in range(CUTS)]


def test_what_was_synced_is_always_there() -> None:
    assert contents(*NAMED, written(OLD), SYNCED) == {OLD}


def test_what_was_not_synced_is_there_or_not_by_sectors_or_torn_at_its_end() -> None:
    found = contents(*NAMED, written(OLD + OLD), SYNCED, written(NEW + NEW))
    assert {OLD + OLD, NEW + NEW, NEW + OLD, OLD + NEW} < found
    torn = {one for one in found if one is not None and len(set(one[:SECTOR_BYTES])) == 2}
    assert torn
    assert all(one[SECTOR_BYTES:] == OLD and one.startswith(b"n") for one in torn)


def test_a_file_may_have_grown_by_zeros_where_its_new_sectors_were_lost() -> None:
    found = contents(*NAMED, written(OLD), SYNCED, written(NEW, offset=SECTOR_BYTES))
    assert {OLD, OLD + NEW, OLD + bytes(SECTOR_BYTES)} < found


def test_a_write_through_is_durable_when_it_returns_and_no_other_write_is() -> None:
    through = written(NEW, offset=SECTOR_BYTES, through=True)
    base = (*NAMED, written(OLD + OLD), SYNCED, written(NEW))
    assert {OLD + OLD, OLD + NEW} < contents(*base, in_flight=through)
    found = contents(*base, through)
    assert all(one is not None and one[SECTOR_BYTES:] == NEW for one in found)
    assert {OLD + NEW, NEW + NEW} < found


def test_no_later_write_overtakes_a_change_of_size() -> None:
    found = contents(*NAMED, written(OLD + OLD), SYNCED, Resized(file=1, size=0), written(b"new"))
    assert found == {OLD + OLD, b"", b"n", b"ne", b"new", bytes(3)}


@pytest.mark.parametrize("is_synced", [False, True])
def test_a_name_is_lost_until_its_folder_is_synced(is_synced: bool) -> None:
    operations: list[Operation] = [Named(name="log", file=1), written(OLD), SYNCED]
    if is_synced:
        operations.append(FolderSynced(folder="."))
    assert contents(*operations) == ({OLD} if is_synced else {OLD, None})


def test_a_removed_name_may_come_back_until_its_folder_is_synced() -> None:
    removed = (*NAMED, Removed(name="log"))
    assert contents(*removed) == {b"", None}
    assert contents(*removed, FolderSynced(folder=".")) == {None}


def test_no_file_gets_its_name_with_its_own_sync() -> None:
    disk = Disk()
    for operation in (Named(name="store/data.mdb", file=1), Synced(file=1, name="store/data.mdb")):
        disk.begin(operation)
        disk.end(operation)
    assert any("store/data.mdb" not in image for image in cuts(disk))
