"""Minting many rows: from a spreadsheet to transactions, and every bad row before one is sent."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import hexdigits
from typing import Literal

from desk.decisions import decision_hash, normal_form
from desk.description import record_from
from desk.documents import Json, TransactionDocument
from desk.rehearsal import way_out
from ledger.encoding import codec
from ledger.encoding.codec import FEN_MAX
from ledger.rules import calendar, money
from ledger.rules.programmes import Terms
from ledger.rules.refusals import (
    AppropriationExceeded,
    DecisionMinted,
    GrantOutOfBounds,
    GroupCapExceeded,
    HolderCapExceeded,
    NotEligible,
    PartyUnknown,
    PartyWrongKind,
)
from ledger.rules.vouchers import MINT, MINT_ROWS_MAX, Mint, MintRow, voucher_id
from ledger.transactions import SIGNATURES_MAX
from tally.exits import Exit, Refused, TallyError, UsageError
from tally.output import parse_yuan, say, spoken
from wallet import signing
from wallet.commands.session import Desk, Session, bare
from wallet.commands.typed import PARTY, read_text, split_pair
from wallet.spreadsheets import Unreadable, csv_lines
from words import answers

ROW_CODES = frozenset(
    refusal.code
    for refusal in (
        PartyUnknown,
        PartyWrongKind,
        NotEligible,
        GrantOutOfBounds,
        HolderCapExceeded,
        GroupCapExceeded,
        DecisionMinted,
    )
)
"""Refusals of a mint that lie in its rows; any other is about the whole."""
OF_HOLDER = frozenset(refusal.code for refusal in (PartyUnknown, PartyWrongKind, NotEligible))
"""Those that hit every row of a holder."""
BAD_ROWS_MAX = 1_000
"""Bad rows that are looked for before giving up: each may cost ten questions to a node."""
COLUMNS = ("holder", "yuan", "decision")
ROW_FORM = "holder=yuan@decision"
_REST_OF_AMOUNT = re.compile(r"[0-9]{3}(\.[0-9]+)?")
"""What follows the comma of 1,000.50 where nobody put it in quotes."""
CSV_BYTES_MAX = 8 * 1024 * 1024
MINT_ROOM_BYTES = MINT.bytes_max - 4_096
"""What a mint's rows may take, beside its other fields and sixteen signatures."""


MALFORMED = "line_malformed"
"""The code of a line that says no row; the ledger was not asked about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedRow:
    """A row that was asked for, and where."""

    kind: Literal["row", "line"]
    """A ``--row``, or a line of a file."""
    number: int
    """From 1; line 1 of a file has the column names."""
    row: MintRow


def typed_rows(programme: str, texts: Sequence[str]) -> list[WantedRow]:
    """Return the rows of ``holder=yuan@decision``; raise UsageError."""
    rows = []
    for number, text in enumerate(texts, 1):
        holder, value = split_pair(text, ROW_FORM)
        yuan, _, decision = value.partition("@")
        row = MintRow(
            holder=holder,
            amount=parse_yuan(yuan),
            decision=_decision(programme, decision, holder),
        )
        rows.append(WantedRow(kind="row", number=number, row=row))
    return rows


def csv_rows(programme: str, file: Path) -> tuple[list[WantedRow], list[Json]]:
    """Return the rows of a file, and its malformed lines as bad rows.

    Raises UsageError if it has not the columns.
    """
    rows: list[WantedRow] = []
    malformed: list[Json] = []
    for line, fields in csv_lines(read_text(file, CSV_BYTES_MAX), file, COLUMNS):
        try:
            rows.append(WantedRow(kind="line", number=line, row=_row(programme, fields)))
        except UsageError as error:
            malformed.append(
                {
                    "line": line,
                    "holder": None if isinstance(fields, Unreadable) else fields["holder"],
                    "amount_fen": None,
                    "code": MALFORMED,
                    "message": error.message,
                    "values": {},
                }
            )
    return rows, malformed


def _row(programme: str, fields: Mapping[str, str] | Unreadable) -> MintRow:
    """Return what a line asks for; raise UsageError."""
    if isinstance(fields, Unreadable):
        raise UsageError(fields)
    holder, yuan, decision = (fields[name] for name in COLUMNS)
    if not holder or not yuan:
        raise UsageError("expected a holder and an amount")
    amount = parse_yuan(yuan)
    if not 0 < amount <= FEN_MAX:
        raise UsageError(f"{yuan!r} yuan can't be granted")
    if not PARTY.fits(holder):
        raise UsageError(f"{holder!r} is no id of a holder")
    if _REST_OF_AMOUNT.fullmatch(decision):
        raise UsageError(f"{yuan},{decision} seems to be an amount without quotes")
    return MintRow(holder=holder, amount=amount, decision=_decision(programme, decision, holder))


def _decision(programme: str, number: str, holder: str) -> bytes:
    """Return what a row names of a decision; 64 hex digits are the hash itself."""
    if len(number) == 64 and set(number) <= set(hexdigits):
        return bytes.fromhex(number)
    if not normal_form(number):
        raise UsageError("expected the number of the grant decision")
    return decision_hash(programme, number, holder)


def refuse_repeated(rows: Sequence[WantedRow]) -> None:
    """Raise UsageError if two rows name one decision: it makes one voucher."""
    first: dict[bytes, WantedRow] = {}
    bad = []
    for row in rows:
        known = first.setdefault(row.row.decision, row)
        if known is not row:
            bad.append(
                {
                    row.kind: row.number,
                    "holder": row.row.holder,
                    "amount_fen": row.row.amount,
                    "code": DecisionMinted.code,
                    "message": f"names the decision of {known.kind} {known.number}",
                    "values": {},
                }
            )
    if bad:
        title = "nothing was sent, since one decision makes one voucher:"
        raise UsageError(
            _listing(title, bad), details={"code": DecisionMinted.code, "bad_rows": bad}
        )


def standing_in(desk: Desk, programme: str) -> Desk:
    """Return a desk that rehearses in the name of all who may sign a mint: its city's officers."""
    city = programme.partition(".")[0]
    keys = [key for key in desk.item(f"/v1/parties/{city}")["keys"] if "mint" in key["roles"]]
    named = tuple(bytes.fromhex(key["key"]) for key in keys[:SIGNATURES_MAX])
    return replace(desk, rehearses_as=named)


def refuse_malformed(malformed: Sequence[Json]) -> None:
    """Raise UsageError with the malformed lines of a file, if there are any."""
    if malformed:
        raise _malformed(malformed, "nothing was sent, since these lines are malformed:")


def refuse_malformed_and_bad(
    desk: Desk, programme: Json, rows: Sequence[WantedRow], malformed: Sequence[Json]
) -> None:
    """Raise UsageError with malformed lines, if there are any, and every row that is refused."""
    if not malformed:
        return
    title = "nothing was sent, since these rows are malformed or would be refused"
    bad: list[Json] = []
    try:
        bad, _ = _tried(desk, programme, rows)
    except TallyError as error:  # about the whole: the lines are told all the same
        title = (
            f"the other rows can't be tried: {bare(error)}\n"
            "nothing was sent, since these lines are malformed"
        )
    raise _malformed([*malformed, *bad], title + _looked_no_further(bad) + ":")


def _malformed(bad: Sequence[Json], title: str) -> UsageError:
    return UsageError(_listing(title, bad), details={"code": MALFORMED, "bad_rows": _in_order(bad)})


def try_out_rows(desk: Desk, programme: Json, rows: Sequence[WantedRow]) -> Json:
    """Say what a mint of these rows would do, however many transactions it needs.

    Raises Refused with every bad row.
    """
    bad, apart = _tried(desk, programme, rows)
    if bad:
        title = "nothing was sent, since these rows would be refused" + _looked_no_further(bad)
        in_order = _in_order(bad)
        raise Refused(
            _listing(title + ":", bad), details={"code": in_order[0]["code"], "bad_rows": in_order}
        )
    if apart:
        say(
            "known for each transaction only, since one can't hold all their rows: the caps of "
            + ", ".join(apart)
        )
    return {
        "rows": len(rows),
        "amount_fen": sum(row.row.amount for row in rows),
        "caps_known_per_transaction_only": list(apart),
        "height": programme["as_of_height"],
    }


def _tried(
    desk: Desk, programme: Json, rows: Sequence[WantedRow]
) -> tuple[list[Json], tuple[str, ...]]:
    """Return the rows that are refused, and whose caps are known for each transaction only.

    A node tries one transaction at a time, against one state. So rows are tried in packs that hold
    all rows of a holder (or of a control group, where the terms cap it): what is refused only
    together with rows of another transaction shows too. The budgets, which all rows share, are
    added up here.
    """
    terms = record_from(Terms, programme["terms"])
    packs, apart = _packs(rows, _groups(desk, terms))
    bad: list[Json] = []
    for pack in packs:
        bad += _bad_rows(desk, programme, terms, pack, BAD_ROWS_MAX - len(bad))
        if len(bad) >= BAD_ROWS_MAX:
            break
    bad += _beyond_budget(programme, terms, rows, bad)
    return bad, apart


def _groups(session: Session, terms: Terms) -> Mapping[str, str]:
    """Return the control group of each holder that has one, where the terms cap groups."""
    if not terms.caps.group_year_issued:
        return {}
    holders = session.nodes.items("/v1/parties", kind="holder")
    return {
        item["id"]: f"group {item['control_group']}" for item in holders if item["control_group"]
    }


def _packs(
    rows: Sequence[WantedRow], groups: Mapping[str, str]
) -> tuple[list[list[WantedRow]], tuple[str, ...]]:
    """Return the rows in packs that a transaction can hold, and whose rows no pack holds whole."""
    by_owner: dict[str, list[WantedRow]] = {}
    for row in rows:
        by_owner.setdefault(groups.get(row.row.holder, row.row.holder), []).append(row)
    packs: list[list[WantedRow]] = [[]]
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
    desk: Desk, programme: Json, terms: Terms, rows: Sequence[WantedRow], most: int
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
        blamed: list[WantedRow] = []
        if code in OF_HOLDER:
            blamed = [row for row in left if row.row.holder == values["party"]]
        elif code == GrantOutOfBounds.code:
            least, greatest = values["minimum"], values["maximum"]
            blamed = [row for row in left if not least <= row.row.amount <= greatest]
        elif code == DecisionMinted.code:
            blamed = [row for row in left if row.row.decision.hex() == values["decision"]]
        if not blamed:
            first = _first_bad(desk, programme, left)
            blamed = [left[first]]
            refused = _refusal(desk, programme, left[: first + 1]) or refused
        bad += [_bad_row(row, refused) for row in blamed]
        places = {_place(row) for row in blamed}
        left = [row for row in left if _place(row) not in places]
    return bad


def _refusal(desk: Desk, programme: Json, rows: Sequence[WantedRow]) -> Refused | None:
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


def _first_bad(desk: Desk, programme: Json, rows: Sequence[WantedRow]) -> int:
    """Return the first row that is refused after those before it, by halves."""
    good, bad = 0, len(rows)
    while bad - good > 1:
        middle = (good + bad) // 2
        if _refusal(desk, programme, rows[:middle]) is None:
            good = middle
        else:
            bad = middle
    return good


def _place(row: WantedRow) -> tuple[str, int]:
    return row.kind, row.number


def _place_of(bad: Json) -> tuple[str, int]:
    kind = "line" if "line" in bad else "row"
    return kind, bad[kind]


def _in_order(bad: Sequence[Json]) -> list[Json]:
    """Return bad rows as they were asked for: each ``--row``, then the file."""

    def order(row: Json) -> tuple[bool, int]:
        kind, number = _place_of(row)
        return kind == "line", number

    return sorted(bad, key=order)


def _bad_row(row: WantedRow, refused: Refused) -> Json:
    return {
        row.kind: row.number,
        "holder": row.row.holder,
        "amount_fen": row.row.amount,
        "code": refused.details["code"],
        "message": bare(refused),
        "values": refused.details["values"],
    }


def _beyond_budget(
    programme: Json, terms: Terms, rows: Sequence[WantedRow], bad: Sequence[Json]
) -> Iterator[Json]:
    """Yield the rows for which a funder has no money left after the good rows before them."""
    year = calendar.year_of(signing.now_ms())
    free = {
        item["funder"]: item["appropriated"] - item["committed"]
        for item in programme["budgets"]
        if item["year"] == year
    }
    known = {_place_of(row) for row in bad}
    for row in rows:
        if _place(row) in known:
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
            yield {
                row.kind: row.number,
                "holder": row.row.holder,
                "amount_fen": row.row.amount,
                "code": AppropriationExceeded.code,
                "message": answers.sentence(AppropriationExceeded.code, values, spoken()),
                "values": values,
            }
        else:
            free = {funder: left - asked.get(funder, 0) for funder, left in free.items()}


def _looked_no_further(bad: Sequence[Json]) -> str:
    return f"; looked no further than {BAD_ROWS_MAX}" if len(bad) >= BAD_ROWS_MAX else ""


def _listing(title: str, bad: Sequence[Json]) -> str:
    """Return a title and a line for each bad row: where it stands, whose it is, what is wrong."""
    lines = []
    for row in _in_order(bad):
        kind, number = _place_of(row)
        # What is no id may hold anything, and must not steer a screen.
        holder = f" ({row['holder']})" if PARTY.fits(row["holder"]) else ""
        lines.append(f"{kind} {number}{holder}: {row['message']}")
    ways = dict.fromkeys(way_out(row["code"], spoken()) for row in bad)
    return "\n  ".join([title, *lines]) + "".join(ways)


def _spans(rows: Sequence[WantedRow]) -> Iterator[tuple[str, int, int]]:
    """Yield kind, first and last number of the rows: of each ``--row``, of the file."""
    for kind in ("row", "line"):
        numbers = [row.number for row in rows if row.kind == kind]
        if numbers:
            yield kind, numbers[0], numbers[-1]


def _places(rows: Sequence[WantedRow]) -> str:
    return " and ".join(
        f"{kind} {first}" if first == last else f"{kind}s {first} to {last}"
        for kind, first, last in _spans(rows)
    )


def stopped(
    error: TallyError, minted: Sequence[Json], tried: int, rows: Sequence[WantedRow]
) -> TallyError:
    """Return the error of a mint that stopped half way: what is final, what is open, where next."""
    done = len(minted)
    final, asked, left = rows[:done], rows[done : done + tried], rows[done:]
    transactions = list(dict.fromkeys(row["transaction"] for row in minted))
    is_open = error.code in (Exit.NOT_CERTAIN, Exit.UNREACHABLE) and "id" in error.details
    if is_open:
        left = left[tried:]
        go_on = f"{_places(asked)} are open; "
        go_on += (
            f"once they are final, go on from {_places(left[:1])}" if left else "they are the last"
        )
    else:
        go_on = f"go on from {_places(left[:1])}"
    so_far = f"none of {len(rows)} rows is final yet"
    if minted:
        so_far = f"final: {done} of {len(rows)}, {_places(final)} ({', '.join(transactions)})"
    message = f"{so_far}; {_places(asked)}: {bare(error)}; {go_on}"
    return TallyError(
        message,
        error.code,
        {
            **error.details,
            "final_rows": done,
            "final_transactions": transactions,
            **{f"tried_{kind}s": [first, last] for kind, first, last in _spans(asked)},
            "tried_rows_are_open": is_open,
            **{f"go_on_from_{row.kind}": row.number for row in left[:1]},
        },
    )


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
