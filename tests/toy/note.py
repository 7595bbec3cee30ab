"""Notes: a holder commits to a remark about a voucher. A toy kind, as a later version may bring."""

from ledger.encoding.codec import Hash, Natural, Record, SerialId, Slug
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.parties import party_of
from ledger.rules.vouchers import held_voucher
from ledger.view import Draft, StateView, Table


class Note(Record, frozen=True, tag="voucher.note"):
    """The holder of a voucher commits to a remark about it."""

    voucher: SerialId
    holder: Slug
    remark: Hash


class NoteRecord(Record, frozen=True):
    """The last remark about a voucher."""

    remark: Hash
    noted_ms: Natural


NOTES = Table("note", NoteRecord)
"""By voucher."""


def apply_note(view: StateView, tx: Note, context: Context) -> Outcome:
    """Return the writes of a remark."""
    holder = party_of(view, tx.holder)
    context.signers.require_threshold(holder.id, holder.threshold)
    voucher = held_voucher(view, tx.voucher, holder.id)
    draft = Draft(view)
    draft.put(NOTES, NoteRecord(remark=tx.remark, noted_ms=context.time_ms), voucher.id)
    return Outcome(changes=draft.changes())


NOTE = Kind(record=Note, apply=apply_note, since=2)

WORDS = {
    "en": {
        "kind.voucher.note": "Remark",
        "says.voucher.note": "{holder} remarks on voucher {voucher}: {remark}",
    },
    "zh": {
        "kind.voucher.note": "备注",
        "says.voucher.note": "{holder} 对算力券 {voucher} 作出备注：{remark}",
    },
}
"""What a newer version brings to the two catalogues."""
