"""Codes under a condition, from the model's own conditional distribution.

With a model that draws column by column: sequential importance sampling, then systematic
resampling of a surplus to the rows wanted. Columns with evidence are drawn among the codes that
fit, so no row is thrown away; a row's weight is the chance of its evidence given what was drawn
before it. Where all weights are equal (the evidence comes first, or leans on nothing) the rows are
exact as they are. With any other model: rejection.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.errors import InputError
from dpsynth.generators.base import ColumnWise
from dpsynth.sampling.drawing import draw_weighted

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SURPLUS = 8
"""Most rows drawn for each row wanted, as long as the weights are not too uneven."""
MOST_DRAWS = 200
"""Most rows drawn for each row wanted, before a condition is called too rare."""
LEAST_SHARE = 0.1
"""Smallest effective sample size, as a share of the rows wanted."""
LEAST_WANTED = 100
"""Fewer rows than this are drawn for as if they were this many."""
_LEAST_DRAWN = 10_000


@dataclass(frozen=True, eq=False)
class ConditionalCodes:
    """Rows that fit a condition.

    Attributes:
        codes: shape (rows, columns).
        effective: effective sample size: as many independent rows of the conditional distribution
            would be worth as much; at most `rows`.
        distinct: how many of the rows were drawn on their own; the others repeat one of them.
        drawn: rows drawn in all.
        probability: estimated chance of the condition in the model.
    """

    codes: IntArray
    effective: float
    distinct: int
    drawn: int
    probability: float


def conditional_codes(
    columns: ColumnWise,
    rows: int,
    *,
    evidence: Mapping[int, FloatArray],
    asked: str,
    rng: np.random.Generator,
) -> ConditionalCodes:
    """Exactly `rows` rows given evidence.

    Args:
        columns: the model.
        rows: how many, at least 1.
        evidence: as in `dpsynth.sampling.drawing.draw_weighted`.
        asked: the condition, for messages.
        rng: the stream to draw from.

    Raises:
        InputError: the rows drawn are so uneven that fewer than a tenth of them count.
    """
    if _equally_weighted(columns, evidence):
        codes, logs = _drawn(columns, rows, evidence, rng=rng)
        chance = float(np.exp(logs[0]))
        return ConditionalCodes(codes.astype(np.int64), float(rows), rows, rows, chance)
    wanted = max(rows, LEAST_WANTED)
    block = max(2 * rows, _LEAST_DRAWN)
    codes, logs = _drawn(columns, block, evidence, rng=rng)
    while not _enough(logs, wanted) and len(logs) < MOST_DRAWS * wanted:
        more, more_logs = _drawn(columns, min(len(logs), 4 * block), evidence, rng=rng)
        codes, logs = np.concatenate([codes, more]), np.concatenate([logs, more_logs])
    weights = np.exp(logs - logs.max())
    effective = effective_sample_size(weights)
    if effective < LEAST_SHARE * wanted:
        raise InputError(
            f"{len(logs)} rows drawn for {asked} are worth {effective:.0f}, and {rows} are wanted; "
            "ask for fewer rows or for less in --where"
        )
    picked = systematic(weights, rows, rng=rng)
    return ConditionalCodes(
        codes=codes[rng.permutation(picked)].astype(np.int64),
        effective=min(effective, float(rows)),
        distinct=len(np.unique(picked)),
        drawn=len(logs),
        probability=float(np.exp(logs.max()) * weights.mean()),
    )


def _equally_weighted(columns: ColumnWise, evidence: Mapping[int, FloatArray]) -> bool:
    """Whether no evidence depends on what is drawn: it leans on evidence of a single code alone.

    Judged by the model's structure: weights that happen to be equal prove nothing, since the rows
    that would weigh more may be too rare to have been drawn.
    """
    settled = {column for column, share in evidence.items() if (share > 0).sum() == 1}
    return all(settled.issuperset(columns.parents(column)) for column in evidence)


def _drawn(
    columns: ColumnWise, rows: int, evidence: Mapping[int, FloatArray], *, rng: np.random.Generator
) -> tuple[NDArray[np.int32], FloatArray]:
    """A surplus is kept in half the memory."""
    drawn = draw_weighted(columns, rows, evidence=evidence, rng=rng)
    return drawn.codes.astype(np.int32), drawn.log_weights


def _enough(logs: FloatArray, wanted: int) -> bool:
    """Whether no row need be taken twice, or the surplus is large and not too uneven."""
    weights = np.exp(logs - logs.max())
    if wanted <= weights.sum():
        return True
    return len(logs) >= SURPLUS * wanted and effective_sample_size(weights) >= wanted


def effective_sample_size(weights: FloatArray) -> float:
    """(sum w)^2 / sum w^2 (Kish 1965): how many equally weighted rows would be worth as much."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def systematic(weights: FloatArray, count: int, *, rng: np.random.Generator) -> IntArray:
    """`count` picks, ascending; each row as often as its share says, up to one more or less."""
    edges = np.cumsum(weights)
    points = (np.arange(count) + rng.random()) * (edges[-1] / count)
    picks = np.searchsorted(edges, points, side="right")
    return np.asarray(np.minimum(picks, np.flatnonzero(weights)[-1]), dtype=np.int64)
