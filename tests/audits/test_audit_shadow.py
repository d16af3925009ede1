"""The two attacks on shadow models against their reference, loops and known optima."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audits.attacks import lira, shadow
from audits.black_box.shadow_models import coins
from audits.black_box.shadow_statistics import NEIGHBOURS, TOLERANCE, measure, queries
from audits.records import Encoded, Records, concatenate, encode
from audits.statistics import auroc

Table = Callable[[int, int], pd.DataFrame]


@pytest.fixture(scope="module")
def tables(mixed_table: Table) -> Encoded:
    return encode(
        mixed_table(120, 1), mixed_table(120, 2), mixed_table(100, 3), mixed_table(300, 4)
    )


def targets_of(tables: Encoded, each: int) -> Records:
    sides = (tables.train, tables.holdout)
    return concatenate([side.take(np.arange(each)) for side in sides])


# The likelihood ratio against its reference implementation, a loop, and a closed form.


def test_lira_agrees_with_the_authors_implementation() -> None:
    """Predictions (sign turned) of `generate_ours` in tensorflow/privacy, commit 3d499e69, file
    research/mi_lira_2021/plot.py, on this fixture. It divides variances by n where we divide by
    n - 1 (n = 32 here): that factor is put in; what remains agrees to 0.1 %."""
    theirs = [-12.628096, -6.162856, -3.158399, -1.390723, -0.238168]
    theirs += [0.536383, 1.041869, 1.335017, 1.44815, 1.400991]
    k, t = np.arange(64)[:, None], np.arange(10)[None, :]
    included = (k + t) % 2 == 0
    # In both sides the median is the mean, and the spread without the target is 1.5 times larger.
    wobble = (((k // 2) * 7 + t * 3) % 32 - 15.5) * (0.02 + 0.01 * t)
    step = 0.5 + t / 8.0
    table = t / 2.0 + step * included + wobble * np.where(included, 1.0, 1.5)
    real = (t / 2.0 + np.linspace(-1.0, 2.0, 10) * step)[0]
    ours = lira.log_ratio(real[:, None], table[:, :, None], included)
    volume = np.log(1.5)
    expected = (np.array(theirs) - volume) * 31 / 32 + volume
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3)


def naive_lira(real: np.ndarray, table: np.ndarray, included: np.ndarray, own: bool) -> np.ndarray:
    """Algorithm 1 of arXiv 2112.03570, record by record."""
    sides = {}
    for side in (True, False):
        groups = [table[included[:, t] == side, t] for t in range(len(real))]
        spreads = [np.cov(group, rowvar=False).reshape(real.shape[1], -1) for group in groups]
        weights = [len(group) - 1 for group in groups]
        pooled = np.average(spreads, axis=0, weights=weights)
        sides[side] = [
            stats.multivariate_normal(group.mean(axis=0), spread if own else pooled)
            for group, spread in zip(groups, spreads, strict=True)
        ]
    return np.array(
        [sides[True][t].logpdf(real[t]) - sides[False][t].logpdf(real[t]) for t in range(len(real))]
    )


@given(st.integers(0, 10_000), st.sampled_from([8, 64]), st.sampled_from([1, 3]))
@settings(derandomize=True, deadline=None, max_examples=30)
def test_lira_is_the_papers_algorithm(seed: int, models: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    included = coins(models, 6, seed=seed)
    mix = rng.normal(size=(width, width)) + 2.0 * np.eye(width)
    table = rng.normal(size=(models, 6, width)) @ mix + included[:, :, None] * rng.random(width)
    real = rng.normal(size=(6, width))
    np.testing.assert_allclose(
        lira.log_ratio(real, table, included),
        naive_lira(real, table, included, own=models >= lira.OWN_SPREAD_MODELS),
        rtol=1e-3,
        atol=1e-3,
    )


@pytest.mark.parametrize(("own_step", "attack"), [(True, lira), (False, shadow), (False, lira)])
def test_on_gaussian_statistics_the_attacks_reach_the_optimum(
    own_step: bool, attack: object
) -> None:
    """x ~ N(level + step * in, 1): no attack beats AUROC E[Phi(step / sqrt(2))] by records alike.

    2,000 records a side: standard error 0.009; tolerance 0.03 (48 models know means to 0.2).
    """
    rng = np.random.default_rng(7)
    models, count = 48, 4_000
    included = coins(models, count, seed=1)
    level = rng.normal(0.0, 20.0, count)
    # Records whose step has another sign are what only a ratio per record can use.
    step = np.where(own_step & (rng.random(count) < 0.5), -1.5, 1.5)
    table = level + step * included + rng.normal(size=(models, count))
    members = np.arange(count) < count // 2
    real = level + step * members + rng.normal(size=count)
    core = attack.log_ratio if attack is lira else attack.log_odds
    scores = core(real[:, None], table[:, :, None], included)
    found = auroc(scores[members], scores[~members], confidence=0.95).value
    assert abs(found - stats.norm.cdf(1.5 / np.sqrt(2.0))) < 0.03
    if own_step:
        pooled = shadow.log_odds(real[:, None], table[:, :, None], included)
        assert auroc(pooled[members], pooled[~members], confidence=0.95).value < 0.56


@pytest.mark.parametrize("core", [lira.log_ratio, shadow.log_odds])
def test_statistics_that_never_vary_score_nothing(core: Callable[..., np.ndarray]) -> None:
    included = coins(4, 5, seed=1)
    table = np.ones((4, 5, 3)) * np.arange(5)[None, :, None]
    np.testing.assert_array_equal(core(np.zeros((5, 3)), table, included), np.zeros(5))
    # One that varies counts, and one that does not does not make the scores infinite.
    table[:, :, 1] += included
    scores = core(table[0], table, included)
    assert np.isfinite(scores).all()
    assert scores[included[0]].min() > scores[~included[0]].max()


# The statistics against loops.


def test_statistics_are_what_a_loop_counts(tables: Encoded) -> None:
    targets, table = targets_of(tables, 5), tables.synthetic
    found = measure(targets, table)
    sets = queries(targets.layout)
    numbers = targets.numbers.shape[1]
    for t in range(len(targets)):
        parts = np.empty((len(table), len(targets.names)))
        agree = np.empty(parts.shape, dtype=bool)
        for r in range(len(table)):
            for c in range(parts.shape[1]):
                if c < numbers:
                    gap = abs(targets.scaled[t, c] - table.scaled[r, c])
                    parts[r, c], agree[r, c] = min(gap, 1.0), gap <= TOLERANCE
                else:
                    same = targets.categories[t, c - numbers] == table.categories[r, c - numbers]
                    parts[r, c], agree[r, c] = 1.0 - same, same
        near = np.sort(parts.mean(axis=1))[:NEIGHBOURS]
        counts = [int(agree[:, list(columns)].all(axis=1).sum()) for columns in sets]
        np.testing.assert_allclose(found[t, :2], [-near[0], -near.mean()], atol=1e-8)
        np.testing.assert_allclose(found[t, 2:], np.log1p(counts))


@pytest.mark.parametrize("columns", [1, 2, 3, 7, 40])
def test_column_sets_fit_any_table_and_are_fixed(columns: int) -> None:
    frame = pd.DataFrame({f"c{i}": [0.0, 1.0, 2.0] for i in range(columns)})
    layout = encode(frame, frame, frame).train.layout
    sets = queries(layout)
    assert sets == queries(layout)
    assert len(set(sets)) == len(sets) or columns == 40
    for chosen in sets:
        assert 1 <= len(chosen) <= 3
        assert all(left < right for left, right in pairwise(chosen))
        assert 0 <= chosen[0] <= chosen[-1] < columns
