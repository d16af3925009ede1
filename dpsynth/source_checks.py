"""What every reader refuses: files, names and cells that cannot make a table."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from dpsynth.errors import InputError

_PLAIN = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_date,
    pa.types.is_timestamp,
)


def check_file(path: Path) -> None:
    """Refuse a path that is not a file with at least one byte.

    Raises:
        InputError: a missing file, a folder, an empty or an unreadable file.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give the table's file")
        if not path.exists():
            raise InputError(f"{path}: no such file; check the path")
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path}: the file is empty; it needs a header line and rows")
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}; check its permissions") from None


def check_names(names: Sequence[object], source: str) -> None:
    """Refuse column names that are missing, empty, repeated or not text.

    Raises:
        InputError: names the first such column, counted from 1.
    """
    if not names:
        raise InputError(f"{source}: the table has no columns; it needs at least one")
    for place, name in enumerate(names, start=1):
        if not isinstance(name, str):
            raise InputError(
                f"{source}: column {place} is named {name!r}, which is not text; rename it, for "
                f"instance with frame.columns = frame.columns.map(str)"
            )
        if not name.strip():
            raise InputError(
                f"{source}: column {place} has no name; name it, or drop it if it is a saved index"
            )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            f"{source}: {names.count(twice[0])} columns are named {twice[0]!r}; "
            f"give each column its own name"
        )


def check_plain(table: pa.Table, source: str) -> pa.Table:
    """The table with dictionaries and views spelt out; refuses cells that are not plain.

    Raises:
        InputError: no rows, or a column of lists, structs, bytes, durations or the like.
    """
    if table.num_rows == 0:
        raise InputError(f"{source}: the table has a header but no rows; it needs at least one row")
    columns = [_plain(table.column(name), name, source) for name in table.column_names]
    return pa.table(columns, names=table.column_names)


def _plain(column: pa.ChunkedArray, name: str, source: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string_view(kind):
        kind = pa.large_string()
    if not any(fits(kind) for fits in _PLAIN):
        raise InputError(
            f"{source}: column {name!r} holds {kind}; allowed: text, numbers, booleans, dates and "
            f"times; turn it into one of these or drop it"
        )
    return column if column.type == kind else column.cast(kind)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(error).__name__
