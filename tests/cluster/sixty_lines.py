"""A whole client, written from docs/spec alone: signs, posts and awaits one voucher.transfer.

usage: sixty_lines.py URL LOG_ID VOUCHER HOLDER RECIPIENT FEN   (both key seeds in hex on stdin)
"""

import hashlib
import json
import sys
import time
import urllib.request

from nacl.signing import SigningKey


def pack(value: object) -> bytes:
    """Canonical MessagePack (W1) of what a transfer needs."""
    if isinstance(value, int):  # shortest form
        for limit, head, size in ((2**7, b"", 1), (2**8, b"\xcc", 1), (2**16, b"\xcd", 2)):
            if value < limit:
                return head + value.to_bytes(size, "big")
        head, size = (b"\xce", 4) if value < 2**32 else (b"\xcf", 8)
        return head + value.to_bytes(size, "big")
    if isinstance(value, bytes):
        head = (
            b"\xc4" + bytes([len(value)]) if len(value) < 256 else b"\xc5" + len(value).to_bytes(2)
        )
        return head + value
    if isinstance(value, str):
        text = value.encode()
        return (
            bytes([0xA0 | len(text)]) if len(text) < 32 else b"\xd9" + bytes([len(text)])
        ) + text
    assert isinstance(value, list)
    return bytes([0x90 | len(value)]) + b"".join(pack(item) for item in value)


def frame(tag: bytes, part: bytes) -> bytes:
    """The tagged frame (W2): what a key signs, and what an id is the hash of."""
    return bytes([len(tag)]) + tag + len(part).to_bytes(4, "big") + part


def main(url: str, log_id: str, voucher: str, holder: str, recipient: str, fen: str) -> int:
    """Build, sign (X), post and await (H3) one transfer; return the exit status."""
    keys = [SigningKey(bytes.fromhex(seed)) for seed in sys.stdin.read().split()]
    operation = ["voucher.transfer", voucher, holder, recipient, int(fen)]
    body = pack([1, bytes.fromhex(log_id), int(time.time() * 1000) + 600_000, operation])
    message = frame(b"tallystick/tx/v1", body)
    pairs = sorted([key.verify_key.encode(), key.sign(message).signature] for key in keys)
    envelope = pack([body, pairs])
    request = urllib.request.Request(url + "/v1/transactions?wait=final", envelope, method="POST")
    request.add_header("Content-Type", "application/octet-stream")
    with urllib.request.urlopen(request) as answer:
        document = json.load(answer)
    assert document["id"] == hashlib.sha256(message).hexdigest(), "the node names another id"
    print(document["status"], document["code"], document["sequence"])
    return 0 if document["status"] == "final" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
