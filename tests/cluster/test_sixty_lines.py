"""docs/spec is enough to write a client: one that imports nothing of the project works."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from localnet.network import officer_seed
from tests.cluster.support import PROGRAMME, firm, running_cluster

CLIENT = Path(__file__).with_name("sixty_lines.py")
OWN_PACKAGES = {
    "ledger",
    "consensus",
    "node",
    "wallet",
    "api",
    "audit",
    "localnet",
    "tally",
    "tests",
}


def test_the_client_is_short_and_imports_nothing_of_the_project() -> None:
    source = CLIENT.read_text(encoding="utf-8")
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert "ledger" in OWN_PACKAGES
    assert not {name.split(".")[0] for name in imported} & OWN_PACKAGES
    assert len(source.splitlines()) <= 60


@pytest.mark.cluster
def test_the_client_signs_posts_and_awaits_a_transfer(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as cluster:
        network = cluster.network
        seeds = [
            officer_seed(network.name, network.master, firm(number), "owner").hex()
            for number in (0, 1)
        ]
        words = [cluster.url("guian-hub", ""), network.log_id.hex()]
        words += [f"{PROGRAMME}.000000001", firm(0), firm(1), "70000"]
        finished = subprocess.run(
            [sys.executable, str(CLIENT), *words],
            input="\n".join(seeds),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert finished.stdout.startswith("final ok ")
        held = cluster.get("shanghai", f"/v1/vouchers?holder={firm(1)}")["items"]
        assert sorted(item["available"] for item in held) == [70_000, 1_000_000]
