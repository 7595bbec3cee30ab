"""Rows of exports: what ends in the middle of one, and what claims to be longer than any is."""

import io
from collections.abc import Callable, Iterator
from typing import BinaryIO

import pytest

from node import exports
from node.exports import FileCutOff, FileDamaged, Version

LONGEST = 5

Read = Callable[[BinaryIO], Iterator[object]]


@pytest.fixture(autouse=True)
def short_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rows be at most so long."""
    monkeypatch.setattr(exports, "ENTRY_BYTES_MAX", LONGEST)
    monkeypatch.setattr(exports, "VALUE_BYTES_MAX", LONGEST)
    monkeypatch.setattr(exports, "KEY_BYTES_MAX", LONGEST)
    monkeypatch.setattr(exports, "commit_bytes_max", lambda: LONGEST)


def entry(length: int) -> bytes:
    return length.to_bytes(4, "big") + bytes(length)


def commit(length: int) -> bytes:
    return (7).to_bytes(8, "big") + entry(length)


def key_of_a_version(length: int) -> bytes:
    return length.to_bytes(2, "big") + bytes(length) + bytes(8) + entry(0)


def value_of_a_version(length: int) -> bytes:
    return key_of_a_version(1)[:-4] + entry(length)


KINDS: list[tuple[Read, Callable[[int], bytes]]] = [
    (exports.read_entries, entry),
    (exports.read_commits, commit),
    (exports.read_history, key_of_a_version),
    (exports.read_history, value_of_a_version),
]


@pytest.mark.parametrize(("read", "row"), KINDS)
def test_the_longest_rows_are_read_one_after_the_other(
    read: Read, row: Callable[[int], bytes]
) -> None:
    assert len(list(read(io.BytesIO(row(LONGEST) + row(0) + row(LONGEST))))) == 3


@pytest.mark.parametrize(("read", "row"), KINDS)
def test_a_longer_row_is_damage_and_not_an_end(read: Read, row: Callable[[int], bytes]) -> None:
    with pytest.raises(FileDamaged, match="at most 5, got 6") as damage:
        list(read(io.BytesIO(row(LONGEST + 1))))
    assert not isinstance(damage.value, FileCutOff)


@pytest.mark.parametrize(("read", "row"), KINDS)
def test_a_row_that_ends_too_early_is_cut_off_wherever_it_does(
    read: Read, row: Callable[[int], bytes]
) -> None:
    whole = row(LONGEST)
    assert list(read(io.BytesIO(b""))) == []
    for length in range(1, len(whole)):
        with pytest.raises(FileCutOff):
            list(read(io.BytesIO(whole[:length])))


def test_a_version_is_read_as_it_was_written() -> None:
    raw = b"\0\2ab" + (258).to_bytes(8, "big") + (3).to_bytes(4, "big") + b"xyz"
    assert list(exports.read_history(io.BytesIO(raw))) == [Version(b"ab", 258, b"xyz")]


@pytest.mark.parametrize(
    ("announced", "error"), [(16 * 1024 * 1024, FileCutOff), (16 * 1024 * 1024 + 1, FileDamaged)]
)
def test_a_version_of_sixteen_mebibytes_is_the_longest(
    monkeypatch: pytest.MonkeyPatch, announced: int, error: type[FileDamaged]
) -> None:
    monkeypatch.undo()
    row = b"\0\1a" + bytes(8) + announced.to_bytes(4, "big")
    with pytest.raises(FileDamaged) as damage:
        list(exports.read_history(io.BytesIO(row)))
    assert type(damage.value) is error
