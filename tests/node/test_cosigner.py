"""A cosigner never signs two heads that do not extend each other, whatever is lost or restored."""

import functools
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from ledger.encoding import merkle, note, tiles
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.crypto import public_key
from ledger.encoding.note import Signature
from ledger.encoding.receipt import HASHES_MAX
from ledger.encoding.text import MalformedText
from ledger.encoding.tiles import Tile
from ledger.trust import log_key
from node import cosigner
from node.cosigner import (
    Answer,
    Cosigner,
    Request,
    parse_request,
    proof_between,
    root_at,
)
from node.port import COSIGN_BYTES_MAX
from tests.builders import seed

ORIGIN = "tallystick.log/dev-test/" + "0b" * 32
LOG_KEY = log_key(ORIGIN, public_key(seed("guiyang", "log")))
LIVES = 60
STEPS = 100


USUAL = 4 * ("follow", "own", "add") + 2 * ("grow",)
RARE = ("copy", "die", "restore")


class Tree:
    """The one log of a ledger, as far as a node has come."""

    def __init__(self, size: int) -> None:
        self.size = size

    @staticmethod
    @functools.cache
    def node(level: int, index: int) -> bytes:
        """Return a perfect subtree's root by its definition."""
        first = index << level
        return merkle.root([b"%d" % n for n in range(first, first + (1 << level))])

    def tile(self, tile: Tile) -> bytes:
        """Return a tile."""
        return tiles.tile_bytes(tile, self.node)

    def head(self, size: int) -> Checkpoint:
        """Return the head of a size."""
        return Checkpoint(origin=ORIGIN, size=size, root=root_at(self, size))


def asked(
    tree: Tree, old: int, head: Checkpoint, *, proof: tuple[bytes, ...] | None = None
) -> bytes:
    """Return the body in which another validator asks to cosign a head."""
    signed = note.Note(
        text=head.text(),
        signatures=(note.sign(head.text(), name=ORIGIN, seed=seed("guiyang", "log")),),
    )
    led = proof_between(tree, old, head.size) if proof is None else proof
    return Request(old_size=old, proof=led, head=signed).to_bytes()


def made(path: Path, *seeds: bytes) -> Cosigner:
    """Return a cosigner that starts."""
    return Cosigner(
        origin=ORIGIN, party="shanghai", seeds=seeds or (seed("shanghai", "cosigner"),), path=path
    )


def add(one: Cosigner, tree: Tree, body: bytes, time_s: int = 1_000) -> Answer:
    """Have a cosigner asked."""
    return one.add(body, tree=tree, log_keys=[LOG_KEY], time_s=time_s)


def ids_of(one: Cosigner) -> list[bytes]:
    """Return the ids of a cosigner's keys."""
    return [key.id for key in tuple(one.keys())]


@dataclass
class World:
    """A network's log, one of its nodes that dies and is restored, and all that its key signed."""

    folder: Path
    dice: Random
    log_size: int = 2
    node: Tree = field(default_factory=lambda: Tree(2))
    clock_s: int = 1_000
    signed: list[tuple[Checkpoint, Signature]] = field(default_factory=list)
    copies: list[tuple[bytes | None, int]] = field(default_factory=list)
    """Backups: the record, and the size of the store beside it."""
    restored: int = 0
    """How often an old record, or none, took the place of the last one."""
    sure_from: int | None = None
    """The size that the log had when the node heard, after its start, where the others are."""

    def start(self) -> None:
        """Let the node start; it knows nothing of before."""
        self.cosigner = made(self.folder / "cosigned")
        self.sure_from = None

    def step(self) -> None:
        """Let one thing happen."""
        match self.dice.choice(USUAL + RARE):
            case "grow":
                self.log_size += self.dice.randrange(1, 40)
            case "follow":
                behind = self.log_size - self.node.size
                self.node.size += self.dice.choice((behind, self.dice.randint(0, behind)))
                self._end_silence()
            case "own":
                head = self.node.head(self._some_size(self.node.size))
                for line in self.cosigner.own(head, tree=self.node, time_s=self._now()):
                    self.signed.append((head, line))
            case "add":
                self._add()
            case "copy":
                path = self.folder / "cosigned"
                record = path.read_bytes() if path.exists() else None
                self.copies.append((record, self.node.size))
            case "die":
                self.start()
            case "restore" if self.copies:
                record, size = self.dice.choice(self.copies)
                self.restored += 1
                self._put(record)
                if self.dice.random() < 0.5:
                    self.node.size = size  # the store is an old one too
                self.start()

    def _some_size(self, most: int) -> int:
        """Return a size, mostly one that is about as large as can be."""
        return self.dice.randint(self.dice.choice((1, max(1, most - 20), most)), most)

    def _add(self) -> None:
        network = Tree(self.log_size)
        head = network.head(self._some_size(self.log_size))
        old = 0
        for _ in range(2):
            proof = None if old <= head.size else ()
            answer = add(
                self.cosigner, self.node, asked(network, old, head, proof=proof), self._now()
            )
            if answer.status == 200:
                self.signed += [(head, one) for one in note.parse_signatures(answer.text.encode())]
            if answer.status != 409:
                return
            old = int(answer.text)

    def _end_silence(self) -> None:
        """Hear the others, and later have committed what they were deciding (Y11.4)."""
        if self.sure_from is None and self.node.size == self.log_size:
            self.sure_from = self.log_size
        if self.sure_from is not None and self.dice.random() < 0.5:
            self.cosigner.end_silence(self.node.size)

    def _now(self) -> int:
        self.clock_s += self.dice.randint(-5, 10)
        return self.clock_s

    def _put(self, record: bytes | None) -> None:
        path = self.folder / "cosigned"
        path.unlink(missing_ok=True)
        if record is not None:
            path.write_bytes(record)


def test_no_life_of_a_cosigner_contradicts_another(tmp_path: Path) -> None:
    signed = restored = 0
    for number in range(LIVES):
        folder = tmp_path / str(number)
        folder.mkdir()
        world = World(folder=folder, dice=Random(number))
        world.start()
        for _ in range(STEPS):
            world.step()
        sizes = [head.size for head, _ in world.signed]
        assert sizes == sorted(sizes), f"life {number} took something back"
        for head, line in world.signed:
            assert head.root == Tree(head.size).head(head.size).root
            own = world.cosigner.keys()
            assert note.verify(note.Note(text=head.text(), signatures=(line,)), own)
        signed += len(world.signed)
        restored += world.restored
    assert signed > 2 * LIVES
    assert restored > LIVES, (signed, restored)


@pytest.fixture
def speaking(tmp_path: Path) -> Cosigner:
    """Return a cosigner that knows where it was."""
    one = made(tmp_path / "cosigned")
    one.end_silence(1)
    return one


def test_without_its_silence_a_restored_cosigner_would_contradict_itself(tmp_path: Path) -> None:
    """The control: this is what Y11.4 protects from."""
    path, tree = tmp_path / "cosigned", Tree(9)
    one = made(path)
    one.end_silence(1)
    one.own(tree.head(5), tree=tree, time_s=1)
    old = path.read_bytes()
    assert one.own(tree.head(9), tree=tree, time_s=2)
    path.write_bytes(old)
    restored = made(path)
    assert restored.is_silent
    assert restored.own(tree.head(7), tree=tree, time_s=3) == ()
    restored.end_silence(1)
    assert restored.own(tree.head(7), tree=tree, time_s=3), "a smaller head, cosigned later"


def fork_of(size: int) -> Checkpoint:
    """Return a head that is none of the log."""
    return Checkpoint(origin=ORIGIN, size=size, root=b"f" * 32)


def test_what_is_answered_in_which_order(speaking: Cosigner) -> None:
    tree = Tree(9)
    fork = fork_of(7)
    other = Checkpoint(origin="elsewhere", size=7, root=b"f" * 32)
    unsigned = Request(
        old_size=0,
        proof=(),
        head=note.Note(
            text=tree.head(7).text(),
            signatures=(note.sign(tree.head(7).text(), name=ORIGIN, seed=seed("x", "log")),),
        ),
    ).to_bytes()
    steps: list[tuple[str, bytes, int, str]] = [
        ("no request", b"old 0\n", 400, "empty line"),
        ("a size with a leading zero", b"old 00\n\n", 400, ""),
        ("another log", asked(tree, 0, other), 404, "expected the origin"),
        ("nobody's head", unsigned, 403, "no validator"),
        ("a future old size", asked(tree, 8, tree.head(7), proof=()), 400, "at most 7"),
        ("a fork from the start", asked(tree, 0, fork, proof=()), 422, "another root"),
        ("a proof from nothing", asked(tree, 0, tree.head(7), proof=(b"p" * 32,)), 422, "lead"),
        ("the first head", asked(tree, 0, tree.head(5)), 200, "shanghai"),
        ("an old size that it is not at", asked(tree, 0, tree.head(7)), 409, "5\n"),
        ("a proof of something else", asked(tree, 5, tree.head(7), proof=()), 422, "lead"),
        ("a fork later", asked(tree, 5, fork), 422, "lead"),
        ("another head of the last size", asked(tree, 5, fork_of(5), proof=()), 409, "5\n"),
        ("what this node does not have yet", asked(Tree(10), 5, Tree(10).head(10)), 503, "9"),
        ("the next head", asked(tree, 5, tree.head(7)), 200, "shanghai"),
        ("the same again", asked(tree, 7, tree.head(7)), 200, "shanghai"),
        ("an older one", asked(tree, 7, tree.head(5), proof=()), 400, "at most 5"),
        ("all that this node has", asked(tree, 7, tree.head(9)), 200, "shanghai"),
    ]
    for name, body, status, words in steps:
        answer = add(speaking, tree, body)
        assert answer.status == status, f"{name}: {answer}"
        assert words in answer.text, f"{name}: {answer}"


def test_times_never_go_back(speaking: Cosigner) -> None:
    tree = Tree(9)
    for time_s, expected in ((50, 50), (40, 50), (60, 60)):
        (line,) = speaking.own(tree.head(5), tree=tree, time_s=time_s)
        head = note.Note(text=tree.head(5).text(), signatures=(line,))
        assert note.verify(head, speaking.keys())[0].time_s == expected


@pytest.mark.parametrize(("size", "time_s"), [(5, 51), (5, 60), (7, 50), (7, 60)])
def test_what_was_cosigned_last_and_when_outlives_a_restart(
    tmp_path: Path, size: int, time_s: int
) -> None:
    path, tree = tmp_path / "cosigned", Tree(9)
    one = made(path)
    one.end_silence(1)
    for head, at_s in ((5, 50), (size, time_s)):
        one.own(tree.head(head), tree=tree, time_s=at_s)
    heir = made(path)
    heir.end_silence(1)
    assert heir.own(tree.head(size - 1), tree=tree, time_s=70) == ()
    (line,) = heir.own(tree.head(size), tree=tree, time_s=1)
    head_again = note.Note(text=tree.head(size).text(), signatures=(line,))
    assert note.verify(head_again, heir.keys())[0].time_s == time_s


def test_the_same_head_at_the_same_time_is_not_written_again(
    speaking: Cosigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(9)
    speaking.own(tree.head(5), tree=tree, time_s=50)
    monkeypatch.setattr(cosigner, "write_durably", lambda *_: pytest.fail("it is written already"))
    assert speaking.own(tree.head(5), tree=tree, time_s=50)
    assert add(speaking, tree, asked(tree, 5, tree.head(5)), time_s=49).status == 200


def malformed(body: bytes) -> str:
    """Return what is wrong with a request's form; empty if nothing."""
    try:
        parse_request(body)
    except MalformedText as error:
        return str(error)
    return ""


def test_a_request_may_have_as_many_hashes_as_a_proof_can_have_and_no_more() -> None:
    tree = Tree(9)
    longest = asked(tree, 5, tree.head(7), proof=(b"p" * 32,) * HASHES_MAX)
    longer = asked(tree, 5, tree.head(7), proof=(b"p" * 32,) * (HASHES_MAX + 1))
    assert malformed(longest) == ""
    assert "at most 63 hashes, got 64" in malformed(longer)


def test_a_request_may_be_so_long_and_no_longer() -> None:
    assert malformed(bytes(COSIGN_BYTES_MAX)) == "expected an empty line before the checkpoint"
    assert "expected at most" in malformed(bytes(COSIGN_BYTES_MAX + 1))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("old 5\n", "an empty line"),
        ("öld 5\n\n", "not ASCII"),
        ("new 5\n\n", "a first line `old`"),
        ("old5\n\n", "a first line `old`"),
    ],
)
def test_what_is_no_request_is_told_so(body: str, says: str) -> None:
    assert says in malformed(body.encode())


def test_nothing_is_signed_before_it_is_durable(
    speaking: Cosigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(9)
    speaking.own(tree.head(5), tree=tree, time_s=1)

    def fails(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(cosigner, "write_durably", fails)
        with pytest.raises(OSError, match="No space"):
            speaking.own(tree.head(7), tree=tree, time_s=2)
        with pytest.raises(OSError, match="No space"):
            add(speaking, tree, asked(tree, 5, tree.head(7)))
    assert add(speaking, tree, asked(tree, 7, tree.head(9))).text == "5\n", "it is where it was"


def test_a_log_that_contradicts_what_was_cosigned_stops_the_node(
    speaking: Cosigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(9)
    speaking.own(tree.head(5), tree=tree, time_s=1)
    monkeypatch.setattr(Tree, "node", staticmethod(lambda level, index: b"n" * 32))
    with pytest.raises(AssertionError, match="another root at 5"):
        speaking.own(tree.head(9), tree=tree, time_s=2)


def test_a_new_key_takes_over_the_record_of_the_old_one(tmp_path: Path) -> None:
    path, tree = tmp_path / "cosigned", Tree(9)
    old, new = seed("shanghai", "cosigner"), seed("shanghai", "next cosigner")
    one = made(path, old, new)
    one.end_silence(1)
    lines = one.own(tree.head(5), tree=tree, time_s=1)
    assert [line.key_id for line in lines] == ids_of(one)
    heir = made(path, new, old)
    heir.end_silence(1)
    assert heir.own(tree.head(3), tree=tree, time_s=2) == (), "nothing is taken back"
    lines = heir.own(tree.head(7), tree=tree, time_s=2)
    assert [line.key_id for line in lines] == ids_of(heir)
    alone = made(path, new)
    alone.end_silence(1)
    assert alone.own(tree.head(6), tree=tree, time_s=3) == ()


@pytest.mark.parametrize("damage", [b"", b"junk", b"\xff" * 200])
def test_a_record_that_is_damaged_is_as_good_as_lost(tmp_path: Path, damage: bytes) -> None:
    path, tree = tmp_path / "cosigned", Tree(9)
    path.write_bytes(damage)
    one = made(path)
    assert one.is_silent
    assert one.own(tree.head(5), tree=tree, time_s=1) == ()
    assert add(one, tree, asked(tree, 0, tree.head(5))).status == 503
    one.end_silence(5)
    assert one.own(tree.head(4), tree=tree, time_s=1) == (), "too small"
    assert add(one, tree, asked(tree, 0, tree.head(4))).status == 503, "too small"
    assert add(one, tree, asked(tree, 0, tree.head(5))).status == 200


def test_a_cosigner_speaks_of_heads_from_a_size_on(tmp_path: Path) -> None:
    one, tree = made(tmp_path / "cosigned"), Tree(9)
    one.end_silence(5)
    assert one.own(tree.head(4), tree=tree, time_s=1) == ()
    assert one.own(tree.head(5), tree=tree, time_s=1)
