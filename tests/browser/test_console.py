"""The console in a real browser: both languages, live, and within its content security policy."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from ledger.rules.money import FunderShare
from tests import builders
from tests.api import life
from tests.api.process import Served, served_at
from tests.api.world import FakeNode

CHROMIUM = Path(os.environ.get("TALLY_CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists(),
        reason=f"no Chromium at {CHROMIUM}: install it or set TALLY_CHROMIUM",
    ),
]

VOUCHER = "shanghai.compute.000000001"


def prepare(node: FakeNode) -> None:
    """Mint, redeem and transfer, so that every part of the page has something to show."""
    halves = (
        FunderShare(funder="guiyang", basis_points=5_000),
        FunderShare(funder="henan", basis_points=5_000),
    )
    terms: dict[str, Any] = {
        "programme": "guiyang.compute",
        "title": "Guiyang compute vouchers 2026",
        "assumed": ("rounding", "review_band_yuan"),
        "funders": halves,
        "residual_funder": "guiyang",
    }
    node.commit(builders.publish(**terms), *builders.agreements(**terms))
    node.commit(
        builders.appropriate(50_000_000, programme="guiyang.compute", funder="guiyang"),
        builders.appropriate(50_000_000, programme="guiyang.compute", funder="henan"),
        builders.attest("firm-a"),
    )
    node.commit(
        builders.mint(("firm-a", 30_000_000), ("firm-b", 8_000_000)),
        builders.mint(("firm-b", 12_345_678), programme="guiyang.compute"),
    )
    node.commit(
        builders.redeem((VOUCHER, 12_000_000)), signers=("shanghai", "guiyang", "guian-hub")
    )
    node.commit(
        builders.redeem(
            ("guiyang.compute.000000001", 2_345_677), holder="firm-b", invoice="invoice-2"
        )
    )
    node.commit(builders.transfer(VOUCHER, 9_000_000))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the prepared chain from a process of its own."""
    with served_at(tmp_path_factory.mktemp("console"), prepare) as made:
        yield made


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a chain that every kind of transaction has touched."""
    with served_at(tmp_path_factory.mktemp("lived"), life.live) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a tab that fails the test if the page complains: of a script, or of its own policy."""
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    yield tab
    context.close()
    assert complaints == []


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("Programmes", "Outstanding", "Validators", "Who owes whom", "Redemption")),
        ("zh", ("券种", "未结", "验证节点", "应付关系", "核销")),
    ],
)
def test_the_page_speaks_the_language_and_shows_the_ledger(
    served: Served, page: Page, language: str, words: tuple[str, ...]
) -> None:
    page.goto(f"{served.address}/?lang={language}")
    for word in words:
        expect(page.get_by_text(word, exact=True).first).to_be_visible()
    row = page.locator("#programmes tbody tr", has_text="shanghai.compute")
    expect(row).to_contain_text("1,000,000.00")  # appropriated
    expect(row).to_contain_text("260,000.00")  # outstanding
    expect(row).to_contain_text("120,000.00")  # burned
    expect(page.locator("#payables")).to_contain_text("11,728.39")  # henan's half of a claim
    expect(page.locator("#transactions tbody tr").first).to_contain_text("90,000.00")  # passed on
    expect(page.locator("#live")).to_have_attribute("data-state", "on")


def test_what_is_assumed_is_marked_as_assumed(served: Served, page: Page) -> None:
    page.goto(f"{served.address}/?lang=en")
    row = page.locator("#programmes tbody tr", has_text="guiyang.compute")
    row.get_by_text("Assumed 2").click()
    expect(row).to_contain_text("they are assumed: rounding, review_band_yuan")
    other = page.locator("#programmes tbody tr", has_text="shanghai.compute")
    expect(other.get_by_text("Assumed")).to_have_count(0)


def test_the_bar_is_told_in_words_too(served: Served, page: Page) -> None:
    page.goto(f"{served.address}/?lang=en")
    bar = page.locator("#programmes tbody tr", has_text="shanghai.compute").get_by_role("img")
    expect(bar).to_have_attribute(
        "aria-label",
        "Of 1,000,000.00 yuan appropriated: 120,000.00 burned, 260,000.00 outstanding, "
        "620,000.00 uncommitted",
    )


def test_the_grid_shows_who_did_not_sign(served: Served, page: Page) -> None:
    page.goto(f"{served.address}/?lang=en")
    absent = page.locator("#validators tr", has_text="chengdu-aicc").locator("td.no")
    expect(absent).to_have_count(1)
    expect(absent).to_have_attribute("title", "block 6: not in the certificate")


def test_a_new_block_shows_up_live(served: Served, page: Page) -> None:
    page.goto(f"{served.address}/?lang=en")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    before = int(page.locator("#height").inner_text())
    served.node.commit(builders.transfer(VOUCHER, 4_200))
    expect(page.locator("#height")).to_have_text(str(before + 1))
    newest = page.locator("#transactions tbody tr").first
    expect(newest).to_contain_text("Transfer")
    expect(newest).to_contain_text("42.00")


def test_a_lost_connection_is_said_and_nothing_turns_to_zero(
    browser: Browser, tmp_path: Path
) -> None:
    with served_at(tmp_path) as served, browser.new_page() as tab:
        tab.goto(f"{served.address}/?lang=en")
        expect(tab.locator("#live")).to_have_attribute("data-state", "on")
        served.process.terminate()
        served.process.wait()
        expect(tab.locator("#live")).to_contain_text("Connection lost. The figures below are as of")
        expect(tab.locator("#height")).to_have_text("2")
        expect(tab.locator("#programmes tbody tr")).to_contain_text("1,000,000.00")


def test_the_first_page_follows_the_browsers_language(served: Served, browser: Browser) -> None:
    with browser.new_context(locale="zh-CN") as context, context.new_page() as tab:
        tab.goto(served.address)
        expect(tab.locator("html")).to_have_attribute("lang", "zh-CN")
        expect(tab).to_have_title(re.compile("dev-test"))


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("Claims to decide", "Settlement", "Exceptions", "Governance")),
        ("zh", ("待审兑付申请", "结算", "异常事项", "治理")),
    ],
)
def test_what_waits_for_people_is_shown_in_both_languages(
    lived: Served, page: Page, language: str, words: tuple[str, ...]
) -> None:
    page.goto(f"{lived.address}/?lang={language}")
    for word in words:
        expect(page.get_by_role("heading", name=word, exact=True)).to_be_visible()
    expect(page.locator("#claims")).to_contain_text(life.WAITING)
    expect(page.locator("#settlement")).to_contain_text("-1,000.00")
    expect(page.locator("#exceptions")).to_contain_text("nothing arrived")
    expect(page.locator("#governance")).to_contain_text("henan")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")


def test_the_ageing_of_claims_is_told_in_words_too(lived: Served, page: Page) -> None:
    page.goto(f"{lived.address}/?lang=en")
    bars = page.locator("#claims").get_by_role("img")
    expect(bars).to_have_count(4)
    expect(bars.first).to_have_attribute("aria-label", "1,000.00 yuan in 1 claims")
    expect(page.locator("#claims tbody tr").first).to_contain_text("0 to 6 days")


def test_parameters_stay_open_while_the_page_moves(lived: Served, page: Page) -> None:
    page.goto(f"{lived.address}/?lang=en")
    page.get_by_text("Parameters in force").click()
    value = page.locator("#governance-parameters")
    expect(value).to_contain_text("Transactions of a block, at most")
    before = int(page.locator("#height").inner_text())
    lived.node.commit()  # a heartbeat tells nobody
    expires_at = life.NEXT_DAY_MS + builders.MINUTE_MS
    lived.node.commit(builders.anchor(expires_at=expires_at))
    expect(page.locator("#height")).to_have_text(str(before + 2))
    expect(value.locator("tbody tr").first).to_be_visible()


def test_a_vouchers_page_is_a_click_away_and_moves_too(lived: Served, page: Page) -> None:
    page.goto(f"{lived.address}/?lang=en")
    page.locator("#transactions").get_by_role("link", name=life.SECOND).first.click()
    expect(page.get_by_role("heading", name=f"Voucher {life.SECOND}")).to_be_visible()
    expect(page.locator("#voucher")).to_contain_text("Nothing of it was ever reserved.")
    page.goto(f"{lived.address}/console/vouchers/{life.FIRST}?lang=en")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    expect(page.locator("#voucher tr", has_text=life.RESERVE)).to_contain_text("1,100.00")
    expires_at = life.NEXT_DAY_MS + builders.MINUTE_MS
    lived.node.commit(builders.release(life.RESERVE, 10_000, expires_at=expires_at))
    expect(page.locator("#voucher tr", has_text=life.RESERVE)).to_contain_text("1,000.00")
    page.get_by_role("link", name="简体中文").click()
    expect(page.get_by_role("heading", name=f"算力券 {life.FIRST}")).to_be_visible()


@pytest.mark.parametrize("path", ["/", f"/console/vouchers/{life.FIRST}"])
@pytest.mark.parametrize("width", [360, 768, 1360])
def test_the_page_never_scrolls_sideways(lived: Served, page: Page, width: int, path: str) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{lived.address}{path}?lang=en")
    expect(page.locator("section tbody tr").first).to_be_visible()
    overflow = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert overflow == 0
