"""What is typed at commands: ids, dates, hashes, files, and options that several commands share."""

import functools
import json
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import click

from desk.documents import Json
from ledger.encoding.complaint import EXAMPLES, PAYABLE_ID, SERIAL_ID, SLUG
from ledger.rules import calendar
from ledger.rules.parties import PartyKey
from tally.exits import NotFound, UsageError
from tally.output import parse_yuan
from wallet import signing
from wallet.profile import Profile

Command = Callable[..., None]


OBJECT_BYTES_MAX = 4 * 1024 * 1024
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

    def fits(self, value: object) -> bool:
        """Return whether a value has the form of such an id."""
        return self._pattern.fullmatch(str(value)) is not None

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the id as it was typed."""
        if not self.fits(value):
            self.fail(f"{value!r}: expected an id such as {self._example}", param, ctx)
        return str(value)


PARTY = NameType(SLUG, EXAMPLES[SLUG])
VOUCHER = NameType(SERIAL_ID, EXAMPLES[SERIAL_ID])
CLAIM = NameType(SERIAL_ID, "guian-hub.000000042")
"""A claim, reserve, hold or anchor: whose it is, and its serial."""
PAYABLE = NameType(PAYABLE_ID, EXAMPLES[PAYABLE_ID])
DURATION = DurationType()
DAY = DayType()
HASH = HexType()

PROFILE = click.option("--profile", "profile_name", help="Which network (default: the default).")
PASSPHRASE_FD = click.option(
    "--passphrase-fd", type=click.IntRange(0), help="Read passphrases from it, a line for each key."
)
PERSONS = click.option(
    "--person",
    "persons",
    multiple=True,
    required=True,
    help="person[=line][:role,role]; the line is the holder's, by `tally wallet prove`; "
    "without one the key lies here.",
)
THRESHOLD = click.option(
    "--threshold",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many keys sign where no role is asked.",
)


@dataclass(frozen=True, slots=True)
class Committed:
    """A salted hash of something that stays off the ledger."""

    hash: bytes
    salt: Json
    """What to show beside it: the salt, if it was made here."""


def committing(
    name: str, document: str, *, file: str | None = None, required: bool = True
) -> Callable[[Command], Command]:
    """Give a command the options of a commitment, and a ``Committed`` (None if left out).

    ``--name`` takes the hash; ``--name-file`` (or ``file``) a document that is hashed with a salt.
    """
    option, file_option = f"--{name}", file or f"--{name}-file"
    field_name, file_name = (flag.strip("-").replace("-", "_") for flag in (option, file_option))

    def decorate(function: Command) -> Command:
        @click.option(option, type=HASH, help=f"Salted hash of {document}; or {file_option}.")
        @click.option(
            file_option,
            type=click.Path(dir_okay=False, path_type=Path),
            help=f"The file itself: only a salted hash is stored, the salt is shown; or {option}.",
        )
        @functools.wraps(function)
        def command(**rest: Any) -> None:
            hash_, path = rest.pop(field_name), rest.pop(file_name)
            given = (hash_ is not None) + (path is not None)
            if given > 1 or given < required:
                raise UsageError(f"give either {option} or {file_option}")
            committed = None
            if path is not None:
                hash_, salt = signing.commitment(path)
                committed = Committed(hash_, {f"{field_name}_salt": salt})
            elif hash_ is not None:
                committed = Committed(hash_, {})
            function(**rest, **{field_name: committed})

        return command

    return decorate


@dataclass(frozen=True, slots=True)
class NamedKeys:
    """Keys of a party as they were typed, and their proofs in the same order."""

    keys: tuple[PartyKey, ...]
    proofs: tuple[bytes, ...]


def party_keys(
    profile: Profile, party: str, texts: Sequence[str], passphrase_fd: int | None
) -> NamedKeys:
    """Return the keys that ``person[=line][:role,role]`` name; raise UsageError or KeyTrouble.

    A line is what `tally wallet prove` shows; without one the key lies here, is opened and proven.
    """
    named = [_party_key(profile, party, text, passphrase_fd) for text in texts]
    return NamedKeys(tuple(key for key, _ in named), tuple(proof for _, proof in named))


def _party_key(
    profile: Profile, party: str, text: str, passphrase_fd: int | None
) -> tuple[PartyKey, bytes]:
    named, colon, roles = text.partition(":")
    person, equals, line = named.partition("=")
    if not person or (colon and not roles) or (equals and not line):
        raise UsageError(f"{text!r}: write person[=line of tally wallet prove][:role,role]")
    if line:
        key, proof = _key_and_proof(line)
    else:
        (signer,) = signing.open_signers(
            profile, [f"{party}/{person}"], passphrase_fd=passphrase_fd
        )
        key, proof = signer.public_key, signing.proof_by(profile, signer, party)
    holds = tuple(roles.split(",")) if roles else ()
    return PartyKey(key=key, person=person, roles=holds), proof


def _key_and_proof(line: str) -> tuple[bytes, bytes]:
    match = re.fullmatch(r"([0-9a-fA-F]{64})\.([0-9a-fA-F]{128})", line)
    if match is None:
        raise UsageError(
            f"{line!r} is no key with its proof; its holder shows both by `tally wallet prove`"
        )
    return bytes.fromhex(match[1]), bytes.fromhex(match[2])


def split_pair(text: str, form: str) -> tuple[str, str]:
    """Return both sides of ``name=value``; raise UsageError."""
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise UsageError(f"{text!r}: write {form}")
    return name, value


def amount_pairs(texts: Sequence[str], form: str) -> list[tuple[str, int]]:
    """Return (name, fen) of each ``name=yuan``; raise UsageError."""
    pairs = [split_pair(text, form) for text in texts]
    return [(name, parse_yuan(value)) for name, value in pairs]


def split_programme(programme: str) -> tuple[str, str]:
    """Return city and slug of a programme id; raise UsageError."""
    city, dot, slug = programme.partition(".")
    if not (city and dot and slug) or "/" in programme:
        raise UsageError(f"{programme!r} is no programme; write city.slug")
    return city, slug


def owner_of(serial_id: str) -> str:
    """Return whose a claim, reserve, hold or anchor is: the part of its id before the serial."""
    return serial_id.rpartition(".")[0]


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


def read_object(path: Path) -> Json:
    """Return the object in a JSON or TOML file; raise NotFound or UsageError."""
    text = read_text(path, OBJECT_BYTES_MAX)
    try:
        if path.suffix == ".toml":
            document = tomllib.loads(text, parse_float=_no_float)
        else:
            document = json.loads(text, parse_float=_no_float)
    except ValueError as error:
        form = "TOML" if path.suffix == ".toml" else "JSON"
        raise UsageError(f"{path} is not {form}: {error}") from None
    if not isinstance(document, dict):
        raise UsageError(f"{path} holds no JSON object")
    return document


def _no_float(text: str) -> float:
    raise ValueError(f"{text}: amounts are whole numbers")
