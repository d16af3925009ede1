"""Whether a budget has room, for how much, and the refusal where it has not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dpsynth.errors import BudgetExceeded
from dpsynth.privacy import accounting
from dpsynth.privacy.events import Event, NonPrivateEvent
from dpsynth.privacy.ledger_entries import Budget
from dpsynth.privacy.search import smallest

RELATIVE_TOLERANCE = 1e-9
"""Spending may exceed the budget by this factor: rounding when a budget is split and summed."""

LEAST_EPSILON = 0.001
"""Nobody is told to ask for less: no table could be learned with it."""

_MOST_NOISE = 1e9
_DIGITS = 3


@dataclass
class OverspentError(Exception):
    """Charges that a budget has no room for.

    Attributes:
        before, asked: events booked so far, and those asked for.
        total: epsilon of both together.
    """

    before: Sequence[Event]
    asked: Sequence[Event]
    total: float


def check_room(before: Sequence[Event], asked: Sequence[Event], budget: Budget) -> float:
    """Epsilon of everything together, if the budget has room for it.

    Raises:
        OverspentError: it has not.
    """
    total = accounting.epsilon([*before, *asked], delta=budget.delta)
    if not is_within(total, budget):
        raise OverspentError(before, asked, total)
    return total


def is_within(epsilon: float, budget: Budget) -> bool:
    """Whether so much spent keeps a budget."""
    return epsilon <= budget.epsilon * (1.0 + RELATIVE_TOLERANCE)


def fitting(before: Sequence[Event], asked: Sequence[Event], budget: Budget) -> float | None:
    """The largest epsilon with which the same questions would fit, each with more noise.

    One factor is put on all noise multipliers; the result is what they then cost by themselves, at
    the budget's delta.

    Returns:
        epsilon, rounded down to three digits; None where not even `LEAST_EPSILON` fits.
    """
    if any(isinstance(event, NonPrivateEvent) for event in asked):
        return None

    def fits(factor: float) -> bool:
        events = [*before, *_louder(asked, factor)]
        return is_within(accounting.epsilon(events, delta=budget.delta), budget)

    if not fits(_MOST_NOISE):
        return None
    # The numerical accountant is slow, and its own rounding above 1e-5: the search stops earlier.
    exact = accounting.resolve([*before, *asked]) == "gdp"
    factor = smallest(fits, low=1.0, high=_MOST_NOISE, tolerance=1e-12 if exact else 1e-4)
    alone = accounting.epsilon(_louder(asked, factor), delta=budget.delta)
    rounded = _rounded_down(alone * (1.0 + 1e-10 if exact else 1.0 - 5e-4))
    return rounded if rounded >= LEAST_EPSILON else None


def refusal(
    overspent: OverspentError, *, budget: Budget, who: str, dataset: str, ledger: str
) -> BudgetExceeded:
    """What was asked and by `who`, what is left and what would fit, in words."""
    before, asked = overspent.before, overspent.asked
    spent = accounting.epsilon(before, delta=budget.delta)
    alone = accounting.epsilon(asked, delta=budget.delta)
    return BudgetExceeded(
        f"{who} asks for epsilon {alone:.6g} of dataset {dataset!r}; spent so far {spent:.6g}, "
        f"with it {overspent.total:.6g}, but the budget in ledger {ledger} is "
        f"{budget.epsilon:.6g}, all at delta {budget.delta:g}. Nothing was booked; "
        f"{_advice(fitting(before, asked, budget), budget)}"
    )


def _advice(epsilon: float | None, budget: Budget) -> str:
    if epsilon is None:
        return f"nothing is left: not even --epsilon {LEAST_EPSILON:g} would fit"
    return (
        f"left is --epsilon {epsilon:g} --delta {budget.delta:g}: the same questions with more "
        "noise would fit (epsilons compose to less than their sum)"
    )


def _louder(events: Sequence[Event], factor: float) -> list[Event]:
    return [
        event
        if isinstance(event, NonPrivateEvent)
        else dataclasses.replace(event, noise_multiplier=event.noise_multiplier * factor)
        for event in events
    ]


def _rounded_down(value: float) -> float:
    if not 0.0 < value < math.inf:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - _DIGITS + 1)
    # Through text: 62 * 0.01 is not the float nearest to 0.62, and would print as 0.6200000000001.
    return float(f"{math.floor(value / unit) * unit:.{_DIGITS}g}")
