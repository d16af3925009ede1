"""Public maps between typed cells and integer codes, built from noisy answers only.

A codec is made before it meets a row and never changes, so encoding is a fixed function of each
row. It is also the record of the public domain: what it can decode is all that can be released.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpsynth.cells import Cells, format_datetime
from dpsynth.encoding.binning import Intervals
from dpsynth.errors import IntegrityError
from dpsynth.privacy.queries import Grid
from dpsynth.schema import Column

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DAY = 86_400.0


@dataclass(frozen=True, kw_only=True, eq=False)
class NumberCodec:
    """Integer, numeric and datetime columns: a grid of values cut into codes.

    Attributes:
        column: the column; its bounds are the grid's ends.
        grid: the values that can be released.
        intervals: which stretch of the grid belongs to which code.
        missing: the code of a missing value, or None where missing values are too few to model;
            they then take the code `fallback`.
        fallback: the commonest code.
    """

    TYPE: ClassVar[str] = "number"

    column: Column
    grid: Grid
    intervals: Intervals
    missing: int | None
    fallback: int

    @cached_property
    def size(self) -> int:
        """Number of codes."""
        return int(self.intervals.codes.max()) + 1 + (self.missing is not None)

    @cached_property
    def merged(self) -> IntArray:
        """How many intervals share each code, at least 1, shape (size,)."""
        return np.maximum(np.bincount(self.intervals.codes, minlength=self.size), 1)

    @cached_property
    def positions(self) -> FloatArray:
        """The number in the middle of each code, shape (size,); NaN for a missing value."""
        ends = np.r_[self.intervals.starts[1:], self.grid.size]
        middle = self.grid.value(self.intervals.starts) + self.grid.value(ends - 1)
        weights = np.maximum(self.intervals.weights, 1e-12)
        total = np.bincount(self.intervals.codes, weights=weights)
        found = np.full(self.size, np.nan)
        found[: len(total)] = (
            np.bincount(self.intervals.codes, weights=0.5 * weights * middle) / total
        )
        if self.missing is not None:
            found[self.missing] = np.nan
        return found

    def encode(self, cells: Cells) -> IntArray:
        """Codes, shape (rows,); values beyond the grid are clamped to its ends."""
        points = self.grid.index(cells.values)
        interval = np.searchsorted(self.intervals.starts, points, side="right") - 1
        codes = self.intervals.codes[interval]
        return np.where(
            cells.missing, self.fallback if self.missing is None else self.missing, codes
        )

    def decode(self, codes: IntArray, *, rng: np.random.Generator) -> pd.Series:
        """Values of the column's kind, missing ones as null, shape (rows,)."""
        points = np.zeros(len(codes), dtype=np.int64)
        ends = np.r_[self.intervals.starts[1:], self.grid.size]
        for code in np.unique(codes[codes != self.missing]):
            rows = np.flatnonzero(codes == code)
            mine = np.flatnonzero(self.intervals.codes == code)
            picked = mine[_stratified(self.intervals.weights[mine], len(rows), rng=rng)]
            first = self.intervals.starts[picked]
            points[rows] = first + np.floor(rng.random(len(rows)) * (ends[picked] - first)).astype(
                np.int64
            )
        absent = np.zeros(len(codes), dtype=bool) if self.missing is None else codes == self.missing
        return self._typed(self.grid.value(points), absent)

    def _typed(self, values: FloatArray, absent: NDArray[np.bool_]) -> pd.Series:
        name = self.column.name
        if self.column.kind == "integer":
            whole = pd.Series(np.rint(values).astype(np.int64), name=name)
            return whole.astype("Int64").mask(absent) if absent.any() else whole
        if self.column.kind == "datetime":
            day = self.grid.step % DAY == 0
            texts = pd.Series(format_datetime(values, "day" if day else "second"), name=name)
            return texts.mask(absent, None)
        # A step that was coarsened, for want of float64 digits, has fewer decimals.
        digits = min(self.column.decimals or 0, max(0, round(-np.log10(self.grid.step))))
        rounded = pd.Series(np.round(values, digits), name=name)
        return rounded.mask(absent)

    def to_json(self) -> dict[str, Any]:
        """JSON form; `column_codec_from_json` reads it."""
        return {
            "type": self.TYPE,
            "column": self.column.to_dict(),
            "grid": [self.grid.lower, self.grid.step, self.grid.size],
            "starts": self.intervals.starts.tolist(),
            "codes": self.intervals.codes.tolist(),
            "weights": self.intervals.weights.tolist(),
            "missing": self.missing,
            "fallback": self.fallback,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "NumberCodec":
        """The codec that `to_json` wrote."""
        lower, step, size = raw["grid"]
        intervals = Intervals(
            np.array(raw["starts"], dtype=np.int64),
            np.array(raw["codes"], dtype=np.int64),
            np.array(raw["weights"], dtype=np.float64),
        )
        return cls(
            column=Column.from_dict(raw["column"]),
            grid=Grid(float(lower), float(step), int(size)),
            intervals=intervals,
            missing=raw["missing"],
            fallback=int(raw["fallback"]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class CategoryCodec:
    """Categorical and boolean columns: categories, of which several may share a code.

    Attributes:
        column: the column.
        categories: what can be released; where values outside the domain occur it ends with
            `other`.
        codes: code of each category, shape (len(categories),).
        weights: share of each category within its code.
        other: index of the category that stands for undeclared values, or None: they then take
            the code `fallback`.
        missing: as in `NumberCodec`.
        fallback: the commonest code.
    """

    TYPE: ClassVar[str] = "category"

    column: Column
    categories: tuple[str, ...]
    codes: IntArray
    weights: FloatArray
    other: int | None
    missing: int | None
    fallback: int

    @cached_property
    def size(self) -> int:
        """Number of codes."""
        found = int(self.codes.max()) + 1 if len(self.codes) else 0
        return max(1, found + (self.missing is not None))

    @cached_property
    def merged(self) -> IntArray:
        """How many categories share each code, at least 1, shape (size,)."""
        return np.maximum(np.bincount(self.codes, minlength=self.size), 1)

    def encode(self, cells: Cells) -> IntArray:
        """Codes, shape (rows,)."""
        if self.column.kind == "boolean":
            texts: Any = np.where(cells.values != 0, "true", "false").astype(object)
        else:
            texts = cells.values
        index = pd.Index(self.categories).get_indexer(pd.Index(texts, dtype=object))
        unknown = self.fallback if self.other is None else int(self.codes[self.other])
        known = self.codes[index] if len(self.codes) else np.zeros(len(index), dtype=np.int64)
        codes = np.where(index < 0, unknown, known)
        absent = self.fallback if self.missing is None else self.missing
        return np.where(cells.missing, absent, codes).astype(np.int64)

    def decode(self, codes: IntArray, *, rng: np.random.Generator) -> pd.Series:
        """Category texts (booleans for kind boolean), missing ones as null, shape (rows,)."""
        picked = np.full(len(codes), -1, dtype=np.int64)
        for code in np.unique(codes[codes != self.missing]):
            rows = np.flatnonzero(codes == code)
            mine = np.flatnonzero(self.codes == code)
            if len(mine):
                picked[rows] = mine[_stratified(self.weights[mine], len(rows), rng=rng)]
        labels = np.array([*self.categories, None], dtype=object)[picked]
        series = pd.Series(labels, name=self.column.name, dtype=object)
        if self.column.kind == "boolean":
            truth = series.map({"true": True, "false": False})
            return truth.astype("boolean") if truth.isna().any() else truth.astype(bool)
        return series

    def to_json(self) -> dict[str, Any]:
        """JSON form; `column_codec_from_json` reads it."""
        return {
            "type": self.TYPE,
            "column": self.column.to_dict(),
            "categories": list(self.categories),
            "codes": self.codes.tolist(),
            "weights": self.weights.tolist(),
            "other": self.other,
            "missing": self.missing,
            "fallback": self.fallback,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "CategoryCodec":
        """The codec that `to_json` wrote."""
        return cls(
            column=Column.from_dict(raw["column"]),
            categories=tuple(raw["categories"]),
            codes=np.array(raw["codes"], dtype=np.int64),
            weights=np.array(raw["weights"], dtype=np.float64),
            other=raw["other"],
            missing=raw["missing"],
            fallback=int(raw["fallback"]),
        )


ColumnCodec = NumberCodec | CategoryCodec
_TYPES: dict[str, type[NumberCodec] | type[CategoryCodec]] = {
    codec.TYPE: codec for codec in (NumberCodec, CategoryCodec)
}


@dataclass(frozen=True, eq=False)
class TableCodec:
    """All modelled columns' codecs, in order. Satisfies `dpsynth.privacy.rows.Codec`."""

    parts: tuple[ColumnCodec, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that it encodes, in order."""
        return tuple(part.column for part in self.parts)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of codes of each column."""
        return tuple(part.size for part in self.parts)

    @property
    def positions(self) -> tuple[FloatArray | None, ...]:
        """For each column None (categories) or the number that each code stands for."""
        return tuple(p.positions if isinstance(p, NumberCodec) else None for p in self.parts)

    def encode(self, cells: Mapping[str, Cells]) -> IntArray:
        """Codes of shape (rows, columns)."""
        return np.stack([part.encode(cells[part.column.name]) for part in self.parts], axis=1)

    def decode(self, codes: IntArray, *, rng: np.random.Generator) -> pd.DataFrame:
        """Rows of the public domain, shape (rows, columns).

        Args:
            codes: shape (rows, columns), codes[:, j] in [0, sizes[j]).
            rng: picks values inside codes.
        """
        return pd.DataFrame(
            {p.column.name: p.decode(codes[:, j], rng=rng) for j, p in enumerate(self.parts)}
        )

    def to_json(self) -> list[dict[str, Any]]:
        """JSON form."""
        return [part.to_json() for part in self.parts]

    @classmethod
    def from_json(cls, raw: Sequence[Mapping[str, Any]]) -> "TableCodec":
        """The codec that `to_json` wrote.

        Raises:
            IntegrityError: it is not such a codec.
        """
        try:
            return cls(tuple(_TYPES[part["type"]].from_json(part) for part in raw))
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"the codec is damaged ({type(error).__name__}: {error}); use an unchanged model"
            ) from error


def _stratified(weights: FloatArray, rows: int, *, rng: np.random.Generator) -> IntArray:
    """`rows` draws by weight, shuffled, whose counts differ from their expectation by at most 1."""
    edges = np.cumsum(weights) / weights.sum()
    points = (np.arange(rows) + rng.random()) / rows
    return rng.permutation(np.searchsorted(edges[:-1], points, side="right")).astype(np.int64)
