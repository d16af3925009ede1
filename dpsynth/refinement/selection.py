"""Which pairs of columns to measure, from noisy distances to independence.

A table costs the others accuracy: with k tables the noise of each grows as sqrt(k). Pairs that the
noisy distances call independent are therefore left out, and the strongest are kept up to a number
that grows with the columns. The rule sees noisy answers and public constants only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class SelectionRules:
    """How many pairs are measured. Public constants, the same for every table.

    Attributes:
        all_up_to: up to so many columns every pair is measured and nothing is asked about them.
        least: at least so many pairs a column (the strongest) are measured.
        most: at most so many pairs a column.
        sigmas: standard deviations by which a distance must exceed what independence explains.
    """

    all_up_to: int = 16
    least: float = 2.0
    most: float = 12.0
    sigmas: float = 3.0

    def asks(self, columns: int) -> bool:
        """Whether the pairs are chosen by noisy distances at all."""
        return columns > self.all_up_to


_SCATTER = 1.0 - 2.0 / np.pi
"""Variance of the L1 distance of independent rows, a row: that of the size of a Poisson count's
deviation, at most (cells hold few rows or many)."""


def all_pairs(columns: int) -> Pairs:
    """Every pair (i, j) with i < j."""
    return tuple(combinations(range(columns), 2))


def chosen_pairs(
    distances: FloatArray,
    *,
    std: float,
    guesses: Sequence[FloatArray],
    guess_std: float,
    columns: int,
    rules: SelectionRules,
) -> Pairs:
    """The pairs to measure, in order.

    Args:
        distances: noisy L1 distances of all pairs to independence, in rows, shape (pairs,).
        std: noise in each.
        guesses: the counts that independence would give each pair.
        guess_std: noise in one cell of a one-way marginal, in rows.
        columns: number of columns.
        rules: how many.
    """
    expected = np.array([_distance_by_chance(g, guess_std) for g in guesses])
    scatter = np.array([np.sqrt(_SCATTER * g.sum()) for g in guesses])
    excess = distances - expected
    strongest = np.argsort(-excess, kind="stable")
    least = min(len(excess), int(np.ceil(rules.least * columns)))
    most = min(len(excess), int(np.ceil(rules.most * columns)))
    heard = int((excess > rules.sigmas * np.hypot(std, scatter)).sum())
    kept = np.sort(strongest[: int(np.clip(heard, least, most))])
    pairs = all_pairs(columns)
    return tuple(pairs[k] for k in kept)


def _distance_by_chance(guess: FloatArray, guess_std: float) -> float:
    """L1 distance that rows drawn independently would have to a guess from noisy marginals.

    Counts scatter about as Poisson numbers (mean size sqrt(2 / pi) of their deviation, and at most
    twice the count); the guess itself is off by the noise of its two marginals.
    """
    sampling = float(np.minimum(np.sqrt(2.0 / np.pi * guess), 2.0 * guess).sum())
    marginals = np.sqrt(2.0 / np.pi) * guess_std * sum(guess.shape)
    return float(np.hypot(sampling, min(marginals, 0.5 * float(guess.sum()))))
