"""Associations against scipy and against naive loops; differences of copied and broken tables."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audits.checks import correlation
from audits.checks.correlation import associations, correlation_ratio, cramers_v
from audits.judgement import Settings
from audits.records import encode

SETTINGS = Settings(seed=1, confidence=0.95, groups=1)


def linked(n, seed):
    """Two numbers and two categories that hang together."""
    rng = np.random.default_rng([30, seed])
    x = rng.normal(size=n)
    return pd.DataFrame(
        {
            "x": x,
            "y": x + rng.normal(size=n),
            "c": np.where(x + rng.normal(size=n) > 0, "up", "down"),
            "d": np.where(x > 0.5, "far", np.where(x > -0.5, "mid", "near")),
        }
    )


def value(evidence, name):
    return evidence.figures[name].value


def test_two_numbers_are_spearman():
    table = linked(200, 0)
    table["y"] = table["y"].round(1)
    got = associations(encode(table, table, table).train)
    assert got[0, 1] == pytest.approx(stats.spearmanr(table["x"], table["y"]).statistic)
    assert (got == got.T).all()
    assert (np.diag(got) == 1.0).all()


def test_missing_numbers_leave_their_rows_out_of_that_pair_alone():
    table = linked(300, 1)
    table.loc[::3, "y"] = np.nan
    got = associations(encode(table, table, table).train)
    both = table.dropna()
    ranks = table["x"].rank()[both.index], both["y"].rank()
    assert got[0, 1] == pytest.approx(stats.pearsonr(*ranks).statistic)
    whole = associations(encode(*[linked(300, 1)] * 3).train)
    assert got[0, 2] == whole[0, 2]
    assert got[2, 3] == whole[2, 3]


def test_missing_categories_are_a_label():
    table = linked(300, 1)
    table.loc[::3, "c"] = None
    named = table.fillna({"c": "none"})
    first, second = (associations(encode(t, t, t).train) for t in (table, named))
    assert first == pytest.approx(second)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=3, max_size=60))
@settings(derandomize=True, deadline=None, max_examples=30)
def test_cramers_v_is_that_of_a_full_table(pairs):
    left, right = np.array(pairs, dtype=np.int64).T
    table = pd.crosstab(left, right).to_numpy()
    n, (r, k) = len(pairs), table.shape
    if min(r, k) < 2:
        assert cramers_v(left, right) == 0.0
        return
    phi = stats.chi2_contingency(table, correction=False).statistic / n
    phi = max(0.0, phi - (r - 1) * (k - 1) / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    want = math.sqrt(min(1.0, phi / smaller)) if smaller > 1e-12 else 0.0
    assert cramers_v(left, right) == pytest.approx(want, abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5)), min_size=1, max_size=40))
@settings(derandomize=True, deadline=None, max_examples=30)
def test_correlation_ratio_is_the_loop_over_groups(pairs):
    codes, values = np.array(pairs, dtype=np.int64).T
    groups = [values[codes == code] for code in set(codes.tolist())]
    n, k = len(values), len(groups)
    got = correlation_ratio(values.astype(float), codes)
    inside = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    whole = float(((values - values.mean()) ** 2).sum())
    if k < 2 or k >= n or whole == 0:
        assert got == 0.0
        return
    want = 1 - (inside / whole) * (n - 1) / (n - k)
    assert got == pytest.approx(math.sqrt(max(0.0, want)), abs=1e-6)


def test_corrected_measures_are_near_zero_for_independent_columns():
    """Uncorrected, 30 labels on 300 rows would show a strength of about 0.3 by chance alone."""
    rng = np.random.default_rng(5)
    ratios, strengths = [], []
    for _ in range(60):
        codes, other = rng.integers(0, 30, 300), rng.integers(0, 30, 300)
        ratios.append(correlation_ratio(rng.normal(size=300), codes) ** 2)
        strengths.append(cramers_v(codes, other) ** 2)
    assert np.mean(ratios) < 0.03
    assert np.mean(strengths) < 0.005


def test_a_copy_differs_by_nothing_and_a_shuffle_by_what_was_there():
    train, fresh = linked(600, 0), linked(600, 1)
    copy = correlation.run(encode(train, fresh, train), settings=SETTINGS)
    assert value(copy, "correlation_difference_max") == 0.0
    rng = np.random.default_rng(9)
    broken = train.apply(lambda column: rng.permutation(column.to_numpy()))
    got = correlation.run(encode(train, fresh, broken), settings=SETTINGS)
    real = np.array(got.curves["correlation_real"])
    made = np.array(got.curves["correlation_synthetic"])
    apart = [abs(made[i, j] - real[i, j]) for i, j in itertools.combinations(range(4), 2)]
    assert value(got, "correlation_difference_mean") == pytest.approx(np.mean(apart))
    assert value(got, "correlation_difference_max") == pytest.approx(max(apart))
    for word in ("mean", "max"):
        name = f"correlation_difference_{word}"
        assert got.figures[name].lower > got.figures[f"{name}_baseline"].upper
    assert got.curves["columns"] == ["x", "y", "c", "d"]
    assert got.p_value is None


def test_the_interval_has_the_spread_of_fresh_draws():
    train, estimates = linked(2000, 0), []
    rng = np.random.default_rng(11)
    for seed in range(1, 21):
        made = linked(400, seed)
        made["x"] = rng.permutation(made["x"].to_numpy())
        tables = encode(train, made, made)
        estimates.append(
            correlation.run(tables, settings=SETTINGS).figures["correlation_difference_mean"]
        )
    half = np.mean([(e.upper - e.lower) / 2 for e in estimates])
    spread = 2.09 * np.std([e.value for e in estimates], ddof=1)
    # Strengths that are cut off at 0 jump there, which a jackknife takes for more spread.
    assert 0.7 * spread < half < 2.0 * spread


def test_the_interval_of_the_largest_covers_it():
    """The largest true difference is 0 among fresh draws: 20 intervals at 95 % miss at most 3."""
    train = linked(4000, 0)
    missed = 0
    for seed in range(20):
        tables = encode(train, linked(200, 100 + seed), linked(200, 200 + seed))
        estimate = correlation.run(tables, settings=SETTINGS).figures["correlation_difference_max"]
        missed += estimate.lower > 0.05
    assert missed <= 3


def test_many_columns_are_drawn_and_told(monkeypatch):
    monkeypatch.setattr(correlation, "MAX_COLUMNS", 3)
    got = correlation.run(encode(*[linked(80, s) for s in range(3)]), settings=SETTINGS)
    assert len(got.curves["columns"]) == 3
    assert "1 columns were left out by a draw" in got.nothing


def test_a_single_column_has_no_pair():
    table = pd.DataFrame({"x": np.arange(60.0)})
    got = correlation.run(encode(table, table, table), settings=SETTINGS)
    assert "single column" in got.nothing
    for estimate in got.figures.values():
        assert (estimate.lower, estimate.upper) == (0.0, 2.0)


def test_a_single_row_rules_nothing_out():
    tables = encode(linked(60, 0), linked(60, 1), linked(1, 2))
    got = correlation.run(tables, settings=SETTINGS)
    for estimate in got.figures.values():
        assert (estimate.lower, estimate.upper) == (0.0, 2.0)


@pytest.mark.parametrize("which", range(3))
def test_constant_and_empty_columns_go_with_nothing(which):
    tables = [linked(60, seed) for seed in range(3)]
    tables[which] = tables[which].assign(x=1.0, y=np.nan, c="same", d=None)
    kinds = {"x": "number", "y": "number", "c": "category", "d": "category"}
    encoded = encode(*tables, kinds=kinds)
    got = correlation.run(encoded, settings=SETTINGS)
    flat = associations([encoded.train, encoded.holdout, encoded.synthetic][which])
    assert flat.tolist() == np.eye(4).tolist()
    assert np.isfinite([e.upper for e in got.figures.values()]).all()
