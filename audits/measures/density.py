"""A kernel density of tables with numbers, categories and gaps.

The kernel of a pair of rows is a product: a Gaussian over all number columns together, with the
covariance of the sample and Scott's factor, and for every category column the kernel of Aitchison
and Aitken, which gives an equal category 1 - `CATEGORY_SMOOTHING` and shares the rest among the
others. A missing number is set to the mean of the sample, and "missing" is one more category column
with two levels, so a gap is like a gap and unlike a value. Numbers are in units of the real range
and cut off one range outside of it, as in the distance.

Source: Scott, Multivariate Density Estimation, 1992, section 6.5 (the factor); Aitchison and
    Aitken, Biometrika 63(3), 1976; their product: Li and Racine, Journal of Multivariate Analysis
    86(2), 2003.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audits.errors import AuditInputError
from audits.measures.pairs import blocks, by_target
from audits.records import Records

# Weight of a category's neighbours; chosen on made tables by the power of the attack, not tuned.
CATEGORY_SMOOTHING = 0.1
# In squared ranges: keeps a constant or repeated column from making the covariance singular.
_RIDGE = 1e-9


def log_density(
    targets: Records, sample: Records, *, smoothing: float = CATEGORY_SMOOTHING
) -> np.ndarray:
    """Log of the density of the sample at every target, finite float64 (len(targets),).

    The unit is arbitrary but the same for every sample on this layout, so differences between
    samples are log ratios. Without categories and gaps it is, up to a constant, what
    `scipy.stats.gaussian_kde` estimates (relative precision about 1e-4, as pairs are in float32).

    Args:
        targets: m rows where the density is wanted.
        sample: n rows, at least 1.
        smoothing: share of a category that the kernel gives away, in (0, 0.5].

    Raises:
        AuditInputError: an empty sample, or a smoothing out of range.
    """
    if len(sample) == 0:
        raise AuditInputError("sample has no rows; a density needs at least one")
    if not 0.0 < smoothing <= 0.5:
        raise AuditInputError(f"smoothing is {smoothing}; it must lie above 0 and at most at 0.5")
    kernel = _fit(sample, smoothing)
    sides = kernel.side(targets), kernel.side(sample)
    # A column without gaps anywhere, or with one category, costs no time.
    active = [
        j
        for j in range(len(kernel.penalties))
        if any((side.codes[j] != sides[1].codes[j, 0]).any() for side in sides)
    ]
    log_sums = by_target(len(targets), lambda block: _log_sums(kernel, sides, block, active))
    return np.asarray(log_sums - np.log(len(sample)) - kernel.log_volume)


@dataclass(frozen=True, kw_only=True)
class _Kernel:
    """Scale of the pairs.

    Attributes:
        mean: of the number columns, shape (p,), in units of the real range.
        root: lower triangle L with L L' = the kernel's covariance, shape (p, p).
        penalties: log of equal over unequal, for category columns and then for gaps, (q + p,).
    """

    mean: np.ndarray
    root: np.ndarray
    penalties: np.ndarray

    @property
    def log_volume(self) -> float:
        """Log determinant of the Gaussian's root: what makes wide and narrow samples comparable."""
        return float(np.log(np.diag(self.root)).sum())

    def side(self, records: Records) -> _Side:
        """Rows as the pairs need them: numbers white, categories and gaps as codes."""
        values = _filled(records, self.mean) - self.mean
        white = np.empty((values.shape[1], len(records)), dtype=np.float32)
        done: list[np.ndarray] = []
        # Forward substitution column by column: a library product may round equal rows differently.
        for j in range(values.shape[1]):
            rest = values[:, j].copy()
            for i, column in enumerate(done):
                rest -= self.root[j, i] * column
            done.append(rest / self.root[j, j])
            white[j] = done[j]
        gaps = np.isnan(records.numbers).astype(np.int32)
        codes = np.column_stack([records.categories, gaps])
        return _Side(white=white, codes=np.ascontiguousarray(codes.T), rows=len(records))


@dataclass(frozen=True, kw_only=True)
class _Side:
    white: np.ndarray
    codes: np.ndarray
    rows: int


def _filled(records: Records, mean: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(records.numbers), mean, records.scaled)


def _fit(sample: Records, smoothing: float) -> _Kernel:
    columns = zip(sample.scaled.T, np.isnan(sample.numbers).T, strict=True)
    mean = np.array([_mean(values[~gap]) for values, gap in columns])
    centred = (_filled(sample, mean) - mean).T
    count = len(mean)
    spread = np.zeros((count, count))
    for j in range(count):
        for i in range(j + 1):
            # Summed without the linear algebra library, whose order depends on its threads.
            spread[j, i] = float((centred[j] * centred[i]).sum()) / max(1, len(sample) - 1)
    factor = len(sample) ** (-1.0 / (count + 4))
    root = _cholesky(spread + _RIDGE * np.eye(count)) * factor
    levels = [max(2, len(names)) for names in sample.layout.levels] + [2] * count
    odds = (1.0 - smoothing) / smoothing
    return _Kernel(mean=mean, root=root, penalties=np.log(odds * (np.array(levels) - 1.0)))


def _mean(values: np.ndarray) -> float:
    return float(values.sum() / values.size) if values.size else 0.0


def _cholesky(matrix: np.ndarray) -> np.ndarray:
    """Lower root of a positive definite matrix, given by its lower triangle, in a fixed order."""
    root = np.zeros_like(matrix)
    for j in range(len(matrix)):
        for i in range(j):
            known = sum(root[j, k] * root[i, k] for k in range(i))
            root[j, i] = (matrix[j, i] - known) / root[i, i]
        known = sum(root[j, k] ** 2 for k in range(j))
        # Rounding may eat the ridge of a column that repeats others.
        root[j, j] = np.sqrt(max(matrix[j, j] - known, _RIDGE))
    return root


def _log_sums(
    kernel: _Kernel, sides: tuple[_Side, _Side], rows: slice, active: list[int]
) -> np.ndarray:
    """Log of the kernel summed over the sample, for one block of targets; it cannot underflow."""
    best = np.full(rows.stop - rows.start, -np.inf)
    total = np.zeros(rows.stop - rows.start)
    for columns in blocks(sides[1].rows):
        exponents = _exponents(kernel, sides, (rows, columns), active)
        top = np.maximum(best, exponents.max(axis=1))
        part = np.exp(exponents - top[:, None].astype(np.float32))
        total = total * np.exp(best - top) + part.sum(axis=1, dtype=np.float64)
        best = top
    return np.asarray(best + np.log(total))


def _exponents(
    kernel: _Kernel, sides: tuple[_Side, _Side], pair: tuple[slice, slice], active: list[int]
) -> np.ndarray:
    (left, right), (rows, columns) = sides, pair
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    total = np.zeros(shape, dtype=np.float32)
    part = np.empty(shape, dtype=np.float32)
    unequal = np.empty(shape, dtype=np.bool_)
    for a, b in zip(left.white, right.white, strict=True):
        np.subtract(a[rows, None], b[None, columns], out=part)
        np.multiply(part, part, out=part)
        np.add(total, part, out=total)
    total *= np.float32(0.5)
    for j in active:
        np.not_equal(left.codes[j, rows, None], right.codes[j, None, columns], out=unequal)
        np.multiply(unequal, np.float32(kernel.penalties[j]), out=part)
        np.add(total, part, out=total)
    return np.negative(total, out=total)
