"""Keys at rest: the same words give the same key, and nothing but the passphrase opens a file."""

import hashlib
import json
import os
import stat
from pathlib import Path

import nacl.signing
import pytest

from tally.exits import Exit, KeyTrouble, NotFound, UsageError
from wallet import keystore
from wallet.keystore import Keystore, key_files, key_path, read_key, read_passphrase

NETWORK = "dev-test"
PASSPHRASE = "three old coins"
WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
"""A phrase of the BIP-39 test vectors: entropy 7f7f…7f."""


def new_key(folder: Path, name: str = "alice") -> Path:
    path = key_path(folder, name)
    Keystore.recover(path, NETWORK, PASSPHRASE, WORDS)
    return path


def edit(path: Path, **changes: object) -> None:
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | changes))


def test_a_phrase_gives_the_key_that_bip39_says(tmp_path: Path) -> None:
    # BIP-39 in one line of the standard library: what a browser computes with WebCrypto.
    seed = hashlib.pbkdf2_hmac("sha512", WORDS.encode(), b"mnemonic", 2048)[:32]
    expected = nacl.signing.SigningKey(seed).verify_key

    key = Keystore.recover(tmp_path / "key.json", NETWORK, PASSPHRASE, WORDS)

    assert key.public_key == bytes(expected)
    assert expected.verify(b"hello", key.sign(b"hello")) == b"hello"


def test_a_created_key_comes_back_from_its_phrase(tmp_path: Path) -> None:
    phrase = Keystore.create(tmp_path / "first.json", NETWORK, PASSPHRASE)
    first = Keystore.open(tmp_path / "first.json", PASSPHRASE)
    second = Keystore.recover(tmp_path / "second.json", NETWORK, "another", phrase)
    assert len(phrase.split()) == 12
    assert first.public_key == second.public_key
    assert first.phrase() == phrase


def test_two_created_keys_differ(tmp_path: Path) -> None:
    first = Keystore.create(tmp_path / "a.json", NETWORK, PASSPHRASE)
    assert first != Keystore.create(tmp_path / "b.json", NETWORK, PASSPHRASE)


@pytest.mark.parametrize("wrong", ["three old coin", "Three old coins", " three old coins"])
def test_a_wrong_passphrase_opens_nothing(tmp_path: Path, wrong: str) -> None:
    path = new_key(tmp_path)
    with pytest.raises(KeyTrouble, match="wrong passphrase") as refusal:
        Keystore.open(path, wrong)
    assert refusal.value.code is Exit.KEY


def test_a_composed_and_a_decomposed_accent_are_one_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    Keystore.create(path, NETWORK, "caf\N{LATIN SMALL LETTER E WITH ACUTE}")
    assert Keystore.open(path, "cafe\N{COMBINING ACUTE ACCENT}").network == NETWORK


def test_a_flipped_bit_anywhere_in_the_box_is_noticed(tmp_path: Path) -> None:
    path = new_key(tmp_path)
    box = bytes.fromhex(json.loads(path.read_text())["box"])
    for at in range(0, len(box), 7):
        edit(path, box=(box[:at] + bytes([box[at] ^ 1]) + box[at + 1 :]).hex())
        with pytest.raises(KeyTrouble, match="wrong passphrase, or the file was changed"):
            Keystore.open(path, PASSPHRASE)


@pytest.mark.parametrize(
    ("field", "value"),
    [("network", "shanghai"), ("public_key", "00" * 32)],
    ids=["another network", "another public key"],
)
def test_a_readable_field_that_contradicts_the_box_is_noticed(
    tmp_path: Path, field: str, value: str
) -> None:
    path = new_key(tmp_path)
    edit(path, **{field: value})
    with pytest.raises(KeyTrouble, match="names another network or key"):
        Keystore.open(path, PASSPHRASE)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"memory_bytes": keystore.MEMORY_BYTES_MAX + 1}, "absurd"),
        ({"memory_bytes": 0}, "absurd"),
        ({"passes": keystore.PASSES_MAX + 1}, "absurd"),
        ({"passes": 0}, "absurd"),
        ({"salt": "00"}, "salt"),
        ({"salt": "not hex"}, "hex"),
        ({"name": "md5"}, "format"),
    ],
    ids=str,
)
def test_absurd_work_is_refused_before_it_is_done(
    tmp_path: Path, changes: dict[str, object], complaint: str
) -> None:
    path = new_key(tmp_path)
    edit(path, kdf=json.loads(path.read_text())["kdf"] | changes)
    with pytest.raises(KeyTrouble, match=complaint):
        Keystore.open(path, PASSPHRASE)


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"[1]", b"\xff\xfe", b" " * (keystore.FILE_MAX + 1)],
    ids=["empty", "no fields", "not an object", "not UTF-8", "too long"],
)
def test_what_is_no_key_file_is_called_so(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(KeyTrouble, match=r"key file"):
        Keystore.open(path, PASSPHRASE)


def test_a_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = new_key(tmp_path / "keys")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["alice.json"], "no scratch file stays"


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = new_key(tmp_path)
    path.chmod(0o640)
    with pytest.raises(KeyTrouble, match="chmod 600"):
        Keystore.open(path, PASSPHRASE)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = new_key(tmp_path)
    before = path.read_bytes()
    with pytest.raises(KeyTrouble, match="never overwritten"):
        Keystore.create(path, NETWORK, PASSPHRASE)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["alice.json"]


def test_a_missing_key_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Keystore.open(tmp_path / "nobody.json", PASSPHRASE)


@pytest.mark.parametrize(
    "phrase",
    [WORDS.replace("yellow", "winner"), WORDS.replace("yellow", "yello"), "", "legal " * 12],
    ids=["wrong checksum", "no such word", "empty", "one word twelve times"],
)
def test_a_mistyped_phrase_makes_no_file(tmp_path: Path, phrase: str) -> None:
    path = tmp_path / "key.json"
    with pytest.raises(KeyTrouble, match="recovery phrase"):
        Keystore.recover(path, NETWORK, PASSPHRASE, phrase)
    assert not path.exists()


def test_a_phrase_may_be_typed_with_capitals_and_extra_blanks(tmp_path: Path) -> None:
    typed = "  " + WORDS.upper().replace(" ", "\n ")
    key = Keystore.recover(tmp_path / "key.json", NETWORK, PASSPHRASE, typed)
    assert key.phrase() == WORDS


@pytest.mark.parametrize("passphrase", ["", "x" * (keystore.PASSPHRASE_MAX + 1)])
def test_an_empty_or_endless_passphrase_is_refused(tmp_path: Path, passphrase: str) -> None:
    with pytest.raises(UsageError, match="1 to 1024"):
        Keystore.create(tmp_path / "key.json", NETWORK, passphrase)


def test_a_real_network_costs_an_attacker_256_mib_a_guess(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    Keystore.create(path, "computing-vouchers", PASSPHRASE)
    assert json.loads(path.read_text())["kdf"]["memory_bytes"] == 256 * 2**20
    assert Keystore.open(path, PASSPHRASE).network == "computing-vouchers"


def test_a_dev_network_costs_at_most_16_mib(tmp_path: Path) -> None:
    path = new_key(tmp_path)
    assert json.loads(path.read_text())["kdf"]["memory_bytes"] <= 16 * 2**20


def test_no_secret_shows_in_a_repr_or_on_disk(tmp_path: Path) -> None:
    path = new_key(tmp_path)
    key = Keystore.open(path, PASSPHRASE)
    shown = repr(key) + str(key) + path.read_text()
    secrets = [keystore.key_seed(WORDS), bytes([0x7F] * 16)]
    for secret in secrets:
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
    assert "winner" not in shown


def test_a_folder_holds_several_named_keys(tmp_path: Path) -> None:
    new_key(tmp_path, "bob")
    new_key(tmp_path, "alice")
    assert [(key.name, key.network) for key in map(read_key, key_files(tmp_path))] == [
        ("alice", NETWORK),
        ("bob", NETWORK),
    ]
    assert key_files(tmp_path / "nowhere") == ()


@pytest.mark.parametrize("name", ["../alice", "", ".hidden", "a/b", "Alice", "a" * 65])
def test_a_key_name_can_not_leave_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not a key name"):
        key_path(tmp_path, name)


def piped(data: bytes) -> int:
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


def test_a_passphrase_is_one_line_of_a_descriptor() -> None:
    reader = piped("first 口令\nsecond".encode())
    assert [read_passphrase(reader), read_passphrase(reader)] == ["first 口令", "second"]
    os.close(reader)


def test_a_descriptor_that_gives_no_passphrase_is_a_usage_error() -> None:
    reader = piped(b"\xff\n" + b"x" * (keystore.PASSPHRASE_MAX + 1))
    with pytest.raises(UsageError, match="UTF-8"):
        read_passphrase(reader)
    with pytest.raises(UsageError, match="longer"):
        read_passphrase(reader)
    os.close(reader)
    with pytest.raises(UsageError, match="descriptor"):
        read_passphrase(reader)


def test_without_a_terminal_a_question_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        with pytest.raises(UsageError, match="--passphrase-fd") as refusal:
            read_passphrase(None)
    assert refusal.value.code is Exit.USAGE
