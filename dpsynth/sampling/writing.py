"""A table written part by part, so that its size is bounded by the disk alone."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dpsynth.errors import InputError
from dpsynth.schema import Column
from dpsynth.writing import atomic_write

_SUFFIXES = (".csv", ".csv.gz", ".parquet")
_TYPES = {
    "integer": pa.int64(),
    "numeric": pa.float64(),
    "boolean": pa.bool_(),
    "identifier": pa.int64(),
    "categorical": pa.string(),
    "datetime": pa.string(),
}


def check_suffix(path: Path) -> None:
    """Refuse what no table can be written to, before rows are drawn.

    Raises:
        InputError: another suffix than .csv, .csv.gz or .parquet.
    """
    if not path.name.lower().endswith(_SUFFIXES):
        raise InputError(
            f"{path}: cannot write a table to suffix {path.suffix!r}; "
            f"allowed: {', '.join(_SUFFIXES)}"
        )


def write_parts(frames: Iterable[pd.DataFrame], path: Path, *, columns: tuple[Column, ...]) -> None:
    """Write frames one below the other, as CSV or Parquet (a row group each), whole or not at all.

    Args:
        frames: parts of one table.
        path: a new file.
        columns: the table's columns, in order; they fix the types, which no single part can.

    Raises:
        InputError: another suffix than .csv, .csv.gz or .parquet, `path` exists, or the disk fails.
    """
    check_suffix(path)
    with atomic_write(path) as beside:
        if path.suffix.lower() == ".parquet":
            _write_parquet(frames, beside, columns)
        else:
            for number, frame in enumerate(frames):
                frame.to_csv(beside, index=False, header=not number, mode="a")


def _write_parquet(frames: Iterable[pd.DataFrame], path: Path, columns: tuple[Column, ...]) -> None:
    schema = _schema(columns)
    with pq.ParquetWriter(path, schema) as writer:
        for frame in frames:
            writer.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False))


def _schema(columns: tuple[Column, ...]) -> pa.Schema:
    """Types of the file, and pandas' own note of what a column with gaps is read back as."""
    empty = pd.DataFrame({c.name: pd.Series([], dtype=_dtype(c)) for c in columns})
    noted = pa.Schema.from_pandas(empty, preserve_index=False).metadata
    return pa.schema([(c.name, _TYPES[c.kind]) for c in columns], metadata=noted)


def _dtype(column: Column) -> str:
    if column.kind in ("integer", "boolean"):
        whole = column.kind == "integer"
        if column.nullable:
            return "Int64" if whole else "boolean"
        return "int64" if whole else "bool"
    return {"numeric": "float64", "identifier": "int64"}.get(column.kind, "object")
