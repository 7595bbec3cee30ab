"""What commands share: the options that choose network and keys, and the way to an outcome."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import click

from ledger.rules import calendar
from ledger.transactions import Operation
from tally.exits import KeyTrouble, NotFound, Refused, UsageError
from tally.output import Row, emit, parse_yuan, say
from wallet import signing
from wallet.client import Effect, Json, Nodes, TransactionDocument, moment, send_and_wait
from wallet.description import ID_EXAMPLES
from wallet.profile import Profile, load_profile
from wallet.sentences import refusal_sentence

Command = Callable[..., None]

OUTCOME = ("transaction", "status", "kind", "height", "sequence")
"""What a table shows of a finished transaction."""
PERSONS_MAX = 16
NOTHING_SENT = "; nothing was sent"
"""How the error of a single transaction ends that never left this machine."""
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": calendar.DAY_MS}


class DurationType(click.ParamType[int]):
    """A length of time such as ``90s``, ``10m``, ``2h`` or ``6d``, in ms."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return milliseconds."""
        match = _DURATION.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is no duration; write 90s, 10m, 2h or 6d", param, ctx)
        return int(match[1]) * _UNIT_MS[match[2]]


class DayType(click.ParamType[int]):
    """A calendar date such as ``2026-12-31``, as the number of its day at +08:00."""

    name = "date"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return days since 1970-01-01."""
        if isinstance(value, int):
            return value
        try:
            return calendar.day_number(date.fromisoformat(str(value)))
        except ValueError:
            self.fail(f"{value!r} is no date; write 2026-12-31", param, ctx)


class HexType(click.ParamType[bytes]):
    """Thirty-two bytes as hex."""

    name = "hex"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        """Return 32 bytes."""
        if isinstance(value, bytes):
            return value
        if not re.fullmatch(r"[0-9a-fA-F]{64}", str(value)):
            self.fail(f"{value!r} is not 64 hex digits", param, ctx)
        return bytes.fromhex(str(value))


class NameType(click.ParamType[str]):
    """An id of the ledger; a wrong one is answered with an example, before any node is asked."""

    name = "id"

    def __init__(self, pattern: str, example: str) -> None:
        self._pattern = re.compile(pattern)
        self._example = example

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the id as it was typed."""
        if not self._pattern.fullmatch(str(value)):
            self.fail(f"{value!r}: expected an id such as {self._example}", param, ctx)
        return str(value)


PARTY = NameType(*ID_EXAMPLES[0])
VOUCHER = NameType(*ID_EXAMPLES[2])
CLAIM = NameType(ID_EXAMPLES[2][0], "guian-hub.000000042")
DURATION = DurationType()
DAY = DayType()
HASH = HexType()

PROFILE = click.option("--profile", "profile_name", help="Which network (default: the default).")
PASSPHRASE_FD = click.option(
    "--passphrase-fd", type=click.IntRange(0), help="Read passphrases from it, a line for each key."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A network to ask."""

    profile: Profile
    nodes: Nodes

    def one(self, path: str, **query: str | int | None) -> Json:
        """Return a single record, with the sequence number of its last change and the height."""
        answer = self.nodes.get_json(path, **query)
        item: Json = answer["item"]
        return {**item, "last_change": answer["sequence"], "as_of_height": answer["height"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk(Session):
    """A network to ask, and what is to happen with what is signed here."""

    keys: tuple[str, ...]
    passphrase_fd: int | None
    life_ms: int | None
    wait: bool
    dry_run: bool
    save_to: Path | None

    @property
    def only_shows(self) -> bool:
        """Return whether nothing is sent: a dry run, or a file for the next desk."""
        return self.dry_run or self.save_to is not None

    def act(self, operation: Operation, *, nth: int = 0) -> TransactionDocument | None:
        """Sign, send and wait; return the document of what became final.

        ``nth`` counts transactions of one command: their expiries differ by as many ms, so that
        two with the same content are two. Returns None once a dry run or a file has been shown
        instead. A rehearsal without any signature goes first: what the rules refuse there is
        refused for certain, since nothing that could become final has left this machine.
        """
        if self.save_to is not None and self.save_to.exists():
            raise signing.file_exists(self.save_to)
        draft = self._draft(operation, nth)
        if self.dry_run:
            emit_effect(self.rehearse(draft))
            return None
        if self.save_to is None and self.wait:
            self.rehearse(draft)
        signers = signing.open_signers(self.profile, self.keys, passphrase_fd=self.passphrase_fd)
        draft = draft.signed_by(signers)
        if self.save_to is not None:
            signing.save(self.save_to, draft, self.profile.network)
            emit(saved(self.save_to, draft), SAVED)
            return None
        return send_and_wait(
            self.nodes,
            draft.envelope(),
            transaction_id=draft.id,
            expires_at=draft.content.expires_at,
            wait=self.wait,
        )

    def try_out(self, operation: Operation, *, nth: int = 0) -> Effect:
        """Return what an operation would do, as ``rehearse``; signs and sends nothing."""
        return self.rehearse(self._draft(operation, nth))

    def _draft(self, operation: Operation, nth: int) -> signing.Draft:
        life_ms = self.life_ms
        if life_ms is None:
            life_ms = signing.OFFLINE_LIFE_MS if self.save_to else signing.LIFE_MS
        return signing.draft(operation, self.profile, life_ms=life_ms - nth)

    def rehearse(self, draft: signing.Draft) -> Effect:
        """Return what the transaction would do; raise Refused or KeyTrouble if it would not."""
        keys = [signing.public_key_of(self.profile, name) for name in self.keys]
        raw = draft.rehearsal(keys)
        return accepted(self.nodes.ask(lambda node: node.simulate(raw)))


def accepted(effect: Effect) -> Effect:
    """Return an effect; raise Refused or KeyTrouble if the transaction would not hold."""
    if effect.code == "ok":
        return effect
    sentence = refusal_sentence(effect.code, effect.message, effect.values)
    message = f"at height {effect.height} this is refused: {effect.code}: {sentence}"
    details = {
        "code": effect.code,
        "number": effect.number,
        "values": effect.values,
        "height": effect.height,
    }
    if effect.code == "key_unknown":
        raise KeyTrouble(message + NOTHING_SENT, details=details)
    raise Refused(message + NOTHING_SENT, details=details)


def reading(function: Command) -> Command:
    """Give a command the options that choose a network, and a ``session``."""

    @PROFILE
    @click.option("--node", help="Ask this node of the profile and no other.")
    @functools.wraps(function)
    def command(*, profile_name: str | None, node: str | None, **rest: Any) -> None:
        profile = load_profile(profile_name)
        nodes = Nodes(profile, only=node)
        try:
            function(session=Session(profile=profile, nodes=nodes), **rest)
        finally:
            nodes.close()

    return command


def writing(function: Command) -> Command:
    """Give a command the options of everything that is signed, and a ``desk``."""

    @click.option("--key", "keys", multiple=True, help="Who signs: party/person, or a key's name.")
    @PASSPHRASE_FD
    @click.option("--expires-in", type=DURATION, help="Default: 10m; with --save almost 7d.")
    @click.option("--no-wait", is_flag=True, help="Don't wait for finality (exit 5).")
    @click.option("--dry-run", is_flag=True, help="Show the effect; sign and send nothing.")
    @click.option(
        "--save",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write it to a file for the next person to sign; send nothing.",
    )
    @functools.wraps(function)
    def command(
        *,
        session: Session,
        keys: tuple[str, ...],
        passphrase_fd: int | None,
        expires_in: int | None,
        no_wait: bool,
        dry_run: bool,
        save: Path | None,
        **rest: Any,
    ) -> None:
        if not keys and save is None:
            raise UsageError("name who signs with --key, such as --key shanghai/officer-1")
        if len(keys) > PERSONS_MAX:
            raise UsageError(f"at most {PERSONS_MAX} keys sign a transaction")
        desk = Desk(
            profile=session.profile,
            nodes=session.nodes,
            keys=keys,
            passphrase_fd=passphrase_fd,
            life_ms=expires_in,
            wait=not no_wait,
            dry_run=dry_run,
            save_to=save,
        )
        function(desk=desk, **rest)

    return reading(command)


SAVED = ("file", "transaction", "kind", "signatures", "expires")


def saved(path: Path, draft: signing.Draft) -> Row:
    """Return what to show of a transaction file."""
    return {"file": str(path), **drafted(draft)}


def drafted(draft: signing.Draft) -> Json:
    """Return what to show of a transaction that is not sent yet."""
    content = draft.content
    return {
        "transaction": draft.id,
        "kind": str(content.operation.__struct_config__.tag),
        "signatures": len(draft.signatures),
        "keys": [key.hex() for key in sorted(draft.signatures)],
        "expires_at": content.expires_at,
        "expires": moment(content.expires_at),
    }


def outcome(document: TransactionDocument, **more: object) -> Json:
    """Return what to show of a transaction that a node told of."""
    return {
        "transaction": document.id,
        "status": document.status,
        "code": document.code,
        "message": document.message,
        "kind": document.kind,
        "height": document.height,
        "sequence": document.sequence,
        "node": document.node.name,
        **more,
        "postings": [in_fen(posting, "amount") for posting in document.postings],
    }


def emit_outcome(document: TransactionDocument | None, **more: object) -> None:
    """Show a final transaction with what else it made; nothing if it was only shown or saved."""
    if document is not None:
        emit(outcome(document, **more), (*OUTCOME, *more))


def emit_effect(effect: Effect) -> None:
    """Show what a transaction would do, and at which height."""
    say(f"dry run at height {effect.height}: nothing was sent")
    emit(
        {
            "effect": "accepted",
            "height": effect.height,
            "postings": [in_fen(posting, "amount") for posting in effect.postings],
        }
    )


def in_fen(item: Mapping[str, Any], *names: str) -> Json:
    """Return an item whose named amounts say that they are fen, so that tables show yuan."""
    return {f"{name}_fen" if name in names else name: value for name, value in item.items()}


def split_pair(text: str, what: str) -> tuple[str, str]:
    """Return both sides of ``name=value``; raise UsageError."""
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise UsageError(f"{text!r}: write {what}")
    return name, value


def amount_pairs(texts: Sequence[str], what: str) -> list[tuple[str, int]]:
    """Return (name, fen) of each ``name=yuan``; raise UsageError."""
    pairs = [split_pair(text, what) for text in texts]
    return [(name, parse_yuan(value)) for name, value in pairs]


def split_programme(programme: str) -> tuple[str, str]:
    """Return city and slug of a programme id; raise UsageError."""
    city, dot, slug = programme.partition(".")
    if not (city and dot and slug) or "/" in programme:
        raise UsageError(f"{programme!r} is no programme; write city.slug")
    return city, slug


def programme_of(session: Session, programme: str) -> Json:
    """Return a programme with its terms, totals and budgets; raise NotFound."""
    city, slug = split_programme(programme)
    return session.one(f"/v1/programmes/{city}/{slug}")


def found(session: Session, path: str) -> Json | None:
    """Return a single record, or None if there is none."""
    try:
        return session.one(path)
    except NotFound:
        return None


def read_text(path: Path, bytes_max: int) -> str:
    """Return a text file; raise NotFound or UsageError."""
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
        if len(data) > bytes_max:
            raise UsageError(f"{path} has more than {bytes_max} bytes")
        return data.decode("utf-8-sig")  # spreadsheets like to put a mark in front
    except OSError as error:
        raise NotFound(f"can't read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8") from None
