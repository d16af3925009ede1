"""Noisy tables: cut apart right, averaged with less variance, moved to given margins exactly."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.refinement.measured import Measured, cut_tables, pooled, with_margins

QUICK = settings(derandomize=True, deadline=None, max_examples=60)
SIZES = (3, 4, 2)
PAIRS = ((0, 1), (0, 2), (1, 2))
ROWS = 5_000.0
seeds = st.integers(0, 2**32 - 1)


def _truth(rng: np.random.Generator) -> Measured:
    """A joint law of three columns and its exact tables."""
    joint = rng.dirichlet(np.full(24, 0.7)).reshape(SIZES)
    one_way = tuple(joint.sum(axis=tuple(k for k in range(3) if k != j)) for j in range(3))
    tables = tuple(ROWS * joint.sum(axis=3 - i - j) for i, j in PAIRS)
    return Measured(ROWS, one_way, 1.0, PAIRS, tables, 1.0)


def _noisy(
    truth: Measured, *, one_way_std: float, std: float, rng: np.random.Generator
) -> Measured:
    return replace(
        truth,
        one_way=tuple(p + rng.normal(0, one_way_std / ROWS, len(p)) for p in truth.one_way),
        one_way_std=one_way_std,
        tables=tuple(t + rng.normal(0, std, t.shape) for t in truth.tables),
        std=std,
    )


def test_tables_are_cut_in_order() -> None:
    values = np.arange(12.0 + 6 + 8)
    first, second, third = cut_tables(values, PAIRS, SIZES)
    assert (first.shape, second.shape, third.shape) == ((3, 4), (3, 2), (4, 2))
    assert np.concatenate([first.ravel(), second.ravel(), third.ravel()]).tolist() == list(values)


def test_tables_of_a_column_are_those_with_earlier_columns() -> None:
    truth = _truth(np.random.default_rng(0))
    assert truth.sizes == SIZES
    assert truth.of(0) == ()
    assert [i for i, _ in truth.of(2)] == [0, 1]
    assert truth.of(1)[0][1] is truth.tables[0]


@QUICK
@given(seed=seeds)
def test_pooling_changes_nothing_where_there_is_no_noise(seed: int) -> None:
    truth = _truth(np.random.default_rng(seed))
    for before, after in zip(truth.one_way, pooled(truth).one_way, strict=True):
        assert after == pytest.approx(before, abs=1e-12)


@QUICK
@given(seed=seeds, std=st.floats(0.1, 1e4))
def test_pooled_shares_are_distributions(seed: int, std: float) -> None:
    rng = np.random.default_rng(seed)
    found = pooled(_noisy(_truth(rng), one_way_std=std, std=std, rng=rng))
    for shares in found.one_way:
        assert (shares >= 0).all()
        assert shares.sum() == pytest.approx(1.0)


def test_pooling_lowers_the_variance_as_the_weights_say() -> None:
    """Mean square error over 400 draws; the two tables of each column halve it or better.

    By the weights: column 0 has estimates of variance 1, 4 s^2 and 2 s^2 with s = 0.5, so 1, 1 and
    0.5; together 1 / (1 + 1 + 2) = 0.25 of the one-way alone. A relative error of a mean of 400
    squares is about 0.05 for three cells.
    """
    rng = np.random.default_rng(7)
    truth = _truth(rng)
    alone, together = [], []
    for _ in range(400):
        noisy = _noisy(truth, one_way_std=20.0, std=10.0, rng=rng)
        alone.append(np.square(noisy.one_way[0] - truth.one_way[0]).sum())
        together.append(np.square(pooled(noisy).one_way[0] - truth.one_way[0]).sum())
    # the projection takes the error of the total off as well, hence below a quarter at times
    assert np.mean(together) < 0.3 * np.mean(alone)
    assert np.mean(together) > 0.1 * np.mean(alone)


def test_tables_lost_in_noise_leave_the_one_way_marginals() -> None:
    rng = np.random.default_rng(8)
    truth = _truth(rng)
    noisy = _noisy(truth, one_way_std=1e-3, std=1e5, rng=rng)
    for before, after in zip(noisy.one_way, pooled(noisy).one_way, strict=True):
        assert after == pytest.approx(before, abs=1e-5)


@QUICK
@given(seed=seeds, a=st.integers(1, 6), b=st.integers(1, 6))
def test_both_margins_are_met_exactly_and_nearest(seed: int, a: int, b: int) -> None:
    rng = np.random.default_rng(seed)
    table, wanted = rng.normal(0, 30, (a, b)), rng.gamma(1.0, 10.0, (a, b))
    first, second = wanted.sum(axis=1), wanted.sum(axis=0)
    found = with_margins(table, first, second)
    assert found.sum(axis=1) == pytest.approx(first)
    assert found.sum(axis=0) == pytest.approx(second)
    again = with_margins(found, first, second)
    assert again == pytest.approx(found, abs=1e-9)
    # Nearest: what was moved is orthogonal to every move that keeps both margins.
    free = rng.normal(0, 1, (a, b))
    free -= free.mean(axis=1, keepdims=True)
    free -= free.mean(axis=0, keepdims=True)
    assert float(((found - table) * free).sum()) == pytest.approx(0.0, abs=1e-6)
