"""Signing: what is signed is the canonical body, by named keys, for one ledger."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from desk.description import describe, operation_from
from desk.drafts import LIFE_MS, Draft
from desk.files import FILE_BYTES_MAX
from ledger.catalogue import KINDS
from ledger.devkeys import derive
from ledger.encoding import crypto
from ledger.rules.vouchers import Transfer
from ledger.transactions import SIGNATURES_MAX, parse, signing_bytes
from tally.exits import KeyTrouble, NotFound, UsageError
from tests.builders import NOON_MS
from tests.wallet.fake_node import MASTER, NETWORK
from wallet.client import Nodes
from wallet.commands.session import Desk
from wallet.keystore import Keystore
from wallet.profile import Profile, save_profile
from wallet.signing import (
    commitment,
    drafted,
    key_file,
    load,
    open_signers,
    public_key_of,
    require_own_log,
    save,
    signed,
)
from wallet.tags import keys_in_force

PASSPHRASE = "three old coins"
TRANSFER = Transfer(
    voucher="shanghai.compute.000000001", holder="firm-a", recipient="firm-b", amount=100
)


def transfer(profile: Profile) -> Draft:
    """Return an unsigned transfer."""
    return drafted(TRANSFER, profile, life_ms=LIFE_MS)


def in_network(profile: Profile, network: str) -> Profile:
    """Return the profile as one of another network, with the same seed file."""
    other = Profile(
        name="other",
        network=network,
        log_id="22" * 32,
        nodes=profile.nodes,
        dev_seed=profile.dev_seed,
    )
    save_profile(other)
    return other


def passphrase_fd(*lines: str) -> int:
    """Return a descriptor from which the lines can be read."""
    reader, writer = os.pipe()
    os.write(writer, "".join(f"{line}\n" for line in lines).encode())
    os.close(writer)
    return reader


def test_a_body_is_for_the_profiles_log_and_expires_in_time(profile: Profile) -> None:
    body = transfer(profile).content
    assert (body.version, body.log_id) == (1, profile.log_id_bytes)
    assert body.expires_at == NOON_MS + 600_000
    assert body.operation == TRANSFER


def test_an_envelope_holds_the_signature_of_each_named_key(profile: Profile) -> None:
    signers = open_signers(profile, ("firm-a/owner", "guian-hub/officer-1"))
    found = parse(signed(transfer(profile), signers).envelope())
    assert {key for key, _ in found.signatures} == {
        crypto.public_key(derive(NETWORK, MASTER, "firm-a", "owner")),
        crypto.public_key(derive(NETWORK, MASTER, "guian-hub", "officer-1")),
    }
    message = signing_bytes(found.body_bytes)
    assert all(crypto.verify(key, message, value) for key, value in found.signatures)


def test_a_transaction_that_nobody_signed_is_not_sealed(profile: Profile) -> None:
    with pytest.raises(UsageError, match="nobody has signed"):
        transfer(profile).envelope()


def test_more_signatures_than_a_ledger_takes_are_refused(profile: Profile) -> None:
    names = [f"firm-a/person-{number}" for number in range(SIGNATURES_MAX + 1)]
    full = signed(transfer(profile), open_signers(profile, names[:-1]))
    assert len(parse(full.envelope()).signatures) == SIGNATURES_MAX
    with pytest.raises(UsageError, match="not a transaction that a node takes"):
        signed(full, open_signers(profile, names[-1:])).envelope()


def test_a_field_out_of_its_bounds_is_named_before_anybody_signs(profile: Profile) -> None:
    wrong = Transfer(voucher="nonsense", holder="firm-a", recipient="firm-b", amount=1)
    with pytest.raises(UsageError, match=r"^voucher: expected an id such as shanghai\.compute\.0"):
        drafted(wrong, profile, life_ms=1)


def test_a_key_file_comes_before_a_derived_key(profile: Profile) -> None:
    path = key_file(NETWORK, "firm-a/owner")
    Keystore.create(path, NETWORK, PASSPHRASE)
    (signer,) = open_signers(profile, ("firm-a/owner",), passphrase_fd=passphrase_fd(PASSPHRASE))
    derived = crypto.public_key(derive(NETWORK, MASTER, "firm-a", "owner"))
    assert signer.public_key == public_key_of(profile, "firm-a/owner") != derived


def test_a_command_of_many_transactions_asks_for_a_passphrase_once(profile: Profile) -> None:
    Keystore.create(key_file(NETWORK, "one"), NETWORK, PASSPHRASE)
    desk = Desk(
        profile=profile,
        nodes=Nodes(profile),
        keys=("one",),
        passphrase_fd=passphrase_fd(PASSPHRASE),
        life_ms=None,
        wait=True,
        dry_run=False,
        save_to=None,
    )
    (first,) = desk._signers()
    assert desk._signers() == [first]


def test_each_key_file_takes_a_line_of_the_descriptor(profile: Profile) -> None:
    for name in ("one", "two"):
        Keystore.create(key_file(NETWORK, name), NETWORK, f"{PASSPHRASE} {name}")
    signers = open_signers(
        profile,
        ("one", "two"),
        passphrase_fd=passphrase_fd(f"{PASSPHRASE} one", f"{PASSPHRASE} two"),
    )
    assert len({signer.public_key for signer in signers}) == 2


def test_a_key_of_another_network_does_not_sign(profile: Profile) -> None:
    path = key_file(NETWORK, "firm-a/owner")
    Keystore.create(path, "dev-other", PASSPHRASE)
    with pytest.raises(KeyTrouble, match="is for dev-other, not for dev-test"):
        open_signers(profile, ("firm-a/owner",), passphrase_fd=passphrase_fd(PASSPHRASE))


def test_nothing_is_derived_on_a_real_network(profile: Profile) -> None:
    real = in_network(profile, "east-china")
    for ask in (lambda: open_signers(real, ("firm-a/owner",)), lambda: public_key_of(real, "x/y")):
        with pytest.raises(KeyTrouble, match="there is no key"):
            ask()
    with pytest.raises(UsageError, match="--tag-key"):
        keys_in_force(real, (), [])


@pytest.mark.parametrize("name", ["../x", "a/../b", "/x", "a/b/c", "", "A/b"])
def test_a_key_name_cannot_leave_the_keystore(profile: Profile, name: str) -> None:
    with pytest.raises(UsageError, match="is not a key name"):
        open_signers(profile, (name,))


def test_no_secret_is_in_a_signers_text(profile: Profile) -> None:
    (signer,) = open_signers(profile, ("firm-a/owner",))
    secret = derive(NETWORK, MASTER, "firm-a", "owner")
    assert secret.hex() not in repr(signer)
    assert repr(secret) not in repr(signer)


def test_a_file_goes_from_desk_to_desk(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "transfer.tx"
    save(path, transfer(profile), NETWORK)
    for name in ("firm-a/owner", "guian-hub/officer-1"):
        save(path, signed(load(path), open_signers(profile, (name,))), NETWORK, update=True)
    found = load(path)
    assert found.id == transfer(profile).id
    assert len(parse(found.envelope()).signatures) == 2


def test_an_envelope_in_a_file_is_read_too(profile: Profile, tmp_path: Path) -> None:
    sent = signed(transfer(profile), open_signers(profile, ("firm-a/owner",)))
    path = tmp_path / "envelope"
    path.write_bytes(sent.envelope())
    assert load(path) == sent


def test_a_changed_body_is_noticed(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "transfer.tx"
    save(path, signed(transfer(profile), open_signers(profile, ("firm-a/owner",))), NETWORK)
    stored = json.loads(path.read_text())
    changed = Transfer(voucher=TRANSFER.voucher, holder="firm-a", recipient="firm-b", amount=99_999)
    stored["body"] = drafted(changed, profile, life_ms=LIFE_MS).body.hex()
    path.write_text(json.dumps(stored))
    with pytest.raises(KeyTrouble, match="does not verify"):
        load(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"\x93", b'{"format": "other"}', b"{" + b" " * FILE_BYTES_MAX],
    ids=["empty", "no fields", "torn", "another format", "too long"],
)
def test_a_file_that_holds_no_transaction_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.tx"
    path.write_bytes(content)
    with pytest.raises(UsageError):
        load(path)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No such file"):
        load(tmp_path / "missing")


def test_a_transaction_for_another_log_is_not_touched(profile: Profile) -> None:
    with pytest.raises(UsageError, match="is for log"):
        require_own_log(transfer(profile), in_network(profile, "dev-other"))


def test_two_commitments_to_one_document_differ_by_their_salt(tmp_path: Path) -> None:
    path = tmp_path / "receipt.pdf"
    path.write_bytes(b"paid")
    first, salt = commitment(path)
    second, _ = commitment(path)
    assert first != second
    assert first == crypto.tagged_hash("tallystick/commitment/v1", salt, b"paid")


def test_a_description_and_its_operation_are_one() -> None:
    described = describe(TRANSFER)
    assert described == {
        "kind": "voucher.transfer",
        "voucher": "shanghai.compute.000000001",
        "holder": "firm-a",
        "recipient": "firm-b",
        "amount": 100,
    }
    assert operation_from(described) == TRANSFER


def test_every_kind_can_be_described() -> None:
    for name in KINDS:
        with pytest.raises(UsageError, match="missing fields"):
            operation_from({"kind": name})
    with pytest.raises(UsageError, match="is not one of"):
        operation_from({"kind": "voucher.burn"})


MINT: dict[str, Any] = {
    "kind": "voucher.mint",
    "programme": "shanghai.compute",
    "terms_version": 1,
    "rows": [{"holder": "firm-a", "amount": 1, "decision": "ab" * 32}],
}
STATEMENT: dict[str, Any] = {
    **{"kind": "attestation.issue", "attester": "shanghai", "subject": "firm-a", "text": ""},
    **{"topic": "clean_record", "about": None, "amount": 0, "valid_until_ms": 1},
    "commitment": "ab" * 32,
}


def test_optional_fields_and_bytes_survive_a_description() -> None:
    assert describe(operation_from(MINT)) == MINT
    for described in (STATEMENT, STATEMENT | {"commitment": None, "about": "guian-hub"}):
        assert describe(operation_from(described)) == described


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"kind": "voucher.burn"}, "is not one of"),
        ({"colour": "red"}, r"unknown fields \['colour'\]"),
        ({"rows": "all"}, "rows: expected a list"),
        ({"rows": ["one"]}, "rows: expected an object"),
        ({"rows": []}, "^rows: expected array of length >= 1"),
        ({"terms_version": "1"}, "^terms_version: expected int, got str"),
        ({"rows": [{"holder": "firm-a", "amount": 1}]}, r"missing fields \['decision'\]"),
        ({"rows": [{"holder": "firm-a", "amount": 1, "decision": "xy"}]}, "expected hex"),
        (
            {"rows": [{"holder": "firm-a", "amount": 0, "decision": "ab" * 32}]},
            "^rows: item 1: amount: expected int >= 1",
        ),
        (
            {"rows": [{"holder": "Firm A", "amount": 1, "decision": "ab" * 32}]},
            "^rows: item 1: holder: expected an id such as shanghai$",
        ),
    ],
)
def test_a_wrong_description_is_refused_by_name(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        operation_from(MINT | changes)


RECOVER: dict[str, Any] = {
    "kind": "party.set_keys",
    "act": {
        "kind": "recover",
        "city": "shanghai",
        "party": "firm-a",
        "keys": [{"key": "ab" * 32, "person": "owner", "roles": []}],
        "threshold": 1,
        "proofs": ["ef" * 64],
        "case": "cd" * 32,
        "second": None,
    },
}


def test_an_act_within_a_kind_survives_a_description() -> None:
    assert describe(operation_from(RECOVER)) == RECOVER


@pytest.mark.parametrize(
    ("act", "complaint"),
    [
        ({"kind": "explode"}, "one of rotate, announce, recover, object, decide"),
        ("recover", "act: expected an object whose kind is one of"),
        (RECOVER["act"] | {"party": "Firm A"}, "^act: party: expected an id such as shanghai$"),
        (
            RECOVER["act"] | {"keys": [{"key": "ab" * 31, "person": "owner", "roles": []}]},
            "^act: keys: item 1: key: expected 32 bytes$",
        ),
    ],
)
def test_a_wrong_act_is_refused_by_name(act: object, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        operation_from(RECOVER | {"act": act})


def test_text_is_composed_before_it_is_signed() -> None:
    enrol = {
        "kind": "party.enrol",
        "city": "shanghai",
        "party": "firm-a",
        "holder_class": "start_up",
        "name": "Cafe\N{COMBINING ACUTE ACCENT}",
        "region": "310000",
        "control_group": None,
        "registration_tag": "00" * 32,
        "tag_epoch": 1,
        "keys": [{"key": "00" * 32, "person": "owner", "roles": []}],
        "threshold": 1,
        "proofs": [],
    }
    assert describe(operation_from(enrol))["name"] == "Caf\N{LATIN SMALL LETTER E WITH ACUTE}"
