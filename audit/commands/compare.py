"""``tally audit compare``: two copies of a ledger, from wherever they are."""

from contextlib import ExitStack, closing
from pathlib import Path

import click

from audit.commands.options import opened, reading
from audit.commands.receipt import content_of
from audit.compare import Comparison, entry_at
from audit.compare import compare as run_compare
from audit.sources import TileDump
from ledger.genesis import log_id_of
from tally.exits import AuditFinding, UsageError
from tally.output import emit


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--entries", is_flag=True, help="Read every entry, and believe no tiles.")
def compare(a: str, b: str, entries: bool) -> None:
    """Say where A and B part: each an API's address, an export, a dump of tiles, a node's store."""
    if "://" not in a and Path(a).resolve() == Path(b).resolve():
        raise UsageError(f"{a} and {b} are the same place")
    with ExitStack() as stack:
        first = stack.enter_context(closing(opened(a)))
        second = stack.enter_context(closing(opened(b)))
        sources = first, second
        with reading():
            ids = [log_id_of(source.genesis()).hex() for source in sources]
        if ids[0] != ids[1]:
            raise AuditFinding(
                f"two ledgers: {a} is {ids[0]}, {b} is {ids[1]}",
                details={"a_log_id": ids[0], "b_log_id": ids[1]},
            )
        for where, source in zip((a, b), sources, strict=True):
            if isinstance(source, TileDump) and not entries:
                with reading(where):
                    source.check_tree()
        with reading():
            compared = run_compare(*sources, by_entries=entries)
            facts = _facts(compared) | {"log_id": ids[0]}
            if compared.differ:
                told = [entry_at(source, compared.common) for source in sources]
        if not compared.differ:
            emit({"verdict": _verdict(a, b, compared), **facts})
            return
        if told[0] == told[1]:
            raise AuditFinding(
                f"the tiles of {a} and {b} differ at entry {compared.common}, their entries do "
                "not: one serves tiles that are not its log's",
                details=facts,
            )
        shown = [{"height": height, **content_of(data)} for data, height in told]
        raise AuditFinding(
            f"they differ from entry {compared.common} on: {a} has {_said(shown[0])}, "
            f"{b} has {_said(shown[1])}",
            details={**facts, "sequence": compared.common, "a": shown[0], "b": shown[1]},
        )


def _said(entry: dict[str, object]) -> str:
    """Return an entry in a few words."""
    text = str(entry["entry"])
    if isinstance(transaction := entry.get("transaction"), bytes):
        text += f" {transaction.hex()}"
    return f"{text} at height {entry['height']}" if entry["height"] is not None else text


def _verdict(a: str, b: str, compared: Comparison) -> str:
    size_a, size_b = compared.sizes
    if size_a == size_b:
        return "the same"
    short, long = (a, b) if size_a < size_b else (b, a)
    return f"{short} is the beginning of {long}, which has {abs(size_a - size_b)} entries more"


def _facts(compared: Comparison) -> dict[str, object]:
    return {
        "a_size": compared.sizes[0],
        "b_size": compared.sizes[1],
        "common_size": compared.common,
        "common_root": compared.root,
        "compared": compared.compared,
    }
