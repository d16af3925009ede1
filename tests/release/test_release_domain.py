from dataclasses import replace

import pandas as pd
import pytest

from dpsynth.errors import IntegrityError
from dpsynth.release.domain import (
    domain_json,
    learned_fields,
    outside_domain,
    read_domain,
    without_learned,
)
from dpsynth.schema import Column, Schema


def problems(tmp_path, schema, **cells):
    path = tmp_path / "table.csv"
    pd.DataFrame(cells).to_csv(path, index=False)
    return list(outside_domain(path, schema))


@pytest.mark.parametrize(
    ("fields", "cell", "good"),
    [
        ({"kind": "integer", "lower": 0, "upper": 9}, 9, True),
        ({"kind": "integer", "lower": 0, "upper": 9}, 10, False),
        ({"kind": "integer", "lower": 0, "upper": 9}, -1, False),
        ({"kind": "integer", "lower": 0, "upper": 9}, 0.5, False),
        ({"kind": "integer"}, 123456, True),
        ({"kind": "numeric", "lower": 0.1, "upper": 0.3, "decimals": 1}, 0.1 + 0.2, True),
        ({"kind": "numeric", "lower": 0.0, "upper": 1.0, "decimals": 1}, 0.25, False),
        ({"kind": "numeric", "lower": 0.0, "upper": 1.0}, 1.01, False),
        ({"kind": "categorical", "categories": ("a", "b")}, "b", True),
        ({"kind": "categorical", "categories": ("a", "b")}, "c", False),
        ({"kind": "boolean"}, "true", True),
        ({"kind": "boolean"}, "2", False),
        ({"kind": "datetime", "lower": "2020-01-01", "upper": "2020-01-31"}, "2020-01-31", True),
        ({"kind": "datetime", "lower": "2020-01-01", "upper": "2020-01-31"}, "2020-02-01", False),
        ({"kind": "integer", "nullable": False}, "", False),
        ({"kind": "integer", "lower": 0, "upper": 9}, "", True),
    ],
)
def test_one_cell_against_the_domain(tmp_path, fields, cell, good):
    schema = Schema(columns=(Column(name="x", **fields), Column(name="y", kind="integer")))
    found = problems(tmp_path, schema, x=[cell], y=[1])
    assert (found == []) is good
    assert all("column 'x'" in problem for problem in found)


def test_every_bad_column_is_named_with_its_first_bad_row(tmp_path, schema):
    narrow = Schema(
        columns=(
            Column(name="a", kind="integer", lower=0, upper=3),
            Column(name="b", kind="categorical", categories=("x",)),
        )
    )
    found = problems(tmp_path, narrow, a=[1, 2, 7, 9], b=["x", "z", "x", "x"])
    assert ["row 3, column 'a'" in found[0], "row 2, column 'b'" in found[1]] == [True, True]


@pytest.mark.parametrize(
    ("ids", "row"),
    [
        ([1, 2, 3], None),
        (["1", "2", "3"], None),
        ([1, 2, 712], 3),
        ([2, 1, 3], 1),
        ([1, "", 3], 2),
        (["p1", "p2", "p3"], 1),
    ],
)
def test_identifiers_must_be_fresh(tmp_path, ids, row):
    """A real person's number in the table would pass for a value of the domain otherwise."""
    columns = (Column(name="person", kind="identifier"), Column(name="y", kind="integer"))
    found = problems(tmp_path, Schema(columns=columns), person=ids, y=[1, 1, 1])
    assert [f"row {row}, column 'person'" in problem for problem in found] == [True] * bool(row)


def test_a_table_that_cannot_be_read_is_one_problem(tmp_path, schema):
    (problem,) = outside_domain(tmp_path / "table.csv", schema)
    assert "table.csv" in problem


def test_learned_fields_are_marked_and_taken_out(schema):
    declared = Schema(
        columns=(
            Column(name="age", kind="integer", lower=0),
            *(replace(column) for column in schema.columns[1:]),
        )
    )
    learned = learned_fields(schema, declared)
    assert learned == {"age": ["upper"]}
    assert without_learned(schema, learned) == declared
    assert learned_fields(schema, None)["town"] == ["categories"]
    assert learned_fields(schema, schema) == {}


def test_the_domain_survives_its_file(schema):
    assert read_domain(domain_json(schema, {})) == schema


@pytest.mark.parametrize(
    "data",
    [None, [], {}, {"format": "dpsynth.schema/2"}, {"format": "dpsynth.schema/1", "columns": []}],
)
def test_what_is_no_domain_is_refused(data):
    with pytest.raises(IntegrityError, match=r"schema\.json: "):
        read_domain(data)
