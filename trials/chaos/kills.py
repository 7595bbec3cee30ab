"""``kill -9`` of node processes at random instants, under load, and a verdict on what survived.

A campaign is a row of rounds. Each round is a network of its own: clients spend the same vouchers
at all nodes while node processes, and now and then API processes, are killed and started again.
Then everything is stopped, and the stores and what the clients heard are compared.
"""

import asyncio
import hashlib
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from audit import files
from ledger.execute import Head
from ledger.rules.misbehaviour import MISBEHAVIOURS
from ledger.store.lmdb_store import LmdbReader
from localnet.facts import load_facts, member_plans, validators_for
from localnet.network import LocalNetwork, NetworkProblem
from trials.bench.transfers import Load
from trials.chaos.clients import FIRMS, Crowd
from trials.chaos.history import History
from trials.replay import CheckFailed, check_export
from trials.simulation.journal import JournalFile

ROUND_KILLS_MAX = 25
"""Kills on one network; more take another network."""
CLIENTS = 4
FINALS_BETWEEN = 3
"""Answers that must say final before the next kill: a network that is only dying proves nothing."""
PROGRESS_WITHIN_S = 60
"""A hang guard, as the two below."""
SETTLED_WITHIN_S = 60
SAME_HEAD_WITHIN_S = 60
ROWS_MAX = 10_000_000
MISBEHAVIOURS_SHOWN_MAX = 10
"""Of one table of a round's store: all of them."""


class NoProgress(Exception):
    """The network has its quorum back and nothing becomes final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPlan:
    """One network and what is done to it; the same seed draws the same actions."""

    seed: int
    validators: int
    kills: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A line of the journal: what a round did, and every problem that was found."""

    plan: RoundPlan
    kills: int
    """SIGKILLs that hit a running node process; the last burst may pass what was planned."""
    recovery_kills: int
    """Those of them that hit it within half a second of its start."""
    api_kills: int
    transfers: int
    final: int
    refused: int
    """Expired: refused, or lost with every pool."""
    answers: int
    lost: int
    """Questions without an answer."""
    height: int
    entries: int
    took_ms: int
    problems: tuple[str, ...]

    def line(self) -> str:
        """Return the verdict in words."""
        return (
            f"seed {self.plan.seed}, {self.plan.validators} validators: {self.kills} kills "
            f"({self.recovery_kills} during recovery), {self.api_kills} of APIs; "
            f"{self.final} of {self.transfers} transfers final, {self.refused} refused or "
            f"expired, {self.answers} answers, {self.lost} of them lost, "
            f"height {self.height}, {self.took_ms // 1000} s: "
            + ("; ".join(self.problems) or "no problem")
        )


def plans_of(*, kills: int, validators: Sequence[int], first_seed: int) -> tuple[RoundPlan, ...]:
    """Return the rounds of a campaign: the sizes take turns, and every round has its own seed."""
    plans: list[RoundPlan] = []
    left = kills
    while left > 0:
        taken = min(left, ROUND_KILLS_MAX)
        size = validators[len(plans) % len(validators)]
        plans.append(RoundPlan(seed=first_seed + len(plans), validators=size, kills=taken))
        left -= taken
    return tuple(plans)


def run_campaign(
    plans: Sequence[RoundPlan],
    journal: JournalFile[Verdict] | None,
    tell: Callable[[Verdict], None],
) -> list[Verdict]:
    """Run the rounds that the journal does not hold yet; return the verdicts of all.

    The folder of a round with problems is kept beside the journal, with its history.
    """
    known = {} if journal is None else {verdict.plan: verdict for verdict in journal.records}
    verdicts = []
    for plan in plans:
        verdict = known.get(plan)
        if verdict is None:
            with tempfile.TemporaryDirectory(prefix="tallystick-kills-") as scratch:
                folder = Path(scratch) / f"seed-{plan.seed}"
                verdict = run_round(plan, folder)
                if verdict.problems and journal is not None:
                    kept = journal.path.parent / folder.name
                    sockets = shutil.ignore_patterns("*.sock")
                    shutil.copytree(folder, kept, ignore=sockets, dirs_exist_ok=True)
            if journal is not None:
                journal.add(verdict)
            tell(verdict)
        verdicts.append(verdict)
    return verdicts


def totals(verdicts: Sequence[Verdict]) -> dict[str, object]:
    """Return what rounds did in sum, by name; what is neither final nor refused is a problem."""
    return {
        "rounds": len(verdicts),
        "kills": sum(verdict.kills for verdict in verdicts),
        "during_recovery": sum(verdict.recovery_kills for verdict in verdicts),
        "api_kills": sum(verdict.api_kills for verdict in verdicts),
        "transfers": sum(verdict.transfers for verdict in verdicts),
        "final": sum(verdict.final for verdict in verdicts),
        "refused_or_expired": sum(verdict.refused for verdict in verdicts),
        "answers": sum(verdict.answers for verdict in verdicts),
        "lost_answers": sum(verdict.lost for verdict in verdicts),
        "heights": sum(verdict.height for verdict in verdicts),
        "minutes": sum(verdict.took_ms for verdict in verdicts) // 60_000,
        "problems": [problem for verdict in verdicts for problem in verdict.problems],
    }


class Killer:
    """Kills and starts processes of a network by the dice."""

    def __init__(self, network: LocalNetwork, dice: random.Random) -> None:
        self.kills = 0
        self.recovery_kills = 0
        self.api_kills = 0
        self.problems: list[str] = []
        self._network = network
        self._dice = dice
        self._parties = list(network.places)
        self._started_s: dict[str, float] = {}

    def burst(self) -> None:
        """Kill one or two nodes, seldom all; start them, perhaps kill them as they recover."""
        self._note_the_dead()
        draw = self._dice.randrange(20)
        count = len(self._parties) if draw == 0 else 2 if draw < 7 else 1
        victims = self._dice.sample(self._parties, count)
        for party in victims:
            self._kill(party)
        time.sleep(self._dice.uniform(0, 0.2))
        self._start(victims)
        while self._dice.randrange(3) == 0:
            time.sleep(self._dice.uniform(0, 0.5))
            party = self._dice.choice(victims)
            self._kill(party)
            self._start([party])

    def _kill(self, party: str) -> None:
        if not self._network.runs(party):
            return
        takes_api = self._dice.randrange(6) == 0
        self._network.kill(party, api=takes_api)
        self.kills += 1
        self.api_kills += takes_api
        self.recovery_kills += time.monotonic() - self._started_s.get(party, 0) < 0.5

    def _start(self, parties: Sequence[str]) -> None:
        for party in parties:
            self._network.start(party, wait=False)
            self._started_s[party] = time.monotonic()

    def _note_the_dead(self) -> None:
        """A node that nobody killed must run."""
        for party in self._parties:
            if not self._network.runs(party):
                self.problems.append(f"{party} ended by itself: {self._network.tail(party)}")
                self._start([party])


def run_round(plan: RoundPlan, folder: Path) -> Verdict:
    """Run one round in a new folder, which is left for whoever wants to look."""
    began_s = time.monotonic()
    network = LocalNetwork.create(
        folder,
        name="dev-kills",
        plans=member_plans(load_facts()),
        validators=validators_for(plan.validators, load_facts()),
    )
    killer = Killer(network, random.Random(plan.seed))
    crowd = Crowd(network, clients=CLIENTS, seed=plan.seed)
    problems: list[str] = []
    try:
        network.up()
        asyncio.run(Load(network, firms=FIRMS).prepare())
        _hurt(crowd, killer, plan.kills)
        for party in network.places:
            network.wait_ready(party)
        left = crowd.settle(SETTLED_WITHIN_S)
        problems += [f"{name}: nobody knows what became of it" for name in left]
        await_same_head(network)
    except (NetworkProblem, NoProgress) as problem:
        problems.append(str(problem))
    finally:
        network.down()
    history = crowd.history
    (folder / "history.json").write_bytes(msgspec.json.encode(history))
    heads = [head_of(network, party) for party in network.places]
    problems += [*killer.problems, *stores_differ(network), *history.problems()]
    problems += acknowledged_is_logged(network, history)
    problems += misbehaviours_on(network)
    said = Counter(outcome.said for outcome in history.certain().values())
    return Verdict(
        plan=plan,
        kills=killer.kills,
        recovery_kills=killer.recovery_kills,
        api_kills=killer.api_kills,
        transfers=len(history.spendings),
        final=said["final"],
        refused=said["refused"] + said["expired"],
        answers=len(history.answers),
        lost=sum(answer.said == "lost" for answer in history.answers),
        height=max(head.height for head in heads),
        entries=max(head.log_size for head in heads),
        took_ms=int((time.monotonic() - began_s) * 1000),
        problems=tuple(problems),
    )


def _hurt(crowd: Crowd, killer: Killer, kills: int) -> None:
    """Kill until it was often enough; between two bursts something must become final."""
    crowd.start()
    try:
        while killer.kills < kills:
            _await_finals(crowd)
            killer.burst()
        _await_finals(crowd)
    finally:
        crowd.stop()


def _await_finals(crowd: Crowd) -> None:
    enough = crowd.finals() + FINALS_BETWEEN
    deadline = time.monotonic() + PROGRESS_WITHIN_S
    while crowd.finals() < enough:
        if time.monotonic() > deadline:
            raise NoProgress(f"nothing became final within {PROGRESS_WITHIN_S} s")
        time.sleep(0.02)


def await_same_head(network: LocalNetwork) -> None:
    """Return once all stores stand at one height; raise NoProgress if they never do."""
    deadline = time.monotonic() + SAME_HEAD_WITHIN_S
    while True:
        heads = {party: head_of(network, party).height for party in network.places}
        if len(set(heads.values())) == 1:
            return
        if time.monotonic() > deadline:
            raise NoProgress(f"no common height within {SAME_HEAD_WITHIN_S} s: {heads}")
        time.sleep(0.05)


def head_of(network: LocalNetwork, party: str) -> Head:
    """Return where a validator's store stands."""
    reader = LmdbReader(network.folder / party / "store")
    with reader.begin() as snapshot:
        head = snapshot.head()
    reader.close()
    assert head is not None, "the node has written its genesis"
    return head


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreImage:
    """What a stopped node's store holds, as far as all nodes must agree on it."""

    height: int
    log: tuple[bytes, ...]
    record_hashes: tuple[bytes, ...]
    """After each height, from 1."""
    state: bytes
    """Digest of the current and all former records."""


def stores_differ(network: LocalNetwork) -> list[str]:
    """Return what is wrong with the stores of a stopped network.

    Of each node the log is replayed from genesis and every certificate verified; then the logs must
    be the same bytes, and so must the records where two nodes stand at one height.
    """
    problems = []
    images = {}
    for party in network.places:
        with tempfile.TemporaryDirectory(prefix="tallystick-export-") as scratch:
            images[party] = _export(network.folder / party / "store", Path(scratch))
            try:
                check_export(network.genesis, Path(scratch))
            except CheckFailed as finding:
                problems.append(f"replay of {party}: {finding}")
    first = max(images, key=lambda party: images[party].height)
    for party, image in images.items():
        best = images[first]
        if image.log != best.log[: len(image.log)]:
            problems.append(f"the logs of {first} and {party} differ")
        if image.record_hashes != best.record_hashes[: image.height]:
            problems.append(f"the records of {first} and {party} differ")
        if image.height == best.height and image != best:
            problems.append(f"the stores of {first} and {party} differ at height {best.height}")
    return problems


def _export(store: Path, folder: Path) -> StoreImage:
    """Write a store's log and commits as an auditor gets them, and return what it holds."""
    reader = LmdbReader(store)
    with reader.begin() as snapshot:
        head = snapshot.head()
        assert head is not None, "the node has written its genesis"
        log = snapshot.entries(0, head.log_size)
        hashes = []
        commits = []
        for height in range(1, head.height + 1):
            row, commit = snapshot.block_row(height), snapshot.stored_commit(height)
            assert row is not None and commit is not None, f"{store} lacks height {height}"
            hashes.append(row.record_hash)
            commits.append(height.to_bytes(8, "big") + _framed(commit))
        state = hashlib.sha256()
        for table in ("state", "history"):
            for key, value in snapshot.scan(table, prefix=b"", start=b"", limit=ROWS_MAX):
                state.update(_framed(key) + _framed(value))
    reader.close()
    files.write(folder / files.ENTRIES, map(_framed, log))
    files.write(folder / files.COMMITS, commits)
    return StoreImage(
        height=head.height, log=log, record_hashes=tuple(hashes), state=state.digest()
    )


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def misbehaviours_on(network: LocalNetwork) -> list[str]:
    """Return misbehaviour that stands on the log: here every key is honest, whatever dies."""
    party = next(iter(network.places))
    reader = LmdbReader(network.folder / party / "store")
    with reader.begin() as snapshot:
        rows = snapshot.scan("state", prefix=MISBEHAVIOURS.prefix, limit=MISBEHAVIOURS_SHOWN_MAX)
        problems = [f"the log blames {key.decode('ascii')}" for key, _ in rows]
    reader.close()
    return problems


def acknowledged_is_logged(network: LocalNetwork, history: History) -> list[str]:
    """Return what a client was told is final and is not where it was told, on any node."""
    problems = []
    for party in network.places:
        reader = LmdbReader(network.folder / party / "store")
        with reader.begin() as snapshot:
            for name, answer in history.acknowledged().items():
                logged_at = snapshot.sequence_of(
                    bytes.fromhex(name), history.spendings[name].expires_at_ms
                )
                if logged_at != answer.sequence:
                    problems.append(
                        f"{name} was final at sequence {answer.sequence}, {party} has {logged_at}"
                    )
        reader.close()
    return problems
