"""The main job: a real voucher flow on the published programmes, on four real validators.

Every fact enters as a signed transaction over HTTP to a named node. The flow redeems a voucher in
another city, refuses a double spend, survives a killed validator, and ends with a replay of the
exported log by an auditor who knows the log id alone.
"""

import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import click
import msgspec

from desk.decisions import decision_hash
from desk.documents import TransactionDocument
from ledger.devkeys import tag_key_of
from ledger.encoding import crypto, normal
from ledger.encoding.codec import Record
from ledger.rules import calendar, money
from ledger.rules.attestations import Attest
from ledger.rules.budgets import Appropriate
from ledger.rules.cases import ClearHold, SetHold
from ledger.rules.centres import Recognise
from ledger.rules.claims import Decide, DecideClaim, Line
from ledger.rules.invoices import HOUR_MS, Contract, Invoice, Usage
from ledger.rules.parties import Enrol, PartyKey
from ledger.rules.programmes import GiveConsent, Publish, Terms, terms_hash
from ledger.rules.redemptions import GrantAfterUse, Redeem
from ledger.rules.reserves import SetAside
from ledger.rules.sums import serial_id
from ledger.rules.vouchers import Mint, MintRow, Transfer, voucher_id
from localnet.facts import Facts, load_facts
from localnet.firms import Firm, make_firms
from localnet.network import ROOT, LocalNetwork
from localnet.signing import LIFE_MS, DevSigner, Signed
from tally.exits import Exit, NotFound, TallyError
from tally.output import say
from tally.percentiles import percentile
from wallet.client import NodeClient
from wallet.terms import terms_from_facts
from words import units

YUAN = 100
WORKERS = 8
DEFAULT_GRANT_FEN = 1_400_000 * YUAN
"""A usual grant, between the one and two million yuan of the press; never above a cap."""
BASE_FEN = 100_000 * YUAN
"""The invoice of an ordinary redemption."""
BIG_BASE_FEN = 1_000_000 * YUAN
"""An invoice whose benefit is above every automatic band of the data."""
DEVICES_TIMES = 40
"""All use is of one day: a centre has so many times the devices that it is said to have."""
RESERVED_ORDER = "training run"
SHORT_MS = 4_000
"""Life of the transactions of a double spend, so that the loser is soon certain."""


class DemoFailed(TallyError):
    """A step of the flow did not go as the rules say it must."""

    default = Exit.INTERNAL


@dataclass(slots=True, kw_only=True)
class Flow:
    """What the steps of the demo share."""

    network: LocalNetwork
    signer: DevSigner
    facts: Facts
    firms: tuple[Firm, ...]
    started_s: float
    clients: dict[str, NodeClient]
    pool: ThreadPoolExecutor
    terms: dict[str, Terms] = field(default_factory=dict)
    vouchers: dict[str, str] = field(default_factory=dict)
    """Voucher id by firm."""
    granted: dict[str, int] = field(default_factory=dict)
    """Fen by firm."""
    finality_ms: list[int] = field(default_factory=list)
    turn: int = 0

    @property
    def tag_key(self) -> bytes:
        """Return the network's key for tags."""
        return tag_key_of(self.network.name, self.network.master)

    def sign(self, operation: Record, *signers: tuple[str, str], life_ms: int = LIFE_MS) -> Signed:
        """Return an operation signed by (party, person) pairs with derived keys."""
        return self.signer.sign(operation, *signers, life_ms=life_ms)

    def by(self, party: str, first: int) -> tuple[tuple[str, str], ...]:
        """Return two officers of a treasury: 1 and 2 hold budget and registrar, 3 and 4 mint."""
        return (party, f"officer-{first}"), (party, f"officer-{first + 1}")

    def send(self, signed: Signed, node: str | None = None) -> TransactionDocument:
        """Send to a named node, by turns if none is named, and wait for the outcome."""
        if node is None:
            names = list(self.clients)
            self.turn += 1
            node = names[self.turn % len(names)]
        before = time.monotonic_ns()
        document = self.clients[node].submit(signed.raw, wait=True)
        if document.status == "final":
            self.finality_ms.append((time.monotonic_ns() - before) // 1_000_000)
        return document

    def must(self, batch: Iterable[Signed], node: str | None = None) -> list[TransactionDocument]:
        """Send many at once; every one must become final."""
        documents = []
        signed = list(batch)
        for sent, document in zip(
            signed, self.pool.map(lambda item: self.send(item, node), signed), strict=True
        ):
            if document.status != "final":
                raise DemoFailed(
                    f"{sent.kind} {sent.id} is {document.status}: {document.code} "
                    f"{document.message}"
                )
            documents.append(document)
        return documents

    def must_refuse(self, signed: Signed, code: str) -> TransactionDocument:
        """Send a transaction that a rule must refuse, with this code."""
        document = self.send(signed)
        if (document.status, document.code) != ("refused", code):
            raise DemoFailed(
                f"{signed.kind} {signed.id}: expected {code}, got {document.status} {document.code}"
            )
        return document


def run_demo(network: LocalNetwork, *, started_s: float) -> None:
    """Run the whole flow; raise DemoFailed where a step does not go as it must."""
    facts = load_facts()
    with ThreadPoolExecutor(WORKERS) as pool:
        flow = Flow(
            network=network,
            signer=DevSigner(network),
            facts=facts,
            firms=make_firms(),
            started_s=started_s,
            clients={place.party: NodeClient(place.url) for place in network.places.values()},
            pool=pool,
        )
        for programme in facts.programmes:
            flow.terms[programme["city"]] = terms_from_facts(programme, facts.assumptions)
        first_voucher(flow)
        programmes_and_centres(flow)
        firms_enrolled(flow)
        vouchers_minted(flow)
        transfers(flow)
        redemptions(flow)
        reserve_and_hold(flow)
        double_spend(flow)
        killed_validator(flow)
        replay(flow)
        closing_table(flow)


def programme_of(city: str) -> str:
    """Return the id of a city's programme."""
    return f"{city}.compute"


def publish(flow: Flow, city: str) -> Signed:
    """Return the publication of a city's programme."""
    operation = Publish(
        programme=programme_of(city), version=1, status="open", terms=flow.terms[city]
    )
    return flow.sign(operation, *flow.by(city, 1))


def consents(flow: Flow, city: str) -> list[Signed]:
    """Return the consent of every funder but the city to its terms."""
    terms = flow.terms[city]
    return [
        flow.sign(
            GiveConsent(
                programme=programme_of(city),
                version=1,
                funder=share.funder,
                terms=terms_hash(terms),
            ),
            *flow.by(share.funder, 1),
        )
        for share in terms.funders
        if share.funder != city
    ]


def appropriations(flow: Flow, city: str) -> list[Signed]:
    """Return what each funder sets aside for this fiscal year: its share of the pool."""
    pool_fen = flow.facts.programme(city)["annual_pool_yuan"] * YUAN
    terms = flow.terms[city]
    parts = money.split(pool_fen, terms.funders, terms.residual_funder)
    year = calendar.year_of(time.time_ns() // 1_000_000)
    return [
        flow.sign(
            Appropriate(
                programme=programme_of(city),
                funder=share.funder,
                year=year,
                delta=part,
                carried_from=(),
            ),
            *flow.by(share.funder, 1),
        )
        for share, part in zip(terms.funders, parts, strict=True)
    ]


def enrol(flow: Flow, firm: Firm) -> Signed:
    """Return a firm's enrolment by its city."""
    key = flow.signer.public_key(firm.id, "owner")
    region = flow.facts.programme(firm.city)["region_code"]
    operation = Enrol(
        city=firm.city,
        party=firm.id,
        holder_class=firm.holder_class,
        name=firm.name,
        region=region,
        control_group=(registration_tag(flow, firm.parent),) if firm.parent else (),
        registration_tag=registration_tag(flow, firm.id),
        tag_epoch=1,
        keys=(PartyKey(key=key, person="owner", roles=()),),
        threshold=1,
        proofs=(),
    )
    return flow.sign(operation, *flow.by(firm.city, 1))


def registration_tag(flow: Flow, firm: str) -> bytes:
    """Return the registration tag of a firm, by which the firms that it controls name it."""
    return normal.registration_tag(flow.tag_key, credit_code(firm))


def credit_code(firm: str) -> str:
    """Return a unified social credit code for a firm's id, in form."""
    digest = crypto.tagged_hash("demo/registration", firm.encode())
    first = "91" + "".join(str(byte % 10) for byte in digest[:15])
    return first + normal.credit_check(first)


def bill(flow: Flow, centre: str) -> bytes:
    """Return the tag of a new invoice of a centre."""
    return normal.invoice_tag(flow.tag_key, centre, f"26{secrets.randbelow(10**18):018}")


def new_contract(flow: Flow, centre: str) -> bytes:
    """Return the tag of a new contract with a centre."""
    return normal.contract_tag(flow.tag_key, centre, f"HT{secrets.randbelow(10**9):09}")


def attestations(flow: Flow, firm: Firm) -> list[Signed]:
    """Return what the firm needs to be eligible: one fulfilled criterion of every group."""
    signed = []
    for group in flow.terms[firm.city].eligibility:
        criterion = next(
            criterion
            for criterion in group
            if firm.has_revenue or criterion.topic != "revenue_at_least"
        )
        attester = criterion.attesters[0] if criterion.attesters else "shanghai"
        operation = Attest(
            attester=attester,
            subject=firm.id,
            topic=criterion.topic,
            about=(),
            text=criterion.text,
            amount=criterion.amount,
            valid_until_ms=time.time_ns() // 1_000_000 + 365 * calendar.DAY_MS,
            commitment=(secrets.token_bytes(32),),
        )
        signed.append(flow.sign(operation, *flow.by(attester, 1)))
    return signed


def grant_of(flow: Flow, firm: Firm) -> int:
    """Return a firm's grant: a city's first firm gets exactly the published cap."""
    cap = flow.terms[firm.city].caps.holder_year_issued[0]
    return cap if firm.id.endswith("-firm-1") else min(cap, DEFAULT_GRANT_FEN)


def mint(flow: Flow, city: str, rows: Sequence[tuple[str, int]]) -> Signed:
    """Return a mint batch signed by two mint officers."""
    operation = Mint(
        programme=programme_of(city),
        terms_version=1,
        rows=tuple(
            MintRow(
                holder=holder,
                amount=fen,
                decision=decision_hash(programme_of(city), f"demo-{fen}", holder),
            )
            for holder, fen in rows
        ),
    )
    return flow.sign(operation, *flow.by(city, 3))


def remember(flow: Flow, document: TransactionDocument, rows: Sequence[tuple[str, int]]) -> None:
    """Note which vouchers a mint made: serials run in row order."""
    posting = document.postings[0]
    for offset, (holder, fen) in enumerate(rows):
        flow.vouchers[holder] = voucher_id(posting["programme"], posting["serial"] + offset)
        flow.granted[holder] = fen


def redeem(
    flow: Flow,
    firm: Firm,
    centre: str,
    *,
    base_fen: int = BASE_FEN,
    extra_fen: int = 0,
    amount_fen: int | None = None,
    reserve: tuple[str, ...] = (),
    life_ms: int = LIFE_MS,
) -> Signed:
    """Return a redemption at a centre for the hours that the base buys at the assumed price.

    Out of a reserve the centre claims alone.
    """
    facts = flow.facts.centre(centre)
    terms = flow.terms[firm.city]
    chip = next(iter(facts["devices"]))
    price_fen = flow.facts.chips[chip]["assumed_price_fen_per_gpu_hour"]
    rate = rate_of(flow, firm, chip)
    amount = money.benefit(base_fen, rate, terms.rounding) if amount_fen is None else amount_fen
    today = calendar.day_of(time.time_ns() // 1_000_000)
    gpu_ms = base_fen * HOUR_MS // price_fen
    # Vouchers and centres are of today, and no use before them is paid.
    usage = Usage(
        chip=chip,
        day=today,
        gpu_ms=gpu_ms,
        energy_wh=gpu_ms * flow.facts.chips[chip]["watts"] // HOUR_MS,
    )
    operation = Redeem(
        holder=firm.id,
        centre=centre,
        order=RESERVED_ORDER if reserve else f"order-{secrets.token_hex(4)}",
        lines=(Line(voucher=flow.vouchers[firm.id], amount=amount + extra_fen, reserve=reserve),),
        grant=(),
        invoice=Invoice(tag=bill(flow, centre), tag_epoch=1, net=base_fen, base=base_fen),
        contract=contract_of(flow, terms, centre, base_fen, today),
        service_class="training",
        usage=(usage,),
        own_share=secrets.token_bytes(32),
        holder_signs=not reserve,
    )
    holders = () if reserve else ((firm.id, "owner"),)
    return flow.sign(operation, *holders, (centre, "officer-1"), life_ms=life_ms)


def contract_of(
    flow: Flow, terms: Terms, centre: str, base_fen: int, today: int
) -> tuple[Contract, ...]:
    """Return the contract behind an invoice if the programme bounds contracts, as Beijing does."""
    if not terms.contract_days_max:
        return ()
    tag = new_contract(flow, centre)
    start = today - terms.contract_days_max
    return (Contract(tag=tag, amount=base_fen, start_day=start, end_day=today),)


def rate_of(flow: Flow, firm: Firm, chip: str) -> int:
    """Return the basis points of the first matching row of the firm's programme."""
    origin = flow.facts.chips[chip]["origin"]
    for row in flow.terms[firm.city].rates:
        if row.holder_class and row.holder_class[0] != firm.holder_class:
            continue
        if row.chip_origin and row.chip_origin[0] != origin:
            continue
        return row.basis_points
    raise DemoFailed(f"no rate for {firm.id} on {chip}")


def first_voucher(flow: Flow) -> None:
    """One voucher, from nothing: programme, money, firm, attestation, mint."""
    say("\n1. A first voucher in Shanghai")
    firm = next(firm for firm in flow.firms if firm.city == "shanghai")
    flow.must([publish(flow, "shanghai"), enrol(flow, firm)])
    flow.must([*appropriations(flow, "shanghai"), *attestations(flow, firm)])
    rows = [(firm.id, grant_of(flow, firm))]
    (document,) = flow.must([mint(flow, "shanghai", rows)])
    remember(flow, document, rows)
    tenths = int((time.monotonic() - flow.started_s) * 10)
    say(f"   {flow.vouchers[firm.id]}: {units.yuan(rows[0][1])} yuan to {firm.id}")
    click.echo(f"first finalised voucher: {units.decimal(tenths, 1)} s")


def programmes_and_centres(flow: Flow) -> None:
    """Publish and fund the other programmes; accredit and recognise every centre."""
    say("\n2. All seventeen programmes, their budgets, ten data centres")
    cities = [programme["city"] for programme in flow.facts.programmes]
    others = [city for city in cities if city != "shanghai"]
    flow.must(
        [publish(flow, city) for city in others]
        + [accredit(flow, centre) for centre in centres(flow)]
    )
    flow.must([signed for city in others for signed in consents(flow, city)])
    funding = [signed for city in others for signed in appropriations(flow, city)]
    flow.must(funding)
    hosts = tuple(dict.fromkeys(flow.facts.centre(centre)["city"] for centre in centres(flow)))
    flow.must([recognise(flow, city, hosts) for city in cities])
    for programme in flow.facts.programmes:
        assumed = ", ".join(programme["assumed"]) or "nothing"
        pool_fen = programme["annual_pool_yuan"] * YUAN
        say(
            f"   {programme_of(programme['city']):<20} {units.yuan(pool_fen):>16} yuan   "
            f"assumed: {assumed}"
        )


def centres(flow: Flow) -> list[str]:
    """Return the ids of all centres."""
    return [centre["id"] for centre in flow.facts.data_centres]


def accredit(flow: Flow, centre: str) -> Signed:
    """Return a centre's accreditation by its host city, with devices for all that is shown."""
    facts = flow.facts.centre(centre)
    counts = {chip: count * DEVICES_TIMES for chip, count in facts["devices"].items()}
    stated = flow.facts.accreditation(centre, facts["city"])
    operation = msgspec.structs.replace(stated, devices=flow.facts.devices(counts))
    return flow.sign(operation, *flow.by(facts["city"], 1))


def recognise(flow: Flow, city: str, hosts: tuple[str, ...]) -> Signed:
    """Return a city's recognition of the centres of other cities for a year."""
    now_ms = time.time_ns() // 1_000_000
    operation = Recognise(
        issuer=city,
        programmes=(programme_of(city),),
        hosts=tuple(host for host in hosts if host != city),
        mode="direct",
        limit=(),
        from_ms=now_ms - calendar.DAY_MS,
        until_ms=now_ms + 365 * calendar.DAY_MS,
    )
    return flow.sign(operation, *flow.by(city, 1))


def firms_enrolled(flow: Flow) -> None:
    """Enrol the other firms and attest what their programmes ask for."""
    say(f"\n3. {len(flow.firms)} synthetic firms enrolled and attested")
    others = [firm for firm in flow.firms if firm.id not in flow.vouchers]
    flow.must([enrol(flow, firm) for firm in others])
    flow.must([signed for firm in others for signed in attestations(flow, firm)])
    research = next(firm for firm in flow.firms if not firm.has_revenue)
    say(f"   {research.id} qualifies by a research project, without the revenue")


def vouchers_minted(flow: Flow) -> None:
    """Mint with four eyes, a city's first firm up to the published cap."""
    say("\n4. Vouchers minted with four eyes, up to the published caps")
    batches = []
    for programme in flow.facts.programmes:
        city = programme["city"]
        rows = [
            (firm.id, grant_of(flow, firm))
            for firm in flow.firms
            if firm.city == city and firm.id not in flow.vouchers
        ]
        if rows and flow.terms[city].grant != "after_use":
            batches.append((city, rows))
    documents = flow.must([mint(flow, city, rows) for city, rows in batches])
    for document, (_, rows) in zip(documents, batches, strict=True):
        remember(flow, document, rows)
    say(f"   {len(flow.vouchers)} vouchers, {units.yuan(sum(flow.granted.values()))} yuan")
    refused(
        flow,
        mint(flow, "shanghai", [("shanghai-firm-1", 1)]),
        "holder_cap_exceeded",
        "one fen above Shanghai's cap",
    )
    refused(
        flow,
        mint(flow, "nanning", [("nanning-firm-1", 1)]),
        "grant_is_after_use",
        "a voucher of Nanning, which pays after use",
    )


def refused(flow: Flow, signed: Signed, code: str, attempt: str) -> None:
    """Send what must be refused and say so."""
    document = flow.must_refuse(signed, code)
    say(f"   refused: {attempt}: {document.code} ({document.message})")


def transfers(flow: Flow) -> None:
    """A transfer where the programme allows it, and refused ones where it does not."""
    say("\n5. Transfers")
    amount = 100_000 * YUAN

    def transfer(city: str, recipient: int) -> Signed:
        holder, taker = f"{city}-firm-1", f"{city}-firm-{recipient}"
        operation = Transfer(
            voucher=flow.vouchers[holder], holder=holder, recipient=taker, amount=amount
        )
        return flow.sign(operation, (holder, "owner"), (taker, "owner"))

    # The recipient's counter must have room under the cap, which Wuhan's third firm has.
    flow.must([transfer("wuhan", 3), transfer("ningbo", 2)])
    say(f"   {units.yuan(amount)} yuan moved in Wuhan (enrolled firms) and Ningbo (same group)")
    refused(flow, transfer("ningbo", 3), "transfer_not_allowed", "outside the group in Ningbo")
    refused(flow, transfer("shanghai", 2), "transfer_not_allowed", "any transfer in Shanghai")


def redemptions(flow: Flow) -> None:
    """Redeem at centres at home and away; one asks too much, one is large."""
    say("\n6. Redemptions with invoices and GPU-hours")
    home = {centre["city"]: centre["id"] for centre in flow.facts.data_centres}
    batch = []
    centres_chosen = []
    for firm in flow.firms:
        if firm.id not in flow.vouchers or firm.id == "shanghai-firm-1":
            continue
        centre = home.get(firm.city, "guian-hub")
        centres_chosen.append(centre)
        batch.append(redeem(flow, firm, centre))
    documents = flow.must(batch)
    burned = sum(posting["amount"] for document in documents for posting in document.postings)
    say(f"   {len(documents)} redemptions burned {units.yuan(burned)} yuan")
    shanghai = next(firm for firm in flow.firms if firm.id == "shanghai-firm-1")
    (document,) = flow.must([redeem(flow, shanghai, "guian-hub")])
    burned = document.postings[0]["amount"]
    say(
        f"   across cities: a Shanghai voucher pays {units.yuan(burned)} yuan at guian-hub in "
        f"Guiyang, final at height {document.height}"
    )
    refused(
        flow,
        redeem(flow, shanghai, "guian-hub", extra_fen=1),
        "rate_exceeded",
        "one fen above rate × base",
    )
    big = redeem(flow, shanghai, "guian-hub", base_fen=BIG_BASE_FEN)
    (document,) = flow.must([big])
    moved = document.postings[0]
    assert moved["kind"] == "move", "a claim above the band is not burned"
    say(f"   above the automatic band: {units.yuan(moved['amount'])} yuan wait under review")
    # Serials count a centre's claims: those of firms without one at home, and Shanghai's two.
    waiting = serial_id("guian-hub", centres_chosen.count("guian-hub") + 2)
    act = Decide(claim=waiting, by="shanghai", accepted=moved["amount"], case=(), tag_checked=True)
    flow.must([flow.sign(DecideClaim(act=act), *flow.by("shanghai", 1))])
    say(f"   two officers accept {waiting}")
    (document,) = flow.must([nanning_example(flow)])
    burned = next(posting for posting in document.postings if posting["kind"] == "burn")
    say(f"   Nanning pays after use, as in its own example: {units.yuan(burned['amount'])} yuan")


def nanning_example(flow: Flow) -> Signed:
    """Return the claim of the worked example that Nanning published, to the fen."""
    example = flow.facts.programme("nanning")["worked_example"]
    ((first_day, _),) = flow.terms["nanning"].base_period
    contract = Contract(
        tag=new_contract(flow, "guian-hub"),
        amount=example["contract_yuan"] * YUAN,
        start_day=first_day,
        end_day=first_day + example["days_contract"],
    )
    grant = GrantAfterUse(
        programme=programme_of("nanning"), terms_version=1, amount=example["paid_yuan"] * YUAN
    )
    today = calendar.day_of(time.time_ns() // 1_000_000)
    usage = Usage(chip="ascend-910b", day=today, gpu_ms=20_000 * HOUR_MS, energy_wh=20_000 * 400)
    operation = Redeem(
        holder="nanning-firm-1",
        centre="guian-hub",
        order="worked example",
        lines=(),
        grant=(grant,),
        invoice=Invoice(
            tag=bill(flow, "guian-hub"),
            tag_epoch=1,
            net=example["contract_yuan"] * YUAN,
            base=example["base_yuan"] * YUAN,
        ),
        contract=(contract,),
        service_class="training",
        usage=(usage,),
        own_share=secrets.token_bytes(32),
        holder_signs=True,
    )
    return flow.sign(operation, ("nanning-firm-1", "owner"), ("guian-hub", "officer-1"))


def reserve_and_hold(flow: Flow) -> None:
    """A centre's safety: value set aside before it serves. A city's: a hold with a case."""
    say("\n7. A reserve, claimed by the centre alone; a hold")
    firm = next(firm for firm in flow.firms if firm.id == "shanghai-firm-2")
    amount = money.benefit(
        BASE_FEN, rate_of(flow, firm, "ascend-910b"), flow.terms["shanghai"].rounding
    )
    set_aside = SetAside(
        voucher=flow.vouchers[firm.id],
        holder=firm.id,
        centre="guian-hub",
        order=RESERVED_ORDER,
        amount=amount,
        chip="ascend-910b",
        service_class="training",
        until_ms=time.time_ns() // 1_000_000 + 30 * calendar.DAY_MS,
    )
    flow.must([flow.sign(set_aside, (firm.id, "owner"))])
    say(f"   {firm.id} sets {units.yuan(amount)} yuan aside for guian-hub")
    reserve = serial_id("guian-hub", 1)
    flow.must([redeem(flow, firm, "guian-hub", reserve=(reserve,))])
    say("   guian-hub claims it on its own signature; the holder may dispute for seven days")
    hold = SetHold(
        by="shanghai",
        scope="voucher",
        id=flow.vouchers[firm.id],
        case=secrets.token_bytes(32),
        reason="documents are checked",
    )
    flow.must([flow.sign(hold, *flow.by("shanghai", 1))])
    refused(flow, flow.sign(set_aside, (firm.id, "owner")), "held", "more from a held voucher")
    clear = ClearHold(by="shanghai", hold=serial_id("shanghai", 1), case=secrets.token_bytes(32))
    flow.must([flow.sign(clear, *flow.by("shanghai", 1))])
    say("   the hold is cleared")


def double_spend(flow: Flow) -> None:
    """Spend the same value at two validators in the same instant."""
    say("\n8. A double spend, sent to two validators in the same instant")
    firm = next(firm for firm in flow.firms if firm.id == "shenzhen-firm-2")
    voucher = flow.clients["shanghai"].get_json(f"/v1/vouchers/{flow.vouchers[firm.id]}")["item"]
    amount = voucher["available"] // 2 + 1
    pair = [
        redeem(
            flow,
            firm,
            "guian-hub",
            base_fen=(amount + position) * 2,
            amount_fen=amount + position,
            life_ms=SHORT_MS,
        )
        for position in range(2)
    ]
    nodes = ("guiyang", "chengdu-aicc")
    documents = list(flow.pool.map(flow.send, pair, nodes))
    words = sorted(document.status for document in documents)
    if words != ["final", "refused"]:
        raise DemoFailed(f"a double spend ended as {words}")
    loser = next(document for document in documents if document.status != "final")
    if loser.code != "voucher_exhausted":
        raise DemoFailed(f"the losing half of a double spend is refused as {loser.code}")
    say(f"   one is final, the other is refused: {loser.code} ({loser.message})")
    said = ""
    while said != "expired":
        time.sleep(0.2)
        try:
            node = flow.clients["guian-hub"]
            said = node.transaction(loser.id, expires_at=loser.expires_at).status
        except NotFound:
            continue  # no node keeps what was refused
        if said == "final":
            raise DemoFailed("both halves of a double spend became final")
    say("   and a few seconds later it is expired, for certain")


def killed_validator(flow: Flow) -> None:
    """Kill one validator while vouchers go on; start it again and let it catch up."""
    say("\n9. kill -9 of a validator while vouchers go on")
    victim = "chengdu-aicc"
    before = flow.clients["shanghai"].status()["height"]
    firm = next(firm for firm in flow.firms if firm.id == "chengdu-firm-1")
    flow.network.kill(victim)
    start_s = time.monotonic()
    for position in range(6):
        flow.must(
            [redeem(flow, firm, "chengdu-nscc", base_fen=BASE_FEN // 10 + position)],
            "shanghai",
        )
    spent_ms = int((time.monotonic() - start_s) * 1000)
    height = flow.clients["shanghai"].status()["height"]
    say(
        f"   {victim} is dead; 6 redemptions became final in {spent_ms} ms, "
        f"heights {before} to {height}"
    )
    start_s = time.monotonic()
    flow.network.start(victim)
    while flow.clients[victim].status()["height"] < height:
        time.sleep(0.02)
    caught_ms = int((time.monotonic() - start_s) * 1000)
    say(f"   started again; it has caught up after {caught_ms} ms")


def replay(flow: Flow) -> None:
    """Export the log from one node and recompute everything, knowing the log id alone."""
    say("\n10. An auditor exports the log and recomputes everything from genesis")
    with tempfile.TemporaryDirectory() as folder:
        place = flow.network.places["guiyang"]
        export = ["audit", "export", "--node", place.url, "--out", str(Path(folder) / "log")]
        check = [
            "audit",
            "replay",
            str(Path(folder) / "log"),
            "--log-id",
            flow.network.log_id.hex(),
        ]
        for arguments in (export, check):
            finished = subprocess.run(
                [sys.executable, "-P", "-m", "tally", *arguments],
                cwd=ROOT,
                check=False,
                stdout=subprocess.PIPE,
                text=True,
            )
            if finished.returncode != 0:
                raise DemoFailed(f"tally {' '.join(arguments)} exited {finished.returncode}")
            for line in finished.stdout.splitlines():
                say(f"   {line}")


def closing_table(flow: Flow) -> None:
    """Say what was minted, outstanding, burned, and who owes whom."""
    client = flow.clients["shanghai"]
    click.echo("\nprogramme                     minted     outstanding          burned   (yuan)")
    for item in client.items("/v1/programmes"):
        totals = item["totals"]
        outstanding = totals["available"] + totals["reserved"] + totals["claimed"]
        click.echo(
            f"{item['id']:<20}{units.yuan(totals['minted']):>16}{units.yuan(outstanding):>16}"
            f"{units.yuan(totals['redeemed']):>16}"
        )
    owed: dict[tuple[str, str], int] = {}
    for item in client.items("/v1/payables"):
        pair = item["debtor"], item["creditor"]
        owed[pair] = owed.get(pair, 0) + item["amount"]
    click.echo("\ndebtor           creditor               owed   (yuan)")
    for (debtor, creditor), fen in sorted(owed.items()):
        click.echo(f"{debtor:<17}{creditor:<17}{units.yuan(fen):>14}")
    times = flow.finality_ms
    click.echo(
        f"\n{len(times)} transactions final: p50 {percentile(times, 50)} ms, "
        f"p99 {percentile(times, 99)} ms as the clients saw it"
    )
