"""The signer never contradicts itself, whatever the disk does."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from engines.builtin.signer import (
    MESSAGE_BYTES_MAX,
    PRECOMMIT,
    PREVOTE,
    PROPOSAL,
    SLOT_BYTES,
    UNKNOWN_HEIGHT,
    Refused,
    Signer,
    SignerDamaged,
    SignRequest,
    create_signer,
    format_slots,
    open_signer,
)
from ledger.encoding.crypto import verify

SEED = bytes(range(32))


class PowerCut(Exception):
    """The machine is off."""


class FakeSlots:
    """A file that loses unsynced writes, or keeps a part of the last one, when the power fails."""

    def __init__(self, durable: bytes = bytes(2 * SLOT_BYTES)) -> None:
        self.durable = bytearray(durable)
        self.unsynced: list[tuple[int, bytes]] = []
        self.syncs = 0
        self.power_cut_in_sync = False
        self.disk_full = False

    def read(self) -> bytes:
        return bytes(self.durable)

    def write_at(self, offset: int, data: bytes) -> None:
        if self.disk_full:
            raise OSError("no space left on device")
        self.unsynced.append((offset, data))

    def sync(self) -> None:
        if self.power_cut_in_sync:
            raise PowerCut
        self.keep()
        self.syncs += 1

    def close(self) -> None:
        pass

    def keep(self, size: int = SLOT_BYTES) -> None:
        """Make the first ``size`` bytes of each write durable."""
        for offset, data in self.unsynced:
            self.durable[offset : offset + len(data[:size])] = data[:size]
        self.unsynced.clear()


def fresh(*, watermark_height: int = 0) -> FakeSlots:
    file = FakeSlots()
    format_slots(SEED, file, watermark_height=watermark_height)
    return file


def vote(
    height: int = 5, round: int = 0, step: int = PREVOTE, *, epoch: int = 1, message: bytes = b"A"
) -> SignRequest:
    return SignRequest(epoch=epoch, height=height, round=round, step=step, message=message)


def signature(answer: bytes | Refused) -> bytes:
    assert isinstance(answer, bytes), answer
    return answer


def test_a_signature_verifies_and_its_record_is_durable_before_it_is_released() -> None:
    file = fresh()
    signer = Signer(SEED, file)
    before = file.syncs
    released = signature(signer.sign(vote()))
    assert verify(signer.public_key, b"A", released)
    assert (file.syncs, file.unsynced) == (before + 1, [])
    last = Signer(SEED, FakeSlots(file.read())).last
    assert last is not None
    assert (last.request, last.signature) == (vote(), released)


def test_the_same_request_gives_the_same_signature_and_costs_no_write() -> None:
    file = fresh()
    first = Signer(SEED, file).sign(vote())
    before = file.syncs
    again = Signer(SEED, file)
    assert again.sign(vote()) == first == again.sign(vote())
    assert file.syncs == before


def test_other_bytes_at_the_same_position_are_refused_also_after_a_restart() -> None:
    file = fresh()
    signer = Signer(SEED, file)
    signature(signer.sign(vote(message=b"A")))
    assert isinstance(signer.sign(vote(message=b"B")), Refused)
    assert isinstance(Signer(SEED, file).sign(vote(message=b"B")), Refused)


POSITIONS = [
    vote(height, round, step, epoch=epoch)
    for epoch, height, round, step in product(
        (1, 2), (5, 6), (0, 1), (PROPOSAL, PREVOTE, PRECOMMIT)
    )
]
"""In rising order."""


@pytest.mark.parametrize("restart", [False, True])
def test_every_later_position_is_signed_and_every_earlier_one_refused(restart: bool) -> None:
    cases = 0
    for (i, first), (j, second) in product(enumerate(POSITIONS), repeat=2):
        file = fresh()
        signer = Signer(SEED, file)
        signature(signer.sign(first))
        if restart:
            signer = Signer(SEED, file)
        answer = signer.sign(replace(second, message=b"B"))
        assert isinstance(answer, bytes) == (j > i)
        cases += 1
    assert cases == 24 * 24


def test_a_whole_life_of_rising_positions_is_signed() -> None:
    file = fresh()
    for position in POSITIONS:
        signature(Signer(SEED, file).sign(position))
    assert isinstance(Signer(SEED, file).sign(POSITIONS[-2]), Refused)


def test_a_power_cut_in_the_sync_releases_nothing_and_any_torn_slot_keeps_the_record_before() -> (
    None
):
    whole = fresh()
    old = signature(Signer(SEED, whole).sign(vote(5)))
    slot_bytes = len(whole.durable.rstrip(b"\0")) - SLOT_BYTES
    assert slot_bytes > 100
    for kept in range(slot_bytes + 1):
        file = FakeSlots(whole.read())
        signer = Signer(SEED, file)
        file.power_cut_in_sync = True
        with pytest.raises(PowerCut):
            signer.sign(vote(6, message=b"lost"))
        file.keep(kept)
        file.power_cut_in_sync = False
        after = Signer(SEED, file)
        assert after.last is not None
        if after.last.request.height == 5:
            assert after.sign(vote(5)) == old
            assert isinstance(after.sign(vote(5, message=b"B")), Refused)
            signature(after.sign(vote(6, message=b"other")))
        else:
            assert after.last.request == vote(6, message=b"lost"), "the write was whole after all"
            assert isinstance(after.sign(vote(6, message=b"other")), Refused)


def test_every_flipped_bit_of_the_newest_slot_falls_back_to_the_one_before() -> None:
    file = fresh()
    signer = Signer(SEED, file)
    signature(signer.sign(vote(5)))
    signature(signer.sign(vote(6)))
    size = len(bytes(file.durable[:SLOT_BYTES]).rstrip(b"\0"))
    assert size > 100
    for offset, bit in product(range(size), range(8)):
        damaged = bytearray(file.durable)
        damaged[offset] ^= 1 << bit
        last = Signer(SEED, FakeSlots(bytes(damaged))).last
        assert last is not None
        assert last.request == vote(5)


def test_after_a_write_error_the_signer_signs_nothing_any_more() -> None:
    file = fresh()
    signer = Signer(SEED, file)
    file.disk_full = True
    with pytest.raises(OSError, match="no space"):
        signer.sign(vote(5))
    file.disk_full = False
    assert isinstance(signer.sign(vote(6)), Refused)


def test_two_damaged_slots_stop_the_node() -> None:
    with pytest.raises(SignerDamaged, match="both slots"):
        Signer(SEED, FakeSlots())


def test_the_record_of_another_key_stops_the_node() -> None:
    with pytest.raises(SignerDamaged, match="another key"):
        Signer(bytes(32), fresh())


def test_nothing_is_signed_up_to_the_watermark() -> None:
    file = fresh(watermark_height=10)
    signer = Signer(SEED, file)
    assert isinstance(signer.sign(vote(9)), Refused)
    assert isinstance(signer.sign(vote(10, epoch=2)), Refused)
    signature(signer.sign(vote(11)))
    assert isinstance(Signer(SEED, file).sign(vote(10, epoch=2)), Refused), "it is kept"


def test_the_longest_message_is_signed_and_a_longer_one_is_not() -> None:
    file = fresh()
    signer = Signer(SEED, file)
    longest = vote(5, message=b"A" * MESSAGE_BYTES_MAX)
    first = signature(signer.sign(longest))
    assert Signer(SEED, file).sign(longest) == first
    with pytest.raises(AssertionError):
        signer.sign(vote(6, message=b"A" * (MESSAGE_BYTES_MAX + 1)))


def test_no_representation_shows_the_seed() -> None:
    signer = Signer(SEED, fresh())
    assert repr(signer) == f"Signer({signer.public_key.hex()})"
    assert SEED.hex() not in repr(signer)


def test_the_real_file_keeps_the_record_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "signer"
    signer = create_signer(path, SEED, watermark_height=3)
    first = signature(signer.sign(vote(5)))
    signer.close()
    signer = open_signer(path, SEED)
    assert signer.sign(vote(5)) == first
    assert isinstance(signer.sign(vote(5, message=b"B")), Refused)
    assert isinstance(signer.sign(vote(4)), Refused)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["signer"]


def test_two_processes_cannot_hold_one_record(tmp_path: Path) -> None:
    create_signer(tmp_path / "signer", SEED)
    with pytest.raises(SignerDamaged, match="in use"):
        open_signer(tmp_path / "signer", SEED)


def test_a_missing_record_is_not_made_by_opening_it(tmp_path: Path) -> None:
    with pytest.raises(SignerDamaged, match="missing"):
        open_signer(tmp_path / "signer", SEED)
    assert list(tmp_path.iterdir()) == []


def test_a_record_is_never_replaced_not_even_after_a_crash_in_its_creation(tmp_path: Path) -> None:
    path = tmp_path / "signer"
    signer = create_signer(path, SEED)
    first = signature(signer.sign(vote(5)))
    signer.close()
    (tmp_path / "signer.new").hardlink_to(path)  # a crash before the draft's name was removed
    with pytest.raises(FileExistsError):
        create_signer(path, SEED)
    assert open_signer(path, SEED).sign(vote(5)) == first


def test_a_key_without_its_record_is_silent_until_its_past_is_known(tmp_path: Path) -> None:
    path = tmp_path / "signer"
    signer = create_signer(path, SEED, watermark_height=UNKNOWN_HEIGHT)
    assert signer.is_silent
    assert isinstance(signer.sign(vote(height=2**64 - 1)), Refused)
    signer.end_silence(11)
    signer.close()
    again = open_signer(path, SEED)
    assert not again.is_silent
    assert isinstance(again.sign(vote(height=11)), Refused)
    assert isinstance(again.sign(vote(height=12)), bytes)
