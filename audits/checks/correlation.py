"""Do columns go together in the synthetic table as they do in the real one?

One strength of association for every pair of columns, by kind:

- two numbers: Pearson's correlation of ranks (Spearman's where nothing is missing), -1 to 1;
- a number and a category: the correlation ratio of the number's ranks, corrected for the number of
  labels, 0 to 1;
- two categories: Cramer's V, corrected for the numbers of labels, 0 to 1.

Missing values: a missing number leaves its row out of that pair; a missing category is a label of
its own. Ranks are taken over a column's present values, ties sharing their mean rank. A column that
does not vary goes with nothing: 0.

Sources: Spearman, American Journal of Psychology 15(1), 1904; Kelley, Proceedings of the National
Academy of Sciences 21(9), 1935 (the unbiased correlation ratio); Bergsma, Journal of the Korean
Statistical Society 42(3), 2013 (the corrected V).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from audits.judgement import Evidence, Settings
from audits.measures.resampling import anything, group_numbers, half_width, interval
from audits.records import Encoded, Records
from audits.statistics import Estimate
from audits.tables.features import column_names
from audits.tables.sampling import generator, sizes, subsample

NAME = "correlation"
MAX_ROWS = 10_000
MAX_COLUMNS = 40
_LARGEST = 2.0
_FLAT = 1e-12
_BLIND_SPOT = (
    "It sees pairs of columns only, numbers only where one rises or falls with the other, and not "
    "whether values are missing together."
)


def run(tables: Encoded, *, settings: Settings) -> Evidence:
    """Mean and largest difference of association from train, for synthetic and for holdout rows.

    The intervals cover the draw of the compared rows, train held fixed. That of the mean is too
    wide, not too narrow, where most differences are near 0.
    """
    rng = generator(settings.seed, NAME)
    cut, left_out = _cut(tables, rng=rng)
    groups = group_numbers(len(cut.synthetic), rng=rng)
    real = associations(cut.train)
    figures: dict[str, Estimate] = {}
    for rows, ending in ((cut.synthetic, ""), (cut.holdout, "_baseline")):
        mean, largest = _differences(real, rows, groups, confidence=settings.confidence)
        figures[f"correlation_difference_mean{ending}"] = mean
        figures[f"correlation_difference_max{ending}"] = largest
    return Evidence(
        name=NAME,
        family="fidelity",
        figures=figures,
        blind_spot=_BLIND_SPOT,
        nothing=_summary(figures, len(real), left_out),
        rows_used=sizes(cut),
        curves={
            "columns": list(column_names(cut.train)),
            "correlation_real": real.tolist(),
            "correlation_synthetic": associations(cut.synthetic).tolist(),
        },
    )


def associations(records: Records) -> np.ndarray:
    """Association of every pair of columns, numbers first: symmetric (c, c), 1 on the diagonal."""
    numbers, categories = records.numbers, records.categories
    p, q = numbers.shape[1], categories.shape[1]
    matrix = np.eye(p + q)
    ranks = [_ranks(column) for column in numbers.T]
    codes = [_dense(column) for column in categories.T]
    if p:
        matrix[:p, :p] = _between_numbers(np.column_stack(ranks))
    for (i, rank), (j, code) in itertools.product(enumerate(ranks), enumerate(codes)):
        matrix[i, p + j] = matrix[p + j, i] = correlation_ratio(rank, code)
    for (i, left), (j, right) in itertools.combinations(enumerate(codes), 2):
        matrix[p + i, p + j] = matrix[p + j, p + i] = cramers_v(left, right)
    return matrix


def correlation_ratio(values: np.ndarray, codes: np.ndarray) -> float:
    """Share of the spread of numbers that lies between groups, its root, corrected: 0 to 1.

    Args:
        values: (n,) numbers, of order 1; NaN rows are left out.
        codes: (n,) group numbers from 0.
    """
    held = ~np.isnan(values)
    values, codes = values[held], codes[held]
    counts = np.bincount(codes)
    groups = int(np.count_nonzero(counts))
    n = values.size
    if groups < 2 or groups >= n:
        return 0.0
    centred = values - values.mean()
    whole = float(np.square(centred).sum())
    if whole <= _FLAT * n:
        return 0.0
    sums = np.bincount(codes, weights=centred)
    between = float((np.square(sums[counts > 0]) / counts[counts > 0]).sum())
    share = 1.0 - (1.0 - between / whole) * (n - 1) / (n - groups)
    return math.sqrt(min(1.0, max(0.0, share)))


def cramers_v(left: np.ndarray, right: np.ndarray) -> float:
    """Cramer's V of two codings (n,) of the same rows, codes from 0, corrected for bias: 0 to 1."""
    n = left.size
    if n < 2:
        return 0.0
    rows, columns = np.bincount(left), np.bincount(right)
    # Pairs of labels that never meet add nothing, so only those that do are counted.
    pairs, counts = np.unique(left * np.int64(columns.size) + right, return_counts=True)
    expected = rows[pairs // columns.size].astype(np.float64) * columns[pairs % columns.size]
    phi = float((np.square(counts.astype(np.float64)) / expected).sum()) - 1.0
    r, k = int(np.count_nonzero(rows)), int(np.count_nonzero(columns))
    phi = max(0.0, phi - (k - 1) * (r - 1) / (n - 1))
    smaller = min(size - (size - 1) ** 2 / (n - 1) for size in (r, k)) - 1.0
    if smaller <= _FLAT:
        return 0.0
    return math.sqrt(min(1.0, phi / smaller))


def _cut(tables: Encoded, *, rng: np.random.Generator) -> tuple[Encoded, int]:
    """Bounded rows, synthetic and holdout of one size; bounded columns, and how many are gone."""
    names = tables.train.names
    if len(names) > MAX_COLUMNS:
        drawn = np.sort(rng.permutation(len(names))[:MAX_COLUMNS])
        kept = [names[i] for i in drawn]
        tables = tables.map(lambda records: records.select(kept))
    size = min(len(tables.holdout), len(tables.synthetic), MAX_ROWS)
    cut = Encoded(
        train=subsample(tables.train, MAX_ROWS, rng=rng),
        holdout=subsample(tables.holdout, size, rng=rng),
        synthetic=subsample(tables.synthetic, size, rng=rng),
    )
    return cut, len(names) - len(tables.train.names)


def _differences(
    real: np.ndarray, rows: Records, groups: np.ndarray, *, confidence: float
) -> tuple[Estimate, Estimate]:
    """Mean and largest absolute difference over pairs of columns."""
    upper, bounds = np.triu_indices(len(real), 1), (0.0, _LARGEST)
    if upper[0].size == 0:
        unknown = anything(0.0, confidence=confidence, bounds=bounds)
        return unknown, unknown
    apart = np.abs(associations(rows) - real)[upper]
    count = int(groups.max()) + 1
    if count < 2:
        return (
            anything(float(apart.mean()), confidence=confidence, bounds=bounds),
            anything(float(apart.max()), confidence=confidence, bounds=bounds),
        )
    without = np.array(
        [(associations(rows.take(groups != group)) - real)[upper] for group in range(count)]
    )
    mean = interval(
        float(apart.mean()), np.abs(without).mean(axis=1), confidence=confidence, bounds=bounds
    )
    # All pairs hold at once, so the largest of them does: its own spread alone would forget that
    # it was picked for being the largest.
    halves = half_width(without, confidence=confidence, looks=apart.size)
    largest = Estimate(
        value=float(apart.max()),
        lower=float(max(0.0, (apart - halves).max())),
        upper=float(min(_LARGEST, (apart + halves).max())),
        confidence=confidence,
    )
    return mean, largest


def _ranks(column: np.ndarray) -> np.ndarray:
    """Mean ranks of the present values on a scale from -0.5 to 0.5; NaN stays."""
    held = ~np.isnan(column)
    ranks = np.full(column.shape, np.nan)
    count = int(held.sum())
    ranks[held] = (stats.rankdata(column[held]) - 0.5) / max(1, count) - 0.5
    return ranks


def _dense(codes: np.ndarray) -> np.ndarray:
    """Codes from 0 without gaps; missing is one of them."""
    _, dense = np.unique(codes, return_inverse=True)
    return np.asarray(dense, dtype=np.int64)


def _between_numbers(ranks: np.ndarray) -> np.ndarray:
    """Pearson's correlation of every pair of columns (n, p), over the rows that have both."""
    held = (~np.isnan(ranks)).astype(np.float64)
    filled = np.where(held > 0, ranks, 0.0)
    squares = np.square(filled).T @ held
    sums, rows = filled.T @ held, np.maximum(held.T @ held, 1.0)
    spread = squares - np.square(sums) / rows
    shared = filled.T @ filled - sums * sums.T / rows
    flat = (spread <= _FLAT * rows) | (_FLAT * rows >= spread.T)
    scale = np.sqrt(np.where(flat, 1.0, spread * spread.T))
    matrix = np.where(flat, 0.0, np.clip(shared / scale, -1.0, 1.0))
    np.fill_diagonal(matrix, 1.0)
    return np.asarray(matrix)


def _summary(figures: dict[str, Estimate], columns: int, left_out: int) -> str:
    if columns < 2:
        return (
            "The table has a single column, so there is no pair to compare; nothing is ruled out."
        )
    parts: Sequence[str] = [
        f"{word} {figures[f'correlation_difference_{word}'].value:.3f} (real against real "
        f"{figures[f'correlation_difference_{word}_baseline'].value:.3f})"
        for word in ("mean", "max")
    ]
    told = f" {left_out} columns were left out by a draw." if left_out else ""
    return f"Difference of association over pairs of columns: {', '.join(parts)}.{told}"
