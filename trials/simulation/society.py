"""Who lives in a simulated world, and what its clients ask for: vouchers, and to cheat with them.

Two cities without validators, data centres that validate, three firms. Every fact but the members
enters as a signed transaction at some validator, and is handed in again until it is final.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from random import Random

from consensus.messages import ValidatorKey
from consensus.validators import Validator, ValidatorSet
from ledger.encoding import codec
from ledger.encoding.codec import FEN_MAX, Record
from ledger.encoding.normal import tag_key_check
from ledger.genesis import Genesis, log_id_of
from ledger.proofs import proven
from ledger.rules import calendar
from ledger.rules.budgets import Appropriate
from ledger.rules.centres import Accredit, Devices
from ledger.rules.claims import Line
from ledger.rules.control import Parameters, TagKey
from ledger.rules.governance import Member, Propose, SetValidator, Vote
from ledger.rules.invoices import Invoice, Usage
from ledger.rules.money import FunderShare
from ledger.rules.parties import Enrol, PartyKey
from ledger.rules.programmes import Publish, RateRow, Review, Terms
from ledger.rules.redemptions import Redeem
from ledger.rules.validators import ValidatorKeys
from ledger.rules.vouchers import Mint, MintRow, Transfer
from ledger.transactions import Body, seal, signing_bytes, transaction_id
from trials.samples import plain_terms
from trials.simulation.signatures import Signatures, prove, public_key, seed_of
from trials.simulation.tally import Purse
from trials.simulation.world import MIDNIGHT_MS

CITY = "shanghai"
PROGRAMME = "shanghai.compute"
FIRMS = ("firm-a", "firm-b", "firm-c")
MINT_ROWS_MAX = 4
FACE_MAX = 10_000
HEARTBEAT_MS = 10_000
EXPIRES_MIN_MS, EXPIRES_MAX_MS = 3_000, 20_000
_OFFICERS = ("officer-1", "officer-2", "officer-3", "officer-4")
_ROLES = (("budget", "review", "registrar"),) * 2 + (("mint", "pay", "bank"),) * 2
_MEN_OF_ROLE = {"budget": _OFFICERS[:2], "registrar": _OFFICERS[:2], "mint": _OFFICERS[2:]}


def centre_name(index: int) -> str:
    """Return the name of a validating data centre."""
    return f"v{index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """A genesis and what follows from it."""

    genesis: bytes
    log_id: bytes
    validators: ValidatorSet


@cache
def foundation_of(validators: int) -> Foundation:
    """Return the foundation of a network of so many validators."""
    genesis = codec.encode(
        Genesis(
            version=1,
            network="dev-simulation",
            time_ms=MIDNIGHT_MS - 10 * calendar.DAY_MS,
            members=(_city(), *(_centre(centre_name(index)) for index in range(validators))),
            parameters=Parameters(
                expiry_ahead_max_ms=7 * calendar.DAY_MS,
                heartbeat_ms=HEARTBEAT_MS,
                block_bytes_max=2 * 1024 * 1024,
                block_transactions_max=4_000,
                block_rows_max=8_000,
                block_expiries_max=3,
                officers=(),
                tag_keys=(TagKey(epoch=1, check_value=tag_key_check(seed_of("tag-key"))),),
                holder_daily_entries=1_000_000,
                holder_daily_bytes=1024**3,
                member_daily_entries=1_000_000,
                member_daily_bytes=1024**3,
                reserve_min=1,
            ),
        )
    )
    keys = sorted(consensus_key(centre_name(index)) for index in range(validators))
    voters = tuple(Validator(key=ValidatorKey(key), power=1) for key in keys)
    return Foundation(
        genesis=genesis, log_id=log_id_of(genesis), validators=ValidatorSet(validators=voters)
    )


def consensus_key(centre: str) -> bytes:
    """Return the key a centre's node votes with."""
    return public_key(seed_of(centre, "consensus"))


def _city() -> Member:
    keys = tuple(
        PartyKey(key=public_key(seed_of(CITY, person)), person=person, roles=roles)
        for person, roles in zip(_OFFICERS, _ROLES, strict=True)
    )
    return Member(
        id=CITY,
        kind="treasury",
        party_class="city",
        name=CITY,
        region="310000",
        control_group=(),
        keys=keys,
        threshold=2,
        validator=(),
    )


def validator_of(name: str, power: int = 1) -> ValidatorKeys:
    """Return the keys of a centre's node."""
    four = {use: public_key(seed_of(name, use)) for use in ("consensus", "log", "cosigner", "link")}
    return ValidatorKeys(power=power, **four)


def _centre(name: str) -> Member:
    return Member(
        id=name,
        kind="data_centre",
        party_class="",
        name=name,
        region="310000",
        control_group=(),
        keys=(PartyKey(key=public_key(seed_of(name, "desk")), person="desk", roles=()),),
        threshold=1,
        validator=(validator_of(name),),
    )


class Clients:
    """Makes signed transactions; each is a new one."""

    def __init__(self, log_id: bytes, signatures: Signatures, random: Random) -> None:
        self._log_id = log_id
        self._signatures = signatures
        self._random = random
        self._made = 0
        self._decisions = 0

    def _signed(
        self, operation: Record, signers: Iterable[tuple[str, str]], expires_at: int
    ) -> tuple[bytes, bytes]:
        """Return id and envelope."""
        operation = proven(operation, self._log_id, prove)
        body = codec.encode(
            Body(version=1, log_id=self._log_id, expires_at=expires_at, operation=operation)
        )
        message = signing_bytes(body)
        seeds = [seed_of(*who) for who in signers]
        signatures = {public_key(seed): self._signatures.sign(seed, message) for seed in seeds}
        return transaction_id(body), seal(body, signatures)

    def _expiry(self, now_ms: int) -> int:
        return now_ms + self._random.randint(EXPIRES_MIN_MS, EXPIRES_MAX_MS)

    def opening(self, now_ms: int, *, expiries: bool) -> list[tuple[bytes, bytes]]:
        """Return the facts without which there are no vouchers, in an order that holds."""
        operations: list[tuple[Record, str]] = [
            (
                Publish(programme=PROGRAMME, version=1, status="open", terms=_terms(expiries)),
                "budget",
            ),
            (
                Appropriate(
                    programme=PROGRAMME,
                    funder=CITY,
                    year=calendar.year_of(now_ms),
                    delta=10**9,
                    carried_from=(),
                ),
                "budget",
            ),
            (_accreditation(), "registrar"),
            *((_enrolment(firm), "registrar") for firm in FIRMS),
        ]
        late_ms = now_ms + calendar.DAY_MS
        return [
            self._signed(operation, ((CITY, person) for person in _MEN_OF_ROLE[role]), late_ms)
            for operation, role in operations
        ]

    def mint(self, now_ms: int, *, lasts: bool = False) -> tuple[bytes, bytes]:
        """Return a grant of some vouchers; one that lasts has a day to become final."""
        rows = tuple(
            MintRow(
                holder=self._random.choice(FIRMS),
                amount=self._random.randint(1, FACE_MAX),
                decision=self._decision(),
            )
            for _ in range(self._random.randint(1, MINT_ROWS_MAX))
        )
        operation = Mint(programme=PROGRAMME, terms_version=1, rows=rows)
        signers = ((CITY, person) for person in _MEN_OF_ROLE["mint"])
        expires_at = now_ms + calendar.DAY_MS if lasts else self._expiry(now_ms)
        return self._signed(operation, signers, expires_at)

    def _decision(self) -> bytes:
        """Return the next grant decision; they are counted, not drawn."""
        self._decisions += 1
        return seed_of("decision", str(self._decisions))

    def transfer(self, now_ms: int, voucher: str, purse: Purse, fen: int) -> tuple[bytes, bytes]:
        """Return a transfer to another firm."""
        recipient = self._random.choice([firm for firm in FIRMS if firm != purse.holder])
        operation = Transfer(
            voucher=voucher, holder=purse.holder, recipient=recipient, amount=max(1, fen)
        )
        signers = [(purse.holder, "owner"), (recipient, "owner")]
        return self._signed(operation, signers, self._expiry(now_ms))

    def redemption(self, now_ms: int, voucher: str, purse: Purse, fen: int) -> tuple[bytes, bytes]:
        """Return a redemption at the first centre, which signs too."""
        self._made += 1
        fen = max(1, fen)
        operation = Redeem(
            holder=purse.holder,
            centre=centre_name(0),
            order="order",
            lines=(Line(voucher=voucher, amount=fen, reserve=()),),
            grant=(),
            invoice=Invoice(
                tag=seed_of("invoice", str(self._made)), tag_epoch=1, net=fen * 10, base=fen * 10
            ),
            contract=(),
            service_class="training",
            usage=(Usage(chip="chip", day=calendar.day_of(now_ms), gpu_ms=1, energy_wh=0),),
            own_share=bytes(32),
            holder_signs=True,
        )
        signers = [(purse.holder, "owner"), (centre_name(0), "desk")]
        return self._signed(operation, signers, self._expiry(now_ms))

    def proposal(self, now_ms: int, action: SetValidator) -> tuple[bytes, bytes]:
        """Return the city's proposal that a member validates, or no longer does."""
        operation = Propose(proposer=CITY, action=action)
        signers = [(CITY, person) for person in _MEN_OF_ROLE["registrar"]]
        return self._signed(operation, signers, self._expiry(now_ms))

    def vote(self, now_ms: int, voter: str, number: int) -> tuple[bytes, bytes]:
        """Return a centre's yes."""
        operation = Vote(voter=voter, proposal=number, approve=True)
        return self._signed(operation, [(voter, "desk")], self._expiry(now_ms))


def _enrolment(firm: str) -> Enrol:
    return Enrol(
        city=CITY,
        party=firm,
        holder_class="start_up",
        name=firm,
        region="310000",
        control_group=(),
        registration_tag=seed_of(firm, "registration"),
        tag_epoch=1,
        keys=(PartyKey(key=public_key(seed_of(firm, "owner")), person="owner", roles=()),),
        threshold=1,
        proofs=(),
    )


def _accreditation() -> Accredit:
    return Accredit(
        host=CITY,
        centre=centre_name(0),
        devices=(
            Devices(
                chip="chip", origin="domestic", count=1_000, tariff_ceiling=FEN_MAX, power_w=400
            ),
        ),
        pue_milli=1_200,
        ownership="public",
        ended=False,
    )


def _terms(expiries: bool) -> Terms:
    return plain_terms(
        title="Compute vouchers",
        rates=(
            RateRow(
                holder_class=(), chip_origin=(), service_class=(), ownership=(), basis_points=5_000
            ),
        ),
        centres="own_city",
        review=Review(automatic_band=10**9, sample_every=3),
        funders=(FunderShare(funder=CITY, basis_points=10_000),),
        residual_funder=CITY,
        validity_days=0 if expiries else 365,
    )
