"""Distances of counts: naive twin, the breakdown by column, controls, and odd tables."""

import itertools

import numpy as np
import pandas as pd
import pytest

from audits.checks import fidelity
from audits.judgement import Settings
from audits.records import encode
from audits.tables.binning import cells

SETTINGS = Settings(seed=1, confidence=0.95, groups=1)


def distance(left, right):
    """Half the sum of absolute differences of shares, by a loop over the rows' values."""
    shares = [pd.Series(map(tuple, side)).value_counts(normalize=True) for side in (left, right)]
    values = set(shares[0].index) | set(shares[1].index)
    return sum(abs(shares[0].get(v, 0.0) - shares[1].get(v, 0.0)) for v in values) / 2


def test_figures_and_breakdown_are_those_of_a_loop(mixed_table):
    tables = encode(mixed_table(200, 0), mixed_table(150, 1), mixed_table(150, 2))
    got, table = fidelity.run(tables, settings=SETTINGS), cells(tables)
    for ending, rows in (("", table.synthetic), ("_baseline", table.holdout)):
        for order in (1, 2, 3):
            each = {
                chosen: distance(table.train[:, chosen], rows[:, chosen])
                for chosen in itertools.combinations(range(5), order)
            }
            name = f"tvd{order}{ending}"
            assert got.figures[name].value == pytest.approx(np.mean(list(each.values())))
            if order == 1:
                assert got.curves[name] == pytest.approx(list(each.values()))
            if order == 2:
                matrix = got.curves[f"tvd2_matrix{ending}"]
                for (i, j), want in each.items():
                    assert matrix[i][j] == matrix[j][i] == pytest.approx(want)
                assert all(matrix[i][i] is None for i in range(5))
    assert got.curves["columns"] == list(tables.train.names)


def test_the_breakdown_points_at_the_broken_column(mixed_table):
    made = mixed_table(1000, 2).assign(town="south")
    got = fidelity.run(encode(mixed_table(1000, 0), mixed_table(1000, 1), made), settings=SETTINGS)
    ratio = np.array(got.curves["tvd1"]) / np.maximum(got.curves["tvd1_baseline"], 0.01)
    assert got.curves["columns"][int(ratio.argmax())] == "town"
    assert got.figures["tvd1"].lower > got.figures["tvd1_baseline"].upper


def test_shuffling_shows_from_two_columns_on(mixed_table):
    train = mixed_table(1500, 0)
    train["gain"] = train["height"].round(0)
    fresh = mixed_table(1500, 1)
    fresh["gain"] = fresh["height"].round(0)
    rng = np.random.default_rng(2)
    broken = train.assign(gain=rng.permutation(train["gain"].to_numpy()))
    got = fidelity.run(encode(train, fresh, broken), settings=SETTINGS)
    assert got.figures["tvd1"].value == 0.0
    assert got.figures["tvd2"].lower > got.figures["tvd2_baseline"].upper


def test_a_copy_is_at_no_distance_and_below_the_baseline(mixed_table):
    train = mixed_table(500, 0)
    got = fidelity.run(encode(train, mixed_table(500, 1), train), settings=SETTINGS)
    for order in (1, 2, 3):
        assert got.figures[f"tvd{order}"].value == 0.0
        assert got.figures[f"tvd{order}_baseline"].lower > 0.0


def test_disjoint_values_are_as_far_as_can_be():
    train = pd.DataFrame({"c": ["a"] * 60, "x": [0.0] * 60})
    made = pd.DataFrame({"c": ["z"] * 60, "x": [np.nan] * 60})
    got = fidelity.run(encode(train, train, made), settings=SETTINGS)
    for order in (1, 2, 3):
        assert got.figures[f"tvd{order}"].value == 1.0


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_a_handful_of_rows_gives_wide_intervals(mixed_table, rows):
    tables = encode(mixed_table(60, 0), mixed_table(60, 1), mixed_table(rows, 2))
    got = fidelity.run(tables, settings=SETTINGS)
    assert got.rows_used["synthetic"] == got.rows_used["holdout"] == rows
    for estimate in got.figures.values():
        assert 0.0 <= estimate.lower <= estimate.value <= estimate.upper <= 1.0
    if rows == 1:
        assert all((e.lower, e.upper) == (0.0, 1.0) for e in got.figures.values())


def test_constant_and_empty_columns_stay_in_the_breakdown(mixed_table):
    tables = [mixed_table(80, seed).assign(flat="k", empty=np.nan) for seed in range(3)]
    got = fidelity.run(encode(*tables), settings=SETTINGS)
    places = [got.curves["columns"].index(name) for name in ("flat", "empty")]
    assert [got.curves["tvd1"][place] for place in places] == [0.0, 0.0]
    assert len(got.curves["tvd1"]) == len(got.curves["tvd1_baseline"]) == 7


def test_the_order_of_rows_does_not_matter(mixed_table):
    tables = [mixed_table(n, n) for n in (90, 120, 150)]
    first, again = (
        fidelity.run(
            encode(*(t.sample(frac=1, random_state=s) for t in tables)).map(lambda r: r.ordered()),
            settings=SETTINGS,
        )
        for s in (1, 2)
    )
    assert first.figures == again.figures
