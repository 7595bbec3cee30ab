"""The ledger and a naive twin say the same of every transaction, and keep the same books."""

import os
import pickle
from collections import Counter, defaultdict
from typing import Any

from ledger.ledger import Ledger
from ledger.rules.attestations import ATTESTATIONS
from ledger.rules.authority import KEYS
from ledger.rules.budgets import BUDGETS
from ledger.rules.cases import ANCHORS
from ledger.rules.centres import ACCREDITATIONS, RECOGNITION_PERIODS, RECOGNITIONS
from ledger.rules.claims import CLAIMS, REDEEMED
from ledger.rules.clearing import CYCLES
from ledger.rules.control import CONTROL, OFFICERS_USED, PARAMETERS
from ledger.rules.governance import PROPOSALS
from ledger.rules.holds import HOLDS
from ledger.rules.invoices import CONTRACT_BASE, CONTRACT_PAID, CONTRACTS, DEVICE_TIME, INVOICES
from ledger.rules.parties import ANNOUNCED_KEYS, PARTIES
from ledger.rules.payables import OPEN_CYCLE, PAYABLES
from ledger.rules.payments import PAYMENTS
from ledger.rules.programmes import CONSENTS, PROGRAMMES, TOTALS
from ledger.rules.quotas import WRITTEN
from ledger.rules.recoveries import RECOVERIES
from ledger.rules.redemptions import BAND_USED
from ledger.rules.refusals import TransactionRefused
from ledger.rules.reserves import RESERVES
from ledger.rules.validators import VALIDATORS
from ledger.rules.vouchers import DECISIONS, GROUP_ISSUED, ISSUED, VOUCHERS
from ledger.rules.withdrawals import WITHDRAWALS
from ledger.store.memory import MemoryStore
from ledger.view import Table
from tests.builders import Chain
from tests.ledger.acts import Act, Play
from tests.reference import twin_value as value
from tests.reference.twin import KINDS, Twin
from tests.reference.twin_world import AMOUNT_MAX, Thing, month_of, only, year_of

SEEDS = 12
TRANSACTIONS = 1_750
"""For each seed."""
TOGETHER_MIN = 20_000
NUMBERS = sorted(refusal.number for refusal in TransactionRefused.__subclasses__())
MISSED_MAX = 6
"""Codes that a run may fail to meet: which acts meet depends on the dice."""
LONG_FACTOR = 10
COMPARED_EVERY = 40
"""Blocks between two comparisons of the books."""

Books = dict[str, dict[str, Any]]


def rows(store: MemoryStore, table: Table[Any]) -> dict[str, Any]:
    """Return all records of a table by the rest of their key."""
    found = {}
    for key in sorted(store.state):
        if key.startswith(table.prefix):
            record = store.read(key, table.record)
            found[key[len(table.prefix) :].decode()] = record
    return found


def fens(store: MemoryStore, table: Table[Any]) -> dict[str, int]:
    """Return the counters of a table that are not 0."""
    return {key: record.fen for key, record in rows(store, table).items() if record.fen}


def nets_of(positions: Any) -> dict[str, int]:
    """Return net positions by party, but for those of 0."""
    return {one.party: one.net for one in positions if one.net}


def books_of_ledger(store: MemoryStore) -> Books:
    """Return everything that is compared, as the ledger has it."""
    (open_cycle,) = rows(store, OPEN_CYCLE).values() or (None,)
    (control,) = rows(store, CONTROL).values()
    (schedule,) = rows(store, VALIDATORS).values()
    (parameters,) = rows(store, PARAMETERS).values()
    return {
        "key": {
            key: (one.party, one.person, sorted(one.roles), one.alive)
            for key, one in rows(store, KEYS).items()
        },
        "announced-key": {
            key: (one.party, one.until_ms) for key, one in rows(store, ANNOUNCED_KEYS).items()
        },
        "recovery": {
            key: (
                one.opened_ms,
                [key.key for key in one.keys],
                one.threshold,
                bool(one.objected_ms),
                one.status,
                only(one.closed_ms),
            )
            for key, one in rows(store, RECOVERIES).items()
        },
        "attestation": {
            key: (one.text, one.amount, one.issued_ms, one.valid_until_ms, bool(one.revoked_ms))
            for key, one in rows(store, ATTESTATIONS).items()
        },
        "party": {
            key: (
                one.kind,
                one.status,
                one.threshold,
                [(key.key, key.person, sorted(key.roles)) for key in one.keys],
                one.stopped_ms,
                only(one.stopped_since_ms),
            )
            for key, one in rows(store, PARTIES).items()
        },
        "programme": {
            key: (one.version, only(one.proposed), one.status)
            for key, one in rows(store, PROGRAMMES).items()
        },
        "consent": {key: one.consented_ms for key, one in rows(store, CONSENTS).items()},
        "totals": {
            key: (
                one.next_serial,
                one.minted,
                one.available,
                one.reserved,
                one.claimed,
                one.redeemed,
                one.expired,
                one.revoked,
            )
            for key, one in rows(store, TOTALS).items()
        },
        "budget": {
            key: (one.appropriated, one.committed)
            for key, one in rows(store, BUDGETS).items()
            if one.appropriated or one.committed
        },
        "accreditation": {
            key: (one.host, one.ownership, one.ended, one.since_day)
            for key, one in rows(store, ACCREDITATIONS).items()
        },
        "recognition": {
            key: (one.mode, only(one.limit), one.used, one.from_ms, one.until_ms)
            for key, one in rows(store, RECOGNITIONS).items()
        },
        "recognition-periods": {
            key: one.last for key, one in rows(store, RECOGNITION_PERIODS).items()
        },
        "voucher": {
            key: (
                one.holder,
                one.face,
                one.available,
                one.reserved,
                one.claimed,
                one.redeemed,
                one.expired,
                one.revoked,
                one.expires_at_ms,
                one.due_ms,
                one.stopped_ms,
                one.given_back_ms,
                one.terms_version,
                one.year,
                one.minted_day,
                only(one.parent),
                one.depth,
            )
            for key, one in rows(store, VOUCHERS).items()
        },
        "withdrawal": dict.fromkeys(rows(store, WITHDRAWALS), True),
        "decision": {key: one.voucher for key, one in rows(store, DECISIONS).items()},
        "issued": fens(store, ISSUED),
        "group-issued": fens(store, GROUP_ISSUED),
        "reserve": {
            key: (
                one.voucher,
                one.centre,
                one.order,
                one.chip,
                one.service_class,
                one.amount,
                one.left,
                one.until_ms,
            )
            for key, one in rows(store, RESERVES).items()
        },
        "claim": {
            key: (
                one.programme,
                one.terms_version,
                one.holder,
                one.centre,
                [(line.voucher, line.amount, only(line.reserve)) for line in one.lines],
                one.amount,
                one.accepted,
                one.credited,
                one.status,
                [(host.party, host.period) for host in one.host],
                one.holder_signed,
                one.submitted_ms,
                only(one.decided_ms),
                one.payables,
                one.credits,
            )
            for key, one in rows(store, CLAIMS).items()
        },
        "invoice": {
            key: (
                one.centre,
                one.holder,
                one.net,
                one.base,
                one.ceiling,
                one.pending,
                one.accepted,
                [(use.programme, use.claim) for use in one.uses],
            )
            for key, one in rows(store, INVOICES).items()
        },
        "contract": {
            key: (one.centre, one.holder, one.amount, one.start_day, one.end_day, one.claims)
            for key, one in rows(store, CONTRACTS).items()
        },
        "contract-base": fens(store, CONTRACT_BASE),
        "contract-paid": fens(store, CONTRACT_PAID),
        "device-time": fens(store, DEVICE_TIME),
        "redeemed": fens(store, REDEEMED),
        "band-used": fens(store, BAND_USED),
        "officers-used": fens(store, OFFICERS_USED),
        "written": {
            key: (one.day, one.entries, one.bytes) for key, one in rows(store, WRITTEN).items()
        },
        "payable": {
            key: (
                one.debtor,
                one.creditor,
                one.cause,
                one.leg,
                one.reverse,
                one.amount,
                one.cancelled,
                one.reversed,
                one.paid,
                one.pending,
                one.written_off,
                one.attempt,
                one.due_ms,
                only(one.cycle),
            )
            for key, one in rows(store, PAYABLES).items()
        },
        "payment": {
            key: (one.payable, one.attempt, one.amount, one.status, one.instructed_ms)
            for key, one in rows(store, PAYMENTS).items()
        },
        "cycle": {
            str(int(key)): nets_of(one.positions) for key, one in rows(store, CYCLES).items()
        },
        "open-cycle": {
            "number": 1 if open_cycle is None else open_cycle.number,
            "first join": None if open_cycle is None else only(open_cycle.first_join_ms),
            "nets": {} if open_cycle is None else nets_of(open_cycle.positions),
        },
        "hold": {
            key: (one.setter, one.scope, one.thing, not one.cleared_ms)
            for key, one in rows(store, HOLDS).items()
        },
        "anchor": {key: (one.by, one.as_of) for key, one in rows(store, ANCHORS).items()},
        "proposal": {
            str(int(key)): (sorted(one.yes), sorted(one.no), one.closes_ms, one.status)
            for key, one in rows(store, PROPOSALS).items()
        },
        "control": {
            "paused": bool(control.paused_since_ms),
            "paused since": only(control.paused_since_ms),
            "quiet": tuple(control.quiet),
            "validators": sorted(one.party for one in schedule.sets[-1].validators),
            "officers": [(one.kind, one.from_fen, one.persons) for one in parameters.officers],
            "expiries": parameters.block_expiries_max,
            "reserve_min": parameters.reserve_min,
            "daily": (
                *(parameters.holder_daily_entries, parameters.holder_daily_bytes),
                *(parameters.member_daily_entries, parameters.member_daily_bytes),
            ),
            "tag_keys": [(one.epoch, one.check_value) for one in parameters.tag_keys],
        },
    }


def summed(pairs: list[tuple[str, int]]) -> dict[str, int]:
    """Return sums by name, but for those of 0."""
    total: dict[str, int] = {}
    for name, amount in pairs:
        total[name] = total.get(name, 0) + amount
    return {name: amount for name, amount in total.items() if amount}


def books_of_twin(twin: Twin) -> Books:
    """Return the same, as the twin has it: every sum is made here, from its records."""
    claims = twin.claims.values()
    accepted = [claim for claim in claims if claim["status"] == "accepted"]
    grouped = [
        (f"{programme}/{year}/{group[0].hex()}", amount)
        for programme, year, party, amount in twin.issues
        if (group := twin.parties[party]["group"])
    ]
    on_contract = [
        (f"{claim['programme']}/{claim['contract'].hex()}", claim)
        for claim in claims
        if claim["contract"] is not None and value.outstanding(claim)
    ]
    return {
        "key": {
            key.hex(): (one["party"], one["person"], sorted(one["roles"]), not one["dead"])
            for key, one in twin.keys.items()
            if not one["validator"]
        },
        "announced-key": {key.hex(): one for key, one in twin.announced.items()},
        "recovery": {
            name: recovery_of_twin(one)
            for name, one in {**twin.recoveries, **twin.key_changes}.items()
        },
        "attestation": {
            "/".join((one["subject"], one["topic"], one["attester"], one["about"] or "")): (
                one["text"],
                one["amount"],
                one["issued"],
                one["valid_until"],
                one["revoked"],
            )
            for one in twin.attestations
        },
        "party": {name: party_of_twin(twin, one) for name, one in twin.parties.items()},
        "programme": {
            name: (one["version"], one["proposed"], one["status"])
            for name, one in twin.programmes.items()
        },
        "consent": {
            f"{name}/{version}/{funder}": when
            for name, one in twin.programmes.items()
            for (version, funder), when in one["consents"].items()
        },
        "totals": {name: totals_of_twin(twin, name) for name in twin.programmes},
        "budget": budgets_of_twin(twin),
        "accreditation": {
            name: (one["host"], one["ownership"], one["ended"], one["since"])
            for name, one in twin.accreditations.items()
        },
        "recognition": {
            f"{programme}/{host}/{one['number']}": (
                one["mode"],
                one["limit"],
                value.used_of(twin, programme, host, one["number"]),
                one["from"],
                one["until"],
            )
            for (programme, host), periods in twin.recognitions.items()
            for one in periods
        },
        "recognition-periods": {
            f"{programme}/{host}": len(periods)
            for (programme, host), periods in twin.recognitions.items()
        },
        "voucher": {name: voucher_of_twin(one) for name, one in twin.vouchers.items()},
        "withdrawal": {f"{one.hex()}/{name}": True for one, name in twin.withdrawn},
        "decision": {
            f"{programme}/{decision.hex()}": name
            for (programme, decision), name in twin.decisions.items()
        },
        "issued": summed(
            [
                (f"{programme}/{year}/{party}", amount)
                for programme, year, party, amount in twin.issues
            ]
        ),
        "group-issued": summed(grouped),
        "reserve": {
            name: (
                one["voucher"],
                one["centre"],
                one["order"],
                one["chip"],
                one["service_class"],
                one["amount"],
                one["left"],
                one["until"],
            )
            for name, one in twin.reserves.items()
        },
        "claim": {name: claim_of_twin(twin, one) for name, one in twin.claims.items()},
        "invoice": {tag.hex(): invoice_of_twin(twin, one) for tag, one in twin.invoices.items()},
        "contract": {
            tag.hex(): (
                one["centre"],
                one["holder"],
                one["amount"],
                one["start"],
                one["end"],
                len(value.resting(twin, tag)),
            )
            for tag, one in twin.contracts.items()
        },
        "contract-base": summed([(name, claim["base"]) for name, claim in on_contract]),
        "contract-paid": summed([(name, value.outstanding(claim)) for name, claim in on_contract]),
        "device-time": summed(
            [
                (f"{invoice['centre']}/{chip}/{day}", gpu_ms)
                for invoice in twin.invoices.values()
                if invoice["uses"]
                for chip, day, gpu_ms, _ in invoice["usage"]
            ]
        ),
        "redeemed": summed(
            [
                (
                    f"{claim['programme']}/{year_of(claim['decided'])}/{claim['holder']}",
                    value.outstanding(claim),
                )
                for claim in accepted
            ]
        ),
        "band-used": summed(
            [
                (
                    "/".join((twin.issuer(claim["programme"]), claim["holder"]))
                    + "/{:04d}-{:02d}".format(*month_of(claim["decided"])),
                    claim["amount"],
                )
                for claim in accepted
                if claim["automatic"]
            ]
        ),
        "officers-used": {
            name: min(fen, AMOUNT_MAX)
            for name, fen in summed(
                [
                    (f"{party}/{kind}/{month[0]:04d}-{month[1]:02d}", amount)
                    for party, kind, month, amount in twin.acted
                ]
            ).items()
        },
        "written": written_of_twin(twin),
        "payable": {name: payable_of_twin(twin, one) for name, one in twin.payables.items()},
        "payment": {
            f"{debtor}/{name}": (
                *(one["payable"], one["attempt"], one["amount"], one["status"]),
                one["instructed"],
            )
            for (debtor, name), one in twin.payments.items()
        },
        "cycle": {
            str(number): summed(list(net.items())) for number, net in twin.closed_nets.items()
        },
        "open-cycle": {
            "number": twin.cycle,
            "first join": twin.first_joins.get(twin.cycle),
            "nets": summed(list(value.nets(twin).items())),
        },
        "hold": {
            name: (one["by"], one["scope"], one["id"], one["open"])
            for name, one in twin.holds.items()
        },
        "anchor": {one["id"]: (one["by"], one["as_of"]) for one in twin.anchors},
        "proposal": {
            str(one["number"]): (
                sorted(voter for voter, approves in one["votes"].items() if approves),
                sorted(voter for voter, approves in one["votes"].items() if not approves),
                one["closes"],
                "adopted" if one["adopted"] else "open",
            )
            for one in twin.proposals
        },
        "control": {
            "paused": twin.paused,
            "paused since": twin.paused_since if twin.paused else None,
            "quiet": (twin.quiet_from, twin.quiet_until),
            "validators": sorted(twin.validators),
            "officers": [tuple(one) for one in twin.next_parameters["officers"]],
            "expiries": twin.next_parameters["block_expiries_max"],
            "reserve_min": twin.next_parameters["reserve_min"],
            "daily": tuple(
                twin.next_parameters[f"{who}_daily_{what}"]
                for who in ("holder", "member")
                for what in ("entries", "bytes")
            ),
            "tag_keys": [tuple(one) for one in twin.next_parameters["tag_keys"]],
        },
    }


def written_of_twin(twin: Twin) -> dict[str, tuple[int, int, int]]:
    """Return per party the last day on which it wrote, and how much (R3.11)."""
    last = {name: day for name, day, _ in twin.written}
    found = {}
    for name, day in last.items():
        sizes = [size for who, when, size in twin.written if (who, when) == (name, day)]
        found[name] = (day, len(sizes), sum(sizes))
    return found


def budgets_of_twin(twin: Twin) -> dict[str, tuple[int, int]]:
    """Return appropriated and committed, where one of them is not 0."""
    found = {}
    for programme, year, funder in {*twin.appropriated, *(one[:3] for one in twin.commitments)}:
        appropriated = twin.appropriated.get((programme, year, funder), 0)
        committed = twin.committed(programme, year, funder)
        if appropriated or committed:
            found[f"{programme}/{year}/{funder}"] = (appropriated, committed)
    return found


def party_of_twin(twin: Twin, one: Thing) -> tuple[Any, ...]:
    """Return what is compared of a party."""
    recovery = twin.recoveries.get(one["id"])
    keys = [(key, twin.keys[key]["person"], sorted(twin.keys[key]["roles"])) for key in one["keys"]]
    since = None if recovery is None or recovery["ended"] is not None else recovery["opened"]
    return one["kind"], one["status"], one["threshold"], keys, one["stopped"], since


def recovery_of_twin(one: Thing) -> tuple[Any, ...]:
    """Return what is compared of a recovery or key change."""
    status = "open" if one["ended"] is None else "accepted" if one["accepted"] else "rejected"
    keys = [key for key, _, _ in one["keys"]]
    return one["opened"], keys, one["threshold"], one["objected"], status, one["ended"]


def totals_of_twin(twin: Twin, programme: str) -> tuple[int, ...]:
    """Return the next serial and the totals of a programme."""
    mine = [one for one in twin.vouchers.values() if one["programme"] == programme]
    return (1 + len(mine), *twin.totals(programme).values())


def voucher_of_twin(one: Thing) -> tuple[Any, ...]:
    """Return what is compared of a voucher."""
    return (
        one["holder"],
        one["face"],
        one["available"],
        one["reserved"],
        one["claimed"],
        one["redeemed"],
        one["expired"],
        one["revoked"],
        one["expires_at"],
        one["due"],
        one["stopped"],
        one["given_back"],
        one["version"],
        one["year"],
        one["minted"],
        one["parent"] or None,
        one["depth"],
    )


def claim_of_twin(twin: Twin, one: Thing) -> tuple[Any, ...]:
    """Return what is compared of a claim."""
    return (
        one["programme"],
        one["version"],
        one["holder"],
        one["centre"],
        [(line["voucher"], line["amount"], line["reserve"]) for line in one["lines"]],
        one["amount"],
        one["accepted"],
        one["credited"],
        one["status"],
        [(one["host"], one["period"])] if one["host_pays"] else [],
        one["holder_signed"],
        one["submitted"],
        one["decided"],
        len([debt for debt in twin.payables.values() if debt["claim"] == one["id"]]),
        one["notes"],
    )


def invoice_of_twin(twin: Twin, one: Thing) -> tuple[Any, ...]:
    """Return what is compared of an invoice."""
    pending, accepted = 0, 0
    for _, name in one["uses"]:
        claim = twin.claims[name]
        if claim["status"] == "accepted":
            accepted += value.outstanding(claim)
        else:
            pending += value.outstanding(claim)
    return (
        one["centre"],
        one["holder"],
        one["net"],
        one["base"],
        one["ceiling"],
        pending,
        accepted,
        one["uses"],
    )


def payable_of_twin(twin: Twin, one: Thing) -> tuple[Any, ...]:
    """Return what is compared of a payable."""
    return (
        one["debtor"],
        one["creditor"],
        one["cause"],
        one["leg"],
        one["reverse"],
        one["amount"],
        one["cancelled"],
        one["reversed"],
        value.paid(twin, one),
        value.pending(twin, one),
        one["written_off"],
        value.attempt(twin, one),
        one["due"],
        one["cycle"],
    )


def check_books(play: Play, store: MemoryStore, where: str) -> None:
    """Assert that both keep the same books."""
    theirs, ours = books_of_ledger(store), books_of_twin(play.twin)
    for table, records in ours.items():
        for name in sorted({*records, *theirs[table]}):
            ledger, twin = theirs[table].get(name), records.get(name)
            assert ledger == twin, f"{where}: {table} {name}: ledger {ledger}, twin {twin}"


def compare(seed: object, transactions: int) -> dict[str, Counter[int]]:
    """Play a game on both; return how often each kind had which code."""
    play, store = Play(seed), MemoryStore()
    ledger = Ledger(store, verify=lambda *_: True)
    chain = Chain(ledger=ledger, genesis=play.genesis, now_ms=play.time_ms)
    seen: dict[str, Counter[int]] = defaultdict(Counter)
    history: list[Act] = []
    while play.made < transactions:
        acts = play.block(ledger.last().record_hash)
        attempts = chain.attempt(*[act.raw for act in acts], time_ms=play.time_ms)
        for act, attempt in zip(acts, attempts, strict=True):
            history.append(act)
            seen[act.kind][act.code] += 1
            number = 0 if attempt.refusal is None else attempt.refusal.number
            assert number == act.code, (
                f"seed {seed}, height {play.height}, act {len(history)}: ledger {number}, "
                f"twin {act.code}: {act.operation}, signed by {act.signers}: {attempt.refusal}"
            )
        if play.height % COMPARED_EVERY == 0:
            check_books(play, store, f"seed {seed}, height {play.height}")
    check_books(play, store, f"seed {seed}, the end")
    return seen


def test_the_ledger_and_its_naive_twin_agree_on_every_code_and_all_books() -> None:
    factor = LONG_FACTOR if os.environ.get("LONG") else 1
    seen: dict[str, Counter[int]] = defaultdict(Counter)
    for seed in range(SEEDS * factor):
        for kind, codes in compare(seed, TRANSACTIONS).items():
            seen[kind].update(codes)
    for kind in sorted(seen):
        codes = seen[kind]
        refused = " ".join(f"{code}:{codes[code]}" for code in sorted(codes) if code)
        print(f"{kind}: {codes[0]} held, {codes.total() - codes[0]} refused ({refused})")
    met = {code for codes in seen.values() for code in codes}
    missed = sorted(set(NUMBERS) - met)
    total = sum(codes.total() for codes in seen.values())
    print(f"{total} transactions; codes never met: {missed}")
    assert total >= TOGETHER_MIN * factor
    held: Counter[str] = Counter()
    for kind, codes in seen.items():
        held[kind.partition("/")[0]] += codes[0]
    assert set(held) == set(KINDS)
    assert min(held.values()) > 0
    assert len(missed) <= MISSED_MAX


def test_a_refusal_changes_nothing_in_the_twin() -> None:
    play = Play("refusals")
    refused = 0
    apply = play.twin.apply

    def watched(kind: str, fields: dict[str, Any], **rest: Any) -> int:
        nonlocal refused
        before = records_of(play.twin)
        code = apply(kind, fields, **rest)
        if code:
            refused += 1
            assert records_of(play.twin) == before, f"{code}: {kind} {fields}"
        return code

    play.twin.apply = watched  # type: ignore[method-assign]
    while play.made < 400:
        play.block(bytes(32))
    assert refused > 50


def records_of(twin: Twin) -> bytes:
    """Return all records of a twin, as bytes."""
    passing = (
        *("registrable", "proves", "apply", "kind", "signers", "took_back", "asked", "consented"),
        *("record_hash", "transaction_id"),
    )
    return pickle.dumps({name: one for name, one in vars(twin).items() if name not in passing})
