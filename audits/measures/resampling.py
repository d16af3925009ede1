"""Delete-a-group jackknife: the spread of any figure, from leaving out one group of rows at a time.

Source: Kott, Journal of Official Statistics 17(4), 2001; Student's quantile with one degree of
freedom less than there are groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from audits.errors import AuditInputError
from audits.statistics import Estimate

GROUPS = 20


def group_numbers(rows: int, *, rng: np.random.Generator) -> np.ndarray:
    """A random group for each row: (rows,) int64 from 0, at most 20 groups of nearly one size."""
    return np.asarray(rng.permutation(rows) % max(1, min(GROUPS, rows)), dtype=np.int64)


def standard_errors(replicates: np.ndarray) -> np.ndarray:
    """Standard errors from figures (groups, ...) with one group left out each; shape (...).

    Raises:
        AuditInputError: fewer than two groups, which have no spread.
    """
    count = replicates.shape[0]
    if count < 2:
        raise AuditInputError(
            f"{count} jackknife groups have no spread; give figures of at least 2 groups"
        )
    spread = np.square(replicates - replicates.mean(axis=0)).sum(axis=0)
    return np.asarray(np.sqrt(spread * (count - 1) / count))


def interval(
    value: float,
    replicates: np.ndarray,
    *,
    confidence: float,
    bounds: tuple[float, float],
    looks: int = 1,
) -> Estimate:
    """value +- t * standard error, cut at the bounds of the possible.

    Coverage is near the confidence for figures that move smoothly with the rows' weights.

    Args:
        value: with all rows.
        replicates: (groups,) with each group left out; fewer than two give the bounds.
        confidence: of the interval.
        bounds: least and greatest possible value.
        looks: among how many figures this one was picked; all of them then hold at once
            (Bonferroni).
    """
    if replicates.size < 2:
        # A single row has no spread to measure: nothing is ruled out.
        return anything(value, confidence=confidence, bounds=bounds)
    half = float(half_width(replicates, confidence=confidence, looks=looks))
    return Estimate(
        value=float(value),
        lower=float(min(value, max(bounds[0], value - half))),
        upper=float(max(value, min(bounds[1], value + half))),
        confidence=confidence,
    )


def half_width(replicates: np.ndarray, *, confidence: float, looks: int = 1) -> np.ndarray:
    """Half the length of the interval of each figure; replicates (groups, ...), result (...)."""
    tail = (1.0 - confidence) / (2.0 * max(1, looks))
    return np.asarray(
        float(stats.t.isf(tail, max(1, len(replicates) - 1))) * standard_errors(replicates)
    )


def anything(value: float, *, confidence: float, bounds: tuple[float, float]) -> Estimate:
    """A figure that these rows are too few to pin down: its interval is all that is possible."""
    if not (bounds[0] <= value <= bounds[1] and math.isfinite(value)):
        raise AuditInputError(f"figure {value} is outside the possible {bounds[0]} to {bounds[1]}")
    return Estimate(value=float(value), lower=bounds[0], upper=bounds[1], confidence=confidence)


def random_groups(rows: int, *, rng: np.random.Generator) -> list[np.ndarray]:
    """Row numbers in at most 20 random groups of nearly one size, each sorted."""
    order = rng.permutation(rows)
    return [np.sort(group) for group in np.array_split(order, max(1, min(GROUPS, rows)))]


def jackknife(
    value: float,
    replicates: Sequence[float] | np.ndarray,
    *,
    confidence: float,
    bounds: tuple[float, float],
) -> Estimate:
    """value with an interval from the figure with each group left out, cut at the bounds.

    Fewer than two replicates have no spread: the interval is then all that is possible.
    """
    left_out = np.asarray(replicates, dtype=np.float64)
    inside = min(max(float(value), bounds[0]), bounds[1])
    return interval(inside, left_out, confidence=confidence, bounds=bounds)


def everything(value: float, *, confidence: float, bounds: tuple[float, float]) -> Estimate:
    """A figure of which nothing is known: its interval is all that is possible."""
    inside = min(max(float(value), bounds[0]), bounds[1])
    return anything(inside, confidence=confidence, bounds=bounds)
