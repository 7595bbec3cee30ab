"""Money is exact in both directions; stdout carries the result and nothing else."""

import csv
import io
import json

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tally import output
from tally.exits import Exit, Refused, UsageError
from tally.output import (
    YUAN,
    Mode,
    confirm,
    emit,
    emit_each,
    emit_error,
    mode_asked,
    parse_yuan,
    to_json,
)
from words import units
from words.languages import load
from words.units import FEN_MAX

ROWS = [
    {"id": "sh/compute/1", "city": "上海", "amount_fen": 123456},
    {"id": "gy/compute/22", "city": "Guiyang", "amount_fen": 5},
]


def written(mode: Mode, result: object, columns: list[str] | None = None) -> str:
    stream = io.StringIO()
    emit(result, columns, mode=mode, stream=stream)  # type: ignore[arg-type]  # any result on purpose
    return stream.getvalue()


@pytest.mark.parametrize(
    ("text", "fen"),
    [
        ("0", 0),
        ("1", 100),
        ("0.1", 10),
        ("0.01", 1),
        ("1,234.56", 123456),
        ("1234.5", 123450),
        (" 7 ", 700),
        ("92233720368547758.07", FEN_MAX),
    ],
)
def test_yuan_become_exact_fen(text: str, fen: int) -> None:
    assert parse_yuan(text) == fen


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "1.", ".5", "1.234", "-1", "+1", "1e3", "0x1", "1_000", "NaN", "inf"),
        *("1,23", "12,34.00", ",1", "1 000", "\N{FULLWIDTH DIGIT ONE}", "\N{YEN SIGN}1", "1\n2"),
        *("92233720368547758.08", "9" * 30),
    ],
)
def test_what_is_no_amount_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_yuan(text)


@given(st.integers(0, FEN_MAX))
def test_an_amount_survives_being_shown_and_typed(fen: int) -> None:
    assert parse_yuan(units.yuan(fen)) == fen
    assert parse_yuan(units.yuan(fen).replace(",", "")) == fen


@pytest.mark.parametrize(
    ("fen", "text"), [(0, "0.00"), (123456, "1,234.56"), (-5, "-0.05"), (100000000, "1,000,000.00")]
)
def test_fen_are_shown_in_yuan(fen: int, text: str) -> None:
    assert units.yuan(fen) == text


def test_a_command_takes_yuan_and_gets_fen() -> None:
    assert YUAN.convert("12.5", None, None) == 1250
    with pytest.raises(click.BadParameter, match="two decimals"):
        YUAN.convert("12.505", None, None)


def test_a_table_shows_yuan_aligned_under_wide_characters_too() -> None:
    assert written(Mode.TABLE, ROWS) == (
        "id             city     amount (yuan)\n"
        "sh/compute/1   上海          1,234.56\n"
        "gy/compute/22  Guiyang           0.05\n"
    )


@pytest.mark.parametrize(
    ("text", "columns"),
    [("上海", 4), ("ａ", 2), ("e\N{COMBINING ACUTE ACCENT}", 1), ("ab", 2), ("", 0)],
)
def test_a_column_is_as_wide_as_a_terminal_shows_it(text: str, columns: int) -> None:
    first, last = written(Mode.TABLE, [{"a": text, "b": "x"}, {"a": "12345", "b": "x"}]).split(
        "\n"
    )[1:3]
    assert first == text + " " * (5 - columns) + "  x"
    assert last == "12345  x"


def test_a_table_in_chinese_has_chinese_titles_and_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "spoken", lambda: load("zh"))
    rows = [{"holder": "firm-a", "status": "under_review", "kind": "voucher.mint", "face_fen": 5}]
    assert written(Mode.TABLE, rows) == (
        "持券方  状态    类型  面额（元）\nfirm-a  审核中  发放        0.05\n"
    )
    assert json.loads(written(Mode.JSON, rows)) == rows, "programs read codes"
    assert written(Mode.CSV, rows).startswith("holder,status,kind,face_fen\n")


def test_columns_choose_and_order_what_a_table_shows() -> None:
    assert written(Mode.TABLE, ROWS, ["city", "id"]).splitlines()[0] == "city     id"


def test_a_document_is_shown_line_by_line() -> None:
    assert written(Mode.TABLE, ROWS[0]) == (
        "id             sh/compute/1\ncity           上海\namount (yuan)  1,234.56\n"
    )


def test_json_is_one_document_with_integer_fen() -> None:
    assert json.loads(written(Mode.JSON, ROWS)) == ROWS
    assert json.loads(written(Mode.JSON, ROWS[0])) == ROWS[0]
    assert json.loads(written(Mode.JSON, ROWS, ["id"])) == ROWS, "columns are for people"


def test_an_empty_list_is_an_empty_list_in_every_mode() -> None:
    assert written(Mode.JSON, []) == "[]\n"
    assert written(Mode.NDJSON, []) == ""
    assert written(Mode.CSV, [], ["id", "amount_fen"]) == "id,amount_fen\n"
    assert written(Mode.TABLE, []) == ""


def test_ndjson_is_one_document_a_line() -> None:
    assert [json.loads(line) for line in written(Mode.NDJSON, ROWS).splitlines()] == ROWS


def test_csv_carries_integer_fen_and_quotes_what_must_be_quoted() -> None:
    rows = [{"id": 'a "b", c', "amount_fen": 5, "note": None}]
    read = list(csv.DictReader(io.StringIO(written(Mode.CSV, rows))))
    assert read == [{"id": 'a "b", c', "amount_fen": "5", "note": ""}]


def test_bytes_are_lower_case_hex_and_a_float_is_refused() -> None:
    assert to_json({"id": b"\xab\x01", "parts": (1, [b"\x00"])}) == (
        '{"id": "ab01", "parts": [1, ["00"]]}'
    )
    with pytest.raises(TypeError, match="float"):
        to_json({"share": 0.5})


def test_ledger_text_can_not_steer_a_terminal() -> None:
    shown = written(Mode.TABLE, [{"memo": "\x1b[2Jpaid\r\nrefused"}])
    assert shown == "memo\n\N{REPLACEMENT CHARACTER}[2Jpaid\N{REPLACEMENT CHARACTER}" + (
        "\N{REPLACEMENT CHARACTER}refused\n"
    )


def test_rows_that_come_one_by_one_are_written_one_by_one() -> None:
    stream = io.StringIO()
    seen = []
    for_people = ({"id": row["id"]} for row in ROWS)
    emit_each((seen.append(stream.getvalue()) or row for row in for_people), ["id"], stream=stream)  # type: ignore[func-returns-value]
    assert seen == ["", "sh/compute/1\n"], "the first was out before the second was asked for"
    assert stream.getvalue() == "sh/compute/1\ngy/compute/22\n"


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        ([], Mode.TABLE),
        (["-o", "json", "voucher", "list"], Mode.JSON),
        (["voucher", "list", "--output=csv"], Mode.CSV),
        (["voucher", "list", "-ondjson"], Mode.NDJSON),
        (["voucher", "-o"], Mode.TABLE),
        (["voucher", "-o", "xml"], Mode.TABLE),
        (["voucher", "--", "-o", "json"], Mode.TABLE),
    ],
)
def test_an_error_before_parsing_obeys_the_mode_too(arguments: list[str], mode: Mode) -> None:
    assert mode_asked(arguments) is mode


def test_a_json_error_is_the_one_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    refusal = Refused("the voucher holds less", details={"code": "voucher_exhausted", "asked": 61})
    emit_error(refusal, Mode.JSON)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "error": {
            "kind": "refused",
            "exit": Exit.REFUSED,
            "message": "the voucher holds less",
            "details": {"code": "voucher_exhausted", "asked": 61},
        }
    }
    assert captured.err == ""


def test_an_error_for_people_leaves_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    emit_error(Refused("the voucher holds less"), Mode.TABLE)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "tally: the voucher holds less\n")


def test_without_a_terminal_a_question_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError, match="no terminal"):
        confirm("Reset the network?")
