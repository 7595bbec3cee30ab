"""A witness that strangers wrote cosigns a live network's heads: litewitness, of torchwood."""

import base64
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ledger.encoding import merkle, note
from ledger.encoding.note import VerifierKey, parse_verifier_key
from ledger.encoding.policy import Policy
from localnet.network import free_ports
from tests.cluster.support import Cluster, running_cluster
from tests.cluster.test_public_log import eventually, policy_of, size_of, transfers
from tests.public import build

pytestmark = [pytest.mark.cluster, pytest.mark.ci]

VERSION = "v0.9.0"
MODULE = f"filippo.io/torchwood/cmd/litewitness@{VERSION}"
NAME = "witness.example/w"
HOST = "127.0.0.1"
ENDS_WITHIN_S = 10


def program() -> Path:
    """Return the witness, installed with Go if it is not yet."""
    path = build.cache() / f"torchwood-{VERSION}" / "litewitness"
    if not path.is_file():
        build.need("go", "the public witness litewitness")
        path.parent.mkdir(parents=True, exist_ok=True)
        build.made(["go", "install", MODULE], path.parent, GOBIN=str(path.parent))
    return path


@contextmanager
def running(command: list[str], output: Path, **environment: str) -> Iterator[None]:
    """Run a program beside the test."""
    with output.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, cwd=output.parent, env={**os.environ, **environment}
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(ENDS_WITHIN_S)


def key_in(output: Path) -> VerifierKey | None:
    """Return the key that the witness says it has, once it does."""
    words = output.read_text().split()
    found = [word.removeprefix("vkey=") for word in words if word.startswith("vkey=")]
    return parse_verifier_key(found[0]) if found else None


def introduce(trusted: Policy, store: Path) -> None:
    """Make a log and its keys known to a witness, as its ``witnessctl`` would.

    That one needs a module of another project, which not every module proxy gives.
    """
    origin = trusted.logs[0].key.name
    with closing(sqlite3.connect(store, timeout=ENDS_WITHIN_S)) as database, database:
        empty = base64.b64encode(merkle.root([])).decode()
        database.execute("INSERT INTO log VALUES (?, 0, ?)", (origin, empty))
        keys = [(origin, log.key.text()) for log in trusted.logs]
        database.executemany("INSERT INTO key VALUES (?, ?)", keys)


@contextmanager
def witness(folder: Path, trusted: Policy) -> Iterator[tuple[VerifierKey, str]]:
    """Run a witness that knows a log's keys; yield its key and its address."""
    for tool in ("ssh-agent", "ssh-add", "ssh-keygen"):
        build.need(tool, "the public witness litewitness")
    secret, agent, store = folder / "secret", str(folder / "agent"), folder / "witness.db"
    build.made(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(secret)], folder)
    shown = subprocess.check_output(["ssh-keygen", "-lf", f"{secret}.pub"], text=True)
    (port,) = free_ports(1)
    output = folder / "litewitness.out"
    with running(["ssh-agent", "-D", "-a", agent], folder / "agent.out"):
        eventually("an agent", Path(agent).exists)
        build.made(["ssh-add", "-q", str(secret)], folder, SSH_AUTH_SOCK=agent)
        command = [str(program()), "-db", str(store), "-key", shown.split()[1]]
        command += ["-name", NAME, "-listen", f"{HOST}:{port}", "-ssh-agent", agent]
        with running(command, output):
            eventually("its key", lambda: key_in(output) is not None)
            key = key_in(output)
            assert key is not None
            introduce(trusted, store)
            yield key, f"http://{HOST}:{port}"


def witnessed(cluster: Cluster, party: str, key: VerifierKey) -> bool:
    """Return whether the head that a node publishes has a witness's line, which must verify."""
    answer = cluster.http.get(cluster.url(party, "/log/checkpoint"))
    if answer.status_code != 200:
        return False
    try:
        return bool(note.verify(note.parse(answer.content), [key]))
    except note.NotSigned:
        return False


def pay_and_see(cluster: Cluster, party: str, key: VerifierKey, amount: int) -> None:
    """Make a larger head, and wait until a node publishes it with the witness's line."""
    trusted = policy_of(cluster)
    before = size_of(cluster, party, trusted)
    transfers(cluster, 2, amount=amount)
    eventually("a larger head", lambda: size_of(cluster, party, trusted) > before)
    eventually("the witness's line", lambda: witnessed(cluster, party, key))


def test_a_public_witness_cosigns_the_heads_of_who_admitted_it(tmp_path: Path) -> None:
    folder = tmp_path / "witness"
    folder.mkdir()
    with running_cluster(tmp_path) as cluster, witness(folder, policy_of(cluster)) as (key, url):
        trusted = policy_of(cluster)
        party, other = "guiyang", "shanghai"
        config = cluster.network.folder / party / "node.toml"
        admitted = f'\n[[witnesses]]\nkey = "{key.text()}"\nurl = "{url}"\n'
        config.write_text(config.read_text() + admitted)
        cluster.network.kill(party, signal.SIGHUP)
        for amount in (1, 20, 40):
            pay_and_see(cluster, party, key, amount)
        assert not witnessed(cluster, other, key), "it admitted nobody"
        size = size_of(cluster, party, trusted)
    shutil.rmtree(folder)
    assert size > 6
