"""New keys, and those of who lost them: T10."""

import pytest

from ledger.rules.parties import PARTIES
from ledger.rules.recoveries import RECOVERY_WAIT_MS
from tests.builders import keys_of
from tests.ledger.rules.case import (
    FOR_LONG,
    GRANTED,
    ONE_OFFICER,
    V1,
    Case,
    Ready,
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
    transfer,
    treasury_keys,
)
from tests.ledger.rules.situations import GUIYANG, OWNER, SHANGHAI, keys_of_a_treasury, unfit_keys

STRANGER = (("firm-b", "owner"),)
OPEN = (recover(),)
OBJECTED = (recover(), objection())
OPENED_MS = second(1)
KEYS_RIPE_MS = OPENED_MS + RECOVERY_WAIT_MS
FIRM_OF_TWO = enrol("firm-c", keys=keys_of("firm-c", "one", "two"), threshold=2)
TWO_NEW = keys_of("firm-c", "three", "four")
STOPPED_MS = second(2)
LOST_MS = RECOVERY_WAIT_MS
AFTER_A_RECOVERY = (GRANTED, recover(), STOPPED_MS + LOST_MS, decide_recovery(accept=False))
"""A holder was stopped for 72 hours."""

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
        before=(*OBJECTED, KEYS_RIPE_MS),
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
        before=(*OBJECTED, KEYS_RIPE_MS),
    ),
    ok(
        "two accept what was objected to",
        "T10.decide.6",
        decide_recovery(second=("audit-office",)),
        before=(*OBJECTED, KEYS_RIPE_MS),
    ),
    no(
        "new keys a millisecond early",
        "T10.decide.7",
        "recovery_too_early",
        decide_recovery(),
        before=(*OPEN, KEYS_RIPE_MS - 1),
        values={"from_ms": KEYS_RIPE_MS, "time_ms": KEYS_RIPE_MS - 1},
    ),
    ok(
        "new keys after 72 hours",
        "T10.decide.7",
        decide_recovery(),
        before=(*OPEN, KEYS_RIPE_MS),
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
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()
