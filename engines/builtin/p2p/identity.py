"""Who is at the other end: TLS 1.3 both ways, pinned to the registered link keys (spec P1).

Stock ``ssl`` cannot be told "take any certificate, I shall compare its key", and self-signed
certificates of the peers would have to be handed round beside the genesis. So a link certificate is
a pure function of the link key: whoever knows the registered key computes the very bytes of the
certificate and trusts nothing else. It names an issuer whose key everybody knows; that issuer is in
no trust store, so its signature opens nothing. What authenticates is that the certificate is one of
the pinned ones, byte for byte, and that TLS makes its sender prove the private key.
"""

import os
import ssl
import tempfile
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from engines.builtin.p2p.frames import PeerFault
from ledger.encoding.crypto import public_key, tagged_hash

_ISSUER_NAME = "tallystick link v1"
_VALID_FROM = datetime(2020, 1, 1)
_VALID_UNTIL = datetime(9999, 12, 31, 23, 59, 59)
"""Validity is the registry's matter, not the certificate's (P1.3)."""
_READ_BYTES_MAX = 256 * 1024
_CERTIFICATES_MAX = 256
"""Certificates kept in memory: more than a full mesh has members."""
_WORDS = {
    "CERTIFICATE_VERIFY_FAILED": (
        "the other end's link key is listed nowhere here, neither by the ledger nor under "
        "[[peers]] or [[observers]]"
    ),
    "TLSV1_ALERT_UNKNOWN_CA": "the other end lists this node's link key nowhere",
}
"""What OpenSSL's reasons mean between nodes: who has to change something is an operator."""


@lru_cache(maxsize=_CERTIFICATES_MAX)
def make_certificate(link_key: bytes) -> bytes:
    """Return the DER certificate of a link key: the same bytes on every machine (P1.2)."""
    issuer_key = Ed25519PrivateKey.from_private_bytes(tagged_hash("tallystick/link-issuer/v1"))
    return (
        x509.CertificateBuilder()
        .issuer_name(_common_name(_ISSUER_NAME))
        .subject_name(_common_name(link_key.hex()))
        .public_key(Ed25519PublicKey.from_public_bytes(link_key))
        .serial_number(1)
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_UNTIL)
        .sign(issuer_key, algorithm=None)
        .public_bytes(Encoding.DER)
    )


def server_context(seed: bytes, peer_keys: Iterable[bytes]) -> ssl.SSLContext:
    """Return the context for accepted links: the holder of ``seed``, open to ``peer_keys``."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, seed, peer_keys)
    # A resumed session would skip the peer's certificate.
    context.num_tickets = 0
    return context


def client_context(seed: bytes, peer_keys: Iterable[bytes]) -> ssl.SSLContext:
    """Return the context for dialled links: the holder of ``seed``, open to ``peer_keys``."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, seed, peer_keys)


def peer_key(ssl_object: ssl.SSLObject, peer_keys: Iterable[bytes]) -> bytes:
    """Return which of ``peer_keys`` the other end of a finished handshake proved.

    The context has already compared certificates. This comparison does not rest on how OpenSSL
    builds chains: the certificate must be exactly the one that the key gives. Raises PeerFault.
    """
    certificate = ssl_object.getpeercert(binary_form=True)
    for key in peer_keys:
        if certificate == make_certificate(key):
            return key
    raise PeerFault("the peer's link key is not registered")


class SecureSession:
    """One TLS session over memory: ciphertext in, plaintext out, no socket.

    The caller moves the bytes, so it can count them before the peer is known.
    """

    def __init__(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self.complete = False
        """Whether the handshake is over and both ends have proved their keys."""

    @property
    def ssl_object(self) -> ssl.SSLObject:
        """The session for ``peer_key``, once complete."""
        assert self.complete
        return self._ssl

    def receive(self, ciphertext: bytes) -> bytes:
        """Return the plaintext that ``ciphertext`` completes; call ``take`` afterwards.

        An empty call on the client's side starts the handshake. Raises PeerFault; what is then
        left to take is the alert.
        """
        self._incoming.write(ciphertext)
        plaintext: list[bytes] = []
        try:
            if not self.complete:
                self._ssl.do_handshake()
                self.complete = True
            while chunk := self._ssl.read(_READ_BYTES_MAX):
                plaintext.append(chunk)
            # Nobody who follows P1.6 ends the session before the socket, and what came after
            # the end would only pile up here.
            raise PeerFault("TLS: session ended")
        except ssl.SSLWantReadError:
            pass  # all read
        except ssl.SSLError as error:
            reason = error.reason or str(error)
            raise PeerFault(f"TLS: {_WORDS.get(reason, reason)}") from None
        return b"".join(plaintext)

    def send(self, plaintext: bytes) -> bytes:
        """Return the ciphertext of ``plaintext``; the handshake must be complete."""
        self._ssl.write(plaintext)
        return self.take()

    def take(self) -> bytes:
        """Return the bytes that TLS itself wants sent: handshake messages and alerts."""
        return self._outgoing.read()


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _context(protocol: int, seed: bytes, peer_keys: Iterable[bytes]) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # keys are pinned; addresses may change
    context.verify_mode = ssl.CERT_REQUIRED
    # With this flag a certificate is trusted for being in the store, whoever issued it; without
    # the issuer in the store nothing else is trusted.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    pinned = b"".join(make_certificate(key) for key in peer_keys)
    if pinned:
        context.load_verify_locations(cadata=pinned)
    _load_private_key(context, seed)
    return context


def _load_private_key(context: ssl.SSLContext, seed: bytes) -> None:
    """Hand the key to OpenSSL, which takes files only, without a file that outlives the call."""
    certificate = x509.load_der_x509_certificate(make_certificate(public_key(seed)))
    pem = Ed25519PrivateKey.from_private_bytes(seed).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    ) + certificate.public_bytes(Encoding.PEM)
    if hasattr(os, "memfd_create"):
        # Memory without a name in any folder: a crash leaves nothing behind.
        descriptor = os.memfd_create("link-key", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as memory:
            memory.write(pem)
            memory.flush()
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    else:
        with tempfile.NamedTemporaryFile() as file:  # mode 0600, removed on leaving
            file.write(pem)
            file.flush()
            context.load_cert_chain(file.name)
