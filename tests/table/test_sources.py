import datetime
import decimal
import sqlite3
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpsynth.errors import InputError
from dpsynth.sources import read_frame, read_parquet, read_sql

DAY = datetime.date(2020, 1, 2)
UUID = uuid.UUID(int=5)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "people.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE people (age INTEGER, name TEXT, photo BLOB, mixed)")
        connection.execute(
            "INSERT INTO people VALUES (1, 'a:b', x'00', 1), (NULL, '%s', NULL, 'x')"
        )
    connection.close()
    return path


def refused_sql(url: str, query: str | None, match: str) -> str:
    with pytest.raises(InputError, match=match) as caught:
        read_sql(url, query)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- frames


def frame_cells(values: object) -> list[object]:
    cells: list[object] = read_frame(pd.DataFrame({"x": values}), "frame")["x"].to_pylist()
    return cells


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        ([1, 2], [1, 2]),
        ([1.5, np.nan], [1.5, None]),
        (["a", None], ["a", None]),
        (pd.Series([True, None], dtype="boolean"), [True, None]),
        (pd.Categorical(["b", "a", None]), ["b", "a", None]),
        (pd.Categorical([3, 1]), [3, 1]),
        ([DAY, None], [DAY, None]),
        (pd.to_datetime(["2020-01-02", None]), [datetime.datetime(2020, 1, 2), None]),
        (pd.Series([1, "a", None, 2.0, True], dtype=object), ["1", "a", None, "2", "true"]),
        (pd.Series(["x", decimal.Decimal("1.50")], dtype=object), ["x", "1.5"]),
        (
            pd.Series(["x", DAY, pd.NaT, np.nan, pd.NA], dtype=object),
            ["x", "2020-01-02", None, None, None],
        ),
        (pd.Series([UUID, None], dtype=object), [str(UUID), None]),
        (pd.Series([10**30, 1], dtype=object), [str(10**30), "1"]),
    ],
)
def test_frames_become_plain_cells(values: object, cells: list[object]):
    assert frame_cells(values) == cells


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1], [2]], "holds list<"),
        ([{"a": 1}, {"a": 2}], "holds struct<"),
        ([b"x", b"y"], "holds binary"),
        (pd.to_timedelta([1, 2], unit="s"), "holds duration"),
        ([datetime.time(1), datetime.time(2)], "holds time64"),
        (pd.Series([1 + 2j]), "holds a complex"),
        (pd.Series([1, "a", b"x"], dtype=object), "holds a bytes"),
        (pd.Series(["a", [1]], dtype=object), "holds a list"),
        (pd.cut(pd.Series([1, 2]), 2), "column 'x' holds"),
        (pd.period_range("2020-01", periods=2, freq="M"), "column 'x' holds"),
    ],
)
def test_columns_that_are_not_cells_are_refused(values: object, message: str):
    with pytest.raises(InputError, match=message) as caught:
        frame_cells(values)
    assert "drop it" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame(), "no columns"),
        (pd.DataFrame({"a": []}), "no rows"),
        (pd.DataFrame([[1, 2]]), "column 1 is named 0, which is not text"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "2 columns are named 'a'"),
        (pd.DataFrame([[1, 2]], columns=["a", " "]), "column 2 has no name"),
    ],
)
def test_frames_with_wrong_names_or_no_rows_are_refused(frame: pd.DataFrame, message: str):
    with pytest.raises(InputError, match=message):
        read_frame(frame, "frame")


def test_the_index_of_a_frame_is_left_out():
    frame = pd.DataFrame({"x": [1, 2]}, index=["row one", "row two"])
    assert read_frame(frame, "frame").to_pydict() == {"x": [1, 2]}


# ---- Parquet


def test_parquet_is_read_with_its_types(tmp_path: Path):
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table({"n": [1, None], "t": pa.array(["a", "b"]).dictionary_encode(), "d": [DAY, DAY]}),
        path,
    )
    assert read_parquet(path).to_pydict() == {"n": [1, None], "t": ["a", "b"], "d": [DAY, DAY]}


def test_string_views_become_text(tmp_path: Path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"t": pa.array(["a", None], pa.string_view())}), path)
    assert read_parquet(path)["t"].type in (pa.string(), pa.large_string())
    assert read_parquet(path).to_pydict() == {"t": ["a", None]}


def test_faulty_parquet_is_refused(tmp_path: Path):
    path = tmp_path / "t.parquet"
    cases: list[tuple[object, str]] = [
        (b"", "the file is empty"),
        (b"PAR1 but not really", "not a readable Parquet file"),
        (pa.table({"x": [[1]]}), "column 'x' holds list"),
        (pa.table({"x": [b"1"]}), "column 'x' holds binary"),
        (pa.table({"x": pa.array([], pa.int64())}), "no rows"),
        (pa.table([[1], [2]], names=["x", "x"]), "2 columns are named 'x'"),
    ]
    for content, message in cases:
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            pq.write_table(content, path)
        with pytest.raises(InputError, match=message):
            read_parquet(path)
    with pytest.raises(InputError, match="no such file"):
        read_parquet(tmp_path / "none.parquet")


def test_a_parquet_file_cut_short_is_refused(tmp_path: Path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": list(range(1000))}), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="not a readable Parquet file"):
        read_parquet(path)


# ---- SQL


def test_a_query_is_read(database: Path):
    url = f"sqlite:///{database}"
    table, source = read_sql(url, "SELECT age, name, mixed FROM people ORDER BY name DESC")
    assert table.to_pydict() == {"age": [1, None], "name": ["a:b", "%s"], "mixed": ["1", "x"]}
    assert source == url
    table, _ = read_sql(url, " \nselect 1 as one ")
    assert table.to_pydict() == {"one": [1]}


def test_colons_and_percent_signs_are_the_querys_own(database: Path):
    query = "SELECT age FROM people WHERE name = 'a:b' OR name LIKE '%:name'"
    assert read_sql(f"sqlite:///{database}", query)[0].to_pydict() == {"age": [1]}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (None, "needs a query"),
        ("  ", "needs a query"),
        ("DROP TABLE people", "starts with 'drop'; only queries that read"),
        ("delete from people", "only queries that read"),
        ("SELECT * FROM nobody", "the query failed: .*no such table: nobody"),
        ("SELECT * FROM None", "no such table: None"),
        ("SELECT age FROM people WHERE age > 10", "no rows"),
        ("SELECT age, age FROM people", "2 columns are named 'age'"),
        ("SELECT photo FROM people", "column 'photo' holds binary"),
    ],
)
def test_wrong_queries_are_refused(database: Path, query: str | None, message: str):
    refused_sql(f"sqlite:///{database}", query, message)


def test_a_query_that_writes_behind_a_reading_word_is_refused(database: Path):
    query = "WITH gone AS (SELECT 1) DELETE FROM people RETURNING age"
    refused_sql(f"sqlite:///{database}", query, "attempt to write a readonly database")
    table, _ = read_sql(f"sqlite:///{database}", "SELECT COUNT(*) AS n FROM people")
    assert table.to_pydict() == {"n": [2]}


def test_a_missing_sqlite_file_is_not_made(tmp_path: Path):
    path = tmp_path / "none.db"
    refused_sql(f"sqlite:///{path}", "SELECT 1", "no such file")
    assert not path.exists()
    assert read_sql("sqlite://", "SELECT 1 AS one")[0].to_pydict() == {"one": [1]}


@pytest.mark.parametrize(
    "url",
    [
        "not-a-dialect://user:hunter2@host/db",
        "postgresql+nodriver://user:hunter2@host/db?sslpassword=hunter2",
        "://user:hunter2@host",
        "sqlite:///file:x?mode=rw&key=hunter2&uri=hunter2",
    ],
)
def test_no_message_shows_a_password(url: str):
    assert "hunter2" not in refused_sql(url, "SELECT 1", "database URL|query failed")


def test_a_drivers_own_message_is_cleaned(database: Path):
    message = refused_sql(f"sqlite:///{database}?timeout=hunter2", "SELECT 1", "query failed")
    assert "***" in message
    assert "hunter2" not in message
