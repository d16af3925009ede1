"""Statements about a row ("age at least 90 and town is north") and the rows they hold for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from audits.records import Records

EQUAL, NOT_EQUAL, AT_LEAST, AT_MOST, MISSING, PRESENT = range(6)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One column against one value.

    Attributes:
        column: its place in `Columns.values`.
        test: EQUAL, NOT_EQUAL, AT_LEAST, AT_MOST, MISSING or PRESENT.
        value: a number or a category's code; 0 for MISSING and PRESENT. A missing value meets
            none of the comparisons.
    """

    column: int
    test: int
    value: float = 0.0


# All conditions of a statement must hold.
Statement = tuple[Condition, ...]


class Columns:
    """A table column by column, for counting.

    Attributes:
        values: (p + q, n) float64: p numbers, then q category codes; NaN is missing.
        numbers: p.
    """

    def __init__(self, records: Records) -> None:
        codes = records.categories.astype(np.float64)
        codes[records.categories < 0] = np.nan
        self.values = np.ascontiguousarray(np.concatenate([records.numbers, codes], axis=1).T)
        self.numbers = int(records.numbers.shape[1])

    @cached_property
    def middles(self) -> list[float]:
        """Median of each number column; NaN where all values are missing."""
        present = [column[~np.isnan(column)] for column in self.values[: self.numbers]]
        return [float(np.median(column)) if column.size else np.nan for column in present]

    @cached_property
    def different(self) -> list[np.ndarray]:
        """The different values of each column; a NaN at the end where one is missing."""
        return [np.unique(column) for column in self.values]

    def rows(self, statement: Statement) -> np.ndarray:
        """Numbers of the rows that a statement holds for, rising."""
        first, *others = statement
        rows = np.flatnonzero(holds(self.values[first.column], first))
        for condition in others:
            rows = rows[holds(self.values[condition.column][rows], condition)]
        return rows


def holds(values: np.ndarray, condition: Condition) -> np.ndarray:
    """Where a condition is met by values of its column, bool of the same shape."""
    missing = np.asarray(np.isnan(values))
    present = np.asarray(~missing)
    if condition.test == MISSING:
        return missing
    if condition.test == PRESENT:
        return present
    if condition.test == AT_LEAST:
        return np.asarray(values >= condition.value)
    if condition.test == AT_MOST:
        return np.asarray(values <= condition.value)
    equal = np.asarray(values == condition.value)
    return np.asarray(equal if condition.test == EQUAL else ~equal & present)


def rare_or_extreme(made: Columns) -> list[Statement]:
    """All statements on one column that may hold for one row alone, in a fixed order.

    They are: values that occur once, the smallest and the largest number or beyond, and "missing"
    where one value is.
    """
    found: list[Statement] = []
    for column, values in enumerate(made.values):
        missing = np.isnan(values)
        if np.count_nonzero(missing) == 1:
            found.append((Condition(column=column, test=MISSING),))
        different, counts = np.unique(values[~missing], return_counts=True)
        if column < made.numbers and different.size:
            found.append((_condition(column, AT_MOST, different[0]),))
            found.append((_condition(column, AT_LEAST, different[-1]),))
        found.extend((_condition(column, EQUAL, value),) for value in different[counts == 1])
    return found


def from_row(made: Columns, row: int, columns: np.ndarray) -> Statement:
    """A statement that holds for this row: its categories, and its numbers or more extreme ones."""
    return tuple(_from_value(made, int(column), row) for column in np.sort(columns))


def at_random(made: Columns, columns: np.ndarray, *, rng: np.random.Generator) -> Statement:
    """A random comparison with a random value of each column."""
    conditions = []
    for column in np.sort(columns):
        value = rng.choice(made.different[column])
        tests = (EQUAL, NOT_EQUAL) if column >= made.numbers else (*range(4), AT_LEAST, AT_MOST)
        test = tests[int(rng.integers(len(tests)))]
        if np.isnan(value):
            conditions.append(
                Condition(column=int(column), test=PRESENT if test == NOT_EQUAL else MISSING)
            )
        else:
            conditions.append(_condition(int(column), test, value))
    return tuple(conditions)


def _from_value(made: Columns, column: int, row: int) -> Condition:
    value = made.values[column, row]
    if np.isnan(value):
        return Condition(column=column, test=MISSING)
    if column >= made.numbers:
        return _condition(column, EQUAL, value)
    return _condition(column, AT_LEAST if value > made.middles[column] else AT_MOST, value)


def _condition(column: int, test: int, value: np.float64) -> Condition:
    return Condition(column=column, test=test, value=float(value))
