"""``tally audit``: everything that needs to trust no operator."""

import click

from audit.commands.export import export
from audit.commands.receipt import policy, receipt
from audit.commands.replay import replay
from audit.commands.verify import verify


@click.group()
def group() -> None:
    """Export a ledger, recompute it from genesis, verify it with a second reader."""


for command in (export, policy, receipt, replay, verify):
    group.add_command(command)
