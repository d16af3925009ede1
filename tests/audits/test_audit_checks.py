import numpy as np
import pandas as pd
import pytest

from audits.checks import fidelity
from audits.judgement import Settings
from audits.records import encode
from audits.tables.binning import cells

SETTINGS = Settings(seed=1, confidence=0.95, groups=3)


def value(evidence, name):
    return evidence.figures[name].value


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
