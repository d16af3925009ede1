"""The classifier two-sample test: silent on one source, loud on two, and honest about its width."""

import numpy as np
import pandas as pd
import pytest

from audits.checks import two_sample
from audits.judgement import Settings
from audits.records import encode

SETTINGS = Settings(seed=1, confidence=0.95, groups=1)


def run(train, holdout, synthetic):
    tables = encode(train, holdout, synthetic).map(lambda records: records.ordered())
    return two_sample.run(tables, settings=SETTINGS)


def cells(n, seed, *, step=1):
    """One of 16 whole numbers, or one of every step-th of them."""
    drawn = np.random.default_rng([40, seed]).integers(0, 16 // step, n)
    return pd.DataFrame({"cell": (drawn * step).astype(float)})


def test_shuffled_columns_are_told_apart_and_fresh_rows_are_not(mixed_table):
    train, holdout, fresh = (mixed_table(600, seed) for seed in range(3))
    for table in (train, holdout, fresh):
        table["twice"] = table["height"] * 2
    silent = run(train, holdout, fresh)
    assert silent.figures["auroc"].lower < 0.5 < silent.figures["auroc"].upper
    rng = np.random.default_rng(3)
    broken = fresh.assign(twice=rng.permutation(fresh["twice"].to_numpy()))
    loud = run(train, holdout, broken)
    assert loud.figures["auroc"].lower > 0.75
    assert loud.figures["auroc_baseline"] == silent.figures["auroc_baseline"]
    assert loud.p_value is None
    assert set(loud.figures) == {"auroc", "auroc_baseline"}


def test_rows_with_equal_values_may_lie_in_both_halves():
    """Every other value is missing: a learner that never met the value it scores could not tell."""
    got = run(cells(400, 0), cells(400, 1), cells(400, 2, step=2))
    assert got.figures["auroc"].value == pytest.approx(0.75, abs=0.05)
    assert got.figures["auroc_baseline"].value == pytest.approx(0.5, abs=0.07)


def test_copying_the_training_table_gains_nothing(mixed_table):
    train, holdout = mixed_table(400, 0), mixed_table(400, 1)
    got = run(train, holdout, train)
    assert got.figures["auroc"] == got.figures["auroc_baseline"]


def _missed(make, rows, seeds):
    missed = 0
    for seed in range(seeds):
        tables = encode(make(rows, 2 * seed), make(rows, 2 * seed + 1), make(rows, 0))
        folds = np.random.default_rng(seed).permutation(rows) % 2
        got = two_sample._told_apart(tables.train, tables.holdout, folds, confidence=0.95)
        missed += not got.lower <= 0.5 <= got.upper
    return missed


def test_the_interval_holds_a_half_on_one_source(mixed_table):
    """20 pairs of draws; at a rate of 5 % more than 4 misses have probability 0.3 %."""
    assert _missed(mixed_table, 100, 20) <= 4


@pytest.mark.slow
def test_the_interval_holds_a_half_on_one_source_at_length(mixed_table):
    """300 pairs of draws; at a rate of 5 % more than 26 misses have probability 0.3 %."""
    assert _missed(mixed_table, 300, 300) <= 26


def test_the_order_of_rows_and_the_rows_beyond_the_bound_do_not_matter(mixed_table, monkeypatch):
    train, holdout, made = (mixed_table(n, seed) for n, seed in ((200, 0), (150, 1), (300, 2)))
    first = run(train, holdout, made)
    assert dict(first.rows_used) == {"train": 150, "holdout": 150, "synthetic": 150}
    again = run(*(t.sample(frac=1, random_state=4) for t in (train, holdout, made)))
    assert first.figures == again.figures
    monkeypatch.setattr(two_sample, "MAX_ROWS", 80)
    assert run(train, holdout, made).rows_used["synthetic"] == 80


def test_few_rows_rule_nothing_out(mixed_table):
    got = run(mixed_table(100, 0), mixed_table(100, 1), mixed_table(49, 2))
    for estimate in got.figures.values():
        assert (estimate.value, estimate.lower, estimate.upper) == (0.5, 0.0, 1.0)
    assert "49 rows in the smallest table are too few" in got.nothing


def test_columns_that_do_not_vary_tell_nothing():
    flat = pd.DataFrame({"x": [1.0] * 60, "empty": [np.nan] * 60, "c": ["same"] * 60})
    for estimate in run(flat, flat, flat).figures.values():
        assert estimate.value == 0.5
        assert estimate.lower < 0.4 < 0.6 < estimate.upper


def test_values_outside_the_domain_are_seen(mixed_table):
    made = mixed_table(100, 2).assign(height=1e300, town="atlantis")
    got = run(mixed_table(100, 0), mixed_table(100, 1), made)
    assert got.figures["auroc"].value == 1.0
    assert got.figures["auroc"].lower < 1.0
