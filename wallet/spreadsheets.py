"""CSV files that a command takes, and the one way in which their lines are counted."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from tally.exits import UsageError


class Unreadable(str):
    """What is wrong with a line that can't be read."""

    __slots__ = ()


def csv_lines(
    text: str, path: Path, columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, str] | Unreadable]]:
    """Yield each row by column, with its line in the file; the column names are line 1.

    A row that goes over several lines (a field in quotes may) has the number of its first. Blank
    lines are counted and passed over; a column that a row does not reach is empty. Raises
    UsageError if the first line is not one of column names that has all of ``columns``.
    """
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        names = next(reader, [])
    except csv.Error as error:
        raise UsageError(f"{path}, line 1: {error}") from None
    missing = [name for name in columns if name not in names]
    if missing:
        raise UsageError(f"{path} needs a first line with the columns {', '.join(missing)}")
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            yield line, Unreadable(error)
            continue
        if fields is None:
            return
        beyond = fields[len(names) :]
        if any(beyond):
            # Most likely an amount such as 1,000.50 without quotes: never read it as 1.
            yield line, Unreadable(f"{','.join(beyond)!r} stands after the last column")
        elif fields:
            yield line, dict.fromkeys(names, "") | dict(zip(names, fields, strict=False))
