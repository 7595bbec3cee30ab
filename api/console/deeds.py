"""What transactions do, in words that need no language: ids, an amount, the name of an act."""

from dataclasses import dataclass

from ledger.encoding.codec import Record
from ledger.rules import (
    attestations,
    cases,
    claims,
    payments,
    recoveries,
    redemptions,
    reserves,
    vouchers,
)
from ledger.rules.budgets import Appropriate
from ledger.rules.centres import Accredit, Recognise
from ledger.rules.clearing import Close
from ledger.rules.governance import Propose, Vote
from ledger.rules.parties import RESERVED_ID, Enrol
from ledger.rules.programmes import Publish, issuer_of
from ledger.rules.sums import serial_id
from ledger.transactions import kind_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Who does what to whom."""

    source: str = ""
    target: str = ""
    subject: str = ""
    act: str = ""
    """Which of a kind's acts it is, or which action is proposed; a key of the catalogues."""
    amount: int | None = None
    """In fen; None where no money is named."""
    vouchers: int = 0
    """How many vouchers a mint makes."""
    named: tuple[str, ...] = ()
    """Vouchers that are named."""


def deed_of(operation: Record) -> Deed:
    """Return what an operation does."""
    match operation:
        case Enrol():
            return Deed(source=operation.city, target=operation.party)
        case recoveries.SetKeys(act=change):
            return _of_keys(change)
        case attestations.Attest() | attestations.RevokeAttestation():
            return Deed(
                source=operation.attester, target=operation.subject, subject=operation.topic
            )
        case Accredit():
            return Deed(source=operation.host, target=operation.centre)
        case Recognise():
            return Deed(
                source=operation.issuer,
                target=", ".join(operation.hosts),
                subject=", ".join(operation.programmes),
            )
        case claims.DecideClaim() | claims.Credit():
            return _of_claim(operation)
        case Close():
            return Deed(source=operation.by, target=serial_id(RESERVED_ID, operation.cycle))
        case payments.RecordPayment(act=payment):
            return _of_payment(payment)
        case cases.SetHold():
            return Deed(source=operation.by, target=operation.id)
        case cases.ClearHold():
            return Deed(source=operation.by, target=operation.hold)
        case cases.RecordAnchor():
            return Deed(source=operation.by, subject=operation.about)
        case Propose():
            return Deed(source=operation.proposer, act=kind_of(operation.action))
        case Vote():
            act = "yes" if operation.approve else "no"
            return Deed(source=operation.voter, target=f"#{operation.proposal}", act=act)
        case _:
            return _of_value(operation)


def _of_keys(act: Record) -> Deed:
    match act:
        case recoveries.Recover():
            return Deed(source=act.city, target=act.party, act="recover")
        case recoveries.DecideRecovery():
            return Deed(source=act.city, target=act.party, act="accept" if act.accept else "reject")
        case recoveries.Rotate() | recoveries.ObjectToRecovery():
            return Deed(source=act.party, act=kind_of(act))
        case _:
            raise AssertionError(f"no deed for {type(act).__name__}")


def _of_value(operation: Record) -> Deed:
    """Return the deed of a programme's money or a voucher's value."""
    match operation:
        case Publish():
            return Deed(target=operation.programme, subject=f"v{operation.version}")
        case Appropriate():
            return Deed(
                source=operation.funder,
                target=operation.programme,
                subject=str(operation.year),
                amount=operation.delta,
            )
        case vouchers.Mint():
            holders = tuple(dict.fromkeys(row.holder for row in operation.rows))
            return Deed(
                source=operation.programme,
                target=holders[0] if len(holders) == 1 else "",
                amount=sum(row.amount for row in operation.rows),
                vouchers=len(operation.rows),
            )
        case vouchers.Transfer():
            return Deed(
                source=operation.holder,
                target=operation.recipient,
                amount=operation.amount,
                named=(operation.voucher,),
            )
        case reserves.SetAside():
            return Deed(
                source=operation.holder,
                target=operation.redeemer,
                amount=operation.amount,
                named=(operation.voucher,),
            )
        case reserves.Release():
            return Deed(
                source=operation.redeemer, subject=operation.reserve, amount=operation.amount
            )
        case vouchers.Extend():
            return Deed(source=issuer_of(operation.voucher), named=(operation.voucher,))
        case vouchers.Revoke():
            return Deed(
                source=issuer_of(operation.voucher),
                amount=operation.amount,
                named=(operation.voucher,),
            )
        case redemptions.Redeem():
            return Deed(
                source=operation.holder,
                target=operation.redeemer,
                subject=", ".join(grant.programme for grant in operation.grant),
                amount=sum(line.amount for line in operation.lines)
                + sum(grant.amount for grant in operation.grant),
                named=tuple(line.voucher for line in operation.lines),
            )
        case _:  # nothing but the name of the kind is known
            return Deed()


def _of_claim(operation: claims.DecideClaim | claims.Credit) -> Deed:
    match operation:
        case claims.Credit():
            return Deed(target=operation.claim, amount=operation.amount)
        case claims.DecideClaim(act=claims.Decide() as act):
            return Deed(target=act.claim, act="decide", amount=act.accepted)
        case claims.DecideClaim(act=claims.Dispute() as act):
            return Deed(target=act.claim, act="dispute")
        case _:
            raise AssertionError(f"no deed for {operation.act}")


def _of_payment(act: Record) -> Deed:
    match act:
        case payments.Instruct():
            return Deed(
                target=act.payable,
                subject=act.end_to_end_id,
                act="instructed",
                amount=act.amount,
            )
        case payments.Confirm():
            return Deed(source=act.by, subject=act.end_to_end_id, act="confirmed")
        case payments.Return() | payments.ObjectToPayment():
            return Deed(subject=act.end_to_end_id, act=kind_of(act))
        case payments.WriteOff():
            return Deed(target=act.payable, act="written_off", amount=act.amount)
        case _:
            raise AssertionError(f"no deed for {type(act).__name__}")
