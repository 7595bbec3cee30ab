"""Honest exports are accepted at every level, and what can't be verified is said."""

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from audit.commands.audit import group
from ledger.encoding import crypto, merkle
from ledger.genesis import log_id_of
from ledger.rules.governance import Action, SetRulesVersion, SetValidator, SwitchEngine
from ledger.store.memory import MemoryStore
from localnet.network import node_seed
from tally.exits import AuditFinding, Exit, NotFound, Unverifiable, UsageError
from tests import builders
from tests.builders import Chain
from tests.decided import DecidedChain
from tests.verifier.ledgers import Export, Living, pack, played
from trials.datasets import golden
from trials.datasets.world import MASTER, NETWORK
from verifier.finding import Finding, Level
from verifier.verify import Report, verify

CITIES = 7


def accepted(export: Export, folder: Path) -> Report:
    """Return what the highest level says, once every level has accepted an export."""
    export.write(folder)
    reports = [verify(folder, export.log_id, level) for level in Level]
    last = reports[-1]
    assert {(one.height, one.record_hash, one.commits) for one in reports} == {
        (last.height, last.record_hash, last.commits)
    }
    assert (last.log_size, last.log_root) == (len(export.log), merkle.root(export.log))
    return last


def voting(cities: int = CITIES) -> Living:
    """Return a ledger on which cities validate, each with a power of its own."""
    members = [
        msgspec.structs.replace(
            builders.city(name), validator=(builders.validator_keys(name, power=1 + number % 2),)
        )
        for number, name in enumerate(f"city-{number}" for number in range(cities))
    ]
    names = [f"city-{number}{suffix}" for number in range(cities) for suffix in ("", "-new")]
    return Living(
        chain=Chain(genesis=builders.genesis(*members)),
        seeds={builders.key(name, "consensus"): builders.seed(name, "consensus") for name in names},
    )


def adoption(living: Living, number: int, action: Action) -> Sequence[bytes]:
    """Return a proposal and the votes that it needs."""
    log_id = living.chain.ledger.last().log_id
    until = living.chain.now_ms + builders.MINUTE_MS
    proposal = builders.propose(action, proposer="city-0", log_id=log_id, expires_at=until)
    voters = (f"city-{city}" for city in range(1, CITIES * 2 // 3 + 1))
    votes = (builders.vote(number, voter=who, log_id=log_id, expires_at=until) for who in voters)
    return proposal, *votes


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_world_of_all_kinds_is_accepted(seed: int, tmp_path: Path) -> None:
    export = played(seed)
    report = accepted(export, tmp_path)
    assert report.unverifiable == ()
    assert report.commits == max(export.sets) > report.records


def test_the_golden_ledger_is_accepted_and_has_its_known_hash(tmp_path: Path) -> None:
    store = MemoryStore()
    ledger, played_blocks = golden.play(store)
    heights = range(1, played_blocks[-1][1].execution.block.height + 1)
    seeds = [node_seed(NETWORK, MASTER, party, "consensus") for party in ("nanning", "guian-hub")]
    keys = [(crypto.public_key(seed), 1) for seed in seeds]
    export = Export(
        genesis=golden.golden_genesis(),
        log=tuple(store.log),
        commits=(),
        sets=dict.fromkeys(heights, keys),
        evidence={height: [] for height in heights},
        seeds={key: seed for (key, _), seed in zip(keys, seeds, strict=True)},
    )
    assert accepted(export.certified(), tmp_path).record_hash == ledger.record_hash


def test_commits_as_the_engine_writes_them_are_accepted(tmp_path: Path) -> None:
    made = DecidedChain()
    made.block(builders.publish(), builders.enrol("firm-a"))
    made.block()
    made.block(builders.appropriate(), builders.mint(("firm-a", 5_000)))
    store = made.chain.ledger._storage
    assert isinstance(store, MemoryStore)
    commits = [(one.header.height, msgspec.msgpack.encode(one)) for one in made.commits]
    export = Export(
        genesis=made.chain.genesis,
        log=tuple(store.log),
        commits=tuple(commits),
        sets={},
        evidence={},
        seeds={},
    )
    assert accepted(export, tmp_path).commits == 3


def test_validators_that_come_go_change_and_break_the_protocol_are_followed(
    tmp_path: Path,
) -> None:
    living = voting()
    other = builders.validator_keys("city-1-new", power=3)
    living.block(*adoption(living, 1, SetValidator(party="city-1", validator=(other,), proofs=())))
    living.block(*adoption(living, 2, SetValidator(party="city-2", validator=(), proofs=())))
    liars = [builders.key("city-3", "consensus"), builders.key("city-4", "consensus")]
    living.block(
        evidence=[
            living.contradiction(liars[0]),
            living.contradiction(liars[1], "precommit"),
        ]
    )
    living.block(evidence=[living.contradiction(builders.key("city-5", "consensus"), "proposal")])
    back = builders.validator_keys("city-2-new")
    living.block(*adoption(living, 3, SetValidator(party="city-2", validator=(back,), proofs=())))
    for _ in range(3):
        living.block()
    export = living.export()
    report = accepted(export, tmp_path)
    assert report.unverifiable == ()
    assert len({tuple(sorted(found)) for found in export.sets.values()}) >= 4


def test_a_third_of_the_power_stays_though_it_broke_the_protocol(tmp_path: Path) -> None:
    living = voting(6)
    liars = [builders.key(name, "consensus") for name in ("city-0", "city-1")]  # 3 of 9
    living.block(evidence=[living.contradiction(key) for key in liars])
    living.block()
    living.block()
    export = living.export()
    assert [len(export.sets[height]) for height in (1, 2, 3)] == [6, 6, 5]
    assert accepted(export, tmp_path).unverifiable == ()


def unsigned(evidence: list[Any]) -> None:
    """Bend a signature."""
    evidence[4][1][2] = bytes(64)


def reversed_(evidence: list[Any]) -> None:
    """Name the two messages the other way round."""
    evidence[4].reverse()


def of_one_message(evidence: list[Any]) -> None:
    """Say the same twice."""
    evidence[4][1] = evidence[4][0]


def with_a_valid_round(evidence: list[Any]) -> None:
    """Give a vote what only proposals have."""
    evidence[4][1][1] = [0]


@pytest.mark.parametrize("spoil", [unsigned, reversed_, of_one_message, with_a_valid_round])
def test_a_proof_that_proves_nothing_is_found(
    spoil: Callable[[list[Any]], None], tmp_path: Path
) -> None:
    living = voting()
    evidence = living.contradiction(builders.key("city-3", "consensus"))
    spoil(evidence)
    living.block(evidence=[evidence])
    export = living.export()
    with pytest.raises(Finding) as found:
        verify(export.write(tmp_path), export.log_id, Level.SIGNATURES)
    assert (found.value.height, found.value.field) == (1, "commit.evidence.0")


def test_a_misbehaviour_without_its_proof_is_found(tmp_path: Path) -> None:
    living = voting()
    living.block(evidence=[living.contradiction(builders.key("city-3", "consensus"))])
    export = living.export()
    bare = replace(export, evidence={1: []}).certified()
    with pytest.raises(Finding) as found:
        verify(bare.write(tmp_path), export.log_id, Level.SIGNATURES)
    assert (found.value.height, found.value.field) == (1, "commit.evidence")


def test_what_another_engine_decides_is_called_unverifiable(tmp_path: Path) -> None:
    living = voting()
    at = living.chain.ledger.last().height + 4
    living.block(*adoption(living, 1, SwitchEngine(engine="comet", at_height=at)))
    for _ in range(4):
        living.block()
    expires_at = living.chain.now_ms + builders.MINUTE_MS
    log_id = living.chain.ledger.last().log_id
    living.block(builders.enrol("firm-a", city="city-0", log_id=log_id, expires_at=expires_at))
    export = living.export()
    kept = tuple(row for row in export.commits if row[0] < at)
    report = accepted(replace(export, commits=kept), tmp_path)
    (sentence,) = report.unverifiable
    assert sentence.startswith(f"From height {at} on, another engine decides")
    assert report.commits == at - 1


def test_rules_that_it_does_not_know_are_called_unverifiable(tmp_path: Path) -> None:
    living = voting()
    at = living.chain.ledger.last().height + 4
    living.block(*adoption(living, 1, SetRulesVersion(version=2, from_height=at)))
    living.block()
    export = living.export()
    # No node of this version writes what follows: a record of those rules, and all it may hold.
    record = export.entry(len(export.log) - 1)[1]
    record[2:4] = [at, record[3] + 60_000]
    record[12] = 2
    export = replace(export, log=(*export.log, pack(["new kind"]), pack(["block", record])))
    report = verify(export.write(tmp_path), export.log_id, Level.SIGNATURES)
    (sentence,) = report.unverifiable
    assert sentence.startswith(f"From height {at} on, rules of version 2 hold")
    assert report.height < at
    outcome = CliRunner().invoke(group, ["verify", str(tmp_path), "--log-id", export.log_id.hex()])
    assert isinstance(outcome.exception, Unverifiable)
    assert "not all is verified" in outcome.exception.message


def test_what_only_execution_finds_is_not_claimed(tmp_path: Path) -> None:
    export = played()
    sequence = next(
        at
        for at in range(len(export.log))
        if export.entry(at)[0] == "transaction" and export.entry(at)[2]
    )
    entry = export.entry(sequence)
    entry[2][0][4] += 1
    forged = export.edited(sequence, entry).hashed().certified()
    report = verify(forged.write(tmp_path), forged.log_id, Level.SIGNATURES)
    assert "only execution tells" in " ".join(report.not_asked)


def test_a_longer_log_takes_no_more_memory(tmp_path: Path) -> None:
    peaks = []
    for export in (played(22, 250), played(22, 1_000)):
        export.write(tmp_path)
        tracemalloc.start()
        verify(tmp_path, export.log_id, Level.MERKLE)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    print(f"peaks: {peaks} bytes")
    assert peaks[1] < 2 * peaks[0], "four times as many entries"


def test_a_log_that_is_cut_off_is_found(tmp_path: Path) -> None:
    export = played()
    whole = export.write(tmp_path)
    data = (whole / "entries.bin").read_bytes()
    for size, field in ((len(data) - 1, "entries.bin"), (0, "file")):
        (whole / "entries.bin").write_bytes(data[:size])
        with pytest.raises(Finding) as found:
            verify(whole, export.log_id, Level.STRUCTURE)
        assert found.value.field == field
    cut = replace(export, log=export.log[:-1])
    with pytest.raises(Finding, match="ends inside a block"):
        verify(cut.write(tmp_path), export.log_id, Level.STRUCTURE)
    late = replace(export, commits=export.commits[:-1])
    with pytest.raises(Finding, match="this height has no commit"):
        verify(late.write(tmp_path), export.log_id, Level.STRUCTURE)


def test_a_genesis_of_another_name_is_found(tmp_path: Path) -> None:
    export = played()
    other = log_id_of(builders.genesis())
    with pytest.raises(Finding) as found:
        verify(export.write(tmp_path), other, Level.MERKLE)
    assert (found.value.height, found.value.sequence, found.value.field) == (0, 0, "log_id")


def test_the_command_says_what_holds_and_names_what_does_not(tmp_path: Path) -> None:
    export = played()
    folder, log_id = str(export.write(tmp_path)), export.log_id.hex()
    runner = CliRunner()
    words = ["verify", folder, "--log-id", log_id]
    for level in Level:
        outcome = runner.invoke(group, [*words, "--level", level.value])
        assert outcome.exit_code == 0, outcome.output
        assert f"the level {level.value} looks at" in outcome.output
    height = export.commits[3][0]
    replace(export, commits=(*export.commits[:3], *export.commits[4:])).write(tmp_path)
    outcome = runner.invoke(group, words)
    assert isinstance(outcome.exception, AuditFinding)
    assert outcome.exception.code is Exit.FINDING
    assert outcome.exception.details == {
        "height": height,
        "sequence": None,
        "field": "commit.height",
    }
    assert isinstance(runner.invoke(group, [*words[:3], "aa"]).exception, UsageError)
    (tmp_path / "commits.bin").unlink()
    assert isinstance(runner.invoke(group, words).exception, NotFound)
