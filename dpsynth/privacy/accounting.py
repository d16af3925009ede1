"""From events to epsilon: the only place that says what a release costs.

All events compose under "add or remove one privacy unit"; :mod:`dpsynth.privacy.composition` says
how, and :mod:`dpsynth.privacy.gdp` holds the closed form. Epsilon is in nats everywhere.

Accountants, each an upper bound by mathematics and code of its own:

* ``gdp``: the closed form; exact. Refuses sampled events.
* ``pld``: privacy loss distributions of dp-accounting, rounded up; both directions.
* ``rdp``: Renyi orders of dp-accounting; looser, as a rule by 4 to 9 %. The witness, and what
  ``pld`` answers with where delta is so small that its rounding would matter.
* ``prv``: the upper bound of Opacus (which covers the "remove" direction only); loads torch.
* ``auto``: ``gdp`` where all is Gaussian at rate 1, else ``pld``.
"""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import dp_accounting
import numpy as np
from dp_accounting.pld import privacy_loss_distribution as pld
from dp_accounting.rdp import rdp_privacy_accountant as rdp
from numpy.typing import NDArray

from dpsynth.errors import InputError, UnsupportedEvent
from dpsynth.privacy import gdp
from dpsynth.privacy.composition import Total, fold
from dpsynth.privacy.events import (
    Event,
    GaussianEvent,
    NonPrivateEvent,
    SampledGaussianEvent,
    ThresholdedGaussianEvent,
)
from dpsynth.privacy.search import smallest

# Beyond it no guarantee is left to speak of; "infinity" is safe there and keeps the grid small.
_LARGEST_PLD_MU = 300.0
_MOST_CELLS = 2e6
_GROUP = 5000
_QUICK_ORDERS = 1.0 + np.geomspace(1e-2, 1e6, 500)  # for events with a closed form at every order


# --- gdp: closed form ---------------------------------------------------------------------------


def _gdp_epsilon(total: Total, delta: float) -> float:
    return gdp.epsilon_for(_only_gaussian(total), delta)


def _gdp_delta(total: Total, epsilon: float) -> float:
    return gdp.delta_for(_only_gaussian(total), epsilon)


def _only_gaussian(total: Total) -> float:
    if total.sampled:
        z, rate, steps = total.sampled[0]
        raise UnsupportedEvent(
            f"accountant 'gdp' knows Gaussian events at sample rate 1 only, not {steps} steps at "
            f"sample_rate={rate!r}, noise_multiplier={z!r}; use 'pld'"
        )
    return total.mu


# --- pld: discretised privacy loss distributions ------------------------------------------------


def _pld_epsilon(total: Total, delta: float) -> float:
    target = delta - _fft_slack(total)
    if target < 0.5 * delta:  # delta is so small that rounding in the Fourier transform matters
        return _rdp_epsilon(total, delta)
    distribution = _distribution(total)
    return math.inf if distribution is None else float(distribution.get_epsilon_for_delta(target))


def _pld_delta(total: Total, epsilon: float) -> float:
    return float(_pld_profile(total, np.array([epsilon]))[0])


def _pld_profile(total: Total, epsilons: NDArray[np.float64]) -> NDArray[np.float64]:
    distribution = _distribution(total)
    if distribution is None:
        return np.ones_like(epsilons)
    deltas = np.asarray(distribution.get_delta_for_epsilon(epsilons), dtype=np.float64)
    return np.asarray(np.clip(deltas + _fft_slack(total), 0.0, 1.0), dtype=np.float64)


def _fft_slack(total: Total) -> float:
    """Bound on the error in delta of the library's Fourier transforms, which it leaves out.

    Raising a transform to the power `steps` multiplies the rounding error by `steps`. Measured
    against the closed form at 1e4 to 1e6 steps: at most 0.7e-16 per step, with either sign.
    """
    return 2e-16 * (total.steps + 100)


@lru_cache(maxsize=4)
def _distribution(total: Total) -> Any:
    """Privacy loss distribution of everything composed, or None where no guarantee is left.

    The pessimistic grid of width h moves epsilon up by about 0.1 steps h^2 x / mu (x some 4
    standard deviations), so h follows from the error allowed: 5e-5 relative or 1e-5 absolute,
    whichever is the wider grid; wider still where memory would run out, which is safe. mu is the
    central-limit value (Bu et al. 2020, arXiv:1911.11607).
    """
    parts = [(steps, min(q * q * math.expm1(min(z**-2, 700.0)), z**-2))
             for z, q, steps in total.sampled if z > 1e-6]  # fmt: skip
    mu = math.sqrt(total.mu**2 + sum(steps * square for steps, square in parts))
    if mu > _LARGEST_PLD_MU or len(parts) < len(total.sampled):
        return None
    count = total.steps + 1
    noises = [z for z, _, _ in total.sampled]
    span = max(0.5 * x * x + 10.0 * x for x in [mu, *(1.0 / z for z in noises)])
    grid = max(0.02 * mu / math.sqrt(count), math.sqrt(2.5e-5 * mu / count), span / _MOST_CELLS)
    composed = pld.identity(value_discretization_interval=grid)
    with _quiet_library():
        if total.mu > 0.0:
            composed = composed.compose(
                pld.from_gaussian_mechanism(1.0 / total.mu, value_discretization_interval=grid)
            )
        for z, rate, steps in total.sampled:
            one = pld.from_gaussian_mechanism(
                z, value_discretization_interval=grid, sampling_prob=rate
            )
            composed = _composed_with(composed, one, steps)
    return composed


def _composed_with(composed: Any, one: Any, steps: int) -> Any:
    """`composed` and `steps` times `one`, in groups.

    The library takes the grid's size to the power `steps` as an exact integer, which at a million
    steps costs seconds and at a hundred million does not end.
    """
    groups, rest = divmod(steps, _GROUP)
    if rest:
        composed = composed.compose(one.self_compose(rest))
    if groups:
        composed = composed.compose(one.self_compose(_GROUP).self_compose(groups))
    return composed


# --- rdp: Renyi differential privacy ------------------------------------------------------------


def _rdp_epsilon(total: Total, delta: float) -> float:
    orders, costs = _renyi(total)
    if not len(orders):
        return math.inf
    return float(rdp.compute_epsilon(orders, costs, delta)[0])


def _rdp_delta(total: Total, epsilon: float) -> float:
    orders, costs = _renyi(total)
    return float(rdp.compute_delta(orders, costs, epsilon)[0]) if len(orders) else 1.0


@lru_cache(maxsize=4)
def _renyi(total: Total) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Renyi orders and the divergence at each; orders that failed are left out.

    The library turns a divergence that came out negative (rounding, at tiny sample rates) into
    epsilon = 0. A slack of 1e-14 per step, above that rounding, keeps the result an upper bound.
    """
    orders = np.array(rdp.DEFAULT_RDP_ORDERS, dtype=np.float64) if total.sampled else _QUICK_ORDERS
    accountant = rdp.RdpAccountant(orders=orders)
    with _quiet_library():
        if total.mu > 0.0:
            accountant.compose(dp_accounting.GaussianDpEvent(1.0 / total.mu))
        for z, rate, steps in total.sampled:
            event = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(z))
            accountant.compose(event, steps)
    costs = np.asarray(accountant.rdp, dtype=np.float64) + 1e-14 * total.steps
    sound = np.isfinite(costs) & (costs > 0.0)
    return orders[sound], costs[sound]


# --- prv: Opacus --------------------------------------------------------------------------------


def _prv_epsilon(total: Total, delta: float) -> float:
    """Upper bound of Opacus's accountant. Source: Gopi, Lee, Wutschitz 2021, arXiv:2106.02848."""
    from opacus.accountants import PRVAccountant  # loads torch: only when asked for

    accountant = PRVAccountant()
    full_batch = [(1.0 / total.mu, 1.0, 1)] if total.mu > 0.0 else []
    accountant.history = [*total.sampled, *full_batch]
    try:
        with _quiet_library():
            found = float(accountant.get_epsilon(delta, eps_error=0.01))
    except (RuntimeError, ValueError, ArithmeticError) as error:
        raise InputError(
            f"accountant 'prv' has no answer at delta={delta!r}: {error}; use 'pld'"
        ) from error
    return math.inf if math.isnan(found) else max(0.0, found)


def _prv_delta(total: Total, epsilon: float) -> float:
    """Smallest delta, to 1 %, whose epsilon is small enough; Opacus bounds epsilon only."""
    high = 0.5
    if _prv_epsilon(total, high) > epsilon:
        return 1.0
    return smallest(
        lambda delta: _prv_epsilon(total, delta) <= epsilon, low=1e-10, high=high, tolerance=1e-2
    )


@contextlib.contextmanager
def _quiet_library() -> Iterator[None]:
    """Silence what the libraries say about orders they leave out and exponents that underflow."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


# --- the questions ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accountant:
    """Two upper bounds on the cost of a :class:`Total` that is private and not silent."""

    epsilon: Callable[[Total, float], float]
    delta: Callable[[Total, float], float]


ACCOUNTANTS: dict[str, Accountant] = {
    "gdp": Accountant(_gdp_epsilon, _gdp_delta),
    "pld": Accountant(_pld_epsilon, _pld_delta),
    "rdp": Accountant(_rdp_epsilon, _rdp_delta),
    "prv": Accountant(_prv_epsilon, _prv_delta),
}


def resolve(events: Sequence[Event], accountant: str = "auto") -> str:
    """Name of the accountant that will be used; "auto" is gdp where it applies, else pld.

    Raises:
        InputError: no accountant of that name. UnsupportedEvent: see :func:`fold`.
    """
    if accountant == "auto":
        return "pld" if fold(events).sampled else "gdp"
    if accountant not in ACCOUNTANTS:
        known = ", ".join(["auto", *ACCOUNTANTS])
        raise InputError(f"accountant {accountant!r} is unknown; known: {known}")
    return accountant


def epsilon(events: Sequence[Event], *, delta: float, accountant: str = "auto") -> float:
    """Epsilon (in nats) for which all events together are (epsilon, delta)-DP.

    Args:
        events: all that was done, in any order.
        delta: in (0, 1). accountant: a name in ACCOUNTANTS, or "auto".

    Returns:
        An upper bound >= 0; 0 for no events; infinity after a NonPrivateEvent or where the
        thresholds have used up delta.

    Raises:
        InputError: delta or accountant. UnsupportedEvent: the accountant does not know an event.
    """
    if not 0.0 < delta < 1.0:
        raise InputError(f"delta={delta!r} must lie strictly between 0 and 1")
    chosen, total = ACCOUNTANTS[resolve(events, accountant)], fold(events)
    if total.silent:
        return 0.0
    if not total.private or delta <= total.delta:
        return math.inf
    return chosen.epsilon(total, delta - total.delta)


def delta(events: Sequence[Event], *, epsilon: float, accountant: str = "auto") -> float:
    """Delta for which all events together are (epsilon, delta)-DP; arguments as :func:`epsilon`.

    Returns:
        An upper bound in [0, 1]; 0 for no events; 1 after a NonPrivateEvent.
    """
    if not (math.isfinite(epsilon) and epsilon >= 0.0):
        raise InputError(f"epsilon={epsilon!r} must be a finite number >= 0")
    chosen, total = ACCOUNTANTS[resolve(events, accountant)], fold(events)
    if total.silent:
        return 0.0
    if not total.private:
        return 1.0
    return min(1.0, chosen.delta(total, epsilon) + total.delta)


def gaussian_mu(events: Sequence[Event]) -> float | None:
    """GDP parameter of the Gaussian parts; None where an event is sampled or not private.

    Thresholded events count with their Gaussian part; their deltas come on top.
    """
    total = fold(events)
    return total.mu if total.private and not total.sampled else None


def tradeoff_curve(events: Sequence[Event], *, points: int = 41) -> NDArray[np.float64]:
    """What is left to an attacker who must tell a unit's presence from its absence.

    Returns:
        Array (points, 2): false-positive rate from 0 to 1 (half of them log-spaced below 5 %),
        and a lower bound on the false-negative rate of ANY test at that rate.
    """
    if points < 4:
        raise InputError(f"points={points!r} must be at least 4")
    few = points // 2
    low = np.geomspace(1e-5, 0.05, few - 1, endpoint=False)
    rates = np.concatenate([[0.0], low, np.linspace(0.05, 1.0, points - few)])
    return np.column_stack([rates, _smallest_misses(fold(events), rates)])


def tpr_at_fpr(events: Sequence[Event], fpr: float) -> float:
    """Largest true-positive rate of any attack whose false-positive rate is at most `fpr`."""
    if not 0.0 <= fpr <= 1.0:
        raise InputError(f"fpr={fpr!r} must lie in [0, 1]")
    return float(1.0 - _smallest_misses(fold(events), np.array([fpr]))[0])


def max_advantage(events: Sequence[Event]) -> float:
    """Largest (true-positive rate - false-positive rate) of any attack: delta at epsilon = 0."""
    return delta(events, epsilon=0.0)


def _smallest_misses(total: Total, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lower bound on the trade-off function at each false-positive rate; shape as `rates`."""
    if not total.private:
        return np.zeros_like(rates)
    if total.sampled:
        return _misses_from_profile(total, rates)
    return gdp.smallest_misses(total.mu, total.delta, rates)


def _misses_from_profile(total: Total, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """f(a) >= max over eps of (1 - d - e^eps a) and e^-eps (1 - d - a), for d = delta(eps).

    Any finite set of eps gives a valid bound. Source: Wasserman, Zhou 2010; Dong et al., eq. 5.
    """
    top = min(_pld_epsilon(total, 1e-9), 500.0)
    epsilons = np.linspace(0.0, top, 400)
    deltas = np.minimum(1.0, _pld_profile(total, epsilons) + total.delta)[:, None]
    factor = np.exp(epsilons)[:, None]
    steep = 1.0 - deltas - factor * rates[None, :]
    flat = (1.0 - deltas - rates[None, :]) / factor
    best = np.maximum(steep, flat).max(axis=0)
    return np.asarray(np.clip(best, 0.0, 1.0), dtype=np.float64)


def shares(events: Sequence[Event]) -> tuple[float, ...]:
    """Each event's part of the budget, adding up to 1: a description, not accounting.

    Weights are ``steps / z^2``, for sampled events ``sample_rate^2 steps / z^2``, which is how mu^2
    splits for Gaussian events and an approximation for sampled ones; deltas of thresholds are left
    out. Where an event is not private, such events share everything.
    """
    fold(events)  # refuses unknown events
    bad = [isinstance(event, NonPrivateEvent) for event in events]
    if any(bad):
        return tuple(is_bad / sum(bad) for is_bad in bad)
    roots = [min(_root_weight(event), 1e300) for event in events]
    weights = [(root / max(roots)) ** 2 for root in roots]
    return tuple(weight / sum(weights) for weight in weights)


def _root_weight(event: Event) -> float:
    match event:
        case SampledGaussianEvent(noise_multiplier=z, sample_rate=q, steps=steps):
            return q * math.sqrt(steps) / z
        case GaussianEvent(noise_multiplier=z, steps=steps):
            return math.sqrt(steps) / z
        case ThresholdedGaussianEvent(noise_multiplier=z):
            return 1.0 / z
        case NonPrivateEvent():
            return math.inf
