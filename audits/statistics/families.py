"""Many tests, one false-alarm rate: Holm's correction and the permutation maximum (max-T)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audits.errors import AuditInputError

# Permuted label vectors are drawn and multiplied in blocks of about this many cells.
BLOCK_CELLS = 4_000_000
LONG_STRATUM = 1_000
PERMUTATIONS = 4_999


@dataclass(frozen=True, kw_only=True)
class MaxT:
    """One-sided tests of many columns, corrected together.

    Attributes:
        z: (T,) statistic of each column in units of its exact permutation standard deviation.
        p_adjusted: (T,) family-wise p-value of each column.
        critical: p_adjusted <= alpha exactly where z > critical; infinite if the permutations are
            too few for alpha, or if no column varies.
    """

    z: np.ndarray
    p_adjusted: np.ndarray
    critical: float


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: reject those at most a, and any false alarm has probability at most a.

    Null: all subsets of true hypotheses; no independence is needed.

    Source: Holm, Scandinavian Journal of Statistics 6(2), 1979.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for step, place in enumerate(order):
        running = max(running, min(1.0, p_values[place] * (len(p_values) - step)))
        adjusted[place] = running
    return adjusted


def midranks_centred(scores: np.ndarray, mask: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """One column for `max_t`: twice the mid-rank within each stratum, centred, 0 outside the mask.

    The values are whole numbers (ranks are doubled so that ties keep them whole), hence their sums
    are exact in float64 in any order.

    Args:
        scores: (n,) finite where the mask holds; ignored elsewhere.
        mask: (n,) bool, the rows that take part.
        strata: (n,) int; ranks are taken among the masked rows of one stratum.

    Returns:
        (n,) float64; sums to 0 within each stratum.
    """
    if not scores.shape == mask.shape == strata.shape or scores.ndim != 1:
        raise AuditInputError(
            f"scores, mask and strata have shapes {scores.shape}, {mask.shape} and "
            f"{strata.shape}; need one entry per row in each"
        )
    rows = np.flatnonzero(mask)
    if not np.isfinite(scores[rows]).all():
        raise AuditInputError(
            f"score of row {rows[~np.isfinite(scores[rows])][0]} is not finite; mask the row out "
            f"or mend the score"
        )
    column = np.zeros(scores.shape[0])
    order = rows[np.lexsort((scores[rows], strata[rows]))]
    first = np.ones(order.size, dtype=bool)
    new_stratum = first.copy()
    new_stratum[1:] = strata[order][1:] != strata[order][:-1]
    first[1:] = new_stratum[1:] | (scores[order][1:] != scores[order][:-1])
    tie, tie_start, tie_size = _runs(first)
    group, group_start, group_size = _runs(new_stratum)
    # Ranks before - after: the doubled, centred mid-rank without a division.
    before = tie_start[tie] - group_start[group]
    column[order] = 2 * before + tie_size[tie] - group_size[group]
    return column


def max_t(
    ranks: np.ndarray,
    members: np.ndarray,
    strata: np.ndarray,
    *,
    rng: np.random.Generator,
    permutations: int = PERMUTATIONS,
    alpha: float = 0.05,
) -> MaxT:
    """Single-step max-T: do members rank higher in any column than labels dealt at random would?

    Null: within each stratum the member labels are exchangeable given the scores. Under it the
    probability of any p_adjusted <= a is at most a, exactly, for every a and n, whatever the
    dependence between columns.

    Args:
        ranks: (n, T) whole numbers, such as columns of `midranks_centred`; 0 where a row takes
            no part. Whole, so that sums are exact and no result depends on threads.
        members: (n,) bool labels.
        strata: (n,) int; labels are permuted within strata only.
        rng: draws the permutations.
        permutations: their number; the smallest p-value is 1 / (permutations + 1).
        alpha: level that `critical` belongs to.

    Raises:
        AuditInputError: shapes differ, ranks that are not whole, or permutations < 1.

    Source: Westfall and Young, Resampling-Based Multiple Testing, Wiley 1993.
    """
    _check_family(ranks, members, strata, permutations)
    order = np.argsort(strata, kind="stable")
    starts = np.flatnonzero(np.diff(strata[order], prepend=strata[order][:1] - 1))
    bounds = [*starts.tolist(), len(order)]
    labels = members[order].astype(np.uint8)
    cells = np.ascontiguousarray(ranks[order], dtype=np.float64)
    mean, spread = _moments(cells, labels, bounds)
    alive = spread > 0.0
    z = np.zeros(ranks.shape[1])
    z[alive] = (labels @ cells[:, alive] - mean[alive]) / spread[alive]
    if not alive.any():
        return MaxT(z=z, p_adjusted=np.ones_like(z), critical=math.inf)
    used = (cells[:, alive], mean[alive], spread[alive])
    maxima = np.sort(_maxima(used, labels, bounds, permutations, rng))
    beyond = permutations - np.searchsorted(maxima, z, side="left")
    p_adjusted = np.where(alive, (1.0 + beyond) / (permutations + 1.0), 1.0)
    # The small step forgives a product such as 0.05 * 5000 that falls short of a whole number.
    allowed = math.floor(alpha * (permutations + 1) + 1e-9)
    critical = float(maxima[permutations - allowed]) if allowed else math.inf
    return MaxT(z=z, p_adjusted=p_adjusted, critical=critical)


def _runs(first: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of each entry's run, and start and size of each run."""
    start = np.flatnonzero(first)
    return np.cumsum(first) - 1, start, np.diff(np.append(start, first.size))


def _moments(
    cells: np.ndarray, labels: np.ndarray, bounds: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Exact mean and standard deviation of the members' sum under permutation within strata."""
    mean, variance = np.zeros(cells.shape[1]), np.zeros(cells.shape[1])
    for low, high in itertools.pairwise(bounds):
        size, inside = high - low, int(labels[low:high].sum())
        if size < 2:
            mean += inside * cells[low]
            continue
        centre = cells[low:high].sum(axis=0) / size
        squares = np.square(cells[low:high] - centre).sum(axis=0)
        mean += inside * centre
        variance += squares * (inside * (size - inside) / (size * (size - 1.0)))
    return mean, np.sqrt(variance)


def _maxima(
    used: tuple[np.ndarray, np.ndarray, np.ndarray],
    labels: np.ndarray,
    bounds: list[int],
    permutations: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Largest column statistic under each of the permutations."""
    cells, mean, spread = used
    block = max(1, min(permutations, BLOCK_CELLS // len(labels)))
    maxima = np.empty(permutations)
    # A stream for each stratum, so that the size of the blocks leaves the draws alone.
    streams = rng.spawn(len(bounds) - 1)
    for low in range(0, permutations, block):
        count = min(block, permutations - low)
        dealt = np.tile(labels, (count, 1))
        for stream, (left, right) in zip(streams, itertools.pairwise(bounds), strict=True):
            _deal(dealt[:, left:right], rng=stream)
        sums = dealt.astype(np.float64) @ cells
        maxima[low : low + count] = ((sums - mean) / spread).max(axis=1)
    return maxima


def _deal(labels: np.ndarray, *, rng: np.random.Generator) -> None:
    """Permute every row of (count, size) equal rows of labels in place."""
    count, size = labels.shape
    if size < LONG_STRATUM:
        labels[:] = rng.permuted(labels, axis=1)
        return
    # Drawing the places of the rarer label costs a fifth of shuffling all of a long row.
    inside = int(labels[0].sum())
    rarer = np.uint8(inside <= size - inside)
    labels[:] = 1 - rarer
    for row in range(count):
        labels[row, rng.choice(size, min(inside, size - inside), False, shuffle=False)] = rarer


def _check_family(
    ranks: np.ndarray, members: np.ndarray, strata: np.ndarray, permutations: int
) -> None:
    rows = ranks.shape[0]
    if ranks.ndim != 2 or not members.shape == strata.shape == (rows,) or 0 in ranks.shape:
        raise AuditInputError(
            f"ranks, members and strata have shapes {ranks.shape}, {members.shape} and "
            f"{strata.shape}; need (n, T), (n,) and (n,) with n, T >= 1"
        )
    if members.dtype != np.bool_:
        raise AuditInputError(f"members are {members.dtype}; need bool labels")
    if not (np.isfinite(ranks).all() and (ranks == np.rint(ranks)).all()):
        raise AuditInputError(
            "ranks are not whole numbers; need whole ones, such as midranks_centred gives"
        )
    if permutations < 1:
        raise AuditInputError(f"permutations are {permutations}; need at least 1")
