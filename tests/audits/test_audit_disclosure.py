"""The five arms of a disclosure attack: figures, tests, controls, and what must not pass."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audits.attacks import attribute_inference, linkability, singling_out
from audits.disclosure import evaluation as disclosure
from audits.disclosure.attempts import Attempts, Matches, fisher
from audits.disclosure.evaluation import residual_risk
from audits.errors import AttackError
from audits.judgement import Evidence, Settings, judge
from audits.records import Encoded, Records, encode

Table = Callable[[int, int], pd.DataFrame]
ATTACKS = (attribute_inference, linkability, singling_out)
RUN = Settings(seed=3, confidence=0.95, groups=1)
each_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.NAME)


def encoded(make: Table, *, rows: int = 300, copied: int = 0, seed: int = 0) -> Encoded:
    train, holdout, synthetic = (make(rows, 10 * seed + part) for part in range(3))
    synthetic.iloc[:copied] = train.iloc[:copied]
    return encode(train, holdout, synthetic).map(Records.ordered)


def verdict(evidence: Evidence) -> str:
    return judge([evidence], settings=RUN)[0].verdict


@dataclass(frozen=True)
class Fixed:
    """An attack that gives what it was told to."""

    tried: Any
    NAME: str = "fixed"
    KNOWLEDGE: str = "nothing"
    CRITERION: str = "inference"
    seen: list[Encoded] = field(default_factory=list)

    def attempt(self, tables: Encoded, *, rng: np.random.Generator) -> Attempts:
        self.seen.append(tables)
        made: Attempts = self.tried
        return made


def bools(hits: int, tries: int) -> np.ndarray:
    return (np.arange(tries) < hits)[:, None]


def attempts(attack: int, control: int, tries: int = 200) -> Attempts:
    return Attempts(
        names=("only",),
        attack=bools(attack, tries),
        control=bools(control, tries),
        baseline=bools(10, tries),
    )


# --- verdicts -------------------------------------------------------------------------------------


@each_attack
def test_a_table_of_copies_leaks(attack: ModuleType, mixed_table: Table) -> None:
    found = disclosure.evaluate(attack, encoded(mixed_table, copied=300), settings=RUN)
    assert verdict(found) == "leak"
    assert found.figures["residual_risk"].lower > 0.02
    assert "against train" in found.found


@each_attack
def test_fresh_rows_pass_as_the_attack_would_have_noticed(
    attack: ModuleType, mixed_table: Table
) -> None:
    clean = disclosure.evaluate(attack, encoded(mixed_table, rows=800), settings=RUN)
    assert verdict(clean) == "none"
    assert clean.figures["detectable_copied_share"].value <= 0.5
    risk = clean.figures["residual_risk"]
    assert risk.lower < 0.0 < risk.upper


@each_attack
@pytest.mark.parametrize("copied", [0, 300])
def test_dense_tables_are_never_cleared(
    attack: ModuleType, copied: int, binary_table: Table
) -> None:
    tables = encoded(binary_table, copied=copied)
    try:
        found = disclosure.evaluate(attack, tables, settings=RUN)
    except AttackError as fault:
        assert "repeat too much" in str(fault)
    else:
        assert verdict(found) == "inconclusive" or (copied and verdict(found) == "leak")


@each_attack
def test_few_rows_are_inconclusive(attack: ModuleType, mixed_table: Table) -> None:
    tables = encoded(mixed_table, rows=49, copied=49)
    found = disclosure.evaluate(attack, tables, settings=RUN)
    assert verdict(found) == "inconclusive"
    assert "49 rows" in found.void


@each_attack
def test_one_row_each_does_not_crash(attack: ModuleType, mixed_table: Table) -> None:
    tables = encoded(mixed_table, rows=1)
    try:
        assert verdict(disclosure.evaluate(attack, tables, settings=RUN)) == "inconclusive"
    except AttackError as fault:
        assert "synthetic rows or more" in str(fault)


def test_other_people_in_train_than_in_the_holdout_void_the_test(mixed_table: Table) -> None:
    """The negative control: train and holdout are not draws from one source."""
    shifted = mixed_table(600, 0)
    shifted["gain"], shifted["town"] = 0, "north"
    tables = encode(mixed_table(600, 1), shifted, mixed_table(600, 2)).map(Records.ordered)
    found = disclosure.evaluate(attribute_inference, tables, settings=RUN)
    assert "Negative control failed" in found.void
    assert verdict(found) == "inconclusive"


def test_a_negative_control_that_cannot_run_says_so(mixed_table: Table) -> None:
    same = mixed_table(600, 0)
    same["height"], same["gain"], same["visits"], same["town"] = 170.0, 0, 4.0, "north"
    tables = encode(mixed_table(600, 1), same, mixed_table(600, 2)).map(Records.ordered)
    found = disclosure.evaluate(singling_out, tables, settings=RUN)
    assert "cannot run" in found.void
    assert verdict(found) == "inconclusive"


# --- determinism ----------------------------------------------------------------------------------


@each_attack
def test_same_seed_same_evidence_in_any_order_of_rows(
    attack: ModuleType, mixed_table: Table
) -> None:
    frames = [mixed_table(200, part) for part in range(3)]
    mixed = [frame.sample(frac=1.0, random_state=7) for frame in frames]
    first, second = (
        disclosure.evaluate(attack, encode(*given).map(Records.ordered), settings=RUN)
        for given in (frames, mixed)
    )
    assert first == second
    other = Settings(seed=4, confidence=0.95, groups=1)
    third = disclosure.evaluate(attack, encode(*frames).map(Records.ordered), settings=other)
    assert first.curves != third.curves


# --- false alarms and power -----------------------------------------------------------------------


@pytest.mark.slow
@each_attack
def test_false_alarms_and_power_over_seeds(attack: ModuleType, mixed_table: Table) -> None:
    """At 5 %: alarms on fresh rows at most 5 % + 3 s.e. of 200 seeds; the stated share is seen."""
    level, seeds = 0.05, 200
    alarms = seen = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        clean = encoded(mixed_table, rows=200, seed=seed + 1)
        alarms += attack.attempt(clean, rng=rng).p_values(rng=rng)[1].min() <= level
    assert alarms <= seeds * level + 3 * np.sqrt(seeds * level * (1 - level))
    stated = disclosure.evaluate(attack, encoded(mixed_table, rows=800), settings=RUN)
    share = stated.figures["detectable_copied_share"].value
    for seed in range(40):
        rng = np.random.default_rng(seed)
        leaky = encoded(mixed_table, rows=800, copied=round(share * 800), seed=seed + 1)
        seen += attack.attempt(leaky, rng=rng).p_values(rng=rng)[1].min() <= level
    # 95 % stated; below 33 of 40 has probability 0.01 were it so.
    assert seen >= 33


def test_statements_about_one_person_are_no_independent_evidence() -> None:
    """Forty statements that single out one training row: one coin flip, not forty."""
    rows = 100
    pairs = np.column_stack([np.arange(40), np.zeros(40, dtype=np.int64)])
    tried = Attempts(
        names=("statements",),
        attack=bools(40, 40),
        control=bools(0, 40),
        baseline=bools(0, 40),
        matches=Matches(pairs=pairs, rows=rows),
    )
    _, p_values = tried.p_values(rng=np.random.default_rng(0))
    assert p_values[0] == pytest.approx(0.5, abs=0.04)
    # What a test that takes them for independent would have said.
    assert stats.binomtest(40, 40, 0.5, alternative="greater").pvalue < 1e-11


def test_statements_about_different_people_are_evidence() -> None:
    pairs = np.column_stack([np.arange(12), np.arange(12)])
    tried = Attempts(
        names=("statements",),
        attack=bools(12, 40),
        control=bools(0, 40),
        baseline=bools(0, 40),
        matches=Matches(pairs=pairs, rows=100),
    )
    rng = np.random.default_rng(0)
    assert tried.p_values(rng=rng)[1][0] < 0.003
    assert tried.swapped().p_values(rng=rng)[1][0] > 0.99


@settings(derandomize=True, deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), rows=st.integers(2, 12), statements=st.integers(1, 6))
def test_dealing_anew_is_the_plain_permutation_test(seed: int, rows: int, statements: int) -> None:
    """Slow twin: permute the labels of all rows and count by hand; within 4 s.e. of both."""
    rng = np.random.default_rng(seed)
    table = rng.random((statements, 2 * rows)) < 0.2
    inside, outside = table[:, :rows].sum(axis=1) == 1, table[:, rows:].sum(axis=1) == 1
    tried = Attempts(
        names=("statements",),
        attack=inside[:, None],
        control=outside[:, None],
        baseline=inside[:, None],
        matches=Matches(pairs=np.argwhere(table), rows=rows),
    )
    found = tried.p_values(rng=rng)[1][0]
    observed, beyond, draws = int(inside.sum()) - int(outside.sum()), 0, 2_000
    for _ in range(draws):
        mixed = table[:, rng.permutation(2 * rows)]
        left, right = (half.sum(axis=1) == 1 for half in (mixed[:, :rows], mixed[:, rows:]))
        beyond += int(left.sum()) - int(right.sum()) >= observed
    slow = (1 + beyond) / (1 + draws)
    assert abs(found - slow) <= 4 * np.sqrt(0.25 / draws + 0.25 / 4_999)


def test_one_sub_attack_is_fishers_exact_test() -> None:
    _, p_values = attempts(30, 12).p_values(rng=np.random.default_rng(0))
    table = [[30, 170], [12, 188]]
    assert p_values[0] == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue)
    assert fisher(0, 10, 0, 10) == 1.0


def test_many_sub_attacks_are_corrected() -> None:
    """The best of 30 sub-attacks without a leak: alarms at 5 % in at most 5 % + 3 s.e. of 100."""
    rng = np.random.default_rng(8)
    alarms = uncorrected = 0
    for _ in range(100):
        hits = rng.random((2, 60, 30)) < 0.3
        tried = Attempts(
            names=tuple(f"s{i}" for i in range(30)),
            attack=hits[0],
            control=hits[1],
            baseline=hits[1],
        )
        alarms += tried.p_values(rng=rng)[1].min() <= 0.05
        counts = zip(hits[0].sum(axis=0), hits[1].sum(axis=0), strict=True)
        uncorrected += min(fisher(a, 60, c, 60) for a, c in counts) <= 0.05
    limit = 100 * 0.05 + 3 * np.sqrt(100 * 0.05 * 0.95)
    assert alarms <= limit < uncorrected


# --- figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attack", "control", "value"),
    [
        ((60, 100), (20, 100), 0.5),
        ((100, 100), (20, 100), 1.0),
        ((20, 100), (60, 100), -0.5),
        ((0, 100), (100, 100), -1.0),
        ((100, 100), (100, 100), 0.0),
        ((0, 100), (0, 100), 0.0),
    ],
)
def test_residual_risk_by_hand(
    attack: tuple[int, int], control: tuple[int, int], value: float
) -> None:
    risk = residual_risk(attack, control, confidence=0.95)
    assert risk.value == pytest.approx(value)
    assert -1.0 <= risk.lower < risk.value or value == -1.0
    assert risk.upper > risk.value or value == 1.0
    swapped = residual_risk(control, attack, confidence=0.95)
    assert (swapped.lower, swapped.upper) == pytest.approx((-risk.upper, -risk.lower))


def test_residual_risk_where_all_succeed_says_that_nothing_is_known() -> None:
    risk = residual_risk((50, 50), (50, 50), confidence=0.95)
    assert (risk.value, risk.lower, risk.upper) == (0.0, -1.0, 1.0)


@pytest.mark.parametrize("rates", [(0.3, 0.3), (0.5, 0.1), (0.02, 0.01), (0.99, 0.97), (0.1, 0.4)])
def test_residual_risk_interval_covers(rates: tuple[float, float]) -> None:
    """Exact coverage over all pairs of counts of 40 and 30 tries; each end wrong <= 2.5 %."""
    a, c = rates
    truth = (a - c) / (1 - min(a, c))
    below = above = 0.0
    for hits, weight in enumerate(stats.binom.pmf(np.arange(41), 40, a)):
        for others, chance in enumerate(stats.binom.pmf(np.arange(31), 30, c)):
            if weight * chance < 1e-9:
                continue
            risk = residual_risk((hits, 40), (others, 30), confidence=0.95)
            below += weight * chance * (risk.upper < truth)
            above += weight * chance * (risk.lower > truth)
    assert below <= 0.025 and above <= 0.025


def test_figures_stand_beside_control_and_baseline(mixed_table: Table) -> None:
    attack = Fixed(attempts(60, 20))
    found = disclosure.evaluate(attack, encoded(mixed_table), settings=RUN)
    values = {name: figure.value for name, figure in found.figures.items()}
    assert values["attack_rate"] == 0.3
    assert values["control_rate"] == 0.1
    assert values["baseline_rate"] == 0.05
    assert values["residual_risk"] == pytest.approx(0.2 / 0.9)
    assert found.family == "disclosure"
    assert found.rows_used["attack_tries"] == 200
    assert found.curves["sub_attack"] == ["only"]
    # This attack claims successes on tables without a leak, too: the negative control sees it.
    assert "Negative control failed" in found.void


def test_an_attack_worse_than_guessing_says_so(mixed_table: Table) -> None:
    found = disclosure.evaluate(Fixed(attempts(5, 5)), encoded(mixed_table), settings=RUN)
    assert "no better than guessing" in found.nothing
    assert verdict(found) == "inconclusive"
    assert "blind" in found.blind


def test_controls_see_what_they_should(mixed_table: Table) -> None:
    attack = Fixed(attempts(5, 5))
    tables = encoded(mixed_table, rows=400)
    disclosure.evaluate(attack, tables, settings=RUN)
    real, planted, clean = attack.seen
    assert len(real.train) == 400

    def keys(records: Records) -> set[tuple[float, ...]]:
        return {tuple(row) for row in np.nan_to_num(records.numbers, nan=-1.0).tolist()}

    assert keys(planted.train) <= keys(planted.synthetic)
    assert not keys(planted.holdout) & keys(planted.synthetic)
    assert keys(clean.synthetic) <= keys(tables.holdout)
    assert not keys(clean.synthetic) & keys(clean.holdout)


# --- contract -------------------------------------------------------------------------------------


def test_an_attack_must_give_attempts(mixed_table: Table) -> None:
    with pytest.raises(AttackError, match="gave a list; attempt must give Attempts"):
        disclosure.evaluate(Fixed([]), encoded(mixed_table), settings=RUN)


def test_attempts_refuse_what_does_not_fit() -> None:
    good = {"attack": bools(1, 5), "control": bools(1, 5), "baseline": bools(1, 5)}
    with pytest.raises(AttackError, match="control is float64 of shape"):
        Attempts(names=("a",), **{**good, "control": np.zeros((5, 1))})
    with pytest.raises(AttackError, match="need bool of shape"):
        Attempts(names=("a", "b"), **good)
    with pytest.raises(AttackError, match="baseline holds no try"):
        Attempts(names=("a",), **{**good, "baseline": bools(0, 0)})
    matches = Matches(pairs=np.empty((0, 2), dtype=np.int64), rows=5)
    with pytest.raises(AttackError, match="need the same ones"):
        Attempts(names=("a",), matches=matches, **{**good, "control": bools(1, 6)})


def test_statements_that_match_nothing_are_no_evidence() -> None:
    matches = Matches(pairs=np.empty((0, 2), dtype=np.int64), rows=5)
    tried = Attempts(
        names=("a",),
        attack=bools(0, 5),
        control=bools(0, 5),
        baseline=bools(0, 5),
        matches=matches,
    )
    assert tried.p_values(rng=np.random.default_rng(0))[1].tolist() == [1.0]
