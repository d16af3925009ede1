"""Train on synthetic, test on real: known answers, naive twins, and tables that cannot be used."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from audits.checks import utility
from audits.judgement import Settings
from audits.measures import targets
from audits.measures.targets import auroc_replicates, chosen_targets, skills
from audits.records import encode

SETTINGS = Settings(seed=1, confidence=0.95, groups=1)
NAMES = {
    "tstr_auroc_mean",
    "tstr_auroc_mean_baseline",
    "tstr_rank_correlation_mean",
    "tstr_rank_correlation_mean_baseline",
    "tstr_ratio",
    "tstr_worst",
    "tstr_worst_baseline",
}


def people(n, seed):
    """A number, one that follows it, a category that follows both, and a coin."""
    rng = np.random.default_rng([50, seed])
    x = rng.normal(size=n)
    y = x + 0.5 * rng.normal(size=n)
    return pd.DataFrame(
        {
            "x": x,
            "y": y,
            "c": np.where(y > 0, "up", "down"),
            "coin": rng.choice(["heads", "tails"], n),
        }
    )


def shuffled(table, seed):
    rng = np.random.default_rng(seed)
    return table.apply(lambda column: rng.permutation(column.to_numpy()))


def run(train, holdout, synthetic):
    tables = encode(train, holdout, synthetic).map(lambda records: records.ordered())
    return utility.run(tables, settings=SETTINGS)


def ends(estimate):
    return estimate.lower, estimate.upper


def test_fresh_rows_teach_as_much_as_training_rows():
    got = run(people(500, 0), people(500, 1), people(500, 2))
    assert set(got.figures) == NAMES
    ratio = got.figures["tstr_ratio"]
    assert ratio.value == pytest.approx(1.0, abs=0.1)
    assert got.p_value is None
    # The category follows a column without noise; the coin follows nothing.
    scores = dict(zip(got.curves["targets"], got.curves["trtr"], strict=True))
    assert scores["c"] > 0.98
    assert scores["coin"] == pytest.approx(0.5, abs=0.08)


def test_a_copy_of_train_has_the_same_scores_to_the_last_bit():
    train = people(300, 0)
    got = run(train, people(300, 1), train)
    assert got.curves["tstr"] == got.curves["trtr"]
    assert ends(got.figures["tstr_ratio"]) == (1.0, 1.0)
    for name in NAMES - {"tstr_ratio"}:
        if not name.endswith("_baseline"):
            assert got.figures[name] == got.figures[f"{name}_baseline"]


def test_rows_without_links_between_columns_teach_nothing():
    train = people(500, 0)
    got = run(train, people(500, 1), shuffled(train, 3))
    assert got.figures["tstr_ratio"].upper < 0.25
    assert got.figures["tstr_auroc_mean"].upper < got.figures["tstr_auroc_mean_baseline"].lower
    assert got.figures["tstr_worst"].upper < got.figures["tstr_worst_baseline"].lower
    assert "The largest loss is at 'c'" in got.nothing


def test_the_mean_is_over_the_targets_and_the_worst_is_one_of_them():
    train = people(300, 0)
    got = run(train, people(300, 1), shuffled(train, 4))
    names, made, real = (got.curves[key] for key in ("targets", "tstr", "trtr"))
    kinds = dict(zip(names, got.curves["scores"], strict=True))
    assert kinds == {
        "c": "auroc",
        "coin": "auroc",
        "x": "rank_correlation",
        "y": "rank_correlation",
    }
    assert got.figures["tstr_auroc_mean"].value == pytest.approx(np.mean(made[:2]))
    assert got.figures["tstr_rank_correlation_mean"].value == pytest.approx(np.mean(made[2:]))
    skill = [[2 * s - 1 for s in side[:2]] + list(side[2:]) for side in (made, real)]
    worst = int(np.argmax(np.subtract(skill[1], skill[0])))
    assert got.figures["tstr_worst"].value == pytest.approx(skill[0][worst])
    assert got.figures["tstr_ratio"].value == pytest.approx(
        np.clip(np.mean(skill[0]) / np.mean(skill[1]), 0, 2)
    )


def test_the_interval_has_the_spread_of_fresh_holdouts():
    train = people(300, 0)
    made, values, halves = people(300, 1), [], []
    for seed in range(10, 26):
        tables = encode(train, people(200, seed), made)
        target = next(t for t in chosen_targets(tables.train, rng=np.random.default_rng(0)))
        groups = np.arange(200) % 20
        found, sure = skills(
            target, tables.synthetic, tables.holdout, groups, ranked_by=tables.train
        )
        assert sure
        scored = utility._Scored(target=target, made=found, real=found, sure=sure)
        estimate = utility._mean([scored], "made", enough=True, confidence=0.95)
        values.append(estimate.value)
        halves.append((estimate.upper - estimate.lower) / 2)
    assert np.mean(halves) == pytest.approx(2.09 * np.std(values, ddof=1), rel=0.6)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 2)), min_size=1, max_size=40
    )
)
@settings(derandomize=True, deadline=None, max_examples=50)
def test_auroc_replicates_are_those_of_the_rows_left(rows):
    scores, positive, groups = (np.array(column) for column in zip(*rows, strict=True))
    got = auroc_replicates(scores.astype(float), positive, groups, 3)
    for place, kept in enumerate([groups >= 0, *(groups != g for g in range(3))]):
        both = kept.any() and positive[kept].any() and not positive[kept].all()
        want = roc_auc_score(positive[kept], scores[kept]) if both else 0.5
        assert got[place] == pytest.approx(want)


def test_rank_skill_is_spearman():
    rng = np.random.default_rng(8)
    left, right = rng.integers(0, 9, 80), rng.integers(0, 9, 80)
    assert targets._spearman(left, right) == pytest.approx(stats.spearmanr(left, right).statistic)
    assert targets._spearman(left, np.ones(80)) == 0.0


# which columns -----------------------------------------------------------------------------------


def named(table, seed=0):
    encoded = encode(table, table, table)
    chosen = chosen_targets(encoded.train, rng=np.random.default_rng(seed))
    return [target.name for target in chosen]


def test_targets_need_common_labels_or_numbers_that_vary():
    table = people(100, 0).assign(
        flat=1.0,
        empty=np.nan,
        same="k",
        key=[f"id {i}" for i in range(100)],
        many=[f"level {i % 21}" for i in range(100)],
        rare=["a"] * 91 + ["b"] * 9,
    )
    assert sorted(named(table)) == ["c", "coin", "x", "y"]
    # One more row makes the second label common enough.
    assert "rare" in named(table.assign(rare=["a"] * 90 + ["b"] * 10, c="k"))


def test_the_best_predicted_columns_are_taken_and_spelt_out_ones_last():
    table = people(400, 0)
    rng = np.random.default_rng(9)
    table["twin"] = table["x"] * 3.0 + 1.0
    table["z"] = table["y"] + 0.3 * rng.normal(size=400)
    table["noise"] = rng.normal(size=400)
    # Each of x and its twin spells the other out; noise is poor but better than a lookup.
    chosen = [name for name in named(table) if name not in ("c", "coin")]
    assert chosen == ["y", "z", "noise"]


def test_the_choice_looks_at_training_rows_alone():
    table = people(200, 0)
    table["n1"], table["n2"] = (np.random.default_rng(s).normal(size=200) for s in (1, 2))
    first = run(table, table.sample(frac=1, random_state=1), table).curves["targets"]
    other = run(table, shuffled(table, 5), shuffled(table, 6)).curves["targets"]
    assert first == other
    assert len(first) == 5


def test_a_missing_target_leaves_its_row_out():
    train, holdout = people(200, 0), people(200, 1)
    gappy = train.apply(lambda column: column.where(np.arange(200) % 2 == 0))
    tables = encode(train, holdout, gappy)
    short = encode(train, holdout, train[::2])
    for target in chosen_targets(tables.train, rng=np.random.default_rng(0)):
        got, want = (
            skills(target, t.synthetic, t.holdout, np.zeros(200, int), ranked_by=t.train)[0][0]
            for t in (tables, short)
        )
        assert got == want


# tables that cannot be used ----------------------------------------------------------------------


def test_few_holdout_rows_rule_nothing_out():
    got = run(people(200, 0), people(30, 1), people(200, 2))
    assert ends(got.figures["tstr_auroc_mean"]) == (0.0, 1.0)
    assert ends(got.figures["tstr_ratio"]) == (0.0, 2.0)
    assert "30 rows in 'holdout' are too few" in got.nothing


def test_few_synthetic_rows_are_named_and_do_not_change_the_targets():
    got = run(people(200, 0), people(100, 1), people(2, 2))
    assert got.curves["targets"] == ["c", "coin", "x", "y"]
    assert set(got.figures) == NAMES
    assert "2 rows in 'synthetic' are too few" in got.nothing


def test_a_holdout_of_one_class_is_told():
    got = run(people(200, 0), people(200, 1).assign(c="up"), people(200, 2))
    assert ends(got.figures["tstr_auroc_mean"]) == (0.0, 1.0)
    assert "too few rows with and without the labels of ['c']" in got.nothing
    assert ends(got.figures["tstr_rank_correlation_mean"]) != (-1.0, 1.0)


def test_a_synthetic_table_of_one_class_predicts_nothing():
    made = people(200, 2).assign(c="up", coin="edge", x=7.0, y=np.nan)
    got = run(people(200, 0), people(200, 1), made)
    assert got.curves["tstr"] == [0.5, 0.5, 0.0, 0.0]
    assert got.figures["tstr_ratio"].value == 0.0


def test_wild_synthetic_values_do_no_harm():
    made = people(200, 2)
    made.loc[::2, ["x", "y"]] = [1e300, -1e300]
    got = run(people(200, 0), people(200, 1), made)
    assert all(np.isfinite([e.value, e.lower, e.upper]).all() for e in got.figures.values())


def test_a_table_that_nothing_predicts_has_no_ratio():
    coins = [
        pd.DataFrame({"a": people(200, s)["coin"], "b": people(200, s + 9)["coin"]})
        for s in range(3)
    ]
    got = run(*coins)
    assert ends(got.figures["tstr_ratio"]) == (0.0, 2.0)
    assert "Real rows do not predict these targets either" in got.nothing
    assert "No number column could be a target" in got.nothing
    assert ends(got.figures["tstr_rank_correlation_mean"]) == (-1.0, 1.0)


@pytest.mark.parametrize("columns", [["x"], ["flat"], ["flat", "key"]])
def test_tables_without_a_target_keep_every_figure(columns):
    tables = [
        people(60, s).assign(flat=1.0, key=[f"id {i}" for i in range(60)])[columns]
        for s in range(3)
    ]
    got = run(*tables)
    assert set(got.figures) == NAMES
    assert ends(got.figures["tstr_ratio"]) == (0.0, 2.0)
    assert ends(got.figures["tstr_worst"]) == (-1.0, 1.0)
    assert "No column can be a target" in got.nothing
    assert got.curves["targets"] == []


def test_missing_targets_in_the_whole_holdout_are_told():
    got = run(people(100, 0), people(100, 1).assign(c=None, x=np.nan), people(100, 2))
    assert "the labels of ['c', 'x']" in got.nothing


def test_the_order_of_rows_does_not_matter():
    tables = [people(120, seed) for seed in range(3)]
    first = run(*tables)
    again = run(*(table.sample(frac=1, random_state=3) for table in tables))
    assert first.figures == again.figures
    assert first.curves == again.curves
