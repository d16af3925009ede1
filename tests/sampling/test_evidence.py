"""What a text in `where` asks for."""

import numpy as np
import pytest

from dpsynth.errors import InputError
from dpsynth.fitted import FittedModel


def _values(fitted: FittedModel, name: str, text: str) -> set[object]:
    made = fitted.sample(300, seed=1, where={name: text})[name]
    assert len(made) == 300
    return set(made.astype(object).where(made.notna(), None))


def test_a_range_of_numbers(fitted: FittedModel) -> None:
    found = _values(fitted, "age", "30..34")
    assert found == {30, 31, 32, 33, 34}
    assert max(_values(fitted, "age", "..25")) == 25
    assert min(_values(fitted, "age", "70..")) == 70
    assert {30, 34, 50} == _values(fitted, "age", "30|34|50..50.4")


def test_a_range_of_decimals(fitted: FittedModel) -> None:
    found = np.array(list(_values(fitted, "income", "999.99..1500.5")), dtype=float)
    assert found.min() >= 999.99
    assert found.max() <= 1500.5


def test_a_range_of_dates_takes_its_last_day(fitted: FittedModel) -> None:
    found = _values(fitted, "joined", "2020-03-01..2020-03-03")
    assert found == {"2020-03-01", "2020-03-02", "2020-03-03"}


def test_lists_of_categories_and_missing_ones(fitted: FittedModel) -> None:
    assert _values(fitted, "sex", "female|male") == {"female", "male"}
    assert _values(fitted, "sex", "female|") == {"female", None}
    assert _values(fitted, "active", "true|false") == {True, False}
    assert _values(fitted, "active", "") == {None}


def test_a_category_with_a_bar_is_that_category(fitted: FittedModel) -> None:
    assert _values(fitted, "sex", "a|b") == {"a|b"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("age", "40..30", "no value in '40..30'; allowed: 18 to 90 in steps of 1"),
        ("age", "91..", r"no value in '91\.\.'"),
        ("age", "30.2..30.8", "no value in"),
        ("age", "a..30", "'a' is not a number"),
        ("age", "30|17", "no value '17'; nearest: 18"),
        ("sex", "female|mal", r"no value 'mal' \(did you mean 'male'"),
        ("income", "", "has no missing values"),
        ("income", "1..2|", "has no missing values"),
        ("joined", "2020-03-01..soon", "'soon' is not an ISO 8601 date"),
    ],
)
def test_conditions_that_make_no_sense(
    fitted: FittedModel, name: str, text: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        fitted.sample(5, where={name: text})
