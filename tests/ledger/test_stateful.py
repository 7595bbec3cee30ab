"""Whatever members do in whatever order, value is conserved and the books agree with each other.

Hypothesis chooses among all kinds, with ids of what exists and amounts at the edges of what holds;
after every block all records are added up from nothing.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from ledger.blocks import BlockRefused
from ledger.catalogue import KINDS
from ledger.encoding.codec import FEN_MAX, NotCanonical, Record
from ledger.entries import AutomaticEntry, TransactionEntry, decode_entry
from ledger.execute import Execution
from ledger.invariants import PARTS, check_state
from ledger.ledger import Ledger
from ledger.rules.attestations import ATTESTATIONS
from ledger.rules.claims import CLAIMS, Line
from ledger.rules.governance import (
    PROPOSALS,
    Action,
    Admit,
    Pause,
    Resume,
    SetParameters,
    SetStatus,
    SetValidator,
)
from ledger.rules.holds import HOLDS
from ledger.rules.parties import PARTIES
from ledger.rules.payables import PAYABLES, open_cycle, open_of
from ledger.rules.payments import PAYMENTS
from ledger.rules.programmes import PROGRAMMES, TOTALS, Review
from ledger.rules.redemptions import GrantAfterUse
from ledger.rules.reserves import RESERVES
from ledger.rules.vouchers import VOUCHERS
from ledger.store.memory import MemoryStore
from ledger.transactions import parse
from ledger.view import Table, must
from tests import builders
from tests.builders import Chain, Signers, keys_of, no_caps, officers
from tests.ledger.corruptions import records_of
from tests.ledger.rules.case import (
    BOTH,
    DAY_MS,
    EVER_MS,
    GENESIS,
    LOG_ID,
    PROGRAMME,
    TODAY,
    shares,
)
from tests.ledger.rules.situations import CONTRACT

SEED = 20_260_101
EXAMPLES, STEPS = 60, 50
LONG_EXAMPLES, LONG_STEPS = 600, 80

AFTER = "shanghai.after"
FIRMS = ("firm-a", "firm-b", "firm-c", "firm-d")
HUBS = ("guian-hub", "chengdu-aicc")
MEMBERS = ("shanghai", "guiyang", "henan", *HUBS, "audit-office")
TREASURIES = ("shanghai", "guiyang", "henan")
STEP_MS = (1, 1_000, DAY_MS // 2, 3 * DAY_MS, 8 * DAY_MS, 40 * DAY_MS)
TERMS: dict[str, Any] = {
    "funders": shares(("shanghai", 6_667), ("henan", 3_333)),
    "review": Review(automatic_band=400, sample_every=4),
    "caps": no_caps(holder_year_redeemed=(2_000,)),
    "validity_days": 60,
}
AFTER_TERMS: dict[str, Any] = {
    "grant": "after_use",
    "transfer": "none",
    "payee": "holder",
    "review": Review(automatic_band=50, sample_every=0),
    "caps": no_caps(contract_max=(900,)),
}

OUTCOMES: Counter[tuple[str, str]] = Counter()
"""How often a kind ended with a code, over all runs of a test."""


class LedgerMachine(RuleBasedStateMachine):
    """A small ledger; each rule sends one transaction, in a block of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.chain = Chain(ledger=Ledger(self.store, verify=lambda *_: True), genesis=GENESIS)
        self.made = 0
        self.opened = False
        self.parts: dict[str, Counter[str]] = {}
        """What the postings say of each programme: value by part."""

    @initialize()
    def open_the_world(self) -> None:
        self.send(builders.publish, **TERMS)
        self.send(builders.agree, **TERMS)
        self.send(builders.publish, programme=AFTER, **AFTER_TERMS)
        for firm in FIRMS[:3]:
            self.send(builders.enrol, firm, control_group=(builders.seed("group"),))
        self.send(builders.accredit)
        self.send(builders.appropriate, 5_000)
        self.send(builders.appropriate, 5_000, funder="henan")
        self.send(builders.appropriate, 900, programme=AFTER)
        self.send(builders.recognise, programmes=(PROGRAMME, AFTER), mode="host_pays", by=BOTH)
        self.send(builders.accredit, "chengdu-aicc", host="shanghai")
        self.send(builders.mint, ("firm-a", 2_000), ("firm-b", 800), ("firm-c", 9))
        for number, amount in enumerate((300, 401, 60)):
            line = (f"{PROGRAMME}.000000001", amount)
            self.send(builders.redeem, line, invoice=f"first-{number}")
        self.send(builders.set_aside, f"{PROGRAMME}.000000002", 300, holder="firm-b")
        self.send(builders.set_hold, "voucher", f"{PROGRAMME}.000000003")
        self.send(builders.attest, "firm-a")
        self.opened = True

    # How things are done

    def send(
        self, build: Callable[..., bytes], *args: Any, step_ms: int = 1_000, **changes: Any
    ) -> None:
        """Send a transaction in the next block, and book its postings."""
        self.made += 1
        raw = build(*args, log_id=LOG_ID, expires_at=EVER_MS - self.made, **changes)
        before = self.chain.ledger.last().record_hash
        at_ms = self.chain.now_ms + step_ms
        refusal = self.chain.ledger.check(raw, time_ms=at_ms).refusal
        if self.opened:
            OUTCOMES[parse(raw).kind, "ok" if refusal is None else refusal.code] += 1
        if refusal is not None:
            with pytest.raises(BlockRefused, match=f"is refused: {refusal.code}"):
                self.chain.block(raw, time_ms=at_ms)
        execution = self.chain.block(*(() if refusal else (raw,)), time_ms=at_ms)
        assert execution.record is None or execution.record.previous == before
        self.book(execution)

    def book(self, execution: Execution) -> None:
        """Add up what the log says that moved."""
        for raw in execution.entries[:-1]:
            for posting in _postings(raw):
                parts = self.parts.setdefault(posting.programme, Counter())
                if posting.kind == "mint":
                    parts["minted"] += posting.amount
                    parts["available"] += posting.amount
                elif posting.kind != "transfer":
                    parts[posting.source] -= posting.amount
                    parts[posting.target] += posting.amount

    def ids(self, table: Table[Any]) -> list[str]:
        """Return the ids of all records of a table, in order."""
        return sorted(
            key[len(table.prefix) :].decode()
            for key in self.store.state
            if key.startswith(table.prefix)
        )

    def pick(self, data: Any, table: Table[Any], else_: str) -> str:
        """Return an id of a table, now and then one that is none."""
        newest_first = self.ids(table)[:-7:-1]
        return str(data.draw(some.sampled_from([*newest_first * 3, else_])))

    def of(self, table: Table[Any], id_: str) -> Any:
        """Return a record that may be missing."""
        return self.store.read(table.key(id_), table.record)

    def who(self, data: Any, *roles: tuple[str, str]) -> Signers:
        """Return who signs for some parties; now and then somebody else does."""
        found: list[tuple[str, str]] = []
        for party, role in roles:
            record = self.of(PARTIES, party)
            if party in TREASURIES:
                found += officers(party, role)
            elif record is not None:
                found += [(party, key.person) for key in record.keys[: record.threshold]]
        wrong = data.draw(SELDOM)
        return officers("guiyang", "mint") if wrong or not found else tuple(found)

    # Who may come, and with which keys

    @rule(data=some.data())
    def enrol(self, data: Any) -> None:
        firm = data.draw(some.sampled_from((*FIRMS, "clearing")))
        threshold = data.draw(some.integers(0, 3))
        keys = keys_of(firm, "owner", f"other-{self.made}")
        self.send(builders.enrol, firm, keys=keys, threshold=threshold)

    @rule(data=some.data())
    def set_keys(self, data: Any) -> None:
        party = data.draw(some.sampled_from((*FIRMS, *HUBS)))
        keys = keys_of(party, f"person-{self.made}")
        act = data.draw(
            some.sampled_from(("rotate", "announce", "recover", "object", "accept", "reject"))
        )
        own, city = self.who(data, (party, "")), self.who(data, ("shanghai", "registrar"))
        second = data.draw(some.sampled_from(((), ("guiyang",), ("audit-office",))))
        others = tuple(who for one in second for who in builders.consent(one, "registrar"))
        if act == "rotate":
            self.send(builders.rotate, party, keys=keys, by=own)
        elif act == "announce":
            self.send(builders.announce, party, keys=keys, by=own)
        elif act == "recover":
            self.send(builders.recover, party, keys=keys, second=second, by=(*city, *others))
        elif act == "object":
            self.send(builders.object_to_keys, party, by=own)
        else:
            member = "shanghai" if party in FIRMS else party
            by = (*(city if party in FIRMS else own), *others)
            accept = act == "accept"
            self.send(
                builders.decide_keys, party, member=member, accept=accept, second=second, by=by
            )

    @rule(data=some.data())
    def attest(self, data: Any) -> None:
        if data.draw(some.booleans()):
            subject, attester = data.draw(FIRM), data.draw(some.sampled_from(MEMBERS))
            by = self.who(data, (attester, "registrar"))
            self.send(builders.attest, subject, attester=attester, by=by, valid_until_ms=EVER_MS)
        else:
            key = self.pick(data, ATTESTATIONS, "firm-a/clean_record/shanghai/")
            subject, topic, attester, _ = key.split("/")
            by = self.who(data, (attester, "registrar"))
            self.send(builders.revoke_attestation, subject, topic, attester=attester, by=by)

    # Programmes, money and centres

    @rule(data=some.data())
    def publish(self, data: Any) -> None:
        current = must(self.store, PROGRAMMES, PROGRAMME)
        version = current.version + data.draw(some.integers(0, 1))
        status = data.draw(some.sampled_from(("open", "open", "open", "suspended")))
        self.send(builders.publish, version=version, status=status, **TERMS)

    @rule(data=some.data())
    def consent(self, data: Any) -> None:
        version = must(self.store, PROGRAMMES, PROGRAMME).version
        version += data.draw(some.sampled_from((1, 1, 0, 2)))
        by = self.who(data, ("henan", "budget"))
        self.send(builders.agree, version=version, by=by, **TERMS)

    @rule(data=some.data())
    def appropriate(self, data: Any) -> None:
        delta = data.draw(
            some.sampled_from((0, 1, -1, 700, -700, FEN_MAX, -FEN_MAX, FEN_MAX - 5_000))
        )
        funder = data.draw(some.sampled_from(("shanghai", "henan")))
        carried_from = data.draw(some.sampled_from(((), (), (), (2025,), (2026,))))
        year = data.draw(some.sampled_from((2025, 2026, 2027)))
        values = {"funder": funder, "carried_from": carried_from, "year": year}
        self.send(builders.appropriate, delta, by=self.who(data, (funder, "budget")), **values)

    @rule(data=some.data())
    def accredit(self, data: Any) -> None:
        hub = data.draw(some.sampled_from(HUBS))
        host = "guiyang" if hub == "guian-hub" else "shanghai"
        ended = data.draw(SELDOM)
        by = self.who(data, (host, "registrar"))
        self.send(builders.accredit, hub, host=host, ended=ended, by=by)

    @rule(data=some.data())
    def recognise(self, data: Any) -> None:
        mode = data.draw(some.sampled_from(("host_pays", "direct")))
        limit = data.draw(some.sampled_from(((), (0,), (300,), (FEN_MAX,))))
        self.send(builders.recognise, mode=mode, limit=limit, by=BOTH, until_ms=EVER_MS)

    # Vouchers

    @rule(data=some.data())
    def mint(self, data: Any) -> None:
        rows = data.draw(some.lists(some.tuples(FIRM, AMOUNT), min_size=1, max_size=3))
        version = must(self.store, PROGRAMMES, PROGRAMME).version
        self.send(builders.mint, *rows, terms_version=version)

    @rule(data=some.data())
    def transfer(self, data: Any) -> None:
        voucher, holder, available = self.voucher(data)
        recipient = data.draw(FIRM)
        by = self.who(data, (holder, ""), (recipient, ""))
        amount = near(data, available)
        self.send(builders.transfer, voucher, amount, holder=holder, recipient=recipient, by=by)

    def voucher(self, data: Any) -> tuple[str, str, int]:
        """Return a voucher, its holder, and what is available."""
        voucher = self.pick(data, VOUCHERS, f"{PROGRAMME}.000009999")
        record = self.of(VOUCHERS, voucher)
        if record is None:
            return voucher, "firm-a", 0
        return voucher, record.holder, record.available

    @rule(data=some.data())
    def set_aside(self, data: Any) -> None:
        voucher, holder, available = self.voucher(data)
        hub = data.draw(some.sampled_from(HUBS))
        until_ms = self.chain.now_ms + data.draw(some.sampled_from((1_000, 1_001, 9 * DAY_MS)))
        by = self.who(data, (holder, ""))
        values = {"holder": holder, "centre": hub, "until_ms": until_ms, "by": by}
        self.send(builders.set_aside, voucher, near(data, available), **values)

    @rule(data=some.data())
    def release(self, data: Any) -> None:
        reserve = self.pick(data, RESERVES, "guian-hub.000009999")
        record = self.of(RESERVES, reserve)
        hub, left = ("guian-hub", 0) if record is None else (record.centre, record.left)
        by = self.who(data, (hub, ""))
        self.send(builders.release, reserve, near(data, left), party=hub, by=by)

    @rule(data=some.data())
    def extend(self, data: Any) -> None:
        voucher, _, _ = self.voucher(data)
        day = TODAY + data.draw(some.sampled_from((0, 60, 61, 400, 4_000)))
        self.send(builders.extend, voucher, day)

    @rule(data=some.data())
    def revoke(self, data: Any) -> None:
        voucher, _, available = self.voucher(data)
        self.send(builders.revoke, voucher, near(data, available))

    # Claims

    @rule(data=some.data())
    def redeem(self, data: Any) -> None:
        voucher, holder, available = self.voucher(data)
        line = Line(voucher=voucher, amount=near(data, available), reserve=())
        self.claim(data, (line,), holder, data.draw(some.sampled_from(HUBS)))

    @rule(data=some.data())
    def redeem_a_reserve(self, data: Any) -> None:
        reserve = self.pick(data, RESERVES, "guian-hub.000009999")
        record = self.of(RESERVES, reserve)
        if record is None:
            return
        line = Line(voucher=record.voucher, amount=near(data, record.left), reserve=(reserve,))
        self.claim(data, (line,), record.holder, record.centre, alone=True)

    def claim(
        self, data: Any, lines: tuple[Line, ...], holder: str, hub: str, *, alone: bool = False
    ) -> None:
        parties = ((hub, ""),) if alone else ((holder, ""), (hub, ""))
        amount = lines[0].amount
        self.send(
            builders.redeem,
            (lines[0].voucher, amount),
            lines=lines,
            holder=holder,
            centre=hub,
            invoice=f"invoice-{data.draw(some.integers(0, 30))}",
            net=min(FEN_MAX, amount * data.draw(some.sampled_from((3, 4, 10)))),
            holder_signs=not alone,
            by=self.who(data, *parties),
        )

    @rule(data=some.data())
    def grant_after_use(self, data: Any) -> None:
        holder = data.draw(FIRM)
        amount = data.draw(some.sampled_from((1, 50, 51, 300, 900, FEN_MAX)))
        self.send(
            builders.redeem,
            grant=(GrantAfterUse(programme=AFTER, terms_version=1, amount=amount),),
            contract=(CONTRACT,),
            holder=holder,
            invoice=f"after-{data.draw(some.integers(0, 20))}",
            net=min(FEN_MAX, amount * 4),
            by=self.who(data, (holder, ""), ("guian-hub", "")),
        )

    @rule(data=some.data())
    def decide(self, data: Any) -> None:
        claim = self.waiting(data)
        record = self.of(CLAIMS, claim)
        amount = 0 if record is None else record.amount
        case = data.draw(some.sampled_from(((), (builders.CASE,))))
        accepted = data.draw(some.sampled_from((0, 1, amount // 2, amount, amount + 1)))
        by = self.who(data, ("shanghai", "review"))
        step_ms = data.draw(some.sampled_from((1_000, 8 * DAY_MS)))
        self.send(builders.decide, claim, accepted, case=case, by=by, step_ms=step_ms)

    @rule(data=some.data())
    def dispute(self, data: Any) -> None:
        claim = self.waiting(data)
        record = self.of(CLAIMS, claim)
        holder = "firm-a" if record is None else record.holder
        self.send(builders.dispute, claim, by=self.who(data, (holder, "")))

    def waiting(self, data: Any) -> str:
        """Return a claim that waits, if there is one."""
        waiting = [
            claim
            for claim in self.ids(CLAIMS)
            if self.of(CLAIMS, claim).status in ("under_review", "disputed")
        ]
        some_claim = self.pick(data, CLAIMS, "guian-hub.000009999")
        return str(data.draw(some.sampled_from([*waiting, some_claim])))

    @rule(data=some.data())
    def credit(self, data: Any) -> None:
        claim = self.pick(data, CLAIMS, "guian-hub.000009999")
        record = self.of(CLAIMS, claim)
        left = 0 if record is None else record.accepted - record.credited
        hub = "guian-hub" if record is None else record.centre
        by = self.who(data, (hub, ""), ("shanghai", "review"))
        self.send(builders.credit, claim, near(data, left), by=by)

    # Settlement

    @rule(data=some.data())
    def close(self, data: Any) -> None:
        cycle = open_cycle(self.store).number + data.draw(some.sampled_from((0, 0, 0, 1)))
        step_ms = data.draw(some.sampled_from((1_000, 2 * DAY_MS)))
        by = self.who(data, ("guiyang", "pay"))
        self.send(builders.close_cycle, cycle, by=by, step_ms=step_ms)

    @rule(data=some.data())
    def pay(self, data: Any) -> None:
        payable = self.pick(data, PAYABLES, "guian-hub.000009999-000")
        record = self.of(PAYABLES, payable)
        debtor, creditor, left = ("shanghai", "guian-hub", 0)
        if record is not None:
            debtor, creditor, left = record.debtor, record.creditor, open_of(record)
        amount = near(data, left)
        if data.draw(some.integers(0, 3)):
            by = self.who(data, (debtor, "pay"))
            self.send(builders.instruct, payable, amount, f"E{self.made}", by=by)
        else:
            by = self.who(data, (debtor, "pay"), (creditor, "pay"))
            self.send(builders.write_off, payable, amount, by=by)

    @rule(data=some.data())
    def progress(self, data: Any) -> None:
        key = self.pick(data, PAYMENTS, "shanghai/E0")
        record = self.of(PAYMENTS, key)
        payable = None if record is None else self.of(PAYABLES, record.payable)
        debtor, creditor = ("shanghai", "guian-hub")
        if payable is not None:
            debtor, creditor = payable.debtor, payable.creditor
        act = data.draw(some.sampled_from(("arrives", "bank", "back", "objection", "end")))
        debtor, _, name = key.partition("/")
        step_ms = data.draw(some.sampled_from((1_000, 11 * DAY_MS)))
        values = {"debtor": debtor, "step_ms": step_ms}
        if act == "end":
            member = data.draw(some.sampled_from(("audit-office", "shanghai", "guiyang")))
            by, paid = self.who(data, (member, "review")), data.draw(some.booleans())
            self.send(builders.resolve_payment, name, member=member, paid=paid, by=by, **values)
        elif act == "objection":
            by = self.who(data, (creditor, "bank"))
            self.send(builders.object_to_payment, name, by=by, **values)
        else:
            member = data.draw(some.sampled_from((creditor, debtor)))
            by = self.who(data, (member, "bank"))
            send = builders.return_payment if act == "back" else builders.confirm
            self.send(send, name, member=member, by=by, **values)

    # Cases and governance

    @rule(data=some.data())
    def hold(self, data: Any) -> None:
        scopes: dict[str, Table[Any]] = {
            "party": PARTIES,
            "programme": PROGRAMMES,
            "voucher": VOUCHERS,
            "claim": CLAIMS,
            "payable": PAYABLES,
        }
        scope = data.draw(some.sampled_from(sorted(scopes)))
        thing = self.pick(data, scopes[scope], "nothing")
        member = data.draw(some.sampled_from(("shanghai", "audit-office")))
        by = self.who(data, (member, "review"))
        self.send(builders.set_hold, scope, thing, member=member, by=by)

    @rule(data=some.data())
    def clear(self, data: Any) -> None:
        holds = [hold for hold in self.ids(HOLDS) if not self.of(HOLDS, hold).cleared_ms]
        hold = data.draw(some.sampled_from(holds or ["shanghai.000009999"]))
        record = self.of(HOLDS, hold)
        member = "shanghai" if record is None else record.setter
        by = self.who(data, (member, "review"))
        self.send(builders.clear_hold, hold, member=member, by=by)

    @rule(data=some.data())
    def anchor(self, data: Any) -> None:
        as_of = self.chain.ledger.last().height + data.draw(some.integers(0, 1))
        self.send(builders.anchor, as_of, by=self.who(data, ("shanghai", "registrar")))

    @rule(data=some.data())
    def propose(self, data: Any) -> None:
        actions: list[Action] = [
            Resume(),
            Pause(),
            SetStatus(party="chengdu-aicc", status="suspended", successor=()),
            SetStatus(party="chengdu-aicc", status="active", successor=()),
            SetValidator(party="guian-hub", validator=(), proofs=()),
            SetValidator(
                party="guian-hub", validator=(builders.validator_keys("guian-hub", 2),), proofs=()
            ),
            SetParameters(parameters=builders.parameters(expiry_ahead_max_ms=EVER_MS)),
            Admit(member=builders.auditor(f"auditor-{self.made}"), proofs=()),
        ]
        self.send(builders.propose, data.draw(some.sampled_from(actions)))

    @rule(data=some.data())
    def vote_all(self, data: Any) -> None:
        numbers = [int(number) for number in self.ids(PROPOSALS)][-3:]
        number = data.draw(some.sampled_from([*numbers[::-1] * 3, 99]))
        for voter in ("guiyang", "henan", *HUBS):
            approve = not data.draw(SELDOM)
            by = self.who(data, (voter, "registrar"))
            self.send(builders.vote, number, voter=voter, approve=approve, by=by)

    @rule(step_ms=some.sampled_from(STEP_MS))
    def wait(self, step_ms: int) -> None:
        self.book(self.chain.block(time_ms=self.chain.now_ms + step_ms))

    # What must hold after each block

    @invariant()
    def the_books_add_up(self) -> None:
        check_state(records_of(self.store).items())

    @invariant()
    def the_log_says_where_all_value_is(self) -> None:
        for programme, parts in self.parts.items():
            totals = must(self.store, TOTALS, programme)
            assert {part: getattr(totals, part) for part in PARTS} == {
                part: parts[part] for part in PARTS
            }
            assert totals.minted == parts["minted"] == sum(parts[part] for part in PARTS)

    @invariant()
    def no_number_leaves_its_range(self) -> None:
        for record in records_of(self.store).values():
            for number in numbers_of(record):
                assert -FEN_MAX <= number <= FEN_MAX


FIRM = some.sampled_from(FIRMS)
SELDOM = some.sampled_from((*[False] * 15, True))
AMOUNT = some.sampled_from((1, 2, 99, 400, 1_500, FEN_MAX - 1, FEN_MAX))


def near(data: Any, limit: int) -> int:
    """Return an amount: mostly within a limit, often at its edge, now and then far beyond."""
    edges = (limit // 3, limit // 2, limit // 5, limit, limit + 1, 1, FEN_MAX)
    drawn: int = data.draw(some.sampled_from(edges))
    return max(1, min(FEN_MAX, drawn))


def numbers_of(value: object) -> list[int]:
    """Return all integers within a record."""
    if isinstance(value, Record):
        return numbers_of(tuple(getattr(value, name) for name in value.__struct_fields__))
    if isinstance(value, tuple):
        return [number for item in value for number in numbers_of(item)]
    return [value] if type(value) is int else []


def _postings(raw: bytes) -> Sequence[Any]:
    entry = decode_entry(raw)
    return entry.postings if isinstance(entry, AutomaticEntry | TransactionEntry) else ()


def play(number: int, examples: int, steps: int) -> None:
    """Let the machine run from a seed, and print how its transactions ended."""
    OUTCOMES.clear()
    run_state_machine_as_test(
        seed(number)(LedgerMachine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    by_kind: dict[str, Counter[str]] = {}
    for (kind, code), count in sorted(OUTCOMES.items()):
        by_kind.setdefault(kind, Counter())[code] += count
    print(f"seed {number}: {OUTCOMES.total()} transactions")
    for kind, codes in by_kind.items():
        print(f"  {kind}: " + ", ".join(f"{code} {count}" for code, count in codes.items()))


def test_random_mixes_of_all_kinds_keep_every_invariant() -> None:
    play(SEED, EXAMPLES, STEPS)
    assert OUTCOMES.total() > EXAMPLES * STEPS // 2
    held = {kind for kind, code in OUTCOMES if code == "ok"}
    codes = {code for _, code in OUTCOMES}
    print(f"{len(held)} of {len(KINDS)} kinds held, {len(codes) - 1} codes refused")
    assert len(held) >= 22
    assert len(codes) >= 30
    assert "amount_overflow" in codes


@pytest.mark.long
def test_many_random_mixes_of_all_kinds_keep_every_invariant() -> None:
    play(SEED + 1, LONG_EXAMPLES, LONG_STEPS)


@pytest.mark.parametrize("amount", [0, -1, FEN_MAX + 1])
def test_an_amount_outside_its_range_has_no_bytes_that_are_read(amount: int) -> None:
    for raw in (
        builders.transfer("shanghai.compute.000000001", amount),
        builders.mint(("firm-a", amount)),
        builders.revoke("shanghai.compute.000000001", amount),
    ):
        with pytest.raises(NotCanonical):
            parse(raw)


@pytest.mark.parametrize("amount", [1, FEN_MAX])
def test_the_least_and_the_largest_amount_are_read(amount: int) -> None:
    parse(builders.transfer("shanghai.compute.000000001", amount))
