"""Decoding agrees with the codec's own, and a condition keeps what fits and nothing else."""

import numpy as np
import pandas as pd
import pytest

from dpsynth.encoding.binning import Intervals
from dpsynth.encoding.codec import CategoryCodec, NumberCodec
from dpsynth.fitted import FittedModel
from dpsynth.privacy.queries import Grid
from dpsynth.sampling.pieces import pieces_of
from dpsynth.schema import Column


def _number(missing: int | None = None) -> NumberCodec:
    """Codes 0: 0..9, 1: 10 and 12..19, 2: 11, 3: 20..99 in two stretches of unequal weight."""
    return NumberCodec(
        column=Column(name="n", kind="integer", lower=0, upper=99),
        grid=Grid(0.0, 1.0, 100),
        intervals=Intervals(
            np.array([0, 10, 11, 12, 20, 60]),
            np.array([0, 1, 2, 1, 3, 3]),
            np.array([1.0, 0.25, 1.0, 0.75, 0.9, 0.1]),
        ),
        missing=missing,
        fallback=0,
    )


def _category() -> CategoryCodec:
    return CategoryCodec(
        column=Column(name="c", kind="categorical"),
        categories=("x", "y", "z"),
        codes=np.array([1, 0, 1]),
        weights=np.array([0.3, 1.0, 0.7]),
        other=None,
        missing=2,
        fallback=0,
    )


def test_a_table_is_decoded_as_by_the_codec(fitted: FittedModel) -> None:
    """Equal types and missing cells, and shares of values that differ by rounding alone."""
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(0, s, 40_000) for s in fitted.codec.sizes], axis=1)
    reference = fitted.codec.decode(codes, rng=np.random.default_rng(1))
    for j, part in enumerate(fitted.codec.parts):
        made = pieces_of(part).decode(codes[:, j], rng=np.random.default_rng(2))
        expected = reference[part.column.name]
        assert made.dtype == expected.dtype
        assert made.isna().equals(expected.isna())
        if part.column.kind in ("categorical", "boolean"):
            left, right = made.value_counts(), expected.value_counts()
            assert left.sub(right, fill_value=0).abs().max() <= 5


def test_shares_within_a_code_are_met_up_to_rounding() -> None:
    codes = np.repeat([0, 1, 2, 3], 1000)
    made = pieces_of(_number()).decode(codes, rng=np.random.default_rng(0)).to_numpy()
    assert set(made[:1000]) == set(range(10))
    assert abs((made[1000:2000] == 10).sum() - 250) <= 2
    assert set(made[1000:2000]) == {10, *range(12, 20)}
    assert set(made[2000:3000]) == {11}
    assert abs((made[3000:] < 60).sum() - 900) <= 2


def test_points_inside_a_piece_are_even() -> None:
    """Chi-square of 50,000 draws over ten values; alarm rate 1e-6 at 9 degrees of freedom."""
    made = pieces_of(_number()).decode(np.zeros(50_000, dtype=int), rng=np.random.default_rng(0))
    found = np.bincount(made, minlength=10)
    assert float((np.square(found - 5000) / 5000).sum()) < 45


@pytest.mark.parametrize(
    ("ranges", "mass", "values"),
    [
        ([(3, 3)], [0.1, 0, 0, 0], {3}),
        ([(5, 13)], [0.5, 0.25 + 0.75 * 2 / 8, 1, 0], {*range(5, 14)}),
        ([(5, 8), (7, 9), (11, 11)], [0.5, 0, 1, 0], {5, 6, 7, 8, 9, 11}),
        ([(50, 69)], [0, 0, 0, 0.9 / 4 + 0.1 / 4], {*range(50, 70)}),
        ([(98, 99)], [0, 0, 0, 0.1 * 2 / 40], {98, 99}),
        ([], [0, 0, 0, 0], set()),
    ],
)
def test_ranges_keep_the_share_of_each_code_that_fits(
    ranges: list[tuple[int, int]], mass: list[float], values: set[int]
) -> None:
    kept = pieces_of(_number()).within(ranges, missing=False)
    assert kept.mass == pytest.approx(mass)
    possible = np.flatnonzero(kept.mass)
    if len(possible):
        made = kept.decode(np.repeat(possible, 4000), rng=np.random.default_rng(0))
        assert set(made) == values


def test_shares_of_a_code_cut_short_keep_their_proportions() -> None:
    kept = pieces_of(_number()).within([(50, 69)], missing=False)
    made = kept.decode(np.full(10_000, 3), rng=np.random.default_rng(0))
    assert abs((made < 60).mean() - 0.9) < 0.001


def test_missing_values() -> None:
    whole = pieces_of(_number(missing=4))
    assert whole.mass.tolist() == [1, 1, 1, 1, 1]
    made = whole.decode(np.array([4, 0, 4]), rng=np.random.default_rng(0))
    assert made.isna().tolist() == [True, False, True]
    assert made.dtype == "Int64"
    only = whole.within([], missing=True)
    assert only.mass.tolist() == [0, 0, 0, 0, 1]
    assert only.decode(np.array([4, 4]), rng=np.random.default_rng(0)).isna().all()
    both = whole.within([(0, 4)], missing=True)
    assert both.mass.tolist() == [0.5, 0, 0, 0, 1]


def test_categories_that_share_a_code() -> None:
    whole = pieces_of(_category())
    made = whole.decode(np.array([1] * 1000 + [0, 2]), rng=np.random.default_rng(0))
    assert abs((made[:1000] == "x").sum() - 300) <= 2
    assert made[1000] == "y"
    assert made[1001] is None
    x = whole.within([(0, 0)], missing=False)
    assert x.mass == pytest.approx([0, 0.3, 0])
    assert set(x.decode(np.ones(5, dtype=int), rng=np.random.default_rng(0))) == {"x"}


def test_a_column_without_any_category_is_all_missing() -> None:
    part = CategoryCodec(
        column=Column(name="c", kind="categorical"), categories=(),
        codes=np.zeros(0, dtype=np.int64), weights=np.zeros(0),
        other=None, missing=None, fallback=0,
    )  # fmt: skip
    whole = pieces_of(part)
    assert whole.mass.tolist() == [1.0]
    made = whole.decode(np.zeros(3, dtype=int), rng=np.random.default_rng(0))
    assert made.isna().all()


def test_a_large_grid_of_dates_and_of_decimals() -> None:
    last = 86_400 * 365 * 10
    dates = NumberCodec(
        column=Column(name="d", kind="datetime", lower="1970-01-01", upper="1979-12-30"),
        grid=Grid(0.0, 1.0, last),
        intervals=Intervals(np.array([0]), np.array([0]), np.array([1.0])),
        missing=1,
        fallback=0,
    )
    made = pieces_of(dates).decode(np.array([0, 1, 0]), rng=np.random.default_rng(0))
    assert made.isna().tolist() == [False, True, False]
    assert made[0].startswith("197")
    assert len(made[0]) == len("1970-01-01T00:00:00")
    decimals = NumberCodec(
        column=Column(name="x", kind="numeric", lower=0, upper=1e6, decimals=2),
        grid=Grid(0.0, 0.01, 100_000_001),
        intervals=Intervals(np.array([0]), np.array([0]), np.array([1.0])),
        missing=None,
        fallback=0,
    )
    values = pieces_of(decimals).decode(np.zeros(50, dtype=int), rng=np.random.default_rng(0))
    assert np.array_equal(values, values.round(2))
    assert isinstance(values, pd.Series)
    assert values.max() > 5e5
