"""Entropy and variance of one column under each part of the null; losses too small to matter."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from dpsynth.training.monitoring.diversity import Loss, Marginal, entropy_loss, variance_loss
from dpsynth.training.monitoring.noise_null import noisy_law

FloatArray = NDArray[np.float64]
SEEDS = 400


def _entropy(marginal: Marginal, shares: FloatArray, rows: int, level: float = 0.01) -> Loss:
    return entropy_loss(marginal, noisy_law(shares, marginal.noise), rows, level=level)


def _variance(marginal: Marginal, shares: FloatArray, rows: int, level: float = 0.01) -> Loss:
    found = variance_loss(marginal, noisy_law(shares, marginal.noise), rows, level=level)
    assert found is not None
    return found


def _known(law: FloatArray, noise: float = 1e-7, values: FloatArray | None = None) -> Marginal:
    """A marginal without error, said to have that noise."""
    return Marginal(law, np.full(len(law), noise), values)


def _false(
    test: Callable[[Marginal, FloatArray, int, float], Loss],
    marginal: Marginal,
    rows: int,
    level: float,
) -> int:
    """How often a sample of the law itself is called narrower."""
    rng = np.random.default_rng(0)
    samples = rng.multinomial(rows, marginal.shares, SEEDS) / rows
    return sum(test(marginal, shares, rows, level).sure for shares in samples)


def _most(level: float) -> int:
    return int(stats.binom.isf(1e-4, SEEDS, level))


def test_a_small_sample_of_an_even_column_is_not_narrow() -> None:
    """Without noise the second-order error of the sample is all there is."""
    assert _false(_entropy, _known(np.full(40, 1 / 40)), 100, 0.05) <= _most(0.05)


def test_a_rare_code_that_a_sample_has_by_luck_only_is_no_loss() -> None:
    """Three rows in a thousand are expected; one sample in twenty has none, and no entropy."""
    assert _false(_entropy, _known(np.array([0.997, 0.003])), 1_000, 0.01) <= _most(0.01)


def test_a_small_sample_of_a_bell_has_not_shrunk() -> None:
    x = np.linspace(-3, 3, 31)
    law = np.exp(-0.5 * x**2)
    assert _false(_variance, _known(law / law.sum(), values=x), 100, 0.05) <= _most(0.05)


def test_noise_that_is_overstated_makes_no_alarm() -> None:
    """Stated noise lowers the entropy that an even column is expected to show; there was none."""
    even = np.full(40, 1 / 40)
    found = _entropy(_known(even, noise=0.01), even, 10**7, level=0.2)
    assert not found.sure


@pytest.mark.parametrize(("loss", "sure"), [(0.01, False), (0.04, True)])
def test_a_loss_of_entropy_must_be_large_enough_to_matter(loss: float, sure: bool) -> None:
    law = np.full(10, 0.1)
    low, high = 0.0, 1.0
    for _ in range(60):  # how much of the even shares goes to the first code
        middle = (low + high) / 2
        moved = (1 - middle) * law + middle * np.eye(10)[0]
        small = 1 - stats.entropy(moved) / np.log(10) < loss
        low, high = (middle, high) if small else (low, middle)
    found = _entropy(_known(law), moved, 10**7)
    assert found.ratio == pytest.approx(1 - loss, abs=1e-4)
    assert found.sure is sure


@pytest.mark.parametrize(("loss", "sure"), [(0.03, False), (0.08, True)])
def test_a_loss_of_variance_must_be_large_enough_to_matter(loss: float, sure: bool) -> None:
    x = np.array([-1.0, 0.0, 1.0])
    moved = np.array([(1 - loss) / 3, 1 / 3 + 2 * loss / 3, (1 - loss) / 3])
    found = _variance(_known(np.full(3, 1 / 3), values=x), moved, 10**7)
    assert found.ratio == pytest.approx(1 - loss, abs=1e-4)
    assert found.sure is sure
