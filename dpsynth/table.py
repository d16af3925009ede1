"""Where rows come from: one immutable table of Arrow cells, and its split by privacy unit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dpsynth import csv_text, sources
from dpsynth.cells import Cells, parse_cells
from dpsynth.columns import Column, nearest
from dpsynth.errors import InputError
from dpsynth.writing import atomic_directory, atomic_write, write_frame

__all__ = [
    "Split",
    "Table",
    "atomic_directory",
    "atomic_write",
    "split",
    "unit_codes",
    "write_frame",
]


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """PRIVATE rows, whole and unchangeable, with their names and where they came from.

    Printing a table shows its columns and its source, never a row nor how many there are.

    Attributes:
        source: the file, database or frame it came from, for messages.
    """

    _cells: pa.Table
    source: str
    # 0-based rows of the source that these rows were, or None for all of them in order.
    _origin: np.ndarray | None = field(default=None)

    @classmethod
    def read(cls, source: object, *, query: str | None = None) -> "Table":
        """Read a table from anything that can hold one.

        Args:
            source: path of a .csv, .tsv (also with .gz) or .parquet file, a database URL that
                SQLAlchemy knows, a pandas DataFrame, or a `Table` (returned as it is).
            query: the SQL query, with a database URL only.

        Raises:
            InputError: anything that is not a table; one line that says what to mend.
        """
        if isinstance(source, str) and "://" in source:
            return cls.from_sql(source, query)
        if query is not None:
            raise InputError("query is for database URLs (such as sqlite:///file.db); remove it")
        if isinstance(source, Table):
            return source
        if isinstance(source, pd.DataFrame):
            return cls.from_frame(source)
        if not isinstance(source, str | Path):
            raise InputError(
                f"cannot read a table from a {type(source).__name__}; give a path, a database URL "
                f"or a pandas DataFrame"
            )
        if str(source).lower().endswith(sources.PARQUET_SUFFIXES):
            return cls.from_parquet(source)
        return cls.from_csv(source)

    @classmethod
    def from_csv(cls, path: str | Path) -> Self:
        """Read .csv or .tsv, plain or .gz; every cell stays the text it is in the file.

        Raises:
            InputError: not a readable, rectangular, UTF-8 file with one named column or more and
                one row or more.
        """
        return cls(csv_text.read_csv(Path(path)), str(path))

    @classmethod
    def from_parquet(cls, path: str | Path) -> Self:
        """Read a Parquet file.

        Raises:
            InputError: not a readable Parquet file of plain columns with at least one row.
        """
        return cls(sources.read_parquet(Path(path)), str(path))

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, source: str = "DataFrame") -> Self:
        """Take the columns of a pandas DataFrame; its index is left out.

        Raises:
            InputError: no rows, no columns, or a column that is not plain cells.
        """
        return cls(sources.read_frame(frame, source), source)

    @classmethod
    def from_sql(cls, url: str, query: str | None) -> Self:
        """Read the result of one reading query on a database.

        Raises:
            InputError: a URL or a query that does not work. No message shows a password.
        """
        cells, source = sources.read_sql(url, query)
        return cls(cells, source)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(self._cells.column_names)

    @property
    def num_rows(self) -> int:
        """How many rows. PRIVATE: release a noisy count instead."""
        return int(self._cells.num_rows)

    def __repr__(self) -> str:
        return f"Table({len(self.names)} columns from {self.source!r})"

    def batches(self, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
        """The rows in order, at most `rows` at a time."""
        yield from self._cells.to_batches(max_chunksize=rows)

    def take(self, rows: np.ndarray) -> "Table":
        """The table of these 0-based rows, in the order given; remembers where they came from."""
        origin = rows if self._origin is None else self._origin[rows]
        return Table(self._cells.take(pa.array(rows, type=pa.int64())), self.source, origin)

    def select(self, names: Sequence[str]) -> "Table":
        """The table of these columns, in the order given.

        Raises:
            InputError: an unknown name; the nearest one is suggested.
        """
        for name in names:
            self._check_name(name)
        return Table(self._cells.select(list(names)), self.source, self._origin)

    def column(self, name: str) -> pa.ChunkedArray:
        """The raw cells of one column, shape (num_rows,).

        Raises:
            InputError: an unknown name; the nearest one is suggested.
        """
        self._check_name(name)
        return self._cells.column(name)

    def cells(self, column: Column, *, strict: bool = True) -> Cells:
        """The cells of one column, read by its kind; not strict where that kind was learned.

        Raises:
            InputError: a cell that does not fit; names its row (and line) in the source, also where
                this table holds only some of the source's rows.
        """
        cells = self.column(column.name)
        return parse_cells(cells, column, source=self.source, place=self._place, strict=strict)

    def _place(self, index: int) -> str:
        row = index if self._origin is None else int(self._origin[index])
        line = csv_text.line_of_row(self.source, row)
        return f"row {row + 1}" + (f" (line {line})" if line else "")

    def _check_name(self, name: str) -> None:
        if name not in self.names:
            raise InputError(f"{self.source}: no column {name!r}{nearest(name, self.names)}")


@dataclass(frozen=True, eq=False)
class Split:
    """Two tables that share no privacy unit. PRIVATE.

    Attributes:
        train, holdout: the tables.
        train_rows, holdout_rows: their 0-based rows of the table that was split, ascending.
    """

    train: Table = field(repr=False)
    holdout: Table = field(repr=False)
    train_rows: np.ndarray = field(repr=False)
    holdout_rows: np.ndarray = field(repr=False)


def split(table: Table, *, unit: str | None, share: float, rng: np.random.Generator) -> Split:
    """Split a table by privacy unit into a training and a holdout table.

    Each unit goes to the holdout by an independent coin, not by a shuffle to fixed sizes: so adding
    or removing one unit of the whole table leaves the side of every other unit as it was, and a
    guarantee for the training table is one for the whole table.

    Args:
        table: the rows; a row without a unit id is a unit of its own.
        unit: name of the unit column; None = each row is a unit.
        share: chance of a unit to be held out, in (0, 1).
        rng: decides the coins.

    Raises:
        InputError: a share outside (0, 1), an unknown unit column, or a side without a row.
    """
    if not 0.0 < share < 1.0:
        raise InputError(f"share = {share!r} of the holdout must be above 0 and below 1")
    codes = unit_codes(table, unit)
    held = (rng.random(int(codes.max()) + 1) < share)[codes]
    train_rows, holdout_rows = np.flatnonzero(~held), np.flatnonzero(held)
    if not len(train_rows) or not len(holdout_rows):
        raise InputError(
            f"{table.source}: too few privacy units to hold out a share of {share:g}; "
            f"one side of the split would be empty"
        )
    return Split(
        train=table.take(train_rows),
        holdout=table.take(holdout_rows),
        train_rows=train_rows,
        holdout_rows=holdout_rows,
    )


def unit_codes(table: Table, unit: str | None) -> np.ndarray:
    """Dense codes of the privacy unit of each row.

    Text ids are compared without the space around them (``"12 "`` is ``"12"``). A missing id (null,
    NaN or empty) is a unit of its own, as is each row where `unit` is None.

    Returns:
        int64 codes 0 .. units - 1 of shape (num_rows,), in order of first appearance.

    Raises:
        InputError: an unknown unit column.
    """
    if unit is None:
        return np.arange(table.num_rows, dtype=np.int64)
    ids = table.column(unit)
    if pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type):
        ids = pc.utf8_trim_whitespace(ids)
        ids = pc.if_else(pc.equal(ids, ""), None, ids)
    elif pa.types.is_floating(ids.type):
        ids = pc.if_else(pc.is_nan(ids), None, ids)
    # Arrow's own dictionary: a detour over floats would merge large whole-number ids.
    coded = ids.dictionary_encode().unify_dictionaries()
    found = [np.asarray(chunk.indices.fill_null(-1), dtype=np.int64) for chunk in coded.chunks]
    codes = np.concatenate(found)
    missing = codes < 0
    codes[missing] = codes.max(initial=-1) + 1 + np.arange(missing.sum())
    # Once more, so that fresh codes too come in order of first appearance.
    return np.asarray(pd.factorize(codes)[0], dtype=np.int64)
