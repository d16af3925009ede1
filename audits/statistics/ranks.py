"""Statistics of two arms of scores: ROC, AUROC, true-positive rate, advantage.

Members are expected to score higher than non-members; without leakage the arms are exchangeable.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import special, stats

from audits.errors import AuditInputError
from audits.statistics.estimates import Estimate, clopper_pearson, z_two_sided

# Slices of an integral and halvings of a bracket: four digits, always on the wide side.
SLICES = 10_000
HALVINGS = 40


def roc(members: np.ndarray, non_members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False- and true-positive rates of "score > t" for all thresholds t, both from 0 to 1."""
    _check_scores(members, non_members)
    thresholds = np.unique(np.concatenate([members, non_members]))[::-1]
    above = [
        1.0 - np.searchsorted(np.sort(arm), thresholds, side="right") / arm.size
        for arm in (non_members, members)
    ]
    fpr, tpr = (np.append(rates, 1.0) for rates in above)
    return fpr, tpr


def auroc(members: np.ndarray, non_members: np.ndarray, *, confidence: float) -> Estimate:
    """Probability that a member scores above a non-member, ties counted half.

    Without leakage it is 0.5. The interval has DeLong's variance, which comes from the placements
    of each row in the other arm (ties included), on the scale of the logit: on the plain scale the
    lower end of a high AUROC is too high about twice as often as promised. At complete separation
    that variance is 0, and Newcombe's score interval, which does not collapse, takes over.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44(3), 1988; Qin and Hotilovac,
        Statistical Methods in Medical Research 17(2), 2008, for the logit; Newcombe, Statistics
        in Medicine 25(4), 2006, method 5.
    """
    _check_scores(members, non_members)
    up = _placements(members, non_members)
    down = _placements(non_members, members)
    value = float(up.mean())
    variance = _sample_variance(up) / up.size + _sample_variance(down) / down.size
    if variance == 0.0:
        return _newcombe(value, members.size, non_members.size, confidence=confidence)
    half = z_two_sided(confidence) * math.sqrt(variance) / (value * (1.0 - value))
    centre = float(special.logit(value))
    return Estimate(
        value=value,
        lower=min(value, float(special.expit(centre - half))),
        upper=max(value, float(special.expit(centre + half))),
        confidence=confidence,
    )


def auroc_p_value(members: np.ndarray, non_members: np.ndarray) -> float:
    """One-sided p-value of "members score no higher" (Mann-Whitney, tie-corrected, normal limit).

    Null: scores of both arms are exchangeable. Alarm rate at level a: at most a, up to the normal
    approximation (50 rows in each arm are plenty). Scores that are all equal give 1.
    """
    _check_scores(members, non_members)
    pooled = np.concatenate([members, non_members])
    if pooled.min() == pooled.max():
        return 1.0
    test = stats.mannwhitneyu(members, non_members, alternative="greater", method="asymptotic")
    return float(test.pvalue)


def tpr_at_fpr(
    members: np.ndarray, non_members: np.ndarray, *, fpr: float, confidence: float
) -> Estimate:
    """True-positive rate at the loosest threshold whose false-positive rate is at most fpr.

    The value is read off these scores. The interval is for the rate at the threshold that has this
    false-positive rate among all non-members, and covers both draws: order statistics of the
    non-members enclose that threshold and Clopper-Pearson encloses the rate at either end, half of
    the error each. Coverage is at least the confidence, whatever the distributions. With fewer
    than about ln(4 / (1 - confidence)) / fpr non-members the lower end is 0: that few cannot tell
    where the threshold lies.
    """
    _check_scores(members, non_members)
    if not 0.0 < fpr < 1.0:
        raise AuditInputError(f"fpr is {fpr}; it must lie strictly between 0 and 1")
    falling = np.sort(non_members)[::-1]
    tail = (1.0 - confidence) / 4.0
    # The small step forgives a product such as 0.29 * 100 that falls just short of a whole number.
    allowed = min(math.floor(fpr * falling.size + 1e-9), falling.size - 1)
    rates = [
        clopper_pearson(hits, members.size, confidence=1.0 - 2.0 * tail)
        for hits in (
            _above(members, falling, _largest_sure(falling.size, fpr, tail) - 1),
            _above(members, falling, allowed),
            _above(members, falling, _smallest_sure(falling.size, fpr, tail) - 1),
        )
    ]
    return Estimate(
        value=rates[1].value, lower=rates[0].lower, upper=rates[2].upper, confidence=confidence
    )


def advantage(members: np.ndarray, non_members: np.ndarray, *, confidence: float) -> Estimate:
    """Largest true-positive minus false-positive rate over all thresholds, at least 0.

    The value is the best on these scores, so it is above 0 without any leakage; the interval is
    wide enough for the choice of the threshold: it holds for all thresholds at once, whatever the
    distributions (Dvoretzky-Kiefer-Wolfowitz in each arm, Massart's constant; the errors of the two
    arms are independent, so their sum is bounded as a sum and not arm by arm).

    Source: Massart, Annals of Probability 18(3), 1990.
    """
    fpr, tpr = roc(members, non_members)
    value = max(0.0, float((tpr - fpr).max()))
    half = _joint_band(members.size, non_members.size, (1.0 - confidence) / 2.0)
    return Estimate(
        value=value,
        lower=max(0.0, value - half),
        upper=min(1.0, value + half),
        confidence=confidence,
    )


def auroc_null_error(members: int, non_members: int) -> float:
    """Standard error of the AUROC of exchangeable, untied scores (Mann-Whitney)."""
    return math.sqrt((members + non_members + 1) / (12.0 * members * non_members))


def auroc_error(value: np.ndarray, members: int, non_members: int) -> np.ndarray:
    """Standard error of an AUROC away from 0.5, for scores of similar spread in both arms.

    Source: Hanley and McNeil, Radiology 143(1), 1982, with the exponential approximation and equal
        arms as in Newcombe, Statistics in Medicine 25(4), 2006, method 5.
    """
    pairs = (members + non_members) / 2.0 - 1.0
    variance = value * (1.0 - value) / (members * non_members)
    variance = variance * (
        1.0 + pairs * (1.0 - value) / (2.0 - value) + pairs * value / (1.0 + value)
    )
    return np.asarray(np.sqrt(variance))


def _newcombe(value: float, m: int, n: int, *, confidence: float) -> Estimate:
    """All AUROCs whose own normal test would not reject the observed value."""
    z = z_two_sided(confidence)
    grid = np.linspace(0.0, 1.0, 10_001)
    inside = grid[np.square(value - grid) <= np.square(z * auroc_error(grid, m, n)) + 1e-15]
    return Estimate(
        value=value,
        lower=float(min(value, inside.min(initial=value))),
        upper=float(max(value, inside.max(initial=value))),
        confidence=confidence,
    )


@lru_cache(maxsize=1 << 10)
def _joint_band(m: int, n: int, tail: float) -> float:
    """Smallest h with P[X + Y > h] <= tail for independent one-sided errors X and Y of two arms.

    Massart bounds P[X > x] by exp(-2 m x^2) where that is at most 1/2; below, by 1. The error of
    the first arm is taken at the far end of each of many equally likely slices, so that the sum
    over slices is above the integral and h on the safe side.
    """
    far = np.arange(SLICES) / SLICES
    with np.errstate(divide="ignore"):
        first = np.sqrt(np.maximum(-np.log(far), math.log(2.0)) / (2.0 * m))
    low, high = 0.0, sum(math.sqrt(math.log(4.0 / tail) / (2.0 * size)) for size in (m, n))
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        rest = np.maximum(middle - first, 0.0)
        beyond = np.exp(-2.0 * n * np.square(rest))
        if float(np.where(beyond > 0.5, 1.0, beyond).sum()) / SLICES <= tail:
            high = middle
        else:
            low = middle
    return high


def _above(members: np.ndarray, falling: np.ndarray, place: int) -> int:
    """Members above the non-member at this place of the falling order; -1 is above all of them."""
    if place < 0:
        return 0
    if place >= falling.size:
        return members.size
    return int(np.count_nonzero(members > falling[place]))


def _largest_sure(n: int, fpr: float, tail: float) -> int:
    """Largest j such that fewer than j of n lie at or beyond the true threshold with P <= tail."""
    j = int(stats.binom.ppf(tail, n, fpr))
    return j + 1 if stats.binom.cdf(j, n, fpr) <= tail else j


def _smallest_sure(n: int, fpr: float, tail: float) -> int:
    """Smallest j such that j or more of n lie beyond the true threshold with P <= tail."""
    return int(stats.binom.isf(tail, n, fpr)) + 1


def _placements(arm: np.ndarray, other: np.ndarray) -> np.ndarray:
    """For each score, the share of the other arm below it, ties counted half."""
    ordered = np.sort(other)
    below = np.searchsorted(ordered, arm, side="left")
    upto = np.searchsorted(ordered, arm, side="right")
    return np.asarray((below + upto) / (2.0 * other.size))


def _sample_variance(values: np.ndarray) -> float:
    return float(values.var(ddof=1)) if values.size > 1 else 0.0


def _check_scores(members: np.ndarray, non_members: np.ndarray) -> None:
    for name, arm in (("members", members), ("non_members", non_members)):
        if arm.ndim != 1 or arm.size == 0 or not np.isfinite(arm).all():
            raise AuditInputError(
                f"{name}: scores of shape {arm.shape}; need a one-dimensional array of finite "
                f"numbers, not empty"
            )
