"""Post-processing of noisy counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from dpsynth.encoding.estimate import denoised, nonnegative, plateaus, universal_contrast

QUICK = settings(derandomize=True, deadline=None, max_examples=40)
counts = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=30).map(np.array)


@QUICK
@given(noisy=counts, total=st.floats(0.1, 1e5))
def test_nonnegative_counts_add_up(noisy: np.ndarray, total: float) -> None:
    found = nonnegative(noisy, total)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(total, rel=1e-6)


def test_nonnegative_is_the_euclidean_projection() -> None:
    """Against a general optimiser on a hand-made case."""
    noisy = np.array([5.0, -2.0, 1.0, 0.3])
    slow = minimize(
        lambda x: np.square(x - noisy).sum(),
        np.full(4, 1.0),
        bounds=[(0, None)] * 4,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 4.0},
    )
    assert nonnegative(noisy, 4.0) == pytest.approx(slow.x, abs=1e-5)
    assert nonnegative(noisy, 0.0).sum() == 0


def test_plateaus_are_found_and_noise_is_not() -> None:
    truth = np.repeat([0.0, 100.0, 0.0, 40.0], [20, 10, 1, 30])
    rng = np.random.default_rng(0)
    starts = plateaus(truth + rng.normal(0, 5, len(truth)), 5.0, contrast=3.1)
    assert starts.tolist() == [0, 20, 30, 31]


def test_noise_alone_is_one_plateau() -> None:
    """At the universal contrast, pure noise of 200 cells is cut in at most 10 % of 200 seeds."""
    contrast = universal_contrast(200)
    cut = [
        len(plateaus(np.random.default_rng(s).normal(50, 5, 200), 5.0, contrast=contrast)) > 1
        for s in range(200)
    ]
    assert np.mean(cut) <= 0.10


@QUICK
@given(noisy=counts, total=st.floats(0, 1e5))
def test_denoised_masses_add_up(noisy: np.ndarray, total: float) -> None:
    starts, masses = denoised(noisy, 10.0, total=total, contrast=3.0)
    assert starts[0] == 0
    assert np.all(np.diff(starts) > 0)
    assert masses.min() >= 0
    assert masses.sum() == pytest.approx(total, rel=1e-9, abs=1e-9)
