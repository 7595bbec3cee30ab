"""One valid envelope of every kind, for tests that bend them."""

from ledger.rules.money import FunderShare
from ledger.rules.programmes import RateRow
from tests import builders


def one_of_each_kind() -> dict[str, bytes]:
    """Return an envelope by kind; every optional field is filled in at least one of them."""
    return {
        "party.enrol": builders.enrol("firm-a", name="算力 Ltd", control_group="group-1"),
        "attestation.issue": builders.attest(
            "firm-a", "unrelated_to", about=("guian-hub",), commitment=(bytes(32),), amount=70_000
        ),
        "programme.publish": builders.publish(
            eligibility=((builders.criterion("clean_record", attesters=("shanghai",)),),),
            rates=(
                RateRow(
                    holder_class=("start_up",),
                    chip_origin=("domestic",),
                    service_class=("training",),
                    ownership=("public",),
                    basis_points=6000,
                ),
            ),
            caps=builders.no_caps(grant_max=(2**40,)),
            funders=(
                FunderShare(funder="shanghai", basis_points=5000),
                FunderShare(funder="henan", basis_points=5000),
            ),
            assumed=("validity_days",),
            stackable=("guiyang.compute",),
        ),
        "programme.appropriate": builders.appropriate(-5, carried_from=(2025,)),
        "provider.accredit": builders.accredit(),
        "recognition.set": builders.recognise(limit=(300,)),
        "voucher.mint": builders.mint(("firm-a", 100_000), ("firm-b", 200)),
        "voucher.transfer": builders.transfer("shanghai.compute.000000001", 65_536),
        "voucher.redeem": builders.redeem(
            ("shanghai.compute.000000001", 1_000), ("shanghai.compute.000000002", 40)
        ),
    }
