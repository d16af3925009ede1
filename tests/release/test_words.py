import math

import pytest

from dpsynth.privacy import accounting
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.statement import LedgerRecord
from dpsynth.release.gate import Decision, RuleOutcome
from dpsynth.release.report.words import (
    all_releases,
    date,
    day,
    explanation,
    fixed,
    found_at_most,
    group_shares,
    headline,
    lineage,
    number,
    odds,
    one_person,
    percent,
    purposes,
    rule_lines,
    stopping,
)
from dpsynth.release.waivers import Waiver


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (1e-9, "below 0.01 %"),
        (0.0012, "0.12 %"),
        (0.01987, "2.0 %"),
        (0.1134, "11 %"),
        (0.985, "98 %"),
        (0.9999, "100 %"),
        (1.0, "100 %"),
        (math.nan, "–"),
    ],
)
def test_percent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.99399, "0.994"), (12.0, "12"), (math.inf, "unlimited")]
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("chance", "text"), [(1e-5, "1 in 100,000"), (3e-6, "1 in 333,000"), (0.0, "0"), (1.0, "1")]
)
def test_odds(chance, text):
    assert odds(chance) == text


@pytest.mark.parametrize(
    ("created", "text"),
    [
        ("2026-11-02T03:04:05+00:00", "2 November 2026, 03:04 UTC"),
        ("2026-01-12T23:59:59", "12 January 2026, 23:59"),
        ("yesterday", "yesterday"),
    ],
)
def test_day(created, text):
    assert day(created) == text


def test_the_story_of_one_person(statement):
    assert "with one row in the table" in one_person(statement())
    assert "all rows of one person_id" in one_person(statement(privacy_unit="person_id"))


def test_shares_are_grouped_by_purpose(statement):
    groups = group_shares(statement())
    assert groups["values"] == pytest.approx(0.09)
    assert sum(groups.values()) == pytest.approx(1.0)


WAIVER = Waiver(rule="figure a.b", name="E. Muster", reason="known", date="2026-11-20")


def rule(name, verdict="allow", waiver=None):
    return RuleOutcome(rule=name, verdict=verdict, found=None, limit=None, reason="", waiver=waiver)


def decision(verdict, *rules, audience="internal", publish="verdict", edition="internal"):
    return Decision(
        verdict=verdict,
        rules=rules,
        policy_name="house",
        policy_hash="0" * 64,
        audience=audience,
        publish=publish,
        edition=edition,
    )


@pytest.mark.parametrize(
    ("verdict", "audience", "text"),
    [
        ("allow", "public", "This table may be published"),
        (
            "allow",
            "internal",
            "This table may be shared inside the organisation and with named recipients",
        ),
        ("allow", "development", "This table may be used for development and tests"),
        ("refuse", "public", "This table must not be shared"),
        ("inconclusive", "development", "Undecided: do not share this table yet"),
    ],
)
def test_the_headline_says_whom_the_table_is_for(verdict, audience, text):
    assert headline(decision(verdict, audience=audience)) == text


def test_the_explanation_counts_what_was_kept_broken_and_set_aside():
    kept, broken = rule("budget"), rule("max_epsilon", "refuse")
    aside = rule("figure a.b", "refuse", WAIVER)
    assert explanation(decision("allow", kept)) == "All 1 rules of the policy “house” were kept."
    assert explanation(decision("allow", kept, aside)) == (
        "1 of 2 rules of the policy “house” were kept. 1 rule was set aside by name (see below)."
    )
    said = explanation(decision("refuse", kept, broken, aside))
    assert said.startswith("1 of 3 rules of the policy “house” is broken. 1 rule was set aside")
    assert "2 rules were set aside" in explanation(decision("allow", aside, aside))
    assert stopping([kept, broken, aside]) == [broken]


def test_where_the_evidence_stays_inside_no_rules_are_counted():
    """The public edition holds the rules on the guarantee alone: a count would be of those."""
    hidden = {"publish": "overall", "edition": "public"}
    assert explanation(decision("allow", rule("budget"), **hidden)) == (
        "The rules of the policy “house” were kept."
    )
    assert explanation(decision("refuse", rule("budget"), **hidden)).startswith(
        "Not all rules of the policy “house” were kept. Nothing in public/"
    )


def test_a_waived_rule_is_marked_and_keeps_its_waiver():
    broken, aside = rule_lines([rule("figure a.b", "refuse", WAIVER), rule("x", "refuse")])[::-1]
    assert (broken.badge, broken.tone) == ("broken", "refuse")
    assert (aside.badge, aside.tone, aside.verdict) == ("waived", "waived", "refuse")
    assert aside.waiver == WAIVER


def ledger(**changes):
    record = LedgerRecord(
        shared=True,
        head="0" * 64,
        entries=9,
        release="r",
        releases=1,
        total_epsilon=1.0,
        total_delta=1e-5,
        budget_epsilon=3.0,
    )
    return record.model_copy(update=changes)


def test_all_releases_together(statement):
    assert "No ledger was kept" in all_releases(statement(ledger=None))
    alone = all_releases(statement(ledger=ledger()))
    several_of_them = all_releases(statement(ledger=ledger(releases=2)))
    assert "no other release of this dataset" in alone
    assert "What was booked elsewhere, or nowhere, it cannot know." in alone
    assert "What was booked elsewhere, or nowhere, it cannot know." in several_of_them
    assert "epsilon 1 of the 3" in alone
    several = all_releases(statement(ledger=ledger(releases=4, total_epsilon=2.0)))
    assert "4 releases of this dataset" in several
    assert "epsilon 2 of the 3" in several
    assert several.endswith("Every further release adds to that.")
    empty = all_releases(statement(ledger=ledger(total_epsilon=2.9999999999)))
    assert empty.endswith("Nothing is left: it grants no further release.")
    # e^2 x 0.01 + 1e-5 is 0.0739.
    assert "at most 7.4 % of those who took part" in several


@pytest.mark.parametrize("sigma", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("fpr", [0.001, 0.01, 0.3, 0.9])
def test_epsilon_and_delta_alone_bound_every_attack(sigma, fpr):
    events = [GaussianEvent(noise_multiplier=sigma)]
    bound = found_at_most(accounting.epsilon(events, delta=1e-5), 1e-5, fpr)
    assert accounting.tpr_at_fpr(events, fpr) <= bound <= 1.0


def test_without_a_guarantee_everybody_is_found():
    assert found_at_most(math.inf, 1e-5, 0.01) == 1.0
    assert found_at_most(0.0, 0.0, 0.01) == pytest.approx(0.01)


def test_rows_of_rows(statement):
    assert lineage(statement()) == ""
    assert "a generator once before" in lineage(statement(input_generation=1))
    assert "a generator 3 times before" in lineage(statement(input_generation=3))


def test_whether_the_policy_was_fixed_is_said_as_it_is(statement):
    made = decision("allow")
    assert "Nothing shows that the policy “house”" in fixed(statement(policy_hash=None), made)
    other = fixed(statement(policy_hash="1" * 64), made)
    assert "is not the one that was fixed" in other
    assert "1" * 64 in other
    same = fixed(statement(policy_hash="0" * 64, ledger=None), made)
    # Not "before a row was read": cells are parsed and checked before anything is charged.
    assert same == (
        "The policy “house” was fixed before the first question was put to the private rows."
    )
    assert "booked in the ledger" in fixed(statement(policy_hash="0" * 64, ledger=ledger()), made)


@pytest.mark.parametrize(("text", "said"), [("2026-11-02", "2 November 2026"), ("soon", "soon")])
def test_date(text, said):
    assert date(text) == said


def test_a_row_is_not_a_person(statement):
    """Where rows are hidden one by one, a reader must learn that a person with several is not."""
    said = "A person with several rows is protected less"
    assert said in one_person(statement())
    assert "with one row in the table" in one_person(statement())
    assert said not in one_person(statement(privacy_unit="person_id", max_rows_per_unit=3))


def test_names_of_charges_are_explained():
    from dpsynth import plan

    labels = [plan.COUNT, plan.FORMS, plan.MARGINALS, plan.TRAINING, "values: a", "bounds: a"]
    names = [label.partition(":")[0] for label in labels]
    said = purposes(names).lower()
    assert [name for name in names if f"{name}: " not in said] == []
    assert purposes(["something else"]) == ""
