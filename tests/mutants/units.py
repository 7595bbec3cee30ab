"""Edges of small functions that no single transaction of the table shows."""

from collections.abc import Callable

import msgspec

from ledger.blocks import Misbehaviour
from ledger.rules.authority import KEYS, RegisteredKey, Signers, registered
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.claims import Claim
from ledger.rules.clearing import net_transfers
from ledger.rules.control import (
    QUIET_MS,
    Control,
    EngineFrom,
    RulesFrom,
    engine_at,
    quiet_after,
    require_not_paused,
    rules_version_at,
)
from ledger.rules.expiry import apply_expiries
from ledger.rules.governance import PROPOSE
from ledger.rules.misbehaviour import (
    MISBEHAVIOURS,
    apply_misbehaviours,
    misbehaviour_key,
    problem_of,
)
from ledger.rules.payables import Position, owed_net
from ledger.rules.programmes import Review
from ledger.rules.refusals import AmountOverflow
from ledger.rules.sums import serial_id
from ledger.rules.validators import (
    VALIDATOR_LAG,
    VALIDATORS,
    ValidatorRecord,
    ValidatorSchedule,
    ValidatorSetRecord,
    set_validator,
    validators_at,
)
from ledger.rules.vouchers import MINT
from ledger.view import Draft, Nothing, must
from tests import builders
from tests.builders import key, validator_keys
from tests.ledger.rules.case import V1, V2
from tests.ledger.rules.chains import chain_with

CONTROL = Control(
    paused_since_ms=(),
    quiet=(0, 0),
    rules=(RulesFrom(version=2, from_height=10),),
    engines=(EngineFrom(engine="comet", at_height=10),),
)


def sets(*heights: int) -> ValidatorSchedule:
    """Return a schedule of sets of nobody from these heights."""
    made = (ValidatorSetRecord(from_height=height, validators=()) for height in heights)
    return ValidatorSchedule(sets=tuple(made))


def context(*, height: int = 7, quiet: tuple[int, int] = (0, 0)) -> Context:
    """Return what rules know of a block."""
    return Context(
        log_id=bytes(32),
        time_ms=1,
        height=height,
        sequence=1,
        previous_record_hash=b"",
        signers=Signers(keys=()),
        quiet=quiet,
    )


def positions(**nets: int) -> tuple[Position, ...]:
    """Return net positions by party."""
    return tuple(Position(party=party, net=net) for party, net in nets.items())


def a_rules_version_holds_from_its_height() -> None:
    assert [rules_version_at(CONTROL, height) for height in (9, 10, 11)] == [1, 2, 2]


def a_kind_is_known_from_its_rules_version_and_changes_with_a_later_one() -> None:
    first, second, third = (lambda view, tx, context: Outcome(changes=()) for _ in range(3))
    kind = Kind(record=Misbehaviour, apply=first, since=2, changed=((4, second), (6, third)))
    found = [kind.rule_at(version) for version in range(1, 8)]
    assert found == [None, first, first, second, second, third, third]


def an_engine_decides_from_its_height() -> None:
    assert [engine_at(CONTROL, height) for height in (9, 10, 11)] == ["", "comet", "comet"]


def validators_act_from_their_height() -> None:
    found = [validators_at(sets(0, 10), height).from_height for height in (9, 10, 11)]
    assert found == [0, 10, 10]


def a_change_keeps_the_sets_that_act_or_will_and_replaces_that_of_its_height() -> None:
    draft = Draft(Nothing())
    draft.put(VALIDATORS, sets(0, 4, 5, 8, 9), "all")
    set_validator(draft, "shanghai", (validator_keys("shanghai"),), context(height=7))
    schedule = must(draft, VALIDATORS, "all")
    assert [one.from_height for one in schedule.sets] == [5, 8, 9]
    assert [one.party for one in schedule.sets[-1].validators] == ["shanghai"]


def kept_after_a_misbehaviour(faulty: int, powers: list[int], height: int = 1) -> bool:
    """Return whether a validator among some of these powers stays after misbehaviour."""
    draft = Draft(Nothing())
    validators = tuple(
        ValidatorRecord(party=f"p{n}", keys=validator_keys(f"p{n}", power=power))
        for n, power in enumerate(powers)
    )
    first = ValidatorSetRecord(from_height=0, validators=validators)
    draft.put(VALIDATORS, ValidatorSchedule(sets=(first,)), "all")
    consensus = validator_keys(f"p{faulty}").consensus
    misbehaviour = Misbehaviour(
        validator=consensus, kind="prevote", height=height, evidence=bytes(32)
    )
    draft.apply(apply_misbehaviours(draft, draft, (misbehaviour,), context(height=height)))
    coming = validators_at(must(draft, VALIDATORS, "all"), height + VALIDATOR_LAG)
    assert validators_at(must(draft, VALIDATORS, "all"), height + 1) == first
    return any(one.keys.consensus == consensus for one in coming.validators)


def a_faulty_validator_goes_if_four_stay() -> None:
    assert [kept_after_a_misbehaviour(0, [1] * count) for count in (3, 4, 5, 6)] == [1, 1, 0, 0]


def a_faulty_validator_goes_if_more_than_two_thirds_of_the_power_stay() -> None:
    powers = [[power, 1, 1, 1, 1, 1, 1] for power in (1, 2, 3, 4)]
    assert [kept_after_a_misbehaviour(0, one) for one in powers] == [0, 0, 1, 1]
    assert not kept_after_a_misbehaviour(0, [2, 1, 1, 1, 1, 1]), "6 < 7"


def problem_at(height: int, *sets: ValidatorSetRecord) -> str:
    """Return what is wrong with misbehaviour of "p" in block 7 of a ledger with these sets."""
    draft = Draft(Nothing())
    draft.put(VALIDATORS, ValidatorSchedule(sets=sets), "all")
    key = validator_keys("p").consensus
    misbehaviour = Misbehaviour(validator=key, kind="prevote", height=height, evidence=bytes(32))
    return problem_of(draft, (misbehaviour,), 7)


def with_p(from_height: int, *, validates: bool) -> ValidatorSetRecord:
    """Return a set with or without "p"."""
    one = ValidatorRecord(party="p", keys=validator_keys("p"))
    return ValidatorSetRecord(from_height=from_height, validators=(one,) if validates else ())


def a_misbehaviour_is_of_this_height_or_an_earlier_one() -> None:
    problems = [problem_at(height, with_p(0, validates=True)) for height in (6, 7, 8)]
    assert problems == ["", "", "misbehaviour at height 8, the block is 7"]


def a_misbehaviour_is_of_a_key_that_validates_or_soon_will() -> None:
    assert not problem_at(7, with_p(0, validates=False), with_p(9, validates=True))
    assert "does not validate" in problem_at(
        7, with_p(0, validates=False), with_p(10, validates=True)
    )
    assert not problem_at(7, with_p(0, validates=True), with_p(8, validates=False))
    assert "does not validate" in problem_at(
        7, with_p(0, validates=True), with_p(7, validates=False)
    )


def who_does_not_validate_any_more_is_not_taken_out_again() -> None:
    powers = [1] * 6
    assert not kept_after_a_misbehaviour(6, [*powers, 1])
    draft = Draft(Nothing())
    validators = tuple(
        ValidatorRecord(party=f"p{n}", keys=validator_keys(f"p{n}")) for n in range(6)
    )
    first = ValidatorSetRecord(from_height=0, validators=validators)
    draft.put(VALIDATORS, ValidatorSchedule(sets=(first,)), "all")
    later = ValidatorSetRecord(from_height=3, validators=validators[1:])
    gone = ValidatorSchedule(sets=(first, later))
    draft.put(VALIDATORS, gone, "all")
    misbehaviour = Misbehaviour(
        validator=validators[0].keys.consensus, kind="prevote", height=1, evidence=bytes(32)
    )
    draft.apply(apply_misbehaviours(draft, draft, (misbehaviour,), context(height=1)))
    assert not must(draft, MISBEHAVIOURS, *misbehaviour_key(misbehaviour)).suspended
    assert must(draft, VALIDATORS, "all") == gone


def nets_are_settled_to_the_last_fen() -> None:
    assert net_transfers(positions(a=-1, b=0, c=1)) == (("a", "c", 1),)
    assert net_transfers(positions(a=0)) == ()
    transfers = (("a", "c", 99), ("b", "c", 1))
    assert net_transfers(positions(a=-99, b=-1, c=100)) == transfers


def only_a_pause_stops_what_a_pause_does_not_allow() -> None:
    require_not_paused(CONTROL, MINT)
    require_not_paused(msgspec.structs.replace(CONTROL, paused_since_ms=(5,)), PROPOSE)


def what_ends_as_a_pause_begins_is_put_off() -> None:
    paused = context(quiet=(100, 200))
    assert [paused.put_off(date) for date in (99, 100, 200, 201)] == [99, 200, 200, 201]


def dead_and_unknown_keys_sign_nothing() -> None:
    draft = Draft(Nothing())
    alive, dead, unknown = key("alive"), key("dead"), key("unknown")
    for name, is_alive in ((alive, True), (dead, False)):
        owner = RegisteredKey(party="p", person="q", roles=(), alive=is_alive)
        draft.put(KEYS, owner, name.hex())
    assert registered(draft, alive) is not None
    assert registered(draft, dead) is None
    assert registered(draft, unknown) is None


def persons_count_in_any_role_unless_one_is_named() -> None:
    owner = RegisteredKey(party="p", person="q", roles=("mint",), alive=True)
    signers = Signers(keys=(owner,))
    assert signers.persons("p") == signers.persons("p", "mint") == ("q",)
    assert signers.persons("p", "pay") == ()


def a_pause_within_a_quiet_time_prolongs_it() -> None:
    for paused_ms, start_ms in ((199, 100), (200, 200)):
        control = msgspec.structs.replace(CONTROL, paused_since_ms=(paused_ms,), quiet=(100, 200))
        assert quiet_after(control, 300) == (start_ms, 300 + QUIET_MS)


def serials_have_nine_digits_and_end() -> None:
    assert serial_id("a", 999_999_999) == "a.999999999"
    try:
        beyond = serial_id("a", 1_000_000_000)
    except AmountOverflow:
        beyond = ""
    assert beyond == ""


def what_is_owed_net_leaves_out_who_owes() -> None:
    assert owed_net([1, -1, 0]) == 1
    assert owed_net([2, 3, -5]) == 5


def a_block_looks_until_its_bound_is_counted_and_at_the_last_claim_whole() -> None:
    chain = chain_with(review=Review(automatic_band=10**9, sample_every=2**50))
    chain.accept(builders.mint(("firm-a", 1_000), ("firm-a", 1_000)))
    lines = ((V1, 1), (V2, 1))
    chain.accept(*[builders.redeem(*lines, invoice=f"bill {number}") for number in range(3)])
    at = context(height=chain.ledger.last().height + 1)
    for limit, drawn in ((1, 1), (2, 1), (3, 2), (4, 2), (5, 3)):
        outcome = apply_expiries(chain.ledger._storage, at, limit=limit)
        found = [one.id for _, one in outcome.changes if isinstance(one, Claim)]
        assert found == [f"guian-hub.{number:09d}" for number in range(1, drawn + 1)]


UNITS: tuple[Callable[[], None], ...] = (
    a_rules_version_holds_from_its_height,
    a_kind_is_known_from_its_rules_version_and_changes_with_a_later_one,
    an_engine_decides_from_its_height,
    validators_act_from_their_height,
    a_change_keeps_the_sets_that_act_or_will_and_replaces_that_of_its_height,
    a_faulty_validator_goes_if_four_stay,
    a_faulty_validator_goes_if_more_than_two_thirds_of_the_power_stay,
    who_does_not_validate_any_more_is_not_taken_out_again,
    a_misbehaviour_is_of_this_height_or_an_earlier_one,
    a_misbehaviour_is_of_a_key_that_validates_or_soon_will,
    nets_are_settled_to_the_last_fen,
    only_a_pause_stops_what_a_pause_does_not_allow,
    what_ends_as_a_pause_begins_is_put_off,
    dead_and_unknown_keys_sign_nothing,
    persons_count_in_any_role_unless_one_is_named,
    a_pause_within_a_quiet_time_prolongs_it,
    serials_have_nine_digits_and_end,
    what_is_owed_net_leaves_out_who_owes,
    a_block_looks_until_its_bound_is_counted_and_at_the_last_claim_whole,
)
