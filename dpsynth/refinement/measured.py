"""Noisy tables of pairs of columns, and what they say about single columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dpsynth.encoding.estimate import nonnegative

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured about an encoded table. All of it is public.

    Attributes:
        rows: the noisy row count.
        one_way: for each column its estimated distribution, shape (sizes[j],), summing to 1.
        one_way_std: noise in one cell of a one-way marginal, in rows.
        pairs: measured pairs of columns (i, j), i < j.
        tables: noisy counts of each pair, shape (sizes[i], sizes[j]); may be below zero.
        std: noise in one cell of a pair's table, in rows.
    """

    rows: float
    one_way: tuple[FloatArray, ...]
    one_way_std: float
    pairs: tuple[tuple[int, int], ...]
    tables: tuple[FloatArray, ...]
    std: float

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of codes of each column."""
        return tuple(len(shares) for shares in self.one_way)

    def of(self, column: int) -> tuple[tuple[int, FloatArray], ...]:
        """For each earlier column measured with `column`: its number and the pair's table."""
        found = zip(self.pairs, self.tables, strict=True)
        return tuple((i, table) for (i, j), table in found if j == column)


def cut_tables(
    values: FloatArray, pairs: Sequence[tuple[int, int]], sizes: Sequence[int]
) -> tuple[FloatArray, ...]:
    """The answer to `PairMarginals` as one table a pair."""
    ends = np.cumsum([sizes[i] * sizes[j] for i, j in pairs])
    parts = np.split(values, ends[:-1])
    return tuple(p.reshape(sizes[i], sizes[j]) for p, (i, j) in zip(parts, pairs, strict=True))


def pooled(measured: Measured) -> Measured:
    """The same with one-way marginals that the pairs' tables were averaged into.

    The rows of a pair's table add up to the first column's marginal with a known variance, its
    columns to the second's. Estimates are averaged with weights inverse to their variances, then
    projected on distributions.
    """
    weights = np.full(len(measured.one_way), measured.one_way_std**-2.0)
    sums = [w * measured.rows * shares for w, shares in zip(weights, measured.one_way, strict=True)]
    for (i, j), table in zip(measured.pairs, measured.tables, strict=True):
        for column, axis in ((i, 1), (j, 0)):
            weight = 1.0 / (measured.std**2 * table.shape[axis])
            sums[column] = sums[column] + weight * table.sum(axis=axis)
            weights[column] += weight
    estimates = [total / weight for total, weight in zip(sums, weights, strict=True)]
    return replace(measured, one_way=tuple(_distribution(counts) for counts in estimates))


def _distribution(counts: FloatArray) -> FloatArray:
    total = max(float(counts.sum()), 1.0)
    return nonnegative(counts, total) / total


def with_margins(table: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """The nearest table with these row and column sums (which agree in total); may be negative.

    The least-squares projection: each cell takes its share of what its row and its column lack.

    Args:
        table: shape (a, b).
        first: row sums, shape (a,). second: column sums, shape (b,).
    """
    rows, columns = table.shape
    moved = table + (first - table.sum(1))[:, None] / columns
    return np.asarray(moved + (second - moved.sum(0))[None, :] / rows)
