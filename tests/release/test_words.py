import math

import pytest

from dpsynth.release.report.words import day, group_shares, number, odds, one_person, percent


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
    assert "one row of the table" in one_person(statement())
    assert "all rows of one person_id" in one_person(statement(privacy_unit="person_id"))


def test_shares_are_grouped_by_purpose(statement):
    groups = group_shares(statement())
    assert groups["values"] == pytest.approx(0.09)
    assert sum(groups.values()) == pytest.approx(1.0)
