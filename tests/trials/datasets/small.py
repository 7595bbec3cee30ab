"""Acts of a small world for tests of months and years: cities, their centres, firms."""

from typing import Any

from ledger.encoding import crypto
from ledger.ledger import Storage
from ledger.rules.budgets import BUDGETS, Appropriate
from ledger.rules.centres import Accredit, Devices, Recognise
from ledger.rules.claims import Line
from ledger.rules.invoices import Invoice, Usage
from ledger.rules.money import FunderShare
from ledger.rules.parties import Enrol, PartyKey
from ledger.rules.programmes import TOTALS, Publish, Terms
from ledger.rules.redemptions import Redeem
from ledger.rules.vouchers import Mint, MintRow
from ledger.view import must
from localnet.network import Plan
from tests import builders
from trials.datasets.world import (
    Act,
    InProcess,
    first_officers,
    genesis,
    public_key,
    second_officers,
)

FOREVER_MS = 2**45
CHIP = "ascend-910b"


def digest(*names: object) -> bytes:
    """Return 32 bytes that names stand for."""
    return crypto.sha256("/".join(map(str, names)).encode())


def begin(storage: Storage, cities: tuple[str, ...], centres: dict[str, str], start: int) -> Any:
    """Return a ledger of cities and centres (with their hosts) that begins at a time."""
    plans = [_plan(city, "treasury", "city") for city in cities]
    plans += [_plan(centre, "data_centre", "") for centre in centres]
    return InProcess(storage, genesis(plans, time_ms=start, validators=(cities[0],)))


def _plan(party: str, kind: Any, level: Any) -> Plan:
    return Plan(party=party, kind=kind, party_class=level, name=party, region="310000")


def publish(programme: str, terms: Terms) -> Act:
    """Return a programme's publication."""
    operation = Publish(programme=programme, version=1, status="open", terms=terms)
    return Act(operation=operation, signers=first_officers(programme.partition(".")[0]))


def own_terms(city: str, **changes: Any) -> Terms:
    """Return plain terms that the city pays for."""
    share = FunderShare(funder=city, basis_points=10_000)
    values: dict[str, Any] = {"funders": (share,), "residual_funder": city}
    return builders.terms(**(values | changes))


def appropriate(
    programme: str, funder: str, fen: int, *, year: int, carried_from: tuple[int, ...] = ()
) -> Act:
    """Return an appropriation."""
    operation = Appropriate(
        programme=programme, funder=funder, year=year, delta=fen, carried_from=carried_from
    )
    return Act(operation=operation, signers=first_officers(funder))


def enrol(firm: str, city: str) -> Act:
    """Return the enrolment of a firm."""
    operation = Enrol(
        city=city,
        party=firm,
        holder_class="enterprise",
        name=firm,
        region="310000",
        control_group=(),
        registration_tag=digest("registration", firm),
        tag_epoch=1,
        keys=(PartyKey(key=public_key(firm, "owner"), person="owner", roles=()),),
        threshold=1,
        proofs=(),
    )
    return Act(operation=operation, signers=first_officers(city))


def accredit(centre: str, host: str) -> Act:
    """Return the accreditation of a centre with two thousand devices."""
    devices = Devices(chip=CHIP, origin="domestic", count=2_000, tariff_ceiling=10**12, power_w=400)
    operation = Accredit(
        host=host,
        centre=centre,
        devices=(devices,),
        pue_milli=1_200,
        ownership="public",
        ended=False,
    )
    return Act(operation=operation, signers=first_officers(host))


def recognise_host_pays(programme: str, *hosts: str) -> Act:
    """Return the recognition of hosts that pay their centres themselves."""
    issuer = programme.partition(".")[0]
    operation = Recognise(
        issuer=issuer,
        programmes=(programme,),
        hosts=hosts,
        mode="host_pays",
        limit=(),
        from_ms=0,
        until_ms=FOREVER_MS,
    )
    signers = [who for party in (issuer, *hosts) for who in first_officers(party)]
    return Act(operation=operation, signers=tuple(signers))


def mint(programme: str, *rows: tuple[str, int], batch: int = 0) -> Act:
    """Return a mint of (firm, fen) rows, each of a decision of its own batch."""
    operation = Mint(
        programme=programme,
        terms_version=1,
        rows=tuple(
            MintRow(
                holder=holder,
                amount=fen,
                decision=crypto.sha256(repr((batch, rows, place)).encode()),
            )
            for place, (holder, fen) in enumerate(rows)
        ),
    )
    return Act(operation=operation, signers=second_officers(programme.partition(".")[0]))


def redeem(voucher: str, firm: str, centre: str, fen: int, *, number: object, day: int) -> Act:
    """Return a claim of ``fen`` on an invoice of four times as much."""
    operation = Redeem(
        holder=firm,
        centre=centre,
        order=f"order {number}",
        lines=(Line(voucher=voucher, amount=fen, reserve=()),),
        grant=(),
        invoice=Invoice(tag=digest("invoice", number), tag_epoch=1, net=4 * fen, base=4 * fen),
        contract=(),
        service_class="training",
        usage=(Usage(chip=CHIP, day=day, gpu_ms=3_600_000, energy_wh=400),),
        own_share=digest("own share", number),
        holder_signs=True,
    )
    return Act(operation=operation, signers=((firm, "owner"), (centre, "officer-1")))


def committed(storage: Storage, programme: str, year: int, funder: str) -> int:
    """Return what is committed of a year's budget."""
    return must(storage, BUDGETS, programme, str(year), funder).committed


def part(storage: Storage, programme: str, name: str) -> int:
    """Return a part of a programme's totals."""
    return int(getattr(must(storage, TOTALS, programme), name))
