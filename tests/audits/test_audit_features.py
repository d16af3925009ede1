"""Records as a matrix for trees: order, rare and unknown labels, missing values."""

import numpy as np
import pandas as pd
import pytest
import threadpoolctl

from audits.errors import AuditInputError
from audits.measures import learning
from audits.measures.learning import class_scores, number_scores
from audits.records import encode
from audits.tables.features import column_names, design


@pytest.fixture
def tables():
    train = pd.DataFrame({"x": [0.0, 10.0, np.nan, 5.0], "c": ["b", "b", "a", None]})
    made = pd.DataFrame({"x": [-99.0, 99.0, 5.0, np.nan], "c": ["zz", "b", None, "a"]})
    return encode(train, train, made)


def test_numbers_by_range_and_labels_by_frequency(tables):
    got = design(tables.train, ranked_by=tables.train)
    assert got[:, 0].tolist() == [0.0, 1.0, 4.0, 0.5]
    assert got[0, 1] == got[1, 1] < got[2, 1] < got[3, 1]
    assert column_names(tables.train) == ("x", "c")


def test_far_off_and_missing_values_are_apart_from_the_real_ones(tables):
    real = design(tables.train, ranked_by=tables.train)
    made = design(tables.synthetic, ranked_by=tables.train)
    assert made[0, 0] < real[:, 0].min()
    assert 1.0 < made[1, 0] < made[3, 0]
    # A label that no real row has is rarer than all real ones; missing is last of all.
    assert real[2, 1] < made[0, 1] < made[2, 1]
    assert np.isfinite(made).all()


def test_a_target_is_left_out(tables):
    got = design(tables.train, ranked_by=tables.train, without="x")
    assert got.shape == (4, 1)
    assert column_names(tables.train, without="x") == ("c",)


def test_no_column_is_left(tables):
    alone = tables.train.select(["c"])
    assert design(alone, ranked_by=alone, without="c").shape == (4, 0)


def test_wrong_requests_are_refused(tables):
    with pytest.raises(AuditInputError, match="no column 'y'"):
        design(tables.train, ranked_by=tables.train, without="y")
    with pytest.raises(AuditInputError, match="different layouts"):
        design(tables.train, ranked_by=tables.train.select(["c"]))


def _cloud(n, seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 3))
    return rows, (rows[:, 0] > 0.3).astype(np.int64) + (rows[:, 0] > 1.0)


@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
def test_learning_takes_one_thread_whatever_the_caller_has(kind, monkeypatch):
    """Several threads on small tables wait for each other; and one has one order of sums."""
    model = getattr(learning, f"HistGradientBoosting{kind}")
    seen, fit = [], model.fit

    def watched(self, *given):
        pools = threadpoolctl.threadpool_info()
        seen.extend(pool["num_threads"] for pool in pools if pool["user_api"] == "openmp")
        return fit(self, *given)

    monkeypatch.setattr(model, "fit", watched)
    rows, labels = _cloud(200, 5)
    with threadpoolctl.threadpool_limits(2, user_api="openmp"):
        if kind == "Classifier":
            class_scores(rows, labels, classes=3, targets=rows)
        else:
            number_scores(rows, rows[:, 1], targets=rows)
    assert seen
    assert set(seen) == {1}


def test_a_class_that_was_never_seen_scores_nothing():
    rows, labels = _cloud(400, 6)
    got = class_scores(rows, np.minimum(labels, 1), classes=3, targets=rows)
    assert (got[:, 2] == 0.0).all()
    assert got.sum(axis=1) == pytest.approx(1.0)
    assert got[labels > 0, 1].mean() > 0.9 > 0.1 > got[labels == 0, 1].mean()


def test_without_anything_to_learn_all_targets_score_alike():
    rows, labels = _cloud(60, 7)
    for got in (
        class_scores(rows, np.zeros(60, dtype=np.int64), classes=2, targets=rows),
        class_scores(rows[:, :0], labels, classes=3, targets=rows[:, :0]),
        class_scores(rows[:0], labels[:0], classes=2, targets=rows),
    ):
        assert (got == got[0]).all()
    for got in (
        number_scores(rows, np.full(60, 2.0), targets=rows),
        number_scores(rows[:, :0], rows[:, 0], targets=rows[:, :0]),
        number_scores(rows[:0], rows[:0, 0], targets=rows),
    ):
        assert (got == 0.0).all()
