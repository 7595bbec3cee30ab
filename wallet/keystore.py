"""Keys at rest: one file a key, sealed under a passphrase, recoverable from twelve words.

A file is JSON. Its box is XSalsa20-Poly1305 under an Argon2id key and holds the network's name and
the BIP-39 entropy, so that the phrase can be shown again. The Ed25519 seed is the first 32 bytes of
the BIP-39 seed with an empty passphrase: the same words give the same key in a browser.
"""

import getpass
import os
import re
import sys
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec
import nacl.exceptions
import nacl.pwhash.argon2id
import nacl.secret
import nacl.utils
from mnemonic import Mnemonic

from ledger.encoding import crypto
from tally.exits import KeyTrouble, NotFound, UsageError

FORMAT = "tallystick-key/1"
FILE_MAX = 4096
"""Bytes of a key file; longer ones are refused unread."""
PASSPHRASE_MAX = 1024
"""Bytes of a passphrase."""
ENTROPY_BYTES = 16
"""Twelve words."""
MEMORY_BYTES = 256 * 2**20
PASSES = 3
DEV_PREFIX = "dev-"
DEV_MEMORY_BYTES = 16 * 2**20
"""Demo networks make dozens of keys at once; what they guard is play money."""
DEV_PASSES = 1
MEMORY_BYTES_MAX = 1024 * 2**20
"""A file that asks for more is refused: it would stop the machine, not an attacker."""
PASSES_MAX = 16

_KEY_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_WORDS = Mnemonic("english")


class _Kdf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the box key comes from the passphrase."""

    name: str
    salt: str
    """16 bytes, hex."""
    memory_bytes: int
    passes: int


class _KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lies on disk."""

    format: str
    network: str
    public_key: str
    """32 bytes, hex; readable without the passphrase, and checked against the box when opened."""
    kdf: _Kdf
    box: str
    """Nonce and sealed `network ‖ 00 ‖ entropy`, hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What a key file says without its passphrase."""

    name: str
    network: str
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Keystore:
    """One open key. Its secrets are in no repr, message or log."""

    path: Path
    network: str
    public_key: bytes
    """32 bytes, Ed25519."""
    _entropy: bytes = field(repr=False)
    _seed: bytes = field(repr=False)

    @classmethod
    def create(cls, path: Path, network: str, passphrase: str) -> str:
        """Make a new key file and return its recovery phrase, to be shown once and written down.

        Raises KeyTrouble if the file exists: a key is never overwritten.
        """
        entropy = nacl.utils.random(ENTROPY_BYTES)
        _save(path, network, passphrase, entropy)
        return _WORDS.to_mnemonic(entropy)

    @classmethod
    def recover(cls, path: Path, network: str, passphrase: str, phrase: str) -> Self:
        """Make a key file from a recovery phrase and return it open."""
        entropy = _entropy_of(phrase)
        _save(path, network, passphrase, entropy)
        return cls._from_entropy(path, network, entropy)

    @classmethod
    def open(cls, path: Path, passphrase: str) -> Self:
        """Open a key file.

        Raises KeyTrouble for a wrong passphrase, a changed file or one that others may read.
        """
        stored = _load(path)
        box = nacl.secret.SecretBox(_box_key(passphrase, stored.kdf))
        try:
            sealed = box.decrypt(_unhex(path, stored.box))
        except (nacl.exceptions.CryptoError, ValueError):
            raise KeyTrouble(f"{path}: wrong passphrase, or the file was changed") from None
        network, _, entropy = sealed.partition(b"\0")
        opened = cls._from_entropy(path, network.decode(), entropy)
        # The readable fields lie outside the box: believe them only if they say what it says.
        if (stored.network, stored.public_key) != (opened.network, opened.public_key.hex()):
            raise KeyTrouble(f"{path}: the file was changed: it names another network or key")
        return opened

    @classmethod
    def _from_entropy(cls, path: Path, network: str, entropy: bytes) -> Self:
        seed = key_seed(_WORDS.to_mnemonic(entropy))
        return cls(
            path=path,
            network=network,
            public_key=crypto.public_key(seed),
            _entropy=entropy,
            _seed=seed,
        )

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of a message; its frame is the caller's duty."""
        return crypto.sign(self._seed, message)

    def phrase(self) -> str:
        """Return the recovery phrase: whoever reads it holds the key."""
        return _WORDS.to_mnemonic(self._entropy)


def key_seed(phrase: str) -> bytes:
    """Return the Ed25519 seed of a recovery phrase: 32 bytes, the same in CLI and browser."""
    return Mnemonic.to_seed(phrase, passphrase="")[:32]


def key_path(folder: Path, name: str) -> Path:
    """Return where a named key lies in a folder; the name may not leave the folder."""
    if not _KEY_NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a key name: use a-z, 0-9, '.', '_' and '-'")
    return folder / f"{name}.json"


def read_key(path: Path) -> KeyInfo:
    """Return what a key file says, without opening it; raise NotFound or KeyTrouble."""
    stored = _load(path)
    public_key = _unhex(path, stored.public_key)
    return KeyInfo(name=path.stem, network=stored.network, public_key=public_key)


def key_files(folder: Path) -> tuple[Path, ...]:
    """Return the key files of a folder by name, damaged ones too; none if there is no folder."""
    return tuple(sorted(folder.glob("*.json")))


def read_passphrase(fd: int | None, *, prompt: str = "Passphrase", repeat: bool = False) -> str:
    """Return a passphrase: one line from a file descriptor, else typed unseen at the terminal.

    `repeat` asks twice. Without a descriptor and a terminal it is a usage error, never a hang.
    """
    if fd is not None:
        return _read_line(fd)
    if not sys.stdin.isatty():
        raise UsageError("no terminal to ask for the passphrase: give --passphrase-fd")
    typed = getpass.getpass(f"{prompt}: ")
    if repeat and getpass.getpass(f"{prompt} again: ") != typed:
        raise UsageError("the two passphrases differ")
    return typed


def _read_line(fd: int) -> str:
    """Return one line of a descriptor, read byte by byte so that the next line stays unread."""
    line = bytearray()
    try:
        while (byte := os.read(fd, 1)) not in (b"", b"\n"):
            line += byte
            if len(line) > PASSPHRASE_MAX:
                raise UsageError(f"the passphrase is longer than {PASSPHRASE_MAX} bytes")
        return line.decode()
    except OSError as error:
        raise UsageError(
            f"can't read a passphrase from descriptor {fd}: {error.strerror}"
        ) from None
    except UnicodeDecodeError:
        raise UsageError("the passphrase is not UTF-8") from None


def _entropy_of(phrase: str) -> bytes:
    words = " ".join(phrase.lower().split())
    if not _WORDS.check(words):
        raise KeyTrouble("this is not a recovery phrase: a word or the order is wrong")
    return bytes(_WORDS.to_entropy(words))


def _kdf_for(network: str) -> _Kdf:
    is_dev = network.startswith(DEV_PREFIX)
    return _Kdf(
        name="argon2id13",
        salt=nacl.utils.random(nacl.pwhash.argon2id.SALTBYTES).hex(),
        memory_bytes=DEV_MEMORY_BYTES if is_dev else MEMORY_BYTES,
        passes=DEV_PASSES if is_dev else PASSES,
    )


def _box_key(passphrase: str, kdf: _Kdf) -> bytes:
    # Keyboards differ in how they compose an accent; NFKC makes them one passphrase (as BIP-39).
    password = unicodedata.normalize("NFKC", passphrase).encode()
    if not 0 < len(password) <= PASSPHRASE_MAX:
        raise UsageError(f"a passphrase has 1 to {PASSPHRASE_MAX} bytes")
    return nacl.pwhash.argon2id.kdf(
        nacl.secret.SecretBox.KEY_SIZE,
        password,
        bytes.fromhex(kdf.salt),
        opslimit=kdf.passes,
        memlimit=kdf.memory_bytes,
    )


def _save(path: Path, network: str, passphrase: str, entropy: bytes) -> None:
    """Write a new key file: whole or not at all, and never over another."""
    kdf = _kdf_for(network)
    box = nacl.secret.SecretBox(_box_key(passphrase, kdf))
    public_key = crypto.public_key(key_seed(_WORDS.to_mnemonic(entropy)))
    stored = _KeyFile(
        format=FORMAT,
        network=network,
        public_key=public_key.hex(),
        kdf=kdf,
        box=bytes(box.encrypt(network.encode() + b"\0" + entropy)).hex(),
    )
    text = msgspec.json.format(msgspec.json.encode(stored), indent=2) + b"\n"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: it fails where a key already lies instead of replacing it.
        os.link(scratch, path)
    except FileExistsError:
        raise KeyTrouble(f"{path} exists; a key is never overwritten") from None
    finally:
        scratch.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _load(path: Path) -> _KeyFile:
    """Read a key file and check everything but its box."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(FILE_MAX + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no key at {path}") from None
    except OSError as error:
        raise KeyTrouble(f"{path}: {error.strerror}") from None
    if mode & 0o077:
        raise KeyTrouble(f"{path} may be read by others: chmod 600 it, and consider a new key")
    if len(text) > FILE_MAX:
        raise KeyTrouble(f"{path} is too long to be a key file")
    try:
        stored = msgspec.json.decode(text, type=_KeyFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KeyTrouble(f"{path} is not a key file: {error}") from None
    if stored.format != FORMAT or stored.kdf.name != "argon2id13":
        raise KeyTrouble(f"{path} has a format this wallet does not know: {stored.format}")
    kdf = stored.kdf
    memory_bytes_min = nacl.pwhash.argon2id.MEMLIMIT_MIN
    if not (memory_bytes_min <= kdf.memory_bytes <= MEMORY_BYTES_MAX) or not (
        nacl.pwhash.argon2id.OPSLIMIT_MIN <= kdf.passes <= PASSES_MAX
    ):
        raise KeyTrouble(f"{path} asks for an absurd amount of work to open it")
    if len(_unhex(path, kdf.salt)) != nacl.pwhash.argon2id.SALTBYTES:
        raise KeyTrouble(f"{path} has a salt of the wrong length")
    return stored


def _unhex(path: Path, text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise KeyTrouble(f"{path} is damaged: a field is not hex") from None
