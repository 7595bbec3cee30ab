"""A proposer that strips signatures on a real network: no act is lost, changed or refused by it."""

from pathlib import Path

import pytest

from tests.cluster.stripping import STRIPPED
from tests.cluster.support import BUDGET, running_cluster

pytestmark = pytest.mark.cluster

ACTS = 24


def test_a_proposer_that_strips_signatures_ends_no_act_of_two_officers(tmp_path: Path) -> None:
    with running_cluster(tmp_path, firms=2) as cluster:
        *honest, traitor = cluster.parties
        cluster.network.kill(traitor)
        cluster.network.start(traitor, around=("tests.cluster.stripping",))
        acts = [cluster.sign(cluster._enrol(100 + number), *BUDGET) for number in range(ACTS)]
        for number, act in enumerate(acts):  # one by one, so that each proposer has its turn
            cluster.final(act, party=cluster.parties[number % len(cluster.parties)])
        tried = (cluster.network.folder / traitor / STRIPPED).read_text(encoding="ascii").split()
        ended = {act.id for act in acts} & set(tried)
        print(f"{len(ended)} of {ACTS} acts were proposed with a signature missing; all are final")
        assert len(ended) >= ACTS // 8
        for party in honest:
            cluster.final(acts[-1], party=party)  # it has caught up
            items = cluster.get(party, "/v1/transactions?limit=500")["items"]
            signers = {item["id"]: len(item["signers"]) for item in items}
            assert [signers[act.id] for act in acts] == [len(BUDGET)] * ACTS
