"""Raking: weights that bring a sample to what was measured, as far as the noise lets them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dpsynth.refinement.measured import Measured
from dpsynth.refinement.raking import MOST, _capped, aims, raked
from dpsynth.refinement.selection import all_pairs

from .conftest import PAIRS, ROWS, SIZES, independent, joint, measured_from, pair_table, shares

Law = NDArray[np.float64]
Codes = NDArray[np.int64]


def _sample(law: Law, rows: int = 60_000, seed: int = 3) -> Codes:
    cells = np.random.default_rng(seed).choice(law.size, rows, p=law.ravel())
    return np.stack(np.unravel_index(cells, SIZES), axis=1).astype(np.int64)


def _wrong(law: Law) -> Law:
    """A model that has half of the dependence and one-way marginals that are off."""
    mixed = 0.5 * law + 0.5 * independent(law)
    tilt = np.exp(np.linspace(-0.4, 0.4, SIZES[0])).reshape(-1, 1, 1, 1)
    return np.asarray(mixed * tilt / (mixed * tilt).sum())


def _effective(weights: Law) -> float:
    return float(weights.sum() ** 2 / np.square(weights).sum() / len(weights))


def _apart(codes: Codes, weights: Law, law: Law) -> float:
    """Mean total variation between the weighed pairs' tables and a law's."""
    found = []
    for i, j in PAIRS:
        table = np.zeros((SIZES[i], SIZES[j]))
        np.add.at(table, (codes[:, i], codes[:, j]), weights / weights.sum())
        found.append(0.5 * np.abs(table - pair_table(law, (i, j))).sum())
    return float(np.mean(found))


def _weighed(measured: Measured, pool: Codes) -> Law:
    return raked(pool, aims(measured, pool))


def test_exact_tables_are_met(law: Law) -> None:
    pool = _sample(_wrong(law))
    weights = _weighed(measured_from(law, std=1e-6), pool)
    assert _apart(pool, np.ones(len(pool)), law) > 0.1  # control
    assert _apart(pool, weights, law) < 0.01
    for j in range(len(SIZES)):
        found = np.bincount(pool[:, j], weights=weights) / len(pool)
        np.testing.assert_allclose(found, shares(law, j), atol=1e-3)


def test_tables_lost_in_noise_leave_the_rows_alone(law: Law) -> None:
    """The model is right; followed to the letter the noise would put it over 0.08 away."""
    pool, noisy = _sample(law), measured_from(law, std=ROWS / 2)
    assert _apart(pool, _weighed(replace(noisy, std=1e-6), pool), law) > 0.08  # control
    assert _apart(pool, _weighed(noisy, pool), law) < 0.05


@pytest.mark.parametrize("std", [50.0, 400.0])
def test_weighed_rows_beat_the_model_and_the_noisy_tables(law: Law, std: float) -> None:
    """Means over 10 draws of the noise."""
    pool = _sample(_wrong(law), rows=20_000)
    heeded = blind = 0.0
    for seed in range(10):
        noisy = measured_from(law, std=std, seed=seed)
        heeded += _apart(pool, _weighed(noisy, pool), law) / 10
        blind += _apart(pool, _weighed(replace(noisy, std=1e-6), pool), law) / 10
    assert heeded < 0.75 * _apart(pool, np.ones(len(pool)), law)
    assert heeded < (blind if std > 100 else 1.02 * blind)


def test_rows_that_agree_keep_their_weights(law: Law) -> None:
    weights = _weighed(measured_from(law, std=20.0), _sample(law))
    assert _effective(weights) > 0.98
    assert _effective(_weighed(measured_from(law, std=20.0), _sample(_wrong(law)))) < 0.9  # control


def _alone(law: Law, *, noise: float, seed: int) -> Measured:
    """One-way marginals with noise and no pairs."""
    rng = np.random.default_rng(seed)
    known = replace(measured_from(law, std=1.0), pairs=(), tables=(), one_way_std=noise)
    noisy = tuple(np.maximum(s + rng.normal(0, noise / ROWS, len(s)), 0) for s in known.one_way)
    return replace(known, one_way=tuple(s / s.sum() for s in noisy))


def test_without_pairs_what_is_within_the_noise_is_left_alone(law: Law) -> None:
    """Means over 10 draws: what the noise moved comes through if it is taken for the truth."""
    pool = _sample(law, rows=20_000)
    moved = taken = 0.0
    for seed in range(10):
        alone = _alone(law, noise=400.0, seed=seed)
        moved += float(np.var(_weighed(alone, pool))) / 10
        taken += float(np.var(_weighed(replace(alone, one_way_std=1e-6), pool))) / 10
    assert taken > 0.005  # control
    assert moved < 0.3 * taken


def test_without_pairs_marginals_that_are_off_are_met(law: Law) -> None:
    pool = _sample(_wrong(law))
    weights = _weighed(_alone(law, noise=20.0, seed=0), pool)
    before = np.bincount(pool[:, 0]) / len(pool)
    after = np.bincount(pool[:, 0], weights=weights) / len(pool)
    assert np.abs(before - shares(law, 0)).sum() > 0.1
    assert np.abs(after - shares(law, 0)).sum() < 0.01


def test_weights_do_not_depend_on_the_order_of_rows(law: Law) -> None:
    pool, noisy = _sample(_wrong(law), rows=2_000), measured_from(law, std=50.0)
    order = np.random.default_rng(0).permutation(len(pool))
    np.testing.assert_allclose(_weighed(noisy, pool[order]), _weighed(noisy, pool)[order])


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    rows=st.integers(1, 200),
    std=st.sampled_from([0.0, 1e-6, 3.0, 1e9]),
    level=st.sampled_from([0.0, 1e-9, 1.0, 1e12, -1e12]),
    seed=st.integers(0, 2**32 - 1),
)
def test_weights_are_sound_whatever_was_measured(
    sizes: list[int], rows: int, std: float, level: float, seed: int
) -> None:
    """Zero shares, codes that no row has, hopeless tables, constant columns, one row."""
    rng = np.random.default_rng(seed)
    pool = np.stack([rng.integers(0, rng.integers(1, s + 1), rows) for s in sizes], axis=1)
    one_way = tuple(rng.dirichlet(np.full(s, 0.1)) for s in sizes)
    pairs = all_pairs(len(sizes))[: int(rng.integers(0, 7))]
    tables = tuple(level * rng.normal(0, 1, (sizes[i], sizes[j])) for i, j in pairs)
    measured = Measured(float(rng.integers(1, 1000)), one_way, std, pairs, tables, std)
    weights = _weighed(measured, pool)
    assert weights.shape == (rows,)
    assert (weights > 0).all()
    assert (weights <= MOST * (1 + 1e-12)).all()
    assert weights.mean() == pytest.approx(1.0, rel=1e-6)


def test_no_row_weighs_more_than_the_cap() -> None:
    """All that is wanted is in a tenth of the rows."""
    pool = np.repeat([[0], [1]], [100, 900], axis=0)
    wanted = Measured(1000.0, (np.array([1.0, 0.0]),), 1.0, (), (), 1.0)
    weights = _weighed(wanted, pool)
    np.testing.assert_allclose(weights[:100], MOST)
    np.testing.assert_allclose(weights[100:], (1000 - 100 * MOST) / 900)


def test_weights_that_have_vanished_come_back_where_the_cap_leaves_room() -> None:
    weights = _capped(np.repeat([1.0, 0.0], [10, 90]))
    np.testing.assert_allclose(weights, np.repeat([MOST, (100 - 10 * MOST) / 90], [10, 90]))


def test_targets_are_distributions(law: Law) -> None:
    pool = _sample(joint(0.3), rows=1_000)
    found = aims(measured_from(law, std=5 * ROWS), pool)
    assert found.pairs == PAIRS
    for table in (*found.one_way, *found.tables):
        assert (table >= 0).all()
        assert table.sum() == pytest.approx(1.0)
