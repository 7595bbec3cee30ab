"""Seventeen cities and ten data centres, all validating on one machine."""

import time
from pathlib import Path

import pytest

from localnet.demo import run_demo
from localnet.facts import load_facts, member_plans, validators_for
from localnet.network import LocalNetwork
from tests.cluster.test_flood import memory_mib

pytestmark = [pytest.mark.cluster, pytest.mark.long]

VALIDATORS = 27
RSS_MIB_MAX = 256
"""Of a node process after the demo; each keeps 26 links."""


def test_27_validators_finalise_the_demo(tmp_path: Path) -> None:
    facts = load_facts()
    parties = validators_for(VALIDATORS, facts)
    assert len(parties) == VALIDATORS
    assert sum(one["id"] in parties for one in facts.data_centres) == 10
    network = LocalNetwork.create(
        tmp_path / "net", name="dev-test", plans=member_plans(facts), validators=parties
    )
    try:
        started_s = time.monotonic()
        network.up()
        run_demo(network, started_s=started_s)
        nodes = sorted(memory_mib(place.node_pid, "VmRSS") for place in network.places.values())
        servers = sorted(memory_mib(place.api_pid, "VmRSS") for place in network.places.values())
        print(
            f"{VALIDATORS} validators finalised the demo in {int(time.monotonic() - started_s)} s; "
            f"memory of a node {nodes[0]} to {nodes[-1]} MiB, "
            f"of an API process {servers[0]} to {servers[-1]} MiB"
        )
        assert nodes[-1] < RSS_MIB_MAX
    finally:
        network.down()
