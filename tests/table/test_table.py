import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.errors import InputError
from dpsynth.schema import Column
from dpsynth.table import Table, split, unit_codes


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def table(**columns: object) -> Table:
    return Table.from_frame(pd.DataFrame(columns))


def column(found: Table, name: str) -> list[object]:
    cells: list[object] = found.column(name).to_pylist()
    return cells


def test_read_finds_the_right_reader(tmp_path: Path):
    frame = pd.DataFrame({"a": [1, 2]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "T.PARQUET")
    from_frame = Table.read(frame)
    assert column(from_frame, "a") == [1, 2]
    assert column(Table.read(tmp_path / "t.csv"), "a") == ["1", "2"]
    assert column(Table.read(str(tmp_path / "T.PARQUET")), "a") == [1, 2]
    assert column(Table.read("sqlite://", query="SELECT 7 AS a"), "a") == [7]
    assert Table.read(from_frame) is from_frame
    assert Table.read(tmp_path / "t.csv").source == str(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("source", "query", "message"),
    [
        ([1, 2], None, "cannot read a table from a list"),
        (pd.DataFrame({"a": [1]}), "SELECT 1", "query is for database URLs"),
        ("t.csv", "SELECT 1", "query is for database URLs"),
        ("t.feather", None, "unknown suffix"),
        ("sqlite://", None, "needs a query"),
    ],
)
def test_read_refuses_what_is_no_table(source: object, query: str | None, message: str):
    with pytest.raises(InputError, match=message):
        Table.read(source, query=query)


def test_printing_shows_no_row_and_no_count():
    found = table(secret=["hidden"] * 1234)
    halves = split(found, unit=None, share=0.5, rng=rng())
    for text in (repr(found), str(found), repr(halves)):
        assert "hidden" not in text
        assert "1234" not in text
        assert str(halves.train.num_rows) not in text


def test_batches_cover_the_rows_in_order():
    found = table(a=list(range(10)))
    batches = list(found.batches(4))
    assert max(batch.num_rows for batch in batches) <= 4
    assert [cell for batch in batches for cell in batch.column("a").to_pylist()] == list(range(10))


def test_take_and_select_leave_the_table_as_it_was():
    found = table(a=[1, 2, 3], b=["x", "y", "z"])
    some = found.take(np.array([2, 0]))
    assert column(some, "b") == ["z", "x"]
    assert found.select(["b"]).names == ("b",)
    assert found.num_rows == 3
    assert found.names == ("a", "b")
    for wrong in (lambda: found.column("aa"), lambda: found.select(["aa"])):
        with pytest.raises(InputError, match=r"no column 'aa' \(did you mean 'a'\?\)"):
            wrong()
    with pytest.raises(AttributeError):
        found.source = "other"  # type: ignore[misc]


def test_cells_are_read_by_kind_and_name_the_row_of_the_source(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text('n,t\n1,"a\nb"\n2,c\nx,d\n', encoding="utf-8")
    found = Table.read(path)
    number = Column(name="n", kind="integer")
    assert found.cells(Column(name="t", kind="categorical")).values.tolist() == ["a\nb", "c", "d"]
    with pytest.raises(InputError, match=r"t\.csv: row 3 \(line 5\), column 'n': 'x'"):
        found.cells(number)
    # A part of a part still names the row of the file.
    part = found.take(np.array([1, 2])).select(["n"]).take(np.array([1]))
    with pytest.raises(InputError, match=r"row 3 \(line 5\)"):
        part.cells(number)
    with pytest.raises(InputError, match="DataFrame: row 1, column 'n'"):
        table(n=["x"]).cells(number)


# ---- units


@pytest.mark.parametrize(
    ("ids", "codes"),
    [
        (["b", "a", "b", " a "], [0, 1, 0, 1]),
        (["a", None, "", " ", "a"], [0, 1, 2, 3, 0]),
        ([3, 1, 3], [0, 1, 0]),
        ([1.0, math.nan, 1.0, math.nan], [0, 1, 0, 2]),
        (pd.array([2**60, None, 2**60 + 1], dtype="Int64"), [0, 1, 2]),
        ([None, None], [0, 1]),
        (pd.to_datetime(["2020-01-02", "2020-01-01", "2020-01-02"]), [0, 1, 0]),
    ],
)
def test_unit_codes(ids: object, codes: list[int]):
    found = unit_codes(table(who=ids), "who")
    assert found.dtype == np.int64
    assert found.tolist() == codes


def test_unit_codes_across_chunks():
    chunked = pa.table({"who": pa.chunked_array([["a", "b"], ["b", "c", ""], ["a"]])})
    assert unit_codes(Table(chunked, "t"), "who").tolist() == [0, 1, 1, 2, 3, 0]


def test_not_a_number_is_no_unit():
    ids = pa.array([1.0, math.nan, math.nan, None, 1.0], from_pandas=False)
    assert unit_codes(Table(pa.table({"who": ids}), "t"), "who").tolist() == [0, 1, 2, 3, 0]


def test_without_a_unit_each_row_is_one():
    assert unit_codes(table(a=[5, 5, 5]), None).tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="no column 'who'"):
        unit_codes(table(a=[5]), "who")


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["a", "b", "c", "", None]), min_size=1, max_size=30))
def test_unit_codes_agree_with_the_slow_twin(ids: list[str | None]):
    known: dict[object, int] = {}
    expected = []
    for row, cell in enumerate(ids):
        expected.append(known.setdefault(cell or ("row", row), len(known)))
    found = unit_codes(Table(pa.table({"who": pa.array(ids, pa.string())}), "t"), "who")
    assert found.tolist() == expected


# ---- split


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 12), min_size=30, max_size=60), st.integers(0, 1000))
def test_no_unit_is_on_both_sides(ids: list[int], seed: int):
    found = table(who=[*ids, *range(20, 40)], row=list(range(len(ids) + 20)))
    halves = split(found, unit="who", share=0.5, rng=rng(seed))
    train, holdout = set(column(halves.train, "who")), set(column(halves.holdout, "who"))
    assert not train & holdout
    rows = np.concatenate([halves.train_rows, halves.holdout_rows])
    assert sorted(rows.tolist()) == list(range(found.num_rows))
    assert column(halves.train, "row") == halves.train_rows.tolist()
    assert column(halves.holdout, "row") == halves.holdout_rows.tolist()
    assert (np.diff(halves.train_rows) > 0).all()
    assert (np.diff(halves.holdout_rows) > 0).all()


def test_the_share_is_the_share_of_held_out_units():
    found = table(a=list(range(20_000)))
    count = split(found, unit=None, share=0.2, rng=rng()).holdout.num_rows
    assert abs(count - 4000) < 5 * math.sqrt(20_000 * 0.2 * 0.8)


def test_a_split_repeats_with_its_seed():
    found = table(a=list(range(100)))
    one, two, other = (split(found, unit=None, share=0.3, rng=rng(s)) for s in (1, 1, 2))
    assert one.train_rows.tolist() == two.train_rows.tolist()
    assert one.train_rows.tolist() != other.train_rows.tolist()


def test_one_more_unit_leaves_the_side_of_the_others_as_it_was():
    """Neighbouring tables split into neighbouring tables: what the DP guarantee rests on."""
    ids = [f"u{i % 40}" for i in range(100)]
    less = split(table(who=ids), unit="who", share=0.5, rng=rng(3))
    more = split(table(who=[*ids, "new", "new"]), unit="who", share=0.5, rng=rng(3))
    assert less.train_rows.tolist() == [row for row in more.train_rows.tolist() if row < 100]
    assert less.holdout_rows.tolist() == [row for row in more.holdout_rows.tolist() if row < 100]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_share_outside_its_range_is_refused(share: float):
    with pytest.raises(InputError, match="must be above 0 and below 1"):
        split(table(a=[1, 2]), unit=None, share=share, rng=rng())


def test_too_few_units_are_refused():
    with pytest.raises(InputError, match="too few privacy units"):
        split(table(who=["a"] * 50), unit="who", share=0.5, rng=rng())
