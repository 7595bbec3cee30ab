"""A dump of tiles is accepted as an export is, and what is wrong in it is named."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from audit.commands.audit import group
from ledger.encoding import merkle, note, tiles
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.note import Note
from tally.exits import NotFound
from tests.ledger import acts
from tests.verifier.ledgers import Export, played
from verifier.dump import path_of
from verifier.finding import Finding, Level
from verifier.verify import verify

TRANSACTIONS = 900
FLIPS = 35
SIGNERS = ("shanghai", "guiyang")


@cache
def world() -> Export:
    """Return a ledger with more than two tiles of entries."""
    return played(1, TRANSACTIONS)


def checkpoint(export: Export) -> Checkpoint:
    """Return the head of the whole log."""
    origin = f"tallystick.log/dev-acts/{export.log_id.hex()}"
    return Checkpoint(origin=origin, size=len(export.log), root=merkle.root(export.log))


def signed(head: Checkpoint, seeds: Callable[[str, str], bytes]) -> bytes:
    """Return the note of a checkpoint, signed and cosigned by two validators."""
    text = head.text()
    lines = [note.sign(text, name=head.origin, seed=seeds(who, "log")) for who in SIGNERS]
    lines += [
        note.cosign(text, name=f"witness.{who}", seed=seeds(who, "cosigner"), time_s=1_780_000_000)
        for who in SIGNERS
    ]
    return Note(text=text, signatures=tuple(lines)).to_bytes()


def true_seed(*names: str) -> bytes:
    """Return the seed of a validator's key."""
    return acts._SEEDS[acts.key_of(*names)]


def dump(export: Export, folder: Path) -> Path:
    """Write the static files of a log's head."""

    def node(level: int, index: int) -> bytes:
        return merkle.root(export.log[index << level : (index + 1) << level])

    size = len(export.log)
    contents = {one.path(): tiles.tile_bytes(one, node) for one in tiles.tiles_of(size)}
    for bundle in tiles.bundles_of(size):
        at = bundle.index * tiles.TILE_WIDTH
        contents[bundle.path()] = tiles.bundle_bytes(export.log[at : at + bundle.width])
    contents["checkpoint"] = signed(checkpoint(export), true_seed)
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    export.write(folder)
    (folder / "genesis.bin").unlink()
    (folder / "entries.bin").unlink()
    return folder


def paths(folder: Path) -> list[str]:
    """Return the files of a dump."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def test_a_dump_says_what_the_export_says(tmp_path: Path) -> None:
    export = world()
    one = dump(export, tmp_path / "dump")
    two = export.write(tmp_path / "export")
    assert len(export.log) > 2 * tiles.TILE_WIDTH
    for level in Level:
        assert verify(one, export.log_id, level) == verify(two, export.log_id, level)
    words = ["verify", str(one), "--log-id", export.log_id.hex()]
    assert CliRunner().invoke(group, words).exit_code == 0
    (one / "commits.bin").unlink()
    assert isinstance(CliRunner().invoke(group, words).exception, NotFound)


def test_a_flipped_bit_of_a_tile_or_bundle_is_found(tmp_path: Path) -> None:
    export, dice = world(), Random("flips")
    folder = dump(export, tmp_path)
    named = [path for path in paths(folder) if path.startswith("tile/")]
    assert len(named) == 7, "two full tiles and a narrow one, their bundles, and one above"
    for number in range(FLIPS):
        path = named[number % len(named)]
        data = (folder / path).read_bytes()
        bent = bytearray(data)
        bent[dice.randrange(len(bent))] ^= 1 << dice.randrange(8)
        (folder / path).write_bytes(bytes(bent))
        with pytest.raises(Finding) as found:
            verify(folder, export.log_id, Level.MERKLE)
        if "entries" not in path:
            assert found.value.field == path
        (folder / path).write_bytes(data)
    verify(folder, export.log_id, Level.MERKLE)


def test_a_missing_tile_is_named(tmp_path: Path) -> None:
    export = world()
    folder = dump(export, tmp_path)
    for path in paths(folder):
        if path.startswith("tile/"):
            data = (folder / path).read_bytes()
            (folder / path).unlink()
            with pytest.raises(Finding) as found:
                verify(folder, export.log_id, Level.MERKLE)
            assert (found.value.field, found.value.reason) == (path, "it is missing")
            (folder / path).write_bytes(data)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (b"dev-acts", b"dev-bcts", "checkpoint.origin"),
        (b"\n\n", b"\nextension\n\n", "checkpoint"),
        (b"\n\n", b"\n", "checkpoint"),
        (b"\xe2\x80\x94 witness", b"- witness", "checkpoint"),
        (b"=\n\n", b"\n\n", "checkpoint"),
    ],
)
def test_a_checkpoint_of_another_form_is_found(
    old: bytes, new: bytes, field: str, tmp_path: Path
) -> None:
    export = world()
    path = dump(export, tmp_path) / "checkpoint"
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    with pytest.raises(Finding) as found:
        verify(tmp_path, export.log_id, Level.MERKLE)
    assert found.value.field == field


def test_a_root_that_the_entries_do_not_have_is_found(tmp_path: Path) -> None:
    export = world()
    folder = dump(export, tmp_path)
    head = checkpoint(export)
    forged = Checkpoint(origin=head.origin, size=head.size, root=bytes(32))
    (folder / "checkpoint").write_bytes(signed(forged, true_seed))
    verify(folder, export.log_id, Level.STRUCTURE)
    with pytest.raises(Finding) as found:
        verify(folder, export.log_id, Level.MERKLE)
    assert found.value.field == "checkpoint.root"


@pytest.mark.parametrize("line", [-1, -3])
def test_a_line_of_a_validator_that_does_not_verify_is_found(line: int, tmp_path: Path) -> None:
    export = world()
    folder = dump(export, tmp_path)
    signed_note = note.parse((folder / "checkpoint").read_bytes())
    lines = list(signed_note.signatures)
    bent = lines[line].value[:-1] + bytes((lines[line].value[-1] ^ 1,))
    lines[line] = note.Signature(name=lines[line].name, key_id=lines[line].key_id, value=bent)
    (folder / "checkpoint").write_bytes(
        Note(text=signed_note.text, signatures=tuple(lines)).to_bytes()
    )
    verify(folder, export.log_id, Level.MERKLE)
    with pytest.raises(Finding) as found:
        verify(folder, export.log_id, Level.SIGNATURES)
    assert found.value.field == "checkpoint.signatures"


def test_a_checkpoint_that_strangers_signed_is_unverifiable(tmp_path: Path) -> None:
    export = world()
    folder = dump(export, tmp_path)
    data = signed(checkpoint(export), lambda who, use: true_seed(who, "link"))
    (folder / "checkpoint").write_bytes(data)
    report = verify(folder, export.log_id, Level.SIGNATURES)
    assert report.unverifiable == ("No log key of a validator signed the checkpoint.",)


def test_paths_are_those_of_the_page() -> None:
    assert path_of("0", 5, 256) == "tile/0/005"
    assert path_of("entries", 1_234_067, 8) == "tile/entries/x001/x234/067.p/8"
    assert path_of("1", 1_000, 256) == "tile/1/x001/000"
