"""The whole life of some vouchers: a chain that every kind of transaction has touched."""

from typing import Any

from ledger.rules import calendar
from ledger.rules.claims import Line
from ledger.rules.control import PARAMETERS
from ledger.rules.governance import SetParameters
from ledger.rules.money import FunderShare
from ledger.view import must
from tests import builders
from tests.api.world import FakeNode, store_of

FIRST = "shanghai.compute.000000001"
SECOND = "shanghai.compute.000000002"
SHARED = "shanghai.shared.000000001"
RESERVE = "guian-hub.000000001"
PAID, CLEARED, DISPUTED, WAITING = (f"guian-hub.00000000{number}" for number in (1, 2, 3, 4))
"""Claims: one that is paid and credited, one that went through a cycle, one that was disputed and
decided, one that waits."""
NEXT_DAY_MS = builders.NOON_MS + 2 * calendar.DAY_MS
"""When the cycle is closed."""


def accept(node: FakeNode, *raws: bytes, time_ms: int | None = None) -> None:
    """Commit a block in which every transaction must hold."""
    for result in node.commit(*raws, time_ms=time_ms).results:
        assert result.refusal is None, f"refused: {result.refusal!r}"


def live(node: FakeNode) -> None:
    """Commit blocks from height 3 on."""
    _grant(node)
    _spend(node)
    _pay(node)
    _make_exceptions(node)
    _govern(node)
    _clear(node)


def _grant(node: FakeNode) -> None:
    shared = "shanghai.shared"
    both = builders.officers("shanghai", "registrar") + builders.officers("guiyang", "registrar")
    accept(
        node, builders.publish(programme=shared, title="Shared vouchers"), builders.attest("firm-a")
    )
    accept(
        node,
        builders.appropriate(programme=shared),
        builders.recognise(programmes=(shared,), mode="host_pays", by=both),
    )
    accept(
        node,
        builders.mint(("firm-a", 10_000_000), ("firm-b", 700)),
        builders.mint(("firm-a", 5_000_000), programme=shared),
    )


def _spend(node: FakeNode) -> None:
    accept(
        node,
        builders.redeem((FIRST, 1_000_000), invoice="invoice-1"),
        builders.redeem((SHARED, 400_000), invoice="invoice-2"),
        builders.set_aside(FIRST, 300_000),
    )
    accept(
        node,
        builders.release(RESERVE, 50_000),
        *(
            builders.redeem(
                lines=(Line(voucher=FIRST, amount=100_000, reserve=(RESERVE,)),),
                invoice=invoice,
                net=1_000_000,
                by=builders.consent("guian-hub"),
            )
            for invoice in ("invoice-3", "invoice-4")
        ),
    )
    accept(node, builders.dispute(DISPUTED), builders.transfer(FIRST, 500))
    accept(node, builders.decide(DISPUTED, 40_000, case=(builders.CASE,)))


def _pay(node: FakeNode) -> None:
    payable = f"{PAID}-000"
    accept(node, builders.credit(PAID, 50_000), builders.write_off(payable, 30_000))
    accept(
        node,
        builders.instruct(payable, 600_000, "E1"),
        builders.instruct(payable, 100_000, "E2"),
        builders.instruct(payable, 90_000, "E3"),
        builders.instruct(payable, 10_000, "E4"),
    )
    accept(
        node,
        builders.confirm("E1"),
        builders.confirm("E2"),
        builders.object_to_payment("E3"),
        builders.return_payment("E4"),
    )
    accept(node, builders.return_payment("E2", member="guian-hub"))


def _make_exceptions(node: FakeNode) -> None:
    accept(
        node,
        builders.set_hold("voucher", SECOND),
        builders.set_hold("party", "firm-b"),
        builders.anchor(1),
        builders.revoke_attestation("firm-a"),
    )
    last_day = calendar.day_of(builders.NOON_MS) + 400
    accept(node, builders.clear_hold(), builders.extend(SECOND, last_day))
    accept(node, builders.revoke(SECOND, 100), builders.recover("firm-b"))


def _govern(node: FakeNode) -> None:
    now = must(store_of(node.chain).snapshot, PARAMETERS, "all")
    action = SetParameters(parameters=now)
    accept(node, builders.propose(action), builders.propose(action, proposer="henan"))
    accept(
        node,
        *(builders.vote(1, voter=voter) for voter in ("guiyang", "henan", "guian-hub")),
        builders.vote(2, voter="guian-hub", approve=False),
    )


def _clear(node: FakeNode) -> None:
    """Close the cycle a day later; a credit note then runs the other way, in the next cycle."""
    expires_at = NEXT_DAY_MS + builders.MINUTE_MS
    accept(node, builders.close_cycle(expires_at=expires_at), time_ms=NEXT_DAY_MS)
    shared: dict[str, Any] = {
        "programme": "shanghai.shared",
        "version": 2,
        "title": "Shared vouchers",
        "funders": (
            FunderShare(funder="shanghai", basis_points=5_000),
            FunderShare(funder="guiyang", basis_points=5_000),
        ),
        "expires_at": expires_at,
    }
    accept(
        node,
        builders.credit(CLEARED, 100_000, expires_at=expires_at),
        builders.publish(**shared),
        *builders.agreements(**shared),
    )
