"""How far are the 1-, 2- and 3-way tables of counts from the real ones?

Mean total variation distance over columns, pairs and triples, between train and synthetic. Counts
of few rows are far apart by chance alone, so each figure stands beside the same figure for the
holdout, both taken at the smaller of the two sizes: the baseline is what perfect data would get.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from audits.judgement import Evidence, Settings
from audits.measures.resampling import group_numbers, interval
from audits.records import Encoded
from audits.statistics import Estimate, tvd
from audits.tables.binning import cells
from audits.tables.sampling import generator, sizes, subsample

NAME = "fidelity"
MAX_PAIRS = 500
MAX_TRIPLES = 100
_DENSE_CELLS = 50_000
_BLIND_SPOT = (
    "Numbers count only up to their twentieth of the training table; what happens inside a bin, "
    "beyond the last edge, or among four columns at once does not show."
)


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """Cell numbers of the real rows and of the rows compared with them, and jackknife groups."""

    real: np.ndarray
    other: np.ndarray
    groups: np.ndarray


def run(tables: Encoded, *, settings: Settings) -> Evidence:
    """Mean 1-, 2- and 3-way total variation distances with their real-against-real baselines."""
    rng = generator(settings.seed, NAME)
    size = min(len(tables.holdout), len(tables.synthetic))
    cut = Encoded(
        train=tables.train,
        holdout=subsample(tables.holdout, size, rng=rng),
        synthetic=subsample(tables.synthetic, size, rng=rng),
    )
    table = cells(cut)
    groups = group_numbers(size, rng=rng)
    synthetic = _Sides(real=table.train, other=table.synthetic, groups=groups)
    holdout = _Sides(real=table.train, other=table.holdout, groups=groups)
    figures: dict[str, Estimate] = {}
    each: dict[str, tuple[list[tuple[int, ...]], np.ndarray]] = {}
    for order, limit in ((1, len(table.names)), (2, MAX_PAIRS), (3, MAX_TRIPLES)):
        chosen = _choose(len(table.names), order, limit, rng=rng)
        for sides, ending in ((synthetic, ""), (holdout, "_baseline")):
            name = f"tvd{order}{ending}"
            figures[name], distances = _mean_tvd(sides, chosen, settings.confidence)
            each[name] = (chosen, distances)
    return Evidence(
        name=NAME,
        family="fidelity",
        figures=figures,
        blind_spot=_BLIND_SPOT,
        nothing=_summary(figures),
        rows_used=sizes(cut),
        curves={
            "columns": list(table.names),
            "tvd1": each["tvd1"][1].tolist(),
            "tvd1_baseline": each["tvd1_baseline"][1].tolist(),
            "tvd2_matrix": _matrix(len(table.names), *each["tvd2"]),
            "tvd2_matrix_baseline": _matrix(len(table.names), *each["tvd2_baseline"]),
        },
    )


def _choose(
    columns: int, order: int, limit: int, *, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """All sets of `order` columns (fewer where there are fewer columns), at most `limit`."""
    order = min(order, columns)
    if math.comb(columns, order) <= 20 * limit:
        every = list(itertools.combinations(range(columns), order))
        if len(every) <= limit:
            return every
        return [every[i] for i in np.sort(rng.permutation(len(every))[:limit])]
    found: set[tuple[int, ...]] = set()
    while len(found) < limit:
        found.add(tuple(sorted(int(c) for c in rng.choice(columns, order, replace=False))))
    return sorted(found)


def _mean_tvd(
    sides: _Sides, chosen: Sequence[tuple[int, ...]], confidence: float
) -> tuple[Estimate, np.ndarray]:
    """Mean over column sets, and each set's own distance.

    The interval covers the draw of the compared rows, the real ones held fixed.
    """
    parts = [_tvds(sides, columns) for columns in chosen]
    values = np.array([value for value, _ in parts])
    left_out = np.mean([replicates for _, replicates in parts], axis=0)
    if sides.groups.size < 2:
        left_out = left_out[:0]
    mean = float(values.mean())
    return interval(mean, left_out, confidence=confidence, bounds=(0.0, 1.0)), values


def _tvds(sides: _Sides, columns: tuple[int, ...]) -> tuple[float, np.ndarray]:
    """Distance with all rows, and with each jackknife group left out."""
    real, other, width = _joint(sides, columns)
    groups = int(sides.groups.max()) + 1
    expected = np.bincount(real, minlength=width)
    split = np.bincount(sides.groups * width + other, minlength=groups * width)
    split = split.reshape(groups, width)
    total = split.sum(axis=0)
    kept = total - split if groups > 1 else split
    return float(tvd(total, expected)), tvd(kept, expected)


def _joint(sides: _Sides, columns: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, int]:
    """One cell number for each row of both sides, and the number of cells."""
    both = np.concatenate([sides.real[:, columns], sides.other[:, columns]])
    ids, width = np.zeros(len(both), dtype=np.int64), 1
    for column in both.T:
        high = int(column.max()) + 1
        ids, width = ids * high + column, width * high
        if width > _DENSE_CELLS:
            ids, found = pd.factorize(ids)
            width = len(found)
    return ids[: len(sides.real)], ids[len(sides.real) :], width


def _matrix(
    columns: int, pairs: Sequence[tuple[int, ...]], values: np.ndarray
) -> list[list[float | None]]:
    """Symmetric, None where a pair was not measured (and on the diagonal)."""
    matrix: list[list[float | None]] = [[None] * columns for _ in range(columns)]
    for pair, value in zip(pairs, values, strict=True):
        matrix[pair[0]][pair[-1]] = matrix[pair[-1]][pair[0]] = float(value)
    return matrix


def _summary(figures: dict[str, Estimate]) -> str:
    parts = [
        f"{order}-way {figures[f'tvd{order}'].value:.3f} (real against real "
        f"{figures[f'tvd{order}_baseline'].value:.3f})"
        for order in (1, 2, 3)
    ]
    return f"Mean distance of counts: {', '.join(parts)}."
