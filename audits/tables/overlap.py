"""Rows that stand in both real tables: more of them than chance explains means a bad split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from audits.records import Encoded, row_ids


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How the two real tables overlap.

    Attributes:
        rows: training rows whose values, in every column, occur in the holdout too.
        share: the same as a share of the training rows.
        expected: the share that chance explains: how often a training row recurs among as many
            other training rows as the holdout has.
    """

    rows: int
    share: float
    expected: float


def overlap(tables: Encoded) -> Overlap:
    """Count the training rows that the holdout repeats."""
    train, holdout = row_ids([tables.train, tables.holdout])
    hit = np.isin(train, holdout)
    counts = np.bincount(train)[train]
    size = min(len(holdout), max(0, len(train) - 1))
    expected = present(counts - 1, len(train) - 1, size) if size else np.zeros(1)
    return Overlap(rows=int(hit.sum()), share=float(hit.mean()), expected=float(np.mean(expected)))


def without_overlap(tables: Encoded) -> Encoded:
    """Drop the rows that stand in both real tables from BOTH, and those of either from reference.

    Dropping them from one side only would leave the other with all the common rows, and the arms
    would no longer be exchangeable.
    """
    if tables.reference is not None:
        train, holdout, reference = row_ids([tables.train, tables.holdout, tables.reference])
        lent = tables.reference.take(~np.isin(reference, np.concatenate([train, holdout])))
    else:
        train, holdout = row_ids([tables.train, tables.holdout])
        lent = None
    return Encoded(
        train=tables.train.take(~np.isin(train, holdout)),
        holdout=tables.holdout.take(~np.isin(holdout, train)),
        synthetic=tables.synthetic,
        reference=lent,
    )


def present(count: np.ndarray, total: int, size: int) -> np.ndarray:
    """Probability that a value held by `count` of `total` rows is in `size` of them at random.

    Tables of unequal size are compared at the smaller size by this expectation, without drawing.

    Args:
        count: (n,) whole numbers from 0 to total.
        total: rows in all, at least `size`.
        size: rows drawn without replacement.

    Returns:
        (n,) float64 in [0, 1].
    """
    if total == size:
        return (count > 0).astype(np.float64)
    left = np.maximum(total - count, 0)
    with np.errstate(invalid="ignore"):
        absent = (
            special.gammaln(left + 1)
            - special.gammaln(np.maximum(left - size, 0) + 1)
            - special.gammaln(total + 1)
            + special.gammaln(total - size + 1)
        )
    # Rounding must not make a share of a value that is not there, or of more than all rows.
    found = np.where(left >= size, np.clip(-np.expm1(absent), 0.0, 1.0), 1.0)
    return np.where(count > 0, found, 0.0)
