"""Canary audits: names, coins, bounds that stay below the truth and come near what can be shown."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from audits.attacks import closest_record
from audits.black_box.canaries import (
    Canaries,
    ManyRunBound,
    ManyRuns,
    OneRun,
    aligned,
    audit_many_runs,
    audit_one_run,
    by_attack,
)
from audits.black_box.refit import Refit, blind, leaky
from audits.errors import AttackError, AuditInputError
from audits.records import Records, concatenate, encode
from audits.statistics import (
    Corrected,
    ErrorCounts,
    Fixed,
    MultiSplit,
    Split,
    ceiling,
    gaussian_mu,
    many_run_epsilon,
)

Table = Callable[[int, int], pd.DataFrame]
SEEDS = 200
# The bound may exceed the truth in 5 % of runs; binomial(200, 0.05) exceeds 19 with p = 0.2 %.
MOST_ALARMS = 19


def cells(count: int, rows: int = 50) -> tuple[Records, Canaries]:
    """Rows of one category column: training rows in a cell of their own, each canary in another."""
    domain = pd.DataFrame({"cell": [f"c{i:05d}" for i in range(count + 1)]})
    base = encode(domain, domain, domain, kinds={"cell": "category"}).train
    ids = tuple(f"canary {i}" for i in range(count))
    return (
        base.take(np.full(rows, count)),
        Canaries(records=base.take(np.arange(count)), ids=ids),
    )


def counts(records: Records) -> np.ndarray:
    size = len(records.layout.levels[0])
    return np.bincount(records.categories[:, 0], minlength=size).astype(np.float64)


def table(rows: Records, noisy: np.ndarray) -> Records:
    """A synthetic table with as many rows in each cell as the noisy count says.

    Counts carry two decimals and start at 10, which is post-processing: it costs no privacy.
    """
    times = np.clip(np.round(100.0 * (noisy + 10.0)), 0, 3000).astype(np.int64)
    codes = np.repeat(np.arange(times.size), times).astype(np.int32)[:, None]
    if not len(codes):
        codes = np.zeros((1, 1), dtype=np.int32)
    return Records(
        layout=rows.layout,
        numbers=np.empty((len(codes), 0)),
        categories=codes,
        rows=np.arange(len(codes)),
    )


def histogram(noise: Callable[[np.random.Generator, int], np.ndarray]) -> Refit:
    """One row more or less moves one count by one: the noise alone sets epsilon."""

    def refit(rows: Records, *, rng: np.random.Generator) -> Records:
        exact = counts(rows)
        return table(rows, exact + noise(rng, exact.size))

    return refit


def laplace(epsilon: float) -> Refit:
    return histogram(lambda rng, size: rng.laplace(0.0, 1.0 / epsilon, size))


def gaussian(mu: float) -> Refit:
    return histogram(lambda rng, size: rng.normal(0.0, 1.0 / mu, size))


def randomised_response(epsilon: float) -> Refit:
    """Whether a cell is occupied, told truly with probability e^epsilon / (1 + e^epsilon)."""
    truth = 1.0 / (1.0 + np.exp(-epsilon))

    def refit(rows: Records, *, rng: np.random.Generator) -> Records:
        occupied = counts(rows) > 0
        told = np.where(rng.random(occupied.size) < truth, occupied, ~occupied)
        return table(rows, np.where(told, 1.0, -10.0))

    return refit


def by_count(canaries: Canaries, synthetic: Records) -> Mapping[str, float]:
    found = counts(synthetic)[canaries.records.categories[:, 0]]
    return dict(zip(canaries.ids, found.tolist(), strict=True))


def backwards(canaries: Canaries, synthetic: Records) -> Mapping[str, float]:
    return dict(reversed(list(by_count(canaries, synthetic).items())))


CASES = {
    "laplace": (laplace(1.0), 1.0, 0.0),
    "randomised response": (randomised_response(1.0), 1.0, 0.0),
    "gaussian": (gaussian(gaussian_mu(3.0, delta=1e-3)), 3.0, 1e-3),
}
GRID = Corrected(grid=((10, 10), (25, 25), (50, 50), (20, 0), (0, 20)))


@pytest.mark.parametrize("case", CASES)
def test_one_run_bounds_stay_below_the_truth(case: str) -> None:
    refit, epsilon, delta = CASES[case]
    rows, canaries = cells(100)
    bounds = [
        audit_one_run(
            refit,
            rows,
            canaries,
            scorer=by_count,
            plan=OneRun(rule=GRID, delta=delta, seed=seed),
        ).epsilon
        for seed in range(SEEDS)
    ]
    assert np.sum(np.array(bounds) > epsilon) <= MOST_ALARMS
    # Not by being silent always: against a tenth of the truth the same bounds alarm.
    assert np.sum(np.array(bounds) > 0.1 * epsilon) > MOST_ALARMS


def test_a_bound_sees_a_broken_promise() -> None:
    """Noise for epsilon 4 sold as epsilon 0.5 is caught in nearly every run."""
    rows, canaries = cells(200)
    caught = [
        audit_one_run(
            laplace(4.0),
            rows,
            canaries,
            scorer=by_count,
            plan=OneRun(rule=Fixed(50, 50), seed=seed),
        ).epsilon
        > 0.5
        for seed in range(30)
    ]
    assert sum(caught) >= 28


def test_randomised_response_is_nearly_exhausted() -> None:
    """Its guesses are right with the very probability of the null: the bound is tight."""
    rows, canaries = cells(4_000)
    found = audit_one_run(
        randomised_response(1.0),
        rows,
        canaries,
        scorer=by_count,
        plan=OneRun(rule=Fixed(1_500, 1_500), seed=1),
    )
    assert 0.8 < found.epsilon <= 1.0


@pytest.mark.parametrize("rule", [Fixed(40, 40), Split(), MultiSplit()])
def test_a_copying_generator_reaches_the_ceiling(rule: Any, mixed_table: Table) -> None:
    tables = encode(mixed_table(50, 1), mixed_table(100, 2), mixed_table(10, 3))
    canaries = Canaries(records=tables.holdout, ids=tuple(f"c{i}" for i in range(100)))
    found = audit_one_run(
        leaky,
        tables.train,
        canaries,
        scorer=by_attack(closest_record.score),
        plan=OneRun(rule=rule),
    )
    # A rule that guesses on every canary of a split must err where the coins fell unevenly.
    assert found.epsilon >= 0.75 * found.ceiling > 1.5
    if rule == Fixed(40, 40):
        assert found.correct == 80
        assert found.epsilon == found.ceiling
        assert found.epsilon == pytest.approx(ceiling(80, alpha=0.05), abs=1e-6)


def test_a_blind_generator_shows_nothing(mixed_table: Table) -> None:
    """200 audits at 95 %: at most 19 alarms, as above."""
    tables = encode(mixed_table(20, 1), mixed_table(60, 2), mixed_table(20, 3))
    canaries = Canaries(records=tables.holdout, ids=tuple(f"c{i}" for i in range(60)))
    alarms = 0
    for seed in range(SEEDS):
        found = audit_one_run(
            blind(tables.synthetic),
            tables.train,
            canaries,
            scorer=by_attack(closest_record.score),
            plan=OneRun(rule=Fixed(15, 15), seed=seed),
        )
        alarms += found.epsilon > 0.0
    assert alarms <= MOST_ALARMS


def test_scores_are_joined_by_name_not_by_place() -> None:
    rows, canaries = cells(100)
    plan = OneRun(rule=Fixed(25, 25), seed=3)
    forth = audit_one_run(laplace(3.0), rows, canaries, scorer=by_count, plan=plan)
    back = audit_one_run(laplace(3.0), rows, canaries, scorer=backwards, plan=plan)
    assert forth == back
    assert forth.epsilon > 0.5


def test_canaries_are_put_in_by_fair_coins_and_shuffled() -> None:
    rows, canaries = cells(400)
    seen: list[Records] = []

    def spy(trained: Records, *, rng: np.random.Generator) -> Records:
        seen.append(trained)
        return trained

    for seed in range(20):
        audit_one_run(spy, rows, canaries, scorer=by_count, plan=OneRun(seed=seed))
    included = np.array([counts(trained)[:-1] for trained in seen])
    assert set(np.unique(included)) == {0.0, 1.0}
    # 8,000 coins: standard error 0.0056; per canary at most binomial(20, 0.5).
    assert abs(included.mean() - 0.5) < 0.02
    assert stats.binomtest(int(included[:, 0].sum()), 20).pvalue > 0.001
    assert abs(np.corrcoef(included[:, :-1].ravel(), included[:, 1:].ravel())[0, 1]) < 0.05
    # No canary's place in the table says anything.
    assert (seen[0].categories[:50, 0] != 400).any()


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"a": 1.0}, r"lack canary 'b' \(2 in all\)"),
        ({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}, "'d', which is no canary"),
        (pd.Series([1.0, 2.0, 3.0, 4.0], index=["a", "b", "b", "c"]), "'b' twice"),
        ({"a": 1.0, "b": np.nan, "c": 0.0}, "canary 'b' has score nan"),
    ],
)
def test_scores_of_other_canaries_are_refused(scores: Mapping[str, float], message: str) -> None:
    with pytest.raises(AttackError, match=message):
        aligned(["a", "b", "c"], scores)


def test_scores_may_be_a_series_in_any_order() -> None:
    scores = pd.Series([3.0, 1.0, 2.0], index=["c", "a", "b"])
    np.testing.assert_array_equal(aligned(["a", "b", "c"], scores), [1.0, 2.0, 3.0])


def test_an_attack_with_too_few_scores_is_refused() -> None:
    rows, canaries = cells(5)
    scorer = by_attack(lambda targets, *, synthetic: np.zeros(4))
    with pytest.raises(AttackError, match=r"shape \(4,\) for 5 canaries"):
        scorer(canaries, rows)


def test_canaries_need_a_name_each(binary_table: Table) -> None:
    rows, canaries = cells(3)
    for ids, message in (
        (("a", "b"), "2 ids for 3"),
        (("a", "b", "a"), "'a' names two canaries"),
    ):
        with pytest.raises(AuditInputError, match=message):
            Canaries(records=canaries.records, ids=ids)
    with pytest.raises(AuditInputError, match="0 ids for 0"):
        Canaries(records=canaries.records.take(np.arange(0)), ids=())
    other = binary_table(20, 1)
    strange = encode(other, other, other).train
    for audit, plan in ((audit_one_run, OneRun()), (audit_many_runs, ManyRuns())):
        with pytest.raises(AuditInputError, match="different layouts"):
            audit(leaky, strange, canaries, scorer=by_count, plan=plan)
    with pytest.raises(AuditInputError, match="3 targets"):
        audit_many_runs(leaky, rows, canaries, scorer=by_count, plan=ManyRuns())


def test_a_failing_generator_is_named() -> None:
    rows, canaries = cells(3)

    def fails(trained: Records, *, rng: np.random.Generator) -> Records:
        raise ValueError("diverged")

    with pytest.raises(AttackError, match="one-run audit: refit raised ValueError"):
        audit_one_run(fails, rows, canaries, scorer=by_count, plan=OneRun())
    one = Canaries(records=canaries.records.take(np.arange(1)), ids=("a",))
    with pytest.raises(AttackError, match="model 1 of 8: refit raised ValueError"):
        audit_many_runs(fails, rows, one, scorer=by_count, plan=ManyRuns(models=8))


# Many runs.


@pytest.mark.parametrize(
    "case",
    [
        "randomised response",
        pytest.param("laplace", marks=pytest.mark.slow),
        pytest.param("gaussian", marks=pytest.mark.slow),
    ],
)
def test_many_run_bounds_stay_below_the_truth(case: str) -> None:
    refit, epsilon, delta = CASES[case]
    rows, target = cells(1, rows=5)
    bounds = [
        audit_many_runs(
            refit,
            rows,
            target,
            scorer=by_count,
            plan=ManyRuns(models=80, delta=delta, seed=seed),
        ).epsilon
        for seed in range(SEEDS)
    ]
    assert np.sum(np.array(bounds) > epsilon) <= MOST_ALARMS


def test_many_runs_catch_a_copying_generator_and_reach_the_ceiling() -> None:
    rows, target = cells(1)
    found = audit_many_runs(leaky, rows, target, scorer=by_count, plan=ManyRuns(models=200))
    assert found.counts == ErrorCounts(
        false_positives=0, without=50, false_negatives=0, with_target=50
    )
    assert found.epsilon == found.ceiling
    assert found.epsilon == pytest.approx(many_run_epsilon(found.counts, delta=0.0, alpha=0.05))
    assert f"{found.epsilon:.4f}" in found.text
    # A threshold fixed beforehand needs no learning: all models test, and more can be shown.
    fixed = audit_many_runs(
        leaky, rows, target, scorer=by_count, plan=ManyRuns(models=200, threshold=0.5)
    )
    assert fixed.counts.without == 100
    assert fixed.epsilon > found.epsilon


def test_many_runs_show_nothing_of_a_blind_generator() -> None:
    rows, target = cells(1)
    found = audit_many_runs(blind(rows), rows, target, scorer=by_count, plan=ManyRuns(models=40))
    assert found.epsilon == 0.0
    assert found.ceiling > 0.5
    assert "nothing ruled out" in found.text
    assert "private" not in found.text


def test_a_learned_threshold_never_reads_the_models_it_is_tested_on() -> None:
    """Only the models that learn differ; those that test are swapped against the threshold."""
    rows, target = cells(1)
    calls = iter(range(10**6))

    def scorer(canaries: Canaries, synthetic: Records) -> Mapping[str, float]:
        # In the first half the target raises the score; in the second it lowers it.
        included = counts(synthetic)[0] > 0
        first = next(calls) < 50
        return {canaries.ids[0]: float(included == first)}

    def copy(trained: Records, *, rng: np.random.Generator) -> Records:
        return trained

    found = audit_many_runs(copy, rows, target, scorer=scorer, plan=ManyRuns(models=100, n_jobs=1))
    assert found.threshold == 0.5
    assert found.counts.false_positives == found.counts.false_negatives == 25
    assert found.epsilon == 0.0


def test_threads_change_nothing() -> None:
    rows, target = cells(1)
    plan = ManyRuns(models=40, seed=5)
    results: list[ManyRunBound] = [
        audit_many_runs(
            laplace(2.0), rows, target, scorer=by_count, plan=replace(plan, n_jobs=jobs)
        )
        for jobs in (1, 2)
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize("models", [4, 10])
def test_a_wrong_number_of_models_is_refused(models: int) -> None:
    with pytest.raises(AuditInputError, match=f"{models} models"):
        ManyRuns(models=models)


def test_canaries_keep_their_names_when_rows_are_joined() -> None:
    rows, canaries = cells(10)
    joined = concatenate([rows, canaries.records])
    assert by_count(canaries, joined) == dict.fromkeys(canaries.ids, 1.0)
