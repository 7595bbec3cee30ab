"""Parameters, rules versions, engines and a pause: R14.2, R10.1, R11."""

import pytest

from ledger.encoding.codec import FEN_MAX
from ledger.rules.control import OFFICERS_USED, PARAMETERS, OfficersRule, TagKey
from ledger.rules.governance import Pause, Resume, SetRulesVersion, SwitchEngine
from ledger.rules.sums import Amount
from tests.builders import NOON_MS, officers
from tests.ledger.rules import case as world
from tests.ledger.rules.case import (
    DAY_MS,
    FOR_LONG,
    PAYABLE,
    RESERVE,
    TODAY,
    V1,
    YEAR_MS,
    Case,
    Doctor,
    Ready,
    Step,
    adopted,
    anchor,
    clear_hold,
    doctored,
    no,
    ok,
    propose,
    rotate,
    second,
    set_hold,
    together,
    transfer,
    vote,
    withdraw,
    written,
)
from tests.ledger.rules.situations import (
    AFTER_A_PAUSE,
    FIRST_YES_MS,
    QUIET_UNTIL_MS,
    SOME_ACTION,
    around_a_pause,
    invalid,
    parameters,
    tag_keys,
    valid,
)

HEIGHT = 3
"""Of the transaction of a case that nothing comes before."""


def rules(version: int, from_height: int) -> SetRulesVersion:
    return SetRulesVersion(version=version, from_height=from_height)


def switch(at_height: int) -> SwitchEngine:
    return SwitchEngine(engine="comet", at_height=at_height)


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
    "governance.propose": (propose(SOME_ACTION), ()),
    "governance.vote": (vote(2), (propose(SOME_ACTION),)),
    "party.set_keys": (rotate(), ()),
    "hold.set": (set_hold("party", "firm-a"), ()),
    "hold.clear": (clear_hold(), (set_hold("party", "firm-a"),)),
    "record.anchor": (anchor(), ()),
    "tx.withdraw": (withdraw(bytes(32)), ()),
}

MINTED = ("shanghai", "voucher.mint", "2026-01")


def three_of(kind: str, from_fen: int) -> tuple[OfficersRule, ...]:
    """Return the parameter that asks for three persons from an amount on."""
    return (OfficersRule(kind=kind, from_fen=from_fen, persons=3),)


def three_from(kind: str, from_fen: int) -> Doctor:
    """Return a doctor who lets it be in force."""
    return doctored(PARAMETERS, "all", officers=three_of(kind, from_fen))


THREE_FROM_1000 = adopted(
    parameters(officers=three_of("voucher.mint", 1_000), expiry_ahead_max_ms=30 * YEAR_MS)
)

CASES: list[Case] = [
    no(
        "more officers are asked of governance itself",
        "R14.2.parameters",
        "action_invalid",
        propose(
            parameters(officers=(OfficersRule(kind="governance.vote", from_fen=0, persons=3),))
        ),
    ),
    no(
        "attack: what needs three persons is minted by two in two halves",
        "T7.2",
        "four_eyes_missing",
        world.mint(("firm-a", 400)),
        before=(*THREE_FROM_1000, world.mint(("firm-a", 600))),
        values={"party": "shanghai", "role": "mint", "needed": 3, "signed": 2},
    ),
    ok(
        "what two persons mint in a month",
        "T7.2",
        world.mint(("firm-a", 399)),
        before=(*THREE_FROM_1000, world.mint(("firm-a", 600))),
        wrote=((OFFICERS_USED, MINTED, {"fen": 999}),),
    ),
    ok(
        "a new month counts from nothing",
        "T7.2",
        world.mint(("firm-a", 999)),
        before=(*THREE_FROM_1000, world.mint(("firm-a", 600)), NOON_MS + DAY_MS),
        wrote=((OFFICERS_USED, (*MINTED[:2], "2026-02"), {"fen": 999}),),
    ),
    ok(
        "an act of another kind counts apart",
        "T17.2",
        world.revoke(V1, 600),
        before=(*THREE_FROM_1000, world.mint(("firm-a", 999))),
        untouched=(OFFICERS_USED,),
    ),
    ok(
        "another party counts apart",
        "T4.3",
        world.appropriate(5, funder="shanghai"),
        doctor=together(
            three_from("programme.appropriate", 6),
            written(OFFICERS_USED, Amount(fen=9), "henan", "programme.appropriate", "2026-01"),
        ),
        wrote=((OFFICERS_USED, ("shanghai", "programme.appropriate", "2026-01"), {"fen": 5}),),
    ),
    no(
        "all amounts were counted",
        "T7.2",
        "four_eyes_missing",
        world.mint(("firm-a", 1)),
        doctor=together(
            three_from("voucher.mint", FEN_MAX),
            written(OFFICERS_USED, Amount(fen=FEN_MAX), *MINTED),
        ),
        values={"needed": 3},
    ),
    ok(
        "who signs a mint for nothing is not counted",
        "T7.2",
        world.mint(("firm-a", 1), by=officers("shanghai", "mint") + officers("guiyang", "mint")),
        doctor=together(
            three_from("voucher.mint", 3),
            written(OFFICERS_USED, Amount(fen=1), *MINTED),
        ),
        wrote=((OFFICERS_USED, MINTED, {"fen": 2}),),
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
        "two keys of one epoch of tags",
        "parameters",
        tag_keys(1, 2, 2),
        values={"reason": "tag epoch 2 stands after 2"},
    ),
    invalid("epochs of tags that descend", "parameters", tag_keys(2, 1)),
    invalid(
        "another key for the epoch of tags in force",
        "parameters",
        parameters(tag_keys=(TagKey(epoch=1, check_value=bytes(32)),)),
        values={"reason": "tag epoch 1 is not in force with this key"},
    ),
    invalid(
        "an epoch of tags from before",
        "parameters",
        tag_keys(0, 1),
        values={"reason": "tag epoch 0 is not in force with this key"},
    ),
    invalid(
        "the newest epoch of tags left out",
        "parameters",
        tag_keys(1),
        before=adopted(tag_keys(1, 2)),
        values={"reason": "tag epoch 2 stays until a later one is listed"},
    ),
    invalid(
        "an epoch of tags that was left out before",
        "parameters",
        tag_keys(1, 2),
        before=adopted(tag_keys(2)),
    ),
    valid("a second epoch of tags", "parameters", tag_keys(1, 2)),
    valid("one epoch of tags after another", "parameters", tag_keys(2)),
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
        "T8.12",
        transfer(V1, 1),
        before=(*AFTER_A_PAUSE, QUIET_UNTIL_MS - 1),
    ),
    no(
        "a voucher expires as the quiet ends",
        "T8.12",
        "voucher_expired",
        transfer(V1, 1),
        before=(*AFTER_A_PAUSE, QUIET_UNTIL_MS),
        values={"expires_at_ms": QUIET_UNTIL_MS, "time_ms": QUIET_UNTIL_MS},
    ),
    no(
        "a pause brings nothing back that had expired a millisecond before",
        "T8.12",
        "voucher_expired",
        transfer(V1, 1),
        before=around_a_pause(FOR_LONG - FIRST_YES_MS + 1),
        values={"expires_at_ms": FOR_LONG},
    ),
    ok(
        "a pause keeps what would expire a millisecond after it began",
        "T8.12",
        transfer(V1, 1),
        before=around_a_pause(FOR_LONG - FIRST_YES_MS - 1),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()
