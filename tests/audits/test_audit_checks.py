import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import special

from audits.binning import cells
from audits.checks import copies, diversity, fidelity, nearest_neighbours
from audits.judgement import Settings
from audits.records import encode
from audits.sampling import equal_groups
from audits.statistics import clopper_pearson

SETTINGS = Settings(seed=1, confidence=0.95, tests=3)


def numbers(values):
    return pd.DataFrame({"x": np.asarray(values, dtype=float)})


def value(evidence, name):
    return evidence.figures[name].value


# nearest neighbours ------------------------------------------------------------------------------


def test_share_closer_by_hand():
    # 0, 1, 2 and 5 lie nearer train, 20 nearer the holdout; 6 is 4 away from both.
    tables = encode(numbers([0, 2]), numbers([10, 20]), numbers([0, 1, 2, 20, 6, 5]))
    got = nearest_neighbours.run(tables, settings=SETTINGS)
    assert value(got, "share_closer_to_train") == pytest.approx(4.5 / 6)
    assert value(got, "tie_share") == pytest.approx(1 / 6)
    assert value(got, "dcr_median_train") == pytest.approx(np.median([0, 1, 0, 18, 4, 3]) / 20)
    assert value(got, "dcr_median_holdout") == pytest.approx(np.median([10, 9, 8, 0, 4, 5]) / 20)
    # Nearest over second nearest: 0/2, 1/1, 0/2, 18/20, 4/6, 3/5.
    assert value(got, "nndr_median_train") == pytest.approx(np.median([0, 1, 0, 0.9, 4 / 6, 0.6]))


def test_ratio_of_two_zero_distances_is_one():
    tables = encode(numbers([1, 1]), numbers([5, 6]), numbers([1, 1]))
    assert value(nearest_neighbours.run(tables, settings=SETTINGS), "nndr_median_train") == 1.0


def test_groups_use_every_row_and_have_one_size():
    rng = np.random.default_rng(0)
    for rows, size in [(7, 7), (9, 4), (20, 5), (5, 4)]:
        groups = equal_groups(rows, size, rng=rng)
        assert {len(group) for group in groups} == {size}
        assert set(np.concatenate(groups)) == set(range(rows))
        assert len(groups) == -(-rows // size)
        assert all(len(set(group)) == size for group in groups)


@pytest.mark.parametrize(("n", "h"), [(400, 100), (100, 400), (300, 200)])
def test_unequal_sizes_do_not_tilt_the_share(n, h):
    rng = np.random.default_rng(2)
    shares = []
    for _ in range(20):
        tables = encode(*(pd.DataFrame(rng.normal(size=(rows, 4))) for rows in (n, h, 200)))
        shares.append(
            value(nearest_neighbours.run(tables, settings=SETTINGS), "share_closer_to_train")
        )
    error = np.std(shares, ddof=1) / np.sqrt(20)
    assert abs(np.mean(shares) - 0.5) < 4 * error


# copies ------------------------------------------------------------------------------------------


def test_copies_by_hand():
    train = pd.DataFrame({"c": list("aabcd")})
    holdout = pd.DataFrame({"c": list("abefg")})
    synthetic = pd.DataFrame({"c": list("ccae") + ["new"] * 4})
    got = copies.run(encode(train, holdout, synthetic), settings=SETTINGS)
    assert value(got, "exact_share") == 3 / 8
    assert value(got, "exact_share_holdout") == 2 / 8
    assert value(got, "excess") == 1 / 8
    assert value(got, "train_rows_in_holdout") == 3 / 5
    # Lone rows are c, d in train and e, f, g in the holdout; c and e are hit.
    # Two hit rows among ten real ones, at least one of them in train: 1 - C(5,2)/C(10,2).
    assert got.p_value == pytest.approx(1 - 10 / 45)
    low = (
        clopper_pearson(3, 8, confidence=0.975).lower
        - clopper_pearson(2, 8, confidence=0.975).upper
    )
    assert got.figures["excess"].lower == pytest.approx(low)


def test_unequal_sizes_are_compared_at_the_smaller_one():
    train = pd.DataFrame({"c": list("aabc")})
    holdout = pd.DataFrame({"c": list("ab")})
    synthetic = pd.DataFrame({"c": list("abz")})
    got = copies.run(encode(train, holdout, synthetic), settings=SETTINGS)
    subsets = list(itertools.combinations("aabc", 2))
    a, b = (np.mean([letter in subset for subset in subsets]) for letter in "ab")
    assert value(got, "exact_share") == pytest.approx(2 / 3)
    assert value(got, "exact_share_holdout") == pytest.approx(2 / 3)
    assert value(got, "excess") == pytest.approx((a + b - 2) / 3)


def test_presence_in_a_subsample_agrees_with_counting():
    for total, size in [(6, 2), (6, 5), (5, 5), (300, 200)]:
        count = np.arange(total + 1)
        got = copies._present(count, total, size)
        expected = 1 - special.comb(total - count, size) / special.comb(total, size)
        np.testing.assert_allclose(got, expected, atol=1e-9)
        # Rounding may not reach below nothing: a share is computed from these.
        assert got[0] == 0.0
        assert got.max() <= 1.0


def test_copies_without_any_lone_row_cannot_be_judged():
    table = pd.DataFrame({"c": list("ab") * 60})
    got = copies.run(encode(table, table, table), settings=SETTINGS)
    assert got.p_value == 1.0
    assert "repeat so much" in got.blind
    assert value(got, "detectable_copied_share") == 1.0


# diversity ---------------------------------------------------------------------------------------


def test_diversity_by_hand():
    train = pd.DataFrame({"c": list("aaaabbcd"), "x": [1.0] * 8})
    holdout = pd.DataFrame({"c": list("abca"), "x": [1.0] * 4})
    synthetic = pd.DataFrame({"c": list("aabb"), "x": [1.0] * 4})
    got = diversity.run(encode(train, holdout, synthetic), settings=SETTINGS)
    assert value(got, "category_coverage") == 2 / 4
    assert value(got, "category_coverage_baseline") == 3 / 4
    assert value(got, "dropped_modes") == 2
    assert got.curves["dropped"] == ["c = c", "c = d"]
    chance = (1 - 4 / 8) ** 4 + (1 - 2 / 8) ** 4 + 2 * (1 - 1 / 8) ** 4
    assert value(got, "dropped_modes_expected") == pytest.approx(chance)
    assert value(got, "duplicate_share") == 2 / 4
    assert value(got, "duplicate_share_baseline") == 1 / 4
    assert "2 values or ranges" in got.nothing


def test_missing_is_a_value_that_can_be_dropped():
    real = pd.DataFrame({"x": [1.0, 2.0, np.nan, np.nan]})
    made = pd.DataFrame({"x": [1.0, 2.0, 1.0, 2.0]})
    got = diversity.run(encode(real, real, made), settings=SETTINGS)
    assert got.curves["dropped"] == ["x = missing"]
    # Without category columns, coverage is that of the bins.
    assert value(got, "category_coverage") < 1.0
    assert value(got, "category_coverage_baseline") == 1.0


# fidelity ----------------------------------------------------------------------------------------


def test_fidelity_by_hand():
    train = pd.DataFrame({"a": list("xxyy"), "b": list("xyxy")})
    synthetic = pd.DataFrame({"a": list("xxyy"), "b": list("xxyy")})
    got = fidelity.run(encode(train, train, synthetic), settings=SETTINGS)
    assert value(got, "tvd1") == 0.0
    assert value(got, "tvd2") == 0.5
    # Two columns have no triple; the largest set there is takes its place.
    assert value(got, "tvd3") == 0.5
    assert value(got, "tvd2_baseline") == 0.0
    assert got.curves["tvd2_matrix"] == [[None, 0.5], [0.5, None]]


def test_fidelity_of_a_single_constant_column():
    table = pd.DataFrame({"a": [3.0] * 30})
    got = fidelity.run(encode(table, table, table), settings=SETTINGS)
    assert value(got, "tvd3") == 0.0


def test_fidelity_interval_has_the_spread_of_fresh_draws(mixed_table):
    train = mixed_table(2000, 0)
    values, halves = [], []
    for seed in range(1, 25):
        tables = encode(train, mixed_table(500, 100 + seed), mixed_table(500, 200 + seed))
        estimate = fidelity.run(tables, settings=SETTINGS).figures["tvd2"]
        values.append(estimate.value)
        halves.append((estimate.upper - estimate.lower) / 2)
    assert np.mean(halves) == pytest.approx(1.96 * np.std(values, ddof=1), rel=0.5)


def test_wide_joint_tables_are_counted_without_a_dense_histogram(monkeypatch, mixed_table):
    tables = encode(mixed_table(300, 0), mixed_table(200, 1), mixed_table(200, 2))
    dense = fidelity.run(tables, settings=SETTINGS)
    monkeypatch.setattr(fidelity, "_DENSE_CELLS", 4)
    sparse = fidelity.run(tables, settings=SETTINGS)
    for name, estimate in dense.figures.items():
        assert sparse.figures[name].value == pytest.approx(estimate.value), name


def test_sets_of_columns_are_capped_by_seed():
    for columns in (9, 60):
        first, second = (
            fidelity._choose(columns, 3, 10, rng=np.random.default_rng(seed)) for seed in (1, 1)
        )
        assert first == second
        assert len(first) == len(set(first)) == 10
        assert all(len(set(group)) == 3 for group in first)


# cells -------------------------------------------------------------------------------------------


def test_cells_cut_numbers_by_train_and_keep_missing_apart():
    train = pd.DataFrame({"x": np.r_[np.zeros(50), np.arange(1, 51)], "c": ["u"] * 100})
    made = pd.DataFrame({"x": [0.0, -5.0, 1e9, np.nan], "c": ["u", "v", None, "u"]})
    table = cells(encode(train, train, made))
    shares = np.bincount(table.train[:, 0]) / 100
    # Half of the rows are 0: the value is no cut through them, and the rest is cut finely.
    assert shares.max() == pytest.approx(0.5, abs=0.06)
    assert np.count_nonzero(shares) >= 9
    assert table.synthetic[3, 0] == len(table.labels[0]) - 1
    assert table.synthetic[2, 1] == len(table.labels[1]) - 1
    assert table.synthetic[1, 1] not in table.train[:, 1]
