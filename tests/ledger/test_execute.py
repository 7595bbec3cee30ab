"""Execution (B3 to B5): repeatable, the same everywhere, and whole blocks refused."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ledger.blocks import BlockInput, BlockRefused, Limits, record_hash_of
from ledger.encoding import merkle
from ledger.encoding.codec import encode
from ledger.entries import ClosingEntry, TransactionEntry, decode_entry
from ledger.execute import Execution, changes_root
from ledger.genesis import (
    GenesisInvalid,
    log_id_of,
    parameters_hash,
    parse_genesis,
    validators_hash,
)
from ledger.ledger import Ledger
from ledger.rules import calendar
from ledger.rules.control import PARAMETERS, TagKey
from ledger.rules.parties import PartyKey
from ledger.store.memory import MemoryStore
from ledger.transactions import parse, seal
from ledger.view import must
from tests import builders
from tests.builders import GENESIS_MS, NOON_MS, Chain, funded_chain, key
from tests.reference import merkle as reference

V1 = "shanghai.compute.000000001"


def next_block(chain: Chain, *transactions: bytes, **changes: int) -> BlockInput:
    """Return a block that could follow."""
    head = chain.ledger.last()
    height = changes.get("height", head.height + 1)
    time_ms = changes.get("time_ms", head.time_ms + 1_000)
    return BlockInput(height=height, time_ms=time_ms, transactions=transactions)


def fields(execution: Execution) -> tuple[object, ...]:
    """Return everything of an execution that must be the same everywhere."""
    results = [(result.id, result.sequence) for result in execution.results]
    writes = [(write.key, write.value) for write in execution.writes]
    return execution.entries, execution.head, results, writes


def good_block() -> tuple[bytes, ...]:
    """Return transactions that hold in this order."""
    return (
        builders.mint(("firm-a", 1_000), ("firm-b", 500)),
        builders.transfer(V1, 400),
        builders.redeem((V1, 100)),
    )


def mixed() -> tuple[bytes, ...]:
    """Return the same with some between them that are refused."""
    mint, transfer, redeem = good_block()
    return (
        mint,
        builders.transfer(V1, 2_000),
        transfer,
        builders.mint(("nobody", 1)),
        redeem,
        builders.redeem((V1, 50)),
    )


def test_a_block_gives_the_same_bytes_twice_and_on_two_ledgers() -> None:
    one, two = funded_chain(), funded_chain()
    block = next_block(one, *good_block())
    first = one.ledger.execute(block)
    one.ledger._executions.clear()
    again = one.ledger.execute(block)
    elsewhere = two.ledger.execute(block)
    assert again is not first
    assert fields(first) == fields(again) == fields(elsewhere)


def test_a_block_that_holds_what_a_rule_refuses_is_refused() -> None:
    chain = funded_chain()
    for raws in (mixed(), mixed()[:2], good_block()[1:]):
        with pytest.raises(BlockRefused, match=r"transaction [01] is refused: voucher_"):
            chain.ledger.execute(next_block(chain, *raws))
    chain.block(*good_block())


def test_a_proposer_that_strips_a_signature_ends_nothing() -> None:
    chain = funded_chain()
    mint = builders.mint(("firm-a", 7))
    body, pairs = parse(mint).body_bytes, dict(parse(mint).signatures)
    stripped = seal(body, dict([pairs.popitem()]))
    assert parse(stripped).id == parse(mint).id
    with pytest.raises(BlockRefused, match="transaction 0 is refused: four_eyes_missing"):
        chain.ledger.execute(next_block(chain, stripped))
    chain.block(mint)


def test_executing_changes_nothing() -> None:
    chain = funded_chain()
    store = chain.ledger._storage
    assert isinstance(store, MemoryStore)
    before = (dict(store.state), list(store.log), chain.ledger.last())
    chain.ledger.execute(next_block(chain, *good_block()))
    assert (store.state, store.log, chain.ledger.last()) == before


def test_the_record_commits_to_everything_in_its_block() -> None:
    chain = funded_chain()
    parent = chain.ledger.last()
    store = chain.ledger._storage
    assert isinstance(store, MemoryStore)
    log = list(store.log)
    execution = chain.block(*good_block())
    record = execution.record
    assert record is not None
    assert (record.height, record.time_ms) == (parent.height + 1, chain.now_ms)
    assert (record.log_id, record.previous) == (parent.log_id, parent.record_hash)
    assert record.transactions_root == reference.root(good_block())
    last = {write.key: write.value for write in execution.writes}
    assert record.changes_root == changes_root(last)
    assert record.log_size == len(log) + len(good_block())
    assert record.log_root == reference.root([*log, *execution.entries[:-1]])
    acting = chain.ledger.validators(record.height + 2)
    assert record.validators_hash == validators_hash(acting)
    assert record.parameters_hash == parameters_hash(must(store, PARAMETERS, "all"))
    assert (record.state_root, record.misbehaviours) == ((), ())
    assert chain.ledger.last().record_hash == record_hash_of(record)
    closing = decode_entry(execution.entries[-1])
    assert isinstance(closing, ClosingEntry)
    assert closing.record == record
    frontier = merkle.Frontier(chain.ledger.last().log_size, chain.ledger.last().log_peaks)
    assert frontier.root() == reference.root(store.log)


def test_sequence_numbers_are_log_positions() -> None:
    chain = funded_chain()
    store = chain.ledger._storage
    assert isinstance(store, MemoryStore)
    execution = chain.block(*good_block())
    for raw, result in zip(good_block(), execution.results, strict=True):
        entry = decode_entry(store.log[result.sequence])
        assert isinstance(entry, TransactionEntry)
        assert (entry.signed, entry.postings) == (raw, result.postings)
        assert store.sequence_of(parse(raw).id, 0) == result.sequence


def test_a_block_without_anything_leaves_record_hash_and_log_as_they_are() -> None:
    chain = funded_chain()
    before = chain.ledger.last()
    execution = chain.block()
    after = chain.ledger.last()
    assert (execution.record, execution.entries) == (None, ())
    assert (after.record_hash, after.log_size) == (before.record_hash, before.log_size)
    assert (after.height, after.time_ms) == (before.height + 1, before.time_ms + 1_000)


def test_an_empty_blocks_time_counts_as_the_parents() -> None:
    chain = funded_chain()
    chain.block(time_ms=NOON_MS + 90_000)
    with pytest.raises(BlockRefused, match="not after the parent"):
        chain.ledger.execute(next_block(chain, time_ms=NOON_MS + 90_000))


def test_record_heights_may_skip() -> None:
    chain = funded_chain()
    chain.block()
    chain.block()
    execution = chain.block(builders.mint(("firm-a", 1)))
    assert execution.record is not None
    assert execution.record.height == 5


# Whole blocks that are refused


def tampered() -> bytes:
    """Return an envelope with one bit of a signature changed."""
    raw = bytearray(builders.mint(("firm-a", 1)))
    raw[-40] ^= 1
    return bytes(raw)


def re_keyed() -> bytes:
    """Return an envelope with a signature by a key that nobody registered."""
    transaction = parse(builders.mint(("firm-a", 1)))
    return seal(transaction.body_bytes, {key("stranger"): bytes(64)})


AHEAD = 7 * calendar.DAY_MS
INADMISSIBLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "bytes that are no envelope": (lambda: b"\x00", "expected array"),
    "a transaction of another log": (
        lambda: builders.mint(("firm-a", 1), log_id=bytes(32)),
        "signed for log",
    ),
    "a transaction that has expired": (
        lambda: builders.mint(("firm-a", 1), expires_at=NOON_MS + 3_000),
        "expired at",
    ),
    "a transaction that expires too far ahead": (
        lambda: builders.mint(("firm-a", 1), expires_at=NOON_MS + 3_000 + AHEAD + 1),
        "at most",
    ),
    "a transaction that is logged": (lambda: builders.enrol("firm-a"), "logged already"),
    "a key that is not registered": (re_keyed, "not registered"),
    "a signature that does not verify": (tampered, "does not verify"),
}


@pytest.mark.parametrize("name", INADMISSIBLE)
def test_a_block_is_refused_for(name: str) -> None:
    make, sentence = INADMISSIBLE[name]
    chain = funded_chain()
    good = builders.mint(("firm-a", 7))
    with pytest.raises(BlockRefused, match=f"transaction 1: .*{sentence}"):
        chain.ledger.execute(next_block(chain, good, make()))


@pytest.mark.parametrize("expires_at", [NOON_MS + 3_001, NOON_MS + 3_000 + AHEAD])
def test_the_first_and_the_last_expiry_are_admitted(expires_at: int) -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 1), expires_at=expires_at))


def test_a_block_is_refused_for_the_same_transaction_twice() -> None:
    chain = funded_chain()
    raw = builders.mint(("firm-a", 7))
    with pytest.raises(BlockRefused, match=r"transaction 1: .*logged already"):
        chain.ledger.execute(next_block(chain, raw, raw))


def test_one_id_is_logged_once_whatever_its_signatures() -> None:
    chain = funded_chain()
    body = parse(builders.mint(("firm-a", 7))).body.operation
    four = tuple(("shanghai", person) for person in builders.OFFICERS)
    chain.block(builders.signed(body, *four[2:]))
    with pytest.raises(BlockRefused, match="logged already"):
        chain.ledger.execute(next_block(chain, builders.signed(body, *four)))


def test_signatures_are_checked_against_committed_keys() -> None:
    chain = Chain()
    chain.accept(builders.publish(), builders.appropriate())
    mint = builders.mint(("firm-a", 10))
    by_new_key = builders.transfer(V1, 1)
    with pytest.raises(BlockRefused, match="not registered"):
        chain.ledger.execute(next_block(chain, builders.enrol("firm-a"), mint, by_new_key))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"height": 2}, "height 2 is not above 2"),
        ({"time_ms": NOON_MS + 2_000}, "is not after the parent's"),
        ({"time_ms": calendar.TIME_MAX_MS + 1}, "is above"),
    ],
)
def test_a_block_is_refused_for_its_header(changes: dict[str, int], sentence: str) -> None:
    chain = funded_chain()
    with pytest.raises(BlockRefused, match=sentence):
        chain.ledger.execute(next_block(chain, **changes))


def test_the_last_moment_of_all_still_makes_a_block() -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 10)))
    execution = chain.block(time_ms=calendar.TIME_MAX_MS)
    assert execution.record is not None, "the voucher expired"


def small_chain(**parameters: Any) -> Chain:
    """Return a chain with small limits; its log has another id."""
    return Chain(genesis=builders.genesis(**parameters))


def enrolments(chain: Chain, count: int) -> tuple[bytes, ...]:
    """Return enrolments of distinct firms, signed for this chain's log."""
    log_id = log_id_of(chain.genesis)
    return tuple(builders.enrol(f"firm-{n}", log_id=log_id) for n in range(count))


def test_a_block_holds_as_many_transactions_as_the_parameter_says() -> None:
    chain = small_chain(block_transactions_max=3)
    raws = enrolments(chain, 4)
    with pytest.raises(BlockRefused, match="4 transactions"):
        chain.ledger.execute(next_block(chain, *raws, time_ms=NOON_MS))
    chain.accept(*raws[:3])


def test_a_block_holds_as_many_bytes_as_the_parameter_says() -> None:
    size = sum(map(len, enrolments(small_chain(), 2)))
    for room, fits in ((size, True), (size - 1, False)):
        chain = small_chain(block_bytes_max=room)
        raws = enrolments(chain, 2)
        if fits:
            chain.accept(*raws)
        else:
            with pytest.raises(BlockRefused, match="too many bytes"):
                chain.ledger.execute(next_block(chain, *raws, time_ms=NOON_MS))


def test_a_block_holds_as_many_rows_as_the_parameter_says() -> None:
    chain = small_chain(block_rows_max=3)
    log_id = log_id_of(chain.genesis)

    def enrol(name: str, keys: int) -> bytes:
        return builders.enrol(name, keys=builders.keys_of(name, *"abc"[:keys]), log_id=log_id)

    raws = enrol("firm-a", 2), enrol("firm-b", 2)
    with pytest.raises(BlockRefused, match="too many rows"):
        chain.ledger.execute(next_block(chain, *raws, time_ms=NOON_MS))
    assert len(chain.block(enrol("firm-a", 1), enrol("firm-b", 2)).results) == 2


# Proposing


def test_a_proposer_leaves_out_what_would_be_refused_and_keeps_the_order() -> None:
    chain = funded_chain()
    raws = [*mixed(), tampered(), re_keyed()]
    refused: list[str] = []
    proposed = chain.ledger.propose(
        [parse(raw) for raw in raws],
        height=3,
        time_ms=NOON_MS + 9_000,
        limits=Limits(),
        on_refused=lambda _, refusal: refused.append(refusal.code),
    )
    assert proposed == (raws[0], raws[2], raws[4])
    assert refused == ["voucher_exhausted", "party_unknown", "invoice_differs"]
    execution = chain.ledger.execute(
        BlockInput(height=3, time_ms=NOON_MS + 9_000, transactions=proposed)
    )
    assert len(execution.results) == len(proposed)


def test_a_proposer_stays_within_limits() -> None:
    chain = funded_chain()
    raws = [builders.enrol(f"firm-{number}") for number in range(10)]
    pending = [parse(raw) for raw in raws]

    def proposed(limits: Limits) -> int:
        return len(chain.ledger.propose(pending, height=3, time_ms=NOON_MS + 9_000, limits=limits))

    assert proposed(Limits()) == 10
    assert proposed(Limits(transactions_max=4)) == 4
    assert proposed(Limits(rows_max=5)) == 5
    assert proposed(Limits(bytes_max=len(raws[0]) * 3)) == 3
    assert proposed(Limits(bytes_max=len(raws[0]) * 3 - 1)) == 2


def test_what_was_proposed_is_executed_once() -> None:
    chain = funded_chain()
    raws = chain.ledger.propose(
        [parse(builders.mint(("firm-a", 1)))], height=3, time_ms=NOON_MS + 9_000, limits=Limits()
    )
    block = BlockInput(height=3, time_ms=NOON_MS + 9_000, transactions=raws)
    first = chain.ledger.execute(block)
    assert chain.ledger.execute(block) is first
    fresh = funded_chain().ledger.execute(block)
    assert fields(fresh) == fields(first)


# Genesis


def test_a_genesis_names_its_log_for_ever() -> None:
    data = builders.genesis()
    ledger = Ledger(MemoryStore())
    head = ledger.begin(data)
    assert head.log_id == head.record_hash == log_id_of(data)
    assert (head.height, head.time_ms, head.log_size) == (0, GENESIS_MS, 1)
    assert ledger.begin(data) == head, "idempotent"
    with pytest.raises(GenesisInvalid, match="another genesis"):
        ledger.begin(builders.genesis(network="dev-other"))


SPARE = PartyKey(key=key("spare"), person="officer-1", roles=())
SHANGHAI = builders.city("shanghai")
replace = msgspec.structs.replace

BAD_GENESES: dict[str, Callable[[], bytes]] = {
    "member shanghai is named twice": lambda: builders.genesis(SHANGHAI, SHANGHAI),
    "is named twice": lambda: builders.genesis(SHANGHAI, replace(SHANGHAI, id="other")),
    "0 members validate": lambda: builders.genesis(builders.city("x", validates=False)),
    "not in the prime-order subgroup": lambda: builders.genesis(
        replace(SHANGHAI, keys=(*SHANGHAI.keys, replace(SPARE, key=bytes(32))))
    ),
    "janitor is not a role": lambda: builders.genesis(
        replace(SHANGHAI, keys=(*SHANGHAI.keys, replace(SPARE, roles=("janitor",))))
    ),
    "only a treasury's keys carry roles": lambda: builders.genesis(
        SHANGHAI,
        replace(builders.centre("hub"), keys=(replace(SPARE, roles=("mint",)),)),
    ),
    "officer-1 holds both budget and mint": lambda: builders.genesis(
        replace(SHANGHAI, keys=(*SHANGHAI.keys, replace(SPARE, roles=("mint",))))
    ),
    "officer-3 holds both pay and review": lambda: builders.genesis(
        replace(
            SHANGHAI,
            keys=(*SHANGHAI.keys, replace(SPARE, person="officer-3", roles=("review",))),
        )
    ),
    "holders are enrolled by a city": lambda: builders.genesis(
        SHANGHAI,
        replace(builders.centre("firm"), kind="holder", party_class="start_up"),
    ),
    "at least 4 persons": lambda: builders.genesis(
        replace(SHANGHAI, keys=SHANGHAI.keys[:3], threshold=1)
    ),
    "tag epoch 1 stands after 2": lambda: builders.genesis(
        tag_keys=(TagKey(epoch=2, check_value=bytes(32)), TagKey(epoch=1, check_value=bytes(32)))
    ),
    "class '' of a treasury": lambda: builders.genesis(replace(SHANGHAI, party_class="")),
    "class 'city' of a data_centre": lambda: builders.genesis(
        SHANGHAI, replace(builders.centre("hub"), party_class="city")
    ),
    "threshold 0 of 4": lambda: builders.genesis(replace(SHANGHAI, threshold=0)),
    "threshold 5 of 4": lambda: builders.genesis(replace(SHANGHAI, threshold=5)),
    "only cities and data centres validate": lambda: builders.genesis(
        SHANGHAI, builders.city("henan", level="province")
    ),
    "expected int <= 256": lambda: builders.genesis(block_expiries_max=257),
    "expected int <= 4000": lambda: builders.genesis(block_transactions_max=4_001),
    "expected int <= 8000": lambda: builders.genesis(block_rows_max=8_001),
    "expected int <= 2097152": lambda: builders.genesis(block_bytes_max=2**21 + 1),
    "expected int >= 1": lambda: builders.genesis(block_bytes_max=0),
    "time 253370736000000 is above": lambda: encode(
        replace(parse_genesis(builders.genesis()), time_ms=calendar.TIME_MAX_MS + 1)
    ),
}


@pytest.mark.parametrize("sentence", BAD_GENESES)
def test_a_genesis_is_refused_because(sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_genesis(BAD_GENESES[sentence]())
