"""Checkpoints (Y4): three lines, one form."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ledger.encoding import checkpoint, merkle, note
from ledger.encoding.checkpoint import ORIGIN_BYTES_MAX, Checkpoint, MalformedCheckpoint
from ledger.encoding.text import SIZE_MAX, base64_of
from tests.ledger.log_vectors import GO, ORIGIN, SIZE

ROOT = base64_of(bytes(range(32)))


def test_the_example_of_the_specification_is_read() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    found = checkpoint.parse(text)
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20852163)
    assert found.root.hex()[:16] == "0ac5186a91863e8e"
    assert found.text() == text


def test_go_writes_the_same_text() -> None:
    ours = Checkpoint(origin=ORIGIN, size=SIZE, root=bytes.fromhex(GO["root"]))
    assert ours.text() == note.parse(GO["checkpoint"].encode()).text


def test_the_empty_tree_has_one_root() -> None:
    empty = Checkpoint(origin="o", size=0, root=merkle.EMPTY_ROOT)
    assert checkpoint.parse(empty.text()) == empty
    with pytest.raises(MalformedCheckpoint):
        checkpoint.parse(f"o\n0\n{ROOT}\n")


MALFORMED = {
    "nothing": "",
    "two lines": "o\n1\n",
    "no last newline": f"o\n1\n{ROOT}",
    "an extension line": f"o\n1\n{ROOT}\nmore\n",
    "an empty line after it": f"o\n1\n{ROOT}\n\n",
    "no origin": f"\n1\n{ROOT}\n",
    "an origin that is too long": f"{'o' * (ORIGIN_BYTES_MAX + 1)}\n1\n{ROOT}\n",
    "a leading zero": f"o\n01\n{ROOT}\n",
    "a sign": f"o\n+1\n{ROOT}\n",
    "a space": f"o\n1 \n{ROOT}\n",
    "digits of another script": f"o\n\u0661\n{ROOT}\n",
    "a size beyond the limit": f"o\n{SIZE_MAX + 1}\n{ROOT}\n",
    "a size of twenty digits": f"o\n{'1' * 20}\n{ROOT}\n",
    "a root of 31 bytes": f"o\n1\n{base64_of(bytes(31))}\n",
    "a root of 33 bytes": f"o\n1\n{base64_of(bytes(33))}\n",
    "a root in URL-safe base64": f"o\n1\n{base64_of(bytes([255]) * 32).replace('/', '_')}\n",
    "a root with stray last bits": f"o\n1\n{ROOT[:-2]}9=\n",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_no_checkpoint_is_read_from(case: str) -> None:
    with pytest.raises(MalformedCheckpoint):
        checkpoint.parse(MALFORMED[case])


@given(
    some.text(
        some.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=60
    ),
    some.integers(1, SIZE_MAX),
    some.binary(min_size=32, max_size=32),
)
def test_what_is_written_is_read(origin: str, size: int, root: bytes) -> None:
    written = Checkpoint(origin=origin, size=size, root=root)
    assert checkpoint.parse(written.text()) == written
