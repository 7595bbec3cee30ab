"""What people read: a transaction in words before it is signed, and refusals as sentences.

People read yuan, dates and per cent, programs read fen, milliseconds and basis points.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from string import Formatter
from typing import Any

from ledger.encoding.codec import Record
from ledger.rules import calendar
from ledger.rules.refusals import all_refusals
from ledger.transactions import amount_of
from tally.output import Mode, current_mode, format_yuan
from tally.plain import plain

SAYS = {
    "party.enrol": "{city} admits {party} ({name}) as a holder of class {holder_class}",
    "party.set_keys rotate": "{party} replaces its keys; keys left out are dead for ever",
    "party.set_keys recover": "{city} opens a recovery of {party}, which stops at once",
    "party.set_keys object": "{party} objects to the recovery of its keys",
    "party.set_keys decide": "{city} closes the recovery of {party}; new keys in force: {accept}",
    "attestation.issue": "{attester} states {topic} about {subject}, until {valid_until_ms}",
    "attestation.revoke": "{attester} takes back its statement {topic} about {subject}",
    "programme.publish": "programme {programme} gets version {version} and is {status}",
    "programme.appropriate": "{funder} changes what it set aside for {programme} in {year}"
    " by {delta}",
    "provider.accredit": "{host} states the devices of centre {centre}; it ends: {ended}",
    "recognition.set": "{issuer} lets centres of {hosts} redeem {programmes}"
    " from {from_ms} until {until_ms}, mode {mode}",
    "voucher.mint": "{programme} (terms version {terms_version}) grants {total}: {rows}",
    "voucher.transfer": "{holder} passes {amount} of voucher {voucher} to {recipient}",
    "voucher.reserve": "{holder} sets {amount} of voucher {voucher} aside for {redeemer},"
    " which may claim it alone until {until_ms}",
    "voucher.release": "{redeemer} gives {amount} of reserve {reserve} back",
    "voucher.redeem": "{holder} pays an invoice of {redeemer} with vouchers or a grant",
    "voucher.extend": "voucher {voucher} is good through {until_day}",
    "voucher.revoke": "{amount} of voucher {voucher} is taken back",
    "claim.decide decide": "of claim {claim}, {accepted} is accepted and the rest given back;"
    " invoice tag recomputed: {tag_checked}",
    "claim.decide dispute": "the holder disputes claim {claim}",
    "claim.credit": "{amount} of accepted claim {claim} is credited",
    "clearing.close": "{by} closes clearing cycle {cycle}",
    "payment.record instructed": "the bank is told to pay {amount} of payable {payable}"
    " with id {end_to_end_id}",
    "payment.record confirmed": "{by} confirms that payment {end_to_end_id} arrived",
    "payment.record returned": "payment {end_to_end_id} came back: {reason}",
    "payment.record written_off": "{amount} of payable {payable} will not be paid: {reason}",
    "payment.record objected": "the payee says that payment {end_to_end_id} did not arrive:"
    " {reason}",
    "hold.set": "{by} freezes {scope} {id}: {reason}",
    "hold.clear": "{by} ends hold {hold}",
    "record.anchor": "{by} commits to a {about} as of height {as_of}: {commitment}",
    "governance.propose admit": "{proposer} proposes to admit a member: {member}",
    "governance.propose status": "{proposer} proposes that {party} be {status}",
    "governance.propose validator": "{proposer} proposes validator keys of {party}: {validator}",
    "governance.propose keys": "{proposer} proposes new keys for {party}",
    "governance.propose parameters": "{proposer} proposes parameters: {parameters}",
    "governance.propose rules_version": "{proposer} proposes rules version {version}"
    " from height {from_height}",
    "governance.propose engine.switch": "{proposer} proposes engine {engine}"
    " from height {at_height}",
    "governance.propose pause": "{proposer} proposes to pause the ledger",
    "governance.propose resume": "{proposer} proposes that the ledger goes on",
    "governance.vote": "{voter} answers proposal {proposal}: {approve}",
}
"""Every kind of transaction, with its act, in words; fields not named in them are added."""

MONEY = frozenset(
    {
        *("amount", "delta", "limit", "net", "base", "accepted", "automatic_band", "from_fen"),
        *("tariff_ceiling", "grant_min", "grant_max", "contract_max", "step_fen"),
        *("holder_year_issued", "holder_year_redeemed", "group_year_issued"),
        *("asked", "available", "allowed", "minimum", "maximum"),
        *("appropriated", "committed", "total"),
    }
)
"""Names of values that are fen, in operations and in every refusal whose sentence says fen."""
DAYS = frozenset({"day", "today", "until_day", "start_day", "end_day", "base_period"})
DURATIONS = frozenset({"gpu_ms", "heartbeat_ms", "expiry_ahead_max_ms"})
"""Names that end like times and are none."""
SHARES = frozenset({"basis_points", "ceiling"})
ITEMS_MAX = 8
"""How many items of a list are read out before a transaction is signed at this desk."""

_PLAIN = re.compile(r"[A-Za-z0-9_.-]*")
"""Ids, hashes and words of the ledger's own."""
_BEIJING = timezone(timedelta(hours=8))
_BY_CODE = {refusal.code: refusal for refusal in all_refusals()}


def in_words(operation: Record, *, whole: bool = False) -> str:
    """Return a transaction as a sentence, with every field that says something.

    Long lists are cut short unless the ``whole`` is asked for.
    """
    fields = plain(operation)
    name = fields.pop("kind")
    for union in ("act", "action"):
        if union in fields:
            act = fields.pop(union)
            name += f" {act.pop('kind')}"
            fields |= act
    items_max = None if whole else ITEMS_MAX
    words = {field: _words(field, value, items_max) for field, value in fields.items()}
    template = SAYS[name]
    named = {field for _, field, _, _ in Formatter().parse(template)}
    rest = [
        f"{_title(field)} {words[field]}"
        for field, value in fields.items()
        if field not in named and value not in (None, "", [])
    ]
    sentence = template.format(**words, total=_yuan(amount_of(operation)))
    return "; ".join([f"{name.split()[0]}: {sentence}", *rest])


def refusal_sentence(code: str, message: str, values: Mapping[str, int | str]) -> str:
    """Return what a node said of a refusal, in people's units unless JSON was asked for.

    The sentence is made anew from the typed values; one that this wallet does not know stays.
    """
    refusal = _BY_CODE.get(code)
    if current_mode() in (Mode.JSON, Mode.NDJSON) or refusal is None:
        return message
    if not set(refusal.__annotations__) <= set(values):
        return message
    as_is = SHARES if " fen" in refusal.sentence else SHARES | MONEY
    shown = {
        name: value if name in as_is else _words(name, value, None)
        for name, value in values.items()
    }
    return refusal.sentence.replace("} fen", "}").format(**shown)


def moment(time_ms: int) -> str:
    """Return block time as a date and time at +08:00."""
    when = datetime.fromtimestamp(time_ms // 1000, _BEIJING)
    return when.strftime("%Y-%m-%d %H:%M:%S +08:00")


def _words(name: str, value: Any, items_max: int | None) -> str:
    """Return a field's value in words; ``items_max`` cuts long lists short."""
    match value:
        case None | []:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int():
            return _number(name, value)
        case dict():
            return ", ".join(
                f"{_title(field)} {_words(field, item, items_max)}"
                for field, item in value.items()
                if item not in (None, "", [])
            )
        case list():
            shown = [_words(name, item, items_max) for item in value[:items_max]]
            if len(value) > len(shown):
                shown.append(f"and {len(value) - len(shown)} more")
            return " / ".join(shown)
    return value if _PLAIN.fullmatch(value) else _quoted(value)


def _quoted(text: str) -> str:
    """Return a text in quotes: it may be others', and must neither pass for words of ours nor
    steer a screen."""
    safe = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return '"' + safe.replace('"', '\\"') + '"'


def _number(name: str, value: int) -> str:
    if name in MONEY:
        return _yuan(value)
    if name in SHARES:
        return f"{value // 100}.{value % 100:02d} %"
    if name in DAYS and value <= calendar.day_of(calendar.TIME_MAX_MS):
        return calendar.date_of(value).isoformat()
    if name.endswith("_ms") and name not in DURATIONS and value <= calendar.TIME_MAX_MS:
        return moment(value)
    return str(value)


def _yuan(fen: int) -> str:
    return f"{format_yuan(fen)} yuan"


def _title(name: str) -> str:
    return name.removesuffix("_fen").replace("_", " ")
