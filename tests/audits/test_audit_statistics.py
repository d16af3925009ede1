import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audits.errors import AuditInputError
from audits.statistics import (
    Estimate,
    advantage,
    auroc,
    auroc_null_error,
    auroc_p_value,
    clopper_pearson,
    clustered_error,
    detectable_auroc,
    detectable_share,
    exact,
    holm,
    median_interval,
    normal_interval,
    roc,
    tpr_at_fpr,
    tvd,
)

scores = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=15).map(np.array)


def slow_auroc(members, non_members):
    wins = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(members, non_members)]
    return sum(wins) / len(wins)


@pytest.mark.parametrize(
    ("successes", "trials", "lower", "upper"),
    [
        # Binomial tables for 10 and 20 trials at 95 % (Documenta Geigy, 7th edition, 1970).
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (3, 20, 0.0321, 0.3789),
    ],
)
def test_clopper_pearson_agrees_with_tables(successes, trials, lower, upper):
    estimate = clopper_pearson(successes, trials, confidence=0.95)
    assert (estimate.lower, estimate.upper) == pytest.approx((lower, upper), abs=5e-5)
    assert estimate.value == successes / trials


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5])
def test_clopper_pearson_covers_by_enumeration(p):
    trials, covered = 40, 0.0
    for successes in range(trials + 1):
        estimate = clopper_pearson(successes, trials, confidence=0.9)
        if estimate.lower <= p <= estimate.upper:
            covered += float(stats.binom.pmf(successes, trials, p))
    assert covered >= 0.9


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 4), (5, 4)])
def test_clopper_pearson_refuses_impossible_counts(successes, trials):
    with pytest.raises(AuditInputError, match=f"{successes} successes of {trials} trials"):
        clopper_pearson(successes, trials, confidence=0.95)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(members=scores, non_members=scores)
def test_auroc_agrees_with_counting_pairs(members, non_members):
    estimate = auroc(members, non_members, confidence=0.95)
    assert estimate.value == pytest.approx(slow_auroc(members, non_members))
    assert 0.0 <= estimate.lower <= estimate.value <= estimate.upper <= 1.0
    mirrored = auroc(-members, -non_members, confidence=0.95)
    assert mirrored.value == pytest.approx(1.0 - estimate.value)


def test_auroc_interval_agrees_with_the_bootstrap():
    rng = np.random.default_rng(3)
    members = np.round(rng.normal(0.7, 1.3, 150), 1)
    outside = np.round(rng.normal(0.0, 1.0, 220), 1)
    estimate = auroc(members, outside, confidence=0.95)
    draws = [
        auroc(rng.choice(members, 150), rng.choice(outside, 220), confidence=0.95).value
        for _ in range(800)
    ]
    half = (estimate.upper - estimate.lower) / 2
    assert half == pytest.approx(1.96 * np.std(draws), rel=0.1)


def test_auroc_interval_covers():
    rng = np.random.default_rng(4)
    truth = float(stats.norm.cdf(0.8 / math.sqrt(2)))
    inside = 0
    for _ in range(400):
        estimate = auroc(rng.normal(0.8, 1, 80), rng.normal(0, 1, 60), confidence=0.9)
        inside += estimate.lower <= truth <= estimate.upper
    assert 0.86 <= inside / 400 <= 0.94


def test_the_lower_end_of_a_high_auroc_is_not_too_high():
    # On the plain scale 8 % of lower ends would exceed the truth here instead of 2.5 %.
    rng = np.random.default_rng(14)
    truth = float(stats.norm.cdf(2.0 / math.sqrt(2)))
    plain = logit = 0
    for _ in range(1000):
        found = auroc(rng.normal(2, 1, 50), rng.normal(0, 1, 50), confidence=0.95)
        logit += found.lower > truth
        half = math.log(found.upper / (1 - found.upper) / found.lower * (1 - found.lower)) / 2
        plain += found.value - half * found.value * (1 - found.value) > truth
    limit = 0.025 + 2 * math.sqrt(0.025 * 0.975 / 1000)
    assert logit / 1000 <= limit < plain / 1000


def test_complete_separation_still_has_an_interval():
    estimate = auroc(np.arange(10.0) + 100, np.arange(10.0), confidence=0.95)
    assert estimate.value == estimate.upper == 1.0
    assert 0.6 < estimate.lower < 0.99
    wider = auroc(np.array([2.0, 3.0]), np.array([0.0, 1.0]), confidence=0.95)
    assert wider.lower < estimate.lower


def test_scores_all_equal_say_nothing():
    same = np.zeros(50)
    assert auroc(same, same, confidence=0.95).value == 0.5
    assert auroc(same, same, confidence=0.95).lower < 0.5
    assert auroc_p_value(same, same) == 1.0


@pytest.mark.parametrize("tied", [False, True])
def test_auroc_p_value_alarms_at_its_level_and_sees_a_shift(tied):
    rng = np.random.default_rng(5)

    def draw(shift, n):
        values = rng.normal(shift, 1, n)
        return np.round(values) if tied else values

    alarms = np.mean([auroc_p_value(draw(0, 60), draw(0, 90)) <= 0.05 for _ in range(1000)])
    assert alarms <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 1000)
    assert alarms >= 0.025
    assert np.mean([auroc_p_value(draw(1, 60), draw(0, 90)) <= 0.05 for _ in range(50)]) > 0.95


def test_auroc_null_error_is_the_spread_under_the_null():
    rng = np.random.default_rng(6)
    values = [
        auroc(rng.normal(size=30), rng.normal(size=70), confidence=0.9).value for _ in range(2000)
    ]
    assert auroc_null_error(30, 70) == pytest.approx(np.std(values), rel=0.06)


def test_roc_by_hand():
    fpr, tpr = roc(np.array([3.0, 2.0, 2.0]), np.array([2.0, 1.0]))
    assert fpr.tolist() == pytest.approx([0.0, 0.0, 0.5, 1.0])
    assert tpr.tolist() == pytest.approx([0.0, 1 / 3, 1.0, 1.0])


def test_tpr_at_fpr_by_hand():
    outside = np.arange(100.0)
    members = np.array([98.5, 99.5, 100.0, 5.0])
    # One false alarm in a hundred is allowed, so the threshold is 98.
    assert tpr_at_fpr(members, outside, fpr=0.01, confidence=0.95).value == 0.75
    # None is allowed at 0.1 %: the threshold is 99.
    assert tpr_at_fpr(members, outside, fpr=0.001, confidence=0.95).value == 0.5


@settings(derandomize=True, deadline=None, max_examples=50)
@given(members=scores, non_members=scores, fpr=st.sampled_from([0.01, 0.1, 0.5]))
def test_tpr_at_fpr_keeps_its_false_positive_rate(members, non_members, fpr):
    estimate = tpr_at_fpr(members, non_members, fpr=fpr, confidence=0.95)
    allowed = [
        np.mean(members > t) for t in [*non_members, -np.inf] if np.mean(non_members > t) <= fpr
    ]
    assert estimate.value == pytest.approx(max(allowed))


def test_tpr_at_fpr_interval_covers_the_draw_of_the_threshold_too():
    rng = np.random.default_rng(11)
    outside = {"honest": 0, "threshold held fixed": 0}
    truth = float(stats.norm.sf(stats.norm.isf(0.05) - 1))
    for _ in range(500):
        members, others = rng.normal(1, 1, 2000), rng.normal(0, 1, 200)
        found = tpr_at_fpr(members, others, fpr=0.05, confidence=0.9)
        outside["honest"] += not found.lower <= truth <= found.upper
        hits = round(found.value * 2000)
        fixed = clopper_pearson(hits, 2000, confidence=0.9)
        outside["threshold held fixed"] += not fixed.lower <= truth <= fixed.upper
    assert outside["honest"] / 500 <= 0.1
    assert outside["threshold held fixed"] / 500 > 0.5


@pytest.mark.parametrize(("n", "fpr"), [(1, 0.5), (30, 0.01), (400, 0.01), (400, 0.3), (99, 0.99)])
def test_tpr_at_fpr_ends_are_the_tightest_order_statistics_that_hold(n, fpr):
    # Members exactly between the non-members tell which order statistics the ends came from.
    others, members = np.arange(float(n)), np.arange(n + 1) - 0.5
    found = tpr_at_fpr(members, others, fpr=fpr, confidence=0.9)
    tail = 0.025
    beyond = stats.binom(n, fpr)
    high = max([j for j in range(1, n + 1) if beyond.cdf(j - 1) <= tail], default=0)
    low = min([j for j in range(1, n + 1) if beyond.sf(j - 1) <= tail], default=n + 1)
    ends = [clopper_pearson(hits, n + 1, confidence=1 - 2 * tail) for hits in (high, low)]
    assert found.lower == pytest.approx(ends[0].lower)
    assert found.upper == pytest.approx(ends[1].upper)


def test_too_few_non_members_leave_the_threshold_and_the_lower_end_open():
    found = tpr_at_fpr(np.full(100, 9.0), np.arange(9.0), fpr=0.001, confidence=0.95)
    assert (found.value, found.lower) == (1.0, 0.0)
    enough = np.zeros(math.ceil(math.log(4 / 0.05) / 0.01))
    assert tpr_at_fpr(np.ones(100), enough, fpr=0.01, confidence=0.95).lower > 0.9
    assert tpr_at_fpr(np.ones(100), enough[:-20], fpr=0.01, confidence=0.95).lower == 0.0


@pytest.mark.parametrize("fpr", [0.0, 1.0, -0.1])
def test_tpr_at_fpr_refuses_rates_outside(fpr):
    with pytest.raises(AuditInputError, match="fpr is"):
        tpr_at_fpr(np.ones(2), np.zeros(2), fpr=fpr, confidence=0.95)


def test_advantage_is_the_largest_gap_and_its_interval_is_honest():
    members, outside = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 1.0, 2.0, 2.5])
    assert advantage(members, outside, confidence=0.95).value == 0.5
    assert advantage(outside, members, confidence=0.95).value == 0.0
    rng = np.random.default_rng(7)
    truth = 2 * float(stats.norm.cdf(0.5)) - 1
    for _ in range(100):
        got = advantage(rng.normal(1, 1, 200), rng.normal(0, 1, 150), confidence=0.95)
        assert got.lower <= truth <= got.upper


@pytest.mark.parametrize(("m", "n"), [(200, 200), (50, 2000), (30, 40)])
def test_the_band_of_the_advantage_bounds_the_sum_of_both_errors(m, n):
    rng = np.random.default_rng(15)
    half = advantage(np.zeros(m), np.zeros(n), confidence=0.95).upper
    # Each arm's error at its bound: Massart's tail down to 1/2, where all other mass sits.
    errors = [
        np.sqrt(np.maximum(rng.exponential(size=400_000), math.log(2)) / (2 * size))
        for size in (m, n)
    ]
    needed = float(np.quantile(errors[0] + errors[1], 0.975))
    assert 0.995 * needed <= half <= 1.01 * needed < 1.0
    union = sum(math.sqrt(math.log(1 / 0.0125) / (2 * size)) for size in (m, n))
    assert half < 0.97 * union


def test_the_band_of_the_advantage_holds_for_all_thresholds():
    # Distance-free: uniform scores stand for all continuous ones. 2.5 % of 2,000, two s.e.
    rng = np.random.default_rng(16)
    half = advantage(np.zeros(40), np.zeros(25), confidence=0.95).upper
    beyond = 0
    for _ in range(2000):
        gaps = []
        for size in (40, 25):
            ordered = np.sort(rng.random(size))
            gaps.append(float((np.arange(1, size + 1) / size - ordered).max()))
        beyond += sum(gaps) > half
    assert beyond / 2000 <= 0.025 + 2 * math.sqrt(0.025 * 0.975 / 2000)


@pytest.mark.parametrize(
    "bad", [np.array([]), np.zeros((2, 2)), np.array([np.nan]), np.array([np.inf, 0.0])]
)
@pytest.mark.parametrize(
    "statistic",
    [
        lambda a, b: auroc(a, b, confidence=0.9),
        lambda a, b: advantage(a, b, confidence=0.9),
        lambda a, b: tpr_at_fpr(a, b, fpr=0.1, confidence=0.9),
        auroc_p_value,
        roc,
    ],
)
def test_scores_that_are_none_are_refused(bad, statistic):
    good = np.zeros(3)
    with pytest.raises(AuditInputError, match="members: scores of shape"):
        statistic(bad, good)
    with pytest.raises(AuditInputError, match="non_members: scores of shape"):
        statistic(good, bad)


def test_clustered_error_equals_the_plain_one_for_lone_rows_and_grows_with_clusters():
    rng = np.random.default_rng(8)
    values = rng.normal(size=400)
    residuals = values - values.mean()
    plain = clustered_error(residuals, np.arange(400))
    assert plain == pytest.approx(values.std() / 20)
    doubled = clustered_error(np.repeat(residuals, 2), np.repeat(np.arange(400), 2))
    assert doubled == pytest.approx(plain)


def test_clustered_error_refuses_wrong_shapes():
    with pytest.raises(AuditInputError, match="need one each"):
        clustered_error(np.zeros(3), np.zeros(2))
    with pytest.raises(AuditInputError, match="need one each"):
        clustered_error(np.zeros(0), np.zeros(0))


@pytest.mark.parametrize("n", [1, 5, 6, 25, 101])
def test_median_interval_covers_by_enumeration(n):
    estimate = median_interval(np.arange(float(n)), confidence=0.95)
    low, high = int(estimate.lower), int(estimate.upper)
    below = stats.binom.cdf(low, n, 0.5) if low or n > 5 else 0.0
    assert low + high == n - 1
    assert estimate.value == (n - 1) / 2
    if n > 5:
        # The end fails only if at most `low` values fall on its side of the median.
        assert below <= 0.025
        assert stats.binom.cdf(low + 1, n, 0.5) > 0.025


def test_median_of_nothing_is_refused():
    with pytest.raises(AuditInputError, match="median of no values"):
        median_interval(np.array([]), confidence=0.95)


def test_tvd_by_hand():
    assert tvd(np.array([1, 1]), np.array([10, 10])) == 0.0
    assert tvd(np.array([2, 0]), np.array([0, 3])) == 1.0
    assert tvd(np.array([3, 1]), np.array([1, 3])) == 0.5


def test_tvd_compares_many_with_one():
    many = np.array([[1, 1], [3, 1]])
    assert tvd(many, np.array([1, 3])).tolist() == [0.25, 0.5]


def test_tvd_refuses_histograms_that_do_not_fit():
    with pytest.raises(AuditInputError, match="histograms of 2 and 3 cells"):
        tvd(np.ones(2), np.ones(3))
    with pytest.raises(AuditInputError, match="holds no rows"):
        tvd(np.ones((2, 2)), np.zeros(2))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_detectable_share_falls_with_rows_and_is_infinite_where_copies_look_fresh():
    many = detectable_share(1.0, no_leak=0.5, standard_error=0.01, alpha=0.05)
    few = detectable_share(1.0, no_leak=0.5, standard_error=0.1, alpha=0.05)
    assert many == pytest.approx((1.6449 + 1.6449) * 0.02, rel=1e-3)
    assert few == pytest.approx(10 * many)
    assert detectable_share(0.5, no_leak=0.5, standard_error=0.01, alpha=0.05) == math.inf


def test_detectable_auroc_is_seen_in_95_percent_of_runs():
    critical = 3.0
    smallest = detectable_auroc(critical, members=120, non_members=90)
    shift = math.sqrt(2) * float(stats.norm.ppf(smallest))
    rng, bar = np.random.default_rng(12), 0.5 + critical * auroc_null_error(120, 90)
    shares = {}
    for name, mu in (("smallest", shift), ("half", shift / 2)):
        seen = [
            auroc(rng.normal(mu, 1, 120), rng.normal(0, 1, 90), confidence=0.9).value > bar
            for _ in range(600)
        ]
        shares[name] = np.mean(seen)
    # 95 % within three standard errors of 600 runs; half of the shift is not enough.
    assert abs(shares["smallest"] - 0.95) <= 3 * math.sqrt(0.95 * 0.05 / 600)
    assert shares["half"] < 0.6


def test_detectable_auroc_falls_with_rows_and_is_infinite_where_nothing_can_be_seen():
    found = [detectable_auroc(3.0, members=n, non_members=n) for n in (20, 200, 20_000)]
    assert 1.0 > found[0] > found[1] > found[2] > 0.5
    assert detectable_auroc(3.0, members=3, non_members=3) == math.inf
    assert detectable_auroc(math.inf, members=3, non_members=3) == math.inf


def test_estimate_refuses_what_is_no_interval():
    with pytest.raises(AuditInputError, match="outside its interval"):
        Estimate(value=2.0, lower=0.0, upper=1.0, confidence=0.95)
    with pytest.raises(AuditInputError, match="outside its interval"):
        Estimate(value=math.nan, lower=0.0, upper=1.0, confidence=0.95)
    for confidence in (0.0, 1.0):
        with pytest.raises(AuditInputError, match="strictly between 0 and 1"):
            exact(1.0, confidence=confidence)


def test_normal_interval_is_cut_at_the_possible():
    estimate = normal_interval(0.9, 0.2, confidence=0.95, bounds=(0.0, 1.0))
    assert estimate.upper == 1.0
    assert estimate.lower == pytest.approx(0.9 - 1.96 * 0.2, abs=1e-4)
