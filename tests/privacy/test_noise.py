"""The noise source: right scale (and not another), fixed grid, a real ChaCha20."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from randomgen import ChaCha
from scipy import stats

from dpsynth.errors import DPSynthError
from dpsynth.privacy.noise import (
    NoiseSource,
    add_noise,
    grid_for,
    scale_for,
    secure_noise,
    seeded_noise,
)

QUICK = settings(derandomize=True, deadline=None, max_examples=40)


def _p_value(values: np.ndarray, scale: float) -> float:
    return float(stats.kstest(values / scale, "norm").pvalue)


@pytest.mark.parametrize("scale", [0.37, 1.0, 812.5])
def test_noise_has_the_stated_scale_and_no_other(scale: float) -> None:
    """Kolmogorov-Smirnov on 20,000 draws of a fixed seed; false-alarm rate 1 in 1,000."""
    noisy = add_noise(np.zeros(20_000), scale=scale, noise=seeded_noise(3))
    assert _p_value(noisy, scale) > 1e-3
    assert _p_value(noisy, scale * 2 / 3) < 1e-9
    assert _p_value(noisy, scale * 3 / 2) < 1e-9


def test_the_secure_source_is_gaussian_too() -> None:
    """A fresh key each time: false-alarm rate 1 in 1,000,000."""
    noisy = add_noise(np.zeros(20_000), scale=2.0, noise=secure_noise())
    assert _p_value(noisy, 2.0) > 1e-6


def test_chacha_gives_the_published_keystream() -> None:
    """First block under an all-zero key and nonce: the test vector of Bernstein's ChaCha20."""
    words = ChaCha(key=0, counter=0, rounds=20).random_raw(8)
    stream = b"".join(int(word).to_bytes(8, "little") for word in words)
    assert stream.hex().startswith(
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    )


def test_secure_sources_never_repeat_and_are_releasable() -> None:
    draws = [add_noise(np.zeros(4), scale=1.0, noise=secure_noise()) for _ in range(20)]
    assert len({tuple(d) for d in draws}) == 20
    assert secure_noise().releasable


def test_seeded_noise_repeats_and_is_marked() -> None:
    one, two = (add_noise(np.zeros(4), scale=1.0, noise=seeded_noise(9)) for _ in range(2))
    assert np.array_equal(one, two)
    assert not seeded_noise(9).releasable
    assert "SEEDED" in seeded_noise(9).description


def test_a_source_never_prints_its_state() -> None:
    source = secure_noise()
    assert "generator" not in repr(source)
    assert isinstance(source, NoiseSource)


@QUICK
@given(
    total=st.floats(-1e6, 1e6),
    scale=st.floats(1.0, 1e4),
    nudge=st.floats(-1e-3, 1e-3),
)
def test_answers_lie_on_a_public_grid_whatever_the_sum(
    total: float, scale: float, nudge: float
) -> None:
    """Neighbouring sums share one set of possible answers, so low bits tell nothing."""
    grid = grid_for(scale)
    for value in (total, total + nudge):
        noisy = add_noise(np.array([value]), scale=scale, noise=seeded_noise(1))
        assert float(noisy[0] / grid).is_integer()


@QUICK
@given(multiplier=st.floats(0.1, 1e3), sensitivity=st.floats(1e-3, 1e3), size=st.integers(0, 10**7))
def test_the_scale_covers_what_rounding_adds_to_the_sensitivity(
    multiplier: float, sensitivity: float, size: int
) -> None:
    scale = scale_for(noise_multiplier=multiplier, sensitivity=sensitivity, size=size)
    rounding = grid_for(multiplier * sensitivity) * np.sqrt(size)
    assert scale >= multiplier * (sensitivity + rounding) * (1 - 1e-12)
    assert scale <= multiplier * sensitivity * (1 + 1e-2 * max(multiplier, 1.0))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_a_sum_that_the_grid_cannot_hold_is_refused(bad: float) -> None:
    with pytest.raises(DPSynthError, match="does not fit the noise grid"):
        add_noise(np.array([bad]), scale=1.0, noise=seeded_noise(0))


def test_the_margin_holds_just_below_a_power_of_two() -> None:
    # With the margin in it the scale is above 8, where the grid of the answers is twice as wide.
    multiplier, size = 8.0 * (1.0 - 1e-12), 10**6
    scale = scale_for(noise_multiplier=multiplier, sensitivity=1.0, size=size)
    assert scale > 8.0
    assert scale >= multiplier * (1.0 + grid_for(scale) * np.sqrt(size))
