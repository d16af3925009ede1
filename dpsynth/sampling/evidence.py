"""Conditions on columns: from the texts of `where` to the part of each column's domain that fits.

A condition is one value, or several separated by `|`; each of them a value as the table shows it,
"" for a missing one, or for numbers and dates a range `low..high` with one end or both. A text that
is a category is that category, whatever signs are in it.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from dpsynth.columns import nearest
from dpsynth.encoding.codec import DAY, CategoryCodec, ColumnCodec, NumberCodec
from dpsynth.errors import InputError
from dpsynth.iso_time import format_datetime, is_date_only, iso_seconds
from dpsynth.sampling.pieces import Pieces, pieces_of

OR, TO = "|", ".."


def read_evidence(
    parts: Sequence[ColumnCodec], names: Sequence[str], where: Mapping[str, str]
) -> dict[int, Pieces]:
    """For each column number under a condition the pieces of its domain that fit.

    Args:
        parts: the modelled columns' codecs, in order.
        names: the table's columns, identifiers among them.
        where: conditions by column name.

    Raises:
        InputError: a column that is not modelled, a value outside its domain, or one that the
            model never makes.
    """
    numbers = {part.column.name: j for j, part in enumerate(parts)}
    found = {}
    for name, text in where.items():
        if name not in numbers:
            why = "is an identifier, made afresh" if name in names else "is not in the model"
            raise InputError(
                f"where: column {name!r} {why}{nearest(name, tuple(numbers))}; "
                f"it has {', '.join(numbers)}"
            )
        if not isinstance(text, str):
            raise InputError(f"where: column {name!r}: {text!r} is no text; give the value's text")
        column = numbers[name]
        found[column] = _fitting(parts[column], text)
    return found


def _fitting(part: ColumnCodec, text: str) -> Pieces:
    literal = isinstance(part, CategoryCodec) and _category_number(part, text) is not None
    texts = [text] if literal else text.split(OR)
    read = _category if isinstance(part, CategoryCodec) else _points
    missing = "" in texts
    if missing and part.missing is None:
        raise InputError(f"where: column {part.column.name!r} has no missing values; give a value")
    pieces = pieces_of(part).within([read(part, t) for t in texts if t], missing=missing)
    if not pieces.mass.any():
        raise InputError(
            f"where: column {part.column.name!r}: the model gives {text!r} no chance at all; "
            "ask for another value or a wider range"
        )
    return pieces


def _category_number(part: CategoryCodec, text: str) -> int | None:
    value = text.lower() if part.column.kind == "boolean" else text
    return part.categories.index(value) if value in part.categories else None


def _category(part: ColumnCodec, text: str) -> tuple[int, int]:
    if not isinstance(part, CategoryCodec):
        raise TypeError(f"column {part.column.name!r} has no categories")
    number = _category_number(part, text)
    if number is None:
        known = ("true", "false") if part.column.kind == "boolean" else part.categories
        raise InputError(
            f"where: column {part.column.name!r} has no value {text!r}{nearest(text, known)}; "
            f"allowed: {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}"
        )
    return number, number


def _points(part: ColumnCodec, text: str) -> tuple[int, int]:
    """First and last grid point of a value or a range."""
    if not isinstance(part, NumberCodec):
        raise TypeError(f"column {part.column.name!r} has no grid")
    low, to, high = text.partition(TO)
    return _range(part, low.strip(), high.strip(), text) if to else _point(part, text)


def _range(part: NumberCodec, low: str, high: str, text: str) -> tuple[int, int]:
    grid, slack = part.grid, 1e-6
    first, last = 0.0, float(grid.size - 1)
    if low:
        first = np.ceil((_number(part, low) - grid.lower) / grid.step - slack)
    if high:
        # A day as the upper end is meant whole.
        day = part.column.kind == "datetime" and is_date_only(high)
        top = _number(part, high) + (DAY - 1.0 if day else 0.0)
        last = np.floor((top - grid.lower) / grid.step + slack)
    if first > last or first > grid.size - 1 or last < 0:
        raise InputError(
            f"where: column {part.column.name!r} has no value in {text!r}; allowed: "
            f"{allowed_numbers(part)}"
        )
    return int(max(first, 0)), int(min(last, grid.size - 1))


def _point(part: NumberCodec, text: str) -> tuple[int, int]:
    value, grid = _number(part, text), part.grid
    point = grid.index(np.array([value]))
    near = float(grid.value(point)[0])
    if abs(near - value) > 1e-6 * grid.step:
        raise InputError(
            f"where: column {part.column.name!r} has no value {text!r}; "
            f"nearest: {_shown(part, near)}, allowed: {allowed_numbers(part)}"
        )
    return int(point[0]), int(point[0])


def _number(part: NumberCodec, text: str) -> float:
    dates = part.column.kind == "datetime"
    try:
        value = iso_seconds(text) if dates else float(text)
    except ValueError:
        value = None
    if value is None or not np.isfinite(value):
        kind = "an ISO 8601 date" if dates else "a number"
        raise InputError(f"where: column {part.column.name!r}: {text!r} is not {kind}; give one")
    return value


def allowed_numbers(part: NumberCodec) -> str:
    """What a numeric column can hold, in words."""
    low, high = part.grid.value(np.array([0, max(part.grid.size - 1, 0)]))
    unit = " seconds" if part.column.kind == "datetime" else ""
    return f"{_shown(part, low)} to {_shown(part, high)} in steps of {part.grid.step:g}{unit}"


def _shown(part: NumberCodec, value: float) -> str:
    if part.column.kind != "datetime":
        return f"{value:.12g}"
    resolution: Literal["day", "second"] = "day" if part.grid.step % DAY == 0 else "second"
    return str(format_datetime(np.array([value]), resolution)[0])
