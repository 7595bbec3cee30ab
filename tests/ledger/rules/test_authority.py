"""docs/spec/authority.md is what the ledger does: every cell is tried, and every wrong signer."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args

import pytest

from ledger.catalogue import KINDS
from ledger.rules.control import CONTROL
from ledger.rules.governance import (
    Action,
    Admit,
    Pause,
    Resume,
    SetMemberKeys,
    SetRulesVersion,
    SetStatus,
    SetValidator,
    SwitchEngine,
)
from ledger.rules.holds import HELD, HeldBy
from ledger.rules.parties import PARTIES
from ledger.rules.refusals import code_text
from ledger.rules.successors import SUCCESSIONS, Succession
from ledger.store.memory import MemoryStore
from tests import builders
from tests.builders import NOON_MS, OFFICERS, Chain, Signers, keys_of, officers
from tests.ledger.rules.case import (
    CLAIM,
    DAY_MS,
    GRANTED,
    ONE_OFFICER,
    PAYABLE,
    PROGRAMME,
    RESERVE,
    TODAY,
    V1,
    V2,
    Case,
    Doctor,
    Ready,
    Step,
    accredit,
    adopted,
    agree,
    anchor,
    announce,
    appropriate,
    attest,
    clear_hold,
    close_cycle,
    confirm,
    credit,
    decide,
    decide_keys,
    dispute,
    doctored,
    enrol,
    extend,
    instruct,
    mint,
    object_to_payment,
    objection,
    propose,
    publish,
    recognise,
    recover,
    redeem,
    release,
    resolve_payment,
    return_payment,
    revoke,
    revoke_attestation,
    rotate,
    second,
    set_aside,
    set_hold,
    setting,
    shares,
    together,
    transfer,
    treasury_keys,
    vote,
    withdraw,
    write_off,
    written,
)
from tests.ledger.rules.clauses import SPEC
from tests.ledger.rules.situations import (
    AFTER,
    CYCLE_RIPE_MS,
    HALVES,
    NEW_KEYS,
    OWED,
    REIMBURSED,
    SOME_ACTION,
    after_use,
    alone,
    parameters,
)

CELLS = 1_071
"""How many cells the page has beside acts and parts: one more or less is somebody's decision."""
COLUMNS = (
    "act",
    "part",
    "signs",
    "suspended",
    "removed",
    "recovery",
    "held",
    "paused",
    "delay",
    "undone by",
)
OF_AN_ACT = ("paused", "delay", "undone by")
"""Columns that only the first row of an act fills."""
ROLES = "bank|budget|mint|pay|registrar|review"
ACT = r"`[a-z_.]+(?:/[a-z_.]+)?`"
VOCABULARY = {
    "act": rf"{ACT}(?: [a-z ]+)?",
    "part": r"[a-z ]+",
    "signs": rf"(?:{ROLES}|keys|a key|persons) \d{{3}}|—",
    "suspended": r"yes|successor|\d{3}|—",
    "removed": r"yes|successor|\d{3}|—",
    "recovery": r"yes|\d{3}|—",
    "held": r"(?:party|centre|programme|voucher|claim|payable)(?:, [a-z]+)*|—",
    "paused": r"yes|\d{3}",
    "delay": r"none|\d+ (?:h|d) \d{3}",
    "undone by": rf"none|{ACT}(?:, {ACT})*",
}
SUCCESSORS = {
    "shanghai": "guiyang",
    "guiyang": "shanghai",
    "guian-hub": "chengdu-aicc",
    "chengdu-aicc": "guian-hub",
}
"""Who is named for whom; nobody is for the others, who never need one here."""
STRANGERS = (("firm-b", "owner"), ("chengdu-aicc", "officer-2"), ("audit-office", "officer-2"))
"""Whoever of these has no part in an act signs it in vain."""
HOUR_MS = 3_600_000
HOURS = {"h": 1, "d": 24}
LATE_MS = 2_000_000_000_000


# The page


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the page says of one party's part in an act."""

    act: str
    """With its variant, if it has one."""
    cells: dict[str, str]
    first: bool

    @property
    def part(self) -> str:
        """Return which party it is about."""
        return self.cells["part"]

    def __str__(self) -> str:
        return f"{self.act}, {self.part}"


def rows() -> list[Row]:
    """Return all rows of the page; raise AssertionError on a cell outside the vocabulary."""
    found: list[Row] = []
    page = (SPEC / "authority.md").read_text(encoding="utf-8")
    for table in page.split("| " + " | ".join(COLUMNS) + " |\n")[1:]:
        act = ""
        lines = [line for line in table.split("\n\n")[0].splitlines() if line.startswith("| ")]
        for line in lines:
            cells = dict(
                zip(COLUMNS, (cell.strip() for cell in line.split("|")[1:-1]), strict=True)
            )
            first = cells["act"] != ""
            act = cells["act"].replace("`", "") if first else act
            for column, cell in cells.items():
                if first or column not in ("act", *OF_AN_ACT):
                    where = f"{act}, {cells['part']}: {column}"
                    assert re.fullmatch(VOCABULARY[column], cell), f"{where}: {cell!r}"
                else:
                    assert cell == "", f"{act}: only the first row says {column}"
            found.append(Row(act=act, cells=cells, first=first))
    return found


ROWS = rows()
ACTS = [row for row in ROWS if row.first]


def acts_of_the_catalogue() -> set[str]:
    """Return all kinds, with each act and action of those that have several."""
    found: set[str] = set()
    for name, kind in KINDS.items():
        hints = kind.record.__annotations__
        several = get_args(hints.get("act", Action if "action" in hints else None))
        tags = [f"/{one.__struct_config__.tag}" for one in several]
        found |= {f"{name}{tag}" for tag in tags or [""]}
    return found


def test_the_page_has_every_act_of_the_catalogue_and_no_other() -> None:
    assert {row.act.split(" ")[0] for row in ACTS} == acts_of_the_catalogue()


def test_every_act_of_the_page_has_a_scene_with_its_parts_and_each_stands_once() -> None:
    said: dict[str, list[str]] = {}
    for row in ROWS:
        said.setdefault(row.act, []).append(row.part)
    assert len(said) == len(ACTS)
    assert said == {name: list(scene.parts) for name, scene in SCENES.items()}


def test_every_cell_is_counted() -> None:
    cells = sum(1 for row in ROWS for column in COLUMNS[2:] if row.first or column not in OF_AN_ACT)
    print(f"{cells} cells of {len(ROWS)} parts in {len(ACTS)} acts")
    assert cells == CELLS


# One scene an act


@dataclass(frozen=True, kw_only=True)
class Part:
    """A party that has a part in an act, and the keys with which it signs rightly."""

    party: str
    signers: Signers = ()


def city(party: str, role: str = "") -> Part:
    """Return a treasury that signs in a role, or not at all."""
    return Part(party=party, signers=officers(party, role) if role else ())


def desk(party: str, *, signs: bool = True) -> Part:
    """Return a centre, an auditor or a firm, that signs or not."""
    person = "owner" if party.startswith("firm") else "officer-1"
    return Part(party=party, signers=((party, person),) if signs else ())


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An act that holds, signed by whom it needs."""

    make: Callable[[Signers], Step]
    parts: dict[str, Part]
    before: tuple[Step | int, ...] = ()
    terms: dict[str, Any] = field(default_factory=dict)
    things: dict[str, str] = field(default_factory=dict)
    """What a hold could be on, by scope, besides the parties and centres."""
    undone: dict[str, tuple[Step | int, ...]] = field(default_factory=dict)
    """What stops the act afterwards, by its name; a number is the time of the next block."""
    state_first: tuple[str, ...] = ()
    """Parts whose state the rule asks for before it asks whether they signed."""

    @property
    def signers(self) -> Signers:
        """Return all who sign rightly."""
        return tuple(who for part in self.parts.values() for who in part.signers)


def proposal(action: Action, **scene: Any) -> Scene:
    """Return the scene of a proposal by Shanghai."""
    parts = {"proposer": city("shanghai", "registrar"), **scene.pop("parts", {})}
    return Scene(make=lambda by: propose(action, by=by), parts=parts, **scene)


def away(party: str) -> SetStatus:
    return SetStatus(party=party, status="suspended", successor=())


def back(party: str) -> SetStatus:
    return SetStatus(party=party, status="active", successor=())


USED = {"programme": PROGRAMME, "voucher": V1}
OWING = {**USED, "claim": CLAIM, "payable": PAYABLE}
WAITING = (GRANTED, redeem((V1, 100)))
RESERVED = (GRANTED, set_aside(V1, 1_000))
ALONE = (*RESERVED, alone())
OPENED_MS = second(1)
KEYS_RIPE_MS = OPENED_MS + 72 * HOUR_MS
DECIDABLE_MS = second(3) + 7 * DAY_MS
INSTRUCTED = (*OWED, instruct(PAYABLE, 100))
CONFIRMABLE_MS = second(3) + 10 * DAY_MS
HOLD = set_hold("party", "firm-a")
HUB_KEYS = keys_of("guian-hub", "heir")
HENAN = {"funders": HALVES}
FIRM_C = keys_of("firm-c", "owner")
ATTESTED = (attest("firm-a"),)
BY_HUB = {"attester": "guian-hub"}
AGAIN: dict[str, Any] = {"expires_at": LATE_MS}
CONFIRMED = (*INSTRUCTED, confirm())
RETURNING = (*CONFIRMED, return_payment())
HOLD_END_MS = second(2) + 10 * DAY_MS
COOLED_MS = second(2) + 14 * DAY_MS
BOTH_DESKS = (("guian-hub", "officer-1"), ("guian-hub", "officer-2"))
OTHER_KEYS = keys_of("firm-a", "other")
OTHER_BANK = treasury_keys("shanghai", officer_3=("mint", "pay"))
THEIR_OWN: dict[str, Any] = {"keys": treasury_keys("shanghai"), "threshold": 2}
CHANGING = (announce("shanghai", **THEIR_OWN),)
"""A key change, the least there is."""
KEYS_ADOPTED = adopted(SetMemberKeys(party="shanghai", proofs=(), **THEIR_OWN))
BY_A_SECOND = decide_keys(accept=False, second=("audit-office",))
REJECTED_BY_A_SECOND = decide_keys("shanghai", accept=False, second=("audit-office",))
SOME_ID = builders.seed("some transaction")

SCENES: dict[str, Scene] = {
    # Parties
    "party.enrol": Scene(
        make=lambda by: enrol("firm-c", by=by),
        parts={"city": city("shanghai", "registrar")},
        undone={"hold.set": (set_hold("party", "firm-c"),)},
    ),
    "attestation.issue of a treasury": Scene(
        make=lambda by: attest("firm-a", by=by),
        parts={"attester": city("shanghai", "registrar"), "subject": desk("firm-a", signs=False)},
        undone={"attestation.revoke": (revoke_attestation("firm-a"),)},
    ),
    "attestation.issue of a centre": Scene(
        make=lambda by: attest("firm-a", by=by, **BY_HUB),
        parts={"attester": desk("guian-hub")},
        undone={"attestation.revoke": (revoke_attestation("firm-a", **BY_HUB),)},
    ),
    "attestation.revoke of a treasury": Scene(
        make=lambda by: revoke_attestation("firm-a", by=by),
        before=ATTESTED,
        parts={"attester": city("shanghai", "registrar"), "subject": desk("firm-a", signs=False)},
        undone={"attestation.issue": (attest("firm-a", **AGAIN),)},
    ),
    "attestation.revoke of a centre": Scene(
        make=lambda by: revoke_attestation("firm-a", by=by, **BY_HUB),
        before=(attest("firm-a", by=(("guian-hub", "officer-1"),), **BY_HUB),),
        parts={"attester": desk("guian-hub")},
        undone={
            "attestation.issue": (
                attest("firm-a", by=(("guian-hub", "officer-1"),), **BY_HUB, **AGAIN),
            )
        },
    ),
    "party.set_keys/rotate of a holder": Scene(
        make=lambda by: rotate(by=by),
        parts={"holder": desk("firm-a")},
        undone={"party.set_keys/recover": (recover(),)},
    ),
    "party.set_keys/rotate of a treasury": Scene(
        make=lambda by: rotate("shanghai", **THEIR_OWN, by=by),
        parts={"member": city("shanghai", "registrar")},
        undone={"governance.propose/keys": KEYS_ADOPTED},
    ),
    "party.set_keys/rotate of another role": Scene(
        make=lambda by: rotate("shanghai", keys=OTHER_BANK, threshold=2, by=by),
        parts={"member": city("shanghai", "registrar"), "who has it": city("shanghai", "bank")},
        state_first=("who has it",),
        undone={"governance.propose/keys": KEYS_ADOPTED},
    ),
    "party.set_keys/rotate of a centre": Scene(
        make=lambda by: rotate("guian-hub", keys=keys_of("guian-hub", "officer-1", "new"), by=by),
        parts={"member": Part(party="guian-hub", signers=BOTH_DESKS)},
        undone={
            "governance.propose/keys": adopted(
                SetMemberKeys(party="guian-hub", keys=HUB_KEYS, threshold=1, proofs=())
            )
        },
    ),
    "party.set_keys/announce of a treasury": Scene(
        make=lambda by: announce("shanghai", **THEIR_OWN, by=by),
        parts={"member": city("shanghai", "registrar")},
        undone={
            "party.set_keys/object": (objection("shanghai", by=ONE_OFFICER),),
            "party.set_keys/decide": (decide_keys("shanghai", accept=False),),
        },
    ),
    "party.set_keys/announce of a centre": Scene(
        make=lambda by: announce(by=by),
        parts={"member": desk("guian-hub")},
        undone={
            "party.set_keys/object": (objection("guian-hub"),),
            "party.set_keys/decide": (decide_keys("guian-hub", member="guian-hub", accept=False),),
        },
    ),
    "party.set_keys/recover": Scene(
        make=lambda by: recover(by=by),
        parts={"city": city("shanghai", "registrar"), "holder": desk("firm-a", signs=False)},
        undone={
            "party.set_keys/object": (objection(),),
            "party.set_keys/decide": (decide_keys(accept=False),),
        },
    ),
    "party.set_keys/recover after one that was rejected": Scene(
        make=lambda by: recover(keys=OTHER_KEYS, second=("audit-office",), by=by),
        before=(recover(), decide_keys(accept=False), COOLED_MS),
        parts={
            "city": city("shanghai", "registrar"),
            "second": desk("audit-office"),
            "holder": desk("firm-a", signs=False),
        },
        undone={
            "party.set_keys/object": (objection(),),
            "party.set_keys/decide": (decide_keys(accept=False),),
        },
    ),
    "party.set_keys/object to a recovery": Scene(
        make=lambda by: objection(by=by),
        before=(recover(),),
        parts={"holder": desk("firm-a"), "city": city("shanghai")},
        undone={"party.set_keys/decide": (BY_A_SECOND,)},
    ),
    "party.set_keys/object to its own keys": Scene(
        make=lambda by: objection("shanghai", by=by),
        before=CHANGING,
        parts={"member": Part(party="shanghai", signers=ONE_OFFICER)},
        state_first=("member",),
        undone={"party.set_keys/decide": (REJECTED_BY_A_SECOND,)},
    ),
    "party.set_keys/object by an auditor": Scene(
        make=lambda by: objection("shanghai", member="audit-office", by=by),
        before=CHANGING,
        parts={"auditor": desk("audit-office"), "member": city("shanghai")},
        undone={"party.set_keys/decide": (REJECTED_BY_A_SECOND,)},
    ),
    "party.set_keys/decide alone": Scene(
        make=lambda by: decide_keys(by=by),
        before=(recover(), KEYS_RIPE_MS),
        parts={"city": city("shanghai", "registrar"), "holder": desk("firm-a", signs=False)},
        undone={"party.set_keys/recover": (recover(keys=OTHER_KEYS),)},
    ),
    "party.set_keys/decide with a second": Scene(
        make=lambda by: decide_keys(second=("audit-office",), by=by),
        before=(recover(), objection(), KEYS_RIPE_MS),
        parts={
            "city": city("shanghai", "registrar"),
            "second": desk("audit-office"),
            "holder": desk("firm-a", signs=False),
        },
        undone={"party.set_keys/recover": (recover(keys=OTHER_KEYS),)},
    ),
    "party.set_keys/decide by a second": Scene(
        make=lambda by: decide_keys(accept=False, second=("audit-office",), by=by),
        before=(recover(), objection()),
        parts={"second": desk("audit-office"), "city": city("shanghai")},
        undone={
            "party.set_keys/recover": (
                second(3) + 14 * DAY_MS,
                recover(keys=OTHER_KEYS, second=("audit-office",)),
            )
        },
    ),
    "party.set_keys/decide of a key change": Scene(
        make=lambda by: decide_keys("shanghai", by=by),
        before=(*CHANGING, KEYS_RIPE_MS),
        parts={"member": city("shanghai", "registrar")},
        state_first=("member",),
        undone={"governance.propose/keys": KEYS_ADOPTED},
    ),
    "party.set_keys/decide of a key change with a second": Scene(
        make=lambda by: decide_keys("shanghai", second=("audit-office",), by=by),
        before=(*CHANGING, objection("shanghai", by=ONE_OFFICER), KEYS_RIPE_MS),
        parts={"member": city("shanghai", "registrar"), "second": desk("audit-office")},
        state_first=("member",),
        undone={"governance.propose/keys": KEYS_ADOPTED},
    ),
    "party.set_keys/decide of a key change by a second": Scene(
        make=lambda by: decide_keys("shanghai", accept=False, second=("audit-office",), by=by),
        before=(*CHANGING, objection("shanghai", by=ONE_OFFICER)),
        parts={"second": desk("audit-office"), "member": city("shanghai")},
        undone={"party.set_keys/announce": (announce("shanghai", **THEIR_OWN, **AGAIN),)},
    ),
    # Programmes and centres
    "programme.publish first": Scene(
        make=lambda by: publish(programme="shanghai.other", by=by, **HENAN),
        parts={"issuer": city("shanghai", "budget"), "funder": city("henan")},
        undone={
            "programme.publish": (publish(programme="shanghai.other", status="closed", **HENAN),)
        },
    ),
    "programme.publish another version": Scene(
        make=lambda by: publish(version=2, by=by, **HENAN),
        parts={"issuer": city("shanghai", "budget"), "funder": city("henan")},
        undone={"programme.publish": (publish(version=3, **HENAN),)},
    ),
    "programme.consent": Scene(
        make=lambda by: agree(version=2, by=by, **HENAN),
        before=(publish(version=2, **HENAN),),
        parts={"funder": city("henan", "budget"), "issuer": city("shanghai")},
        undone={"programme.publish": (publish(version=2, status="suspended", **HENAN),)},
    ),
    "programme.appropriate more": Scene(
        make=lambda by: appropriate(5, funder="henan", by=by),
        terms=HENAN,
        parts={"funder": city("henan", "budget"), "issuer": city("shanghai")},
        undone={"programme.appropriate": (appropriate(-5, funder="henan"),)},
    ),
    "programme.appropriate taking back": Scene(
        make=lambda by: appropriate(-5, funder="guiyang", by=by),
        terms={"funders": shares(("shanghai", 5_000), ("guiyang", 5_000))},
        before=(appropriate(9, funder="guiyang"),),
        parts={"funder": city("guiyang", "budget"), "issuer": city("shanghai")},
        undone={"programme.appropriate": (appropriate(5, funder="guiyang"),)},
    ),
    "centre.accredit": Scene(
        make=lambda by: accredit(pue_milli=1_300, by=by),
        parts={"host": city("guiyang", "registrar"), "centre": desk("guian-hub", signs=False)},
        undone={"centre.accredit": (accredit(ended=True),)},
    ),
    "centre.accredit of another host": Scene(
        make=lambda by: accredit(host="shanghai", by=by),
        parts={
            "host": city("shanghai", "registrar"),
            "centre": desk("guian-hub"),
            "former host": city("guiyang"),
        },
        undone={"centre.accredit": (accredit(host="shanghai", ended=True),)},
    ),
    "recognition.set direct": Scene(
        make=lambda by: recognise(limit=(5,), by=by),
        parts={"issuer": city("shanghai", "registrar"), "host": city("guiyang")},
        undone={"recognition.set": (recognise(until_ms=NOON_MS),)},
    ),
    "recognition.set where the host pays": Scene(
        make=lambda by: recognise(mode="host_pays", by=by),
        parts={"issuer": city("shanghai", "registrar"), "host": city("guiyang", "registrar")},
        undone={"recognition.set": (recognise(until_ms=NOON_MS),)},
    ),
    # Vouchers
    "voucher.mint": Scene(
        make=lambda by: mint(("firm-a", 1_000), by=by),
        terms=HENAN,
        before=(appropriate(funder="henan"),),
        parts={
            "issuer": city("shanghai", "mint"),
            "funder": city("henan"),
            "holder": desk("firm-a", signs=False),
        },
        things={"programme": PROGRAMME},
        undone={"voucher.revoke": (revoke(V1, 1_000),)},
    ),
    "voucher.transfer": Scene(
        make=lambda by: transfer(V1, 100, by=by),
        before=(GRANTED,),
        parts={
            "holder": desk("firm-a"),
            "recipient": desk("firm-b"),
            "issuer": city("shanghai"),
        },
        things=USED,
        undone={"voucher.revoke": (revoke(V2, 100),)},
    ),
    "voucher.reserve": Scene(
        make=lambda by: set_aside(V1, 100, by=by),
        before=(GRANTED,),
        parts={
            "holder": desk("firm-a"),
            "centre": desk("guian-hub", signs=False),
            "host": city("guiyang"),
            "issuer": city("shanghai"),
        },
        things=USED,
        undone={"voucher.release": (release(RESERVE, 100),)},
    ),
    "voucher.release by the centre": Scene(
        make=lambda by: release(RESERVE, 100, by=by),
        before=RESERVED,
        parts={
            "centre": desk("guian-hub"),
            "holder": desk("firm-a", signs=False),
            "issuer": city("shanghai"),
        },
        things=USED,
        undone={"voucher.reserve": (set_aside(V1, 100),)},
    ),
    "voucher.release by the holder": Scene(
        make=lambda by: release(RESERVE, 100, party="firm-a", by=by),
        before=(GRANTED, set_aside(V1, 1_000, until_ms=HOLD_END_MS), HOLD_END_MS),
        parts={
            "holder": desk("firm-a"),
            "issuer": city("shanghai", "review"),
            "centre": desk("guian-hub", signs=False),
        },
        things=USED,
        undone={"voucher.reserve": (set_aside(V1, 100, until_ms=HOLD_END_MS + DAY_MS),)},
    ),
    "voucher.extend": Scene(
        make=lambda by: extend(V1, TODAY + 400, by=by),
        before=(GRANTED,),
        parts={"issuer": city("shanghai", "review"), "holder": desk("firm-a", signs=False)},
        things=USED,
        undone={"voucher.revoke": (revoke(V1, 1),)},
    ),
    "voucher.revoke": Scene(
        make=lambda by: revoke(V1, 1, by=by),
        before=(GRANTED,),
        parts={"issuer": city("shanghai", "review"), "holder": desk("firm-a", signs=False)},
        things=USED,
    ),
    # Claims
    "voucher.redeem jointly": Scene(
        make=lambda by: redeem((V1, 100), by=by),
        before=(GRANTED,),
        parts={
            "holder": desk("firm-a"),
            "centre": desk("guian-hub"),
            "host": city("guiyang"),
            "issuer": city("shanghai"),
        },
        things=USED,
        undone={"claim.credit": (credit(CLAIM, 100),)},
    ),
    "voucher.redeem under a reserve": Scene(
        make=lambda by: alone(by=by),
        before=RESERVED,
        parts={
            "centre": desk("guian-hub"),
            "holder": desk("firm-a", signs=False),
            "host": city("guiyang"),
            "issuer": city("shanghai"),
        },
        things=USED,
        undone={
            "claim.decide/dispute": (dispute(CLAIM),),
            "claim.decide/decide": (decide(CLAIM, 0),),
        },
    ),
    "voucher.redeem under a reserve with the holder": Scene(
        make=lambda by: alone(holder_signs=True, by=by),
        before=RESERVED,
        parts={
            "holder": desk("firm-a"),
            "centre": desk("guian-hub"),
            "host": city("guiyang"),
            "issuer": city("shanghai"),
        },
        things=USED,
        undone={"claim.credit": (credit(CLAIM, 100),)},
    ),
    "voucher.redeem after use": Scene(
        make=lambda by: after_use(by=by),
        terms=AFTER,
        parts={
            "holder": desk("firm-a"),
            "centre": desk("guian-hub"),
            "host": city("guiyang"),
            "issuer": city("shanghai"),
        },
        things={"programme": PROGRAMME},
        undone={"claim.credit": (credit(CLAIM, 100),)},
    ),
    "claim.decide/decide accepting": Scene(
        make=lambda by: decide(CLAIM, 100, by=by),
        before=(*ALONE, DECIDABLE_MS),
        parts={
            "issuer": city("shanghai", "review"),
            "holder": desk("firm-a", signs=False),
            "centre": desk("guian-hub", signs=False),
        },
        things={**USED, "claim": CLAIM},
        undone={"claim.credit": (credit(CLAIM, 100),)},
    ),
    "claim.decide/decide rejecting": Scene(
        make=lambda by: decide(CLAIM, 0, by=by),
        before=ALONE,
        parts={
            "issuer": city("shanghai", "review"),
            "holder": desk("firm-a", signs=False),
            "centre": desk("guian-hub", signs=False),
        },
        things={**USED, "claim": CLAIM},
        undone={"voucher.redeem": (alone(**AGAIN),)},
    ),
    "claim.decide/decide by an auditor": Scene(
        make=lambda by: decide(CLAIM, 100, member="audit-office", by=by),
        before=(*ALONE, second(3) + 90 * DAY_MS),
        parts={
            "auditor": desk("audit-office"),
            "issuer": city("shanghai"),
            "holder": desk("firm-a", signs=False),
            "centre": desk("guian-hub", signs=False),
        },
        things={**USED, "claim": CLAIM},
        undone={"claim.credit": (credit(CLAIM, 100),)},
    ),
    "claim.decide/dispute": Scene(
        make=lambda by: dispute(CLAIM, by=by),
        before=ALONE,
        parts={
            "holder": desk("firm-a"),
            "issuer": city("shanghai"),
            "centre": desk("guian-hub", signs=False),
        },
        things={**USED, "claim": CLAIM},
        undone={"claim.decide/decide": (decide(CLAIM, 0, case=(builders.CASE,)),)},
    ),
    "claim.credit": Scene(
        make=lambda by: credit(CLAIM, 100, by=by),
        before=OWED,
        parts={
            "centre": desk("guian-hub"),
            "issuer": city("shanghai", "review"),
            "holder": desk("firm-a", signs=False),
        },
        things=OWING,
    ),
    # Settlement
    "clearing.close by a treasury": Scene(
        make=lambda by: close_cycle(by=by),
        before=(*REIMBURSED, CYCLE_RIPE_MS),
        parts={"closer": city("guiyang", "pay"), "other side": city("shanghai")},
        things=OWING,
    ),
    "clearing.close by an auditor": Scene(
        make=lambda by: close_cycle(member="audit-office", by=by),
        before=(*REIMBURSED, CYCLE_RIPE_MS),
        parts={"closer": desk("audit-office")},
    ),
    "payment.record/instructed": Scene(
        make=lambda by: instruct(PAYABLE, 100, by=by),
        before=OWED,
        parts={"debtor": city("shanghai", "pay"), "creditor": desk("guian-hub", signs=False)},
        things=OWING,
        undone={
            "payment.record/objected": (object_to_payment(),),
            "payment.record/returned": (return_payment(),),
        },
    ),
    "payment.record/confirmed by the creditor": Scene(
        make=lambda by: confirm(by=by),
        before=INSTRUCTED,
        parts={"creditor": desk("guian-hub"), "debtor": city("shanghai")},
        things=OWING,
        undone={"payment.record/returned": (return_payment(),)},
    ),
    "payment.record/confirmed by the debtor": Scene(
        make=lambda by: confirm(member="shanghai", by=by),
        before=(*INSTRUCTED, CONFIRMABLE_MS),
        parts={"debtor": city("shanghai", "bank"), "creditor": desk("guian-hub", signs=False)},
        things=OWING,
        undone={"payment.record/returned": (return_payment(),)},
    ),
    "payment.record/returned by the debtor": Scene(
        make=lambda by: return_payment(by=by),
        before=INSTRUCTED,
        parts={"debtor": city("shanghai", "bank"), "creditor": desk("guian-hub", signs=False)},
        things=OWING,
        undone={"payment.record/instructed": (instruct(PAYABLE, 100, "E2"),)},
    ),
    "payment.record/returned by the creditor": Scene(
        make=lambda by: return_payment(member="guian-hub", by=by),
        before=CONFIRMED,
        parts={"creditor": desk("guian-hub"), "debtor": city("shanghai")},
        things=OWING,
        undone={"payment.record/instructed": (instruct(PAYABLE, 100, "E2"),)},
    ),
    "payment.record/returned once confirmed": Scene(
        make=lambda by: return_payment(by=by),
        before=CONFIRMED,
        parts={"debtor": city("shanghai", "bank"), "creditor": desk("guian-hub", signs=False)},
        things=OWING,
        undone={"payment.record/objected": (object_to_payment(),)},
    ),
    "payment.record/returned once returning": Scene(
        make=lambda by: return_payment(by=by, **AGAIN),
        before=(*RETURNING, second(5) + 10 * DAY_MS),
        parts={"debtor": city("shanghai", "bank"), "creditor": desk("guian-hub", signs=False)},
        things=OWING,
        undone={"payment.record/instructed": (instruct(PAYABLE, 100, "E2"),)},
    ),
    "payment.record/written_off": Scene(
        make=lambda by: write_off(PAYABLE, 100, by=by),
        before=OWED,
        parts={"debtor": city("shanghai", "pay"), "creditor": desk("guian-hub")},
        things=OWING,
    ),
    "payment.record/objected": Scene(
        make=lambda by: object_to_payment(by=by),
        before=INSTRUCTED,
        parts={"creditor": desk("guian-hub"), "debtor": city("shanghai")},
        things=OWING,
        undone={
            "payment.record/confirmed": (confirm(),),
            "payment.record/resolved": (resolve_payment(),),
        },
    ),
    "payment.record/objected to a return": Scene(
        make=lambda by: object_to_payment(by=by),
        before=RETURNING,
        parts={"creditor": desk("guian-hub"), "debtor": city("shanghai")},
        things=OWING,
        undone={
            "payment.record/returned": (return_payment(member="guian-hub"),),
            "payment.record/resolved": (resolve_payment(paid=False),),
        },
    ),
    "payment.record/resolved by a city": Scene(
        make=lambda by: resolve_payment(member="guiyang", by=by),
        before=(*INSTRUCTED, object_to_payment()),
        parts={
            "resolver": city("guiyang", "review"),
            "debtor": city("shanghai"),
            "creditor": desk("guian-hub", signs=False),
        },
        things=OWING,
        undone={"payment.record/returned": (return_payment(),)},
    ),
    "payment.record/resolved by an auditor": Scene(
        make=lambda by: resolve_payment(by=by),
        before=(*INSTRUCTED, object_to_payment()),
        parts={
            "resolver": desk("audit-office"),
            "debtor": city("shanghai"),
            "creditor": desk("guian-hub", signs=False),
        },
        things=OWING,
        undone={"payment.record/returned": (return_payment(),)},
    ),
    # Cases
    "hold.set by a city": Scene(
        make=lambda by: set_hold("party", "firm-a", by=by),
        parts={"setter": city("shanghai", "review"), "held party": desk("firm-a", signs=False)},
        undone={"hold.clear": (clear_hold(),)},
    ),
    "hold.set by an auditor": Scene(
        make=lambda by: set_hold("party", "guian-hub", member="audit-office", by=by),
        parts={"setter": desk("audit-office"), "held party": desk("guian-hub", signs=False)},
        undone={"hold.clear": (clear_hold("audit-office.000000001", member="audit-office"),)},
    ),
    "hold.clear of its own": Scene(
        make=lambda by: clear_hold(by=by),
        before=(HOLD,),
        state_first=("setter",),
        parts={"setter": city("shanghai", "review")},
        undone={"hold.set": (set_hold("party", "firm-a", **AGAIN),)},
    ),
    "hold.clear by an auditor": Scene(
        make=lambda by: clear_hold(member="audit-office", by=by),
        before=(HOLD,),
        parts={"clearer": desk("audit-office"), "setter": city("shanghai")},
    ),
    "record.anchor by a treasury": Scene(
        make=lambda by: anchor(by=by), parts={"member": city("shanghai", "registrar")}
    ),
    "record.anchor by an auditor": Scene(
        make=lambda by: anchor(member="audit-office", by=by), parts={"member": desk("audit-office")}
    ),
    # Governance
    "governance.propose/admit": proposal(
        Admit(member=builders.auditor("second-office"), proofs=()),
        undone={
            "governance.propose/status": (
                vote(voter="guiyang"),
                vote(voter="henan"),
                vote(voter="guian-hub"),
                propose(SetStatus(party="second-office", status="removed", successor=())),
            )
        },
    ),
    "governance.propose/status": proposal(
        SetStatus(party="chengdu-aicc", status="suspended", successor=("guian-hub",)),
        parts={
            "subject": desk("chengdu-aicc", signs=False),
            "named successor": desk("guian-hub", signs=False),
        },
        undone={
            "governance.propose/status": (
                vote(voter="guiyang"),
                vote(voter="henan"),
                vote(voter="guian-hub"),
                propose(back("chengdu-aicc")),
            )
        },
    ),
    "governance.propose/validator": proposal(
        SetValidator(party="guian-hub", validator=(NEW_KEYS,), proofs=()),
        parts={"subject": desk("guian-hub", signs=False)},
        undone={
            "governance.propose/validator": (
                propose(SetValidator(party="guian-hub", validator=(), proofs=())),
            )
        },
    ),
    "governance.propose/keys": proposal(
        SetMemberKeys(party="guian-hub", keys=HUB_KEYS, threshold=1, proofs=()),
        parts={"subject": desk("guian-hub", signs=False)},
        undone={
            "governance.propose/keys": (
                propose(
                    SetMemberKeys(
                        party="guian-hub",
                        keys=keys_of("guian-hub", "other"),
                        threshold=1,
                        proofs=(),
                    )
                ),
            )
        },
    ),
    "governance.propose/parameters": proposal(
        parameters(),
        undone={"governance.propose/parameters": (propose(parameters(heartbeat_ms=9_000)),)},
    ),
    "governance.propose/rules_version": proposal(SetRulesVersion(version=2, from_height=70_000)),
    "governance.propose/engine.switch": proposal(
        SwitchEngine(engine="comet", at_height=70_000),
        undone={
            "governance.propose/engine.switch": (
                propose(SwitchEngine(engine="builtin", at_height=80_000)),
            )
        },
    ),
    "governance.propose/pause": proposal(
        Pause(),
        undone={
            "governance.propose/resume": (
                vote(voter="guiyang"),
                vote(voter="henan"),
                vote(voter="guian-hub"),
                propose(Resume()),
            )
        },
    ),
    "governance.propose/resume": proposal(
        Resume(),
        before=adopted(Pause()),
        undone={
            "governance.propose/pause": (
                vote(2, voter="guiyang"),
                vote(2, voter="henan"),
                vote(2, voter="guian-hub"),
                propose(Pause(), **AGAIN),
            )
        },
    ),
    "governance.propose/pause by a centre": Scene(
        make=lambda by: propose(Pause(), proposer="guian-hub", by=by),
        parts={"proposer": desk("guian-hub")},
        undone={
            "governance.propose/resume": (
                vote(voter="guiyang"),
                vote(voter="henan"),
                vote(voter="shanghai"),
                propose(Resume()),
            )
        },
    ),
    "governance.vote of a treasury": Scene(
        make=lambda by: vote(by=by),
        before=(propose(SOME_ACTION),),
        parts={"voter": city("guiyang", "registrar"), "proposer": city("shanghai")},
    ),
    "governance.vote of a centre": Scene(
        make=lambda by: vote(voter="guian-hub", by=by),
        before=(propose(SOME_ACTION),),
        parts={"voter": desk("guian-hub")},
    ),
    # Transactions
    "tx.withdraw of a holder": Scene(
        make=lambda by: withdraw(SOME_ID, by=by), parts={"holder": desk("firm-a")}
    ),
    "tx.withdraw of a treasury": Scene(
        make=lambda by: withdraw(SOME_ID, party="shanghai", by=by),
        parts={"member": Part(party="shanghai", signers=ONE_OFFICER)},
    ),
    "tx.withdraw of a centre": Scene(
        make=lambda by: withdraw(SOME_ID, party="guian-hub", by=by),
        parts={"member": desk("guian-hub")},
    ),
}


# What every cell asks for


def case_of(
    row: Row,
    claim: str,
    code: str,
    *,
    signers: Signers | None = None,
    doctor: Doctor | None = None,
    **rest: Any,
) -> Case:
    """Return a case of an act in its scene, something changed."""
    scene = SCENES[row.act]
    return Case(
        claim=f"{row}: {claim}",
        clause="authority",
        code=code if code == "ok" else code_text(int(code)),
        transaction=scene.make(scene.signers if signers is None else signers),
        terms=scene.terms,
        doctor=doctor,
        **{"before": scene.before, **rest},
    )


def cases_of_signers(row: Row) -> Iterator[Case]:
    """Yield an act without one who must sign: with nobody, half, the wrong role, or another."""
    scene, part = SCENES[row.act], SCENES[row.act].parts[row.part]
    word, _, code = row.cells["signs"].rpartition(" ")
    assert bool(word) == bool(part.signers), f"{row}: who signs"
    if not word:
        return
    others = tuple(who for who in scene.signers if who not in part.signers)
    parties = {one.party for one in scene.parts.values()}
    stranger = next(who for who in STRANGERS if who[0] not in parties)
    nobody = "102" if word == "persons" else code
    yield case_of(row, "nobody signs for it", nobody, signers=(*others, stranger))
    if word == "persons":
        yield case_of(row, "one person signs", code, signers=(*others, part.signers[0]))
    if word in ("keys", "a key", "persons"):
        return
    assert part.signers == officers(part.party, word), f"{row}: the role"
    wrong = tuple((part.party, person) for person, roles in OFFICERS.items() if word not in roles)
    other = next(name for name in ("henan", "guiyang", "shanghai") if name not in parties)
    yield case_of(row, "one officer signs", code, signers=(*others, part.signers[0]))
    yield case_of(row, "officers of another role sign", code, signers=(*others, *wrong))
    yield case_of(row, "another party signs", code, signers=(*others, *officers(other, word)))


def with_status(party: str, status: str, *successor: str) -> Doctor:
    """Return a doctor who suspends or removes a member, for a successor or for nobody."""
    return together(
        doctored(PARTIES, party, status=status),
        written(SUCCESSIONS, Succession(successor=successor), party),
    )


def cases_of_status(row: Row, status: str) -> Iterator[Case]:
    """Yield an act of a member that is suspended or removed, alone and with a successor."""
    scene, part, cell = SCENES[row.act], SCENES[row.act].parts[row.part], row.cells[status]
    is_holder = part.party.startswith("firm")
    assert (cell == "—") == is_holder, f"{row}: only holders are never {status}"
    if is_holder:
        return
    alone_ = with_status(part.party, status)
    code = {"yes": "ok", "successor": "103"}.get(cell, cell)
    yield case_of(row, f"{status}, and nobody takes its place", code, doctor=alone_)
    successor = SUCCESSORS.get(part.party)
    if successor is None or not part.signers:
        return
    named = with_status(part.party, status, successor)
    theirs = tuple((successor, person) for _, person in part.signers)
    instead = tuple(
        theirs[part.signers.index(who)] if who in part.signers else who for who in scene.signers
    )
    signs = row.cells["signs"].rpartition(" ")[2].replace("106", "102")
    if cell == "successor":
        yield case_of(row, f"{status}, its successor signs", "ok", signers=instead, doctor=named)
        yield case_of(row, f"{status}, it signs itself", signs, doctor=named)
    else:
        yield case_of(row, f"{status}, with a successor", code, doctor=named)
        if successor not in {one.party for one in scene.parts.values()}:
            refused = code if row.part in scene.state_first and code != "ok" else signs
            yield case_of(
                row, f"{status}, its successor signs", refused, signers=instead, doctor=named
            )


def cases_of_a_recovery(row: Row) -> Iterator[Case]:
    """Yield an act while the keys of a holder are being recovered."""
    part, cell = SCENES[row.act].parts[row.part], row.cells["recovery"]
    assert (cell != "—") == part.party.startswith("firm"), f"{row}: only holders are recovered"
    if cell != "—":
        code = "ok" if cell == "yes" else cell
        if row.act.startswith("party.set_keys/") and code == "ok":
            yield case_of(row, "a recovery is open", code)  # its very scene
        else:
            last = (NOON_MS, *SCENES[row.act].before)[-1]
            since_ms = last if isinstance(last, int) else NOON_MS
            doctor = doctored(PARTIES, part.party, stopped_since_ms=(since_ms,))
            yield case_of(row, "a recovery is open", code, doctor=doctor)


def cases_of_holds(act: Row) -> Iterator[Case]:
    """Yield an act with a hold on each thing that it is about, in turn."""
    scene = SCENES[act.act]
    stops: set[tuple[str, str]] = set()
    things = {("party", part.party) for part in scene.parts.values()}
    things |= {("centre", part.party) for part in scene.parts.values() if "hub" in part.party}
    things |= set(scene.things.items())
    for row in ROWS:
        if row.act == act.act and row.cells["held"] != "—":
            for scope in row.cells["held"].split(", "):
                party = scene.parts[row.part].party
                thing = party if scope in ("party", "centre") else scene.things[scope]
                stops.add((scope, thing))
    assert stops <= things, f"{act.act}: a hold on what is no part of the scene"
    for scope, thing in sorted(things):
        doctor = written(HELD, HeldBy(holds=("audit-office.000000009",)), scope, thing)
        code = "906" if (scope, thing) in stops else "ok"
        yield case_of(act, f"a hold on the {scope} {thing}", code, doctor=doctor)


def cases_of_an_act(row: Row) -> Iterator[Case]:
    """Yield an act as it holds, in a pause, before its time, and what undoes it."""
    scene, cells = SCENES[row.act], row.cells
    yield case_of(row, "it holds", "ok")
    code = "ok" if cells["paused"] == "yes" else cells["paused"]
    if not row.act.startswith("governance.propose/resume"):
        paused = doctored(CONTROL, "all", paused_since_ms=(NOON_MS,))
        yield case_of(row, "in a pause", code, doctor=paused)
    last = scene.before[-1] if scene.before else None
    assert isinstance(last, int) == (cells["delay"] != "none"), f"{row}: the delay"
    if isinstance(last, int):
        length, unit, code = cells["delay"].split(" ")
        began_ms = last - int(length) * HOURS[unit] * HOUR_MS
        assert began_ms in began(scene), f"{row}: nothing begins {cells['delay']} before"
        yield case_of(row, "a millisecond early", code, before=(*scene.before[:-1], last - 1))
    acts = [] if cells["undone by"] == "none" else cells["undone by"].replace("`", "").split(", ")
    assert acts == list(scene.undone), f"{row}: what undoes it"
    for name, steps in scene.undone.items():
        before = (*scene.before, scene.make(scene.signers), *steps[:-1])
        undoes = steps[-1]
        assert not isinstance(undoes, int)
        yield Case(
            claim=f"{row}: undone by {name}",
            clause="authority",
            code="ok",
            transaction=undoes,
            terms=scene.terms,
            before=before,
        )


def began(scene: Scene) -> set[int]:
    """Return the times of the blocks that a scene begins with."""
    return {second(number) for number in range(1, len(scene.before))}


def cases() -> Iterator[tuple[str, Case]]:
    """Yield a case or several of every cell, and the act that it is about."""
    for row in ROWS:
        statuses = (cases_of_status(row, status) for status in ("suspended", "removed"))
        for some in (cases_of_signers(row), *statuses, cases_of_a_recovery(row)):
            yield from ((row.act, case) for case in some)
        if row.first:
            for some in (cases_of_holds(row), cases_of_an_act(row)):
                yield from ((row.act, case) for case in some)


@cache
def stage(act: str, before: tuple[Step | int, ...]) -> Chain:
    """Return the chain on which cases of an act are tried, one after the other."""
    return setting(case_of(next(row for row in ROWS if row.act == act), "", "ok", before=before))


@pytest.mark.parametrize(("act", "case"), tuple(cases()), ids=str)
def test_the_ledger_does_what_the_cell_says(act: str, case: Case) -> None:
    chain = stage(act, case.before)
    store = chain.ledger._storage
    assert isinstance(store, MemoryStore)
    before = dict(store.state)
    try:
        if case.doctor is not None:
            case.doctor(store)
        Ready(case, chain).check()
    finally:
        store.state.clear()
        store.state.update(before)
