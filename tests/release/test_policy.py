from inspect import signature

import pytest

from audits import registry
from dpsynth.errors import InputError
from dpsynth.release.policy import (
    FigureLimit,
    default_policy_text,
    load_policy,
    parse_policy,
    policy_hash,
    shipped_policies,
)

FIGURE = '[[figure]]\nname = "a.b"\n'


def test_the_shipped_policies_can_be_read_and_defend_every_limit():
    assert "default" in shipped_policies()
    policy = parse_policy(default_policy_text())
    limits = [policy.max_epsilon, policy.max_delta, policy.min_rows, policy.require_releasable]
    for rule in [*limits, *policy.finding, *policy.group, *policy.figure]:
        assert rule.reason
        assert rule.source
        assert "\n" not in rule.reason


def test_the_shipped_policy_names_every_test_of_an_audit():
    """One that is missing would be leaked past: only its leak would count, not its absence."""
    known = {rule.name for rule in parse_policy(default_policy_text()).finding}
    own = {name for name, attack in registry.choose(None).items() if OWN in module_of(attack)}
    boxed = {name for name in own if "refit" in parameters(registry.choose([name])[name])}
    assert {"lira", "shadow"} <= boxed, "what needs the generator again is not in every audit"
    assert known == (own - boxed) | {"claim", "vulnerable_records", "copies", "nearest_neighbours"}


OWN = "audits.attacks."


def module_of(attack):
    return getattr(attack, "__name__", "")


def parameters(attack):
    return signature(getattr(attack, "score", lambda: None)).parameters


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
        ('name = "x"\nzzz = 3', "known keys: allowed_generators"),
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
        ('name = "x"\nformat = "dpsynth.policy/9"', "this version reads 'dpsynth.policy/1'"),
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
    with pytest.raises(InputError, match="NaN or an infinity"):
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
