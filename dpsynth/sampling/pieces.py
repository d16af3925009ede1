"""From codes to values: the pieces of the public domain that each code stands for.

A piece is a run of grid points or one category. Values are drawn piece by weight, evenly inside it.
A condition keeps some pieces, or parts of them; what is drawn then is exactly what was asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpsynth.encoding.codec import DAY, CategoryCodec, ColumnCodec, NumberCodec
from dpsynth.iso_time import format_datetime

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_GOLDEN = 0.6180339887498949
_LARGEST_TABLE = 1 << 16
"""Grids up to this size are written out as a table of values."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """What a column's codes stand for, sorted by code.

    Attributes:
        part: the column's codec.
        starts: first grid point, or number of the category, of each piece; shape (pieces,).
        lengths: grid points of each piece; 1 for a category.
        codes: code of each piece, ascending.
        weights: share of each piece within its whole code; of a piece cut short, what is left.
        missing: whether the missing value is among what may be drawn.
    """

    part: ColumnCodec
    starts: IntArray
    lengths: IntArray
    codes: IntArray
    weights: FloatArray
    missing: bool

    @cached_property
    def mass(self) -> FloatArray:
        """Share of each code that these pieces hold, in [0, 1], shape (size,)."""
        mass = np.bincount(self.codes, weights=self.weights, minlength=self.part.size)
        if self.part.missing is not None:
            mass[self.part.missing] = float(self.missing)
        elif not len(self.starts) and self.missing:
            mass[:] = 1.0  # a column without any category
        return np.asarray(np.minimum(mass, 1.0), dtype=np.float64)

    def within(self, ranges: Sequence[tuple[int, int]], *, missing: bool) -> "Pieces":
        """Only some grid points, or numbers of categories.

        Args:
            ranges: first and last point of each range; they may overlap.
            missing: whether a missing value fits as well.
        """
        kept = [self._between(low, high) for low, high in _merged(ranges)]
        starts, lengths, codes, weights = (np.concatenate(k) for k in zip(*kept, strict=True))
        order = np.argsort(codes, kind="stable")
        return replace(
            self,
            starts=starts[order],
            lengths=lengths[order],
            codes=codes[order],
            weights=weights[order],
            missing=missing and self.missing,
        )

    def _between(self, low: int, high: int) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
        starts = np.maximum(self.starts, low)
        lengths = np.minimum(self.starts + self.lengths, high + 1) - starts
        kept = lengths > 0
        weights = self.weights * lengths / self.lengths
        return starts[kept], lengths[kept], self.codes[kept], weights[kept]

    def decode(self, codes: IntArray, *, rng: np.random.Generator) -> pd.Series:
        """Values of the column's kind, missing ones as null.

        Args:
            codes: shape (rows,), each with positive mass.
            rng: picks pieces and points. The share of each piece within a code is met up to
                rounding.
        """
        absent = self._absent(codes)
        points = np.zeros(len(codes), dtype=np.int64)
        if len(self.starts):
            piece = self._piece(codes, rng=rng)
            points = self.starts[piece]
            if self.lengths.max() > 1:
                points += np.floor(rng.random(len(codes)) * self.lengths[piece]).astype(np.int64)
        return _typed(self.part, points, absent)

    def _absent(self, codes: IntArray) -> BoolArray:
        if self.part.missing is not None:
            return np.asarray(codes == self.part.missing)
        return np.full(len(codes), not len(self.starts))

    def _piece(self, codes: IntArray, *, rng: np.random.Generator) -> IntArray:
        """A piece of each code; piece 0 for a code that has none (a missing value)."""
        counts = np.bincount(self.codes, minlength=self.part.size)
        first = np.cumsum(counts) - counts
        first[counts == 0] = 0
        piece: IntArray = first[codes]
        split = counts > 1
        if split.any():
            rows = np.flatnonzero(split[codes])
            piece[rows] = self._by_weight(codes[rows], rng=rng)
        return piece

    def _by_weight(self, codes: IntArray, *, rng: np.random.Generator) -> IntArray:
        """Pieces of codes that have several: by inversion, at uniforms spread out in each code."""
        order = rng.permutation(len(codes))
        short = codes.astype(np.min_scalar_type(self.part.size))  # sorted by radix up to 16 bits
        order = order[np.argsort(short[order], kind="stable")]
        spread = np.arange(len(codes)) * _GOLDEN + rng.random()
        marks = np.empty(len(codes))
        marks[order] = spread - np.floor(spread)
        within = np.searchsorted(self._edges, codes + marks, side="right")
        return np.minimum(within, len(self.codes) - 1).astype(np.int64)

    @cached_property
    def _edges(self) -> FloatArray:
        """Upper end of each piece: its code plus the cumulative share within the code."""
        total = np.bincount(self.codes, weights=self.weights, minlength=self.part.size)
        running = np.cumsum(self.weights / np.where(total > 0, total, 1.0)[self.codes])
        counts = np.bincount(self.codes, minlength=self.part.size)
        ends = np.cumsum(counts)
        before = np.r_[0.0, running][ends - counts]
        edges: FloatArray = self.codes + np.minimum(running - before[self.codes], 1.0)
        edges[ends[counts > 0] - 1] = np.flatnonzero(counts) + 1.0  # no mark falls past its code
        return edges


def _merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same points in ranges that do not overlap; one empty range where there is none."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged or [(0, -1)]


def pieces_of(part: ColumnCodec) -> Pieces:
    """All that a column's codes stand for."""
    if isinstance(part, CategoryCodec):
        starts, lengths = np.arange(len(part.codes)), np.ones(len(part.codes), dtype=np.int64)
        codes, weights = part.codes, part.weights
        missing = part.missing is not None or not len(part.codes)
    else:
        starts, codes, weights = part.intervals.starts, part.intervals.codes, part.intervals.weights
        lengths = np.diff(np.r_[starts, part.grid.size])
        missing = part.missing is not None
    order = np.argsort(codes, kind="stable")
    return Pieces(part, starts[order], lengths[order], codes[order], weights[order], missing)


def _typed(part: ColumnCodec, points: IntArray, absent: BoolArray) -> pd.Series:
    """Points of the grid, or numbers of categories, as the column's values."""
    kind, name = part.column.kind, part.column.name
    if isinstance(part, CategoryCodec):
        if kind != "boolean":
            labels = np.array([*part.categories, None], dtype=object)
            points[absent] = len(part.categories)
            return pd.Series(labels[points], name=name, dtype=object)
        truth = np.array([text == "true" for text in part.categories] or [False])
        return _maybe_absent(truth[points], absent, name=name, nullable="boolean")
    if part.grid.size <= _LARGEST_TABLE:
        values = number_values(part, np.arange(part.grid.size))[points]
    elif kind == "datetime":
        unique, inverse = np.unique(points, return_inverse=True)
        values = number_values(part, unique)[inverse]
    else:
        values = number_values(part, points)
    if kind == "integer":
        return _maybe_absent(values, absent, name=name, nullable="Int64")
    if absent.any():
        values[absent] = None if kind == "datetime" else np.nan
    return pd.Series(values, name=name)


def _maybe_absent(values: Any, absent: BoolArray, *, name: str, nullable: Any) -> pd.Series:
    series = pd.Series(values, name=name)
    return series.astype(nullable).mask(absent) if absent.any() else series


def number_values(part: NumberCodec, points: IntArray) -> NDArray[Any]:
    """The values of grid points: int64, float64 or ISO 8601 texts, shape of `points`."""
    values, kind = part.grid.value(points), part.column.kind
    if kind == "integer":
        return np.rint(values).astype(np.int64)
    if kind == "datetime":
        return format_datetime(values, "day" if part.grid.step % DAY == 0 else "second")
    # A step that was coarsened, for want of float64 digits, has fewer decimals.
    digits = min(part.column.decimals or 0, max(0, round(-np.log10(part.grid.step))))
    return np.round(values, digits)
