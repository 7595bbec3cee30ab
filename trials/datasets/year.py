"""A year of seventeen cities, as acts: a pure function of a seed, yielded in dependency order.

Full size: 17 programmes, 40 centres, 1,200 firms, about 30,000 vouchers and 200,000 claims. Firms
and amounts are drawn; whatever decides about acceptance is kept in hand, so that every act holds
and the sums are known beforehand (``Expected``):

- An ordinary claim never brings a holder above the automatic band at a centre, even if the whole
  year falls into one month, as it does on a network with a real clock. A large one is above it by
  itself and waits for two officers.
- Ids are given out by execution order, so acts whose ids are needed later stand in *lanes*: acts
  of one lane are executed in their order, and a *phase* begins when the one before it is final.
  All other acts of a phase may come in any order.
- Device time of month m lies in its thirty days, so that a network in the last days of a year can
  claim all of it, and a run in process can do so month by month.
"""

import random
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

import msgspec

from ledger.encoding import crypto
from ledger.encoding.codec import PublicKey
from ledger.rules import calendar, money
from ledger.rules.attestations import Attest
from ledger.rules.budgets import Appropriate
from ledger.rules.centres import Accredit, Devices, Recognise
from ledger.rules.claims import Credit, Decide, DecideClaim, Line
from ledger.rules.invoices import HOUR_MS, Contract, Invoice, Usage
from ledger.rules.parties import Enrol, HolderClass, PartyKey
from ledger.rules.programmes import Publish, Review, Terms
from ledger.rules.redemptions import GrantAfterUse, Redeem
from ledger.rules.reserves import Release, SetAside
from ledger.rules.sums import serial_id
from ledger.rules.vouchers import Mint, MintRow, Transfer, voucher_id
from localnet.facts import load_facts, member_plans
from localnet.network import Plan
from trials.datasets.world import YUAN, Act, Who, consent, first_officers, second_officers
from wallet.terms import terms_from_facts

FIRMS = 1_200
VOUCHERS = 30_000
CLAIMS = 200_000
CENTRES = 40
MONTHS = 12
MONTH_DAYS = 30
FIRMS_MIN = 3
"""Per programme, however small the scale: transfers need a second firm."""

BAND = 20_000 * YUAN
"""Automatic band of all programmes here, lower than the one that the facts assume."""
FACE = (400 * YUAN, 700 * YUAN)
"""Of an ordinary voucher, where so little is granted: a firm's whole year fits into its band."""
LARGE_FACE = (30_000 * YUAN, 45_000 * YUAN)
LARGE_AMOUNT_MIN = 25_000 * YUAN
AMOUNT_MIN = 5 * YUAN
SHARE_PERCENT = (5, 20)
"""What an ordinary claim takes of its voucher's face."""
LARGE_EVERY = 40
"""One grant in so many is large: its only claim waits for review."""
LARGE_ENDS = ("accepted", "waits", "half", "rejected", *["accepted"] * 16)
"""What becomes of large claims, by turns: even a small scale has everything."""
RESERVE_ENDS = ("both claim", "centre claims", "released", "kept", *["both claim"] * 6)
NUMBERED_PER_MILLE = 20
"""Claims whose ids are needed later, since they get a credit note."""
RESERVED_PER_MILLE = 15
TRANSFERS_PER_MILLE = 30
"""A month, of the vouchers of programmes that allow transfers."""
MINT_ROWS = 250
DEVICES = 4_000
"""Of each chip at the made-up centres."""
DEVICES_TIMES = 400
"""A month's use is of one day, on a network the whole year's: so many times the devices."""
CONTRACT_DAYS = 300
HOLD_END_DAYS = 385
"""From the first day: after the last act, before the first voucher expires."""
HOST_PAYS = {"chengdu": ("guiyang", "shanghai"), "hangzhou": ("chengdu", "guiyang")}
"""Programmes whose claims at these hosts are paid by the host and go through clearing."""
CLASSES: tuple[HolderClass, ...] = ("start_up", "enterprise", "institute", "university", "maker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An act and its place in the order."""

    phase: int
    month: int
    """0 is the setup, then 1 to 12."""
    lane: str
    """Acts of one lane in a phase are executed in their order; empty: any order will do."""
    act: Act


@dataclass(slots=True)
class Expected:
    """What a programme must show at the end, in fen; counted while the acts are made."""

    vouchers: int = 0
    minted: int = 0
    redeemed: int = 0
    claimed: int = 0
    reserved: int = 0


@dataclass(slots=True)
class Purse:
    """A voucher as the generator knows it."""

    id: str
    holder: str
    face: int
    left: int


@dataclass(slots=True)
class City:
    """A programme with its firms and vouchers."""

    city: str
    programme: str
    terms: Terms
    firms: list[str] = field(default_factory=list)
    purses: list[Purse] = field(default_factory=list)
    serial: int = 0
    """Of the newest voucher."""
    granted: int = 0
    """How often it was the turn of one of its firms."""


@dataclass(frozen=True, slots=True)
class Centre:
    """A data centre and its chips."""

    id: str
    host: str
    chips: tuple[Devices, ...]
    prices: tuple[int, ...]
    """In fen an hour, chip by chip."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """A claim whose id is needed later."""

    city: City
    claim: str
    centre: str
    amount: int
    is_large: bool


@dataclass(frozen=True, slots=True)
class SetAsideFor:
    """A reserve that something will become of."""

    city: City
    purse: Purse
    centre: Centre
    reserve: str
    amount: int
    chip: int


PublicKeyOf = Callable[[str, str], PublicKey]
"""Of a party and a person."""


def centre_ids() -> list[tuple[str, str]]:
    """Return the forty centres with their hosts: the public ones, then made-up ones by turns."""
    facts = load_facts()
    centres = [(centre["id"], centre["city"]) for centre in facts.data_centres]
    cities = [programme["city"] for programme in facts.programmes]
    for number in range(CENTRES - len(centres)):
        city = cities[number % len(cities)]
        centres.append((f"{city}-dc-{number // len(cities) + 1}", city))
    return centres


def year_plans() -> tuple[Plan, ...]:
    """Return all members: treasuries and forty centres."""
    facts = load_facts()
    plans = member_plans(facts)
    known = {plan.party for plan in plans}
    made = tuple(
        Plan(party=name, kind="data_centre", party_class="", name=f"Made up {name}", region="")
        for name, _ in centre_ids()
        if name not in known
    )
    return plans + made


class Year:
    """The acts of a year. Make a new one for every pass: it keeps count while it yields."""

    def __init__(
        self,
        *,
        scale: int,
        keys: PublicKeyOf,
        first_day: int,
        day_of_month: Callable[[int], int],
        until_ms: int,
        budget_year: int,
        seed: int = 1,
    ) -> None:
        """Take one ``scale``-th of the full size.

        ``first_day`` is the first day of contracts, 360 days before the end; ``day_of_month`` tells
        on which day a month's claims are made and their device time is used. Attestations and
        recognitions hold until ``until_ms``; the money is of ``budget_year``.
        """
        self._dice = random.Random(seed)
        self._scale = scale
        self._keys = keys
        self._first_day = first_day
        self._day_of_month = day_of_month
        self._until_ms = until_ms
        self._budget_year = budget_year
        self._seed = seed
        self._facts = load_facts()
        self._cities = {
            programme["city"]: self._city(programme["city"]) for programme in self._facts.programmes
        }
        self._centres = [self._centre(name, host) for name, host in centre_ids()]
        self._hosts = {host for _, host in centre_ids()}
        self._turns = [(city, firm) for city in self._cities.values() for firm in city.firms]
        self._dice.shuffle(self._turns)
        self._turn = 0
        self._phase = 0
        self._made = 0
        self._large_ends = cycle(LARGE_ENDS)
        self._reserve_ends = cycle(RESERVE_ENDS)
        self._issued: dict[tuple[str, str], int] = {}
        self._decisions = 0
        self._band: dict[tuple[str, str], int] = {}
        self._claims: dict[str, int] = {}
        self._reserves: dict[str, int] = {}
        self.expected = {city.programme: Expected() for city in self._cities.values()}
        self.claims = 0

    @property
    def firms(self) -> int:
        """Return how many firms there are."""
        return sum(len(city.firms) for city in self._cities.values())

    def _city(self, name: str) -> City:
        facts = self._facts
        terms = terms_from_facts(facts.programme(name), facts.assumptions)
        terms = msgspec.structs.replace(terms, review=Review(automatic_band=BAND, sample_every=0))
        pools = sum(programme["annual_pool_yuan"] for programme in facts.programmes)
        share = FIRMS * facts.programme(name)["annual_pool_yuan"] // pools // self._scale
        firms = [f"{name}-firm-{number}" for number in range(1, max(FIRMS_MIN, share) + 1)]
        return City(city=name, programme=f"{name}.compute", terms=terms, firms=firms)

    def _centre(self, name: str, host: str) -> Centre:
        facts = self._facts
        known = {centre["id"]: centre["devices"] for centre in facts.data_centres}
        counts = known.get(name, {"ascend-910b": DEVICES, "nvidia-a800": DEVICES})
        chips = facts.devices({chip: count * DEVICES_TIMES for chip, count in counts.items()})
        prices = tuple(
            facts.chips[devices.chip]["assumed_price_fen_per_gpu_hour"] for devices in chips
        )
        return Centre(name, host, chips, prices)

    # The order of things

    def items(self) -> Iterator[Item]:
        """Yield every act of the year."""
        yield from self._setup()
        for month in range(1, MONTHS + 1):
            yield from self._month(month)

    def _setup(self) -> Iterator[Item]:
        cities = list(self._cities.values())
        yield from self._free(0, (self._publish(city) for city in cities))
        yield from self._free(0, (self._accredit(centre) for centre in self._centres))
        self._phase += 1
        yield from self._free(0, (act for city in cities for act in self._consent(city)))
        self._phase += 1
        yield from self._free(0, (act for city in cities for act in self._appropriate(city)))
        yield from self._free(0, (act for city in cities for act in self._recognise(city)))
        yield from self._free(
            0, (self._enrol(city, firm) for city in cities for firm in city.firms)
        )
        self._phase += 1
        yield from self._free(
            0, (act for city in cities for firm in city.firms for act in self._attest(city, firm))
        )

    def _free(self, month: int, acts: Iterator[Act]) -> Iterator[Item]:
        for act in acts:
            yield Item(phase=self._phase, month=month, lane="", act=act)

    def _month(self, month: int) -> Iterator[Item]:
        self._phase += 1
        large = yield from self._mints(month)
        self._phase += 1
        yield from self._transfers(month)
        self._phase += 1
        reserves = yield from self._set_aside(month)
        self._phase += 1
        numbered = yield from self._numbered(month, large)
        self._phase += 1
        yield from self._follow_up(month, numbered)
        yield from self._reserved(month, reserves)
        wanted = CLAIMS * month // MONTHS // self._scale
        while self.claims < wanted:
            act = self._ordinary(month)
            if act is None:
                break
            yield Item(phase=self._phase, month=month, lane="", act=act)

    # Setup

    def _publish(self, city: City) -> Act:
        operation = Publish(programme=city.programme, version=1, status="open", terms=city.terms)
        return Act(operation=operation, signers=first_officers(city.city))

    def _consent(self, city: City) -> Iterator[Act]:
        for share in city.terms.funders:
            if share.funder != city.city:
                yield consent(city.programme, 1, city.terms, share.funder)

    def _accredit(self, centre: Centre) -> Act:
        operation = Accredit(
            host=centre.host,
            centre=centre.id,
            devices=centre.chips,
            pue_milli=1_300,
            ownership="public",
            ended=False,
        )
        return Act(operation=operation, signers=first_officers(centre.host))

    def _appropriate(self, city: City) -> Iterator[Act]:
        pool = self._facts.programme(city.city)["annual_pool_yuan"] * YUAN
        parts = money.split(pool, city.terms.funders, city.terms.residual_funder)
        for share, part in zip(city.terms.funders, parts, strict=True):
            operation = Appropriate(
                programme=city.programme,
                funder=share.funder,
                year=self._budget_year,
                delta=part,
                carried_from=(),
            )
            yield Act(operation=operation, signers=first_officers(share.funder))

    def _recognise(self, city: City) -> Iterator[Act]:
        paying = HOST_PAYS.get(city.city, ())
        others = tuple(sorted(self._hosts - {city.city, *paying}))
        for hosts in (paying, others):
            if not hosts:
                continue
            signers = list(first_officers(city.city))
            for host in hosts if hosts == paying else ():
                signers += first_officers(host)
            operation = Recognise(
                issuer=city.city,
                programmes=(city.programme,),
                hosts=hosts,
                mode="host_pays" if hosts == paying else "direct",
                limit=(),
                from_ms=0,
                until_ms=self._until_ms,
            )
            yield Act(operation=operation, signers=tuple(signers))

    def _enrol(self, city: City, firm: str) -> Act:
        number = city.firms.index(firm)
        operation = Enrol(
            city=city.city,
            party=firm,
            holder_class=CLASSES[number % len(CLASSES)],
            name=f"Made up {firm}",
            region=self._facts.programme(city.city)["region_code"],
            # Firms 1 and 2 are under one control: Ningbo lets value move within a group only.
            control_group=(self._digest("registration", city.firms[0]),) if number < 2 else (),
            registration_tag=self._digest("registration", firm),
            tag_epoch=1,
            keys=(PartyKey(key=self._keys(firm, "owner"), person="owner", roles=()),),
            threshold=1,
            proofs=(),
        )
        return Act(operation=operation, signers=first_officers(city.city))

    def _attest(self, city: City, firm: str) -> Iterator[Act]:
        for group in city.terms.eligibility:
            criterion = group[0]
            attester = criterion.attesters[0] if criterion.attesters else city.city
            operation = Attest(
                attester=attester,
                subject=firm,
                topic=criterion.topic,
                about=(),
                text=criterion.text,
                amount=criterion.amount,
                valid_until_ms=self._until_ms,
                commitment=(),
            )
            yield Act(operation=operation, signers=first_officers(attester))

    # Vouchers

    def _mints(self, month: int) -> Generator[Item, None, list[tuple[City, Purse]]]:
        """Yield the month's grants, by city; return the large ones."""
        count = VOUCHERS * month // MONTHS // self._scale - sum(
            city.granted for city in self._cities.values()
        )
        rows: dict[str, list[tuple[str, int]]] = {}
        large: list[tuple[City, Purse]] = []
        for _ in range(count):
            city, firm = self._turns[self._turn % len(self._turns)]
            self._turn += 1
            city.granted += 1
            if city.terms.grant == "after_use":
                continue  # its grants come with its claims
            is_large = self._turn % LARGE_EVERY == LARGE_EVERY // 2
            face = self._face(city, LARGE_FACE if is_large else FACE)
            if not self._may_issue(city, firm, face):
                continue
            rows.setdefault(city.city, []).append((firm, face))
            purse = self._new_purse(city, firm, face)
            if is_large:
                large.append((city, purse))
            else:
                city.purses.append(purse)
        for name, granted in rows.items():
            for first in range(0, len(granted), MINT_ROWS):
                act = self._mint(self._cities[name], granted[first : first + MINT_ROWS])
                yield Item(phase=self._phase, month=month, lane=f"programme {name}", act=act)
        return large

    def _face(self, city: City, bounds: tuple[int, int]) -> int:
        """Draw a face, at least what the programme grants at least."""
        return max(self._dice.randint(*bounds), *city.terms.caps.grant_min, 0)

    def _may_issue(self, city: City, firm: str, fen: int) -> bool:
        cap = city.terms.caps.holder_year_issued[0]
        return self._issued.get((city.city, firm), 0) + fen <= cap

    def _new_purse(self, city: City, firm: str, face: int) -> Purse:
        key = city.city, firm
        self._issued[key] = self._issued.get(key, 0) + face
        city.serial += 1
        expected = self.expected[city.programme]
        expected.vouchers += 1
        expected.minted += face
        return Purse(voucher_id(city.programme, city.serial), firm, face, face)

    def _mint(self, city: City, rows: Sequence[tuple[str, int]]) -> Act:
        operation = Mint(
            programme=city.programme,
            terms_version=1,
            rows=tuple(
                MintRow(holder=holder, amount=fen, decision=self._granted()) for holder, fen in rows
            ),
        )
        return Act(operation=operation, signers=second_officers(city.city))

    def _granted(self) -> bytes:
        """Return the next grant decision."""
        self._decisions += 1
        return self._digest("decision", str(self._decisions))

    def _transfers(self, month: int) -> Iterator[Item]:
        for city in self._cities.values():
            if city.terms.transfer == "none":
                continue
            for purse in list(city.purses):
                if self._dice.randrange(1_000) >= TRANSFERS_PER_MILLE:
                    continue
                act = self._transfer(city, purse)
                if act is not None:
                    yield Item(
                        phase=self._phase, month=month, lane=f"programme {city.city}", act=act
                    )

    def _transfer(self, city: City, purse: Purse) -> Act | None:
        pool = city.firms[:2] if city.terms.transfer == "same_group" else city.firms
        if purse.holder not in pool or purse.left < 4 * AMOUNT_MIN:
            return None
        recipient = self._dice.choice([firm for firm in pool if firm != purse.holder])
        amount = purse.left // 3
        if not self._may_issue(city, recipient, amount):
            return None
        child = self._new_purse(city, recipient, amount)
        # Nothing is minted, and the sender's counter does not fall.
        self.expected[city.programme].minted -= amount
        purse.face -= amount
        purse.left -= amount
        city.purses.append(child)
        operation = Transfer(
            voucher=purse.id, holder=purse.holder, recipient=recipient, amount=amount
        )
        return Act(operation=operation, signers=((purse.holder, "owner"), (recipient, "owner")))

    # Claims

    def _numbered(
        self, month: int, large: list[tuple[City, Purse]]
    ) -> Generator[Item, None, list[Numbered]]:
        """Yield claims whose ids are needed; return them."""
        claims: list[Numbered] = []
        for city, purse in large:
            amount = self._dice.randint(LARGE_AMOUNT_MIN, purse.left)
            centre = self._dice.choice(self._centres)
            act = self._claim(city, purse, centre, amount, month)
            claims.append(Numbered(city, self._claim_id(centre), centre.id, amount, True))
            yield Item(phase=self._phase, month=month, lane=f"centre {centre.id}", act=act)
        wanted = CLAIMS * NUMBERED_PER_MILLE // 1_000 // MONTHS // self._scale
        for _ in range(wanted):
            drawn = self._draw()
            if drawn is None:
                break
            city, purse, centre, amount = drawn
            act = self._claim(city, purse, centre, amount, month)
            claims.append(Numbered(city, self._claim_id(centre), centre.id, amount, False))
            yield Item(phase=self._phase, month=month, lane=f"centre {centre.id}", act=act)
        return claims

    def _claim_id(self, centre: Centre) -> str:
        """Return the id of the centre's newest claim."""
        return serial_id(centre.id, self._claims[centre.id])

    def _follow_up(self, month: int, numbered: list[Numbered]) -> Iterator[Item]:
        """Yield decisions about large claims, and credit notes on the others."""
        for claim in numbered:
            act = self._decision(claim) if claim.is_large else self._credit(claim)
            if act is not None:
                yield Item(phase=self._phase, month=month, lane="", act=act)

    def _decision(self, numbered: Numbered) -> Act | None:
        """Return a decision, or None where a claim still waits at the end."""
        expected = self.expected[numbered.city.programme]
        end = next(self._large_ends)
        if end == "waits":
            expected.claimed += numbered.amount
            return None
        accepted = {"accepted": numbered.amount, "half": numbered.amount // 2, "rejected": 0}[end]
        expected.redeemed += accepted
        city = numbered.city.city
        decide = Decide(claim=numbered.claim, by=city, accepted=accepted, case=(), tag_checked=True)
        officers = first_officers(city)
        return Act(operation=DecideClaim(act=decide), signers=officers)

    def _credit(self, numbered: Numbered) -> Act:
        credited = numbered.amount if self._dice.randrange(100) < 20 else numbered.amount // 4
        self.expected[numbered.city.programme].redeemed += numbered.amount - credited
        note = self._digest("note", numbered.claim)
        return Act(
            operation=Credit(claim=numbered.claim, amount=credited, note=note),
            signers=((numbered.centre, "officer-1"), *first_officers(numbered.city.city)),
        )

    def _ordinary(self, month: int) -> Act | None:
        drawn = self._draw()
        if drawn is None:
            return None
        city, purse, centre, amount = drawn
        self.expected[city.programme].redeemed += amount
        return self._claim(city, purse, centre, amount, month)

    def _draw(self) -> tuple[City, Purse, Centre, int] | None:
        """Return a claim that fits into its holder's band."""
        cities = [city for city in self._cities.values() if city.purses or _is_after_use(city)]
        weights = [
            1 + (city.granted // 3 if _is_after_use(city) else len(city.purses)) for city in cities
        ]
        for _ in range(1_000):
            (city,) = self._dice.choices(cities, weights)
            purse = self._draw_purse(city)
            if purse is None:
                continue
            percent = self._dice.randint(*SHARE_PERCENT)
            amount = min(purse.left, purse.face * percent // 100)
            if purse.left - amount < AMOUNT_MIN:
                amount = purse.left
            # Whole yuan, so that rounding to a step of 100 fen never takes anything off.
            amount = amount // YUAN * YUAN
            if amount < AMOUNT_MIN:
                city.purses.remove(purse)
                continue
            key = city.city, purse.holder
            if self._band.get(key, 0) + amount <= BAND:
                self._band[key] = self._band.get(key, 0) + amount
                return city, purse, self._dice.choice(self._centres), amount
        return None

    def _draw_purse(self, city: City) -> Purse | None:
        if not _is_after_use(city):
            return self._dice.choice(city.purses) if city.purses else None
        firm = self._dice.choice(city.firms)
        face = self._face(city, FACE)
        if not self._may_issue(city, firm, face):
            return None
        return Purse("", firm, face, face)

    def _claim(
        self,
        city: City,
        purse: Purse,
        centre: Centre,
        amount: int,
        month: int,
        *,
        reserve: tuple[str, ...] = (),
        chip: int | None = None,
        alone: bool = False,
    ) -> Act:
        """Return a redemption of exactly ``amount``, with the device time that it is for.

        ``alone``: the centre claims a reserve without the holder.
        """
        position = self._dice.randrange(len(centre.chips)) if chip is None else chip
        devices = centre.chips[position]
        self._made += 1
        number = str(self._made)
        base = _base_for(amount, self._rate(city, purse.holder, devices), city.terms)
        usage = self._usage(devices, base * HOUR_MS // centre.prices[position] + 1, month)
        lines: tuple[Line, ...] = ()
        grant: tuple[GrantAfterUse, ...] = ()
        if _is_after_use(city):
            grant = (GrantAfterUse(programme=city.programme, terms_version=1, amount=amount),)
            self._new_purse(city, purse.holder, amount)
        else:
            lines = (Line(voucher=purse.id, amount=amount, reserve=reserve),)
            if not reserve:
                purse.left -= amount
        operation = Redeem(
            holder=purse.holder,
            centre=centre.id,
            order=_job(reserve[0]) if reserve else f"order {number}",
            lines=lines,
            grant=grant,
            invoice=Invoice(tag=self._digest("invoice", number), tag_epoch=1, net=base, base=base),
            contract=self._contract(city, base, number),
            service_class="training",
            usage=usage,
            own_share=self._digest("own share", number),
            holder_signs=not alone,
        )
        self.claims += 1
        self._claims[centre.id] = self._claims.get(centre.id, 0) + 1
        signers = ((centre.id, "officer-1"),) if alone else _both(purse.holder, centre.id)
        return Act(operation=operation, signers=signers)

    def _rate(self, city: City, firm: str, devices: Devices) -> int:
        holder_class = CLASSES[(int(firm.rpartition("-")[2]) - 1) % len(CLASSES)]
        for row in city.terms.rates:
            if row.holder_class and row.holder_class[0] != holder_class:
                continue
            if row.chip_origin and row.chip_origin[0] != devices.origin:
                continue
            return row.basis_points
        raise AssertionError(f"{city.programme} has no rate for {firm} on {devices.chip}")

    def _usage(self, devices: Devices, gpu_ms: int, month: int) -> tuple[Usage, ...]:
        """Take device time from the day of the month's claims."""
        energy_wh = gpu_ms * devices.power_w // HOUR_MS
        day = self._day_of_month(month)
        return (Usage(chip=devices.chip, day=day, gpu_ms=gpu_ms, energy_wh=energy_wh),)

    def _contract(self, city: City, base: int, number: str) -> tuple[Contract, ...]:
        """Return a contract of its own for each invoice where the programme asks for one."""
        terms = city.terms
        if not (terms.base_period or terms.contract_days_max or _is_after_use(city)):
            return ()
        start = terms.base_period[0][0] if terms.base_period else self._first_day
        tag = self._digest("contract", number)
        amount = _up_to_step(base, terms)
        return (Contract(tag=tag, amount=amount, start_day=start, end_day=start + CONTRACT_DAYS),)

    # Reserves

    def _set_aside(self, month: int) -> Generator[Item, None, list[SetAsideFor]]:
        """Yield reserves; return what each is for."""
        reserves: list[SetAsideFor] = []
        for _ in range(CLAIMS * RESERVED_PER_MILLE // 1_000 // MONTHS // self._scale):
            drawn = self._draw()
            if drawn is None:
                break
            city, purse, centre, amount = drawn
            if _is_after_use(city):
                continue
            chip = self._dice.randrange(len(centre.chips))
            self._reserves[centre.id] = self._reserves.get(centre.id, 0) + 1
            reserve = serial_id(centre.id, self._reserves[centre.id])
            purse.left -= amount
            operation = SetAside(
                voucher=purse.id,
                holder=purse.holder,
                centre=centre.id,
                order=_job(reserve),
                amount=amount,
                chip=centre.chips[chip].chip,
                service_class="training",
                until_ms=calendar.end_of_day_ms(self._first_day + HOLD_END_DAYS),
            )
            act = Act(operation=operation, signers=((purse.holder, "owner"),))
            reserves.append(SetAsideFor(city, purse, centre, reserve, amount, chip))
            yield Item(phase=self._phase, month=month, lane=f"centre {centre.id}", act=act)
        return reserves

    def _reserved(self, month: int, reserves: list[SetAsideFor]) -> Iterator[Item]:
        """Yield what becomes of reserves: claimed by both, by the centre alone, released, kept."""
        for set_aside in reserves:
            expected = self.expected[set_aside.city.programme]
            end = next(self._reserve_ends)
            if end == "kept":
                expected.reserved += set_aside.amount
                continue
            if end == "released":
                release = Release(
                    reserve=set_aside.reserve, by=set_aside.centre.id, amount=set_aside.amount
                )
                act = Act(operation=release, signers=((set_aside.centre.id, "officer-1"),))
            else:
                act = self._claim(
                    set_aside.city,
                    set_aside.purse,
                    set_aside.centre,
                    set_aside.amount,
                    month,
                    reserve=(set_aside.reserve,),
                    chip=set_aside.chip,
                    alone=end != "both claim",
                )
                if end == "both claim":
                    expected.redeemed += set_aside.amount
                else:  # without the holder's consent it waits for the dispute window
                    expected.claimed += set_aside.amount
            yield Item(phase=self._phase, month=month, lane="", act=act)

    def _digest(self, *names: str) -> bytes:
        return crypto.tagged_hash(
            "tallystick/city-year/v1", str(self._seed).encode(), *(name.encode() for name in names)
        )


def _job(reserve: str) -> str:
    """Return the order that value was reserved for: its claim names the same."""
    return f"job {reserve}"


def _is_after_use(city: City) -> bool:
    return city.terms.grant == "after_use"


def _both(firm: str, centre: str) -> tuple[Who, Who]:
    return (firm, "owner"), (centre, "officer-1")


def _base_for(amount: int, basis_points: int, terms: Terms) -> int:
    """Return the least base whose benefit is ``amount``, which is a multiple of the step."""
    base = -(-amount * money.WHOLE_BASIS_POINTS // basis_points)
    assert amount <= money.benefit(base, basis_points, terms.rounding)
    return base


def _up_to_step(base: int, terms: Terms) -> int:
    """Return the base rounded up, so that what a programme counts of it covers it."""
    return base + -base % terms.rounding.step_fen
