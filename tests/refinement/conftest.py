"""A small law of which every table is known, and its tables with noise."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dpsynth.refinement.measured import Measured
from dpsynth.refinement.selection import all_pairs

SIZES = (3, 4, 2, 3)
ROWS = 20_000.0
PAIRS = all_pairs(len(SIZES))


def joint(strength: float = 1.0) -> NDArray[np.float64]:
    """A law with dependence between every pair of columns, shape SIZES; independent at 0."""
    rng = np.random.default_rng(5)
    logits = np.zeros(SIZES)
    for i, j in PAIRS:
        table = rng.normal(0, strength, (SIZES[i], SIZES[j]))
        shape = [SIZES[k] if k in (i, j) else 1 for k in range(len(SIZES))]
        logits = logits + table.reshape(shape)
    for j, size in enumerate(SIZES):
        shape = [size if k == j else 1 for k in range(len(SIZES))]
        logits = logits + rng.normal(0, 0.5, size).reshape(shape)
    law = np.exp(logits)
    return np.asarray(law / law.sum())


def pair_table(law: NDArray[np.float64], pair: tuple[int, int]) -> NDArray[np.float64]:
    return np.asarray(law.sum(axis=tuple(k for k in range(law.ndim) if k not in pair)))


def shares(law: NDArray[np.float64], column: int) -> NDArray[np.float64]:
    return np.asarray(law.sum(axis=tuple(k for k in range(law.ndim) if k != column)))


def measured_from(
    law: NDArray[np.float64],
    *,
    std: float,
    seed: int = 0,
    pairs: tuple[tuple[int, int], ...] = PAIRS,
) -> Measured:
    """Exact shares, and tables with noise of `std` rows."""
    rng = np.random.default_rng(seed)
    return Measured(
        rows=ROWS,
        one_way=tuple(shares(law, j) for j in range(law.ndim)),
        one_way_std=1.0,
        pairs=pairs,
        tables=tuple(
            ROWS * pair_table(law, p) + rng.normal(0, std, pair_table(law, p).shape) for p in pairs
        ),
        std=std,
    )


def pairs_apart(codes: NDArray[np.int64], law: NDArray[np.float64]) -> float:
    """Mean total variation of the tables of all pairs between a sample and a law."""
    found = []
    for i, j in PAIRS:
        flat = codes[:, i] * SIZES[j] + codes[:, j]
        table = np.bincount(flat, minlength=SIZES[i] * SIZES[j]) / len(codes)
        found.append(0.5 * np.abs(table - pair_table(law, (i, j)).ravel()).sum())
    return float(np.mean(found))


def independent(law: NDArray[np.float64]) -> NDArray[np.float64]:
    """The law with the same columns and no dependence."""
    made = np.ones(())
    for column in range(law.ndim):
        made = np.multiply.outer(made, shares(law, column))
    return np.asarray(made)


def law_apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """As `pairs_apart`, between two laws."""
    apart = [np.abs(pair_table(one, p) - pair_table(other, p)).sum() for p in PAIRS]
    return float(0.5 * np.mean(apart))


@pytest.fixture(scope="session")
def law() -> NDArray[np.float64]:
    return joint()
