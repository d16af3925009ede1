"""Gaussian differential privacy in closed form: pure functions of mu.

A mechanism is mu-GDP where telling neighboring tables apart is at least as hard as telling N(0, 1)
from N(mu, 1). Sums with Gaussian noise are exactly that, with mu = 1 / noise_multiplier.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from dpsynth.privacy.search import smallest

# Beyond it no guarantee is left to speak of; "infinity" is safe there and nothing overflows.
LARGEST_MU = 1e100


def epsilon_for(mu: float, delta: float) -> float:
    """Smallest epsilon for which mu-GDP gives (epsilon, delta)-DP; mu > 0, delta in (0, 1).

    Returns:
        The exact value, rounded up by less than 1e-12 relative; infinity for mu > LARGEST_MU.
    """
    if mu > LARGEST_MU:
        return math.inf
    target = math.log(delta)
    # delta(eps) <= Phi(-x) with x = eps/mu - mu/2, which bounds epsilon from above.
    x_max = -float(special.ndtri_exp(target))
    high = mu * (max(x_max + 0.5 * mu, 0.0) * (1.0 + 1e-9) + 1e-9)
    return smallest(lambda eps: log_delta(eps, mu) <= target, low=0.0, high=high, tolerance=1e-13)


def delta_for(mu: float, epsilon: float) -> float:
    """Smallest delta for which mu-GDP gives (epsilon, delta)-DP; mu > 0, epsilon >= 0."""
    return 1.0 if mu > LARGEST_MU else math.exp(log_delta(epsilon, mu))


def log_delta(epsilon: float, mu: float) -> float:
    """Natural log of the smallest delta for which mu-GDP gives (epsilon, delta)-DP.

    ``delta = Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu)``, written with the Mills ratio
    M(x) = (1 - Phi(x)) / phi(x) and x = eps/mu - mu/2 as ``phi(x) (M(x) - M(x + mu))``, which
    neither overflows nor cancels; relative error of delta below 1e-8 for mu from 1e-6 to 1e3 and
    delta down to 1e-300.

    Args:
        epsilon: >= 0. mu: > 0.
    Source: Balle, Wang 2018, Theorem 8 (arXiv:1805.06530).
    """
    x = epsilon / mu - 0.5 * mu
    if x > 60.0:  # delta < 1e-780
        return -math.inf
    if x < -5.0:  # here mu > 10, so the second term is small and nothing cancels
        first = float(special.ndtr(-x))
        return math.log(first - _density(x) * _mills(x + mu))
    if mu < 1e-4:  # the difference of two close values: midpoint rule, relative error < mu^2
        middle = x + 0.5 * mu
        difference = mu * (1.0 - middle * _mills(middle))
    else:
        difference = _mills(x) - _mills(x + mu)
    return -0.5 * x * x - 0.5 * math.log(2.0 * math.pi) + math.log(difference)


def _density(x: float) -> float:
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def _mills(x: float) -> float:
    return math.sqrt(0.5 * math.pi) * float(special.erfcx(x / math.sqrt(2.0)))


def smallest_misses(mu: float, lost: float, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Trade-off function of mu-GDP, with a probability `lost` given up on top (thresholds).

    ``f(a) = Phi(Phi^-1(1 - a) - mu)``; the lost delta lowers the part left of the fixed point by
    it and moves the part right of it left by it, and each part goes on along its tangent of slope
    -1: the largest function that every (eps, delta(eps) + lost) allows.

    Args:
        mu: >= 0. lost: in [0, 1). rates: false-positive rates in [0, 1].

    Returns:
        The smallest false-negative rate of any test at each rate; shape as `rates`.
    Source: Dong, Roth, Su 2022, eq. 5 and 6 (arXiv:1905.02383).
    """
    fixed = float(special.ndtr(-0.5 * mu))

    def curve(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(special.ndtr(-special.ndtri(np.clip(at, 0.0, 1.0)) - mu))

    moved = rates + lost
    left = np.where(rates <= fixed, curve(rates), 2.0 * fixed - rates) - lost
    right = np.where(moved >= fixed, curve(moved), 2.0 * fixed - moved)
    return np.asarray(np.clip(np.maximum(left, right), 0.0, 1.0), dtype=np.float64)
