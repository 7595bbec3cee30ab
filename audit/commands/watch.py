"""``tally audit watch`` and ``misbehaviour``: whether a log tells everybody the same; evidence."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click

from audit.commands.options import policies_option
from audit.commands.receipt import read_file, trusted_in
from audit.findings import Webhook
from audit.watch import (
    HARMLESS,
    NODES_MAX,
    Code,
    Event,
    Watch,
    described,
    document_of,
)
from audit.web import Web
from ledger.encoding import misbehaviour as evidence
from ledger.encoding.crypto import sha256
from ledger.encoding.misbehaviour import EVIDENCE_BYTES_MAX, NotAccepted, NothingProven
from ledger.encoding.plain import Plain
from ledger.encoding.policy import Policy
from ledger.encoding.text import MalformedText
from node.fetch import AddressInvalid, client_of
from node.lock import FolderInUse, held
from tally.exits import (
    AuditFinding,
    Incomplete,
    TallyError,
    Unreachable,
    Unverifiable,
    UsageError,
)
from tally.output import Mode, current_mode, emit, emit_each, say
from wallet.profile import config_folder, load_profile
from words import dates

COLUMNS = ("time", "event", "node", "sentence", "file")
WEBHOOK_BYTES_MAX = 4 * 1024
WEBHOOK_TRIES = 3
"""How often ``--once`` calls a webhook that does not answer."""


@click.command()
@click.argument("nodes", nargs=-1)
@policies_option
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that keeps the last heads, followed policies and findings.",
)
@click.option(
    "--every", type=click.IntRange(1, 86_400), default=10, show_default=True, help="Seconds."
)
@click.option(
    "--webhook-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A file with the address to POST findings to: in arguments others would see it.",
)
@click.option("--once", is_flag=True, help="One round, with an exit code that tells.")
def watch(
    nodes: tuple[str, ...],
    policy_files: tuple[Path, ...],
    state: Path | None,
    every: int,
    webhook_file: Path | None,
    once: bool,
) -> None:
    """Compare the heads of NODES with each other and with those seen before, for ever.

    Without NODES it watches those of the profile. A fork or a rollback is proven in a file.
    """
    if current_mode() is Mode.JSON and not once:
        raise UsageError("an endless stream is no document: use -o ndjson, or --once")
    trusted = trusted_in(policy_files)
    origin = _origin(trusted)
    urls = _addresses(nodes or tuple(node.url for node in load_profile(None).nodes))
    folder = state or config_folder() / "watch" / sha256(origin.encode()).hex()[:16]
    address = None if webhook_file is None else _address_in(webhook_file)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(held(folder / "lock"))
            web = Web()
            stack.callback(web.close)
            watching = Watch(urls, trusted, folder, web)
            webhook = None if address is None else Webhook(address, web, watching.findings)
            if once:
                _once(watching, webhook, origin)
            else:
                emit_each(_for_ever(watching, webhook, every), COLUMNS)
    except FolderInUse as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        if error.filename is None:
            raise  # perhaps it is stdout's
        raise TallyError(f"can't keep what was seen in {folder}: {error.strerror}") from None


def _once(watching: Watch, webhook: Webhook | None, origin: str) -> None:
    """Do one round; return if all is well, else raise the error that says what is not."""
    statuses, findings = watching.round()
    undelivered = None if webhook is None else _delivered(webhook)
    facts: dict[str, Plain] = {
        "origin": origin,
        "branches": [{"size": branch.size, "root": branch.root} for branch in watching.branches()],
        "nodes": [document_of(status) for status in statuses],
        "findings": [document_of(finding) for finding in findings],
        "webhook": undelivered,
    }
    problems = findings + [status for status in statuses if status.code not in HARMLESS]
    worst = [problem for problem in problems if problem.code not in (Code.OLD, Code.UNCOMPARED)]
    if worst:
        sentences = dict.fromkeys(f"{problem.node}: {problem.sentence}" for problem in worst)
        raise AuditFinding("; ".join(sentences), details=facts)
    if all(status.code is Code.UNREACHABLE for status in statuses):
        reasons = "; ".join(f"{status.node}: {status.sentence}" for status in statuses)
        raise Unreachable(f"no node answers with a head: {reasons}", details=facts)
    if problems:
        sentences = dict.fromkeys(f"{problem.node}: {problem.sentence}" for problem in problems)
        is_old = any(problem.code is Code.OLD for problem in problems)
        raise (Unreachable if is_old else Incomplete)("; ".join(sentences), details=facts)
    answered = sum(status.code is not Code.UNREACHABLE for status in statuses)
    verdict = f"one log: {answered} of {len(statuses)} nodes answer, and no head contradicts"
    emit({"verdict": verdict, **facts})


def _delivered(webhook: Webhook) -> str | None:
    """Return what is wrong if a webhook has not taken all findings after a few tries."""
    failures, trouble = 0, None
    while not webhook.has_all():
        trouble = webhook.deliver(int(time.time()))
        failures += trouble is not None
        if failures == WEBHOOK_TRIES:
            return trouble
        time.sleep(max(0, webhook.due_s - int(time.time())))
    return None


def _for_ever(watching: Watch, webhook: Webhook | None, every: int) -> Iterator[dict[str, Plain]]:
    """Yield what changes about the nodes, and what is found."""
    known = len(watching.findings.names())
    if known:
        say(f"{known} findings from before stand in the state folder")
    codes: dict[str, Code] = {}
    said: str | None = None
    """What was said last about the webhook: it is not repeated."""
    while True:
        began = time.monotonic()
        statuses, findings = watching.round()
        for event in findings:
            yield _row(event)
        for event in statuses:
            if codes.get(event.node) is not event.code:
                codes[event.node] = event.code
                yield _row(event)
        # The webhook is called while the round's pause lasts: a long pause must not delay it.
        while True:
            if webhook is not None and not webhook.has_all():
                trouble = webhook.deliver(int(time.time()))
                if trouble and trouble != said:
                    say(trouble)
                said = trouble or said
            left = every - (time.monotonic() - began)
            if left <= 0:
                break
            time.sleep(min(left, 1) if webhook is not None and not webhook.has_all() else left)


def _row(event: Event) -> dict[str, Plain]:
    """Return the line of an event; the evidence stands in its file."""
    document = document_of(event)
    document.pop("evidence", None)
    return {"time": dates.stamp(int(time.time())), **document}


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@policies_option
def misbehaviour(file: Path, policy_files: tuple[Path, ...]) -> None:
    """Verify evidence of misbehaviour with nothing but the file and policies; say whose it is."""
    trusted = trusted_in(policy_files)
    try:
        proven = evidence.verify(evidence.parse(read_file(file, EVIDENCE_BYTES_MAX)), trusted)
    except MalformedText as error:
        raise AuditFinding(f"{file} is no evidence of misbehaviour: {error}") from None
    except (NotAccepted, NothingProven) as error:
        raise Unverifiable(f"{file} proves nothing: {error}") from None
    emit(
        {
            "verdict": f"proven: a {proven.misbehaviour} of the log {proven.first.origin}",
            "misbehaviour": str(proven.misbehaviour),
            "origin": proven.first.origin,
            "smaller_size": proven.first.size,
            "smaller_root": proven.first.root,
            "larger_size": proven.second.size,
            "larger_root": proven.second.root,
            "cosigned_both": [
                signer.name for signer in proven.signers if signer.first_s is not None
            ],
            "signers": [described(signer) for signer in proven.signers],
        }
    )


def _origin(trusted: list[Policy]) -> str:
    """Return the one log that some policies are about; raise UsageError."""
    origins = sorted({log.key.name for policy in trusted for log in policy.logs})
    if len(origins) != 1:
        named = ", ".join(origins) or "none"
        raise UsageError(f"--policy: expected policies of one log, got {named}")
    return origins[0]


def _addresses(urls: tuple[str, ...]) -> list[str]:
    """Return addresses of nodes, each once; raise UsageError."""
    addresses = list(dict.fromkeys(url.rstrip("/") for url in urls))
    if len(addresses) > NODES_MAX:
        raise UsageError(f"expected at most {NODES_MAX} nodes, got {len(addresses)}")
    for url in addresses:
        _require(url, "a node's address")
    return addresses


def _address_in(path: Path) -> str:
    """Return the webhook's address, which is never shown; raise UsageError."""
    try:
        address = read_file(path, WEBHOOK_BYTES_MAX).decode("ascii").strip()
    except UnicodeDecodeError:
        raise UsageError(f"{path}: expected an address in ASCII") from None
    if not address.startswith(("http://", "https://")) or not address.isprintable():
        raise UsageError(f"{path}: expected one address, http:// or https://")
    return address


def _require(url: str, role: str) -> None:
    try:
        client_of(url).close()
    except AddressInvalid as error:
        raise UsageError(f"{role}: {error}") from None
