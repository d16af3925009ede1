import datetime
import decimal
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.cells import Cells, parse_cells
from dpsynth.columns import Column, Kind
from dpsynth.errors import InputError

TEXT_TYPES = [pa.string(), pa.large_string()]


def parse(cells: object, kind: Kind, *, nullable: bool = True, first_row: int = 0) -> Cells:
    array = cells if isinstance(cells, pa.Array | pa.ChunkedArray) else pa.array(cells)
    column = Column(name="x", kind=kind, nullable=nullable)
    found = parse_cells(array, column, source="t.csv", first_row=first_row)
    assert found.values.shape == found.missing.shape == (len(array),)
    assert found.missing.dtype == bool
    return found


GOOD: list[tuple[Kind, list[str | None], list[float]]] = [
    ("integer", ["3", " 3.0 ", "-0", "+5", "1e3", "007", None], [3, 3, 0, 5, 1000, 7, math.nan]),
    ("integer", ["9007199254740991", "NA"], [2**53 - 1, math.nan]),
    ("numeric", ["1e3", "+1.5", ".5", "5.", "-2E-3"], [1000, 1.5, 0.5, 5, -0.002]),
    ("numeric", ["NaN", "null", "None", "n/a", "", "nan"], [math.nan] * 6),
    (
        "boolean",
        ["true", "F", "yes", "N", "1", "0.0", "T", "no", ""],
        [1, 0, 1, 0, 1, 0, 1, 0, math.nan],
    ),
    (
        "datetime",
        ["1970-01-01", "1970-01-01T01:00+01:00", "1970-01-01 00:00:01.25", "NaT"],
        [0, 0, 1.25, math.nan],
    ),
]


@pytest.mark.parametrize("type_", TEXT_TYPES, ids=str)
@pytest.mark.parametrize(("kind", "cells", "expected"), GOOD)
def test_text_cells(kind: Kind, cells: list[str | None], expected: list[float], type_: pa.DataType):
    found = parse(pa.array(cells, type=type_), kind)
    assert found.values.dtype == np.float64
    assert found.missing.tolist() == [math.isnan(value) for value in expected]
    assert found.values.tolist() == [0.0 if math.isnan(value) else value for value in expected]


def test_minus_zero_becomes_zero():
    assert not np.signbit(parse(["-0", "-0.0"], "numeric").values).any()
    assert not np.signbit(parse(pa.array([-0.0]), "integer").values).any()


BAD: list[tuple[Kind, object]] = [
    *[
        ("integer", cell)
        for cell in ("3.5", "abc", "inf", "9007199254740992", "1e300", "1 2", "true")
    ],
    *[("numeric", cell) for cell in ("inf", "-Infinity", "1e999", "1,5", "0x10", "--1", "1_0")],
    *[("boolean", cell) for cell in ("2", "maybe", "10")],
    *[("datetime", cell) for cell in ("2020", "2020-02-30", "yesterday", "20200101")],
]


@pytest.mark.parametrize("type_", TEXT_TYPES, ids=str)
@pytest.mark.parametrize(("kind", "cell"), BAD)
def test_a_cell_that_does_not_fit_is_named(kind: Kind, cell: str, type_: pa.DataType):
    good = {"datetime": "2020-01-01"}.get(kind, "1")
    with pytest.raises(InputError) as caught:
        parse(pa.array([good, None, cell, cell], type=type_), kind, first_row=10)
    message = str(caught.value)
    assert message.startswith(f"t.csv: row 13, column 'x': {cell!r} does not fit kind {kind!r}; ")
    assert "allowed: " in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("integer", pa.array([1.5])),
        ("integer", pa.array([math.inf])),
        ("integer", pa.array([2**53])),
        ("integer", pa.array([True])),
        ("integer", pa.array([datetime.date(2020, 1, 1)])),
        ("numeric", pa.array([-math.inf])),
        ("numeric", pa.array([False])),
        ("boolean", pa.array([2])),
        ("boolean", pa.array([datetime.date(2020, 1, 1)])),
        ("datetime", pa.array([20200101])),
        ("datetime", pa.array([True])),
        ("categorical", pa.array([math.inf])),
    ],
)
def test_a_typed_cell_that_does_not_fit_is_refused(kind: Kind, array: pa.Array):
    with pytest.raises(InputError, match=rf"row 1, column 'x': .* does not fit kind '{kind}'"):
        parse(array, kind)


def test_long_values_and_line_breaks_stay_one_short_line():
    with pytest.raises(InputError) as caught:
        parse(["a\n" * 500], "integer")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("kind", "array", "values", "missing"),
    [
        ("integer", pa.array([3, None], pa.int8()), [3, 0], [False, True]),
        ("integer", pa.array([3.0, math.nan]), [3, 0], [False, True]),
        ("numeric", pa.array([3, None], pa.uint16()), [3, 0], [False, True]),
        ("numeric", pa.array([0.5, None], pa.float32()), [0.5, 0], [False, True]),
        ("numeric", pa.array([decimal.Decimal("1.25"), None]), [1.25, 0], [False, True]),
        ("numeric", pa.array([None, None]), [0, 0], [True, True]),
        ("boolean", pa.array([True, False, None]), [1, 0, 0], [False, False, True]),
        ("boolean", pa.array([1.0, 0.0, None]), [1, 0, 0], [False, False, True]),
        ("datetime", pa.array([datetime.date(1970, 1, 2), None]), [86_400, 0], [False, True]),
        ("datetime", pa.array([86_400_000, None], pa.date64()), [86_400, 0], [False, True]),
        ("datetime", pa.array([1500, None], pa.timestamp("ms")), [1.5, 0], [False, True]),
        ("datetime", pa.array([7], pa.timestamp("s", tz="Asia/Tokyo")), [7], [False]),
        ("datetime", pa.array([500_000_000], pa.timestamp("ns")), [0.5], [False]),
        ("datetime", pa.array([None, None]), [0, 0], [True, True]),
    ],
)
def test_typed_cells(kind: Kind, array: pa.Array, values: list[float], missing: list[bool]):
    found = parse(array, kind)
    assert found.values.dtype == np.float64
    assert found.values.tolist() == values
    assert found.missing.tolist() == missing


@pytest.mark.parametrize("kind", ["categorical", "identifier"])
@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (pa.array(["1.0", " a", "NA", "", None, "?"]), ["1.0", " a", "NA", "", "", "?"]),
        (pa.array(["b", None], pa.large_string()), ["b", ""]),
        (pa.array([1, None, -3]), ["1", "", "-3"]),
        (pa.array([1.0, 2.5, math.nan, None]), ["1", "2.5", "", ""]),
        (pa.array([True, False, None]), ["true", "false", ""]),
        (pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.00")]), ["1.5", "2"]),
        (pa.array([datetime.date(2020, 1, 2), None]), ["2020-01-02", ""]),
        (
            pa.array([datetime.datetime(2020, 1, 2), datetime.datetime(2020, 1, 2, 3)]),
            ["2020-01-02", "2020-01-02T03:00:00"],
        ),
        (pa.array([None, None]), ["", ""]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_categories_are_canonical_text(kind: Kind, array: pa.Array, texts: list[str]):
    found = parse(array, kind)
    assert found.values.dtype == object
    assert found.values.tolist() == texts
    assert found.missing.tolist() == [text == "" for text in texts]


def test_the_text_of_a_moment_does_not_depend_on_its_chunk():
    moments = [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, 5)]
    one, two = pa.array(moments), pa.chunked_array([[moments[0]], [moments[1]]])
    assert parse(one, "categorical").values.tolist() == parse(two, "categorical").values.tolist()


@pytest.mark.parametrize(
    ("kind", "cell"),
    [("integer", "NA"), ("numeric", math.nan), ("categorical", ""), ("boolean", None)],
)
def test_a_missing_cell_is_bad_input_where_it_is_declared_so(kind: Kind, cell: object):
    with pytest.raises(InputError, match=r"row 1, column 'x': the value is missing.*nullable"):
        parse([cell], kind, nullable=False)


def test_where_the_kind_was_learned_an_odd_cell_counts_as_missing():
    array = pa.array(["1", "abc", None, "2.5"])
    column = Column(name="x", kind="integer", nullable=False)
    found = parse_cells(array, column, source="t.csv", strict=False)
    assert found.values.tolist() == [1, 0, 0, 0]
    assert found.missing.tolist() == [False, True, True, True]
    with pytest.raises(InputError, match="row 2"):
        parse_cells(array, column, source="t.csv")


def test_not_nullable_accepts_full_columns_and_names_wrong_cells_as_wrong():
    assert not parse(["1", "2"], "integer", nullable=False).missing.any()
    assert parse(["NA"], "categorical", nullable=False).values.tolist() == ["NA"]
    with pytest.raises(InputError, match="'abc' does not fit"):
        parse(["abc"], "integer", nullable=False)


def test_the_place_of_a_cell_can_be_put_in_words():
    with pytest.raises(InputError, match=r"t\.csv: line 99, column"):
        parse_cells(
            pa.array(["1", "b"]),
            Column(name="x", kind="integer"),
            source="t.csv",
            place=lambda index: f"line {98 + index}",
        )


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_any_finite_number_is_read_exactly(values: list[float]):
    found = parse([repr(value) for value in values], "numeric")
    assert found.values.tolist() == values


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["1", "2", "", None, "3.0"]), max_size=20), st.integers(1, 5))
def test_chunks_do_not_matter(cells: list[str | None], size: int):
    whole = pa.array(cells, type=pa.string())
    parts = [whole.slice(start, size) for start in range(0, len(cells), size)]
    chunked = pa.chunked_array(parts, type=pa.string())
    for kind in ("integer", "categorical"):
        one, many = parse(whole, kind), parse(chunked, kind)
        assert one.values.tolist() == many.values.tolist()
        assert one.missing.tolist() == many.missing.tolist()
