import math
import re
from dataclasses import replace

import pytest

from audits import judgement
from audits.result import Claim
from dpsynth.privacy.lineage_record import LineageRecord, Parent, Share
from dpsynth.privacy.statement import LedgerRecord
from dpsynth.release.gate import Decision, controls, decide
from dpsynth.release.policy import (
    parse_policy,
    policy_hash,
    policy_text_of,
    rule_names,
    shipped_policies,
)
from dpsynth.release.waivers import Waiver

TOTAL = "max_total_epsilon"
AUROC = '[[figure]]\nname = "attack.auroc"\n'


def booked(**changes):
    """The ledger's record of one release that cost what it asked for."""
    fields = {"total_epsilon": 1.0, "total_delta": 1e-5, "releases": 1}
    fixed = {"head": "a", "entries": 7, "release": "r", "budget_epsilon": 9.0, "shared": True}
    return LedgerRecord(**fixed | fields | changes)


def half_real():
    """What is known of an input of which 40 to 60 % came out of a release."""
    share = Share(value=0.5, lower=0.4, upper=0.6)
    return LineageRecord(made_from=(Parent(known_by="rows", generation=1, share=share),))


def outcome(decision, rule):
    (found,) = [one for one in decision.rules if one.rule == rule]
    return found.verdict


@pytest.fixture
def gate(statement, audit):
    def run(text, *findings, rows=1000, **changes):
        policy = parse_policy(f'name = "x"\n{text}')
        waivers = changes.pop("waivers", ())
        fixed = {"policy_hash": policy_hash(policy)}
        claim = statement(**{**fixed, **changes})
        return decide(claim, audit(*findings, rows=rows), policy, waivers)

    return run


@pytest.mark.parametrize(
    ("text", "changes", "rule", "verdict"),
    [
        ("", {}, "budget", "allow"),
        ("", {"epsilon_spent": 1.0 + 1e-6}, "budget", "refuse"),
        ("", {"epsilon_spent": math.inf}, "budget", "refuse"),
        ("max_epsilon = 1", {}, "max_epsilon", "allow"),
        ("max_epsilon = 0.9", {}, "max_epsilon", "refuse"),
        ("max_epsilon = 2", {"epsilon_spent": 3.0}, "max_epsilon", "refuse"),
        ("max_delta = 1e-5", {}, "max_delta", "allow"),
        ("max_delta = 1e-6", {}, "max_delta", "refuse"),
        ("max_total_epsilon = 2", {"ledger": booked(total_epsilon=2.0)}, TOTAL, "allow"),
        ("max_total_epsilon = 2", {"ledger": booked(total_epsilon=2.01)}, TOTAL, "refuse"),
        ("max_total_epsilon = 2", {"ledger": booked(total_epsilon=math.inf)}, TOTAL, "refuse"),
        ("max_total_epsilon = 2", {"ledger": None}, TOTAL, "inconclusive"),
        ("max_delta = 2e-5\nmax_total_epsilon = 2", {"ledger": booked()}, TOTAL, "allow"),
        (
            "max_delta = 2e-5\nmax_total_epsilon = 2",
            {"ledger": booked(total_delta=1e-3)},
            TOTAL,
            "refuse",
        ),
        ("max_releases = 2", {"ledger": booked(releases=2)}, "max_releases", "allow"),
        ("max_releases = 2", {"ledger": booked(releases=3)}, "max_releases", "refuse"),
        ("require_shared_ledger = true", {"ledger": booked()}, "require_shared_ledger", "allow"),
        (
            "require_shared_ledger = true",
            {"ledger": booked(shared=False)},
            "require_shared_ledger",
            "refuse",
        ),
        ("require_shared_ledger = true", {"ledger": None}, "require_shared_ledger", "refuse"),
        ("max_releases = 2", {"ledger": None}, "max_releases", "inconclusive"),
        ("max_input_generation = 0", {}, "max_input_generation", "allow"),
        ("max_input_generation = 1", {"input_generation": 1}, "max_input_generation", "allow"),
        ("max_input_generation = 0", {"input_generation": 1}, "max_input_generation", "refuse"),
        ("min_real_share = 1.0", {}, "min_real_share", "allow"),
        ("min_real_share = 0.5", {"lineage": half_real()}, "min_real_share", "inconclusive"),
        ("min_real_share = 0.4", {"lineage": half_real()}, "min_real_share", "allow"),
        ("min_real_share = 0.61", {"lineage": half_real()}, "min_real_share", "refuse"),
        ("min_real_share = 0.01", {"input_generation": 1}, "min_real_share", "refuse"),
        ("", {}, "policy_fixed", "allow"),
        ("", {"policy_hash": None}, "policy_fixed", "inconclusive"),
        ("", {"policy_hash": "0" * 64}, "policy_fixed", "refuse"),
        ('audience = "development"', {"policy_hash": None}, "policy_fixed", "allow"),
        ('audience = "development"', {"policy_hash": "0" * 64}, "policy_fixed", "refuse"),
        ("", {}, "require_releasable", "allow"),
        ("", {"releasable": False}, "require_releasable", "refuse"),
        ('allowed_generators = ["autoregressive"]', {}, "allowed_generators", "allow"),
        ('allowed_generators = ["gan"]', {}, "allowed_generators", "refuse"),
        ("min_rows = 1000", {}, "min_rows", "allow"),
        ("min_rows = 1001", {}, "min_rows", "refuse"),
    ],
)
def test_rules_on_claim_and_size(gate, text, changes, rule, verdict):
    decision = gate(text, **changes)
    assert outcome(decision, rule) == verdict
    assert decision.verdict == verdict


def test_an_audit_that_does_not_tell_its_size_is_no_pass(statement, audit):
    policy = parse_policy('name = "x"\nmin_rows = 10')
    made = replace(audit(), sizes={"synthetic": 1000})
    decision = decide(statement(policy_hash=policy_hash(policy)), made, policy)
    assert decision.verdict == outcome(decision, "min_rows") == "inconclusive"


def test_the_reasons_tell_one_from_many(gate):
    text = "max_total_epsilon = 2\nmax_input_generation = 0\nmax_releases = 1\nmin_rows = 1"
    said = {
        (count, turns): " ".join(
            rule.reason
            for rule in gate(text, ledger=booked(releases=count), input_generation=turns).rules
        )
        for count, turns in ((1, 0), (3, 1), (3, 2))
    }
    assert "this one release, costs" in said[1, 0]
    assert "never went through" in said[1, 0]
    assert "all 3 releases together cost" in said[3, 1]
    assert "went once through" in said[3, 1]
    assert "went 2 times through" in said[3, 2]
    assert "counts 1 release with this one, at most 1 is allowed" in said[1, 0]
    assert "counts 3 releases with this one" in said[3, 1]
    assert "before; the policy allows that not at all" in said[3, 1]
    assert "at least 1 is asked for" in said[1, 0]
    assert not any(re.search(r"\b1 (releases|rows|tests|attacks)\b", one) for one in said.values())


@pytest.mark.parametrize(
    ("found", "said"), [("none", "1 of 1 test would"), ("inconclusive", "the only test would not")]
)
def test_a_group_of_one_is_called_so(gate, finding, found, said):
    decision = gate(GROUP, finding("attack", found, "membership"))
    assert said in next(r.reason for r in decision.rules if r.rule == "group membership")


def test_seeded_noise_passes_only_where_the_policy_says_so(gate):
    decision = gate("require_releasable = false", releasable=False)
    assert decision.verdict == "allow"
    assert "require_releasable" not in {rule.rule for rule in decision.rules}


@pytest.mark.parametrize(
    ("settings", "interval", "verdict"),
    [
        ("max = 0.6", (0.4, 0.5, 0.59), "allow"),
        ("max = 0.6", (0.4, 0.5, 0.6), "allow"),
        ("max = 0.6", (0.5, 0.59, 0.61), "inconclusive"),
        ("max = 0.6", (0.61, 0.7, 0.8), "refuse"),
        ('max = 0.6\nbound = "value"', (0.5, 0.59, 0.7), "inconclusive"),
        ('max = 0.6\nbound = "value"', (0.5, 0.61, 0.7), "refuse"),
        ('max = 0.6\nbound = "upper"', (0.4, 0.5, 0.61), "refuse"),
        ('max = 0.6\nbound = "upper"', (0.4, 0.5, 0.59), "allow"),
        ('min = 0.9\nbound = "upper"', (0.5, 0.6, 0.89), "refuse"),
        ('min = 0.9\nbound = "upper"', (0.8, 0.85, 0.95), "inconclusive"),
        ('min = 0.9\nbound = "upper"', (0.9, 0.95, 0.99), "allow"),
        ('max = 0.6\ninconclusive = "refuse"', (0.5, 0.55, 0.7), "refuse"),
        ('max = 0.6\ninconclusive = "allow"', (0.5, 0.55, 0.7), "allow"),
        ('max = 0.6\ninconclusive = "allow"', (0.61, 0.7, 0.8), "refuse"),
    ],
)
def test_figure_limits(gate, finding, settings, interval, verdict):
    decision = gate(AUROC + settings, finding("attack", auroc=interval))
    assert decision.verdict == verdict


@pytest.mark.parametrize(
    ("settings", "verdict"),
    [
        ("max = 0.6", "inconclusive"),
        ('max = 0.6\ninconclusive = "allow"', "inconclusive"),
        ('max = 0.6\ninconclusive = "refuse"', "refuse"),
    ],
)
def test_what_was_not_measured_is_never_allowed(gate, finding, settings, verdict):
    infinite = finding("attack", auroc=(-math.inf, 0.5, math.inf))
    for findings in ((), (finding("attack"),), (infinite,)):
        assert gate(AUROC + settings, *findings).verdict == verdict


@pytest.mark.parametrize(
    ("settings", "found", "verdict"),
    [
        ("", "none", "allow"),
        ("", "measured", "allow"),
        ("", "leak", "refuse"),
        ("", "inconclusive", "inconclusive"),
        ("", None, "inconclusive"),
        ('inconclusive = "allow"', "inconclusive", "allow"),
        ('inconclusive = "allow"', None, "inconclusive"),
        ('inconclusive = "refuse"', None, "refuse"),
        ('inconclusive = "refuse"', "inconclusive", "refuse"),
        ('leak = "inconclusive"', "leak", "inconclusive"),
    ],
)
def test_required_findings(gate, finding, settings, found, verdict):
    findings = () if found is None else (finding("attack", found),)
    decision = gate(f'[[finding]]\nname = "attack"\n{settings}', *findings)
    assert outcome(decision, "finding attack") == verdict
    assert decision.verdict == verdict


def test_a_leak_the_policy_did_not_think_of_refuses(gate, finding):
    decision = gate("", finding("new_attack", "leak"), finding("quiet", "inconclusive"))
    assert decision.verdict == "refuse"
    assert outcome(decision, "finding new_attack") == "refuse"
    assert "finding quiet" not in {rule.rule for rule in decision.rules}


GROUP = '[[group]]\nname = "membership"\n'


@pytest.mark.parametrize(
    ("settings", "found", "verdict"),
    [
        ("", ("none", "inconclusive"), "allow"),
        ("", ("inconclusive", "inconclusive"), "inconclusive"),
        ("", ("none", "leak"), "refuse"),
        ("", (), "inconclusive"),
        ("", ("measured",), "inconclusive"),
        ('inconclusive = "allow"', ("inconclusive",), "allow"),
        ('inconclusive = "allow"', (), "inconclusive"),
        ('inconclusive = "refuse"', (), "refuse"),
        ('inconclusive = "refuse"', ("inconclusive",), "refuse"),
    ],
)
def test_one_test_of_a_group_must_have_been_able_to_see(gate, finding, settings, found, verdict):
    findings = [finding(f"attack{i}", one, "membership") for i, one in enumerate(found)]
    stranger = finding("other", "none", "other")
    decision = gate(GROUP + settings, *findings, stranger)
    assert outcome(decision, "group membership") == verdict
    assert decision.verdict == verdict


def test_a_leak_in_a_group_refuses_though_the_group_is_lenient(gate, finding):
    text = f'{GROUP}leak = "allow"'
    decision = gate(text, finding("attack", "leak", "membership"))
    assert outcome(decision, "group membership") == "allow"
    assert decision.verdict == "refuse", "the finding itself is not named by the policy"


@pytest.mark.parametrize(
    ("held", "verdict"),
    [
        (None, None),
        ((1.0, 1e-5), "allow"),
        ((1.0 + 1e-12, 1e-5), "allow"),
        ((2.0, 1e-5), "inconclusive"),
        ((0.5, 1e-5), "inconclusive"),
        ((1.0, 1e-6), "inconclusive"),
    ],
)
def test_the_audit_must_have_tested_the_claim_that_is_made(statement, audit, held, verdict):
    claim = None if held is None else Claim(epsilon=held[0], delta=held[1])
    policy = parse_policy('name = "x"')
    fixed = statement(policy_hash=policy_hash(policy))
    decision = decide(fixed, audit(claim=claim), policy)
    found = {rule.rule: rule.verdict for rule in decision.rules}
    assert found.get("audited_claim") == verdict
    assert decision.verdict == (verdict or "allow")


def test_refuse_outweighs_inconclusive(gate, finding):
    text = 'max_epsilon = 0.5\n[[finding]]\nname = "attack"'
    assert gate(text, finding("attack", "inconclusive")).verdict == "refuse"


@pytest.mark.parametrize(("verdict", "code"), [("allow", 0), ("refuse", 3), ("inconclusive", 4)])
def test_exit_codes(gate, finding, verdict, code):
    found = {"allow": "none", "refuse": "leak", "inconclusive": "inconclusive"}[verdict]
    decision = gate('[[finding]]\nname = "attack"', finding("attack", found))
    assert (decision.verdict, decision.exit_code) == (verdict, code)


def test_the_decision_survives_json_and_names_its_policy(gate, finding, statement, audit):
    text = f"max_epsilon = 2\n{AUROC}max = 0.6"
    decision = gate(text, finding("attack", auroc=(0.4, 0.5, 0.7)), epsilon_spent=math.inf)
    assert Decision.model_validate_json(decision.model_dump_json()) == decision
    assert decision.policy_hash == policy_hash(parse_policy(f'name = "x"\n{text}'))


def test_equal_from_memory_and_from_the_audit_file(gate, finding, audit, statement):
    third = 1 / 3
    made = audit(finding("attack", auroc=(third, third + 1e-13, 0.6 + 1e-14)))
    read = type(made).from_json_text(made.to_json_text())
    policy = parse_policy(f'name = "x"\n{AUROC}max = 0.6')
    assert decide(statement(), made, policy) == decide(statement(), read, policy)


@pytest.mark.parametrize(
    ("asked", "measured", "verdict"),
    [
        (0.95, 0.95, "allow"),
        (0.9, 0.95, "allow"),
        (0.99, 0.95, "inconclusive"),
        (0.95, 0.9, "inconclusive"),
    ],
)
def test_an_interval_of_less_confidence_than_asked_for_counts_as_not_measured(
    gate, finding, asked, measured, verdict
):
    found = finding("attack", auroc=(0.4, 0.5, 0.59))
    figures = {"auroc": replace(found.figures["auroc"], confidence=measured)}
    text = f'{AUROC}max = 0.6\ninconclusive = "allow"\nconfidence = {asked}'
    assert gate(text, replace(found, figures=figures)).verdict == verdict


CONTROLS = "require_controls = true"


def attack(finding, name, verdict, *, power=0.2, planted="control_auroc", **changes):
    """An attack with its controls: `power` is the share of copies that it sees."""
    figures = {planted: (0.6, 0.7, 0.8), "detectable_copied_share": (power, power, power)}
    fields = {"knowledge": "the table", "rows_used": {"train": 100, "holdout": 60}, **changes}
    return replace(finding(name, verdict, **figures), **fields)


@pytest.mark.parametrize(
    ("made", "verdict", "said"),
    [
        ([], "inconclusive", "holds no attack"),
        ([("a", "none", {})], "allow", "1 of 1 attack found"),
        ([("a", "none", {"planted": "control_planted_rate"})], "allow", "1 of 1"),
        ([("a", "none", {}), ("b", "inconclusive", {"power": 0.51})], "allow", "1 of 2"),
        ([("b", "inconclusive", {"power": 0.9})], "inconclusive", "the only attack did not find"),
        ([("a", "none", {}), ("b", "inconclusive", {"power": 0.5})], "inconclusive", "against b"),
        (
            [("a", "none", {}), ("b", "inconclusive", {"power": 1.0, "p_adjusted": 0.05})],
            "inconclusive",
            "against b",
        ),
        (
            [
                ("a", "none", {}),
                ("b", "inconclusive", {"rows_used": {"train": 900, "holdout": 49}}),
            ],
            "allow",
            "1 of 2",
        ),
        ([("a", "none", {}), ("b", "none", {"figures": {}})], "inconclusive", "recorded for b"),
        ([("a", "none", {"planted": "auroc"})], "inconclusive", "recorded for a"),
        ([("a", "measured", {})], "inconclusive", "recorded for a"),
        ([("a", "none", {}), ("c", "none", {"knowledge": "", "figures": {}})], "allow", "1 of 1"),
    ],
)
def test_every_attack_must_have_recorded_its_controls(gate, finding, made, verdict, said):
    findings = [attack(finding, name, found, **changes) for name, found, changes in made]
    decision = gate(CONTROLS, *findings)
    (rule,) = [one for one in decision.rules if one.rule == "require_controls"]
    assert rule.verdict == verdict == decision.verdict
    assert said in rule.reason
    assert rule.private
    assert "require_controls" not in {one.rule for one in gate("", *findings).rules}


def test_blindness_is_measured_as_the_audits_measure_it():
    assert judgement.LARGEST_BLIND_SHARE == controls.BLIND_SHARE
    assert judgement.MIN_ROWS == controls.MIN_ROWS


def test_the_controls_of_a_real_audit_are_found(contents):
    made = contents()
    policy = parse_policy(f'name = "x"\n{CONTROLS}')
    decision = decide(made.statement, made.audit, policy)
    (rule,) = [one for one in decision.rules if one.rule == "require_controls"]
    assert rule.found.keys() == {"closest_record", "local_density", "linkability"}
    assert "not recorded" not in rule.found.values()
    void = judgement.unclean(1e-9)
    assert "Negative control failed" in void
    findings = tuple(
        replace(one, verdict="inconclusive", reason=void) if one.name == "closest_record" else one
        for one in made.audit.findings
    )
    again = decide(made.statement, replace(made.audit, findings=findings), policy)
    (rule,) = [one for one in again.rules if one.rule == "require_controls"]
    assert rule.found["closest_record"] == "failed"
    assert rule.verdict == "inconclusive"


def waive(rule, **changes):
    fields = {"name": "E. Muster", "reason": "known", "date": "2026-01-01"}
    return Waiver(rule=rule, **fields | changes)


@pytest.mark.parametrize(
    ("waivers", "found", "waived", "verdict"),
    [
        ("inconclusive", "inconclusive", True, "allow"),
        ("inconclusive", "leak", False, "refuse"),
        ("any", "leak", True, "allow"),
        ("any", "none", False, "allow"),
    ],
)
def test_a_waived_rule_keeps_its_verdict_and_stops_nothing(
    gate, finding, waivers, found, waived, verdict
):
    text = f'waivers = "{waivers}"\n[[finding]]\nname = "attack"'
    given = waive("finding attack")
    plain = gate(text, finding("attack", found))
    decision = gate(text, finding("attack", found), waivers=(given,))
    assert decision.verdict == verdict
    assert outcome(decision, "finding attack") == outcome(plain, "finding attack")
    for edition in (decision, decision.public()):
        shown = [one.waiver for one in edition.rules if one.waiver]
        assert shown == ([given] if waived else [])
        assert [one.waiver for one in edition.unused_waivers] == ([] if waived else [given])
        assert all(one.reason for one in edition.unused_waivers)


def test_a_waiver_of_one_rule_sets_no_other_aside(gate, finding):
    text = 'waivers = "any"\nmax_epsilon = 0.5\n[[finding]]\nname = "attack"'
    decision = gate(text, finding("attack", "inconclusive"), waivers=(waive("max_epsilon"),))
    assert decision.verdict == "inconclusive"
    assert outcome(decision, "max_epsilon") == "refuse"


@pytest.mark.parametrize("name", shipped_policies())
def test_the_rules_are_called_as_rule_names_says(name, statement, audit):
    """Waivers are held against these names before a run."""
    policy = parse_policy(policy_text_of(name)[0])
    made = decide(statement(), audit(claim=Claim(epsilon=1.0, delta=1e-5)), policy)
    assert tuple(rule.rule for rule in made.rules) == rule_names(policy)


def test_the_decision_says_whether_a_signature_is_demanded(gate):
    assert gate("require_signature = true").signature_required
    assert gate("require_signature = true").public().signature_required
    assert not gate("").signature_required


def test_overall_shows_the_rules_on_the_claim_alone(gate, finding):
    text = (
        'publish = "overall"\nwaivers = "any"\nmax_epsilon = 2\nmin_rows = 10\n'
        f'{AUROC}max = 0.6\n[[finding]]\nname = "other"'
    )
    given = (waive("finding other"), waive("min_rows"))
    found = (finding("attack", auroc=(0.4, 0.5, 0.59)), finding("other", "inconclusive"))
    full = gate(text, *found, waivers=given)
    shown = full.public()
    assert {rule.rule for rule in full.rules} - {rule.rule for rule in shown.rules} == {
        "min_rows",
        "figure attack.auroc",
    }
    (waived,) = [rule for rule in shown.rules if rule.private]
    assert (waived.rule, waived.waiver, waived.found) == ("finding other", given[0], None)
    assert waived.reason == ""
    assert [(one.waiver, one.reason) for one in shown.unused_waivers] == [(given[1], "")]
    assert full.unused_waivers[0].reason
    assert shown.verdict == full.verdict == "allow"


def test_the_public_edition_hides_what_was_measured(gate, finding):
    text = f'min_rows = 10\n{AUROC}max = 0.6\n[[finding]]\nname = "attack"'
    full = gate(text, finding("attack", auroc=(0.4123, 0.5123, 0.5876)), rows=98765)
    public = full.public()
    hidden = [rule for rule in public.rules if rule.private]
    assert {rule.rule for rule in hidden} == {
        "min_rows",
        "finding attack",
        "figure attack.auroc",
    }
    assert all(rule.found is None and rule.reason == "" for rule in hidden)
    assert [rule.verdict for rule in public.rules] == [rule.verdict for rule in full.rules]
    assert "98765" in full.model_dump_json()
    assert "98765" not in public.model_dump_json()
    assert public.edition == "public"


def test_coarse_figures_are_rounded_outwards(gate, finding):
    text = f'publish = "coarse"\nmin_rows = 10\n{AUROC}max = 0.6'
    full = gate(text, finding("attack", auroc=(0.4123, 0.5123, 0.5876)), rows=98765)
    found = {rule.rule: rule.found for rule in full.public().rules}
    assert found["figure attack.auroc"] == {"lower": 0.4, "upper": 0.6}
    assert found["min_rows"] is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (17.0, {"lower": 15.0, "upper": 20.0}),
        (1234.0, {"lower": 1000.0, "upper": 1500.0}),
        (0.0, {"lower": 0.0, "upper": 0.05}),
        (0.25, {"lower": 0.25, "upper": 0.3}),
    ],
)
def test_coarse_shows_no_exact_figure(gate, finding, value, shown):
    """A count of rows has an interval without width, and is a multiple of any small step."""
    text = f'publish = "coarse"\n{AUROC}max = 5000.0'
    decision = gate(text, finding("attack", auroc=(value, value, value))).public()
    assert decision.rules[-1].found == shown


def test_coarse_hides_a_figure_that_is_no_number(gate, finding):
    text = f'publish = "coarse"\n{AUROC}max = 0.6'
    full = gate(text, finding("attack", auroc=(-math.inf, 0.5, 0.6)))
    assert [r.found for r in full.public().rules if r.private] == [None]
