"""Builders for tests: a small network, and transactions that mention only what matters."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from ledger.blocks import BlockInput, Limits, Misbehaviour
from ledger.encoding import codec, crypto, normal
from ledger.encoding.codec import FEN_MAX, Record
from ledger.execute import Execution
from ledger.genesis import Genesis, log_id_of
from ledger.ledger import Ledger
from ledger.proofs import NamedKey, proven
from ledger.rules import calendar
from ledger.rules.attestations import Attest, Criterion, RevokeAttestation
from ledger.rules.base import Posting
from ledger.rules.budgets import Appropriate
from ledger.rules.cases import ClearHold, RecordAnchor, SetHold
from ledger.rules.centres import Accredit, Devices, Recognise
from ledger.rules.claims import Credit, Decide, DecideClaim, Dispute, Line
from ledger.rules.clearing import Close
from ledger.rules.control import Parameters, TagKey
from ledger.rules.governance import Action, Member, Propose, Vote
from ledger.rules.invoices import Invoice, Usage
from ledger.rules.money import FunderShare, Rounding
from ledger.rules.parties import Enrol, PartyKey
from ledger.rules.payments import (
    Confirm,
    Instruct,
    ObjectToPayment,
    RecordPayment,
    Resolve,
    Return,
    WriteOff,
)
from ledger.rules.programmes import (
    Caps,
    GiveConsent,
    Publish,
    RateRow,
    Review,
    Terms,
    terms_hash,
)
from ledger.rules.recoveries import (
    Announce,
    DecideKeys,
    ObjectToKeys,
    Recover,
    Rotate,
    SetKeys,
)
from ledger.rules.redemptions import Redeem
from ledger.rules.refusals import TransactionRefused
from ledger.rules.reserves import Release, SetAside
from ledger.rules.validators import ValidatorKeys
from ledger.rules.vouchers import Extend, Mint, MintRow, Revoke, Transfer
from ledger.rules.withdrawals import Withdraw
from ledger.store.memory import MemoryStore
from ledger.transactions import Body, parse, seal, signing_bytes

GENESIS_MS = 1_767_225_600_000
"""2026-01-01 08:00 at +08:00."""
NOON_MS = GENESIS_MS + 30 * calendar.DAY_MS
YEAR = 2026
MINUTE_MS = 60_000

OFFICERS = {
    "officer-1": ("budget", "review", "registrar"),
    "officer-2": ("budget", "review", "registrar"),
    "officer-3": ("mint", "pay", "bank"),
    "officer-4": ("mint", "pay", "bank"),
}
DESKS = ("guian-hub", "chengdu-aicc", "audit-office")
"""Members of whom one officer signs."""
Signers = tuple[tuple[str, str], ...]
"""(party, person) of each."""


def seed(*names: str) -> bytes:
    """Return a 32-byte key seed derived from names: every run has the same keys."""
    return crypto.tagged_hash("tallystick/test-seed/v1", *(name.encode() for name in names))


_SEEDS: dict[bytes, bytes] = {}


def key(*names: str) -> bytes:
    """Return the public key of a derived seed."""
    made = crypto.public_key(seed(*names))
    _SEEDS[made] = seed(*names)
    return made


def prove(named: NamedKey, message: bytes) -> bytes:
    """Return a key's signature; nothing that holds of a key that no names make."""
    return crypto.sign(_SEEDS[named.key], message) if named.key in _SEEDS else bytes(64)


TAG_KEY = seed("tag-key")


def validator_keys(party: str, power: int = 1) -> ValidatorKeys:
    """Return the four keys of a validating member."""
    return ValidatorKeys(
        consensus=key(party, "consensus"),
        log=key(party, "log"),
        cosigner=key(party, "cosigner"),
        link=key(party, "link"),
        power=power,
    )


def city(name: str, *, validates: bool = True, level: str = "city") -> Member:
    """Return a treasury with four officers."""
    return Member(
        id=name,
        kind="treasury",
        party_class=level,  # type: ignore[arg-type]
        name=name.title(),
        region="310000",
        control_group=(),
        keys=tuple(
            PartyKey(key=key(name, person), person=person, roles=roles)
            for person, roles in OFFICERS.items()
        ),
        threshold=2,
        validator=(validator_keys(name),) if validates else (),
    )


def centre(name: str, *, validates: bool = True) -> Member:
    """Return a data centre with two officers, one of whom signs."""
    return Member(
        id=name,
        kind="data_centre",
        party_class="",
        name=name.title(),
        region="310000",
        control_group=(),
        keys=tuple(
            PartyKey(key=key(name, person), person=person, roles=())
            for person in ("officer-1", "officer-2")
        ),
        threshold=1,
        validator=(validator_keys(name),) if validates else (),
    )


def auditor(name: str) -> Member:
    """Return an auditor with two officers, one of whom signs."""
    return msgspec.structs.replace(centre(name, validates=False), kind="auditor")


def parameters(**changes: Any) -> Parameters:
    """Return the widest parameters, some changed."""
    values: dict[str, Any] = {
        "expiry_ahead_max_ms": 7 * calendar.DAY_MS,
        "heartbeat_ms": 60_000,
        "block_bytes_max": 2 * 1024 * 1024,
        "block_transactions_max": 4_000,
        "block_rows_max": 8_000,
        "block_expiries_max": 256,
        "officers": (),
        "tag_keys": (TagKey(epoch=1, check_value=normal.tag_key_check(TAG_KEY)),),
        "holder_daily_entries": 1_000_000,
        "holder_daily_bytes": 1024**3,
        "member_daily_entries": 1_000_000,
        "member_daily_bytes": 1024**3,
        "reserve_min": 1,
    }
    return Parameters(**(values | changes))


def genesis(*members: Member, network: str = "dev-test", **changes: Any) -> bytes:
    """Return genesis bytes; two cities, a province and two centres if no members are named.

    ``changes`` are to its parameters.
    """
    chosen = members or (
        city("shanghai"),
        city("guiyang"),
        city("henan", validates=False, level="province"),
        centre("guian-hub"),
        centre("chengdu-aicc"),
    )
    return codec.encode(
        Genesis(
            version=1,
            network=network,
            time_ms=GENESIS_MS,
            members=chosen,
            parameters=parameters(**changes),
        )
    )


LOG_ID = log_id_of(genesis())
CASE = b"\x2c" * 32
"""A commitment to a case file that nothing needs to open."""


def signed(
    operation: Record,
    *signers: tuple[str, str],
    log_id: bytes = LOG_ID,
    expires_at: int = NOON_MS + 60 * MINUTE_MS,
) -> bytes:
    """Return an envelope signed by (party, person) pairs; keys that it names are proven."""
    operation = proven(operation, log_id, prove)
    body = codec.encode(Body(version=1, log_id=log_id, expires_at=expires_at, operation=operation))
    message = signing_bytes(body)
    return seal(body, {key(*who): crypto.sign(seed(*who), message) for who in signers})


def officers(party: str, role: str) -> Signers:
    """Return two officers of a treasury who hold a role."""
    return tuple((party, person) for person, roles in OFFICERS.items() if role in roles)


def terms(**changes: Any) -> Terms:
    """Return plain terms: 30 %, no caps, no criteria, one funder."""
    plain = Terms(
        title="Compute vouchers",
        legal_basis="",
        assumed=(),
        eligibility=(),
        rates=(
            RateRow(
                holder_class=(), chip_origin=(), service_class=(), ownership=(), basis_points=3000
            ),
        ),
        caps=no_caps(),
        settlement="monthly",
        centres="recognised",
        listed=(),
        transfer="enrolled",
        review=Review(automatic_band=20_000_000, sample_every=0),
        payee="centre",
        grant="on_application",
        funders=(FunderShare(funder="shanghai", basis_points=10_000),),
        residual_funder="shanghai",
        rounding=Rounding(mode="truncate", step_fen=1),
        validity_days=365,
        base_period=(),
        contract_days_max=0,
        stackable=(),
        ceiling=10_000,
    )
    return msgspec.structs.replace(plain, **changes)


def no_caps(**changes: Any) -> Caps:
    """Return caps of which only the named ones bind."""
    names = (
        "grant_min",
        "grant_max",
        "contract_max",
        "holder_year_issued",
        "holder_year_redeemed",
        "group_year_issued",
    )
    values: dict[str, Any] = dict.fromkeys(names, ())
    return Caps(**(values | changes))


def criterion(topic: str, **changes: Any) -> Criterion:
    """Return a criterion that trusts any city."""
    values: dict[str, Any] = {"text": "", "amount": 0, "attesters": (), "max_age_days": 0}
    return Criterion(topic=topic, **(values | changes))  # type: ignore[arg-type]


def publish(**changes: Any) -> bytes:
    """Return the publication of shanghai.compute by two budget officers."""
    programme = changes.pop("programme", "shanghai.compute")
    version = changes.pop("version", 1)
    status = changes.pop("status", "open")
    by = changes.pop("by", officers(programme.split(".")[0], "budget"))
    expires_at = changes.pop("expires_at", NOON_MS + 60 * MINUTE_MS)
    log_id = changes.pop("log_id", LOG_ID)
    tx = Publish(programme=programme, version=version, status=status, terms=terms(**changes))
    return signed(tx, *by, expires_at=expires_at, log_id=log_id)


def agree(funder: str = "henan", **changes: Any) -> bytes:
    """Return a funder's consent to a version of shanghai.compute with the terms named."""
    programme = changes.pop("programme", "shanghai.compute")
    version = changes.pop("version", 1)
    by, extra = _apart(changes)
    given = changes.pop("hash", None) or terms_hash(terms(**changes))
    tx = GiveConsent(programme=programme, version=version, funder=funder, terms=given)
    return signed(tx, *(by or officers(funder, "budget")), **extra)


def agreements(**changes: Any) -> tuple[bytes, ...]:
    """Return what brings a version into force: the consents of all funders but the issuer."""
    issuer = changes.get("programme", "shanghai.compute").split(".")[0]
    names = [share.funder for share in changes.get("funders", ())]
    return tuple(agree(name, **changes) for name in names if name != issuer)


def appropriate(delta: int = 100_000_000, **changes: Any) -> bytes:
    """Return an appropriation of 1,000,000 yuan by Shanghai."""
    values: dict[str, Any] = {
        "programme": "shanghai.compute",
        "funder": "shanghai",
        "year": YEAR,
        "carried_from": (),
    }
    by, extra = _apart(changes)
    values.update(changes)
    tx = Appropriate(delta=delta, **values)
    return signed(tx, *(by or officers(values["funder"], "budget")), **extra)


def enrol(party: str, **changes: Any) -> bytes:
    """Return the enrolment of a start-up by Shanghai."""
    values: dict[str, Any] = {
        "city": "shanghai",
        "holder_class": "start_up",
        "name": party.title(),
        "region": "310000",
        "control_group": (),
        "registration_tag": seed(party, "registration"),
        "tag_epoch": 1,
        "keys": (PartyKey(key=key(party, "owner"), person="owner", roles=()),),
        "threshold": 1,
        "proofs": (),
    }
    by, extra = _apart(changes)
    values.update(changes)
    tx = Enrol(party=party, **values)
    return signed(tx, *(by or officers(values["city"], "registrar")), **extra)


def attest(subject: str, topic: str = "registered_in", **changes: Any) -> bytes:
    """Return an attestation by Shanghai, valid for a year."""
    values: dict[str, Any] = {
        "attester": "shanghai",
        "about": (),
        "text": "310000",
        "amount": 0,
        "valid_until_ms": NOON_MS + 365 * calendar.DAY_MS,
        "commitment": (),
    }
    by, extra = _apart(changes)
    values.update(changes)
    return signed(
        Attest(subject=subject, topic=topic, **values),  # type: ignore[arg-type]
        *(by or officers(values["attester"], "registrar")),
        **extra,
    )


HIGHEST: dict[str, int] = {"tariff_ceiling": FEN_MAX, "power_w": 400}
"""What a device may cost an hour and draw, where nothing hangs on it."""


def accredit(centre_id: str = "guian-hub", **changes: Any) -> bytes:
    """Return the accreditation of guian-hub by Guiyang: domestic and foreign chips."""
    values: dict[str, Any] = {
        "host": "guiyang",
        "devices": (
            Devices(chip="ascend-910b", origin="domestic", count=2000, **HIGHEST),
            Devices(chip="nvidia-a100", origin="foreign", count=2000, **HIGHEST),
        ),
        "pue_milli": 1200,
        "ownership": "public",
        "ended": False,
    }
    by, extra = _apart(changes)
    values.update(changes)
    tx = Accredit(centre=centre_id, **values)
    return signed(tx, *(by or officers(values["host"], "registrar")), **extra)


def recognise(**changes: Any) -> bytes:
    """Return Shanghai's recognition of centres in Guiyang for a year."""
    values: dict[str, Any] = {
        "issuer": "shanghai",
        "programmes": ("shanghai.compute",),
        "hosts": ("guiyang",),
        "mode": "direct",
        "limit": (),
        "from_ms": GENESIS_MS,
        "until_ms": GENESIS_MS + 365 * calendar.DAY_MS,
    }
    by, extra = _apart(changes)
    values.update(changes)
    return signed(Recognise(**values), *(by or officers(values["issuer"], "registrar")), **extra)


def mint(*rows: tuple[str, int], **changes: Any) -> bytes:
    """Return a mint of shanghai.compute vouchers: (holder, fen) rows, each of another decision."""
    programme = changes.pop("programme", "shanghai.compute")
    by = changes.pop("by", officers(programme.split(".")[0], "mint"))
    version = changes.pop("terms_version", 1)
    decisions = changes.pop("decisions", None) or [
        crypto.sha256(repr((rows, place, programme, version, changes.get("expires_at"))).encode())
        for place in range(len(rows))
    ]
    tx = Mint(
        programme=programme,
        terms_version=version,
        rows=tuple(
            MintRow(holder=holder, amount=fen, decision=decision)
            for (holder, fen), decision in zip(rows, decisions, strict=True)
        ),
    )
    return signed(tx, *by, **changes)


def transfer(
    voucher: str, amount: int, *, holder: str = "firm-a", recipient: str = "firm-b", **changes: Any
) -> bytes:
    """Return a transfer signed by its holder and its recipient."""
    tx = Transfer(voucher=voucher, holder=holder, recipient=recipient, amount=amount)
    by = changes.pop("by", ((holder, "owner"), (recipient, "owner")))
    return signed(tx, *by, **changes)


def redeem(
    *lines: tuple[str, int], holder: str = "firm-a", centre: str = "guian-hub", **changes: Any
) -> bytes:
    """Return a redemption signed by holder and centre; the invoice is ten times the claim."""
    amount = sum(fen for _, fen in lines)
    invoice = changes.pop("invoice", "invoice-1")
    net = changes.pop("net", amount * 10 or 1)
    values: dict[str, Any] = {
        "order": "order-1",
        "lines": tuple(Line(voucher=voucher, amount=fen, reserve=()) for voucher, fen in lines),
        "invoice": Invoice(
            tag=invoice if isinstance(invoice, bytes) else seed(invoice),
            tag_epoch=changes.pop("tag_epoch", 1),
            net=net,
            base=changes.pop("base", net),
        ),
        "grant": (),
        "contract": (),
        "service_class": "training",
        "usage": (
            Usage(
                chip=changes.pop("chip", "ascend-910b"),
                day=calendar.day_of(NOON_MS),
                gpu_ms=3_600_000,
                energy_wh=400,
            ),
        ),
        "own_share": seed("own share"),
        "holder_signs": True,
    }
    by, extra = _apart(changes)
    values.update(changes)
    tx = Redeem(holder=holder, centre=centre, **values)
    return signed(tx, *(by or ((holder, "owner"), (centre, "officer-1"))), **extra)


# Kinds with a party's consent: who signs follows from the party's name


def consent(party: str, role: str = "") -> Signers:
    """Return who signs for a party: a firm's owner, a desk's first officer, two of a treasury."""
    if party.startswith("firm"):
        return ((party, "owner"),)
    if party in DESKS:
        return ((party, "officer-1"),)
    return officers(party, role)


def keys_of(party: str, *persons: str) -> tuple[PartyKey, ...]:
    """Return keys without roles, one a person."""
    return tuple(PartyKey(key=key(party, person), person=person, roles=()) for person in persons)


def rotate(party: str = "firm-a", **changes: Any) -> bytes:
    """Return new keys for a party, by its old ones."""
    values: dict[str, Any] = {
        "keys": keys_of(party, "owner", "second"),
        "threshold": 1,
        "proofs": (),
    }
    by, extra = _apart(changes)
    tx = SetKeys(act=Rotate(party=party, **(values | changes)))
    return signed(tx, *(by or consent(party, "registrar")), **extra)


def announce(party: str = "guian-hub", **changes: Any) -> bytes:
    """Return that a member announces new keys."""
    values: dict[str, Any] = {"keys": keys_of(party, "heir"), "threshold": 1, "proofs": ()}
    by, extra = _apart(changes)
    tx = SetKeys(act=Announce(party=party, **(values | changes)))
    return signed(tx, *(by or consent(party, "registrar")), **extra)


def recover(party: str = "firm-a", **changes: Any) -> bytes:
    """Return the opening of a recovery by Shanghai."""
    values: dict[str, Any] = {
        "city": "shanghai",
        "keys": keys_of(party, "heir"),
        "threshold": 1,
        "proofs": (),
        "case": CASE,
        "second": (),
    }
    by, extra = _apart(changes)
    values.update(changes)
    tx = SetKeys(act=Recover(party=party, **values))
    named = (values["city"], *values["second"])
    signers = tuple(who for one in named for who in consent(one, "registrar"))
    return signed(tx, *(by or signers), **extra)


def object_to_keys(party: str = "firm-a", *, member: str = "", **changes: Any) -> bytes:
    """Return an objection to new keys by the old ones, or by another party."""
    by, extra = _apart(changes)
    act = ObjectToKeys(party=party, by=member or party, **changes)
    return signed(SetKeys(act=act), *(by or consent(act.by, "registrar")), **extra)


def decide_keys(party: str = "firm-a", *, member: str = "shanghai", **changes: Any) -> bytes:
    """Return that new keys come into force, by Shanghai, and by a second if one is named."""
    values: dict[str, Any] = {"accept": True, "second": ()}
    by, extra = _apart(changes)
    values.update(changes)
    named = (member, *values["second"])
    signers = tuple(who for one in named for who in consent(one, "registrar"))
    act = DecideKeys(by=member, party=party, **values)
    return signed(SetKeys(act=act), *(by or signers), **extra)


def revoke_attestation(
    subject: str, topic: str = "registered_in", *, attester: str = "shanghai", **changes: Any
) -> bytes:
    """Return that Shanghai takes a statement back."""
    by, extra = _apart(changes)
    tx = RevokeAttestation(
        attester=attester,
        subject=subject,
        topic=topic,  # type: ignore[arg-type]
        about=changes.pop("about", ()),
        **changes,
    )
    return signed(tx, *(by or consent(attester, "registrar")), **extra)


def set_aside(voucher: str, amount: int, **changes: Any) -> bytes:
    """Return a reserve of firm-a for guian-hub, for ten days."""
    values: dict[str, Any] = {
        "holder": "firm-a",
        "centre": "guian-hub",
        "order": "order-1",
        "chip": "ascend-910b",
        "service_class": "training",
        "until_ms": NOON_MS + 10 * calendar.DAY_MS,
    }
    by, extra = _apart(changes)
    values.update(changes)
    tx = SetAside(voucher=voucher, amount=amount, **values)
    return signed(tx, *(by or consent(values["holder"])), **extra)


def release(reserve: str, amount: int, *, party: str = "guian-hub", **changes: Any) -> bytes:
    """Return that a centre gives reserved value back."""
    by, extra = _apart(changes)
    tx = Release(reserve=reserve, by=party, amount=amount, **changes)
    return signed(tx, *(by or consent(party)), **extra)


def extend(voucher: str, until_day: int, **changes: Any) -> bytes:
    """Return more time for a voucher, by its issuer."""
    by, extra = _apart(changes)
    tx = Extend(voucher=voucher, until_day=until_day, case=CASE, **changes)
    return signed(tx, *(by or officers(voucher.split(".", maxsplit=1)[0], "review")), **extra)


def revoke(voucher: str, amount: int, **changes: Any) -> bytes:
    """Return that the issuer takes value of a voucher back."""
    by, extra = _apart(changes)
    tx = Revoke(voucher=voucher, amount=amount, case=CASE, **changes)
    return signed(tx, *(by or officers(voucher.split(".", maxsplit=1)[0], "review")), **extra)


def decide(claim: str, accepted: int, **changes: Any) -> bytes:
    """Return a decision by Shanghai, tag checked."""
    by, extra = _apart(changes)
    member = changes.pop("member", "shanghai")
    values: dict[str, Any] = {"case": (), "tag_checked": True, **changes}
    tx = DecideClaim(act=Decide(claim=claim, by=member, accepted=accepted, **values))
    return signed(tx, *(by or consent(member, "review")), **extra)


def dispute(claim: str, *, holder: str = "firm-a", **changes: Any) -> bytes:
    """Return that the holder disputes a claim."""
    by, extra = _apart(changes)
    tx = DecideClaim(act=Dispute(claim=claim, case=CASE, **changes))
    return signed(tx, *(by or consent(holder)), **extra)


def credit(claim: str, amount: int, **changes: Any) -> bytes:
    """Return a credit note of guian-hub and Shanghai."""
    by, extra = _apart(changes)
    tx = Credit(claim=claim, amount=amount, note=CASE, **changes)
    return signed(tx, *(by or consent("guian-hub") + officers("shanghai", "review")), **extra)


def close_cycle(cycle: int = 1, *, member: str = "guiyang", **changes: Any) -> bytes:
    """Return that a member closes a cycle."""
    by, extra = _apart(changes)
    tx = Close(by=member, cycle=cycle, **changes)
    return signed(tx, *(by or consent(member, "pay")), **extra)


def instruct(payable: str, amount: int, end_to_end_id: str = "E1", **changes: Any) -> bytes:
    """Return that the debtor, by default Shanghai, told its bank to pay."""
    debtor = changes.pop("debtor", "shanghai")
    by, extra = _apart(changes)
    act = Instruct(payable=payable, amount=amount, end_to_end_id=end_to_end_id, **changes)
    return signed(RecordPayment(act=act), *(by or consent(debtor, "pay")), **extra)


def confirm(end_to_end_id: str = "E1", *, member: str = "guian-hub", **changes: Any) -> bytes:
    """Return that money of Shanghai arrived, by default by the payee."""
    by, extra = _apart(changes)
    debtor = changes.pop("debtor", "shanghai")
    act = Confirm(debtor=debtor, end_to_end_id=end_to_end_id, by=member, **changes)
    return signed(RecordPayment(act=act), *(by or consent(member, "bank")), **extra)


def return_payment(end_to_end_id: str = "E1", *, member: str = "shanghai", **changes: Any) -> bytes:
    """Return that money came back to the debtor, by default Shanghai, and as it says."""
    debtor = changes.pop("debtor", "shanghai")
    by, extra = _apart(changes)
    act = Return(
        debtor=debtor, end_to_end_id=end_to_end_id, by=member, reason="account closed", **changes
    )
    return signed(RecordPayment(act=act), *(by or consent(member, "bank")), **extra)


def resolve_payment(
    end_to_end_id: str = "E1", *, member: str = "audit-office", paid: bool = True, **changes: Any
) -> bytes:
    """Return that an objection against Shanghai's payment ends, by default by the auditor."""
    debtor = changes.pop("debtor", "shanghai")
    by, extra = _apart(changes)
    act = Resolve(
        debtor=debtor, end_to_end_id=end_to_end_id, by=member, paid=paid, case=CASE, **changes
    )
    return signed(RecordPayment(act=act), *(by or consent(member, "review")), **extra)


def write_off(payable: str, amount: int, **changes: Any) -> bytes:
    """Return that debtor and creditor agree not to pay; Shanghai and guian-hub by default."""
    parties = changes.pop("parties", ("shanghai", "guian-hub"))
    by, extra = _apart(changes)
    act = WriteOff(payable=payable, amount=amount, reason="agreed", **changes)
    signers = tuple(who for party in parties for who in consent(party, "pay"))
    return signed(RecordPayment(act=act), *(by or signers), **extra)


def object_to_payment(end_to_end_id: str = "E1", **changes: Any) -> bytes:
    """Return that nothing arrived, says the creditor, by default guian-hub."""
    creditor = changes.pop("creditor", "guian-hub")
    debtor = changes.pop("debtor", "shanghai")
    by, extra = _apart(changes)
    act = ObjectToPayment(
        debtor=debtor, end_to_end_id=end_to_end_id, reason="nothing arrived", **changes
    )
    return signed(RecordPayment(act=act), *(by or consent(creditor, "bank")), **extra)


def set_hold(scope: str, thing: str, *, member: str = "shanghai", **changes: Any) -> bytes:
    """Return a hold, by default by Shanghai."""
    by, extra = _apart(changes)
    values: dict[str, Any] = {"case": CASE, "reason": "asked", **changes}
    tx = SetHold(by=member, scope=scope, id=thing, **values)  # type: ignore[arg-type]
    return signed(tx, *(by or consent(member, "review")), **extra)


def clear_hold(
    hold: str = "shanghai.000000001", *, member: str = "shanghai", **changes: Any
) -> bytes:
    """Return that a hold ends."""
    by, extra = _apart(changes)
    tx = ClearHold(by=member, hold=hold, case=CASE, **changes)
    return signed(tx, *(by or consent(member, "review")), **extra)


def anchor(as_of: int = 0, *, member: str = "shanghai", **changes: Any) -> bytes:
    """Return a commitment to a document."""
    by, extra = _apart(changes)
    values: dict[str, Any] = {"about": "document", "commitment": CASE, "note": "", **changes}
    tx = RecordAnchor(by=member, as_of=as_of, **values)
    return signed(tx, *(by or consent(member, "registrar")), **extra)


def withdraw(transaction: bytes, *, party: str = "firm-a", **changes: Any) -> bytes:
    """Return a withdrawal of a transaction by one key of a party."""
    by, extra = _apart(changes)
    person = "officer-1" if party in (*DESKS, "shanghai", "guiyang", "henan") else "owner"
    tx = Withdraw(party=party, transaction=transaction)
    return signed(tx, *(by or ((party, person),)), **extra)


def propose(action: Action, *, proposer: str = "shanghai", **changes: Any) -> bytes:
    """Return a proposal to the members."""
    by, extra = _apart(changes)
    tx = Propose(proposer=proposer, action=action, **changes)
    return signed(tx, *(by or consent(proposer, "registrar")), **extra)


def vote(proposal: int = 1, *, voter: str = "guiyang", approve: bool = True, **rest: Any) -> bytes:
    """Return a member's answer."""
    by, extra = _apart(rest)
    tx = Vote(voter=voter, proposal=proposal, approve=approve, **rest)
    return signed(tx, *(by or consent(voter, "registrar")), **extra)


def _apart(changes: dict[str, Any]) -> tuple[Signers | None, dict[str, Any]]:
    """Take out of ``changes`` who signs and what the envelope says; return both."""
    extra: dict[str, Any] = {}
    for name in ("log_id", "expires_at"):
        if name in changes:
            extra[name] = changes.pop(name)
    return changes.pop("by", None), extra


class Attempt(NamedTuple):
    """What became of a transaction that somebody wanted in a block."""

    refusal: TransactionRefused | None
    postings: tuple[Posting, ...]
    """Nothing of what was refused."""

    @property
    def code(self) -> str:
        """Return ``ok``, or the refusal's code."""
        return "ok" if self.refusal is None else self.refusal.code


@dataclass
class Chain:
    """A ledger driven by hand, one block a call."""

    ledger: Ledger = field(default_factory=lambda: Ledger(MemoryStore()))
    genesis: bytes = field(default_factory=genesis)
    now_ms: int = NOON_MS

    def __post_init__(self) -> None:
        self.ledger.begin(self.genesis)

    def block(
        self,
        *transactions: bytes,
        time_ms: int | None = None,
        misbehaviours: tuple[Misbehaviour, ...] = (),
    ) -> Execution:
        """Execute and commit a block of these transactions; all of them must hold."""
        self.now_ms = self.now_ms + 1_000 if time_ms is None else time_ms
        head = self.ledger.last()
        execution = self.ledger.execute(
            BlockInput(
                height=head.height + 1,
                time_ms=self.now_ms,
                transactions=transactions,
                misbehaviours=misbehaviours,
            )
        )
        self.ledger.commit(execution, b"certificate")
        return execution

    def accept(self, *transactions: bytes) -> Execution:
        """Commit a block in which every transaction must hold."""
        return self.block(*transactions)

    def refusals(self, *transactions: bytes, time_ms: int) -> dict[bytes, TransactionRefused]:
        """Return what rules would refuse of a block at a time, one transaction after the other."""
        refusals: dict[bytes, TransactionRefused] = {}
        self.ledger.propose(
            [parse(raw) for raw in transactions],
            height=self.ledger.last().height + 1,
            time_ms=time_ms,
            limits=Limits(),
            on_refused=lambda transaction, refusal: refusals.update({transaction.raw: refusal}),
        )
        return refusals

    def attempt(self, *transactions: bytes, time_ms: int | None = None) -> list[Attempt]:
        """Commit a block of those transactions that hold; return what became of each."""
        at_ms = self.now_ms + 1_000 if time_ms is None else time_ms
        refusals = self.refusals(*transactions, time_ms=at_ms)
        held = [raw for raw in transactions if raw not in refusals]
        execution = self.block(*held, time_ms=at_ms)
        postings = {raw: done.postings for raw, done in zip(held, execution.results, strict=True)}
        return [Attempt(refusals.get(raw), postings.get(raw, ())) for raw in transactions]


def funded_chain(**chain: Any) -> Chain:
    """Return a chain with a programme, money, two firms, a centre, and its recognition."""
    made = Chain(**chain)
    made.accept(publish(), enrol("firm-a"), enrol("firm-b"), accredit())
    made.accept(appropriate(), recognise())
    return made
