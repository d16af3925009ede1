"""Readers: frames, Parquet files and databases to one Arrow table of plain cells. PRIVATE rows.

As with `dpsynth.csv_text.read_csv`, each reader returns a table of one column and one row or more,
with distinct names, that holds only text, numbers, booleans, dates and times.
"""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dpsynth.columns import canonical_text
from dpsynth.errors import InputError
from dpsynth.source_checks import check_file, check_names, check_plain, first_line

PARQUET_SUFFIXES = (".parquet", ".pq")
_READING_WORDS = ("select", "with", "values", "table")


def read_parquet(path: Path) -> pa.Table:
    """Read a Parquet file.

    Raises:
        InputError: no such file, not Parquet, or columns that are not plain cells.
    """
    check_file(path)
    try:
        with pq.ParquetFile(path) as file:
            found = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a readable Parquet file ({first_line(error)}); write it again"
        ) from None
    check_names(found.column_names, str(path))
    return check_plain(found, str(path))


def read_frame(frame: pd.DataFrame, source: str) -> pa.Table:
    """Take the columns of a DataFrame.

    Raises:
        InputError: names that are not text, repeated names, or columns that are not plain cells.
    """
    names = list(frame.columns)
    check_names(names, source)
    columns = [_to_arrow(frame[name], name, source) for name in names]
    return check_plain(pa.table(columns, names=names), source)


def read_sql(url: str, query: str | None) -> tuple[pa.Table, str]:
    """Run one reading query and take its result; nothing is ever committed.

    SQLite and PostgreSQL are asked to refuse writes; elsewhere the query is rolled back.

    Returns:
        The table, and words for where it came from that hold no password.

    Raises:
        InputError: a wrong URL, an unreachable database or a wrong query; no password is shown.
    """
    # Imported here: most runs read a file, and SQLAlchemy takes its time.
    import sqlalchemy as sa

    try:
        parsed = sa.engine.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise InputError(
            "the database URL cannot be parsed; write it as dialect://user@host/database"
        ) from None
    source = f"{parsed.drivername}://{parsed.host or ''}/{parsed.database or ''}"
    text = _reading_query(query, source)
    _check_sqlite_file(parsed, source)
    try:
        engine = sa.create_engine(parsed)
        try:
            with engine.connect().execution_options(postgresql_readonly=True) as connection:
                if parsed.get_backend_name() == "sqlite":
                    # Its driver commits what follows a WITH at once, so a rollback comes too late.
                    connection.exec_driver_sql("PRAGMA query_only = ON")
                # No parameters: a colon or a percent sign in the query is the query's own.
                result = connection.exec_driver_sql(text, execution_options={"no_parameters": True})
                names, rows = list(result.keys()), result.all()
                connection.rollback()
        finally:
            engine.dispose()
    except (sa.exc.SQLAlchemyError, ImportError, ValueError, TypeError) as error:
        reason = _without_secrets(first_line(error), parsed)
        raise InputError(f"{source}: the query failed: {reason}; check URL and query") from None
    check_names(names, source)
    columns = [_to_arrow([row[i] for row in rows], name, source) for i, name in enumerate(names)]
    return check_plain(pa.table(columns, names=names), source), source


def _reading_query(query: str | None, source: str) -> str:
    if query is None or not query.strip():
        raise InputError(f"{source}: a database URL needs a query, such as SELECT * FROM people")
    word = query.lstrip(" \t\r\n(").split(None, 1)[0].lower()
    if word not in _READING_WORDS:
        raise InputError(
            f"{source}: the query starts with {word!r}; only queries that read are run: "
            f"{', '.join(w.upper() for w in _READING_WORDS)}"
        )
    return query


def _check_sqlite_file(url: Any, source: str) -> None:
    """Refuse a missing SQLite file, which connecting would make, empty, on the spot."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:":
        return
    if not name.startswith("file:"):
        check_file(Path(name))


def _without_secrets(text: str, url: Any) -> str:
    values = [value for found in url.query.values() for value in _as_texts(found)]
    for secret in (url.password, *values):
        if secret:
            text = text.replace(str(secret), "***")
    return text


def _as_texts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _to_arrow(cells: Any, name: str, source: str) -> pa.Array:
    """Arrow cells of a Series or of a list of Python values; mixed values become text."""
    try:
        found = pa.array(cells, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array(_texts(cells, name, source), type=pa.string())
    if isinstance(found, pa.ExtensionArray) and found.type.extension_name == "arrow.uuid":
        return pa.array(_texts(cells, name, source), type=pa.string())
    return found


def _texts(cells: Sequence[object], name: str, source: str) -> list[str | None]:
    return [_text(cell, name, source) for cell in cells]


def _text(cell: Any, name: str, source: str) -> str | None:
    if cell is None or cell is pd.NA or cell is pd.NaT or cell != cell:
        return None
    if isinstance(cell, uuid.UUID):
        return str(cell)
    if hasattr(cell, "isoformat"):
        return str(cell.isoformat())
    text = canonical_text(cell)
    if text is None:
        raise InputError(
            f"{source}: column {name!r} holds a {type(cell).__name__}; allowed: text, numbers, "
            f"booleans, dates and times; turn it into one of these or drop it"
        )
    return text
