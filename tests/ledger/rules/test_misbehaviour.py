"""What the ledger makes of the misbehaviours that an engine proved (R15)."""

from typing import Any

import msgspec
import pytest

from ledger.blocks import BlockRefused, Misbehaviour
from ledger.rules.misbehaviour import MISBEHAVIOURS, MisbehaviourRecord, misbehaviour_key
from ledger.view import must
from tests import builders
from tests.builders import Chain


def misbehaviour(party: str = "city-0", **changes: Any) -> Misbehaviour:
    """Return what a member's validator did, as an engine that proved it would hand it in."""
    values: dict[str, Any] = {
        "validator": builders.validator_keys(party).consensus,
        "kind": "prevote",
        "height": 1,
        "evidence": bytes(32),
    }
    return Misbehaviour(**(values | changes))


def chain_of(cities: int) -> Chain:
    """Return a chain on which so many cities validate, each with power 1."""
    return Chain(genesis=builders.genesis(*(builders.city(f"city-{n}") for n in range(cities))))


def acting(chain: Chain, height: int) -> list[str]:
    """Return who validates at a height."""
    return [one.party for one in chain.ledger.validators(height).validators]


def record_of(chain: Chain, one: Misbehaviour) -> MisbehaviourRecord:
    """Return what the state says of misbehaviour on the log."""
    return must(chain.ledger._storage, MISBEHAVIOURS, *misbehaviour_key(one))


@pytest.mark.parametrize(
    ("misbehaviours", "sentence"),
    [
        ((misbehaviour(validator=bytes(32)),), "which does not validate"),
        ((misbehaviour(height=2),), "misbehaviour at height 2, the block is 1"),
        ((misbehaviour(), misbehaviour(evidence=bytes(31) + b"1")), "not distinct and ascending"),
        ((misbehaviour(height=1), misbehaviour(height=0)), "not distinct and ascending"),
        (tuple(misbehaviour(height=n) for n in range(65)), "65 misbehaviours"),
    ],
)
def test_a_block_is_refused_for_its_misbehaviours(
    misbehaviours: tuple[Misbehaviour, ...], sentence: str
) -> None:
    chain = chain_of(4)
    with pytest.raises(BlockRefused, match=sentence):
        chain.block(misbehaviours=misbehaviours)


def test_a_misbehaviour_stands_on_the_log_once_and_names_its_proof() -> None:
    chain = chain_of(4)
    execution = chain.block(misbehaviours=(misbehaviour(evidence=b"p" * 32),))
    assert execution.record is not None
    assert execution.record.misbehaviours == (misbehaviour(evidence=b"p" * 32),)
    found = record_of(chain, misbehaviour())
    assert (found.party, found.recorded_height, found.misbehaviour.evidence) == (
        "city-0",
        1,
        b"p" * 32,
    )
    with pytest.raises(BlockRefused, match="is recorded already"):
        chain.block(misbehaviours=(misbehaviour(),))
    chain.block(misbehaviours=(misbehaviour(kind="precommit"),))
    chain.block(misbehaviours=(misbehaviour(height=2),))


def test_the_writes_of_a_misbehaviour_carry_the_position_of_the_closing_entry() -> None:
    chain = chain_of(5)
    execution = chain.block(misbehaviours=(misbehaviour(),))
    closing = chain.ledger.last().log_size - 1
    assert {write.sequence for write in execution.writes} == {closing}
    assert len(execution.writes) == 2, "the misbehaviour and the set"


def test_a_faulty_validator_goes_two_heights_later() -> None:
    chain = chain_of(5)
    chain.block(misbehaviours=(misbehaviour("city-3"),))
    assert record_of(chain, misbehaviour("city-3")).suspended
    assert "city-3" in acting(chain, 2)
    assert acting(chain, 3) == ["city-0", "city-1", "city-2", "city-4"]


def test_four_validators_stay_whatever_they_did() -> None:
    chain = chain_of(4)
    chain.block(misbehaviours=(misbehaviour(),))
    assert not record_of(chain, misbehaviour()).suspended
    assert len(acting(chain, 3)) == 4


def test_fewer_than_a_third_go_at_once() -> None:
    chain = chain_of(10)
    faulty = sorted((misbehaviour(f"city-{n}") for n in range(5)), key=lambda one: one.validator)
    chain.block(misbehaviours=tuple(faulty))
    assert [record_of(chain, one).suspended for one in faulty] == [True] * 3 + [False] * 2
    assert len(acting(chain, 3)) == 7
    # While those seven do not act yet, nobody else goes either.
    chain.block(misbehaviours=(misbehaviour("city-9", height=2),))
    assert len(acting(chain, 4)) == 7
    chain.block(time_ms=chain.now_ms + 1_000)
    chain.block(misbehaviours=(misbehaviour("city-9", height=3),))
    assert len(acting(chain, 6)) == 6


@pytest.mark.parametrize(("power", "goes"), [(2, True), (3, False)])
def test_power_counts_not_heads(power: int, goes: bool) -> None:
    heavy = msgspec.structs.replace(
        builders.city("heavy"), validator=(builders.validator_keys("heavy", power=power),)
    )
    members = [builders.city(f"city-{n}") for n in range(6)]
    chain = Chain(genesis=builders.genesis(heavy, *members))
    chain.block(misbehaviours=(misbehaviour("heavy"),))
    assert record_of(chain, misbehaviour("heavy")).suspended is goes, f"{power} of {power + 6}"
