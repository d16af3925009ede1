"""The Vendi score: how many different rows a table is worth.

Source: Friedman and Dieng, TMLR 2023, arXiv:2210.02410. The score depends wholly on the kernel:
here one minus the Gower distance, a mean of triangular and of equality kernels, so it is positive
semi-definite with ones on its diagonal.
"""

from __future__ import annotations

import numpy as np

from audits.distance import pairwise
from audits.measures.resampling import jackknife
from audits.records import Records
from audits.statistics import Estimate

# Eigenvalues cost the cube of this, once for each jackknife group.
MAX_ROWS = 500


def vendi(kernel: np.ndarray) -> float:
    """exp of the entropy of the eigenvalues of kernel / n, from 1 (all rows alike) to n.

    Args:
        kernel: (n, n) similarities, symmetric, positive semi-definite, ones on the diagonal.
    """
    values = np.linalg.eigvalsh(kernel / len(kernel))
    positive = values[values > 0]
    return float(np.exp(-(positive * np.log(positive)).sum()))


def vendi_score(records: Records, groups: list[np.ndarray], *, confidence: float) -> Estimate:
    """Score of these rows (at most `MAX_ROWS`), its interval from leaving each group out.

    The interval is for tables of this many rows: the score grows with them.
    """
    kernel = 1.0 - pairwise(records, records)
    left_out = [np.setdiff1d(np.arange(len(records)), group) for group in groups]
    replicates = [vendi(kernel[np.ix_(kept, kept)]) for kept in left_out if kept.size]
    rows = float(len(records))
    value = min(max(vendi(kernel), 1.0), rows)
    return jackknife(value, replicates, confidence=confidence, bounds=(1.0, rows))
