"""A seeded generator of transactions over all kinds, on a small world, right and wrong ones mixed.

Operations are arrays in the order of docs/spec/kinds.md, encoded as they stand, so that neither the
generator nor the naive twin knows the ledger's classes. The twin runs along: it says what would
make sense next.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from ledger.encoding import codec, crypto
from ledger.genesis import log_id_of
from ledger.transactions import seal, signing_bytes, transaction_id
from tests import builders
from tests.builders import GENESIS_MS
from tests.reference.twin import KINDS, Twin
from tests.reference.twin_members import keys_named
from tests.reference.twin_value import (
    OPEN_CLAIM,
    band_used,
    invoice_of,
    left_open,
    outstanding,
    redeemed_in,
    resting,
    used_of,
)
from tests.reference.twin_world import (
    AMOUNT_MAX,
    CAPS,
    DAY_MS,
    FORTNIGHT_MS,
    HOUR_MS,
    Signer,
    Thing,
    day_of,
    year_of,
)

CITIES = ("shanghai", "guiyang", "ningbo")
PROVINCE = "henan"
AUDITOR = "audit-office"
CENTRES = ("guian-hub", "lingang-hub", "beilun-hub")
FIRMS = ("firm-a", "firm-b", "firm-c", "firm-d", "firm-e")
PROGRAMMES = (
    "shanghai.compute",
    "shanghai.after",
    "guiyang.extra",
    "ningbo.strict",
    "ningbo.open",
    "ningbo.vast",
)
GROUPS = {"firm-a": "firm-a", "firm-b": "firm-a", "firm-c": "firm-c", "lingang-hub": "firm-a"}
"""Whose registration tag names the group of each."""
HOSTS = {"guian-hub": "guiyang", "lingang-hub": "shanghai", "beilun-hub": "ningbo"}
OFFICERS = {
    "officer-1": ["budget", "registrar", "review"],
    "officer-2": ["budget", "registrar", "review"],
    "officer-3": ["budget", "registrar", "review"],
    "officer-4": ["bank", "mint", "pay"],
    "officer-5": ["bank", "mint", "pay"],
    "officer-6": ["bank", "mint", "pay"],
}
BAD_KEYS = (bytes(32), (1).to_bytes(32, "little"))
"""The points y = 0 and y = 1: of small order, so not registrable."""
EVER_MS = 2**45
CASE = b"\x2c" * 32
SIGNATURES_MAX = 16
EVERYBODY = "everybody"
"""Wanted instead of a role: all keys of a party."""

Maker = Callable[[], list[Any]]

_SEEDS: dict[bytes, bytes] = {}


@cache
def key_of(*names: str) -> bytes:
    """Return a public key derived from names."""
    seed = crypto.tagged_hash("tallystick/test-seed/v1", *(name.encode() for name in names))
    key = crypto.public_key(seed)
    _SEEDS[key] = seed
    return key


def digest(*names: object) -> bytes:
    """Return 32 bytes that names stand for."""
    return crypto.sha256("/".join(str(name) for name in names).encode())


def epoch_of(tag: bytes) -> int:
    """Return the epoch that a tag says it is of: for some one that nobody listed (Z6.2)."""
    return 7 if tag[0] < 10 else 2


def treasury(name: str, level: str) -> list[Any]:
    """Return a treasury as a member of a genesis (G1)."""
    keys = [[key_of(name, person), person, roles] for person, roles in OFFICERS.items()]
    # A second key of one person: two eyes are two persons.
    keys.append([key_of(name, "officer-1", "again"), "officer-1", OFFICERS["officer-1"]])
    return [name, "treasury", level, name, "310000", [], keys, 2, validators(name, level == "city")]


def watcher(name: str, kind: str) -> list[Any]:
    """Return a data centre or auditor as a member of a genesis."""
    keys: list[Any] = [[key_of(name, person), person, []] for person in ("desk-1", "desk-2")]
    group = [digest("tag", GROUPS[name])] if name in GROUPS else []
    return [name, kind, "", name, "310000", group, keys, 1, validators(name, name == CENTRES[0])]


def validators(name: str, validates: bool) -> list[Any]:
    """Return a validator's keys as an optional field."""
    if not validates:
        return []
    return [[key_of(name, use) for use in ("consensus", "log", "cosigner", "link")] + [1]]


def members() -> list[Any]:
    """Return all members of the small world."""
    found = [treasury(city, "city") for city in CITIES]
    found.append(treasury(PROVINCE, "province"))
    found += [watcher(centre, "data_centre") for centre in CENTRES]
    found.append(watcher(AUDITOR, "auditor"))
    return found


def parameters(**changes: Any) -> list[Any]:
    """Return parameters (G1): big mints and payments need three persons, expiries are few."""
    values = {
        "expiry_ahead_max_ms": 7 * DAY_MS,
        "heartbeat_ms": 60_000,
        "block_bytes_max": 2_000_000,
        "block_transactions_max": 4_000,
        "block_rows_max": 8_000,
        "block_expiries_max": 3,
        "officers": [
            ["voucher.mint", 9_000, 3],
            ["payment.record", 2_500, 3],
            ["claim.decide", 3_000, 3],
        ],
        "tag_keys": [[1, digest("tag key", "1")], [2, digest("tag key", "2")]],
        "holder_daily_entries": 10**9,
        "holder_daily_bytes": 10**12,
        "member_daily_entries": 10**9,
        "member_daily_bytes": 10**12,
        "reserve_min": 10,
    }
    values.update(changes)
    return list(values.values())


def terms(name: str) -> dict[str, Any]:
    """Return a programme's first terms, by field."""
    plain: dict[str, Any] = {
        "title": name,
        "legal_basis": "",
        "assumed": [],
        "eligibility": [],
        "rates": [[[], [], [], [], 5000]],
        "caps": [[], [], [], [], [], []],
        "settlement": "monthly",
        "centres": "recognised",
        "listed": [],
        "transfer": "enrolled",
        "review": [4_000, 3],
        "payee": "centre",
        "grant": "on_application",
        "funders": [["shanghai", 10_000]],
        "residual_funder": "shanghai",
        "rounding": ["truncate", 1],
        "validity_days": 30,
        "base_period": [],
        "contract_days_max": 0,
        "stackable": [],
        "ceiling": 9_000,
    }
    today = day_of(GENESIS_MS)
    anywhere = ["registered_in", "310000", 0, [], 0]
    clean = ["clean_record", "", 0, [AUDITOR], 60]
    rich = ["revenue_at_least", "", 1_000, ["shanghai"], 0]
    apart = ["unrelated_to", "", 0, [AUDITOR, "ningbo"], 0]
    changes: dict[str, dict[str, Any]] = {
        "shanghai.compute": {
            "rates": [[[], ["domestic"], [], [], 6000], [[], [], [], [], 3000]],
            "funders": [["shanghai", 6_667], [PROVINCE, 3_333]],
            "stackable": ["guiyang.extra"],
            "caps": [[], [], [], [30_000], [7_000], []],
            "settlement": "quarterly",
        },
        "shanghai.after": {
            "transfer": "none",
            "grant": "after_use",
            "base_period": [[today - 20, today + 700]],
            "contract_days_max": 300,
            "caps": [[50], [9_000], [5_000], [40_000], [], [60_000]],
            "stackable": ["guiyang.extra"],
            "rounding": ["half_up", 10],
            "eligibility": [[anywhere, rich]],
        },
        "guiyang.extra": {
            "rates": [[["start_up"], [], ["training"], [], 5000], [[], [], [], ["public"], 2500]],
            "transfer": "same_group",
            "payee": "holder",
            "funders": [["guiyang", 5_000], ["shanghai", 5_000], [PROVINCE, 0]],
            "residual_funder": PROVINCE,
            "stackable": ["shanghai.compute", "shanghai.after"],
            "ceiling": 8_000,
            "review": [1_500, 0],
            "rounding": ["half_up", 1],
        },
        "ningbo.strict": {
            "centres": "listed",
            "listed": ["guian-hub", "lingang-hub", "nowhere-hub"],
            "eligibility": [[anywhere], [clean, rich], [apart]],
            "caps": [[20], [6_000], [4_000], [20_000], [8_000], [25_000]],
            "funders": [["ningbo", 10_000]],
            "residual_funder": "ningbo",
            "validity_days": 12,
            "settlement": "yearly",
        },
        "ningbo.open": {
            "funders": [["ningbo", 2_500], ["guiyang", 2_500], [PROVINCE, 5_000]],
            "residual_funder": "guiyang",
            "review": [0, 0],
            "validity_days": 5,
            "caps": [[], [], [], [], [3_000], [30_000]],
            "contract_days_max": 300,
            # shanghai.compute does not say the same of it.
            "stackable": ["shanghai.compute"],
        },
        "ningbo.vast": {
            "funders": [["ningbo", 5_000], ["guiyang", 5_000]],
            "residual_funder": "guiyang",
            "validity_days": 60,
        },
    }
    return {**plain, **changes[name]}


@dataclass(frozen=True, kw_only=True)
class Act:
    """A transaction, and what the twin says of it."""

    kind: str
    """The kind, with its act or action if it has several."""
    operation: list[Any]
    signers: list[Signer]
    code: int
    raw: bytes


class Play:
    """The small world as it goes: it makes blocks of transactions."""

    def __init__(self, seed: object, *, signs: bool = False) -> None:
        """Begin; with ``signs`` the signatures are true ones."""
        self.dice = random.Random(str(seed))
        self.signs = signs
        start_ms = GENESIS_MS + self.dice.choice((0, 60, 150, 320)) * DAY_MS
        bounds = self.dice.choice(
            (
                {},
                {},
                {"holder_daily_entries": 6, "member_daily_entries": 25},
                {"holder_daily_bytes": 2_000, "member_daily_bytes": 9_000},
            )
        )
        world, values = members(), parameters(**bounds)
        self.genesis = codec.encode([1, "dev-acts", start_ms, world, values])
        self.log_id = log_id_of(self.genesis)
        self.twin = Twin(world, values, lambda key: key not in BAD_KEYS, self._proves)
        self.time_ms = start_ms
        self.height = 0
        self.record_hash = b""
        self.usable: set[bytes] = set()
        self.in_block = 0
        self.made = 0
        self.wanted: list[tuple[str, str, int]] = []
        self.prepared: list[tuple[list[Any], list[bytes]]] = []
        self.focus: Any = None
        self.apt: tuple[Maker, ...] = ()
        self.opening = self._opening()
        self.makers: list[tuple[int, Maker]] = [
            (2, self._enrol),
            (4, self._attest),
            (1, self._revoke_attestation),
            (2, self._rotate),
            (2, self._announce),
            (2, self._recover),
            (2, self._object),
            (7, self._decide_keys),
            (3, self._publish),
            (3, self._consent),
            (4, self._appropriate),
            (2, self._accredit),
            (3, self._recognise),
            (12, self._mint),
            (8, self._transfer),
            (10, self._reserve),
            (3, self._release),
            (32, self._redeem),
            (12, self._decide),
            (3, self._dispute),
            (6, self._credit),
            (2, self._extend),
            (2, self._revoke),
            (3, self._close),
            (8, self._instruct),
            (8, self._payment),
            (2, self._write_off),
            (6, self._hold),
            (5, self._clear),
            (1, self._anchor),
            (2, self._withdraw),
            (3, self._propose),
            (18, self._vote),
        ]

    # Blocks

    def block(self, record_hash: bytes, size_max: int = 8) -> list[Act]:
        """Let time pass and return the transactions of the next block."""
        self.time_ms += self._step_ms()
        return self.block_now(record_hash, self.dice.randrange(size_max + 1))

    def block_now(self, record_hash: bytes, size: int) -> list[Act]:
        """Return the transactions of a block at the present time."""
        self.height += 1
        self.record_hash = record_hash
        self.in_block = 0
        self.prepared = []  # keys may have died since
        twin = self.twin
        twin.begin_block(self.time_ms, self.height, record_hash)
        self.usable = {
            key for key, of in twin.keys.items() if not of["dead"] and not of["validator"]
        }
        acts: list[Act] = []
        while self.opening and len(acts) < size:
            acts.append(self._act(self.opening.pop(0)))
        weights = [weight for weight, _ in self.makers]
        while len(acts) < size:
            ((_, maker),) = self.dice.choices(self.makers, weights)
            if self.apt and self._chance(0.5):
                maker = self.dice.choice(self.apt)
            if twin.paused and self.dice.random() < 0.8:
                maker = self.dice.choice((self._propose, self._vote, self._vote))
            acts.append(self._act(maker))
        return acts

    def _step_ms(self) -> int:
        self.focus, self.apt = None, ()
        if self.opening:
            return 1_000
        moments = self._moments()
        if moments and self._chance(0.15):
            apt = self.dice.choice(list(dict.fromkeys(moment[2] for moment in moments)))
            same = [moment for moment in moments if moment[2] == apt]
            at_ms, self.focus, self.apt = self.dice.choice(same)
            return at_ms - self.time_ms
        steps = (500, 60_000, HOUR_MS, 5 * HOUR_MS, 12 * HOUR_MS, DAY_MS, 4 * DAY_MS, 33 * DAY_MS)
        (step,) = self.dice.choices(steps, (20, 20, 12, 10, 10, 7, 2, 0.4))
        return step + self.dice.randrange(200)

    def _moments(self) -> list[tuple[int, Any, tuple[Maker, ...]]]:
        """Return the moments soon on which something hangs: when, on what, and who asks."""
        twin = self.twin
        found: list[tuple[int, Any, tuple[Maker, ...]]] = []
        value_moves = (self._transfer, self._reserve, self._redeem, self._extend)
        for voucher in twin.vouchers.values():
            if voucher["available"]:
                found.append((twin.expiry(voucher), voucher["id"], value_moves))
        for name, reserve in twin.reserves.items():
            if reserve["left"]:
                found.append((twin.hold_over(reserve), name, (self._redeem, self._release)))
                found.append((twin.put_off(reserve["until"]), name, (self._release,)))
                expiry_ms = twin.expiry(twin.vouchers[reserve["voucher"]])
                found.append((expiry_ms, name, (self._release,)))
        for claim in twin.claims.values():
            if claim["status"] == "accepted":
                for line in claim["lines"]:
                    expiry_ms = twin.expiry(twin.vouchers[line["voucher"]])
                    found.append((expiry_ms, claim["id"], (self._credit,)))
                    if line["reserve"] is not None:
                        over_ms = twin.hold_over(twin.reserves[line["reserve"]])
                        found.append((over_ms, claim["id"], (self._credit,)))
            elif claim["status"] == "under_review":
                over_ms = twin.dispute_over(claim)
                found.append((over_ms, claim["id"], (self._decide, self._dispute)))
                found.append((claim["submitted"] + 90 * DAY_MS, claim["id"], (self._decide,)))
        for paid_by, payment in twin.payments.items():
            if payment["status"] in ("instructed", "returning"):
                # The end of its ten days, and the end that a quiet time puts off.
                for over_ms in (payment["instructed"] + 10 * DAY_MS, twin.objection_over(payment)):
                    found.append((over_ms, paid_by, (self._payment,)))
        for name, new in {**twin.recoveries, **twin.key_changes}.items():
            if new["ended"] is None:
                found.append((new["opened"] + 72 * HOUR_MS, name, (self._decide_keys,)))
                end_ms = new["opened"] + FORTNIGHT_MS
                found.append((end_ms, name, (self._decide_keys, self._object, self._transfer)))
            end_ms = new["opened"] + FORTNIGHT_MS if new["ended"] is None else new["ended"]
            if name in twin.recoveries and not new["accepted"]:
                found.append((end_ms + FORTNIGHT_MS, name, (self._recover,)))
        for proposal in twin.proposals:
            if not proposal["adopted"]:
                found.append((proposal["closes"], proposal["number"], (self._vote,)))
        for periods in twin.recognitions.values():
            for period in periods:
                for at_ms in (period["from"], period["until"]):
                    found.append((at_ms, None, (self._reserve, self._redeem, self._recognise)))
        for said in twin.attestations:
            found.append((said["valid_until"], said["subject"], (self._mint, self._redeem)))
            found.append((said["issued"] + 61 * DAY_MS, said["subject"], (self._mint,)))
        if twin.cycle in twin.first_joins:
            found.append((twin.first_joins[twin.cycle] + DAY_MS, None, (self._close,)))
        after_quiet = (self._redeem, self._transfer, self._decide, self._payment)
        found.append((twin.quiet_until, None, after_quiet))
        soon = range(self.time_ms + 500, self.time_ms + 12 * DAY_MS)
        return [one for one in found if one[0] in soon]

    def _act(self, maker: Maker) -> Act:
        self.wanted = []
        operation, keys = self.prepared.pop() if self.prepared else (maker(), self._keys())
        # Blocks are at least 500 ms apart, so that no id comes twice.
        expires_at = self.time_ms + 1 + self.in_block
        self.in_block += 1
        self.made += 1
        body = codec.encode([1, self.log_id, expires_at, operation])
        message = signing_bytes(body)
        signatures = {
            key: crypto.sign(_SEEDS[key], message) if self.signs else bytes(64) for key in keys
        }
        signers = self.twin.signers_of(sorted(keys))
        code = self.twin.apply(
            operation[0],
            dict(zip(KINDS[operation[0]][1], operation[1:], strict=True)),
            signers=signers,
            time_ms=self.time_ms,
            height=self.height,
            record_hash=self.record_hash,
            transaction_id=transaction_id(body),
            size=len(body),
        )
        kind = operation[0]
        if kind in ("party.set_keys", "claim.decide", "payment.record"):
            kind += "/" + operation[1][0]
        elif kind == "governance.propose":
            kind += "/" + operation[2][0]
        return Act(
            kind=kind, operation=operation, signers=signers, code=code, raw=seal(body, signatures)
        )

    # Signatures

    def _proves(self, key: bytes, party: str, proof: bytes) -> bool:
        return proof == self._proof(key, party)

    def _proof(self, key: bytes, party: str) -> bytes:
        """Return what R3.9 asks of a key; nothing holds of one without a seed."""
        message = crypto.frame("tallystick/key/v1", self.log_id, party.encode(), key)
        return crypto.sign(_SEEDS[key], message) if key in _SEEDS else bytes(64)

    def _proofs(self, party: str, keys: list[bytes]) -> list[bytes]:
        """Return the proofs of keys, now and then wrong ones."""
        proofs = [self._proof(key, party) for key in keys]
        luck = self.dice.random()
        if luck < 0.01:
            proofs.append(bytes(64))
        elif luck < 0.02 and proofs:
            proofs.pop()
        elif luck < 0.04 and proofs:
            place = self.dice.randrange(len(proofs))
            proofs[place] = self._proof(keys[place], self.dice.choice(("firm-a", "shanghai")))
        return proofs

    def _proven(self, party: str, keys: list[Any], threshold: int) -> list[Any]:
        """Return keys, threshold and proofs."""
        return [keys, threshold, self._proofs(party, [key for key, _, _ in keys])]

    def _want(self, party: str, role: str = "", keys_max: int = SIGNATURES_MAX) -> None:
        known = self.twin.parties.get(party)
        if known is not None and self._chance(0.5 if known["status"] == "suspended" else 0.95):
            party = self.twin.actor(party) or party
        self.wanted.append((party, role, keys_max))

    def _keys(self) -> list[bytes]:
        """Return keys that give what is wanted; now and then too few, or others."""
        twin, keys = self.twin, []
        if len(self.wanted) > 1 and self._chance(0.05):
            self.wanted.pop(self.dice.randrange(len(self.wanted)))
        for party, role, keys_max in self.wanted:
            keys += self._keys_of(party, role)[:keys_max]
        luck = self.dice.random()
        if luck < 0.05 and keys:
            keys.pop(self.dice.randrange(len(keys)))
        elif luck < 0.07 and keys:
            # The same person twice, where that person has two keys.
            owner = twin.keys[keys[-1]]
            keys[-1] = self.dice.choice(self._alive(owner["party"]) or [keys[-1]])
        if 0.07 <= luck < 0.12 or not keys:
            keys.append(self.dice.choice(sorted(self.usable)))
        return sorted(set(keys))[:SIGNATURES_MAX]

    def _alive(self, party: str) -> list[bytes]:
        known = self.twin.parties.get(party)
        if known is None:
            return []
        keys = [key for key in known["keys"] if key in self.usable]
        if self._chance(0.15):
            # Keys that died in this very block: they may stand there, and do not count (R3.4).
            died = [key for key in sorted(self.usable) if self.twin.keys[key]["party"] == party]
            keys = [key for key in died if key not in keys] + keys
        return keys

    def _keys_of(self, party: str, role: str) -> list[bytes]:
        known = self.twin.parties.get(party)
        if known is None:
            return []
        if role == EVERYBODY:
            return self._alive(party)
        if known["kind"] != "treasury":
            keys = self._alive(party)
            return keys[: known["threshold"]]
        needed = 3 if self._chance(0.7) else 2
        persons: list[str] = []
        found: list[bytes] = []
        for key in self._alive(party):
            owner = self.twin.keys[key]
            if role in owner["roles"] and owner["person"] not in persons:
                persons.append(owner["person"])
                found.append(key)
        start = self.dice.randrange(len(found)) if found else 0
        return (found[start:] + found[:start])[:needed]

    # Dice

    def _chance(self, probability: float) -> bool:
        return self.dice.random() < probability

    def _pick(self, things: Any, else_: Any) -> Any:
        found = list(things)
        if self.focus is not None and self._chance(0.6):
            for one in found:
                names = (one.get("id"), one.get("number")) if isinstance(one, dict) else (one,)
                if self.focus in names:
                    return one
        return self.dice.choice(found) if found else else_

    def _amount(self, limit: int) -> int:
        """Return an amount that is mostly within a limit, often at its edge."""
        kind = self.dice.random()
        if limit < 1 or kind < 0.04:
            return min(max(1, limit + 1), AMOUNT_MAX)
        if kind < 0.25:
            return limit
        if kind < 0.35:
            return 1
        return self.dice.randrange(1, limit + 1)

    def _city(self) -> str:
        if self._chance(0.06):
            return str(self.dice.choice((PROVINCE, "nowhere", CENTRES[0], AUDITOR, FIRMS[0])))
        return self.dice.choice(CITIES)

    def _holders(self) -> list[str]:
        return [name for name, party in self.twin.parties.items() if party["kind"] == "holder"]

    def _members(self) -> list[str]:
        return [name for name, party in self.twin.parties.items() if party["kind"] != "holder"]

    def _holder(self) -> str:
        if self._chance(0.05):
            return str(self.dice.choice(("nobody", "shanghai", "guian-hub", AUDITOR)))
        return str(self._pick(self._holders(), "nobody"))

    def _centre(self) -> str:
        if self._chance(0.03):
            return str(self.dice.choice(("nowhere-hub", "shanghai", "firm-a", AUDITOR)))
        centres = [n for n, p in self.twin.parties.items() if p["kind"] == "data_centre"]
        return str(self.dice.choice(centres))

    def _programme(self) -> str:
        return "shanghai.none" if self._chance(0.02) else self.dice.choice(PROGRAMMES)

    # The opening: what makes the rest possible

    def _opening(self) -> list[Maker]:
        made: list[Maker] = [partial(self._enrolment, firm) for firm in FIRMS]
        made += [partial(self._publication, programme) for programme in PROGRAMMES]
        for programme in PROGRAMMES:
            for funder, _ in terms(programme)["funders"]:
                if not programme.startswith(funder):
                    made.append(partial(self._agreement, programme, 1, funder))
        made += [partial(self._accreditation, centre) for centre in CENTRES]
        for programme in PROGRAMMES:
            for funder, _ in terms(programme)["funders"]:
                for later in (0, 1):
                    made.append(partial(self._money, programme, funder, later))
        made += [partial(self._recognition, issuer) for issuer in CITIES]
        for firm in FIRMS[:4]:
            made.append(partial(self._statement, "shanghai", firm, "registered_in"))
            made.append(partial(self._statement, AUDITOR, firm, "clean_record"))
            made.append(partial(self._statement, "ningbo", firm, "unrelated_to"))
        return made

    def _enrolment(self, firm: str) -> list[Any]:
        city = CITIES[FIRMS.index(firm) % 3]
        self._want(city, "registrar")
        keys: list[Any] = [[key_of(firm, "owner"), "owner", []]]
        threshold = 1
        if firm == "firm-e":
            keys += [[key_of(firm, "clerk"), "clerk", []], [key_of(firm, "chief"), "chief", []]]
            threshold = 2
        holder_class = "institute" if firm == "firm-d" else "start_up"
        group = [digest("tag", GROUPS[firm])] if firm in GROUPS else []
        tag = digest("tag", firm)
        return [
            "party.enrol",
            city,
            firm,
            holder_class,
            firm,
            "310000",
            group,
            tag,
            1,
            *self._proven(firm, keys, threshold),
        ]

    def _publication(self, name: str) -> list[Any]:
        self._want(name.split(".", maxsplit=1)[0], "budget")
        return ["programme.publish", name, 1, "open", list(terms(name).values())]

    def _agreement(self, name: str, version: int, funder: str) -> list[Any]:
        self._want(funder, "budget")
        known = self.twin.programmes.get(name, {"hashes": {}})
        return ["programme.consent", name, version, funder, known["hashes"].get(version, CASE)]

    def _accreditation(self, centre: str) -> list[Any]:
        host = HOSTS[centre]
        self._want(host, "registrar")
        devices = [
            ["ascend", "domestic", 40, 2_000, 400],
            ["hopper", "foreign", 60, 90_000 if centre == "lingang-hub" else 3_000, 700],
        ]
        ownership = "private" if centre == "beilun-hub" else "public"
        return ["centre.accredit", host, centre, devices, 1_200, ownership, False]

    def _money(self, programme: str, funder: str, later: int) -> list[Any]:
        self._want(funder, "budget")
        year = year_of(self.time_ms) + later
        delta = AMOUNT_MAX if programme == "ningbo.vast" else 60_000
        return ["programme.appropriate", programme, funder, year, delta, []]

    def _recognition(self, issuer: str) -> list[Any]:
        others = [city for city in CITIES if city != issuer]
        mine = [programme for programme in PROGRAMMES if programme.startswith(issuer)]
        mode = "direct" if issuer == "guiyang" else "host_pays"
        self._want(issuer, "registrar")
        if mode == "host_pays":
            for host in others:
                self._want(host, "registrar")
        until = self.time_ms + 100 * DAY_MS
        return ["recognition.set", issuer, mine, others, mode, [20_000], self.time_ms, until]

    def _statement(self, attester: str, subject: str, topic: str) -> list[Any]:
        self._want(attester, "registrar")
        until = self.time_ms + 300 * DAY_MS
        return ["attestation.issue", attester, subject, topic, [], "310000", 5_000, until, []]

    # Parties

    def _new_keys(self, party: str, person: str = "owner") -> tuple[list[Any], int]:
        """Return keys for a holder or watcher, mostly good ones."""
        known = self.twin.parties.get(party)
        keys: list[Any] = []
        if known is not None and self._chance(0.4):
            for key in known["keys"]:
                keys.append([key, self.twin.keys[key]["person"], []])
        for _ in range(self.dice.randrange(0 if keys else 1, 3)):
            keys.append([key_of(party, person, str(self.made), str(len(keys))), person, []])
        threshold = self.dice.randrange(1, len(keys) + 1)
        wrong = self.dice.random()
        if wrong < 0.03:
            threshold = self.dice.choice((0, len(keys) + 1))
        elif wrong < 0.06:
            keys[-1][2] = ["pay"]
        elif wrong < 0.1:
            keys[-1][0] = self.dice.choice(sorted(self.twin.keys))
        elif wrong < 0.13:
            keys[-1][0] = self.dice.choice(BAD_KEYS)
        elif wrong < 0.17:
            # A key that is set aside, mostly for somebody else.
            keys[-1][0] = self._pick(self.twin.announced, keys[-1][0])
        elif wrong < 0.21:
            # A key that is dead for ever, of the same person.
            for key, owner in self.twin.keys.items():
                if owner["dead"] and (owner["party"], owner["person"]) == (party, person):
                    keys[-1][0] = key
        elif wrong < 0.23:
            keys.append(list(keys[0]))
        return keys, threshold

    def _officer_keys(self, party: str) -> tuple[list[Any], int]:
        """Return keys for a treasury, mostly good ones."""
        keys: list[Any] = []
        for person, roles in OFFICERS.items():
            keys.append([key_of(party, person, str(self.made)), person, list(roles)])
        if self._chance(0.5) and party in self.twin.parties:
            keys = []
            for key in self.twin.parties[party]["keys"]:
                owner = self.twin.keys[key]
                keys.append([key, owner["person"], list(owner["roles"])])
            keys[-1][0] = key_of(party, keys[-1][1], str(self.made))
            if self._chance(0.3):
                # A key keeps its person, not its roles.
                keys[2][2] = self.dice.choice((["registrar"], list(OFFICERS["officer-3"])))
        wrong = self.dice.random()
        if wrong < 0.05:
            keys[0][2] = ["budget", "mint"]
        elif wrong < 0.1:
            # Four persons are the fewest, and enough.
            four = ("officer-1", "officer-2", "officer-4", "officer-5")
            keys = [key for key in keys if key[1] in four[: self.dice.choice((3, 4))]]
        elif wrong < 0.15:
            keys[0][2] = ["pay", "review"]
        elif wrong < 0.2:
            keys[0][0] = self.dice.choice(sorted(self.twin.keys))
        return keys, self.dice.choice((2, 2, 2, 0, 9))

    def _enrol(self) -> list[Any]:
        city = self._city()
        self._want(city, "registrar")
        known = len(self._holders())
        party = self.dice.choice(("firm-a", "clearing", "shanghai", f"firm-{known}"))
        if known < 9 and self._chance(0.6):
            party = f"firm-{known}"
        keys, threshold = self._new_keys(party)
        tag = digest("tag", party if self._chance(0.9) else "firm-a")
        group = self.dice.choice(([], [digest("tag", "firm-a")], [digest("tag", "firm-c")]))
        holder_class = self.dice.choice(("start_up", "maker"))
        return [
            "party.enrol",
            city,
            party,
            holder_class,
            party,
            "310000",
            group,
            tag,
            epoch_of(tag),
            *self._proven(party, keys, threshold),
        ]

    def _attest(self) -> list[Any]:
        attester = self.dice.choice((*CITIES, *self._members(), AUDITOR, self._holder()))
        self._want(attester, "registrar")
        topic = self.dice.choice(
            ("registered_in", "revenue_at_least", "clean_record", "unrelated_to")
        )
        about: list[str] = []
        if topic == "unrelated_to" and self._chance(0.6):
            about = ["nowhere"] if self._chance(0.05) else [self._centre()]
        until = self.time_ms + self.dice.choice((0, 1, DAY_MS, 90 * DAY_MS, EVER_MS))
        amount = self.dice.choice((0, 999, 1_000, 7_000))
        text = self.dice.choice(("310000", "520000"))
        return [
            "attestation.issue",
            attester,
            self._holder(),
            topic,
            about,
            text,
            amount,
            until,
            [],
        ]

    def _revoke_attestation(self) -> list[Any]:
        said = self._pick(self.twin.attestations, None)
        if said is None or self._chance(0.1):
            by = self.dice.choice(("shanghai", "nowhere"))
            self._want(by, "registrar")
            return ["attestation.revoke", by, "firm-d", "research_project", []]
        self._want(said["attester"], "registrar")
        about = [] if said["about"] is None else [said["about"]]
        return ["attestation.revoke", said["attester"], said["subject"], said["topic"], about]

    def _rotate(self) -> list[Any]:
        party = self._pick(self.twin.parties, "nobody")
        if self._chance(0.4):
            # The city that is shortest of officers.
            party = min(CITIES, key=lambda city: len(self.twin.parties[city]["keys"]))
        if self._chance(0.03):
            party = "nobody"
        self._want(party, "registrar")
        if self._chance(0.7):
            # Everybody may change, with everybody's consent; else it is a plot of a few.
            self._want(party, EVERYBODY)
        return ["party.set_keys", ["rotate", party, *self._keys_for(party)]]

    def _keys_for(self, party: str) -> list[Any]:
        """Return keys, threshold and proofs for a party."""
        is_treasury = party in (*CITIES, PROVINCE)
        keys, threshold = (self._officer_keys if is_treasury else self._new_keys)(party)
        return self._proven(party, keys, threshold)

    def _announce(self) -> list[Any]:
        party = self._pick(self._members(), "shanghai")
        if self._chance(0.05):
            party = self.dice.choice((self._holder(), "nobody"))
        self._want(party, "registrar")
        return ["party.set_keys", ["announce", party, *self._keys_for(party)]]

    def _recover(self) -> list[Any]:
        party = self._holder()
        city = self._city()
        known = self.twin.parties.get(party)
        if known is not None and known["enrolled_by"] and self._chance(0.85):
            city = known["enrolled_by"]
        second: list[str] = []
        last = self.twin.recoveries.get(party)
        if (last is not None and not last["accepted"]) != self._chance(0.1):
            second = [self._second()]
        self._want(city, "registrar")
        new = self._proven(party, *self._new_keys(party, "heir"))
        return ["party.set_keys", ["recover", city, party, *new, CASE, second]]

    def _second(self) -> str:
        second = self.dice.choice((*CITIES, AUDITOR, PROVINCE))
        self._want(second, "registrar")
        return second

    def _waiting(self) -> dict[str, Thing]:
        """Return the recoveries and key changes that are open, by party."""
        new = {**self.twin.recoveries, **self.twin.key_changes}
        return {name: one for name, one in new.items() if self.twin.is_open(one)}

    def _object(self) -> list[Any]:
        party = self._pick(self._waiting(), "firm-d")
        if self._chance(0.05):
            party = "nobody"
        by = party if self._chance(0.7) else AUDITOR
        if self._chance(0.05):
            by = self.dice.choice((*CITIES, self._holder()))
        self._want(by, self.dice.choice(("registrar", "mint")))
        return ["party.set_keys", ["object", party, by]]

    def _decide_keys(self) -> list[Any]:
        waiting = self._waiting()
        if not waiting and self._chance(0.8):
            maker = self.dice.choices((self._recover, self._announce, self._redeem), (1, 1, 4))[0]
            return maker()
        party = self._pick(waiting, self._holder())
        new = waiting.get(party, {"objected": False, "opened": self.time_ms})
        by = party
        if party not in self.twin.key_changes and party in self.twin.parties:
            by = self.twin.parties[party]["enrolled_by"] or party
        if self._chance(0.05):
            by = self._city()
        second: list[str] = []
        if new["objected"] != self._chance(0.2):
            second = [self._second()]
        accept = self.time_ms >= new["opened"] + 72 * HOUR_MS or self._chance(0.2)
        if self._chance(0.15):
            accept = not accept
        if not (new["objected"] and not accept and self._chance(0.5)):
            self._want(by, "registrar")
        return ["party.set_keys", ["decide", by, party, accept, second]]

    # Programmes and centres

    def _publish(self) -> list[Any]:
        name = self._programme()
        if self._chance(0.05):
            name = self.dice.choice(("nowhere.compute", "henan.compute", "shanghai.later"))
        self._want(name.split(".")[0], "budget")
        known = self.twin.programmes.get(name)
        status = self.dice.choices(("open", "suspended", "closed"), (12, 3, 0.2))[0]
        new = terms(name if name in PROGRAMMES else "ningbo.open")
        if known is None:
            return [
                "programme.publish",
                name,
                self.dice.choice((1, 1, 2)),
                status,
                list(new.values()),
            ]
        version = known["version"] or known["proposed"]
        if self._chance(0.6):
            former = dict(known["terms"][version])
            former["caps"] = list(former["caps"].values())
            if self._chance(0.1):
                former["title"] = "Other"
            return ["programme.publish", name, version, status, list(former.values())]
        self._mutate(new)
        last = max(known["terms"])
        version = self.dice.choices((last + 1, last + 2, last, max(1, last - 1)), (20, 1, 1, 1))[0]
        return ["programme.publish", name, version, "open", list(new.values())]

    def _consent(self) -> list[Any]:
        """Let a funder consent to what waits for it, now and then to something else."""
        twin = self.twin
        waiting = [
            (name, known["proposed"], funder)
            for name, known in twin.programmes.items()
            if known["proposed"]
            for funder in twin.consents_missing(name, known["proposed"])
        ]
        if not waiting and self._chance(0.7):
            return self._publish()
        name, version, funder = self._pick(waiting, (self._programme(), 1, PROVINCE))
        wrong = self.dice.randrange(14)
        if wrong == 0:
            version = self.dice.choice((max(0, version - 1), version + 1))
        elif wrong == 1:
            funder = self.dice.choice((*CITIES, AUDITOR))
        operation = self._agreement(name, version, funder)
        if wrong == 2:
            operation[4] = CASE
        return operation

    def _share(self, new: dict[str, Any]) -> None:
        """Let other funders share a programme, or the same ones otherwise."""
        funders = self.dice.sample((*CITIES, PROVINCE), self.dice.randrange(1, 4))
        rest, shares = 10_000, []
        for funder in funders[1:]:
            bp = self.dice.choice((0, 1, 2_500, 3_333))
            shares.append([funder, bp])
            rest -= bp
        new["funders"] = [[funders[0], rest], *shares]
        new["residual_funder"] = self.dice.choice(funders)

    def _mutate(self, new: dict[str, Any]) -> None:
        """Change terms: mostly what may be changed, now and then into nonsense."""
        new["review"] = [self.dice.choice((0, 1_000, 4_000)), self.dice.choice((0, 2, 4))]
        new["ceiling"] = self.dice.choice((5_000, 9_000, 10_000))
        new["validity_days"] = self.dice.choice((0, 3, 30))
        new["rounding"] = self.dice.choice((["truncate", 1], ["half_up", 7]))
        new["payee"] = self.dice.choice(("centre", "centre", "holder"))
        new["stackable"] = new["stackable"] if self._chance(0.85) else []
        if self._chance(0.3):
            # A lower cap on redemptions than some holder has reached.
            new["caps"] = [*new["caps"][:4], [self.dice.choice((100, 1_000))], new["caps"][5]]
        if self._chance(0.45):
            self._share(new)
        wrong = self.dice.randrange(16)
        if wrong == 0:
            new["funders"] = [*new["funders"], new["funders"][0]]
        elif wrong == 1:
            new["residual_funder"] = AUDITOR
        elif wrong == 2:
            new["funders"] = [[new["residual_funder"], 9_999]]
        elif wrong == 3:
            new["grant"], new["transfer"] = "after_use", "enrolled"
        elif wrong == 4:
            new["caps"] = [[5], [self.dice.choice((4, 5))], *new["caps"][2:]]
        elif wrong == 5:
            many = self.dice.choice((8, 9))
            new["eligibility"] = [[["clean_record", "", 0, [], 0]] * many] * 2
        elif wrong == 6:
            many = self.dice.choice((16, 17))
            new["eligibility"] = [[["clean_record", "", 0, [AUDITOR] * many, 0]]]
        elif wrong == 7:
            new["centres"], new["listed"] = "recognised", ["guian-hub"]
        elif wrong == 8:
            new["base_period"] = [[5, 5]]
        elif wrong == 9:
            new["funders"], new["residual_funder"] = [[CENTRES[0], 10_000]], CENTRES[0]

    def _appropriate(self) -> list[Any]:
        programme = self._programme()
        known = self.twin.programmes.get(programme)
        funder = self._pick([] if known is None else self.twin.funders(programme), "shanghai")
        if self._chance(0.05):
            funder = self.dice.choice((AUDITOR, "ningbo"))
        year = year_of(self.time_ms)
        former = [
            key
            for key, money in self.twin.appropriated.items()
            if money and key[2] not in self.twin.funders(key[0])
        ]
        if former and self._chance(0.45):
            # A former funder, who may take back and no more.
            programme, year, funder = self.dice.choice(former)
            self._want(funder, "budget")
            spare = self.twin.appropriated[programme, year, funder]
            spare -= self.twin.committed(programme, year, funder)
            sign, carried_ = self.dice.choice(((-1, []), (-1, []), (1, []), (-1, [year - 1])))
            return [
                "programme.appropriate",
                programme,
                funder,
                year,
                sign * self._amount(spare),
                carried_,
            ]
        self._want(funder, "budget")
        carried: list[int] = []
        delta = self.dice.randrange(1, 30_000)
        if self._chance(0.25):
            year, carried = year + 1, [year + self.dice.choice((0, 0, 0, 1))]
            if self._chance(0.1):
                delta = -delta
        elif self._chance(0.3):
            spare = self.twin.appropriated.get((programme, year, funder), 0)
            spare -= self.twin.committed(programme, year, funder)
            delta = -self._amount(spare)
        elif self._chance(0.02):
            delta = AMOUNT_MAX
        return ["programme.appropriate", programme, funder, year, delta, carried]

    def _accredit(self) -> list[Any]:
        centre = self._centre()
        known = self.twin.accreditations.get(centre)
        host = known["host"] if known is not None and self._chance(0.9) else self._city()
        self._want(host, "registrar")
        if known is not None and known["host"] != host and self._chance(0.6):
            self._want(centre)
        devices: list[Any] = [
            ["ascend", "domestic", self.dice.choice((1, 4, 40)), 2_000, self.dice.choice((1, 400))],
            ["hopper", self.dice.choice(("foreign", "foreign", "domestic")), 6, 3_000, 700],
        ]
        if self._chance(0.1):
            devices.append(list(devices[0]))
        elif self._chance(0.15):
            devices = devices[:1]
        ownership = self.dice.choice(("public", "private"))
        return ["centre.accredit", host, centre, devices, 1_300, ownership, self._chance(0.15)]

    def _recognise(self) -> list[Any]:
        issuer = self._city()
        mine = [programme for programme in PROGRAMMES if programme.startswith(issuer)]
        if self._chance(0.06):
            mine.append(self.dice.choice((*PROGRAMMES, f"{issuer}.none")))
        hosts = [city for city in CITIES if city != issuer][: self.dice.randrange(1, 3)]
        if self._chance(0.05):
            hosts.append(self.dice.choice((self._city(), PROVINCE, "nowhere")))
        mode = self.dice.choice(("direct", "host_pays", "host_pays"))
        self._want(issuer, "registrar")
        if mode == "host_pays":
            for host in hosts:
                self._want(host, "registrar")
        from_ms = self.time_ms + self.dice.choice((-DAY_MS, 0, 0, DAY_MS))
        programmes = mine or ["shanghai.compute"]
        periods = self.twin.recognitions.get((programmes[0], hosts[0] if hosts else ""), [])
        live = [one for one in periods if one["until"] > self.time_ms]
        if live and self._chance(0.6):
            # The next period, or the one ahead again.
            from_ms = live[-1][self.dice.choice(("until", "until", "from"))]
        until_ms = from_ms + self.dice.choice((0, DAY_MS, 40 * DAY_MS, 90 * DAY_MS, EVER_MS))
        limit: list[int] = self.dice.choice(([], [0], [8_000], [20_000]))
        return ["recognition.set", issuer, programmes, hosts, mode, limit, from_ms, until_ms]

    # Vouchers

    def _mint(self) -> list[Any]:
        programme = self._programme()
        if programme == "shanghai.after" and self._chance(0.9):
            programme = "shanghai.compute"
        known = self.twin.programmes.get(programme)
        version = 1 if known is None else known["version"]
        if self._chance(0.06):
            version = (known or {}).get("proposed") or version + 1
        self._want(programme.split(".")[0], "mint")
        rows: list[Any] = []
        for _ in range(self.dice.choice((1, 1, 2, 3))):
            holder = self._holder()
            amount = self.dice.choice((self.dice.randrange(20, 3_000), 6_000))
            if self._chance(0.05):
                amount = self.dice.choice((1, 15_000, 100_000, AMOUNT_MAX))
            if programme == "ningbo.vast" and self._chance(0.4):
                rest = AMOUNT_MAX - self.twin.totals(programme)["face"] - sum(r[1] for r in rows)
                amount = self.dice.choice((2**52, 2**51, AMOUNT_MAX, rest, rest + 1))
                amount = max(1, min(amount, AMOUNT_MAX))
            if known is not None and known["version"] and self._chance(0.08):
                amount = self.dice.choice(self._mint_edges(programme, holder))
                amount = max(1, amount + self.dice.choice((-1, 0, 0, 1)))
            rows.append([holder, amount, self._decision(programme, rows)])
        return ["voucher.mint", programme, version, rows]

    def _decision(self, programme: str, rows: list[Any]) -> bytes:
        """Return a grant decision, mostly one that nobody minted."""
        minted = [name for where, name in self.twin.decisions if where == programme]
        minted += [row[2] for row in rows]
        if minted and self._chance(0.02):
            known: bytes = self.dice.choice(minted)
            return known
        return digest("decision", self.made, len(rows))

    def _mint_edges(self, programme: str, holder: str) -> list[int]:
        """Return the amounts at which some limit of a grant is reached."""
        twin, year = self.twin, year_of(self.time_ms)
        terms_ = twin.terms(programme)
        caps = terms_["caps"]
        edges = [*caps["grant_min"], *caps["grant_max"]]
        if holder in twin.parties:
            issued = twin.issued(programme, year, holder)
            edges += [cap - issued for cap in caps["holder_year_issued"]]
            issued = twin.group_issued(programme, year, twin.parties[holder]["group"])
            edges += [cap - issued for cap in caps["group_year_issued"]]
        for funder, bp in terms_["funders"]:
            left = twin.appropriated.get((programme, year, funder), 0)
            left -= twin.committed(programme, year, funder)
            edges.append(left * 10_000 // max(1, bp))
        return [min(edge, AMOUNT_MAX - 1) for edge in edges if edge > 0] or [1]

    def _voucher(self) -> Thing | None:
        """Return a voucher, mostly one with value."""
        if self.focus in self.twin.vouchers and self._chance(0.6):
            return self.twin.vouchers[self.focus]
        rich = [one for one in self.twin.vouchers.values() if one["available"] > 0]
        if rich and self._chance(0.95):
            return rich[-1 - min(int(self.dice.expovariate(0.1)), len(rich) - 1)]
        found: Thing | None = self._pick(self.twin.vouchers.values(), None)
        return found

    def _transfer(self) -> list[Any]:
        voucher = self._voucher()
        if voucher is not None and self._chance(0.3):
            # What came through most transfers goes further: the sixteenth is the last.
            rich = [one for one in self.twin.vouchers.values() if one["available"] > 0]
            voucher = max([voucher, *rich], key=lambda one: one["depth"])
        if voucher is None or self._chance(0.02):
            self._want("firm-a")
            return ["voucher.transfer", "shanghai.compute.000099999", "firm-a", "firm-b", 5]
        holder = voucher["holder"] if self._chance(0.97) else self._holder()
        recipient = self._holder()
        for party in (holder, recipient):
            self._want(party)
        amount = self._amount(voucher["available"])
        return ["voucher.transfer", voucher["id"], holder, recipient, amount]

    def _reserve(self) -> list[Any]:
        voucher = self._voucher()
        if voucher is None:
            return self._transfer()
        holder = voucher["holder"] if self._chance(0.96) else self._holder()
        self._want(holder)
        amount = self._amount(voucher["available"])
        expiry = self.twin.expiry(voucher)
        until = self.time_ms + self.dice.choice((0, 1, DAY_MS, DAY_MS, 3 * DAY_MS))
        if self._chance(0.2):
            until = expiry + self.dice.choice((0, 0, 1))
        return [
            "voucher.reserve",
            voucher["id"],
            holder,
            self._centre_for(voucher["programme"], voucher["version"]),
            self._order(),
            amount,
            self._chip(),
            self._service(),
            until,
        ]

    def _order(self) -> str:
        return self.dice.choices(("order", "other order"), (12, 1))[0]

    def _chip(self) -> str:
        return self.dice.choices(("ascend", "hopper", "abacus"), (10, 10, 1))[0]

    def _service(self) -> str:
        return self.dice.choices(("training", "inference", "general"), (6, 1, 1))[0]

    def _centre_for(self, programme: str, version: int) -> str:
        """Return a centre, mostly one that the programme accepts."""
        good = []
        for centre in self.twin.accreditations:
            if self.twin.accepts(programme, self.twin.terms(programme, version), centre):
                good.append(centre)
        return self.dice.choice(good) if good and self._chance(0.92) else self._centre()

    def _release(self) -> list[Any]:
        name = self._pick(
            [name for name, one in self.twin.reserves.items() if one["left"] > 0], None
        )
        if name is None or self._chance(0.05):
            self._want(CENTRES[0])
            return ["voucher.release", f"{CENTRES[0]}.000099999", CENTRES[0], 1]
        one = self.twin.reserves[name]
        by = one["centre"] if self._chance(0.95) else self._centre()
        if self.time_ms >= one["until"] or self._chance(0.1):
            # The holder takes back what the centre leaves lying.
            voucher = self.twin.vouchers[one["voucher"]]
            by = voucher["holder"]
            self._want(voucher["programme"].split(".")[0], "review")
        self._want(by)
        return ["voucher.release", name, by, self._amount(one["left"])]

    def _extend(self) -> list[Any]:
        voucher = self._voucher()
        if voucher is None or self._chance(0.03):
            return ["voucher.extend", "shanghai.compute.000099999", 30_000, CASE]
        self._want(voucher["programme"].split(".")[0], "review")
        last_day = day_of(self.twin.expiry(voucher) - 1)
        until_day = self.dice.choice(
            (
                last_day,
                last_day + 1,
                last_day + 20,
                day_of(self.time_ms) + 3_660,
                day_of(self.time_ms) + 3_661,
            )
        )
        return ["voucher.extend", voucher["id"], until_day, CASE]

    def _revoke(self) -> list[Any]:
        voucher = self._voucher()
        if voucher is None or self._chance(0.03):
            return ["voucher.revoke", "shanghai.compute.000099999", 1, CASE]
        self._want(voucher["programme"].split(".")[0], "review")
        return ["voucher.revoke", voucher["id"], self._amount(voucher["available"] // 2), CASE]

    # Claims

    def _redeem(self) -> list[Any]:
        twin = self.twin
        again = self._chance(0.2)
        lines: list[Any] = []
        grant: list[Any] = []
        stacked = self._stacked() if again else None
        if stacked is not None:
            lines, programme, version, holder, centre = stacked
            total = sum(line[1] for line in lines)
        elif self._chance(0.2):
            programme, version, holder, centre, total = self._grant()
            grant = [[programme, version, total]]
        else:
            lines, programme, version, holder, centre = self._lines()
            total = sum(line[1] for line in lines)
        if programme not in twin.programmes or version not in twin.programmes[programme]["terms"]:
            terms_ = {**terms("shanghai.after"), "caps": {cap: [] for cap in CAPS}}
        else:
            terms_ = twin.terms(programme, version)
        joint = bool(grant) or any(not line[2] for line in lines)
        self._want(centre)
        signs = joint or self._chance(0.3)
        if signs or self._chance(0.1):
            self._want(holder)
        if self._chance(0.02):
            signs = not signs
        if self._chance(0.02):
            # An officer of who decides.
            self._want(programme.split(".")[0], "review", 1)
        order, chip, service = self._order(), self._chip(), self._service()
        reserved = [name for line in lines for name in line[2] if name in twin.reserves]
        if reserved and self._chance(0.97):
            reserve = twin.reserves[reserved[0]]
            order, chip, service = reserve["order"], reserve["chip"], reserve["service_class"]
        rate = None
        if holder in twin.parties and centre in twin.accreditations:
            rate = twin.rate(terms_, holder, centre, chip, service)
        bp = min(rate or 3_000, terms_["ceiling"])
        base = max(1, -(-total * 10_000 // max(1, bp)))
        base += self.dice.choice((0, 0, 1, 50, base // 4))
        if self._chance(0.04):
            base = max(1, base - 1 - base // 100)
        base = min(base, AMOUNT_MAX)
        net = min(base + self.dice.choice((0, 10, 200)), AMOUNT_MAX)
        if self._chance(0.01):
            net = max(1, base - 1)
        invoice = [digest("invoice", self.made), 1, net, base]
        usage = self._usage(centre, chip, base, [line[0] for line in lines])
        if self._chance(0.01):
            usage = []
        if again:
            invoice, usage = self._known_invoice(holder, centre, invoice, usage)
        contract = self._contract(terms_, holder, centre, invoice[3])
        return [
            "voucher.redeem",
            holder,
            centre,
            order,
            lines,
            grant,
            invoice,
            contract,
            service,
            usage,
            CASE,
            signs,
        ]

    def _grant(self) -> tuple[str, int, str, str, int]:
        programme = "shanghai.after"
        if self._chance(0.06):
            programme = self.dice.choice((*PROGRAMMES, "shanghai.none"))
        known = self.twin.programmes.get(programme)
        version = 1 if known is None else known["version"]
        if self._chance(0.03):
            version += 1
        total = self.dice.randrange(50, 3_000)
        if self._chance(0.15):
            total = self.dice.choice((49, 50, 9_000, 9_001))
        centre = self._centre()
        if known is not None and version in known["terms"]:
            centre = self._centre_for(programme, version)
        return programme, version, self._holder(), centre, total

    def _lines(self) -> tuple[list[Any], str, int, str, str]:
        """Return lines, and their programme, terms version, holder and centre."""
        twin = self.twin
        if self._chance(0.45):
            live = [
                name for name, one in twin.reserves.items() if one["left"] > 0 or self._chance(0.01)
            ]
            name = self._pick(live, None)
            if name is not None:
                reserve = twin.reserves[name]
                voucher = twin.vouchers[reserve["voucher"]]
                lines: list[Any] = [[voucher["id"], self._amount(reserve["left"]), [name]]]
                for other_name in live:
                    other = twin.reserves[other_name]
                    of = twin.vouchers[other["voucher"]]
                    same = (of["holder"], of["programme"], of["version"]) == (
                        voucher["holder"],
                        voucher["programme"],
                        voucher["version"],
                    )
                    same = same and other["centre"] == reserve["centre"]
                    uses = [
                        (one["order"], one["chip"], one["service_class"])
                        for one in (reserve, other)
                    ]
                    same = same and (uses[0] == uses[1] or self._chance(0.03))
                    new = of["id"] not in [line[0] for line in lines]
                    if same and new and len(lines) < 3 and other["left"] > 0:
                        lines.append([of["id"], self._amount(other["left"]), [other_name]])
                if self._chance(0.1):
                    # One line without a reserve: the claim is joint.
                    for of in twin.vouchers.values():
                        same = (of["holder"], of["programme"], of["version"]) == (
                            voucher["holder"],
                            voucher["programme"],
                            voucher["version"],
                        )
                        if same and of["available"] and of["id"] not in [one[0] for one in lines]:
                            lines.append([of["id"], self._amount(of["available"]), []])
                            break
                centre = reserve["centre"] if self._chance(0.97) else self._centre()
                return lines, voucher["programme"], voucher["version"], voucher["holder"], centre
        first = self._voucher()
        if first is None:
            return [], "shanghai.compute", 1, "firm-a", CENTRES[0]
        lines = [[first["id"], self._amount(min(3_000, first["available"])), []]]
        odd = self._chance(0.03)
        for other in twin.vouchers.values():
            if len(lines) < 3 and other is not first and other["available"] > 0:
                same = (other["holder"], other["programme"], other["version"]) == (
                    first["holder"],
                    first["programme"],
                    first["version"],
                )
                if (same and self._chance(0.3)) or (odd and other["holder"] == first["holder"]):
                    lines.append([other["id"], self._amount(min(900, other["available"])), []])
        if self._chance(0.01):
            lines.append(list(lines[0]))
        if self._chance(0.02) and twin.reserves:
            lines[-1][2] = [self._pick([*twin.reserves, "guian-hub.000099999"], None)]
        if self._chance(0.005):
            lines = []
        holder = first["holder"] if self._chance(0.98) else self._holder()
        centre = self._centre_for(first["programme"], first["version"])
        edges = self._claim_edges(first["programme"], first["version"], holder, centre)
        if edges and self._chance(0.1):
            edge = self.dice.choice(edges) + self.dice.choice((0, 0, 1))
            lines = [[first["id"], max(1, min(edge, first["available"])), []]]
        return lines, first["programme"], first["version"], holder, centre

    def _stacked(self) -> tuple[list[Any], str, int, str, str] | None:
        """Return a line for an invoice that another programme pays in part, and what it is of."""
        twin = self.twin
        found: list[tuple[Thing, Thing]] = []
        for invoice in twin.invoices.values():
            programmes = [programme for programme, _ in invoice["uses"]]
            for voucher in twin.vouchers.values():
                fits = voucher["holder"] == invoice["holder"] and voucher["available"] > 0
                theirs = twin.terms(voucher["programme"])["stackable"]
                stackable = all(one in theirs for one in programmes) or self._chance(0.05)
                if fits and programmes and stackable:
                    found.append((invoice, voucher))
        if not found:
            return None
        invoice, voucher = found[-1 - min(int(self.dice.expovariate(0.2)), len(found) - 1)]
        amount = min(voucher["available"], invoice["base"] * self.dice.choice((1, 3, 5)) // 10)
        lines = [[voucher["id"], max(1, amount), []]]
        return (
            lines,
            voucher["programme"],
            voucher["version"],
            voucher["holder"],
            invoice["centre"],
        )

    def _claim_edges(self, programme: str, version: int, holder: str, centre: str) -> list[int]:
        """Return the amounts at which some limit of a claim is reached."""
        twin = self.twin
        terms_ = twin.terms(programme, version)
        edges = [terms_["review"][0] - band_used(twin, twin.issuer(programme), holder)]
        redeemed = redeemed_in(twin, programme, holder, year_of(self.time_ms))
        edges += [cap - redeemed for cap in terms_["caps"]["holder_year_redeemed"]]
        known = twin.accreditations.get(centre)
        period = None if known is None else twin.period_in_force(programme, known["host"])
        if known is not None and period is not None and period["limit"] is not None:
            used = used_of(twin, programme, known["host"], period["number"])
            edges.append(period["limit"] - used)
        return [edge for edge in edges if edge > 0]

    def _usage(self, centre: str, chip: str, base: int, vouchers: list[str]) -> list[Any]:
        """Return device time that the tariffs mostly find enough, mostly on days that count."""
        ceiling, power = 2_000, 400
        today = day_of(self.time_ms)
        begun = [today - 12]
        if centre in self.twin.accreditations:
            begun.append(self.twin.accreditations[centre]["since"])
            devices = self.twin.devices(centre, chip)
            if devices is not None:
                ceiling, power = devices["ceiling"], devices["power"]
        begun += [
            self.twin.vouchers[name]["minted"] for name in vouchers if name in self.twin.vouchers
        ]
        gpu_ms = -(-base * HOUR_MS // ceiling) + self.dice.choice((0, 0, 1_000))
        if self._chance(0.03):
            gpu_ms = max(1, gpu_ms - HOUR_MS // ceiling - 1)
        usage: list[Any] = []
        rows = self.dice.choice((1, 1, 2, 3))
        for place in range(rows):
            day = self.dice.randrange(max(begun), today + 1)
            if self._chance(0.02):
                day = self.dice.choice((today + 1, max(begun) - 1, today - 401))
            part = gpu_ms // rows + (gpu_ms % rows if place == 0 else 0)
            part = max(1, min(part, AMOUNT_MAX // 400))
            energy_wh = part * power // HOUR_MS + (1 if self._chance(0.01) else 0)
            usage.append([chip, day, part, energy_wh])
        if self._chance(0.05):
            usage[-1][0] = self._chip()
        if self._chance(0.04):
            usage[-1][2] *= self.dice.choice((50, 400))
        return usage

    def _known_invoice(
        self, holder: str, centre: str, invoice: list[Any], usage: list[Any]
    ) -> tuple[list[Any], list[Any]]:
        """Return an invoice claimed before, if there is one."""
        tags = []
        for tag, known in self.twin.invoices.items():
            same = (known["holder"], known["centre"]) == (holder, centre)
            same = same and (not usage or known["usage"][0][0] == usage[0][0])
            if same or self._chance(0.01):
                tags.append(tag)
        tag = self._pick(tags, None)
        if tag is None:
            return invoice, usage
        known = self.twin.invoices[tag]
        if invoice_of(self.twin, tag) is None and self._chance(0.5):
            return [tag, *invoice[1:]], usage
        invoice = [tag, epoch_of(tag), known["net"], known["base"]]
        usage = [list(row) for row in known["usage"]]
        wrong = self.dice.random()
        if wrong < 0.05:
            invoice[2] += 1
        elif wrong < 0.1:
            usage[0][3] += 1
        elif wrong < 0.13:
            invoice[2:] = [invoice[2] + 9, invoice[3] + 1]
        return invoice, usage

    def _contract(self, terms_: Thing, holder: str, centre: str, base: int) -> list[Any]:
        needed = bool(terms_["base_period"] or terms_["caps"]["contract_max"])
        needed = needed or terms_["contract_days_max"] > 0
        if needed == self._chance(0.04):
            return []
        today = day_of(self.time_ms)
        known = [
            [tag, one["amount"], one["start"], one["end"]]
            for tag, one in self.twin.contracts.items()
            if (one["holder"], one["centre"]) == (holder, centre) or self._chance(0.01)
        ]
        if known and self._chance(0.6):
            contract = list(self.dice.choice(known))
            free = [one for one in known if not resting(self.twin, one[0])]
            if free and self._chance(0.3):
                # No claim rests on it: it is as good as new.
                contract = [self.dice.choice(free)[0], base * 8, contract[2], contract[3]]
                contract[1] = min(contract[1], AMOUNT_MAX)
            elif self._chance(0.05):
                contract[self.dice.choice((1, 2, 3))] += 1
            return [contract]
        start = today - self.dice.randrange(40)
        (days,) = self.dice.choices((0, 1, 30, 100, 300, 301), (1, 8, 8, 8, 4, 1))
        end = start + days
        amount = min(base * self.dice.choice((1, 3, 8, 40)), AMOUNT_MAX)
        if self._chance(0.05):
            # What is rounded up to the base stays above the amount.
            amount = max(1, base - self.dice.randrange(1, 5))
        return [[digest("contract", self.made), amount, start, end]]

    def _claim(self, *statuses: str) -> Thing | None:
        found: Thing | None = self._pick(
            [claim for claim in self.twin.claims.values() if claim["status"] in statuses], None
        )
        if found is None or self._chance(0.03):
            found = self._pick(self.twin.claims.values(), None)
        return found

    def _decide(self) -> list[Any]:
        claim = self._claim("under_review", "disputed")
        if claim is not None and claim["status"] not in OPEN_CLAIM and self._chance(0.8):
            return self._redeem()
        if claim is None or self._chance(0.02):
            return ["claim.decide", ["decide", f"{CENTRES[0]}.000099999", "shanghai", 1, [], True]]
        by = claim["programme"].split(".")[0]
        if self.time_ms >= claim["submitted"] + 80 * DAY_MS or self._chance(0.03):
            by = AUDITOR
        if self._chance(0.02):
            by = self.dice.choice(("nowhere", PROVINCE, *CITIES))
        self._want(by, "review")
        accepted = self._amount(claim["amount"])
        if self._chance(0.5):
            accepted = claim["amount"]
        elif self._chance(0.25):
            accepted = 0
        elif self._chance(0.3):
            edges = self._claim_edges(
                claim["programme"], claim["version"], claim["holder"], claim["centre"]
            )
            accepted = min([claim["amount"], *edges[1:]])
        case = [CASE] if claim["status"] == "disputed" or self._chance(0.1) else []
        if self._chance(0.15):
            case = []
        return ["claim.decide", ["decide", claim["id"], by, accepted, case, not self._chance(0.04)]]

    def _dispute(self) -> list[Any]:
        claim = self._claim("under_review")
        if claim is not None and claim["status"] != "under_review" and self._chance(0.8):
            return self._redeem()
        if claim is None or self._chance(0.02):
            return ["claim.decide", ["dispute", f"{CENTRES[0]}.000099999", CASE]]
        self._want(claim["holder"])
        return ["claim.decide", ["dispute", claim["id"], CASE]]

    def _credit(self) -> list[Any]:
        claim = self._claim("accepted")
        # Many small credit notes on one claim: the thirty-second is the last.
        live = [one for one in self.twin.claims.values() if outstanding(one) > 40 and one["notes"]]
        many = max(live, key=lambda one: one["notes"]) if live else None
        forgiven = [
            self.twin.claims[one["claim"]]
            for one in self.twin.payables.values()
            if one["claim"] and one["written_off"]
        ]
        if many is not None and self._chance(0.5):
            claim = many
        elif forgiven and self._chance(0.3):
            claim = self.dice.choice(forgiven)
        if claim is None or self._chance(0.02):
            return ["claim.credit", f"{CENTRES[0]}.000099999", 1, CASE]
        self._want(claim["centre"])
        self._want(claim["programme"].split(".")[0], "review")
        left = outstanding(claim)
        amount = 1 if claim is many else self._amount(left if self._chance(0.3) else left // 2)
        return ["claim.credit", claim["id"], amount, CASE]

    # Settlement

    def _close(self) -> list[Any]:
        by = self.dice.choice((*CITIES, PROVINCE, AUDITOR, CENTRES[0], self._holder()))
        self._want(by, "pay")
        cycle = self.twin.cycle + self.dice.choices((0, 1, -1), (20, 1, 1))[0]
        return ["clearing.close", by, cycle]

    def _payable(self) -> Thing | None:
        live = [
            one
            for one in self.twin.payables.values()
            if left_open(self.twin, one) > 0 and one["leg"] != "reimbursement"
        ]
        if live and self._chance(0.94):
            found: Thing = live[-1 - min(int(self.dice.expovariate(0.15)), len(live) - 1)]
            return found
        some: Thing | None = self._pick(self.twin.payables.values(), None)
        return some

    def _instruct(self) -> list[Any]:
        payable = self._payable()
        if payable is None or self._chance(0.02):
            return ["payment.record", ["instructed", f"{CENTRES[0]}.000099999-000", 1, "E0"]]
        self._want(payable["debtor"], "pay")
        name = f"E2E.{self.made}"
        if self._chance(0.05):
            # Another's id is free: each debtor counts its own.
            _, name = self._pick(self.twin.payments, ("", name))
        amount = self._amount(left_open(self.twin, payable))
        return ["payment.record", ["instructed", payable["id"], amount, name]]

    def _payment(self) -> list[Any]:
        act = self.dice.choice(("confirmed", "confirmed", "returned", "objected", "resolved"))
        if self.time_ms < self.twin.quiet_until and self._chance(0.5):
            act = "objected"
        live = {
            "confirmed": ("instructed", "objected"),
            "returned": ("instructed", "confirmed", "objected", "returning", "return_objected"),
            "objected": ("instructed", "returning"),
            "resolved": ("objected", "return_objected"),
        }[act]
        none = ("shanghai", "E2E.none")
        names = [name for name, one in self.twin.payments.items() if one["status"] in live]
        if not names and self._chance(0.8):
            return self._instruct()
        if self._chance(0.6):
            # What is on its way back, and what can still be objected to.
            paid = self.twin.payments
            if act == "returned":
                apt = [name for name in names if paid[name]["status"] == "returning"]
            else:
                apt = [n for n in names if self.time_ms < self.twin.objection_over(paid[n])]
            names = apt or names
        name = self._pick(names, none)
        if self._chance(0.05):
            name = self._pick([*self.twin.payments, none], none)
        payment = self.twin.payments.get(name)
        payable = (
            {"debtor": "shanghai", "creditor": CENTRES[0]}
            if payment is None
            else self.twin.payables[payment["payable"]]
        )
        if act == "resolved":
            by = self.dice.choice((*CITIES, AUDITOR, AUDITOR, PROVINCE))
            self._want(by, "review")
            return ["payment.record", [act, *name, by, self._chance(0.5), CASE]]
        if act == "objected":
            self._want(payable["creditor"], "bank")
            return ["payment.record", [act, *name, "account closed"]]
        by = payable["creditor"] if self._chance(0.5) else payable["debtor"]
        if self._chance(0.03):
            by = AUDITOR
        self._want(by, "bank")
        said = ["account closed"] if act == "returned" else []
        return ["payment.record", [act, *name, by, *said]]

    def _write_off(self) -> list[Any]:
        payable = self._payable()
        if payable is None or self._chance(0.03):
            return ["payment.record", ["written_off", f"{CENTRES[0]}.000099999-000", 1, "no"]]
        self._want(payable["debtor"], "pay")
        self._want(payable["creditor"], "pay")
        amount = self._amount(left_open(self.twin, payable))
        return ["payment.record", ["written_off", payable["id"], amount, "agreed"]]

    # Cases

    def _hold(self) -> list[Any]:
        scope = self.dice.choice(
            ("party", "centre", "programme", "voucher", *["payable"] * 3, *["claim"] * 7)
        )
        things: dict[str, list[str]] = {
            "party": [*self._holders(), *self._members()],
            "centre": list(self.twin.accreditations),
            "programme": list(self.twin.programmes),
            "voucher": list(self.twin.vouchers),
            "claim": list(self.twin.claims),
            "payable": [
                name
                for name, one in self.twin.payables.items()
                if one["leg"] == "reimbursement" or self._chance(0.5)
            ],
        }
        name = self._pick(things[scope], "nothing")
        # Many holds on one claim: the fourth of a setter is its last.
        if scope == "claim" and self._chance(0.8):
            name = next(
                (
                    one["id"]
                    for one in self.twin.holds.values()
                    if one["open"] and one["scope"] == "claim"
                ),
                name,
            )
        if self._chance(0.03):
            name = "nothing"
        by = self.dice.choice((AUDITOR, AUDITOR, AUDITOR, self._city()))
        barred = [one for one in self.twin.holds.values() if one["barred"]]
        if barred and self._chance(0.05):
            # What another cleared, set anew.
            again = self.dice.choice(barred)
            by, scope, name = again["by"], again["scope"], again["id"]
        self._want(by, "review")
        return ["hold.set", by, scope, name, CASE, "asked"]

    def _clear(self) -> list[Any]:
        live = [name for name, one in self.twin.holds.items() if one["open"]]
        claims = [name for name in live if self.twin.holds[name]["scope"] == "claim"]
        broad = [name for name in live if self.twin.holds[name]["scope"] != "claim"]
        if not broad and self._chance(0.9):
            return self._hold()
        name = self._pick(broad if self._chance(0.95) else claims, "shanghai.000099999")
        if self._chance(0.05):
            name = self._pick([*self.twin.holds, "shanghai.000099999"], "shanghai.000099999")
        hold = self.twin.holds.get(name, {"by": "shanghai"})
        by = hold["by"]
        if self._chance(0.3):
            by = self.dice.choice([AUDITOR, *self._watchers()])
        elif self._chance(0.1):
            by = self.dice.choice((self._city(), PROVINCE, "nowhere"))
        self._want(by, "review")
        return ["hold.clear", by, name, CASE]

    def _watchers(self) -> list[str]:
        return [name for name, one in self.twin.parties.items() if one["kind"] == "auditor"]

    def _anchor(self) -> list[Any]:
        by = self._pick(self._members(), AUDITOR)
        if self._chance(0.1):
            by = self._holder()
        self._want(by, "registrar")
        as_of = self.height - self.dice.choice((0, 1, 1))
        about = self.dice.choice(("case", "document", "trial_balance"))
        return ["record.anchor", by, about, as_of, CASE, "books"]

    def _withdraw(self) -> list[Any]:
        """Return a withdrawal of the transaction that comes next, by one of its signers."""
        makers = (self._mint, self._transfer, self._reserve, self._redeem, self._vote)
        operation = self.dice.choice(makers)()
        keys = self._keys()
        self.prepared.append((operation, keys))
        body = codec.encode([1, self.log_id, self.time_ms + 2 + self.in_block, operation])
        signed = [party for party, _, _ in self.twin.signers_of(sorted(keys))]
        party = self._pick(signed, "firm-a") if self._chance(0.9) else self._holder()
        self.wanted = []
        self._want(party, "registrar")
        return ["tx.withdraw", party, transaction_id(body)]

    # Governance

    def _voters(self) -> list[str]:
        return [
            name
            for name, party in self.twin.parties.items()
            if party["kind"] in ("treasury", "data_centre")
        ]

    def _propose(self) -> list[Any]:
        proposer = self._pick(self._voters(), "shanghai")
        if self.twin.proposals and self._chance(0.4):
            # One member asks again and again: it can have four open.
            proposer = self.twin.proposals[-1]["proposer"]
        if self._chance(0.04):
            proposer = self.dice.choice((AUDITOR, self._holder(), "nowhere"))
        self._want(proposer, "registrar")
        return ["governance.propose", proposer, self._action()]

    def _action(self) -> list[Any]:
        twin = self.twin
        if twin.paused and self._chance(0.9):
            return ["resume"]
        asleep = [name for name, one in twin.parties.items() if one["status"] == "suspended"]
        if asleep and self._chance(0.5):
            return ["status", self.dice.choice(asleep), "active", []]
        kind = self.dice.choices(
            (
                "admit",
                "status",
                "validator",
                "keys",
                "parameters",
                "rules_version",
                "engine.switch",
                "pause",
                "resume",
            ),
            (4, 4, 4, 3, 4, 2, 2, 5, 0.5),
        )[0]
        if kind == "admit":
            member = self._newcomer()
            return ["admit", member, self._proofs(member[0], keys_named("admit", member)[0])]
        if kind == "status":
            party = self._pick(self._members(), "shanghai")
            status = self.dice.choice(("suspended", "suspended", "active"))
            if self._chance(0.5 if party.startswith("extra") else 0.08):
                status = "removed"
            if self._chance(0.05):
                party = self._holder()
            return ["status", party, status, self._successor(party, status)]
        if kind == "validator":
            party = self.dice.choice((*CITIES, *CENTRES, PROVINCE, AUDITOR, FIRMS[0]))
            if self._chance(0.3):
                return ["validator", party, [], []]
            keys = validators(party + str(self.dice.choice(("", self.made))), True)[0]
            if party in twin.validators and self._chance(0.3):
                keys = list(twin.validators[party])
            if self._chance(0.15):
                taken = (*BAD_KEYS, *sorted(twin.keys), *twin.announced)
                keys[self.dice.randrange(4)] = self.dice.choice(taken)
            return ["validator", party, [keys], self._proofs(party, keys[:4])]
        if kind == "keys":
            party = self._pick(twin.parties, "shanghai")
            return ["keys", party, *self._keys_for(party)]
        if kind == "parameters":
            return ["parameters", self._parameters()]
        if kind == "rules_version":
            version = twin.rules_version[0] + self.dice.choice((0, 1))
            return ["rules_version", version, self._height(twin.rules_version[1])]
        if kind == "engine.switch":
            return [
                "engine.switch",
                self.dice.choice(("builtin", "comet")),
                self._height(twin.engine_height),
            ]
        return [kind]

    def _successor(self, party: str, status: str) -> list[str]:
        """Return who could take a member's place, mostly."""
        if status == "active" or self._chance(0.3):
            return [] if self._chance(0.9) else [self._city()]
        known = self.twin.parties[party]
        alike = [
            name
            for name, one in self.twin.parties.items()
            if (one["kind"], one["class"]) == (known["kind"], known["class"]) and name != party
        ]
        return [
            self._pick(alike, party) if self._chance(0.9) else self._pick(self.twin.parties, "")
        ]

    def _height(self, last: int) -> int:
        """Return a height that is too near or far away: reaching it would stop the ledger."""
        return self.dice.choice((self.height, self.height + 2, last, max(last, 10**9) + 1))

    def _parameters(self) -> list[Any]:
        known = [list(row) for row in self.twin.next_parameters["tag_keys"]]
        officers: list[Any] = [
            ["voucher.mint", self.dice.choice((0, 5_000)), 3],
            ["payment.record", 2_000, 3],
            ["hold.set", 0, self.dice.choice((2, 3))],
        ]
        if self._chance(0.5):
            officers = []
        changes: dict[str, Any] = {
            "officers": officers,
            "block_expiries_max": self.dice.choice((1, 2, 256)),
            "expiry_ahead_max_ms": self.dice.choice((60_000, DAY_MS)),
            "reserve_min": self.dice.choice((1, 10, 100)),
            "tag_keys": known if len(known) > 2 else [*known, [known[-1][0] + 1, digest(known)]],
        }
        wrong: dict[str, Any] = self.dice.choice(
            (
                {},
                {},
                {},
                {},
                {"block_bytes_max": 65_535},
                {"block_rows_max": 999},
                {"expiry_ahead_max_ms": 59_999},
                {"heartbeat_ms": 999},
                {"holder_daily_entries": 99},
                {"holder_daily_bytes": 59_999},
                {"member_daily_entries": 99},
                {"member_daily_bytes": 59_999},
                {"officers": [[self.dice.choice(("governance.vote", "governance.")), 1, 3]]},
                {"tag_keys": (known[::-1], known[:-1], [[2, bytes(32)]])[self.twin.height % 3]},
            )
        )
        return parameters(**{**changes, **wrong})

    def _newcomer(self) -> list[Any]:
        number = len(self._members())
        name = f"extra-{number}" if number < 12 else self.dice.choice(("shanghai", "clearing"))
        if self._chance(0.1):
            name = self.dice.choice(("shanghai", "clearing"))
        kind = self.dice.choice(("city", "province", "data_centre", "auditor"))
        if kind in ("city", "province"):
            member = treasury(name, kind)
        else:
            member = watcher(name, kind)
            if kind == "data_centre":
                member[8] = validators(name, self._chance(0.5))
        wrong = self.dice.randrange(20)
        if wrong == 0:
            member[7] = 0
        elif wrong == 1:
            member[6] = member[6][:1]
            member[6][0][2] = ["pay"]
        elif wrong == 2:
            known = [*self.twin.keys, *self.twin.announced]
            member[6][0][0] = self.dice.choice((BAD_KEYS[0], self.dice.choice(known)))
        elif wrong == 5:
            member[7] = len(member[6])
        elif wrong == 3:
            member[8] = validators("shanghai", True)
        elif wrong == 4:
            member[6][1][0] = member[6][0][0]
        return member

    def _vote(self) -> list[Any]:
        live = []
        for proposal in self.twin.proposals:
            if not proposal["adopted"] and self.time_ms < proposal["closes"]:
                live.append(proposal)
        if not live and self._chance(0.8):
            return self._propose()
        if self.twin.paused and self._chance(0.8):
            live = [one for one in live if one["action"] == ["resume"]] or live
        elif self._chance(0.8):
            # The one that has come furthest with no vote against it.
            votes = [one["votes"] for one in live]
            ranks = [(all(given.values()), len(given)) for given in votes]
            live = [live[ranks.index(max(ranks))]] if live else []
        proposal = self._pick(live, {"number": 1, "votes": {}})
        if self._chance(0.04):
            proposal = self._pick(self.twin.proposals, {"number": 0, "votes": {}})
        number = proposal["number"]
        if self._chance(0.02):
            number = len(self.twin.proposals) + 1
        voters = [name for name in self._voters() if name not in proposal["votes"]]
        voter = self._pick(voters, "shanghai")
        if self._chance(0.04):
            voter = self._pick([*self._members(), "nowhere"], "shanghai")
        self._want(voter, "registrar")
        return ["governance.vote", voter, number, self._chance(0.93)]


# One programme and four kinds, for tests that only need a little going on


@dataclass(frozen=True, kw_only=True)
class SimpleAct:
    """A mint, transfer or redemption."""

    raw: bytes


def random_act(dice: random.Random, now_ms: int, serials: int, number: int) -> SimpleAct:
    """Return an act that often, not always, makes sense; ``number`` makes it unique."""
    kind = dice.choice(("mint", "transfer", "transfer", "redeem"))
    holder = dice.choice(("firm-a", "firm-b"))
    serial = dice.randrange(1, serials + 2)
    amount = dice.choice((1, 2, dice.randrange(1, 500), dice.randrange(1, 5_000)))
    voucher = f"shanghai.compute.{serial:09d}"
    expires_at = now_ms + 600_000 + number
    if kind == "mint":
        raw = builders.mint((holder, amount), expires_at=expires_at)
    elif kind == "transfer":
        other = dice.choice(("firm-a", "firm-b"))
        raw = builders.transfer(
            voucher, amount, holder=holder, recipient=other, expires_at=expires_at
        )
    else:
        raw = builders.redeem(
            (voucher, amount),
            holder=holder,
            invoice=f"bill {dice.randrange(40)}",
            net=amount * dice.choice((3, 4, 10)),
            expires_at=expires_at,
        )
    return SimpleAct(raw=raw)


def random_step_ms(dice: random.Random) -> int:
    """Return how far time moves to the next block: mostly little, now and then over a day."""
    return dice.choice((1, 1_000, 60_000, 60_000, DAY_MS // 2, 3 * DAY_MS))


def opened(chain: builders.Chain) -> builders.Chain:
    """Return a chain on which the simple acts have their programme, money, firms and centre."""
    firms = [builders.enrol(firm) for firm in ("firm-a", "firm-b")]
    chain.accept(builders.publish(validity_days=2), *firms, builders.accredit())
    chain.accept(builders.appropriate(50_000), builders.recognise())
    return chain
