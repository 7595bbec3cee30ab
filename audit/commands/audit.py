"""``tally audit``: everything that needs to trust no operator."""

import click

from audit.commands.compare import compare
from audit.commands.export import export
from audit.commands.receipt import policy, receipt
from audit.commands.replay import replay
from audit.commands.tags import tags
from audit.commands.verify import verify
from audit.commands.watch import misbehaviour, watch


@click.group()
def group() -> None:
    """Export a ledger, recompute it from genesis, verify it, watch whether it forks."""


for command in (compare, export, misbehaviour, policy, receipt, replay, tags, verify, watch):
    group.add_command(command)
