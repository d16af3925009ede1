import numpy as np
import pandas as pd
import pytest

from audits.judgement import Settings, judge
from audits.membership import at_risk, joint
from audits.membership.arms import Arms
from audits.membership.scoring import Scored
from audits.records import concatenate, encode
from audits.statistics import Estimate

SETTINGS = Settings(seed=1, confidence=0.95, groups=2)


class Named:
    KNOWLEDGE = "nothing"

    def __init__(self, name):
        self.NAME = name


def table(n, seed, *, rare=0.08):
    rng = np.random.default_rng([30, seed])
    return pd.DataFrame(
        {"x": rng.normal(size=n), "town": np.where(rng.random(n) < rare, "hamlet", "city")}
    )


@pytest.fixture(scope="module")
def arms():
    tables = encode(table(1500, 1), table(1500, 2), table(100, 3))
    targets = concatenate([tables.train, tables.holdout])
    return Arms(
        targets=targets,
        members=np.arange(3000) < 1500,
        lent=np.zeros(3000, dtype=bool),
        reference=None,
        synthetic=tables.synthetic,
    )


def scored(arms, values, name="attack", control=0.95):
    area = Estimate(value=control, lower=control, upper=control, confidence=0.95)
    return Scored(attack=Named(name), scores=values, control=area)


def hamlet(arms):
    return arms.targets.categories[:, 0] == arms.targets.layout.levels[0].index("hamlet")


def exposure(arms):
    return np.abs(arms.targets.numbers[:, 0])


def test_a_leak_in_one_small_group_is_found_and_named(arms):
    rng = np.random.default_rng(0)
    values = rng.normal(size=3000) + 1.5 * (hamlet(arms) & arms.members)
    evidence = at_risk.evidence(arms, [scored(arms, values)], exposure(arms), settings=SETTINGS)
    assert evidence.p_value <= 0.001
    first = evidence.curves["groups"][0]
    assert first["group"] == "town = hamlet"
    assert first["auroc"] > 0.75
    assert first["lower"] > 0.6
    assert "In the group town = hamlet the attack attack tells" in evidence.found
    worst = evidence.figures["worst_group_auroc"]
    assert (worst.value, worst.lower) == (first["auroc"], first["lower"])


@pytest.mark.slow
def test_groups_without_leak_alarm_in_at_most_five_percent(arms):
    """100 label draws at level 0.025 (two groups of tests): more than 8 once in a thousand."""
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        items = [scored(arms, rng.normal(size=3000), name) for name in ("a", "b")]
        evidence = at_risk.evidence(arms, items, exposure(arms), settings=SETTINGS)
        alarms += evidence.p_value <= SETTINGS.alpha_each
    assert alarms <= 8


def test_flagged_rows_by_hand(arms):
    """Members 0 to 29 beat every non-member: 30 of 1,500; a non-member is flagged one in 100."""
    values = np.random.default_rng(0).random(3000)
    values[:30] = 2.0
    evidence = at_risk.evidence(arms, [scored(arms, values)], exposure(arms), settings=SETTINGS)
    outside = np.sort(values[1500:])
    above = 1500 - np.searchsorted(outside, values[:1500], side="left")
    expected = np.mean((above + 1) / 1501 <= at_risk.FLAG)
    assert evidence.figures["flagged_share"].value == pytest.approx(expected)
    assert evidence.figures["flagged_share"].value >= 30 / 1500
    assert evidence.figures["flagged_share_baseline"].value == pytest.approx(0.01)
    listed = [record["row"] for record in evidence.curves["records"][:30]]
    assert sorted(listed) == list(range(30))


def test_too_few_rows_never_seen_flag_nobody_and_say_all_is_possible():
    tables = encode(table(80, 1), table(60, 2), table(50, 3))
    few = Arms(
        targets=concatenate([tables.train, tables.holdout]),
        members=np.arange(140) < 80,
        lent=np.zeros(140, dtype=bool),
        reference=None,
        synthetic=tables.synthetic,
    )
    values = np.random.default_rng(0).random(140)
    evidence = at_risk.evidence(few, [scored(few, values)], np.ones(140), settings=SETTINGS)
    assert evidence.figures["flagged_share"].upper == 1.0
    assert evidence.p_value is None
    assert evidence.figures["worst_group_auroc"].lower == 0.0
    assert "none was tested on its own" in evidence.nothing


def test_groups_that_are_too_small_for_a_weak_attack_are_inconclusive(arms):
    values = np.random.default_rng(0).random(3000)
    weak = scored(arms, values, control=0.55)
    evidence = at_risk.evidence(arms, [weak], exposure(arms), settings=SETTINGS)
    (finding,) = judge([evidence], settings=SETTINGS)
    assert finding.verdict == "inconclusive"
    strong = scored(arms, values, control=1.0)
    evidence = at_risk.evidence(arms, [strong], exposure(arms), settings=SETTINGS)
    (finding,) = judge([evidence], settings=SETTINGS)
    assert finding.verdict == "none"


def test_the_joint_test_names_rows_that_stand_apart(arms):
    """The leak is in the exposed tenth alone: its column alarms, and the reason says so."""
    apart = exposure(arms) > np.quantile(exposure(arms), 0.9)
    rng = np.random.default_rng(3)
    values = rng.normal(size=3000) + 1.2 * (apart & arms.members)
    outcome = joint.joint(arms, [scored(arms, values)], apart, settings=SETTINGS)
    (evidence,) = joint.evidence([outcome], {"synthetic": 100}, settings=SETTINGS, claim=None)
    assert evidence.p_value <= 0.001
    assert "most clearly for the rows that stand apart" in evidence.found
    area = evidence.figures["auroc_vulnerable"]
    assert area.lower > 0.7 > evidence.figures["auroc"].value


def test_agreeing_attacks_cost_nothing(arms):
    """Ten copies of one attack are as significant as one: the permutations see that they agree."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=3000) + 0.13 * arms.members
    apart = np.zeros(3000, dtype=bool)
    one, ten = (
        joint.joint(
            arms, [scored(arms, values, f"a{i}") for i in range(k)], apart, settings=SETTINGS
        ).test.p_adjusted[0]
        for k in (1, 10)
    )
    assert one == ten
    assert 0.0 < one < 0.02


def test_a_failed_negative_control_voids_all_attacks(arms):
    values = np.random.default_rng(0).random(3000)
    bad = Scored(
        attack=Named("bad"),
        scores=values,
        control=Estimate(value=0.9, lower=0.9, upper=0.9, confidence=0.95),
        void="Negative control failed.",
    )
    outcome = joint.joint(
        arms, [scored(arms, values, "good"), bad], np.zeros(3000, dtype=bool), settings=SETTINGS
    )
    found = joint.evidence([outcome], {"synthetic": 100}, settings=SETTINGS, claim=None)
    assert [item.void for item in found] == ["Negative control failed."] * 2
