"""A naive twin of the ledger's rules, written from docs/spec/kinds.md and docs/spec/rules.md alone.

It imports nothing of the ledger. A transaction comes as its kind, its fields by the names of
kinds.md (records inside them as arrays in the order of the page), and who signed it.
"""

import copy
from collections.abc import Callable
from typing import Any

from tests.reference import twin_members as members
from tests.reference import twin_value as value
from tests.reference.twin_world import (
    AMOUNT_MAX,
    DAY_MS,
    HOLD_GRACE_MS,
    Refused,
    Signer,
    Thing,
    World,
    day_of,
    need,
)

Rule = Callable[[World, Thing], None]

KINDS: dict[str, tuple[Rule, tuple[str, ...]]] = {
    "party.enrol": (
        members.enrol,
        (
            "city",
            "party",
            "holder_class",
            "name",
            "region",
            "control_group",
            "registration_tag",
            "tag_epoch",
            "keys",
            "threshold",
            "proofs",
        ),
    ),
    "attestation.issue": (
        members.attest,
        ("attester", "subject", "topic", "about", "text", "amount", "valid_until_ms", "commitment"),
    ),
    "programme.publish": (members.publish, ("programme", "version", "status", "terms")),
    "programme.appropriate": (
        members.appropriate,
        ("programme", "funder", "year", "delta", "carried_from"),
    ),
    "programme.consent": (members.consent_to_terms, ("programme", "version", "funder", "terms")),
    "centre.accredit": (
        members.accredit,
        ("host", "centre", "devices", "pue_milli", "ownership", "ended"),
    ),
    "recognition.set": (
        members.recognise,
        ("issuer", "programmes", "hosts", "mode", "limit", "from_ms", "until_ms"),
    ),
    "voucher.mint": (value.mint, ("programme", "terms_version", "rows")),
    "voucher.transfer": (value.transfer, ("voucher", "holder", "recipient", "amount")),
    "voucher.redeem": (
        value.redeem,
        (
            "holder",
            "centre",
            "order",
            "lines",
            "grant",
            "invoice",
            "contract",
            "service_class",
            "usage",
            "own_share",
            "holder_signs",
        ),
    ),
    "party.set_keys": (members.set_keys, ("act",)),
    "attestation.revoke": (members.revoke_attestation, ("attester", "subject", "topic", "about")),
    "voucher.reserve": (
        value.reserve,
        ("voucher", "holder", "centre", "order", "amount", "chip", "service_class", "until_ms"),
    ),
    "voucher.release": (value.release, ("reserve", "by", "amount")),
    "claim.decide": (value.review, ("act",)),
    "claim.credit": (value.credit, ("claim", "amount", "note")),
    "voucher.extend": (value.extend, ("voucher", "until_day", "case")),
    "voucher.revoke": (value.revoke, ("voucher", "amount", "case")),
    "clearing.close": (value.close_cycle, ("by", "cycle")),
    "payment.record": (value.record_payment, ("act",)),
    "hold.set": (members.set_hold, ("by", "scope", "id", "case", "reason")),
    "hold.clear": (members.clear_hold, ("by", "hold", "case")),
    "record.anchor": (members.anchor, ("by", "about", "as_of", "commitment", "note")),
    "governance.propose": (members.propose, ("proposer", "action")),
    "governance.vote": (members.vote, ("voter", "proposal", "approve")),
    "tx.withdraw": (members.withdraw, ("party", "transaction")),
}
"""Per kind its rule and the names of its fields in order."""

KINDS_DURING_A_PAUSE = (
    "governance.propose",
    "governance.vote",
    "party.set_keys",
    "hold.set",
    "hold.clear",
    "record.anchor",
    "tx.withdraw",
)


class Twin(World):
    """The whole twin: begin with a genesis, then block by block."""

    def apply(
        self,
        kind: str,
        fields: dict[str, Any],
        *,
        signers: list[Signer],
        time_ms: int,
        height: int,
        record_hash: bytes,
        transaction_id: bytes,
        size: int,
    ) -> int:
        """Apply a transaction; return 0, or the number of the refusal, which changes nothing."""
        self.kind = kind
        self.took_back = [name for one, name in self.withdrawn if one == transaction_id]
        self.signers = [signer for signer in signers if signer[0] not in self.took_back]
        self.took_back = [one[0] for one in signers if one[0] in self.took_back]
        self.time, self.height = time_ms, height
        self.record_hash = record_hash
        self.asked, self.consented = [], []
        before = copy.deepcopy(self.__dict__) if self._is_near_a_bound(size) else None
        rule, names = KINDS[kind]
        assert tuple(fields) == names, f"{kind} has the fields {names}"
        try:
            need(not self.paused or kind in KINDS_DURING_A_PAUSE, 806)
            rule(self, fields)
        except Refused as refused:
            return refused.code
        if any(kind == one for one, _, _ in self.parameters["officers"]):
            self.acted += dict.fromkeys(self.asked)
        writer = self.consented[0]
        sizes = [*self.of_the_day(writer), size]
        entries, bytes_ = self.bounds(writer)
        if self.parties[writer]["kind"] != "holder" and kind in KINDS_DURING_A_PAUSE:
            entries = bytes_ = AMOUNT_MAX
        if len(sizes) > entries or sum(sizes) > bytes_:
            assert before is not None
            self.__dict__ = before
            return 108
        self.written.append((writer, day_of(time_ms), size))
        return 0

    def _is_near_a_bound(self, size: int) -> bool:
        """Return whether an act could be refused by R3.11, though its rule has done its work."""
        for name in self.parties:
            sizes, (entries, bytes_) = [*self.of_the_day(name), size], self.bounds(name)
            if len(sizes) > entries or sum(sizes) > bytes_:
                return True
        return False

    def begin_block(self, time_ms: int, height: int, record_hash: bytes) -> None:
        """Do what is due (R8); parameters that were adopted bind from here (R14.2)."""
        self.time, self.height, self.record_hash = time_ms, height, record_hash
        self.parameters = self.next_parameters
        if self.paused:
            return
        due: list[tuple[int, str, str]] = []
        for name, claim in self.claims.items():
            if claim["status"] == "to_be_drawn":
                due.append((0, "claim", name))
        for name, voucher in self.vouchers.items():
            if voucher["available"] > 0 and voucher["due"] <= time_ms:
                due.append((voucher["due"], "voucher", name))
        for name, reserve in self.reserves.items():
            if reserve["left"] > 0 and reserve["until"] + HOLD_GRACE_MS <= time_ms:
                due.append((reserve["until"] + HOLD_GRACE_MS, "reserve", name))
        counted = 0
        for _, table, name in sorted(due):
            if counted >= self.parameters["block_expiries_max"]:
                return
            if table == "claim":
                counted += len(self.claims[name]["lines"])
                value.draw(self, self.claims[name])
                continue
            counted += 1
            if time_ms < self.quiet_until:
                continue
            if table == "voucher":
                self.expire_voucher(self.vouchers[name])
            else:
                reserve = self.reserves[name]
                left, reserve["left"] = reserve["left"], 0
                self.give_back(self.vouchers[reserve["voucher"]], "reserved", left)

    def expire_voucher(self, voucher: Thing) -> None:
        """R8.2."""
        if self.expiry(voucher) > self.time:
            voucher["due"] = self.expiry(voucher)
            if self.open_recovery(voucher["holder"]) is not None:
                voucher["due"] = max(voucher["due"], self.time + DAY_MS)
        else:
            self.move(voucher, "available", "expired", voucher["available"])
