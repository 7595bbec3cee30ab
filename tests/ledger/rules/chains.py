"""Chains with terms of their own, and what became of their records."""

from typing import Any

from ledger.execute import Execution
from ledger.rules.base import Posting
from ledger.rules.money import FunderShare
from ledger.rules.vouchers import VOUCHERS, Voucher
from ledger.view import Table, must
from tests import builders
from tests.builders import Chain
from tests.ledger.rules.case import V1

HENAN_1_TO_1 = (
    FunderShare(funder="shanghai", basis_points=5000),
    FunderShare(funder="henan", basis_points=5000),
)


def stored(chain: Chain, table: Table[Any], *parts: str) -> Any:
    """Return a record that must exist, loosely typed so that tests read its fields at once."""
    return must(chain.ledger._storage, table, *parts)


def voucher(chain: Chain, voucher_id: str = V1) -> Voucher:
    found = stored(chain, VOUCHERS, voucher_id)
    assert isinstance(found, Voucher)
    return found


def postings(execution: Execution) -> tuple[Posting, ...]:
    return tuple(posting for result in execution.results for posting in result.postings)


def code(execution: Execution) -> str:
    """Return the code of a block's only transaction."""
    (result,) = execution.results
    return "ok" if result.refusal is None else result.refusal.code


def chain_with(*funds: tuple[str, int], **terms: Any) -> Chain:
    """Return a chain whose programme has these terms and appropriations."""
    chain = Chain()
    enrolments = [builders.enrol(name) for name in ("firm-a", "firm-b")]
    consents = builders.agreements(**terms)
    chain.accept(builders.publish(**terms), *consents, *enrolments, builders.accredit())
    for funder, amount in funds or (("shanghai", 100_000_000),):
        chain.accept(builders.appropriate(amount, funder=funder))
    chain.accept(builders.recognise())
    return chain
