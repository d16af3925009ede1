"""Normal scores: exact tables there and back, and the right law in between."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dpsynth.sampling.scores import NormalScores, normal_quantile

QUICK = settings(derandomize=True, deadline=None, max_examples=40)


@QUICK
@given(
    st.integers(2, 9), st.integers(0, 2**31), st.booleans(), st.floats(0.0, 0.999, allow_nan=False)
)
def test_a_score_goes_back_to_its_code(size: int, seed: int, missing: bool, where: float) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(size)) + 1e-3
    positions = rng.permutation(size).astype(float)
    if missing:
        positions[rng.integers(size)] = np.nan
    tables = NormalScores([shares / shares.sum()], [positions])
    codes = torch.arange(size)[:, None]
    uniforms = torch.full((size, 1, 1), 0.001 + 0.998 * where)
    scores = tables.scores(codes, uniforms)
    assert torch.equal(tables.codes(scores[:, 0]), codes)


def test_larger_numbers_have_larger_scores_and_missing_ones_the_smallest() -> None:
    tables = NormalScores([np.full(4, 0.25)], [np.array([30.0, np.nan, 10.0, 20.0])])
    scores = tables.scores(torch.arange(4)[:, None], torch.full((4, 1, 1), 0.5))[:, 0, 0]
    assert scores.argsort().tolist() == [1, 2, 3, 0]


def test_scores_of_the_marginal_are_standard_normal_and_of_another_are_not() -> None:
    """Kolmogorov-Smirnov on 20,000 rows of a column of which 90 % are one value."""
    shares = np.array([0.9, 0.05, 0.03, 0.02])
    tables = NormalScores([shares], [np.arange(4.0)])
    rng = np.random.default_rng(0)

    def scores(law: np.ndarray) -> np.ndarray:
        codes = torch.from_numpy(rng.choice(4, size=(20_000, 1), p=law))
        uniforms = torch.from_numpy(rng.random((20_000, 1, 1), dtype=np.float32))
        return tables.scores(codes, uniforms).numpy().ravel()

    assert stats.kstest(scores(shares), stats.norm.cdf).pvalue > 1e-3
    assert stats.kstest(scores(np.array([0.8, 0.1, 0.06, 0.04])), stats.norm.cdf).pvalue < 1e-9


def test_quantiles_agree_with_scipy_and_are_cut_off() -> None:
    inside = torch.linspace(0.001, 0.999, 101, dtype=torch.float64)
    assert np.allclose(normal_quantile(inside), stats.norm.ppf(inside), atol=1e-6)
    ends = normal_quantile(torch.tensor([0.0, 1.0]))
    assert torch.isfinite(ends).all()
    assert ends[1] == -ends[0]
