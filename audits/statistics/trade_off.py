"""Bounds from one run by the whole trade-off curve of (epsilon, delta), not by one inequality.

Sharper than `one_run_epsilon` wherever delta is above 0 and the level is small, under the same
assumption: nothing is asked of the mechanism but (epsilon, delta)-differential privacy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from audits.statistics.one_run import Guesses, check_level, largest_rejected

# No one-run bound is larger: it would take e^40 flawless guesses.
LARGEST_EPSILON = 40.0
# Factors of two that a p-value is known to.
_P_VALUE_BITS = 0.01

Curve = Callable[[float], float]


def walk_exceeds(guesses: Guesses, least: Curve, *, alpha: float) -> bool:
    """Whether a mechanism of this curve would need more mass than there is to be right this often.

    Right and wrong mass start at alpha c/m and alpha (c' - c)/m for c correct ones of c' guesses on
    m canaries, and are walked down from c - 1 correct guesses to none; a curve that would need more
    than the c'/m at hand is rejected at level alpha.

    Args:
        guesses: made and correct.
        least: the smallest probability, without the canary, of an event that has the given
            probability with it: the inverse of 1 - f for a trade-off curve f.
        alpha: level.

    Source: Mahloujifar, Melis and Chaudhuri, "Auditing f-differential privacy in one run", ICML
        2025 (arXiv 2410.22235), the audit with abstention; any trade-off curve may stand for f.
    """
    made, correct = guesses.made, guesses.correct
    right = alpha * correct / guesses.canaries
    wrong = alpha * (made - correct) / guesses.canaries
    allowed = made / guesses.canaries
    for i in range(correct - 1, -1, -1):
        raised = max(wrong, least(right))
        right = min(1.0, right + i / (made - i) * (raised - wrong))
        wrong = raised
        if right + wrong > allowed:
            return True
    return False


def one_run_curve_epsilon(guesses: Guesses, *, delta: float, alpha: float) -> float:
    """Largest epsilon that these guesses rule out at level alpha by the whole curve; 0 if none.

    Null: as `one_run_epsilon`: (epsilon, delta)-DP, each inclusion an independent fair coin, the
    numbers of guesses fixed before the labels are seen.

    Raises:
        AuditInputError: delta outside [0, 1), alpha outside (0, 0.5).
    """
    check_level(delta, alpha)
    return _epsilon(guesses, delta, alpha)


def one_run_curve_p_value(guesses: Guesses, *, epsilon: float, delta: float) -> float:
    """Smallest level (to 1 %, rounded up) at which (epsilon, delta) is ruled out; 1 if at none.

    Levels of 0.5 and above are not told apart. Below 1e-12 none is looked for.
    """
    if guesses.correct == 0:
        return 1.0
    least = approximate_curve(epsilon, delta)
    low, high = math.log(1e-12), math.log(0.5)
    if not walk_exceeds(guesses, least, alpha=math.exp(high)):
        return 1.0
    while high - low > _P_VALUE_BITS:
        middle = (low + high) / 2.0
        if walk_exceeds(guesses, least, alpha=math.exp(middle)):
            high = middle
        else:
            low = middle
    return math.exp(high)


def approximate_curve(epsilon: float, delta: float) -> Curve:
    """`least` of `walk_exceeds` for (epsilon, delta).

    Source: Wasserman and Zhou, JASA 105(489), 2010, proposition 2.1; Dong, Roth and Su, JRSS B
        84(1), 2022, proposition 2.5.
    """
    factor = math.exp(epsilon)

    def least(probability: float) -> float:
        return max(0.0, (probability - delta) / factor, 1.0 - delta - factor * (1.0 - probability))

    return least


@lru_cache(maxsize=1 << 12)
def _epsilon(guesses: Guesses, delta: float, alpha: float) -> float:
    if guesses.correct == 0:
        return 0.0
    return largest_rejected(
        lambda epsilon: walk_exceeds(guesses, approximate_curve(epsilon, delta), alpha=alpha),
        LARGEST_EPSILON,
    )
