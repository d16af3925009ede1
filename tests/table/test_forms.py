import datetime
import decimal
import math
import re
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.cells import CODE, FORMS, cell_forms

TEXT_TYPES = [pa.string(), pa.large_string()]


def forms(cells: object, kind: pa.DataType | None = None) -> list[str]:
    array = cells if isinstance(cells, pa.Array | pa.ChunkedArray) else pa.array(cells, type=kind)
    found = cell_forms(array)
    assert found.dtype == np.int8
    assert len(found) == len(array)
    return [FORMS[code] for code in found]


TABLE = {
    "missing": ["", None, " ", "NA", "n/a", "NaN", "nan", "NULL", "None", "NaT"],
    "boolean": ["true", "FALSE", " Yes", "no"],
    "integer": ["0", "-0", "+7", "3.0", "12.", "123456789012345", " 5 "],
    "decimal_1": ["1.5", ".5", "-0.10", "1.500"],
    "decimal_3": ["1.125", "+12.3450"],
    "decimal_9": ["0.123456789"],
    "float": ["1e3", "1.5E-7", "0.1234567891", "1e+05"],
    "date": ["2020-01-31", "2020-01-31 00:00:00", "2020-01-31T00:00Z", "9999-12-31"],
    "datetime": ["2020-01-31T10:00", "2020-01-31 00:00:00.5", "2020-01-31T00:00+02:00"],
    "text": [
        "t",
        "F",
        "y",
        "N",
        "abc",
        "inf",
        "-inf",
        "0123",
        "-007",
        "1,5",
        "1 2",
        "2020-13-01",
        "1234567890123456",
        "--1",
        "1e",
        ".",
        "0x10",
        "1_000",
        "１２",
        "True story",
    ],
}


@pytest.mark.parametrize("kind", TEXT_TYPES, ids=str)
@pytest.mark.parametrize("form", TABLE)
def test_forms_of_text(form: str, kind: pa.DataType):
    found = dict(zip(TABLE[form], forms(TABLE[form], kind), strict=True))
    assert found == dict.fromkeys(TABLE[form], form)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([True, None]), ["boolean", "missing"]),
        (pa.array([1, None, -5]), ["integer", "missing", "integer"]),
        (pa.array([2**53, 2**53 - 1]), ["float", "integer"]),
        (pa.array([2**64 - 1], pa.uint64()), ["float"]),
        (pa.array([None, None]), ["missing", "missing"]),
        (
            pa.array([1.0, 1.5, 0.25, 1e-12, math.nan, math.inf, None]),
            ["integer", "decimal_1", "decimal_2", "float", "missing", "float", "missing"],
        ),
        (pa.array([0.1, 0.12345, 3.0], pa.float32()), ["decimal_1", "decimal_5", "integer"]),
        (pa.array([decimal.Decimal("1.50"), None]), ["decimal_1", "missing"]),
        (pa.array([datetime.date(2020, 1, 1), None]), ["date", "missing"]),
        (pa.array([datetime.date(2020, 1, 1)], pa.date64()), ["date"]),
        (
            pa.array([datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, 5), None]),
            ["date", "datetime", "missing"],
        ),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_forms_of_typed_cells(array: pa.Array, expected: list[str]):
    assert forms(array) == expected


def slow_form(cell: str | None) -> str:
    """The obvious version, one cell at a time, with the standard library."""
    word = (cell or "").strip()
    if word.lower() in {"", "na", "n/a", "nan", "nat", "null", "none"}:
        return "missing"
    if word.lower() in {"true", "false", "yes", "no"}:
        return "boolean"
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", word):
        body = word.lstrip("+-")
        if re.fullmatch(r"0[0-9].*", body) or re.fullmatch(r"[0-9]{16,}", body):
            return "text"
        whole, _, digits = body.partition(".")
        if "e" in body.lower() or len(whole) > 15 or len(digits.rstrip("0")) > 9:
            return "float"
        return f"decimal_{len(digits.rstrip('0'))}" if digits.rstrip("0") else "integer"
    try:
        moment = datetime.datetime.fromisoformat(word)
    except ValueError:
        return "text"
    midnight = moment == moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return "date" if midnight else "datetime"


cells = st.one_of(
    st.none(),
    st.sampled_from([cell for some in TABLE.values() for cell in some]),
    st.from_regex(r"[+-]?[0-9]{0,17}\.?[0-9]{0,11}([eE][0-9])?", fullmatch=True),
    st.dates().map(str),
    st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds")),
    st.text(alphabet="ab.-+ e1", max_size=6).filter(lambda t: t.strip() not in ("+", "-")),
)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(cells, max_size=40))
def test_text_forms_agree_with_the_slow_twin(given_cells: list[str | None]):
    # "T00:00+02:00" is midnight to the twin, which does not move it to UTC.
    plain = [cell for cell in given_cells if "+02:00" not in (cell or "")]
    assert forms(plain, pa.string()) == [slow_form(cell) for cell in plain]


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.integers(-(10**8), 10**8), min_size=1), st.integers(0, 9))
def test_typed_and_text_numbers_vote_alike(whole: list[int], digits: int):
    values = [round(value / 10**digits, digits) for value in whole]
    typed = forms(pa.array(values, pa.float64()))
    text = forms([f"{value:.{digits}f}" for value in values], pa.string())
    assert typed == text


def test_chunks_do_not_matter():
    whole = pa.array(["1", "a", "", "1.5", "1", None])
    chunked = pa.chunked_array([whole.slice(0, 2), whole.slice(2, 0), whole.slice(2)])
    assert forms(chunked) == forms(whole)
    assert forms(pa.chunked_array([], type=pa.string())) == []
    assert forms(pa.array([], type=pa.int64())) == []


def test_form_names_are_distinct_and_fit_a_byte():
    assert len(set(FORMS)) == len(FORMS) == len(CODE)
    assert FORMS[0] == "missing"
    assert FORMS[CODE["integer"] + 4] == "decimal_4"


@pytest.mark.slow
def test_a_million_distinct_cells_take_seconds():
    rng = np.random.default_rng(0)
    array = pa.array([f"{value:.9f}" for value in rng.normal(size=1_000_000)])
    start = time.process_time()
    cell_forms(array)
    assert time.process_time() - start < 4.0
