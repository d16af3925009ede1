"""Tables as arrays: the one form in which attacks and checks see rows.

`encode` takes the data frames and gives one `Records` each, on one shared `Layout`, so that equal
values have equal codes and distances between tables are in the same unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from audits.errors import AuditInputError
from audits.tables.columns import KINDS, encode_category, encode_known, encode_number, guess_kind

ROLES = ("train", "holdout", "synthetic", "reference")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the three tables share.

    Attributes:
        names: the column names kept, in the order of the training table.
        kinds: "number", "category" or "datetime" (kept as seconds among the numbers), by column.
        lower: for each number column, the smallest value in train and holdout together.
        span: for each number column, the range there; 0 for a constant or empty column. The
            synthetic table has no say in it, so one wild synthetic value cannot shrink the rest.
        levels: for each category column, the labels behind its codes.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    lower: tuple[float, ...]
    span: tuple[float, ...]
    levels: tuple[tuple[str, ...], ...]

    @property
    def number_names(self) -> tuple[str, ...]:
        """Names of the columns of `Records.numbers`."""
        pairs = zip(self.names, self.kinds, strict=True)
        return tuple(name for name, kind in pairs if kind != "category")

    @property
    def category_names(self) -> tuple[str, ...]:
        """Names of the columns of `Records.categories`."""
        pairs = zip(self.names, self.kinds, strict=True)
        return tuple(name for name, kind in pairs if kind == "category")

    def select(self, names: Sequence[str]) -> tuple[Layout, list[int], list[int]]:
        """The layout of these columns, and their places among the numbers and the categories.

        Raises:
            AuditInputError: a name that the layout lacks, or none.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown or not names:
            raise AuditInputError(
                f"columns {list(names)} asked for; give one or more of {list(self.names)}"
            )
        kept = [name in names for name in self.names]
        numbers = [i for i, name in enumerate(self.number_names) if name in names]
        categories = [i for i, name in enumerate(self.category_names) if name in names]
        layout = Layout(
            names=tuple(name for name, keep in zip(self.names, kept, strict=True) if keep),
            kinds=tuple(kind for kind, keep in zip(self.kinds, kept, strict=True) if keep),
            lower=tuple(self.lower[i] for i in numbers),
            span=tuple(self.span[i] for i in numbers),
            levels=tuple(self.levels[i] for i in categories),
        )
        return layout, numbers, categories


@dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """Rows of one table.

    Attributes:
        layout: what the rows share with the rows of the other tables.
        numbers: (n, p) float64; NaN means missing.
        categories: (n, q) int32 codes into `layout.levels`; -1 means missing.
        rows: (n,) int64 row numbers, from 0, in the table as it was given.
    """

    layout: Layout
    numbers: np.ndarray
    categories: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return int(self.numbers.shape[0])

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in the order of the training table."""
        return self.layout.names

    @property
    def kinds(self) -> tuple[str, ...]:
        """Column kinds, in the order of `names`."""
        return self.layout.kinds

    @property
    def scales(self) -> np.ndarray:
        """Range of each number column in the real tables, shape (p,)."""
        return np.array(self.layout.span, dtype=np.float64)

    @cached_property
    def scaled(self) -> np.ndarray:
        """Numbers in units of the real range, for the distance: (n, p) float64.

        Real values lie in [0, 1]. A synthetic value further out than one range is moved to -1 or
        2, which is at least 1 from every real value; a missing value is 4, at least 2 from all
        others. A distance capped at 1 therefore reads off the declared rule.
        """
        lower, span = np.array(self.layout.lower), self.scales
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            shifted = self.numbers - lower
            # A constant column has no range: equal is 0, anything else is one range away.
            moved = np.where(span > 0, shifted / span, 2.0 * np.sign(shifted))
        return np.where(np.isnan(self.numbers), 4.0, np.clip(moved, -1.0, 2.0))

    def take(self, rows: np.ndarray) -> Records:
        """The rows of these numbers (or this mask), in that order."""
        return replace(
            self,
            numbers=self.numbers[rows],
            categories=self.categories[rows],
            rows=self.rows[rows],
        )

    def select(self, names: Sequence[str]) -> Records:
        """The same rows with these columns alone, in the layout's order.

        Raises:
            AuditInputError: a name that the layout lacks, or none.
        """
        layout, numbers, categories = self.layout.select(names)
        return replace(
            self,
            layout=layout,
            numbers=np.ascontiguousarray(self.numbers[:, numbers]),
            categories=np.ascontiguousarray(self.categories[:, categories]),
        )

    def ordered(self) -> Records:
        """The same rows in an order that does not depend on how they were stored."""
        # Rows that are equal in every column may come in any order: they are interchangeable.
        keys = [*self.numbers.T[::-1], *self.categories.T[::-1]]
        return self.take(np.lexsort(keys))


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The tables of an audit, on one layout.

    Attributes:
        train: rows the generator was trained on.
        holdout: rows of the same source that it never saw.
        synthetic: rows it made.
        reference: further rows of the same source, in neither of the first two; or None.
    """

    train: Records
    holdout: Records
    synthetic: Records
    reference: Records | None = None

    def items(self) -> list[tuple[str, Records]]:
        """(name, rows) of the tables that there are."""
        pairs = [(role, getattr(self, role)) for role in ROLES]
        return [(role, records) for role, records in pairs if records is not None]

    def map(self, change: Callable[[Records], Records]) -> Encoded:
        """The same change made to every table that there is."""
        return Encoded(**{role: change(records) for role, records in self.items()})


def concatenate(parts: Sequence[Records]) -> Records:
    """Rows of all parts, one after the other; the parts share their layout."""
    return replace(
        parts[0],
        numbers=np.concatenate([part.numbers for part in parts]),
        categories=np.concatenate([part.categories for part in parts]),
        rows=np.concatenate([part.rows for part in parts]),
    )


def row_ids(parts: Sequence[Records]) -> list[np.ndarray]:
    """A number for every row, equal exactly where all values are equal; one int64 array a part.

    Two missing values are equal. Numbers are compared as stored (float64), not as scaled.
    """
    whole = concatenate(parts)
    ids = np.zeros(len(whole), dtype=np.int64)
    columns = [*whole.numbers.T, *whole.categories.T]
    for column in columns:
        # The codes stay below the row count, so the product cannot overflow int64.
        codes, levels = pd.factorize(column, use_na_sentinel=False)
        ids, _ = pd.factorize(ids * max(1, len(levels)) + codes)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return list(np.split(ids, ends))


def encode(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    reference: pd.DataFrame | None = None,
    *,
    kinds: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
) -> Encoded:
    """Turn tables with the same columns into records on one layout.

    Args:
        train: rows the generator was trained on.
        holdout: rows of the same source that it never saw.
        synthetic: rows it made.
        reference: further rows of the same source, in neither of the first two; may be left out.
        kinds: "number", "category" or "datetime" for some or all columns; the others are guessed
            from train and holdout together.
        ignore: columns to leave out, such as identifiers.

    Raises:
        AuditInputError: columns differ or repeat, a table is empty, a value does not fit its
            column's kind, no column is left.
    """
    tables = {
        role: table.set_axis([str(name) for name in table.columns], axis=1)
        for role, table in zip(ROLES, (train, holdout, synthetic, reference), strict=True)
        if table is not None
    }
    names = _common_columns(tables, ignore)
    declared = _declared_kinds(names, kinds or {}, ignore)
    resolved: list[str] = []
    numbers: list[dict[str, np.ndarray]] = []
    categories: list[dict[str, np.ndarray]] = []
    levels: list[tuple[str, ...]] = []
    for name in names:
        columns = {role: table[name] for role, table in tables.items()}
        kind = declared.get(name) or guess_kind(columns["train"], columns["holdout"])
        resolved.append(kind)
        if kind == "category":
            codes, labels = encode_category(columns)
            categories.append(codes)
            levels.append(labels)
        else:
            numbers.append(encode_number(columns, name=name, kind=kind))
    ranges = [_real_range(column) for column in numbers]
    layout = Layout(
        names=tuple(names),
        kinds=tuple(resolved),
        lower=tuple(low for low, _ in ranges),
        span=tuple(span for _, span in ranges),
        levels=tuple(levels),
    )
    return Encoded(
        **{
            role: Records(
                layout=layout,
                numbers=_stack([c[role] for c in numbers], len(table), np.dtype(np.float64)),
                categories=_stack([c[role] for c in categories], len(table), np.dtype(np.int32)),
                rows=np.arange(len(table), dtype=np.int64),
            )
            for role, table in tables.items()
        }
    )


def encode_onto(layout: Layout, table: pd.DataFrame, *, role: str) -> Records:
    """Rows of one more table on a layout that other tables fixed.

    A label that the layout does not know gets the code `len(levels)`: unlike every known one, and
    like any other unknown one.

    Raises:
        AuditInputError: columns differ or repeat, no rows, or a value that does not fit its kind.
    """
    named = table.set_axis([str(name) for name in table.columns], axis=1)
    _check_columns(role, named, list(layout.names))
    numbers, categories = [], []
    levels = iter(layout.levels)
    for name, kind in zip(layout.names, layout.kinds, strict=True):
        if kind == "category":
            categories.append(encode_known(named[name], next(levels)))
        else:
            numbers.append(encode_number({role: named[name]}, name=name, kind=kind)[role])
    return Records(
        layout=layout,
        numbers=_stack(numbers, len(table), np.dtype(np.float64)),
        categories=_stack(categories, len(table), np.dtype(np.int32)),
        rows=np.arange(len(table), dtype=np.int64),
    )


def _common_columns(tables: Mapping[str, pd.DataFrame], ignore: Sequence[str]) -> list[str]:
    wanted = list(tables["train"].columns)
    for role, table in tables.items():
        _check_columns(role, table, wanted)
    unknown = [name for name in ignore if name not in wanted]
    if unknown:
        raise AuditInputError(
            f"ignore names column {unknown[0]!r}, which no table has; columns are {wanted}"
        )
    kept = [name for name in wanted if name not in ignore]
    if not kept:
        raise AuditInputError("no column is left to compare; ignore fewer columns")
    return kept


def _check_columns(role: str, table: pd.DataFrame, wanted: Sequence[str]) -> None:
    found = list(table.columns)
    repeated = sorted({name for name in found if found.count(name) > 1})
    if repeated:
        raise AuditInputError(
            f"table {role!r}: column {repeated[0]!r} appears more than once; rename one of them"
        )
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    if missing or extra:
        what = f"lacks column {missing[0]!r}" if missing else f"has column {extra[0]!r}"
        raise AuditInputError(
            f"table {role!r} {what}, unlike table 'train'; give tables with the same columns"
        )
    if len(table) == 0:
        raise AuditInputError(f"table {role!r} has no rows; an audit needs rows in every table")


def _declared_kinds(
    names: Sequence[str], kinds: Mapping[str, str], ignore: Sequence[str]
) -> Mapping[str, str]:
    for name, kind in kinds.items():
        if name not in names and name not in ignore:
            raise AuditInputError(
                f"kinds names column {name!r}, which no table has; columns are {list(names)}"
            )
        if kind not in KINDS and name not in ignore:
            raise AuditInputError(
                f"column {name!r}: kind {kind!r} is not known; use one of {', '.join(KINDS)}"
            )
    return kinds


def _real_range(column: Mapping[str, np.ndarray]) -> tuple[float, float]:
    real = np.concatenate([column["train"], column["holdout"]])
    real = real[~np.isnan(real)]
    if real.size == 0:
        return 0.0, 0.0
    low, high = float(real.min()), float(real.max())
    return low, min(high - low, float(np.finfo(np.float64).max))


def _stack(columns: Sequence[np.ndarray], rows: int, dtype: np.dtype[np.generic]) -> np.ndarray:
    if not columns:
        return np.empty((rows, 0), dtype=dtype)
    return np.ascontiguousarray(np.column_stack(columns).astype(dtype))
