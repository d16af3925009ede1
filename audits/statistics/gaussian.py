"""Gaussian differential privacy: mu bounds, and the epsilon at a delta that a mu stands for.

Every bound here holds within the Gaussian family only: it says "if the mechanism is mu-GDP, mu is
at least this". A report that quotes one names that assumption.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import special, stats

from audits.errors import AuditInputError
from audits.statistics.one_run import (
    Guesses,
    check_canaries,
    check_level,
    largest_rejected,
)
from audits.statistics.trade_off import Curve, walk_exceeds

# No sensible mechanism has more; epsilon at delta 1e-5 is above 1,000 there.
LARGEST_MU = 64.0


def gaussian_delta(mu: float, *, epsilon: float) -> float:
    """Smallest delta for which every mu-GDP mechanism is (epsilon, delta)-DP.

    Source: Dong, Roth and Su, "Gaussian differential privacy", JRSS B 84(1), 2022
        (arXiv 1905.02383), corollary 2.13.
    """
    if mu == 0.0:
        return 0.0
    first = special.ndtr(mu / 2.0 - epsilon / mu)
    return float(first - math.exp(epsilon + special.log_ndtr(-mu / 2.0 - epsilon / mu)))


def gaussian_epsilon(mu: float, *, delta: float) -> float:
    """Smallest epsilon for which every mu-GDP mechanism is (epsilon, delta)-DP.

    Infinite at delta 0 unless mu is 0.
    """
    if mu < 0.0 or math.isnan(mu):
        raise AuditInputError(f"mu is {mu}; it must be at least 0")
    if mu == 0.0:
        return 0.0
    if delta == 0.0:
        return math.inf
    # Dropping the second term of delta(epsilon) gives an epsilon that is surely enough.
    enough = max(0.0, mu * (mu / 2.0 - float(special.ndtri(delta))))
    return largest_rejected(lambda epsilon: gaussian_delta(mu, epsilon=epsilon) > delta, enough)


def gaussian_mu(epsilon: float, *, delta: float) -> float:
    """Largest mu whose mechanisms are all (epsilon, delta)-DP: the inverse of gaussian_epsilon."""
    return largest_rejected(lambda mu: gaussian_delta(mu, epsilon=epsilon) <= delta, LARGEST_MU)


def one_run_mu(guesses: Guesses, *, alpha: float) -> float:
    """Largest mu that the guesses of one run rule out at level alpha; 0 if none.

    Null: the mechanism is mu-GDP, each canary's inclusion an independent fair coin, the numbers of
    guesses in and out fixed before the labels are seen.

    Source: as `walk_exceeds`, for the Gaussian trade-off curve.
    """
    check_level(0.0, alpha)
    return _one_run_mu(guesses, alpha)


@lru_cache(maxsize=1 << 12)
def _one_run_mu(guesses: Guesses, alpha: float) -> float:
    if guesses.correct == 0:
        return 0.0
    return largest_rejected(
        lambda mu: walk_exceeds(guesses, gaussian_curve(mu), alpha=alpha), LARGEST_MU
    )


def gaussian_curve(mu: float) -> Curve:
    """`least` of `walk_exceeds` for a mu-GDP mechanism."""
    return lambda probability: float(special.ndtr(special.ndtri(probability) - mu))


def canary_mu(scores: np.ndarray, included: np.ndarray, *, alpha: float) -> float:
    """Lower bound on mu from the canaries' scores themselves, not from guesses; 0 if none.

    Assumption, to be named beside the figure: scores are independent N(a + mu s in, s^2), a and s
    unknown; this is a statement on DP only as far as the mechanism's canary scores are such
    Gaussian shifts (for DP-SGD: asymptotically, white box). s is estimated from the scores of the
    canaries left out, and its error is part of the bound: under the null the studentised
    difference of means follows a non-central t with (left out - 1) degrees of freedom, exactly. If
    the included scores vary more than the others, the wider spread counts, which can only lower
    the bound. Without leakage it needs no Gaussian shape but for the central limit.

    Returns:
        The mu that exceeds the true one with probability at most alpha.

    Raises:
        AuditInputError: fewer than two canaries in or out, or the scores of those out all equal.

    Source: Agrawal, Wei, Singh, Magdon-Ismail and Zikas, "Let's ask Gauss", 2026 (arXiv
        2606.12733), for scores that tend to Gaussian shifts; Johnson and Welch, Biometrika 31,
        1940, for the non-central t.
    """
    check_canaries(scores, included)
    check_level(0.0, alpha)
    inside, outside = scores[included], scores[~included]
    if min(inside.size, outside.size) < 2:
        raise AuditInputError(
            f"{inside.size} canaries in and {outside.size} out; need at least 2 of each"
        )
    spread = float(outside.std(ddof=1))
    if spread == 0.0:
        raise AuditInputError(
            "scores of the canaries left out are all equal; their spread, the unit of mu, is "
            "unknown; give scores that vary"
        )
    wider = max(1.0, float(inside.var(ddof=1)) / spread**2)
    error = math.sqrt(1.0 / outside.size + wider / inside.size)
    t = float(inside.mean() - outside.mean()) / spread / error
    return error * largest_shift(t, outside.size - 1, alpha=alpha)


def largest_shift(t: float, freedom: int, *, alpha: float) -> float:
    """Largest non-centrality under which a Student t this large has probability at most alpha."""
    if t <= stats.t.isf(alpha, freedom):
        return 0.0
    nodes, weights = _spread_nodes(freedom)
    # P[Z + shift >= t s], averaged over the estimated spread s: smooth, so few nodes do.
    return largest_rejected(
        lambda shift: float((special.ndtr(shift - t * nodes) * weights).sum()) <= alpha, t + 10.0
    )


def _spread_nodes(freedom: int) -> tuple[np.ndarray, np.ndarray]:
    """Values of sqrt(chi^2_f / f) and their weights, by the midpoint rule in the log."""
    # The left tail is the long one: with one degree of freedom small spreads are common.
    log_s = np.linspace(-40.0, 12.0, 1601) / math.sqrt(2.0 * freedom)
    # The density of log s is proportional to exp(f (log s - s^2 / 2)).
    density = np.exp(freedom * (log_s - np.expm1(2.0 * log_s) / 2.0))
    return np.exp(log_s), density / density.sum()
