"""Verifiers that strangers wrote accept what four live validators publish, and nothing else.

One network for all tests here: its log has more than 70,000 entries.
"""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from shutil import copytree
from typing import Any

import pytest

from audit.dump import CHECKPOINT, Server
from ledger.encoding import checkpoint, crypto, note, receipt, tiles
from ledger.encoding.note import KeyType, VerifierKey
from ledger.encoding.tiles import BUNDLE_BYTES_MAX
from ledger.entries import ClosingEntry, decode_entry
from ledger.rules.parties import PARTIES
from ledger.rules.programmes import PROGRAMMES
from ledger.rules.vouchers import VOUCHERS, voucher_id
from node.fetch import client_of
from tests.builders import seed
from tests.public import build
from tests.public.fsck import run_fsck
from tests.public.live import ENTRIES, Live, loaded_network, save
from trials.bench.transfers import PROGRAMME, firm

pytestmark = [pytest.mark.ci, pytest.mark.cluster]

HTTP_WORKERS = 16
FLIPS = 200
"""Of bytes of the dump: as many of each level's tiles, the bundles, and the checkpoint."""
FSCKS = 2
"""At a time, each on a dump of its own."""
RECEIPTS = 128
PROOFS = 64
"""State proofs of vouchers; some of other tables besides."""
SEED = 20264
CHECKED_WITHIN_S = 300
"""A guard, never a measure."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Run the network."""
    with loaded_network(tmp_path_factory.mktemp("live")) as network:
        yield network


@pytest.fixture(scope="module")
def dumped(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dump the log of one node as an auditor does."""
    folder = tmp_path_factory.mktemp("dumped") / "dump"
    command = [sys.executable, "-m", "tally", "audit", "export", "--tiles", str(folder)]
    command += ["--node", live.cluster.url("guiyang", "")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHECKED_WITHIN_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def key(live: Live, dumped: Path) -> str:
    """Return the key of the dump's log."""
    return live.log_key((dumped / CHECKPOINT).read_bytes())


def counted(command: list[str], folder: Path) -> dict[str, int]:
    """Return the counts that a checker prints; every verdict of it must have been right."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=CHECKED_WITHIN_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(f"{Path(command[0]).name}: {done.stdout.strip()}")
    counts: dict[str, int] = json.loads(done.stdout)
    return counts


# --- the live nodes ----------------------------------------------------------------------------


def test_fsck_accepts_the_log_of_every_node(live: Live) -> None:
    for party in live.cluster.parties:
        found = run_fsck(live.log_url(party), live.log_key(live.after[party]), workers=HTTP_WORKERS)
        assert found.size is not None, f"{party}: {found.text}"
        assert found.size >= ENTRIES
    assert len(live.cluster.parties) == 4


def test_every_node_serves_the_same_tiles_and_bundles(live: Live) -> None:
    size = min(live.accept(head).checkpoint.size for head in live.after.values())
    paths = [one.path() for one in tiles.tiles_of(size)]
    paths += [one.path() for one in tiles.bundles_of(size)]
    assert "tile/2/000.p/1" in paths

    def every(party: str) -> list[bytes]:
        with client_of(live.cluster.url(party, "")) as client:
            server = Server(client)
            return [server.read(f"/log/{path}", BUNDLE_BYTES_MAX) for path in paths]

    with ThreadPoolExecutor(len(live.cluster.parties)) as pool:
        first, *others = pool.map(every, live.cluster.parties)
    assert len(others) == 3
    for other in others:
        assert other == first
    print(f"four nodes serve the same {len(paths)} tiles and bundles of {size} entries")


def test_libraries_of_go_accept_heads_cosignatures_receipts_and_tiles(
    live: Live, tmp_path: Path
) -> None:
    save(live, tmp_path, receipts=RECEIPTS)
    counts = counted([str(build.strangers()), str(tmp_path)], tmp_path)
    nodes = len(live.cluster.parties)
    heads = [*live.before.values(), *live.after.values()]
    lines = sum(len(note.parse(head).signatures) - 1 for head in heads)
    assert (counts["log_keys"], counts["cosigners"]) == (nodes, nodes) == (4, 4)
    assert counts["heads"] == counts["log_signatures"] == counts["heads_under_the_policy"] == 8
    assert counts["cosignatures"] == 2 * lines, "by two libraries each"
    assert sum(len(live.accept(head).cosigned) for head in live.after.values()) == 16
    changed = ("refused_text", "refused_log_signature", "refused_cosignature")
    assert sum(counts[name] for name in changed) > 5_000
    assert min(counts[name] for name in changed) > 500
    for name in ("cosigned", "by_sumdb", "by_torchwood"):
        assert counts[f"receipts_{name}"] == RECEIPTS
    assert counts["receipts_cosignatures"] >= 3 * RECEIPTS
    assert counts["refused_receipts"] == 5 * RECEIPTS
    assert counts["refused_receipt_bytes"] > 4_000
    assert counts["consistent_pairs"] == nodes * nodes
    assert counts["refused_consistency"] >= 10 * nodes * nodes
    assert counts["roots_from_tiles"] == nodes
    assert counts["records_from_tiles"] == counts["refused_tiles"] == 250 * nodes

    head = tmp_path / "heads" / "before-shanghai"
    head.write_bytes(head.read_bytes().replace(b"\n", b"\n1", 1))  # another size
    assert_fails([str(build.strangers()), str(tmp_path)], tmp_path, "wrong verdict (heads)")


def assert_fails(command: list[str], folder: Path, sentence: str) -> None:
    """Run a checker on what does not hold: it must say so."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=CHECKED_WITHIN_S
    )
    assert done.returncode == 1
    assert sentence in done.stderr


def test_ics23_accepts_proofs_of_records_and_refuses_altered_ones(
    live: Live, tmp_path: Path
) -> None:
    folder = build.ics23()
    step = ENTRIES // PROOFS
    keys = [VOUCHERS.key(voucher_id(PROGRAMME, 1 + n * step)) for n in range(PROOFS)]
    keys += [PROGRAMMES.key(PROGRAMME), *(PARTIES.key(firm(number)) for number in range(5))]
    answers = []
    for index, record in enumerate(keys):
        party = live.cluster.parties[index % len(live.cluster.parties)]
        answer = live.cluster.get(party, f"/v1/proofs/{record.decode()}")
        assert answer["value"] is not None, record
        assert answer["state_root"] == rooted(live, answer["receipt"].encode())
        answers.append(answer)
    lines = [json.dumps(one) for one in answers]
    (tmp_path / "proofs").write_text("\n".join(lines))
    command = ["node", str(build.HERE / "ics23" / "check.mjs"), str(tmp_path / "proofs")]
    counts = counted(command, folder)
    assert counts == {
        "accepted": PROOFS + 6,
        "refused": 14 * (PROOFS + 6),
        "kinds_of_change": 14,
    }

    lines[-1] = json.dumps({**answers[-1], "value": answers[0]["value"]})
    (tmp_path / "proofs").write_text("\n".join(lines))
    assert_fails(command, folder, f"{keys[-1].decode()} is refused")


def rooted(live: Live, data: bytes) -> Any:
    """Return the state root that a record on the log carries, in hex."""
    found = receipt.parse(data)
    receipt.verify(found, entry=found.extra, trusted=live.trusted)
    entry = decode_entry(found.extra)
    assert isinstance(entry, ClosingEntry)
    (root,) = entry.record.state_root
    return root.root.hex()


# --- the dump ----------------------------------------------------------------------------------


def size_of(folder: Path) -> int:
    """Return how many entries a dump has."""
    return checkpoint.parse(note.parse((folder / CHECKPOINT).read_bytes()).text).size


def test_fsck_accepts_the_dump(dumped: Path, key: str) -> None:
    assert (dumped / "tile" / "2" / "000.p" / "1").is_file()
    found = run_fsck(f"file://{dumped}/", key)
    assert found.size == size_of(dumped) >= ENTRIES, found.text


def test_fsck_accepts_no_other_key(dumped: Path, key: str) -> None:
    other = VerifierKey(
        name=note.parse_verifier_key(key).name,
        type=KeyType.ED25519,
        public_key=crypto.public_key(seed("other")),
    )
    assert not run_fsck(f"file://{dumped}/", other.text()).accepted


def log_part(data: bytes) -> bytes:
    """Return a head through the line of its log: fsck is told of no cosigner's key."""
    lines = note.parse(data).signatures
    end = data.index(b"\n", data.index(b"\n\n") + 2) + 1
    assert lines[0].name == checkpoint.parse(note.parse(data).text).origin
    return data[:end]


def is_same_note(one: bytes, other: bytes) -> bool:
    """Return whether two notes differ in bits of the last line's base64 that stand for nothing."""
    (text, line), (other_text, other_line) = one.rsplit(b" ", 1), other.rsplit(b" ", 1)
    if text != other_text or not re.fullmatch(rb"[A-Za-z0-9+/]+=\n", other_line):
        return False
    return base64.b64decode(line) == base64.b64decode(other_line)


def test_three_changes_of_a_byte_of_the_logs_line_change_nothing_for_fsck(
    dumped: Path, key: str
) -> None:
    path = dumped / CHECKPOINT
    data, idle = path.read_bytes(), []
    part = log_part(data)
    for at in range(len(part)):
        for byte in range(256):
            changed = part[:at] + bytes([byte]) + part[at + 1 :]
            if changed != part and is_same_note(part, changed):
                idle.append(changed + data[len(part) :])
    assert len(idle) == 3, "two bits of 68 bytes in base64"
    for changed in idle:
        path.write_bytes(changed)
        found = run_fsck(f"file://{dumped}/", key)
        path.write_bytes(data)
        assert found.accepted
        with pytest.raises(note.MalformedNote):  # Y1 is stricter
            note.parse(changed)


Flip = tuple[Path, int, int]
"""A file's path in the dump, a place in it, and the byte that is to stand there."""


def drawn_flips(dumped: Path) -> tuple[list[Flip], int]:
    """Return changed bytes, as many of each kind of file; and how many idle ones were left out."""
    dice = Random(SEED)
    kinds = [
        sorted(path for path in (dumped / name).rglob("*") if path.is_file())
        for name in ("tile/0", "tile/1", "tile/2", "tile/entries")
    ]
    kinds.append([dumped / CHECKPOINT])
    flips: list[Flip] = []
    idle = 0
    while len(flips) < FLIPS:
        path = dice.choice(kinds[len(flips) % len(kinds)])
        data = path.read_bytes()
        if path.name == CHECKPOINT:
            data = log_part(data)  # of the other lines the libraries of Go know more
        at = dice.randrange(len(data))
        byte = data[at] ^ dice.randrange(1, 256)
        if path.name == CHECKPOINT and is_same_note(
            data, data[:at] + bytes([byte]) + data[at + 1 :]
        ):
            idle += 1
            continue
        flips.append((path.relative_to(dumped), at, byte))
    return flips, idle


def count_refused(folder: Path, key: str, flips: list[Flip]) -> tuple[int, int]:
    """Return how many flips fsck refused, and how many of them by silence; it must refuse all."""
    late = 0
    for name, at, byte in flips:
        path = folder / name
        data = path.read_bytes()
        path.write_bytes(data[:at] + bytes([byte]) + data[at + 1 :])
        found = run_fsck(f"file://{folder}/", key)
        path.write_bytes(data)
        assert not found.accepted, f"byte {at} of {name}: {byte}"
        late += found.is_late
    assert run_fsck(f"file://{folder}/", key).accepted, "it is as it was"
    return len(flips), late


def test_fsck_refuses_the_dump_after_any_byte_is_changed(
    dumped: Path, key: str, tmp_path: Path
) -> None:
    flips, idle = drawn_flips(dumped)
    folders = [copytree(dumped, tmp_path / str(number)) for number in range(FSCKS)]
    with ThreadPoolExecutor(FSCKS) as pool:
        done = list(
            pool.map(
                lambda number: count_refused(folders[number], key, flips[number::FSCKS]),
                range(FSCKS),
            )
        )
    refused, late = (sum(counts) for counts in zip(*done, strict=True))
    assert refused == FLIPS
    print(f"fsck refused {refused} changed bytes ({late} by silence, {idle} idle ones left out)")


def test_fsck_refuses_a_dump_that_lacks_a_file(dumped: Path, key: str) -> None:
    dice = Random(SEED)
    every = sorted(path for path in (dumped / "tile").rglob("*") if path.is_file())
    for path in [dumped / CHECKPOINT, *(dice.choice(every) for _ in range(10))]:
        path.rename(dumped / "aside")
        found = run_fsck(f"file://{dumped}/", key)
        (dumped / "aside").rename(path)
        assert not found.accepted, path
