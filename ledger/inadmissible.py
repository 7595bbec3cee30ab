"""Every way in which a transaction cannot stand in a block at all: stable code and typed values.

It is answered and never logged, so it has no number. The codes are protocol (spec X7) and stand
here in the order in which they are looked for.
"""

from ledger.coded import Coded, coded


class Inadmissible(Coded):
    """The transaction can stand in no block now; nothing is logged and its id is not spent."""


@coded
class EnvelopeMalformed(Inadmissible):
    """The bytes are no canonical envelope."""

    code = "not_canonical"
    sentence = "{reason}"
    reason: str


@coded
class AlreadyLogged(Inadmissible):
    """The transaction's id is spent."""

    code = "already_logged"
    sentence = "{id} is logged already"
    id: str


@coded
class KindUnknown(Inadmissible):
    """The rules of this height know no such kind of transaction, or this software knows none."""

    code = "kind_unknown"
    sentence = "the rules in force here know no kind {kind}"
    kind: str


@coded
class WrongLog(Inadmissible):
    """The transaction was signed for another ledger."""

    code = "wrong_log"
    sentence = "signed for log {signed_for}, this is {log_id}"
    signed_for: str
    log_id: str


@coded
class Expired(Inadmissible):
    """Block time has reached the transaction's expiry."""

    code = "expired"
    sentence = "expired at {expires_at_ms}, block time is {time_ms}"
    expires_at_ms: int
    time_ms: int


@coded
class ExpiresTooFar(Inadmissible):
    """The transaction's expiry lies further ahead than the parameters allow."""

    code = "expires_too_far"
    sentence = (
        "expires at {expires_at_ms}, at most {expiry_ahead_max_ms} ms ahead of {time_ms} is allowed"
    )
    expires_at_ms: int
    expiry_ahead_max_ms: int
    time_ms: int


@coded
class KeyUnknown(Inadmissible):
    """A key that signed was not registered and alive before the block."""

    code = "key_unknown"
    sentence = "key {key} is not registered"
    key: str


@coded
class BadSignature(Inadmissible):
    """A signature does not verify."""

    code = "bad_signature"
    sentence = "the signature by {key} does not verify"
    key: str = "one of its keys"
    """The first, in hex; in words where only whether all verify was asked."""


def all_inadmissible() -> tuple[type[Inadmissible], ...]:
    """Return every class, in the order of the table."""
    return tuple(Inadmissible.__subclasses__())
