"""One voucher: where its value is, and who may claim what of it."""

from dataclasses import dataclass
from typing import get_args

from api.reads import Resource, Selection, now_of, single
from ledger.rules.reserves import RESERVES, Reserve
from ledger.rules.vouchers import VOUCHERS, Part, Voucher
from ledger.store.lmdb_store import Snapshot

RESERVES_SHOWN = 100
PARTS: tuple[str, ...] = get_args(Part)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherPage:
    """A voucher with its reserves by id."""

    voucher: Voucher
    parts: tuple[tuple[str, int], ...]
    reserves: tuple[Reserve, ...]
    is_part: bool
    """Whether it has more reserves than are shown."""


def voucher_page(snapshot: Snapshot, voucher_id: str) -> VoucherPage:
    """Return a voucher's page; raise Problem not_found."""
    voucher, _ = single(snapshot, VOUCHERS, voucher_id)
    wanted = Selection(of=Resource(RESERVES), named=voucher.id)
    rows = wanted.rows(now_of(snapshot), wanted.prefix, RESERVES_SHOWN + 1)
    reserves = tuple(reserve for _, reserve in rows if reserve is not None)
    return VoucherPage(
        voucher=voucher,
        parts=tuple((part, getattr(voucher, part)) for part in PARTS),
        reserves=reserves[:RESERVES_SHOWN],
        is_part=len(reserves) > RESERVES_SHOWN,
    )
