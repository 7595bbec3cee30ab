"""Grant decisions: one form of a number, one hash of a decision, one identity of a batch (X8)."""

import json
from pathlib import Path
from typing import Any

import pytest

from desk.decisions import batch_id, decision_hash, normal_form
from ledger.rules.vouchers import MintRow

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "decisions.json"
VECTOR: dict[str, Any] = json.loads(VECTORS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("one", VECTOR["numbers"], ids=lambda one: ascii(one["number"]))
def test_a_number_has_one_normal_form(one: dict[str, str]) -> None:
    assert normal_form(one["number"]) == one["normal_form"]
    assert normal_form(one["normal_form"]) == one["normal_form"]


@pytest.mark.parametrize("one", VECTOR["decisions"], ids=lambda one: str(one["number"]))
def test_a_decision_has_the_hash_of_the_vector(one: dict[str, str]) -> None:
    made = decision_hash(one["programme"], one["number"], one["holder"])
    assert made.hex() == one["decision"]


def test_programme_number_and_holder_each_make_another_decision() -> None:
    decisions = [one["decision"] for one in VECTOR["decisions"]]
    assert len(set(decisions)) == len(decisions)


def test_a_batch_is_its_programme_and_rows_in_order() -> None:
    batch = VECTOR["batch"]
    rows = [
        MintRow(holder=row["holder"], amount=row["amount"], decision=bytes.fromhex(row["decision"]))
        for row in batch["rows"]
    ]
    assert batch_id(batch["programme"], rows).hex() == batch["identity"]
    assert batch_id(batch["programme"], rows[::-1]).hex() != batch["identity"]
    assert batch_id("shanghai.other", rows).hex() != batch["identity"]
