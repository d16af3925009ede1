"""Coverage of the real rows, subgroup by subgroup: who is left out?

A subgroup is a value of a category column or a range of a number column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from audits.tables.binning import Cells

# A subgroup of fewer real rows has a coverage that is mostly chance.
MIN_ROWS = 30


@dataclass(frozen=True, kw_only=True)
class Subgroups:
    """The subgroups that are large enough, S of them.

    Attributes:
        codes: (n, columns) cells of the real rows whose neighbourhoods are known.
        column: (S,) column number of each.
        cell: (S,) cell number of each.
    """

    codes: np.ndarray
    column: np.ndarray
    cell: np.ndarray

    def coverage(self, covered: np.ndarray) -> np.ndarray:
        """Share covered of each subgroup, (variants, S), from covered (variants, n) bool."""
        out = np.empty((len(covered), self.cell.size))
        for column in np.unique(self.column):
            chosen = np.flatnonzero(self.column == column)
            members = self.codes[:, column][:, None] == self.cell[chosen][None, :]
            # Products of zeros and ones: whole numbers, so exact in any order of summation.
            hits = covered.astype(np.float64) @ members.astype(np.float64)
            out[:, chosen] = hits / members.sum(axis=0)
        return out


def subgroups(codes: np.ndarray) -> Subgroups:
    """Subgroups of at least `MIN_ROWS` rows among these, by column and cell."""
    columns, found = [], []
    for column, values in enumerate(codes.T):
        large = np.flatnonzero(np.bincount(values) >= MIN_ROWS)
        columns.append(np.full(large.size, column))
        found.append(large)
    return Subgroups(
        codes=codes,
        column=np.concatenate(columns).astype(np.int64),
        cell=np.concatenate(found).astype(np.int64),
    )


def describe(
    groups: Subgroups, cells: Cells, coverage: np.ndarray, baseline: np.ndarray
) -> list[dict[str, Any]]:
    """One entry a subgroup: its name, its shares of the tables, its coverage.

    Args:
        groups: the S subgroups.
        cells: of the tables at equal sizes.
        coverage: (S,) of the synthetic table.
        baseline: (S,) of the holdout.
    """
    entries = []
    for place, (column, cell) in enumerate(zip(groups.column, groups.cell, strict=True)):
        train, synthetic, holdout = (
            float((codes[:, column] == cell).mean())
            for codes in (cells.train, cells.synthetic, cells.holdout)
        )
        entries.append(
            {
                "column": cells.names[column],
                "value": cells.labels[column][cell],
                "train_share": train,
                "share_ratio": synthetic / train,
                "share_ratio_baseline": holdout / train,
                "coverage": float(coverage[place]),
                "coverage_baseline": float(baseline[place]),
            }
        )
    return entries
