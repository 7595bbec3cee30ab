"""What commands share: a network to ask, keys to sign with, and the way to an outcome."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from desk import following, sheets
from desk.documents import Effect, Json, TransactionDocument
from desk.drafts import LIFE_MS, OFFLINE_LIFE_MS, Draft
from desk.rehearsal import objection_to, way_out
from ledger.transactions import SIGNATURES_MAX, Operation
from tally.exits import (
    KeyTrouble,
    NotCertain,
    NotFound,
    Refused,
    TallyError,
    Unreachable,
    UsageError,
)
from tally.output import Mode, Row, current_mode, emit, say, spoken
from wallet import signing
from wallet.client import Nodes, send_and_wait
from wallet.commands.typed import (
    DURATION,
    PASSPHRASE_FD,
    PROFILE,
    Command,
    split_programme,
)
from wallet.profile import Profile, load_profile
from wallet.tags import EpochKey, keys_in_force
from wallet.verified import Proven, Verifier
from words import acts, dates, fields

OUTCOME = ("transaction", "status", "kind", "height", "sequence")
"""What a table shows of a finished transaction."""
GROUP = 100
"""Transactions of one command that are on their way at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A network to ask."""

    profile: Profile
    nodes: Nodes

    def item(self, path: str, **query: str | int | None) -> Json:
        """Return a single record, with the sequence number of its last change and the height."""
        answer = self.nodes.get_json(path, **query)
        item: Json = answer["item"]
        return {**item, "last_change": answer.get("sequence"), "as_of_height": answer["height"]}

    def proven_voucher(self, voucher: str) -> tuple[Json, Proven]:
        """Return a voucher and the proof of it, from the first server that answers (Y12.4)."""
        return self.nodes.ask(lambda node: Verifier(self.profile, node).voucher(voucher))

    def tag_keys(self, paths: Sequence[Path]) -> tuple[EpochKey, ...]:
        """Return the tag keys in these files, oldest first, if the ledger lists them (Z6)."""
        listed = self.item("/v1/governance/parameters")["tag_keys"]
        return keys_in_force(self.profile, paths, listed)

    def newest_tag_epoch(self) -> int:
        """Return the epoch of tags that are made elsewhere, if nobody says another."""
        return int(self.item("/v1/governance/parameters")["tag_keys"][-1]["epoch"])

    def tags_of_claims(self, centre: str, name: str) -> list[str]:
        """Return the tags of all invoices, or contracts, of a centre's claims, in hex."""
        claims = self.nodes.items("/v1/claims", centre=centre)
        return [claim[name]["tag"] for claim in claims if claim[name] is not None]

    def after(self, path: str) -> Json:
        """Return a record as it is after a transaction; nothing if nobody can say.

        What became final is final all the same.
        """
        try:
            return self.item(path)
        except TallyError:
            return {}

    def made(self, path: str, like: Json, *, id_: str = "id", **query: str | int | None) -> Any:
        """Return the id of the newest record of a list that has these fields; as ``after``."""
        try:
            items = self.nodes.items(path, **query)
        except TallyError:
            return None
        ids = [item[id_] for item in items if {**item, **like} == item]
        return ids[-1] if ids else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk(Session):
    """A network to ask, and what is to happen with what is signed here."""

    keys: tuple[str, ...]
    passphrase_fd: int | None
    life_ms: int | None
    wait: bool
    dry_run: bool
    save_to: Path | None
    rehearses_as: tuple[bytes, ...] = ()
    """In whose name acts are rehearsed, if not that of the keys that sign here."""
    _opened: list[signing.Signer] = field(default_factory=list, repr=False)

    @property
    def only_shows(self) -> bool:
        """Return whether nothing is sent: a dry run, or a file for the next desk."""
        return self.dry_run or self.save_to is not None

    def carry_out(self, operation: Operation, **more: object) -> None:
        """Sign, send and wait as ``act``; show what became final, and ``more``."""
        emit_outcome(self.act(operation, more=more), **more)

    def act(
        self, operation: Operation, *, nth: int = 0, more: Mapping[str, object] | None = None
    ) -> TransactionDocument | None:
        """Say in words what is signed, sign, send and wait; return the document of what is final.

        ``nth`` counts transactions of one command: their expiries differ by as many ms, so that
        two with the same content are two. Returns None once a dry run, or a file with ``more``
        beside it, has been shown instead. A rehearsal without any signature goes first: what the
        rules refuse there is refused for certain, since nothing that could become final has left
        this machine.
        """
        if self.save_to is not None and self.save_to.exists():
            raise signing.file_exists(self.save_to)
        draft = self._draft(operation, nth)
        say_what_is_signed(draft)
        if self.dry_run:
            emit_effect(self.rehearse(draft))
            return None
        if self.save_to is None and self.wait:
            self.rehearse(draft)
        draft = signing.signed(draft, self._signers())
        if self.save_to is not None:
            signing.save(self.save_to, draft, self.profile.network)
            emit({**saved(self.save_to, draft), **(more or {})}, (*SAVED, *(more or {})))
            return None
        return self._send(draft, wait=self.wait)

    def save_all(self, operations: Sequence[Operation]) -> list[Row]:
        """Sign many and save them to numbered files beside ``save_to``; return what to show."""
        assert self.save_to is not None, "asked for only with --save"
        width = len(str(len(operations)))
        paths = [
            self.save_to.with_stem(f"{self.save_to.stem}-{number:0{width}}")
            for number in range(1, len(operations) + 1)
        ]
        for path in paths:
            if path.exists():
                raise signing.file_exists(path)
        rows = []
        for nth, (path, operation) in enumerate(zip(paths, operations, strict=True)):
            draft = self._draft(operation, nth)
            say_what_is_signed(draft)
            draft = signing.signed(draft, self._signers())
            signing.save(path, draft, self.profile.network)
            rows.append(saved(path, draft))
        return rows

    def act_all(self, operations: Sequence[Operation]) -> Iterator[TransactionDocument]:
        """Sign many at once, send them in groups, and yield each document in turn once final.

        Nothing is rehearsed: ``try_out`` goes before. Raises as ``send_and_wait``.
        """
        for first in range(0, len(operations), GROUP):
            drafts = [
                signing.signed(self._draft(operation, first + nth), self._signers())
                for nth, operation in enumerate(operations[first : first + GROUP])
            ]
            for draft in drafts:
                say_what_is_signed(draft)
            for draft in drafts:
                try:
                    self._send(draft, wait=False)
                except Unreachable:
                    break
                except (NotCertain, Refused, KeyTrouble):
                    continue  # told below, when it is this one's turn
            for draft in drafts:
                yield self._send(draft, wait=True)

    def _send(self, draft: Draft, *, wait: bool) -> TransactionDocument:
        return send_and_wait(
            self.nodes,
            draft.envelope(),
            transaction_id=draft.id,
            expires_at=draft.content.expires_at,
            wait=wait,
        )

    def try_out(self, operation: Operation, *, nth: int = 0) -> Effect:
        """Return what an operation would do, as ``rehearse``; signs and sends nothing."""
        return self.rehearse(self._draft(operation, nth))

    def _signers(self) -> list[signing.Signer]:
        """Return the open keys: a command asks for each passphrase once."""
        if not self._opened:
            self._opened.extend(
                signing.open_signers(self.profile, self.keys, passphrase_fd=self.passphrase_fd)
            )
        return self._opened

    def _named(self) -> list[bytes]:
        return [signing.public_key_of(self.profile, name) for name in self.keys]

    def _draft(self, operation: Operation, nth: int) -> Draft:
        life_ms = self.life_ms
        if life_ms is None:
            life_ms = OFFLINE_LIFE_MS if self.save_to else LIFE_MS
        return signing.drafted(operation, self.profile, life_ms=life_ms - nth)

    def rehearse(self, draft: Draft) -> Effect:
        """Return what the transaction would do; raise Refused or KeyTrouble if it would not."""
        raw = draft.rehearsal(self.rehearses_as or self._named())
        return accepted(self.nodes.ask(lambda node: node.simulate(raw)))


def say_what_is_signed(draft: Draft) -> None:
    """Say what a draft's signatures cover: in words, which batch of grants, and until when."""
    content = draft.content
    say(acts.in_words(content.operation, spoken()))
    batch = sheets.batch_of(content.operation)
    if batch is not None:
        say(spoken().text("sign.batch", batch=batch))
    say(sheets.life_of(draft, signing.now_ms(), spoken()))


def accepted(effect: Effect) -> Effect:
    """Return an effect; raise Refused or KeyTrouble if the transaction would not hold."""
    objection = objection_to(effect, spoken())
    if objection is None:
        return effect
    failure = KeyTrouble if objection.is_about_keys else Refused
    text = objection.text + nothing_sent() + objection.way_out
    raise failure(text, details=objection.details)


def bare(error: TallyError) -> str:
    """Return what a failure says, without what else a single act's error says."""
    message = error.message.removesuffix(way_out(str(error.details.get("code")), spoken()))
    return message.removesuffix(nothing_sent())


def nothing_sent() -> str:
    """Return how the error of a single transaction ends that never left this machine."""
    return spoken().text("rehearsal.nothing_sent")


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
    @click.option("--expires-in", type=DURATION, help="Default: 10m; with --save 1d.")
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
        if len(keys) > SIGNATURES_MAX:
            raise UsageError(f"at most {SIGNATURES_MAX} keys sign a transaction")
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


def saved(path: Path, draft: Draft) -> Row:
    """Return what to show of a transaction file."""
    return {"file": str(path), **sheets.summary_of(draft)}


def outcome(document: TransactionDocument, **more: object) -> Json:
    """Return what to show of a transaction that a node told of."""
    return {
        "transaction": document.id,
        "status": document.status,
        "code": document.code,
        "message": following.sentence_of(document, spoken()),
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
    say(spoken().text("rehearsal.dry_run", height=effect.height))
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


def programme_of(session: Session, programme: str) -> Json:
    """Return a programme with its terms, totals and budgets; raise NotFound."""
    city, slug = split_programme(programme)
    return session.item(f"/v1/programmes/{city}/{slug}")


def shown_times(item: Mapping[str, Any], *names: str) -> Json:
    """Return an item with a readable ``x`` after each ``x_ms``; people see only that."""
    for_people = current_mode() is Mode.TABLE
    shown: Json = {}
    for name, value in item.items():
        stem = name.removesuffix("_ms")
        is_time = stem != name and stem in names
        if not (is_time and for_people):
            shown[name] = value
        if is_time:
            show = dates.through if name in fields.ENDS else dates.moment
            shown[stem] = None if value is None else show(value)
    return shown


def item_or_none(session: Session, path: str) -> Json | None:
    """Return a single record, or None if there is none."""
    try:
        return session.item(path)
    except NotFound:
        return None
