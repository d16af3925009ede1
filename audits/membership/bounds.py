"""Lower bounds on epsilon from the audit's own split: each target's arm is a coin that was tossed.

Training and holdout rows were dealt at random. Pair a training row with a holdout row, toss a coin
for which of the two the attacker is asked about, and the attacker guesses that coin: a one-run
audit without planting anything. The two rows of a pair take each other's place in the training
table, so the bound is on the epsilon of REPLACING one row; that of adding or removing one is at
least half of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audits.judgement import Evidence, Settings
from audits.result import Claim
from audits.statistics import (
    Corrected,
    LowerBound,
    epsilon_lower_bound,
    exact,
    guess,
    one_run_curve_epsilon,
    one_run_curve_p_value,
)
from audits.tables.sampling import generator

CLAIM = "claim"
DEFAULT_DELTA = 1e-5
# Shares of the canaries guessed: the top alone, for a few rows copied outright; top and bottom, for
# a leak that is spread out.
_ONE_SIDED = (0.01, 0.05, 0.2)
_TWO_SIDED = (0.25,)
_BLIND_SPOT = (
    "One run shows a fraction of what a mechanism leaks: a bound far below the claim is no sign "
    "that the claim holds."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Canaries:
    """Targets whose membership was a fair coin each.

    Attributes:
        scores: (m,) of one attack.
        included: (m,) bool.
        name: of the attack.
    """

    scores: np.ndarray
    included: np.ndarray
    name: str


def canaries(inside: np.ndarray, outside: np.ndarray, *, name: str, settings: Settings) -> Canaries:
    """One of each pair of a member and a non-member, by a coin of its own.

    Args:
        inside: scores of members.
        outside: scores of non-members.
        name: of the attack.
        settings: of the audit; its seed draws pairs and coins.
    """
    # The same name for all attacks: the coins belong to the targets, not to the attack.
    rng = generator(settings.seed, "canaries")
    size = min(inside.size, outside.size)
    members, others = (
        side[np.sort(rng.permutation(side.size)[:size])] for side in (inside, outside)
    )
    included = rng.random(size) < 0.5
    return Canaries(scores=np.where(included, members, others), included=included, name=name)


def bound(
    found: Canaries, *, settings: Settings, claim: Claim | None, attacks: int = 1
) -> LowerBound:
    """Lower bound on the epsilon of replacing one row, at the delta of the claim or 1e-5.

    Args:
        found: targets with their coins.
        settings: of the audit.
        claim: gives delta.
        attacks: bounds that are to hold at once at the audit's confidence (Bonferroni), as the
            reader looks at the largest.
    """
    delta = DEFAULT_DELTA if claim is None else claim.replacing()[1]
    return epsilon_lower_bound(
        found.scores,
        found.included,
        rule=_rule(found.scores.size),
        delta=min(delta, 0.5),
        confidence=1.0 - settings.alpha / attacks,
        rng=generator(settings.seed, "guesses"),
        bound=one_run_curve_epsilon,
    )


def claim_evidence(
    found: Sequence[Canaries], bounds: Sequence[LowerBound], claim: Claim, *, settings: Settings
) -> Evidence:
    """Does any attack guess better than the claim allows?

    Null: the generator is (epsilon, delta)-differentially private as claimed. Bonferroni over
    attacks and over the fixed numbers of guesses.
    """
    epsilon, delta = claim.replacing()
    p_values = [_p_value(item, epsilon, min(delta, 0.5), settings) for item in found]
    p_value = min(1.0, min(p_values) * len(p_values))
    best = max(range(len(bounds)), key=lambda place: bounds[place].epsilon)
    ceiling = max(item.ceiling for item in bounds)
    reach = (
        f"a flawless attacker would have shown {ceiling:.2f} with these rows, and the claim is "
        f"{epsilon:g} for replacing a row (twice the epsilon of adding or removing one)"
    )
    could = ceiling > epsilon
    return Evidence(
        name=CLAIM,
        family="membership",
        group=CLAIM,
        figures={
            "epsilon_lower_bound": exact(bounds[best].epsilon, confidence=settings.confidence),
            "epsilon_ceiling": exact(ceiling, confidence=settings.confidence),
            "claimed_epsilon": exact(epsilon, confidence=settings.confidence),
        },
        blind_spot=_BLIND_SPOT,
        p_value=p_value if could else None,
        found=(
            f"The claim does not hold: {found[best].name} guesses better than it allows "
            f"({epsilon:g} for replacing a row). {words(bounds[best])}"
        ),
        nothing=(
            f"{'The claim was not contradicted' if could else 'This run could not contradict it'}: "
            f"{reach}. {words(bounds[best])}{_alone(bounds[best], epsilon)}"
        ),
    )


def _alone(limit: LowerBound, epsilon: float) -> str:
    if limit.epsilon <= epsilon:
        return ""
    return (
        " By itself that bound is above the claim; after correction for all tests of this audit it "
        "is no proof, but reason to look closer."
    )


def words(limit: LowerBound) -> str:
    """The bound in a sentence; 0 rules nothing out and never reads "private"."""
    ceiling = f"a flawless attacker would have shown {limit.ceiling:.2f}"
    if limit.epsilon == 0.0:
        return f"Lower bound on epsilon: nothing ruled out ({ceiling})."
    return (
        f"Epsilon for replacing a row is at least {limit.epsilon:.3f} ({ceiling}; delta "
        f"{limit.delta:.2g})."
    )


def _rule(size: int) -> Corrected:
    """A grid that depends on the number of canaries alone."""
    one, two = (
        sorted({max(1, int(share * size)) for share in shares})
        for shares in (_ONE_SIDED, _TWO_SIDED)
    )
    pairs = [(count, 0) for count in one]
    pairs += [(count, count) for count in two if 2 * count <= size]
    return Corrected(grid=tuple(pairs))


def _p_value(found: Canaries, epsilon: float, delta: float, settings: Settings) -> float:
    grid = _rule(found.scores.size).grid
    values = [
        one_run_curve_p_value(
            guess(
                found.scores,
                found.included,
                k_plus=plus,
                k_minus=minus,
                rng=generator(settings.seed, "guesses"),
            ),
            epsilon=epsilon,
            delta=delta,
        )
        for plus, minus in grid
    ]
    return min(1.0, min(values) * len(grid))
