"""The write-ahead log against every way a crash can leave its files."""

import zlib
from itertools import product
from pathlib import Path

import pytest

from engines.builtin.wal import RECORD_BYTES_MAX, WalDamaged, WriteAheadLog, open_wal


class FakeFile:
    """A file whose unsynced writes are lost, or kept in part, when the power fails."""

    def __init__(self, name: str, durable: bytes = b"") -> None:
        self.name = name
        self.durable = durable
        self.content = durable
        self.syncs = 0

    def append(self, data: bytes) -> None:
        self.content += data

    def sync(self) -> None:
        self.durable = self.content
        self.syncs += 1

    def read_all(self) -> bytes:
        return self.content

    def truncate(self, size: int) -> None:
        self.content = self.content[:size]

    def close(self) -> None:
        pass

    def after_crash(self) -> "FakeFile":
        return FakeFile(self.name, self.durable)


def fake_files() -> tuple[FakeFile, FakeFile]:
    return FakeFile("wal.0"), FakeFile("wal.1")


def written(*batches: list[bytes], height: int = 7) -> tuple[FakeFile, FakeFile]:
    """Files in which each batch was made durable by one sync; the log is in the second file."""
    files = fake_files()
    log = WriteAheadLog(files)
    log.start_height(height)
    log.sync()
    for batch in batches:
        for record in batch:
            log.append(record)
        log.sync()
    return files


def frame_at_zero(body: bytes) -> bytes:
    """The format of the module's docstring, written a second time."""
    length = len(body).to_bytes(4, "big")
    checks = [zlib.crc32(bytes(8) + length), zlib.crc32(body)]
    return length + b"".join(check.to_bytes(4, "big") for check in checks) + body


def test_the_bytes_of_a_frame_are_as_documented() -> None:
    record = b"tallystick-wal-1" + (7).to_bytes(8, "big")
    assert written()[1].durable == frame_at_zero(len(record).to_bytes(4, "big") + record)


def test_records_come_back_in_order_after_a_restart() -> None:
    files = written([b"proposal", b"vote"], [b""], [b"timeout"])
    log = WriteAheadLog([file.after_crash() for file in files])
    assert (log.height, log.records) == (7, (b"proposal", b"vote", b"", b"timeout"))


def test_a_reopened_log_goes_on_where_it_was() -> None:
    files = written([b"one"])
    log = WriteAheadLog(files)
    log.append(b"two")
    log.sync()
    assert WriteAheadLog(files).records == (b"one", b"two")


def test_what_was_not_synced_is_lost_and_nothing_else() -> None:
    files = written([b"one"])
    log = WriteAheadLog(files)
    log.append(b"two")
    assert WriteAheadLog([file.after_crash() for file in files]).records == (b"one",)


def test_a_sync_without_news_does_not_touch_the_disk() -> None:
    files = written([b"one"])
    log = WriteAheadLog(files)
    before = files[1].syncs
    log.sync()
    assert files[1].syncs == before
    log.append(b"two")
    log.append(b"three")
    log.sync()
    assert files[1].syncs == before + 1, "one sync for all that waits"


def test_every_cut_of_the_file_gives_a_whole_number_of_batches() -> None:
    batches = [[b"a" * 5, b"b"], [b"c" * 20], [b"d"]]
    ends: list[int] = [0]
    prefixes: list[tuple[bytes, ...]] = [()]
    for count in range(len(batches) + 1):
        ends.append(len(written(*batches[:count])[1].durable))
        prefixes.append(tuple(record for batch in batches[:count] for record in batch))
    data = written(*batches)[1].durable
    for size in range(len(data) + 1):
        files = (FakeFile("wal.0"), FakeFile("wal.1", data[:size]))
        log = WriteAheadLog(files)
        whole = max(index for index, end in enumerate(ends) if end <= size)
        assert log.records == prefixes[whole]
        assert log.height == (7 if whole else None)
        assert len(files[1].durable) == ends[whole], "the torn end is cut off, durably"
    assert size == len(data) > 100


def test_a_log_whose_torn_end_was_cut_can_be_written_again() -> None:
    files = written([b"one"], [b"torn"])
    torn = (files[0], FakeFile("wal.1", files[1].durable[:-1]))
    log = WriteAheadLog(torn)
    log.append(b"two")
    log.sync()
    assert WriteAheadLog([file.after_crash() for file in torn]).records == (b"one", b"two")


def test_every_flipped_bit_before_the_last_batch_stops_the_node() -> None:
    last = len(written([b"one"])[1].durable)
    data = written([b"one"], [b"two", b"three"])[1].durable
    for offset, bit in product(range(last), range(8)):
        flipped = bytearray(data)
        flipped[offset] ^= 1 << bit
        with pytest.raises(WalDamaged) as damage:
            WriteAheadLog((FakeFile("wal.0"), FakeFile("wal.1", bytes(flipped))))
        assert damage.value.name == "wal.1"
        assert damage.value.offset <= offset


def test_every_flipped_bit_in_the_last_batch_costs_that_batch_alone() -> None:
    last = len(written([b"one"])[1].durable)
    data = written([b"one"], [b"two", b"three"])[1].durable
    for offset, bit in product(range(last, len(data)), range(8)):
        flipped = bytearray(data)
        flipped[offset] ^= 1 << bit
        log = WriteAheadLog((FakeFile("wal.0"), FakeFile("wal.1", bytes(flipped))))
        assert log.records == (b"one",)


def test_a_record_that_looks_like_a_frame_does_not_hide_a_torn_end() -> None:
    inner = written([b"inner"])[1].durable
    data = written([b"one"], [inner])[1].durable
    log = WriteAheadLog((FakeFile("wal.0"), FakeFile("wal.1", data[:-1])))
    assert log.records == (b"one",)


def test_zeros_at_the_end_are_a_torn_end() -> None:
    data = written([b"one"])[1].durable
    log = WriteAheadLog((FakeFile("wal.0"), FakeFile("wal.1", data + bytes(4096))))
    assert log.records == (b"one",)


def test_a_new_height_empties_the_log() -> None:
    files = written([b"old"])
    log = WriteAheadLog(files)
    log.start_height(8)
    log.append(b"new")
    log.sync()
    again = WriteAheadLog([file.after_crash() for file in files])
    assert (again.height, again.records) == (8, (b"new",))


def test_a_crash_while_a_height_starts_leaves_the_old_log_or_the_new_one() -> None:
    old = written([b"old"])[1].durable
    started = written([b"older"], height=6)
    new_files = (FakeFile("wal.0"), FakeFile("wal.1", old))
    log = WriteAheadLog(new_files)
    log.start_height(8)
    log.append(b"new")
    log.sync()
    new = new_files[0].durable
    # Truncated or not, with any part of the first write on disk.
    leftovers = [started[1].durable, *(new[:size] for size in range(len(new)))]
    for leftover in leftovers:
        log = WriteAheadLog((FakeFile("wal.0", leftover), FakeFile("wal.1", old)))
        assert (log.height, log.records) == (7, (b"old",))
    log = WriteAheadLog((FakeFile("wal.0", new), FakeFile("wal.1", old)))
    assert (log.height, log.records) == (8, (b"new",))


def test_a_height_cannot_start_again() -> None:
    log = WriteAheadLog(written())
    with pytest.raises(AssertionError):
        log.start_height(7)


def test_a_whole_frame_that_names_no_height_is_damage() -> None:
    body = b"\0\0\0\4junk"
    frame = frame_at_zero(body)
    with pytest.raises(WalDamaged):
        WriteAheadLog((FakeFile("wal.0", frame), FakeFile("wal.1")))


def test_the_largest_record_fits_and_one_byte_more_does_not() -> None:
    files = written([bytes(RECORD_BYTES_MAX)])
    log = WriteAheadLog(files)
    assert len(log.records[0]) == RECORD_BYTES_MAX
    with pytest.raises(AssertionError):
        log.append(bytes(RECORD_BYTES_MAX + 1))


def test_what_waits_in_memory_is_bounded() -> None:
    files = written()
    log = WriteAheadLog(files)
    before = files[1].syncs
    for _ in range(4):
        log.append(bytes(RECORD_BYTES_MAX))
    assert files[1].syncs > before


def test_the_real_files_keep_a_height_over_a_restart(tmp_path: Path) -> None:
    log = open_wal(tmp_path)
    assert (log.height, log.records) == (None, ())
    for height in (1, 2, 3):
        log.start_height(height)
        log.append(b"vote at %d" % height)
        log.sync()
    log.close()
    with (tmp_path / "wal.1").open("ab") as file:
        file.write(b"torn")
    log = open_wal(tmp_path)
    assert (log.height, log.records) == (3, (b"vote at 3",))
    log.append(b"more")
    log.sync()
    log.close()
    assert open_wal(tmp_path).records == (b"vote at 3", b"more")
    assert (tmp_path / "wal.0").stat().st_mode & 0o777 == 0o600
