"""What the port's records say, and the bytes they are."""

from msgspec import msgpack

from ledger.encoding import codec
from ledger.inadmissible import Expired, WrongLog
from ledger.rules.base import Posting
from ledger.rules.refusals import VoucherExhausted
from ledger.status import TransactionStatus
from node.port import Effect

ID = bytes(range(32))
REFUSAL = VoucherExhausted(asked=61, available=60)


def fields(status: TransactionStatus) -> list[object]:
    """Return a status as its bytes hold it, without the id that all of them begin with."""
    data = codec.encode(status)
    assert codec.decode(TransactionStatus, data, 10_000) == status
    first, *rest = msgpack.decode(data, type=list[object])
    assert first == ID
    return rest


def test_a_status_says_what_is_known_of_a_transaction() -> None:
    refused = [REFUSAL.code, REFUSAL.number, str(REFUSAL)]
    values = [["asked", 61], ["available", 60]]
    late = Expired(expires_at_ms=9, time_ms=10)
    times = [["expires_at_ms", 9], ["time_ms", 10]]
    strange = WrongLog(signed_for="00", log_id="01")
    logs = [["signed_for", "00"], ["log_id", "01"]]

    cases = (
        (TransactionStatus.pending(ID, 9), ["pending", "ok", 0, "", [], 9, [], []]),
        (
            TransactionStatus.refused(ID, 9, REFUSAL),
            ["refused", *refused, values, 9, [], []],
        ),
        (TransactionStatus.logged(ID, 9, 7), ["final", "ok", 0, "", [], 9, [7], []]),
        (TransactionStatus.expired(ID, 9), ["expired", "ok", 0, "", [], 9, [], []]),
        (
            TransactionStatus.inadmissible(ID, 9, late),
            ["expired", "expired", 0, str(late), times, 9, [], []],
        ),
        (
            TransactionStatus.inadmissible(ID, 9, strange),
            ["inadmissible", "wrong_log", 0, str(strange), logs, 9, [], []],
        ),
        (TransactionStatus.unknown(ID), ["unknown", "ok", 0, "", [], 0, [], []]),
    )
    for status, expected in cases:
        assert fields(status) == expected


def test_an_effect_is_seven_plain_values_a_posting() -> None:
    burn = Posting(
        kind="burn",
        programme="shanghai.compute",
        serial=3,
        count=1,
        amount=500,
        source="claimed",
        target="redeemed",
    )
    plain = ["burn", "shanghai.compute", 3, 1, 500, "claimed", "redeemed"]
    refused = [8, REFUSAL.code, REFUSAL.number, str(REFUSAL), [["asked", 61], ["available", 60]]]
    strange = WrongLog(signed_for="00", log_id="01")
    logs = [["signed_for", "00"], ["log_id", "01"]]

    for effect, expected in (
        (Effect.holding(8, (burn,)), [8, "ok", 0, "", [], [plain]]),
        (Effect.refused(8, REFUSAL), [*refused, []]),
        (Effect.inadmissible(8, strange), [8, "wrong_log", 0, str(strange), logs, []]),
    ):
        data = codec.encode(effect)
        assert msgpack.decode(data) == expected
        assert codec.decode(Effect, data, 10_000) == effect
