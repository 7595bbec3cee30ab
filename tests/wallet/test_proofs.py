"""State proofs over a hundred thousand vouchers: what holds is believed, and nothing else ever."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wallet.mutations import Answer, mutated
from trials.bench.proofs import Proving, proving, run_proofs_bench
from trials.datasets.world import NETWORK
from wallet.client import NodeClient
from wallet.profile import NodeAddress, Profile
from wallet.verified import DishonestServer, Verifier

pytestmark = pytest.mark.ci

VOUCHERS = 100_000
KEYS = 200
"""Of vouchers that exist, and as many of others."""
MUTATIONS = 10_000
SEED = 20267

Truth = tuple[bytes | None, int]
"""A record's bytes, None if there is none, and its sequence number."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proving]:
    """Make the ledger, by mints of a thousand."""
    with proving(tmp_path_factory.mktemp("proofs"), VOUCHERS) as ledger:
        yield ledger


class Liar(NodeClient):
    """Answers every question for a proof with what the test says."""

    def __init__(self, made: Proving) -> None:
        super().__init__("http://liar.test")
        self._genesis = made.genesis
        self.answer: Answer = {}

    def genesis(self) -> bytes:
        """Return the true genesis."""
        return self._genesis

    def get_json(self, path: str, **query: str | int | None) -> Answer:
        """Return the answer that is to be verified."""
        assert path.startswith("/v1/proofs/")
        return self.answer


class Wallet:
    """The wallet's own check, and what it should say."""

    def __init__(self, made: Proving) -> None:
        self.present = made.present(KEYS)
        self.absent = made.absent(KEYS)
        keys = [*self.present, *self.absent]
        self.answers = {key: json.loads(made.answer(key)) for key in keys}
        self.truths = {key: _truth(answer) for key, answer in self.answers.items()}
        self._client = Liar(made)
        profile = Profile(
            name="proofs",
            network=NETWORK,
            log_id=made.log_id.hex(),
            nodes=(NodeAddress(name="liar", url=self._client.url),),
            dev_seed=None,
        )
        self._verifier = Verifier(profile, self._client, now_s=lambda: made.time_ms / 1000)

    def says(self, key: bytes, answer: Answer) -> str:
        """Return `refused`, `true` if the answer proves what is so, or `false`."""
        self._client.answer = answer
        try:
            found = self._verifier.record(key)
        except DishonestServer:
            return "refused"
        return "true" if (found.value, found.sequence) == self.truths[key] else "false"


def _truth(answer: Answer) -> Truth:
    if answer["value"] is None:
        return None, 0
    value = bytes.fromhex(answer["value"])
    return value[8:], int.from_bytes(value[:8], "big")


@pytest.fixture
def wallet(made: Proving) -> Wallet:
    """Return the check; its profile lies in the folder of the test."""
    return Wallet(made)


def test_every_proof_of_presence_and_of_absence_is_believed(wallet: Wallet, tmp_path: Path) -> None:
    assert len(wallet.present) == len(wallet.absent) == KEYS
    assert all(wallet.truths[key][0] is not None for key in wallet.present)
    assert all(wallet.truths[key] == (None, 0) for key in wallet.absent)
    assert all(wallet.says(key, answer) == "true" for key, answer in wallet.answers.items())


def test_no_altered_proof_is_believed(wallet: Wallet, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor does any prove what is not so. One altered elsewhere than in its proof may still hold: a
    cosigner's line that names somebody else is nobody's, and three others are enough."""
    dice, verdicts = random.Random(SEED), Counter[str]()
    keys = list(wallet.answers)
    for number in range(MUTATIONS):
        key = keys[number % len(keys)]
        answer = wallet.answers[key]
        changed = mutated(answer, dice)
        verdict = wallet.says(key, changed)
        verdicts[verdict] += 1
        if verdict == "true":
            assert {**changed, "receipt": answer["receipt"]} == answer, "but the proof is altered"
    with capsys.disabled():
        print(f"\n{MUTATIONS} altered proofs of {len(keys)} keys: {dict(verdicts)}")
    assert verdicts["false"] == 0
    assert verdicts.total() == MUTATIONS
    assert verdicts["refused"] > MUTATIONS * 9 // 10


def test_presence_never_passes_for_absence_nor_absence_for_presence(wallet: Wallet) -> None:
    verdicts = Counter[str]()
    for present, absent in zip(wallet.present, wallet.absent, strict=True):
        there, gone = wallet.answers[present], wallet.answers[absent]
        claims = [
            (present, {**there, "value": None}),
            (present, {**there, "value": None, "leaf": None}),
            (present, {**there, "value": None, "leaf": gone["leaf"]}),
            (present, {**there, "value": None, "siblings": there["siblings"][1:]}),
            (present, {**gone, "key": there["key"]}),
            (present, {**gone, "key": there["key"], "leaf": None}),
            (absent, {**gone, "value": there["value"]}),
            (absent, {**gone, "value": there["value"], "leaf": there["leaf"]}),
            (absent, {**there, "key": gone["key"]}),
            (absent, {**there, "key": gone["key"], "value": None}),
            (absent, {**there, "leaf": {**there["leaf"], "key": gone["key"]}}),
        ]
        verdicts.update(wallet.says(key, answer) for key, answer in claims)
    assert dict(verdicts) == {"refused": 11 * KEYS}


def test_no_proof_of_a_key_passes_for_another_keys(wallet: Wallet) -> None:
    """Absent keys that lead to the same empty place would share theirs: none of these do."""
    verdicts = Counter[str]()
    for group in (wallet.present, wallet.absent):
        for key, other in zip(group, [*group[1:], group[0]], strict=True):
            answer = wallet.answers[other]
            verdicts[wallet.says(key, answer)] += 1
            verdicts[wallet.says(key, {**answer, "key": key.decode()})] += 1
    assert dict(verdicts) == {"refused": 4 * KEYS}


def test_the_benchmark_measures_both_sorts() -> None:
    bench = run_proofs_bench(vouchers=1_000, samples=50)
    for costs in (bench.present, bench.absent):
        assert costs.count == 50
        siblings, proofs = costs.siblings, costs.proof_bytes
        assert 1 < siblings.least <= siblings.median <= siblings.most
        assert 32 * siblings.least <= proofs.least <= proofs.median <= proofs.most
        assert proofs.most < costs.answer_bytes.least, "the receipt is the larger part"
        assert 0 < costs.verify_ns < costs.receipt_ns
        assert 0 < costs.prove_ns < costs.answer_ns
    assert len(bench.lines()) == 18
