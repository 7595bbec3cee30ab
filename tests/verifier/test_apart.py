"""The second reader shares nothing with the first, and agrees with it on bytes and signatures."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.encoding import crypto
from ledger.encoding.codec import NotCanonical
from ledger.inadmissible import KindUnknown
from ledger.transactions import parse
from tests.ledger import public_vectors
from tests.reference import merkle as reference
from tests.verifier.ledgers import pack, played, unpack
from verifier import kinds, signatures, tree
from verifier.blocks import decode_transaction
from verifier.wire import Malformed, decode, natural

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = 6_000
ACCEPTED_MIN = 300
"""Of the mutants: what nobody accepts compares nothing."""

ALONE = """
import importlib, pkgutil, sys
from pathlib import Path

BLOCKED = {
    "ledger", "consensus", "node", "wallet", "api", "audit", "localnet", "tally", "tests", "msgspec"
}

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocked())
try:
    import ledger
except ImportError:
    pass
else:
    raise SystemExit("nothing is blocked")
import verifier
for module in pkgutil.iter_modules(verifier.__path__):
    importlib.import_module("verifier." + module.name)
from verifier.finding import Level
from verifier.verify import verify
report = verify(Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), Level.SIGNATURES)
print(report.log_size)
"""

SAMPLES: tuple[Any, ...] = (
    *(
        0,
        1,
        -1,
        2,
        16,
        64,
        65,
        1999,
        2000,
        10_000,
        10_001,
        2**53 - 1,
        2**53,
        -(2**53) + 1,
        -(2**53),
    ),
    *(True, False, None, 1.5, {}, b"", b"x" * 31, b"x" * 32, b"x" * 33, b"x" * 64),
    *("", "a", "A", "-a", "a\n", "x" * 32, "x" * 33, "x" * 64, "x" * 65, "x" * 96, "x" * 97),
    *("é" * 64, "é" * 128, "é" * 129, "a.b", "a.b.000000001", "a.000000001", "a.000000001-000"),
    *("open", "active", "builtin", "comet", "city", "training", "decide", "voucher.mint"),
    *([], [[]], ["a"], [1], [b"x" * 32]),
)


def test_it_works_where_nothing_of_the_project_can_be_imported(tmp_path: Path) -> None:
    export = played()
    words = [sys.executable, "-c", ALONE, str(export.write(tmp_path)), export.log_id.hex()]
    outcome = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (outcome.returncode, outcome.stdout) == (0, f"{len(export.log)}\n"), outcome.stderr


def operations() -> dict[str, list[list[Any]]]:
    """Return envelopes of real transactions, decoded, by kind and act."""
    found: dict[str, list[list[Any]]] = {}
    for raw in played(22, 1_600).log:
        entry = unpack(raw)
        if entry[0] == "transaction":
            body, pairs = unpack(entry[1])
            value = unpack(body)
            kind, *fields = value[3]
            acts = [field[0] for field in fields if isinstance(field, list) and field]
            named = [act for act in acts[:1] if isinstance(act, str)]
            found.setdefault("/".join([kind, *named]), []).append([value, pairs])
    return found


def places(value: Any, path: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Yield the way to everything in a value."""
    yield path
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from places(item, (*path, number))


def put(value: Any, path: tuple[int, ...], other: Any) -> Any:
    """Return a value with something else in a place."""
    if not path:
        return other
    items = list(value)
    items[path[0]] = put(items[path[0]], path[1:], other)
    return items


def get(value: Any, path: tuple[int, ...]) -> Any:
    """Return what lies in a place."""
    for number in path:
        value = value[number]
    return value


def mutant(dice: random.Random, value: Any) -> Any:
    """Return a body with another value, or an array of another length, in one place."""
    path = dice.choice(list(places(value)))
    old = get(value, path)
    if isinstance(old, list) and dice.random() < 0.5:
        times = dice.choice((2, 17, 65))
        return put(value, path, dice.choice((old[:-1], old + old[:1], (old * times)[:times])))
    return put(value, path, dice.choice(SAMPLES))


def is_read(raw: bytes) -> bool:
    """Return whether the second reader takes an envelope."""
    try:
        decode_transaction(raw)
    except Malformed:
        return False
    return True


def is_parsed(raw: bytes) -> bool:
    """Return whether the first one does."""
    try:
        parse(raw)
    except (NotCanonical, KindUnknown):
        return False
    return True


def test_both_readers_take_the_same_envelopes() -> None:
    dice = random.Random("mutants")
    found = operations()
    assert {name.partition("/")[0] for name in found} == set(kinds.KINDS)
    verdicts: Counter[bool] = Counter()
    for number in range(MUTANTS):
        name = sorted(found)[number % len(found)]
        value, pairs = dice.choice(found[name])
        changed = mutant(dice, value)
        raw = pack([pack(changed), pairs])
        assert is_read(raw) == is_parsed(raw), f"{name}: {changed}"
        verdicts[is_read(raw)] += 1
    print(f"envelopes taken: {verdicts[True]}, refused: {verdicts[False]}")
    assert verdicts[True] >= ACCEPTED_MIN


def test_both_readers_take_the_same_bytes() -> None:
    dice = random.Random("bytes")
    raws = [unpack(raw)[1] for raw in played().log if unpack(raw)[0] == "transaction"]
    for _ in range(MUTANTS):
        raw = bytearray(dice.choice(raws))
        for _ in range(dice.choice((1, 1, 2))):
            raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
        data = bytes(raw[: dice.choice((len(raw), len(raw), dice.randrange(len(raw))))])
        assert is_read(data) == is_parsed(data), data.hex()


@pytest.mark.parametrize("data", [b"\xcc\x05", b"\xd0\x05", b"\x05\x05", b"", b"\xc7\x00\x01"])
def test_what_is_not_canonical_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data, natural, bytes_max=10)


def test_trees_are_those_of_the_rfc() -> None:
    entries = [bytes([number]) * number for number in range(70)]
    grown = tree.Tree()
    for size in range(len(entries)):
        assert grown.root() == reference.root(entries[:size])
        assert tree.root_of(tuple(entries[:size])) == grown.root()
        grown.append(entries[size])


def test_the_signature_rule_has_the_known_verdicts() -> None:
    cases = public_vectors.load("ed25519-cctv.json")
    held = [
        case["number"]
        for case in cases
        if signatures.holds(
            bytes.fromhex(case["key"]), case["msg"].encode(), bytes.fromhex(case["sig"])
        )
    ]
    assert (len(cases), len(held)) == (914, 43)
    checks = public_vectors.load("ed25519-speccheck.json")
    names = ("pub_key", "message", "signature")
    values = [[bytes.fromhex(case[name]) for name in names] for case in checks]
    assert [at for at, value in enumerate(values) if signatures.holds(*value)] == [3]


def test_both_readers_hold_the_same_signatures() -> None:
    dice = random.Random("signatures")
    seed = bytes(range(32))
    key, message = crypto.public_key(seed), b"a frame"
    good = crypto.sign(seed, message)
    assert signatures.holds(key, message, good)
    small = [y.to_bytes(32, "little") for y in sorted(signatures.SMALL_ORDER_YS)]
    assert not any(signatures.holds(point, message, good) for point in small)
    high = good[:32] + (int.from_bytes(good[32:], "little") + signatures.L).to_bytes(32, "little")
    assert not signatures.holds(key, message, high)
    for _ in range(500):
        bent = bytearray(good)
        bent[dice.randrange(64)] ^= 1 << dice.randrange(8)
        assert not signatures.holds(key, message, bytes(bent))
        assert not crypto.verify(key, message, bytes(bent))
