"""The golden vector of X6: one signed transfer, from its values to its bytes."""

import json
from pathlib import Path

from ledger.encoding import codec, crypto
from ledger.rules.vouchers import Transfer
from ledger.transactions import Body, parse, seal, signing_bytes, transaction_id
from tests.reference import decode as reference

ROOT = Path(__file__).resolve().parents[2]
VECTOR = json.loads((ROOT / "tests" / "vectors" / "transfer.json").read_text(encoding="utf-8"))


def built() -> dict[str, str]:
    """Return the vector's bytes in hex, made from its values by the project's code."""
    values = VECTOR["values"]
    operation = Transfer(
        voucher=values["voucher"],
        holder=values["holder"],
        recipient=values["recipient"],
        amount=values["amount"],
    )
    body = codec.encode(
        Body(
            version=1,
            log_id=bytes.fromhex(values["log_id"]),
            expires_at=values["expires_at"],
            operation=operation,
        )
    )
    seed = bytes.fromhex(values["seed"])
    key = crypto.public_key(seed)
    signature = crypto.sign(seed, signing_bytes(body))
    return {
        "public_key": key.hex(),
        "body": body.hex(),
        "signing_bytes": signing_bytes(body).hex(),
        "transaction_id": transaction_id(body).hex(),
        "signature": signature.hex(),
        "envelope": seal(body, {key: signature}).hex(),
    }


def test_the_golden_transfer_has_these_bytes() -> None:
    assert built() == VECTOR["bytes"]


def test_the_golden_envelope_is_read_by_both_readers_and_verifies() -> None:
    raw = bytes.fromhex(VECTOR["bytes"]["envelope"])
    transaction = parse(raw)
    assert transaction.id.hex() == VECTOR["bytes"]["transaction_id"]
    assert reference.accepts(raw)
    ((key, signature),) = transaction.signatures
    assert crypto.verify(key, signing_bytes(transaction.body_bytes), signature)


def test_the_specification_shows_the_same_bytes() -> None:
    text = (ROOT / "docs" / "spec" / "transactions.md").read_text(encoding="utf-8")
    shown = "".join(text.split())
    for name, value in VECTOR["bytes"].items():
        assert value in shown, f"X6 shows another {name}"
