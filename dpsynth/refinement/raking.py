"""Rows weighed until their counts come to what was measured.

Raking, or iterative proportional fitting (Deming and Stephan 1940; Deville, Sarndal and Sautory
1993 for samples): each row's weight is multiplied by how much a code, or a pair of codes, lacks,
table after table. The noisy tables contradict each other, so the factors of pairs are damped and
nothing is met to the last digit. How far a table is followed depends on its noise, cell by cell.

No private data is involved: the rows come from a model, the tables are public.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dpsynth.generators.base import IntArray
from dpsynth.refinement.measured import Measured
from dpsynth.refinement.simulated import counts
from dpsynth.refinement.targets import Targets

FloatArray = NDArray[np.float64]

MOST = 3.0
"""Largest weight of a row; the mean is 1."""
_PASSES = 6
_LAST_PASSES = 5
"""Over the one-way marginals alone, which the cap puts off a little."""
_DAMPING = 0.5
"""Power of a pair's factors. The tables' noise differs: undamped, each undoes what others did."""
_MOST_FACTOR = 4.0
"""A cell's weights change by this factor at most at a time."""
_LEAST_KEPT = 0.1
"""Share of what the model expects of a cell that its target keeps, however low the noisy count."""
_LEAST_WEIGHT = 1e-9
"""Part of the largest weight that each row keeps."""
_TINY = 1e-300


def aims(measured: Measured, pool: IntArray) -> Targets:
    """What the counts of weighed rows should come to, given what the model makes of them.

    A pair's noisy count n and the model's expectation e are two estimates of one count. The model
    is off by a variance that is taken to grow with e and is estimated from the whole table; the
    noise has the same in each cell. So a large cell follows what was measured, and a small one,
    which the noise hides, stays with the model (empirical Bayes). One-way marginals that the pairs'
    tables were averaged into are met as they are; without pairs they are treated as pairs are.

    Args:
        measured: what was measured.
        pool: codes drawn from the model, shape (rows, columns), at least one row.
    """
    scale = measured.rows / len(pool)
    one_way = measured.one_way
    if not measured.pairs:
        one_way = tuple(
            _aim(
                scale * np.bincount(pool[:, j], minlength=len(shares)).astype(np.float64),
                measured.rows * shares,
                measured.one_way_std,
            )
            for j, shares in enumerate(measured.one_way)
        )
    tables = tuple(
        _aim(scale * counts(pool, pair, measured.sizes), table, measured.std)
        for pair, table in zip(measured.pairs, measured.tables, strict=True)
    )
    return Targets(one_way, measured.pairs, tables)


def raked(pool: IntArray, targets: Targets) -> FloatArray:
    """Weights of rows, under which their counts come close to the targets.

    Args:
        pool: codes, shape (rows, columns), at least one row.
        targets: shares to come to. A code that no row has stays without rows.

    Returns:
        shape (rows,): finite, above 0, at most `MOST`, of mean 1.
    """
    columns = [np.ascontiguousarray(column) for column in pool.T]
    sizes = [len(shares) for shares in targets.one_way]
    weights = _margins(np.ones(len(pool)), columns, targets.one_way)
    for _ in range(_PASSES):
        for (i, j), table in zip(targets.pairs, targets.tables, strict=True):
            cells = columns[i] * sizes[j] + columns[j]
            weights *= _factors(weights, cells, table.ravel(), power=_DAMPING)[cells]
        weights = _margins(_capped(weights), columns, targets.one_way)
    for _ in range(_LAST_PASSES):
        weights = _capped(_margins(weights, columns, targets.one_way))
    return weights


def _margins(
    weights: FloatArray, columns: Sequence[IntArray], one_way: Sequence[FloatArray]
) -> FloatArray:
    for codes, shares in zip(columns, one_way, strict=True):
        weights = weights * _factors(weights, codes, shares, power=1.0)[codes]
    return weights


def _factors(
    weights: FloatArray, cells: IntArray, shares: FloatArray, *, power: float
) -> FloatArray:
    """What to multiply the weights of each cell by, shape (cells,); their sum stays as it is."""
    found = np.bincount(cells, weights=weights, minlength=len(shares))
    wanted = shares * found.sum()
    ratio = np.divide(wanted, found, out=np.ones(len(shares)), where=found > _TINY)
    factors = np.clip(ratio, 1.0 / _MOST_FACTOR, _MOST_FACTOR) ** power
    return np.asarray(factors * (found.sum() / (factors * found).sum()))


def _capped(weights: FloatArray) -> FloatArray:
    """The weights times the one number that makes their mean 1 once none is above `MOST`."""
    weights = np.maximum(weights, _LEAST_WEIGHT * weights.max())
    falling = np.sort(weights)[::-1]
    left = len(weights) - MOST * np.arange(len(weights))  # for the others, if so many are capped
    scales = left / np.cumsum(falling[::-1])[::-1]
    first = int(np.argmax(scales * falling <= MOST))
    return np.asarray(np.minimum(scales[first] * weights, MOST))


def _aim(expected: FloatArray, noisy: FloatArray, std: float) -> FloatArray:
    """Shares between two estimates of counts; all of one shape."""
    difference = noisy - expected
    surplus = max(float((difference**2).sum()) - expected.size * std**2, 0.0)
    off = surplus / max(float(expected.sum()), _TINY) * expected
    kept = off / np.maximum(off + std**2, _TINY)
    aimed = np.maximum(expected + kept * difference, _LEAST_KEPT * expected)
    return np.asarray(aimed / aimed.sum())
