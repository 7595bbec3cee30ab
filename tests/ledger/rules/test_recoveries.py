"""New keys, and those of who lost them: T10."""

from typing import Any

import pytest

from ledger.rules.parties import KEYS_WAIT_MAX_MS, PARTIES, PartyKey
from ledger.rules.recoveries import COOLING_MS, RECOVERIES, RECOVERY_WAIT_MS
from ledger.rules.vouchers import GIVEN_BACK_MAX_MS, VOUCHERS
from tests.builders import NOON_MS, OFFICERS, key, keys_of
from tests.ledger.rules.case import (
    DAY_MS,
    FOR_LONG,
    GRANTED,
    ONE_OFFICER,
    TODAY,
    V1,
    V2,
    Case,
    Ready,
    Step,
    anchor,
    announce,
    decide_keys,
    doctored,
    enrol,
    extend,
    no,
    objection,
    ok,
    party_key,
    recover,
    rotate,
    second,
    suspended,
    transfer,
    treasury_keys,
)
from tests.ledger.rules.situations import (
    CENTRE,
    GUIYANG,
    OWNER,
    SHANGHAI,
    keys_of_a_treasury,
    unfit_keys,
)


def replaced(party: str, *persons: str, **roles: tuple[str, ...]) -> tuple[PartyKey, ...]:
    """Return a treasury's keys, new ones for some persons."""
    return tuple(
        PartyKey(key=key(party, old.person, "new"), person=old.person, roles=old.roles)
        if old.person in persons
        else old
        for old in treasury_keys(party, **roles)
    )


def second_opinions(clause: str, make: Any, **rest: Any) -> list[Case]:
    """Return the ways in which Shanghai's second opinion is none (R3.8)."""
    suspends, before = suspended("guiyang"), rest.pop("before", ())
    return [
        no(
            "the city is its own second opinion",
            clause,
            "second_opinion_missing",
            make(second=("shanghai",)),
            before=before,
        ),
        no(
            "the second is nobody",
            clause,
            "party_unknown",
            make(second=("nobody",), by=SHANGHAI),
            before=before,
        ),
        no(
            "the second is a province",
            clause,
            "party_wrong_kind",
            make(second=("henan",)),
            before=before,
            values={"expected": "city or auditor"},
        ),
        no(
            "the second is suspended",
            clause,
            "party_not_active",
            make(second=("guiyang",)),
            before=(*suspends, *before),
        ),
        no(
            "a second city signs with one officer",
            clause,
            "four_eyes_missing",
            make(second=("guiyang",), by=(*SHANGHAI, GUIYANG[0])),
            before=before,
            values={"party": "guiyang"},
        ),
        no(
            "an auditor is named and did not sign",
            clause,
            "signature_missing",
            make(second=("audit-office",), by=SHANGHAI),
            before=before,
        ),
    ]


def rotate_shanghai(**changes: Any) -> Step:
    return rotate("shanghai", **{"threshold": 2, **changes})


def announce_shanghai(**changes: Any) -> Step:
    return announce("shanghai", **{"threshold": 2, **changes})


STRANGER = (("firm-b", "owner"),)
OPEN = (recover(),)
OBJECTED = (recover(), objection())
OPENED_MS = second(1)
KEYS_RIPE_MS = OPENED_MS + RECOVERY_WAIT_MS
ENDED_MS = OPENED_MS + KEYS_WAIT_MAX_MS
"""When what the first of a case's transactions opened ends by itself."""
REJECTED = (recover(), decide_keys(accept=False))
COOLED_MS = second(2) + COOLING_MS
AGAIN = recover(keys=keys_of("firm-a", "other"), second=("guiyang",))
FIRM_OF_TWO = enrol("firm-c", keys=keys_of("firm-c", "one", "two"), threshold=2)
TWO_NEW = keys_of("firm-c", "three", "four")
STOPPED_MS = second(2)
LOST_MS = RECOVERY_WAIT_MS
AFTER_A_RECOVERY = (GRANTED, recover(), STOPPED_MS + LOST_MS, decide_keys(accept=False))
"""A holder was stopped for 72 hours."""
BOTH_DESKS = (*CENTRE, ("guian-hub", "officer-2"))
ALL_OFFICERS = tuple(("shanghai", person) for person in OFFICERS)
CHANGE = (announce(),)
PLOT = announce("shanghai", keys=replaced("shanghai", *OFFICERS), threshold=2)
"""Two registrars announce keys of their own for all officers."""
OBJECTED_PLOT = (PLOT, objection("shanghai", by=(("shanghai", "officer-3"),)))
HEIR = rotate("guian-hub", keys=keys_of("guian-hub", "heir"), by=BOTH_DESKS)
"""The centre names one person from now on."""
ONE_OF_TWO = (
    party_key("guian-hub", "one", person="one"),
    party_key("guian-hub", "again", person="one"),
    *keys_of("guian-hub", "officer-1"),
)
NO_BANK = treasury_keys("shanghai", officer_3=("mint", "pay"), officer_4=("mint", "pay"))

CASES: list[Case] = [
    # T10 rotate
    no("nobody rotates", "T10.rotate.1", "party_unknown", rotate("nobody", by=OWNER)),
    no("another rotates", "T10.rotate.2", "signature_missing", rotate(by=STRANGER)),
    no(
        "one officer rotates a treasury",
        "T10.rotate.2",
        "four_eyes_missing",
        rotate("shanghai", keys=treasury_keys("shanghai"), by=ONE_OFFICER),
    ),
    no(
        "one of two keys rotates",
        "T10.rotate.2",
        "signature_missing",
        rotate("firm-c", keys=TWO_NEW, by=(("firm-c", "one"),)),
        before=(FIRM_OF_TWO,),
        values={"needed": 2, "signed": 1},
    ),
    ok(
        "both keys rotate",
        "T10.rotate.2",
        rotate("firm-c", keys=TWO_NEW, by=(("firm-c", "one"), ("firm-c", "two"))),
        before=(FIRM_OF_TWO,),
    ),
    no(
        "the old key rotates during a recovery",
        "T10.rotate.3",
        "recovery_open",
        rotate(),
        before=OPEN,
        values={"opened_ms": OPENED_MS},
    ),
    *unfit_keys("T10.rotate.4", rotate),
    *keys_of_a_treasury("T10.rotate.4", rotate_shanghai),
    no(
        "a dead key comes back",
        "T10.rotate.4",
        "key_taken",
        rotate(by=(("firm-a", "second"),)),
        before=(rotate(keys=keys_of("firm-a", "second")),),
    ),
    no(
        "a key goes to another person",
        "T10.rotate.4",
        "key_taken",
        rotate(keys=(party_key("firm-a", "owner", person="second"),)),
    ),
    no(
        "two registrars replace all officers",
        "T10.rotate.5",
        "four_eyes_missing",
        rotate_shanghai(keys=replaced("shanghai", *OFFICERS)),
        values={"party": "shanghai", "role": "bank", "needed": 2, "signed": 0},
    ),
    no(
        "two registrars and one who pays replace who pays",
        "T10.rotate.5",
        "four_eyes_missing",
        rotate_shanghai(
            keys=replaced("shanghai", "officer-3"), by=(*SHANGHAI, ("shanghai", "officer-3"))
        ),
        values={"role": "bank", "signed": 1},
    ),
    ok(
        "all officers replace all officers",
        "T10.rotate.5",
        rotate_shanghai(keys=replaced("shanghai", *OFFICERS), by=ALL_OFFICERS),
    ),
    ok(
        "two officers replace themselves",
        "T10.rotate.5",
        rotate_shanghai(keys=replaced("shanghai", "officer-1", "officer-2")),
    ),
    *(
        case
        for claim, role, changed in (
            ("a role goes", "pay", {"officer_3": ("mint", "bank")}),
            ("a role comes", "bank", {"officer_2": ("budget", "review", "registrar", "bank")}),
        )
        for case in (
            no(
                f"{claim} without who has it",
                "T10.rotate.5",
                "four_eyes_missing",
                rotate_shanghai(keys=treasury_keys("shanghai", **changed)),
                values={"role": role},
            ),
            ok(
                f"{claim} with who has it",
                "T10.rotate.5",
                rotate_shanghai(keys=treasury_keys("shanghai", **changed), by=ALL_OFFICERS),
            ),
        )
    ),
    ok(
        "a key without a role comes",
        "T10.rotate.5",
        rotate_shanghai(keys=(*treasury_keys("shanghai"), party_key("x", "y", person="guest"))),
    ),
    no(
        "two registrars change the threshold",
        "T10.rotate.5",
        "four_eyes_missing",
        rotate_shanghai(keys=treasury_keys("shanghai"), threshold=3),
        values={"role": "bank"},
    ),
    ok(
        "a threshold changes where nobody has a role",
        "T10.rotate.5",
        rotate_shanghai(keys=NO_BANK, threshold=3, by=ALL_OFFICERS),
        before=(rotate_shanghai(keys=NO_BANK, by=ALL_OFFICERS),),
    ),
    no(
        "a centre whose threshold is one",
        "T10.rotate.5",
        "persons_missing",
        rotate("guian-hub"),
        values={"party": "guian-hub", "needed": 2, "signed": 1},
    ),
    no(
        "two keys of one person of a centre",
        "T10.rotate.5",
        "persons_missing",
        rotate("guian-hub", by=(("guian-hub", "one"), ("guian-hub", "again"))),
        before=(rotate("guian-hub", keys=ONE_OF_TWO, by=BOTH_DESKS),),
    ),
    ok("two persons of a centre", "T10.rotate.5", rotate("guian-hub", by=BOTH_DESKS)),
    ok(
        "the only person of a centre",
        "T10.rotate.5",
        rotate("guian-hub", by=(("guian-hub", "heir"),)),
        before=(HEIR,),
    ),
    no(
        "an auditor whose threshold is one",
        "T10.rotate.5",
        "persons_missing",
        rotate("audit-office"),
    ),
    # T10 announce
    no("nobody announces", "T10.announce.1", "party_unknown", announce("nobody", by=SHANGHAI)),
    no("a holder announces", "T10.announce.1", "party_wrong_kind", announce("firm-a")),
    no(
        "one officer announces",
        "T10.announce.2",
        "four_eyes_missing",
        announce_shanghai(keys=treasury_keys("shanghai"), by=ONE_OFFICER),
    ),
    no(
        "another announces for a centre",
        "T10.announce.2",
        "signature_missing",
        announce(by=SHANGHAI),
    ),
    no(
        "a second change",
        "T10.announce.4",
        "key_change_open",
        announce(keys=keys_of("guian-hub", "other")),
        before=(*CHANGE, ENDED_MS - 1),
        values={"party": "guian-hub", "opened_ms": OPENED_MS},
    ),
    ok(
        "a change after one that ended by itself",
        "T10.announce.4",
        announce(keys=keys_of("guian-hub", "other")),
        before=(*CHANGE, ENDED_MS),
        wrote=((RECOVERIES, ("guian-hub",), {"opened_ms": ENDED_MS, "case": ()}),),
    ),
    ok(
        "a change after one that was given up names the same keys",
        "T10.announce.4",
        announce(),
        before=(*CHANGE, decide_keys("guian-hub", member="guian-hub", accept=False)),
    ),
    *unfit_keys("T10.announce.5", announce),
    *keys_of_a_treasury("T10.announce.5", announce_shanghai),
    ok(
        "a member that announced new keys is not stopped",
        "T10.announce.5",
        rotate("guian-hub", by=BOTH_DESKS),
        before=CHANGE,
    ),
    # T10 recover
    no(
        "no city recovers",
        "T10.recover.1",
        "party_unknown",
        recover(city="nowhere", by=SHANGHAI),
    ),
    no("a province recovers", "T10.recover.1", "party_wrong_kind", recover(city="henan")),
    no("nobody is recovered", "T10.recover.2", "party_unknown", recover("nobody")),
    no("a member is recovered", "T10.recover.2", "party_wrong_kind", recover("guian-hub")),
    no(
        "another city recovers",
        "T10.recover.3",
        "enrolled_elsewhere",
        recover(city="guiyang"),
        values={"party": "firm-a", "city": "guiyang"},
    ),
    no(
        "one officer recovers",
        "T10.recover.4",
        "four_eyes_missing",
        recover(by=ONE_OFFICER),
    ),
    no(
        "a second recovery",
        "T10.recover.5",
        "recovery_open",
        recover(keys=keys_of("firm-a", "other")),
        before=OPEN,
    ),
    ok(
        "a recovery after one that ended by itself, and what that stopped",
        "T10.recover.6",
        AGAIN,
        before=(*OPEN, ENDED_MS + COOLING_MS),
        wrote=(
            (
                PARTIES,
                ("firm-a",),
                {
                    "stopped_since_ms": (ENDED_MS + COOLING_MS,),
                    "stopped_ms": KEYS_WAIT_MAX_MS,
                },
            ),
        ),
    ),
    no(
        "a recovery soon after one that ended by itself",
        "T10.recover.6",
        "recovery_cooling",
        AGAIN,
        before=(*OPEN, ENDED_MS + COOLING_MS - 1),
        values={"from_ms": ENDED_MS + COOLING_MS},
    ),
    no(
        "a recovery soon after a rejected one",
        "T10.recover.6",
        "recovery_cooling",
        AGAIN,
        before=(*REJECTED, COOLED_MS - 1),
        values={"from_ms": COOLED_MS, "time_ms": COOLED_MS - 1},
    ),
    ok(
        "a recovery a fortnight after a rejected one",
        "T10.recover.6",
        AGAIN,
        before=(*REJECTED, COOLED_MS),
    ),
    no(
        "a city alone recovers again",
        "T10.recover.6",
        "second_opinion_missing",
        recover(),
        before=(*REJECTED, COOLED_MS),
        values={"party": "firm-a", "by": "shanghai"},
    ),
    ok(
        "a city alone recovers after a recovery that was accepted",
        "T10.recover.6",
        recover(keys=keys_of("firm-a", "other")),
        before=(*OPEN, KEYS_RIPE_MS, decide_keys()),
    ),
    *second_opinions("T10.recover.7", recover),
    *unfit_keys("T10.recover.8", recover),
    # T10 object
    no("nobody objects", "T10.object.1", "party_unknown", objection("nobody", by=OWNER)),
    no("an objection to nothing", "T10.object.2", "recovery_unknown", objection()),
    no(
        "an objection to what ended by itself",
        "T10.object.2",
        "recovery_unknown",
        objection(),
        before=(*OPEN, ENDED_MS),
    ),
    no(
        "a stranger objects",
        "T10.object.3",
        "signature_missing",
        objection(by=STRANGER),
        before=OPEN,
        values={"party": "firm-a", "needed": 1, "signed": 0},
    ),
    ok("the old key objects", "T10.object.3", objection(), before=OPEN),
    ok(
        "one of two keys objects",
        "T10.object.3",
        objection("firm-c", by=(("firm-c", "one"),)),
        before=(FIRM_OF_TWO, recover("firm-c")),
    ),
    ok(
        "one key of a treasury objects",
        "T10.object.3",
        objection("shanghai", by=(("shanghai", "officer-4"),)),
        before=(PLOT,),
    ),
    no(
        "an auditor objects to a recovery",
        "T10.object.4",
        "keys_not_theirs",
        objection(member="audit-office"),
        before=OPEN,
        values={"party": "firm-a", "by": "audit-office"},
    ),
    no(
        "nobody objects to a member's keys",
        "T10.object.4",
        "party_unknown",
        objection("shanghai", member="nobody", by=SHANGHAI),
        before=(PLOT,),
    ),
    no(
        "a city objects to another's keys",
        "T10.object.4",
        "party_wrong_kind",
        objection("shanghai", member="guiyang"),
        before=(PLOT,),
    ),
    no(
        "a suspended auditor objects",
        "T10.object.4",
        "party_not_active",
        objection("shanghai", member="audit-office"),
        before=(PLOT, *suspended("audit-office")),
    ),
    no(
        "an auditor objects and did not sign",
        "T10.object.4",
        "signature_missing",
        objection("shanghai", member="audit-office", by=SHANGHAI),
        before=(PLOT,),
    ),
    ok(
        "an auditor objects to a member's keys",
        "T10.object.4",
        objection("shanghai", member="audit-office"),
        before=(PLOT,),
        wrote=((RECOVERIES, ("shanghai",), {"objected_ms": (second(2),)}),),
    ),
    # T10 decide
    no("nobody's recovery", "T10.decide.1", "party_unknown", decide_keys("nobody")),
    no("a recovery that is not open", "T10.decide.1", "recovery_unknown", decide_keys()),
    no(
        "a recovery that was decided",
        "T10.decide.1",
        "recovery_unknown",
        decide_keys(accept=True),
        before=(recover(), decide_keys(accept=False)),
    ),
    no(
        "a recovery that ended by itself",
        "T10.decide.1",
        "recovery_unknown",
        decide_keys(),
        before=(*OPEN, ENDED_MS),
    ),
    ok(
        "a recovery in its last millisecond",
        "T10.decide.1",
        decide_keys(),
        before=(*OPEN, ENDED_MS - 1),
    ),
    no(
        "another city decides",
        "T10.decide.2",
        "enrolled_elsewhere",
        decide_keys(member="guiyang"),
        before=OPEN,
    ),
    no(
        "the holder itself decides",
        "T10.decide.2",
        "enrolled_elsewhere",
        decide_keys(member="firm-a"),
        before=OPEN,
    ),
    no(
        "another decides on a member's keys",
        "T10.decide.2",
        "keys_not_theirs",
        decide_keys("guian-hub", member="guiyang"),
        before=CHANGE,
        values={"party": "guian-hub", "by": "guiyang"},
    ),
    *second_opinions("T10.decide.3", decide_keys, before=OPEN),
    no(
        "one officer decides",
        "T10.decide.4",
        "four_eyes_missing",
        decide_keys(accept=False, by=ONE_OFFICER),
        before=OPEN,
    ),
    no(
        "a second alone rejects what nobody objected to",
        "T10.decide.4",
        "four_eyes_missing",
        decide_keys(accept=False, second=("guiyang",), by=GUIYANG),
        before=OPEN,
    ),
    no(
        "a second alone accepts what was objected to",
        "T10.decide.4",
        "four_eyes_missing",
        decide_keys(second=("guiyang",), by=GUIYANG),
        before=(*OBJECTED, KEYS_RIPE_MS),
    ),
    no(
        "an objection, and nobody signed for the city",
        "T10.decide.4",
        "four_eyes_missing",
        decide_keys(accept=False, by=GUIYANG),
        before=OBJECTED,
    ),
    ok(
        "a second alone rejects what was objected to",
        "T10.decide.4",
        decide_keys(accept=False, second=("guiyang",), by=GUIYANG),
        before=OBJECTED,
    ),
    no(
        "the city alone accepts what was objected to",
        "T10.decide.5",
        "second_opinion_missing",
        decide_keys(),
        before=(*OBJECTED, KEYS_RIPE_MS),
    ),
    ok(
        "two accept what was objected to",
        "T10.decide.5",
        decide_keys(second=("audit-office",)),
        before=(*OBJECTED, KEYS_RIPE_MS),
    ),
    no(
        "new keys a millisecond early",
        "T10.decide.6",
        "recovery_too_early",
        decide_keys(),
        before=(*OPEN, KEYS_RIPE_MS - 1),
        values={"from_ms": KEYS_RIPE_MS, "time_ms": KEYS_RIPE_MS - 1},
    ),
    ok(
        "new keys after 72 hours",
        "T10.decide.6",
        decide_keys(),
        before=(*OPEN, KEYS_RIPE_MS),
        wrote=((PARTIES, ("firm-a",), {"stopped_since_ms": (), "stopped_ms": RECOVERY_WAIT_MS}),),
    ),
    no(
        "one officer decides on a treasury's keys",
        "T10.decide.4",
        "four_eyes_missing",
        decide_keys("shanghai", by=ONE_OFFICER),
        before=(PLOT, KEYS_RIPE_MS),
    ),
    no(
        "a centre decides without its signature",
        "T10.decide.4",
        "signature_missing",
        decide_keys("guian-hub", member="guian-hub", by=SHANGHAI),
        before=CHANGE,
    ),
    no(
        "two registrars announce and an objection stops them",
        "T10.decide.5",
        "second_opinion_missing",
        decide_keys("shanghai"),
        before=(*OBJECTED_PLOT, KEYS_RIPE_MS),
        values={"party": "shanghai", "by": "shanghai"},
    ),
    ok(
        "another member ends what two registrars announced",
        "T10.decide.5",
        decide_keys("shanghai", accept=False, second=("guiyang",), by=GUIYANG),
        before=OBJECTED_PLOT,
        untouched=(PARTIES,),
    ),
    ok(
        "another member agrees to what was objected to",
        "T10.decide.5",
        decide_keys("shanghai", second=("audit-office",)),
        before=(*OBJECTED_PLOT, KEYS_RIPE_MS),
    ),
    no(
        "a member's new keys a millisecond early",
        "T10.decide.6",
        "recovery_too_early",
        decide_keys("shanghai"),
        before=(PLOT, KEYS_RIPE_MS - 1),
    ),
    ok(
        "a member's new keys after 72 hours",
        "T10.decide.6",
        decide_keys("guian-hub", member="guian-hub"),
        before=(*CHANGE, KEYS_RIPE_MS),
        wrote=((PARTIES, ("guian-hub",), {"keys": keys_of("guian-hub", "heir"), "stopped_ms": 0}),),
    ),
    no(
        "a key that died meanwhile",
        "T10.decide.7",
        "key_taken",
        decide_keys("guian-hub", member="guian-hub", by=(("guian-hub", "heir"),)),
        before=(announce(keys=keys_of("guian-hub", "officer-1", "other")), HEIR, KEYS_RIPE_MS),
        values={"key": key("guian-hub", "officer-1").hex()},
    ),
    *(
        case
        for claim, opened, waiting in (
            ("a recovery", OPEN, party_key("firm-a", "heir")),
            ("a key change", CHANGE, party_key("guian-hub", "heir")),
        )
        for case in (
            no(
                f"a key that waits in {claim} is another's",
                "R3.6",
                "key_taken",
                enrol("firm-c", keys=(waiting,)),
                before=(*opened, ENDED_MS - 1),
            ),
            ok(
                f"a key waited in {claim} for a fortnight",
                "R3.6",
                enrol("firm-c", keys=(waiting,)),
                before=(*opened, ENDED_MS),
            ),
        )
    ),
    no(
        "a holder is stopped for a fortnight",
        "R10.3",
        "recovery_open",
        transfer(V1, 1),
        before=(GRANTED, *OPEN, second(2) + KEYS_WAIT_MAX_MS - 1),
    ),
    ok(
        "a holder is free after a fortnight",
        "R10.3",
        transfer(V1, 1),
        before=(GRANTED, *OPEN, second(2) + KEYS_WAIT_MAX_MS),
    ),
    ok("a rejection needs no wait", "T10.decide.6", decide_keys(accept=False), before=OPEN),
    ok(
        "a holder gets the time back during which it was stopped",
        "T8.12",
        transfer(V1, 1),
        before=(*AFTER_A_RECOVERY, FOR_LONG + LOST_MS - 1),
    ),
    no(
        "a holder gets no millisecond more back",
        "T8.12",
        "voucher_expired",
        transfer(V1, 1),
        before=(*AFTER_A_RECOVERY, FOR_LONG + LOST_MS),
        values={"expires_at_ms": FOR_LONG + LOST_MS},
    ),
    ok(
        "a recovery that nobody ends gives a fortnight back",
        "R11.1",
        transfer(V1, 1),
        before=(GRANTED, *OPEN, FOR_LONG + KEYS_WAIT_MAX_MS - 1),
    ),
    no(
        "a recovery that nobody ends gives no more than a fortnight back",
        "R11.1",
        "voucher_expired",
        transfer(V1, 1),
        before=(GRANTED, *OPEN, FOR_LONG + KEYS_WAIT_MAX_MS),
        values={"expires_at_ms": FOR_LONG + KEYS_WAIT_MAX_MS},
    ),
    ok(
        "a child carries on what its parent got back",
        "R11.1",
        transfer(V1, 1),
        before=AFTER_A_RECOVERY,
        wrote=(
            (
                VOUCHERS,
                (V2,),
                {
                    "expires_at_ms": FOR_LONG,
                    "due_ms": FOR_LONG + LOST_MS,
                    "given_back_ms": LOST_MS,
                    "stopped_ms": 0,
                },
            ),
        ),
    ),
    ok(
        "a child carries on thirty days at most",
        "R11.1",
        transfer(V1, 1),
        before=AFTER_A_RECOVERY,
        doctor=doctored(VOUCHERS, V1, given_back_ms=28 * DAY_MS),
        wrote=((VOUCHERS, (V2,), {"given_back_ms": GIVEN_BACK_MAX_MS}),),
    ),
    ok(
        "a voucher gets thirty days back",
        "R11.1",
        transfer(V1, 1),
        before=(*AFTER_A_RECOVERY, FOR_LONG + GIVEN_BACK_MAX_MS - 1),
        doctor=doctored(VOUCHERS, V1, given_back_ms=28 * DAY_MS),
    ),
    no(
        "a voucher gets no more than thirty days back",
        "R11.1",
        "voucher_expired",
        transfer(V1, 1),
        before=(*AFTER_A_RECOVERY, FOR_LONG + GIVEN_BACK_MAX_MS),
        doctor=doctored(VOUCHERS, V1, given_back_ms=28 * DAY_MS),
        values={"expires_at_ms": FOR_LONG + GIVEN_BACK_MAX_MS},
    ),
    ok(
        "what a voucher gets back starts anew with its extension",
        "T16.4",
        extend(V1, TODAY + 400),
        before=AFTER_A_RECOVERY,
        doctor=doctored(VOUCHERS, V1, given_back_ms=28 * DAY_MS),
        wrote=((VOUCHERS, (V1,), {"given_back_ms": 0, "stopped_ms": LOST_MS}),),
    ),
    ok(
        "a stopped holder's voucher is looked at a day later",
        "R8.2",
        anchor(),
        before=(GRANTED, FOR_LONG - 1, recover(), FOR_LONG),
        wrote=((VOUCHERS, (V1,), {"available": 10_000, "due_ms": FOR_LONG + DAY_MS}),),
    ),
    ok(
        "a stopped holder's voucher is looked at when it expires, if that is later",
        "R8.2",
        anchor(),
        before=(GRANTED, FOR_LONG - 2 * DAY_MS, recover(), FOR_LONG),
        wrote=((VOUCHERS, (V1,), {"due_ms": FOR_LONG + 2 * DAY_MS}),),
    ),
    ok(
        "a stopped holder's voucher expires when all was given back",
        "R8.2",
        anchor(),
        before=(GRANTED, FOR_LONG - 1, recover(), FOR_LONG),
        doctor=doctored(VOUCHERS, V1, given_back_ms=GIVEN_BACK_MAX_MS, expires_at_ms=NOON_MS),
        wrote=((VOUCHERS, (V1,), {"available": 0, "expired": 10_000}),),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()
