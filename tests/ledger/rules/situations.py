"""What the cases of several concepts begin with."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from ledger.encoding.codec import FEN_MAX
from ledger.encoding.crypto import public_key
from ledger.genesis import parse_genesis
from ledger.proofs import NamedKey
from ledger.rules.base import ENVELOPE_BYTES_MAX
from ledger.rules.claims import Line
from ledger.rules.clearing import CYCLE_OPEN_MIN_MS
from ledger.rules.control import (
    BLOCK_BYTES_MIN,
    BLOCK_ROWS_MIN,
    DAILY_ENTRIES_MIN,
    EXPIRY_AHEAD_MIN_MS,
    HEARTBEAT_MIN_MS,
    QUIET_MS,
    Parameters,
    TagKey,
)
from ledger.rules.governance import Action, Pause, Resume, SetParameters, SetStatus
from ledger.rules.invoices import Contract
from ledger.rules.parties import proof_message
from ledger.rules.programmes import Review
from ledger.rules.redemptions import GrantAfterUse
from ledger.rules.reserves import GRACE_MS
from ledger.rules.sums import Amount
from ledger.rules.validators import (
    VALIDATORS,
    ValidatorRecord,
    ValidatorSchedule,
    ValidatorSetRecord,
)
from tests import builders
from tests.builders import (
    NOON_MS,
    criterion,
    keys_of,
    no_caps,
    officers,
    prove,
    seed,
    validator_keys,
)
from tests.ledger.rules.case import (
    BAD_KEY,
    CLAIM,
    DAY_MS,
    FOR_LONG,
    GENESIS,
    GRANTED,
    HOST_PAYS,
    LOG_ID,
    PROGRAMME,
    RESERVE,
    TODAY,
    V1,
    Case,
    Doctor,
    Step,
    adopted,
    agree,
    appropriate,
    mint,
    no,
    ok,
    party_key,
    propose,
    publish,
    rate,
    recognise,
    redeem,
    second,
    set_aside,
    shares,
    treasury_keys,
    written,
)

# Who signs

OWNER = (("firm-a", "owner"),)
CENTRE = (("guian-hub", "officer-1"),)
GUIYANG = officers("guiyang", "registrar")
REVIEW = officers("shanghai", "review")
BUDGET = officers("shanghai", "budget")
SHANGHAI = officers("shanghai", "registrar")

# Keys that do not fit

NOBODYS_KEY = public_key(bytes(32))
"""A key whose seed the builders do not know, so that it proves nothing."""


def proof(party: str, named: bytes, log_id: bytes = LOG_ID) -> bytes:
    """Return a key's proof that it is a party's."""
    return prove(NamedKey(party, "", named), proof_message(log_id, party, named))


def unfit_keys(clause: str, make: Callable[..., Step], **rest: Any) -> list[Case]:
    """Return the ways in which keys do not fit a party that is no treasury (R3.5)."""
    two = keys_of("firm-x", "one", "two")
    validating = replace(BAD_KEY, key=party_key("guiyang", "consensus").key)
    return [
        no("a threshold of zero", clause, "threshold_invalid", make(threshold=0), **rest),
        no(
            "a threshold above the keys",
            clause,
            "threshold_invalid",
            make(keys=two, threshold=3),
            values={"threshold": 3, "keys": 2},
            **rest,
        ),
        ok("as many keys sign as there are", clause, make(keys=two, threshold=2), **rest),
        ok("the least threshold", clause, make(keys=two, threshold=1), **rest),
        no(
            "a role for who is no treasury",
            clause,
            "roles_not_for_holders",
            make(keys=(party_key("x", "y", roles=("mint",)),)),
            values={"person": "owner", "roles": "mint"},
            **rest,
        ),
        no(
            "a key of another party",
            clause,
            "key_taken",
            make(keys=(party_key("firm-b", "owner"),)),
            **rest,
        ),
        no("a validator's key", clause, "key_taken", make(keys=(validating,)), **rest),
        no(
            "a key named twice",
            clause,
            "key_taken",
            make(keys=(party_key("x", "y"), party_key("x", "y", person="other"))),
            **rest,
        ),
        no(
            "a key of small order",
            clause,
            "key_invalid",
            make(keys=(BAD_KEY,)),
            values={"key": "00" * 32},
            **rest,
        ),
        no(
            "a key proven for another party",
            clause,
            "key_proof_wrong",
            make(keys=two[:1], proofs=(proof("other", two[0].key),)),
            values={"key": two[0].key.hex()},
            **rest,
        ),
        no(
            "a key that nobody has",
            clause,
            "key_proof_wrong",
            make(keys=(replace(two[0], key=NOBODYS_KEY),)),
            values={"key": NOBODYS_KEY.hex()},
            **rest,
        ),
    ]


def keys_of_a_treasury(clause: str, make: Callable[..., Step], **rest: Any) -> list[Case]:
    """Return the ways in which keys do not fit a treasury (R3.5)."""
    again = party_key("x", "y", person="officer-1", roles=("mint",))
    return [
        no(f"a treasury of {name}", clause, "keys_unfit", make(keys=keys), **rest)
        for name, keys in {
            "three persons": treasury_keys("shanghai")[:3],
            "a role that is none": treasury_keys("shanghai", officer_1=("janitor",)),
            "budget and mint in one hand": treasury_keys("shanghai", officer_1=("budget", "mint")),
            "pay and review in one hand": treasury_keys("shanghai", officer_3=("review", "pay")),
            "two keys of a person that conflict": (*treasury_keys("shanghai"), again),
        }.items()
    ] + [ok("a treasury of four persons", clause, make(keys=treasury_keys("shanghai")), **rest)]


# Terms and money

YEAR = "2026"
CLEAN: dict[str, Any] = {"eligibility": ((criterion("clean_record"),),)}


def clean(**changes: Any) -> dict[str, Any]:
    """Return terms that ask for a clean record."""
    return {"eligibility": ((criterion("clean_record", **changes),),)}


MINT = mint(("firm-a", 1_000))
HALVES = shares(("shanghai", 5_000), ("henan", 5_000))
SHARED = (publish(version=2, funders=HALVES), agree(version=2, funders=HALVES))
"""Henan pays half from version 2 on."""
CLOSED = publish(status="closed")
APPROPRIATED = 100_000_000
"""What every case's setting appropriates for 2026."""
SUSPENDED = publish(status="suspended")
G_TAG, H_TAG = seed("g"), seed("h")
"""Registration tags of two parents."""
G = G_TAG.hex()
NEARLY = Amount(fen=FEN_MAX - 99)
"""A counter that 99 more still fit."""


def caps(**changes: tuple[int]) -> dict[str, Any]:
    return {"caps": no_caps(**changes)}


# Claims: of holder and centre, of the centre alone, after use, on an invoice of two programmes

SET_ASIDE = (GRANTED, set_aside(V1, 1_000))
EXPIRY_MS = NOON_MS + 10 * DAY_MS + GRACE_MS
"""When a reserve of the setting is no longer good."""


def claim(amount: int = 100, **changes: Any) -> Step:
    """Return a claim of holder and centre; the invoice is ten times as large."""
    return redeem((V1, amount), **changes)


def alone(amount: int = 100, voucher: str = V1, reserve: str = RESERVE, **changes: Any) -> Step:
    """Return a claim that the centre makes alone under a reserve."""
    line = Line(voucher=voucher, amount=amount, reserve=(reserve,))
    told = {"by": CENTRE, "holder_signs": False, **changes}
    return redeem((voucher, amount), lines=(line,), **told)


AFTER: dict[str, Any] = {"grant": "after_use", "transfer": "none"}
CONTRACT = Contract(tag=seed("contract"), amount=10_000, start_day=TODAY, end_day=TODAY + 100)
C = CONTRACT.tag.hex()


def after_use(amount: int = 100, programme: str = PROGRAMME, **changes: Any) -> Step:
    """Return a claim that asks for a grant after use."""
    version = changes.pop("terms_version", 1)
    grant = GrantAfterUse(programme=programme, terms_version=version, amount=amount)
    values: dict[str, Any] = {"grant": (grant,), "net": amount * 10, "contract": (CONTRACT,)}
    return redeem(**(values | changes))


SECOND = "shanghai.second"
S1 = f"{SECOND}.000000001"


def stacked(**terms: Any) -> tuple[Step, ...]:
    """Return a second programme with money and a voucher of each firm, and a first claim."""
    return (
        publish(programme=SECOND, **{"stackable": (PROGRAMME,), **terms}),
        appropriate(programme=SECOND),
        recognise(programmes=(SECOND,)),
        mint(("firm-a", 10_000), ("firm-b", 10_000), programme=SECOND),
        GRANTED,
        claim(),
    )


STACKABLE: dict[str, Any] = {"stackable": (SECOND,)}
STACKED = stacked()


def again(amount: int = 100, voucher: str = S1, **changes: Any) -> Step:
    """Return a claim on the first claim's invoice."""
    return redeem((voucher, amount), **{"net": 1_000, **changes})


# What is owed

REIMBURSED = (HOST_PAYS, GRANTED, redeem((V1, 100)))
"""Guiyang owes its centre 100, and Shanghai owes Guiyang as much through the open cycle."""
REIMBURSEMENT = f"{CLAIM}-001"
CYCLE_RIPE_MS = second(len(REIMBURSED)) + CYCLE_OPEN_MIN_MS
OWED = (GRANTED, redeem((V1, 100)))
"""Shanghai owes the centre 100."""
# What members decide

SOME_ACTION = SetStatus(party="chengdu-aicc", status="suspended", successor=())
"""An action that always holds."""


def validating(count: int) -> Doctor:
    """Return a doctor who lets Shanghai and others validate, together so many."""
    names = ("shanghai", *(f"other-{number}" for number in range(1, count)))
    keys = validator_keys("other")
    records = tuple(ValidatorRecord(party=name, keys=keys) for name in names)
    first = ValidatorSetRecord(from_height=0, validators=records)
    return written(VALIDATORS, ValidatorSchedule(sets=(first,)), "all")


def parameters(**changes: Any) -> SetParameters:
    """Return the least parameters that members may choose, some changed."""
    least: dict[str, Any] = {
        "expiry_ahead_max_ms": EXPIRY_AHEAD_MIN_MS,
        "heartbeat_ms": HEARTBEAT_MIN_MS,
        "block_bytes_max": BLOCK_BYTES_MIN,
        "block_transactions_max": 1,
        "block_rows_max": BLOCK_ROWS_MIN,
        "block_expiries_max": 1,
        "officers": (),
        "tag_keys": builders.parameters().tag_keys,
        "holder_daily_entries": DAILY_ENTRIES_MIN,
        "holder_daily_bytes": ENVELOPE_BYTES_MAX,
        "member_daily_entries": DAILY_ENTRIES_MIN,
        "member_daily_bytes": ENVELOPE_BYTES_MAX,
        "reserve_min": 1,
    }
    return SetParameters(parameters=Parameters(**(least | changes)))


def tag_keys(*epochs: int) -> SetParameters:
    """Return the parameters of genesis with these epochs of tags; epoch 1 keeps its key."""
    wide = parse_genesis(GENESIS).parameters
    known = {key.epoch: key for key in wide.tag_keys}
    new = {epoch: TagKey(epoch=epoch, check_value=seed("tags", str(epoch))) for epoch in epochs}
    listed = tuple((new | known)[epoch] for epoch in epochs)
    return SetParameters(parameters=msgspec.structs.replace(wide, tag_keys=listed))


def invalid(claim: str, kind: str, action: Action, **rest: Any) -> Case:
    return no(claim, f"R14.2.{kind}", "action_invalid", propose(action), **rest)


def valid(claim: str, kind: str, action: Action, **rest: Any) -> Case:
    return ok(claim, f"R14.2.{kind}", propose(action), **rest)


TAKEN_KEY = keys_of("guiyang", "officer-1")[0]
NEW_KEYS = validator_keys("new")
FOUR = adopted(SOME_ACTION)
"""Chengdu is suspended: four members are active."""
# A pause

PAUSED_MS = FOR_LONG - 10 * DAY_MS
RESUMED_MS = FOR_LONG + 10 * DAY_MS
FIRST_YES_MS = 3_000
"""How long after its proposal an action of ``adopted`` takes effect."""


def around_a_pause(proposed_ms: int) -> tuple[Step | int, ...]:
    """Return a grant, then a pause that ends ten days after the voucher's day."""
    resumed = adopted(Resume(), 2)
    return (GRANTED, proposed_ms, *adopted(Pause()), RESUMED_MS, *resumed)


AFTER_A_PAUSE = around_a_pause(PAUSED_MS)
"""A voucher's day came while the ledger was paused."""
QUIET_UNTIL_MS = RESUMED_MS + 3_000 + QUIET_MS
# The largest amounts

WHOLE_BILLS: dict[str, Any] = {
    "rates": (rate(10_000),),
    "review": Review(automatic_band=FEN_MAX, sample_every=0),
}
"""Terms that pay whole bills at once."""
ALL_MINTED = (appropriate(FEN_MAX - APPROPRIATED), mint(("firm-a", FEN_MAX)))
"""A voucher of the largest amount."""
ALL_SPENT = (*ALL_MINTED, redeem((V1, FEN_MAX), net=FEN_MAX))
