"""``tally network``: networks of real processes on this machine."""

import os
import signal
import time

import click

from localnet.facts import DEMO_VALIDATORS, load_facts, member_plans, validators_for
from localnet.network import LocalNetwork, NetworkProblem, check_name, state_folder
from tally.exits import Exit, NotFound, TallyError, UsageError
from tally.output import emit, say
from wallet.profile import NodeAddress, Profile, default_name, save_profile

DEFAULT_NAME = "dev-local"
DEMO_NAME = "dev-demo"
VALIDATORS_MAX = 27

NAME = click.option("--name", default=None, help="Which network (default: the one that runs).")


@click.group()
def group() -> None:
    """Start, stop and watch a local network."""


@group.command()
@click.option("--name", default=None, help=f"Which network (default {DEFAULT_NAME}).")
@click.option("--validators", type=click.IntRange(1, VALIDATORS_MAX), default=None)
@click.option("--engine", type=click.Choice(["builtin"]), default="builtin", show_default=True)
@click.option("--demo", is_flag=True, help="Run a real voucher flow on the published programmes.")
@click.option("--fresh", is_flag=True, help="Start from genesis.")
@click.option("--once", is_flag=True, help="Stop after the demo; the exit status says how it went.")
@click.option("--detach", is_flag=True, help="Return when the network is up.")
def up(
    *,
    name: str | None,
    validators: int | None,
    engine: str,
    demo: bool,
    fresh: bool,
    once: bool,
    detach: bool,
) -> None:
    """Start a network and stay until Ctrl-C; a stopped one goes on where it was."""
    started_s = _command_start()
    if once and detach:
        raise UsageError("--once stops the network, --detach leaves it: say one of them")
    if demo and validators is not None and validators < len(DEMO_VALIDATORS):
        raise UsageError(f"the demo needs at least {len(DEMO_VALIDATORS)} validators")
    try:
        network = _take(name or (DEMO_NAME if demo else DEFAULT_NAME), validators, fresh=fresh)
    except NetworkProblem as problem:
        raise UsageError(str(problem)) from None
    if network.is_up():
        raise UsageError(
            f"{network.name} runs already; `tally network down --name {network.name}` stops it"
        )
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)  # so that a closed terminal leaves no process either
    stays = False
    try:
        parties = ", ".join(network.places)
        say(f"starting {network.name} with {len(network.places)} validators: {parties}")
        network.up()
        _show(network)
        if demo:
            from localnet.demo import run_demo  # slow to import, and only needed here

            run_demo(network, started_s=started_s)
        if detach:
            stays = True
            say(f"{network.name} stays up; `tally network down --name {network.name}` stops it")
        elif not once:
            _stay(network)
    except NetworkProblem as problem:
        raise TallyError(str(problem), Exit.INTERNAL) from None
    finally:
        if not stays:
            say(f"stopping {network.name}")
            network.down()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _command_start() -> float:
    """Return the monotonic second at which the user pressed enter, as the script noted it."""
    noted = os.environ.get("TALLY_STARTED_AT", "")
    try:
        ago_s = max(0, time.time() - float(noted))
    except ValueError:
        ago_s = 0
    return time.monotonic() - ago_s


def _take(name: str, validators: int | None, *, fresh: bool) -> LocalNetwork:
    """Return the network to run: an existing one, or a new one."""
    check_name(name)
    folder = state_folder() / name
    if fresh:
        number = 1
        while folder.exists():
            try:
                old = LocalNetwork(folder)
            except NetworkProblem:
                raise UsageError(f"{folder} is no network; move it away") from None
            if not old.is_up():
                old.remove()
                break
            number += 1
            folder = state_folder() / f"{name}-{number}"
        if folder.name != name:
            say(f"{name} runs; the fresh one is {folder.name}")
    elif folder.exists():
        network = LocalNetwork(folder)
        if validators is not None and validators != len(network.places):
            raise UsageError(
                f"{name} has {len(network.places)} validators; --fresh makes a new one"
            )
        return network
    facts = load_facts()
    return LocalNetwork.create(
        folder,
        name=folder.name,
        plans=member_plans(facts),
        validators=validators_for(validators or 4, facts),
    )


def _profile(network: LocalNetwork) -> Profile:
    return Profile(
        name=network.name,
        network=network.name,
        log_id=network.log_id.hex(),
        nodes=tuple(
            NodeAddress(name=place.party, url=place.url) for place in network.places.values()
        ),
        dev_seed=str(network.folder / "dev-seed"),
    )


def _show(network: LocalNetwork) -> None:
    say(take_profile(_profile(network)))
    for place in network.places.values():
        say(f"  {place.party:<16} {place.url}  (console, API)")


def take_profile(profile: Profile) -> str:
    """Make a profile the wallet's default; return the sentence that says so and the way back."""
    before = default_name()
    save_profile(profile, make_default=True)
    told = f"the wallet's profile {profile.name} names its nodes, and is the default now"
    if before in (None, profile.name):
        return told
    return f"{told}; `tally profile use {before}` brings back {before}"


def _stay(network: LocalNetwork) -> None:
    """Wait for Ctrl-C, or for somebody else to take the network down."""
    say(f"{network.name} stays up; Ctrl-C ends it")
    while network.is_up():
        time.sleep(0.3)
    say(f"{network.name} was taken down")


def _named(name: str | None) -> LocalNetwork:
    """Return a network by name, or the only one that runs."""
    try:
        if name is not None:
            check_name(name)
            return LocalNetwork(state_folder() / name)
        running = [
            path.parent.name
            for path in sorted(state_folder().glob("*/network.json"))
            if LocalNetwork(path.parent).is_up()
        ]
        if len(running) > 1:
            raise UsageError(f"several networks run: name one of {', '.join(running)} with --name")
        return LocalNetwork(state_folder() / (running[0] if running else DEFAULT_NAME))
    except NetworkProblem as problem:
        raise NotFound(str(problem)) from None


@group.command()
@NAME
def down(name: str | None) -> None:
    """Stop a network; its ledger stays."""
    network = _named(name)
    network.down()
    emit({"network": network.name, "stopped": True})


@group.command()
@click.option("--name", default=None, help="Which network (default: all).")
def status(name: str | None) -> None:
    """Show networks and their processes."""
    folder = state_folder()
    names = [name] if name else sorted(path.parent.name for path in folder.glob("*/network.json"))
    rows = []
    for network_name in names:
        network = _named(network_name)
        for place in network.places.values():
            is_up = network.runs(place.party)
            rows.append(
                {"network": network_name, "party": place.party, "up": is_up, "url": place.url}
            )
    emit(rows, ["network", "party", "up", "url"])


@group.command()
@NAME
@click.argument("party")
@click.option("--lines", default=40, show_default=True)
def logs(name: str | None, party: str, lines: int) -> None:
    """Show the last output of a validator's processes."""
    network = _named(name)
    if party not in network.places:
        raise NotFound(f"{party} does not validate in {network.name}")
    for line in network.tail(party, lines).splitlines():
        click.echo(line)


@group.command()
@NAME
def reset(name: str | None) -> None:
    """Stop a network and delete its ledger and keys."""
    network = _named(name)
    network.remove()
    emit({"network": network.name, "removed": True})


@group.group()
def chaos() -> None:
    """Hurt a validator on purpose."""


def _signal(name: str | None, party: str, number: int) -> None:
    network = _named(name)
    if party not in network.places:
        raise NotFound(f"{party} does not validate in {network.name}")
    if not network.runs(party):
        raise NotFound(f"{party}'s node does not run")
    network.kill(party, number)
    emit({"network": network.name, "party": party, "signal": signal.Signals(number).name})


@chaos.command()
@NAME
@click.argument("party")
def kill(name: str | None, party: str) -> None:
    """Kill a validator's node process with SIGKILL."""
    _signal(name, party, signal.SIGKILL)


@chaos.command()
@NAME
@click.argument("party")
def pause(name: str | None, party: str) -> None:
    """Stop a validator's node process with SIGSTOP."""
    _signal(name, party, signal.SIGSTOP)


@chaos.command()
@NAME
@click.argument("party")
def heal(name: str | None, party: str) -> None:
    """Let a paused validator go on, or start a killed one."""
    network = _named(name)
    if party not in network.places:
        raise NotFound(f"{party} does not validate in {network.name}")
    network.kill(party, signal.SIGCONT)
    try:
        network.start(party)
    except NetworkProblem as problem:
        raise TallyError(str(problem), Exit.INTERNAL) from None
    emit({"network": network.name, "party": party, "up": True})
