"""A sketch knows a row by its values: any spelling, order or file, and nothing else."""

import base64
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.errors import InputError
from dpsynth.privacy.sketch import MOST_HASHES, RowSketch, row_hashes, sketch_of
from dpsynth.table import Table

QUICK = settings(derandomize=True, deadline=None, max_examples=25)
COLUMNS = ("a", "b", "c", "d", "e")

row_of = st.tuples(
    st.one_of(st.integers(-(10**6), 10**6), st.none()),
    st.one_of(st.floats(-1e9, 1e9).map(lambda x: round(x, 6)), st.none()),
    st.one_of(st.sampled_from(["x", "Köln", "a,b", "North east"]), st.none()),
    st.one_of(st.booleans(), st.none()),
    st.one_of(
        st.datetimes(datetime.datetime(1950, 1, 1), datetime.datetime(2050, 1, 1)).map(
            lambda t: t.replace(microsecond=0)
        ),
        st.none(),
    ),
)
rows_of = st.lists(row_of, min_size=1, max_size=15)


def typed(rows: list[tuple[Any, ...]]) -> Table:
    """The rows in columns of their own types, as a Parquet file would have them."""
    kinds = (pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.timestamp("us"))
    cells = zip(*rows, strict=True)
    arrays = [pa.array(list(cell), type=kind) for cell, kind in zip(cells, kinds, strict=True)]
    return Table(pa.table(arrays, names=list(COLUMNS)), "typed")


def hashes(table: Table) -> list[int]:
    return [int(h) for h in row_hashes(table, COLUMNS)]


@QUICK
@given(rows=rows_of)
def test_a_row_has_one_hash_however_it_is_saved(
    rows: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("sketch")
    table = typed(rows)
    frame = table._cells.to_pandas()  # ints with gaps become floats, as everybody's do
    frame.to_csv(folder / "t.csv", index=False)
    again = pd.read_csv(folder / "t.csv")
    again[list(COLUMNS[::-1])].to_csv(folder / "again.csv", index=False)
    frame.to_parquet(folder / "t.parquet")
    expected = hashes(table)
    for other in (
        Table.from_frame(frame),
        Table.read(folder / "t.csv"),
        Table.read(folder / "again.csv"),
        Table.read(folder / "t.parquet"),
        Table.from_frame(again),
    ):
        assert hashes(other) == expected


@QUICK
@given(rows=rows_of, odd=st.sampled_from(["x", "2020-01-01", "true", "1e3", "", "1e999", "\ud800"]))
def test_a_row_s_hash_does_not_depend_on_other_rows(rows: list[tuple[Any, ...]], odd: str) -> None:
    """A text in a column of numbers makes all of it text: the other rows must not change."""
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype(object)
    alone = hashes(Table.from_frame(frame))
    if odd == "\ud800":
        odd = "\ufffd"
    mixed = pd.concat([frame, pd.DataFrame([[odd] * 5], columns=list(COLUMNS))])
    assert hashes(Table.from_frame(mixed))[:-1] == alone


@QUICK
@given(rows=st.lists(row_of, min_size=2, max_size=15, unique=True))
def test_other_values_have_other_hashes(rows: list[tuple[Any, ...]]) -> None:
    # 0 and -0.0 are one value, as are True and the text "true" (not drawn here).
    assert len(set(hashes(typed(rows)))) == len(set(rows))


@pytest.mark.parametrize(
    ("one", "other"),
    [("12", "12.0"), ("12", 12), (" 12 ", 12.0), ("NaN", None), ("", None), ("True", True)],
)
def test_spellings_of_one_value(one: object, other: object) -> None:
    tables = [Table.from_frame(pd.DataFrame({"a": [cell, "x"]})) for cell in (one, other)]
    first, second = (row_hashes(table, ["a"])[0] for table in tables)
    assert first == second


@pytest.mark.parametrize(("one", "other"), [("12", "13"), ("a", "A"), (None, "0"), ("1", "true")])
def test_values_that_differ(one: object, other: object) -> None:
    tables = [Table.from_frame(pd.DataFrame({"a": [cell, "x"]})) for cell in (one, other)]
    first, second = (row_hashes(table, ["a"])[0] for table in tables)
    assert first != second


def test_names_of_columns_count() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [2, 1]})
    swapped = frame.rename(columns={"a": "b", "b": "a"})
    tables = [Table.from_frame(table) for table in (frame, swapped)]
    first, second = (row_hashes(table, ["a", "b"]) for table in tables)
    assert first[0] == second[1]
    assert first[0] != second[0]


def test_a_sketch_keeps_the_smallest_hashes_of_rows_that_occur_once() -> None:
    values = np.r_[np.arange(6000), np.arange(500), np.arange(100)]
    table = Table.from_frame(pd.DataFrame({"id": np.arange(len(values)), "a": values}))
    sketch = sketch_of(table, ["a"])
    assert (sketch.rows, sketch.singles, sketch.doubles) == (6600, 5500, 500)
    assert len(sketch.hashes) == MOST_HASHES
    every = np.sort(row_hashes(table, ["a"])[500:6000])
    assert np.array_equal(np.setdiff1d(every, row_hashes(table, ["a"])[:500])[:4096], sketch.hashes)
    assert sketch.rate == pytest.approx(4096 / 5500)
    assert "hashes" not in repr(sketch)
    shuffled = table.take(np.random.default_rng(0).permutation(6600))
    assert sketch_of(shuffled, ["a"]).to_text() == sketch.to_text()


def test_a_sketch_is_read_back(tmp_path: Path) -> None:
    table = Table.from_frame(pd.DataFrame({"a": range(100), "b": ["ä"] * 100}))
    sketch = sketch_of(table, ["b", "a"])
    again = RowSketch.from_text(sketch.to_text())
    assert again.columns == ("a", "b")
    assert (again.rows, again.singles, again.doubles) == (100, 100, 0)
    assert np.array_equal(again.hashes, sketch.hashes)
    assert again.is_telling
    assert not sketch_of(table, ["b"]).is_telling


def backwards(hashes: str) -> str:
    turned = np.frombuffer(base64.b64decode(hashes), "<u8")[::-1]
    return base64.b64encode(turned.tobytes()).decode("ascii")


BREAKS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "format": (lambda d: d.update(format="dpsynth.sketch/9"), "this version reads"),
    "columns": (lambda d: d.update(columns="a"), "no list of names"),
    "no columns": (lambda d: d.update(columns=[]), "not the smallest"),
    "count": (lambda d: d.update(rows=-1), "cut short"),
    "truth": (lambda d: d.update(singles=True), "cut short"),
    "bytes": (lambda d: d.update(hashes=d["hashes"][:-4]), "cut short"),
    "order": (lambda d: d.update(hashes=backwards(d["hashes"])), "not the smallest"),
    "too few": (lambda d: d.update(singles=99), "not the smallest"),
    "too many": (lambda d: d.update(doubles=1), "more than"),
    "missing": (lambda d: d.pop("rows"), "not the JSON"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_sketch_is_refused(name: str) -> None:
    change, message = BREAKS[name]
    data = json.loads(sketch_of(Table.from_frame(pd.DataFrame({"a": range(60)})), ["a"]).to_text())
    change(data)
    with pytest.raises(InputError, match=message):
        RowSketch.from_text(json.dumps(data))


@pytest.mark.parametrize("text", ["", "7", "[]", "null", "{" * 100_000, "\x00"])
def test_what_is_no_sketch_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="note the release anew"):
        RowSketch.from_text(text)
