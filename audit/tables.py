"""Tables for auditors as files: NDJSON, CSV and Parquet, all of them true after one block.

Everything is streamed: a table may be larger than memory. Beside the tables lies ``tables.sql``,
which makes each of them a view with its types for DuckDB (docs/auditing.md).
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import httpx2
import msgspec

from api.columns import TABLES, Columns, Kind
from audit import files
from audit.streams import streamed
from tally.exits import Unreachable, UsageError
from tally.output import say

Format = Literal["ndjson", "csv", "parquet"]

LINE_BYTES_MAX = 1024 * 1024
"""Longest row that is taken; real ones have some kilobytes."""
GROUP_ROWS_MAX = 16_384
"""Rows of a Parquet row group, which is what is kept in memory of a table."""
NO_PARQUET = (
    "Parquet needs the package pyarrow, which is not installed: install the extra "
    "`tallystick[parquet]` (in a checkout: pip install --require-hashes -r "
    "requirements-parquet.txt), or take --format csv"
)

_SQL_TYPES: dict[Kind, str] = {
    "integer": "BIGINT",
    "flag": "BOOLEAN",
    "name": "VARCHAR",
    "text": "VARCHAR",
    "parts": "VARCHAR",
}
_HOLDS: dict[Kind, type] = {"integer": int, "flag": bool, "name": str, "text": str, "parts": list}
_READERS: dict[Format, str] = {
    "ndjson": "read_json('{file}', format = 'newline_delimited', columns = {columns})",
    "csv": "read_csv('{file}', header = true, auto_detect = false, quote = '\"', escape = '\"',"
    " columns = {columns})",
    "parquet": "read_parquet('{file}')",
}


@dataclass(frozen=True, slots=True)
class Block:
    """Where in the ledger tables are true."""

    height: int
    record_hash: str


def write_tables(
    url: str, folder: Path, names: Sequence[str], form: Format, at_height: int | None
) -> dict[str, object]:
    """Download tables into a folder; return what was written, and the block it is true after.

    Raises UsageError if Parquet is asked for and pyarrow is missing, Unreachable if the node does
    not answer as it should, OSError.
    """
    if form == "parquet":
        _pyarrow()
    block: Block | None = None
    sizes = {}
    for name in names:
        path = folder / f"{name}.{form}"
        height = at_height if block is None else block.height
        with _asking(url, name, form, height) as answer:
            answered = _block_of(answer, url)
            if block is not None and answered != block:
                raise Unreachable(f"{url} gave tables of two ledgers: {block} and {answered}")
            block = answered
            if form == "parquet":
                write_parquet(path, TABLES[name], lines_of(answer.iter_bytes()))
            else:
                files.write(path, answer.iter_bytes())
        sizes[name] = path.stat().st_size
        say(f"{path.name}: {sizes[name]} bytes")
    assert block is not None, "at least one table is asked for"
    (folder / "tables.sql").write_text(views(names, form), encoding="utf-8")
    return {
        "bytes": sum(sizes.values()),
        "height": block.height,
        "record_hash": block.record_hash,
        "tables": list(names),
    }


def _asking(
    url: str, name: str, form: Format, height: int | None
) -> AbstractContextManager[httpx2.Response]:
    address = f"{url}/v1/exports/{name}?format={'csv' if form == 'csv' else 'ndjson'}"
    if height is not None:
        address += f"&at_height={height}"
    return streamed(address, url)


def _block_of(answer: httpx2.Response, url: str) -> Block:
    height = answer.headers.get("Tallystick-Height", "")
    record_hash = answer.headers.get("Tallystick-Record-Hash", "")
    if not (re.fullmatch("[0-9]{1,16}", height) and re.fullmatch("[0-9a-f]{64}", record_hash)):
        raise Unreachable(f"{url} does not say which block its rows are true after")
    return Block(height=int(height), record_hash=record_hash)


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines; raise Unreachable at one that is too long or cut off.

    Only LF ends a line: strangers' texts may hold what Unicode also calls the end of one.
    """
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
        if len(rest) > LINE_BYTES_MAX:
            raise Unreachable(f"a row has more than {LINE_BYTES_MAX} bytes")
    if rest:
        raise Unreachable("the last row is cut off; start again")


def write_parquet(path: Path, columns: Columns, lines: Iterable[bytes]) -> None:
    """Write NDJSON rows as Parquet, a bounded number of them at a time.

    Integers are int64, lists are JSON text; raises Unreachable if a row has other columns or types.
    """
    arrow, parquet = _pyarrow()
    types = {"integer": arrow.int64(), "flag": arrow.bool_()}
    schema = arrow.schema(
        [(name, types.get(column.kind, arrow.string())) for name, column in columns.items()]
    )
    named = [name for name, column in columns.items() if column.kind in ("name", "flag")]
    with parquet.ParquetWriter(path, schema, use_dictionary=named, compression="zstd") as writer:
        for group in _groups(columns, lines):
            try:
                writer.write_table(arrow.table(group, schema=schema))
            except OverflowError:
                raise Unreachable("a row holds a number that no record can hold") from None


def _groups(columns: Columns, lines: Iterable[bytes]) -> Iterator[dict[str, list[object]]]:
    """Yield up to GROUP_ROWS_MAX rows at a time, by column."""
    group: dict[str, list[object]] = {name: [] for name in columns}
    size = 0
    for line in lines:
        row = _row(columns, line)
        for name, column in columns.items():
            value = row[name]
            group[name].append(_json(value) if column.kind == "parts" else value)
        size += 1
        if size == GROUP_ROWS_MAX:
            yield group
            group, size = {name: [] for name in columns}, 0
    if size:
        yield group


def _row(columns: Columns, line: bytes) -> dict[str, Any]:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unreachable("a row is no JSON") from None
    if not isinstance(row, dict) or list(row) != list(columns):
        raise Unreachable("the node's rows have other columns: it is of another version")
    for name, column in columns.items():
        # Not isinstance: JSON's true is no number, and 1.0 is none of ours.
        if row[name] is not None and type(row[name]) is not _HOLDS[column.kind]:
            raise Unreachable(f"{name} of a row holds {row[name]!r}, which is no {column.kind}")
    return row


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def views(names: Iterable[str], form: Format) -> str:
    """Return the SQL that makes each table's file a view with its types."""
    made = []
    for name in names:
        types = ", ".join(
            f"'{field}': '{_SQL_TYPES[column.kind]}'" for field, column in TABLES[name].items()
        )
        reader = _READERS[form].format(file=f"{name}.{form}", columns="{" + types + "}")
        made.append(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM {reader};\n")  # noqa: S608 - names of ours
    return "".join(made)


def _pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet; imported late, since only one format needs them."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise UsageError(NO_PARQUET) from None
