"""The golden vector of X6: one transfer that both parties signed, from its values to its bytes."""

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
    made = {
        "body": body.hex(),
        "signing_bytes": signing_bytes(body).hex(),
        "transaction_id": transaction_id(body).hex(),
    }
    signatures = {}
    for who in ("holder", "recipient"):
        seed = bytes.fromhex(values[f"{who}_seed"])
        key = crypto.public_key(seed)
        signatures[key] = crypto.sign(seed, signing_bytes(body))
        made |= {f"{who}_key": key.hex(), f"{who}_signature": signatures[key].hex()}
    return made | {"envelope": seal(body, signatures).hex()}


def test_the_golden_transfer_has_these_bytes() -> None:
    assert built() == VECTOR["bytes"]


def test_the_golden_envelope_is_read_by_both_readers_and_verifies() -> None:
    raw = bytes.fromhex(VECTOR["bytes"]["envelope"])
    transaction = parse(raw)
    assert transaction.id.hex() == VECTOR["bytes"]["transaction_id"]
    assert reference.accepts(raw)
    assert len(transaction.signatures) == 2
    for key, signature in transaction.signatures:
        assert crypto.verify(key, signing_bytes(transaction.body_bytes), signature)


def test_the_specification_shows_the_same_bytes() -> None:
    text = (ROOT / "docs" / "spec" / "transactions.md").read_text(encoding="utf-8")
    shown = "".join(text.split())
    for name, value in VECTOR["bytes"].items():
        assert value in shown, f"X6 shows another {name}"
