"""Lower bounds on epsilon from one training run with many canaries.

Each canary is put in by its own fair coin. Afterwards the attacker guesses "in" or "out" for some
canaries and abstains on the others; more correct guesses than an (epsilon, delta) mechanism allows
rule that epsilon out. A bound of 0 rules nothing out; it never means "private".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from audits.errors import AuditInputError

# Halvings of a bracket: 2**-48 of a bracket below 1,000 is below the ten digits published.
HALVINGS = 48


@dataclass(frozen=True, kw_only=True)
class Guesses:
    """What an attacker guessed about canaries whose inclusion was a fair coin each.

    Attributes:
        canaries: all of them, abstained ones too.
        made: guesses made.
        correct: right ones among those made.
    """

    canaries: int
    made: int
    correct: int

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.made <= self.canaries:
            raise AuditInputError(
                f"{self.correct} correct of {self.made} guesses on {self.canaries} canaries; need "
                f"0 <= correct <= guesses <= canaries"
            )


def guess(
    scores: np.ndarray,
    included: np.ndarray,
    *,
    k_plus: int,
    k_minus: int,
    rng: np.random.Generator,
) -> Guesses:
    """Guess "in" for the k_plus highest scores, "out" for the k_minus lowest, abstain elsewhere.

    Ties at a border are broken by lot: order of rows may betray inclusion, a lot cannot.

    Args:
        scores: (m,) finite, higher = more likely in.
        included: (m,) bool, the coins.
        k_plus: guesses "in".
        k_minus: guesses "out".
        rng: breaks ties.

    Raises:
        AuditInputError: wrong shapes or types, or more guesses than canaries.
    """
    return count_guesses(
        by_falling_score(scores, included, rng=rng), k_plus=k_plus, k_minus=k_minus
    )


def by_falling_score(
    scores: np.ndarray, included: np.ndarray, *, rng: np.random.Generator
) -> np.ndarray:
    """The coins from the highest score to the lowest, ties in an order drawn by lot."""
    check_canaries(scores, included)
    return np.asarray(included[np.lexsort((rng.permutation(scores.size), scores))[::-1]])


def count_guesses(ordered: np.ndarray, *, k_plus: int, k_minus: int) -> Guesses:
    """Guesses at both ends of coins ordered by `by_falling_score`."""
    if k_plus < 0 or k_minus < 0 or k_plus + k_minus > ordered.size:
        raise AuditInputError(
            f"{k_plus} guesses in and {k_minus} out on {ordered.size} canaries; need none "
            f"negative and at most one guess per canary"
        )
    wrong = int(np.count_nonzero(ordered[ordered.size - k_minus :]))
    return Guesses(
        canaries=ordered.size,
        made=k_plus + k_minus,
        correct=int(np.count_nonzero(ordered[:k_plus])) + k_minus - wrong,
    )


def one_run_p_value(guesses: Guesses, *, epsilon: float, delta: float) -> float:
    """Bound on the probability of so many correct guesses if the mechanism is (epsilon, delta)-DP.

    With r guesses, v of them correct, m canaries and B ~ Binomial(r, e^epsilon/(1 + e^epsilon)):
    P[B >= v] + 2 m delta max_{1 <= i <= v} P[v - i <= B < v] / i, at most 1. The numbers of
    guesses in and out must be fixed before the labels are seen.

    Source: Steinke, Nasr and Jagielski, "Privacy auditing with one (1) training run", NeurIPS 2023
        (arXiv 2305.08846), theorem 5.2.
    """
    return _p_value(guesses, _log_ways(guesses), epsilon, delta)


def one_run_epsilon(guesses: Guesses, *, delta: float, alpha: float) -> float:
    """Largest epsilon that these guesses rule out at level alpha; 0 if none.

    Null: the mechanism is (epsilon, delta)-DP and each canary's inclusion an independent fair
    coin. The result exceeds the true epsilon with probability at most alpha. No assumption is
    made on the scores.

    Raises:
        AuditInputError: delta outside [0, 1), alpha outside (0, 0.5).
    """
    check_level(delta, alpha)
    return _epsilon(guesses, delta, alpha)


@lru_cache(maxsize=1 << 16)
def _epsilon(guesses: Guesses, delta: float, alpha: float) -> float:
    """`one_run_epsilon`; rules that try many thresholds ask for the same counts again and again."""
    if guesses.correct == 0:
        return 0.0
    # Without delta the answer is Clopper and Pearson's; delta can only take away from it.
    wrong = guesses.made - guesses.correct
    chance = float(special.betaincinv(guesses.correct, wrong + 1, alpha))
    high = max(0.0, float(special.logit(chance)))
    if delta == 0.0 or high == 0.0:
        return high
    ways = _log_ways(guesses)
    return largest_rejected(lambda e: _p_value(guesses, ways, e, delta) <= alpha, high)


def _log_ways(guesses: Guesses) -> np.ndarray:
    """Log binomial coefficients of v - 1, v - 2, ..., 0 correct guesses, the same for any epsilon.

    The slow part of a binomial probability; a search over epsilon needs it once.
    """
    below = np.arange(guesses.correct - 1, -1, -1.0)
    made = guesses.made
    return np.asarray(
        special.gammaln(made + 1.0)
        - special.gammaln(below + 1.0)
        - special.gammaln(made - below + 1.0)
    )


def _p_value(guesses: Guesses, ways: np.ndarray, epsilon: float, delta: float) -> float:
    correct, made = guesses.correct, guesses.made
    if correct == 0:
        return 1.0
    right = float(special.betainc(correct, made - correct + 1, special.expit(epsilon)))
    if delta == 0.0:
        return right
    below = np.arange(correct - 1, -1, -1.0)
    log_mass = ways + below * special.log_expit(epsilon)
    log_mass += (made - below) * special.log_expit(-epsilon)
    slack = float((np.cumsum(np.exp(log_mass)) / np.arange(1, correct + 1)).max())
    return min(1.0, right + 2.0 * guesses.canaries * delta * slack)


def ceiling(
    guesses: int, *, alpha: float, delta: float = 0.0, canaries: int | None = None
) -> float:
    """The epsilon that a flawless attacker could show with this many guesses.

    "epsilon 0 with ceiling 2.9" and "epsilon 0 with ceiling 6" are different statements, so the
    ceiling stands beside every bound. Without delta it is about ln(guesses / ln(1/alpha)).
    """
    perfect = Guesses(canaries=canaries or guesses, made=guesses, correct=guesses)
    return one_run_epsilon(perfect, delta=delta, alpha=alpha)


def largest_rejected(rejected: Callable[[float], bool], high: float) -> float:
    """Largest x in [0, high] up to which `rejected` holds, by halving; 0 if it fails at 0."""
    if not rejected(0.0):
        return 0.0
    if rejected(high):
        return high
    low = 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        if rejected(middle):
            low = middle
        else:
            high = middle
    return low


def check_canaries(scores: np.ndarray, included: np.ndarray) -> None:
    """Refuse what is not one finite score and one coin per canary."""
    if scores.ndim != 1 or scores.shape != included.shape or scores.size == 0:
        raise AuditInputError(
            f"scores and included have shapes {scores.shape} and {included.shape}; need one entry "
            f"per canary in each, at least one"
        )
    if included.dtype != np.bool_:
        raise AuditInputError(f"included is {included.dtype}; need bool labels")
    if not np.isfinite(scores).all():
        place = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise AuditInputError(f"score of canary {place} is {scores[place]}; need finite scores")


def check_level(delta: float, alpha: float) -> None:
    """Refuse a delta or level that no bound is made for."""
    if not 0.0 <= delta < 1.0:
        raise AuditInputError(f"delta is {delta}; it must lie in [0, 1)")
    if not 0.0 < alpha < 0.5:
        raise AuditInputError(f"alpha is {alpha}; it must lie strictly between 0 and 0.5")
