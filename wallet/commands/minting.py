"""Minting many rows: from a spreadsheet to transactions, and every bad row before one is sent."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger.encoding import codec
from ledger.rules import calendar, money
from ledger.rules.programmes import Terms
from ledger.rules.refusals import (
    AppropriationExceeded,
    GrantOutOfBounds,
    GroupCapExceeded,
    HolderCapExceeded,
    NotEligible,
    PartyUnknown,
    PartyWrongKind,
)
from ledger.rules.vouchers import MINT_ROWS_MAX, Mint, MintRow, voucher_id
from ledger.transactions import MINT_BYTES_MAX
from tally.exits import Exit, Refused, TallyError, UsageError
from tally.output import parse_yuan, say
from wallet import signing
from wallet.client import Json, TransactionDocument
from wallet.commands.session import NOTHING_SENT, Desk, Session
from wallet.commands.typed import HASH, read_text
from wallet.description import record_from
from wallet.sentences import refusal_sentence

ROW_CODES = frozenset(
    refusal.code
    for refusal in (
        PartyUnknown,
        PartyWrongKind,
        NotEligible,
        GrantOutOfBounds,
        HolderCapExceeded,
        GroupCapExceeded,
    )
)
"""Refusals of a mint that lie in its rows; any other is about the whole."""
OF_HOLDER = frozenset(refusal.code for refusal in (PartyUnknown, PartyWrongKind, NotEligible))
"""Those that hit every row of a holder."""
BAD_ROWS_MAX = 1_000
"""Bad rows that are looked for before giving up: each may cost ten questions to a node."""
CSV_BYTES_MAX = 8 * 1024 * 1024
MINT_ROOM_BYTES = MINT_BYTES_MAX - 4_096
"""What a mint's rows may take, beside its other fields and sixteen signatures."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A row and its place in what was asked for, from 1."""

    number: int
    row: MintRow


def try_out_rows(desk: Desk, programme: Json, rows: Sequence[MintRow]) -> Json:
    """Say what a mint of these rows would do, however many transactions it needs.

    Raises Refused with every bad row. A node tries one transaction at a time, against one state.
    So rows are tried in packs that hold all rows of a holder (or of a control group, where the
    terms cap it): what is refused only together with rows of another transaction shows too. The
    budgets, which all rows share, are added up here.
    """
    numbered = [_Row(number, row) for number, row in enumerate(rows, 1)]
    terms = record_from(Terms, programme["terms"])
    packs, apart = _packs(numbered, _groups(desk, terms))
    bad: list[Json] = []
    for pack in packs:
        bad += _bad_rows(desk, programme, terms, pack, BAD_ROWS_MAX - len(bad))
        if len(bad) >= BAD_ROWS_MAX:
            break
    bad += _beyond_budget(programme, terms, numbered, bad)
    if bad:
        raise _bad_rows_refused(sorted(bad, key=lambda row: int(row["row"])))
    if apart:
        say(
            "known for each transaction only, since one can't hold all their rows: the caps of "
            + ", ".join(apart)
        )
    return {
        "rows": len(rows),
        "amount_fen": sum(row.amount for row in rows),
        "caps_known_per_transaction_only": list(apart),
        "height": programme["as_of_height"],
    }


def _groups(session: Session, terms: Terms) -> Mapping[str, str]:
    """Return the control group of each holder that has one, where the terms cap groups."""
    if not terms.caps.group_year_issued:
        return {}
    holders = session.nodes.items("/v1/parties", kind="holder")
    return {
        item["id"]: f"group {item['control_group']}" for item in holders if item["control_group"]
    }


def _packs(
    rows: Sequence[_Row], groups: Mapping[str, str]
) -> tuple[list[list[_Row]], tuple[str, ...]]:
    """Return the rows in packs that a transaction can hold, and whose rows no pack holds whole."""
    by_owner: dict[str, list[_Row]] = {}
    for row in rows:
        by_owner.setdefault(groups.get(row.row.holder, row.row.holder), []).append(row)
    packs: list[list[_Row]] = [[]]
    room = MINT_ROOM_BYTES
    apart = []
    for owner, own in by_owner.items():
        size = sum(len(codec.encode(row.row)) for row in own)
        if len(own) > MINT_ROWS_MAX or size > MINT_ROOM_BYTES:
            apart.append(owner)
            start = 0
            for part in batches_of([row.row for row in own]):
                packs.append(own[start : start + len(part)])
                start += len(part)
            room = 0  # nothing more goes into the last of them
            continue
        if len(packs[-1]) + len(own) > MINT_ROWS_MAX or size > room:
            packs.append([])
            room = MINT_ROOM_BYTES
        packs[-1] += own
        room -= size
    return [pack for pack in packs if pack], tuple(apart)


def _bad_rows(
    desk: Desk, programme: Json, terms: Terms, rows: Sequence[_Row], most: int
) -> list[Json]:
    """Return which rows of a pack are refused, each after the good rows before it."""
    bad: list[Json] = []
    left = list(rows)
    while left and len(bad) < most:
        refused = _refusal(desk, programme, left)
        if refused is None:
            break
        code, values = refused.details["code"], refused.details["values"]
        assert isinstance(values, dict), "a refusal has typed values"
        found: list[_Row] = []
        if code in OF_HOLDER:
            found = [row for row in left if row.row.holder == values["party"]]
        elif code == GrantOutOfBounds.code:
            least, greatest = values["minimum"], values["maximum"]
            found = [row for row in left if not least <= row.row.amount <= greatest]
        if not found:
            first = _first_bad(desk, programme, left)
            found = [left[first]]
            refused = _refusal(desk, programme, left[: first + 1]) or refused
        bad += [_bad_row(row, refused) for row in found]
        numbers = {row.number for row in found}
        left = [row for row in left if row.number not in numbers]
    return bad


def _refusal(desk: Desk, programme: Json, rows: Sequence[_Row]) -> Refused | None:
    """Return why a mint of these rows would be refused, if one of them is to blame."""
    operation = Mint(
        programme=programme["id"],
        terms_version=programme["version"],
        rows=tuple(row.row for row in rows),
    )
    try:
        desk.try_out(operation)
    except Refused as error:
        if error.details["code"] == AppropriationExceeded.code:
            return None  # added up over all rows elsewhere
        if error.details["code"] not in ROW_CODES:
            raise
        return error
    return None


def _first_bad(desk: Desk, programme: Json, rows: Sequence[_Row]) -> int:
    """Return the first row that is refused after those before it, by halves."""
    good, bad = 0, len(rows)
    while bad - good > 1:
        middle = (good + bad) // 2
        if _refusal(desk, programme, rows[:middle]) is None:
            good = middle
        else:
            bad = middle
    return good


def _bad_row(row: _Row, refused: Refused) -> Json:
    return {
        "row": row.number,
        "holder": row.row.holder,
        "amount_fen": row.row.amount,
        "code": refused.details["code"],
        "message": refused.message.removesuffix(NOTHING_SENT),
        "values": refused.details["values"],
    }


def _beyond_budget(
    programme: Json, terms: Terms, rows: Sequence[_Row], bad: Sequence[Json]
) -> Iterator[Json]:
    """Yield the rows for which a funder has no money left after the good rows before them."""
    year = calendar.year_of(signing.now_ms())
    free = {
        item["funder"]: item["appropriated"] - item["committed"]
        for item in programme["budgets"]
        if item["year"] == year
    }
    known = {row["row"] for row in bad}
    for row in rows:
        if row.number in known:
            continue
        parts = money.split(row.row.amount, terms.funders, terms.residual_funder)
        asked = {share.funder: part for share, part in zip(terms.funders, parts, strict=True)}
        short = [funder for funder, part in asked.items() if part > free.get(funder, 0)]
        if short:
            values: dict[str, int | str] = {
                "funder": short[0],
                "year": year,
                "asked": asked[short[0]],
                "available": free.get(short[0], 0),
            }
            sentence = AppropriationExceeded.sentence.format(**values)
            yield {
                "row": row.number,
                "holder": row.row.holder,
                "amount_fen": row.row.amount,
                "code": AppropriationExceeded.code,
                "message": refusal_sentence(AppropriationExceeded.code, sentence, values),
                "values": values,
            }
        else:
            free = {funder: left - asked.get(funder, 0) for funder, left in free.items()}


def _bad_rows_refused(bad: Sequence[Json]) -> Refused:
    more = f"; looked no further than {BAD_ROWS_MAX}" if len(bad) >= BAD_ROWS_MAX else ""
    lines = [f"row {row['row']} ({row['holder']}): {row['message']}" for row in bad]
    return Refused(
        "\n  ".join(["nothing was sent, since these rows would be refused" + more + ":", *lines]),
        details={"code": bad[0]["code"], "bad_rows": list(bad)},
    )


def _rows(first: int, last: int) -> str:
    return f"row {first}" if first == last else f"rows {first} to {last}"


def stopped(error: TallyError, minted: Sequence[Json], tried: int, total: int) -> TallyError:
    """Return the error of a mint that stopped half way: what is final, what is open, where next."""
    done = len(minted)
    transactions = list(dict.fromkeys(row["transaction"] for row in minted))
    final = f"final: {_rows(1, done)} of {total} ({', '.join(transactions)})"
    open_ = error.code in (Exit.NOT_CERTAIN, Exit.UNREACHABLE) and "id" in error.details
    next_row = done + 1
    go_on = f"go on from row {next_row}"
    if open_:
        next_row += tried
        go_on = f"{_rows(done + 1, done + tried)} are open; "
        go_on += (
            f"once they are final, go on from row {next_row}"
            if next_row <= total
            else "they are the last"
        )
    message = (
        f"{final if minted else f'none of {total} rows is final yet'}; "
        f"{_rows(done + 1, done + tried)}: {error.message.removesuffix(NOTHING_SENT)}; {go_on}"
    )
    return TallyError(
        message,
        error.code,
        {
            **error.details,
            "final_rows": done,
            "final_transactions": transactions,
            "tried_rows": [done + 1, done + tried],
            "tried_rows_are_open": open_,
            "go_on_from_row": next_row,
        },
    )


def csv_rows(file: Path) -> list[MintRow]:
    reader = csv.DictReader(io.StringIO(read_text(file, CSV_BYTES_MAX)), strict=True)
    if not {"holder", "yuan"} <= set(reader.fieldnames or ()):
        raise UsageError(f"{file} needs a first line with the columns holder and yuan")
    rows = []
    try:
        for row in reader:
            where = f"{file}, line {reader.line_num}"
            holder, yuan = row["holder"], row["yuan"]
            if not holder or not yuan:
                raise UsageError(f"{where}: expected a holder and an amount")
            rows.append(MintRow(holder=holder, amount=_yuan(yuan, where), commitment=_hash(row)))
    except csv.Error as error:
        raise UsageError(f"{file}, line {reader.line_num}: {error}") from None
    return rows


def _yuan(text: str, where: str) -> int:
    try:
        return parse_yuan(text)
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}") from None


def _hash(row: dict[str, str]) -> tuple[bytes, ...]:
    text = row.get("commitment") or ""
    return (HASH.convert(text, None, None),) if text else ()


def batches_of(rows: Sequence[MintRow]) -> Iterator[tuple[MintRow, ...]]:
    """Yield the rows in as few transactions as their limits allow, in order."""
    batch: list[MintRow] = []
    room = MINT_ROOM_BYTES
    for row in rows:
        size = len(codec.encode(row))
        if batch and (len(batch) == MINT_ROWS_MAX or size > room):
            yield tuple(batch)
            batch, room = [], MINT_ROOM_BYTES
        batch.append(row)
        room -= size
    if batch:
        yield tuple(batch)


def minted_rows(
    document: TransactionDocument, programme: str, rows: Sequence[MintRow]
) -> Iterator[Json]:
    """Yield which vouchers a mint made: serials run in row order."""
    first = document.postings[0]["serial"]
    for offset, row in enumerate(rows):
        yield {
            "voucher": voucher_id(programme, first + offset),
            "holder": row.holder,
            "amount_fen": row.amount,
            "status": document.status,
            "transaction": document.id,
            "height": document.height,
            "sequence": document.sequence,
        }
