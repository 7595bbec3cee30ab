"""Every way in which a transaction can be refused: stable code, number and typed values.

Codes and numbers are protocol (spec R): changing one is a fork. The hundreds digit
groups them by concept.
"""

from typing import ClassVar

from ledger.coded import Coded
from ledger.coded import coded as refusal


class TransactionRefused(Coded):
    """The user's transaction breaks a rule; it changes nothing but spends its id if logged."""

    number: ClassVar[int]


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


@refusal
class PartyNotActive(TransactionRefused):
    """The party is suspended or removed and makes nothing new."""

    number, code = 103, "party_not_active"
    sentence = "{party} is {status}"
    party: str
    status: str


@refusal
class RecoveryOpen(TransactionRefused):
    """A recovery of the party's keys is open: it is stopped meanwhile."""

    number, code = 104, "recovery_open"
    sentence = "{party} is stopped by a recovery since {opened_ms}"
    party: str
    opened_ms: int


@refusal
class PersonSubmitted(TransactionRefused):
    """A person submits what the same party decides."""

    number, code = 105, "person_submitted"
    sentence = "{person} of {party}, which decides, signs a redemption"
    party: str
    person: str


@refusal
class SignatureWithdrawn(TransactionRefused):
    """A party whose consent is needed took its signature off the transaction."""

    number, code = 107, "signature_withdrawn"
    sentence = "{party} has withdrawn its signature from {transaction}"
    party: str
    transaction: str


@refusal
class PersonsMissing(TransactionRefused):
    """A member that names several persons signed with too few of them."""

    number, code = 106, "persons_missing"
    sentence = "{party} must sign with {needed} of its persons, {signed} signed"
    party: str
    needed: int
    signed: int


@refusal
class QuotaSpent(TransactionRefused):
    """The party has written as much today as it may; it goes on when the next day begins."""

    number, code = 108, "quota_spent"
    sentence = (
        "{party} would have written {entries} entries of {bytes} bytes today, "
        "it goes on at {from_ms}"
    )
    party: str
    entries: int
    bytes: int
    from_ms: int


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


@refusal
class AttestationUnknown(TransactionRefused):
    """The member has no such statement in force."""

    number, code = 211, "attestation_unknown"
    sentence = "{attester} has no statement {topic} about {subject} in force"
    attester: str
    subject: str
    topic: str


@refusal
class KeysUnfit(TransactionRefused):
    """A treasury's keys break the rules of roles and persons."""

    number, code = 212, "keys_unfit"
    sentence = "{reason}"
    reason: str


@refusal
class RecoveryUnknown(TransactionRefused):
    """No recovery or key change of the party is open."""

    number, code = 213, "recovery_unknown"
    sentence = "no open recovery or key change of {party}"
    party: str


@refusal
class RecoveryTooEarly(TransactionRefused):
    """New keys come into force 72 hours after they were named at the earliest."""

    number, code = 214, "recovery_too_early"
    sentence = "possible from {from_ms}, block time is {time_ms}"
    from_ms: int
    time_ms: int


@refusal
class SecondOpinionMissing(TransactionRefused):
    """Contested new keys, and a recovery tried again, need another city or an auditor."""

    number, code = 215, "second_opinion_missing"
    sentence = "another city or an auditor must sign for {party} with {by}"
    party: str
    by: str


@refusal
class EnrolledElsewhere(TransactionRefused):
    """Only the city that enrolled a party may recover its keys."""

    number, code = 216, "enrolled_elsewhere"
    sentence = "{party} was not enrolled by {city}"
    party: str
    city: str


@refusal
class RelatedParties(TransactionRefused):
    """Holder and centre are under one control where the programme forbids it."""

    number, code = 217, "related_parties"
    sentence = "{holder} and {centre} are both of {group}"
    holder: str
    centre: str
    group: str


@refusal
class KeyProofWrong(TransactionRefused):
    """A key did not sign that it is this party's on this ledger."""

    number, code = 218, "key_proof_wrong"
    sentence = "key {key} has no proof that holds"
    key: str


@refusal
class RecoveryCooling(TransactionRefused):
    """After a recovery that was not accepted the next one has to wait."""

    number, code = 219, "recovery_cooling"
    sentence = "possible from {from_ms}, block time is {time_ms}"
    from_ms: int
    time_ms: int


@refusal
class KeyChangeOpen(TransactionRefused):
    """The member announced new keys already, and that is not decided."""

    number, code = 220, "key_change_open"
    sentence = "{party} announced new keys at {opened_ms}, which is not decided"
    party: str
    opened_ms: int


@refusal
class KeysNotTheirs(TransactionRefused):
    """Others neither decide on a member's new keys nor object to a recovery."""

    number, code = 221, "keys_not_theirs"
    sentence = "{by} has no say in the new keys of {party}"
    party: str
    by: str


@refusal
class TagEpochUnknown(TransactionRefused):
    """The tag was made under a key that is not in force."""

    number, code = 230, "tag_epoch_unknown"
    sentence = "no tag key of epoch {epoch} is in force"
    epoch: int


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
class IssuerMismatch(TransactionRefused):
    """Only the city in the programme's id may act as its issuer."""

    number, code = 310, "issuer_mismatch"
    sentence = "{programme} belongs to {issuer}, not to {party}"
    programme: str
    issuer: str
    party: str


@refusal
class CarryOverInvalid(TransactionRefused):
    """Money is carried over from an earlier year, and only forwards."""

    number, code = 309, "carry_over_invalid"
    sentence = "cannot carry {delta} fen from {from_year} to {year}"
    from_year: int
    year: int
    delta: int


@refusal
class TermsDiffer(TransactionRefused):
    """A change of status must repeat the terms of the version in force."""

    number, code = 311, "terms_differ"
    sentence = "these are not the terms of version {version}; a change needs a new one"
    version: int


@refusal
class VersionNotProposed(TransactionRefused):
    """A funder consents to the version that waits for consent, and to no other."""

    number, code = 312, "version_not_proposed"
    sentence = "version {version} of {programme} does not wait for consent"
    programme: str
    version: int


@refusal
class TermsHashWrong(TransactionRefused):
    """A consent names the hash of other terms."""

    number, code = 313, "terms_hash_wrong"
    sentence = "version {version} of {programme} has other terms"
    programme: str
    version: int


@refusal
class FunderConsentMissing(TransactionRefused):
    """A version is in force once all its funders consented to it."""

    number, code = 314, "funder_consent_missing"
    sentence = "version {version} of {programme} waits for the consent of {funder}"
    programme: str
    version: int
    funder: str


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


@refusal
class RecognitionExceeded(TransactionRefused):
    """The host would pay more than the recognition's limit."""

    number, code = 409, "recognition_exceeded"
    sentence = "{host} for {programme}: asked {asked} fen, {available} left"
    programme: str
    host: str
    asked: int
    available: int


@refusal
class TariffExceeded(TransactionRefused):
    """The base is above device time at the centre's highest tariff."""

    number, code = 410, "tariff_exceeded"
    sentence = "base {base} fen, at most {allowed} by the tariff ceilings"
    base: int
    allowed: int


@refusal
class PeriodsTooMany(TransactionRefused):
    """The recognition has as many periods ahead as it can."""

    number, code = 411, "periods_too_many"
    sentence = "{host} for {programme} has {maximum} periods that have not ended"
    programme: str
    host: str
    maximum: int


@refusal
class PeriodsOverlap(TransactionRefused):
    """Another period of the recognition lies in this time."""

    number, code = 412, "periods_overlap"
    sentence = "{host} for {programme} has a period from {from_ms} until {until_ms}"
    programme: str
    host: str
    from_ms: int
    until_ms: int


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
    """A mint names terms that are not those in force."""

    number, code = 510, "terms_version_wrong"
    sentence = "version {current} is in force, got {given}"
    current: int
    given: int


@refusal
class ReserveUntilInvalid(TransactionRefused):
    """A hold end lies after now and not after the voucher's expiry."""

    number, code = 511, "reserve_until_invalid"
    sentence = "hold end {until_ms}, expected after {time_ms} and at most {latest_ms}"
    until_ms: int
    time_ms: int
    latest_ms: int


@refusal
class ReserveUnknown(TransactionRefused):
    """No such reserve."""

    number, code = 512, "reserve_unknown"
    sentence = "no reserve {reserve}"
    reserve: str


@refusal
class ReserveMismatch(TransactionRefused):
    """The reserve is of another voucher or for another centre."""

    number, code = 513, "reserve_mismatch"
    sentence = "reserve {reserve} is of {voucher} for {centre}"
    reserve: str
    voucher: str
    centre: str


@refusal
class ReserveExhausted(TransactionRefused):
    """Less is left in the reserve than asked."""

    number, code = 514, "reserve_exhausted"
    sentence = "asked for {asked} fen, reserve has {available}"
    asked: int
    available: int


@refusal
class ReserveExpired(TransactionRefused):
    """The reserve's hold end and the grace after it are over."""

    number, code = 515, "reserve_expired"
    sentence = "{reserve} was good until {until_ms}, block time is {time_ms}"
    reserve: str
    until_ms: int
    time_ms: int


@refusal
class ExtensionInvalid(TransactionRefused):
    """A new expiry lies after the old one and not too far ahead."""

    number, code = 516, "extension_invalid"
    sentence = "asked {asked_ms}, expected after {after_ms} and at most {latest_ms}"
    asked_ms: int
    after_ms: int
    latest_ms: int


@refusal
class ReserveRunning(TransactionRefused):
    """Until its hold end only the centre gives a reserve back."""

    number, code = 517, "reserve_running"
    sentence = "the centre may claim it until {until_ms}, block time is {time_ms}"
    until_ms: int
    time_ms: int


@refusal
class ReserveTooSmall(TransactionRefused):
    """Less than the least amount of a reserve, and not all that is available."""

    number, code = 521, "reserve_too_small"
    sentence = "{amount} fen, expected at least {least}, or all that is available"
    amount: int
    least: int


@refusal
class VoucherUnknown(TransactionRefused):
    """No such voucher."""

    number, code = 518, "voucher_unknown"
    sentence = "no voucher {voucher}"
    voucher: str


@refusal
class TransfersTooMany(TransactionRefused):
    """The voucher came through as many transfers as it can."""

    number, code = 519, "transfers_too_many"
    sentence = "{voucher} came through {maximum} transfers: it goes no further"
    voucher: str
    maximum: int


@refusal
class DecisionMinted(TransactionRefused):
    """A grant decision was minted before: one decision makes one voucher of a programme."""

    number, code = 520, "decision_minted"
    sentence = "decision {decision} of {programme} is minted: voucher {voucher}"
    programme: str
    decision: str
    voucher: str


# 6xx: claims


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


@refusal
class LinesMixed(TransactionRefused):
    """The lines of a claim are of different programmes or terms."""

    number, code = 613, "lines_mixed"
    sentence = "{first} and {second} are not of one programme and version"
    first: str
    second: str


@refusal
class InvoiceDiffers(TransactionRefused):
    """The invoice was claimed with other parties, amounts or usage."""

    number, code = 614, "invoice_differs"
    sentence = "claim {claim} shows this invoice with another {field}"
    claim: str
    field: str


@refusal
class ContractMissing(TransactionRefused):
    """The programme asks for the contract behind the invoice."""

    number, code = 615, "contract_missing"
    sentence = "{programme} asks for the contract"
    programme: str


@refusal
class ContractDiffers(TransactionRefused):
    """The contract was shown with other parties, amount or days."""

    number, code = 616, "contract_differs"
    sentence = "the contract was shown with another {field}"
    field: str


@refusal
class ContractTooLong(TransactionRefused):
    """The contract runs longer than the programme allows."""

    number, code = 617, "contract_too_long"
    sentence = "{days} days, at most {allowed}"
    days: int
    allowed: int


@refusal
class BaseExceedsContract(TransactionRefused):
    """The bases of a contract's invoices pass what the programme counts of it."""

    number, code = 618, "base_exceeds_contract"
    sentence = "bases of {base} fen, at most {allowed} of the contract"
    base: int
    allowed: int


@refusal
class ContractCapExceeded(TransactionRefused):
    """A contract would be paid more than the programme allows."""

    number, code = 619, "contract_cap_exceeded"
    sentence = "asked {asked} fen, {available} left for the contract"
    asked: int
    available: int


@refusal
class ClaimUnknown(TransactionRefused):
    """No such claim."""

    number, code = 620, "claim_unknown"
    sentence = "no claim {claim}"
    claim: str


@refusal
class ClaimStatusWrong(TransactionRefused):
    """The claim's status does not allow this."""

    number, code = 621, "claim_status_wrong"
    sentence = "{claim} is {status}"
    claim: str
    status: str


@refusal
class DisputeWindowOpen(TransactionRefused):
    """The holder may still dispute a claim that it did not sign."""

    number, code = 622, "dispute_window_open"
    sentence = "the holder may dispute until {until_ms}, block time is {time_ms}"
    until_ms: int
    time_ms: int


@refusal
class DisputeWindowOver(TransactionRefused):
    """It is too late to dispute the claim."""

    number, code = 623, "dispute_window_over"
    sentence = "disputes ended at {until_ms}, block time is {time_ms}"
    until_ms: int
    time_ms: int


@refusal
class NotDisputable(TransactionRefused):
    """The holder signed the claim itself."""

    number, code = 624, "not_disputable"
    sentence = "{claim} was signed by its holder"
    claim: str


@refusal
class CaseMissing(TransactionRefused):
    """A disputed claim is decided by a case."""

    number, code = 625, "case_missing"
    sentence = "{claim} is disputed: name the case"
    claim: str


@refusal
class AcceptedOutOfBounds(TransactionRefused):
    """More is accepted than was claimed."""

    number, code = 626, "accepted_out_of_bounds"
    sentence = "accepted {accepted} fen of {amount}"
    accepted: int
    amount: int


@refusal
class TagNotChecked(TransactionRefused):
    """Officers accept only what they checked the invoice's tag of."""

    number, code = 627, "tag_not_checked"
    sentence = "recompute the tag of the invoice of {claim} first"
    claim: str


@refusal
class CreditExceedsAccepted(TransactionRefused):
    """Credit notes pass what was accepted."""

    number, code = 628, "credit_exceeds_accepted"
    sentence = "asked {asked} fen, {available} is accepted"
    asked: int
    available: int


@refusal
class GrantNotAfterUse(TransactionRefused):
    """The programme grants vouchers before use."""

    number, code = 629, "grant_not_after_use"
    sentence = "{programme} does not grant after use"
    programme: str


@refusal
class LinesOrGrant(TransactionRefused):
    """A claim names either vouchers or a grant after use."""

    number, code = 630, "lines_or_grant"
    sentence = "name either vouchers or a grant after use: {lines} lines, {grants} grants"
    lines: int
    grants: int


@refusal
class CreditsTooMany(TransactionRefused):
    """The claim has as many credit notes as it can."""

    number, code = 631, "credits_too_many"
    sentence = "{claim} has {maximum} credit notes"
    claim: str
    maximum: int


@refusal
class UsageTooOld(TransactionRefused):
    """A usage row lies before the earliest day that the claim may show."""

    number, code = 632, "usage_too_old"
    sentence = "device time of {day}, the earliest is {earliest}"
    day: int
    earliest: int


@refusal
class EnergyExceeded(TransactionRefused):
    """A usage row shows more energy than its device time at the chip's maximal power."""

    number, code = 633, "energy_exceeded"
    sentence = "{energy_wh} Wh on {chip} on {day}, allowed {allowed_wh}"
    chip: str
    day: int
    energy_wh: int
    allowed_wh: int


@refusal
class DecisionEarly(TransactionRefused):
    """The issuer still has time to decide the claim itself."""

    number, code = 634, "decision_early"
    sentence = "the issuer decides until {until_ms}, block time is {time_ms}"
    until_ms: int
    time_ms: int


# 7xx: settlement


@refusal
class PayableUnknown(TransactionRefused):
    """No such payable."""

    number, code = 701, "payable_unknown"
    sentence = "no payable {payable}"
    payable: str


@refusal
class PayableCleared(TransactionRefused):
    """The payable goes through clearing cycles and is not paid by itself."""

    number, code = 702, "payable_cleared"
    sentence = "{payable} goes through clearing cycles"
    payable: str


@refusal
class PaymentExceedsDue(TransactionRefused):
    """More would be paid than is open."""

    number, code = 703, "payment_exceeds_due"
    sentence = "asked {asked} fen, {available} is open"
    asked: int
    available: int


@refusal
class EndToEndIdUsed(TransactionRefused):
    """A payment of this debtor has this end-to-end id."""

    number, code = 704, "end_to_end_id_used"
    sentence = "{end_to_end_id} is used"
    end_to_end_id: str


@refusal
class PaymentUnknown(TransactionRefused):
    """No such payment."""

    number, code = 705, "payment_unknown"
    sentence = "no payment {end_to_end_id} of {debtor}"
    debtor: str
    end_to_end_id: str


@refusal
class PaymentStatusWrong(TransactionRefused):
    """The payment's status does not allow this."""

    number, code = 706, "payment_status_wrong"
    sentence = "{end_to_end_id} is {status}"
    end_to_end_id: str
    status: str


@refusal
class ObjectionWindowOpen(TransactionRefused):
    """The payee may still object, so the payer's bank cannot confirm or take back yet."""

    number, code = 707, "objection_window_open"
    sentence = "the payee may object until {until_ms}, block time is {time_ms}"
    until_ms: int
    time_ms: int


@refusal
class ObjectionWindowOver(TransactionRefused):
    """It is too late to object to the payment."""

    number, code = 708, "objection_window_over"
    sentence = "objections ended at {until_ms}, block time is {time_ms}"
    until_ms: int
    time_ms: int


@refusal
class CycleEmpty(TransactionRefused):
    """No payable joined the open cycle."""

    number, code = 709, "cycle_empty"
    sentence = "nothing joined cycle {cycle}"
    cycle: int


@refusal
class CycleWrong(TransactionRefused):
    """Only the open cycle can be closed."""

    number, code = 710, "cycle_wrong"
    sentence = "cycle {open} is open, got {given}"
    open: int
    given: int


@refusal
class CycleTooEarly(TransactionRefused):
    """A cycle stays open for a day after the first payable joined it."""

    number, code = 711, "cycle_too_early"
    sentence = "possible from {from_ms}, block time is {time_ms}"
    from_ms: int
    time_ms: int


@refusal
class NotPartOfPayment(TransactionRefused):
    """The party is neither payer nor payee."""

    number, code = 712, "not_part_of_payment"
    sentence = "{party} neither pays nor gets {end_to_end_id}"
    party: str
    end_to_end_id: str


@refusal
class PartyConcerned(TransactionRefused):
    """Who resolves an objection is neither payer nor payee."""

    number, code = 713, "party_concerned"
    sentence = "{party} pays or gets {end_to_end_id} itself"
    party: str
    end_to_end_id: str


# 8xx: governance


@refusal
class ProposalUnknown(TransactionRefused):
    """No such proposal."""

    number, code = 801, "proposal_unknown"
    sentence = "no proposal {proposal}"
    proposal: int


@refusal
class ProposalClosed(TransactionRefused):
    """The proposal is adopted, or its time is over."""

    number, code = 802, "proposal_closed"
    sentence = "proposal {proposal} is {status}"
    proposal: int
    status: str


@refusal
class VoteRepeated(TransactionRefused):
    """The member voted on this already."""

    number, code = 803, "vote_repeated"
    sentence = "{party} voted on proposal {proposal} already"
    party: str
    proposal: int


@refusal
class ActionInvalid(TransactionRefused):
    """The proposed action cannot be done."""

    number, code = 805, "action_invalid"
    sentence = "{reason}"
    reason: str


@refusal
class LedgerPaused(TransactionRefused):
    """The ledger is paused by its members."""

    number, code = 806, "ledger_paused"
    sentence = "paused since {since_ms}"
    since_ms: int


@refusal
class ProposalsTooMany(TransactionRefused):
    """The member has as many open proposals as it can."""

    number, code = 807, "proposals_too_many"
    sentence = "{party} has {maximum} open proposals, the first closes at {from_ms}"
    party: str
    maximum: int
    from_ms: int


# 9xx: holds and anchors


@refusal
class HoldUnknown(TransactionRefused):
    """No such hold."""

    number, code = 901, "hold_unknown"
    sentence = "no hold {hold}"
    hold: str


@refusal
class HoldCleared(TransactionRefused):
    """The hold was cleared before."""

    number, code = 902, "hold_cleared"
    sentence = "{hold} was cleared before"
    hold: str


@refusal
class HoldNotTheirs(TransactionRefused):
    """Only who acts for the party that set a hold clears it, or an auditor."""

    number, code = 903, "hold_not_theirs"
    sentence = "{hold} was set by {setter}"
    hold: str
    setter: str


@refusal
class ScopeUnknown(TransactionRefused):
    """There is no such thing to hold."""

    number, code = 904, "scope_unknown"
    sentence = "no {scope} {id}"
    scope: str
    id: str


@refusal
class NotConcerned(TransactionRefused):
    """The city has nothing to do with it."""

    number, code = 905, "not_concerned"
    sentence = "{scope} {id} is no concern of {party}"
    party: str
    scope: str
    id: str


@refusal
class Held(TransactionRefused):
    """A hold is open on it."""

    number, code = 906, "held"
    sentence = "{scope} {id} is held by {hold}"
    scope: str
    id: str
    hold: str


@refusal
class HoldsTooMany(TransactionRefused):
    """The setter has as many open holds on it as it can."""

    number, code = 907, "holds_too_many"
    sentence = "{party} sets no more than {maximum} holds on {scope} {id}"
    party: str
    scope: str
    id: str
    maximum: int


@refusal
class HeightAhead(TransactionRefused):
    """A statement is about a height that is not reached."""

    number, code = 908, "height_ahead"
    sentence = "height {as_of} is above {last}"
    as_of: int
    last: int


@refusal
class HoldBarred(TransactionRefused):
    """Somebody else cleared the party's hold on it."""

    number, code = 909, "hold_barred"
    sentence = "a hold of {party} on {scope} {id} was cleared by another: it sets none again"
    party: str
    scope: str
    id: str


@refusal
class OwnCause(TransactionRefused):
    """Nobody holds or clears in their own cause."""

    number, code = 910, "own_cause"
    sentence = "{scope} {id} is the own cause of {party}"
    party: str
    scope: str
    id: str


def all_refusals() -> tuple[type[TransactionRefused], ...]:
    """Return every refusal, by number."""
    return tuple(sorted(TransactionRefused.__subclasses__(), key=lambda cls: cls.number))


def code_text(number: int) -> str:
    """Return the text of a result code; 0 is ``ok``."""
    if number == 0:
        return "ok"
    return {cls.number: cls.code for cls in all_refusals()}[number]
