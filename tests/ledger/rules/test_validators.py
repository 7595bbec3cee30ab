"""Who validates, and how many: R14.2.validator."""

import pytest
from msgspec.structs import replace

from ledger.rules.governance import SetValidator
from ledger.rules.validators import VALIDATORS_MAX
from tests.builders import validator_keys
from tests.ledger.rules.case import BAD_KEY, Case, Ready, no, propose
from tests.ledger.rules.situations import (
    FOUR,
    NEW_KEYS,
    NOBODYS_KEY,
    TAKEN_KEY,
    invalid,
    valid,
    validating,
)

CASES: list[Case] = [
    *(
        no(
            f"{claim} validates",
            "R14.2.validator",
            code,
            propose(SetValidator(party=party, validator=(keys,), proofs=())),
            before=before,
        )
        for claim, code, party, keys, before in (
            ("nobody", "party_unknown", "nobody", NEW_KEYS, ()),
            ("a suspended centre", "party_not_active", "chengdu-aicc", NEW_KEYS, FOUR),
            ("with another's keys who", "key_taken", "shanghai", validator_keys("guiyang"), ()),
            (
                "with a signing key who",
                "key_taken",
                "shanghai",
                replace(NEW_KEYS, log=TAKEN_KEY.key),
                (),
            ),
            (
                "with one key twice who",
                "key_taken",
                "shanghai",
                replace(NEW_KEYS, log=NEW_KEYS.link),
                (),
            ),
            (
                "with a key that nobody has who",
                "key_proof_wrong",
                "shanghai",
                replace(NEW_KEYS, log=NOBODYS_KEY),
                (),
            ),
            (
                "with a key of small order who",
                "key_invalid",
                "shanghai",
                replace(NEW_KEYS, log=BAD_KEY.key),
                (),
            ),
        )
    ),
    *(
        no(
            f"{party} is a {kind} and validates",
            "R14.2.validator",
            "party_wrong_kind",
            propose(SetValidator(party=party, validator=(NEW_KEYS,), proofs=())),
            values={"kind": kind, "expected": "city or data_centre"},
        )
        for party, kind in (("henan", "province"), ("audit-office", "auditor"))
    ),
    valid(
        "its own keys with another power",
        "validator",
        SetValidator(party="shanghai", validator=(validator_keys("shanghai", 7),), proofs=()),
    ),
    invalid(
        "the last validator stops",
        "validator",
        SetValidator(party="shanghai", validator=(), proofs=()),
        doctor=validating(1),
    ),
    valid(
        "the last validator but one stops",
        "validator",
        SetValidator(party="shanghai", validator=(), proofs=()),
        doctor=validating(2),
    ),
    invalid(
        "a 129th validator",
        "validator",
        SetValidator(party="guiyang", validator=(NEW_KEYS,), proofs=()),
        doctor=validating(VALIDATORS_MAX),
    ),
    valid(
        "a 128th validator",
        "validator",
        SetValidator(party="guiyang", validator=(NEW_KEYS,), proofs=()),
        doctor=validating(VALIDATORS_MAX - 1),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()
