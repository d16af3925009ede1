"""What would have been measured, had the fitted model been the truth: the parametric bootstrap.

The noise drawn here protects nobody: it stands for the noise that the real answers had, so that its
effect can be seen. Nothing private is involved.
"""

from dataclasses import dataclass, replace

import numpy as np

from dpsynth.encoding.estimate import nonnegative
from dpsynth.generators.base import FloatArray, IntArray
from dpsynth.refinement.measured import Measured, pooled
from dpsynth.refinement.tables import fit_tables
from dpsynth.sampling.drawing import draw_rows
from dpsynth.sampling.linear import LinearColumns


@dataclass(frozen=True, eq=False)
class Simulated:
    """A table drawn from a model, and noisy answers about it.

    Attributes:
        codes: the rows that play the private table, each drawn on its own, shape (rows, columns).
        measured: what the noisy questions would have said about them.
    """

    codes: IntArray
    measured: Measured


def simulated(
    world: IntArray, measured: Measured, *, count_std: float, rng: np.random.Generator
) -> Simulated:
    """One table of independent rows and its noisy answers.

    Args:
        world: a large sample of the model, which rows are drawn from with replacement; shape
            (any, columns).
        measured: the real answers; their sizes, pairs and noise are kept.
        count_std: noise in the row count.
        rng: draws rows and noise.
    """
    rows = max(1, round(measured.rows))
    codes = world[rng.integers(0, len(world), rows)]
    noisy_rows = max(rows + count_std * rng.standard_normal(), 1.0)
    one_way = tuple(
        _noisy_shares(
            np.bincount(codes[:, j], minlength=size),
            std=measured.one_way_std,
            rows=noisy_rows,
            rng=rng,
        )
        for j, size in enumerate(measured.sizes)
    )
    tables = tuple(
        _noisy(counts(codes, pair, measured.sizes), measured.std, rng=rng)
        for pair in measured.pairs
    )
    answers = replace(measured, rows=noisy_rows, one_way=one_way, tables=tables)
    return Simulated(codes, pooled(answers))


def counts(codes: IntArray, pair: tuple[int, int], sizes: tuple[int, ...]) -> FloatArray:
    """How many rows have each pair of codes, shape (sizes[i], sizes[j])."""
    i, j = pair
    flat = np.bincount(codes[:, i] * sizes[j] + codes[:, j], minlength=sizes[i] * sizes[j])
    return flat.reshape(sizes[i], sizes[j]).astype(np.float64)


def _noisy(exact: FloatArray, std: float, *, rng: np.random.Generator) -> FloatArray:
    return np.asarray(exact + std * rng.standard_normal(exact.shape))


def _noisy_shares(
    exact: IntArray, *, std: float, rows: float, rng: np.random.Generator
) -> FloatArray:
    return nonnegative(_noisy(exact.astype(np.float64), std, rng=rng), rows) / rows


def rows_from(measured: Measured, rows: int, *, rng: np.random.Generator) -> IntArray:
    """Rows of the table that noisy pairs speak of: public, for training beforehand.

    They come from the tables that the flagship fits to the same pairs (see
    `dpsynth.refinement.tables`).

    Args:
        measured: the noisy pairs.
        rows: how many; shape (rows, columns).
        rng: fits and draws.
    """
    tables = fit_tables(measured, rng=rng)
    order = tuple(range(len(measured.sizes)))
    return draw_rows(
        LinearColumns(measured.sizes, tables.weight, tables.bias, order, None), rows, rng=rng
    )
