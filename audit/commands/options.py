"""What several commands are told, and how they read sources."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from audit import verdicts
from audit.sources import Source, SourceLacks, SourceUnreachable, SourceWrong, open_source
from node.fetch import AddressInvalid
from tally.exits import (
    AuditFinding,
    Incomplete,
    NotFound,
    Unreachable,
    Unverifiable,
    UsageError,
)

log_id_option = click.option(
    "--log-id", required=True, help="Which ledger this must be, from a trusted place."
)
policies_option = click.option(
    "--policy",
    "policy_files",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    required=True,
    help="Whom to believe; of several, one is enough.",
)


def log_id_of(text: str) -> bytes:
    """Return a log id; raise UsageError."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise UsageError(f"--log-id: expected 64 hex digits, got {text!r}")
    return bytes.fromhex(text)


def opened(where: str) -> Source:
    """Return the source that was named; raise TallyError if it is none."""
    with reading(where):
        try:
            return open_source(where)
        except AddressInvalid as error:
            raise UsageError(str(error)) from None


@contextmanager
def reading(where: str = "") -> Iterator[None]:
    """Turn what is wrong with a source into the errors of commands."""
    name = f"{where}: " if where else ""
    try:
        yield
    except SourceLacks as error:
        raise NotFound(f"{name}{error}") from None
    except SourceWrong as error:
        raise AuditFinding(f"{name}tampered: {error.field}: {error}") from None
    except SourceUnreachable as error:
        raise Unreachable(str(error)) from None


@contextmanager
def judging() -> Iterator[None]:
    """Turn the verdicts on a log into the errors of commands."""
    try:
        yield
    except verdicts.Tampered as verdict:
        raise AuditFinding(str(verdict), details=verdict.details) from None
    except verdicts.Unverifiable as verdict:
        raise Unverifiable(str(verdict), details=verdict.details) from None
    except verdicts.Incomplete as verdict:
        raise Incomplete(str(verdict), details=verdict.details) from None
