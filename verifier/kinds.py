"""The fields of all kinds of transaction, and the codes (kinds.md T, rules.md R9 and R14.2, X).

A decoder looks at form alone. What a rule answers with a code is not asked here: a transaction that
a rule refuses is as well-formed as any other.
"""

from typing import Any

from verifier.wire import (
    Shape,
    basis_points,
    boolean,
    delta,
    fields,
    hash32,
    integer,
    limited,
    many,
    matching,
    named,
    natural,
    optional,
    positive,
    programme_id,
    serial_id,
    signature,
    slug,
    text,
    word,
)

POWER_MAX = 1_000_000
VALIDATORS_MAX = 128
TRANSACTIONS_MAX = 4_000
BLOCK_BYTES_MAX = 2_097_152
ROWS_MAX = 8_000
EXPIRIES_MAX = 256

# What several kinds share

PARTY_KEYS = many(fields(key=hash32, person=slug, roles=many(slug, 0, 8)), 1, 64)
DEVICES = fields(
    chip=slug,
    origin=word("domestic", "foreign"),
    count=integer(0, 10_000_000),
    tariff_ceiling=positive,
    power_w=integer(1, 100_000),
)
HOLDER_CLASSES = ("start_up", "enterprise", "institute", "university", "maker")
HOLDER_CLASS = word(*HOLDER_CLASSES)
SERVICE_CLASS = word("training", "inference", "general")
OWNERSHIP = word("public", "private", "mixed")
TOPIC = word(
    "registered_in", "revenue_at_least", "research_project", "clean_record", "unrelated_to"
)
ORDER = limited(64)
PAYABLE_ID = matching("payable id", r"[a-z0-9][a-z0-9-]{0,31}\.[0-9]{9}-[0-9]{3}")
END_TO_END_ID = matching("end-to-end id", r"[A-Za-z0-9][A-Za-z0-9.-]{0,34}")
THING = matching("id of a thing", r"[a-z0-9][a-z0-9.-]{0,95}")

# Genesis, and what governance changes of it (G1, R14.2)

VALIDATOR = fields(
    consensus=hash32, log=hash32, cosigner=hash32, link=hash32, power=integer(1, POWER_MAX)
)
PROOFS = many(signature, 0, 68)
MEMBER = fields(
    id=slug,
    # What no member can be has a form all the same: a refused proposal may name it (G1).
    kind=word("treasury", "data_centre", "holder", "auditor"),
    party_class=word("", "city", "province", "district", *HOLDER_CLASSES),
    name=text,
    region=text,
    control_group=optional(hash32),
    keys=PARTY_KEYS,
    threshold=natural,
    validator=optional(VALIDATOR),
)
PARAMETERS = fields(
    expiry_ahead_max_ms=natural,
    heartbeat_ms=natural,
    block_bytes_max=integer(1, BLOCK_BYTES_MAX),
    block_transactions_max=integer(1, TRANSACTIONS_MAX),
    block_rows_max=integer(1, ROWS_MAX),
    block_expiries_max=integer(1, EXPIRIES_MAX),
    officers=many(fields(kind=text, from_fen=natural, persons=integer(2, 16)), 0, 64),
    tag_keys=many(fields(epoch=natural, check_value=hash32), 1, 8),
    holder_daily_entries=positive,
    holder_daily_bytes=positive,
    member_daily_entries=positive,
    member_daily_bytes=positive,
    reserve_min=integer(1, 1_000_000),
)
ACTION = named(
    {
        "admit": fields(member=MEMBER, proofs=PROOFS),
        "status": fields(
            party=slug,
            status=word("active", "suspended", "removed"),
            successor=optional(slug),
        ),
        "validator": fields(party=slug, validator=optional(VALIDATOR), proofs=PROOFS),
        "keys": fields(party=slug, keys=PARTY_KEYS, threshold=natural, proofs=PROOFS),
        "parameters": fields(parameters=PARAMETERS),
        "rules_version": fields(version=natural, from_height=natural),
        "engine.switch": fields(engine=word("builtin", "comet"), at_height=natural),
        "pause": fields(),
        "resume": fields(),
    }
)

# Terms (R9)

CRITERION = fields(
    topic=TOPIC, text=text, amount=natural, attesters=many(slug, 0, 64), max_age_days=natural
)
RATE = fields(
    holder_class=optional(HOLDER_CLASS),
    chip_origin=optional(word("domestic", "foreign")),
    service_class=optional(SERVICE_CLASS),
    ownership=optional(OWNERSHIP),
    basis_points=basis_points,
)
CAPS = fields(
    grant_min=optional(natural),
    grant_max=optional(natural),
    contract_max=optional(natural),
    holder_year_issued=optional(natural),
    holder_year_redeemed=optional(natural),
    group_year_issued=optional(natural),
)
TERMS = fields(
    title=text,
    legal_basis=text,
    assumed=many(text, 0, 32),
    eligibility=many(many(CRITERION, 1, 16), 0, 16),
    rates=many(RATE, 1, 64),
    caps=CAPS,
    settlement=word("monthly", "quarterly", "yearly"),
    centres=word("listed", "own_city", "recognised"),
    listed=many(slug, 0, 64),
    transfer=word("none", "enrolled", "same_group"),
    review=fields(automatic_band=natural, sample_every=natural),
    payee=word("centre", "holder"),
    grant=word("on_application", "automatic", "after_use"),
    funders=many(fields(funder=slug, basis_points=basis_points), 1, 16),
    residual_funder=slug,
    rounding=fields(mode=word("truncate", "half_up"), step_fen=integer(1, 1_000_000)),
    validity_days=integer(0, 3_660),
    base_period=optional(fields(from_day=natural, until_day=natural)),
    contract_days_max=natural,
    stackable=many(programme_id, 0, 64),
    ceiling=basis_points,
)

# The kinds (T)

_SET_KEYS = named(
    {
        "rotate": fields(party=slug, keys=PARTY_KEYS, threshold=natural, proofs=PROOFS),
        "announce": fields(party=slug, keys=PARTY_KEYS, threshold=natural, proofs=PROOFS),
        "recover": fields(
            city=slug,
            party=slug,
            keys=PARTY_KEYS,
            threshold=natural,
            proofs=PROOFS,
            case=hash32,
            second=optional(slug),
        ),
        "object": fields(party=slug, by=slug),
        "decide": fields(by=slug, party=slug, accept=boolean, second=optional(slug)),
    }
)
_DECIDE = named(
    {
        "decide": fields(
            claim=serial_id, by=slug, accepted=natural, case=optional(hash32), tag_checked=boolean
        ),
        "dispute": fields(claim=serial_id, case=hash32),
    }
)
_PAYMENT = named(
    {
        "instructed": fields(payable=PAYABLE_ID, amount=positive, end_to_end_id=END_TO_END_ID),
        "confirmed": fields(debtor=slug, end_to_end_id=END_TO_END_ID, by=slug),
        "returned": fields(debtor=slug, end_to_end_id=END_TO_END_ID, by=slug, reason=text),
        "written_off": fields(payable=PAYABLE_ID, amount=positive, reason=text),
        "objected": fields(debtor=slug, end_to_end_id=END_TO_END_ID, reason=text),
        "resolved": fields(
            debtor=slug, end_to_end_id=END_TO_END_ID, by=slug, paid=boolean, case=hash32
        ),
    }
)

KINDS: dict[str, Shape] = {
    "party.enrol": fields(  # T1
        city=slug,
        party=slug,
        holder_class=HOLDER_CLASS,
        name=text,
        region=text,
        control_group=optional(hash32),
        registration_tag=hash32,
        tag_epoch=natural,
        keys=PARTY_KEYS,
        threshold=natural,
        proofs=PROOFS,
    ),
    "attestation.issue": fields(  # T2
        attester=slug,
        subject=slug,
        topic=TOPIC,
        about=optional(slug),
        text=text,
        amount=natural,
        valid_until_ms=natural,
        commitment=optional(hash32),
    ),
    "programme.publish": fields(  # T3
        programme=programme_id,
        version=natural,
        status=word("open", "suspended", "closed"),
        terms=TERMS,
    ),
    "programme.appropriate": fields(  # T4
        programme=programme_id,
        funder=slug,
        year=integer(2000, 9999),
        delta=delta,
        carried_from=optional(natural),
    ),
    "programme.consent": fields(  # T25
        programme=programme_id, version=natural, funder=slug, terms=hash32
    ),
    "centre.accredit": fields(  # T5
        host=slug,
        centre=slug,
        devices=many(DEVICES, 0, 64),
        pue_milli=natural,
        ownership=OWNERSHIP,
        ended=boolean,
    ),
    "recognition.set": fields(  # T6
        issuer=slug,
        programmes=many(programme_id, 1, 64),
        hosts=many(slug, 1, 64),
        mode=word("direct", "host_pays"),
        limit=optional(natural),
        from_ms=natural,
        until_ms=natural,
    ),
    "voucher.mint": fields(  # T7
        programme=programme_id,
        terms_version=natural,
        rows=many(fields(holder=slug, amount=positive, decision=hash32), 1, 1_000),
    ),
    "voucher.transfer": fields(  # T8
        voucher=serial_id, holder=slug, recipient=slug, amount=positive
    ),
    "voucher.redeem": fields(  # T9
        holder=slug,
        centre=slug,
        order=ORDER,
        lines=many(fields(voucher=serial_id, amount=positive, reserve=optional(serial_id)), 0, 16),
        grant=optional(fields(programme=programme_id, terms_version=natural, amount=positive)),
        invoice=fields(tag=hash32, tag_epoch=natural, net=positive, base=positive),
        contract=optional(fields(tag=hash32, amount=positive, start_day=natural, end_day=natural)),
        service_class=SERVICE_CLASS,
        usage=many(fields(chip=slug, day=natural, gpu_ms=positive, energy_wh=natural), 0, 64),
        own_share=hash32,
        holder_signs=boolean,
    ),
    "party.set_keys": fields(act=_SET_KEYS),  # T10
    "attestation.revoke": fields(  # T11
        attester=slug, subject=slug, topic=TOPIC, about=optional(slug)
    ),
    "voucher.reserve": fields(  # T12
        voucher=serial_id,
        holder=slug,
        centre=slug,
        order=ORDER,
        amount=positive,
        chip=slug,
        service_class=SERVICE_CLASS,
        until_ms=natural,
    ),
    "voucher.release": fields(reserve=serial_id, by=slug, amount=positive),  # T13
    "claim.decide": fields(act=_DECIDE),  # T14
    "claim.credit": fields(claim=serial_id, amount=positive, note=hash32),  # T15
    "voucher.extend": fields(voucher=serial_id, until_day=natural, case=hash32),  # T16
    "voucher.revoke": fields(voucher=serial_id, amount=positive, case=hash32),  # T17
    "clearing.close": fields(by=slug, cycle=natural),  # T18
    "payment.record": fields(act=_PAYMENT),  # T19
    "hold.set": fields(  # T20
        by=slug,
        scope=word("party", "centre", "programme", "voucher", "claim", "payable"),
        thing=THING,
        case=hash32,
        reason=text,
    ),
    "hold.clear": fields(by=slug, hold=serial_id, case=hash32),  # T21
    "tx.withdraw": fields(party=slug, transaction=hash32),  # T26
    "record.anchor": fields(  # T22
        by=slug,
        about=word("case", "document", "trial_balance"),
        as_of=natural,
        commitment=hash32,
        note=text,
    ),
    "governance.propose": fields(proposer=slug, action=ACTION),  # T23
    "governance.vote": fields(voter=slug, proposal=natural, approve=boolean),  # T24
}
OPERATION = named(KINDS)


def _keys_of_action(action: tuple[Any, ...]) -> int:
    """Return how many keys an action names."""
    match action:
        case ("admit", member, _):
            return len(member[6]) + 4 * len(member[8])
        case ("validator", _, validator, _):
            return 4 * len(validator)
        case ("keys", _, keys, *_):
            return len(keys)
    return 0


def rows_of(operation: tuple[Any, ...]) -> int:
    """Return how many rows an operation counts in a block (B3.3)."""
    kind, *parts = operation
    match kind:
        case "voucher.mint":
            return len(parts[2])
        case "recognition.set":
            return len(parts[1]) * len(parts[2])
        case "party.enrol":
            return len(parts[8])
        case "voucher.redeem":
            return len(parts[3]) + len(parts[8])
        case "party.set_keys":
            place = {"rotate": 2, "announce": 2, "recover": 3}.get(parts[0][0])
            return 1 if place is None else len(parts[0][place])
        case "governance.propose":
            return max(1, _keys_of_action(parts[1]))
    return 1
