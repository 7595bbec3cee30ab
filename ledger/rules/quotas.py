"""Quotas: what a party may write into everybody's log in a day (spec R3.11)."""

from ledger.encoding.codec import Natural, Record
from ledger.rules import calendar
from ledger.rules.authority import Signers
from ledger.rules.base import Kind
from ledger.rules.control import Parameters
from ledger.rules.parties import party_of
from ledger.rules.refusals import QuotaSpent
from ledger.view import Draft, Put, StateView, Table, get


class Written(Record, frozen=True):
    """What a party wrote in the last calendar day in which it wrote anything."""

    day: Natural
    entries: Natural
    bytes: Natural
    """Of the bodies of its transactions."""


WRITTEN = Table("written", Written, running_sum=True)
"""By party."""


def count_written(
    view: StateView,
    kind: Kind,
    signers: Signers,
    parameters: Parameters,
    *,
    size: int,
    time_ms: int,
) -> tuple[Put, ...]:
    """Return the write that counts an act with a body of ``size`` bytes to the party that wrote it.

    That is the first whose consent its rule asked. Raise QuotaSpent beyond the quota of its day.
    """
    assert signers.consented, f"{kind.name} was applied without anybody's consent"
    party = party_of(view, next(iter(signers.consented)))
    is_holder = party.kind == "holder"
    entries_max, bytes_max = _quota(parameters, is_holder=is_holder)
    day, before = calendar.day_of(time_ms), get(view, WRITTEN, party.id)
    if before is None or before.day != day:
        before = Written(day=day, entries=0, bytes=0)
    written = Written(day=day, entries=before.entries + 1, bytes=before.bytes + size)
    # What stops harm is never refused to a member: whoever shares its roles could use up its day.
    is_bound = is_holder or not kind.allowed_while_paused
    if is_bound and (written.entries > entries_max or written.bytes > bytes_max):
        raise QuotaSpent(
            party=party.id,
            entries=written.entries,
            bytes=written.bytes,
            from_ms=calendar.end_of_day_ms(day),
        )
    draft = Draft(view)
    draft.put(WRITTEN, written, party.id)
    return draft.changes()


def _quota(parameters: Parameters, *, is_holder: bool) -> tuple[int, int]:
    """Return the entries and bytes of a day."""
    if is_holder:
        return parameters.holder_daily_entries, parameters.holder_daily_bytes
    return parameters.member_daily_entries, parameters.member_daily_bytes
