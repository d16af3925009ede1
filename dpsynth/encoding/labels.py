"""Names of a column's codes, for people."""

import numpy as np

from dpsynth.encoding.codec import DAY, CategoryCodec, ColumnCodec, NumberCodec
from dpsynth.iso_time import format_datetime

MISSING = "(missing)"
_MOST_NAMED = 3


def code_labels(part: ColumnCodec) -> tuple[str, ...]:
    """A short name for each code, in order: a category, several of them, or a range of values."""
    return tuple(
        MISSING if code == part.missing else _label(part, code) for code in range(part.size)
    )


def _label(part: ColumnCodec, code: int) -> str:
    return _categories(part, code) if isinstance(part, CategoryCodec) else _ranges(part, code)


def _categories(part: CategoryCodec, code: int) -> str:
    names = [part.categories[i] for i in np.flatnonzero(part.codes == code)]
    more = f" | {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return " | ".join(names[:_MOST_NAMED]) + more


def _ranges(part: NumberCodec, code: int) -> str:
    """The stretches of the grid that share the code; neighbours are written as one."""
    ends = np.r_[part.intervals.starts[1:], part.grid.size] - 1
    stretches: list[tuple[int, int]] = []
    for place in np.flatnonzero(part.intervals.codes == code):
        first, last = int(part.intervals.starts[place]), int(ends[place])
        if stretches and stretches[-1][1] == first - 1:
            first = stretches.pop()[0]
        stretches.append((first, last))
    return " | ".join(_stretch(part, first, last) for first, last in stretches)


def _stretch(part: NumberCodec, first: int, last: int) -> str:
    low, high = (_value(part, point) for point in (first, last))
    return low if low == high else f"{low}..{high}"


def _value(part: NumberCodec, point: int) -> str:
    value = float(part.grid.value(np.array([point]))[0])
    if part.column.kind == "datetime":
        day = part.grid.step % DAY == 0
        return str(format_datetime(np.array([value]), "day" if day else "second")[0])
    if part.column.kind == "integer":
        return f"{value:.0f}"
    digits = min(part.column.decimals or 0, max(0, round(-np.log10(part.grid.step))))
    return f"{value:.{digits}f}"
