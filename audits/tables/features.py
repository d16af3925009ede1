"""Records as a matrix for scikit-learn's trees: finite numbers, one column for each column.

Trees split by order alone, so each column needs an order and nothing more: numbers are in units of
the real range, far-off and missing values moved to places of their own beyond it (see
`Records.scaled`); a category's code is its rank by frequency in a real table, so that rare and
unknown labels lie together at one end, with "missing" last. Made for trees: a linear or
distance-based learner would read the codes as amounts.
"""

from __future__ import annotations

import numpy as np

from audits.errors import AuditInputError
from audits.records import Records


def design(records: Records, *, ranked_by: Records, without: str | None = None) -> np.ndarray:
    """The matrix of these rows.

    Args:
        records: n rows.
        ranked_by: the real rows whose label frequencies order the codes; on the same layout. Use
            the same ones for all tables that a learner sees.
        without: a column to leave out, such as the target.

    Returns:
        float64 (n, columns): number columns first, then category columns, each in the layout's
        order. The same values give the same bits, whatever the order of the rows.

    Raises:
        AuditInputError: layouts that differ, or `without` names no column.
    """
    layout = records.layout
    if layout is not ranked_by.layout and layout != ranked_by.layout:
        raise AuditInputError(
            "records and ranked_by have different layouts; encode all tables in one call"
        )
    if without is not None and without not in layout.names:
        raise AuditInputError(
            f"no column {without!r} to leave out of the features; columns are {list(layout.names)}"
        )
    scaled = records.scaled
    columns = [
        scaled[:, place] for place, name in enumerate(layout.number_names) if name != without
    ]
    columns += [
        _ranks(ranked_by, place)[_codes(records, place)]
        for place, name in enumerate(layout.category_names)
        if name != without
    ]
    return np.column_stack(columns) if columns else np.empty((len(records), 0))


def column_names(records: Records, *, without: str | None = None) -> tuple[str, ...]:
    """Names of the columns of `design`, in its order."""
    layout = records.layout
    return tuple(name for name in (*layout.number_names, *layout.category_names) if name != without)


def _codes(records: Records, place: int) -> np.ndarray:
    """Codes from 0; labels that the layout does not know are one past the last, missing two."""
    codes = records.categories[:, place].astype(np.int64)
    known = len(records.layout.levels[place])
    return np.where(codes < 0, known + 1, np.minimum(codes, known))


def _ranks(records: Records, place: int) -> np.ndarray:
    """For each code, its place when labels are sorted from the most to the least frequent."""
    known = len(records.layout.levels[place])
    counts = np.bincount(_codes(records, place), minlength=known + 2)
    order = np.argsort(-counts[:known], kind="stable")
    ranks = np.empty(known + 2)
    ranks[order] = np.arange(known)
    ranks[known:] = known, known + 1
    return ranks
