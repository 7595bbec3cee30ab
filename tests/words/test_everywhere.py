"""The same words wherever they are shown: a command line and a server process, in both languages.

The wallet's commands run for real against a real server; the node behind it says what a test asks.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.console import views
from desk.description import operation_from
from desk.drafts import Draft, drafted
from desk.files import written
from ledger.catalogue import KINDS
from ledger.encoding import crypto
from ledger.genesis import log_id_of
from ledger.inadmissible import all_inadmissible
from ledger.rules.refusals import all_refusals
from ledger.status import TransactionStatus
from ledger.transactions import parse
from node.port import Effect
from tests.api.life import NEXT_DAY_MS, live
from tests.api.process import Served, served_at
from tests.builders import MINUTE_MS, genesis, seed
from tests.wallet.terminal import Tally
from tests.words.examples import descriptions
from wallet.profile import NodeAddress, Profile, save_profile
from words.answers import placeholders, templates
from words.languages import CODES

INADMISSIBLE = {error.code for error in all_inadmissible()}

LOG_ID = log_id_of(genesis())
REFUSALS = {refusal.code: refusal for refusal in all_refusals()}
NUMBERS = {"day": 20_700, "today": 20_701}
TEXTS = {"status": "suspended", "kind": "holder", "expected": "city or data_centre"} | {
    "reason": "a funder is named twice"
}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
ANSWERED_OTHERWISE = ("expired", "already_logged")
"""What a server answers with a document: the transaction is over, or in the log."""
EXPIRES_AT = NEXT_DAY_MS + 60 * MINUTE_MS


def values_of(code: str) -> dict[str, int | str]:
    """Return values of the types that a code has."""
    if code in INADMISSIBLE:
        names = sorted(placeholders(templates()[code].sentence))
        typed = {name: int if name.endswith("_ms") else str for name in names}
    else:
        typed = {name: int if type_ in (int, "int") else str for name, type_ in annotated(code)}
    return {
        name: NUMBERS.get(name, NEXT_DAY_MS if name.endswith("_ms") else 6_100)
        if type_ is int
        else TEXTS.get(name, "firm-a")
        for name, type_ in typed.items()
    }


def annotated(code: str) -> list[tuple[str, Any]]:
    """Return the typed values of a refusal."""
    return list(REFUSALS[code].__annotations__.items())


def number_of(code: str) -> int:
    """Return a code's number, 0 for what is inadmissible."""
    return REFUSALS[code].number if code in REFUSALS else 0


def drafted_for(description: dict[str, Any], expires_at: int = EXPIRES_AT) -> Draft:
    """Return a draft with one signature, whose ever it is."""
    draft = drafted(operation_from(description), log_id=LOG_ID, expires_at=expires_at)
    key = seed("everywhere")
    return draft.signed({crypto.public_key(key): crypto.sign(key, draft.message)})


@dataclass
class Places:
    """Both places where words are shown."""

    served: Served
    tally: Tally
    folder: Path

    def say(self, code: str, status: str) -> None:
        """Let the node answer every transaction with a code."""
        values = tuple(values_of(code).items())

        async def submit(raw: bytes) -> TransactionStatus:
            return TransactionStatus(
                id=parse(raw).id,
                status=status,  # type: ignore[arg-type]
                code=code,
                number=number_of(code),
                sentence="as the node says",
                values=values,
                expires_at=EXPIRES_AT,
                sequence=(),
                height=(),
            )

        async def simulate(raw: bytes) -> Effect:
            return Effect(
                height=1,
                code=code,
                number=number_of(code),
                sentence="as the node says",
                values=values,
                postings=(),
            )

        node = self.served.node.node
        node.submit, node.simulate = submit, simulate  # type: ignore[method-assign]

    def api(self, method: str, path: str, language: str, content: bytes | None = None) -> Any:
        """Return what the server answers a client of a language."""
        answer = httpx2.request(
            method,
            self.served.address + path,
            content=content,
            headers={"Accept-Language": language},
        )
        assert answer.headers["content-language"] == language
        assert answer.headers["vary"] == "Accept-Language"
        return answer.json()

    def file(self, draft: Draft) -> str:
        """Return a transaction file."""
        path = self.folder / f"{draft.id}.tx"
        path.write_bytes(written(draft, "dev-test"))
        return str(path)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a chain that every kind of transaction has touched."""
    with served_at(tmp_path_factory.mktemp("served"), live) as running:
        yield running


@pytest.fixture
def places(
    served: Served,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Places]:
    """Return a terminal whose profile is the server's, and the server."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("TALLY_PROFILE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    profile = Profile(
        name="served",
        network="dev-test",
        log_id=LOG_ID.hex(),
        nodes=(NodeAddress(name="shanghai", url=served.address),),
        dev_seed=None,
    )
    save_profile(profile, make_default=True)
    yield Places(served, Tally(capsys), tmp_path)
    for name in ("submit", "simulate"):
        vars(served.node.node).pop(name, None)


TRANSFER = dict(next(one for name, one in descriptions() if name == "voucher.transfer"))


@pytest.mark.parametrize("language", CODES)
@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_is_told_in_the_same_words(places: Places, code: str, language: str) -> None:
    places.say(code, "refused")
    draft = drafted_for(TRANSFER)
    file = places.file(draft)
    told = places.api("POST", "/v1/transactions", language, draft.envelope())
    assert (told["code"], told["values"]) == (code, values_of(code))
    sentence = told["message"]
    assert sentence and "as the node says" not in sentence and "{" not in sentence
    assert bool(CHINESE.search(sentence)) == (language == "zh")
    assert places.tally("--lang", language, "tx", "send", file) == 4
    assert (
        f"{code}: {sentence} (" in places.tally.err or f"{code}：{sentence}（" in places.tally.err
    )

    effect = places.api("POST", "/v1/transactions/simulate", language, draft.envelope())
    assert effect["message"] == sentence
    assert places.tally("--lang", language, "tx", "simulate", file) == 4
    assert sentence in places.tally.err
    document = places.tally.json("--lang", language, "tx", "simulate", file, exits=4)["error"]
    assert sentence in document["message"]
    assert (document["details"]["code"], document["details"]["values"]) == (code, values_of(code))


@pytest.mark.parametrize("language", CODES)
@pytest.mark.parametrize("code", sorted(INADMISSIBLE))
def test_what_is_inadmissible_is_told_in_the_same_words(
    places: Places, code: str, language: str
) -> None:
    places.say(code, "inadmissible")
    draft = drafted_for(TRANSFER)
    file = places.file(draft)
    effect = places.api("POST", "/v1/transactions/simulate", language, draft.envelope())
    sentence = effect["message"]
    assert "as the node says" not in sentence and "{" not in sentence
    assert bool(CHINESE.search(sentence)) == (language == "zh")
    assert places.tally("--lang", language, "tx", "simulate", file) in (4, 6)
    assert sentence in places.tally.err
    if code in ANSWERED_OTHERWISE:
        return
    problem = places.api("POST", "/v1/transactions", language, draft.envelope())
    assert problem["detail"] == sentence
    assert bool(CHINESE.search(problem["title"])) == (language == "zh")
    assert places.tally("--lang", language, "tx", "send", file) in (4, 6)
    assert sentence in places.tally.err


@pytest.mark.parametrize("language", CODES)
def test_an_expiry_is_told_in_the_same_words(places: Places, language: str) -> None:
    places.say("expired", "expired")
    draft = drafted_for(TRANSFER, expires_at=1)
    told = places.api("POST", "/v1/transactions", language, draft.envelope())
    assert told["code"] == "expired"
    assert places.tally("--lang", language, "tx", "send", places.file(draft)) == 4
    assert told["message"] in places.tally.err


def listed(places: Places, language: str) -> list[Any]:
    """Return all logged transactions as the server lists them."""
    return list(places.api("GET", "/v1/transactions?limit=500", language)["items"])


def test_every_kind_is_said_in_the_same_words(places: Places) -> None:
    english, chinese = (listed(places, language) for language in CODES)
    assert {item["kind"] for item in english} == KINDS.keys()
    for language, items in zip(CODES, (english, chinese), strict=True):
        for item in items:
            file = places.file(drafted_for(item["operation"]))
            assert places.tally("--lang", language, "tx", "decode", file) == 0
            assert item["says"] in " ".join(places.tally.out.split()), item["kind"]
            document = places.tally.json("--lang", language, "tx", "decode", file)
            assert document["says"] == item["says"]


@pytest.mark.parametrize("language", CODES)
def test_the_page_says_what_the_command_line_says(places: Places, language: str) -> None:
    path = f"/console/fragment/transactions?lang={language}"
    page = httpx2.get(places.served.address + path).text
    shown = " ".join(html.unescape(re.sub("<[^>]*>", "", page)).split())
    seen = 0
    for item in listed(places, language)[: views.TRANSACTIONS_SHOWN]:
        sentence = item["says"].partition("：" if language == "zh" else ": ")[2]
        sentence = re.split("[;；]", sentence)[0]
        assert sentence in shown or len(sentence) > 200, item["kind"]
        seen += sentence in shown
    assert seen > views.TRANSACTIONS_SHOWN // 2


def test_json_speaks_english_whatever_the_locale(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    places.say("voucher_exhausted", "refused")
    file = places.file(drafted_for(TRANSFER))
    assert places.tally("tx", "send", file) == 4
    assert "申请 61.00 元，可用 61.00 元" in places.tally.err
    failure = places.tally.json("tx", "send", file, exits=4)["error"]
    assert "asked 61.00 yuan, available 61.00 yuan" in failure["message"]
    assert places.tally("--lang", "en", "tx", "send", file) == 4
    assert "asked 61.00 yuan" in places.tally.err


def test_a_problem_is_told_in_the_language_that_was_asked_for(places: Places) -> None:
    missing = "/v1/vouchers/shanghai.compute.000000099"
    english, chinese = (places.api("GET", missing, language) for language in CODES)
    assert english["title"] == "No such resource"
    assert chinese["title"] == "没有该资源"
    assert chinese["detail"] == "没有 voucher shanghai.compute.000000099"
    same = ("code", "values", "status", "retryable", "type")
    assert all(english[name] == chinese[name] for name in same)
