import math

import pytest

from audits.result import Claim
from dpsynth.release.gate import Decision, decide
from dpsynth.release.policy import parse_policy, policy_hash

AUROC = '[[figure]]\nname = "attack.auroc"\n'


def outcome(decision, rule):
    (found,) = [one for one in decision.rules if one.rule == rule]
    return found.verdict


@pytest.fixture
def gate(statement, audit):
    def run(text, *findings, rows=1000, **changes):
        policy = parse_policy(f'name = "x"\n{text}')
        return decide(statement(**changes), audit(*findings, rows=rows), policy)

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
    decision = decide(statement(), audit(claim=claim), parse_policy('name = "x"'))
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


def test_coarse_hides_a_figure_that_is_no_number(gate, finding):
    text = f'publish = "coarse"\n{AUROC}max = 0.6'
    full = gate(text, finding("attack", auroc=(-math.inf, 0.5, 0.6)))
    assert [r.found for r in full.public().rules if r.private] == [None]
