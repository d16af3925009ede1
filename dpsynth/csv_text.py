"""CSV files as columns of text: a fast reader, and a slow one that finds the line of a fault."""

import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv as arrow_csv

from dpsynth.errors import InputError
from dpsynth.source_checks import check_file, check_names, check_plain, first_line

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_SAVE_AS_UTF8 = "save the file as UTF-8"
# Long texts are legitimate cells; the csv module's default stops at 128 KiB.
_LONGEST_CELL = 2**31 - 1
# Bytes read at a time; the fast reader refuses a row that is longer than this.
_BLOCK = 2**24


def read_csv(path: Path) -> pa.Table:
    """Read .csv or .tsv, plain or .gz, every cell as text; an empty cell is "".

    Blank lines are skipped. A byte order mark is skipped.

    Raises:
        InputError: another suffix, or a file that is missing, empty, not UTF-8, not rectangular, or
            whose names are missing or repeated; names the line where there is one.
    """
    delimiter = _delimiter(path)
    check_file(path)
    names = _header(path, delimiter)
    check_names(names, str(path))
    _check_delimiter(names, path)
    try:
        table = arrow_csv.read_csv(
            str(path),
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in names}, strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, OSError) as error:
        _find_fault(path, delimiter, len(names))
        raise InputError(f"{path}: not a readable CSV file ({first_line(error)})") from None
    table = check_plain(table, str(path))
    if _may_have_swallowed(table, path):
        _find_fault(path, delimiter, len(names))
    return table


def line_of_row(source: str, row: int) -> int | None:
    """The 1-based line of a CSV file on which a 0-based data row starts, or None if unknown."""
    path = Path(source)
    try:
        if path.is_file() and _suffix(path) in _DELIMITERS:
            for index, (line, _) in enumerate(_records(path, _DELIMITERS[_suffix(path)])):
                if index == row + 1:  # the header is record 0
                    return line
    except (OSError, EOFError, zlib.error, ValueError, csv.Error):
        return None  # the line is a courtesy: the row was found without it
    return None


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return Path(name.removesuffix(".gz")).suffix


def _delimiter(path: Path) -> str:
    suffix = _suffix(path)
    if suffix not in _DELIMITERS:
        raise InputError(
            f"{path}: unknown suffix {path.suffix!r}; allowed: .csv, .tsv (also with .gz), "
            f".parquet, or a database URL with a query"
        )
    return _DELIMITERS[suffix]


def _header(path: Path, delimiter: str) -> list[str]:
    try:
        first = next(_records(path, delimiter), None)
    except UnicodeDecodeError:
        raise _wrong_byte(path) from None
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise InputError(f"{path}: cannot read the header ({first_line(error)})") from None
    if first is None:
        raise InputError(f"{path}: the file has only blank lines; it needs a header line and rows")
    if any("\x00" in name for name in first[1]):
        raise InputError(f"{path}: the header holds NUL bytes, as in UTF-16; {_SAVE_AS_UTF8}")
    return first[1]


def _check_delimiter(names: list[str], path: Path) -> None:
    if len(names) > 1:
        return
    # A comma may well be part of a quoted name, but never of a name in a file of tabs.
    commas = ((",", "commas"),) if _suffix(path) == ".tsv" else ()
    for mark, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars"), *commas):
        if mark in names[0]:
            raise InputError(
                f"{path}: the header is one name, {names[0][:60]!r}, which looks separated by "
                f"{word}; a .csv file is separated by commas and a .tsv file by tabs"
            )


def _open(path: Path) -> IO[str]:
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def _records(
    path: Path, delimiter: str, *, strict: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """The 1-based first line and the cells of each record; blank lines are skipped."""
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        with _open(path) as file:
            reader = csv.reader(file, delimiter=delimiter, strict=strict)
            line = 1
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
    finally:
        csv.field_size_limit(before)


def _may_have_swallowed(table: pa.Table, path: Path) -> bool:
    """Whether a quote that was never closed may have made one cell of many lines.

    The fast reader accepts such a file and loses its last rows without a word. The swallowing cell
    is always in the last row: it holds a line break, or the last line has an odd number of quotes.
    """
    last = table.slice(table.num_rows - 1).to_pylist()[0].values()
    if any("\n" in cell or "\r" in cell for cell in last):
        return True
    if path.name.lower().endswith(".gz"):
        return False  # a file cut short does not pass the checksum
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65_536))
        return file.read().rstrip(b"\r\n").rpartition(b"\n")[2].count(b'"') % 2 == 1


def _find_fault(path: Path, delimiter: str, expected: int) -> None:
    """Raise the one-line error of the first faulty line; return if every line is sound.

    Raises:
        InputError: a ragged row, a quote that is never closed, or a byte that is not UTF-8.
    """
    line = 1
    try:
        for line, cells in _records(path, delimiter):
            if len(cells) != expected:
                raise InputError(
                    f"{path}: line {line}: expected {expected} cells, found {len(cells)}; "
                    f"mend the line, or quote cells that hold a separator"
                )
        # Once more, strictly: this pass raises at a quote that is never closed.
        for record in _records(path, delimiter, strict=True):
            line = record[0]
    except UnicodeDecodeError:
        raise _wrong_byte(path) from None
    except csv.Error as error:
        raise InputError(
            f"{path}: after line {line}: {error}; close every quote and double those inside a cell"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot read: {first_line(error)}") from None


def _wrong_byte(path: Path) -> InputError:
    """The error of the first line that is not UTF-8, in a file known to have one."""
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    line, column, byte = 1, 0, 0
    with opener(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError as error:
                line, column, byte = number, error.start + 1, raw[error.start]
                break
    return InputError(
        f"{path}: line {line}: byte 0x{byte:02x} (the line's byte {column}) is not UTF-8; "
        f"{_SAVE_AS_UTF8}"
    )
