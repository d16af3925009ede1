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

from dpsynth.cells import Cells, parse_cells
from dpsynth.errors import InputError, IntegrityError, SchemaError
from dpsynth.schema import Column, Schema
from dpsynth.table import Table

FORMAT = "dpsynth.schema/1"
LEARNABLE = ("lower", "upper", "categories", "decimals")

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
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else data
        raise IntegrityError(
            f"schema.json: format is {found!r}, this version reads {FORMAT!r}; "
            "verify with the version that made the bundle"
        )
    try:
        return Schema.from_dict({k: v for k, v in data.items() if k not in ("format", "learned")})
    except SchemaError as error:
        raise IntegrityError(f"schema.json: {error}") from error


def outside_domain(table: Path, schema: Schema) -> Iterator[str]:
    """One sentence for each column of a table file that holds a value outside the domain.

    Reads the whole file; 100,000 rows of 15 columns take about a second.
    """
    try:
        rows = Table.read(table)
        schema.check(rows.names, table.name)
    except InputError as error:
        yield str(error)
        return
    for column in schema.columns:
        try:
            cells = parse_cells(rows.column(column.name), column, source=table.name)
        except InputError as error:
            yield str(error)
            continue
        wrong = _outside(cells, column)
        if wrong.any():
            row = int(np.argmax(wrong))
            yield (
                f"{table.name}: row {row + 1}, column {column.name!r}: {cells.values[row]!r} is "
                f"outside the public domain ({_describe(column)})"
            )


def _outside(cells: Cells, column: Column) -> np.ndarray:
    """Mask (n,) of the cells that the domain does not allow; missing cells are judged before."""
    present = ~cells.missing
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
    digits = "" if column.decimals is None else f", at most {column.decimals} decimals"
    return f"{column.lower} to {column.upper}{digits}"
