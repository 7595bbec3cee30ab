"""Proposals, votes, what members may decide, and a pause: T23, T24, R14, R10.1, R11."""

from typing import Any

import msgspec

from ledger.rules.control import (
    BLOCK_BYTES_MIN,
    BLOCK_ROWS_MIN,
    EXPIRY_AHEAD_MIN_MS,
    HEARTBEAT_MIN_MS,
    QUIET_MS,
    OfficersRule,
    Parameters,
)
from ledger.rules.governance import (
    PROPOSALS,
    VOTING_MS,
    Action,
    Admit,
    Pause,
    Resume,
    SetMemberKeys,
    SetParameters,
    SetRulesVersion,
    SetStatus,
    SetValidator,
    SwitchEngine,
    proposal_key,
)
from ledger.rules.parties import PartyStatus
from ledger.rules.recoveries import RECOVERY_WAIT_MS
from ledger.rules.validators import (
    VALIDATORS,
    VALIDATORS_MAX,
    ValidatorRecord,
    ValidatorSchedule,
    ValidatorSetRecord,
)
from ledger.rules.vouchers import VOUCHERS
from tests import builders
from tests.builders import keys_of, officers, validator_keys
from tests.ledger.adversarial import case as world
from tests.ledger.adversarial.case import (
    BAD_KEY,
    DAY_MS,
    FOR_LONG,
    GRANTED,
    ONE_OFFICER,
    PAYABLE,
    RESERVE,
    TODAY,
    V1,
    Case,
    Doctor,
    Step,
    adopted,
    anchor,
    clear_hold,
    decide_recovery,
    no,
    ok,
    party_key,
    propose,
    recover,
    rotate,
    second,
    set_hold,
    suspended,
    transfer,
    treasury_keys,
    vote,
    written,
)
from tests.ledger.adversarial.parties import keys_of_a_treasury, unfit_keys

replace = msgspec.structs.replace
REGISTRAR = officers("shanghai", "registrar")
OWNER = (("firm-a", "owner"),)
HEIGHT = 3
"""Of the transaction of a case that nothing comes before."""
XIAN = builders.city("xian", validates=False)
HUB = builders.centre("xian-hub")
SOME = SetStatus(party="chengdu-aicc", status="suspended")
"""An action that always holds."""
OPENED = (propose(SOME),)
CLOSES_MS = second(1) + VOTING_MS


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
    }
    return SetParameters(parameters=Parameters(**(least | changes)))


def status(party: str, chosen: PartyStatus) -> Step:
    return propose(SetStatus(party=party, status=chosen))


def rules(version: int, from_height: int) -> SetRulesVersion:
    return SetRulesVersion(version=version, from_height=from_height)


def switch(at_height: int) -> SwitchEngine:
    return SwitchEngine(engine="comet", at_height=at_height)


def unfit(claim: str, member: Any, reason: str) -> Case:
    return no(
        claim,
        "R14.2.admit",
        "action_invalid",
        propose(Admit(member=member)),
        values={"reason": reason},
    )


def invalid(claim: str, kind: str, action: Action, **rest: Any) -> Case:
    return no(claim, f"R14.2.{kind}", "action_invalid", propose(action), **rest)


def valid(claim: str, kind: str, action: Action, **rest: Any) -> Case:
    return ok(claim, f"R14.2.{kind}", propose(action), **rest)


TAKEN = keys_of("guiyang", "officer-1")[0]
NEW = validator_keys("new")

VOTING = [
    no("nobody asks", "T23.1", "party_unknown", propose(SOME, proposer="nobody", by=REGISTRAR)),
    no("an auditor asks", "T23.1", "party_wrong_kind", propose(SOME, proposer="audit-office")),
    no("one officer asks", "T23.2", "four_eyes_missing", propose(SOME, by=ONE_OFFICER)),
    no(
        "a centre asks without its signature",
        "T23.2",
        "signature_missing",
        propose(SOME, proposer="guian-hub", by=REGISTRAR),
    ),
    no(
        "a suspended member asks",
        "T23.3",
        "party_not_active",
        propose(SOME),
        before=suspended("shanghai"),
    ),
    no("nobody votes", "T24.1", "party_unknown", vote(voter="nobody", by=REGISTRAR), before=OPENED),
    no(
        "an auditor votes",
        "T24.1",
        "party_wrong_kind",
        vote(voter="audit-office"),
        before=OPENED,
    ),
    no(
        "one officer votes",
        "T24.2",
        "four_eyes_missing",
        vote(by=(("guiyang", "officer-1"),)),
        before=OPENED,
    ),
    no(
        "a centre votes without its signature",
        "T24.2",
        "signature_missing",
        vote(voter="guian-hub", by=REGISTRAR),
        before=OPENED,
    ),
    no(
        "a suspended member votes",
        "T24.3",
        "party_not_active",
        vote(2),
        before=(*suspended("guiyang"), propose(parameters())),
    ),
    no("no such proposal", "T24.4", "proposal_unknown", vote(), values={"proposal": 1}),
    no(
        "a vote on what was adopted",
        "T24.5",
        "proposal_closed",
        vote(voter="chengdu-aicc"),
        before=suspended("audit-office"),
        values={"proposal": 1, "status": "adopted"},
    ),
    no(
        "a vote as the fortnight ends",
        "T24.5",
        "proposal_closed",
        vote(),
        before=(*OPENED, CLOSES_MS),
        values={"proposal": 1, "status": "over"},
    ),
    ok(
        "a vote in the fortnight's last millisecond",
        "T24.5",
        vote(),
        before=(*OPENED, CLOSES_MS - 1),
    ),
    no("the proposer votes too", "T24.6", "vote_repeated", vote(voter="shanghai"), before=OPENED),
    no(
        "a no becomes a yes",
        "T24.6",
        "vote_repeated",
        vote(),
        before=(*OPENED, vote(approve=False)),
        values={"party": "guiyang", "proposal": 1},
    ),
]


def outcome(number: int, chosen: str) -> Any:
    return ((PROPOSALS, (proposal_key(number),), {"status": chosen}),)


FOUR = adopted(SOME)
"""Chengdu is suspended: four members are active."""
THREE = (
    *FOUR,
    propose(SetStatus(party="henan", status="suspended")),
    vote(2),
    vote(2, voter="guian-hub"),
)
COUNTING = [
    ok(
        "three of five do not suffice",
        "T24.5",
        vote(voter="henan"),
        before=(*OPENED, vote()),
        wrote=outcome(1, "open"),
    ),
    ok(
        "four of five suffice",
        "T24.5",
        vote(voter="guian-hub"),
        before=(*OPENED, vote(), vote(voter="henan")),
        wrote=outcome(1, "adopted"),
    ),
    ok(
        "four of five do not suffice with one city of two",
        "T24.5",
        vote(voter="chengdu-aicc"),
        before=(propose(parameters()), vote(voter="henan"), vote(voter="guian-hub")),
        wrote=outcome(1, "open"),
    ),
    ok(
        "three of four suffice",
        "T24.5",
        vote(2, voter="henan"),
        before=(*FOUR, propose(parameters()), vote(2)),
        wrote=outcome(2, "adopted"),
    ),
    ok(
        "two of three do not suffice",
        "T24.5",
        vote(3),
        before=(*THREE, propose(parameters())),
        wrote=outcome(3, "open"),
    ),
    ok(
        "three of three suffice",
        "T24.5",
        vote(3, voter="guian-hub"),
        before=(*THREE, propose(parameters()), vote(3)),
        wrote=outcome(3, "adopted"),
    ),
]

ADMISSIONS: list[Case] = [
    valid("a city", "admit", Admit(member=XIAN)),
    valid("an auditor", "admit", Admit(member=builders.auditor("xian-audit"))),
    valid(
        "a city that validates",
        "admit",
        Admit(member=replace(XIAN, validator=(NEW,))),
    ),
    no(
        "an id that is taken",
        "R14.2.admit",
        "party_exists",
        propose(Admit(member=replace(XIAN, id="firm-a"))),
    ),
    no(
        "the id of the clearing",
        "R14.2.admit",
        "party_exists",
        propose(Admit(member=replace(XIAN, id="clearing"))),
    ),
    no(
        "a member who came in meanwhile",
        "R14.2.admit",
        "party_exists",
        vote(1, voter="chengdu-aicc"),
        before=(
            propose(Admit(member=XIAN)),
            vote(),
            vote(voter="henan"),
            *adopted(Admit(member=replace(HUB, id="xian", validator=())), 2),
            vote(1, voter="guian-hub"),
        ),
    ),
    unfit(
        "a holder",
        replace(HUB, kind="holder", party_class="start_up"),
        "xian-hub: holders are enrolled by a city",
    ),
    unfit(
        "a treasury of three persons",
        replace(XIAN, keys=XIAN.keys[:3]),
        "xian: a treasury names at least 4 persons",
    ),
    unfit(
        "a treasury with a role that is none",
        replace(XIAN, keys=treasury_keys("xian", officer_1=("janitor",))),
        "xian: janitor is not a role",
    ),
    unfit(
        "a centre with roles",
        replace(HUB, keys=(party_key("x", "y", roles=("mint",)),)),
        "xian-hub: only a treasury's keys carry roles",
    ),
    unfit("a treasury of no level", replace(XIAN, party_class=""), "xian: class '' of a treasury"),
    unfit(
        "a centre of a level",
        replace(HUB, party_class="city"),
        "xian-hub: class 'city' of a data_centre",
    ),
    unfit("a threshold of zero", replace(XIAN, threshold=0), "xian: threshold 0 of 4 keys"),
    unfit("a threshold above the keys", replace(XIAN, threshold=5), "xian: threshold 5 of 4 keys"),
    valid("the least threshold", "admit", Admit(member=replace(XIAN, threshold=1))),
    valid("the largest threshold", "admit", Admit(member=replace(XIAN, threshold=4))),
    unfit(
        "a province that validates",
        replace(XIAN, party_class="province", validator=(NEW,)),
        "xian: only cities and data centres validate",
    ),
    unfit(
        "an auditor that validates",
        replace(builders.auditor("xian"), validator=(NEW,)),
        "xian: only cities and data centres validate",
    ),
    *(
        no(
            f"{claim} of another",
            "R14.2.admit",
            "key_taken",
            propose(Admit(member=member)),
        )
        for claim, member in {
            "a key": replace(HUB, keys=(TAKEN,)),
            "a signing key that is a validator's": replace(
                HUB, keys=(party_key("guiyang", "log"),)
            ),
            "a validator key": replace(HUB, validator=(validator_keys("guiyang"),)),
            "a validator key that signs": replace(HUB, validator=(replace(NEW, log=TAKEN.key),)),
        }.items()
    ),
    no(
        "a key for two uses",
        "R14.2.admit",
        "key_taken",
        propose(Admit(member=replace(HUB, validator=(replace(NEW, log=NEW.link),)))),
    ),
    no(
        "a key of small order",
        "R14.2.admit",
        "key_invalid",
        propose(Admit(member=replace(HUB, keys=(BAD_KEY,)))),
    ),
    no(
        "a validator key of small order",
        "R14.2.admit",
        "key_invalid",
        propose(Admit(member=replace(HUB, validator=(replace(NEW, log=BAD_KEY.key),)))),
    ),
    invalid(
        "a 129th validator",
        "admit",
        Admit(member=HUB),
        doctor=validating(VALIDATORS_MAX),
        values={"reason": "129 validators would remain, expected 1 to 128"},
    ),
    valid("a 128th validator", "admit", Admit(member=HUB), doctor=validating(VALIDATORS_MAX - 1)),
]

STANDING: list[Case] = [
    no("nobody's status", "R14.2.status", "party_unknown", status("nobody", "suspended")),
    no("a holder's status", "R14.2.status", "party_wrong_kind", status("firm-a", "suspended")),
    no(
        "a removed member comes back",
        "R14.2.status",
        "action_invalid",
        status("henan", "active"),
        before=adopted(SetStatus(party="henan", status="removed")),
        values={"reason": "henan was removed for ever"},
    ),
    no(
        "a status that it has",
        "R14.2.status",
        "action_invalid",
        status("henan", "active"),
        values={"reason": "henan is active already"},
    ),
    ok(
        "a suspended member comes back",
        "R14.2.status",
        status("henan", "active"),
        before=suspended("henan"),
    ),
    no(
        "the last validator is suspended",
        "R14.2.status",
        "action_invalid",
        status("shanghai", "suspended"),
        doctor=validating(1),
        values={"reason": "0 validators would remain, expected 1 to 128"},
    ),
    ok(
        "the last validator but one is suspended",
        "R14.2.status",
        status("shanghai", "suspended"),
        doctor=validating(2),
    ),
    *(
        no(
            f"{claim} validates",
            "R14.2.validator",
            code,
            propose(SetValidator(party=party, validator=(keys,))),
            before=before,
        )
        for claim, code, party, keys, before in (
            ("nobody", "party_unknown", "nobody", NEW, ()),
            ("a suspended centre", "party_not_active", "chengdu-aicc", NEW, FOUR),
            ("with another's keys who", "key_taken", "shanghai", validator_keys("guiyang"), ()),
            ("with a signing key who", "key_taken", "shanghai", replace(NEW, log=TAKEN.key), ()),
            ("with one key twice who", "key_taken", "shanghai", replace(NEW, log=NEW.link), ()),
            (
                "with a key of small order who",
                "key_invalid",
                "shanghai",
                replace(NEW, log=BAD_KEY.key),
                (),
            ),
        )
    ),
    *(
        no(
            f"{party} is a {kind} and validates",
            "R14.2.validator",
            "party_wrong_kind",
            propose(SetValidator(party=party, validator=(NEW,))),
            values={"kind": kind, "expected": "city or data_centre"},
        )
        for party, kind in (("henan", "province"), ("audit-office", "auditor"))
    ),
    valid(
        "its own keys with another power",
        "validator",
        SetValidator(party="shanghai", validator=(validator_keys("shanghai", 7),)),
    ),
    invalid(
        "the last validator stops",
        "validator",
        SetValidator(party="shanghai", validator=()),
        doctor=validating(1),
    ),
    valid(
        "the last validator but one stops",
        "validator",
        SetValidator(party="shanghai", validator=()),
        doctor=validating(2),
    ),
    invalid(
        "a 129th validator",
        "validator",
        SetValidator(party="guiyang", validator=(NEW,)),
        doctor=validating(VALIDATORS_MAX),
    ),
    valid(
        "a 128th validator",
        "validator",
        SetValidator(party="guiyang", validator=(NEW,)),
        doctor=validating(VALIDATORS_MAX - 1),
    ),
]


def member_keys(**changes: Any) -> Step:
    """Return a proposal of keys for a centre that lost its own."""
    values: dict[str, Any] = {"keys": keys_of("guian-hub", "heir"), "threshold": 1}
    return propose(SetMemberKeys(party="guian-hub", **(values | changes)))


def shanghai_keys(**changes: Any) -> Step:
    """Return a proposal of keys for Shanghai."""
    return propose(SetMemberKeys(party="shanghai", threshold=2, **changes))


KEYS = [
    no(
        "nobody's keys",
        "R14.2.keys",
        "party_unknown",
        propose(SetMemberKeys(party="nobody", keys=keys_of("x", "y"), threshold=1)),
    ),
    no(
        "a holder's keys",
        "R14.2.keys",
        "party_wrong_kind",
        propose(SetMemberKeys(party="firm-a", keys=keys_of("x", "y"), threshold=1)),
    ),
    *unfit_keys("R14.2.keys", member_keys),
    *keys_of_a_treasury("R14.2.keys", shanghai_keys),
]

LEDGER: list[Case] = [
    no(
        "more officers are asked of governance itself",
        "R14.2.parameters",
        "action_invalid",
        propose(
            parameters(officers=(OfficersRule(kind="governance.vote", from_fen=0, persons=3),))
        ),
    ),
    no(
        "another admits with a key that waits in a proposal",
        "R3.6",
        "key_taken",
        propose(Admit(member=replace(HUB, id="rival"))),
        before=(propose(Admit(member=HUB)),),
    ),
    valid("the least parameters", "parameters", parameters()),
    *(
        invalid(
            f"{name} one too low",
            "parameters",
            parameters(**{name: least - 1}),
            values={"reason": f"{name} is {least - 1}, expected at least {least}"},
        )
        for name, least in {
            "block_bytes_max": 65_536,
            "block_rows_max": 1_000,
            "expiry_ahead_max_ms": 60_000,
            "heartbeat_ms": 1_000,
        }.items()
    ),
    invalid(
        "rules two heights ahead",
        "rules_version",
        rules(2, HEIGHT + 2),
        values={"reason": "height 5 is too near, expected above 5"},
    ),
    valid("rules three heights ahead", "rules_version", rules(2, HEIGHT + 3)),
    invalid(
        "the rules that hold",
        "rules_version",
        rules(1, 1_000),
        values={"reason": "version 1 is not above 1"},
    ),
    invalid(
        "rules that were chosen before",
        "rules_version",
        rules(2, 1_001),
        before=adopted(rules(2, 1_000)),
    ),
    invalid(
        "two rules from one height",
        "rules_version",
        rules(3, 1_000),
        before=adopted(rules(2, 1_000)),
        values={"reason": "height 1000 is not above the last change's"},
    ),
    valid(
        "rules a height after others",
        "rules_version",
        rules(3, 1_001),
        before=adopted(rules(2, 1_000)),
    ),
    invalid("an engine two heights ahead", "engine.switch", switch(HEIGHT + 2)),
    valid("an engine three heights ahead", "engine.switch", switch(HEIGHT + 3)),
    invalid(
        "two engines from one height",
        "engine.switch",
        switch(1_000),
        before=adopted(switch(1_000)),
        values={"reason": "height 1000 is not above the last switch's"},
    ),
    valid(
        "an engine a height after another",
        "engine.switch",
        switch(1_001),
        before=adopted(switch(1_000)),
    ),
    invalid("a pause in a pause", "pause", Pause(), before=adopted(Pause())),
    invalid("an end of no pause", "resume", Resume()),
    valid("an end of a pause", "resume", Resume(), before=adopted(Pause())),
]

STOPPED: dict[str, Step] = {
    "party.enrol": world.enrol("firm-c"),
    "attestation.issue": world.attest("firm-a"),
    "attestation.revoke": world.revoke_attestation("firm-a"),
    "programme.publish": world.publish(version=2),
    "programme.appropriate": world.appropriate(5),
    "centre.accredit": world.accredit(pue_milli=1),
    "recognition.set": world.recognise(limit=(1,)),
    "voucher.mint": world.mint(("firm-a", 1)),
    "voucher.transfer": world.transfer(V1, 1),
    "voucher.reserve": world.set_aside(V1, 1),
    "voucher.release": world.release(RESERVE, 1),
    "voucher.extend": world.extend(V1, TODAY + 400),
    "voucher.revoke": world.revoke(V1, 1),
    "voucher.redeem": world.redeem((V1, 1)),
    "claim.decide": world.decide("guian-hub.000000001", 1),
    "claim.credit": world.credit("guian-hub.000000001", 1),
    "clearing.close": world.close_cycle(),
    "payment.record": world.instruct(PAYABLE, 1),
}
"""What a pause stops: all kinds but those of R10.1."""
GOES_ON: dict[str, tuple[Step, tuple[Step, ...]]] = {
    "governance.propose": (propose(SOME), ()),
    "governance.vote": (vote(2), (propose(SOME),)),
    "party.set_keys": (rotate(), ()),
    "hold.set": (set_hold("party", "firm-a"), ()),
    "hold.clear": (clear_hold(), (set_hold("party", "firm-a"),)),
    "record.anchor": (anchor(), ()),
}

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
OPENED_MS = second(2)
LOST_MS = RECOVERY_WAIT_MS
AFTER_A_RECOVERY = (GRANTED, recover(), OPENED_MS + LOST_MS, decide_recovery(accept=False))
"""A holder was stopped for 72 hours."""

PAUSES: list[Case] = [
    *(
        no(
            f"{kind} in a pause",
            "R10.1",
            "ledger_paused",
            step,
            before=adopted(Pause()),
            values={"since_ms": second(4)},
        )
        for kind, step in STOPPED.items()
    ),
    *(
        ok(f"{kind} in a pause", "R10.1", step, before=(*adopted(Pause()), *before))
        for kind, (step, before) in GOES_ON.items()
    ),
    ok(
        "a voucher is good in the last quiet millisecond after a pause",
        "T8.10",
        transfer(V1, 1),
        before=(*AFTER_A_PAUSE, QUIET_UNTIL_MS - 1),
    ),
    no(
        "a voucher expires as the quiet ends",
        "T8.10",
        "voucher_expired",
        transfer(V1, 1),
        before=(*AFTER_A_PAUSE, QUIET_UNTIL_MS),
        values={"expires_at_ms": QUIET_UNTIL_MS, "time_ms": QUIET_UNTIL_MS},
    ),
    no(
        "a pause brings nothing back that had expired a millisecond before",
        "T8.10",
        "voucher_expired",
        transfer(V1, 1),
        before=around_a_pause(FOR_LONG - FIRST_YES_MS + 1),
        values={"expires_at_ms": FOR_LONG},
    ),
    ok(
        "a pause keeps what would expire a millisecond after it began",
        "T8.10",
        transfer(V1, 1),
        before=around_a_pause(FOR_LONG - FIRST_YES_MS - 1),
    ),
    ok(
        "nothing expires in a pause",
        "R8.1",
        anchor(),
        before=(*AFTER_A_PAUSE[:6], RESUMED_MS),
        untouched=(VOUCHERS,),
    ),
    ok(
        "nothing expires in the quiet after a pause",
        "R8.1",
        anchor(),
        before=(*AFTER_A_PAUSE, QUIET_UNTIL_MS - 1),
        untouched=(VOUCHERS,),
    ),
    ok(
        "what is due expires as the quiet ends",
        "R8.1",
        anchor(),
        before=(*AFTER_A_PAUSE, QUIET_UNTIL_MS),
        wrote=((VOUCHERS, (V1,), {"available": 0, "expired": 10_000}),),
    ),
    ok(
        "a holder gets the time back during which it was stopped",
        "T8.10",
        transfer(V1, 1),
        before=(*AFTER_A_RECOVERY, FOR_LONG + LOST_MS - 1),
    ),
    no(
        "a holder gets no millisecond more back",
        "T8.10",
        "voucher_expired",
        transfer(V1, 1),
        before=(*AFTER_A_RECOVERY, FOR_LONG + LOST_MS),
        values={"expires_at_ms": FOR_LONG + LOST_MS},
    ),
]
CASES: list[Case] = [
    *VOTING,
    *COUNTING,
    *ADMISSIONS,
    *STANDING,
    *KEYS,
    *LEDGER,
    *PAUSES,
]
