"""What the counts of a sample should come to: the model's expectation, moved towards the measured.

For each measured pair the model's expected table and the noisy one are two estimates of the same
table. They are averaged as James and Stein (1961) would: the difference is kept in the part that
the noise cannot explain, so that a table lost in noise is left to the model.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.generators.base import IntArray
from dpsynth.refinement.measured import Measured

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Targets:
    """Shares of rows to aim for.

    Attributes:
        one_way: for each column, shape (sizes[j],), summing to 1.
        pairs: pairs of columns (i, j), i < j.
        tables: for each pair, shape (sizes[i], sizes[j]), summing to 1.
    """

    one_way: tuple[FloatArray, ...]
    pairs: tuple[tuple[int, int], ...]
    tables: tuple[FloatArray, ...]


def targets_for(measured: Measured, sample: IntArray) -> Targets:
    """The targets of a model of which `sample` is a large sample.

    Args:
        measured: what was measured.
        sample: codes drawn from the model, shape (rows, columns).
    """
    tables = tuple(
        _shrunk(_expected(sample, pair, measured.sizes), table / measured.rows, measured)
        for pair, table in zip(measured.pairs, measured.tables, strict=True)
    )
    return Targets(measured.one_way, measured.pairs, tables)


def _expected(sample: IntArray, pair: tuple[int, int], sizes: tuple[int, ...]) -> FloatArray:
    i, j = pair
    counts = np.bincount(sample[:, i] * sizes[j] + sample[:, j], minlength=sizes[i] * sizes[j])
    return counts.reshape(sizes[i], sizes[j]) / len(sample)


def _shrunk(expected: FloatArray, noisy: FloatArray, measured: Measured) -> FloatArray:
    difference = noisy - expected
    noise = difference.size * (measured.std / measured.rows) ** 2
    kept = max(0.0, 1.0 - noise / max(float((difference**2).sum()), 1e-300))
    moved = np.maximum(expected + kept * difference, 0.0)
    total = float(moved.sum())
    return np.asarray(moved / total) if total > 0 else expected
