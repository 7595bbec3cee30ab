"""``kill -9`` at random instants under load: the campaign, small here, larger by its environment.

``TALLY_KILLS=50`` asks for more kills, ``TALLY_SEED`` for other ones; ``tally network kills`` runs
campaigns of hundreds, and goes on where a journal ends.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import pytest
from click.testing import CliRunner

from ledger.transactions import parse
from tally.exits import UsageError
from tests.cluster.support import running_cluster
from trials.chaos import kills
from trials.chaos.history import Answer, History, Spending
from trials.chaos.kills import RoundPlan, Verdict, plans_of, run_campaign, totals
from trials.commands.kills import kills as command
from trials.simulation.journal import JournalFile

KILLS = int(os.environ.get("TALLY_KILLS", "6"))
SEED = int(os.environ.get("TALLY_SEED", "20260104"))
SIZES = (4,) if KILLS <= kills.ROUND_KILLS_MAX else (4, 7)


@pytest.mark.cluster
def test_nothing_final_is_lost_and_no_two_nodes_differ_however_often_they_are_killed(
    tmp_path: Path,
) -> None:
    plans = plans_of(kills=KILLS, validators=SIZES, first_seed=SEED)
    journal = journal_at(tmp_path)
    verdicts = run_campaign(plans, journal, lambda verdict: print(verdict.line()))
    for verdict in verdicts:
        assert verdict.problems == (), f"seed {verdict.plan.seed}"
        assert verdict.final > verdict.kills
    assert sum(verdict.kills for verdict in verdicts) >= KILLS


@pytest.mark.cluster
def test_what_a_store_lost_or_changed_is_found(tmp_path: Path) -> None:
    with running_cluster(tmp_path, firms=4) as cluster:
        network = cluster.network
        signed = [cluster.transfer(0, 1, amount) for amount in (1, 2)]
        documents = cluster.final(*signed)
        cluster.wait_same_head()
    history = History(
        spendings={
            one.id: Spending(
                id=one.id, voucher="", amount=1, expires_at_ms=parse(one.raw).body.expires_at
            )
            for one in signed
        },
        answers=[answer_of(document) for document in documents],
    )
    assert kills.stores_differ(network) == []
    assert kills.acknowledged_is_logged(network, history) == []
    spoil(network.folder / "guiyang" / "store", documents[0]["sequence"])
    replayed, differs, *_ = kills.stores_differ(network)
    assert replayed.startswith("replay of guiyang: ")
    assert "the logs of " in differs
    lost = kills.acknowledged_is_logged(network, history)
    assert [one.rpartition(", ")[2] for one in lost] == ["guiyang has None"] * len(signed)


def spoil(store: Path, sequence: int) -> None:
    """Change a bit of a log entry, and forget which transactions were logged."""
    key = sequence.to_bytes(8, "big")
    with lmdb.open(str(store), max_dbs=32) as environment, environment.begin(write=True) as change:
        log = environment.open_db(b"log", txn=change)
        entry = bytearray(change.get(key, db=log) or b"")
        entry[-1] ^= 1
        change.put(key, bytes(entry), db=log)
        change.drop(environment.open_db(b"ids", txn=change), delete=False)


def answer_of(document: dict[str, Any]) -> Answer:
    """Return a final document as an answer in a history."""
    return Answer(
        client=0,
        node="",
        asked="submit",
        about=document["id"],
        called_us=0,
        answered_us=1,
        said="final",
        height=document["height"],
        sequence=document["sequence"],
    )


def journal_at(folder: Path) -> JournalFile[Verdict]:
    """Return the journal of a campaign, taken up or begun."""
    return JournalFile(folder / "journal", {}, Verdict)


def verdict_of(plan: RoundPlan) -> Verdict:
    """Return the verdict of a round in which nothing happened."""
    numbers = dict.fromkeys(Verdict.__dataclass_fields__, 0)
    return Verdict(**(numbers | {"plan": plan, "problems": ()}))  # type: ignore[arg-type]


def test_a_campaign_draws_other_seeds_for_each_round_and_takes_the_sizes_by_turns() -> None:
    plans = plans_of(kills=60, validators=(4, 7), first_seed=9)
    assert [(one.seed, one.validators, one.kills) for one in plans] == [
        (9, 4, 25),
        (10, 7, 25),
        (11, 4, 10),
    ]


def test_a_campaign_goes_on_where_its_journal_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    def run_round(plan: RoundPlan, folder: Path) -> Verdict:
        ran.append(plan.seed)
        return verdict_of(plan)

    monkeypatch.setattr(kills, "run_round", run_round)
    plans = plans_of(kills=60, validators=(4,), first_seed=1)
    journal = journal_at(tmp_path)
    journal.add(verdict_of(plans[0]))
    line = msgspec.json.encode(verdict_of(plans[1]))
    with journal.path.open("ab") as file:
        file.write(line[: len(line) // 2])  # killed in the middle of the second
    assert len(run_campaign(plans, journal_at(tmp_path), lambda verdict: None)) == 3
    assert ran == [2, 3]
    assert len(run_campaign(plans, journal_at(tmp_path), lambda verdict: None)) == 3
    assert ran == [2, 3], "all of them were in the journal"


def test_a_campaign_does_not_go_on_in_the_journal_of_another_nor_in_a_letter(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal"
    letter = tmp_path / "letter"
    letter.write_text("Dear all")
    JournalFile(path, {"seed": 1, "validators": [4]}, Verdict)
    words = ("--kills", "1", "--validators", "4")
    other = CliRunner().invoke(command, [*words, "--seed", "2", "--journal", str(path)])
    assert isinstance(other.exception, UsageError)
    assert "of tallystick" in str(other.exception) and "seed 1" in str(other.exception)
    junk = CliRunner().invoke(command, [*words, "--journal", str(letter)])
    assert "is no journal" in str(junk.exception)
    assert letter.read_text() == "Dear all"


def test_the_sums_of_a_campaign_leave_no_transfer_out() -> None:
    one = replace(
        verdict_of(RoundPlan(seed=1, validators=4, kills=1)),
        **{"transfers": 10, "final": 7, "refused": 3, "answers": 30, "lost": 4},  # type: ignore[arg-type]
    )
    done = totals([one, one])
    assert (done["transfers"], done["final"], done["refused_or_expired"]) == (20, 14, 6)
    assert (done["answers"], done["lost_answers"]) == (60, 8)
    assert "7 of 10 transfers final, 3 refused or expired, 30 answers, 4 of them lost" in one.line()
