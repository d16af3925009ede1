import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audits.errors import AuditInputError
from audits.statistics import (
    Corrected,
    Fixed,
    Guesses,
    MultiSplit,
    Split,
    ceiling,
    epsilon_lower_bound,
    guess,
    one_run_epsilon,
    one_run_p_value,
)

# Canaries, guesses, correct, delta, alpha, epsilon. The formula is Steinke, Nasr and Jagielski,
# NeurIPS 2023 (arXiv 2305.08846); the figures are those on which independent implementations of it
# agree to four digits.
ONE_RUN = [
    (500, 100, 100, 1e-5, 0.05, 3.4792),
    (500, 100, 100, 1e-5, 0.01, 3.0232),
    (500, 95, 58, 1e-5, 0.05, 0.0837),
    (500, 35, 23, 1e-5, 0.05, 0.0145),
    (500, 30, 23, 1e-5, 0.05, 0.4265),
    (500, 30, 23, 1e-5, 0.01, 0.1601),
    (500, 25, 18, 1e-5, 0.05, 0.1466),
    (1000, 1000, 1000, 1e-5, 0.05, 5.7823),
    (1000, 100, 95, 1e-5, 0.05, 2.1652),
    (1000, 100, 95, 0.0, 0.05, 2.1724),
    (1000, 100, 90, 1e-5, 0.05, 1.6261),
    (1000, 200, 150, 1e-5, 0.05, 0.8200),
    (10000, 1000, 900, 1e-5, 0.05, 2.0152),
    (100000, 1500, 1429, 1e-5, 0.05, 2.6688),
]

counts = st.integers(0, 40).flatmap(
    lambda made: st.builds(
        lambda correct, spare: Guesses(canaries=made + spare + 1, made=made, correct=correct),
        st.integers(0, made),
        st.integers(0, 50),
    )
)


def coins(m, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=m), rng.random(m) < 0.5


def slow_p_value(guesses, epsilon, delta):
    """The formula, term by term, from binomial coefficients."""
    r, v = guesses.made, guesses.correct
    q = 1 / (1 + math.exp(-epsilon))
    mass = [math.comb(r, k) * q**k * (1 - q) ** (r - k) for k in range(r + 1)]
    slack = max((sum(mass[v - i : v]) / i for i in range(1, v + 1)), default=0.0)
    return min(1.0, sum(mass[v:]) + 2 * guesses.canaries * delta * slack)


@pytest.mark.parametrize(("m", "r", "v", "delta", "alpha", "epsilon"), ONE_RUN)
def test_one_run_epsilon_agrees_with_the_literature(m, r, v, delta, alpha, epsilon):
    guesses = Guesses(canaries=m, made=r, correct=v)
    assert one_run_epsilon(guesses, delta=delta, alpha=alpha) == pytest.approx(epsilon, abs=1e-4)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(guesses=counts, epsilon=st.floats(0, 4), delta=st.sampled_from([0.0, 1e-5, 1e-2]))
def test_the_p_value_agrees_with_the_formula_term_by_term(guesses, epsilon, delta):
    found = one_run_p_value(guesses, epsilon=epsilon, delta=delta)
    assert found == pytest.approx(slow_p_value(guesses, epsilon, delta), abs=1e-10)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(guesses=counts, delta=st.sampled_from([0.0, 1e-4, 1e-2]), alpha=st.sampled_from([0.01, 0.2]))
def test_the_bound_is_where_the_p_value_first_exceeds_alpha(guesses, delta, alpha):
    found = one_run_epsilon(guesses, delta=delta, alpha=alpha)
    grid = np.linspace(0.0, 6.0, 601)
    kept = [slow_p_value(guesses, epsilon, delta) > alpha for epsilon in grid]
    first = grid[kept.index(True)]
    assert first - 0.01 - 1e-6 <= found <= first + 1e-6


@pytest.mark.parametrize(("guesses", "epsilon"), [(10, 1), (24, 2), (166, 4), (8932, 8)])
def test_the_ceiling_needs_as_many_guesses_as_the_formula_says(guesses, epsilon):
    assert ceiling(guesses, alpha=0.05) == pytest.approx(epsilon, abs=0.06)
    assert ceiling(guesses, alpha=0.05, delta=1e-5, canaries=2 * guesses) < ceiling(
        guesses, alpha=0.05
    )


def test_no_guess_and_no_correct_guess_rule_nothing_out():
    for made, correct in ((0, 0), (10, 0), (10, 5)):
        guesses = Guesses(canaries=10, made=made, correct=correct)
        assert one_run_epsilon(guesses, delta=0.0, alpha=0.05) == 0.0
    assert ceiling(0, alpha=0.05, canaries=10) == 0.0


def test_guesses_by_hand():
    scores = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    included = np.array([True, False, True, True, False])
    rng = np.random.default_rng(0)
    found = guess(scores, included, k_plus=2, k_minus=2, rng=rng)
    assert found == Guesses(canaries=5, made=4, correct=2)
    assert guess(scores, included, k_plus=0, k_minus=1, rng=rng).correct == 1
    assert guess(scores, included, k_plus=5, k_minus=0, rng=rng).correct == 3
    assert guess(scores, included, k_plus=0, k_minus=0, rng=rng).made == 0


def test_the_order_of_rows_betrays_nothing_through_ties():
    # Members first and all scores equal: a tie broken by row number would be right every time.
    included = np.arange(200) < 100
    correct = [
        guess(np.zeros(200), included, k_plus=50, k_minus=50, rng=np.random.default_rng(s)).correct
        for s in range(200)
    ]
    assert np.mean(correct) == pytest.approx(50, abs=2)


@pytest.mark.parametrize(
    "rule",
    [Fixed(30, 30), Split(), MultiSplit(splits=5), Corrected(((10, 10), (50, 50), (100, 0)))],
)
class TestRules:
    def bound(self, rule, scores, included, seed=0, **change):
        terms = {"delta": 1e-5, "confidence": 0.95} | change
        return epsilon_lower_bound(
            scores, included, rule=rule, rng=np.random.default_rng(seed), **terms
        )

    def test_a_perfect_attacker_reaches_the_ceiling(self, rule):
        _, included = coins(400, 1)
        found = self.bound(rule, included.astype(float), included)
        assert found.epsilon == found.ceiling > 2.0
        assert found.correct == found.guesses
        assert found.rule == rule
        assert "nothing ruled out" not in found.text

    def test_noise_rules_nothing_out_and_says_so(self, rule):
        scores, included = coins(400, 2)
        found = self.bound(rule, scores, included)
        assert found.epsilon == 0.0
        assert "nothing ruled out" in found.text
        assert "private" not in found.text
        assert f"{found.ceiling:.2f}" in found.text

    def test_false_alarms_keep_their_level(self, rule):
        # 300 fixed seeds; two standard errors above 5 % is 7.5 %.
        alarms = sum(self.bound(rule, *coins(200, s), seed=s).epsilon > 0 for s in range(300))
        assert alarms / 300 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)

    def test_the_same_generator_gives_the_same_bound(self, rule):
        scores, included = coins(300, 3)
        scores = np.round(scores + included)
        assert self.bound(rule, scores, included) == self.bound(rule, scores, included)

    def test_lower_confidence_shows_no_less(self, rule):
        scores, included = coins(400, 4)
        scores = scores + 2.0 * included
        low, high = (self.bound(rule, scores, included, confidence=level) for level in (0.7, 0.99))
        assert low.epsilon >= high.epsilon > 0.0

    @pytest.mark.parametrize(
        ("change", "message"),
        [({"delta": -1e-9}, "delta is"), ({"delta": 1.0}, "delta is")]
        + [({"confidence": level}, "alpha is") for level in (0.5, 1.0)],
    )
    def test_levels_out_of_range_are_refused(self, rule, change, message):
        with pytest.raises(AuditInputError, match=message):
            self.bound(rule, *coins(100, 0), **change)


def test_a_corrected_grid_counts_what_could_not_have_won():
    scores, included = coins(400, 5)
    scores = scores + 1.5 * included
    bounds = []
    for grid in (((80, 80),), ((80, 80), (1, 0), (0, 1), (2, 2))):
        rng = np.random.default_rng(0)
        bounds.append(
            epsilon_lower_bound(
                scores, included, rule=Corrected(grid), delta=0.0, confidence=0.95, rng=rng
            ).epsilon
        )
    assert bounds[0] > bounds[1] > 0.0


def test_the_best_of_a_grid_without_correction_is_caught_by_the_same_count():
    # The control of the level test: the same counting sees a rule that breaks its promise.
    grid = [(k, k) for k in (5, 10, 20, 40, 60, 80, 100)]
    alarms = 0
    for seed in range(300):
        scores, included = coins(200, seed)
        rng = np.random.default_rng(seed)
        tried = [guess(scores, included, k_plus=a, k_minus=b, rng=rng) for a, b in grid]
        alarms += max(one_run_epsilon(g, delta=1e-5, alpha=0.05) for g in tried) > 0
    assert alarms / 300 > 0.05 + 4 * math.sqrt(0.05 * 0.95 / 300)


def test_multi_split_is_the_median_at_half_the_level():
    scores, included = coins(400, 6)
    scores = scores + 2.0 * included
    terms = {"delta": 0.0}
    rng = np.random.default_rng(1)
    singles = [
        epsilon_lower_bound(
            scores, included, rule=Split(), confidence=0.975, rng=rng, **terms
        ).epsilon
        for _ in range(5)
    ]
    found = epsilon_lower_bound(
        scores,
        included,
        rule=MultiSplit(splits=5),
        confidence=0.95,
        rng=np.random.default_rng(1),
        **terms,
    )
    assert found.epsilon == pytest.approx(float(np.median(singles)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Guesses(canaries=5, made=6, correct=1), "1 correct of 6 guesses on 5"),
        (lambda: Guesses(canaries=5, made=3, correct=4), "4 correct of 3 guesses"),
        (lambda: Guesses(canaries=5, made=3, correct=-1), "-1 correct"),
        (lambda: Split(share=1.0), "share of learning canaries is 1.0"),
        (lambda: Split(share=0.0), "share of learning canaries is 0.0"),
        (lambda: Split(shares=()), "shares are"),
        (lambda: Split(shares=((0.6, 0.6),)), "shares are"),
        (lambda: Split(shares=((-0.1, 0.6),)), "shares are"),
        (lambda: MultiSplit(splits=0), "splits are 0"),
        (lambda: Corrected(()), "grid is empty"),
    ],
)
def test_rules_refuse_what_makes_no_rule(make, message):
    with pytest.raises(AuditInputError, match=message):
        make()


@pytest.mark.parametrize(
    ("scores", "included", "message"),
    [
        (np.zeros(3), np.ones(2, bool), "one entry per canary"),
        (np.zeros(0), np.ones(0, bool), "one entry per canary"),
        (np.zeros((2, 1)), np.ones((2, 1), bool), "one entry per canary"),
        (np.zeros(2), np.ones(2), "included is float64"),
        (np.array([0.0, math.nan]), np.ones(2, bool), "score of canary 1 is nan"),
    ],
)
def test_canaries_that_are_none_are_refused(scores, included, message):
    rng = np.random.default_rng(0)
    with pytest.raises(AuditInputError, match=message):
        guess(scores, included, k_plus=1, k_minus=0, rng=rng)


@pytest.mark.parametrize(("k_plus", "k_minus"), [(3, 2), (-1, 0), (0, -1)])
def test_more_guesses_than_canaries_are_refused(k_plus, k_minus):
    scores, included = coins(4, 0)
    with pytest.raises(AuditInputError, match="at most one guess per canary"):
        guess(scores, included, k_plus=k_plus, k_minus=k_minus, rng=np.random.default_rng(0))


def test_one_canary_cannot_be_split():
    scores, included = coins(1, 0)
    with pytest.raises(AuditInputError, match="1 canaries cannot be split"):
        epsilon_lower_bound(
            scores,
            included,
            rule=Split(),
            delta=0.0,
            confidence=0.95,
            rng=np.random.default_rng(0),
        )


def test_without_delta_the_bound_is_exact_for_randomised_response():
    # All 2^r outcomes of r guesses: the bound exceeds the truth with probability at most alpha,
    # and a level twice as large would not do.
    made, truth = 30, 1.0
    chance = 1 / (1 + math.exp(-truth))
    bounds = {
        v: one_run_epsilon(Guesses(canaries=made, made=made, correct=v), delta=0.0, alpha=0.1)
        for v in range(made + 1)
    }
    above = sum(stats.binom.pmf(v, made, chance) for v, bound in bounds.items() if bound > truth)
    assert 0.02 < above <= 0.1
    assert all(a <= b for a, b in itertools.pairwise(bounds.values()))
