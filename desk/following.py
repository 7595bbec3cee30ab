"""Following a transaction to its end: what a status means for whoever waits.

Data in, data out: who asks the node, and how often, is somebody else's business.
"""

from dataclasses import dataclass, replace
from typing import Literal

from desk.documents import Json, TransactionDocument
from words import answers, dates
from words.languages import Language

QUORUM_AGE_MAX_MS = 5_000
"""From here on a node without quorum counts as unreachable."""

Meaning = Literal["final", "refused", "open", "no_quorum", "ask_again"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long somebody waits."""

    waits: bool
    """Whether at all."""
    is_over: bool
    """Whether the time that was given is over."""


class OfAnother(Exception):
    """The document is not about the transaction that was asked for; the text says what it says."""


def checked(
    document: TransactionDocument, transaction_id: str, expires_at: int | None
) -> TransactionDocument:
    """Return a document that speaks of the transaction asked about; raise OfAnother.

    Checks what anybody can check alone: the id, the expiry that was signed, and that nothing
    expires before its time by the node's own block time.
    """
    if document.id != transaction_id:
        raise OfAnother("answered about another transaction")
    if expires_at is not None and document.expires_at not in (None, expires_at):
        raise OfAnother("names another expiry than was signed")
    too_early = expires_at is not None and document.node.time_ms < expires_at
    if document.status == "expired" and too_early:
        # By its clock, not yet by block time: another node may still hold it.
        return replace(document, status="pending", code="ok", message="")
    return document


def meaning_of(document: TransactionDocument, patience: Patience) -> Meaning:
    """Return what a document means for whoever waits.

    ``final`` is certain, and so is what expired. What was ``refused`` no node keeps: it becomes
    final only if somebody sends it again. ``open`` may still become final, and waiting ends here;
    ``no_quorum`` too, since nothing can become final at this node now.
    """
    match document.status:
        case "final":
            return "final"
        case "refused" | "expired":
            return "refused"
    if document.node.quorum_age_ms >= QUORUM_AGE_MAX_MS:
        return "no_quorum"
    return "ask_again" if patience.waits and not patience.is_over else "open"


def text_of(
    document: TransactionDocument, meaning: Meaning, expires_at: int | None, spoken: Language
) -> str:
    """Return what is told of a transaction that did not become final."""
    still_open = how_to_wait(document.id, document.expires_at or expires_at, spoken)
    if meaning == "no_quorum":
        return spoken.text(
            "follow.no_quorum",
            node=document.node.name,
            seconds=document.node.quorum_age_ms // 1000,
            open=still_open,
        )
    sentence = sentence_of(document, spoken)
    if document.status == "expired":
        return spoken.text("follow.expired", id=document.id, sentence=sentence.rstrip(".。"))
    if document.status == "refused":
        told = {"code": document.code, "sentence": sentence}
        return spoken.text("follow.refused", id=document.id, **told)
    return spoken.text("follow.status", status=spoken.status(document.status), open=still_open)


def sentence_of(document: TransactionDocument, spoken: Language) -> str:
    """Return why a transaction is refused."""
    return answers.sentence(document.code, document.values, spoken, otherwise=document.message)


def how_to_wait(transaction_id: str, expires_at: int | None, spoken: Language) -> str:
    """Return the sentence that says what is open, until when, and how to wait for it."""
    command = f"tally tx wait {transaction_id}"
    until = spoken.text("follow.its_expiry")
    if expires_at is not None:
        command += f" --expires-at {expires_at}"
        until = dates.moment(expires_at)
    return spoken.text("follow.open", id=transaction_id, until=until, command=command)


def details_of(document: TransactionDocument, expires_at: int | None) -> Json:
    """Return the same for programs."""
    return {
        "id": document.id,
        "status": document.status,
        "code": document.code,
        "number": document.number,
        "values": document.values,
        "expires_at": document.expires_at or expires_at,
        "node": document.node.name,
        "height": document.node.height,
    }
