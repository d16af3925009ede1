"""Distances of histograms."""

from __future__ import annotations

import numpy as np

from audits.errors import AuditInputError


def tvd(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Total variation distance of histograms over the same cells, in [0, 1].

    Cells run along the last axis; the other axes broadcast, so one call compares many with one.

    Raises:
        AuditInputError: different numbers of cells, or a histogram of no rows.
    """
    if left.shape[-1] != right.shape[-1]:
        raise AuditInputError(
            f"histograms of {left.shape[-1]} and {right.shape[-1]} cells; need the same cells"
        )
    sums = [side.sum(axis=-1, keepdims=True) for side in (left, right)]
    if any((side <= 0).any() for side in sums):
        raise AuditInputError("a histogram holds no rows; need at least one in each")
    return np.asarray(np.abs(left / sums[0] - right / sums[1]).sum(axis=-1) / 2.0)
