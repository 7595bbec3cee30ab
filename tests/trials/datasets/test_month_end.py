"""The end of a month: 2,000 claims between three cities, one clearing cycle, every fen paid.

Everything expected here is made from the plan of claims, never from the ledger's own sums.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from api.app import create_app
from ledger.invariants import check_state
from ledger.rules import calendar
from ledger.rules.clearing import CYCLES, Close, Cycle
from ledger.rules.money import FunderShare
from ledger.rules.payables import OPEN_CYCLE, PAYABLES, Payable, open_of
from ledger.rules.payments import Confirm, Instruct, RecordPayment, Return
from ledger.rules.programmes import Review, Terms
from ledger.store.lmdb_store import LmdbReader, LmdbStore
from ledger.view import must
from node.port import PortClient
from tests.trials.datasets import small
from trials.datasets.golden import moment
from trials.datasets.sums import Sums, add_up, disagreements
from trials.datasets.world import Act, InProcess, Who, consent, second_officers
from trials.replay import replay

CITIES = ("chengdu", "guiyang", "hangzhou")
CENTRES = {f"{city}-dc-{number}": city for city in CITIES for number in range(1, 5)}
del CENTRES["hangzhou-dc-3"], CENTRES["hangzhou-dc-4"]
FIRMS_PER_CITY = 10
CLAIMS = 2_000
FACE = 1_000_000_00
YEAR = 2026
START_MS = moment("2026-06-01 09:00")
BLOCK = 250

SHARES = {
    "chengdu": (("chengdu", 6_667), ("guiyang", 3_333)),
    "guiyang": (("guiyang", 10_000),),
    "hangzhou": (("hangzhou", 10_000),),
}
"""Chengdu's programme has two funders, so that fen are left over at almost every claim."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A claim that will be made."""

    city: str
    firm: str
    centre: str
    fen: int

    @property
    def host(self) -> str:
        """Return the city of the centre."""
        return CENTRES[self.centre]

    def parts(self) -> Iterator[tuple[str, int]]:
        """Yield what each funder pays in the end: the first funder takes the odd fen."""
        (first, _), *others = SHARES[self.city]
        rest = self.fen
        for funder, basis_points in others:
            rest -= self.fen * basis_points // 10_000
            yield funder, self.fen * basis_points // 10_000
        yield first, rest


def planned() -> list[Planned]:
    """Return the month's claims: half of them at home, the others away."""
    dice = random.Random("month-end")
    claims = []
    for _ in range(CLAIMS):
        city = dice.choice(CITIES)
        home = [centre for centre, host in CENTRES.items() if host == city]
        centre = dice.choice(home if dice.random() < 0.5 else list(CENTRES))
        firm = f"{city}-firm-{dice.randint(1, FIRMS_PER_CITY)}"
        claims.append(Planned(city, firm, centre, dice.randint(1, 9_999_99)))
    return claims


@dataclass(frozen=True, slots=True)
class Month:
    """The ledger after all claims, before the cycle closes."""

    ledger: InProcess
    store: LmdbStore
    claims: list[Planned]

    def payables(self, *legs: str) -> list[Payable]:
        """Return the payables of legs, as they are now."""
        return [
            record
            for _, record in self.store.records()
            if isinstance(record, Payable) and record.leg in legs
        ]

    def sums(self) -> Sums:
        """Return all sums made anew; every one must agree with its counterpart."""
        assert check_state(self.store.records())
        sums = add_up(self.store.records())
        assert list(disagreements(sums)) == []
        return sums

    def do(self, *acts: Act) -> None:
        """Commit a block in which all acts must hold."""
        self.ledger.accept(acts, time_ms=self.ledger.time_ms + 1_000)


@pytest.fixture
def month(tmp_path: Path) -> Iterator[Month]:
    store = LmdbStore(tmp_path / "store", durable=False)
    ledger = small.begin(store, CITIES, CENTRES, START_MS)
    claims = planned()
    result = Month(ledger, store, claims)
    firms = [(city, f"{city}-firm-{n + 1}") for city in CITIES for n in range(FIRMS_PER_CITY)]
    result.do(
        *(small.publish(f"{city}.compute", terms_of(city)) for city in CITIES),
        *(small.accredit(centre, host) for centre, host in CENTRES.items()),
        *(small.enrol(firm, city) for city, firm in firms),
    )
    result.do(
        *(
            consent(f"{city}.compute", 1, terms_of(city), funder)
            for city in CITIES
            for funder, _ in SHARES[city]
            if funder != city
        )
    )
    result.do(
        *(
            small.appropriate(f"{city}.compute", funder, FIRMS_PER_CITY * FACE, year=YEAR)
            for city in CITIES
            for funder, _ in SHARES[city]
        ),
        *(
            small.recognise_host_pays(f"{city}.compute", *(host for host in CITIES if host != city))
            for city in CITIES
        ),
    )
    result.do(
        *(
            small.mint(f"{city}.compute", *((firm, FACE) for of, firm in firms if of == city))
            for city in CITIES
        )
    )
    day = calendar.day_of(START_MS) - 1
    acts = [
        small.redeem(
            f"{one.city}.compute.{int(one.firm.rpartition('-')[2]):09d}",
            one.firm,
            one.centre,
            one.fen,
            number=number,
            day=day,
        )
        for number, one in enumerate(claims)
    ]
    for first in range(0, len(acts), BLOCK):
        time_ms = START_MS + (first // BLOCK + 1) * 3 * calendar.DAY_MS
        result.ledger.accept(acts[first : first + BLOCK], time_ms=time_ms)
    yield result
    store.close()


def terms_of(city: str) -> Terms:
    """Return terms under which every claim of this month is accepted at once."""
    return small.own_terms(
        city,
        review=Review(automatic_band=FACE, sample_every=0),
        funders=tuple(
            FunderShare(funder=funder, basis_points=basis_points)
            for funder, basis_points in SHARES[city]
        ),
    )


def close(month: Month) -> Cycle:
    """Close the open cycle on the last evening of June and return it."""
    act = Act(operation=Close(by="hangzhou", cycle=1), signers=second_officers("hangzhou"))
    month.ledger.accept((act,), time_ms=moment("2026-06-30 22:00"))
    return must(month.store, CYCLES, "1")


def expected_nets(claims: list[Planned]) -> Counter[str]:
    """Return what each city is owed net by the others, from the plan alone."""
    nets: Counter[str] = Counter(dict.fromkeys(CITIES, 0))
    for one in claims:
        if one.host != one.city:
            nets[one.host] += one.fen
            for funder, fen in one.parts():
                nets[funder] -= fen
    return nets


def test_every_claim_is_owed_once_and_the_statements_of_both_sides_agree(month: Month) -> None:
    sums = month.sums()
    assert sums.statuses == {"accepted": CLAIMS}
    payees, payers = Counter[str](), Counter[str]()
    for one in month.claims:
        payees[one.centre] += one.fen
        if one.host == one.city:
            payers.update(dict(one.parts()))
        else:
            payees[one.host] += one.fen  # it pays the centre, and is owed the same
            payers[one.host] += one.fen
            payers.update(dict(one.parts()))
    assert sums.by_creditor == payees
    assert sums.by_debtor == payers
    for city in CITIES:
        accepted = sum(one.fen for one in month.claims if one.city == city)
        assert sums.accepted[f"{city}.compute"] == accepted


def test_the_cycle_nets_to_zero_and_its_settlement_payables_pay_it(month: Month) -> None:
    cycle = close(month)
    nets = {position.party: position.net for position in cycle.positions}
    assert sum(nets.values()) == 0
    assert nets == expected_nets(month.claims)
    settled = Counter[str]()
    settlements = month.payables("settlement")
    for payable in settlements:
        assert payable.cycle == (1,)
        assert payable.due_ms == moment("2026-07-31 00:00")
        settled[payable.creditor] += payable.amount
        settled[payable.debtor] -= payable.amount
    assert settled == {city: net for city, net in nets.items() if net}
    assert sum(payable.amount for payable in settlements) == cycle.amount
    own = [one for one in month.payables("reimbursement") if one.debtor == one.creditor]
    assert own, "Guiyang funds Chengdu's programme, and hosts"
    assert {(one.cycle, one.amount - one.written_off) for one in own} == {((), 0)}
    others = [one for one in month.payables("reimbursement") if one.debtor != one.creditor]
    assert all(payable.cycle == (1,) for payable in others)
    assert must(month.store, OPEN_CYCLE, "all").positions == ()
    month.sums()


def test_a_claim_after_the_closing_waits_for_the_next_cycle(month: Month) -> None:
    cycle = close(month)
    late = small.redeem(
        "hangzhou.compute.000000001",
        "hangzhou-firm-1",
        "guiyang-dc-1",
        100_01,
        number="late",
        day=calendar.day_of(START_MS),
    )
    month.do(late)
    following = must(month.store, OPEN_CYCLE, "all")
    assert following.number == 2
    assert {one.party: one.net for one in following.positions} == {
        "guiyang": 100_01,
        "hangzhou": -100_01,
    }
    assert must(month.store, CYCLES, "1") == cycle


def officers_or_desk(party: str) -> tuple[Who, ...]:
    return second_officers(party) if party in CITIES else ((party, "officer-1"),)


def instruct(payable: Payable, fen: int, name: str) -> Act:
    act = Instruct(payable=payable.id, amount=fen, end_to_end_id=name)
    return Act(operation=RecordPayment(act=act), signers=officers_or_desk(payable.debtor))


def confirm(payable: Payable, name: str) -> Act:
    act = Confirm(debtor=payable.debtor, end_to_end_id=name, by=payable.creditor)
    return Act(operation=RecordPayment(act=act), signers=officers_or_desk(payable.creditor))


def test_a_returned_payment_is_paid_again_and_one_in_two_parts_and_all_is_paid_to_the_fen(
    month: Month,
) -> None:
    cycle = close(month)
    first, second = month.payables("settlement")
    month.do(instruct(first, first.amount, "ST-1"), instruct(second, 100_01, "ST-2a"))
    came_back = Return(
        debtor=first.debtor, end_to_end_id="ST-1", by=first.debtor, reason="account closed"
    )
    month.do(
        Act(operation=RecordPayment(act=came_back), signers=officers_or_desk(first.debtor)),
        confirm(second, "ST-2a"),
    )
    reopened = must(month.store, PAYABLES, first.id)
    assert (reopened.attempt, reopened.cycle, open_of(reopened)) == (2, (1,), first.amount)
    month.do(
        instruct(first, first.amount, "ST-1-again"),
        instruct(second, second.amount - 100_01, "ST-2b"),
    )
    month.do(confirm(first, "ST-1-again"), confirm(second, "ST-2b"))
    benefits = month.payables("benefit")
    for start in range(0, len(benefits), BLOCK):
        batch = benefits[start : start + BLOCK]
        month.do(*(instruct(one, one.amount, f"B-{one.id}") for one in batch))
        month.do(*(confirm(one, f"B-{one.id}") for one in batch))

    assert must(month.store, CYCLES, "1") == cycle, "payments change no closed cycle"
    cash = Counter[str]()
    for payable in month.payables("benefit", "settlement"):
        assert open_of(payable) == 0
        assert payable.paid == payable.amount
        cash[payable.creditor] += payable.paid
        cash[payable.debtor] -= payable.paid
    wanted = Counter[str]()
    for one in month.claims:
        wanted[one.centre] += one.fen
        wanted.subtract(dict(one.parts()))
    assert cash == wanted, "each funder paid its share and each centre got its claims, no more"
    month.sums()


def test_payers_and_payees_own_nodes_give_the_same_statement(month: Month, tmp_path: Path) -> None:
    """Each city's node and each centre's executed the log by itself; their servers are asked."""
    close(month)
    paid = month.payables("settlement")[0]
    month.do(instruct(paid, paid.amount, "ST-1"))
    month.do(confirm(paid, "ST-1"))
    genesis = month.store.genesis()
    head = month.store.head()
    assert genesis is not None and head is not None
    log = month.store.entries(0, head.log_size)
    nodes = {name: tmp_path / name for name in ("payer", "payee")}
    for path in nodes.values():
        own = LmdbStore(path, durable=False)
        replay(genesis, log, storage=own, verify_commit=None, verify_signature=lambda *_: True)
        own.close()
    total = 0
    pairs = sorted({(one.debtor, one.creditor) for one in month.payables("benefit", "settlement")})
    for debtor, creditor in pairs:
        query = f"debtor={debtor}&creditor={creditor}"
        texts = {name: asyncio.run(statement(path, query)) for name, path in nodes.items()}
        assert texts["payer"] == texts["payee"]
        rows = [json.loads(line) for line in texts["payer"].splitlines()]
        assert (rows[0]["movement"], rows[-1]["movement"]) == ("opening", "closing")
        total += rows[-1]["balance"]
    wanted = sum(one.fen for one in month.claims)
    settlements = sum(one.amount for one in month.payables("settlement"))
    assert total == wanted + settlements - paid.amount, "what centres and cities are still owed"
    print(f"{len(pairs)} statements of 2 nodes, {total} fen open")


async def statement(store: Path, query: str) -> str:
    """Return a statement as a node's API process gives it."""
    reader = LmdbReader(store)
    app = create_app(reader, PortClient(store / "port"), "dev-test")
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://node") as client:
        answer = await client.get(f"/v1/exports/statement?{query}")
    reader.close()
    assert answer.status_code == 200, answer.text
    return answer.text
