"""What a status means for whoever waits, and what is said of it in both languages."""

from dataclasses import replace

import pytest

from desk import following
from desk.documents import Effect, NodeBrief, TransactionDocument, unseen
from desk.following import QUORUM_AGE_MAX_MS, Meaning, OfAnother, Patience
from desk.rehearsal import objection_to
from words.languages import CODES, load

ID = "ab" * 32
EXPIRES_AT = 1_767_225_600_000
NODE = NodeBrief(
    name="shanghai", height=9, time_ms=EXPIRES_AT - 1, record_hash="00", quorum_age_ms=0
)


def document(**changes: object) -> TransactionDocument:
    """Return a document that mentions only what matters."""
    base = replace(unseen(ID, EXPIRES_AT), node=NODE)
    return replace(base, **changes)  # type: ignore[arg-type]


def refused(status: str) -> TransactionDocument:
    """Return a document of what a rule refuses."""
    values: dict[str, int | str] = {"asked": 6_100, "available": 6_000}
    return document(status=status, code="voucher_exhausted", number=502, values=values)


def patience(*, waits: bool = True, is_over: bool = False) -> Patience:
    """Return how long somebody waits."""
    return Patience(waits=waits, is_over=is_over)


LOST = replace(NODE, quorum_age_ms=QUORUM_AGE_MAX_MS)
LAGGING = replace(NODE, quorum_age_ms=QUORUM_AGE_MAX_MS - 1)


@pytest.mark.parametrize(
    ("told", "waiting", "meaning"),
    [
        (document(status="final"), patience(), "final"),
        (refused("refused"), patience(), "refused"),
        (document(status="expired", code="expired"), patience(), "refused"),
        (document(), patience(), "ask_again"),
        (document(), patience(waits=False), "open"),
        (document(), patience(is_over=True), "open"),
        (document(node=LOST), patience(), "no_quorum"),
        (document(node=LOST), patience(waits=False), "no_quorum"),
        (
            document(node=replace(LOST, quorum_age_ms=QUORUM_AGE_MAX_MS - 1)),
            patience(),
            "ask_again",
        ),
        (document(status="final", node=LOST), patience(), "final"),
    ],
)
def test_a_status_means(told: TransactionDocument, waiting: Patience, meaning: Meaning) -> None:
    assert following.meaning_of(told, waiting) == meaning


def test_an_answer_about_another_transaction_is_none() -> None:
    assert following.checked(document(), ID, EXPIRES_AT) == document()
    with pytest.raises(OfAnother, match="another transaction"):
        following.checked(document(), "cd" * 32, None)
    with pytest.raises(OfAnother, match="another expiry"):
        following.checked(document(), ID, EXPIRES_AT + 1)


def test_nothing_expires_before_its_time_by_block_time() -> None:
    told = document(status="expired", code="expired")
    assert following.checked(told, ID, EXPIRES_AT).status == "pending"
    late = replace(told, node=replace(NODE, time_ms=EXPIRES_AT))
    assert following.checked(late, ID, EXPIRES_AT).status == "expired"
    assert following.checked(told, ID, None).status == "expired", "nobody knows better here"


EXPIRED = document(status="expired", code="expired")
SAID = [
    (
        refused("refused"),
        "refused",
        "refused: voucher_exhausted: asked 61.00 yuan, available 60.00",
    ),
    (refused("refused"), "refused", "已拒绝：voucher_exhausted：申请 61.00 元，可用 60.00 元"),
    (EXPIRED, "refused", f"transaction {ID} has expired: Block time has reached"),
    (EXPIRED, "refused", f"交易 {ID} 已过期：区块时间已达到"),
    (document(), "open", f"wait with: tally tx wait {ID} --expires-at {EXPIRES_AT}"),
    (document(), "open", "在 2026-01-01 08:00:00 +08:00 之前仍可能被确认"),
    (document(node=LOST), "no_quorum", "shanghai has seen no quorum for 5 s"),
    (document(node=LOST), "no_quorum", "节点 shanghai 已有 5 秒未见法定多数"),
]


@pytest.mark.parametrize(("told", "meaning", "words"), SAID)
def test_what_is_said_of_it(told: TransactionDocument, meaning: Meaning, words: str) -> None:
    spoken = load("en" if words.isascii() else "zh")
    assert words in following.text_of(told, meaning, EXPIRES_AT, spoken)


@pytest.mark.parametrize("code", CODES)
def test_a_rehearsal_objects_with_the_same_sentence(code: str) -> None:
    told = refused("refused")
    effect = Effect(
        height=9,
        code=told.code,
        number=502,
        message="as the node says",
        values=told.values,
        postings=(),
    )
    objection = objection_to(effect, load(code))
    assert objection is not None and not objection.is_about_keys
    assert following.sentence_of(told, load(code)) in objection.text
    assert objection.details == {
        "code": "voucher_exhausted",
        "number": 502,
        "values": told.values,
        "height": 9,
    }
    assert objection_to(replace(effect, code="ok", number=0), load(code)) is None
    unknown = objection_to(replace(effect, code="key_unknown", values={}), load(code))
    assert unknown is not None and unknown.is_about_keys


@pytest.mark.parametrize("code", CODES)
def test_a_code_of_newer_software_says_what_the_node_said(code: str) -> None:
    told = document(status="refused", code="of_tomorrow", message="as the node says")
    assert following.sentence_of(told, load(code)) == "as the node says"
