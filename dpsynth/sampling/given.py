"""A partial table: which of its cells are there, their codes, and the table with the gaps filled.

The cells that are there are never changed; they only steer what is drawn for the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpsynth.cells import Cells
from dpsynth.columns import nearest
from dpsynth.encoding.codec import CategoryCodec, ColumnCodec
from dpsynth.errors import InputError
from dpsynth.sampling.evidence import allowed_numbers
from dpsynth.sampling.filling import TO_FILL
from dpsynth.schema import Column
from dpsynth.table import Table

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


def check_columns(table: Table, names: Sequence[str]) -> None:
    """Refuse a table with a column that the model does not know.

    Raises:
        InputError: there is one.
    """
    for name in table.names:
        if name not in names:
            raise InputError(
                f"{table.source}: column {name!r} is not in the model{nearest(name, names)}; "
                f"remove it, or rename it to one of {', '.join(names)}"
            )


def known_codes(table: Table, parts: Sequence[ColumnCodec]) -> IntArray:
    """Codes of the cells that are there, -1 for the others; shape (rows, columns).

    Raises:
        InputError: a cell that does not fit its column's kind or lies outside its domain.
    """
    known = np.full((table.num_rows, len(parts)), TO_FILL, dtype=np.int64)
    for j, part in enumerate(parts):
        if part.column.name in table.names:
            cells = table.cells(replace(part.column, nullable=True))
            _check_domain(table, part, cells)
            known[:, j] = np.where(cells.missing, TO_FILL, part.encode(cells))
    return known


def _check_domain(table: Table, part: ColumnCodec, cells: Cells) -> None:
    bad = ~cells.missing & _outside(part, cells)
    if bad.any():
        row = int(np.argmax(bad))
        value = table.column(part.column.name)[row].as_py()
        raise InputError(
            f"{table.source}: row {row + 1}, column {part.column.name!r}: {str(value)!r} is not in "
            f"the model's domain; allowed: {_domain(part)}; mend the cell or empty it"
        )


def _outside(part: ColumnCodec, cells: Cells) -> BoolArray:
    if isinstance(part, CategoryCodec):
        if part.other is not None:  # stands for every value that was not declared
            return np.zeros(len(cells.missing), dtype=bool)
        texts: Any = cells.values
        if part.column.kind == "boolean":
            texts = np.where(cells.values != 0, "true", "false")
        known = pd.Index(part.categories, dtype=object)
        return known.get_indexer(pd.Index(texts, dtype=object)) < 0
    low, high = part.grid.value(np.array([-0.5, part.grid.size - 0.5]))
    return np.asarray((cells.values < low) | (cells.values > high))


def _domain(part: ColumnCodec) -> str:
    if isinstance(part, CategoryCodec):
        more = ", ..." if len(part.categories) > 20 else ""
        return ", ".join(part.categories[:20]) + more or "only empty cells"
    return allowed_numbers(part)


def _like(cell: object) -> Callable[[object], object]:
    """What turns a decoded value into the type of `cell`: a calendar day or a decimal."""
    if isinstance(cell, Decimal):
        return lambda value: Decimal(str(value))
    return lambda value: date.fromisoformat(str(value)[:10])


def with_gaps_filled(given: pd.Series, values: pd.Series, gaps: BoolArray) -> pd.Series:
    """The given column with its gaps filled, in the form that its cells are written in.

    Args:
        given: cells as they came, shape (rows,).
        values: decoded values for all rows, none missing at a gap unless nothing else exists.
        gaps: which cells to take from `values`.
    """
    if not gaps.any():
        return given
    if gaps.all():
        return values
    fresh = values[gaps]
    if pd.api.types.is_datetime64_any_dtype(given.dtype):
        moments = pd.to_datetime(fresh)
        zone = getattr(given.dtype, "tz", None)
        if zone is not None:
            moments = moments.dt.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
        return _placed(given, moments.astype(given.dtype), gaps)
    if given[~gaps].map(lambda cell: isinstance(cell, date | Decimal)).any():
        return _placed(given, fresh.map(_like(given[~gaps].iloc[0])), gaps)
    if pd.api.types.is_bool_dtype(values.dtype) or pd.api.types.is_numeric_dtype(values.dtype):
        if not pd.api.types.is_object_dtype(given.dtype) and not _is_text(given.dtype):
            # A gap had turned whole numbers into floats, and truth values into objects.
            placed = _placed(given.astype(object), fresh, gaps)
            return placed.astype(values.dtype)
        if _is_text(given.dtype) or given[~gaps].map(lambda cell: isinstance(cell, str)).any():
            fresh = fresh.map(str)
    return _placed(given.astype(object), fresh, gaps)


def _is_text(dtype: Any) -> bool:
    return isinstance(dtype, pd.StringDtype)


def _placed(given: pd.Series, fresh: pd.Series, gaps: BoolArray) -> pd.Series:
    placed = given.copy()
    placed.iloc[np.flatnonzero(gaps)] = fresh.to_numpy()
    return placed


def identifiers(table: Table, column: Column, given: pd.Series | None) -> pd.Series:
    """Identifiers that are there, and fresh whole numbers from 1 on for the others.

    Args:
        table: the partial table.
        column: the identifier column.
        given: its cells as they came, or None where the table lacks it.
    """
    if given is None:
        return pd.Series(np.arange(1, table.num_rows + 1), name=column.name)
    cells = table.cells(replace(column, nullable=True))
    gaps = int(cells.missing.sum())
    numbers = np.arange(1, len(given) + gaps + 1)
    free = numbers[~np.isin(numbers.astype(str), cells.values.astype(str))][:gaps]
    fresh = pd.Series(numbers[: len(given)])
    fresh[cells.missing] = free
    return with_gaps_filled(given, fresh, cells.missing)
