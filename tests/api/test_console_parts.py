"""The console's catalogues, templates and figures."""

import re
from pathlib import Path
from typing import get_args

import pytest

from api.console import cases, governance, pages, settlement, views
from api.services import Services
from ledger.catalogue import KINDS
from ledger.rules.calendar import DAY_MS
from ledger.rules.claims import DISPUTE_WINDOW_MS
from ledger.rules.holds import Scope
from ledger.rules.programmes import ServiceClass
from ledger.rules.vouchers import Part
from ledger.transactions import kind_of
from tests import builders
from tests.api import life
from tests.api.world import World
from words import dates
from words.acts import said
from words.languages import CODES, load, read

pytestmark = pytest.mark.anyio


TEMPLATES = sorted((Path(pages.__file__).parent / "templates").glob("*.html"))
LITERAL_KEY = re.compile(r"""\bt\(\s*["']([a-z0-9_.]+)["']\s*[,)]""")


FIXED = {
    "scope": get_args(Scope),
    "proposal_status": ("open", "adopted", "over"),
    "status": ("open", "suspended", "closed"),
    "service_class": get_args(ServiceClass),
}
"""The fixed values that templates show as words."""
TITLED = (*get_args(Part), *governance.NUMBERS)


def furniture(code: str) -> dict[str, str]:
    """Return the texts of the page alone."""
    return read(pages.FOLDER / "locales" / f"{code}.json")


def test_the_catalogues_have_the_same_keys_and_the_same_places_for_values() -> None:
    english, chinese = (furniture(code) for code in CODES)
    assert english.keys() == chinese.keys()
    for key in english:
        places = [sorted(re.findall(r"\{(\w*)\}", texts[key])) for texts in (english, chinese)]
        assert places[0] == places[1], key


@pytest.mark.parametrize("code", CODES)
def test_every_key_that_a_template_uses_exists_and_every_key_is_used(code: str) -> None:
    used = set()
    for path in TEMPLATES:
        text = path.read_text(encoding="utf-8")
        used |= set(LITERAL_KEY.findall(text))
    assert used == furniture(code).keys()


@pytest.mark.parametrize("code", CODES)
def test_every_word_and_title_that_a_template_shows_exists(code: str) -> None:
    spoken = load(code)
    shown = "".join(path.read_text(encoding="utf-8") for path in TEMPLATES)
    assert set(re.findall(r'\bword\("(\w+)"', shown)) == FIXED.keys()
    assert all(spoken.word(name, value) for name, values in FIXED.items() for value in values)
    assert all(f"field.{name}" in spoken.texts for name in TITLED)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_no_words_of_its_own(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", " ", text, flags=re.DOTALL)
    words = set(re.findall(r"[A-Za-z\u4e00-\u9fff]+", text))
    assert words <= {"Tallystick", "English", "简体中文"}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_nothing_inline_that_the_policy_forbids(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*src=)|https?://", text)


def test_a_bars_parts_follow_one_another_and_stay_within_it() -> None:
    row = views.ProgrammeRow(
        id="a.b",
        title="",
        status="open",
        assumed=(),
        appropriated=999,
        outstanding=333,
        burned=500,
        expired=0,
        free=166,
    )
    burned, outstanding = row.parts
    assert (burned.start, burned.length, outstanding.start) == (0, 500, 500)
    assert outstanding.start + outstanding.length == 833


async def test_every_kind_of_transaction_is_told_as_a_summary(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.live(world.node)
    monkeypatch.setattr(views, "TRANSACTIONS_SHOWN", 1_000)
    services = world.app.state.services
    with services.reader.begin() as snapshot:
        rows = views.transactions(snapshot)
    assert {kind_of(row.operation) for row in rows} == set(KINDS)
    assert all(row.is_final for row in rows)
    names = [said(row.operation, load("en")).name for row in rows]
    assert names[:5] == ["Consent to terms", "Publication", "Credit note", "Clearing", "Vote"]
    console = pages.Console()
    for code, words in (("en", "Credit note"), ("zh", "红字冲销")):
        text = console.render(
            "transactions.html", console.languages[code], shown=rows, height=1, network=""
        )
        assert words in text
        assert all(said(row.operation, load(code), items_max=2).sentence for row in rows)


async def test_a_row_says_what_was_done_and_leads_to_its_vouchers(world: World) -> None:
    life.live(world.node)
    text = (await world.client.get("/console/fragment/transactions?lang=en")).text
    link = f'<a href="/console/vouchers/{life.SECOND}?lang=en"><code>{life.SECOND}</code></a>'
    assert f"1.00 yuan of voucher {link} is taken back" in text
    text = (await world.client.get("/console/fragment/transactions?lang=zh")).text
    assert "撤销算力券" in text and "1.00 元" in text


async def test_debts_are_summed_by_pair_and_a_part_is_called_a_part(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.node.commit(builders.mint(("firm-a", 10_000_000)))
    for number in (1, 2, 3):
        world.node.commit(
            builders.redeem(("shanghai.compute.000000001", 100), invoice=f"invoice-{number}")
        )
    services = world.app.state.services
    with services.reader.begin() as snapshot:
        (debt,) = settlement.payables(snapshot).rows
        monkeypatch.setattr(settlement, "PAYABLES_SCAN_MAX", 2)
        part = settlement.payables(snapshot)
    assert (debt.debtor, debt.creditor, debt.payables, debt.amount, debt.open) == (
        "shanghai",
        "guian-hub",
        3,
        300,
        300,
    )
    assert (part.is_part, part.summed, part.rows[0].amount) == (True, 2, 200)


async def test_what_a_cycle_settled_is_not_owed_twice(world: World) -> None:
    life.live(world.node)
    with world.app.state.services.reader.begin() as snapshot:
        debts = {(one.debtor, one.creditor): one for one in settlement.payables(snapshot).rows}
    owed = debts["shanghai", "guiyang"]
    assert (owed.amount, owed.open) == (400_000, 400_000)  # not 800,000
    paid = debts["shanghai", "guian-hub"]
    assert (paid.amount, paid.paid, paid.pending) == (960_000, 600_000, 90_000)
    assert paid.open == paid.amount - paid.paid - paid.pending


async def test_claims_that_wait_are_told_by_age(world: World) -> None:
    life.live(world.node)
    with world.app.state.services.reader.begin() as snapshot:
        waiting = cases.claims(snapshot)
    assert (waiting.under_review, waiting.disputed) == (1, 0)
    (row,) = waiting.rows
    assert (row.claim.id, row.days) == (life.WAITING, 1)
    assert row.disputable_until_ms == row.claim.submitted_ms + DISPUTE_WINDOW_MS
    assert [(age.claims, age.amount, age.length) for age in waiting.ages] == [
        (1, 100_000, 1000),
        *[(0, 0, 0)] * 3,
    ]
    world.node.commit(time_ms=life.NEXT_DAY_MS + 29 * DAY_MS)
    with world.app.state.services.reader.begin() as snapshot:
        later = cases.claims(snapshot)
    assert [age.claims for age in later.ages] == [0, 0, 1, 0]
    assert later.rows[0].disputable_until_ms is None


async def test_a_claim_that_is_looked_past_is_not_passed_over_in_silence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.live(world.node)
    monkeypatch.setattr(cases, "CLAIMS_SCAN_MAX", 3)  # the fourth one waits
    text = (await world.client.get("/console/fragment/claims?lang=en")).text
    assert "Only the first 3 claims were looked at here." in text


async def test_exceptions_are_what_is_held_recovered_or_did_not_arrive(world: World) -> None:
    life.live(world.node)
    with world.app.state.services.reader.begin() as snapshot:
        found = cases.exceptions(snapshot)
    assert [(hold.scope, hold.thing) for hold in found.holds] == [("party", "firm-b")]
    assert [row.recovery.party for row in found.recoveries] == ["firm-b"]
    assert [row.payment.id for row in found.payments] == ["E2", "E3", "E4"]
    text = (await world.client.get("/console/fragment/exceptions?lang=en")).text
    for word in ("Payment objected to", "nothing arrived", "Payment returned", "Recovery of keys"):
        assert word in text


async def test_governance_shows_votes_and_what_is_in_force(world: World) -> None:
    life.live(world.node)
    with world.app.state.services.reader.begin() as snapshot:
        shown = governance.governance(snapshot)
    assert [(row.proposal.number, row.status) for row in shown.proposals] == [
        (2, "open"),
        (1, "adopted"),
    ]
    assert (shown.cities, shown.members) == (2, 5)
    assert dict(shown.parameters)["block_transactions_max"] == 4_000
    world.node.commit(time_ms=builders.NOON_MS + 15 * DAY_MS)
    text = (await world.client.get("/console/fragment/governance?lang=en")).text
    assert "not adopted" in text


@pytest.mark.parametrize("code", CODES)
async def test_the_open_cycle_shows_its_nets_and_from_when_it_closes(
    world: World, code: str
) -> None:
    text = (await world.client.get(f"/console/fragment/settlement?lang={code}")).text
    assert furniture(code)["settlement.empty"] in text
    life.live(world.node)
    world.app.state.console()._drawn.clear()
    text = (await world.client.get(f"/console/fragment/settlement?lang={code}")).text
    assert "-1,000.00" in text and "1,000.00" in text
    assert dates.clock(life.NEXT_DAY_MS + 1_000 + DAY_MS) in text


@pytest.mark.parametrize("code", CODES)
async def test_a_vouchers_page_shows_where_its_value_is_and_its_reserves(
    world: World, code: str
) -> None:
    life.live(world.node)
    page = await world.client.get(f"/console/vouchers/{life.FIRST}?lang={code}")
    part = await world.client.get(f"/console/fragment/voucher/{life.FIRST}?lang={code}")
    assert page.status_code == part.status_code == 200
    assert part.text in page.text
    for shown in ("99,995.00", "87,995.00", "1,100.00", "9,900.00", life.RESERVE, "3,000.00"):
        assert shown in part.text
    assert f'href="/console/vouchers/{life.FIRST}?lang=en"' in page.text
    missing = "/console/vouchers/shanghai.compute.000000099"
    assert await world.problem(missing) == (404, "not_found")


async def test_what_the_node_alone_knows_is_unknown_without_it(world: World) -> None:
    await world.lose_node()
    for name in ("summary", "validators", "finality"):
        text = (await world.client.get(f"/console/fragment/{name}?lang=en")).text
        assert "does not answer" in text, name
    assert "1,000,000.00" in (await world.client.get("/console/fragment/programmes")).text


async def test_a_node_that_has_seen_no_commit_says_so(world: World) -> None:
    assert views.finality(await world.node.status()) is None
    text = (await world.client.get("/console/fragment/validators?lang=en")).text
    assert "seen no commit" in text


async def test_a_fragment_is_drawn_at_most_every_so_often_for_all_readers(world: World) -> None:
    services = world.app.state.services
    assert isinstance(services, Services)
    made = pages.Console()
    spoken = made.languages["en"]
    first = made.fragment(services, None, "programmes", spoken)
    world.node.commit(builders.mint(("firm-a", 100)))
    assert made.fragment(services, None, "programmes", spoken) is first
    made._drawn.clear()
    assert made.fragment(services, None, "programmes", spoken).height == first.height + 1


async def test_a_fragment_that_takes_long_is_drawn_more_rarely(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(pages, "monotonic", lambda: now)

    def slow(*_: object) -> views.Programmes:
        nonlocal now
        now += 2.0
        return programmes

    services = world.app.state.services
    with services.reader.begin() as snapshot:
        programmes = views.programmes(snapshot)
    monkeypatch.setitem(pages.FRAGMENTS, "programmes", slow)
    made = pages.Console()
    spoken = made.languages["en"]
    first = made.fragment(services, None, "programmes", spoken)
    now += 19.9
    assert made.fragment(services, None, "programmes", spoken) is first
    now += 0.2
    assert made.fragment(services, None, "programmes", spoken) is not first


async def test_static_files_are_found_by_their_content_only(world: World) -> None:
    for file in pages.Console().files.values():
        answer = await world.client.get(file.address)
        assert (answer.status_code, answer.content) == (200, file.content)
        assert "immutable" in answer.headers["cache-control"]
    assert await world.problem("/console/static/0000000000000000/console.js") == (404, "not_found")


async def test_names_are_escaped(world: World) -> None:
    world.node.commit(builders.publish(programme="guiyang.x", title="<script>alert(1)</script>"))
    text = (await world.client.get("/?lang=en")).text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


async def test_the_commits_shown_are_the_last_ones_oldest_first(world: World) -> None:
    for number in range(views.COMMITS_SHOWN + 3):
        world.node.commit(builders.mint(("firm-a", 100 + number)))
    shown = views.shown_commits(await world.node.status())
    assert shown is not None
    last = world.chain.ledger.last().height
    expected = list(range(last - views.COMMITS_SHOWN + 1, last + 1))
    assert [commit.height for commit in shown] == expected
