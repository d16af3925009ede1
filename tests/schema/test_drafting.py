import tomllib

import pandas as pd
import pytest

from dpsynth.drafting import draft_schema, draft_toml, looks_like_identifier
from dpsynth.errors import SchemaError
from dpsynth.schema import Kind, Schema
from dpsynth.table import Table

PERSONAL = (
    "id|ID|person_id|PatientID|patientId|UserId|uuid|row_guid|email|e-mail|account_number|"
    "patient_nbr|ssn|personid|id_no|Case ID"
)
IMPERSONAL = (
    "paid|covid|valid|age|status_id|admission_type_id|education_num|no|idle|phone_brand|number||"
    "年齢|children_number"
)


@pytest.mark.parametrize(
    "name",
    PERSONAL.split("|"),
)
def test_names_that_tell_persons_apart(name: str):
    assert looks_like_identifier(name)


@pytest.mark.parametrize(
    "name",
    IMPERSONAL.split("|"),
)
def test_names_that_do_not(name: str):
    assert not looks_like_identifier(name)


def kinds(**columns: list[object]) -> dict[str, Kind]:
    columns["other"] = ["x"] * len(next(iter(columns.values())))
    schema = draft_schema(Table.from_frame(pd.DataFrame(columns)))
    return {column.name: column.kind for column in schema.columns if column.name != "other"}


def test_kinds_are_guessed_from_header_and_cells():
    found = kinds(
        id=["1", "2", "3"],
        whole=["1", "2.0", ""],
        real=["1", "2.5", "NA"],
        words=["a", "b", "1"],
        truth=["yes", "No", None],
        day=["2020-01-01", "2020-01-02 10:00", ""],
        nothing=["", None, ""],
        postal=["01234", "10000", "02222"],
    )
    assert found == {
        "id": "identifier",
        "whole": "integer",
        "real": "numeric",
        "words": "categorical",
        "truth": "boolean",
        "day": "datetime",
        "nothing": "categorical",
        "postal": "categorical",
    }


def test_a_typo_does_not_turn_numbers_into_categories():
    assert kinds(x=["1"] * 99 + ["oops"]) == {"x": "integer"}
    assert kinds(x=["1"] * 90 + ["oops"] * 10) == {"x": "categorical"}


def test_the_draft_is_a_schema_that_asks_and_reads_nothing_off_the_rows():
    frame = pd.DataFrame(
        {
            'a "b"\n\x7f': ["SECRET", "other"],
            "person_id": [77001, 77002],
            "pay": [77.25, 88.5],
            "n": [77003, 77004],
            "day": pd.to_datetime(["2077-01-01", "2077-01-02"]),
            "ok": [True, False],
        }
    )
    table = Table.from_frame(frame)
    text = draft_toml(table)
    assert Schema.from_dict(tomllib.loads(text)) == draft_schema(table)
    assert '# unit = "person_id"' in text
    for asked in ("# lower", "# upper", "# categories", "# decimals", "# max_rows_per_unit"):
        assert asked in text
    assert "SECRET" not in text
    assert "77" not in text


def test_the_commented_lines_are_valid_once_uncommented():
    frame = pd.DataFrame({"person_id": [1], "a": ["x"], "n": [1], "x": [0.5], "d": ["2020-01-01"]})
    lines = draft_toml(Table.from_frame(frame)).splitlines()
    opened = [
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line
        for line in lines
    ]
    schema = Schema.from_dict(tomllib.loads("\n".join(opened)))
    assert schema.unit == "person_id"
    assert schema.column("x").decimals == 2
    assert schema.column("d").bounds[0] is not None


def test_a_table_of_identifiers_cannot_be_drafted():
    with pytest.raises(SchemaError, match="every column is an identifier"):
        draft_schema(Table.from_frame(pd.DataFrame({"id": [1]})))
