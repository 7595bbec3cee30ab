"""Enrolment, keys and recovery: T1, T10."""

from collections.abc import Callable
from typing import Any

import msgspec

from ledger.rules.parties import PARTIES
from ledger.rules.recoveries import RECOVERY_WAIT_MS
from tests.builders import keys_of, officers, seed
from tests.ledger.adversarial.case import (
    BAD_KEY,
    ONE_OFFICER,
    Case,
    Step,
    decide_recovery,
    enrol,
    no,
    objection,
    ok,
    party_key,
    recover,
    rotate,
    second,
    suspended,
    treasury_keys,
)

OWNER = (("firm-a", "owner"),)
STRANGER = (("firm-b", "owner"),)
GUIYANG = officers("guiyang", "registrar")
SHANGHAI = officers("shanghai", "registrar")
replace = msgspec.structs.replace


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


def enrol_firm_c(**changes: Any) -> Step:
    return enrol("firm-c", **changes)


OPEN = (recover(),)
OBJECTED = (recover(), objection())
OPENED_MS = second(1)
RIPE_MS = OPENED_MS + RECOVERY_WAIT_MS
FIRM_OF_TWO = enrol("firm-c", keys=keys_of("firm-c", "one", "two"), threshold=2)
TWO_NEW = keys_of("firm-c", "three", "four")

CASES = [
    # T1
    no("no city enrols", "T1.1", "party_unknown", enrol("firm-c", city="nowhere", by=SHANGHAI)),
    no(
        "a province enrols",
        "T1.1",
        "party_wrong_kind",
        enrol("firm-c", city="henan"),
        values={"party": "henan", "kind": "province", "expected": "city"},
    ),
    no(
        "a data centre enrols",
        "T1.1",
        "party_wrong_kind",
        enrol("firm-c", city="guian-hub", by=SHANGHAI),
        values={"party": "guian-hub", "kind": "data_centre"},
    ),
    no(
        "one officer alone enrols",
        "T1.2",
        "four_eyes_missing",
        enrol("firm-c", by=ONE_OFFICER),
        values={"party": "shanghai", "role": "registrar", "needed": 2, "signed": 1},
    ),
    no(
        "two officers without the role enrol",
        "T1.2",
        "four_eyes_missing",
        enrol("firm-c", by=officers("shanghai", "mint")),
        values={"signed": 0},
    ),
    no(
        "a suspended city enrols",
        "T1.3",
        "party_not_active",
        enrol("firm-c"),
        before=suspended("shanghai"),
        values={"status": "suspended"},
    ),
    no("an id that is taken", "T1.4", "party_exists", enrol("firm-a", name="Other")),
    no("the id of the clearing", "T1.4", "party_exists", enrol("clearing")),
    no(
        "a firm under a second id",
        "T1.5",
        "registration_tag_taken",
        enrol("firm-c", registration_tag=seed("firm-a", "registration")),
        values={"party": "firm-a"},
    ),
    *unfit_keys("T1.6", enrol_firm_c),
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
    *keys_of_a_treasury("T10.rotate.4", lambda **keys: rotate("shanghai", **keys)),
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
    *unfit_keys("T10.recover.6", recover),
    # T10 object
    no("nobody objects", "T10.object.1", "party_unknown", objection("nobody", by=OWNER)),
    no("an objection to nothing", "T10.object.2", "recovery_unknown", objection()),
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
    # T10 decide
    no(
        "no city decides",
        "T10.decide.1",
        "party_unknown",
        decide_recovery(city="nowhere", by=SHANGHAI),
        before=OPEN,
    ),
    no(
        "a province decides",
        "T10.decide.1",
        "party_wrong_kind",
        decide_recovery(city="henan"),
        before=OPEN,
    ),
    no("nobody's recovery", "T10.decide.2", "party_unknown", decide_recovery("nobody")),
    no("a recovery that is not open", "T10.decide.2", "recovery_unknown", decide_recovery()),
    no(
        "a recovery that was decided",
        "T10.decide.2",
        "recovery_unknown",
        decide_recovery(accept=True),
        before=(recover(), decide_recovery(accept=False)),
    ),
    no(
        "another city decides",
        "T10.decide.3",
        "enrolled_elsewhere",
        decide_recovery(city="guiyang"),
        before=OPEN,
    ),
    no(
        "the city is its own second opinion",
        "T10.decide.4",
        "second_opinion_missing",
        decide_recovery(second=("shanghai",)),
        before=OPEN,
    ),
    no(
        "the second is nobody",
        "T10.decide.4",
        "party_unknown",
        decide_recovery(second=("nobody",), by=SHANGHAI),
        before=OPEN,
    ),
    no(
        "the second is a province",
        "T10.decide.4",
        "party_wrong_kind",
        decide_recovery(second=("henan",)),
        before=OPEN,
        values={"expected": "city or auditor"},
    ),
    no(
        "the second is suspended",
        "T10.decide.4",
        "party_not_active",
        decide_recovery(second=("guiyang",)),
        before=(*suspended("guiyang"), *OPEN),
    ),
    no(
        "a second city signs with one officer",
        "T10.decide.4",
        "four_eyes_missing",
        decide_recovery(second=("guiyang",), by=(*SHANGHAI, GUIYANG[0])),
        before=OPEN,
        values={"party": "guiyang"},
    ),
    no(
        "an auditor is named and did not sign",
        "T10.decide.4",
        "signature_missing",
        decide_recovery(second=("audit-office",), by=SHANGHAI),
        before=OPEN,
    ),
    no(
        "one officer decides",
        "T10.decide.5",
        "four_eyes_missing",
        decide_recovery(accept=False, by=ONE_OFFICER),
        before=OPEN,
    ),
    no(
        "a second alone rejects what nobody objected to",
        "T10.decide.5",
        "four_eyes_missing",
        decide_recovery(accept=False, second=("guiyang",), by=GUIYANG),
        before=OPEN,
    ),
    no(
        "a second alone accepts what was objected to",
        "T10.decide.5",
        "four_eyes_missing",
        decide_recovery(second=("guiyang",), by=GUIYANG),
        before=(*OBJECTED, RIPE_MS),
    ),
    no(
        "an objection, and nobody signed for the city",
        "T10.decide.5",
        "four_eyes_missing",
        decide_recovery(accept=False, by=GUIYANG),
        before=OBJECTED,
    ),
    ok(
        "a second alone rejects what was objected to",
        "T10.decide.5",
        decide_recovery(accept=False, second=("guiyang",), by=GUIYANG),
        before=OBJECTED,
    ),
    no(
        "the city alone accepts what was objected to",
        "T10.decide.6",
        "second_opinion_missing",
        decide_recovery(),
        before=(*OBJECTED, RIPE_MS),
    ),
    ok(
        "two accept what was objected to",
        "T10.decide.6",
        decide_recovery(second=("audit-office",)),
        before=(*OBJECTED, RIPE_MS),
    ),
    no(
        "new keys a millisecond early",
        "T10.decide.7",
        "recovery_too_early",
        decide_recovery(),
        before=(*OPEN, RIPE_MS - 1),
        values={"from_ms": RIPE_MS, "time_ms": RIPE_MS - 1},
    ),
    ok(
        "new keys after 72 hours",
        "T10.decide.7",
        decide_recovery(),
        before=(*OPEN, RIPE_MS),
        wrote=((PARTIES, ("firm-a",), {"stopped_since_ms": (), "stopped_ms": RECOVERY_WAIT_MS}),),
    ),
    ok(
        "a second recovery names the same keys",
        "R3.6",
        recover(),
        before=(*OPEN, decide_recovery(accept=False)),
    ),
    no(
        "a key that waits in a recovery is another's",
        "R3.6",
        "key_taken",
        enrol("firm-c", keys=(party_key("firm-a", "heir"),)),
        before=OPEN,
    ),
    ok("a rejection needs no wait", "T10.decide.7", decide_recovery(accept=False), before=OPEN),
]
