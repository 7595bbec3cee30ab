"""``tally bench``: measure this machine."""

import click

from localnet.bench import run_bench
from tally.output import Mode, current_mode, emit


@click.group()
def group() -> None:
    """Measure this machine."""


@group.command()
@click.option("--seconds", type=click.IntRange(1, 600), default=15, show_default=True)
@click.option("--in-flight", type=click.IntRange(1, 2_000), default=512, show_default=True)
def run(seconds: int, in_flight: int) -> None:
    """Load four validators on this machine and print what they do."""
    report = run_bench(seconds=seconds, in_flight=in_flight)
    if current_mode() is Mode.TABLE:
        for line in report.lines():
            click.echo(line)
        return
    emit({name: getattr(report, name) for name in report.__slots__})
