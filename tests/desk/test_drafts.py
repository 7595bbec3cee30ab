"""Drafts: encoded once, decoded once, and what is shown comes from the bytes that are signed."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from desk import drafts
from desk.drafts import draft_in, drafted
from desk.files import FILE_BYTES_MAX, ForgedSignature, NoTransaction, read, written
from desk.sheets import document_of, sheet_of, summary_of
from ledger.encoding import codec, crypto
from ledger.encoding.crypto import sha256
from ledger.rules.base import TRANSACTION_BYTES_MAX
from ledger.rules.cases import RecordAnchor
from ledger.rules.vouchers import Mint, MintRow, Transfer
from ledger.transactions import (
    SIGNATURES_MAX,
    Body,
    Envelope,
    decode_body,
    parse,
    signing_bytes,
)
from tally.exits import UsageError
from tests.builders import NOON_MS, seed
from words.languages import load

LOG_ID = bytes(range(32))
TRANSFER = Transfer(
    voucher="shanghai.compute.000000001", holder="firm-a", recipient="firm-b", amount=100
)
KEY = crypto.public_key(seed("desk"))


def signature_of(message: bytes) -> dict[bytes, bytes]:
    """Return one key's signature."""
    return {KEY: crypto.sign(seed("desk"), message)}


def test_a_draft_is_encoded_once_and_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: Counter[str] = Counter()
    decoded: Counter[str] = Counter()
    encode: Callable[..., bytes] = codec.encode
    decode: Callable[..., Any] = codec.decode

    def counting_encode(record: Any) -> bytes:
        encoded[type(record).__name__] += 1
        return encode(record)

    def counting_decode(type_: type, *rest: Any) -> Any:
        decoded[type_.__name__] += 1
        return decode(type_, *rest)

    monkeypatch.setattr(codec, "encode", counting_encode)
    monkeypatch.setattr(codec, "decode", counting_decode)
    # All that one redemption or transfer goes through on its way to a node.
    draft = drafted(TRANSFER, log_id=LOG_ID, expires_at=NOON_MS)
    sheet_of(draft, load("zh"))
    draft.rehearsal([KEY])
    sent = draft.signed(signature_of(draft.message))
    sent.envelope()
    assert (sent.id, sent.content.expires_at) == (draft.id, NOON_MS)
    assert encoded == {Body.__name__: 1, Envelope.__name__: 2}, "one rehearsed, one sent"
    assert decoded == {"_Known": 1}, "one body"


def test_what_is_shown_is_what_the_bytes_say() -> None:
    draft = drafted(TRANSFER, log_id=LOG_ID, expires_at=NOON_MS)
    assert decode_body(draft.body) == draft.content
    assert draft.content.operation == TRANSFER
    assert draft.message == signing_bytes(draft.body)
    signed = draft.signed(signature_of(draft.message))
    assert draft_in(signed.envelope()) == signed
    assert parse(signed.envelope()).id.hex() == draft.id


def test_a_rehearsal_carries_no_signature() -> None:
    draft = drafted(TRANSFER, log_id=LOG_ID, expires_at=NOON_MS)
    ((key, signature),) = parse(draft.rehearsal([KEY])).signatures
    assert (key, signature) == (KEY, bytes(64))


def test_what_no_node_takes_is_refused_before_it_is_sent() -> None:
    draft = drafted(TRANSFER, log_id=LOG_ID, expires_at=NOON_MS)
    with pytest.raises(UsageError, match="nobody has signed"):
        draft.envelope()
    keys = [number.to_bytes(32, "big") for number in range(SIGNATURES_MAX + 1)]
    assert len(parse(draft.rehearsal(keys[:-1])).signatures) == SIGNATURES_MAX
    with pytest.raises(UsageError, match=f"at most {SIGNATURES_MAX} keys"):
        draft.rehearsal(keys)


def test_a_transaction_has_its_bytes_at_most_and_a_mint_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = tuple(
        MintRow(holder=f"university-{number:04}", amount=100, decision=bytes(32))
        for number in range(1_000)
    )
    mint = Mint(programme="shanghai.compute", terms_version=1, rows=rows)
    large = drafted(mint, log_id=LOG_ID, expires_at=NOON_MS)
    assert len(large.rehearsal([KEY])) > TRANSACTION_BYTES_MAX
    size = len(large.rehearsal([KEY]))
    monkeypatch.setattr(drafts, "bytes_max_of", lambda _: size - 1)
    with pytest.raises(UsageError, match=f"expected at most {size - 1} bytes, got {size}"):
        large.rehearsal([KEY])


def test_a_text_of_too_many_bytes_is_refused_before_anybody_signs() -> None:
    wordy = RecordAnchor(
        by="shanghai", about="document", commitment=bytes(32), as_of=1, note="字" * 2_000
    )
    with pytest.raises(UsageError):
        drafted(wordy, log_id=LOG_ID, expires_at=NOON_MS)


def test_a_file_goes_from_desk_to_desk_unchanged() -> None:
    draft = drafted(TRANSFER, log_id=LOG_ID, expires_at=NOON_MS)
    assert read(written(draft, "dev-test")) == draft
    signed = draft.signed(signature_of(draft.message))
    assert read(written(signed, "dev-test")) == signed
    assert read(signed.envelope()) == signed
    forged = draft.signed({KEY: bytes(64)})
    with pytest.raises(ForgedSignature, match=KEY.hex()):
        read(written(forged, "dev-test"))


@pytest.mark.parametrize("data", [b"", b"{}", b"\x93", b'{"format": "other"}', b"{" + b" " * 99])
def test_what_is_no_file_of_a_transaction_is_told(data: bytes) -> None:
    assert len(data) < FILE_BYTES_MAX
    with pytest.raises(NoTransaction):
        read(data)


def test_a_sheet_shows_every_field_line_by_line() -> None:
    draft = drafted(TRANSFER, log_id=LOG_ID, expires_at=NOON_MS)
    english, chinese = (
        [(line.title, line.value) for line in sheet_of(draft, load(code)).lines]
        for code in ("en", "zh")
    )
    assert english == [
        ("voucher", "shanghai.compute.000000001"),
        ("holder", "firm-a"),
        ("recipient", "firm-b"),
        ("amount", "1.00 yuan"),
    ]
    assert [title for title, _ in chinese] == ["算力券", "持券方", "受让方", "金额"]
    assert chinese[-1][1] == "1.00 元"
    document = document_of(draft, load("en"))
    assert summary_of(draft).items() <= document.items()
    assert document["operation"]["amount"] == 100
    assert document["body_sha256"] == sha256(draft.body)
