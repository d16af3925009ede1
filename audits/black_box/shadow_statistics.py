"""What a black-box attacker measures about a target in one synthetic table.

Fixed before any table is seen: the nearest distance, the mean distance to the five nearest rows,
and how many rows agree with the target on small sets of columns (a generator that learns marginals
leaks through these, one that copies leaks through the first).

Source: Chen et al., GAN-Leaks, CCS 2020 (arXiv 1909.03935), for the distance; Houssiau et al.,
    TAPAS, SyntheticData4ML at NeurIPS 2022 (arXiv 2211.06550), for counting queries around a
    target.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from audits.distance import nearest
from audits.records import Layout, Records
from audits.tables.sampling import generator

NEIGHBOURS = 5
QUERIES = 24
# Numbers agree within this share of the real range.
TOLERANCE = 0.05
_TARGET_BLOCK = 64
# Beyond this many sets a draw replaces their list.
_LISTED = 2_000


def measure(targets: Records, table: Records) -> np.ndarray:
    """Statistics of every target, float64 (len(targets), 2 + queries), each rising with closeness.

    Columns: minus the nearest Gower distance; minus the mean distance to the `NEIGHBOURS` nearest
    (or all) rows; then, for each set of `queries`, the logarithm of 1 + the number of rows that
    agree with the target on it. The order of the table's rows does not matter.
    """
    near, _ = nearest(targets, table, k=min(NEIGHBOURS, len(table)))
    # A sum in rising order, not a mean by BLAS: the same bits everywhere.
    mean = np.round(np.add.accumulate(near, axis=1)[:, -1] / near.shape[1], 9)
    return np.column_stack([-near[:, 0], -mean, np.log1p(_counts(targets, table))])


def queries(layout: Layout) -> list[tuple[int, ...]]:
    """Sets of at most three columns (places: numbers first, then categories), fixed by the layout.

    All single columns come first while they fit, then sets of two or three drawn by a fixed seed.
    """
    columns = len(layout.names)
    size = min(3, columns)
    alone = [(place,) for place in range(columns)][: QUERIES // 2]
    pairs = columns * (columns - 1) // 2
    triples = pairs * (columns - 2) // 3
    room = QUERIES - len(alone)
    rng = generator(0, "queries")
    if pairs + triples <= _LISTED:
        sets = [s for width in range(2, size + 1) for s in combinations(range(columns), width)]
        kept = np.sort(rng.permutation(len(sets))[:room])
        return [*alone, *(sets[place] for place in kept)]
    drawn = [tuple(np.sort(rng.permutation(columns)[: 2 + i % 2]).tolist()) for i in range(room)]
    return [*alone, *drawn]


def _counts(targets: Records, table: Records) -> np.ndarray:
    sets = queries(targets.layout)
    used = sorted({place for columns in sets for place in columns})
    counts = np.empty((len(targets), len(sets)))
    for start in range(0, len(targets), _TARGET_BLOCK):
        rows = slice(start, min(start + _TARGET_BLOCK, len(targets)))
        agree = {place: _agree(targets, table, rows, place) for place in used}
        for j, columns in enumerate(sets):
            both = agree[columns[0]]
            for place in columns[1:]:
                both = both & agree[place]
            counts[rows, j] = np.count_nonzero(both, axis=1)
    return counts


def _agree(targets: Records, table: Records, rows: slice, place: int) -> np.ndarray:
    numbers = targets.numbers.shape[1]
    if place < numbers:
        left, right = targets.scaled[rows, place], table.scaled[:, place]
        return np.asarray(np.abs(left[:, None] - right[None, :]) <= TOLERANCE)
    left, right = targets.categories[rows, place - numbers], table.categories[:, place - numbers]
    return np.asarray(left[:, None] == right[None, :])
