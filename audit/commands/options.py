"""What several commands are told."""

import re

import click

from tally.exits import UsageError

log_id_option = click.option(
    "--log-id", required=True, help="Which ledger this must be, from a trusted place."
)


def log_id_of(text: str) -> bytes:
    """Return a log id; raise UsageError."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise UsageError(f"--log-id: expected 64 hex digits, got {text!r}")
    return bytes.fromhex(text)
