import pytest

from dpsynth.errors import ReleaseRefused
from dpsynth.release.foreseen import Planned, refuse_foreseen
from dpsynth.release.policy import parse_policy

POLICY = """
format = "dpsynth.policy/2"
name = "house"
waivers = "inconclusive"
max_epsilon = 2.0
max_delta = 1e-5
max_total_epsilon = 4.0
max_releases = 3
max_input_generation = 0
min_real_share = 0.5
allowed_generators = ["autoregressive"]
require_shared_ledger = true
"""


def planned(**changes):
    fields = {
        "epsilon": 2.0,
        "delta": 1e-5,
        "generator": "autoregressive",
        "input_generation": 0,
        "shared_ledger": True,
        "earlier_epsilon": 4.0,
        "earlier_releases": 2,
    }
    return Planned(**{**fields, **changes})


def test_what_fits_in_every_limit_goes_on():
    refuse_foreseen(parse_policy(POLICY), planned())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epsilon": 2.1}, "epsilon would be 2.1, at most 2 is allowed"),
        ({"delta": 2e-5}, "delta would be 2e-05, at most 1e-05"),
        ({"earlier_epsilon": 4.2}, "all releases together would be 4.2, at most 4"),
        ({"earlier_releases": 3}, "number of releases would be 4, at most 3"),
        ({"input_generation": 1}, "generation of the input would be 1, at most 0"),
        ({"real_share": 0.0}, "share of real rows in the input would be 0.0%, at least 50.0%"),
        ({"shared_ledger": False}, "give --ledger"),
        ({"generator": "gan"}, "generator 'gan' is not among autoregressive"),
    ],
)
def test_what_a_policy_must_refuse_is_said_beforehand(changes, said):
    with pytest.raises(ReleaseRefused, match="Nothing was charged") as refusal:
        refuse_foreseen(parse_policy(POLICY), planned(**changes))
    assert said in str(refusal.value)
    assert "policy 'house'" in str(refusal.value)
    assert refusal.value.exit_code == 3


def test_all_that_stands_in_the_way_is_named_at_once():
    with pytest.raises(ReleaseRefused, match=r"epsilon would be 9.*; generator 'gan'"):
        refuse_foreseen(parse_policy(POLICY), planned(epsilon=9.0, generator="gan"))


def test_where_any_rule_may_be_set_aside_nothing_is_sure():
    lenient = POLICY.replace('"inconclusive"', '"any"')
    refuse_foreseen(parse_policy(lenient), planned(epsilon=9.0))


def test_a_policy_without_limits_stops_nothing():
    refuse_foreseen(parse_policy('name = "none"'), planned(epsilon=1e9, earlier_releases=99))
