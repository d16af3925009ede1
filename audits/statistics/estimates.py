"""A figure with its interval, and the intervals of means, shares and medians.

Every interval is two-sided at the given confidence: each end is wrong with probability
(1 - confidence) / 2 at most, exactly where the docstring says exact, nearly otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from audits.errors import AuditInputError


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
