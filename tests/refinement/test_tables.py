"""Tables fitted to noisy pairs: right at little noise, near independence at much."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from dpsynth.refinement import tables as module
from dpsynth.refinement.measured import Measured, with_margins
from dpsynth.refinement.tables import Tables, fit_tables
from dpsynth.sampling.drawing import draw_rows
from dpsynth.sampling.linear import HiddenBranch, LinearColumns

from .conftest import (
    PAIRS,
    ROWS,
    SIZES,
    independent,
    joint,
    law_apart,
    measured_from,
    pair_table,
    pairs_apart,
    shares,
)

Law = NDArray[np.float64]


def _columns(tables: Tables, hidden: HiddenBranch | None = None) -> LinearColumns:
    return LinearColumns(SIZES, tables.weight, tables.bias, tuple(range(len(SIZES))), hidden)


def _error(measured: Measured, law: Law, *, seed: int = 1) -> float:
    """Mean total variation of the pairs of 200,000 rows of the fitted model from the law."""
    tables = fit_tables(measured, rng=np.random.default_rng(seed))
    return pairs_apart(draw_rows(_columns(tables), 200_000, rng=np.random.default_rng(2)), law)


def test_without_noise_the_pairs_are_recovered(law: Law) -> None:
    """Within 0.015 of the law in total variation, where independence is 10 times as far."""
    assert _error(measured_from(law, std=0.1), law) < 0.015
    assert law_apart(independent(law), law) > 0.15  # control


@pytest.mark.parametrize("seed", range(6))
def test_weights_vanish_in_endless_noise(law: Law, seed: int) -> None:
    noisy = measured_from(law, std=100 * ROWS, seed=seed)
    tables = fit_tables(noisy, rng=np.random.default_rng(1))
    assert float(tables.weight.abs().max()) < 0.25
    assert _error(noisy, law) < law_apart(independent(law), law) + 0.01


@pytest.mark.parametrize("share", [1 / 5, 1 / 20])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_much_noise_is_hardly_worse_than_independence(strength: float, share: float) -> None:
    """Noise of a fifth or a twentieth of all rows in a cell; a cell holds a ninth on average.

    The mean over six draws is at most 0.015 in total variation above the columns on their own.
    """
    law = joint(strength)
    found = [_error(measured_from(law, std=share * ROWS, seed=s), law) for s in range(6)]
    assert np.mean(found) < law_apart(independent(law), law) + 0.015


@pytest.mark.parametrize("seed", range(3))
def test_much_noise_on_independent_columns_makes_up_little(seed: int) -> None:
    """The law is independent here, so whatever is found is made up: below 0.02."""
    law = joint(0.0)
    assert law_apart(independent(law), law) < 1e-12
    assert _error(measured_from(law, std=ROWS / 5, seed=seed), law) < 0.02


def test_less_noise_is_better(law: Law) -> None:
    found = [
        np.mean([_error(measured_from(law, std=s, seed=k), law) for k in range(3)])
        for s in (2000.0, 300.0, 30.0)
    ]
    assert found[0] > found[1] > found[2]


def test_one_way_marginals_are_met(law: Law) -> None:
    tables = fit_tables(measured_from(law, std=200.0), rng=np.random.default_rng(1))
    codes = draw_rows(_columns(tables), 200_000, rng=np.random.default_rng(2))
    for column, size in enumerate(SIZES):
        share = np.bincount(codes[:, column], minlength=size) / len(codes)
        assert 0.5 * np.abs(share - shares(law, column)).sum() < 0.01


def test_only_measured_pairs_have_tables(law: Law) -> None:
    pairs = ((0, 2), (1, 3))
    tables = fit_tables(measured_from(law, std=5.0, pairs=pairs), rng=np.random.default_rng(1))
    starts = np.r_[0, np.cumsum(SIZES)]
    for i in range(len(SIZES)):
        for j in range(len(SIZES)):
            block = tables.weight[starts[j] : starts[j + 1], starts[i] : starts[i + 1]]
            assert bool(block.any()) == ((i, j) in pairs)


def test_the_fit_is_a_function_of_its_arguments(law: Law) -> None:
    noisy = measured_from(law, std=200.0)
    one, two = (fit_tables(noisy, rng=np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one.weight, two.weight)
    assert torch.equal(one.bias, two.bias)


@pytest.mark.parametrize("std", [1.0, 300.0])
def test_a_column_agrees_with_a_slow_twin(law: Law, std: float) -> None:
    """The second column's regression written out again in float64 and minimised from zero.

    Its only earlier column is drawn in known shares, so that the problem can be written down; the
    two solutions give the same table of probabilities within 0.01.
    """
    pool = module._POOL
    noisy = measured_from(law, std=std, pairs=((0, 1),))
    tables = fit_tables(noisy, rng=np.random.default_rng(1))
    a, b = SIZES[:2]
    first = draw_rows(  # the pool's first column is the rounding of its shares
        _columns(tables), pool, rng=np.random.default_rng(1)
    )[:, 0]
    seen = np.bincount(first, minlength=a) / pool
    margin = ROWS * noisy.one_way[1]
    settled = with_margins(noisy.tables[0], ROWS * seen, margin)
    ridge = module._ridge(settled, ROWS * seen, margin, std=std) / ROWS
    target, share = settled / ROWS, noisy.one_way[1]

    def loss(at: NDArray[np.float64]) -> float:
        weight, bias = at[: a * b].reshape(a, b), at[a * b :]
        logits = weight + bias
        total = (logits - log_softmax(logits, axis=1))[:, 0]
        met = (weight * target).sum() + (bias * share).sum()
        return float(seen @ total - met + 0.5 * (ridge * weight**2).sum())

    found = minimize(loss, np.r_[np.zeros(a * b), np.log(share)], method="BFGS").x
    slow = softmax(found[: a * b].reshape(a, b) + found[a * b :], axis=1)
    logits = tables.weight[a : a + b, :a].T + tables.bias[a : a + b]
    fast = torch.softmax(logits, 1).numpy()
    assert np.abs(fast - slow).max() < 0.01


def test_a_hidden_branch_is_made_up_for(law: Law) -> None:
    """A branch of random weights stays in the logits, and the pairs are still recovered."""
    rng = np.random.default_rng(4)
    width, starts = sum(SIZES), np.r_[0, np.cumsum(SIZES)]
    inner, outer = rng.normal(0, 1, (3, width)), rng.normal(0, 1, (width, 3))
    for unit in range(3):  # unit k sees the columns up to k and feeds those after it
        inner[unit, starts[unit + 1] :] = 0.0
        outer[: starts[unit + 1], unit] = 0.0
    hidden = HiddenBranch(
        *(
            torch.from_numpy(x.astype(np.float32))
            for x in (inner, np.zeros(3), outer, np.zeros(width))
        ),
        scale=1.0,
    )
    measured = measured_from(law, std=0.1)
    plain = fit_tables(measured, rng=np.random.default_rng(1))
    around = fit_tables(measured, rng=np.random.default_rng(1), hidden=hidden, start=plain)
    bad = draw_rows(_columns(plain, hidden), 200_000, rng=np.random.default_rng(2))
    good = draw_rows(_columns(around, hidden), 200_000, rng=np.random.default_rng(2))
    assert pairs_apart(good, law) < 0.03
    assert pairs_apart(bad, law) > 0.06  # control: the branch does something


def test_codes_without_mass_and_single_codes_are_no_trouble() -> None:
    """Empty codes, a column of one code, tables far below zero: finite weights."""
    one_way = (np.array([1.0, 0.0, 0.0]), np.array([1.0]), np.array([0.5, 0.5]))
    shapes = ((3, 1), (3, 2), (1, 2))
    tables = tuple(np.full(s, -50.0) for s in shapes)
    measured = Measured(100.0, one_way, 5.0, ((0, 1), (0, 2), (1, 2)), tables, 20.0)
    fitted = fit_tables(measured, rng=np.random.default_rng(0))
    assert bool(torch.isfinite(fitted.weight).all())
    assert bool(torch.isfinite(fitted.bias).all())


def test_pairs_of_the_law_are_those_of_its_sample(law: Law) -> None:
    """Control of the measure used above: rows of the law itself are near, others far."""
    rng = np.random.default_rng(1)
    cells = np.stack(np.unravel_index(rng.choice(law.size, 200_000, p=law.ravel()), SIZES), axis=1)
    assert pairs_apart(cells, law) < 0.01
    assert pairs_apart(cells, independent(law)) > 0.1
    assert sum(pair_table(law, p).sum() for p in PAIRS) == pytest.approx(len(PAIRS))
