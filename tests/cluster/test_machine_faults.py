"""What machines do to a node: they suspend it, fill its disk, set its clock wrong.

Meanwhile clients spend the same vouchers at all nodes, and one ledger must explain what they heard.
"""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localnet.facts import DEMO_VALIDATORS, load_facts, member_plans
from localnet.network import LocalNetwork
from tests.cluster.support import PATIENCE_S, Cluster, checked, hear, running_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.ci]

SEED = 20260107
HEARD = 20
"""Answers of each kind that clients hear while a machine is bad."""
SUSPENDED_S = 10
DISK = "24m"
"""Room for the store of a small network, and soon full."""
CLOCKS_AHEAD_S = (5, pytest.param(-3_600, marks=pytest.mark.long))
"""Five seconds are beyond what a fresh proposal may be off; an hour is beyond all rounds."""

CLOCK_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, now);
    if (id == CLOCK_REALTIME) now->tv_sec += atoi(getenv("TEST_CLOCK_AHEAD_S"));
    return failed;
}
"""


def test_a_suspended_node_catches_up_and_votes_again(tmp_path: Path) -> None:
    with running_cluster(tmp_path, firms=4) as cluster:
        suspended, *others = cluster.parties
        with checked(cluster.network, seed=SEED) as crowd:
            cluster.network.kill(suspended, signal.SIGSTOP)
            until = time.monotonic() + SUSPENDED_S
            amount = 0
            while time.monotonic() < until:
                amount += 1
                cluster.final(cluster.transfer(0, 1, amount), party=others[amount % 3])
                time.sleep(0.1)
            hear(crowd, 1)
            assert cluster.head(suspended).height < cluster.head(others[0]).height
            cluster.network.kill(suspended, signal.SIGCONT)
            hear(crowd, HEARD)
        assert_votes(cluster, suspended)
        print(f"{amount} transfers became final while {suspended} was suspended")


def assert_votes(cluster: Cluster, party: str) -> None:
    """Take another node away, so that nothing can become final without this one."""
    other = next(one for one in cluster.parties if one != party)
    cluster.network.kill(other)
    cluster.final(cluster.transfer(3, 2, 1), party=party)
    cluster.network.start(other)
    cluster.wait_same_head()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Put what is in a folder on a small file system of its own, for a while."""
    content = folder.with_name("content")
    shutil.copytree(folder, content)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tallystick-test", folder],
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk: this machine mounts none for us ({mounted.stderr.strip()})")
    try:
        shutil.copytree(content, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(path: Path) -> None:
    """Write a file until there is no room left."""
    with path.open("wb", buffering=0) as ballast:
        for size in (1024 * 1024, 4096):
            try:
                while ballast.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def test_a_full_disk_stops_its_node_alone_and_with_room_it_comes_back(tmp_path: Path) -> None:
    network = LocalNetwork.create(
        tmp_path / "net",
        name="dev-test",
        plans=member_plans(load_facts()),
        validators=DEMO_VALIDATORS,
    )
    full, *others = network.places
    with small_disk(network.folder / full):
        try:
            network.up()
            cluster = Cluster(network)
            cluster.fund(4)
            with checked(network, seed=SEED) as crowd:
                hear(crowd, 1)
                ballast = network.folder / full / "ballast"
                fill(ballast)
                deadline = time.monotonic() + PATIENCE_S
                amount = 0
                while not (reason := why_it_stopped(cluster, full)):
                    assert time.monotonic() < deadline, "a node with a full disk goes on"
                    amount += 1
                    cluster.final(cluster.transfer(0, 1, amount), party=others[amount % 3])
                print(f"{full} stopped after {amount} transfers: {reason}")
                hear(crowd, HEARD)
                ballast.unlink()
                network.kill(full)
                network.start(full)
            assert_votes(cluster, full)
            head = cluster.wait_same_head()
            hashes = [cluster.record_hashes(party, head.height) for party in cluster.parties]
            assert all(one == hashes[0] for one in hashes)
            cluster.http.close()
        finally:
            network.down()


def why_it_stopped(cluster: Cluster, party: str) -> str:
    """Return what a node says of having stopped, or nothing while it votes."""
    if cluster.network.runs(party):
        answer = cluster.http.get(cluster.url(party, "/metrics"))
        stopped = "tallystick_stopped 1.0" in answer.text
        return "it votes no more" if stopped else ""
    last = cluster.network.tail(party, 1)
    assert "No space left" in last or "disk" in last or "room" in last, last
    return last


@pytest.fixture(scope="module")
def clock_shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a library that moves a process's wall clock, and leaves its monotonic clock alone."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("a wrong clock: this machine has no C compiler for the library that makes one")
    folder = tmp_path_factory.mktemp("clock")
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(CLOCK_SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.parametrize("ahead_s", CLOCKS_AHEAD_S)
def test_a_node_with_a_wrong_clock_stops_nobody_and_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock_shim: Path, ahead_s: int
) -> None:
    with running_cluster(tmp_path, firms=4) as cluster:
        wrong, *others = cluster.parties
        cluster.network.kill(wrong)
        monkeypatch.setenv("LD_PRELOAD", str(clock_shim))
        monkeypatch.setenv("TEST_CLOCK_AHEAD_S", str(ahead_s))
        cluster.network.start(wrong)
        monkeypatch.delenv("LD_PRELOAD")
        started = f"/proc/{cluster.network.places[wrong].node_pid}/maps"
        assert str(clock_shim) in Path(started).read_text(), "its clock is right"
        with checked(cluster.network, seed=SEED) as crowd:
            for amount in range(1, 9):
                cluster.final(cluster.transfer(0, 1, amount), party=others[amount % 3])
            hear(crowd, HEARD)
        head = cluster.wait_same_head()
        assert abs(head.time_ms - time.time_ns() // 1_000_000) < PATIENCE_S * 1_000, (
            "the wrong clock set the time of blocks"
        )
        hashes = [cluster.record_hashes(party, head.height) for party in cluster.parties]
        assert all(one == hashes[0] for one in hashes)
        # Set right, it is one of those that a quorum needs.
        cluster.network.kill(wrong)
        cluster.network.start(wrong)
        assert_votes(cluster, wrong)
