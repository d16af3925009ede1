"""Codes and combinations of codes that a table surely has and a generator's sample lacks."""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

NEARLY = 0.1
"""A mode with no more than this part of the share it surely has counts as absent, or of an even
share if that is smaller: a generator that is too uniform has lost nothing."""


def sure_shares(shares: FloatArray, noise: FloatArray, *, level: float) -> FloatArray:
    """Lower confidence bounds of the true shares, all right at once but for probability `level`.

    Args:
        shares: noisy shares of any number of cells, shape (cells,).
        noise: standard deviation in each, shape (cells,).
        level: shared evenly by the cells (Bonferroni).
    """
    if not len(shares):
        return shares
    z = -NormalDist().inv_cdf(level / len(shares))
    return np.maximum(shares - z * noise, 0.0)


def absent(
    counts: IntArray, rows: int, sure: FloatArray, even: FloatArray, *, level: float
) -> BoolArray:
    """Cells that are all but missing from a sample although they surely have rows.

    Two conditions: the sample has at most a tenth of the sure share (of the even one if that is
    smaller), and so few would be seen with probability at most `level` / cells in a sample of a law
    with the sure share. The probability is bounded by exp(-rows * KL(seen, sure)) (Chernoff), which
    is exact for a count of zero.

    Args:
        counts: of each cell in the sample, shape (cells,).
        rows: size of the sample.
        sure: lower bounds of the true shares, shape (cells,).
        even: one over the number of cells of the marginal that the cell is in, shape (cells,).
        level: shared evenly by the cells.
    """
    seen = counts / rows
    few = (seen <= NEARLY * np.minimum(sure, even)) & (sure > 0)
    if not few.any():
        return few
    found = few.copy()
    found[few] = rows * _divergence(seen[few], sure[few]) >= np.log(len(sure) / level)
    return found


def testable(rows: int, sure: FloatArray, *, level: float) -> BoolArray:
    """Cells whose absence from so many rows would be noticed, shape (cells,)."""
    return np.asarray(sure >= unseen_share(rows, len(sure), level=level))


def unseen_share(rows: int, cells: int, *, level: float) -> float:
    """The share above which not one of so many rows having the cell is no accident."""
    return float(-np.expm1(np.log(level / max(cells, 1)) / rows))


def least_detectable(
    noise: float, rows: int, *, cells: int, alpha: float, looks: int, power: float = 0.95
) -> float:
    """The smallest share of a mode whose loss is noticed with probability `power`.

    Args:
        noise: standard deviation in the cell, as a share of the rows.
        rows: codes sampled for one look.
        cells: codes of all columns together (or cells of all pairs).
        alpha: false alarm rate of this family of tests, per training.
        looks: planned looks.
        power: in (0, 1).
    """
    normal = NormalDist()
    z = -normal.inv_cdf(alpha / 2 / cells) + normal.inv_cdf(power)
    return z * noise + unseen_share(rows, cells, level=alpha / 2 / looks)


def _divergence(seen: FloatArray, sure: FloatArray) -> FloatArray:
    """Kullback-Leibler divergence of two probabilities of yes, in nats."""
    sure = np.minimum(sure, 1.0 - 1e-12)
    yes = np.where(seen > 0, seen * np.log(np.where(seen > 0, seen, 1.0) / sure), 0.0)
    return np.asarray(yes + (1.0 - seen) * np.log((1.0 - seen) / (1.0 - sure)))
