import datetime
import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.errors import SchemaError
from dpsynth.schema import Column, Schema

PERSON = Column(name="person_id", kind="identifier")
AGE = Column(name="age", kind="integer", lower=0, upper=120)
SEX = Column(name="sex", kind="categorical", categories=("female", "male"), nullable=False)
SCHEMA = Schema(columns=(PERSON, AGE, SEX), unit="person_id", max_rows_per_unit=3)

TOML = """
unit = "person_id"
max_rows_per_unit = 3

[[columns]]
name = "person_id"
kind = "identifier"

[[columns]]
name = "age"
kind = "integer"
lower = 0
upper = 120

[[columns]]
name = "sex"
kind = "categorical"
categories = ["female", "male"]
nullable = false
"""


def read(text: str) -> Schema:
    return Schema.from_dict(tomllib.loads(text))


def one_column(extra: str = "", head: str = "") -> str:
    return f'{head}\n[[columns]]\nname = "age"\nkind = "integer"\n{extra}\n'


def test_toml_is_read_as_it_says():
    assert read(TOML) == SCHEMA


def test_toml_and_json_round_trip():
    assert read(SCHEMA.to_toml_text()) == SCHEMA
    assert Schema.from_dict(SCHEMA.to_dict()) == SCHEMA
    assert json.loads(json.dumps(SCHEMA.to_dict())) == SCHEMA.to_dict()


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
reals = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@st.composite
def columns(draw: st.DrawFn, name: str) -> Column:
    kind = draw(st.sampled_from(["integer", "numeric", "categorical", "boolean", "datetime"]))
    fields: dict[str, object] = {"nullable": draw(st.booleans())}
    if kind == "numeric":
        low, high = sorted(draw(st.tuples(reals, reals).filter(lambda p: p[0] != p[1])))
        fields |= {"lower": low, "upper": high, "decimals": draw(st.integers(0, 9) | st.none())}
    if kind == "integer":
        fields |= {"lower": draw(st.integers(-(2**53) + 1, 2**53 - 1) | st.none())}
    if kind == "categorical":
        fields |= {
            "categories": tuple(draw(st.lists(st.text(min_size=1), min_size=1, unique=True)))
        }
    if kind == "datetime":
        fields |= {"upper": draw(st.dates() | st.datetimes() | st.none())}
    return Column(name=name, kind=kind, **fields)  # type: ignore[arg-type]


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    chosen = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    found = [draw(columns(name)) for name in chosen]
    if not draw(st.booleans()):
        return Schema(columns=tuple(found))
    unit = draw(names.filter(lambda name: name not in chosen))
    found.append(Column(name=unit, kind="identifier"))
    return Schema(columns=tuple(found), unit=unit, max_rows_per_unit=draw(st.integers(1, 9)))


@settings(derandomize=True, deadline=None, max_examples=50)
@given(schemas())
def test_any_schema_survives_toml(schema: Schema):
    assert read(schema.to_toml_text()) == schema


def test_toml_dates_and_numbers_are_canonicalised():
    text = """
[[columns]]
name = "day"
kind = "datetime"
lower = 2020-01-31
upper = 2020-02-01T10:00:00
[[columns]]
name = "code"
kind = "categorical"
categories = [1, 2, true]
"""
    schema = read(text)
    assert schema.column("day").lower == "2020-01-31"
    assert schema.column("day").upper == "2020-02-01T10:00:00"
    assert schema.column("code").categories == ("1", "2", "true")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            one_column("loewer = 1"),
            r"column 'age': unknown key 'loewer' \(did you mean 'lower'\?\)",
        ),
        (
            one_column(head="untt = 'a'"),
            r"the schema: unknown key 'untt' \(did you mean 'unit'\?\)",
        ),
        (one_column("zzz = 1"), "unknown key 'zzz'; allowed: name, kind"),
        ('[[columns]]\nname = "a"', "column 'a': kind is missing"),
        ('[[columns]]\nkind = "integer"', "a column without a name: name is missing"),
        ("columns = [1]", "a column must be a table with name and kind, not 1"),
        ("columns = 1", r"write each as \[\[columns\]\]"),
        ("", "no columns"),
        (one_column() + one_column(), "'age' is declared more than once"),
        ('[[columns]]\nname = "a"\nkind = "identifier"', "every column is an identifier"),
        (one_column(head="unit = 'agee'\nmax_rows_per_unit = 1"), r"did you mean 'age'\?"),
        (one_column(head="unit = 'age'\nmax_rows_per_unit = 1"), "has kind 'integer'"),
        (one_column(head="unit = 5\nmax_rows_per_unit = 1"), "unit = 5 names no column"),
        (TOML.replace("max_rows_per_unit = 3", ""), "add max_rows_per_unit = N"),
        (TOML.replace("_unit = 3", "_unit = 0"), "max_rows_per_unit = 0 must be"),
        (TOML.replace("_unit = 3", "_unit = -1"), "max_rows_per_unit = -1 must be"),
        (TOML.replace("_unit = 3", "_unit = 1.5"), "max_rows_per_unit = 1.5 must be"),
        (TOML.replace("_unit = 3", "_unit = true"), "max_rows_per_unit = True must be"),
        (one_column(head="max_rows_per_unit = 2"), "without a unit"),
    ],
)
def test_wrong_schemas_are_refused_in_one_line(text: str, message: str):
    with pytest.raises(SchemaError, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_values_that_are_not_columns_are_refused():
    with pytest.raises(SchemaError, match="must hold Column values"):
        Schema(columns=({"name": "a", "kind": "integer"},))  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="a schema must be a table"):
        Schema.from_dict([])


def test_without_a_unit_each_row_is_one():
    assert Schema(columns=(AGE,)).max_rows_per_unit == 1
    assert Schema(columns=(AGE,)) == Schema(columns=(AGE,), max_rows_per_unit=1)
    assert Schema(columns=(AGE,)).to_dict() == {"columns": [AGE.to_dict()]}


def test_algebra_returns_new_schemas():
    assert SCHEMA.names == ("person_id", "age", "sex")
    assert SCHEMA.modelled == (AGE, SEX)
    assert SCHEMA.project(["sex"]).names == ("person_id", "sex")
    older = Column(name="age", kind="integer", lower=18, upper=120)
    assert SCHEMA.with_column(older).columns == (PERSON, older, SEX)
    new = Column(name="new", kind="boolean")
    assert SCHEMA.with_column(new).columns == (PERSON, AGE, SEX, new)
    assert SCHEMA.columns == (PERSON, AGE, SEX)
    with pytest.raises(SchemaError, match=r"no column 'agee' \(did you mean 'age'\?\)"):
        SCHEMA.project(["agee"])


def test_check_compares_the_columns_both_ways():
    SCHEMA.check(["sex", "age", "person_id"], "t.csv")
    with pytest.raises(SchemaError, match=r"t.csv: .*declares column 'age'.*mean 'Age'\?"):
        SCHEMA.check(["person_id", "Age", "sex"], "t.csv")
    with pytest.raises(SchemaError, match=r"table has column 'sexx'.*mean 'sex'.*drop it from"):
        SCHEMA.check(["person_id", "age", "sex", "sexx"], "t.csv")


def test_files_are_read_and_faults_name_the_file(tmp_path: Path):
    path = tmp_path / "schema.toml"
    path.write_text("\ufeff" + TOML, encoding="utf-8")
    assert Schema.from_toml(path) == SCHEMA

    path.write_text('unit = "a\n', encoding="utf-8")
    with pytest.raises(SchemaError, match=r"schema.toml: not valid TOML: .*line 1"):
        Schema.from_toml(path)
    path.write_bytes(b'unit = "\xff"')
    with pytest.raises(SchemaError, match=r"byte 8 is not UTF-8"):
        Schema.from_toml(path)
    path.write_text("columns = 1", encoding="utf-8")
    with pytest.raises(SchemaError, match=r"schema.toml: columns must be a list"):
        Schema.from_toml(path)
    with pytest.raises(SchemaError, match="cannot read the schema: No such file"):
        Schema.from_toml(tmp_path / "none.toml")


def test_a_toml_time_of_day_is_no_date():
    with pytest.raises(SchemaError, match="not an ISO 8601 date"):
        Column(name="d", kind="datetime", lower=datetime.time(10, 0))  # type: ignore[arg-type]
