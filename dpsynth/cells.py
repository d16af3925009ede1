"""Cells read by their declared kind: Arrow arrays in, plain numpy arrays out.

Pure functions of private cells, used inside the trusted core. A cell that does not fit its kind is
bad input: it is named by file, row and column, never dropped or guessed at.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpsynth.columns import MAX_INTEGER, Column, canonical_text
from dpsynth.errors import InputError
from dpsynth.forms import (
    CODE,
    FORMS,
    MISSING_WORDS,
    NUMBER,
    by_chunks,
    cell_forms,
    missing_words,
    typed_floats,
    typed_seconds,
)
from dpsynth.iso_time import format_datetime, parse_iso

__all__ = ["CODE", "FORMS", "Cells", "cell_forms", "format_datetime", "parse_cells"]

_TRUE = ("true", "yes", "t", "y", "1", "1.0")
_FALSE = ("false", "no", "f", "n", "0", "0.0")
_ALLOWED = {
    "integer": f"a whole number within +-{MAX_INTEGER}",
    "numeric": "a finite number",
    "boolean": "true/false, yes/no, t/f, y/n or 1/0",
    "datetime": "an ISO 8601 date such as 2024-12-31 or 2024-12-31T23:59:59",
    "categorical": "text, a number, true or false",
    "identifier": "text, a number, true or false",
}
_GOOD, _MISSING, _BAD = 0, 1, 2


@dataclass(frozen=True)
class Cells:
    """A column's parsed cells. PRIVATE.

    Attributes:
        values: shape (n,). float64 for integer, numeric, boolean (0 or 1) and datetime (seconds
            since 1970-01-01, UTC where a zone was given), 0.0 where missing; object array of
            canonical text for categorical and identifier, "" where missing.
        missing: bool of shape (n,).
    """

    values: np.ndarray
    missing: np.ndarray


def parse_cells(
    array: pa.Array | pa.ChunkedArray,
    column: Column,
    *,
    source: str,
    first_row: int = 0,
    place: Callable[[int], str] | None = None,
    strict: bool = True,
) -> Cells:
    """Read a column's cells by its declared kind.

    Args:
        array: Arrow cells of shape (n,), of any type that a `Table` holds.
        column: the declaration; its bounds and categories are not applied here.
        source: the file's name, for messages.
        first_row: 0-based row of the table at which `array` starts, for messages.
        place: words for the place of the i-th cell of `array`, where they are not "row
            ``first_row + i + 1``".
        strict: False where the kind was learned and not declared: a cell that does not fit then
            counts as missing, since an error would tell of a single row.

    Raises:
        InputError: a cell that does not fit the kind, or a missing one where the column is not
            nullable; names the first such row.
    """
    reader = _READERS[column.kind]
    found = by_chunks(array, reader)
    values, state = found["value"], found["state"]
    if not strict:
        return Cells(values=np.ascontiguousarray(values), missing=state != _GOOD)
    refused = state == _BAD
    if not column.nullable:
        refused |= state == _MISSING
    if refused.any():
        index = int(np.argmax(refused))
        where = place(index) if place else f"row {first_row + index + 1}"
        raise InputError(_complaint(array[index].as_py(), column, f"{source}: {where}"))
    return Cells(values=np.ascontiguousarray(values), missing=state == _MISSING)


def _complaint(value: object, column: Column, where: str) -> str:
    text = repr(value if isinstance(value, str) or value is None else str(value))
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    label = f"{where}, column {column.name!r}"
    if not column.nullable and (value is None or str(value).strip().lower() in MISSING_WORDS):
        return (
            f"{label}: the value is missing, and the schema says nullable = false; "
            f"fill it in or remove nullable = false"
        )
    return (
        f"{label}: {shown} does not fit kind {column.kind!r}; allowed: {_ALLOWED[column.kind]}; "
        f"mend the cell or declare another kind"
    )


def _result(values: np.ndarray, missing: np.ndarray, good: np.ndarray) -> np.ndarray:
    """One record array of values and states, so that both can be spread over rows together."""
    out = np.zeros(len(values), dtype=[("value", values.dtype), ("state", np.int8)])
    state = np.where(missing, _MISSING, np.where(good, _GOOD, _BAD))
    out["value"] = np.where(state == _GOOD, values, "" if values.dtype == object else 0.0)
    out["state"] = state
    return out


def _read_numeric(array: pa.Array) -> np.ndarray:
    values, missing, good = _numbers(array)
    return _result(values, missing, good)


def _read_integer(array: pa.Array) -> np.ndarray:
    values, missing, good = _numbers(array)
    with np.errstate(invalid="ignore"):
        whole = np.floor(values) == values
    return _result(values, missing, good & whole & (np.abs(values) <= MAX_INTEGER))


def _numbers(array: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, missing and fitting, each of shape (n,); values finite everywhere."""
    kind, size = array.type, len(array)
    if _is_text(kind):
        missing = missing_words(array)
        texts = pc.utf8_trim_whitespace(array)
        good = np.asarray(pc.fill_null(pc.match_substring_regex(texts, NUMBER), False))
        plain = pc.if_else(pa.array(good), pc.utf8_ltrim(texts, characters="+"), "0")
        values = np.asarray(plain.cast(pa.float64()))
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = typed_floats(array)
        missing = np.isnan(values)
        good = ~missing
    else:
        missing = np.asarray(array.is_null())
        return np.zeros(size), missing, np.zeros(size, dtype=bool)
    good = good & np.isfinite(values)
    return np.where(good, values, 0.0) + 0.0, missing, good  # + 0.0 turns -0.0 into 0.0


def _read_boolean(array: pa.Array) -> np.ndarray:
    kind = array.type
    if pa.types.is_boolean(kind):
        missing = np.asarray(array.is_null())
        return _result(np.asarray(pc.fill_null(array, False), dtype=np.float64), missing, ~missing)
    if not _is_text(kind):
        values, missing, good = _numbers(array)
        return _result(values, missing, good & np.isin(values, (0.0, 1.0)))
    words = pc.utf8_lower(pc.utf8_trim_whitespace(array))
    true = np.asarray(pc.is_in(words, value_set=pa.array(_TRUE, type=kind)))
    false = np.asarray(pc.is_in(words, value_set=pa.array(_FALSE, type=kind)))
    return _result(true.astype(np.float64), missing_words(array), true | false)


def _read_datetime(array: pa.Array) -> np.ndarray:
    kind, size = array.type, len(array)
    if _is_text(kind):
        seconds, valid = parse_iso(pc.fill_null(pc.utf8_trim_whitespace(array), ""))
        return _result(seconds, missing_words(array), valid)
    missing = np.asarray(array.is_null())
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _result(typed_seconds(array), missing, ~missing)
    return _result(np.zeros(size), missing, np.zeros(size, dtype=bool))


def _read_text(array: pa.Array) -> np.ndarray:
    kind = array.type
    if _is_text(kind):
        texts = np.asarray(pc.fill_null(array, "").to_numpy(zero_copy_only=False), dtype=object)
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        texts = _temporal_texts(array)
    else:
        texts = np.empty(len(array), dtype=object)
        texts[:] = [_cell_text(value) for value in array.to_pylist()]
    bad = np.array([text is None for text in texts], dtype=bool)
    missing = texts == ""
    return _result(np.where(bad, "", texts), missing, ~bad)


def _cell_text(value: object) -> str | None:
    """Canonical text of one typed cell: "" if missing, None if it cannot be a category."""
    if value is None or value != value:
        return ""
    return canonical_text(value)


def _temporal_texts(array: pa.Array) -> np.ndarray:
    """ISO text of each date or time, "" where null; at midnight the day alone."""
    seconds, forms = typed_seconds(array), cell_forms(array)
    texts = np.where(
        forms == CODE["date"],
        format_datetime(seconds, "day"),
        format_datetime(seconds, "second"),
    )
    return np.where(forms == CODE["missing"], "", texts).astype(object)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


_READERS: dict[str, Callable[[pa.Array], np.ndarray]] = {
    "integer": _read_integer,
    "numeric": _read_numeric,
    "boolean": _read_boolean,
    "datetime": _read_datetime,
    "categorical": _read_text,
    "identifier": _read_text,
}
