"""Stories that take more than one rule: lost keys, vanished holders, decisions of the members."""

from typing import Any

import msgspec
import pytest

from ledger.encoding.codec import Record
from ledger.execute import ROOT_EVERY_MS, Execution, RulesUnknown
from ledger.invariants import check_state
from ledger.rules import calendar
from ledger.rules.cases import ClearHold, SetHold
from ledger.rules.centres import ACCREDITATIONS, Accredit
from ledger.rules.claims import CLAIMS, DISPUTE_WINDOW_MS, Decide, DecideClaim, Dispute, Line
from ledger.rules.control import PARAMETERS, OfficersRule
from ledger.rules.governance import (
    PROPOSAL_COUNT,
    PROPOSALS,
    Action,
    Admit,
    Member,
    Pause,
    Propose,
    Resume,
    SetMemberKeys,
    SetParameters,
    SetRulesVersion,
    SetStatus,
    SetValidator,
    SwitchEngine,
    Vote,
    proposal_key,
)
from ledger.rules.invoices import Invoice, Usage
from ledger.rules.parties import PARTIES, PartyKey
from ledger.rules.payables import PAYABLES, payable_id
from ledger.rules.recoveries import (
    COOLING_MS,
    RECOVERY_WAIT_MS,
    DecideKeys,
    ObjectToKeys,
    Recover,
    Rotate,
    SetKeys,
)
from ledger.rules.redemptions import Redeem
from ledger.rules.reserves import GRACE_MS, RESERVES, SetAside
from ledger.rules.vouchers import GIVEN_BACK_MAX_MS, VOUCHERS, Transfer
from ledger.store.memory import MemoryStore
from ledger.view import Table, must
from tests import builders
from tests.builders import NOON_MS, Chain, centre, city, funded_chain, key, officers, seed

V1 = "shanghai.compute.000000001"
R1 = "guian-hub.000000001"
C1 = "guian-hub.000000001"
CASE = seed("case")
HOUR_MS = 3_600_000
DAY_MS = calendar.DAY_MS
YEAR_MS = 365 * DAY_MS
OWNER = ("firm-a", "owner")
RECIPIENT = ("firm-b", "owner")
THIEF = OWNER
"""A thief signs with the very key that was lost."""
NEW_OWNER = ("firm-a", "owner-2")
REGISTRARS = officers("shanghai", "registrar")
REVIEWERS = officers("shanghai", "review")


def stored(chain: Chain, table: Table[Any], *parts: str) -> Any:
    return must(chain.ledger._storage, table, *parts)


def do(chain: Chain, operation: Record, *signers: tuple[str, str], at: int | None = None) -> str:
    """Commit one transaction in a block of its own; return its code."""
    time_ms = chain.now_ms + 1_000 if at is None else at
    raw = builders.signed(operation, *signers, expires_at=time_ms + HOUR_MS)
    (attempt,) = chain.attempt(raw, time_ms=time_ms)
    check_all(chain)
    return attempt.code


def check_all(chain: Chain) -> None:
    """Recompute every invariant over the whole state."""
    store = chain.ledger._storage
    assert isinstance(store, MemoryStore)
    assert check_state(store.records())


def started(**terms: Any) -> Chain:
    """Return a chain on which firm-a holds a voucher of 1,000 fen."""
    chain = Chain()
    chain.accept(
        builders.publish(**terms),
        builders.enrol("firm-a"),
        builders.enrol("firm-b"),
        builders.accredit(),
    )
    chain.accept(builders.appropriate(), builders.recognise())
    chain.accept(builders.mint(("firm-a", 1_000)))
    return chain


def set_aside(amount: int = 600, *, until_ms: int = NOON_MS + 20 * DAY_MS) -> SetAside:
    return SetAside(
        voucher=V1,
        holder="firm-a",
        centre="guian-hub",
        order="order-1",
        amount=amount,
        chip="ascend-910b",
        service_class="training",
        until_ms=until_ms,
    )


def claim_reserve(amount: int, *, invoice: str = "invoice-1", day_ms: int = NOON_MS) -> Redeem:
    return Redeem(
        holder="firm-a",
        centre="guian-hub",
        order="order-1",
        lines=(Line(voucher=V1, amount=amount, reserve=(R1,)),),
        grant=(),
        invoice=Invoice(tag=seed(invoice), tag_epoch=1, net=amount * 10, base=amount * 10),
        contract=(),
        service_class="training",
        usage=(
            Usage(chip="ascend-910b", day=calendar.day_of(day_ms), gpu_ms=HOUR_MS, energy_wh=1),
        ),
        own_share=seed("own share"),
        holder_signs=False,
    )


def decision(accepted: int, case: tuple[bytes, ...] = ()) -> DecideClaim:
    act = Decide(claim=C1, by="shanghai", accepted=accepted, case=case, tag_checked=True)
    return DecideClaim(act=act)


def keys_of(person: str = "owner-2", party: str = "firm-a") -> tuple[PartyKey, ...]:
    return (PartyKey(key=key(party, person), person=person, roles=()),)


def opened(chain: Chain) -> int:
    """Open a recovery of firm-a's keys; return when."""
    operation = SetKeys(
        act=Recover(
            city="shanghai",
            party="firm-a",
            keys=keys_of(),
            threshold=1,
            case=CASE,
            second=(),
            proofs=(),
        )
    )
    assert do(chain, operation, *REGISTRARS) == "ok"
    return chain.now_ms


def decide_keys(accept: bool, *second: str) -> SetKeys:
    return SetKeys(act=DecideKeys(by="shanghai", party="firm-a", accept=accept, second=second))


def transfer(amount: int = 100) -> Transfer:
    return Transfer(voucher=V1, holder="firm-a", recipient="firm-b", amount=amount)


# Lost keys


def test_a_recovery_stops_the_old_key_at_once_and_the_thief_objects_and_still_loses() -> None:
    chain = started()
    assert do(chain, set_aside(600), OWNER) == "ok"
    before = stored(chain, VOUCHERS, V1)
    opened_ms = opened(chain)
    # At once: nothing that the old key signs moves value, nor can it change keys itself.
    assert do(chain, transfer(), THIEF) == "recovery_open"
    assert do(chain, set_aside(100), THIEF) == "recovery_open"
    rotate = SetKeys(act=Rotate(party="firm-a", keys=keys_of("thief"), threshold=1, proofs=()))
    assert do(chain, rotate, THIEF) == "recovery_open"
    # The thief objects: now it takes a second opinion, and 72 hours.
    assert do(chain, SetKeys(act=ObjectToKeys(party="firm-a", by="firm-a")), THIEF) == "ok"
    late = opened_ms + RECOVERY_WAIT_MS
    assert do(chain, decide_keys(True), *REGISTRARS, at=late - 2) == "second_opinion_missing"
    both = (*REGISTRARS, *officers("guiyang", "registrar"))
    assert do(chain, decide_keys(True, "guiyang"), *both, at=late - 1) == "recovery_too_early"
    assert do(chain, decide_keys(True, "guiyang"), *both, at=late) == "ok"
    # No value moved; the reserve stands; the stopped time is given back.
    assert stored(chain, VOUCHERS, V1) == before
    assert stored(chain, PARTIES, "firm-a").stopped_ms == RECOVERY_WAIT_MS
    # The old key is dead, the new one works.
    dead = builders.signed(transfer(), THIEF, expires_at=late + HOUR_MS)
    with pytest.raises(Exception, match="is not registered"):
        chain.ledger.check(dead, time_ms=late + 1)
    assert do(chain, transfer(), NEW_OWNER, RECIPIENT) == "ok"


def test_reserves_are_paid_while_the_holders_keys_are_recovered() -> None:
    chain = started()
    assert do(chain, set_aside(600), OWNER) == "ok"
    opened(chain)
    assert do(chain, claim_reserve(600), ("guian-hub", "officer-1")) == "ok"
    # Whoever holds the old key may still dispute: that moves nothing, it only asks for a case.
    dispute = DecideClaim(act=Dispute(claim=C1, case=CASE))
    assert do(chain, dispute, THIEF) == "ok"
    accept = DecideClaim(
        act=Decide(claim=C1, by="shanghai", accepted=600, case=(CASE,), tag_checked=True)
    )
    assert do(chain, accept, *REVIEWERS) == "ok"
    assert stored(chain, PAYABLES, payable_id(C1, 0)).amount == 600
    assert stored(chain, VOUCHERS, V1).redeemed == 600


def test_a_false_recovery_is_stopped_by_an_objection_and_another_city() -> None:
    chain = started()
    opened(chain)
    assert do(chain, SetKeys(act=ObjectToKeys(party="firm-a", by="firm-a")), OWNER) == "ok"
    later = chain.now_ms + RECOVERY_WAIT_MS
    # The city that opened it cannot finish it alone; another city stops it without that city.
    assert do(chain, decide_keys(True), *REGISTRARS, at=later) == "second_opinion_missing"
    alone = officers("guiyang", "registrar")
    assert do(chain, decide_keys(False, "guiyang"), *alone) == "ok"
    assert stored(chain, PARTIES, "firm-a").stopped_since_ms == ()
    assert do(chain, transfer(), OWNER, RECIPIENT) == "ok"


def test_a_stopped_holders_voucher_does_not_expire_and_gets_its_time_back() -> None:
    chain = started(validity_days=1)
    expiry = stored(chain, VOUCHERS, V1).expires_at_ms
    opened_ms = opened(chain)
    chain.block(time_ms=expiry + DAY_MS)
    chain.block(time_ms=expiry + 3 * DAY_MS)
    assert stored(chain, VOUCHERS, V1).available == 1_000, "stopped: it waits"
    closed_ms = expiry + 5 * DAY_MS
    assert do(chain, decide_keys(True), *REGISTRARS, at=closed_ms) == "ok"
    good_until = expiry + closed_ms - opened_ms
    assert do(chain, transfer(10), NEW_OWNER, RECIPIENT, at=good_until - 1) == "ok"
    chain.block(time_ms=good_until)
    assert stored(chain, VOUCHERS, V1).expired == 990
    child = stored(chain, VOUCHERS, "shanghai.compute.000000002")
    assert child.expired == 10, "a child expires with its parent"
    check_all(chain)


def test_twenty_rejections_and_reopenings_stop_a_holder_for_no_longer_than_one() -> None:
    chain = started()
    opened(chain)
    assert do(chain, decide_keys(False), *REGISTRARS) == "ok"
    again = SetKeys(
        act=Recover(
            city="shanghai",
            party="firm-a",
            keys=keys_of(),
            threshold=1,
            case=CASE,
            second=("shanghai",),
            proofs=(),
        )
    )
    for _ in range(20):
        assert do(chain, again, *REGISTRARS, at=chain.now_ms + HOUR_MS) == "recovery_cooling"
    alone = chain.now_ms + COOLING_MS
    assert do(chain, again, *REGISTRARS, at=alone) == "second_opinion_missing"
    assert do(chain, transfer(), OWNER, RECIPIENT) == "ok"
    assert stored(chain, PARTIES, "firm-a").stopped_ms == 1_000


def test_a_recovery_that_is_opened_for_years_keeps_no_voucher_alive() -> None:
    chain = started(validity_days=30)
    expiry = stored(chain, VOUCHERS, V1).expires_at_ms
    # The city that enrolled the holder, and a friend, stop it whenever they may.
    recover = SetKeys(
        act=Recover(
            city="shanghai",
            party="firm-a",
            keys=keys_of(),
            threshold=1,
            case=CASE,
            second=("guiyang",),
            proofs=(),
        )
    )
    both = (*REGISTRARS, *officers("guiyang", "registrar"))
    openings, last_alive_ms = 0, 0
    while chain.now_ms < expiry + 2 * YEAR_MS:
        openings += do(chain, recover, *both, at=chain.now_ms + 7 * DAY_MS) == "ok"
        if stored(chain, VOUCHERS, V1).available:
            last_alive_ms = chain.now_ms
    assert openings == 28, "a fortnight open, a fortnight of cooling"
    assert last_alive_ms < expiry + GIVEN_BACK_MAX_MS + DAY_MS
    check_all(chain)


# A holder who vanishes


def test_a_centre_is_paid_on_its_own_signature_until_the_end_of_the_grace() -> None:
    chain = started()
    until_ms = NOON_MS + 20 * DAY_MS
    assert do(chain, set_aside(600, until_ms=until_ms), OWNER) == "ok"
    last = until_ms + GRACE_MS - 1
    assert do(chain, claim_reserve(400), ("guian-hub", "officer-1"), at=last) == "ok"
    claim = stored(chain, CLAIMS, C1)
    assert (claim.status, claim.holder_signed) == ("under_review", False)
    # What was not claimed expires one millisecond later, back to the holder.
    chain.block(time_ms=last + 1)
    voucher = stored(chain, VOUCHERS, V1)
    assert (voucher.available, voucher.reserved, voucher.claimed) == (600, 0, 400)
    assert do(chain, claim_reserve(200, invoice="late"), ("guian-hub", "officer-1")) == (
        "reserve_expired"
    )
    accept = DecideClaim(
        act=Decide(claim=C1, by="shanghai", accepted=400, case=(), tag_checked=True)
    )
    early = last + DISPUTE_WINDOW_MS - 1
    assert do(chain, accept, *REVIEWERS, at=early) == "dispute_window_open"
    assert do(chain, accept, *REVIEWERS, at=early + 1) == "ok"
    assert stored(chain, PAYABLES, payable_id(C1, 0)).creditor == "guian-hub"


def test_a_dispute_within_the_window_stops_the_payment() -> None:
    chain = started()
    assert do(chain, set_aside(600), OWNER) == "ok"
    assert do(chain, claim_reserve(600), ("guian-hub", "officer-1")) == "ok"
    submitted = chain.now_ms
    dispute = DecideClaim(act=Dispute(claim=C1, case=CASE))
    late = submitted + DISPUTE_WINDOW_MS
    assert do(chain, dispute, OWNER, at=late - 1) == "ok"
    accept = DecideClaim(
        act=Decide(claim=C1, by="shanghai", accepted=600, case=(), tag_checked=True)
    )
    assert do(chain, accept, *REVIEWERS, at=late) == "case_missing"
    reject = DecideClaim(
        act=Decide(claim=C1, by="shanghai", accepted=0, case=(CASE,), tag_checked=False)
    )
    assert do(chain, reject, *REVIEWERS) == "ok"
    assert stored(chain, CLAIMS, C1).status == "rejected"
    # Back into the reserve that it came from, which is still good.
    assert stored(chain, RESERVES, R1).left == 600
    assert stored(chain, VOUCHERS, V1).reserved == 600


def test_a_suspended_centre_takes_no_new_reserve_but_is_paid_what_it_is_owed() -> None:
    chain = started()
    assert do(chain, set_aside(300), OWNER) == "ok"
    assert adopt(chain, SetStatus(party="guian-hub", status="suspended", successor=())) == "ok"
    assert do(chain, set_aside(300), OWNER) == "party_not_active"
    assert do(chain, claim_reserve(300), ("guian-hub", "officer-1")) == "ok"
    late = chain.now_ms + DISPUTE_WINDOW_MS
    accept = DecideClaim(
        act=Decide(claim=C1, by="shanghai", accepted=300, case=(), tag_checked=True)
    )
    assert do(chain, accept, *REVIEWERS, at=late) == "ok"


def test_a_centre_whose_accreditation_ended_is_paid_what_was_reserved() -> None:
    chain = started()
    assert do(chain, set_aside(300), OWNER) == "ok"
    known = stored(chain, ACCREDITATIONS, "guian-hub")
    end = Accredit(
        host="guiyang",
        centre="guian-hub",
        devices=known.devices,
        pue_milli=known.pue_milli,
        ownership=known.ownership,
        ended=True,
    )
    assert do(chain, end, *officers("guiyang", "registrar")) == "ok"
    assert do(chain, set_aside(300), OWNER) == "centre_not_accredited"
    assert do(chain, claim_reserve(300), ("guian-hub", "officer-1")) == "ok"


# Members decide


def propose(chain: Chain, action: Action, proposer: str = "shanghai") -> str:
    return do(chain, Propose(proposer=proposer, action=action), *voice(proposer))


def vote(chain: Chain, number: int, voter: str, *, approve: bool = True) -> str:
    return do(chain, Vote(voter=voter, proposal=number, approve=approve), *voice(voter))


def voice(member: str) -> tuple[tuple[str, str], ...]:
    """Return who speaks for a member in governance."""
    if member in ("guian-hub", "chengdu-aicc"):
        return ((member, "officer-1"),)
    return officers(member, "registrar")


def adopt(chain: Chain, action: Action) -> str:
    """Propose by Shanghai and let the others vote until it is adopted; return the last code."""
    code = propose(chain, action)
    number = 0
    if code == "ok":
        number = stored(chain, PROPOSAL_COUNT, "all").count
        for voter in ("guiyang", "guian-hub", "chengdu-aicc"):
            if stored(chain, PROPOSALS, proposal_key(number)).status == "open":
                code = vote(chain, number, voter)
    return code


def test_it_takes_two_thirds_of_the_cities_and_of_all_members() -> None:
    """Of two cities and five members both cities and four members are more than two thirds."""
    chain = Chain()
    assert propose(chain, Pause()) == "ok"
    for voter in ("guian-hub", "chengdu-aicc", "henan"):
        assert vote(chain, 1, voter) == "ok"
    assert stored(chain, PROPOSALS, proposal_key(1)).status == "open", "one city of two"
    assert vote(chain, 1, "guiyang") == "ok"
    assert stored(chain, PROPOSALS, proposal_key(1)).status == "adopted"

    chain = Chain()
    assert propose(chain, Pause()) == "ok"
    assert vote(chain, 1, "guiyang") == "ok"
    assert vote(chain, 1, "guian-hub") == "ok"
    assert stored(chain, PROPOSALS, proposal_key(1)).status == "open", "three of five members"
    assert vote(chain, 1, "chengdu-aicc") == "ok"
    assert stored(chain, PROPOSALS, proposal_key(1)).status == "adopted"


def test_a_no_counts_nothing_and_nobody_votes_twice() -> None:
    chain = Chain()
    assert propose(chain, Pause()) == "ok"
    assert vote(chain, 1, "guiyang", approve=False) == "ok"
    assert vote(chain, 1, "guiyang") == "vote_repeated"
    assert vote(chain, 1, "shanghai") == "vote_repeated"
    closes = stored(chain, PROPOSALS, proposal_key(1)).closes_ms
    late = Vote(voter="guian-hub", proposal=1, approve=True)
    assert do(chain, late, *voice("guian-hub"), at=closes) == "proposal_closed"


def test_a_pause_stops_all_but_emergencies_and_nothing_expires_until_three_days_after() -> None:
    chain = started(validity_days=1)
    expiry = stored(chain, VOUCHERS, V1).expires_at_ms
    assert adopt(chain, Pause()) == "ok"
    assert do(chain, transfer(), OWNER) == "ledger_paused"
    hold = SetHold(by="shanghai", scope="voucher", id=V1, case=CASE, reason="")
    assert do(chain, hold, *REVIEWERS) == "ok"
    clear = ClearHold(by="shanghai", hold="shanghai.000000001", case=CASE)
    assert do(chain, clear, *REVIEWERS) == "ok"
    chain.block(time_ms=expiry + DAY_MS)
    while chain.ledger.last().cuts:
        chain.block(time_ms=chain.now_ms + ROOT_EVERY_MS)
    assert stored(chain, VOUCHERS, V1).available == 1_000
    assert not chain.ledger.has_due(chain.now_ms + 1)
    assert adopt(chain, Resume()) == "ok"
    quiet_until = chain.now_ms + 72 * HOUR_MS
    assert do(chain, transfer(1), OWNER, RECIPIENT, at=quiet_until - 1) == "ok"
    chain.block(time_ms=quiet_until)
    assert stored(chain, VOUCHERS, V1).expired == 999


def test_a_pause_does_not_eat_the_time_to_dispute() -> None:
    chain = started()
    assert do(chain, set_aside(600), OWNER) == "ok"
    assert do(chain, claim_reserve(600), ("guian-hub", "officer-1")) == "ok"
    window_end = chain.now_ms + DISPUTE_WINDOW_MS
    assert adopt(chain, Pause()) == "ok"
    chain.now_ms = window_end + DAY_MS
    assert adopt(chain, Resume()) == "ok"
    accept = DecideClaim(
        act=Decide(claim=C1, by="shanghai", accepted=600, case=(), tag_checked=True)
    )
    assert do(chain, accept, *REVIEWERS) == "dispute_window_open"
    assert do(chain, DecideClaim(act=Dispute(claim=C1, case=CASE)), OWNER) == "ok"


def test_a_second_pause_in_the_quiet_time_prolongs_what_the_first_put_off() -> None:
    chain = started(validity_days=1)
    expiry = stored(chain, VOUCHERS, V1).expires_at_ms
    assert adopt(chain, Pause()) == "ok"
    chain.now_ms = expiry
    assert adopt(chain, Resume()) == "ok"
    assert adopt(chain, Pause()) == "ok"
    assert adopt(chain, Resume()) == "ok"
    quiet_until = chain.now_ms + 72 * HOUR_MS
    assert do(chain, transfer(1), OWNER, RECIPIENT, at=quiet_until - 1) == "ok"
    assert do(chain, transfer(1), OWNER, RECIPIENT, at=quiet_until) == "voucher_expired"


def newcomer(name: str = "ningbo", **changes: Any) -> Member:
    return msgspec.structs.replace(city(name), **changes)


def test_a_new_city_validates_two_heights_on_and_trusts_and_votes_at_once() -> None:
    chain = Chain()
    assert adopt(chain, Admit(member=newcomer(), proofs=())) == "ok"
    height = chain.ledger.last().height
    names = [one.party for one in chain.ledger.validators(height + 1).validators]
    assert "ningbo" not in names
    assert [one.party for one in chain.ledger.validators(height + 2).validators][-1] == "ningbo"
    assert propose(chain, Pause(), "ningbo") == "ok"
    assert adopt(chain, Admit(member=newcomer(), proofs=())) == "party_exists"
    clash = newcomer("wuxi", keys=city("ningbo").keys)
    assert adopt(chain, Admit(member=clash, proofs=())) == "key_taken"
    unfit = newcomer("wuxi", threshold=9)
    assert adopt(chain, Admit(member=unfit, proofs=())) == "action_invalid"


def test_a_removed_member_leaves_the_validators_and_never_comes_back() -> None:
    chain = Chain()
    assert adopt(chain, SetStatus(party="chengdu-aicc", status="removed", successor=())) == "ok"
    later = chain.ledger.last().height + 2
    names = [one.party for one in chain.ledger.validators(later).validators]
    assert names == ["shanghai", "guiyang", "guian-hub"]
    assert vote(chain, 1, "chengdu-aicc") in ("party_not_active", "proposal_closed")
    assert (
        adopt(chain, SetStatus(party="chengdu-aicc", status="active", successor=()))
        == "action_invalid"
    )


def test_validator_keys_and_power_change_in_place_and_the_last_one_stays() -> None:
    chain = Chain()
    fresh = builders.validator_keys("guiyang-new", power=3)
    assert adopt(chain, SetValidator(party="guiyang", validator=(fresh,), proofs=())) == "ok"
    later = chain.ledger.last().height + 2
    sets = chain.ledger.validators(later).validators
    assert [one.party for one in sets] == ["shanghai", "guiyang", "guian-hub", "chengdu-aicc"]
    assert sets[1].keys == fresh
    theirs = builders.validator_keys("shanghai")
    assert (
        adopt(chain, SetValidator(party="guiyang", validator=(theirs,), proofs=())) == "key_taken"
    )
    one = Chain(genesis=builders.genesis(city("shanghai")))
    log_id = one.ledger.last().log_id
    tx = Propose(
        proposer="shanghai", action=SetValidator(party="shanghai", validator=(), proofs=())
    )
    raw = builders.signed(tx, *REGISTRARS, log_id=log_id)
    assert [attempt.code for attempt in one.attempt(raw)] == ["action_invalid"]


def test_keys_of_a_member_that_lost_its_own_are_set_by_the_others() -> None:
    chain = Chain()
    new = SetMemberKeys(party="guian-hub", keys=keys_of("new", "guian-hub"), threshold=1, proofs=())
    assert adopt(chain, new) == "ok"
    assert stored(chain, PARTIES, "guian-hub").keys == keys_of("new", "guian-hub")
    assert do(chain, Propose(proposer="guian-hub", action=Pause()), ("guian-hub", "new")) == "ok"


def test_parameters_hold_from_the_next_block_and_may_ask_for_a_third_officer() -> None:
    chain = funded_chain()
    known = stored(chain, PARAMETERS, "all")
    three = (OfficersRule(kind="voucher.mint", from_fen=1_000, persons=3),)
    changed = msgspec.structs.replace(known, officers=three)
    assert adopt(chain, SetParameters(parameters=changed)) == "ok"
    mints = (("firm-a", 999),), (("firm-a", 999), ("firm-a", 1))
    attempts = chain.attempt(*(builders.mint(*rows) for rows in mints))
    assert [one.code for one in attempts] == ["ok", "four_eyes_missing"]
    small = msgspec.structs.replace(known, block_bytes_max=65_535)
    assert adopt(chain, SetParameters(parameters=small)) == "action_invalid"


def test_a_node_stops_before_the_height_of_rules_that_it_does_not_know() -> None:
    chain = Chain()
    height = chain.ledger.last().height
    near = SetRulesVersion(version=2, from_height=height + 3)
    assert adopt(chain, near) == "action_invalid"
    at = chain.ledger.last().height + 20
    assert adopt(chain, SetRulesVersion(version=2, from_height=at)) == "ok"
    assert adopt(chain, SetRulesVersion(version=2, from_height=at + 1)) == "action_invalid"
    while chain.ledger.last().height < at - 1:
        chain.block()
    with pytest.raises(RulesUnknown, match="install a newer one"):
        chain.block()


def test_an_engine_is_chosen_for_a_height() -> None:
    chain = Chain()
    at = chain.ledger.last().height + 20
    assert chain.ledger.engine(at) == ""
    assert adopt(chain, SwitchEngine(engine="comet", at_height=at)) == "ok"
    assert (chain.ledger.engine(at - 1), chain.ledger.engine(at)) == ("", "comet")


def test_an_auditor_watches_and_does_not_vote() -> None:
    auditor = Member(
        id="auditor",
        kind="auditor",
        party_class="",
        name="Audit",
        region="",
        control_group=(),
        keys=(PartyKey(key=key("auditor", "desk"), person="desk", roles=()),),
        threshold=1,
        validator=(),
    )
    chain = Chain()
    assert adopt(chain, Admit(member=auditor, proofs=())) == "ok"
    mine = Propose(proposer="auditor", action=Pause())
    assert do(chain, mine, ("auditor", "desk")) == "party_wrong_kind"
    hold = SetHold(by="auditor", scope="party", id="guian-hub", case=CASE, reason="")
    assert do(chain, hold, ("auditor", "desk")) == "ok"


def test_executions_of_governance_are_the_same_twice() -> None:
    """Two ledgers that run the same proposals have the same record hash."""

    def run() -> Execution:
        chain = Chain()
        assert adopt(chain, Admit(member=newcomer(), proofs=())) == "ok"
        assert adopt(chain, Admit(member=centre("wuxi-nscc"), proofs=())) == "ok"
        return chain.block(builders.enrol("firm-a"))

    assert run().head.record_hash == run().head.record_hash
