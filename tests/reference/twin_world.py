"""What the naive twin knows, and the rules that its kinds share (docs/spec/rules.md).

Plain dictionaries and lists. Nothing is summed as it goes: every total is found by looking at all
records again. Records inside a transaction stay arrays in the order of the specification.
"""

import datetime
import hashlib
from collections.abc import Callable
from typing import Any

import msgpack  # type: ignore[import-untyped]

Thing = dict[str, Any]
Signer = tuple[str, str, list[str]]

AMOUNT_MAX = 2**53 - 1
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
OFFSET_MS = 28_800_000
HOLD_GRACE_MS = 30 * DAY_MS
FORTNIGHT_MS = 14 * DAY_MS
ROLES = ("bank", "budget", "mint", "pay", "registrar", "review")

PARAMETERS = (
    "expiry_ahead_max_ms",
    "heartbeat_ms",
    "block_bytes_max",
    "block_transactions_max",
    "block_rows_max",
    "block_expiries_max",
    "officers",
    "tag_keys",
    "holder_daily_entries",
    "holder_daily_bytes",
    "member_daily_entries",
    "member_daily_bytes",
    "reserve_min",
)
MEMBER = ("id", "kind", "class", "name", "region", "group", "keys", "threshold", "validator")
TERMS = (
    "title",
    "legal_basis",
    "assumed",
    "eligibility",
    "rates",
    "caps",
    "settlement",
    "centres",
    "listed",
    "transfer",
    "review",
    "payee",
    "grant",
    "funders",
    "residual_funder",
    "rounding",
    "validity_days",
    "base_period",
    "contract_days_max",
    "stackable",
    "ceiling",
)
CAPS = (
    "grant_min",
    "grant_max",
    "contract_max",
    "holder_year_issued",
    "holder_year_redeemed",
    "group_year_issued",
)


class Refused(Exception):
    """A transaction breaks a rule; the number says which."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def need(holds: bool, code: int) -> None:
    """Refuse with the code unless this holds."""
    if not holds:
        raise Refused(code)


def named(names: tuple[str, ...], array: Any) -> Thing:
    """Give the fields of an array their names."""
    return dict(zip(names, array, strict=True))


def only(optional: Any) -> Any:
    """Return the one item of an optional field, or None."""
    return optional[0] if optional else None


# R2 Calendar


def day_of(time_ms: int) -> int:
    """Return the number of the day."""
    return (time_ms + OFFSET_MS) // DAY_MS


def start_of(day: int) -> int:
    """Return the first millisecond of a day (R2.1)."""
    return day * DAY_MS - OFFSET_MS


def date_of(time_ms: int) -> datetime.date:
    """Return the date at +08:00."""
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=day_of(time_ms))


def year_of(time_ms: int) -> int:
    """Return the fiscal year (R2.2)."""
    return date_of(time_ms).year


def month_of(time_ms: int) -> tuple[int, int]:
    """Return the calendar month."""
    return date_of(time_ms).year, date_of(time_ms).month


def due_of(time_ms: int, settlement: str) -> int:
    """Return the end of the month, quarter or year (R2.4)."""
    date = date_of(time_ms)
    last_month = {"monthly": date.month, "quarterly": (date.month + 2) // 3 * 3, "yearly": 12}
    year, month = date.year, last_month[settlement] + 1
    if month == 13:
        year, month = year + 1, 1
    return start_of((datetime.date(year, month, 1) - datetime.date(1970, 1, 1)).days)


# R1 Money


def rounded(numerator: int, denominator: int, rounding: Any) -> int:
    """Divide, to a whole number of steps (R1.2)."""
    mode, step = rounding
    if mode == "half_up":
        numerator += denominator * step // 2
    return int(numerator // (denominator * step) * step)


def split(amount: int, terms: Thing) -> list[tuple[str, int]]:
    """Return each funder's part (R1.3)."""
    rest = amount
    for _, bp in terms["funders"]:
        rest -= amount * bp // 10_000
    parts = []
    for funder, bp in terms["funders"]:
        part = amount * bp // 10_000
        if funder == terms["residual_funder"]:
            part += rest
        parts.append((funder, part))
    return parts


def through_cycles(payable: Thing) -> bool:
    """Say whether a payable goes through cycles (R13.1)."""
    return bool(payable["leg"] == "reimbursement" and payable["debtor"] != payable["creditor"])


def packed(array: Any) -> bytes:
    """Return the bytes of an array (W1)."""
    data: bytes = msgpack.packb(array, use_bin_type=True)
    return data


def tagged_hash(tag: bytes, parts: list[bytes]) -> bytes:
    """Return a tagged hash (W2.2)."""
    frame = bytes([len(tag)]) + tag
    for part in parts:
        frame += len(part).to_bytes(4, "big") + part
    return hashlib.sha256(frame).digest()


class World:
    """All records, and what can be asked of them."""

    def __init__(
        self,
        members: list[Any],
        parameters: Any,
        registrable: Callable[[bytes], bool],
        proves: Callable[[bytes, str, bytes], bool],
    ) -> None:
        """Begin with the members and parameters of a genesis (G1).

        ``proves`` says of a key, a party and a signature whether R3.9 holds.
        """
        self.registrable = registrable
        self.proves = proves
        self.parameters = named(PARAMETERS, parameters)
        self.next_parameters = self.parameters
        self.time = 0
        self.height = 0
        self.kind = ""
        self.signers: list[Signer] = []
        self.withdrawn: list[tuple[bytes, str]] = []
        self.took_back: list[str] = []
        self.asked: list[tuple[str, str, tuple[int, int], int]] = []
        self.acted: list[tuple[str, str, tuple[int, int], int]] = []
        self.record_hash = b""
        self.consented: list[str] = []
        self.written: list[tuple[str, int, int]] = []
        """Who wrote on which day how many bytes."""

        self.parties: dict[str, Thing] = {}
        self.keys: dict[bytes, Thing] = {}
        self.announced: dict[bytes, tuple[str, int]] = {}
        self.validators: dict[str, Any] = {}
        self.recoveries: dict[str, Thing] = {}
        self.key_changes: dict[str, Thing] = {}
        self.attestations: list[Thing] = []
        self.programmes: dict[str, Thing] = {}
        self.appropriated: dict[tuple[str, int, str], int] = {}
        self.commitments: list[tuple[str, int, str, int]] = []
        self.accreditations: dict[str, Thing] = {}
        self.recognitions: dict[tuple[str, str], list[Thing]] = {}
        self.vouchers: dict[str, Thing] = {}
        self.decisions: dict[tuple[str, bytes], str] = {}
        self.issues: list[tuple[str, int, str, int]] = []
        self.reserves: dict[str, Thing] = {}
        self.claims: dict[str, Thing] = {}
        self.invoices: dict[bytes, Thing] = {}
        self.contracts: dict[bytes, Thing] = {}
        self.payables: dict[str, Thing] = {}
        self.payments: dict[tuple[str, str], Thing] = {}
        self.cycle = 1
        self.first_joins: dict[int, int] = {}
        self.closed_nets: dict[int, dict[str, int]] = {}
        self.holds: dict[str, Thing] = {}
        self.anchors: list[Thing] = []
        self.proposals: list[Thing] = []
        self.paused = False
        self.paused_since = 0
        self.quiet_from = 0
        self.quiet_until = 0
        self.rules_version = (1, 0)
        self.engine_height = 0

        for array in members:
            self.add_member(array)

    # Parties and keys

    def add_member(self, array: Any) -> None:
        """Add a treasury, data centre or auditor."""
        member = named(MEMBER, array)
        validator = only(member.pop("validator"))
        keys = member.pop("keys")
        self.parties[member["id"]] = {
            **member,
            "keys": [],
            "status": "active",
            "enrolled_by": "",
            "successor": None,
            "tag": b"",
            "stopped": 0,
        }
        self.give_keys(member["id"], keys, member["threshold"])
        if validator is not None:
            self.give_validator(member["id"], validator)

    def give_keys(self, party: str, keys: Any, threshold: int) -> None:
        """Replace a party's keys; those left out are dead for ever."""
        for key in self.keys.values():
            if key["party"] == party and not key["validator"]:
                key["dead"] = True
        for key, person, roles in keys:
            self.keys[key] = {
                "party": party,
                "person": person,
                "roles": list(roles),
                "validator": False,
                "dead": False,
            }
        self.parties[party]["keys"] = [key for key, _, _ in keys]
        self.parties[party]["threshold"] = threshold

    def give_validator(self, party: str, validator: Any) -> None:
        """Make a party a validator with four keys and a power."""
        for key in validator[:4]:
            self.keys[key] = {"party": party, "validator": True, "dead": False}
        self.validators[party] = validator

    def signers_of(self, keys: list[bytes]) -> list[Signer]:
        """Return whose living keys these are (R3.4)."""
        found = []
        for key in keys:
            owner = self.keys.get(key)
            if owner is not None and not owner["validator"] and not owner["dead"]:
                found.append((owner["party"], owner["person"], owner["roles"]))
        return found

    def party(self, name: str, *kinds: str) -> Thing:
        """Return a party that exists (201) and is of one of these kinds (203)."""
        need(name in self.parties, 201)
        party = self.parties[name]
        need(not kinds or self.sort_of(party) in kinds or party["kind"] in kinds, 203)
        return party

    def sort_of(self, party: Thing) -> str:
        """Return ``city`` for a treasury of class city, else the party's kind."""
        if party["kind"] == "treasury" and party["class"] == "city":
            return "city"
        return str(party["kind"])

    def active(self, name: str) -> None:
        """R10.2."""
        need(self.parties[name]["status"] == "active", 103)

    def is_open(self, waiting: Thing | None) -> bool:
        """Say whether a recovery or key change waits for its decision (T10)."""
        if waiting is None or waiting["ended"] is not None:
            return False
        return self.time < int(waiting["opened"]) + FORTNIGHT_MS

    def actor(self, name: str) -> str | None:
        """Return who acts for a party, None if nobody does (R10.5)."""
        for _ in range(17):
            if self.parties[name]["status"] == "active":
                return name
            if self.parties[name]["successor"] is None:
                return None
            name = self.parties[name]["successor"]
        return None

    def acts(self, name: str) -> str:
        """R10.5."""
        actor = self.actor(name)
        need(actor is not None, 103)
        assert actor is not None
        return actor

    def settles(self, name: str) -> str:
        """R10.6."""
        return name if self.parties[name]["status"] == "suspended" else self.acts(name)

    def open_recovery(self, name: str) -> Thing | None:
        """Return the recovery that stops a party."""
        recovery = self.recoveries.get(name)
        return recovery if self.is_open(recovery) else None

    def open_key_change(self, name: str) -> Thing | None:
        """Return the keys that a member announced and did not decide on."""
        change = self.key_changes.get(name)
        return change if self.is_open(change) else None

    def free(self, name: str) -> None:
        """R10.3."""
        need(self.open_recovery(name) is None, 104)

    def stopped(self, name: str) -> int:
        """Return how long a party has been stopped so far (R10.3)."""
        so_far: int = self.parties[name]["stopped"]
        recovery = self.recoveries.get(name)
        if recovery is None or recovery["ended"] is not None:
            return so_far
        return so_far + min(self.time - int(recovery["opened"]), FORTNIGHT_MS)

    # R3 Authority

    def tag_epoch(self, epoch: int) -> None:
        """Z6.2: in force are those of the record, adopted in this block or not (R14.2)."""
        need(any(listed == epoch for listed, _ in self.next_parameters["tag_keys"]), 230)

    def officers(self, name: str, role: str, amount: int = 0) -> None:
        """R3.1."""
        needed = 2
        self.asked.append((name, self.kind, month_of(self.time), amount))
        for who, what, month, earlier in self.acted:
            if (who, what, month) == (name, self.kind, month_of(self.time)):
                amount += earlier
        for kind, from_fen, persons in self.parameters["officers"]:
            if kind == self.kind and from_fen <= min(amount, AMOUNT_MAX) and persons > needed:
                needed = persons
        need(name not in self.took_back, 107)
        need(len(self.persons(name, role)) >= needed, 101)
        self.consented.append(name)

    def persons(self, name: str, role: str) -> list[str]:
        """Return the distinct persons of a party who signed in a role."""
        found: list[str] = []
        for party, person, roles in self.signers:
            if party == name and role in roles and person not in found:
                found.append(person)
        return found

    def signatures(self, name: str) -> int:
        """Return how many keys of a party signed."""
        return len([party for party, _, _ in self.signers if party == name])

    def consent(self, name: str, role: str = "", amount: int = 0) -> None:
        """R3.3."""
        party = self.parties[name]
        if party["kind"] == "treasury":
            self.officers(name, role, amount)
        else:
            need(name not in self.took_back, 107)
            need(self.signatures(name) >= party["threshold"], 102)
            self.consented.append(name)

    def bounds(self, name: str) -> tuple[int, int]:
        """Return how many acts and bytes a party may write in a day (R3.11)."""
        who = "holder" if self.parties[name]["kind"] == "holder" else "member"
        return self.parameters[f"{who}_daily_entries"], self.parameters[f"{who}_daily_bytes"]

    def of_the_day(self, name: str) -> list[int]:
        """Return the sizes of what a party wrote on the day of now."""
        return [size for who, day, size in self.written if (who, day) == (name, day_of(self.time))]

    def roles_fit(self, keys: Any) -> bool:
        """Say whether the keys' roles suit a treasury (R3.2, R3.5)."""
        held: dict[str, list[str]] = {}
        for _, person, roles in keys:
            held.setdefault(person, []).extend(roles)
        for roles in held.values():
            if any(role not in ROLES for role in roles):
                return False
            if "budget" in roles and "mint" in roles:
                return False
            if "pay" in roles and "review" in roles:
                return False
        return len(held) >= 4

    def keys_fit(self, name: str, kind: str, keys: Any, threshold: int, proofs: Any) -> None:
        """R3.5."""
        self.keys_still_fit(name, kind, keys, threshold)
        self.proven(name, [key for key, _, _ in keys], proofs)

    def proven(self, name: str, keys: list[bytes], proofs: Any) -> None:
        """R3.9."""
        need(len(proofs) == len(keys), 218)
        for key, proof in zip(keys, proofs, strict=True):
            need(self.proves(key, name, proof), 218)

    def keys_still_fit(self, name: str, kind: str, keys: Any, threshold: int) -> None:
        """R3.5, but for the proofs."""
        need(1 <= threshold <= len(keys), 207)
        if kind == "treasury":
            need(self.roles_fit(keys), 212)
        before = []
        for key, person, roles in keys:
            if kind != "treasury":
                need(not roles, 210)
            need(key not in before, 204)
            before.append(key)
            owner = self.keys.get(key)
            if owner is not None:
                need(not owner["validator"] and not owner["dead"], 204)
                need(owner["party"] == name and owner["person"] == person, 204)
            self.not_announced(key, name)
            need(self.registrable(key), 205)

    def not_announced(self, key: bytes, party: str) -> None:
        """Refuse a key that is set aside for another party (R3.5, R3.6)."""
        whose, until = self.announced.get(key, (party, 0))
        need(whose == party or self.time >= until, 204)

    def announce(self, keys: list[bytes], party: str) -> None:
        """R3.6: votes, recoveries and key changes all have a fortnight."""
        for key in keys:
            self.announced[key] = (party, self.time + FORTNIGHT_MS)

    def roles_changed(self, name: str, keys: Any, threshold: int) -> list[str]:
        """R3.7."""
        party, changed = self.parties[name], []
        for role in ROLES:
            before, after = [], []
            for key in party["keys"]:
                if role in self.keys[key]["roles"]:
                    before.append((key, self.keys[key]["person"]))
            for key, person, roles in keys:
                if role in roles:
                    after.append((key, person))
            held = before != [] or after != []
            other = threshold != party["threshold"] and held
            if other or any(pair not in after for pair in before) or len(before) != len(after):
                changed.append(role)
        return changed

    def second_opinion(self, second: str, by: str) -> None:
        """R3.8."""
        need(second != self.actor(by), 215)
        self.party(second, "city", "auditor")
        self.active(second)
        self.consent(second, "registrar")

    # R4 Grants

    def trusted(self, attester: str, attesters: Any) -> bool:
        """Say whether a criterion believes an attester."""
        party = self.parties[attester]
        if party["status"] == "removed":
            return False
        return attester in attesters if attesters else self.sort_of(party) == "city"

    def fulfilled(self, group: Any, subject: str, centre: str | None) -> bool:
        """Say whether one criterion of a group is fulfilled."""
        for topic, text, amount, attesters, max_age_days in group:
            for said in self.attestations:
                if said["subject"] != subject or said["topic"] != topic or said["revoked"]:
                    continue
                if said["about"] is not None and said["about"] != centre:
                    continue
                if not self.trusted(said["attester"], attesters):
                    continue
                if said["valid_until"] <= self.time or said["amount"] < amount:
                    continue
                if text and said["text"] != text:
                    continue
                if max_age_days and (self.time - said["issued"]) // DAY_MS > max_age_days:
                    continue
                return True
        return False

    def asks_unrelated(self, group: Any) -> bool:
        """Say whether a group waits for redemption (R4.1, R4.5)."""
        return any(criterion[0] == "unrelated_to" for criterion in group)

    def eligible(self, terms: Thing, name: str) -> None:
        """R4.1."""
        for group in terms["eligibility"]:
            if not self.asks_unrelated(group):
                need(self.fulfilled(group, name, None), 209)

    def unrelated(self, terms: Thing, holder: str, centre: str) -> None:
        """R4.5."""
        groups = [group for group in terms["eligibility"] if self.asks_unrelated(group)]
        if not groups:
            return
        mine, theirs = self.parties[holder]["group"], self.parties[centre]["group"]
        need(mine == [] or mine != theirs, 217)
        for group in groups:
            need(self.fulfilled(group, holder, centre), 209)

    def issued(self, programme: str, year: int, name: str) -> int:
        """Return what a party was minted or received in a year."""
        total = 0
        for where, when, who, amount in self.issues:
            if (where, when, who) == (programme, year, name):
                total += amount
        return total

    def group_issued(self, programme: str, year: int, group: str) -> int:
        """Return what all parties of a control group were issued in a year."""
        total = 0
        for where, when, who, amount in self.issues:
            if (where, when) == (programme, year) and self.parties[who]["group"] == group:
                total += amount
        return total

    def caps_hold(
        self,
        programme: str,
        terms: Thing,
        year: int,
        name: str,
        amount: int,
        before: list[tuple[str, int]],
    ) -> None:
        """R4.2, the rows before in the same mint counted."""
        group = self.parties[name]["group"]
        mine = self.issued(programme, year, name) + amount
        mine += sum(fen for who, fen in before if who == name)
        cap = only(terms["caps"]["holder_year_issued"])
        need(cap is None or mine <= cap, 506)
        need(mine <= AMOUNT_MAX, 308)
        if group:
            ours = self.group_issued(programme, year, group) + amount
            ours += sum(fen for who, fen in before if self.parties[who]["group"] == group)
            cap = only(terms["caps"]["group_year_issued"])
            need(cap is None or ours <= cap, 507)
            need(ours <= AMOUNT_MAX, 308)

    def committed(self, programme: str, year: int, funder: str) -> int:
        """Return what a funder's mints of a year hold, less what came back."""
        total = 0
        for where, when, who, amount in self.commitments:
            if (where, when, who) == (programme, year, funder):
                total += amount
        return total

    def funds_suffice(
        self, programme: str, terms: Thing, year: int, amount: int, before: list[tuple[str, int]]
    ) -> None:
        """R4.3, the rows before in the same mint counted."""
        for place, (funder, part) in enumerate(split(amount, terms)):
            taken = sum(split(fen, terms)[place][1] for _, fen in before)
            available = self.appropriated.get((programme, year, funder), 0)
            available -= self.committed(programme, year, funder) + taken
            need(part <= available, 306)

    # Programmes and centres

    def terms(self, programme: str, version: int = 0) -> Thing:
        """Return the terms of a version, those in force if none is named."""
        found: Thing = self.programmes[programme]["terms"][
            version or self.programmes[programme]["version"]
        ]
        return found

    def consents_missing(self, programme: str, version: int) -> list[str]:
        """Return the funders whose consent a version has not got (R4.6)."""
        known = self.programmes[programme]
        terms = known["terms"][version]
        found = []
        for funder, bp in terms["funders"]:
            pays = bp > 0 or funder == terms["residual_funder"]
            given = funder == self.issuer(programme) or (version, funder) in known["consents"]
            if pays and not given:
                found.append(funder)
        return found

    def comes_into_force(self, programme: str) -> None:
        """Let the proposed version be in force if nobody's consent is missing (R4.6)."""
        known = self.programmes[programme]
        if known["proposed"] and not self.consents_missing(programme, known["proposed"]):
            known["version"], known["proposed"] = known["proposed"], None

    def in_force(self, programme: str, version: int) -> None:
        """T7.5."""
        known = self.programmes[programme]
        need(known["version"] > 0 and version != known["proposed"], 314)
        need(version == known["version"], 510)

    def funders(self, programme: str) -> list[str]:
        """Return who funds a programme by the terms in force."""
        if self.programmes[programme]["version"] == 0:
            return []
        return [funder for funder, _ in self.terms(programme)["funders"]]

    def issuer(self, programme: str) -> str:
        """Return the part of the id before the dot."""
        return programme.split(".", maxsplit=1)[0]

    def accredited(self, centre: str) -> bool:
        """R5.4."""
        known = self.accreditations.get(centre)
        if known is None or known["ended"]:
            return False
        return bool(self.parties[known["host"]]["status"] != "removed")

    def accepts(self, programme: str, terms: Thing, centre: str) -> bool:
        """R5.1."""
        host, issuer = self.accreditations[centre]["host"], self.issuer(programme)
        if host == issuer:
            return True
        if terms["centres"] == "listed":
            return centre in terms["listed"]
        if terms["centres"] == "recognised":
            return self.period_in_force(programme, host) is not None
        return False

    def period_in_force(self, programme: str, host: str) -> Thing | None:
        """R5.3."""
        for period in self.recognitions.get((programme, host), []):
            if period["from"] <= self.time < period["until"]:
                return period
        return None

    def host_pays(self, programme: str, terms: Thing, centre: str) -> bool:
        """R5.2."""
        host = self.accreditations[centre]["host"]
        known = self.period_in_force(programme, host)
        return (
            host != self.issuer(programme)
            and terms["centres"] == "recognised"
            and known is not None
            and known["mode"] == "host_pays"
        )

    def devices(self, centre: str, chip: str) -> Thing | None:
        """Return a centre's devices of a chip."""
        for name, origin, count, ceiling, power in self.accreditations[centre]["devices"]:
            if name == chip:
                return {"origin": origin, "count": count, "ceiling": ceiling, "power": power}
        return None

    def rate(
        self, terms: Thing, holder: str, centre: str, chip: str, service_class: str
    ) -> int | None:
        """R6.1."""
        devices = self.devices(centre, chip)
        if devices is None:
            return None
        use = (
            self.parties[holder]["class"],
            devices["origin"],
            service_class,
            self.accreditations[centre]["ownership"],
        )
        for row in terms["rates"]:
            if all(not column or column[0] == is_ for column, is_ in zip(row, use, strict=False)):
                return int(row[4])
        return None

    # R10, R11: holds, expiry and the way back

    def holds_on(self, scope: str, name: str) -> int:
        """Return how many open holds are on a thing."""
        found = 0
        for hold in self.holds.values():
            if hold["open"] and (hold["scope"], hold["id"]) == (scope, name):
                found += 1
        return found

    def not_held(self, *things: tuple[str, str]) -> None:
        """R10.4."""
        for scope, name in things:
            need(self.holds_on(scope, name) == 0, 906)

    def given_back(self, voucher: Thing) -> int:
        """Return how much stopped time a voucher got back (R11.1)."""
        so_far = voucher["given_back"] + self.stopped(voucher["holder"]) - voucher["stopped"]
        return min(int(so_far), 30 * DAY_MS)

    def vouchers_not_held(self, name: str) -> None:
        """R10.4, for a voucher and those that it was transferred out of."""
        while name:
            self.not_held(("voucher", name))
            name = self.vouchers[name]["parent"]

    def expiry(self, voucher: Thing) -> int:
        """R11.1."""
        return self.put_off(int(voucher["expires_at"]) + self.given_back(voucher))

    def put_off(self, at: int) -> int:
        """R11.4: what would end in the quiet time ends with it."""
        return self.quiet_until if self.quiet_from <= at < self.quiet_until else at

    def hold_over(self, reserve: Thing) -> int:
        """Return when a reserve can't be claimed any more (T9.9)."""
        return self.put_off(int(reserve["until"]) + HOLD_GRACE_MS)

    def dispute_over(self, claim: Thing) -> int:
        """Return when a claim's dispute window ends (R11.5)."""
        return self.put_off(int(claim["submitted"]) + 7 * DAY_MS)

    def objection_over(self, payment: Thing) -> int:
        """Return when a payment's objection window ends (R11.5)."""
        began = payment["returning_since"] if payment["status"] == "returning" else None
        return self.put_off(int(began or payment["instructed"]) + 10 * DAY_MS)

    def new_voucher(
        self, programme: str, holder: str, amount: int, expires_at: int, year: int, version: int
    ) -> str:
        """Add a voucher with the programme's next serial."""
        serial = 1
        for voucher in self.vouchers.values():
            if voucher["programme"] == programme:
                serial += 1
        name = f"{programme}.{serial:09d}"
        self.vouchers[name] = {
            "id": name,
            "programme": programme,
            "holder": holder,
            "face": amount,
            "available": amount,
            "reserved": 0,
            "claimed": 0,
            "redeemed": 0,
            "expired": 0,
            "revoked": 0,
            "expires_at": expires_at,
            "due": expires_at,
            "stopped": self.stopped(holder),
            "given_back": 0,
            "year": year,
            "minted": day_of(self.time),
            "version": version,
            "parent": "",
            "depth": 0,
        }
        self.issues.append((programme, year, holder, amount))
        return name

    def commit(self, programme: str, terms: Thing, amount: int) -> None:
        """Bind the funders' money of this year (R4.3)."""
        for funder, part in split(amount, terms):
            self.commitments.append((programme, year_of(self.time), funder, part))

    def move(self, voucher: Thing, source: str, target: str, amount: int) -> None:
        """Move value between parts of a voucher; what is lost returns (R4.4)."""
        lost_before = voucher["expired"] + voucher["revoked"]
        voucher[source] -= amount
        voucher[target] += amount
        assert voucher[source] >= 0
        lost = voucher["expired"] + voucher["revoked"]
        for funder, bp in self.terms(voucher["programme"], voucher["version"])["funders"]:
            back = lost * bp // 10_000 - lost_before * bp // 10_000
            self.commitments.append((voucher["programme"], voucher["year"], funder, -back))

    def give_back(self, voucher: Thing, source: str, amount: int) -> None:
        """R11.2."""
        target = "available" if self.time < self.expiry(voucher) else "expired"
        self.move(voucher, source, target, amount)

    def give_back_line(self, line: Thing, source: str, amount: int) -> None:
        """R11.3, and R12.5 for a grant after use."""
        voucher = self.vouchers[line["voucher"]]
        if self.terms(voucher["programme"], voucher["version"])["grant"] == "after_use":
            self.move(voucher, source, "expired", amount)
            where = voucher["programme"], voucher["year"], voucher["holder"]
            self.issues.append((*where, -amount))
            return
        reserve = self.reserves.get(line["reserve"])
        if reserve is not None and self.time < self.hold_over(reserve):
            self.move(voucher, source, "reserved", amount)
            reserve["left"] += amount
        else:
            self.give_back(voucher, source, amount)

    def totals(self, programme: str) -> Thing:
        """Return a programme's totals, from its vouchers."""
        total = dict.fromkeys(
            ("face", "available", "reserved", "claimed", "redeemed", "expired", "revoked"), 0
        )
        for voucher in self.vouchers.values():
            if voucher["programme"] == programme:
                for part in total:
                    total[part] += voucher[part]
        return total
