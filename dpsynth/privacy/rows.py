"""The private rows, held by the curator alone: parsed once, bounded by privacy unit.

Nothing here is noisy, so nothing here may be printed, returned to a user or stored.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dpsynth.cells import Cells, cell_forms
from dpsynth.privacy.identity import Identity, identity_of
from dpsynth.privacy.sketch import Hashes, row_hashes
from dpsynth.schema import Column
from dpsynth.table import Table, unit_codes

IntArray = NDArray[np.int64]
CodeArray = NDArray[Any]
"""Codes of any integer type."""


class Codec(Protocol):
    """A public map from parsed cells to integer codes; see `dpsynth.encoding.codec`."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that it encodes, in order."""
        ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of codes of each column."""
        ...

    def encode(self, cells: Mapping[str, Cells]) -> IntArray:
        """Codes of shape (rows, columns)."""
        ...


class PrivateRows:
    """A private table whose rows are capped for each privacy unit.

    Args:
        table: the private rows.
        unit: the column that names the privacy unit, or None where a row is a unit.
        max_rows_per_unit: rows kept of one unit; surplus rows are dropped at random.
        rng: decides which surplus rows go.
    """

    def __init__(
        self, table: Table, *, unit: str | None, max_rows_per_unit: int, rng: np.random.Generator
    ) -> None:
        self._table = table
        self._unit = unit
        self.max_rows_per_unit = max_rows_per_unit if unit is not None else 1
        if unit is not None:
            units = unit_codes(table, unit)
            self._table = table.take(_capped(units, max_rows_per_unit, rng=rng))
        self._cells: dict[Column, Cells] = {}
        self._encoded: tuple[Codec, CodeArray] | None = None

    def __repr__(self) -> str:
        return "PrivateRows(...)"

    @property
    def count(self) -> int:
        """Rows that take part. PRIVATE."""
        return self._table.num_rows

    @property
    def identity(self) -> Identity | None:
        """From a salt to the fingerprint of the units; None where there are no ids. PRIVATE."""
        return identity_of(self._table, self._unit)

    def cells(self, column: Column, *, strict: bool = True) -> Cells:
        """Parsed cells of a column; when not strict, a cell of another kind counts as missing.

        Raises:
            InputError: strict, and a cell does not fit the column's kind.
        """
        if column not in self._cells:
            self._cells[column] = self._table.cells(column, strict=strict)
        return self._cells[column]

    def forms(self, name: str) -> NDArray[np.int8]:
        """The form of every cell of a column, as codes into `dpsynth.cells.FORMS`."""
        return cell_forms(self._table.column(name))

    def hashes(self, names: Sequence[str]) -> Hashes:
        """A hash of each row's values in these columns, shape (rows,). PRIVATE."""
        return row_hashes(self._table, names)

    def check(self, columns: Sequence[Column]) -> None:
        """Parse the columns, so that a cell that does not fit is found before a charge is made.

        Raises:
            InputError: a cell does not fit its declared kind; the message is for the owner.
        """
        for column in columns:
            self.cells(column)

    def codes(self, codec: Codec) -> CodeArray:
        """Encoded rows, shape (rows, columns), in the smallest integer type that holds them.

        Those of the codec asked for last are kept, since many questions come in a row about one
        codec. PRIVATE.
        """
        if self._encoded is None or self._encoded[0] is not codec:
            self._encoded = None  # the old ones make room before the new ones come
            cells = {c.name: self.cells(c, strict=False) for c in codec.columns}
            codes = codec.encode(cells).astype(_code_type(codec.sizes))
            codes.setflags(write=False)
            self._encoded = codec, codes
        return self._encoded[1]


def _code_type(sizes: Sequence[int]) -> type[np.integer[Any]]:
    """The smallest type, of those that torch has too, for codes below these sizes."""
    last = max(sizes, default=1) - 1
    return next(t for t in (np.uint8, np.int16, np.int32, np.int64) if last <= np.iinfo(t).max)


def _capped(units: IntArray, limit: int, *, rng: np.random.Generator) -> IntArray:
    """Row numbers, in file order, of at most `limit` random rows of each unit."""
    shuffled = rng.permutation(len(units))
    order = shuffled[np.argsort(units[shuffled], kind="stable")]
    ordered = units[order]
    first = np.r_[True, ordered[1:] != ordered[:-1]] if len(ordered) else np.zeros(0, dtype=bool)
    starts = np.flatnonzero(first)
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return np.sort(order[rank < limit]).astype(np.int64)
