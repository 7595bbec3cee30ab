"""Four real validators behind proxies: lines that are slow, silent, one-way, or cut in two.

Meanwhile clients spend the same vouchers at all nodes, and one ledger must explain what they heard.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localnet.facts import DEMO_VALIDATORS, load_facts, member_plans
from localnet.network import LocalNetwork
from tests.cluster.support import PATIENCE_S, Cluster, checked, hear
from trials.chaos.proxy import Proxies

pytestmark = [pytest.mark.cluster, pytest.mark.ci]

SEED = 20260105
CUTS = 40
CUT_BYTES_MAX = 6_000
"""Votes, proposals and batches are shorter and longer than this: cuts fall into all of them."""
HEARD = 20
"""Answers of each kind that clients hear while a line is bad."""
WORKED_OFF_S = 1
"""What had crossed the line before it fell silent may still decide a block."""
STILL_S = 3
SLOW_MS = 300
"""Who lost the last messages of a block hears of it at the latest with the next one."""


@contextmanager
def behind_proxies(folder: Path) -> Iterator[tuple[Cluster, Proxies]]:
    """Yield a funded network whose every link crosses a proxy."""
    network = LocalNetwork.create(
        folder / "net",
        name="dev-test",
        plans=member_plans(load_facts()),
        validators=DEMO_VALIDATORS,
    )
    with Proxies(network) as proxies:
        try:
            network.up()
            cluster = Cluster(network)
            cluster.fund(4)
            assert proxies.bytes_moved > 0, "the nodes talk past the proxies"
            yield cluster, proxies
            cluster.http.close()
        finally:
            network.down()


def await_final(cluster: Cluster, party: str, transaction_id: str) -> None:
    """Return once a validator says that a transaction is final."""
    deadline = time.monotonic() + PATIENCE_S
    while cluster.get(party, f"/v1/transactions/{transaction_id}")["status"] != "final":
        assert time.monotonic() < deadline, f"{transaction_id} is not final on {party}"
        time.sleep(0.05)


def test_two_halves_stand_still_and_the_whole_goes_on(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    with (
        behind_proxies(tmp_path) as (cluster, proxies),
        checked(cluster.network, seed=SEED) as crowd,
    ):
        one_half, other_half = cluster.parties[:2], cluster.parties[2:]
        for silence in ("held back", "and again"):
            hear(crowd, HEARD)
            proxies.partition(one_half)
            time.sleep(WORKED_OFF_S)
            before = [cluster.head(party).height for party in cluster.parties]
            pending = [cluster.transfer(number, 3, dice.randrange(1, 5_000)) for number in range(2)]
            cluster.post(one_half[0], pending[0], wait=False)
            cluster.post(other_half[0], pending[1], wait=False)
            time.sleep(STILL_S)
            after = [cluster.head(party).height for party in cluster.parties]
            assert after == before, f"half of the validators decided a block ({silence})"
            proxies.heal()
            for signed in pending:
                for party in cluster.parties:
                    await_final(cluster, party, signed.id)


def test_a_slow_line_slows_nobody_else(tmp_path: Path) -> None:
    with behind_proxies(tmp_path) as (cluster, proxies):
        slow = cluster.parties[0]
        with checked(cluster.network, seed=SEED) as crowd:
            proxies.delay((way for way in proxies.ways() if slow in way), SLOW_MS)
            for amount in range(1, 9):
                cluster.final(cluster.transfer(0, 1, amount), party=cluster.parties[amount % 4])
            hear(crowd, HEARD)
        head = cluster.wait_same_head()
        hashes = [cluster.record_hashes(party, head.height) for party in cluster.parties]
        assert all(one == hashes[0] for one in hashes)


def test_a_node_that_is_heard_by_nobody_follows_and_comes_back(tmp_path: Path) -> None:
    with behind_proxies(tmp_path) as (cluster, proxies):
        mute, *others = cluster.parties
        with checked(cluster.network, seed=SEED) as crowd:
            proxies.hold(way for way in proxies.ways() if way[0] == mute)
            for amount in range(1, 6):
                cluster.final(cluster.transfer(0, 1, amount), party=others[amount % 3])
            hear(crowd, HEARD)
            proxies.heal()
        # Three of four need it now: what it says is heard again.
        cluster.network.kill(others[0])
        cluster.final(cluster.transfer(1, 2, 7), party=mute)


def test_one_direction_of_one_line_may_stall(tmp_path: Path) -> None:
    with behind_proxies(tmp_path) as (cluster, proxies):
        one, other = cluster.parties[:2]
        with checked(cluster.network, seed=SEED) as crowd:
            proxies.hold([(one, other)])
            for amount in range(1, 9):
                cluster.final(cluster.transfer(0, 1, amount), party=cluster.parties[amount % 4])
            hear(crowd, HEARD)
            proxies.heal()


def test_a_line_cut_in_the_middle_of_anything_is_nobodys_fault(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    with behind_proxies(tmp_path) as (cluster, proxies):
        deadline = time.monotonic() + PATIENCE_S
        amount = 0
        with checked(cluster.network, seed=SEED) as crowd:
            while proxies.cuts < CUTS:
                assert time.monotonic() < deadline, f"{proxies.cuts} cuts"
                proxies.cut(dice.sample(proxies.ways(), 4), dice, CUT_BYTES_MAX)
                amount += 1
                cluster.final(cluster.transfer(0, 1, amount), party=dice.choice(cluster.parties))
            hear(crowd, HEARD)
            proxies.heal()
        head = cluster.wait_same_head()
        hashes = [cluster.record_hashes(party, head.height) for party in cluster.parties]
        assert all(one == hashes[0] for one in hashes)
        faults = [
            line
            for party in cluster.parties
            for line in cluster.http.get(cluster.url(party, "/metrics")).text.splitlines()
            if line.startswith("tallystick_peer_faults{") and not line.endswith(" 0.0")
        ]
        print(f"seed {SEED}: {proxies.cuts} cuts, {amount} transfers, height {head.height}")
        assert faults == []
