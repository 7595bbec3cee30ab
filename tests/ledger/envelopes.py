"""One valid envelope of every kind, for tests that bend them."""

from ledger.rules.claims import Line
from ledger.rules.control import OfficersRule
from ledger.rules.governance import (
    Action,
    Admit,
    Pause,
    Resume,
    SetMemberKeys,
    SetParameters,
    SetRulesVersion,
    SetStatus,
    SetValidator,
    SwitchEngine,
)
from ledger.rules.invoices import Contract
from ledger.rules.money import FunderShare
from ledger.rules.programmes import RateRow
from ledger.rules.redemptions import GrantAfterUse
from tests import builders

VOUCHER = "shanghai.compute.000000001"
CLAIM = "guian-hub.000000001"
PAYABLE = f"{CLAIM}-000"
CONTRACT = Contract(tag=bytes(32), amount=90_000, start_day=20_000, end_day=20_365)


def actions() -> dict[str, Action]:
    """Return one of every action of governance, by name."""
    keys = builders.keys_of("guian-hub", "officer-1", "heir")
    officers = (OfficersRule(kind="voucher.mint", from_fen=70_000, persons=3),)
    return {
        "admit": Admit(member=builders.city("xian"), proofs=()),
        "status": SetStatus(party="henan", status="suspended", successor=("anhui",)),
        "validator": SetValidator(
            party="guian-hub", validator=(builders.validator_keys("guian-hub", 300),), proofs=()
        ),
        "keys": SetMemberKeys(party="guian-hub", keys=keys, threshold=2, proofs=()),
        "parameters": SetParameters(parameters=builders.parameters(officers=officers)),
        "rules_version": SetRulesVersion(version=2, from_height=70_000),
        "engine.switch": SwitchEngine(engine="comet", at_height=70_000),
        "pause": Pause(),
        "resume": Resume(),
    }


def one_of_each_kind() -> dict[str, bytes]:
    """Return an envelope by kind, and by act or action (``claim.decide/dispute``).

    Every optional field is filled in at least one of them.
    """
    return {
        **{
            f"governance.propose/{name}": builders.propose(action)
            for name, action in actions().items()
        },
        "governance.vote": builders.vote(300, approve=False),
        "party.set_keys/rotate": builders.rotate(),
        "party.set_keys/announce": builders.announce(),
        "party.set_keys/recover": builders.recover(second=("guiyang",)),
        "party.set_keys/object": builders.object_to_keys(),
        "party.set_keys/decide": builders.decide_keys(second=("guiyang",)),
        "attestation.revoke": builders.revoke_attestation(
            "firm-a", "unrelated_to", about=("guian-hub",)
        ),
        "voucher.reserve": builders.set_aside(VOUCHER, 70_000),
        "voucher.release": builders.release(CLAIM, 300),
        "voucher.extend": builders.extend(VOUCHER, 20_500),
        "voucher.revoke": builders.revoke(VOUCHER, 300),
        "voucher.redeem/grant": builders.redeem(
            grant=(GrantAfterUse(programme="shanghai.compute", terms_version=1, amount=300),),
            contract=(CONTRACT,),
        ),
        "voucher.redeem/reserved": builders.redeem(
            (VOUCHER, 300), lines=(Line(voucher=VOUCHER, amount=300, reserve=(CLAIM,)),)
        ),
        "claim.decide/decide": builders.decide(CLAIM, 300, case=(builders.CASE,)),
        "claim.decide/dispute": builders.dispute(CLAIM),
        "claim.credit": builders.credit(CLAIM, 300),
        "clearing.close": builders.close_cycle(300),
        "payment.record/instructed": builders.instruct(PAYABLE, 300),
        "payment.record/confirmed": builders.confirm(),
        "payment.record/returned": builders.return_payment(),
        "payment.record/written_off": builders.write_off(PAYABLE, 300),
        "payment.record/objected": builders.object_to_payment(),
        "payment.record/resolved": builders.resolve_payment(),
        "hold.set": builders.set_hold("claim", CLAIM),
        "hold.clear": builders.clear_hold(),
        "tx.withdraw": builders.withdraw(bytes(32)),
        "record.anchor": builders.anchor(300, note="books"),
        "party.enrol": builders.enrol(
            "firm-a", name="算力 Ltd", control_group=(builders.seed("group-1"),)
        ),
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
            base_period=((20_000, 20_365),),
            stackable=("guiyang.compute",),
        ),
        "programme.consent": builders.agree(version=300),
        "programme.appropriate": builders.appropriate(-5, carried_from=(2025,)),
        "centre.accredit": builders.accredit(),
        "recognition.set": builders.recognise(limit=(300,)),
        "voucher.mint": builders.mint(("firm-a", 100_000), ("firm-b", 200)),
        "voucher.transfer": builders.transfer("shanghai.compute.000000001", 65_536),
        "voucher.redeem": builders.redeem(
            ("shanghai.compute.000000001", 1_000), ("shanghai.compute.000000002", 40)
        ),
    }
