"""Two certificates for one height: who must have lied, and who may have (spec F1-F4)."""

from dataclasses import dataclass

from consensus.certificate import Certificate
from consensus.messages import ValidatorKey
from consensus.validators import ValidatorSet


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkEvidence:
    """Two commits of one height and the keys that signed both: more than a third of the power."""

    first: Certificate
    """The certificate of the earlier round."""
    second: Certificate
    proven: tuple[ValidatorKey, ...]
    """Signed precommits for two blocks in one round, which no correct validator does. Ascending."""
    suspects: tuple[ValidatorKey, ...]
    """Signed precommits for two blocks in two rounds. Ascending; empty if any key is proven.

    Each of them may be innocent: who precommitted ``first`` may precommit ``second`` later, if in
    between two thirds prevoted ``second`` (L36). Certainly guilty are validators with more than a
    third of the power, but perhaps only some of these keys and some others: those who precommitted
    ``first`` and yet prevoted another block in the first later round that had a polka for one, or
    prevoted twice in the round of ``first`` itself. So it takes the signed prevotes from the round
    of ``first`` on to settle it (F4).
    """

    @property
    def named(self) -> tuple[ValidatorKey, ...]:
        """All keys in both certificates."""
        return self.proven or self.suspects


def fork_evidence(
    first: Certificate, second: Certificate, validators: ValidatorSet
) -> ForkEvidence | None:
    """Return what two certificates of one height prove about their signers, None if they agree.

    Both must have passed ``verify_certificate`` with ``validators``, the set of that height: an
    unverified one would accuse whomever its maker likes. Certificates of two heights are no
    fork, nor are two of one block, other signers or other rounds though they may have (K3).
    """
    if first.height != second.height or first.block_id == second.block_id:
        return None
    if second.round < first.round:
        first, second = second, first
    signed_first = {key for key, _ in first.signatures}
    both = tuple(key for key, _ in second.signatures if key in signed_first)
    # Two quorums share more than a third (V2). Less means that one of them was never verified.
    assert validators.is_one_third_plus(sum(validators.power_of(key) for key in both))
    is_one_round = first.round == second.round
    return ForkEvidence(
        first=first,
        second=second,
        proven=both if is_one_round else (),
        suspects=() if is_one_round else both,
    )
