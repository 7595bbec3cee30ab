"""The four levels over one sound ledger, from every source, at once or in parts."""

import os
import random
import shutil
import signal
import time
from contextlib import closing
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from audit import files, signatures
from audit import replay as replaying
from audit.commands.audit import group
from audit.replay import Level, Plan, WorkFolderWrong, replay
from audit.sources import Api, ExportFolder, NodeStore, Source, TileDump, open_source
from audit.verdicts import Incomplete, Tampered, Unverifiable
from audit.verifying import HelperLost, Verdict
from engines.builtin.messages import ENGINE_EPOCH
from ledger import catalogue
from ledger.encoding import checkpoint, merkle, note, tiles
from ledger.encoding.checkpoint import Checkpoint
from ledger.entries import GenesisEntry, encode_entry
from ledger.genesis import log_id_of
from node.exports import read_entries
from node.lock import held
from node.snapshot import COMMITS, HISTORY, LOG
from tally.exits import Exit, TallyError
from tests import builders
from tests.audit import forge
from tests.audit.conftest import World, audited
from trials.bench.replay import make_log
from trials.replay import check_export


def entries_of(world: World) -> list[bytes]:
    first = encode_entry(GenesisEntry(genesis=world.mirror.genesis))
    return [first, *(raw for one in world.log for raw in one.raws)]


def dumped(world: World, folder: Path) -> Path:
    """Write a static dump: bundles, tiles, checkpoint, and the commits beside it."""
    entries = entries_of(world)

    def node(level: int, index: int) -> bytes:
        return merkle.root(entries[index << level : (index + 1) << level])

    for tile in tiles.tiles_of(len(entries)):
        path = folder / tile.path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tiles.tile_bytes(tile, node))
    for bundle in tiles.bundles_of(len(entries)):
        path = folder / bundle.path()
        path.parent.mkdir(parents=True, exist_ok=True)
        at = bundle.index * tiles.TILE_WIDTH
        path.write_bytes(tiles.bundle_bytes(entries[at : at + bundle.width]))
    shutil.copy(world.export / files.COMMITS, folder)
    text = Checkpoint(
        origin="tallystick.log/x", size=len(entries), root=merkle.root(entries)
    ).text()
    line = note.Signature(name="x", key_id=bytes(4), value=bytes(64)).line()
    (folder / "checkpoint").write_text(f"{text}\n{line}", encoding="utf-8")
    return folder


def snapshot(world: World, folder: Path) -> Path:
    """Write what a node fetches of some height in the middle, as it lies there."""
    height = world.log[len(world.log) // 2].commit.header.height
    size = forge.first_sequence(world.log, height)
    folder.mkdir()
    (folder / LOG).write_bytes(world.mirror.files[LOG])
    (folder / COMMITS).write_bytes(world.mirror.files[COMMITS])
    rows = forge.rows_until(world.mirror.files[HISTORY], size)
    (folder / HISTORY).write_bytes(rows)
    target = {"height": height, "log_size": size}
    (folder / "target.json").write_bytes(msgspec.json.encode(target))
    return folder


@pytest.mark.parametrize("level", list(Level))
def test_all_sources_give_the_same_report(world: World, tmp_path: Path, level: Level) -> None:
    (tmp_path / "dump").mkdir()
    sources: dict[str, Source] = {
        "export": ExportFolder(world.export),
        "tiles": TileDump(dumped(world, tmp_path / "dump")),
        "store": NodeStore(world.store),
        "api": Api(world.mirror.client()),
    }
    found = {}
    for name, source in sources.items():
        with closing(source):
            found[name] = audited(source, tmp_path / name, level=level).facts()
    begun = audited(
        sources["export"], tmp_path / "tail", level=level, snapshot=snapshot(world, tmp_path / "s")
    )
    found["snapshot and tail"] = begun.facts()
    assert (begun.executed_from > 0) is (level is Level.EXECUTE)
    for name, facts in found.items():
        assert facts == found["export"], name
    naive = check_export(world.mirror.genesis, world.export)
    same = found["export"].keys() & naive.keys() - {"verdict"}
    assert {key: found["export"][key] for key in same} == {key: naive[key] for key in same}
    assert len(same) >= 6


def test_no_quorum_can_decide_in_an_epoch_that_no_node_is_in(world: World, tmp_path: Path) -> None:
    at = len(world.log) - 1
    commit = world.log[at].commit
    header = forge.change(commit.header, epoch=ENGINE_EPOCH + 1)
    signed = forge.change(commit, header=header, certificate=forge.certify(header))
    log = forge.with_height(world.log, at, commit=signed)
    export = forge.write(tmp_path / "export", world.mirror.genesis, log)
    with pytest.raises(Tampered) as found:
        audited(export, tmp_path / "work")
    assert (found.value.height, found.value.field) == (header.height, "commit.header.epoch")


def test_worker_processes_find_the_same_and_say_what_they_cost(
    world: World, tmp_path: Path
) -> None:
    alone = audited(world.export, tmp_path / "a")
    together = audited(world.export, tmp_path / "b", workers=2)
    assert together.facts() == alone.facts()
    assert together.cost.workers == 2
    assert together.cost.signatures_cpu_ms > 0


def test_what_a_worker_finds_is_named(world: World, tmp_path: Path) -> None:
    at = 4
    header = world.log[at].commit.header
    key, _ = world.log[at].commit.certificate.signatures[0]
    _, *rest = world.log[at].commit.certificate.signatures
    bent = forge.change(
        world.log[at].commit.certificate, signatures=((key, b"\x01" + bytes(63)), *rest)
    )
    commit = forge.change(world.log[at].commit, certificate=bent)
    log = forge.with_height(world.log, at, commit=commit)
    export = forge.write(tmp_path / "export", world.mirror.genesis, log)
    with pytest.raises(Tampered) as found:
        audited(export, tmp_path / "work", workers=2)
    assert (found.value.height, found.value.field) == (header.height, "commit.certificate")


class Killed(BaseException):
    """Stands for a kill: nobody catches it."""


@pytest.mark.parametrize("level", list(Level))
def test_a_replay_that_was_killed_goes_on_where_it_stood(
    world: World, tmp_path: Path, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "STANDING_EVERY", 7)
    dice = random.Random(f"resume {level}")
    whole = audited(world.export, tmp_path / "whole", level=level)
    plan = Plan(log_id=builders.LOG_ID, workers=0, level=level)
    source = ExportFolder(world.export)
    work, resumed = tmp_path / "work", 0
    for _ in range(60):
        left = dice.randrange(1, 12)

        def count_down(_: int) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        try:
            report = replay(source, plan, work, is_kept=True, on_entries=count_down)
        except Killed:
            continue
        assert report.facts() == whole.facts()
        resumed = report.resumed_at
        break
    assert resumed > whole.counts.entries // 2


def replay_until_killed(export: Path, work: Path, level: Level, blocks: int) -> None:
    """Replay in a process of its own, which kills itself after so many blocks."""
    left = blocks

    def count_down(_: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    plan = Plan(log_id=builders.LOG_ID, workers=0, level=level)
    replaying.STANDING_EVERY = 7
    replay(ExportFolder(export), plan, work, is_kept=True, on_entries=count_down)


@pytest.mark.parametrize("level", [Level.SIGNATURES, Level.EXECUTE])
def test_a_process_that_is_killed_leaves_a_work_folder_that_goes_on(
    world: World, tmp_path: Path, level: Level
) -> None:
    dice = random.Random(f"kill {level}")
    for _ in range(3):
        asked = (world.export, tmp_path / "work", level, dice.randrange(5, 9))
        child = get_context("spawn").Process(target=replay_until_killed, args=asked)
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    plan = Plan(log_id=builders.LOG_ID, workers=0, level=level)
    report = replay(ExportFolder(world.export), plan, tmp_path / "work", is_kept=True)
    assert report.resumed_at > 1
    assert report.facts() == audited(world.export, tmp_path / "whole", level=level).facts()


def replay_with_helpers_until_killed(export: Path, work: Path) -> None:
    """Replay in a process of its own, which names its helpers and kills itself."""
    signatures.BATCH_MAX = 1  # so that a worker is there before the log ends

    def kill(_: int) -> None:
        helpers = [str(one.pid) for one in active_children()]
        if len(helpers) == 2:
            (work.parent / "helpers").write_text(" ".join(helpers))
            os.kill(os.getpid(), signal.SIGKILL)

    plan = Plan(log_id=builders.LOG_ID, workers=1)
    replay(ExportFolder(export), plan, work, on_entries=kill)


def runs(pid: str) -> bool:
    """Return whether a process runs; one that nobody has waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_the_helpers_of_a_replay_end_with_it_however_it_ends(world: World, tmp_path: Path) -> None:
    asked = (world.export, tmp_path / "work")
    child = get_context("spawn").Process(target=replay_with_helpers_until_killed, args=asked)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    helpers = (tmp_path / "helpers").read_text().split()
    assert len(helpers) == 2
    deadline = time.monotonic() + 30
    while any(map(runs, helpers)):
        assert time.monotonic() < deadline, "nobody told them"
        time.sleep(0.05)


def die(_: bytes) -> Verdict:
    """End a worker where it should verify."""
    os._exit(9)


def test_a_lost_helper_is_named_and_is_no_verdict(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(log_id=builders.LOG_ID, workers=1)

    def kill_roots(_: int) -> None:
        for one in active_children():
            one.kill()

    with pytest.raises(HelperLost, match="makes roots"):
        replay(ExportFolder(world.export), plan, tmp_path / "one", on_entries=kill_roots)
    monkeypatch.setattr(signatures, "verify_batch", die)
    with pytest.raises(HelperLost, match="verifies signatures"):
        replay(ExportFolder(world.export), plan, tmp_path / "two")
    words = ["replay", str(world.export), "--log-id", builders.LOG_ID.hex(), "--workers", "1"]
    answer = CliRunner().invoke(group, words)
    assert isinstance(answer.exception, TallyError)
    assert answer.exception.code == Exit.INTERNAL
    assert "was it killed, or is memory or disk short? Start it again" in str(answer.exception)


def test_a_work_folder_of_another_log_or_level_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "STANDING_EVERY", 7)
    plan = Plan(log_id=builders.LOG_ID, workers=0, level=Level.MERKLE)
    source = ExportFolder(world.export)
    replay(source, plan, tmp_path / "work", is_kept=True)
    other = builders.genesis(network="dev-other")
    export = forge.write(tmp_path / "other", other, ())
    for asked, place in (
        (Plan(log_id=builders.LOG_ID, workers=0, level=Level.STRUCTURE), world.export),
        (Plan(log_id=log_id_of(other), workers=0, level=Level.MERKLE), export),
    ):
        with pytest.raises(WorkFolderWrong):
            replay(ExportFolder(place), asked, tmp_path / "work", is_kept=True)


def test_two_replays_do_not_work_in_one_folder(world: World, tmp_path: Path) -> None:
    work = tmp_path / "work"
    plan = Plan(log_id=builders.LOG_ID, workers=0, level=Level.STRUCTURE)
    replay(ExportFolder(world.export), plan, work, is_kept=True)
    with held(work / "lock"), pytest.raises(WorkFolderWrong, match="in use by process"):
        replay(ExportFolder(world.export), plan, work, is_kept=True)
    replay(ExportFolder(world.export), plan, work, is_kept=True)


@pytest.mark.parametrize("name", ["store", "tree", "lock", "notes.txt"])
def test_nothing_is_deleted_in_a_folder_of_somebody_else(
    world: World, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "data.mdb").write_bytes(b"a node's")
    plan = Plan(log_id=builders.LOG_ID, workers=0, level=Level.STRUCTURE)
    with pytest.raises(WorkFolderWrong, match=f"holds something else: {name}"):
        replay(ExportFolder(world.export), plan, tmp_path, is_kept=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "data.mdb").read_bytes() == b"a node's"


# What is missing


def test_a_log_or_commits_that_end_early_are_incomplete_and_say_where(
    world: World, tmp_path: Path
) -> None:
    last = next(n for n in reversed(range(len(world.log))) if world.log[n].raws)
    first = forge.first_sequence(world.log, last)
    genesis = world.mirror.genesis
    inside = forge.with_height(world.log, last, raws=world.log[last].raws[:-1])
    no_commits = forge.write(tmp_path / "no-commits", genesis, world.log)
    rows = world.mirror.files[COMMITS]
    (no_commits / files.COMMITS).write_bytes(rows[: len(rows) // 2])
    broken = forge.write(tmp_path / "broken", genesis, world.log)
    (broken / files.ENTRIES).write_bytes(world.mirror.files[LOG][:-3])
    inside_export = forge.write(tmp_path / "inside", genesis, inside)
    for number, level in enumerate(Level):
        with pytest.raises(Incomplete) as found:
            audited(inside_export, tmp_path / f"a{number}", level=level)
        assert (found.value.field, found.value.sequence) == (
            "entry",
            first + len(world.log[last].raws) - 1,
        )
        with pytest.raises(Incomplete):
            audited(no_commits, tmp_path / f"b{number}", level=level)
        with pytest.raises(Incomplete) as found:
            audited(broken, tmp_path / f"c{number}", level=level)
        assert found.value.field == "source"


def test_a_dump_without_a_bundle_or_with_another_checkpoint_is_found(
    world: World, tmp_path: Path
) -> None:
    lacking, other = tmp_path / "lacking", tmp_path / "other"
    for folder in (lacking, other):
        folder.mkdir()
        dumped(world, folder)
    bundles = list(tiles.bundles_of(len(entries_of(world))))
    (lacking / bundles[-1].path()).unlink()
    with pytest.raises(Incomplete, match="is not there"):
        audited(TileDump(lacking), tmp_path / "a")
    text = (other / "checkpoint").read_text(encoding="utf-8")
    parsed = checkpoint.parse(note.parse(text.encode()).text)
    wrong = Checkpoint(origin=parsed.origin, size=parsed.size, root=bytes(32)).text()
    (other / "checkpoint").write_text(text.replace(parsed.text(), wrong), encoding="utf-8")
    with pytest.raises(Tampered) as found:
        audited(TileDump(other), tmp_path / "b", level=Level.MERKLE)
    assert (found.value.field, found.value.sequence) == ("checkpoint.root", parsed.size - 1)


def test_rules_that_nobody_here_knows_are_unverifiable_and_no_accusation(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "RULES_VERSIONS", ())
    with pytest.raises(Unverifiable) as found:
        audited(world.export, tmp_path / "a")
    assert (found.value.height, found.value.field) == (1, "record.rules_version")
    audited(world.export, tmp_path / "b", level=Level.SIGNATURES)


def test_a_set_of_validators_that_no_proposal_explains_is_unverifiable(
    world: World, tmp_path: Path
) -> None:
    at = next(n for n, one in enumerate(world.log) if one.raws)
    log = forge.with_record(world.log, at, validators_hash=bytes(32))
    log = forge.link_again(log, entries_of(world)[0])
    export = forge.write(tmp_path / "export", world.mirror.genesis, log)
    with pytest.raises(Unverifiable) as found:
        audited(export, tmp_path / "a", level=Level.SIGNATURES)
    assert found.value.field == "record.validators_hash"
    with pytest.raises(Tampered) as executed:
        audited(export, tmp_path / "b")
    assert executed.value.field == "record.validators_hash"


# The command


def run(*words: str) -> tuple[int, Any]:
    result = CliRunner().invoke(group, ["replay", *words, "--workers", "0"])
    error = result.exception
    return (error.code, error.details) if isinstance(error, TallyError) else (result.exit_code, {})


def test_each_verdict_has_an_exit_code_of_its_own(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_id = builders.LOG_ID.hex()
    assert run(str(world.export), "--log-id", log_id)[0] == 0
    assert run(str(world.export), "--log-id", "00" * 32)[0] == 8
    assert run(str(tmp_path / "nothing"), "--log-id", log_id)[0] == 3
    assert run(str(world.export), "--log-id", "short")[0] == 2
    at = next(n for n, one in enumerate(world.log) if one.raws)
    log = forge.with_record(world.log, at, log_root=bytes(32))
    export = forge.write(tmp_path / "export", world.mirror.genesis, log)
    code, details = run(str(export), "--log-id", log_id)
    assert (code, details["verdict"], details["field"]) == (8, "tampered", "record.log_root")
    assert details["height"] == world.log[at].commit.header.height
    short = forge.write(tmp_path / "short", world.mirror.genesis, world.log)
    (short / files.COMMITS).write_bytes(b"")
    assert run(str(short), "--log-id", log_id)[0] == 10
    monkeypatch.setattr(catalogue, "RULES_VERSIONS", ())
    assert run(str(world.export), "--log-id", log_id)[0] == 9


def test_the_tiles_of_a_dump_have_to_be_what_lies_below_them(world: World, tmp_path: Path) -> None:
    (tmp_path / "dump").mkdir()
    dump = dumped(world, tmp_path / "dump")
    tile = next(one for one in tiles.tiles_of(len(entries_of(world))) if one.level == 0)
    log_id, path = builders.LOG_ID.hex(), dump / tile.path()
    assert run(str(dump), "--log-id", log_id)[0] == 0
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    code, details = run(str(dump), "--log-id", log_id)
    assert (code, details["field"]) == (8, tile.path())
    assert run(str(dump), "--log-id", log_id, "--level", "structure")[0] == 0
    path.unlink()
    assert run(str(dump), "--log-id", log_id)[0] == 10


def test_a_folder_of_something_else_is_no_work_folder(world: World, tmp_path: Path) -> None:
    log_id, work = builders.LOG_ID.hex(), tmp_path / "work"
    work.mkdir()
    (work / "evidence").write_bytes(b"")
    assert run(str(world.export), "--log-id", log_id, "--work", str(work))[0] == 2
    assert [path.name for path in work.iterdir()] == ["evidence"]


def test_a_replay_without_state_roots_says_so(world: World, tmp_path: Path) -> None:
    plan = Plan(log_id=builders.LOG_ID, workers=0, state_roots="none")
    facts = replay(ExportFolder(world.export), plan, tmp_path / "work").facts()
    assert str(facts["verdict"]).endswith("but for the roots of the state")
    assert facts["state_roots"] == "left out"


def test_a_path_or_an_address_says_which_source_it_is(world: World, tmp_path: Path) -> None:
    (tmp_path / "dump").mkdir()
    with closing(open_source(str(world.store))) as store:
        assert isinstance(store, NodeStore)
    assert isinstance(open_source(str(dumped(world, tmp_path / "dump"))), TileDump)
    assert isinstance(open_source(str(world.export)), ExportFolder)


def test_an_api_whose_stream_breaks_off_is_read_on(world: World, tmp_path: Path) -> None:
    mirror = world.mirror
    mirror.cut_after = 20_000
    try:
        report = audited(Api(mirror.client()), tmp_path / "work")
    finally:
        mirror.cut_after = None
    assert report.counts.entries == len(list(read_entries_of(world)))


def read_entries_of(world: World) -> Any:
    with (world.export / files.ENTRIES).open("rb") as file:
        yield from read_entries(file)


def test_the_log_that_the_benchmark_measures_is_sound(tmp_path: Path) -> None:
    genesis = make_log(tmp_path / "log", 600)
    source = ExportFolder(tmp_path / "log")
    plan = Plan(log_id=log_id_of(genesis), workers=0)
    counts = replay(source, plan, tmp_path / "work").counts
    assert counts.transactions > 600
    assert counts.commits == counts.height
