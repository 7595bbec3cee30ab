"""The `tally` command: a table of groups, each imported only when it is used.

A reader that leaves early (`tally … | head`) ends a command quietly with exit code 1. A stdout
that is closed or full ends it with exit code 1 and one line on stderr; what a command has sent by
then stands.
"""

import io
import os
import platform
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import NoReturn

import click
from click.shell_completion import get_completion_class

from tally import __version__
from tally.exits import Exit, TallyError, UsageError
from tally.output import emit, emit_error, language_option, mode_asked, output_option, say


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a group lives, and its line in `tally --help` (which imports none of them)."""

    target: str
    """`module:attribute` of a click command or group."""
    summary: str


GROUPS = {
    "network": Entry("localnet.commands.network:group", "Start, stop and watch a local network."),
    "node": Entry("node.commands.node:group", "Set up and run one node."),
    "wallet": Entry("wallet.commands.wallet:group", "Make, recover and list keys."),
    "party": Entry("wallet.commands.party:group", "Enrol parties, attest, change keys."),
    "programme": Entry("wallet.commands.programme:group", "Publish and fund programmes."),
    "centre": Entry("wallet.commands.centre:group", "Accredit and recognise data centres."),
    "voucher": Entry("wallet.commands.voucher:group", "Mint, reserve and redeem vouchers."),
    "claim": Entry("wallet.commands.claim:group", "Decide, dispute and credit claims."),
    "settlement": Entry("wallet.commands.settlement:group", "Who owes whom, and what was paid."),
    "hold": Entry("wallet.commands.hold:group", "Freeze what a case is about."),
    "record": Entry("wallet.commands.record:group", "Commit to what lies outside."),
    "governance": Entry("wallet.commands.governance:group", "Propose, vote, see the members."),
    "tx": Entry("wallet.commands.tx:group", "Build, sign, send and follow transactions."),
    "audit": Entry("audit.commands.audit:group", "Export, replay and verify a ledger."),
    "event": Entry("wallet.commands.event:group", "Watch the ledger as it grows."),
    "profile": Entry("wallet.commands.profile:group", "Networks that this wallet knows."),
    "doctor": Entry("wallet.commands.doctor:command", "Check what a node needs from this machine."),
}

if find_spec("trials") is not None:  # a wheel need not bring what makes the product fail
    GROUPS["bench"] = Entry("trials.commands.bench:group", "Measure this machine.")
    GUESTS = {"network": ("trials.commands.simulate:simulate", "trials.commands.kills:kills")}
else:
    GUESTS = {}


class LazyRoot(click.Group):
    """A group whose members are imported by name, so that start-up stays short."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all groups, built-in commands last."""
        return [*GROUPS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the group that `cmd_name` stands for, and give its commands `-o`."""
        entry = GROUPS.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        command = _load(entry.target)
        for target in GUESTS.get(cmd_name, ()):
            assert isinstance(command, click.Group), entry.target
            command.add_command(_load(target))
        _give_output_option(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help table from the summaries above, without an import."""
        own = {name: command.get_short_help_str(80) for name, command in self.commands.items()}
        with formatter.section("Commands"):
            formatter.write_dl(
                [*((name, entry.summary) for name, entry in GROUPS.items()), *own.items()]
            )


def _load(target: str) -> click.Command:
    module, _, attribute = target.partition(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command), target
    return command


def _give_output_option(command: click.Command) -> None:
    """Give every verb `-o` once, so that no command can forget it."""
    if isinstance(command, click.Group):
        for child in command.commands.values():
            _give_output_option(child)
    elif not any("-o" in param.opts for param in command.params):
        command.params.append(output_option())


@click.group(cls=LazyRoot, context_settings={"help_option_names": ["-h", "--help"]})
def root() -> None:
    """Tallystick: a ledger for computing vouchers.

    Results go to stdout, everything else to stderr. Money is typed and shown in yuan; JSON and
    CSV carry integer fen.
    """


@root.command()
def version() -> None:
    """Say which Tallystick and which Python this is."""
    emit({"tallystick": __version__, "python": platform.python_version()})


@root.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script, to be sourced by the shell."""
    complete = get_completion_class(shell)
    assert complete is not None, shell
    click.echo(complete(root, {}, "tally", "_TALLY_COMPLETE").source())


_give_output_option(version)
root.params.append(output_option())
root.params.append(language_option())


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every failure is reported here."""
    if sys.stdout is None:  # closed before we began: better to do nothing than to do it unseen
        say("tally: stdout is closed; nothing was done")
        return Exit.INTERNAL
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An encoding that lacks a letter shows its number, as stderr does: no result is lost.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone
        _give_up_stdout()
        return Exit.INTERNAL
    except OSError as error:
        _give_up_stdout()
        say(f"tally: can't write to stdout: {error.strerror}; what was done before stands")
        return Exit.INTERNAL
    return code


def _give_up_stdout() -> None:
    """Keep the interpreter's last flush from failing once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_stdouts(error: OSError) -> bool:
    """Return whether an error is stdout's: found out by a line more, since it doesn't say."""
    if error.filename is not None:
        return False
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return True
    return False


def _run(arguments: Sequence[str]) -> int:
    """Run one command line; an OSError that leaves here is stdout's."""
    try:
        returned = root.main(list(arguments), prog_name="tally", standalone_mode=False)
        return returned if isinstance(returned, int) else Exit.OK
    except TallyError as error:
        failure: TallyError = error
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.USAGE
    except click.ClickException as error:
        hint = ""
        if isinstance(error, click.UsageError) and error.ctx is not None:
            hint = f" (try: {error.ctx.command_path} --help)"
        failure = UsageError(error.format_message() + hint)
    except click.Abort as error:
        # click turns both Ctrl-C and the end of input into this, and keeps which it was.
        if not isinstance(error.__cause__ or error.__context__, EOFError):
            return Exit.INTERRUPTED
        failure = UsageError("there was a question to ask and nobody to answer it")
    except BrokenPipeError:
        raise
    except Exception as error:  # the one place where a fault of ours becomes an exit code
        if isinstance(error, OSError) and _is_stdouts(error):
            raise
        traceback.print_exc()
        failure = TallyError(f"internal error: {type(error).__name__}: {error}")
    emit_error(failure, mode_asked(arguments))
    return failure.code


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line of this process and leave with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
