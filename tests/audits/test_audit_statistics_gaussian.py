import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from audits.errors import AuditInputError
from audits.statistics import (
    ErrorCounts,
    Guesses,
    canary_mu,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_mu,
    many_run_epsilon,
    many_run_mu,
    one_run_mu,
)
from audits.statistics.gaussian import largest_shift

# Canaries, guesses, correct, alpha, epsilon at delta 1e-5 in the Gaussian family. The recursion is
# Mahloujifar, Melis and Chaudhuri, ICML 2025 (arXiv 2410.22235); the figures are those on which
# independent implementations of it agree to four digits.
ONE_RUN_GAUSSIAN = [
    (500, 100, 100, 0.05, 6.1218),
    (500, 100, 100, 0.01, 4.8479),
    (500, 95, 58, 0.05, 0.0972),
    (500, 35, 23, 0.05, 0.0),
    (500, 30, 23, 0.05, 0.5480),
    (500, 30, 23, 0.01, 0.1900),
    (500, 25, 18, 0.05, 0.1554),
    (1000, 1000, 1000, 0.05, 12.3346),
    (1000, 100, 95, 0.05, 3.3233),
    (1000, 100, 90, 0.05, 2.4564),
    (1000, 200, 150, 0.05, 1.2969),
    (10000, 1000, 900, 0.05, 2.8026),
    (100000, 1500, 1429, 0.05, 3.2992),
]


def shifted(mu, m, seed, *, noise=1.0):
    rng = np.random.default_rng(seed)
    included = rng.random(m) < 0.5
    return noise * (rng.normal(size=m) + mu * included) + 3.0, included


@pytest.mark.parametrize(("m", "r", "v", "alpha", "epsilon"), ONE_RUN_GAUSSIAN)
def test_one_run_mu_agrees_with_the_literature(m, r, v, alpha, epsilon):
    mu = one_run_mu(Guesses(canaries=m, made=r, correct=v), alpha=alpha)
    assert gaussian_epsilon(mu, delta=1e-5) == pytest.approx(epsilon, abs=1e-4)


def test_one_run_mu_grows_with_correct_guesses_and_is_zero_without():
    bounds = [one_run_mu(Guesses(canaries=200, made=50, correct=v), alpha=0.05) for v in range(51)]
    assert bounds == sorted(bounds)
    assert bounds[0] == bounds[25] == 0.0 < bounds[40]


@pytest.mark.parametrize("mu", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 4.0])
def test_gaussian_delta_is_the_integral_of_what_exceeds(mu, epsilon):
    def excess(x):
        return max(0.0, stats.norm.pdf(x, mu) - math.exp(epsilon) * stats.norm.pdf(x))

    cut = epsilon / mu + mu / 2
    expected, _ = integrate.quad(excess, cut, cut + 20, epsabs=1e-12)
    assert gaussian_delta(mu, epsilon=epsilon) == pytest.approx(expected, abs=1e-9)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(epsilon=st.floats(0.01, 30), delta=st.sampled_from([1e-9, 1e-5, 1e-2]))
def test_gaussian_mu_and_epsilon_are_inverse(epsilon, delta):
    mu = gaussian_mu(epsilon, delta=delta)
    assert gaussian_epsilon(mu, delta=delta) == pytest.approx(epsilon, abs=1e-6)
    assert gaussian_delta(mu, epsilon=epsilon) == pytest.approx(delta, rel=1e-6)


def test_gaussian_epsilon_at_the_ends():
    assert gaussian_epsilon(0.0, delta=1e-5) == gaussian_delta(0.0, epsilon=0.0) == 0.0
    assert gaussian_epsilon(1.0, delta=0.0) == math.inf
    assert gaussian_epsilon(0.1, delta=0.5) == 0.0
    for mu in (-0.1, math.nan):
        with pytest.raises(AuditInputError, match="mu is"):
            gaussian_epsilon(mu, delta=1e-5)


@pytest.mark.parametrize("freedom", [1, 2, 5, 50, 5000])
@pytest.mark.parametrize("t", [7.0, 12.0, 60.0])
def test_largest_shift_inverts_the_non_central_t(freedom, t):
    shift = largest_shift(t, freedom, alpha=0.05)
    if shift == 0.0:
        assert stats.t.sf(t, freedom) >= 0.04
    else:
        assert stats.nct.sf(t, freedom, shift) == pytest.approx(0.05, abs=2e-5)


@pytest.mark.parametrize("epsilon", [1, 2, 4, 8])
def test_canary_mu_recovers_most_of_mu(epsilon):
    mu = gaussian_mu(epsilon, delta=1e-5)
    found = [canary_mu(*shifted(mu, 10_000, s, noise=7.0), alpha=0.05) for s in range(20)]
    assert np.mean(found) >= 0.8 * mu
    # 4 or more of 20 at a level of 5 % has probability 1.6 %; the seeds are fixed.
    assert sum(value > mu for value in found) < 4


@pytest.mark.parametrize("mu", [0.0, 0.5])
def test_canary_mu_exceeds_the_truth_at_its_level_on_few_canaries(mu):
    above = [canary_mu(*shifted(mu, 30, s), alpha=0.1) > mu for s in range(600)]
    # An exact bound: neither above its level nor far below it (two and five standard errors).
    error = math.sqrt(0.1 * 0.9 / 600)
    assert 0.1 - 5 * error < np.mean(above) <= 0.1 + 2 * error


def test_canary_mu_is_zero_for_an_attack_that_is_worse_than_guessing():
    scores, included = shifted(2.0, 1_000, 0)
    assert canary_mu(-scores, included, alpha=0.05) == 0.0
    assert canary_mu(scores, included, alpha=0.05) > 1.5


def test_a_wider_spread_of_included_scores_only_lowers_canary_mu():
    scores, included = shifted(1.0, 1_000, 1)
    centre = scores[included].mean()
    wider = np.where(included, centre + 3.0 * (scores - centre), scores)
    assert 0.0 < canary_mu(wider, included, alpha=0.05) < canary_mu(scores, included, alpha=0.05)
    narrower = np.where(included, centre + 0.1 * (scores - centre), scores)
    assert canary_mu(narrower, included, alpha=0.05) <= 1.01 * canary_mu(
        scores, included, alpha=0.05
    )


@pytest.mark.parametrize(
    ("scores", "included", "message"),
    [
        ([1.0, 2.0, 3.0], [True, True, False], "2 canaries in and 1 out"),
        ([1.0, 2.0, 3.0], [True, False, False], "1 canaries in and 2 out"),
        ([1.0, 2.0, 3.0, 3.0], [True, True, False, False], "are all equal"),
        ([1.0, math.inf], [True, False], "score of canary 1 is inf"),
    ],
)
def test_canary_mu_refuses_what_has_no_spread(scores, included, message):
    with pytest.raises(AuditInputError, match=message):
        canary_mu(np.array(scores), np.array(included), alpha=0.05)


def counts(false_positives, false_negatives, models=100):
    return ErrorCounts(
        false_positives=false_positives,
        without=models,
        false_negatives=false_negatives,
        with_target=models,
    )


def test_many_run_bounds_by_hand():
    # No error on 100 models: the upper bound at 2.5 % is 1 - 0.025^(1/100).
    upper = 1 - 0.025**0.01
    assert many_run_epsilon(counts(0, 0), delta=0.0, alpha=0.05) == pytest.approx(
        math.log((1 - upper) / upper)
    )
    assert many_run_epsilon(counts(0, 0), delta=0.1, alpha=0.05) == pytest.approx(
        math.log((0.9 - upper) / upper)
    )
    assert many_run_mu(counts(0, 0), alpha=0.05) == pytest.approx(-2 * stats.norm.ppf(upper))


def test_many_run_epsilon_reads_both_inequalities():
    few_alarms, few_misses = counts(0, 60), counts(60, 0)
    found = [many_run_epsilon(c, delta=1e-5, alpha=0.05) for c in (few_alarms, few_misses)]
    assert found[0] == pytest.approx(found[1])
    assert found[0] > 2.0


def test_the_sign_of_a_many_run_mu_can_be_zero():
    # Guessing: an absolute value would report the width of the intervals, 0.5 and more, as leakage.
    upper = stats.beta.isf(0.025, 51, 50)
    assert abs(stats.norm.ppf(1 - upper) - stats.norm.ppf(upper)) > 0.4
    assert many_run_mu(counts(50, 50), alpha=0.05) == 0.0
    assert many_run_mu(counts(50, 50), alpha=0.05, two_sided=True) == 0.0
    assert many_run_epsilon(counts(50, 50), delta=1e-5, alpha=0.05) == 0.0


def test_a_reliably_wrong_attack_shows_mu_only_if_asked_for():
    assert many_run_mu(counts(95, 95), alpha=0.05) == 0.0
    mirrored = many_run_mu(counts(95, 95), alpha=0.05, two_sided=True)
    forward = many_run_mu(counts(5, 5), alpha=0.05, two_sided=True)
    assert mirrored == pytest.approx(forward)
    assert 0.0 < forward < many_run_mu(counts(5, 5), alpha=0.05)


@pytest.mark.parametrize("bad", [(-1, 0), (101, 0), (0, -1), (0, 101)])
def test_impossible_error_counts_are_refused(bad):
    with pytest.raises(AuditInputError, match="errors on 100 models"):
        counts(*bad)
    with pytest.raises(AuditInputError, match="0 errors on 0 models"):
        counts(0, 0, models=0)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_levels_out_of_range_are_refused(alpha):
    with pytest.raises(AuditInputError, match="alpha is"):
        many_run_epsilon(counts(1, 1), delta=0.0, alpha=alpha)
    with pytest.raises(AuditInputError, match="alpha is"):
        many_run_mu(counts(1, 1), alpha=alpha)
    with pytest.raises(AuditInputError, match="alpha is"):
        one_run_mu(Guesses(canaries=9, made=5, correct=4), alpha=alpha)
    with pytest.raises(AuditInputError, match="delta is"):
        many_run_epsilon(counts(1, 1), delta=1.0, alpha=0.05)
