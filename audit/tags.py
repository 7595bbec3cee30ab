"""Tags recomputed from opened papers, and compared with what the log says (spec Z).

Nothing is executed: which transactions were accepted stands in the log, and a claim's serial counts
those of its centre (T9). Replay the log first, if nobody has.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from audit.sources import Source
from audit.structure import check_genesis, read_blocks
from audit.verdicts import Tampered
from ledger.encoding import normal
from ledger.encoding.normal import NotNormal
from ledger.genesis import log_id_of, parse_genesis
from ledger.rules.governance import Propose, SetParameters
from ledger.rules.parties import Enrol
from ledger.rules.redemptions import Redeem
from ledger.transactions import Operation

Verdict = Literal["match", "differs", "twice", "unknown", "not_normal"]
FIRM = ("differs", "twice")
"""What no honest desk writes."""
COLUMNS = ("claim", "tag", "party", "invoice", "invoice_code", "contract", "registration")
"""What a file of papers may have; each line names a claim, a claim's invoice tag, or a party."""


@dataclass(slots=True, kw_only=True)
class Tagged:
    """What a log says of tags."""

    claims: dict[str, Redeem] = field(default_factory=dict)
    by_tag: dict[bytes, str] = field(default_factory=dict)
    """The first claim of each invoice tag."""
    firm_of: dict[bytes, str] = field(default_factory=dict)
    firms: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Epoch and registration tag of each enrolled party."""
    checks: dict[bytes, int] = field(default_factory=dict)
    """Epochs by check value, as genesis and proposals list them."""

    def take(self, operation: Operation, serials: dict[str, int]) -> None:
        """Take what an accepted operation says."""
        match operation:
            case Redeem(centre=centre, invoice=invoice):
                serials[centre] = serials.get(centre, 0) + 1
                claim = f"{centre}.{serials[centre]:09d}"
                self.claims[claim] = operation
                self.by_tag.setdefault(invoice.tag, claim)
            case Enrol(party=party, tag_epoch=epoch, registration_tag=tag):
                self.firms[party] = epoch, tag
                self.firm_of[tag] = party
            case Propose(action=SetParameters(parameters=parameters)):
                # Whether it was adopted: no tag is refused or taken for it here.
                for key in parameters.tag_keys:
                    self.checks.setdefault(key.check_value, key.epoch)


def read_tagged(source: Source, log_id: bytes) -> Tagged:
    """Return what a source's log says of tags; raise what replaying its structure raises."""
    data = source.genesis()
    if log_id_of(data) != log_id:
        reason = f"it makes log {log_id_of(data).hex()}, not {log_id.hex()}"
        raise Tampered(height=0, sequence=0, field="genesis", reason=reason)
    genesis = parse_genesis(data)
    check_genesis(next(source.entries(0), b""), data)
    end = source.end()
    raws = islice(source.entries(1), None if end is None else max(0, end.log_size - 1))
    checks = {key.check_value: key.epoch for key in genesis.parameters.tag_keys}
    found, serials = Tagged(checks=checks), dict[str, int]()
    for block in read_blocks(raws, first=1, height=0, time_ms=genesis.time_ms):
        for transaction in block.transactions:
            found.take(transaction.body.operation, serials)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one number of one line."""

    line: int
    what: str
    of: str
    verdict: Verdict
    why: str


def compare(
    tagged: Tagged, keys: Mapping[int, bytes], line: int, papers: Mapping[str, str]
) -> Iterator[Row]:
    """Yield a row for each number that a line gives; the keys are by epoch."""
    comparing = _Comparing(tagged, keys, line)
    if registration := papers.get("registration", ""):
        yield comparing.firm(papers.get("party", ""), registration)
    invoice = papers.get("invoice_code", "") + papers.get("invoice", "")
    contract = papers.get("contract", "")
    if not (registration or invoice or contract):
        yield comparing.row("line", "", "unknown", "the line gives no number")
    claim = papers.get("claim", "") or comparing.claim_of(papers.get("tag", ""))
    if invoice:
        yield comparing.invoice(claim, invoice)
    if contract:
        yield comparing.contract(claim, contract)


@dataclass(frozen=True, slots=True)
class _Comparing:
    tagged: Tagged
    keys: Mapping[int, bytes]
    line: int

    def row(self, what: str, of: str, verdict: Verdict, why: str = "") -> Row:
        return Row(line=self.line, what=what, of=of, verdict=verdict, why=why)

    def claim_of(self, tag: str) -> str:
        try:
            return self.tagged.by_tag.get(bytes.fromhex(tag), "")
        except ValueError:
            return ""

    def firm(self, party: str, typed: str) -> Row:
        if party not in self.tagged.firms:
            return self.row("registration", party, "unknown", f"no party {party!r} was enrolled")
        epoch, tag = self.tagged.firms[party]
        return self._row(
            "registration",
            party,
            normal.registration_number,
            typed,
            normal.registration_tag,
            {epoch: tag},
            self.tagged.firm_of,
        )

    def invoice(self, claim: str, typed: str) -> Row:
        shown = self.tagged.claims.get(claim)
        if shown is None:
            return self.row("invoice", claim, "unknown", f"no claim {claim!r} was accepted")
        mark = shown.invoice
        return self._row(
            "invoice",
            claim,
            normal.invoice_number,
            typed,
            lambda key, number: normal.invoice_tag(key, shown.centre, number),
            {mark.tag_epoch: mark.tag},
            self.tagged.by_tag,
        )

    def contract(self, claim: str, typed: str) -> Row:
        shown = self.tagged.claims.get(claim)
        if shown is None or not shown.contract:
            return self.row("contract", claim, "unknown", f"no claim {claim!r} shows a contract")
        tag = shown.contract[0].tag
        return self._row(
            "contract",
            claim,
            normal.contract_number,
            typed,
            lambda key, number: normal.contract_tag(key, shown.centre, number),
            dict.fromkeys(self.keys, tag),  # a contract names no epoch (Z5.2)
            {},
        )

    def _row(
        self,
        what: str,
        of: str,
        number_of: Callable[[str], str],
        typed: str,
        tag_of: Callable[[bytes, str], bytes],
        known: Mapping[int, bytes],
        seen: Mapping[bytes, str],
    ) -> Row:
        try:
            number = number_of(typed)
        except NotNormal as error:
            return self.row(what, of, "not_normal", str(error))
        made = {epoch: tag_of(key, number) for epoch, key in self.keys.items()}
        asked = [epoch for epoch in known if epoch in made]
        if not asked:
            epochs = ", ".join(map(str, known))
            return self.row(what, of, "unknown", f"no key of epoch {epochs} was named")
        if all(made[epoch] != known[epoch] for epoch in asked):
            return self.row(what, of, "differs", f"{number} has another tag")
        for tag in made.values():
            if tag in seen and tag not in known.values():
                return self.row(what, of, "twice", f"{number} is also that of {seen[tag]}")
        return self.row(what, of, "match")


def epochs_of(tagged: Tagged, keys: Sequence[bytes]) -> dict[int, bytes]:
    """Return keys by the epoch that the log knows each by; raise ValueError for another."""
    found = {}
    for key in keys:
        check = normal.tag_key_check(key)
        if check not in tagged.checks:
            known = ", ".join(f"{value.hex()} (epoch {of})" for value, of in tagged.checks.items())
            raise ValueError(f"check value {check.hex()} is none of this log's: {known}")
        found[tagged.checks[check]] = key
    return found
