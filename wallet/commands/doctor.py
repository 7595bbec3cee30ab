"""``tally doctor``: what could keep this wallet from working."""

import sys
from importlib import metadata

import click

from desk.documents import Json
from desk.following import QUORUM_AGE_MAX_MS
from tally.exits import Exit, TallyError
from tally.output import emit
from wallet import signing
from wallet.client import NodeClient
from wallet.commands.typed import PROFILE
from wallet.profile import NodeAddress, Profile, keys_folder, load_profile

PYTHON_MIN = (3, 11)
LIBRARIES = ("click", "cryptography", "httpx2", "msgspec", "mnemonic", "pynacl")
CLOCK_AHEAD_MAX_MS = 2_000
"""Block time may not be ahead of this machine's clock by more."""
CLOCK_BEHIND_MAX_MS = 120_000
"""Two heartbeats: an idle ledger's block time may lie that far back."""


@click.command()
@PROFILE
@click.pass_context
def command(ctx: click.Context, profile_name: str | None) -> None:
    """Check Python, libraries, profile, keys, nodes and clock; exit 7 if no node is good."""
    checks = [_python(), _libraries()]
    nodes: list[Json] = []
    is_served = True
    try:
        profile = load_profile(profile_name)
    except TallyError as error:
        checks.append(_check("profile", False, error.message))
    else:
        checks.append(_check("profile", True, f"{profile.name}: network {profile.network}"))
        checks.append(_keys(profile))
        nodes = [_node(profile, node) for node in profile.nodes]
        is_served = any(node["ok"] for node in nodes)
        checks += [_clock(node) for node in nodes if node["ok"]]
    emit([*checks, *nodes], ("check", "ok", "detail"))
    if not is_served:
        ctx.exit(Exit.UNREACHABLE)
    if not all(check["ok"] for check in checks):
        ctx.exit(Exit.INTERNAL)


def _check(name: str, ok: bool, detail: str) -> Json:
    return {"check": name, "ok": ok, "detail": detail}


def _python() -> Json:
    return _check("python", sys.version_info >= PYTHON_MIN, sys.version.partition(" ")[0])


def _libraries() -> Json:
    missing = []
    versions = []
    for name in LIBRARIES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    detail = f"missing: {', '.join(missing)}" if missing else ", ".join(versions)
    return _check("libraries", not missing, detail)


def _keys(profile: Profile) -> Json:
    folder = keys_folder(profile.network)
    count = len(list(folder.glob("**/*.json")))
    try:
        derived = profile.master() is not None
    except TallyError as error:
        return _check("keys", False, error.message)
    more = "; all keys of this network can be derived" if derived else ""
    return _check("keys", True, f"{count} in {folder}{more}")


def _node(profile: Profile, address: NodeAddress) -> Json:
    client = NodeClient(address.url, log_id=profile.log_id_bytes)
    name = f"node {address.name}"
    try:
        status = client.status()
    except TallyError as error:
        return _check(name, False, error.message)
    finally:
        client.close()
    age_ms = status["quorum_age_ms"]
    if status["stopped"]:
        return _check(name, False, f"no longer votes: {status['stopped']}")
    if age_ms >= QUORUM_AGE_MAX_MS:
        return _check(name, False, f"has seen no quorum for {age_ms // 1000} s")
    detail = f"{address.url}, height {status['height']}"
    return {**_check(name, True, detail), "block_time_ms": status["time_ms"]}


def _clock(node: Json) -> Json:
    name = f"clock against {node['check']}"
    ahead_ms = node["block_time_ms"] - signing.now_ms()
    if ahead_ms > CLOCK_AHEAD_MAX_MS:
        return _check(name, False, f"block time is {ahead_ms // 1000} s ahead of this machine")
    behind_s = max(0, -ahead_ms) // 1000
    if ahead_ms < -CLOCK_BEHIND_MAX_MS:
        text = f"block time is {behind_s} s behind: nothing is final, or this clock is wrong"
        return _check(name, False, text)
    return _check(name, True, f"block time is {behind_s} s behind")
