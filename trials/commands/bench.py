"""``tally bench``: measure this machine."""

import click
import msgspec

from tally.exits import UsageError
from tally.output import Mode, current_mode, emit
from trials.bench.proofs import run_proofs_bench
from trials.bench.replay import run_replay_bench
from trials.bench.transfers import run_bench


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


@group.command()
@click.option(
    "--transfers", type=click.IntRange(1_000, 10_000_000), default=200_000, show_default=True
)
def replay(transfers: int) -> None:
    """Make a log of transfers, and print what each level of an audit costs."""
    bench = run_replay_bench(transfers)
    if current_mode() is Mode.TABLE:
        for line in bench.lines():
            click.echo(line)
        return
    emit(
        {
            "cores": bench.cores,
            "raw_per_second": bench.raw_per_second,
            "levels": {
                name: {
                    "share_percent": bench.share_percent(timing),
                    "ns_per_transaction": timing.ns_per_transaction,
                    "serial_cpu_ms": timing.report.cost.serial_cpu_ms,
                    "signatures_cpu_ms": timing.report.cost.signatures_cpu_ms,
                    "roots_cpu_ms": timing.report.cost.roots_cpu_ms,
                }
                for name, timing in bench.levels.items()
            },
            "memory_kib": {name: timing.memory_kib for name, timing in bench.parts.items()},
        }
    )


@group.command()
@click.option("--vouchers", type=click.IntRange(1, 1_000_000), default=100_000, show_default=True)
@click.option("--samples", type=click.IntRange(10, 100_000), default=2_000, show_default=True)
def proofs(vouchers: int, samples: int) -> None:
    """Make a ledger of vouchers, and print how large its state proofs are and what they cost."""
    if samples > vouchers:
        raise UsageError(f"expected at most as many samples as vouchers, got {samples}")
    bench = run_proofs_bench(vouchers=vouchers, samples=samples)
    if current_mode() is Mode.TABLE:
        for line in bench.lines():
            click.echo(line)
        return
    emit(msgspec.to_builtins(bench))
