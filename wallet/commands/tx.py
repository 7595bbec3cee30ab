"""``tally tx``: transactions by hand: build → sign → sign → send, at different desks if need be.

What a file says is shown decoded from the very bytes that are signed, never from a description
beside them.
"""

import json
import re
from pathlib import Path

import click

from desk.description import describe, operation_from
from desk.documents import Json
from desk.drafts import OFFLINE_LIFE_MS, Draft
from desk.sheets import document_of, sheet_of
from ledger.catalogue import KINDS
from ledger.encoding.codec import NotCanonical
from ledger.encoding.policy import Accepted
from ledger.encoding.receipt import Receipt
from ledger.entries import TransactionEntry, decode_entry
from ledger.rules.withdrawals import Withdraw
from ledger.transactions import parse
from tally.exits import NotFound, Refused, UsageError
from tally.output import Mode, Row, current_mode, emit, spoken
from wallet import signing
from wallet.client import NodeClient, send_and_wait, wait_for
from wallet.commands.session import (
    OUTCOME,
    SAVED,
    Desk,
    Session,
    accepted,
    emit_effect,
    emit_outcome,
    outcome,
    reading,
    saved,
    say_what_is_signed,
    writing,
)
from wallet.commands.typed import DURATION, PARTY, PASSPHRASE_FD, PROFILE, read_text
from wallet.profile import load_profile
from wallet.verified import DishonestServer, Verifier
from words import answers, dates

DESCRIPTION_BYTES_MAX = 1024 * 1024
PENDING = ("transaction", "signed_by", "says", "code", "message", "expires")
DECODED = ("transaction", "kind", "expires", "signatures", "says")

FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
KEYS = click.option("--key", "keys", multiple=True, help="party/person, or a key's name.")


class IdType(click.ParamType[str]):
    """A transaction's id."""

    name = "id"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return 64 hex digits in lower case."""
        if not re.fullmatch(r"[0-9a-fA-F]{64}", str(value)):
            self.fail(f"{value!r} is no transaction id: 64 hex digits", param, ctx)
        return str(value).lower()


ID = click.argument("transaction", type=IdType())


@click.group()
def group() -> None:
    """Build, sign, send and follow transactions, offline where you like."""


@group.command()
@click.argument("description", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--expires-in", type=DURATION, default=None, help="Default: 1d.")
@PROFILE
def build(
    description: Path, *, out: Path, expires_in: int | None, profile_name: str | None
) -> None:
    """Make an unsigned transaction from its JSON description; needs no node."""
    profile = load_profile(profile_name)
    if out.exists():
        raise signing.file_exists(out)
    try:
        document = json.loads(read_text(description, DESCRIPTION_BYTES_MAX))
    except ValueError as error:
        raise UsageError(f"{description} is not JSON: {error}") from None
    life_ms = OFFLINE_LIFE_MS if expires_in is None else expires_in
    draft = signing.drafted(operation_from(document), profile, life_ms=life_ms)
    signing.save(out, draft, profile.network)
    say_what_is_signed(draft)
    emit(saved(out, draft), SAVED)


@group.command()
@click.argument("kind", type=click.Choice(sorted(KINDS)), required=False)
def kinds(kind: str | None) -> None:
    """List the kinds of transaction, or the fields of one."""
    if kind is None:
        emit([{"kind": name} for name in sorted(KINDS)])
    else:
        emit([{"field": name} for name in KINDS[kind].record.__struct_fields__])


@group.command()
@FILE
@KEYS
@PASSPHRASE_FD
@PROFILE
def sign(
    file: Path, *, keys: tuple[str, ...], passphrase_fd: int | None, profile_name: str | None
) -> None:
    """Add signatures to a transaction file; shows what was signed, and needs no node."""
    profile = load_profile(profile_name)
    draft = signing.load(file)
    signing.require_own_log(draft, profile)
    if not keys:
        raise UsageError("name who signs with --key, such as --key shanghai/officer-1")
    say_what_is_signed(draft)
    signers = signing.open_signers(profile, keys, passphrase_fd=passphrase_fd)
    draft = signing.signed(draft, signers)
    signing.save(file, draft, profile.network, update=True)
    emit({**saved(file, draft), **_meaning(draft)}, (*SAVED, "says"))


def _meaning(draft: Draft) -> Json:
    """Return what a transaction says: in words for people, as fields for programs."""
    operation = draft.content.operation
    return {"says": sheet_of(draft, spoken()).says, "operation": describe(operation)}


@group.command()
@FILE
def decode(file: Path) -> None:
    """Show what a transaction file or envelope says, from the bytes that are signed."""
    draft = signing.load(file)
    document = document_of(draft, spoken())
    if current_mode() is Mode.TABLE:
        lines = {line["title"]: line["value"] for line in document["lines"]}
        emit({**document, **lines}, (*DECODED, *lines))
        return
    emit(document)


@group.command()
@FILE
@click.option("--no-wait", is_flag=True, help="Don't wait for finality (exit 5).")
@reading
def send(file: Path, *, no_wait: bool, session: Session) -> None:
    """Send a signed transaction and wait until it is final. Sending it again is safe."""
    draft = signing.load(file)
    signing.require_own_log(draft, session.profile)
    say_what_is_signed(draft)
    document = send_and_wait(
        session.nodes,
        draft.envelope(),
        transaction_id=draft.id,
        expires_at=draft.content.expires_at,
        wait=not no_wait,
    )
    emit_outcome(document)


@group.command()
@ID
@click.option("--expires-at", type=click.IntRange(0), help="Its expiry in ms, as it was told.")
@click.option("--timeout", "timeout_s", type=click.IntRange(1), help="Seconds; then exit 5.")
@reading
def wait(
    transaction: str, *, expires_at: int | None, timeout_s: int | None, session: Session
) -> None:
    """Wait until a transaction is final (0), refused or expired (4)."""
    emit_outcome(wait_for(session.nodes, transaction, expires_at=expires_at, timeout_s=timeout_s))


@group.command()
@ID
@click.option("--expires-at", type=click.IntRange(0), help="Its expiry in ms, as it was told.")
@reading
def show(transaction: str, *, expires_at: int | None, session: Session) -> None:
    """Show what a node knows of a transaction now."""
    document = session.nodes.ask(lambda node: node.transaction(transaction, expires_at=expires_at))
    expires = None if document.expires_at is None else dates.moment(document.expires_at)
    shown = outcome(document, expires_at=document.expires_at, expires=expires)
    emit(shown, (*OUTCOME, "code", "message", "expires", "postings"))


@group.command()
@click.option("--party", type=PARTY, help="Only what this party signed.")
@reading
def pending(*, party: str | None, session: Session) -> None:
    """List what waits on a node: whose it is, what it asks, why it waits, and until when.

    Another node may hold more; name one with --node.
    """
    rows = []
    for item in session.nodes.items("/v1/transactions", status="pending"):
        if party is None or any(signer["party"] == party for signer in item["signers"]):
            rows.append(_waiting(item))
    emit(rows, PENDING)


def _waiting(item: Json) -> Row:
    """Return what to show of a transaction that waits."""
    signers = [f"{signer['party']}/{signer['person']}" for signer in item["signers"]]
    sentence = answers.sentence(item["code"], item["values"], spoken(), otherwise=item["message"])
    return {
        "transaction": item["id"],
        "kind": item["kind"],
        "signed_by": ", ".join(signers),
        "says": item["says"],
        "status": item["status"],
        "code": item["code"],
        "message": sentence,
        "expires_at": item["expires_at"],
        "expires": dates.moment(item["expires_at"]),
    }


@group.command()
@ID
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True)
@reading
def receipt(transaction: str, *, out: Path, session: Session) -> None:
    """Save the proof that a transaction is in the log; `tally audit receipt` reads it offline."""

    def fetched(node: NodeClient) -> tuple[bytes, Receipt, Accepted]:
        data = node.get_bytes(f"/v1/receipts/{transaction}")
        verifier = Verifier(session.profile, node)
        proof, head = verifier.receipt(data)
        verifier.follow_validators()
        return data, proof, head

    data, proof, head = session.nodes.ask(fetched)
    entry = _transaction_in(proof.extra)
    if entry is None or parse(entry.signed).id.hex() != transaction.lower():
        raise DishonestServer("the receipt is of another transaction")
    signing.write_new(out, data)
    emit(
        {
            "file": str(out),
            "transaction": transaction,
            "status": "final",
            "sequence": proof.index,
            "log_size": head.checkpoint.size,
            "cosigned_by": [name for name, _ in head.cosigned],
        }
    )


@group.command()
@FILE
@click.option("--party", type=PARTY, help="Who withdraws (default: the party of the first --key).")
@writing
def withdraw(file: Path, *, party: str | None, desk: Desk) -> None:
    """Take a party's signature off a transaction before it is used. One key of the party signs.

    Once this is final, the transaction in the file never becomes final where the party's consent is
    needed, whoever holds a copy, unless it is logged already.
    """
    draft = signing.load(file)
    signing.require_own_log(draft, desk.profile)
    if party is None:
        if not desk.keys:
            raise UsageError("name who withdraws with --party")
        party = desk.keys[0].partition("/")[0]
    _refuse_if_logged(desk, draft)
    document = desk.act(Withdraw(party=party, transaction=bytes.fromhex(draft.id)))
    if document is not None:
        _refuse_if_logged(desk, draft)
        emit_outcome(document, withdrawn=draft.id, party=party)


def _refuse_if_logged(session: Session, draft: Draft) -> None:
    """Raise Refused if a transaction stands in the log: nothing takes it back."""
    expires_at = draft.content.expires_at
    try:
        document = session.nodes.ask(lambda node: node.transaction(draft.id, expires_at=expires_at))
    except NotFound:
        return
    if document.status == "final":
        raise Refused(
            spoken().text("withdraw.logged", id=draft.id, height=document.height),
            details={"id": draft.id, "status": document.status, "height": document.height},
        )


@group.command()
@FILE
@KEYS
@reading
def simulate(file: Path, *, keys: tuple[str, ...], session: Session) -> None:
    """Show what a transaction would do now, in the name of its signers and of --key."""
    draft = signing.load(file)
    signing.require_own_log(draft, session.profile)
    named = [signing.public_key_of(session.profile, name) for name in keys]
    raw = draft.rehearsal([*draft.signatures, *named])
    emit_effect(accepted(session.nodes.ask(lambda node: node.simulate(raw))))


def _transaction_in(raw: bytes) -> TransactionEntry | None:
    """Return the transaction that an entry of the log holds."""
    try:
        entry = decode_entry(raw)
        return entry if isinstance(entry, TransactionEntry) else None
    except NotCanonical:
        return None
