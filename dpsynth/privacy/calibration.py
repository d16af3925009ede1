"""From a budget to a noise scale. The search itself is :func:`dpsynth.privacy.search.smallest`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dpsynth.errors import InputError
from dpsynth.privacy import accounting, gdp
from dpsynth.privacy.events import Event
from dpsynth.privacy.search import smallest

__all__ = ["check_budget", "mu_for", "noise_multiplier_for", "smallest"]

_MIN_NOISE, _MAX_NOISE = 1e-3, 1e9


def check_budget(epsilon: float, delta: float) -> None:
    """Refuse a budget that is none.

    Raises:
        InputError: epsilon is not a finite number > 0, or delta not one inside (0, 1).
    """
    if isinstance(epsilon, bool) or not (math.isfinite(epsilon) and epsilon > 0.0):
        raise InputError(f"epsilon={epsilon!r} must be a finite number > 0; 1 is a common choice")
    if isinstance(delta, bool) or not 0.0 < delta < 1.0:
        raise InputError(
            f"delta={delta!r} must lie strictly between 0 and 1; choose well below 1 / (number of "
            "units), for example 1e-6"
        )


def noise_multiplier_for(
    build: Callable[[float], Sequence[Event]],
    *,
    epsilon: float,
    delta: float,
    tolerance: float = 1e-6,
) -> float:
    """Smallest noise multiplier whose events fit the budget.

    Args:
        build: noise multiplier -> all events of the plan; more noise must not cost more.
        epsilon, delta: the budget for all of these events together.
        tolerance: relative; the result is at most this much above the smallest one.

    Returns:
        z with ``accounting.epsilon(build(z), delta=delta) <= epsilon`` as computed, so the plan
        is on the safe side.

    Raises:
        InputError: no budget, or no noise is enough (the plan's other events alone exceed it).
    """
    check_budget(epsilon, delta)

    def fits(noise_multiplier: float) -> bool:
        return accounting.epsilon(build(noise_multiplier), delta=delta) <= epsilon

    # Doubling first: a tiny multiplier under sampling makes the accountant's grid needlessly wide.
    high = 1.0
    while not fits(high):
        high *= 4.0
        if high > _MAX_NOISE:
            raise InputError(
                f"no noise multiplier up to {_MAX_NOISE:g} meets epsilon={epsilon!r} at "
                f"delta={delta!r}: the other events of the plan already exceed it"
            )
    low = high / 4.0
    while low > _MIN_NOISE and fits(low):
        high, low = low, low / 4.0
    return smallest(fits, low=low, high=high, tolerance=tolerance)


def mu_for(epsilon: float, delta: float) -> float:
    """Largest mu for which mu-GDP implies (epsilon, delta)-DP, rounded to the safe side.

    A plan of Gaussian events at sample rate 1 fits where ``sum steps / z^2 <= mu^2``.

    Raises:
        InputError: no budget.
    Source: Dong, Roth, Su 2022, Corollary 2.13 (arXiv:1905.02383).
    """
    check_budget(epsilon, delta)

    target = math.log(delta)

    def fits(noise_multiplier: float) -> bool:
        return gdp.log_delta(epsilon, 1.0 / noise_multiplier) <= target

    # mu = 1 / z, so the smallest z that fits is the largest mu that fits. The margin covers the
    # rounding of the caller, who splits mu^2 into parts and adds them up again.
    return (1.0 - 1e-11) / smallest(fits, low=1e-100, high=1e100, tolerance=1e-13)
