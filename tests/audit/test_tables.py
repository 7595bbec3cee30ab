"""Tables as files: uncapped, of one block, bounded in memory, refused when something is wrong."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.columns import TABLES
from api.reads import SCAN_MAX
from audit import tables
from ledger.store.lmdb_store import LmdbStore
from tally import cli
from tally.exits import Unreachable, UsageError
from tests.api.process import serving
from tests.audit.conftest import Export
from tests.trials.datasets import small
from trials.datasets.golden import moment

BUDGETS = TABLES["budgets"]
BATCHES, BATCH = 6, 1_000
WITHOUT_PARQUET = "pyarrow is not installed: no Parquet files"


def budget(number: int, **changes: object) -> dict[str, object]:
    """Return a row of the budgets."""
    row: dict[str, object] = {
        "programme": "hangzhou.compute",
        "year": number,
        "funder": "hangzhou",
        "appropriated_fen": 2**53 - 1,
        "committed_fen": 0,
        "sequence": number,
    }
    return row | changes


def ndjson(*rows: dict[str, object]) -> list[bytes]:
    """Return rows as lines without their ends."""
    return [msgspec.json.encode(row) for row in rows]


@contextmanager
def many_vouchers(folder: Path) -> Iterator[str]:
    """Serve a ledger with more vouchers than any page looks at."""
    store = LmdbStore(folder / "store", durable=False)
    ledger = small.begin(store, ("hangzhou",), {}, moment("2026-06-01 09:00"))
    programme = "hangzhou.compute"
    ledger.block(
        (
            small.publish(programme, small.own_terms("hangzhou")),
            small.enrol("firm-a", "hangzhou"),
            small.appropriate(programme, "hangzhou", 10**9, year=2026),
        ),
        time_ms=moment("2026-06-01 10:00"),
    )
    for number in range(BATCHES):
        rows = (("firm-a", 100 + row) for row in range(BATCH))
        act = small.mint(programme, *rows, batch=number)
        ledger.block((act,), time_ms=moment("2026-06-01 11:00") + number)
    store.close()
    with serving(folder / "store", folder / "port") as (_, url):
        yield url


def test_a_table_has_no_cap(tmp_path: Path) -> None:
    out = tmp_path / "tables"
    words = ("audit", "export", "--table", "vouchers", "--out", str(out))
    with many_vouchers(tmp_path) as url:
        assert cli.run((*words, "--node", url)) == 0
    lines = (out / "vouchers.ndjson").read_bytes().splitlines()
    assert len(lines) == BATCHES * BATCH > SCAN_MAX
    faces = [msgspec.json.decode(line)["face_fen"] for line in lines]
    assert sum(faces) == BATCHES * sum(100 + row for row in range(BATCH))
    assert sorted(path.name for path in out.iterdir()) == ["tables.sql", "vouchers.ndjson"]


def test_parquet_has_exact_types_dictionaries_for_names_and_bounded_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason=WITHOUT_PARQUET)
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    monkeypatch.setattr(tables, "GROUP_ROWS_MAX", 100)
    path = tmp_path / "budgets.parquet"
    tables.write_parquet(path, BUDGETS, ndjson(*(budget(number) for number in range(250))))
    file = parquet.ParquetFile(path)
    sizes = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
    assert sizes == [100, 100, 50]
    types = {field.name: field.type for field in file.schema_arrow}
    assert types["appropriated_fen"] == types["sequence"] == arrow.int64()
    assert types["funder"] == arrow.string()
    columns = {
        column.path_in_schema: column
        for column in (file.metadata.row_group(0).column(at) for at in range(len(BUDGETS)))
    }
    assert columns["funder"].has_dictionary_page
    assert not columns["sequence"].has_dictionary_page
    table = file.read()
    assert table["appropriated_fen"].to_pylist() == [2**53 - 1] * 250
    assert table["year"].to_pylist() == list(range(250))


def test_an_empty_table_is_a_parquet_file_with_columns(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason=WITHOUT_PARQUET)
    path = tmp_path / "budgets.parquet"
    tables.write_parquet(path, BUDGETS, ())
    found = import_module("pyarrow.parquet").read_table(path)
    assert (found.num_rows, found.column_names) == (0, list(BUDGETS))


def peak_of(rows: int) -> int:
    """Return the most bytes that grouping so many rows takes at once."""
    lines = (msgspec.json.encode(budget(number)) for number in range(rows))
    tracemalloc.start()
    counted = sum(len(group["year"]) for group in tables._groups(BUDGETS, lines))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counted == rows
    return peak


def test_memory_is_that_of_two_row_groups_however_long_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "GROUP_ROWS_MAX", 200)
    peak_of(400)  # what is made once is made before anything is measured
    assert peak_of(20_000) < 2 * peak_of(2_000)


def test_a_strangers_line_separator_ends_no_row() -> None:
    text = "a\u2028b\x85c\rd\x0b"
    whole = b"".join(line + b"\n" for line in ndjson({"order": text}, {"order": "next"}))
    for size in (1, 7, len(whole)):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        rows = [msgspec.json.decode(line) for line in tables.lines_of(pieces)]
        assert [row["order"] for row in rows] == [text, "next"]


def test_a_stream_that_is_cut_off_or_never_ends_a_row_is_refused() -> None:
    with pytest.raises(Unreachable, match="cut off"):
        list(tables.lines_of([b'{"id": 1}\n{"id"']))
    with pytest.raises(Unreachable, match="more than"):
        list(tables.lines_of(b"x" * 65_536 for _ in range(17)))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"programme": "x"}', "other columns"),
        (b"[]", "other columns"),
        (b"{", "no JSON"),
        (b'"\xff"', "no JSON"),
        (ndjson(budget(1, added=1))[0], "other columns"),
        (ndjson(budget(1, committed_fen="a lot"))[0], "no integer"),
        (ndjson(budget(1, committed_fen=1.0))[0], "no integer"),
        (ndjson(budget(1, committed_fen=True))[0], "no integer"),
        (ndjson(budget(1, committed_fen=2**63))[0], "no record can hold"),
        (ndjson(budget(1, funder=7))[0], "no name"),
    ],
)
def test_a_row_that_is_not_of_the_table_is_refused(
    tmp_path: Path, line: bytes, complaint: str
) -> None:
    pytest.importorskip("pyarrow", reason=WITHOUT_PARQUET)
    with pytest.raises(Unreachable, match=complaint):
        tables.write_parquet(tmp_path / "budgets.parquet", BUDGETS, [line])


class Answer:
    """An answer of a node that is at a block."""

    def __init__(self, height: str, record_hash: str) -> None:
        self.headers = {"Tallystick-Height": height, "Tallystick-Record-Hash": record_hash}

    def iter_bytes(self) -> Iterator[bytes]:
        """Yield nothing: the table is empty."""
        return iter(())


def test_all_tables_are_asked_for_as_of_the_block_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int | None] = []

    @contextmanager
    def asking(url: str, name: str, form: str, height: int | None) -> Iterator[Any]:
        asked.append(height)
        yield Answer("7", "aa" * 32)

    monkeypatch.setattr(tables, "_asking", asking)
    written = tables.write_tables("http://node", tmp_path, tuple(TABLES), "csv", None)
    assert asked == [None, 7, 7, 7, 7, 7]
    assert (written["height"], written["record_hash"]) == (7, "aa" * 32)


def test_tables_of_two_ledgers_are_not_put_into_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def asking(url: str, name: str, form: str, height: int | None) -> Iterator[Any]:
        yield Answer("7", ("aa" if name == "postings" else "bb") * 32)

    monkeypatch.setattr(tables, "_asking", asking)
    with pytest.raises(Unreachable, match="two ledgers"):
        tables.write_tables("http://node", tmp_path, ("postings", "claims"), "csv", None)


@pytest.mark.parametrize("said", [("", ""), ("7", ""), ("seven", "aa" * 32), ("7", "AA" * 32)])
def test_a_node_that_does_not_say_of_which_block_its_rows_are_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: tuple[str, str]
) -> None:
    @contextmanager
    def asking(url: str, name: str, form: str, height: int | None) -> Iterator[Any]:
        yield Answer(*said)

    monkeypatch.setattr(tables, "_asking", asking)
    with pytest.raises(Unreachable, match="does not say which block"):
        tables.write_tables("http://node", tmp_path, ("claims",), "csv", None)


def test_without_pyarrow_the_error_names_the_extra_and_nothing_is_left(
    golden_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_installed(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(tables, "import_module", not_installed)
    with pytest.raises(UsageError, match=r"tallystick\[parquet\]"):
        tables.write_tables(golden_url, tmp_path, ("claims",), "parquet", None)
    words = ("audit", "export", "--node", golden_url, "--table", "all", "--out")
    assert cli.run((*words, str(tmp_path / "tables"), "--format", "parquet")) == 2
    assert list(tmp_path.iterdir()) == []
    assert cli.run((*words, str(tmp_path / "tables"), "--format", "csv")) == 0


@pytest.mark.parametrize("option", [("--format", "csv"), ("--at-height", "3")])
def test_options_of_tables_without_a_table_are_refused(
    tmp_path: Path, option: tuple[str, str]
) -> None:
    out = tmp_path / "ledger"
    words = ("audit", "export", "--node", "http://127.0.0.1:9", "--out", str(out), *option)
    assert cli.run(words) == 2
    assert not out.exists()


def test_tables_as_of_a_block_to_come_are_not_found_in_the_nodes_words_and_leave_nothing(
    golden_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("audit", "export", "--node", golden_url, "--table", "claims", "--at-height", "99")
    assert cli.run((*words, "--out", str(tmp_path / "tables"))) == 3
    assert "99" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_whole_ledger_is_exported_as_before(
    golden_url: str, tmp_path: Path, export: Export
) -> None:
    out = tmp_path / "ledger"
    assert cli.run(("audit", "export", "--node", golden_url, "--out", str(out))) == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["commits.bin", "entries.bin", "genesis.bin"]
    assert sorted(path.stem for path in export("csv").iterdir()) == sorted([*TABLES, "tables"])
