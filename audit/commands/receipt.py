"""``tally audit receipt`` and ``policy``: proof of one entry, checked without any network."""

from collections.abc import Iterable
from pathlib import Path

import click

from audit.commands.export import download
from audit.commands.options import policies_option
from ledger.encoding import policy as policies
from ledger.encoding import receipt as receipts
from ledger.encoding.codec import NotCanonical
from ledger.encoding.note import BadSignature
from ledger.encoding.plain import plain
from ledger.encoding.policy import POLICY_BYTES_MAX, Accepted, Policy, QuorumMissing, UntrustedLog
from ledger.encoding.receipt import RECEIPT_BYTES_MAX, NotIncluded, Receipt
from ledger.encoding.text import MalformedText
from ledger.entries import ClosingEntry, Entry, TransactionEntry, decode_entry
from ledger.inadmissible import KindUnknown
from ledger.transactions import parse as parse_transaction
from tally.exits import AuditFinding, Unverifiable, UsageError
from tally.output import emit
from wallet.profile import load_profile
from wallet.signing import write_new
from words import dates

ENTRY_BYTES_MAX = 65_535


@click.command()
@click.option("--node", default=None, help="Address of an API; else the profile's first node.")
@click.option("--at-height", type=click.IntRange(0), help="As of this height; else the present.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True)
def policy(node: str | None, at_height: int | None, out: Path) -> None:
    """Save whom a node says to believe about the log: compare it with what others say."""
    url = (node or load_profile(None).nodes[0].url).rstrip("/")
    query = "" if at_height is None else f"?at_height={at_height}"
    data = b"".join(download(f"{url}/v1/policy{query}", POLICY_BYTES_MAX))
    trusted = policy_of(data, url)
    if not trusted.logs:
        raise AuditFinding(f"{url}: a policy that names no log")
    write_new(out, data)
    emit(
        {
            "file": str(out),
            "log": trusted.logs[0].key.name,
            "log_keys": len(trusted.logs),
            "cosigners": [cosigner.name for cosigner in trusted.witnesses],
        }
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@policies_option
@click.option(
    "--entry",
    "entry_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The entry, if the receipt does not carry it.",
)
def receipt(file: Path, policy_files: tuple[Path, ...], entry_file: Path | None) -> None:
    """Verify a receipt with nothing but the file and a policy; say what it proves."""
    try:
        parsed = receipts.parse(read_file(file, RECEIPT_BYTES_MAX))
    except MalformedText as error:
        raise AuditFinding(f"{file} is no receipt: {error}") from None
    entry = parsed.extra if entry_file is None else read_file(entry_file, ENTRY_BYTES_MAX)
    if not entry:
        raise UsageError("the receipt carries no entry: name the file that has it with --entry")
    trusted = trusted_in(policy_files)
    emit(_proven(parsed, entry, _accepted(parsed, entry, trusted)))


def _accepted(parsed: Receipt, entry: bytes, trusted: list[Policy]) -> Accepted:
    """Return what the first policy that accepts a receipt says of it.

    Raises AuditFinding if something in it is wrong, Unverifiable if only other keys than the
    policies' vouch for it: they may be those of other years.
    """
    unknown = []
    for policy in trusted:
        try:
            return receipts.verify(parsed, entry=entry, trusted=policy)
        except (NotIncluded, BadSignature) as error:
            raise AuditFinding(f"tampered: {error}") from None
        except (UntrustedLog, QuorumMissing) as error:
            unknown.append(str(error))
    raise Unverifiable(
        f"unverifiable: {'; '.join(unknown)}. If the keys have changed, take the policy of that "
        "time, or a new receipt of the same transaction"
    )


def _proven(parsed: Receipt, entry: bytes, accepted: Accepted) -> dict[str, object]:
    head = accepted.checkpoint
    times = sorted(time_s for _, time_s in accepted.cosigned)
    return {
        "verdict": f"the log {head.origin} holds this as its entry {parsed.index}",
        "sequence": parsed.index,
        "log_size": head.size,
        "log_root": head.root,
        "cosigned_by": [name for name, _ in accepted.cosigned],
        # The middle one: fewer than half of a quorum lie, and theirs may be any time.
        "cosigned_about": dates.stamp(times[len(times) // 2]) if times else None,
        **content_of(entry),
    }


def content_of(entry: bytes) -> dict[str, object]:
    """Return what an entry is, for people."""
    try:
        decoded: Entry = decode_entry(entry)
        if isinstance(decoded, TransactionEntry):
            transaction = parse_transaction(decoded.signed)
            return {
                "entry": "transaction",
                "transaction": transaction.id,
                "kind": transaction.kind,
                "postings": [plain(posting) for posting in decoded.postings],
            }
        if isinstance(decoded, ClosingEntry):
            record = decoded.record
            return {"entry": "record", "height": record.height, "time_ms": record.time_ms}
    except KindUnknown as error:  # of rules newer than this software
        return {"entry": "transaction", "kind": error.kind}
    except NotCanonical:
        return {"entry": "not one of this software's ledgers"}
    return {"entry": type(decoded).__name__}


def policy_of(data: bytes, where: str) -> Policy:
    """Return a policy; raise AuditFinding."""
    try:
        return policies.parse(data)
    except MalformedText as error:
        raise AuditFinding(f"{where}: no policy: {error}") from None


def trusted_in(paths: Iterable[Path]) -> list[Policy]:
    """Return the policies in files that somebody named; raise UsageError: it is no finding."""
    try:
        return [policy_of(read_file(path, POLICY_BYTES_MAX), str(path)) for path in paths]
    except AuditFinding as error:
        raise UsageError(error.message) from None


def read_file(path: Path, bytes_max: int) -> bytes:
    """Return what a file holds; raise UsageError, or AuditFinding if it is too long."""
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise UsageError(f"can't read {path}: {error.strerror}") from None
    if len(data) > bytes_max:
        raise AuditFinding(f"{path}: expected at most {bytes_max} bytes")
    return data
