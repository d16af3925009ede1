import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from audits.errors import AuditInputError
from audits.statistics import (
    Guesses,
    one_run_curve_epsilon,
    one_run_curve_p_value,
    one_run_epsilon,
    one_run_mu,
)
from audits.statistics.trade_off import approximate_curve, walk_exceeds

rates = st.floats(0.0, 1.0)


@given(rates, st.floats(0.0, 6.0), st.floats(0.0, 0.5))
@settings(derandomize=True, deadline=None, max_examples=50)
def test_the_curve_is_the_inverse_of_the_two_lines_of_epsilon_and_delta(wrong, epsilon, delta):
    """Kairouz, Oh and Viswanath 2015: both inequalities, for the event and its complement."""
    best = min(
        math.exp(epsilon) * wrong + delta, 1.0 - math.exp(-epsilon) * (1.0 - delta - wrong), 1.0
    )
    assert approximate_curve(epsilon, delta)(best) <= wrong + 1e-9
    if best < 1.0:
        assert approximate_curve(epsilon, delta)(best) == pytest.approx(wrong, abs=1e-9)


def naive_walk(guesses, least, alpha):
    """The recursion with lists, as in the paper's algorithm."""
    c, made, m = guesses.correct, guesses.made, guesses.canaries
    right, wrong = [alpha * c / m], [alpha * (made - c) / m]
    for i in reversed(range(c)):
        wrong.append(max(wrong[-1], least(right[-1])))
        right.append(min(1.0, right[-1] + i / (made - i) * (wrong[-1] - wrong[-2])))
    return right[-1] + wrong[-1] > made / m


@given(
    st.integers(1, 60), st.data(), st.floats(0.0, 4.0), st.floats(0.0, 0.1), st.floats(0.001, 0.4)
)
@settings(derandomize=True, deadline=None, max_examples=50)
def test_walking_down_early_or_to_the_end_is_the_same(made, data, epsilon, delta, alpha):
    correct = data.draw(st.integers(1, made))
    guesses = Guesses(canaries=made + data.draw(st.integers(0, 60)), made=made, correct=correct)
    curve = approximate_curve(epsilon, delta)
    assert walk_exceeds(guesses, curve, alpha=alpha) == naive_walk(guesses, curve, alpha)


def test_without_delta_it_is_close_to_the_exact_bound():
    """All 100 right, pure epsilon: ln(a / (1 - a)) with a = alpha^(1/100), Clopper and Pearson."""
    guesses = Guesses(canaries=100, made=100, correct=100)
    found = one_run_curve_epsilon(guesses, delta=0.0, alpha=0.05)
    assert found == pytest.approx(one_run_epsilon(guesses, delta=0.0, alpha=0.05), rel=0.05)


def test_with_delta_it_keeps_what_the_inequality_loses():
    """A copy seen clearly, at the small level that many attacks leave."""
    guesses = Guesses(canaries=20_000, made=1000, correct=990)
    assert one_run_epsilon(guesses, delta=3.7e-5, alpha=0.002) == 0.0
    assert one_run_curve_epsilon(guesses, delta=3.7e-5, alpha=0.002) > 3.5


def test_it_assumes_less_than_the_gaussian_family_and_shows_less():
    guesses = Guesses(canaries=1000, made=200, correct=150)
    from audits.statistics import gaussian_epsilon

    curve = one_run_curve_epsilon(guesses, delta=1e-5, alpha=0.05)
    assert 0.0 < curve < gaussian_epsilon(one_run_mu(guesses, alpha=0.05), delta=1e-5)


@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_the_extreme_mechanism_is_overestimated_no_more_often_than_promised(alpha):
    """Truth for sure in 0.1 % of cases, else odds e^2 to 1, on 800 canaries with 200 guesses.

    4,000 seeds; the limit is the level plus three standard errors. A claim of a quarter of the true
    epsilon is ruled out nearly always at 5 %, so the bound is not merely silent.
    """
    rng = np.random.default_rng(int(1000 * alpha))
    reps, m, made, epsilon, delta = 4000, 800, 200, 2.0, 0.001
    included = rng.random((reps, m)) < 0.5
    answers = np.where((rng.random((reps, m)) < special.expit(epsilon)) == included, 1.0, -1.0)
    scores = np.where(rng.random((reps, m)) < delta, np.where(included, 2.0, -2.0), answers)
    scores += rng.random((reps, m)) * 1e-3
    order = np.argsort(-scores, axis=1)[:, :made]
    correct = np.take_along_axis(included, order, axis=1).sum(axis=1)
    true = approximate_curve(epsilon, delta)
    quarter = approximate_curve(epsilon / 4.0, delta)
    alarms, caught = 0, 0
    for value in correct.tolist():
        guesses = Guesses(canaries=m, made=made, correct=value)
        alarms += walk_exceeds(guesses, true, alpha=alpha)
        caught += walk_exceeds(guesses, quarter, alpha=alpha)
    assert alarms / reps <= alpha + 3.0 * math.sqrt(alpha / reps)
    # At the smaller level delta, 0.8 revealed canaries a run, explains what was seen.
    assert alpha < 0.05 or caught / reps > 0.9


@pytest.mark.parametrize("correct", [60, 75, 90, 100])
def test_p_value_and_bound_agree(correct):
    guesses = Guesses(canaries=500, made=100, correct=correct)
    p_value = one_run_curve_p_value(guesses, epsilon=0.7, delta=1e-4)
    if p_value >= 0.49:
        assert one_run_curve_epsilon(guesses, delta=1e-4, alpha=0.49) <= 0.7
        return
    assert one_run_curve_epsilon(guesses, delta=1e-4, alpha=p_value * 1.001) >= 0.7
    assert one_run_curve_epsilon(guesses, delta=1e-4, alpha=p_value * 0.98) < 0.7


def test_nothing_correct_shows_nothing():
    guesses = Guesses(canaries=100, made=50, correct=0)
    assert one_run_curve_epsilon(guesses, delta=1e-5, alpha=0.05) == 0.0
    assert one_run_curve_p_value(guesses, epsilon=0.5, delta=1e-5) == 1.0


@pytest.mark.parametrize(("delta", "alpha"), [(1.0, 0.05), (-0.1, 0.05), (0.0, 0.0), (0.0, 0.5)])
def test_levels_out_of_range_are_refused(delta, alpha):
    with pytest.raises(AuditInputError, match="must lie"):
        one_run_curve_epsilon(Guesses(canaries=9, made=5, correct=4), delta=delta, alpha=alpha)
