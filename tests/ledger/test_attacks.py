"""Attacks on the ledger and its auditor: work, numbers and proofs that a liar could stretch."""

from pathlib import Path
from random import Random
from typing import TypeVar

import pytest

from audit.files import COMMITS, ENTRIES
from engines.builtin.messages import StoredCommit
from ledger.encoding import codec
from ledger.encoding.codec import FEN_MAX, NotCanonical, Record
from ledger.ledger import Ledger
from ledger.rules import calendar, invoices
from ledger.rules.attestations import ATTESTATIONS, CRITERIA_MAX
from ledger.rules.centres import ACCREDITATIONS, DEVICES_MAX, Accreditation, Devices
from ledger.rules.invoices import DAY_GPU_MS, DEVICE_TIME, Usage
from ledger.rules.parties import PartyKey
from ledger.rules.redemptions import Redeem
from ledger.rules.refusals import AmountOverflow
from ledger.store.lmdb_store import LmdbStore
from ledger.store.memory import MemoryStore
from ledger.transactions import parse
from ledger.view import Draft, must
from tests import builders
from tests.builders import NOON_MS, Chain, criterion, funded_chain, key
from tests.decided import DecidedChain
from trials.replay import CheckFailed, check_export

R = TypeVar("R", bound=Record)
V1 = "shanghai.compute.000000001"
CHIP = "ascend-910b"
TODAY = calendar.day_of(NOON_MS)
VOTERS = ("shanghai", "guiyang", "guian-hub", "chengdu-aicc")
FLIPS = 40


# --- device time ---------------------------------------------------------------------------------


def devices(count: int) -> tuple[Devices, ...]:
    return (Devices(chip=CHIP, origin="domestic", count=count, tariff_ceiling=900),)


def used(gpu_ms: int) -> Usage:
    return Usage(chip=CHIP, day=TODAY, gpu_ms=gpu_ms, energy_wh=0)


def redeem(*usage: Usage, invoice: str = "invoice-1") -> bytes:
    return builders.redeem((V1, 1), usage=usage, invoice=invoice)


def test_no_centre_has_more_devices_than_the_range_of_device_time_bears() -> None:
    parse(builders.accredit(devices=devices(DEVICES_MAX)))
    with pytest.raises(NotCanonical):
        parse(builders.accredit(devices=devices(DEVICES_MAX + 1)))
    assert DEVICES_MAX == 10_000_000
    assert DEVICES_MAX * DAY_GPU_MS < FEN_MAX


def test_the_most_device_time_of_a_day_is_readable_after_a_restart(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, map_bytes=1 << 26)
    chain = funded_chain(ledger=Ledger(store))
    chain.accept(builders.accredit(devices=devices(DEVICES_MAX)))
    chain.accept(builders.mint(("firm-a", 1_000)))
    whole = DEVICES_MAX * DAY_GPU_MS
    chain.accept(redeem(used(whole - 1), used(1)))
    store.close()
    again = LmdbStore(tmp_path, map_bytes=1 << 26)
    ledger = Ledger(again)
    ledger.begin(chain.genesis)
    assert must(again, DEVICE_TIME, "guian-hub", CHIP, str(TODAY)).fen == whole
    for gpu_ms in (1, FEN_MAX):
        raw = redeem(used(gpu_ms), invoice="invoice-2")
        refusal = ledger.check(raw, time_ms=chain.now_ms + 1).refusal
        assert refusal is not None
        assert refusal.code == "capacity_exceeded"
    again.close()


def test_device_time_beyond_the_range_of_amounts_is_refused() -> None:
    chain = funded_chain()
    accredited = must(chain.ledger._storage, ACCREDITATIONS, "guian-hub")
    # The codec lets no such centre in; the sum is guarded by itself all the same.
    huge = Accreditation(
        centre=accredited.centre,
        host=accredited.host,
        devices=devices(FEN_MAX),
        pue_milli=accredited.pue_milli,
        ownership=accredited.ownership,
        ended=False,
    )
    tx = parse(redeem(used(FEN_MAX), used(1))).body.operation
    assert isinstance(tx, Redeem)
    with pytest.raises(AmountOverflow) as refusal:
        invoices.count_usage(Draft(chain.ledger._storage), tx.usage, huge, NOON_MS)
    assert refusal.value.code == "amount_overflow"


# --- work ----------------------------------------------------------------------------------------


def test_the_pairs_of_a_recognition_count_as_rows() -> None:
    raw = builders.recognise(
        programmes=("shanghai.a", "shanghai.b", "shanghai.c"), hosts=("guiyang", "henan")
    )
    assert parse(raw).rows == 6


def test_the_keys_of_an_enrolment_count_as_rows() -> None:
    keys = tuple(
        PartyKey(key=key("firm-a", person), person=person, roles=()) for person in ("p", "q", "r")
    )
    assert parse(builders.enrol("firm-a", keys=keys)).rows == 3


class CountingStore(MemoryStore):
    """A store that counts how often attestations are looked up."""

    looked_up = 0

    def read(self, key: bytes, record: type[R]) -> R | None:
        """Read and count."""
        self.looked_up += key.startswith(ATTESTATIONS.prefix)
        return super().read(key, record)


def attestations_read_by_a_mint(*holders: str) -> int:
    """Return how many attestations are looked up to check a mint with these rows."""
    store = CountingStore()
    chain = Chain(ledger=Ledger(store))
    trusted = criterion("registered_in", attesters=("shanghai",))
    chain.accept(builders.publish(eligibility=((trusted,),)), builders.appropriate())
    for firm in ("firm-a", "firm-b"):
        chain.accept(builders.enrol(firm))
        chain.accept(builders.attest(firm))
    store.looked_up = 0
    raw = builders.mint(*((holder, 1) for holder in holders))
    assert chain.ledger.check(raw, time_ms=chain.now_ms + 1).refusal is None
    return store.looked_up


def test_eligibility_is_looked_up_once_a_holder() -> None:
    assert attestations_read_by_a_mint("firm-a") == 1
    assert attestations_read_by_a_mint(*["firm-a"] * 50, *["firm-b"] * 50) == 2


@pytest.mark.parametrize(
    ("criteria", "groups", "code"),
    [
        (CRITERIA_MAX, 1, "ok"),
        (CRITERIA_MAX // 2, 2, "ok"),
        (CRITERIA_MAX, 2, "terms_inconsistent"),
        (CRITERIA_MAX // 2 + 1, 2, "terms_inconsistent"),
    ],
)
def test_terms_with_too_many_criteria_are_refused(criteria: int, groups: int, code: str) -> None:
    group = (criterion("registered_in"),) * criteria
    (result,) = Chain().block(builders.publish(eligibility=(group,) * groups)).results
    assert (result.refusal.code if result.refusal else "ok") == code


# --- the audit of commits ------------------------------------------------------------------------


def decided(heights: int) -> tuple[Chain, list[StoredCommit], list[bytes]]:
    """Return a chain with an enrolment at height 1, its commits, and its log."""
    store = MemoryStore()
    made = DecidedChain(Chain(ledger=Ledger(store)))
    for height in range(1, heights + 1):
        made.block(*((builders.enrol("firm-a"),) if height == 1 else ()))
    return made.chain, made.commits, list(store.log)


def export(folder: Path, log: list[bytes], commits: list[bytes]) -> None:
    """Write an export's entries and commits."""
    (folder / ENTRIES).write_bytes(b"".join(len(one).to_bytes(4, "big") + one for one in log))
    (folder / COMMITS).write_bytes(
        b"".join(
            height.to_bytes(8, "big") + len(one).to_bytes(4, "big") + one
            for height, one in enumerate(commits, start=1)
        )
    )


def test_an_honest_export_is_recomputed(tmp_path: Path) -> None:
    chain, commits, log = decided(3)
    export(tmp_path, log, [codec.encode(commit) for commit in commits])
    report = check_export(chain.genesis, tmp_path)
    assert (report["commits"], report["transactions"]) == (3, 1)


def test_a_bit_flipped_in_a_carried_certificate_is_found(tmp_path: Path) -> None:
    chain, commits, log = decided(3)
    honest = [codec.encode(commit) for commit in commits]
    carried = codec.encode(commits[2].previous[0])
    start = honest[2].rindex(carried)
    dice = Random("carried certificate")
    for bit in dice.sample(range(8 * len(carried)), FLIPS):
        forged = bytearray(honest[2])
        forged[start + bit // 8] ^= 1 << bit % 8
        export(tmp_path, log, [*honest[:2], bytes(forged)])
        with pytest.raises(CheckFailed) as finding:
            check_export(chain.genesis, tmp_path)
        assert finding.value.details == {"height": 3, "field": "commit"}, f"bit {bit}"


def test_a_missing_carried_certificate_is_found(tmp_path: Path) -> None:
    chain, commits, log = decided(3)
    bare = StoredCommit(
        header=commits[2].header, certificate=commits[2].certificate, previous=(), evidence=()
    )
    export(tmp_path, log, [codec.encode(commit) for commit in (*commits[:2], bare)])
    with pytest.raises(CheckFailed, match="lacks its parent's certificate"):
        check_export(chain.genesis, tmp_path)
