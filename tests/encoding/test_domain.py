"""Learning the domain end to end: planted tables in, a public codec out."""

import numpy as np
import pandas as pd
import pytest

from dpsynth.cells import FORMS
from dpsynth.encoding.codec import CategoryCodec, NumberCodec
from dpsynth.encoding.domain import Domain, _grid, learn, voted_kind
from dpsynth.plan import OpenColumn, PlannedColumn, make_plan
from dpsynth.privacy.curator import Answer, Curator
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.noise import seeded_noise
from dpsynth.privacy.rows import PrivateRows
from dpsynth.schema import Column
from dpsynth.table import Table

ROWS = 6_000


def _learn(
    frame: pd.DataFrame, columns: tuple[PlannedColumn, ...], *, epsilon: float = 20.0
) -> tuple[Domain, pd.DataFrame]:
    """The learned domain, and the table encoded and decoded by it."""
    rng = np.random.default_rng(0)
    plan = make_plan(columns, epsilon=epsilon, delta=1e-5)
    book = Ledger.open("sqlite://", dataset="t", epsilon=epsilon, delta=1e-5)
    rows = PrivateRows(Table.from_frame(frame), unit=None, max_rows_per_unit=1, rng=rng)
    reserved = book.reserve(plan.charges, release="r")
    domain = learn(
        Curator(rows, reservation=reserved, noise=seeded_noise(1)), plan, rows=float(len(frame))
    )
    codes = rows.codes(domain.codec)
    assert all(p.sum() == pytest.approx(1.0) and p.min() >= 0 for p in domain.one_way)
    assert tuple(map(len, domain.one_way)) == domain.codec.sizes
    assert len(domain.notes) == len(columns)
    assert np.all((codes >= 0) & (codes < np.array(domain.codec.sizes)))
    return domain, domain.codec.decode(codes, rng=rng)


def _frame() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    days = pd.Timestamp("2021-03-01") + pd.to_timedelta(rng.integers(0, 700, ROWS), unit="D")
    gain = np.where(rng.random(ROWS) < 0.3, 0, rng.integers(1, 90_000, ROWS))
    price = np.round(rng.uniform(5, 900, ROWS), 2)
    price[rng.random(ROWS) < 0.15] = np.nan
    return pd.DataFrame(
        {
            "gain": gain,
            "price": price,
            "day": days.strftime("%Y-%m-%d"),
            "moment": (
                pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 10**7, ROWS), unit="s")
            ).strftime("%Y-%m-%dT%H:%M:%S"),
            "flag": rng.choice(["true", "false"], ROWS),
            "town": rng.choice(["ayr", "bonn", "cork"], ROWS, p=[0.6, 0.3, 0.1]),
        }
    )


def test_an_open_table_is_learned_and_comes_back() -> None:
    frame = _frame()
    domain, back = _learn(frame, tuple(OpenColumn(name) for name in frame.columns))
    kinds = {c.name: c.kind for c in domain.codec.columns}
    assert kinds == {
        "gain": "integer",
        "price": "numeric",
        "day": "datetime",
        "moment": "datetime",
        "flag": "boolean",
        "town": "categorical",
    }
    assert (back["gain"] == 0).mean() == pytest.approx((frame["gain"] == 0).mean(), abs=0.01)
    assert back["gain"].dtype.kind in "iu"
    assert back["price"].isna().mean() == pytest.approx(0.15, abs=0.02)
    present = back["price"].dropna()
    assert np.array_equal(present, np.round(present, 2))
    assert (present * 100 % 10 > 0.5).mean() > 0.7  # the second digit is used
    assert back["day"].str.fullmatch(r"\d{4}-\d\d-\d\d").all()
    assert back["moment"].str.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d").all()
    assert back["flag"].dtype == bool
    assert set(back["town"]) == {"ayr", "bonn", "cork"}  # "other" is not made up
    shares = back["town"].value_counts(normalize=True)
    assert shares["ayr"] == pytest.approx((frame["town"] == "ayr").mean(), abs=0.01)
    assert abs(back["gain"].mean() - frame["gain"].mean()) < 0.05 * frame["gain"].mean()


def test_bounds_are_learned_within_a_factor_of_two() -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.uniform(-300, 5000, ROWS).round(1)})
    domain, _ = _learn(frame, (Column(name="x", kind="numeric", decimals=1),))
    part = domain.codec.parts[0]
    assert isinstance(part, NumberCodec)
    lower, upper = part.grid.value(np.array([0, part.grid.size - 1]))
    assert -600 <= lower <= -150
    assert 5000 <= upper <= 10_000


def test_rare_categories_share_a_code_and_keep_their_names() -> None:
    rng = np.random.default_rng(4)
    rare = tuple(f"r{i}" for i in range(8))
    common = rng.choice(["a", "b"], ROWS - 8)
    frame = pd.DataFrame({"g": [*common, *rare]})
    declared = Column(name="g", kind="categorical", categories=("a", "b", *rare), nullable=False)
    domain, back = _learn(frame, (declared,))
    part = domain.codec.parts[0]
    assert isinstance(part, CategoryCodec)
    assert part.categories == ("a", "b", *rare)
    assert len(set(part.codes[2:])) == 1
    assert part.size == 3
    assert set(back["g"]) <= {"a", "b", *rare}


def test_undeclared_and_rare_values_count_as_other() -> None:
    rng = np.random.default_rng(5)
    private = [f"secret-{i}" for i in range(1_000)]
    frame = pd.DataFrame({"g": [*rng.choice(["a", "b"], ROWS - 1_000), *private]})
    for column in (
        Column(name="g", kind="categorical", categories=("a", "b")),
        Column(name="g", kind="categorical"),
    ):
        domain, back = _learn(frame, (column,))
        assert set(back["g"]) == {"a", "b", "other"}
        assert (back["g"] == "other").mean() == pytest.approx(1 / 6, abs=0.01)
        assert "secret" not in str(domain.codec.to_json())


def test_a_column_of_missing_values_stays_missing() -> None:
    frame = pd.DataFrame({"x": [""] * ROWS, "y": np.arange(ROWS)})
    _, back = _learn(frame, (OpenColumn("x"), Column(name="n", kind="integer"))[:1])
    assert back["x"].isna().all()
    _, back = _learn(frame, (Column(name="x", kind="integer"),))
    assert back["x"].isna().all()


@pytest.mark.parametrize(
    ("votes", "kind"),
    [
        ({"integer": 1000}, "integer"),
        ({"integer": 500, "decimal_2": 500}, "numeric"),
        ({"float": 1000}, "numeric"),
        ({"boolean": 900, "integer": 100}, "boolean"),
        ({"date": 1000}, "datetime"),
        ({"datetime": 700, "date": 300}, "datetime"),
        ({"text": 1000}, "categorical"),
        ({"integer": 970, "text": 30}, "categorical"),
        ({"integer": 995, "text": 5}, "integer"),
        ({"missing": 1000}, "categorical"),
        ({"missing": 900, "integer": 100}, "integer"),
    ],
)
def test_the_voted_kind(votes: dict[str, float], kind: str) -> None:
    values = np.array([float(votes.get(form, 0.0)) for form in FORMS])
    assert voted_kind(Answer(values, 1.0)) == kind


@pytest.mark.parametrize(
    ("column", "lower", "upper"),
    [
        (Column(name="x", kind="numeric", decimals=2), 0.125, 8.0),
        (Column(name="x", kind="numeric", decimals=9), -1.5e308, 1.5e308),
        (Column(name="x", kind="numeric", decimals=9), 1e300, 1e300),
        (Column(name="x", kind="numeric", decimals=0), 0.5, 1.0),
        (Column(name="x", kind="integer"), -(2.0**53), 2.0**53),
        (Column(name="x", kind="datetime"), 0.0, 4e9),
    ],
)
def test_grids_are_aligned_to_their_step_and_end(
    column: Column, lower: float, upper: float
) -> None:
    grid = _grid(column, lower, upper, None)
    assert 1 <= grid.size <= 2**54
    assert grid.lower / grid.step == pytest.approx(round(grid.lower / grid.step), abs=0.25)
    ends = grid.value(np.array([0, grid.size - 1]))
    assert np.all(np.isfinite(ends))
    low, high = np.clip([lower, upper], -1e300, 1e300)
    assert low - 2 * grid.step <= ends[0] <= ends[1] <= high + 2 * grid.step
    assert grid.index(np.array([-1.7e308, 1.7e308])).tolist() == [0, grid.size - 1]
