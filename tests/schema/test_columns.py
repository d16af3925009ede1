import decimal

import numpy as np
import pytest

from dpsynth.columns import MAX_CATEGORIES, MAX_INTEGER, Column, canonical_text
from dpsynth.errors import InputError, SchemaError


def refused(match: str, **fields: object) -> None:
    with pytest.raises(SchemaError, match=match) as caught:
        Column(**{"name": "age", "kind": "integer", **fields})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "not empty"),
        ({"name": "  "}, "not empty"),
        ({"name": 3}, "not empty"),
        ({"kind": "interger"}, r"unknown kind 'interger' \(did you mean 'integer'\?\)"),
        ({"kind": ["integer"]}, "unknown kind"),
        ({"nullable": "no"}, "nullable = 'no' must be true or false"),
        ({"lower": 5, "upper": 5}, "lower = 5 must be below upper = 5"),
        ({"lower": 6, "upper": 5}, "must be below"),
        ({"lower": 0.5}, "must be a whole number within"),
        ({"upper": MAX_INTEGER + 1}, "must be a whole number within"),
        ({"lower": "0"}, "without quotes"),
        ({"lower": True}, "finite number"),
        ({"lower": float("nan")}, "finite number"),
        ({"kind": "numeric", "upper": float("inf")}, "finite number"),
        ({"kind": "numeric", "upper": 10**400}, "finite number"),
        ({"kind": "categorical", "lower": 0}, "bounds are for integer, numeric, datetime"),
        ({"kind": "boolean", "upper": 1}, "bounds are for"),
        ({"kind": "identifier", "upper": 1}, "bounds are for"),
        ({"kind": "datetime", "lower": "31.12.2024"}, "not an ISO 8601 date"),
        ({"kind": "datetime", "lower": "2023-02-29"}, "not an ISO 8601 date"),
        ({"kind": "datetime", "lower": 2024}, "not an ISO 8601 date"),
        ({"kind": "datetime", "lower": "2024-01-02", "upper": "2024-01-01"}, "must be below"),
        ({"categories": ("a",)}, "only kind 'categorical' has categories"),
        ({"kind": "boolean", "categories": ("a",)}, "only kind 'categorical'"),
        ({"kind": "categorical", "categories": "abc"}, "must be a list of texts"),
        ({"kind": "categorical", "categories": {"a", "b"}}, "must be a list of texts"),
        ({"kind": "categorical", "categories": ()}, "0 declared, 1 to 2000 are allowed"),
        ({"kind": "categorical", "categories": tuple(range(2001))}, "2001 declared"),
        ({"kind": "categorical", "categories": ("a", "")}, "'' is not a category"),
        ({"kind": "categorical", "categories": ("a", None)}, "None is not a category"),
        ({"kind": "categorical", "categories": (float("inf"),)}, "inf is not a category"),
        ({"kind": "categorical", "categories": ("a", "b", "a")}, "'a' is listed more than once"),
        ({"kind": "categorical", "categories": (1, 1.0)}, "'1' is listed more than once"),
        ({"decimals": 2}, "only kind 'numeric' has decimals"),
        ({"kind": "numeric", "decimals": 10}, "from 0 to 9"),
        ({"kind": "numeric", "decimals": -1}, "from 0 to 9"),
        ({"kind": "numeric", "decimals": 1.0}, "from 0 to 9"),
        ({"kind": "numeric", "decimals": True}, "from 0 to 9"),
    ],
)
def test_wrong_declarations_are_refused_in_one_line(fields: dict[str, object], message: str):
    refused(message, **fields)


def test_schema_errors_are_input_errors_with_exit_code_2():
    assert issubclass(SchemaError, InputError)
    assert SchemaError.exit_code == 2


def test_the_largest_allowed_declarations_pass():
    many = Column(name="c", kind="categorical", categories=tuple(map(str, range(MAX_CATEGORIES))))
    assert many.categories is not None
    assert len(many.categories) == MAX_CATEGORIES
    assert Column(name="n", kind="numeric", decimals=9).decimals == 9
    assert Column(name="n", kind="numeric", decimals=0).decimals == 0
    assert Column(name="i", kind="integer", upper=MAX_INTEGER).upper == MAX_INTEGER


def test_categories_become_canonical_text():
    column = Column(name="c", kind="categorical", categories=(1, 2.0, 2.5, True, "x"))  # type: ignore[arg-type]
    assert column.categories == ("1", "2", "2.5", "true", "x")


def test_bounds_are_cleaned_to_plain_numbers():
    column = Column(name="i", kind="integer", lower=np.int64(0), upper=10.0)  # type: ignore[arg-type]
    assert (column.lower, column.upper) == (0, 10)
    assert type(column.lower) is int
    assert type(column.upper) is int
    assert column.bounds == (0.0, 10.0)
    assert Column(name="i", kind="integer").bounds == (None, None)
    assert Column(name="x", kind="numeric", lower=-1.5).bounds == (-1.5, None)


def test_a_date_as_upper_bound_covers_its_whole_day():
    column = Column(name="d", kind="datetime", lower="1970-01-01", upper="1970-01-01")
    assert column.bounds == (0.0, 86_399.0)
    exact = Column(name="d", kind="datetime", lower="1970-01-01", upper="1970-01-01T00:00:09")
    assert exact.bounds == (0.0, 9.0)


def test_columns_are_frozen_and_comparable():
    column = Column(name="a", kind="boolean")
    with pytest.raises(AttributeError):
        column.name = "b"  # type: ignore[misc]
    assert column == Column(name="a", kind="boolean")
    assert len({column, Column(name="a", kind="boolean")}) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1.0", "1.0"),
        (" a ", " a "),
        (1, "1"),
        (2**60 + 1, str(2**60 + 1)),
        (-0.0, "0"),
        (2.0, "2"),
        (2.25, "2.25"),
        (True, "true"),
        (np.bool_(False), "false"),
        (np.float32(0.5), "0.5"),
        (np.int8(3), "3"),
        (decimal.Decimal("1.50"), "1.5"),
        (decimal.Decimal("1E+2"), "100"),
        (decimal.Decimal("Infinity"), None),
        (float("nan"), None),
        (None, None),
        (b"x", None),
        ([1], None),
    ],
)
def test_canonical_text(value: object, text: str | None):
    assert canonical_text(value) == text
