import numpy as np
import pytest

from audits.errors import AuditInputError
from audits.judgement import Settings
from audits.membership.bounds import bound, canaries, claim_evidence, words
from audits.result import Claim

SETTINGS = Settings(seed=3, confidence=0.95, groups=1)


def settings(seed):
    return Settings(seed=seed, confidence=0.95, groups=1)


def coins(inside, outside, seed=3, name="attack"):
    return canaries(inside, outside, name=name, settings=settings(seed))


def test_canaries_are_fair_coins_over_pairs():
    inside, outside = np.full(5000, 1.0), np.full(1000, -1.0)
    found = coins(inside, outside)
    assert found.scores.size == 1000
    np.testing.assert_array_equal(found.scores > 0, found.included)
    assert abs(found.included.mean() - 0.5) < 0.05


def test_pairs_and_coins_belong_to_the_targets_not_to_the_attack():
    rng = np.random.default_rng(0)
    first = coins(rng.random(300), rng.random(200), name="a")
    second = coins(rng.random(300), rng.random(200), name="b")
    np.testing.assert_array_equal(first.included, second.included)


def test_scores_without_leak_rule_out_epsilon_above_zero_in_at_most_five_percent():
    """300 seeds: 5 % is 15, and 24 is exceeded in one case in a hundred."""
    alarms = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        found = coins(rng.random(400), rng.random(200), seed)
        limit = bound(found, settings=settings(seed), claim=None)
        alarms += limit.epsilon > 0
    assert alarms <= 24


def test_a_perfect_attack_reaches_its_ceiling_and_breaks_a_small_claim():
    found = coins(np.full(500, 1.0), np.full(500, 0.0))
    limit = bound(found, settings=SETTINGS, claim=Claim(epsilon=1.0, delta=1e-9))
    assert limit.epsilon == pytest.approx(limit.ceiling)
    assert limit.ceiling > 3.0
    evidence = claim_evidence([found], [limit], Claim(epsilon=1.0, delta=1e-9), settings=SETTINGS)
    assert evidence.p_value < 1e-6
    assert evidence.found.startswith("The claim does not hold: attack guesses better")
    assert evidence.figures["claimed_epsilon"].value == 2.0


def test_a_claim_that_no_run_of_this_size_can_contradict_is_measured_not_cleared():
    found = coins(np.full(500, 1.0), np.full(500, 0.0))
    claim = Claim(epsilon=8.0, delta=1e-9)
    limit = bound(found, settings=SETTINGS, claim=claim)
    evidence = claim_evidence([found], [limit], claim, settings=SETTINGS)
    assert evidence.p_value is None
    assert evidence.nothing.startswith("This run could not contradict it")


def test_randomised_response_at_its_claim_is_contradicted_in_at_most_five_percent():
    """Each canary's coin is told truly with odds e^2 to 1: replacing a row costs 2, as claimed.

    200 seeds: 5 % is 10, and 18 is exceeded in one case in a hundred. Odds e^4 are caught.
    """
    alarms, caught = 0, 0
    claim = Claim(epsilon=1.0, delta=0.0)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        for epsilon in (2.0, 4.0):
            truth = np.exp(epsilon) / (1 + np.exp(epsilon))
            inside = (rng.random(400) < truth).astype(float)
            outside = (rng.random(400) >= truth).astype(float)
            found = coins(inside, outside, seed)
            limit = bound(found, settings=settings(seed), claim=claim)
            p_value = claim_evidence([found], [limit], claim, settings=settings(seed)).p_value
            alarm = p_value is not None and p_value <= 0.05
            alarms += alarm and epsilon == 2.0
            caught += alarm and epsilon == 4.0
    assert alarms <= 18
    assert caught >= 190


def test_nothing_ruled_out_is_never_called_private():
    rng = np.random.default_rng(1)
    limit = bound(coins(rng.random(200), rng.random(200)), settings=SETTINGS, claim=None)
    assert limit.epsilon == 0.0
    assert "nothing ruled out" in words(limit)
    assert "private" not in words(limit)


@pytest.mark.parametrize(
    ("epsilon", "delta", "message"),
    [
        (0.0, 0.0, "claimed epsilon is 0.0"),
        (float("nan"), 0.0, "claimed epsilon is nan"),
        (1.0, 1.0, "claimed delta is 1.0"),
        (1.0, -0.1, "claimed delta is -0.1"),
    ],
)
def test_claims_out_of_range_are_refused(epsilon, delta, message):
    with pytest.raises(AuditInputError, match=message):
        Claim(epsilon=epsilon, delta=delta)
