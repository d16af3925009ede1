"""Delete-a-group jackknife for the diversity figures: groups of rows, and figures without each.

Source: Kott, Journal of Official Statistics 17(4), 2001.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audits.resampling import GROUPS, anything, interval
from audits.statistics import Estimate


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
