"""Lower bounds from many independent models, each trained with or without the target.

Rows of one model are not independent trials; here a trial is a model. The attack's threshold is
fixed before these models are seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from audits.errors import AuditInputError
from audits.statistics.estimates import Estimate, clopper_pearson
from audits.statistics.one_run import check_level


@dataclass(frozen=True, kw_only=True)
class ErrorCounts:
    """Errors of one attack on independent models.

    Attributes:
        false_positives: models without the target that the attack took for ones with it.
        without: models trained without the target.
        false_negatives: models with the target that the attack took for ones without it.
        with_target: models trained with the target.
    """

    false_positives: int
    without: int
    false_negatives: int
    with_target: int

    def __post_init__(self) -> None:
        for wrong, models in (
            (self.false_positives, self.without),
            (self.false_negatives, self.with_target),
        ):
            if models < 1 or not 0 <= wrong <= models:
                raise AuditInputError(
                    f"{wrong} errors on {models} models; need at least one model and 0 <= errors "
                    f"<= models"
                )


def many_run_epsilon(counts: ErrorCounts, *, delta: float, alpha: float) -> float:
    """Largest epsilon that the errors rule out at level alpha; 0 if none.

    Null: the mechanism is (epsilon, delta)-DP and the models are independent. Both inequalities of
    DP are read, FPR e^epsilon + FNR >= 1 - delta and its mirror, from the same pair of upper
    bounds at alpha/2 each, so reading both costs nothing.

    Source: Nasr, Hayes, Steinke, Balle, Tramer, Jagielski, Carlini and Terzis, "Tight auditing of
        differentially private machine learning", USENIX Security 2023 (arXiv 2302.07956).
    """
    check_level(delta, alpha)
    fpr, fnr = (rate.upper for rate in _rates(counts, confidence=1.0 - alpha))
    ratios = ((1.0 - delta - fnr) / fpr, (1.0 - delta - fpr) / fnr)
    return max(0.0, math.log(max(1.0, *ratios)))


def many_run_mu(counts: ErrorCounts, *, alpha: float, two_sided: bool = False) -> float:
    """Largest mu that the errors rule out at level alpha within the Gaussian family; 0 if none.

    The sign matters: an attack that does worse than guessing shows a mu below 0, reported as 0. An
    absolute value of a difference of upper bounds would turn the width of the intervals into
    leakage. To profit from an attack that is reliably wrong, ask for `two_sided`: the mirrored
    attack is then read from lower bounds on both rates, and all four bounds share alpha.

    Source: as `many_run_epsilon`; Dong, Roth and Su, JRSS B 84(1), 2022, for mu.
    """
    check_level(0.0, alpha)
    share = alpha / 2.0 if two_sided else alpha
    fpr, fnr = _rates(counts, confidence=1.0 - share)
    forward = -float(special.ndtri(fpr.upper) + special.ndtri(fnr.upper))
    backward = float(special.ndtri(fpr.lower) + special.ndtri(fnr.lower))
    return max(0.0, forward, backward if two_sided else 0.0)


def _rates(counts: ErrorCounts, *, confidence: float) -> tuple[Estimate, Estimate]:
    """FPR and FNR; each end of each interval is wrong with probability (1 - confidence) / 2."""
    return (
        clopper_pearson(counts.false_positives, counts.without, confidence=confidence),
        clopper_pearson(counts.false_negatives, counts.with_target, confidence=confidence),
    )
