"""Results on stdout, everything else on stderr; money exact in both directions."""

import csv
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TextIO

import click

from tally.exits import TallyError, UsageError
from words import languages, units
from words.languages import Language

Row = Mapping[str, object]
"""One record. Values: str, int, bool, None, bytes (shown as hex), or lists and mappings of them.

A key that ends in `_fen` is money in integer fen: tables show it in yuan.
"""

_MODE_KEY = "tally.output.mode"
_LANGUAGE_KEY = "tally.output.language"


class Mode(StrEnum):
    """How a result is written."""

    TABLE = "table"
    JSON = "json"
    """Exactly one document."""
    NDJSON = "ndjson"
    """One document a line."""
    CSV = "csv"


class YuanType(click.ParamType[int]):
    """A click parameter typed in yuan and passed on in fen."""

    name = "yuan"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return fen; an int is a default that is already in fen."""
        if isinstance(value, int):
            return value
        try:
            return parse_yuan(str(value))
        except UsageError as error:
            self.fail(error.message, param, ctx)


YUAN = YuanType()


def parse_yuan(text: str) -> int:
    """Return the fen of an amount such as ``1,234.5``; raise UsageError."""
    try:
        return units.fen_of(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _remember(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[_MODE_KEY] = Mode(value)


def output_option() -> click.Option:
    """Return a fresh `-o`; `tally.cli` gives one to the root and to every command."""
    return click.Option(
        ["-o", "--output"],
        type=click.Choice([mode.value for mode in Mode]),
        expose_value=False,
        is_eager=True,
        callback=_remember,
        help="How to write the result (default: table).",
    )


def language_option() -> click.Option:
    """Return the root's `--lang`."""
    return click.Option(
        ["--lang"],
        type=click.Choice(languages.CODES),
        expose_value=False,
        is_eager=True,
        callback=_remember_language,
        help="In which language to speak (default: that of the locale, else English).",
    )


def _remember_language(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[_LANGUAGE_KEY] = value


def spoken() -> Language:
    """Return the language of the running command.

    It is what `--lang` says. Else people read the language of their locale, and programs English,
    so that a script reads the same words on every machine.
    """
    ctx = click.get_current_context(silent=True)
    asked = None if ctx is None else ctx.meta.get(_LANGUAGE_KEY)
    if isinstance(asked, str):
        return languages.load(asked)
    is_read = ctx is not None and current_mode() is Mode.TABLE
    code = languages.of_environment(os.environ) if is_read else languages.DEFAULT
    return languages.load(code)


def current_mode() -> Mode:
    """Return the mode of the running command; a table when there is none."""
    ctx = click.get_current_context(silent=True)
    mode = None if ctx is None else ctx.meta.get(_MODE_KEY)
    return mode if isinstance(mode, Mode) else Mode.TABLE


def mode_asked(arguments: Sequence[str]) -> Mode:
    """Return the mode that unparsed arguments ask for: an error before parsing must obey it too."""
    asked = Mode.TABLE
    for position, word in enumerate(arguments):
        if word == "--":
            break
        if word in ("-o", "--output"):
            value = arguments[position + 1] if position + 1 < len(arguments) else ""
        elif word.startswith("--output="):
            value = word.removeprefix("--output=")
        elif word.startswith("-o"):
            value = word.removeprefix("-o")
        else:
            continue
        if value in tuple(Mode):
            asked = Mode(value)
    return asked


def emit(
    result: Row | Sequence[Row],
    columns: Sequence[str] | None = None,
    *,
    mode: Mode | None = None,
    stream: TextIO | None = None,
) -> None:
    """Write a command's one result: a document (a mapping) or rows (a sequence of mappings).

    `columns` chooses and orders what tables and CSV show; JSON always carries everything.
    """
    out = sys.stdout if stream is None else stream
    mode = current_mode() if mode is None else mode
    rows = [result] if isinstance(result, Mapping) else list(result)
    match mode:
        case Mode.JSON:
            _line(out, to_json(result if isinstance(result, Mapping) else rows, indent=2))
        case Mode.NDJSON:
            for row in rows:
                _line(out, to_json(row))
        case Mode.CSV:
            _write_csv(out, rows, _columns(rows, columns))
        case Mode.TABLE if isinstance(result, Mapping):
            _write_document(out, result, _columns(rows, columns))
        case Mode.TABLE:
            _write_table(out, rows, _columns(rows, columns))


def emit_each(rows: Iterable[Row], columns: Sequence[str], *, stream: TextIO | None = None) -> None:
    """Write rows as they come, one line each; in JSON mode they become one document at the end.

    An endless source can't be one document: its command should refuse JSON and name ndjson.
    """
    out = sys.stdout if stream is None else stream
    mode = current_mode()
    if mode is Mode.JSON:
        emit(list(rows), columns, mode=mode, stream=out)
        return
    if mode is Mode.CSV:
        _write_csv(out, [], columns)
    for row in rows:
        match mode:
            case Mode.NDJSON:
                _line(out, to_json(row))
            case Mode.CSV:
                _write_csv(out, [row], columns, header=False)
            case _:
                _line(out, "  ".join(_cell(column, row.get(column)) for column in columns))
        out.flush()


def emit_error(error: TallyError, mode: Mode) -> None:
    """Write a failure: a document on stdout where JSON was asked for, else a line on stderr."""
    if mode in (Mode.JSON, Mode.NDJSON):
        document = {
            "kind": error.code.name.lower(),
            "exit": int(error.code),
            "message": error.message,
            "details": error.details,
        }
        indent = 2 if mode is Mode.JSON else None
        _line(sys.stdout, to_json({"error": document}, indent=indent))
    else:
        say(f"tally: {error.message}")


def say(text: str) -> None:
    """Write progress or a remark to stderr, where it can't spoil a result."""
    if sys.stderr is not None:  # closed: there is nobody to tell
        _line(sys.stderr, text)
        sys.stderr.flush()


def confirm(question: str) -> bool:
    """Ask a yes-or-no question; without a terminal that is a usage error, never a hang."""
    if not sys.stdin.isatty():
        raise UsageError(f"no terminal to ask: {question}")
    return click.confirm(question, err=True)


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return JSON with bytes as lower-case hex; a float or another type is a TypeError."""
    return json.dumps(_jsonable(value), ensure_ascii=False, indent=indent)


def _jsonable(value: object) -> object:
    match value:
        case None | bool() | int() | str():
            return value
        case bytes():
            return value.hex()
        case Mapping():
            return {str(key): _jsonable(item) for key, item in value.items()}
        case list() | tuple():
            return [_jsonable(item) for item in value]
    raise TypeError(f"a result can't hold {type(value).__name__}")


def _columns(rows: Sequence[Row], columns: Sequence[str] | None) -> Sequence[str]:
    if columns is not None:
        return columns
    return tuple(dict.fromkeys(key for row in rows for key in row))


def _plain(value: object) -> str:
    """Return a CSV field: text as it is, lists and mappings as JSON, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return value.hex() if isinstance(value, bytes) else to_json(value)


def _cell(column: str, value: object) -> str:
    """Return a table's cell. Ledger text is others' text: no control character reaches a screen."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for char in _for_people(column, value)
    )


def _for_people(column: str, value: object) -> str:
    """Return a value as words, with yuan for fen and words for fixed values, at every depth."""
    match value:
        case int() if column.endswith("_fen") and not isinstance(value, bool):
            return units.yuan(value)
        case Mapping():
            return ", ".join(
                f"{_title(str(name))} {_for_people(str(name), item)}"
                for name, item in value.items()
            )
        case list() | tuple():
            return "; ".join(_for_people(column, item) for item in value)
        case str():
            return _word(column, value)
    return _plain(value)


def _word(column: str, value: str) -> str:
    """Return the word for a fixed value; English tables show the ledger's own, as options do."""
    language = spoken()
    if language.code == languages.DEFAULT:
        return value
    if column == "kind" and f"kind.{value}" in language.texts:
        return language.kind(value)
    if column == "status" and f"status.{value}" in language.texts:
        return language.status(value)
    return language.word(column, value) or value


def _title(column: str) -> str:
    language = spoken()
    title = (
        column.removesuffix("_fen").replace("_", " ")
        if language.code == languages.DEFAULT
        else language.title(column)
    )
    return language.text("unit.title", title=title) if column.endswith("_fen") else title


def _width(text: str) -> int:
    """Return the screen columns a text takes: a Chinese character takes two."""
    if text.isascii():
        return len(text)
    import wcwidth  # its tables are long, and most of what is shown has no need of them

    return wcwidth.wcswidth(text)


def _pad(text: str, width: int, *, right: bool = False) -> str:
    blank = " " * (width - _width(text))
    return blank + text if right else text + blank


def _write_table(out: TextIO, rows: Sequence[Row], columns: Sequence[str]) -> None:
    if not rows:
        say(spoken().text("table.empty"))
        return
    titles = [_title(column) for column in columns]
    cells = [[_cell(column, row.get(column)) for column in columns] for row in rows]
    widths = [max(_width(line[at]) for line in [titles, *cells]) for at in range(len(columns))]
    numeric = [all(isinstance(row.get(column), int | None) for row in rows) for column in columns]
    for line in [titles, *cells]:
        padded = [_pad(line[at], widths[at], right=numeric[at]) for at in range(len(columns))]
        _line(out, "  ".join(padded).rstrip())


def _write_document(out: TextIO, document: Row, columns: Sequence[str]) -> None:
    width = max((_width(_title(column)) for column in columns), default=0)
    for column in columns:
        _line(out, f"{_pad(_title(column), width)}  {_cell(column, document.get(column))}".rstrip())


class _Lines(csv.excel):
    lineterminator = "\n"


def _write_csv(
    out: TextIO, rows: Sequence[Row], columns: Sequence[str], *, header: bool = True
) -> None:
    writer = csv.writer(out, dialect=_Lines)
    if header and columns:
        writer.writerow(columns)
    writer.writerows([_plain(row.get(column)) for column in columns] for row in rows)


def _line(out: TextIO, text: str) -> None:
    out.write(text + "\n")
