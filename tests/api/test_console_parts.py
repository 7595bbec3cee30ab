"""The console's catalogues, templates and figures."""

import re
from pathlib import Path

import pytest

from api.console import language, pages, views
from api.documents import code_of
from api.services import Services
from ledger.transactions import RULES
from tests import builders
from tests.api.world import World

pytestmark = pytest.mark.anyio


def kind_of_type(operation: type) -> str:
    """Return the text name of an operation's kind."""
    return str(operation.__struct_config__.tag)  # type: ignore[attr-defined]


TEMPLATES = sorted((Path(pages.__file__).parent / "templates").glob("*.html"))
LITERAL_KEY = re.compile(r"""\bt\(\s*["']([a-z0-9_.]+)["']\s*[,)]""")
FAMILY_KEY = re.compile(r"""\bt\(\s*["']([a-z0-9_.]+\.)["']\s*~""")
FAMILIES: dict[str, list[str]] = {
    "kind.": [kind_of_type(operation) for operation in RULES],
    "programmes.status.": ["open", "suspended", "closed"],
}


def test_the_catalogues_have_the_same_keys_and_the_same_places_for_values() -> None:
    english, chinese = language.load("en").texts, language.load("zh").texts
    assert english.keys() == chinese.keys()
    for key in english:
        places = [sorted(re.findall(r"\{(\w*)\}", texts[key])) for texts in (english, chinese)]
        assert places[0] == places[1], key


@pytest.mark.parametrize("code", language.CODES)
def test_every_key_that_a_template_uses_exists_and_every_key_is_used(code: str) -> None:
    used = set()
    for path in TEMPLATES:
        text = path.read_text(encoding="utf-8")
        used |= set(LITERAL_KEY.findall(text))
        for family in FAMILY_KEY.findall(text):
            used |= {f"{family}{member}" for member in FAMILIES[family]}
    assert used == language.load(code).texts.keys()


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


@pytest.mark.parametrize(
    ("asked", "accepted", "code"),
    [
        (None, "", "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "en-GB,zh;q=0.9", "en"),
        (None, "fr, zh;q=0.2", "zh"),
        (None, "zh;q=0, en;q=0.1", "en"),
        (None, "zh;q=nan,,;;,zh;q=2", "en"),
        ("zh", "en", "zh"),
        ("xx", "zh", "zh"),
    ],
)
def test_the_language_is_the_asked_one_then_the_browsers(
    asked: str | None, accepted: str, code: str
) -> None:
    assert language.chosen(asked, accepted) == code


@pytest.mark.parametrize(
    ("fen", "text"),
    [(0, "0.00"), (5, "0.05"), (123_456, "1,234.56"), (-7, "−0.07"), (100_000_000, "1,000,000.00")],
)
def test_money_is_written_in_yuan_with_two_decimals(fen: int, text: str) -> None:
    assert language.yuan(fen) == text


def test_moments_are_written_at_plus_eight() -> None:
    assert language.clock(builders.GENESIS_MS) == "2026-01-01 08:00:00"
    midnight = builders.GENESIS_MS + 16 * 3_600_000
    assert language.day(midnight) == "2026-01-01"


def test_percentiles_are_values_that_occurred() -> None:
    assert views.percentile([30, 10, 20], 50) == 20
    assert views.percentile([30, 10, 20], 95) == 30
    assert views.percentile([7], 50) == 7
    assert views.percentile(list(range(1, 101)), 95) == 95


def test_a_bars_parts_follow_one_another_and_stay_within_it() -> None:
    row = views.ProgrammeRow(
        id="a.b",
        title="",
        status="open",
        assumed=(),
        appropriated=999,
        outstanding=333,
        burned=500,
        lapsed=0,
        free=166,
    )
    burned, outstanding = row.parts
    assert (burned.start, burned.length, outstanding.start) == (0, 500, 500)
    assert outstanding.start + outstanding.length == 833


async def test_every_kind_of_transaction_is_told_as_a_deed(world: World) -> None:
    world.node.commit(builders.mint(("firm-a", 10_000_000)), builders.attest("firm-a"))
    world.node.commit(builders.transfer("shanghai.compute.000000001", 500))
    world.node.commit(builders.redeem(("shanghai.compute.000000001", 1_000)))
    services = world.app.state.services
    with services.reader.begin() as snapshot:
        rows = views.transactions(snapshot)
    assert {row.kind for row in rows} == {kind_of_type(operation) for operation in RULES}
    redeem = rows[0]
    assert (redeem.deed.source, redeem.deed.target) == ("firm-a", "guian-hub")
    assert (redeem.deed.amount, redeem.code, redeem.is_final) == (1_000, code_of(0), True)


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
        (debt,) = views.payables(snapshot).rows
        monkeypatch.setattr(views, "PAYABLES_SCAN_MAX", 2)
        part = views.payables(snapshot)
    assert (debt.debtor, debt.creditor, debt.claims, debt.amount) == (
        "shanghai",
        "guian-hub",
        3,
        300,
    )
    assert (part.is_part, part.summed, part.rows[0].amount) == (True, 2, 200)


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
