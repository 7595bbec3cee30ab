"""Every way in which a transaction can be refused: stable code, number and typed values.

Codes and numbers are protocol (spec R): changing one is a fork. Hundreds group by concept.
"""

from dataclasses import dataclass, fields
from typing import ClassVar, TypeVar, dataclass_transform

T = TypeVar("T", bound="TransactionRefused")


class TransactionRefused(Exception):
    """The user's transaction breaks a rule; it changes nothing but spends its id if logged."""

    number: ClassVar[int]
    code: ClassVar[str]
    sentence: ClassVar[str]

    @property
    def values(self) -> dict[str, int | str]:
        """Return the typed values of this refusal by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def __str__(self) -> str:
        return self.sentence.format(**self.values)


@dataclass_transform(kw_only_default=True, eq_default=False)
def refusal(cls: type[T]) -> type[T]:
    """Make a refusal's annotations its keyword-only, typed values."""
    return dataclass(kw_only=True, eq=False)(cls)


# 1xx: who must have signed


@refusal
class FourEyesMissing(TransactionRefused):
    """Too few distinct persons of a treasury signed in the role that the act needs."""

    number, code = 101, "four_eyes_missing"
    sentence = "{party} needs {needed} persons with role {role}, {signed} signed"
    party: str
    role: str
    needed: int
    signed: int


@refusal
class SignatureMissing(TransactionRefused):
    """A party whose consent is needed signed with too few of its keys."""

    number, code = 102, "signature_missing"
    sentence = "{party} must sign with {needed} of its keys, {signed} signed"
    party: str
    needed: int
    signed: int


# 2xx: parties and attestations


@refusal
class PartyUnknown(TransactionRefused):
    """No such party."""

    number, code = 201, "party_unknown"
    sentence = "no party {party}"
    party: str


@refusal
class PartyExists(TransactionRefused):
    """The id is taken."""

    number, code = 202, "party_exists"
    sentence = "party {party} exists already"
    party: str


@refusal
class PartyWrongKind(TransactionRefused):
    """The party cannot play this part."""

    number, code = 203, "party_wrong_kind"
    sentence = "{party} is a {kind}, expected {expected}"
    party: str
    kind: str
    expected: str


@refusal
class KeyTaken(TransactionRefused):
    """The key is registered already, or named twice."""

    number, code = 204, "key_taken"
    sentence = "key {key} is taken"
    key: str


@refusal
class KeyInvalid(TransactionRefused):
    """The key is not a canonical point of the prime-order subgroup."""

    number, code = 205, "key_invalid"
    sentence = "key {key} is not a point of the prime-order subgroup"
    key: str


@refusal
class RegistrationTagTaken(TransactionRefused):
    """The firm is enrolled already, perhaps under another id."""

    number, code = 206, "registration_tag_taken"
    sentence = "this registration tag belongs to {party}"
    party: str


@refusal
class ThresholdInvalid(TransactionRefused):
    """The threshold is zero or above the number of keys."""

    number, code = 207, "threshold_invalid"
    sentence = "threshold {threshold} does not fit {keys} keys"
    threshold: int
    keys: int


@refusal
class ValidityPassed(TransactionRefused):
    """The end of validity lies at or before block time."""

    number, code = 208, "validity_passed"
    sentence = "validity ends at {until_ms}, block time is {time_ms}"
    until_ms: int
    time_ms: int


@refusal
class NotEligible(TransactionRefused):
    """No valid attestation by a trusted attester fulfils a group of the programme's criteria."""

    number, code = 209, "not_eligible"
    sentence = "{party} lacks an attestation for: {needed}"
    party: str
    needed: str


@refusal
class RolesNotForHolders(TransactionRefused):
    """A holder's keys carry no treasury roles."""

    number, code = 210, "roles_not_for_holders"
    sentence = "keys of holders carry no roles, person {person} has {roles}"
    person: str
    roles: str


# 3xx: programmes and budgets


@refusal
class ProgrammeUnknown(TransactionRefused):
    """No such programme."""

    number, code = 301, "programme_unknown"
    sentence = "no programme {programme}"
    programme: str


@refusal
class ProgrammeVersionWrong(TransactionRefused):
    """A new version must be the current one plus one."""

    number, code = 302, "programme_version_wrong"
    sentence = "expected version {expected}, got {given}"
    expected: int
    given: int


@refusal
class TermsInconsistent(TransactionRefused):
    """The terms contradict themselves."""

    number, code = 303, "terms_inconsistent"
    sentence = "{reason}"
    reason: str


@refusal
class ProgrammeNotOpen(TransactionRefused):
    """The programme's status does not allow this."""

    number, code = 304, "programme_not_open"
    sentence = "{programme} is {status}"
    programme: str
    status: str


@refusal
class NotAFunder(TransactionRefused):
    """The party does not fund this programme."""

    number, code = 305, "not_a_funder"
    sentence = "{party} does not fund {programme}"
    party: str
    programme: str


@refusal
class AppropriationExceeded(TransactionRefused):
    """A mint would commit more than a funder appropriated for the year."""

    number, code = 306, "appropriation_exceeded"
    sentence = "{funder} in {year}: asked {asked} fen, uncommitted {available}"
    funder: str
    year: int
    asked: int
    available: int


@refusal
class AppropriationBelowCommitted(TransactionRefused):
    """A reduction would fall below what is committed."""

    number, code = 307, "appropriation_below_committed"
    sentence = "would leave {appropriated} fen, committed {committed}"
    appropriated: int
    committed: int


@refusal
class AmountOverflow(TransactionRefused):
    """A total would leave the range of amounts."""

    number, code = 308, "amount_overflow"
    sentence = "{total} fen is above {maximum}"
    total: int
    maximum: int


@refusal
class CarryOverNotSupported(TransactionRefused):
    """Carrying an appropriation over from another year is not built yet."""

    number, code = 309, "carry_over_not_supported"
    sentence = "carry-over from {year} is not supported by this rules version"
    year: int


@refusal
class IssuerMismatch(TransactionRefused):
    """Only the city in the programme's id may act as its issuer."""

    number, code = 310, "issuer_mismatch"
    sentence = "{programme} belongs to {issuer}, not to {party}"
    programme: str
    issuer: str
    party: str


# 4xx: centres


@refusal
class CentreNotAccredited(TransactionRefused):
    """The centre has no accreditation in force."""

    number, code = 401, "centre_not_accredited"
    sentence = "{centre} is not accredited"
    centre: str


@refusal
class CentreNotAccepted(TransactionRefused):
    """The programme does not accept this centre."""

    number, code = 402, "centre_not_accepted"
    sentence = "{programme} does not accept {centre} of {host}"
    programme: str
    centre: str
    host: str


@refusal
class ChipNotAccredited(TransactionRefused):
    """The centre has no accredited devices of this chip."""

    number, code = 403, "chip_not_accredited"
    sentence = "{centre} has no accredited {chip}"
    centre: str
    chip: str


@refusal
class CapacityExceeded(TransactionRefused):
    """More device time is claimed for a day than the accredited devices have."""

    number, code = 404, "capacity_exceeded"
    sentence = "{centre} {chip} on day {day}: asked {asked} gpu_ms, free {available}"
    centre: str
    chip: str
    day: int
    asked: int
    available: int


@refusal
class ModeNotSupported(TransactionRefused):
    """Recognition by host_pays is not built yet."""

    number, code = 405, "mode_not_supported"
    sentence = "recognition mode {mode} is not supported by this rules version"
    mode: str


@refusal
class PeriodEmpty(TransactionRefused):
    """A period ends before it begins."""

    number, code = 406, "period_empty"
    sentence = "the period from {from_ms} to {until_ms} is empty"
    from_ms: int
    until_ms: int


@refusal
class RepeatedValue(TransactionRefused):
    """A list names the same thing twice."""

    number, code = 407, "repeated_value"
    sentence = "{value} is named twice"
    value: str


@refusal
class HostMismatch(TransactionRefused):
    """Only the city that accredited a centre first may change its accreditation."""

    number, code = 408, "host_mismatch"
    sentence = "{centre} is hosted by {host}"
    centre: str
    host: str


# 5xx: vouchers


@refusal
class VoucherNotHeld(TransactionRefused):
    """No such voucher, or another party holds it."""

    number, code = 501, "voucher_not_held"
    sentence = "{party} holds no voucher {voucher}"
    voucher: str
    party: str


@refusal
class VoucherExhausted(TransactionRefused):
    """The voucher has less value available than asked."""

    number, code = 502, "voucher_exhausted"
    sentence = "asked {asked} fen, available {available}"
    asked: int
    available: int


@refusal
class VoucherExpired(TransactionRefused):
    """The voucher's last day is over."""

    number, code = 503, "voucher_expired"
    sentence = "{voucher} expired at {expires_at_ms}, block time is {time_ms}"
    voucher: str
    expires_at_ms: int
    time_ms: int


@refusal
class GrantIsAfterUse(TransactionRefused):
    """A programme that pays after use issues no vouchers."""

    number, code = 504, "grant_is_after_use"
    sentence = "{programme} grants after use and mints no vouchers"
    programme: str


@refusal
class GrantOutOfBounds(TransactionRefused):
    """A grant is below the programme's minimum or above its maximum."""

    number, code = 505, "grant_out_of_bounds"
    sentence = "grant of {asked} fen, allowed {minimum} to {maximum}"
    asked: int
    minimum: int
    maximum: int


@refusal
class HolderCapExceeded(TransactionRefused):
    """A holder would receive more in a year than the programme allows."""

    number, code = 506, "holder_cap_exceeded"
    sentence = "{party} in {year}: asked {asked} fen, left under the cap {available}"
    party: str
    year: int
    asked: int
    available: int


@refusal
class GroupCapExceeded(TransactionRefused):
    """A control group would receive more in a year than the programme allows."""

    number, code = 507, "group_cap_exceeded"
    sentence = "group {group} in {year}: asked {asked} fen, left under the cap {available}"
    group: str
    year: int
    asked: int
    available: int


@refusal
class TransferNotAllowed(TransactionRefused):
    """The programme's transfer rule forbids it."""

    number, code = 508, "transfer_not_allowed"
    sentence = "{programme} allows transfers: {rule}"
    programme: str
    rule: str


@refusal
class TransferToSelf(TransactionRefused):
    """Sender and recipient are the same party."""

    number, code = 509, "transfer_to_self"
    sentence = "{party} cannot transfer to itself"
    party: str


@refusal
class TermsVersionWrong(TransactionRefused):
    """A mint names terms that are not the current ones."""

    number, code = 510, "terms_version_wrong"
    sentence = "current terms are version {current}, got {given}"
    current: int
    given: int


# 6xx: claims


@refusal
class ReserveNotSupported(TransactionRefused):
    """Redeeming under a reserve is not built yet."""

    number, code = 601, "reserve_not_supported"
    sentence = "redeeming under a reserve is not supported by this rules version"


@refusal
class AfterUseNotSupported(TransactionRefused):
    """A claim without vouchers is not built yet."""

    number, code = 602, "after_use_not_supported"
    sentence = "a claim without vouchers is not supported by this rules version"


@refusal
class ProgrammesNotStackable(TransactionRefused):
    """The lines of a claim are of programmes or terms that may not be used together."""

    number, code = 603, "programmes_not_stackable"
    sentence = "{first} and {second} cannot be used in one claim"
    first: str
    second: str


@refusal
class InvoiceUsed(TransactionRefused):
    """The invoice was claimed before."""

    number, code = 604, "invoice_used"
    sentence = "this invoice was claimed in {claim}"
    claim: str


@refusal
class BaseExceedsNet(TransactionRefused):
    """The eligible base is above the invoice's net amount."""

    number, code = 605, "base_exceeds_net"
    sentence = "base {base} fen is above net {net}"
    base: int
    net: int


@refusal
class UsageMissing(TransactionRefused):
    """A claim shows no device time."""

    number, code = 606, "usage_missing"
    sentence = "a claim needs at least one usage row"


@refusal
class UsageInFuture(TransactionRefused):
    """A usage row lies after today."""

    number, code = 607, "usage_in_future"
    sentence = "usage on day {day}, today is {today}"
    day: int
    today: int


@refusal
class RateNone(TransactionRefused):
    """No row of the programme's rate table covers this use."""

    number, code = 608, "rate_none"
    sentence = "no rate for {holder_class} on {chip_origin} chips at a {ownership} centre"
    holder_class: str
    chip_origin: str
    ownership: str


@refusal
class RatesMixed(TransactionRefused):
    """Usage rows of one claim fall under different rates; each needs its own invoice."""

    number, code = 609, "rates_mixed"
    sentence = "usage falls under {first} and {second} basis points"
    first: int
    second: int


@refusal
class RateExceeded(TransactionRefused):
    """The claim asks for more than rate × base."""

    number, code = 610, "rate_exceeded"
    sentence = "asked {asked} fen, {basis_points} basis points of {base} give {allowed}"
    asked: int
    allowed: int
    basis_points: int
    base: int


@refusal
class CeilingExceeded(TransactionRefused):
    """The claim asks for a larger share of the invoice than programmes together may pay."""

    number, code = 611, "ceiling_exceeded"
    sentence = "asked {asked} fen, the ceiling is {allowed}"
    asked: int
    allowed: int


@refusal
class RedeemedCapExceeded(TransactionRefused):
    """A holder would redeem more in a year than the programme allows."""

    number, code = 612, "redeemed_cap_exceeded"
    sentence = "{party} in {year}: asked {asked} fen, left under the cap {available}"
    party: str
    year: int
    asked: int
    available: int


def all_refusals() -> tuple[type[TransactionRefused], ...]:
    """Return every refusal, by number."""
    return tuple(sorted(TransactionRefused.__subclasses__(), key=lambda cls: cls.number))


def code_text(number: int) -> str:
    """Return the text of a result code; 0 is ``ok``."""
    if number == 0:
        return "ok"
    return {cls.number: cls.code for cls in all_refusals()}[number]
