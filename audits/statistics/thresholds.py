"""How the numbers of guesses are chosen: an explicit value, so that no bound is picked afterwards.

The best of several bounds, each valid alone, is not valid. A rule is fixed before the scores are
seen, or learned on canaries that take no part in the test, or corrected for its choices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from audits.errors import AuditInputError
from audits.statistics.one_run import (
    Guesses,
    by_falling_score,
    check_canaries,
    check_level,
    count_guesses,
    guess,
    one_run_epsilon,
)

# Shares of the canaries guessed "in" and "out" that a learning rule tries.
SHARES = tuple(
    pair
    for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
    for pair in ((share, 0.0), (0.0, share), (share, share))
)


@dataclass(frozen=True)
class Fixed:
    """Guess "in" for the k_plus highest and "out" for the k_minus lowest, fixed beforehand."""

    k_plus: int
    k_minus: int


@dataclass(frozen=True)
class Split:
    """Learn the shares of guesses on a random part of the canaries, test on the rest.

    Attributes:
        share: of the canaries that learn, in (0, 1).
        shares: pairs (in, out) tried, as shares of the canaries; each pair sums to at most 1.
    """

    share: float = 0.5
    shares: tuple[tuple[float, float], ...] = SHARES

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise AuditInputError(
                f"share of learning canaries is {self.share}; it must lie strictly between 0 and 1"
            )
        if not self.shares or any(min(pair) < 0.0 or sum(pair) > 1.0 for pair in self.shares):
            raise AuditInputError(
                f"shares are {self.shares}; need at least one pair, none negative, each summing "
                f"to at most 1"
            )


@dataclass(frozen=True)
class MultiSplit:
    """Many splits, each tested at alpha/2; the median bound counts.

    Under the null the expected share of splits that fail is at most alpha/2, so at least half of
    them fail with probability at most alpha (Markov), however dependent they are.

    Source: Meinshausen, Meier and Buehlmann, JASA 104(488), 2009, for the median.
    """

    splits: int = 11
    split: Split = Split()

    def __post_init__(self) -> None:
        if self.splits < 1:
            raise AuditInputError(f"splits are {self.splits}; need at least 1")


@dataclass(frozen=True)
class Corrected:
    """The best of a fixed grid of (k_plus, k_minus), each tested at alpha / len(grid).

    The grid is the whole grid, also what could not have won: a count that depends on the data
    corrects for nothing. Holm's step-down gives the same answer, since all points of the grid test
    one hypothesis and the best one is judged at Holm's first step.
    """

    grid: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if not self.grid:
            raise AuditInputError("grid is empty; give at least one pair (k_plus, k_minus)")


class OneRunBound(Protocol):
    """Guesses to an epsilon that they rule out."""

    def __call__(self, guesses: Guesses, *, delta: float, alpha: float) -> float:
        """The bound at level alpha."""


Rule = Fixed | Split | MultiSplit | Corrected


@dataclass(frozen=True, kw_only=True)
class LowerBound:
    """A lower bound on epsilon with what is needed to read it.

    Attributes:
        epsilon: ruled out at the confidence; 0 rules nothing out.
        ceiling: what a flawless attacker would have shown under the same rule.
        guesses: made by the test that gave the bound.
        correct: right ones among them.
        canaries: that took part in that test, abstained ones too.
        delta: at which epsilon is bounded.
        confidence: the bound is at most the true epsilon with at least this probability.
        rule: how the numbers of guesses were chosen.
    """

    epsilon: float
    ceiling: float
    guesses: int
    correct: int
    canaries: int
    delta: float
    confidence: float
    rule: Rule

    @property
    def text(self) -> str:
        """One line for a report."""
        limit = f"a flawless attacker would have shown {self.ceiling:.2f}"
        counts = f"{self.correct} of {self.guesses} guesses correct, {self.canaries} canaries"
        terms = f"delta {self.delta:g}, confidence {self.confidence:g}, {self.rule}"
        if self.epsilon == 0.0:
            return f"epsilon_lower_bound = 0: nothing ruled out ({counts}; {limit}; {terms})"
        return f"epsilon_lower_bound = {self.epsilon:.4f} ({counts}; {limit}; {terms})"


@dataclass(frozen=True, kw_only=True)
class _Level:
    """What one test of a rule is done at."""

    delta: float
    alpha: float
    bound: OneRunBound

    def at(self, alpha: float) -> _Level:
        """The same at another level."""
        return replace(self, alpha=alpha)

    def epsilon(self, made: Guesses) -> float:
        """What the guesses rule out."""
        return self.bound(made, delta=self.delta, alpha=self.alpha)


def epsilon_lower_bound(
    scores: np.ndarray,
    included: np.ndarray,
    *,
    rule: Rule,
    delta: float,
    confidence: float,
    rng: np.random.Generator,
    bound: OneRunBound = one_run_epsilon,
) -> LowerBound:
    """Lower bound on epsilon from the scores of one run's canaries.

    Null: as `one_run_epsilon`: (epsilon, delta)-DP, each inclusion an independent fair coin. The
    bound exceeds the true epsilon with probability at most 1 - confidence, for every rule.

    Args:
        scores: (m,) finite, higher = more likely in.
        included: (m,) bool, the coins.
        rule: how the numbers of guesses are chosen.
        delta: at which epsilon is bounded.
        confidence: above 0.5.
        rng: breaks ties and draws splits.
        bound: what turns guesses into an epsilon: `one_run_epsilon` or `one_run_curve_epsilon`.
            Chosen beforehand; the better of the two is not a bound.

    Raises:
        AuditInputError: wrong shapes, more guesses than canaries, a level out of range, or too few
            canaries to split.
    """
    check_canaries(scores, included)
    level = _Level(delta=delta, alpha=1.0 - confidence, bound=bound)
    check_level(level.delta, level.alpha)
    guesses, epsilon, limit = _apply(rule, scores, included, level, rng)
    return LowerBound(
        epsilon=epsilon,
        ceiling=limit,
        guesses=guesses.made,
        correct=guesses.correct,
        canaries=guesses.canaries,
        delta=delta,
        confidence=confidence,
        rule=rule,
    )


_Outcome = tuple[Guesses, float, float]


def _apply(
    rule: Rule,
    scores: np.ndarray,
    included: np.ndarray,
    level: _Level,
    rng: np.random.Generator,
) -> _Outcome:
    """Guesses of the deciding test, the bound, and its ceiling."""
    if isinstance(rule, Fixed):
        made = guess(scores, included, k_plus=rule.k_plus, k_minus=rule.k_minus, rng=rng)
        return _judged(made, level)
    if isinstance(rule, Split):
        return _split(rule, scores, included, level, rng)
    if isinstance(rule, MultiSplit):
        half = level.at(level.alpha / 2.0)
        outcomes = [_split(rule.split, scores, included, half, rng) for _ in range(rule.splits)]
        return sorted(outcomes, key=lambda outcome: outcome[1])[rule.splits // 2]
    each = level.at(level.alpha / len(rule.grid))
    ordered = by_falling_score(scores, included, rng=rng)
    outcomes = [
        _judged(count_guesses(ordered, k_plus=plus, k_minus=minus), each)
        for plus, minus in rule.grid
    ]
    best = max(outcomes, key=lambda outcome: outcome[1])
    return best[0], best[1], max(outcome[2] for outcome in outcomes)


def _split(
    rule: Split,
    scores: np.ndarray,
    included: np.ndarray,
    level: _Level,
    rng: np.random.Generator,
) -> _Outcome:
    """Learn the shares on some canaries; test on the others, which alone count."""
    dealt = rng.permutation(scores.size)
    learners = round(rule.share * scores.size)
    if not 1 <= learners < scores.size:
        raise AuditInputError(
            f"{scores.size} canaries cannot be split at share {rule.share}; need at least one on "
            f"each side"
        )
    left, right = np.sort(dealt[:learners]), np.sort(dealt[learners:])
    learning = by_falling_score(scores[left], included[left], rng=rng)
    tried = [_shared(pair, learning) for pair in rule.shares]
    # Ties, such as nothing shown by any pair, go to the highest share of correct guesses.
    worth = [
        (level.epsilon(made), made.correct / made.made) if made.made else (0.0, 0.0)
        for made in tried
    ]
    best = max(range(len(tried)), key=lambda place: worth[place])
    testing = by_falling_score(scores[right], included[right], rng=rng)
    return _judged(_shared(rule.shares[best], testing), level)


def _shared(pair: tuple[float, float], ordered: np.ndarray) -> Guesses:
    plus, minus = (int(share * ordered.size + 1e-9) for share in pair)
    return count_guesses(ordered, k_plus=plus, k_minus=minus)


def _judged(made: Guesses, level: _Level) -> _Outcome:
    flawless = Guesses(canaries=made.canaries, made=made.made, correct=made.made)
    return made, level.epsilon(made), level.epsilon(flawless)
