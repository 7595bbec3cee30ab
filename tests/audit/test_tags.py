"""Tags recomputed from opened papers: what matches, and everything that does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from ledger.encoding import normal
from ledger.encoding.normal import contract_tag, invoice_tag, registration_tag, tag_key_check
from ledger.ledger import Ledger
from ledger.rules import calendar
from ledger.rules.control import TagKey
from ledger.rules.governance import SetParameters
from ledger.rules.invoices import Contract
from ledger.store.lmdb_store import LmdbStore
from tally import cli
from tests import builders
from tests.builders import NOON_MS, TAG_KEY, Chain, seed
from tests.decided import DecidedChain
from tests.wallet.terminal import credit_code

NEW_KEY = seed("tag-key", "of the second epoch")
TODAY = calendar.day_of(NOON_MS)
CODE, TWICE = credit_code("firm-a"), credit_code("firm-c")
NATIONAL = "26317000000123456789"
CLAIM = "guian-hub.{:09d}".format


def contract() -> tuple[Contract, ...]:
    number = normal.contract_number("沪算合同〔2026〕12 号")
    tag = contract_tag(TAG_KEY, "guian-hub", number)
    return (Contract(tag=tag, amount=1_000_000, start_day=TODAY, end_day=TODAY + 9),)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with two epochs of tags; its third claim shows the invoice of its first again."""
    path = tmp_path_factory.mktemp("tags") / "store"
    opened = LmdbStore(path, durable=False)
    made = DecidedChain(Chain(ledger=Ledger(opened)))
    made.block(after_ms=1)
    firm = registration_tag(TAG_KEY, CODE)
    made.block(
        builders.publish(), builders.accredit(), builders.enrol("firm-a", registration_tag=firm)
    )
    made.block(builders.appropriate(), builders.recognise())
    made.block(builders.mint(("firm-a", 100_000)))
    keys = (*builders.parameters().tag_keys, TagKey(epoch=2, check_value=tag_key_check(NEW_KEY)))
    voters = ("guiyang", "guian-hub", "chengdu-aicc")
    made.block(
        builders.propose(SetParameters(parameters=builders.parameters(tag_keys=keys))),
        *(builders.vote(voter=voter) for voter in voters),
    )
    again = registration_tag(TAG_KEY, TWICE), registration_tag(NEW_KEY, TWICE)
    bills = (
        ("guian-hub", invoice_tag(TAG_KEY, "guian-hub", NATIONAL), 1, contract()),
        ("guian-hub", invoice_tag(TAG_KEY, "guian-hub", "FP20260001"), 1, ()),
        ("guian-hub", invoice_tag(NEW_KEY, "guian-hub", NATIONAL), 2, ()),
    )
    made.block(
        builders.enrol("firm-c", registration_tag=again[0]),
        builders.enrol("firm-d", registration_tag=again[1], tag_epoch=2),
        *(
            builders.redeem(
                ("shanghai.compute.000000001", 1_000 + number),
                centre=centre,
                invoice=tag,
                tag_epoch=epoch,
                contract=shown,
            )
            for number, (centre, tag, epoch, shown) in enumerate(bills)
        ),
    )
    opened.close()
    return path


@pytest.fixture
def key_files(tmp_path: Path) -> tuple[str, str]:
    """Files of both epochs' keys."""
    for name, key in (("one", TAG_KEY), ("two", NEW_KEY)):
        (tmp_path / name).write_text(key.hex())
    return str(tmp_path / "one"), str(tmp_path / "two")


Ran = tuple[int, Any]


def audited(
    capsys: pytest.CaptureFixture[str],
    papers: Path,
    text: str,
    store: Path,
    *keys: str,
    **more: str,
) -> Ran:
    """Return exit code and document of an audit of these papers."""
    papers.write_text(text, encoding="utf-8")
    asked = {"--source": str(store), "--log-id": builders.LOG_ID.hex()} | more
    words = [word for pair in asked.items() for word in pair]
    words += [word for key in keys for word in ("--tag-key", key)]
    capsys.readouterr()
    code = cli.run(["-o", "json", "audit", "tags", str(papers), *words])
    return code, json.loads(capsys.readouterr().out)


def verdicts(document: Any) -> list[tuple[int, str, str]]:
    rows = document if isinstance(document, list) else document["error"]["details"]["rows"]
    return [(row["line"], row["what"], row["verdict"]) for row in rows]


def test_papers_match_however_they_are_typed(
    store: Path,
    key_files: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (
        "claim,tag,party,invoice_code,invoice,contract,registration\n"
        f"{CLAIM(1)},,,,２６３１７０００００　０１２３４５６７８９,沪算合同[2026]第12号,\n"
        f'{CLAIM(2)},,,," fp-2026-0001 ",,\n'
        f",,firm-a,,,,{CODE.lower()}\n"
    )
    text = text.replace("第12", "12")
    code, rows = audited(capsys, tmp_path / "p.csv", text, store, key_files[0])
    assert code == 0, rows
    assert verdicts(rows) == [
        (2, "invoice", "match"),
        (2, "contract", "match"),
        (3, "invoice", "match"),
        (4, "registration", "match"),
    ]


def test_an_invoice_may_be_named_by_its_tag(
    store: Path, key_files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tag = invoice_tag(TAG_KEY, "guian-hub", "FP20260001").hex()
    code, rows = audited(capsys, tmp_path / "p", f"tag,invoice\n{tag},FP1\n", store, key_files[0])
    assert (code, verdicts(rows)) == (8, [(2, "invoice", "differs")])
    text = f"tag,invoice\n{tag},FP20260001\nxyz,FP1\n"
    code, rows = audited(capsys, tmp_path / "p", text, store, key_files[0])
    assert (code, verdicts(rows)) == (9, [(2, "invoice", "match"), (3, "invoice", "unknown")])


def test_each_verdict_is_told_with_its_reason(
    store: Path, key_files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "claim,party,invoice_code,invoice,contract,registration\n"
        f"{CLAIM(1)},,,{NATIONAL[:-1]}8,2026-13,\n"
        f"{CLAIM(2)},,3100201130,12345678,HT-1,\n"
        f"{CLAIM(4)},,,FP1,,\n"
        f"{CLAIM(1)},,,12345678,,\n"
        f",nobody,,,,{CODE}\n"
        f",firm-a,,,,{CODE[:-1]}\n"
        f",firm-a,,,,{TWICE}\n"
        f"{CLAIM(3)},,,{NATIONAL},,\n"
        f"{CLAIM(3)},,,,,\n"
    )
    code, document = audited(capsys, tmp_path / "p.csv", text, store, key_files[0])
    assert code == 8
    assert verdicts(document) == [
        (2, "invoice", "differs"),
        (2, "contract", "differs"),
        (3, "invoice", "differs"),
        (3, "contract", "unknown"),
        (4, "invoice", "unknown"),
        (5, "invoice", "not_normal"),
        (6, "registration", "unknown"),
        (7, "registration", "not_normal"),
        (8, "registration", "differs"),
        (9, "invoice", "unknown"),
        (10, "line", "unknown"),
    ]
    whys = [row["why"] for row in document["error"]["details"]["rows"]]
    assert whys[5] == (
        "an invoice number of digits alone has 20, or a code of 10 or 12 before a number of 8,"
        " together 18 or 20; got 8 digits"
    )
    assert whys[9] == "no key of epoch 2 was named"
    assert document["error"]["message"] == "11 of 11 numbers do not match"


def test_one_bill_under_the_keys_of_two_epochs_is_found(
    store: Path, key_files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        f"claim,party,invoice,registration\n{CLAIM(1)},,{NATIONAL},\n{CLAIM(3)},,{NATIONAL},\n"
        f",firm-d,,{TWICE}\n,firm-a,,{CODE}\n"
    )
    code, document = audited(capsys, tmp_path / "p.csv", text, store, *key_files)
    assert code == 8
    rows = document["error"]["details"]["rows"]
    assert [(row["verdict"], row["why"]) for row in rows] == [
        ("twice", f"{NATIONAL} is also that of {CLAIM(3)}"),
        ("twice", f"{NATIONAL} is also that of {CLAIM(1)}"),
        ("twice", f"{TWICE} is also that of firm-c"),
        ("match", ""),
    ]


def test_a_key_of_another_network_is_told_apart(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made-up").write_text("07" * 32)
    text = f"claim,invoice\n{CLAIM(1)},{NATIONAL}\n"
    code, document = audited(capsys, tmp_path / "p.csv", text, store, str(tmp_path / "made-up"))
    assert code == 2
    message = document["error"]["message"]
    assert tag_key_check(b"\x07" * 32).hex() in message
    assert f"{tag_key_check(TAG_KEY).hex()} (epoch 1)" in message


def test_another_log_or_a_wrong_file_is_refused(
    store: Path, key_files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"claim,invoice\n{CLAIM(1)},{NATIONAL}\n"
    asked = {"--log-id": "00" * 32}
    code, document = audited(capsys, tmp_path / "p", text, store, key_files[0], **asked)
    assert code == 8
    assert "makes log" in document["error"]["message"]
    code, document = audited(capsys, tmp_path / "p", "claim,bill\n1,2\n", store, key_files[0])
    assert code == 2
    assert "'bill'" in document["error"]["message"]
    text = f"claim,invoice\n{CLAIM(1)},1,000\n"
    code, document = audited(capsys, tmp_path / "p", text, store, key_files[0])
    assert (code, verdicts(document)) == (9, [(2, "line", "not_normal")])
    nowhere = {"--source": str(tmp_path / "nowhere")}
    code, _ = audited(capsys, tmp_path / "p", text, store, key_files[0], **nowhere)
    assert code in (2, 3)


def test_a_table_shows_the_rows_and_then_says_how_many_do_not_match(
    store: Path, key_files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.csv").write_text(f"claim,invoice\n{CLAIM(1)},{NATIONAL}\n{CLAIM(2)},FP1\n")
    words = ["-o", "csv", "audit", "tags", str(tmp_path / "p.csv"), "--source", str(store)]
    words += ["--log-id", builders.LOG_ID.hex(), "--tag-key", key_files[0]]
    assert cli.run(words) == 8
    shown = capsys.readouterr()
    assert [line.split(",")[3] for line in shown.out.splitlines()] == [
        "verdict",
        "match",
        "differs",
    ]
    assert "1 of 2 numbers do not match" in shown.err
