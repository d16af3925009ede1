"""Bounded questions to the private rows: each a sum over rows of vectors of bounded L2 norm.

A query is a frozen value. Its fields are public, `row_bound` is the largest L2 norm of one row's
contribution, and `sum` adds the contributions up. The curator alone calls `sum`, and adds noise of
noise_multiplier * max_rows_per_unit * row_bound to the result: by the triangle inequality a unit of
k rows moves a sum by at most k * row_bound. Two queries, `PairDistances` and `KnownRows`, are
functions of such sums that move no more than declared; their docstrings have the argument.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dpsynth.cells import FORMS
from dpsynth.errors import InputError
from dpsynth.privacy.rows import Codec, PrivateRows
from dpsynth.privacy.sketch import RowSketch
from dpsynth.schema import Column

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Query(Protocol):
    """A sum over rows of bounded contributions."""

    @property
    def row_bound(self) -> float:
        """Largest L2 norm of one row's contribution."""
        ...

    def sum(self, rows: PrivateRows) -> FloatArray:
        """The exact sum. PRIVATE."""
        ...


@dataclass(frozen=True)
class RowCount:
    """How many rows there are: every row contributes 1. Answer: shape (1,)."""

    row_bound: float = 1.0

    def sum(self, rows: PrivateRows) -> FloatArray:
        """See `Query`."""
        return np.array([float(rows.count)])


@dataclass(frozen=True)
class FormVotes:
    """How the cells of each column are written (`FORMS`): one vote a cell.

    Answer: shape (columns, len(FORMS)); a row casts one vote a column, so its norm is
    sqrt(columns).
    """

    names: tuple[str, ...]

    @property
    def row_bound(self) -> float:
        """See `Query`."""
        return float(np.sqrt(len(self.names)))

    def sum(self, rows: PrivateRows) -> FloatArray:
        """See `Query`."""
        votes = [np.bincount(rows.forms(name), minlength=len(FORMS)) for name in self.names]
        return np.array(votes, dtype=np.float64)


@dataclass(frozen=True)
class Magnitudes:
    """Histogram of a numeric column over signed powers of two, to find its bounds.

    The middle cell, number SPAN, holds zero; the k-th cell above it holds the values in
    [2**(LOWEST+k-1), 2**(LOWEST+k)), the k-th below it the same with a minus sign; what is larger
    falls in the last cell. A missing value contributes nothing. Answer: shape (2 * SPAN + 1,); row
    norm 1.
    """

    column: Column
    row_bound: float = 1.0

    SPAN: ClassVar[int] = 96
    """Powers of two on each side of zero: sizes up to 2**65."""
    LOWEST: ClassVar[int] = -31
    """Sizes below 2**LOWEST (half a billionth, below nine decimals) count as zero."""

    def sum(self, rows: PrivateRows) -> FloatArray:
        """See `Query`."""
        cells = rows.cells(self.column, strict=False)
        values = cells.values[~cells.missing]
        return np.bincount(self.cell_of(values), minlength=2 * self.SPAN + 1).astype(np.float64)

    @classmethod
    def cell_of(cls, values: FloatArray) -> IntArray:
        """Cell numbers of finite values, shape as given."""
        _, exponent = np.frexp(np.abs(values))
        order = np.clip(exponent - cls.LOWEST, 1, cls.SPAN)
        order = np.where(np.abs(values) < 2.0**cls.LOWEST, 0, order)
        return (cls.SPAN + np.sign(values) * order).astype(np.int64)

    @classmethod
    def range_of(cls, first: int, last: int) -> tuple[float, float]:
        """The values that cells first..last cover, as (lower, upper)."""

        def edge(cell: int, *, outer: bool) -> float:
            order = abs(cell - cls.SPAN)
            if order == 0:
                return 0.0
            size = 2.0 ** (order + cls.LOWEST - (0 if outer else 1))
            return float(np.sign(cell - cls.SPAN) * size)

        return edge(first, outer=first < cls.SPAN), edge(last, outer=last > cls.SPAN)


@dataclass(frozen=True)
class Grid:
    """A public grid of values: lower, lower + step, ..., `size` points in all."""

    lower: float
    step: float
    size: int

    def index(self, values: FloatArray) -> IntArray:
        """Nearest grid point of each value; values beyond the ends are clamped to them."""
        # Clamped before the division, which could overflow on huge values.
        top = self.lower + (self.size - 1) * self.step
        nearest = np.rint((np.clip(values, self.lower, top) - self.lower) / self.step)
        return np.clip(nearest, 0, self.size - 1).astype(np.int64)

    def value(self, index: IntArray) -> FloatArray:
        """The value of each grid point."""
        return self.lower + np.asarray(index, dtype=np.float64) * self.step


@dataclass(frozen=True)
class QuantileTree:
    """Counts in the nodes of a tree over a grid: one node a level for each present value.

    With `levels` levels a row contributes to `levels` nodes, one each, so its norm is sqrt(levels),
    whichever nodes are looked at. The curator descends from the root and adds noise only to the
    children of nodes that it opens; since it opens by noisy answers alone, that is post-processing
    of the noisy whole tree.
    """

    column: Column
    grid: Grid

    WIDEST: ClassVar[int] = 256
    """Most children a node has; a grid of up to 256 points is one flat histogram."""

    @cached_property
    def levels(self) -> int:
        """Levels below the root."""
        return max(1, int(np.ceil(np.log(self.grid.size) / np.log(self.WIDEST) - 1e-12)))

    @cached_property
    def branching(self) -> int:
        """Children of each node: the smallest number whose tree covers the grid."""
        branching = max(1, int(np.floor(self.grid.size ** (1.0 / self.levels))) - 1)
        while branching**self.levels < self.grid.size:
            branching += 1
        return branching

    @property
    def row_bound(self) -> float:
        """See `Query`; of all levels together."""
        return float(np.sqrt(self.levels))

    def span(self, level: int) -> int:
        """Grid points below one node of a level (the root is level 0)."""
        return int(self.branching ** (self.levels - level))

    def sorted_index(self, rows: PrivateRows) -> IntArray:
        """Sorted grid points of the present values. PRIVATE."""
        cells = rows.cells(self.column, strict=False)
        return np.sort(self.grid.index(cells.values[~cells.missing]))

    def child_counts(self, index: IntArray, parents: IntArray, level: int) -> FloatArray:
        """Exact counts of the children of `parents`, shape (parents, branching). PRIVATE."""
        span = self.span(level)
        children = parents[:, None] * self.branching + np.arange(self.branching + 1)[None, :]
        edges = np.searchsorted(index, children * span)
        return np.diff(edges, axis=1).astype(np.float64)


@dataclass(frozen=True)
class Partitions:
    """Counts of the values that occur in a column with an open domain; rare ones are withheld.

    Only values that occur are counted, so which values are there is private: a noisy count is
    released only above `threshold`. The values that a single unit alone holds (at most k of them
    with at most k rows each) then stay hidden except with probability `delta`, by a union bound;
    given that, the answer is a Gaussian release over the values that others hold too. Hence
    (epsilon, delta_gauss + delta) with delta charged in `ThresholdedGaussianEvent` (the argument of
    Wilkins et al., PoPETs 2024, arXiv:2202.01100, in its simplest form).
    """

    column: Column
    row_bound: float = 1.0

    def counts(self, rows: PrivateRows) -> tuple[NDArray[np.object_], FloatArray]:
        """Distinct present values and their exact counts. PRIVATE."""
        cells = rows.cells(self.column, strict=False)
        values, counts = np.unique(cells.values[~cells.missing].astype(str), return_counts=True)
        return values.astype(object), counts.astype(np.float64)

    @staticmethod
    def threshold(*, scale: float, delta: float, max_rows_per_unit: int) -> float:
        """Smallest noisy count that is released, for noise of standard deviation `scale`."""
        k = max_rows_per_unit
        return float(k + scale * stats.norm.isf(delta / k))


@dataclass(frozen=True)
class OneWayMarginals:
    """Histograms of all encoded columns at once: a row is in one cell of each.

    Answer: shape (sum of sizes,), column after column; row norm sqrt(columns).
    """

    codec: Codec

    @property
    def row_bound(self) -> float:
        """See `Query`."""
        return float(np.sqrt(len(self.codec.sizes)))

    def sum(self, rows: PrivateRows) -> FloatArray:
        """See `Query`."""
        codes = rows.codes(self.codec)
        parts = [np.bincount(codes[:, j], minlength=s) for j, s in enumerate(self.codec.sizes)]
        return np.concatenate(parts).astype(np.float64)


@dataclass(frozen=True)
class Marginal:
    """Contingency table of some encoded columns: a row is in one cell.

    Answer: shape (product of the columns' sizes,), last column fastest; row norm 1.
    """

    codec: Codec
    columns: tuple[int, ...]
    row_bound: float = 1.0

    MOST_CELLS: ClassVar[int] = 10_000_000

    def __post_init__(self) -> None:
        known = range(len(self.codec.sizes))
        if not self.columns or any(c not in known for c in self.columns):
            raise InputError(
                f"columns {self.columns} of a marginal; allowed: 0 to {len(known) - 1}"
            )
        if self.cells > self.MOST_CELLS:
            raise InputError(
                f"a marginal of {self.cells} cells; at most {self.MOST_CELLS}: use fewer columns"
            )

    @property
    def cells(self) -> int:
        """Number of cells."""
        return int(np.prod([self.codec.sizes[c] for c in self.columns], dtype=object))

    def sum(self, rows: PrivateRows) -> FloatArray:
        """See `Query`."""
        codes = rows.codes(self.codec)[:, list(self.columns)]
        sizes = [self.codec.sizes[c] for c in self.columns]
        flat = np.ravel_multi_index(tuple(codes.T), sizes)
        return np.bincount(flat, minlength=self.cells).astype(np.float64)


@dataclass(frozen=True)
class PairMarginals:
    """Contingency tables of some pairs of encoded columns at once: a row is in one cell of each.

    Answer: shape (sum of the tables' cells,), pair after pair, second column fastest; row norm
    sqrt(pairs).
    """

    codec: Codec
    pairs: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        _check_pairs(self.pairs, self.codec.sizes)

    @property
    def row_bound(self) -> float:
        """See `Query`."""
        return float(np.sqrt(len(self.pairs)))

    def sum(self, rows: PrivateRows) -> FloatArray:
        """See `Query`."""
        codes = rows.codes(self.codec)
        return np.concatenate(
            [_pair_counts(codes, pair, self.codec.sizes).ravel() for pair in self.pairs]
        )


@dataclass(frozen=True, eq=False)
class PairDistances:
    """How far pairs of encoded columns are from a public guess: the L1 distance of each table.

    Not itself a sum over rows, but a function of sums that one row moves no further than them: a
    row changes one cell of each pair's table by 1, so by the triangle inequality each distance by
    at most 1, and all of them together by at most sqrt(pairs) in L2 norm. The guess is fixed from
    public answers and does not move with the rows. It is rounded to a fixed grid, so that a
    distance is exact in float64 and no rounding adds to what a row moves. (The score of AIM,
    McKenna et al., VLDB 2022, arXiv:2201.12677, released as a whole instead of through the
    exponential mechanism.)

    Answer: shape (pairs,), in rows.

    Attributes:
        codec: how rows become codes.
        pairs: column numbers.
        guesses: for each pair the guessed counts, shape (sizes[i], sizes[j]). Public.
    """

    codec: Codec
    pairs: tuple[tuple[int, int], ...]
    guesses: tuple[FloatArray, ...]

    PARTS: ClassVar[float] = 1024.0
    """Guesses are rounded to this part of a row; sums stay exact up to 2**43 rows."""

    def __post_init__(self) -> None:
        _check_pairs(self.pairs, self.codec.sizes)
        shapes = [np.shape(guess) for guess in self.guesses]
        wanted = [(self.codec.sizes[i], self.codec.sizes[j]) for i, j in self.pairs]
        if shapes != wanted:
            raise InputError(f"guesses of shapes {shapes}; one table a pair is needed: {wanted}")

    @property
    def row_bound(self) -> float:
        """See `Query`."""
        return float(np.sqrt(len(self.pairs)))

    def sum(self, rows: PrivateRows) -> FloatArray:
        """See `Query`."""
        codes = rows.codes(self.codec)
        distances = [
            float(np.abs(_pair_counts(codes, pair, self.codec.sizes) - self._on_grid(guess)).sum())
            for pair, guess in zip(self.pairs, self.guesses, strict=True)
        ]
        return np.array(distances, dtype=np.float64)

    def _on_grid(self, guess: FloatArray) -> FloatArray:
        return np.rint(guess * self.PARTS) / self.PARTS


@dataclass(frozen=True, eq=False)
class KnownRows:
    """How much of earlier releases is in the table, and how often the table repeats itself.

    Rows are compared by their values in the sketches' columns (`dpsynth.privacy.sketch`). Answer:
    shape (releases + 1,): for each sketch how many of its hashes occur in the table, a hash that
    several sketches hold being counted at the first of them; and last how many values of a whole
    row occur in the table more than once.

    Not a sum over rows, but one row moves it by at most 1: put into the table, a row whose value is
    not there yet adds 1 to the sketch that holds it, if any; one whose value is there once adds 1
    to the repeats; any other changes nothing. So its row norm is 1, and by the triangle inequality
    k rows move it by at most k.
    """

    sketches: tuple[RowSketch, ...]
    row_bound: float = 1.0

    def __post_init__(self) -> None:
        sets = {sketch.columns for sketch in self.sketches}
        if len(sets) != 1:
            raise InputError(
                f"sketches of {len(sets)} sets of columns; rows are counted by one set at a time, "
                "give sketches of the same columns, at least one"
            )

    def sum(self, rows: PrivateRows) -> FloatArray:
        """See `Query`."""
        values, counts = np.unique(rows.hashes(self.sketches[0].columns), return_counts=True)
        known = np.zeros(len(values), dtype=bool)
        found = []
        for sketch in self.sketches:
            held = np.isin(values, sketch.hashes) & ~known
            known |= held
            found.append(int(held.sum()))
        return np.array([*found, int((counts > 1).sum())], dtype=np.float64)


def _check_pairs(pairs: tuple[tuple[int, int], ...], sizes: tuple[int, ...]) -> None:
    last = len(sizes) - 1
    wrong = [pair for pair in pairs if not 0 <= pair[0] < pair[1] <= last]
    if wrong or not pairs or len(set(pairs)) < len(pairs):
        raise InputError(
            f"pairs {wrong or pairs} of columns; allowed: different pairs (i, j) with 0 <= i < j "
            f"<= {last}, at least one"
        )


def _pair_counts(codes: IntArray, pair: tuple[int, int], sizes: tuple[int, ...]) -> FloatArray:
    """Exact contingency table of a pair, shape (sizes[i], sizes[j]). PRIVATE."""
    i, j = pair
    flat = codes[:, i].astype(np.int64) * sizes[j] + codes[:, j]
    counts = np.bincount(flat, minlength=sizes[i] * sizes[j])
    return counts.reshape(sizes[i], sizes[j]).astype(np.float64)
