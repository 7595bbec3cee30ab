"""Keys by name, the signatures they give, and the files that go from desk to desk."""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from desk import drafts, files
from desk.drafts import Draft
from ledger.devkeys import derive
from ledger.encoding import crypto
from ledger.rules.parties import proof_message
from ledger.transactions import Operation
from tally.exits import KeyTrouble, NotFound, UsageError
from wallet.keystore import Keystore, key_path, read_key, read_passphrase
from wallet.profile import Profile, keys_folder


class Signer(Protocol):
    """A key that can sign."""

    @property
    def public_key(self) -> bytes:
        """Return the Ed25519 public key, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of a message."""


@dataclass(frozen=True, slots=True)
class DerivedSigner:
    """A key of a network for trying things out; its seed is in no repr."""

    public_key: bytes
    _seed: bytes

    def __repr__(self) -> str:
        return f"DerivedSigner({self.public_key.hex()})"

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of a message."""
        return crypto.sign(self._seed, message)


def now_ms() -> int:
    """Return this machine's wall clock in ms."""
    return time.time_ns() // 1_000_000


def drafted(operation: Operation, profile: Profile, *, life_ms: int) -> Draft:
    """Return an unsigned transaction for the profile's ledger; raise UsageError as the desk."""
    expires_at = now_ms() + life_ms
    return drafts.drafted(operation, log_id=profile.log_id_bytes, expires_at=expires_at)


def signed(draft: Draft, signers: Sequence[Signer]) -> Draft:
    """Return a draft with the signatures of these keys too."""
    message = draft.message
    return draft.signed({signer.public_key: signer.sign(message) for signer in signers})


def require_own_log(draft: Draft, profile: Profile) -> None:
    """Raise UsageError if a transaction is for another ledger than the profile names."""
    if draft.content.log_id != profile.log_id_bytes:
        raise UsageError(
            f"the transaction is for log {draft.content.log_id.hex()}, "
            f"profile {profile.name} is for {profile.log_id}"
        )


def open_signers(
    profile: Profile, names: Sequence[str], *, passphrase_fd: int | None = None
) -> tuple[Signer, ...]:
    """Return the named keys, open: ``party/person`` or a plain name in the keystore.

    A key file comes first; on a dev network ``party/person`` is else derived from the profile's
    dev seed. Asks a passphrase for each file, one line each of the descriptor if it is given.
    """
    return tuple(_signer(profile, name, passphrase_fd) for name in names)


def _signer(profile: Profile, name: str, passphrase_fd: int | None) -> Signer:
    path = _key_file(profile, name)
    if path.is_file():
        passphrase = read_passphrase(passphrase_fd, prompt=f"Passphrase of {name}")
        key = Keystore.open(path, passphrase)
        if key.network != profile.network:
            raise KeyTrouble(f"key {name} is for {key.network}, not for {profile.network}")
        return key
    seed = _derived_seed(profile, name)
    if seed is None:
        raise _no_key(profile, name, path)
    return DerivedSigner(crypto.public_key(seed), seed)


def public_key_of(profile: Profile, name: str) -> bytes:
    """Return a named key's public half, without a passphrase; raise KeyTrouble if there is none."""
    path = _key_file(profile, name)
    if path.is_file():
        return read_key(path).public_key
    seed = _derived_seed(profile, name)
    if seed is None:
        raise _no_key(profile, name, path)
    return crypto.public_key(seed)


def proof_by(profile: Profile, signer: Signer, party: str) -> bytes:
    """Return a key's proof that it is a party's on the profile's ledger (R3.9)."""
    return signer.sign(proof_message(profile.log_id_bytes, party, signer.public_key))


def enrolment_line(public_key: bytes, proof: bytes) -> str:
    """Return what a holder of a key sends to whoever names it: the key and its proof."""
    return f"{public_key.hex()}.{proof.hex()}"


def _no_key(profile: Profile, name: str, path: Path) -> KeyTrouble:
    return KeyTrouble(f"there is no key {name} of network {profile.network} (looked at {path})")


def key_file(network: str, name: str) -> Path:
    """Return where a key lies: ``party/person`` in the party's folder, a plain name beside them."""
    folder, _, person = name.rpartition("/")
    if folder:
        # key_path refuses a party name that would leave the folder.
        return key_path(key_path(keys_folder(network), folder).with_suffix(""), person)
    return key_path(keys_folder(network), name)


def _key_file(profile: Profile, name: str) -> Path:
    return key_file(profile.network, name)


def _derived_seed(profile: Profile, name: str) -> bytes | None:
    party, _, person = name.partition("/")
    master = profile.master()
    if master is None or not person:
        return None
    return derive(profile.network, master, party, person)


def tag_key(profile: Profile, path: Path | None) -> bytes:
    """Return the key under which registration and invoice numbers become tags.

    It lies in a file, as hex; on a dev network it is else derived.
    """
    if path is not None:
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except OSError as error:
            raise NotFound(f"can't read the tag key {path}: {error.strerror}") from None
        except ValueError:
            raise UsageError(f"the tag key {path}: expected 64 hex digits") from None
        if len(key) != 32:
            raise UsageError(f"the tag key {path} has {len(key)} bytes, expected 32")
        return key
    master = profile.master()
    if master is None:
        raise UsageError("name the file with this epoch's tag key: --tag-key")
    return derive(profile.network, master, "tag-key")


def keyed_tag(key: bytes, number: str) -> bytes:
    """Return the HMAC-SHA256 of a number, 32 bytes: nobody without the key can guess it."""
    return hmac.new(key, number.encode(), hashlib.sha256).digest()


def commitment(path: Path) -> tuple[bytes, bytes]:
    """Return a salted hash of a document, and the salt: who has both can prove what it was."""
    try:
        document = path.read_bytes()
    except OSError as error:
        raise NotFound(f"can't read {path}: {error.strerror}") from None
    salt = secrets.token_bytes(32)
    return crypto.tagged_hash("tallystick/commitment/v1", salt, document), salt


def save(path: Path, draft: Draft, network: str, *, update: bool = False) -> None:
    """Write a transaction file; only an ``update`` replaces one. Raises UsageError."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        scratch.write_bytes(files.written(draft, network))
        if update:
            scratch.replace(path)
        else:
            # A link, not a rename: it fails where a file already lies instead of replacing it.
            os.link(scratch, path)
    except FileExistsError:
        raise file_exists(path) from None
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}") from None
    finally:
        scratch.unlink(missing_ok=True)


def file_exists(path: Path) -> UsageError:
    """Return the error of a file that would be overwritten."""
    return UsageError(f"{path} exists and is not overwritten; name a new file")


def write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there yet; raise UsageError."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise file_exists(path) from None
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}") from None


def load(path: Path) -> Draft:
    """Return the transaction in a file: a transaction file, or the raw bytes of an envelope.

    Raises NotFound, UsageError for anything but one whole canonical transaction, and KeyTrouble
    if a signature in it does not verify.
    """
    try:
        with path.open("rb") as file:
            data = file.read(files.FILE_BYTES_MAX + 1)
    except OSError as error:
        raise NotFound(f"can't read {path}: {error.strerror}") from None
    if len(data) > files.FILE_BYTES_MAX:
        raise UsageError(f"{path} is longer than any transaction")
    try:
        return files.read(data)
    except files.NoTransaction as error:
        raise UsageError(f"{path} holds no transaction: {error}") from None
    except files.ForgedSignature as error:
        raise KeyTrouble(f"{path}: {error}") from None
