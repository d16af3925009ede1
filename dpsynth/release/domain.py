"""The public domain of a released table: as a file, and as a check of every value.

`schema.json` is the schema in its usual layout, what was learned under the budget filled in, plus
the list of what was learned. A value outside that domain can only come from the private rows, so a
single one is a leak.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dpsynth.cells import Cells, parse_cells
from dpsynth.errors import InputError, IntegrityError, SchemaError
from dpsynth.release.canonical import check_format
from dpsynth.schema import Column, Schema
from dpsynth.source_checks import check_file
from dpsynth.table import Table

FORMAT = "dpsynth.schema/1"
LEARNABLE = ("lower", "upper", "categories", "decimals")

#: Most that is read of a table in somebody else's bundle.
MAX_CELLS = 500_000_000
MAX_TABLE_BYTES = 16 * 2**30

#: Relative slack of a bound: a decimal number and its text may differ in the last bit.
SLACK = 1e-9


def learned_fields(schema: Schema, declared: Schema | None) -> dict[str, list[str]]:
    """Which fields of which columns of `schema` the owner had not declared."""
    known = {} if declared is None else {column.name: column for column in declared.columns}
    learned: dict[str, list[str]] = {}
    for column in schema.columns:
        before = known.get(column.name)
        fields = [
            field
            for field in LEARNABLE
            if getattr(column, field) is not None
            and (before is None or getattr(before, field) is None)
        ]
        if fields:
            learned[column.name] = fields
    return learned


def without_learned(schema: Schema, learned: Mapping[str, list[str]]) -> Schema:
    """The schema with every learned field taken out again: what the owner declared."""
    columns = []
    for column in schema.columns:
        open_fields: dict[str, Any] = dict.fromkeys(learned.get(column.name, ()))
        columns.append(replace(column, **open_fields))
    return replace(schema, columns=tuple(columns))


def domain_json(schema: Schema, learned: Mapping[str, list[str]]) -> dict[str, Any]:
    """The content of `schema.json`."""
    return {
        "format": FORMAT,
        **schema.to_dict(),
        "learned": {name: list(fields) for name, fields in learned.items()},
    }


def read_domain(data: Any) -> Schema:
    """The schema in the content of `schema.json`.

    Raises:
        IntegrityError: another format, or not a schema.
    """
    check_format(data, known=FORMAT, name="schema.json")
    try:
        return Schema.from_dict({k: v for k, v in data.items() if k not in ("format", "learned")})
    except SchemaError as error:
        raise IntegrityError(f"schema.json: {error}") from error


def read_learned(data: Any, schema: Schema) -> dict[str, list[str]]:
    """Which fields of which columns were learned, from the content of `schema.json`.

    Raises:
        IntegrityError: it names what the schema does not have.
    """
    learned = data.get("learned") if isinstance(data, dict) else None
    known = {column.name: column for column in schema.columns}
    fits = isinstance(learned, dict) and all(
        name in known
        and isinstance(fields, list)
        and bool(fields)
        and all(field in LEARNABLE and getattr(known[name], field) is not None for field in fields)
        for name, fields in learned.items()
    )
    if not fits or not isinstance(learned, dict):
        raise IntegrityError(
            "schema.json: 'learned' must name fields that its columns have; it was cut short or "
            "changed, ask for it again"
        )
    return learned


def outside_domain(table: Path, schema: Schema) -> Iterator[str]:
    """One sentence for each column of a table file that holds a value outside the domain.

    Reads the whole file; 100,000 rows of 15 columns take about a second.
    """
    try:
        rows = read_stranger(table)
    except InputError as error:
        yield str(error)
        return
    yield from values_outside(rows, schema, table.name)


def values_outside(rows: Table, schema: Schema, name: str) -> Iterator[str]:
    """The same for rows that were read; `name` is their file's, for messages."""
    try:
        schema.check(rows.names, name)
    except InputError as error:
        yield str(error)
        return
    for column in schema.columns:
        try:
            cells = parse_cells(rows.column(column.name), column, source=name)
        except InputError as error:
            yield str(error)
            continue
        wrong = _outside(cells, column)
        if wrong.any():
            row = int(np.argmax(wrong))
            yield (
                f"{name}: row {row + 1}, column {column.name!r}: {cells.values[row]!r} is "
                f"outside the public domain ({_describe(column)})"
            )


def read_stranger(path: Path) -> Table:
    """A table file from somebody else's bundle.

    Raises:
        InputError: not a table, or one whose few bytes stand for more than a machine can hold: runs
            of equal cells make that possible in Parquet.
    """
    if path.suffix == ".parquet":
        _refuse_absurd(path)
    return Table.read(path)


def _refuse_absurd(path: Path) -> None:
    """Read the sizes that a Parquet file claims, before any of its cells is read."""
    check_file(path)
    try:
        with pq.ParquetFile(path) as file:
            about = file.metadata
            groups = [about.row_group(index) for index in range(about.num_row_groups)]
            size = sum(group.total_byte_size for group in groups)
            rows = max(about.num_rows, sum(group.num_rows for group in groups))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path.name}: not a readable Parquet file ({reason})") from error
    cells = rows * about.num_columns
    if size > MAX_TABLE_BYTES or cells > MAX_CELLS:
        raise InputError(
            f"{path.name}: claims {rows} rows of {about.num_columns} columns and {size} bytes "
            f"unpacked; at most {MAX_CELLS} cells and {MAX_TABLE_BYTES} bytes are read"
        )


def _outside(cells: Cells, column: Column) -> np.ndarray:
    """Mask (n,) of the cells that the domain does not allow; missing cells are judged before."""
    present = ~cells.missing
    if column.kind == "identifier":
        # Made afresh, row by row: any other could be a real person's.
        return np.array([value != str(n) for n, value in enumerate(cells.values, 1)], dtype=bool)
    if column.categories is not None:
        return present & ~np.isin(cells.values, np.array(column.categories, dtype=object))
    lower, upper = column.bounds
    slack = SLACK if column.kind == "numeric" else 0.0
    wrong = np.zeros(len(present), dtype=bool)
    if lower is not None:
        wrong |= cells.values < lower - slack * max(1.0, abs(lower))
    if upper is not None:
        wrong |= cells.values > upper + slack * max(1.0, abs(upper))
    if column.decimals is not None:
        off = np.abs(np.round(cells.values, column.decimals) - cells.values)
        wrong |= off > SLACK * np.maximum(1.0, np.abs(cells.values))
    return present & wrong


def _describe(column: Column) -> str:
    if column.categories is not None:
        return f"one of {len(column.categories)} categories"
    if column.kind == "identifier":
        return "identifiers are made afresh: 1, 2, 3 in the order of the rows"
    digits = "" if column.decimals is None else f", at most {column.decimals} decimals"
    return f"{column.lower} to {column.upper}{digits}"
