"""Rows to codes and back: what comes out is on the grid and encodes to the code it came from."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.cells import Cells
from dpsynth.encoding.binning import Intervals
from dpsynth.encoding.codec import DAY, CategoryCodec, NumberCodec, TableCodec
from dpsynth.errors import IntegrityError
from dpsynth.iso_time import parse_iso
from dpsynth.privacy.queries import Grid
from dpsynth.schema import Column

QUICK = settings(derandomize=True, deadline=None, max_examples=50)
seeds = st.integers(0, 2**32 - 1)


def _number(
    column: Column, grid: Grid, rng: np.random.Generator, *, missing: bool = True
) -> NumberCodec:
    """A codec with random intervals; some codes hold several of them."""
    inner = rng.integers(0, grid.size, int(rng.integers(0, 12)))
    starts = np.unique(np.r_[0, inner]).astype(np.int64)
    many = len(starts)
    codes = np.unique(rng.integers(0, many, many), return_inverse=True)[1].astype(np.int64)
    raw = rng.random(many) + 0.01
    weights = raw / np.bincount(codes, weights=raw)[codes]
    top = int(codes.max()) + 1
    return NumberCodec(
        column=column,
        grid=grid,
        intervals=Intervals(starts, codes, weights),
        missing=top if missing else None,
        fallback=0,
    )


def _cells(series: pd.Series, kind: str) -> Cells:
    """Released values read back as the curator would read them."""
    missing = series.isna().to_numpy()
    if kind == "datetime":
        seconds, valid = parse_iso(
            pa.array(["" if m else str(v) for v, m in zip(series, missing, strict=True)])
        )
        assert np.array_equal(valid, ~missing)
        return Cells(np.where(missing, 0.0, seconds), missing)
    if kind == "categorical":
        return Cells(series.fillna("").to_numpy(dtype=object), missing)
    return Cells(series.astype("Float64").fillna(0.0).to_numpy(dtype=np.float64), missing)


NUMBERS = [
    (Column(name="x", kind="integer"), Grid(-20.0, 1.0, 300)),
    (Column(name="x", kind="integer"), Grid(-(2.0**40), 1.0, 2**41)),
    (Column(name="x", kind="numeric", decimals=2), Grid(0.13, 0.01, 5_000)),
    (Column(name="x", kind="numeric", decimals=6), Grid(-1000.0, 1e-6, 2_000_000_000)),
    (Column(name="x", kind="numeric", decimals=0), Grid(3.0, 1.0, 1)),
    (Column(name="x", kind="numeric", decimals=6), Grid(0.0, 1e10, 1_000)),
    (Column(name="x", kind="numeric", decimals=9), Grid(-1e300, 1e285, 2 * 10**15)),
    (Column(name="x", kind="datetime"), Grid(-10 * DAY, DAY, 20_000)),
    (Column(name="x", kind="datetime"), Grid(1e9, 1.0, 100_000_000)),
]


@pytest.mark.parametrize(("column", "grid"), NUMBERS, ids=lambda v: str(getattr(v, "kind", v)))
@QUICK
@given(seed=seeds, missing=st.booleans())
def test_numbers_encode_to_the_code_they_were_decoded_from(
    column: Column, grid: Grid, seed: int, missing: bool
) -> None:
    rng = np.random.default_rng(seed)
    codec = _number(column, grid, rng, missing=missing)
    codes = rng.integers(0, codec.size, 50)
    values = codec.decode(codes, rng=rng)
    cells = _cells(values, column.kind)
    assert np.array_equal(codec.encode(cells), codes)
    assert np.array_equal(cells.missing, codes == codec.missing)
    present = cells.values[~cells.missing]
    top = grid.lower + (grid.size - 1) * grid.step
    assert np.all((present >= grid.lower - 1e-9) & (present <= top * (1 + 1e-12) + 1e-9))


@pytest.mark.parametrize(
    ("column", "grid", "pattern"),
    [
        (Column(name="x", kind="integer"), Grid(-5.0, 1.0, 40), r"-?\d+"),
        (Column(name="x", kind="numeric", decimals=2), Grid(0.0, 0.01, 900), r"\d+\.\d{1,2}"),
        (Column(name="x", kind="datetime"), Grid(0.0, DAY, 900), r"19\d\d-\d\d-\d\d"),
        (
            Column(name="x", kind="datetime"),
            Grid(86_390.0, 1.0, 90_000),
            r"1970-01-\d\dT\d\d:\d\d:\d\d",
        ),
    ],
)
def test_values_are_written_as_their_kind_is(column: Column, grid: Grid, pattern: str) -> None:
    rng = np.random.default_rng(3)
    codec = _number(column, grid, rng)
    values = codec.decode(rng.integers(0, codec.size, 300), rng=rng)
    assert values.name == "x"
    assert 0 < values.isna().sum() < 300
    assert all(pd.Series(values.dropna().map(str)).str.fullmatch(pattern))


def test_whole_columns_of_integers_have_an_integer_type() -> None:
    rng = np.random.default_rng(0)
    codec = _number(Column(name="x", kind="integer"), Grid(0.0, 1.0, 9), rng, missing=False)
    assert codec.decode(np.zeros(4, dtype=np.int64), rng=rng).dtype == np.int64


def test_values_beyond_the_bounds_are_clamped() -> None:
    intervals = Intervals(np.array([0, 5]), np.array([0, 1]), np.ones(2))
    codec = NumberCodec(
        column=Column(name="x", kind="integer"),
        grid=Grid(10.0, 1.0, 10),
        intervals=intervals,
        missing=None,
        fallback=1,
    )
    values = np.array([-1e300, 9.0, 14.0, 15.0, 1e300, 0.0])
    missing = np.array([False] * 5 + [True])
    assert codec.encode(Cells(values, missing)).tolist() == [0, 0, 0, 1, 1, 1]


def test_values_inside_a_code_follow_its_weights() -> None:
    """Counts differ from their expectation by at most one a draw of the code."""
    intervals = Intervals(np.array([0, 1, 2]), np.array([0, 0, 0]), np.array([0.6, 0.3, 0.1]))
    codec = NumberCodec(
        column=Column(name="x", kind="integer"),
        grid=Grid(0.0, 1.0, 3),
        intervals=intervals,
        missing=None,
        fallback=0,
    )
    values = codec.decode(np.zeros(1000, dtype=np.int64), rng=np.random.default_rng(0))
    assert np.abs(np.bincount(values) - [600, 300, 100]).max() <= 1


def _category(rng: np.random.Generator, *, many: int, other: bool, missing: bool) -> CategoryCodec:
    names = tuple(f"c{i}" for i in range(many - other)) + (("other",) if other else ())
    codes = np.unique(rng.integers(0, many, many), return_inverse=True)[1].astype(np.int64)
    raw = rng.random(many) + 0.01
    return CategoryCodec(
        column=Column(name="g", kind="categorical"),
        categories=names,
        codes=codes,
        weights=raw / np.bincount(codes, weights=raw)[codes],
        other=many - 1 if other else None,
        missing=int(codes.max()) + 1 if missing else None,
        fallback=0,
    )


@QUICK
@given(seed=seeds, many=st.integers(1, 9), other=st.booleans(), missing=st.booleans())
def test_categories_encode_to_the_code_they_were_decoded_from(
    seed: int, many: int, other: bool, missing: bool
) -> None:
    rng = np.random.default_rng(seed)
    codec = _category(rng, many=many, other=other, missing=missing)
    codes = rng.integers(0, codec.size, 40)
    values = codec.decode(codes, rng=rng)
    assert set(values.dropna()) <= set(codec.categories)
    assert np.array_equal(codec.encode(_cells(values, "categorical")), codes)


def test_unknown_categories_count_as_other_or_as_the_commonest() -> None:
    rng = np.random.default_rng(0)
    cells = Cells(np.array(["zz", ""], dtype=object), np.array([False, True]))
    with_other = _category(rng, many=3, other=True, missing=True)
    assert with_other.encode(cells).tolist() == [with_other.codes[2], with_other.missing]
    without = _category(rng, many=3, other=False, missing=False)
    assert without.encode(cells).tolist() == [without.fallback] * 2


def test_booleans_come_back_as_booleans() -> None:
    codec = CategoryCodec(
        column=Column(name="b", kind="boolean"),
        categories=("false", "true"),
        codes=np.arange(2),
        weights=np.ones(2),
        other=None,
        missing=2,
        fallback=0,
    )
    cells = Cells(np.array([0.0, 1.0, 0.0]), np.array([False, False, True]))
    codes = codec.encode(cells)
    assert codes.tolist() == [0, 1, 2]
    values = codec.decode(codes, rng=np.random.default_rng(0))
    assert values.dtype == "boolean"
    assert values[:2].tolist() == [False, True]
    assert values[2] is pd.NA
    assert codec.decode(codes[:2], rng=np.random.default_rng(0)).dtype == bool


def test_a_column_without_categories_decodes_as_missing() -> None:
    codec = CategoryCodec(
        column=Column(name="g", kind="categorical"),
        categories=(),
        codes=np.zeros(0, dtype=np.int64),
        weights=np.zeros(0),
        other=None,
        missing=0,
        fallback=0,
    )
    cells = Cells(np.array(["a", ""], dtype=object), np.array([False, True]))
    assert codec.size == 1
    assert codec.encode(cells).tolist() == [0, 0]
    assert codec.decode(np.zeros(3, dtype=np.int64), rng=np.random.default_rng(0)).isna().all()


def _table_codec() -> TableCodec:
    rng = np.random.default_rng(1)
    dates = Column(name="d", kind="datetime", lower="2020-01-01", upper="2020-12-31")
    return TableCodec(
        (
            _number(Column(name="x", kind="numeric", decimals=2), Grid(0.0, 0.01, 500), rng),
            _category(rng, many=4, other=True, missing=True),
            _number(dates, Grid(1_577_836_800.0, DAY, 366), rng, missing=False),
        )
    )


def test_a_codec_survives_json() -> None:
    codec = _table_codec()
    again = TableCodec.from_json(json.loads(json.dumps(codec.to_json())))
    assert again.columns == codec.columns
    assert again.sizes == codec.sizes
    rng = np.random.default_rng(2)
    codes = np.stack([rng.integers(0, s, 100) for s in codec.sizes], axis=1)
    one, two = (c.decode(codes, rng=np.random.default_rng(5)) for c in (codec, again))
    pd.testing.assert_frame_equal(one, two)
    kinds = zip(codec.columns, one.items(), strict=True)
    cells = {column.name: _cells(series, column.kind) for column, (_, series) in kinds}
    assert np.array_equal(again.encode(cells), codes)


@pytest.mark.parametrize("key", sorted(_table_codec().parts[0].to_json()))
def test_a_codec_with_a_part_missing_is_damaged(key: str) -> None:
    raw = _table_codec().to_json()
    del raw[0][key]
    with pytest.raises(IntegrityError, match="codec is damaged"):
        TableCodec.from_json(raw)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("type", "pickle"),
        ("grid", [0.0, 1.0]),
        ("codes", "zero"),
        ("column", 3),
        ("fallback", None),
        ("weights", [[1.0], [1.0, 2.0]]),
    ],
)
def test_a_codec_with_a_wrong_value_is_damaged(key: str, value: object) -> None:
    raw = _table_codec().to_json()
    raw[0][key] = value
    with pytest.raises(IntegrityError, match="codec is damaged"):
        TableCodec.from_json(raw)
