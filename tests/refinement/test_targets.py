"""Targets: between model and measurement, on the side that the noise speaks for."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dpsynth.refinement.measured import Measured
from dpsynth.refinement.targets import targets_for

from .conftest import PAIRS, ROWS, SIZES, independent, measured_from, pair_table

Law = NDArray[np.float64]


def _sample(law: Law, rows: int = 100_000) -> NDArray[np.int64]:
    cells = np.random.default_rng(3).choice(law.size, rows, p=law.ravel())
    return np.stack(np.unravel_index(cells, SIZES), axis=1).astype(np.int64)


def _apart(tables: tuple[Law, ...], law: Law) -> float:
    apart = [np.abs(t - pair_table(law, p)).sum() for t, p in zip(tables, PAIRS, strict=True)]
    return float(np.mean(apart) / 2)


def test_without_noise_the_measured_tables_are_the_targets(law: Law) -> None:
    found = targets_for(measured_from(law, std=1e-6), _sample(independent(law)))
    assert found.pairs == PAIRS
    for table, pair in zip(found.tables, PAIRS, strict=True):
        assert table == pytest.approx(pair_table(law, pair), abs=1e-6)


def test_tables_lost_in_noise_are_left_to_the_model(law: Law) -> None:
    """The model is right here; half of the noise would put the targets over 0.5 away."""
    noisy = measured_from(law, std=2 * ROWS)
    plain = tuple(t / ROWS for t in noisy.tables)
    assert _apart(plain, law) > 1.0  # control
    assert _apart(targets_for(noisy, _sample(law)).tables, law) < 0.35


@pytest.mark.parametrize("std", [50.0, 300.0])
def test_the_targets_beat_both_estimates_on_average(law: Law, std: float) -> None:
    """A model that is off and tables with noise: the mean over 30 draws, in mean square."""
    wrong = 0.8 * law + 0.2 * independent(law)
    sample = _sample(wrong)

    def squares(tables: tuple[Law, ...]) -> float:
        return float(
            sum(np.square(t - pair_table(law, p)).sum() for t, p in zip(tables, PAIRS, strict=True))
        )

    model = tuple(pair_table(wrong, p) for p in PAIRS)
    sums = np.zeros(3)
    for seed in range(30):
        noisy = measured_from(law, std=std, seed=seed)
        plain = tuple(t / ROWS for t in noisy.tables)
        sums += [squares(t) for t in (targets_for(noisy, sample).tables, plain, model)]
    assert sums[0] < sums[1]
    assert sums[0] < sums[2]


def test_targets_are_distributions_whatever_was_measured(law: Law) -> None:
    noisy = measured_from(law, std=ROWS)
    hopeless = replace(noisy, tables=tuple(np.full(t.shape, -10.0 * ROWS) for t in noisy.tables))
    for measured in (noisy, hopeless):
        for table in targets_for(measured, _sample(law)).tables:
            assert (table >= 0).all()
            assert table.sum() == pytest.approx(1.0)


def test_one_way_targets_are_the_measured_ones(law: Law) -> None:
    noisy: Measured = measured_from(law, std=10.0)
    assert targets_for(noisy, _sample(law)).one_way is noisy.one_way
