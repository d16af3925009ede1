"""From scores and counts to estimates with intervals: pure functions of arrays.

Every interval is two-sided at the given confidence: each end is wrong with probability
(1 - confidence) / 2 at most, exactly where the docstring says exact, nearly otherwise. Every
p-value is one-sided ("more leakage than none"). No function here knows a policy's threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from audits.errors import AuditInputError

# Families of tests in one audit are few; a detection is "sure" when 95 % of such runs see it.
POWER = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its interval; `lower == upper == value` marks a plain count of these tables.

    Attributes:
        value: the figure.
        lower: lower end of the interval, at most `value`.
        upper: upper end, at least `value`.
        confidence: probability that the interval holds the true figure, in (0, 1).
    """

    value: float
    lower: float
    upper: float
    confidence: float

    def __post_init__(self) -> None:
        if not self.lower <= self.value <= self.upper:
            raise AuditInputError(
                f"estimate {self.value} is outside its interval [{self.lower}, {self.upper}]"
            )
        if not 0.0 < self.confidence < 1.0:
            raise AuditInputError(
                f"confidence is {self.confidence}; it must lie strictly between 0 and 1"
            )


def exact(value: float, *, confidence: float) -> Estimate:
    """A figure that is a plain count or median of these tables and claims nothing beyond them."""
    return Estimate(
        value=float(value), lower=float(value), upper=float(value), confidence=confidence
    )


def normal_interval(
    value: float,
    standard_error: float,
    *,
    confidence: float,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """value +- z * standard_error, cut at the bounds of the possible."""
    half = z_two_sided(confidence) * standard_error
    return Estimate(
        value=float(value),
        lower=float(min(value, max(bounds[0], value - half))),
        upper=float(max(value, min(bounds[1], value + half))),
        confidence=confidence,
    )


def z_two_sided(confidence: float) -> float:
    """Standard normal quantile of a two-sided interval, such as 1.96 for 0.95."""
    return float(stats.norm.isf((1.0 - confidence) / 2.0))


def clopper_pearson(successes: float, trials: int, *, confidence: float) -> Estimate:
    """Success probability from independent trials; coverage is exact or above.

    Raises:
        AuditInputError: no trial, or successes outside 0..trials.

    Source: Clopper and Pearson, Biometrika 26(4), 1934.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise AuditInputError(
            f"{successes} successes of {trials} trials; need trials >= 1 and 0 <= successes <= "
            f"trials"
        )
    tail = (1.0 - confidence) / 2.0
    failures = trials - successes
    lower = stats.beta.ppf(tail, successes, failures + 1) if successes else 0.0
    upper = stats.beta.isf(tail, successes + 1, failures) if failures else 1.0
    return Estimate(
        value=successes / trials, lower=float(lower), upper=float(upper), confidence=confidence
    )


def median_interval(values: np.ndarray, *, confidence: float) -> Estimate:
    """Median of independent values; the interval's ends are order statistics, so it needs no shape.

    Coverage is at least the confidence, except below six values, where it is all there is.

    Raises:
        AuditInputError: no value.
    """
    if values.size == 0:
        raise AuditInputError("median of no values; give at least one")
    ordered = np.sort(values)
    n = values.size
    below = int(stats.binom.ppf((1.0 - confidence) / 2.0, n, 0.5))
    low = max(0, below - 1)
    return Estimate(
        value=float(np.median(ordered)),
        lower=float(ordered[low]),
        upper=float(ordered[n - 1 - low]),
        confidence=confidence,
    )


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

    Without leakage it is 0.5. The interval is DeLong's, whose variance comes from the placements
    of each row in the other arm (ties included); at complete separation that variance is 0, and
    Newcombe's score interval, which does not collapse, takes over.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44(3), 1988; Newcombe, Statistics in
        Medicine 25(4), 2006, method 5.
    """
    _check_scores(members, non_members)
    up = _placements(members, non_members)
    down = _placements(non_members, members)
    value = float(up.mean())
    variance = _sample_variance(up) / up.size + _sample_variance(down) / down.size
    if variance == 0.0:
        return _newcombe(value, members.size, non_members.size, confidence=confidence)
    return normal_interval(value, math.sqrt(variance), confidence=confidence, bounds=(0.0, 1.0))


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

    The threshold is read off the non-members; the interval (Clopper-Pearson) covers the draw of
    the members with that threshold held fixed, not the draw of the non-members.
    """
    _check_scores(members, non_members)
    if not 0.0 < fpr < 1.0:
        raise AuditInputError(f"fpr is {fpr}; it must lie strictly between 0 and 1")
    # The small step forgives a product such as 0.29 * 100 that falls just short of a whole number.
    allowed = min(math.floor(fpr * non_members.size + 1e-9), non_members.size - 1)
    threshold = np.sort(non_members)[::-1][allowed]
    hits = int(np.count_nonzero(members > threshold))
    return clopper_pearson(hits, members.size, confidence=confidence)


def advantage(members: np.ndarray, non_members: np.ndarray, *, confidence: float) -> Estimate:
    """Largest true-positive minus false-positive rate over all thresholds, at least 0.

    The value is the best on these scores, so it is above 0 without any leakage; the interval is
    wide enough for the choice of the threshold: it holds for all thresholds at once, whatever the
    distributions (Dvoretzky-Kiefer-Wolfowitz in each arm, Massart's constant).

    Source: Massart, Annals of Probability 18(3), 1990.
    """
    fpr, tpr = roc(members, non_members)
    value = max(0.0, float((tpr - fpr).max()))
    tail = (1.0 - confidence) / 4.0
    half = sum(math.sqrt(math.log(1.0 / tail) / (2.0 * arm.size)) for arm in (members, non_members))
    return Estimate(
        value=value,
        lower=max(0.0, value - half),
        upper=min(1.0, value + half),
        confidence=confidence,
    )


def clustered_error(residuals: np.ndarray, clusters: np.ndarray) -> float:
    """Standard error of the mean of residuals that are independent between clusters only.

    Synthetic rows that share a nearest real row are one cluster: had that row been in the other
    table, all of them would have changed sides.

    Source: Liang and Zeger, Biometrika 73(1), 1986 (the sandwich variance of a mean).
    """
    if residuals.size == 0 or residuals.shape != clusters.shape:
        raise AuditInputError(
            f"{residuals.shape} residuals for {clusters.shape} clusters; need one each, at least "
            f"one"
        )
    _, places = np.unique(clusters, return_inverse=True)
    sums = np.bincount(places, weights=residuals)
    return float(math.sqrt(float(np.square(sums).sum())) / residuals.size)


def tvd(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Total variation distance of histograms over the same cells, in [0, 1].

    Cells run along the last axis; the other axes broadcast, so one call compares many with one.

    Raises:
        AuditInputError: different numbers of cells, or a histogram of no rows.
    """
    if left.shape[-1] != right.shape[-1]:
        raise AuditInputError(
            f"histograms of {left.shape[-1]} and {right.shape[-1]} cells; need the same cells"
        )
    sums = [side.sum(axis=-1, keepdims=True) for side in (left, right)]
    if any((side <= 0).any() for side in sums):
        raise AuditInputError("a histogram holds no rows; need at least one in each")
    return np.asarray(np.abs(left / sums[0] - right / sums[1]).sum(axis=-1) / 2.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: reject those at most a, and any false alarm has probability at most a.

    Null: all subsets of true hypotheses; no independence is needed.

    Source: Holm, Scandinavian Journal of Statistics 6(2), 1979.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for step, place in enumerate(order):
        running = max(running, min(1.0, p_values[place] * (len(p_values) - step)))
        adjusted[place] = running
    return adjusted


def detectable_share(
    ceiling: float, *, no_leak: float, standard_error: float, alpha: float
) -> float:
    """Smallest share of copied rows that a one-sided test at alpha sees in 95 % of runs.

    A figure moves from `no_leak` towards `ceiling`, what it would be were every row copied, in
    proportion to the share copied. Above 1 the test is blind; infinite where a copy looks like a
    fresh row.
    """
    reach = ceiling - no_leak
    if reach <= 0.0:
        return math.inf
    needed = float(stats.norm.isf(alpha) + stats.norm.ppf(POWER)) * standard_error
    return needed / reach


def auroc_null_error(members: int, non_members: int) -> float:
    """Standard error of the AUROC of exchangeable, untied scores (Mann-Whitney)."""
    return math.sqrt((members + non_members + 1) / (12.0 * members * non_members))


def _newcombe(value: float, m: int, n: int, *, confidence: float) -> Estimate:
    """All AUROCs whose own normal test would not reject the observed value."""
    z = z_two_sided(confidence)
    grid = np.linspace(0.0, 1.0, 10_001)
    pairs = (m + n) / 2.0 - 1.0
    spread = grid * (1 - grid) / (m * n)
    spread = spread * (1 + pairs * (1 - grid) / (2 - grid) + pairs * grid / (1 + grid))
    inside = grid[np.square(value - grid) <= z**2 * spread + 1e-15]
    return Estimate(
        value=value,
        lower=float(min(value, inside.min(initial=value))),
        upper=float(max(value, inside.max(initial=value))),
        confidence=confidence,
    )


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
