"""What the ledger makes of the faults that an engine proved (R15)."""

from typing import Any

import msgspec
import pytest

from ledger.blocks import BlockRefused, Fault
from ledger.rules.faults import FAULTS, FaultRecord, fault_key
from ledger.view import must
from tests import builders
from tests.builders import Chain


def fault(party: str = "city-0", **changes: Any) -> Fault:
    """Return a fault of a member's validator, as an engine that proved it would hand it in."""
    values: dict[str, Any] = {
        "validator": builders.validator_keys(party).consensus,
        "kind": "prevote",
        "height": 1,
        "proof": bytes(32),
    }
    return Fault(**(values | changes))


def chain_of(cities: int) -> Chain:
    """Return a chain on which so many cities validate, each with power 1."""
    return Chain(genesis=builders.genesis(*(builders.city(f"city-{n}") for n in range(cities))))


def acting(chain: Chain, height: int) -> list[str]:
    """Return who validates at a height."""
    return [one.party for one in chain.ledger.validators(height).validators]


def record_of(chain: Chain, one: Fault) -> FaultRecord:
    """Return what the state says of a recorded fault."""
    return must(chain.ledger._storage, FAULTS, *fault_key(one))


@pytest.mark.parametrize(
    ("faults", "sentence"),
    [
        ((fault(validator=bytes(32)),), "which does not validate"),
        ((fault(height=2),), "a fault at height 2, the block is 1"),
        ((fault(), fault(proof=bytes(31) + b"1")), "not distinct and ascending"),
        ((fault(height=1), fault(height=0)), "not distinct and ascending"),
        (tuple(fault(height=n) for n in range(65)), "65 faults"),
    ],
)
def test_a_block_is_refused_for_its_faults(faults: tuple[Fault, ...], sentence: str) -> None:
    chain = chain_of(4)
    with pytest.raises(BlockRefused, match=sentence):
        chain.block(faults=faults)


def test_a_fault_stands_on_the_log_once_and_names_its_proof() -> None:
    chain = chain_of(4)
    execution = chain.block(faults=(fault(proof=b"p" * 32),))
    assert execution.record is not None
    assert execution.record.faults == (fault(proof=b"p" * 32),)
    found = record_of(chain, fault())
    assert (found.party, found.recorded_height, found.fault.proof) == ("city-0", 1, b"p" * 32)
    with pytest.raises(BlockRefused, match="is recorded already"):
        chain.block(faults=(fault(),))
    chain.block(faults=(fault(kind="precommit"),))
    chain.block(faults=(fault(height=2),))


def test_the_writes_of_a_fault_carry_the_position_of_the_closing_entry() -> None:
    chain = chain_of(5)
    execution = chain.block(faults=(fault(),))
    closing = chain.ledger.last().log_size - 1
    assert {write.sequence for write in execution.writes} == {closing}
    assert len(execution.writes) == 2, "the fault and the set"


def test_a_faulty_validator_goes_two_heights_later() -> None:
    chain = chain_of(5)
    chain.block(faults=(fault("city-3"),))
    assert record_of(chain, fault("city-3")).suspended
    assert "city-3" in acting(chain, 2)
    assert acting(chain, 3) == ["city-0", "city-1", "city-2", "city-4"]


def test_four_validators_stay_whatever_they_did() -> None:
    chain = chain_of(4)
    chain.block(faults=(fault(),))
    assert not record_of(chain, fault()).suspended
    assert len(acting(chain, 3)) == 4


def test_fewer_than_a_third_go_at_once() -> None:
    chain = chain_of(10)
    faulty = sorted((fault(f"city-{n}") for n in range(5)), key=lambda one: one.validator)
    chain.block(faults=tuple(faulty))
    assert [record_of(chain, one).suspended for one in faulty] == [True] * 3 + [False] * 2
    assert len(acting(chain, 3)) == 7
    # While those seven do not act yet, nobody else goes either.
    chain.block(faults=(fault("city-9", height=2),))
    assert len(acting(chain, 4)) == 7
    chain.block(time_ms=chain.now_ms + 1_000)
    chain.block(faults=(fault("city-9", height=3),))
    assert len(acting(chain, 6)) == 6


@pytest.mark.parametrize(("power", "goes"), [(2, True), (3, False)])
def test_power_counts_not_heads(power: int, goes: bool) -> None:
    heavy = msgspec.structs.replace(
        builders.city("heavy"), validator=(builders.validator_keys("heavy", power=power),)
    )
    members = [builders.city(f"city-{n}") for n in range(6)]
    chain = Chain(genesis=builders.genesis(heavy, *members))
    chain.block(faults=(fault("heavy"),))
    assert record_of(chain, fault("heavy")).suspended is goes, f"{power} of {power + 6}"
