"""Delete-a-group jackknife: against the textbook, and what must be refused."""

import math

import numpy as np
import pytest
from scipy import stats

from audits.errors import AuditInputError
from audits.measures.resampling import (
    anything,
    group_numbers,
    half_width,
    interval,
    standard_errors,
)


def test_groups_share_the_rows_evenly():
    groups = group_numbers(1003, rng=np.random.default_rng(1))
    assert sorted(np.bincount(groups).tolist()) == [50] * 17 + [51] * 3
    assert group_numbers(1, rng=np.random.default_rng(1)).tolist() == [0]
    assert sorted(group_numbers(7, rng=np.random.default_rng(1)).tolist()) == list(range(7))


def test_leaving_single_rows_out_gives_the_standard_error_of_a_mean():
    values = np.random.default_rng(2).normal(size=20)
    without = np.array([np.delete(values, i).mean() for i in range(20)])
    assert standard_errors(without) == pytest.approx(values.std(ddof=1) / math.sqrt(20))
    got = interval(values.mean(), without, confidence=0.9, bounds=(-9.0, 9.0))
    want = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    assert (got.lower, got.upper) == pytest.approx((want.low, want.high))


def test_many_looks_widen_as_bonferroni_does():
    without = np.random.default_rng(3).normal(size=(20, 4))
    assert half_width(without, confidence=0.8, looks=4) == pytest.approx(
        half_width(without, confidence=0.95)
    )


def test_coverage_is_near_the_confidence_and_not_near_another():
    """400 tables of 200 rows: the share that holds the true mean is 0.95 to within 3.5 errors."""
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(400):
        values = rng.exponential(size=200)
        groups = group_numbers(200, rng=rng)
        without = np.array([values[groups != g].mean() for g in range(20)])
        got = interval(values.mean(), without, confidence=0.95, bounds=(0.0, 9.0))
        hits += got.lower <= 1.0 <= got.upper
    assert abs(hits / 400 - 0.95) < 3.5 * math.sqrt(0.95 * 0.05 / 400)


def test_an_interval_stays_within_the_bounds():
    got = interval(0.1, np.array([0.0, 0.3]), confidence=0.95, bounds=(0.0, 1.0))
    assert (got.lower, got.upper) == (0.0, 1.0)


def test_a_single_group_rules_nothing_out():
    got = interval(0.4, np.array([0.4]), confidence=0.95, bounds=(0.0, 2.0))
    assert (got.value, got.lower, got.upper) == (0.4, 0.0, 2.0)
    with pytest.raises(AuditInputError, match="at least 2 groups"):
        standard_errors(np.array([0.4]))


@pytest.mark.parametrize("value", [1.5, -0.1, math.nan])
def test_an_impossible_figure_is_refused(value):
    with pytest.raises(AuditInputError, match="outside the possible"):
        anything(value, confidence=0.95, bounds=(0.0, 1.0))
