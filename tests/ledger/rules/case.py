"""One adversarial case: a setting, a transaction, and what must become of it.

All cases share a small world: Shanghai with a programme and money, Guiyang with an accredited
centre that Shanghai recognises, a province, a second centre, an auditor, and two firms. A case says
only what differs from it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from ledger import execute
from ledger.blocks import BlockInput, BlockRefused
from ledger.encoding import codec
from ledger.encoding.codec import UINT64_MAX, Record
from ledger.execute import BlockBuilder, Execution, stored_value
from ledger.genesis import log_id_of
from ledger.ledger import Ledger
from ledger.rules import calendar
from ledger.rules.governance import Action, SetStatus
from ledger.rules.money import FunderShare
from ledger.rules.parties import PartyKey
from ledger.rules.programmes import RateRow, Review
from ledger.rules.refusals import TransactionRefused
from ledger.store.memory import MemoryStore
from ledger.transactions import Transaction, parse
from ledger.view import Table, must
from tests import builders
from tests.builders import NOON_MS, Chain, key

DAY_MS = calendar.DAY_MS
YEAR_MS = 365 * DAY_MS
EVER_MS = NOON_MS + 20 * YEAR_MS
"""When the transactions of cases expire: time may pass in a case."""
GENESIS = builders.genesis(
    builders.city("shanghai"),
    builders.city("guiyang"),
    builders.city("henan", validates=False, level="province"),
    builders.centre("guian-hub"),
    builders.centre("chengdu-aicc"),
    builders.auditor("audit-office"),
    network="dev-adversarial",
    expiry_ahead_max_ms=30 * YEAR_MS,
)
LOG_ID = log_id_of(GENESIS)
PROGRAMME = "shanghai.compute"
V1, V2, V3 = (f"{PROGRAMME}.{serial:09d}" for serial in (1, 2, 3))
CLAIM = "guian-hub.000000001"
RESERVE = "guian-hub.000000001"
PAYABLE = f"{CLAIM}-000"
TODAY = calendar.day_of(NOON_MS)
SETTING_BLOCKS = 2

Step = Callable[[], bytes]
Doctor = Callable[[MemoryStore], None]
"""Brings a store into a state that would take too many transactions to reach."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A transaction that must be refused, or must just hold, after a setting was made."""

    claim: str
    clause: str
    """The numbered check, such as ``T9.17`` or ``T10.recover.3``, or the action ``R14.2.admit``."""
    code: str
    """``ok`` where the last value that holds is meant."""
    transaction: Step
    terms: dict[str, Any] = field(default_factory=dict)
    before: tuple[Step | int, ...] = ()
    """Transactions that must hold first, each in a block of its own a second after the last; a
    number is the time of the next block."""
    doctor: Doctor | None = None
    values: dict[str, int | str] = field(default_factory=dict)
    """Some of the typed values of the refusal."""
    wrote: tuple[tuple[Table[Any], tuple[str, ...], dict[str, Any]], ...] = ()
    """Some fields of records that were written, by table and key parts."""
    untouched: tuple[Table[Any], ...] = ()
    """Tables in which nothing was written."""

    def __str__(self) -> str:
        return f"{self.clause} {self.code}: {self.claim}"


def ok(claim: str, clause: str, transaction: Step, **rest: Any) -> Case:
    """Return a case of the last value that holds."""
    return Case(claim=claim, clause=clause, code="ok", transaction=transaction, **rest)


def no(claim: str, clause: str, code: str, transaction: Step, **rest: Any) -> Case:
    """Return a case of a refusal."""
    return Case(claim=claim, clause=clause, code=code, transaction=transaction, **rest)


def second(number: int) -> int:
    """Return the time of a case's n-th block: the setting is made in the two before the first."""
    return NOON_MS + (SETTING_BLOCKS + number) * 1_000


def step(builder: Callable[..., bytes]) -> Callable[..., Step]:
    """Return a builder of this world's transactions, which are made when they are needed."""

    def make(*args: Any, **changes: Any) -> Step:
        return lambda: builder(*args, **{"log_id": LOG_ID, "expires_at": EVER_MS, **changes})

    return make


enrol = step(builders.enrol)
rotate = step(builders.rotate)
recover = step(builders.recover)
announce = step(builders.announce)
objection = step(builders.object_to_keys)
decide_keys = step(builders.decide_keys)
attest = step(builders.attest)
revoke_attestation = step(builders.revoke_attestation)
publish = step(builders.publish)
appropriate = step(builders.appropriate)
agree = step(builders.agree)
accredit = step(builders.accredit)
recognise = step(builders.recognise)
mint = step(builders.mint)
transfer = step(builders.transfer)
set_aside = step(builders.set_aside)
release = step(builders.release)
extend = step(builders.extend)
revoke = step(builders.revoke)
redeem = step(builders.redeem)
decide = step(builders.decide)
dispute = step(builders.dispute)
credit = step(builders.credit)
close_cycle = step(builders.close_cycle)
instruct = step(builders.instruct)
confirm = step(builders.confirm)
return_payment = step(builders.return_payment)
resolve_payment = step(builders.resolve_payment)
write_off = step(builders.write_off)
object_to_payment = step(builders.object_to_payment)
set_hold = step(builders.set_hold)
clear_hold = step(builders.clear_hold)
anchor = step(builders.anchor)
withdraw = step(builders.withdraw)
propose = step(builders.propose)
vote = step(builders.vote)

VOTERS = ("guiyang", "henan", "guian-hub")
"""Who says yes to Shanghai's proposals: with it four of five members, and both cities."""


def adopted(action: Action, number: int = 1) -> tuple[Step, ...]:
    """Return four transactions by which members adopt an action."""
    return (propose(action), *(vote(number, voter=voter) for voter in VOTERS))


def party_key(*names: str, person: str = "owner", roles: tuple[str, ...] = ()) -> PartyKey:
    """Return a derived key for a person."""
    return PartyKey(key=key(*names), person=person, roles=roles)


def rate(basis_points: int, **columns: str) -> RateRow:
    """Return a row of a rate table, empty where nothing is said."""
    empty: dict[str, Any] = dict.fromkeys(
        ("holder_class", "chip_origin", "service_class", "ownership"), ()
    )
    chosen = {name: (value,) for name, value in columns.items()}
    return RateRow(**(empty | chosen), basis_points=basis_points)


def shares(*pairs: tuple[str, int]) -> tuple[FunderShare, ...]:
    """Return funders and their basis points."""
    return tuple(FunderShare(funder=name, basis_points=points) for name, points in pairs)


def put(store: MemoryStore, table: Table[Any], record: Record, *parts: str) -> None:
    """Write a record past all rules."""
    store.state[table.key(*parts)] = stored_value(0, record)


def doctored(table: Table[Any], *parts: str, **fields: Any) -> Doctor:
    """Return a doctor who changes some fields of a record."""

    def change(store: MemoryStore) -> None:
        put(store, table, msgspec.structs.replace(must(store, table, *parts), **fields), *parts)

    return change


def written(table: Table[Any], record: Record, *parts: str) -> Doctor:
    """Return a doctor who writes a record."""
    return lambda store: put(store, table, record, *parts)


def missing(table: Table[Any], *parts: str) -> Doctor:
    """Return a doctor who takes a record away."""

    def take(store: MemoryStore) -> None:
        del store.state[table.key(*parts)]

    return take


def together(*doctors: Doctor) -> Doctor:
    """Return one doctor for several."""

    def do(store: MemoryStore) -> None:
        for doctor in doctors:
            doctor(store)

    return do


class Ready:
    """A case whose setting was made: it can be tried again and again, and changes nothing."""

    def __init__(self, case: Case, chain: Chain | None = None) -> None:
        self.case = case
        self.chain = setting(case) if chain is None else chain
        raw = case.transaction()
        self.transaction: Transaction = parse(raw)
        last = case.before[-1] if case.before else None
        at_ms = last if isinstance(last, int) else self.chain.now_ms + 1_000
        height = self.chain.ledger.last().height + 1
        self.block = BlockInput(height=height, time_ms=at_ms, transactions=(raw,))
        self.nothing = BlockInput(height=height, time_ms=at_ms, transactions=())

    def execute(self, block: BlockInput) -> Execution:
        """Return what a block does now; signatures are the business of other tests."""
        return execute.execute(
            self.chain.ledger._storage,
            self.chain.ledger.last(),
            block,
            is_logged=lambda _: False,
            load=lambda _: self.transaction,
            signatures_valid=lambda _: True,
        )

    def refusal(self) -> TransactionRefused | None:
        """Return why the transaction cannot stand in the block, which stays as it was."""
        ledger = self.chain.ledger
        builder = BlockBuilder(
            ledger._storage, ledger.last(), height=self.block.height, time_ms=self.block.time_ms
        )
        before = dict(builder._draft.written)
        try:
            builder.apply(self.transaction)
        except TransactionRefused as refusal:
            assert builder._draft.written == before, "what is refused changes nothing"
            return refusal
        return None

    def check(self) -> None:
        """Raise AssertionError unless the case ends as it says."""
        case = self.case
        refusal = self.refusal()
        code = "ok" if refusal is None else refusal.code
        assert code == case.code, f"expected {case.code}: {refusal or 'it was accepted'}"
        if refusal is not None:
            values = refusal.values
            assert values.items() >= case.values.items(), f"{values}, expected {case.values}"
            assert str(refusal).strip()
            with pytest.raises(BlockRefused, match=f"transaction 0 is refused: {code}"):
                self.execute(self.block)
            return
        execution = self.execute(self.block)
        for write in execution.writes:
            # Else the next who reads it stops, on every node.
            assert codec.decode(type(write.record), write.value[8:], UINT64_MAX) == write.record
        last = {write.key: write.record for write in execution.writes}
        for table, parts, fields in case.wrote:
            record = last[table.key(*parts)]
            found = {name: getattr(record, name) for name in fields}
            assert found == fields, f"{table.name}: {found}, expected {fields}"
        for table in case.untouched:
            assert not any(key.startswith(table.prefix) for key in last), f"wrote {table.name}"


def setting(case: Case) -> Chain:
    """Return a chain on which everything but the case's transaction is right."""
    store = MemoryStore()
    chain = Chain(ledger=Ledger(store), genesis=GENESIS)
    firms = [enrol(firm)() for firm in ("firm-a", "firm-b")]
    consents = builders.agreements(**case.terms, log_id=LOG_ID, expires_at=EVER_MS)
    chain.accept(publish(**case.terms)(), *consents, *firms, accredit()())
    chain.accept(appropriate()(), recognise()())
    at_ms: int | None = None
    for one in case.before:
        if isinstance(one, int):
            at_ms = one
            continue
        chain.block(one(), time_ms=at_ms)
        at_ms = None
    if case.doctor is not None:
        case.doctor(store)
    return chain


# What many cases begin with

GRANTED = mint(("firm-a", 10_000))
ONE_OFFICER = (("shanghai", "officer-1"),)
BOTH = builders.officers("shanghai", "registrar") + builders.officers("guiyang", "registrar")
HOST_PAYS = recognise(mode="host_pays", by=BOTH)
BY_HAND: dict[str, Any] = {"review": Review(automatic_band=0, sample_every=0)}
"""Terms under which every claim goes to review."""
FOR_LONG = calendar.end_of_day_ms(TODAY + 365)
"""When a voucher that was minted in the setting expires."""


def suspended(party: str, number: int = 1, *, successor: tuple[str, ...] = ()) -> tuple[Step, ...]:
    """Return the transactions by which members suspend one."""
    return adopted(SetStatus(party=party, status="suspended", successor=successor), number)


def removed(party: str, *successor: str, number: int = 1) -> tuple[Step, ...]:
    """Return the transactions by which members remove one, for a successor if one is named."""
    return adopted(SetStatus(party=party, status="removed", successor=successor), number)


def treasury_keys(party: str, **roles: tuple[str, ...]) -> tuple[PartyKey, ...]:
    """Return a treasury's keys, some officers (``officer_1``) with other roles."""
    chosen = builders.OFFICERS | {name.replace("_", "-"): held for name, held in roles.items()}
    return tuple(
        PartyKey(key=key(party, person), person=person, roles=held)
        for person, held in chosen.items()
    )


BAD_KEY = PartyKey(key=bytes(32), person="owner", roles=())
"""The point y = 0 is of small order."""
