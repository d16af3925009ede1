"""What noise does to a perfect generator's marginals: expectations, tails and sure shares."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dpsynth.encoding.estimate import nonnegative
from dpsynth.training.monitoring.modes import absent, least_detectable, sure_shares, unseen_share
from dpsynth.training.monitoring.noise_null import Deviation, NoisyLaw, centred, noisy_law

QUICK = settings(derandomize=True, deadline=None, max_examples=40)
DRAWS = 4_000


def test_noisy_cells_are_those_of_projected_draws() -> None:
    """Means and absolute errors of 62 cells, most of them empty, to 5 standard errors of 4000."""
    law = np.r_[0.5, 0.3, np.full(10, 0.02), np.zeros(50)]
    noise = np.full(len(law), 0.004)
    rng = np.random.default_rng(0)
    drawn = np.array([nonnegative(law + rng.normal(0, noise), 1.0) for _ in range(DRAWS)])
    noisy = noisy_law(law, noise)
    error = 5 * drawn.std(0) / np.sqrt(DRAWS)
    assert (np.abs(drawn.mean(0) - noisy.mean(noisy.cells)) < error + 5e-5).all()
    apart = np.abs(drawn - law).mean(0)
    assert (np.abs(apart - noisy.absolute_error) < error + 1e-4).all()
    assert noisy.mean(noisy.cells).sum() == pytest.approx(1.0, abs=1e-9)
    # Control: without the projection the mean of an empty cell would be 0.4 standard deviations.
    assert noisy.mean(noisy.cells)[-1] < 0.25 * 0.004


def test_the_spread_of_a_sum_over_cells_is_that_of_projected_draws() -> None:
    """Of the entropy, within a tenth; without the correction for the fixed sum it is far off."""
    law = np.r_[np.full(5, 0.04), 0.8]
    noise = np.full(len(law), 0.004)
    rng = np.random.default_rng(1)
    drawn = np.array([nonnegative(law + rng.normal(0, noise), 1.0) for _ in range(DRAWS)])
    noisy = noisy_law(law, noise)
    values = -noisy.cells * np.log(np.maximum(noisy.cells, 1e-300))
    found = Deviation(centred(noisy, values), 0.0, (0.0, 1)).std
    plain = Deviation(values - noisy.mean(values)[:, None], 0.0, (0.0, 1)).std
    true = float(stats.entropy(drawn, axis=1).std())
    assert found == pytest.approx(true, rel=0.1)
    assert plain > 1.15 * true


@QUICK
@given(
    weights=st.lists(st.floats(0.01, 1), min_size=1, max_size=20),
    scale=st.floats(1e-5, 0.3),
)
def test_noisy_cells_always_sum_to_one_in_the_mean(weights: list[float], scale: float) -> None:
    law = np.array(weights) / sum(weights)
    noisy = noisy_law(law, np.full(len(law), scale))
    assert noisy.mean(noisy.cells).sum() == pytest.approx(1.0, abs=1e-6)
    assert noisy.cells.min() >= 0


@pytest.mark.parametrize("level", [0.05, 0.01, 0.001])
def test_quantiles_bound_normal_half_normal_and_chi_squared_tails(level: float) -> None:
    """Safe, and not wasteful: at most twice the exact quantile (from its mean)."""
    half = NoisyLaw(np.zeros(1), np.maximum(np.linspace(-8, 8, 161)[None, :], 0.0))
    skewed = half.cells - half.mean(half.cells)[:, None]
    cases = [
        (Deviation(np.zeros((1, 161)), 4.0, (0.0, 1)), stats.norm.isf(level, scale=2.0)),
        (Deviation(np.zeros((1, 161)), 0.0, (0.5, 3)), 0.5 * stats.chi2.isf(level, 3)),
        (Deviation(skewed, 0.0, (0.0, 1)), stats.norm.isf(level) - stats.norm.pdf(0)),
    ]
    for deviation, exact in cases:
        assert exact <= deviation.quantile(level) <= 2.0 * exact
    assert Deviation(np.zeros((1, 161)), 0.0, (0.0, 1)).quantile(level) == 0.0


def test_sure_shares_are_all_right_at_once_but_for_their_level() -> None:
    """30 cells at level 0.1 over 1000 draws: between 60 and 140 draws with any bound too high."""
    law, noise = np.full(30, 1 / 30), np.full(30, 0.005)
    rng = np.random.default_rng(2)
    wrong = sum(
        bool((sure_shares(law + rng.normal(0, noise), noise, level=0.1) > law).any())
        for _ in range(1_000)
    )
    assert 60 <= wrong <= 140
    assert sure_shares(np.zeros(0), np.zeros(0), level=0.1).shape == (0,)


def test_absence_is_an_accident_until_chance_would_not_allow_it() -> None:
    """For a count of zero the bound is exact: (1 - share)^rows at the level itself."""
    rows, level = 1_000, 0.01
    edge = unseen_share(rows, 1, level=level)
    assert (1 - edge) ** rows == pytest.approx(level)
    sure = np.array([edge * 1.001])
    none, even = np.zeros(1, dtype=np.int64), np.ones(1)
    assert absent(none, rows, sure, even, level=level).all()
    assert not absent(none, rows, sure * 0.99, even, level=level).any()


def test_absence_is_rarely_seen_in_a_law_that_has_the_share() -> None:
    """Nearly absent: of 20000 samples with the sure share at most the level by its bound."""
    rng = np.random.default_rng(3)
    rows, share, level = 400, 0.03, 0.05
    counts = rng.binomial(rows, share, 20_000)
    each = [
        bool(absent(np.array([c]), rows, np.array([share]), np.ones(1), level=level)[0])
        for c in np.unique(counts)
    ]
    seen = dict(zip(np.unique(counts), each, strict=True))
    assert sum(seen[c] for c in counts) <= stats.binom.isf(1e-4, 20_000, level)
    assert absent(np.array([1]), 4_000, np.array([share]), np.ones(1), level=level).all()


def test_a_share_near_an_even_one_is_never_absent() -> None:
    """A code of half the rows among 40 codes that are now all alike has lost nothing."""
    counts, sure = np.array([250]), np.array([0.5])
    assert absent(counts, 10_000, sure, np.array([1.0]), level=0.01).all()
    assert not absent(counts, 10_000, sure, np.array([1 / 40]), level=0.01).any()


def test_the_least_detectable_share_grows_with_noise_and_falls_with_rows() -> None:
    def least(noise: float, rows: int) -> float:
        return least_detectable(noise, rows, cells=100, alpha=0.0025, looks=50)

    assert least(0.002, 10_000) > least(0.001, 10_000) > least(0.001, 100_000)
    assert least(0.0, 10_000) == pytest.approx(unseen_share(10_000, 100, level=0.0025 / 2 / 50))
