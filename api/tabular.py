"""Rows as text that programs and spreadsheets read: NDJSON and CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from ledger.encoding.plain import Plain

Form = Literal["ndjson", "csv"]
MEDIA_TYPES: dict[Form, str] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
}
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def head(form: Form, columns: Sequence[str]) -> bytes:
    """Return what stands before the first row: the names of the columns, if the form has any."""
    return _csv(columns) if form == "csv" else b""


def lines(form: Form, rows: Iterable[dict[str, Plain]]) -> bytes:
    """Return rows, each on a line of its own; all of them have the columns in their order."""
    if form == "ndjson":
        return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    return b"".join(_csv([_cell(value) for value in row.values()]) for row in rows)


def _cell(value: Plain) -> str:
    """Return a value as a cell: null is empty, what has parts is JSON.

    Text that a spreadsheet would take for a formula gets an apostrophe: some of it is a stranger's.
    """
    match value:
        case None:
            return ""
        case str():
            return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
        case int() if not isinstance(value, bool):
            return str(value)
        case _:
            return msgspec.json.encode(value).decode()


def _csv(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()
