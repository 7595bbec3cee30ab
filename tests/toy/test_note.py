"""A toy kind `voucher.note`, declared in one file here: what a new kind needs, and what it finds.

Older software lacks the kind; newer has it, and it holds only from the height that members chose.
"""

from pathlib import Path

import msgspec
import pytest

from api.exported import posting_rows
from api.reads import head_of
from audit import files
from audit.verdicts import Unverifiable
from desk.drafts import drafted
from desk.sheets import sheet_of
from ledger import catalogue
from ledger.blocks import BlockRefused, Limits
from ledger.encoding import codec
from ledger.inadmissible import KindUnknown
from ledger.ledger import Ledger
from ledger.rules.governance import SetRulesVersion
from ledger.rules.refusals import VoucherNotHeld
from ledger.store.lmdb_store import LmdbReader, LmdbStore
from ledger.transactions import Transaction, parse, seal
from ledger.view import must
from node.verifying import _verify_all
from tests import builders
from tests.audit.conftest import audited
from tests.audit.forge import heights_of, write
from tests.builders import Chain, key, signed
from tests.decided import DecidedChain
from tests.node.test_fetch import MAP_BYTES, Mirror
from tests.toy.note import NOTES, WORDS, Note
from trials.replay import replay
from words import answers
from words.acts import in_words, said
from words.languages import CODES, load

VOUCHER, OTHERS_VOUCHER = "shanghai.compute.000000001", "shanghai.compute.000000002"
REMARK = bytes(31) + b"\x07"
"""Commits to nothing: nobody here opens it."""
FROM_HEIGHT = 12
"""The first height of rules version 2."""


def note(*, voucher: str = VOUCHER) -> bytes:
    """Return the remark of firm-a about a voucher."""
    operation = Note(voucher=voucher, holder="firm-a", remark=REMARK)
    return signed(operation, ("firm-a", "owner"))


def rehearsal() -> bytes:
    """Return the same with a signature of zeros, as a wallet rehearses it."""
    transaction_body = msgspec.msgpack.decode(note())[0]
    return seal(transaction_body, {key("firm-a", "owner"): bytes(64)})


def stocked() -> Chain:
    """Return a chain on which both firms hold a voucher, under rules version 1."""
    chain = builders.funded_chain()
    chain.accept(builders.mint(("firm-a", 10_000), ("firm-b", 10_000)))
    return chain


def version_2(from_height: int) -> tuple[bytes, ...]:
    """Return the transactions by which members choose rules version 2."""
    action = SetRulesVersion(version=2, from_height=from_height)
    voters = ("guiyang", "guian-hub", "chengdu-aicc")
    return (builders.propose(action), *(builders.vote(voter=voter) for voter in voters))


def require_unknown_everywhere(chain: Chain) -> None:
    """Assert that a chain refuses the toy kind wherever it can come, and is none the worse."""
    ledger, raw = chain.ledger, note()
    before = ledger.last()
    for ask in (ledger.check, lambda raw: ledger.simulate(raw, time_ms=chain.now_ms)):
        with pytest.raises(KindUnknown) as unknown:
            ask(raw)
        assert (unknown.value.code, unknown.value.values) == (
            "kind_unknown",
            {"kind": "voucher.note"},
        )
    with pytest.raises(KindUnknown):
        ledger.simulate(rehearsal(), time_ms=chain.now_ms)
    with pytest.raises(BlockRefused, match=r"know no kind voucher\.note") as refused:
        chain.block(builders.transfer(VOUCHER, 1), raw)
    assert refused.value.position == 1
    assert ledger.last() == before
    chain.accept(builders.attest("firm-a"))


def test_software_that_lacks_the_kind_tells_it_from_a_malformed_one_and_refuses_it() -> None:
    with pytest.raises(KindUnknown, match=r"know no kind voucher\.note"):
        parse(note())
    with pytest.raises(codec.NotCanonical):
        parse(note() + b"\0")
    require_unknown_everywhere(stocked())


def test_older_software_passes_it_over_where_a_peer_sends_it_on() -> None:
    mint = builders.mint(("firm-a", 1))
    good, unknown, malformed = _verify_all((mint, note(), b"\0"))
    assert isinstance(good, Transaction)
    assert isinstance(unknown, KindUnknown)
    assert isinstance(malformed, codec.NotCanonical)


@pytest.mark.usefixtures("newer")
def test_under_rules_version_1_newer_software_refuses_it_too() -> None:
    chain = stocked()
    transaction = parse(note())
    assert (transaction.kind, transaction.rows) == ("voucher.note", 1)
    require_unknown_everywhere(chain)
    height = chain.ledger.last().height + 1
    mint = builders.mint(("firm-a", 5))
    proposed = chain.ledger.propose(
        [transaction, parse(mint)], height=height, time_ms=chain.now_ms + 1, limits=Limits()
    )
    assert proposed == (mint,), "a proposer leaves it out"


@pytest.mark.usefixtures("newer")
def test_it_holds_from_the_height_that_members_chose() -> None:
    chain = stocked()
    ledger = chain.ledger
    chain.accept(*version_2(FROM_HEIGHT))
    while ledger.last().height < FROM_HEIGHT - 2:
        chain.block()
    require_unknown_everywhere(chain)
    assert ledger.last().height == FROM_HEIGHT - 1
    assert ledger.check(note()).refusal is None
    assert ledger.simulate(rehearsal(), time_ms=chain.now_ms).postings == ()
    foreign = note(voucher=OTHERS_VOUCHER)
    raws = ledger.propose(
        [parse(note()), parse(foreign)],
        height=FROM_HEIGHT,
        time_ms=chain.now_ms + 1,
        limits=Limits(),
    )
    assert raws == (note(),), "what the rule refuses is not proposed"
    with pytest.raises(BlockRefused, match=f"transaction 1 is refused: {VoucherNotHeld.code}"):
        chain.block(note(), foreign)
    execution = chain.block(note(), time_ms=chain.now_ms)
    assert execution.record is not None
    assert execution.record.rules_version == 2
    assert must(ledger._storage, NOTES, VOUCHER).remark == REMARK


@pytest.fixture
def export(newer: None, tmp_path: Path) -> Path:
    """An export of a ledger on which a remark was made, by newer software."""
    store = LmdbStore(tmp_path / "store", map_bytes=MAP_BYTES, durable=False)
    made = DecidedChain(Chain(ledger=Ledger(store)))
    made.block(builders.publish(), builders.enrol("firm-a"), builders.enrol("firm-b"))
    made.block(builders.accredit(), builders.appropriate(), builders.recognise())
    made.block(builders.mint(("firm-a", 10_000), ("firm-b", 10_000)), *version_2(8))
    while made.chain.ledger.last().height < 7:
        made.block()
    made.block(note())
    made.block(builders.transfer(VOUCHER, 1), after_ms=6_000)
    store.close()
    mirror = Mirror.of(tmp_path / "store")
    return write(tmp_path / "export", mirror.genesis, heights_of(mirror))


def test_it_is_exported_and_replayed_by_both_replays(export: Path, tmp_path: Path) -> None:
    report = audited(export, tmp_path / "audit")
    assert report.counts.transactions == 13
    store = LmdbStore(tmp_path / "again", map_bytes=MAP_BYTES, durable=False)
    genesis = (export / files.GENESIS).read_bytes()
    twin = replay(genesis, files.read_entries(export), storage=store, verify_commit=None)
    assert twin.record_hash == report.counts.record_hash
    assert must(store, NOTES, VOUCHER).remark == REMARK
    store.close()


def test_it_stands_in_the_tables_that_auditors_take_away(export: Path, tmp_path: Path) -> None:
    reader = LmdbReader(tmp_path / "store")
    with reader.begin() as snapshot:
        entries = posting_rows(snapshot, 0, head_of(snapshot).log_size)
        rows = [row for _, rows_of_entry in entries for row in rows_of_entry]
    reader.close()
    assert [row["posting"] for row in rows if row["kind"] == "voucher.note"] == [None]


def test_software_that_lacks_the_kind_says_that_it_can_not_verify_such_a_log(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(catalogue.KINDS, "voucher.note")
    with pytest.raises(Unverifiable, match=r"know no kind voucher\.note"):
        audited(export, tmp_path / "audit")


@pytest.mark.usefixtures("newer")
@pytest.mark.parametrize("code", CODES)
def test_it_is_shown_in_both_languages_with_its_words_and_without(code: str) -> None:
    operation = parse(note()).body.operation
    draft = drafted(operation, log_id=builders.LOG_ID, expires_at=builders.NOON_MS)
    bare, spoken = load(code), load(code).extended(WORDS[code])
    saying = said(operation, spoken)
    assert saying.name == WORDS[code]["kind.voucher.note"]
    sentence = WORDS[code]["says.voucher.note"].format(
        holder="firm-a", voucher=VOUCHER, remark=REMARK.hex()
    )
    assert saying.sentence == sentence
    assert sentence in in_words(operation, spoken) and sentence in sheet_of(draft, spoken).says
    unnamed = in_words(operation, bare)
    for part in ("voucher.note", VOUCHER, "firm-a", REMARK.hex()):
        assert part in unnamed, "nothing that is signed is left out for want of words"


@pytest.mark.parametrize("code", CODES)
def test_that_it_is_unknown_is_said_in_both_languages(code: str) -> None:
    with pytest.raises(KindUnknown) as unknown:
        parse(note())
    told = answers.sentence(unknown.value.code, unknown.value.values, load(code))
    assert "voucher.note" in told
    assert (told == str(unknown.value)) == (code == "en")
