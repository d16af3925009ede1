import math
from inspect import signature
from pathlib import Path

import pytest

from audits import registry
from audits.membership import stages
from audits.membership.bounds import CLAIM
from dpsynth.errors import InputError
from dpsynth.release.installed import GROUPS, JOINT, installed_names
from dpsynth.release.policy import (
    FORMAT,
    FigureLimit,
    Limit,
    check_rule_names,
    default_policy_text,
    load_policy,
    parse_policy,
    policy_hash,
    policy_text_of,
    shipped_policies,
    signature_required,
)

PUBLIC = 'name = "x"\naudience = "public"\n'
FIGURE = '[[figure]]\nname = "a.b"\n'


def shipped(name):
    text, source = policy_text_of(name)
    return parse_policy(text, source=source)


def limits(policy):
    """The limits that the policy's file sets, by name."""
    found = {name: getattr(policy, name) for name in type(policy).model_fields}
    set_ = {name: rule for name, rule in found.items() if isinstance(rule, Limit)}
    return {name: rule for name, rule in set_.items() if name in policy.model_fields_set}


def test_there_are_three_shipped_policies_and_one_is_the_default():
    assert shipped_policies() == ("development", "internal", "public")
    assert policy_text_of() == policy_text_of("internal")
    assert default_policy_text() == policy_text_of("internal")[0]


@pytest.mark.parametrize("name", shipped_policies())
def test_a_shipped_policy_defends_every_limit_in_one_line(name):
    policy = shipped(name)
    assert policy.name == policy.audience == name
    assert {"max_epsilon", "max_delta", "min_rows", "require_releasable"} <= limits(policy).keys()
    for rule in [*limits(policy).values(), *policy.finding, *policy.group, *policy.figure]:
        for text in (rule.reason, rule.source):
            assert text
            assert "\n" not in text
    assert policy.require_releasable.limit, "seeded noise is refused by every shipped policy"


@pytest.mark.parametrize("rule", ["max_epsilon", "max_delta", "max_total_epsilon"])
def test_the_shipped_policies_are_as_strict_as_their_names(rule):
    ends = [getattr(shipped(name), rule) for name in ("public", "internal", "development")]
    numbers = [math.inf if end is None else end.limit for end in ends]
    assert numbers == sorted(set(numbers))


def test_only_what_leaves_the_house_for_anybody_must_be_signed():
    assert [name for name in shipped_policies() if signature_required(shipped(name))] == ["public"]


@pytest.mark.parametrize("name", ["public", "internal"])
def test_a_shipped_policy_names_every_test_of_an_audit(name):
    """One that is missing would be leaked past: only its leak would count, not its absence."""
    known = {rule.name for rule in shipped(name).finding}
    own = {name for name, attack in registry.choose(None).items() if OWN in module_of(attack)}
    boxed = {name for name in own if "refit" in parameters(registry.choose([name])[name])}
    assert {"lira", "shadow"} <= boxed, "what needs the generator again is not in every audit"
    assert known == (own - boxed) | {"claim", "vulnerable_records", "copies", "nearest_neighbours"}


OWN = "audits.attacks."


def module_of(attack):
    return getattr(attack, "__name__", "")


def parameters(attack):
    return signature(getattr(attack, "score", lambda: None)).parameters


def test_every_name_that_an_audit_makes_is_known(contents):
    """The lists of names and figures in the package are those of a real audit."""
    known = installed_names()
    for finding in contents().audit.findings:
        assert finding.name in known
        assert not finding.group or finding.group in {*GROUPS, finding.name}
        figures = {name for name in known if name.startswith(f"{finding.name}.")}
        if figures:
            assert figures == {f"{finding.name}.{figure}" for figure in finding.figures}
    assert {*stages.groups(members(), given=False)} - {stages.VULNERABLE} == set(GROUPS)
    assert {CLAIM, stages.VULNERABLE} == set(JOINT)


def members():
    return {name: one for name, one in registry.attacks().items() if registry.is_membership(one)}


@pytest.mark.parametrize("name", shipped_policies())
def test_shipped_policies_rest_on_names_that_exist(name):
    check_rule_names(shipped(name), installed_names())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[finding]]\nname = "closest_recrod"', "did you mean 'closest_record'?"),
        ('[[group]]\nname = "membrship"', "did you mean 'membership'?"),
        ('[[figure]]\nname = "copis.excess"\nmax = 1', "did you mean 'copies'?"),
        ('[[figure]]\nname = "copies.exces"\nmax = 1', "did you mean 'excess'?"),
        ('[[figure]]\nname = "linkability.auroc"\nmax = 1', "no audit makes 'auroc'"),
        ('[[finding]]\nname = "zzzz"', "known are "),
    ],
)
def test_a_misspelt_name_is_found_before_the_run(text, said):
    with pytest.raises(InputError) as caught:
        check_rule_names(parse_policy(f'name = "x"\n{text}'), installed_names())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_figures_that_depend_on_the_table_are_not_judged_beforehand():
    policy = parse_policy('name = "x"\n[[figure]]\nname = "diversity.anything"\nmin = 0.5')
    check_rule_names(policy, installed_names())


def test_a_policy_by_name_or_by_path(tmp_path, monkeypatch):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"', encoding="utf-8")
    assert policy_text_of(path) == ('name = "mine"', str(path))
    assert policy_text_of(str(path)) == policy_text_of(path)
    monkeypatch.chdir(tmp_path)
    Path("public").write_text('name = "here"', encoding="utf-8")
    assert parse_policy(policy_text_of("public")[0]).name == "public"
    for meant in ("./public", Path("public")):
        assert parse_policy(policy_text_of(meant)[0]).name == "here"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("pubic", "did you mean 'public'?"),
        ("zzz", "there are development, internal, public"),
        ("nowhere.toml", "No such file"),
        ("./nowhere", "No such file"),
        (".", "Is a directory"),
        (Path("nowhere"), "No such file"),
    ],
)
def test_a_policy_that_is_not_there(given, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        policy_text_of(given)
    assert said in str(caught.value)


def test_a_bare_value_and_a_table_say_the_same():
    bare = parse_policy('name = "x"\nmax_epsilon = 3\nallowed_generators = ["gan", "vae"]')
    table = parse_policy(
        'name = "x"\n[max_epsilon]\nlimit = 3.0\n[allowed_generators]\nlimit = ["gan", "vae"]'
    )
    assert bare == table
    assert bare.allowed_generators.limit == ("gan", "vae")


def test_the_hash_is_of_the_content_not_of_the_text():
    one = parse_policy('name = "x"\nmax_epsilon = 3 # a remark')
    same = parse_policy('max_epsilon = 3.0\n\nname = "x"')
    other = parse_policy('name = "x"\nmax_epsilon = 3.5')
    assert policy_hash(one) == policy_hash(same)
    assert policy_hash(one) != policy_hash(other)
    assert len(policy_hash(one)) == 64


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "x"\nmax_epsilo = 3', "did you mean 'max_epsilon'"),
        ('name = "x"\nzzz = 3', "known are allowed_generators"),
        ('name = "x"\n[max_epsilon]\nlimit = 3\nreson = "y"', "did you mean 'reason'"),
        (f'name = "x"\n{FIGURE}mx = 3', "did you mean 'max'"),
        ('name = "x"\nmin_rows = "3"', "min_rows is '3'"),
        ('name = "x"\nmin_rows = 0', "at least 1"),
        ('name = "x"\nmax_epsilon = \nmin_rows = 5', "line 2"),
        ("max_epsilon = 3", "name is missing"),
        ('name = "x"\nmax_epsilon = -3', "must be above 0"),
        ('name = "x"\nmax_epsilon = nan', "NaN"),
        ('name = "x"\nmax_delta = 1', "below 1"),
        ('name = "x"\nallowed_generators = []', "allowed_generators is empty"),
        (f'name = "x"\n{FIGURE}', "neither min nor max"),
        (f'name = "x"\n{FIGURE}min = 0.3\nmax = 0.1', "min=0.3 is above max=0.1"),
        (f'name = "x"\n{FIGURE}max = 0.1\n{FIGURE}max = 0.2', "limited twice"),
        (
            f'name = "x"\n{FIGURE}max = 0.1\n{FIGURE}min = 0.2\nbound = "upper"',
            "at least 0.2 and at most 0.1",
        ),
        (f'name = "x"\n{FIGURE}max = 0.1\nbound = "low"', "'lower', 'upper' or 'value'"),
        ('name = "x"\n[[finding]]\nname = "a"\n[[finding]]\nname = "a"', "limited twice"),
        ('name = "x"\n[[group]]\nname = "a"\n[[group]]\nname = "a"', "group 'a' is limited twice"),
        ('name = "x"\n[[group]]\nname = "a"\nlek = "allow"', "did you mean 'leak'"),
        ('name = "x"\nformat = "dpsynth.policy/9"', "made for a newer version of dpsynth"),
        (
            'name = "x"\nformat = "dpsynth.policy/1"',
            'change the line to format = "dpsynth.policy/2"',
        ),
        ('name = "x"\nformat = "dpsynth.schema/2"', "this version reads 'dpsynth.policy/2'"),
        ('name = "x"\nformat = 2', "this version reads 'dpsynth.policy/2'"),
        ('name = ""', "at least 1 character"),
        (f'name = "{"x" * 201}"', "at most 200 characters"),
        ('name = "x\\u001b[2J"', "name holds the control character U+001B"),
        ('name = "x"\n[min_rows]\nlimit = 1\nreason = "\\u0007"', "reason holds the control"),
        (f'name = "x"\n{FIGURE}max = 1\nsource = "\\u001b"', "source holds the control"),
        (f'name = "x"\na = {"[" * 3000}{"]" * 3000}', "nested too deeply"),
        ('name = "x"\nmax_epsilon = 3\nmax_total_epsilon = 2', "below max_epsilon 3"),
        ('name = "x"\nmax_total_epsilon = 0', "must be above 0"),
        ('name = "x"\nmax_releases = 0', "max_releases is 0; it must be at least 1"),
        ('name = "x"\nmax_releases = 1.5', "max_releases is 1.5"),
        ('name = "x"\nmax_input_generation = -1', "must be at least 0"),
        ('name = "x"\nmin_real_share = 0.0', "must be above 0 and at most 1"),
        ('name = "x"\nmin_real_share = 1.1', "must be above 0 and at most 1"),
        ('name = "x"\nrequire_signature = "yes"', "require_signature is 'yes'"),
        ('name = "x"\nrequire_control = true', "did you mean 'require_controls'"),
        ('name = "x"\nwaivers = "some"', "'none', 'inconclusive' or 'any'"),
        ('name = "x"\npublish = "all"', "'overall', 'verdict' or 'coarse'"),
        ('name = "x"\naudience = "world"', "'public', 'internal' or 'development'"),
        (f'name = "x"\n{FIGURE}max = 1\nconfidence = 1.0', "less than 1"),
        (f'name = "x"\n{FIGURE}max = 1\nconfidence = 0.4', "greater than or equal to 0.5"),
        (f'name = "x"\nmax_epsilon = {"[" * 3000}', "not TOML"),
        (f"{PUBLIC}require_releasable = false", "can be drawn again"),
        (f'{PUBLIC}[[finding]]\nname = "a"\nleak = "allow"', "finding 'a' allows a leak"),
        (f'{PUBLIC}[[group]]\nname = "a"\nleak = "allow"', "group 'a' allows a leak"),
        ('name = "x"\nmax_epsilon = 2026-01-01', "holds a date"),
    ],
)
def test_a_wrong_policy_is_one_clear_line(text, said):
    with pytest.raises(InputError) as caught:
        parse_policy(text, source="mine.toml")
    message = str(caught.value)
    assert said in message
    assert message.startswith("mine.toml: ")
    assert "\n" not in message


def test_an_infinite_figure_limit_is_refused():
    with pytest.raises(InputError, match="a NaN, an infinity"):
        parse_policy(f'name = "x"\n{FIGURE}max = inf')


def test_a_limit_made_in_python_must_be_finite_as_well():
    with pytest.raises(ValueError, match="must be finite"):
        FigureLimit(name="a.b", max=float("inf"))


def test_policy_files(tmp_path):
    path = tmp_path / "policy.toml"
    with pytest.raises(InputError, match="No such file"):
        load_policy(path)
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(InputError, match="not UTF-8"):
        load_policy(path)
    path.write_text(default_policy_text(), encoding="utf-8")
    assert load_policy(path) == parse_policy(default_policy_text())


def test_a_file_that_is_no_policy_is_not_read_whole(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(InputError, match="larger than 1048576 bytes"):
        load_policy(path)


def test_the_format_may_be_left_out_and_may_be_named():
    assert parse_policy('name = "x"') == parse_policy(f'name = "x"\nformat = "{FORMAT}"')
