"""Proposals, votes, members and their keys: T23, T24, R14.2."""

from typing import Any

import pytest
from msgspec.structs import replace

from ledger.rules.governance import (
    OPEN_PROPOSALS,
    PROPOSALS,
    VOTING_MS,
    Admit,
    SetMemberKeys,
    SetStatus,
    SetValidator,
    proposal_key,
)
from ledger.rules.parties import PartyStatus
from ledger.rules.successors import SUCCESSIONS
from ledger.rules.validators import VALIDATORS_MAX
from tests import builders
from tests.builders import keys_of, validator_keys
from tests.ledger.rules.case import (
    BAD_KEY,
    EVER_MS,
    ONE_OFFICER,
    Case,
    Ready,
    Step,
    adopted,
    enrol,
    no,
    ok,
    party_key,
    propose,
    removed,
    second,
    suspended,
    treasury_keys,
    vote,
)
from tests.ledger.rules.situations import (
    FOUR,
    NEW_KEYS,
    NOBODYS_KEY,
    SHANGHAI,
    SOME_ACTION,
    TAKEN_KEY,
    invalid,
    keys_of_a_treasury,
    parameters,
    unfit_keys,
    valid,
    validating,
)

XIAN = builders.city("xian", validates=False)
HUB = builders.centre("xian-hub")
OPENED = (propose(SOME_ACTION),)
CLOSES_MS = second(1) + VOTING_MS
FOUR_OPEN = tuple(
    propose(parameters(block_transactions_max=number, expiry_ahead_max_ms=EVER_MS))
    for number in range(1, 5)
)


def status(party: str, chosen: PartyStatus, *successor: str) -> Step:
    return propose(SetStatus(party=party, status=chosen, successor=successor))


def no_status(claim: str, step: Step, reason: str, **rest: Any) -> Case:
    """Return a case of a status, or a successor, that members cannot choose."""
    values = {"reason": reason}
    return no(claim, "R14.2.status", "action_invalid", step, values=values, **rest)


GONE = removed("chengdu-aicc")
"""A centre that was removed, and nobody takes its place."""


def unfit(claim: str, member: Any, reason: str) -> Case:
    return no(
        claim,
        "R14.2.admit",
        "action_invalid",
        propose(Admit(member=member, proofs=())),
        values={"reason": reason},
    )


def outcome(number: int, chosen: str) -> Any:
    return ((PROPOSALS, (proposal_key(number),), {"status": chosen}),)


THREE = (
    *FOUR,
    propose(SetStatus(party="henan", status="suspended", successor=())),
    vote(2),
    vote(2, voter="guian-hub"),
)


def member_keys(**changes: Any) -> Step:
    """Return a proposal of keys for a centre that lost its own."""
    values: dict[str, Any] = {"keys": keys_of("guian-hub", "heir"), "threshold": 1}
    return propose(SetMemberKeys(party="guian-hub", **({"proofs": ()} | values | changes)))


def shanghai_keys(**changes: Any) -> Step:
    """Return a proposal of keys for Shanghai."""
    values: dict[str, Any] = {"threshold": 2, "proofs": (), **changes}
    return propose(SetMemberKeys(party="shanghai", **values))


CASES: list[Case] = [
    no(
        "nobody asks",
        "T23.1",
        "party_unknown",
        propose(SOME_ACTION, proposer="nobody", by=SHANGHAI),
    ),
    no(
        "an auditor asks",
        "T23.1",
        "party_wrong_kind",
        propose(SOME_ACTION, proposer="audit-office"),
    ),
    no("one officer asks", "T23.2", "four_eyes_missing", propose(SOME_ACTION, by=ONE_OFFICER)),
    no(
        "a centre asks without its signature",
        "T23.2",
        "signature_missing",
        propose(SOME_ACTION, proposer="guian-hub", by=SHANGHAI),
    ),
    no(
        "a suspended member asks",
        "T23.3",
        "party_not_active",
        propose(SOME_ACTION),
        before=suspended("shanghai"),
    ),
    no(
        "a fifth open proposal",
        "T23.4",
        "proposals_too_many",
        propose(SOME_ACTION),
        before=(*FOUR_OPEN, CLOSES_MS - 1),
        values={"party": "shanghai", "maximum": 4, "from_ms": CLOSES_MS},
    ),
    ok(
        "a fifth proposal when the first has closed",
        "T23.4",
        propose(SOME_ACTION),
        before=(*FOUR_OPEN, CLOSES_MS),
        wrote=((OPEN_PROPOSALS, ("shanghai",), {"numbers": (2, 3, 4, 5)}),),
    ),
    ok(
        "a fifth proposal when one of four was adopted",
        "T23.4",
        propose(parameters()),
        before=(*FOUR_OPEN, vote(2), vote(2, voter="henan"), vote(2, voter="guian-hub")),
        wrote=((OPEN_PROPOSALS, ("shanghai",), {"numbers": (1, 3, 4, 5)}),),
    ),
    ok(
        "another's proposal beside four",
        "T23.4",
        propose(SOME_ACTION, proposer="guiyang"),
        before=FOUR_OPEN,
    ),
    no("nobody votes", "T24.1", "party_unknown", vote(voter="nobody", by=SHANGHAI), before=OPENED),
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
        vote(voter="guian-hub", by=SHANGHAI),
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
    valid("a city", "admit", Admit(member=XIAN, proofs=())),
    valid("an auditor", "admit", Admit(member=builders.auditor("xian-audit"), proofs=())),
    valid(
        "a city that validates",
        "admit",
        Admit(member=replace(XIAN, validator=(NEW_KEYS,)), proofs=()),
    ),
    no(
        "an id that is taken",
        "R14.2.admit",
        "party_exists",
        propose(Admit(member=replace(XIAN, id="firm-a"), proofs=())),
    ),
    no(
        "the id of the clearing",
        "R14.2.admit",
        "party_exists",
        propose(Admit(member=replace(XIAN, id="clearing"), proofs=())),
    ),
    no(
        "a member who came in meanwhile",
        "R14.2.admit",
        "party_exists",
        vote(1, voter="chengdu-aicc"),
        before=(
            propose(Admit(member=XIAN, proofs=())),
            vote(),
            vote(voter="henan"),
            *adopted(Admit(member=replace(HUB, id="xian", validator=()), proofs=()), 2),
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
    valid("the least threshold", "admit", Admit(member=replace(XIAN, threshold=1), proofs=())),
    valid("the largest threshold", "admit", Admit(member=replace(XIAN, threshold=4), proofs=())),
    unfit(
        "a province that validates",
        replace(XIAN, party_class="province", validator=(NEW_KEYS,)),
        "xian: only cities and data centres validate",
    ),
    unfit(
        "an auditor that validates",
        replace(builders.auditor("xian"), validator=(NEW_KEYS,)),
        "xian: only cities and data centres validate",
    ),
    *(
        no(
            f"{claim} of another",
            "R14.2.admit",
            "key_taken",
            propose(Admit(member=member, proofs=())),
        )
        for claim, member in {
            "a key": replace(HUB, keys=(TAKEN_KEY,)),
            "a signing key that is a validator's": replace(
                HUB, keys=(party_key("guiyang", "log"),)
            ),
            "a validator key": replace(HUB, validator=(validator_keys("guiyang"),)),
            "a validator key that signs": replace(
                HUB, validator=(replace(NEW_KEYS, log=TAKEN_KEY.key),)
            ),
        }.items()
    ),
    no(
        "a key for two uses",
        "R14.2.admit",
        "key_taken",
        propose(
            Admit(member=replace(HUB, validator=(replace(NEW_KEYS, log=NEW_KEYS.link),)), proofs=())
        ),
    ),
    no(
        "a key of small order",
        "R14.2.admit",
        "key_invalid",
        propose(Admit(member=replace(HUB, keys=(BAD_KEY,)), proofs=())),
    ),
    no(
        "a validator key of small order",
        "R14.2.admit",
        "key_invalid",
        propose(
            Admit(member=replace(HUB, validator=(replace(NEW_KEYS, log=BAD_KEY.key),)), proofs=())
        ),
    ),
    no(
        "a key that nobody has",
        "R14.2.admit",
        "key_proof_wrong",
        propose(
            Admit(member=replace(HUB, keys=(replace(HUB.keys[0], key=NOBODYS_KEY),)), proofs=())
        ),
    ),
    no(
        "a validator key that nobody has",
        "R14.2.admit",
        "key_proof_wrong",
        propose(
            Admit(member=replace(HUB, validator=(replace(NEW_KEYS, link=NOBODYS_KEY),)), proofs=())
        ),
        values={"key": NOBODYS_KEY.hex()},
    ),
    invalid(
        "a 129th validator",
        "admit",
        Admit(member=HUB, proofs=()),
        doctor=validating(VALIDATORS_MAX),
        values={"reason": "129 validators would remain, expected 1 to 128"},
    ),
    valid(
        "a 128th validator",
        "admit",
        Admit(member=HUB, proofs=()),
        doctor=validating(VALIDATORS_MAX - 1),
    ),
    no("nobody's status", "R14.2.status", "party_unknown", status("nobody", "suspended")),
    no("a holder's status", "R14.2.status", "party_wrong_kind", status("firm-a", "suspended")),
    no(
        "a removed member comes back",
        "R14.2.status",
        "action_invalid",
        status("chengdu-aicc", "active"),
        before=GONE,
        values={"reason": "chengdu-aicc was removed for ever"},
    ),
    no_status(
        "a removed member is suspended",
        status("chengdu-aicc", "suspended", "guian-hub"),
        "chengdu-aicc was removed for ever",
        before=GONE,
    ),
    no_status(
        "a member is removed twice",
        status("chengdu-aicc", "removed"),
        "chengdu-aicc is removed already",
        before=GONE,
    ),
    ok(
        "a removed member gets a successor later",
        "R14.2.status",
        status("chengdu-aicc", "removed", "guian-hub"),
        before=GONE,
    ),
    no_status(
        "a suspended member keeps its successor",
        status("chengdu-aicc", "suspended", "guian-hub"),
        "chengdu-aicc is suspended already",
        before=suspended("chengdu-aicc", successor=("guian-hub",)),
    ),
    ok(
        "a suspended member loses its successor",
        "R14.2.status",
        status("chengdu-aicc", "suspended"),
        before=suspended("chengdu-aicc", successor=("guian-hub",)),
    ),
    ok(
        "a suspended member comes back without its successor",
        "R14.2.status",
        vote(2, voter="henan"),
        before=(
            *suspended("chengdu-aicc", successor=("guian-hub",)),
            status("chengdu-aicc", "active"),
            vote(2),
        ),
        wrote=((SUCCESSIONS, ("chengdu-aicc",), {"successor": ()}),),
    ),
    no_status(
        "a city is removed, and nobody takes its place",
        status("guiyang", "removed"),
        "guiyang is a treasury: its removal names a successor",
    ),
    ok("a city is removed for another", "R14.2.status", status("guiyang", "removed", "shanghai")),
    ok("a city is suspended for a while", "R14.2.status", status("guiyang", "suspended")),
    ok("a centre is removed for nobody", "R14.2.status", status("chengdu-aicc", "removed")),
    no(
        "nobody is a successor",
        "R14.2.status",
        "party_unknown",
        status("guiyang", "removed", "nobody"),
        values={"party": "nobody"},
    ),
    no_status(
        "an active member has a successor",
        status("guiyang", "active", "shanghai"),
        "guiyang would be active: it has no successor",
        before=suspended("guiyang"),
    ),
    no_status(
        "a city succeeds itself",
        status("guiyang", "removed", "guiyang"),
        "guiyang does not succeed itself",
    ),
    no_status(
        "a centre succeeds a city",
        status("guiyang", "removed", "guian-hub"),
        "guian-hub is of another kind or class than guiyang",
    ),
    no_status(
        "a city succeeds a province",
        status("henan", "suspended", "guiyang"),
        "guiyang is of another kind or class than henan",
    ),
    no_status(
        "two cities would succeed each other",
        status("shanghai", "suspended", "guiyang"),
        "guiyang is suspended: it succeeds nobody",
        before=suspended("guiyang", successor=("shanghai",)),
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
    no(
        "nobody's keys",
        "R14.2.keys",
        "party_unknown",
        propose(SetMemberKeys(party="nobody", keys=keys_of("x", "y"), threshold=1, proofs=())),
    ),
    no(
        "a holder's keys",
        "R14.2.keys",
        "party_wrong_kind",
        propose(SetMemberKeys(party="firm-a", keys=keys_of("x", "y"), threshold=1, proofs=())),
    ),
    *unfit_keys("R14.2.keys", member_keys),
    *keys_of_a_treasury("R14.2.keys", shanghai_keys),
    no(
        "another admits with a key that waits in a proposal",
        "R3.6",
        "key_taken",
        propose(Admit(member=replace(HUB, id="rival"), proofs=())),
        before=(propose(Admit(member=HUB, proofs=())),),
    ),
    *(
        case
        for claim, action, waiting in (
            ("a member's key", Admit(member=HUB, proofs=()), HUB.keys[0]),
            (
                "a validator's key",
                SetValidator(party="guian-hub", validator=(NEW_KEYS,), proofs=()),
                party_key("new", "log"),
            ),
            (
                "a lost member's key",
                SetMemberKeys(party="guian-hub", keys=keys_of("x", "y"), threshold=1, proofs=()),
                keys_of("x", "y")[0],
            ),
        )
        for case in (
            no(
                f"{claim} in a proposal that is open",
                "R3.6",
                "key_taken",
                enrol("firm-c", keys=(waiting,)),
                before=(propose(action), CLOSES_MS - 1),
            ),
            ok(
                f"{claim} in a proposal that nobody voted for",
                "R3.6",
                enrol("firm-c", keys=(waiting,)),
                before=(propose(action), CLOSES_MS),
            ),
        )
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()
