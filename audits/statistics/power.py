"""The smallest leakage that a run could have seen."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from audits.statistics.ranks import auroc_error, auroc_null_error

# A detection is "sure" when 95 % of such runs see it.
POWER = 0.95


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


def detectable_auroc(critical: float, *, members: int, non_members: int) -> float:
    """Smallest AUROC that a rank test with this critical z sees in 95 % of runs.

    The test alarms where (AUROC - 0.5) / (null standard error) exceeds `critical`, which may come
    from `max_t` and so pay for a whole family. Above the null the standard error changes; it is
    taken from Hanley and McNeil's approximation for scores of similar spread in both arms.
    Infinite where not even complete separation would be seen, or the critical value is infinite.

    Args:
        critical: of the standardised rank statistic.
        members: rows of one arm.
        non_members: rows of the other.
    """
    bar = 0.5 + critical * auroc_null_error(members, non_members)
    grid = np.linspace(0.5, 1.0, 50_001)
    seen = grid - float(stats.norm.ppf(POWER)) * auroc_error(grid, members, non_members) > bar
    return float(grid[seen.argmax()]) if seen.any() else math.inf
