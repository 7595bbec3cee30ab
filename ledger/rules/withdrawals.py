"""Withdrawals: a party takes its signature off an act before it is used (spec T26, R3.10)."""

from ledger.encoding.codec import Hash, Natural, Record, Slug
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.parties import party_of
from ledger.view import Draft, StateView, Table, get


class Withdrawal(Record, frozen=True):
    """From when on a party has not signed a transaction, whatever stands under it."""

    since_ms: Natural


WITHDRAWALS = Table("withdrawal", Withdrawal)
"""By the transaction's id in hex and the party."""


class Withdraw(Record, frozen=True, tag="tx.withdraw"):
    """A party takes its signature off a transaction that is not logged yet (T26)."""

    party: Slug
    transaction: Hash
    """Its id. Whoever signed it knows it; of others nothing is withdrawn by naming it."""


def has_withdrawn(view: StateView, transaction_id: bytes, party: str) -> bool:
    """Return whether a party took its signature off a transaction (R3.10)."""
    return get(view, WITHDRAWALS, transaction_id.hex(), party) is not None


def apply_withdraw(view: StateView, tx: Withdraw, context: Context) -> Outcome:
    """Return the write of a withdrawal. Checks run in the order of T26."""
    party = party_of(view, tx.party)
    context.signers.require_threshold(party.id, 1)
    draft = Draft(view)
    withdrawal = Withdrawal(since_ms=context.time_ms)
    draft.put(WITHDRAWALS, withdrawal, tx.transaction.hex(), party.id)
    return Outcome(changes=draft.changes())


WITHDRAW = Kind(record=Withdraw, apply=apply_withdraw, allowed_while_paused=True)
