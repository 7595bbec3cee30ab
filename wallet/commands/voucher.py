"""``tally voucher``: mint, reserve, redeem, and what became of a voucher."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from string import hexdigits
from typing import get_args

import click

from desk.description import describe
from desk.documents import Json
from ledger.encoding import normal
from ledger.rules import calendar
from ledger.rules.claims import Line
from ledger.rules.invoices import HOUR_MS, Contract, Invoice, Usage
from ledger.rules.programmes import ServiceClass
from ledger.rules.redemptions import GrantAfterUse, Redeem
from ledger.rules.reserves import Release, SetAside
from ledger.rules.vouchers import Extend, Mint, Revoke, Transfer, voucher_id
from tally.exits import TallyError, UsageError
from tally.output import YUAN, emit, parse_yuan, say
from wallet.commands.minting import (
    ROW_FORM,
    batches_of,
    csv_rows,
    minted_rows,
    refuse_malformed,
    refuse_malformed_and_bad,
    refuse_repeated,
    standing_in,
    stopped,
    try_out_rows,
    typed_rows,
)
from wallet.commands.session import (
    SAVED,
    Desk,
    Session,
    emit_outcome,
    in_fen,
    programme_of,
    reading,
    shown_times,
    writing,
)
from wallet.commands.typed import (
    CLAIM,
    DAY,
    HASH,
    PARTY,
    VOUCHER,
    Committed,
    amount_pairs,
    committing,
    owner_of,
    split_pair,
)
from wallet.tags import TAG_KEYS, normal_of, tag_of
from wallet.verified import Proven
from words import dates, units

PARTS = ("face", "available", "reserved", "claimed", "redeemed", "expired", "revoked")
LISTED = (
    *("id", "holder", "face_fen", "available_fen", "reserved_fen", "claimed_fen"),
    *("redeemed_fen", "expires"),
)
RESERVES = ("id", "voucher", "holder", "centre", "order", "amount_fen", "left_fen", "until")
HISTORY = ("sequence", "height", "time", "available_fen", "claimed_fen", "redeemed_fen", "cause")
MINTED = ("voucher", "holder", "amount_fen", "height", "transaction")


VERIFY = click.option(
    "--verify/--no-verify",
    default=True,
    show_default=True,
    help="Have the server prove the vouchers first, and believe it nothing else.",
)
SERVICE = click.option(
    "--service",
    "service_class",
    type=click.Choice(get_args(ServiceClass)),
    default="training",
    show_default=True,
)


@click.group()
def group() -> None:
    """Mint, transfer, reserve and redeem vouchers. A voucher is named CITY.SLUG.SERIAL."""


@group.command()
@click.argument("programme")
@click.option("--row", "rows", multiple=True, help=f"{ROW_FORM}; may be given many times.")
@click.option(
    "--csv",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with the columns holder, yuan and decision.",
)
@writing
def mint(programme: str, *, rows: tuple[str, ...], file: Path | None, desk: Desk) -> None:
    """Grant vouchers, all rows of a transaction or none. Two mint officers sign.

    Each row names its grant decision by its number (64 hex digits are the hash of one): no decision
    makes a second voucher of a programme, however often its row is sent. Many rows become several
    transactions; --dry-run names every row that would be refused, and --save writes a numbered file
    for each of them, once a node has said that all of it would hold. A file with a malformed line
    is not sent; its lines are counted from the column names, which are line 1.
    """
    wanted = typed_rows(programme, rows)
    malformed: list[Json] = []
    if file is not None:
        lines, malformed = csv_rows(programme, file)
        wanted += lines
    if not wanted and not malformed:
        raise UsageError(f"name whom to grant what: --row {ROW_FORM}, or --csv FILE")
    refuse_repeated(wanted)
    if not desk.dry_run or not wanted:
        refuse_malformed(malformed)
    item = programme_of(desk, programme)
    refuse_malformed_and_bad(desk, item, wanted, malformed)
    batches = list(batches_of([row.row for row in wanted]))
    operations = [
        Mint(programme=programme, terms_version=item["version"], rows=rows) for rows in batches
    ]
    several = len(batches) > 1
    if desk.save_to is not None and not desk.dry_run:
        try_out_rows(standing_in(desk, programme), item, wanted)  # others have yet to sign
        if several:
            emit(desk.save_all(operations), SAVED)
            return
    elif several or (desk.dry_run and (len(wanted) > 1 or file is not None)):
        tried = try_out_rows(desk, item, wanted)
        if several and desk.dry_run:
            say("dry run: nothing was sent")
            emit({"effect": "accepted", "transactions": len(batches), **tried})
            return
    minted: list[Json] = []
    for nth, operation in enumerate(operations):
        try:
            document = desk.act(operation, nth=nth)
        except TallyError as error:
            if len(operations) == 1:
                raise
            raise stopped(error, minted, len(operation.rows), wanted) from None
        if document is not None:
            minted += minted_rows(document, programme, operation.rows)
    if minted:
        emit(minted, MINTED)


@group.command()
@click.argument("voucher", type=VOUCHER)
@click.argument("recipient", type=PARTY)
@click.argument("amount", type=YUAN)
@click.option("--holder", help="Who passes it on (default: who holds it).")
@VERIFY
@writing
def transfer(
    voucher: str, recipient: str, amount: int, *, holder: str | None, verify: bool, desk: Desk
) -> None:
    """Pass part of a voucher on, where the programme allows it. Holder and recipient sign.

    Two desks pass a file: `--save FILE` here, `tally tx sign FILE` there, and either sends it with
    `tally tx send FILE`.
    """
    operation = Transfer(
        voucher=voucher,
        holder=_holder_of(desk, (voucher,), holder, verify),
        recipient=recipient,
        amount=amount,
    )
    document = desk.act(operation)
    if document is not None:
        posting = document.postings[0]
        child = voucher_id(posting["programme"], posting["serial"])
        emit_outcome(document, voucher=child, holder=recipient, amount_fen=amount)


def _holder_of(session: Session, vouchers: Sequence[str], holder: str | None, verify: bool) -> str:
    """Return who holds the first of some vouchers, after all of them were proven if so wanted."""
    items = []
    if verify:
        for voucher in vouchers:
            item, proof = session.proven_voucher(voucher)
            say(f"{voucher}: {units.yuan(item['available'])} yuan available, {_proven_by(proof)}")
            items.append(item)
    if holder is not None:
        return holder
    first = items[0] if items else session.item(f"/v1/vouchers/{vouchers[0]}")
    return str(first["holder"])


def _proven_by(proof: Proven) -> str:
    return (
        f"proven as of height {proof.height}, by a head of {proof.head.size} entries with "
        f"{len(proof.cosigned)} cosignatures"
    )


@group.command()
@click.argument("voucher", type=VOUCHER)
@click.argument("amount", type=YUAN)
@click.option("--at", "centre", required=True, help="The data centre.")
@click.option("--order", required=True, help="The centre's own reference of the job.")
@click.option("--chip", required=True, help="On which chip it will run.")
@click.option("--until", "last_day", type=DAY, required=True, help="Last day of the hold.")
@SERVICE
@click.option("--holder", help="Who sets it aside (default: who holds the voucher).")
@VERIFY
@writing
def reserve(
    voucher: str,
    amount: int,
    *,
    centre: str,
    order: str,
    chip: str,
    last_day: int,
    service_class: ServiceClass,
    holder: str | None,
    verify: bool,
    desk: Desk,
) -> None:
    """Set value aside for a centre, which may then claim it alone. The holder signs.

    What the centre has not claimed thirty days after the last day comes back.
    """
    operation = SetAside(
        voucher=voucher,
        holder=_holder_of(desk, (voucher,), holder, verify),
        centre=centre,
        order=order,
        amount=amount,
        chip=chip,
        service_class=service_class,
        until_ms=calendar.end_of_day_ms(last_day),
    )
    document = desk.act(operation)
    if document is not None:
        like = {"order": order, "amount": amount, "centre": centre}
        made = desk.made("/v1/reserves", like, voucher=voucher)
        emit_outcome(document, reserve=made, voucher=voucher, amount_fen=amount)


@group.command()
@click.argument("reserve", type=CLAIM)
@click.argument("amount", type=YUAN, required=False)
@click.option("--take-back", is_flag=True, help="The hold end is over, and the holder takes back.")
@writing
def release(reserve: str, amount: int | None, *, take_back: bool, desk: Desk) -> None:
    """Give reserved value back, all that is left by default. The centre signs.

    With --take-back the holder and two review officers of the voucher's city sign instead.
    """
    by = owner_of(reserve)
    if amount is None or take_back:
        item = desk.item(f"/v1/reserves/{reserve}")
        amount = int(item["left"]) if amount is None else amount
        by = item["holder"] if take_back else by
    operation = Release(reserve=reserve, by=by, amount=amount)
    desk.carry_out(operation, reserve=reserve, amount_fen=amount)


@group.command()
@click.argument("voucher", type=VOUCHER)
@click.option("--until", "last_day", type=DAY, required=True, help="Its new last good day.")
@committing("case", "the case")
@writing
def extend(voucher: str, *, last_day: int, case: Committed, desk: Desk) -> None:
    """Give a voucher more time. Two review officers of its city sign."""
    operation = Extend(voucher=voucher, until_day=last_day, case=case.hash)
    desk.carry_out(operation, voucher=voucher, until=dates.day(last_day), **case.salt)


@group.command()
@click.argument("voucher", type=VOUCHER)
@click.argument("amount", type=YUAN)
@committing("case", "the case")
@writing
def revoke(voucher: str, amount: int, *, case: Committed, desk: Desk) -> None:
    """Take available value back. Two review officers of the voucher's city sign."""
    operation = Revoke(voucher=voucher, amount=amount, case=case.hash)
    desk.carry_out(operation, voucher=voucher, amount_fen=amount, **case.salt)


@group.command()
@click.option("--line", "lines", multiple=True, help="voucher=yuan[@reserve]; up to sixteen.")
@click.option("--grant", help="programme=yuan of a grant after use, instead of vouchers.")
@click.option("--at", "centre", required=True, help="The data centre.")
@click.option("--holder", help="Who spends it (default: who holds the first voucher).")
@click.option("--order", required=True, help="The centre's own reference of the job.")
@click.option("--invoice", help="Its number, of which a keyed tag is stored; or --invoice-tag.")
@click.option("--invoice-tag", type=HASH, help="The tag itself, made elsewhere; or --invoice.")
@TAG_KEYS
@click.option("--tag-epoch", type=click.IntRange(0), help="Of a tag made elsewhere.")
@click.option("--net", type=YUAN, required=True, help="What the invoice asks, without tax.")
@click.option("--base", type=YUAN, help="The part that the rate applies to (default: all).")
@click.option(
    "--usage",
    multiple=True,
    required=True,
    help="chip:date:device hours[:kWh], such as ascend-910b:2026-03-31:120.5:48",
)
@SERVICE
@click.option(
    "--contract",
    help="number/yuan/first day/end day of the contract behind it, where the programme asks for it;"
    " a number of 64 hex digits is the tag itself.",
)
@click.option(
    "--holder-signs",
    is_flag=True,
    help="The holder consents to this claim too, though every line names a reserve.",
)
@committing("own-share", "the proof that the rest is paid", file="--own-share-proof")
@VERIFY
@writing
def redeem(
    *,
    lines: tuple[str, ...],
    grant: str | None,
    centre: str,
    holder: str | None,
    order: str,
    invoice: str | None,
    invoice_tag: bytes | None,
    tag_keys: tuple[Path, ...],
    tag_epoch: int | None,
    net: int,
    base: int | None,
    usage: tuple[str, ...],
    service_class: ServiceClass,
    contract: str | None,
    holder_signs: bool,
    own_share: Committed,
    verify: bool,
    desk: Desk,
) -> None:
    """Spend vouchers at a data centre against its invoice.

    The centre signs; the holder too, unless every line names a reserve that it set aside. Where the
    holder signs such a claim all the same (--holder-signs), the rules may accept it at once.

    Two pairs are required, one option of each: --invoice or --invoice-tag (which invoice it is),
    and --own-share or --own-share-proof (that the holder paid the rest).
    """
    if (invoice is None) == (invoice_tag is None):
        raise UsageError("give either --invoice or --invoice-tag")
    if bool(lines) == (grant is not None):
        raise UsageError("give either --line (vouchers) or --grant (a grant after use)")
    if invoice is not None:
        number = normal_of(normal.invoice_number, invoice)
        tag_epoch, invoice_tag = tag_of(
            desk.tag_keys(tag_keys),
            lambda key: normal.invoice_tag(key, centre, number),
            lambda: desk.tags_of_claims(centre, "invoice"),
        )
    assert invoice_tag is not None, "one of the two was given"
    if tag_epoch is None:
        tag_epoch = desk.newest_tag_epoch()
    parts = tuple(_line(text) for text in lines)
    after_use = () if grant is None else (_grant(desk, grant),)
    if holder is None and not parts:
        raise UsageError("name the --holder of the grant")
    rows = tuple(_usage(text) for text in usage)
    behind = () if contract is None else (_contract(desk, contract, centre, tag_keys),)
    if parts:
        holder = _holder_of(desk, [part.voucher for part in parts], holder, verify)
    assert holder is not None, "vouchers have one, and a grant names one"
    operation = Redeem(
        holder=holder,
        centre=centre,
        order=order,
        lines=parts,
        grant=after_use,
        invoice=Invoice(
            tag=invoice_tag, tag_epoch=tag_epoch, net=net, base=net if base is None else base
        ),
        contract=behind,
        service_class=service_class,
        usage=rows,
        own_share=own_share.hash,
        holder_signs=holder_signs or not parts or not all(part.reserve for part in parts),
    )
    document = desk.act(operation, more=own_share.salt)
    if document is None:
        return
    burned = any(posting["kind"] == "burn" for posting in document.postings)
    claim = desk.made(
        "/v1/claims",
        {"holder": operation.holder, "invoice": describe(operation.invoice)},
        centre=centre,
        holder=operation.holder,
    )
    emit_outcome(
        document,
        claim=claim,
        amount_fen=sum(part.amount for part in (*parts, *after_use)),
        decided="burned" if burned else "waiting",
        **own_share.salt,
    )


def _line(text: str) -> Line:
    voucher, value = split_pair(text, "voucher=yuan or voucher=yuan@reserve")
    amount, _, reserve = value.partition("@")
    VOUCHER.convert(voucher, None, None)
    return Line(voucher=voucher, amount=parse_yuan(amount), reserve=(reserve,) if reserve else ())


def _grant(session: Session, text: str) -> GrantAfterUse:
    ((programme, amount),) = amount_pairs([text], "programme=yuan")
    version = programme_of(session, programme)["version"]
    return GrantAfterUse(programme=programme, terms_version=version, amount=amount)


def _contract(session: Session, text: str, centre: str, tag_keys: Sequence[Path]) -> Contract:
    parts = text.rsplit("/", 3)
    if len(parts) != 4:
        raise UsageError(f"{text!r}: write number/yuan/first day/end day")
    number, amount, start, end = parts
    if len(number) == 64 and set(number) <= set(hexdigits):
        tag = bytes.fromhex(number)
    else:
        typed = normal_of(normal.contract_number, number)
        _, tag = tag_of(
            session.tag_keys(tag_keys),
            lambda key: normal.contract_tag(key, centre, typed),
            lambda: session.tags_of_claims(centre, "contract"),
        )
    return Contract(
        tag=tag,
        amount=parse_yuan(amount),
        start_day=DAY.convert(start, None, None),
        end_day=DAY.convert(end, None, None),
    )


def _usage(text: str) -> Usage:
    parts = text.split(":")
    if len(parts) not in (3, 4):
        raise UsageError(f"{text!r}: write chip:date:device hours[:kWh]")
    return Usage(
        chip=parts[0],
        day=DAY.convert(parts[1], None, None),
        gpu_ms=_scaled(parts[2], HOUR_MS, text),
        energy_wh=_scaled(parts[3], 1_000, text) if len(parts) == 4 else 0,
    )


def _scaled(text: str, unit: int, where: str) -> int:
    """Return a decimal number in a smaller unit; it must come out whole."""
    try:
        value = Decimal(text) * unit
    except InvalidOperation:
        raise UsageError(f"{where!r}: {text!r} is no number") from None
    if not value.is_finite() or value < 0 or value != value.to_integral_value():
        raise UsageError(f"{where!r}: {text!r} does not come out whole in the ledger's unit")
    return int(value)


@group.command(name="list")
@click.option("--holder")
@click.option("--programme")
@reading
def list_(*, holder: str | None, programme: str | None, session: Session) -> None:
    """List vouchers."""
    items = session.nodes.items("/v1/vouchers", holder=holder, programme=programme)
    emit([_shown(item) for item in items], LISTED)


def _shown(item: Json) -> Json:
    return {**in_fen(item, *PARTS), "expires": dates.through(item["expires_at_ms"])}


@group.command()
@click.argument("voucher", type=VOUCHER)
@click.option("--at-height", type=click.IntRange(0), help="As it was after this block.")
@click.option("--verify", is_flag=True, help="Have the server prove it.")
@reading
def show(voucher: str, *, at_height: int | None, verify: bool, session: Session) -> None:
    """Show a voucher, now with what is set aside of it, or as it was."""
    if verify and at_height is not None:
        raise UsageError("what was is not proven by today's state: leave out --at-height")
    if verify:
        item, proof = session.proven_voucher(voucher)
        emit({**_shown(item), "proven": _proven_by(proof)})
        return
    item = _shown(session.item(f"/v1/vouchers/{voucher}", at_height=at_height))
    if at_height is None:
        item["reserves"] = _reserves(session, voucher=voucher)
    emit(item)


@group.command()
@click.option("--holder")
@click.option("--at", "centre", help="Set aside for this data centre.")
@click.option("--voucher", type=VOUCHER)
@reading
def reserves(
    *, holder: str | None, centre: str | None, voucher: str | None, session: Session
) -> None:
    """List what is set aside for centres."""
    emit(_reserves(session, holder=holder, centre=centre, voucher=voucher), RESERVES)


def _reserves(session: Session, **filters: str | None) -> list[Json]:
    items = session.nodes.items("/v1/reserves", **filters)
    return [shown_times(in_fen(item, "amount", "left"), "until") for item in items]


@group.command()
@click.argument("voucher", type=VOUCHER)
@reading
def proof(voucher: str, *, session: Session) -> None:
    """Prove a voucher: from its value to the root of the state, a record, the log, a quorum."""
    item, proven = session.proven_voucher(voucher)
    emit(
        {
            **in_fen(item, *PARTS),
            "changed_by_entry": proven.sequence,
            "proven_at_height": proven.height,
            "log_size": proven.head.size,
            "log_root": proven.head.root,
            "cosigned_by": list(proven.cosigned),
        }
    )


@group.command()
@click.argument("voucher", type=VOUCHER)
@reading
def history(voucher: str, *, session: Session) -> None:
    """List every version of a voucher, oldest first, with the transaction that made it."""
    rows = []
    for item in session.nodes.items(f"/v1/vouchers/{voucher}/history"):
        rows.append(
            {
                **_shown(item["voucher"]),
                "sequence": item["sequence"],
                "height": item["height"],
                "time": dates.moment(item["time_ms"]),
                "cause": item["transaction"] or "expiry",
            }
        )
    emit(rows, HISTORY)
