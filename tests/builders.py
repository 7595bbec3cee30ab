"""Builders for tests: a small network, and transactions that mention only what matters."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from ledger.blocks import BlockInput
from ledger.encoding import codec, crypto
from ledger.encoding.codec import Record
from ledger.execute import Execution
from ledger.genesis import Genesis, Member, Parameters, ValidatorKeys, log_id_of
from ledger.ledger import Ledger
from ledger.rules import calendar
from ledger.rules.centres import Accredit, Devices, Recognise
from ledger.rules.claims import Invoice, Line, Redeem, Usage
from ledger.rules.money import FunderShare, Rounding
from ledger.rules.parties import Attest, Enrol, PartyKey
from ledger.rules.programmes import (
    Appropriate,
    Caps,
    Criterion,
    Publish,
    RateRow,
    Review,
    Terms,
)
from ledger.rules.vouchers import Mint, MintRow, Transfer
from ledger.store.memory import MemoryStore
from ledger.transactions import Body, seal, signing_bytes

GENESIS_MS = 1_767_225_600_000
"""2026-01-01 08:00 at +08:00."""
NOON_MS = GENESIS_MS + 30 * calendar.DAY_MS
YEAR = 2026
MINUTE_MS = 60_000

OFFICERS = {
    "officer-1": ("budget", "review", "registrar"),
    "officer-2": ("budget", "review", "registrar"),
    "officer-3": ("mint", "pay", "bank"),
    "officer-4": ("mint", "pay", "bank"),
}


def seed(*names: str) -> bytes:
    """Return a 32-byte key seed derived from names: every run has the same keys."""
    return crypto.tagged_hash("tallystick/test-seed/v1", *(name.encode() for name in names))


def key(*names: str) -> bytes:
    """Return the public key of a derived seed."""
    return crypto.public_key(seed(*names))


def validator_keys(party: str, power: int = 1) -> ValidatorKeys:
    """Return the four keys of a validating member."""
    return ValidatorKeys(
        consensus=key(party, "consensus"),
        log=key(party, "log"),
        cosigner=key(party, "cosigner"),
        link=key(party, "link"),
        power=power,
    )


def city(name: str, *, validates: bool = True, level: str = "city") -> Member:
    """Return a treasury with four officers."""
    return Member(
        id=name,
        kind="treasury",
        party_class=level,  # type: ignore[arg-type]
        name=name.title(),
        region="310000",
        control_group="",
        keys=tuple(
            PartyKey(key=key(name, person), person=person, roles=roles)
            for person, roles in OFFICERS.items()
        ),
        threshold=2,
        validator=(validator_keys(name),) if validates else (),
    )


def centre(name: str, *, validates: bool = True) -> Member:
    """Return a data centre with two officers, one of whom signs."""
    return Member(
        id=name,
        kind="data_centre",
        party_class="",
        name=name.title(),
        region="310000",
        control_group="",
        keys=tuple(
            PartyKey(key=key(name, person), person=person, roles=())
            for person in ("officer-1", "officer-2")
        ),
        threshold=1,
        validator=(validator_keys(name),) if validates else (),
    )


def genesis(*members: Member, network: str = "dev-test", **parameters: int) -> bytes:
    """Return genesis bytes; two cities, a province and two centres if no members are named."""
    chosen = members or (
        city("shanghai"),
        city("guiyang"),
        city("henan", validates=False, level="province"),
        centre("guian-hub"),
        centre("chengdu-aicc"),
    )
    values: dict[str, int] = {
        "expiry_ahead_max_ms": 7 * calendar.DAY_MS,
        "heartbeat_ms": 60_000,
        "block_bytes_max": 2 * 1024 * 1024,
        "block_transactions_max": 4_000,
        "block_rows_max": 8_000,
        "block_lapses_max": 256,
    }
    values.update(parameters)
    return codec.encode(
        Genesis(
            version=1,
            network=network,
            time_ms=GENESIS_MS,
            members=chosen,
            parameters=Parameters(**values),
        )
    )


LOG_ID = log_id_of(genesis())


def signed(
    operation: Record,
    *signers: tuple[str, str],
    log_id: bytes = LOG_ID,
    expires_at: int = NOON_MS + 60 * MINUTE_MS,
) -> bytes:
    """Return an envelope signed by (party, person) pairs."""
    body = codec.encode(
        Body(version=1, log_id=log_id, expires_at=expires_at, operation=operation)  # type: ignore[arg-type]
    )
    message = signing_bytes(body)
    return seal(body, {key(*who): crypto.sign(seed(*who), message) for who in signers})


def officers(party: str, role: str) -> tuple[tuple[str, str], ...]:
    """Return two officers of a treasury who hold a role."""
    return tuple((party, person) for person, roles in OFFICERS.items() if role in roles)


def terms(**changes: Any) -> Terms:
    """Return plain terms: 30 %, no caps, no criteria, one funder."""
    plain = Terms(
        title="Compute vouchers",
        legal_basis="",
        assumed=(),
        eligibility=(),
        rates=(
            RateRow(
                holder_class=(), chip_origin=(), service_class=(), ownership=(), basis_points=3000
            ),
        ),
        caps=no_caps(),
        settlement="monthly",
        centres="recognised",
        listed=(),
        transfer="enrolled",
        review=Review(automatic_band=20_000_000, sample_every=0),
        payee="provider",
        grant="on_application",
        funders=(FunderShare(funder="shanghai", basis_points=10_000),),
        residual_funder="shanghai",
        rounding=Rounding(mode="truncate", step_fen=1),
        validity_days=365,
        stackable=(),
        ceiling=10_000,
    )
    return msgspec.structs.replace(plain, **changes)


def no_caps(**changes: Any) -> Caps:
    """Return caps of which only the named ones bind."""
    names = (
        "grant_min",
        "grant_max",
        "contract_max",
        "holder_year_issued",
        "holder_year_redeemed",
        "group_year_issued",
    )
    values: dict[str, Any] = dict.fromkeys(names, ())
    return Caps(**(values | changes))


def criterion(topic: str, **changes: Any) -> Criterion:
    """Return a criterion that trusts any city."""
    values: dict[str, Any] = {"text": "", "amount": 0, "attesters": (), "max_age_days": 0}
    return Criterion(topic=topic, **(values | changes))  # type: ignore[arg-type]


def publish(**changes: Any) -> bytes:
    """Return the publication of shanghai.compute by two budget officers."""
    programme = changes.pop("programme", "shanghai.compute")
    version = changes.pop("version", 1)
    status = changes.pop("status", "open")
    by = changes.pop("by", officers(programme.split(".")[0], "budget"))
    expires_at = changes.pop("expires_at", NOON_MS + 60 * MINUTE_MS)
    tx = Publish(programme=programme, version=version, status=status, terms=terms(**changes))
    return signed(tx, *by, expires_at=expires_at)


def appropriate(delta: int = 100_000_000, **changes: Any) -> bytes:
    """Return an appropriation of 1,000,000 yuan by Shanghai."""
    values: dict[str, Any] = {
        "programme": "shanghai.compute",
        "funder": "shanghai",
        "year": YEAR,
        "carried_from": (),
    }
    by = changes.pop("by", None)
    values.update(changes)
    return signed(Appropriate(delta=delta, **values), *(by or officers(values["funder"], "budget")))


def enrol(party: str, **changes: Any) -> bytes:
    """Return the enrolment of a start-up by Shanghai."""
    values: dict[str, Any] = {
        "city": "shanghai",
        "holder_class": "start_up",
        "name": party.title(),
        "region": "310000",
        "control_group": "",
        "registration_tag": seed(party, "registration"),
        "tag_epoch": 1,
        "keys": (PartyKey(key=key(party, "owner"), person="owner", roles=()),),
        "threshold": 1,
    }
    by = changes.pop("by", None)
    values.update(changes)
    return signed(Enrol(party=party, **values), *(by or officers(values["city"], "registrar")))


def attest(subject: str, topic: str = "registered_in", **changes: Any) -> bytes:
    """Return an attestation by Shanghai, valid for a year."""
    values: dict[str, Any] = {
        "attester": "shanghai",
        "about": (),
        "text": "310000",
        "amount": 0,
        "valid_until_ms": NOON_MS + 365 * calendar.DAY_MS,
        "commitment": (),
    }
    by = changes.pop("by", None)
    values.update(changes)
    return signed(
        Attest(subject=subject, topic=topic, **values),  # type: ignore[arg-type]
        *(by or officers(values["attester"], "registrar")),
    )


def accredit(centre_id: str = "guian-hub", **changes: Any) -> bytes:
    """Return the accreditation of guian-hub by Guiyang: domestic and foreign chips."""
    values: dict[str, Any] = {
        "host": "guiyang",
        "devices": (
            Devices(chip="ascend-910b", origin="domestic", count=2000, tariff_ceiling=900),
            Devices(chip="nvidia-a100", origin="foreign", count=2000, tariff_ceiling=1350),
        ),
        "pue_milli": 1200,
        "ownership": "public",
        "ended": False,
    }
    by = changes.pop("by", None)
    values.update(changes)
    return signed(
        Accredit(centre=centre_id, **values), *(by or officers(values["host"], "registrar"))
    )


def recognise(**changes: Any) -> bytes:
    """Return Shanghai's recognition of centres in Guiyang for a year."""
    values: dict[str, Any] = {
        "issuer": "shanghai",
        "programmes": ("shanghai.compute",),
        "hosts": ("guiyang",),
        "mode": "direct",
        "limit": (),
        "from_ms": GENESIS_MS,
        "until_ms": GENESIS_MS + 365 * calendar.DAY_MS,
    }
    by = changes.pop("by", None)
    values.update(changes)
    return signed(Recognise(**values), *(by or officers(values["issuer"], "registrar")))


def mint(*rows: tuple[str, int], **changes: Any) -> bytes:
    """Return a mint of shanghai.compute vouchers: (holder, fen) rows."""
    programme = changes.pop("programme", "shanghai.compute")
    by = changes.pop("by", officers(programme.split(".")[0], "mint"))
    version = changes.pop("terms_version", 1)
    tx = Mint(
        programme=programme,
        terms_version=version,
        rows=tuple(MintRow(holder=holder, amount=fen, commitment=()) for holder, fen in rows),
    )
    return signed(tx, *by, **changes)


def transfer(
    voucher: str, amount: int, *, holder: str = "firm-a", recipient: str = "firm-b", **changes: Any
) -> bytes:
    """Return a transfer signed by its holder."""
    tx = Transfer(voucher=voucher, holder=holder, recipient=recipient, amount=amount)
    by = changes.pop("by", ((holder, "owner"),))
    return signed(tx, *by, **changes)


def redeem(
    *lines: tuple[str, int], holder: str = "firm-a", redeemer: str = "guian-hub", **changes: Any
) -> bytes:
    """Return a redemption signed by holder and centre; the invoice is ten times the claim."""
    amount = sum(fen for _, fen in lines)
    invoice = changes.pop("invoice", "invoice-1")
    net = changes.pop("net", amount * 10 or 1)
    values: dict[str, Any] = {
        "order": "order-1",
        "lines": tuple(Line(voucher=voucher, amount=fen, reserve=()) for voucher, fen in lines),
        "invoice": Invoice(tag=seed(invoice), tag_epoch=1, net=net, base=changes.pop("base", net)),
        "service_class": "training",
        "usage": (
            Usage(
                chip=changes.pop("chip", "ascend-910b"),
                day=calendar.day_of(NOON_MS),
                gpu_ms=3_600_000,
                energy_wh=400,
            ),
        ),
        "own_share": seed("own share"),
    }
    by = changes.pop("by", ((holder, "owner"), (redeemer, "officer-1")))
    extra = {name: changes.pop(name) for name in ("log_id", "expires_at") if name in changes}
    values.update(changes)
    return signed(Redeem(holder=holder, redeemer=redeemer, **values), *by, **extra)


@dataclass
class Chain:
    """A ledger driven by hand, one block a call."""

    ledger: Ledger = field(default_factory=lambda: Ledger(MemoryStore()))
    genesis: bytes = field(default_factory=genesis)
    now_ms: int = NOON_MS

    def __post_init__(self) -> None:
        self.ledger.begin(self.genesis)

    def block(self, *transactions: bytes, time_ms: int | None = None) -> Execution:
        """Execute and commit a block of these transactions."""
        self.now_ms = self.now_ms + 1_000 if time_ms is None else time_ms
        head = self.ledger.last()
        execution = self.ledger.execute(
            BlockInput(height=head.height + 1, time_ms=self.now_ms, transactions=transactions)
        )
        self.ledger.commit(execution, b"certificate")
        return execution

    def accept(self, *transactions: bytes) -> Execution:
        """Commit a block in which every transaction must hold."""
        execution = self.block(*transactions)
        for result in execution.results:
            assert result.refusal is None, f"refused: {result.refusal!r}"
        return execution


def funded_chain(**chain: Any) -> Chain:
    """Return a chain with a programme, money, two firms, a centre, and its recognition."""
    made = Chain(**chain)
    made.accept(publish(), enrol("firm-a"), enrol("firm-b"), accredit())
    made.accept(appropriate(), recognise())
    return made
