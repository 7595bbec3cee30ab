"""Two certificates for one height: who must have lied, and who may have (spec F1-F4)."""

from dataclasses import dataclass

from consensus.certificate import Certificate
from consensus.messages import ValidatorKey
from consensus.validators import ValidatorSet


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkEvidence:
    """Two commits of one height and the keys that signed both: more than a third of the power."""

    one: Certificate
    """The certificate of the earlier round."""
    other: Certificate
    proven: tuple[ValidatorKey, ...]
    """Signed precommits for two blocks in one round, which no correct validator does. Ascending."""
    suspects: tuple[ValidatorKey, ...]
    """Signed precommits for two blocks in two rounds. Ascending; empty if any key is proven.

    Each of them may be innocent: who precommitted ``one`` may precommit ``other`` later, if in
    between two thirds prevoted ``other`` (L36). Certainly guilty are validators with more than a
    third of the power, but perhaps only some of these keys and some others: those who precommitted
    ``one`` and yet prevoted another block in the first later round that had a polka for one, or
    prevoted twice in the round of ``one`` itself. So it takes the signed prevotes from the round
    of ``one`` on to settle it (F4).
    """

    @property
    def named(self) -> tuple[ValidatorKey, ...]:
        """All keys in both certificates."""
        return self.proven or self.suspects


def fork_evidence(
    one: Certificate, other: Certificate, validators: ValidatorSet
) -> ForkEvidence | None:
    """Return what two certificates of one height prove about their signers, None if they agree.

    Both must have passed ``verify_certificate`` with ``validators``, the set of that height: an
    unverified one would accuse whomever its maker likes. Certificates of two heights are no
    fork, nor are two of one block, other signers or other rounds though they may have (K3).
    """
    if one.height != other.height or one.block_id == other.block_id:
        return None
    if other.round < one.round:
        one, other = other, one
    in_one = {key for key, _ in one.signatures}
    both = tuple(key for key, _ in other.signatures if key in in_one)
    # Two quorums share more than a third (V2). Less means that one of them was never verified.
    assert validators.is_one_third_plus(sum(validators.power_of(key) for key in both))
    is_one_round = one.round == other.round
    return ForkEvidence(
        one=one,
        other=other,
        proven=both if is_one_round else (),
        suspects=() if is_one_round else both,
    )
