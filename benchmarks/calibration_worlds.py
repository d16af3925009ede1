"""Mechanisms whose privacy is known exactly, as draws of canary scores, for calibration.py."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from audits.statistics import gaussian_mu

DELTA = 1e-5
Generator = np.random.Generator
Draw = Callable[[Generator, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class World:
    """Canary scores of a mechanism whose epsilon at delta is known.

    Attributes:
        draw: (generator, canaries) to scores and coins.
        epsilon: the true one.
        delta: at which it is.
    """

    draw: Draw
    epsilon: float
    delta: float


def worlds() -> dict[str, World]:
    """Mechanisms of known epsilon, each canary's score its own output."""
    gaussian = shifted(gaussian_mu(2.0, delta=DELTA))
    subsampled = subsampled_epsilon(0.25, 2.0, DELTA)
    return {
        "no leak": World(draw=shifted(0.0), epsilon=0.0, delta=DELTA),
        "no leak, tied": World(draw=rounded, epsilon=0.0, delta=DELTA),
        "Gaussian": World(draw=gaussian, epsilon=2.0, delta=DELTA),
        "Laplace": World(draw=_laplace, epsilon=1.0, delta=0.0),
        "randomised response": World(draw=_response, epsilon=1.0, delta=0.0),
        "response, 1 % revealed": World(draw=revealed(2.0, 0.01), epsilon=2.0, delta=0.01),
        "subsampled Gaussian": World(draw=_subsampled, epsilon=subsampled, delta=DELTA),
    }


def shifted(mu: float) -> Draw:
    """N(mu, 1) for canaries put in, N(0, 1) for the others."""

    def draw(rng: Generator, m: int) -> tuple[np.ndarray, np.ndarray]:
        included = _coins(rng, m)
        return rng.normal(size=m) + mu * included, included

    return draw


def subsampled_epsilon(share: float, mu: float, delta: float) -> float:
    """Exact epsilon at delta of N(0, 1) against its mixture with N(mu, 1), both directions."""

    def exceeds(epsilon: float) -> bool:
        return max(_added(epsilon, share, mu), _removed(epsilon, share, mu)) > delta

    low, high = 0.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if exceeds(middle) else (low, middle)
    return high


def _added(epsilon: float, share: float, mu: float) -> float:
    """Mixture above e^epsilon times N(0, 1): everything right of one cut."""
    cut = mu / 2.0 + math.log1p((math.expm1(epsilon)) / share) / mu
    tails = special.ndtr(-cut), special.ndtr(mu - cut)
    return float((1.0 - share) * tails[0] + share * tails[1] - math.exp(epsilon) * tails[0])


def _removed(epsilon: float, share: float, mu: float) -> float:
    """N(0, 1) above e^epsilon times the mixture: everything left of a cut, if there is one."""
    inner = math.expm1(-epsilon) / share + 1.0
    if inner <= 0.0:
        return 0.0
    cut = mu / 2.0 + math.log(inner) / mu
    heads = special.ndtr(cut), special.ndtr(cut - mu)
    return float(heads[0] - math.exp(epsilon) * ((1.0 - share) * heads[0] + share * heads[1]))


def _coins(rng: Generator, m: int) -> np.ndarray:
    return rng.random(m) < 0.5


def rounded(rng: Generator, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal scores in whole numbers, no leak."""
    return np.round(rng.normal(size=m)), _coins(rng, m)


def _laplace(rng: Generator, m: int) -> tuple[np.ndarray, np.ndarray]:
    included = _coins(rng, m)
    return rng.laplace(size=m) + included, included


def _response(rng: Generator, m: int) -> tuple[np.ndarray, np.ndarray]:
    included = _coins(rng, m)
    truthful = rng.random(m) < special.expit(1.0)
    return (included == truthful).astype(float), included


def revealed(epsilon: float, delta: float) -> Draw:
    """Randomised response that tells the truth for sure in a share delta of the cases.

    The extreme point of (epsilon, delta): no mechanism that keeps both tells more.
    """

    def draw(rng: Generator, m: int) -> tuple[np.ndarray, np.ndarray]:
        included = _coins(rng, m)
        truthful = rng.random(m) < special.expit(epsilon)
        sure = rng.random(m) < delta
        answers = np.where(included == truthful, 1.0, -1.0)
        return np.where(sure, np.where(included, 2.0, -2.0), answers), included

    return draw


def _subsampled(rng: Generator, m: int) -> tuple[np.ndarray, np.ndarray]:
    included = _coins(rng, m)
    return rng.normal(size=m) + 2.0 * (included & (rng.random(m) < 0.25)), included


def skewed(rng: Generator, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Exponential scores, no leak."""
    return rng.exponential(size=m), _coins(rng, m)


def heavy_tailed(rng: Generator, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Student scores with three degrees of freedom, no leak."""
    return rng.standard_t(3, size=m), _coins(rng, m)
