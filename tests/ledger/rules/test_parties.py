"""Enrolment: T1. Keys, persons and rows that it takes."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from ledger.encoding import codec
from ledger.genesis import log_id_of
from ledger.rules.authority import KEYS
from ledger.rules.governance import Admit, SetMemberKeys, SetStatus, SetValidator
from ledger.rules.money import FunderShare
from ledger.rules.parties import PARTIES, REGISTRATION_TAGS, PartyKey
from ledger.rules.programmes import Publish
from ledger.transactions import parse
from tests import builders
from tests.builders import Chain, funded_chain, key, keys_of, officers, seed
from tests.ledger.rules.case import (
    ONE_OFFICER,
    V1,
    Case,
    Ready,
    Step,
    adopted,
    enrol,
    no,
    ok,
    suspended,
)
from tests.ledger.rules.chains import code, stored
from tests.ledger.rules.situations import SHANGHAI, proof, tag_keys, unfit_keys
from verifier.kinds import rows_of


def enrol_firm_c(**changes: Any) -> Step:
    return enrol("firm-c", **changes)


TWO = keys_of("firm-c", "one", "two")
PROOFS = tuple(proof("firm-c", one.key) for one in TWO)
ELSEWHERE = proof("firm-c", TWO[1].key, bytes(32))

CASES: list[Case] = [
    # T1
    no("no city enrols", "T1.1", "party_unknown", enrol("firm-c", city="nowhere", by=SHANGHAI)),
    no(
        "a province enrols",
        "T1.1",
        "party_wrong_kind",
        enrol("firm-c", city="henan"),
        values={"party": "henan", "kind": "province", "expected": "city"},
    ),
    no(
        "a data centre enrols",
        "T1.1",
        "party_wrong_kind",
        enrol("firm-c", city="guian-hub", by=SHANGHAI),
        values={"party": "guian-hub", "kind": "data_centre"},
    ),
    no(
        "one officer alone enrols",
        "T1.2",
        "four_eyes_missing",
        enrol("firm-c", by=ONE_OFFICER),
        values={"party": "shanghai", "role": "registrar", "needed": 2, "signed": 1},
    ),
    no(
        "two officers without the role enrol",
        "T1.2",
        "four_eyes_missing",
        enrol("firm-c", by=officers("shanghai", "mint")),
        values={"signed": 0},
    ),
    no(
        "a suspended city enrols",
        "T1.3",
        "party_not_active",
        enrol("firm-c"),
        before=suspended("shanghai"),
        values={"status": "suspended"},
    ),
    no("an id that is taken", "T1.4", "party_exists", enrol("firm-a", name="Other")),
    no("the id of the clearing", "T1.4", "party_exists", enrol("clearing")),
    no(
        "a firm under a second id",
        "T1.5",
        "registration_tag_taken",
        enrol("firm-c", registration_tag=seed("firm-a", "registration")),
        values={"party": "firm-a"},
    ),
    no(
        "a tag of thirty-two bytes that somebody made up",
        "T1.5",
        "tag_epoch_unknown",
        enrol("firm-c", tag_epoch=2),
        values={"epoch": 2},
    ),
    no(
        "a firm under a second id, by a key that is no longer in force",
        "T1.5",
        "tag_epoch_unknown",
        enrol("firm-c", registration_tag=seed("firm-a", "registration")),
        before=adopted(tag_keys(2)),
    ),
    ok(
        "a tag of an epoch that has just begun",
        "T1.5",
        enrol("firm-c", tag_epoch=2),
        before=adopted(tag_keys(1, 2)),
    ),
    *unfit_keys("T1.6", enrol_firm_c),
    *(
        no(
            claim,
            "T1.6",
            "key_proof_wrong",
            enrol_firm_c(keys=TWO, threshold=1, proofs=proofs),
            values={"key": wrong},
        )
        for claim, proofs, wrong in (
            ("a proof of another ledger", (PROOFS[0], ELSEWHERE), TWO[1].key.hex()),
            ("proofs in another order", PROOFS[::-1], TWO[0].key.hex()),
            ("a proof is missing", PROOFS[:1], TWO[1].key.hex()),
            ("a proof too many", (*PROOFS, PROOFS[0]), ""),
        )
    ),
    ok("every key is proven", "T1.6", enrol_firm_c(keys=TWO, threshold=1, proofs=PROOFS)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()


def test_an_enrolled_party_has_its_keys_its_tag_and_its_city() -> None:
    chain = Chain()
    chain.accept(builders.enrol("firm-a", control_group=(builders.seed("group-1"),)))
    party = stored(chain, PARTIES, "firm-a")
    assert (party.kind, party.party_class, party.enrolled_by) == (
        "holder",
        "start_up",
        ("shanghai",),
    )
    assert stored(chain, KEYS, key("firm-a", "owner").hex()).party == "firm-a"
    tag = builders.seed("firm-a", "registration").hex()
    assert stored(chain, REGISTRATION_TAGS, tag).party == "firm-a"


def test_a_threshold_of_two_needs_two_keys() -> None:
    chain = funded_chain()
    keys = tuple(
        PartyKey(key=key("firm-c", person), person=person, roles=()) for person in ("one", "two")
    )
    chain.accept(builders.enrol("firm-c", keys=keys, threshold=2))
    chain.accept(builders.mint(("firm-c", 100)))
    one, two, taker = ("firm-c", "one"), ("firm-c", "two"), ("firm-b", "owner")
    alone = builders.transfer(V1, 5, holder="firm-c", by=(one, taker))
    together = builders.transfer(V1, 6, holder="firm-c", by=(one, two, taker))
    assert code(chain.attempt(alone)) == "signature_missing"
    assert code(chain.attempt(together)) == "ok"


def test_two_keys_of_one_person_are_not_four_eyes() -> None:
    same = PartyKey(key=key("xian", "spare"), person="officer-1", roles=("budget", "registrar"))
    city = builders.city("xian")
    doubled = builders.genesis(
        replace(city, keys=(*city.keys, same)),
        builders.city("shanghai"),
    )
    log_id = log_id_of(doubled)
    chain = Chain(genesis=doubled)
    operation = Publish(
        programme="xian.compute",
        version=1,
        status="open",
        terms=builders.terms(
            funders=(FunderShare(funder="xian", basis_points=10_000),), residual_funder="xian"
        ),
    )
    one_person = builders.signed(operation, ("xian", "officer-1"), ("xian", "spare"), log_id=log_id)
    assert code(chain.attempt(one_person)) == "four_eyes_missing"


def test_the_keys_of_an_enrolment_count_as_rows() -> None:
    keys = tuple(
        PartyKey(key=key("firm-a", person), person=person, roles=()) for person in ("p", "q", "r")
    )
    assert parse(builders.enrol("firm-a", keys=keys)).rows == 3


@pytest.mark.parametrize(
    ("raw", "rows"),
    [
        (builders.rotate(), 2),
        (builders.announce(), 1),
        (builders.recover(keys=TWO), 2),
        (builders.object_to_keys(), 1),
        (builders.decide_keys(), 1),
        (builders.propose(Admit(member=builders.city("xian"), proofs=())), 8),
        (builders.propose(Admit(member=builders.auditor("xian"), proofs=())), 2),
        (builders.propose(SetMemberKeys(party="x", keys=TWO, threshold=1, proofs=())), 2),
        (builders.propose(SetValidator(party="x", validator=(), proofs=())), 1),
        (builders.propose(SetStatus(party="x", status="active", successor=())), 1),
    ],
)
def test_whatever_names_new_keys_counts_them_as_rows(raw: bytes, rows: int) -> None:
    transaction = parse(raw)
    assert transaction.rows == rows
    operation = msgspec.msgpack.decode(codec.encode(transaction.body.operation))
    assert rows_of(_tuples(operation)) == rows, "for a verifier too"


def _tuples(value: Any) -> Any:
    """Return decoded arrays as the verifier has them."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
