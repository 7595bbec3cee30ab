"""The ten questions of docs/auditing.md, asked of the golden ledger in every format.

Amounts are in fen, written as yuan_fen: ``25_102_00`` is 25,102.00 yuan. docs/golden.md tells the
story behind them.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from api import tabular
from api.columns import TABLES
from audit import tables
from tests.audit.conftest import Export

duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed: no question is asked")

FORMATS = ("parquet", "csv", "ndjson")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "auditing.md"

BUDGETS = [
    # appropriated, committed, minted, redeemed, expired, revoked, outstanding, redeemed in bp of it
    # 2,000.00 − 1,300.00 that expired in its year are committed; 700 / 3,000 = 23.33 %
    ("guiyang.domestic", 3_000_00, 700_00, 2_000_00, 700_00, 1_300_00, 0, 0, 2_333),
    # 50,000.00 + 1,000.00 minted; 51,000.00 − 7,100.00 − 43,200.00 = 700.00 are left
    # committed 51,000.00 − 43,200.00
    ("hangzhou.compute", 100_000_00, 7_800_00, 51_000_00, 7_100_00, 43_200_00, 0, 700_00, 710),
    ("nanning.compute", 100_000_00, 25_102_00, 25_102_00, 25_102_00, 0, 0, 0, 2_510),
    # 5,000.00 − 1,000.00 that were revoked in its year
    ("qingyang.compute", 10_000_00, 4_000_00, 5_000_00, 0, 0, 1_000_00, 4_000_00, 0),
    # 19,999,000.00 of 2025 + 1,000.00 carried over; committed 10,021,000.00 − 19,100.00 + 1.00
    (
        *("shenzhen.compute", 20_000_000_00, 10_001_901_00, 10_021_001_00, 10_001_400_00),
        *(19_100_00, 0, 501_00, 5_000),
    ),
    # two funders, 5,000.00 each; committed 500.00 + 500.01 − 800.00
    ("zhengzhou.compute", 10_000_00, 200_01, 1_000_01, 200_01, 800_00, 0, 0, 200),
]
MATRIX = [
    ("guiyang", "guiyang", 300_00),  # 200.00 + 100.00
    ("guiyang", "shenzhen", 400_00),  # paid by Shenzhen, which Guiyang reimburses
    ("hangzhou", "guiyang", 6_800_00),  # 3,000.00 − 500.00 − 200.00 + 2,000.00 + 2,500.00
    ("hangzhou", "shenzhen", 300_00),  # stacked
    ("henan-province", "zhengzhou", 100_00),  # half of 200.01, truncated
    ("nanning", "guiyang", 25_102_00),
    ("shenzhen", "guiyang", 300_00),  # paid by Guiyang, which Shenzhen reimburses
    ("shenzhen", "shenzhen", 10_001_100_00),  # 600.00 + 500.00 + 9,999,999.99 + 0.01
    ("zhengzhou", "zhengzhou", 100_01),  # the residual funder
]
# Now is 2026-06-05. Due on 2025-07-01: 339 days; on 2025-09-01: 277; on 2026-01-01: 155; on
# 2026-02-01: 124.
AGES = [
    ("guian-hub", 0, 0, 0, 0, 200_00),  # a credit note after payment
    ("guiyang", 0, 0, 0, 0, 600_00),  # 200.00 + 300.00, and 100.00 of August
    ("hangzhou", 0, 0, 0, 300_00, 4_499_50),  # stacked; 2,000.00 − 0.50 + 2,500.00
    ("henan-province", 0, 0, 0, 0, 100_00),
    ("nanning", 0, 0, 0, 25_102_00, 0),
    # 500.00 of December + 10,000,000.00 of January; 400.00 + 600.00 of June
    ("shenzhen", 0, 0, 0, 10_000_500_00, 1_000_00),
    ("zhengzhou", 0, 0, 0, 0, 100_01),
]
# All golden chips take 400 W. Costs are those of the whole bills.
ENERGY = [
    # 1,200 + 200 + 200 + 1,500 + 200 + 10,000 hours; 10,000.00 + 500.00 + 500.00 + 13,333.34 +
    # 250.00 + 200,000.00 = 224,583.34; / 13,300 = 16.886
    ("guian-hub", "ascend-910b", 13_300, 400, 16_88),
    ("guian-hub", "nvidia-a100", 800, 400, 12_50),  # 10,000.00 / 800
    # 200 + 200 + 200 (stacked: two claims, one invoice) + 1; 3,000.02 / 601 = 4.9917
    ("shenzhen-nscc", "ascend-910b", 601, 400, 4_99),
    # 26 days × 48,000; 16,666,666.65 / 1,248,000 = 13.3547
    ("shenzhen-nscc", "nvidia-a800", 1_248_000, 400, 13_35),
    ("zhengzhou-aicc", "ascend-910b", 200, 400, 5_00),  # 1,000.05 / 200 = 5.00025
]
DOMESTIC = [
    ("guiyang", 600, 600, 10_000),
    ("hangzhou", 2_900, 3_700, 7_837),  # 1,200 + 1,500 + 200 of them and 800: 78.378 %
    ("nanning", 10_000, 10_000, 10_000),
    ("shenzhen", 601, 1_248_601, 4),  # 200 + 200 + 200 + 1 and 1,248,000: 0.0481 %
    ("zhengzhou", 200, 200, 10_000),
]
# All: 25,102.00 + 200.01 + 7,100.00 + 10,001,400.00 + 700.00 = 10,034,502.01
CONCENTRATION = [
    # shenzhen-nscc 10,001,800.00, guian-hub 32,502.00, zhengzhou-aicc 200.01
    # 99.6741 %; 99.6741² + 0.3239² + 0.0020² = 9,934.93 + 0.10
    ("centre", 3, "shenzhen-nscc", 9_967, 10_000, 9_935),
    # firm-shenzhen 10,000,000.00, firm-nanning 25,102.00, firm-twin 8,500.00, firm-guiyang 700.00,
    # firm-henan 200.01
    # 99.6562 %, with the next two 99.9910 %; 99.6562² + 0.2502² + 0.0847² = 9,931.35 + 0.07
    ("firm", 5, "firm-shenzhen", 9_965, 9_999, 9_931),
]
QUARTERS = [
    # vouchers, face, redeemed, expired, revoked, outstanding, redeemed in bp of the face
    ("2025-Q3", 2, 2_000_00, 700_00, 1_300_00, 0, 0, 3_500),  # sixty days from 2025-06-04
    ("2025-Q4", 1, 25_102_00, 25_102_00, 0, 0, 0, 10_000),  # Nanning, after use
    # A year from 2025-06-04. Face: 1,000.01 + 50,000.00 + 9,999,999.99 + 20,000.00 + 0.01;
    # redeemed: 200.01 + 6,800.00 + 9,999,999.99 + 900.00 + 0.01
    ("2026-Q2", 5, 10_071_000_01, 10_007_900_01, 63_100_00, 0, 0, 9_937),
    # A year from 2025-12-31: 1,000.00 twice, of which 300.00 and 500.00 are used; Qingyang's was
    # extended through 2026-12-31: 700.00 + 500.00 + 4,000.00 are left
    ("2026-Q4", 3, 7_000_00, 800_00, 0, 1_000_00, 5_200_00, 1_142),
    ("2027-Q1", 1, 1_00, 0, 0, 0, 1_00, 0),  # a year from 2026-01-02
]
REFUSALS = [
    # Hangzhou on Ascend and on A100, Shenzhen, Nanning's half-up sum
    ("rate_exceeded", "voucher.redeem", 4),
    ("holder_cap_exceeded", "voucher.mint", 2),
    ("programmes_not_stackable", "voucher.redeem", 2),
    ("appropriation_exceeded", "voucher.mint", 1),
    ("base_exceeds_contract", "voucher.redeem", 1),
    ("case_missing", "claim.decide", 1),
    ("ceiling_exceeded", "voucher.redeem", 1),
    ("cycle_empty", "clearing.close", 1),
    ("dispute_window_open", "claim.decide", 1),
    ("grant_is_after_use", "voucher.mint", 1),
    ("grant_out_of_bounds", "voucher.mint", 1),
    ("held", "voucher.redeem", 1),
    ("invoice_used", "voucher.redeem", 1),
    ("not_eligible", "voucher.redeem", 1),
    ("payment_exceeds_due", "payment.record", 1),
    ("rate_none", "voucher.redeem", 1),
    ("rates_mixed", "voucher.redeem", 1),
    ("recognition_exceeded", "voucher.redeem", 1),
    ("recovery_open", "voucher.transfer", 1),
    ("recovery_too_early", "party.set_keys", 1),
    ("redeemed_cap_exceeded", "voucher.redeem", 1),
    ("transfer_not_allowed", "voucher.transfer", 1),
]
CONSERVATION = [
    # minted, redeemed, expired, revoked, outstanding, missing
    ("guiyang.domestic", 2_000_00, 700_00, 1_300_00, 0, 0, 0),
    ("hangzhou.compute", 51_000_00, 7_100_00, 43_200_00, 0, 700_00, 0),
    ("nanning.compute", 25_102_00, 25_102_00, 0, 0, 0, 0),
    ("qingyang.compute", 5_000_00, 0, 0, 1_000_00, 4_000_00, 0),
    ("shenzhen.compute", 10_021_001_00, 10_001_400_00, 19_100_00, 0, 501_00, 0),
    ("zhengzhou.compute", 1_000_01, 200_01, 800_00, 0, 0, 0),
]
FLOW = [
    ("guiyang", "firm-guiyang", "guian-hub", 2, 300_00),  # 200.00 + 100.00
    ("guiyang", "firm-guiyang", "shenzhen-nscc", 1, 400_00),
    ("hangzhou", "firm-twin", "guian-hub", 3, 6_800_00),  # 2,300.00 + 2,000.00 + 2,500.00
    ("hangzhou", "firm-twin", "shenzhen-nscc", 1, 300_00),
    ("nanning", "firm-nanning", "guian-hub", 1, 25_102_00),
    ("shenzhen", "firm-shenzhen", "shenzhen-nscc", 2, 10_000_000_00),  # 9,999,999.99 + 0.01
    ("shenzhen", "firm-twin", "guian-hub", 1, 300_00),
    ("shenzhen", "firm-twin", "shenzhen-nscc", 2, 1_100_00),  # 600.00 + 500.00
    ("zhengzhou", "firm-henan", "zhengzhou-aicc", 1, 200_01),
]

ANSWERS: dict[str, list[tuple[Any, ...]]] = {
    "How far is each programme's budget spent?": BUDGETS,
    "Who paid for computing where?": MATRIX,
    "How old is what is still owed?": AGES,
    "How much energy does a GPU-hour take, and what does it cost?": ENERGY,
    "What share of the GPU-hours ran on domestic chips?": DOMESTIC,
    "How concentrated is the money?": CONCENTRATION,
    "Were vouchers used before they expired?": QUARTERS,
    "Why were transactions refused?": REFUSALS,
    "Is every fen accounted for?": CONSERVATION,
    "How does value flow from city to firm to centre?": FLOW,
}


def questions() -> dict[str, str]:
    """Return the page's questions with their SQL."""
    _, *sections = re.split(r"^### \d+\. ", PAGE.read_text(encoding="utf-8"), flags=re.M)
    found = {}
    for section in sections:
        (sql,) = re.findall(r"^```sql\n(.+?)^```$", section, re.M | re.S)
        found[section.partition("\n")[0]] = sql
    return found


def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a database over a folder of tables, as the page says: from within it."""
    monkeypatch.chdir(folder)
    database = duckdb.connect()
    database.execute((folder / "tables.sql").read_text(encoding="utf-8"))
    return database


@pytest.mark.parametrize("form", FORMATS)
def test_the_ten_questions_of_the_page_have_the_golden_answers(
    export: Export, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    database = opened(export(form), monkeypatch)
    answered = {}
    for title, sql in questions().items():
        answered[title] = database.execute(sql).fetchall()
    assert len(answered) == 10
    assert list(answered) == list(ANSWERS)
    for title, answer in answered.items():
        assert answer == ANSWERS[title], title


def test_every_sql_block_of_the_page_is_a_question() -> None:
    assert PAGE.read_text(encoding="utf-8").count("```sql") == len(questions()) == 10


def test_on_the_day_of_the_clearing_nothing_was_late(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Block 13, 2025-06-16: all of June is due on 2025-07-01, and the cycle after thirty days.
    database = opened(export("csv", "--at-height", "13"), monkeypatch)
    ages = database.execute(questions()["How old is what is still owed?"]).fetchall()
    assert ages == [
        ("guian-hub", 200_00, 0, 0, 0, 0),
        ("guiyang", 500_00, 0, 0, 0, 0),  # 200.00 + 300.00
        ("hangzhou", 4_499_50, 0, 0, 0, 0),
        ("henan-province", 100_00, 0, 0, 0, 0),
        ("shenzhen", 1_000_00, 0, 0, 0, 0),
        ("zhengzhou", 100_01, 0, 0, 0, 0),
    ]


def test_a_question_notices_what_is_missing(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = opened(export("csv"), monkeypatch)
    database.execute(
        "CREATE OR REPLACE TEMP TABLE claims AS SELECT * FROM claims WHERE holder <> 'firm-henan'"
    )
    rows = database.execute(questions()["Is every fen accounted for?"]).fetchall()
    assert [(row[0], row[-1]) for row in rows if row[-1]] == [("zhengzhou.compute", 200_01)]


def test_all_formats_hold_the_same_rows(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {}
    for form in FORMATS:
        database = opened(export(form), monkeypatch)
        rows[form] = {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES}
    # Postings: 123 transactions, two of which (Nanning's, the disputed claim) have two; 5 expiries.
    assert [len(rows["csv"][name]) for name in TABLES] == [130, 12, 14, 19, 4, 8]
    assert rows["parquet"] == rows["ndjson"]
    for name in TABLES:
        assert rows["csv"][name] == [blanks_as_null(row) for row in rows["parquet"][name]]


def blanks_as_null(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row as CSV can tell it: an empty text is no text."""
    return tuple(None if value == "" else value for value in row)


@pytest.mark.parametrize("form", FORMATS)
def test_a_strangers_text_reaches_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: tables.Format
) -> None:
    text = "came back: \"closed\",\r\nsays\u2028the bank; '' 账户"
    row: dict[str, Any] = dict.fromkeys(TABLES["payments"]) | {"id": "E1", "reason": text}
    path = tmp_path / f"payments.{form}"
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet files")
        line = tabular.lines("ndjson", [row]).removesuffix(b"\n")
        tables.write_parquet(path, TABLES["payments"], [line])
    else:
        path.write_bytes(tabular.head(form, tuple(row)) + tabular.lines(form, [row]))
    (tmp_path / "tables.sql").write_text(tables.views(["payments"], form), encoding="utf-8")
    database = opened(tmp_path, monkeypatch)
    assert database.execute("SELECT id, reason FROM payments").fetchall() == [("E1", text)]


@pytest.mark.parametrize("table", TABLES)
def test_the_page_explains_every_column_in_its_order(table: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (section,) = re.findall(rf"^### {table}\n(.+?)^##", page, re.M | re.S)
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert [name for cell in cells for name in re.findall(r"`(\w+)`", cell)] == list(TABLES[table])
