"""The one root-finder of the package: bisection that ends on the safe side."""

from __future__ import annotations

import math
from collections.abc import Callable

from dpsynth.errors import InputError


def smallest(
    is_enough: Callable[[float], bool], *, low: float, high: float, tolerance: float = 1e-12
) -> float:
    """Smallest x in [low, high] for which `is_enough(x)`; False below it, True from it on.

    Halving is arithmetic where low = 0 and geometric where low > 0 (noise scales span decades).

    Args:
        is_enough: monotone; called about log2(1 / tolerance) times.
        low, high: 0 <= low <= high < inf.
        tolerance: relative width at which the search stops.

    Returns:
        x with `is_enough(x)` seen to be True, at most a factor 1 + tolerance above the true one.

    Raises:
        InputError: the range is no range, or `is_enough(high)` is False.
    """
    if not 0.0 <= low <= high < math.inf:
        raise InputError(f"search range [{low!r}, {high!r}] must be finite, ordered and >= 0")
    if is_enough(low):
        return low
    if not is_enough(high):
        raise InputError(f"nothing up to {high!r} is enough; ask for less or widen the range")
    bad, good = low, high
    while good - bad > tolerance * good:
        middle = math.sqrt(bad) * math.sqrt(good) if low > 0.0 else 0.5 * (bad + good)
        if not bad < middle < good:  # the two are neighbouring floats
            break
        if is_enough(middle):
            good = middle
        else:
            bad = middle
    return good
