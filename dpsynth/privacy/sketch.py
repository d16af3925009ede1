"""A sketch of a released table: hashes of some of its rows, by which they are known again.

A row is hashed by its values and not by their spelling: 12, 12.0 and "12" are one value, so are the
words for a missing one, so are a date in text and in Parquet. The order of rows and of columns does
not count. So a copy that was moved, shuffled or saved by another tool still has the same hashes.

Only rows that occur once in the table carry evidence of where they come from. Of these the sketch
keeps those with the smallest hashes (bottom-k, a sample that does not depend on the rows' order).
It says nothing of a private row: a released table is public, or at least made from noisy answers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dpsynth.errors import InputError
from dpsynth.forms import NUMBER, by_chunks, missing_words, typed_floats, typed_seconds
from dpsynth.iso_time import parse_iso

if TYPE_CHECKING:
    from dpsynth.table import Table

Hashes = NDArray[np.uint64]

FORMAT = "dpsynth.sketch/1"
MOST_HASHES = 4096
"""Kept of one table: 32 kB. The noise in a count of them is then a per cent or two of them."""
LEAST_SINGLES = 50
"""Fewer distinctive rows than this tell nothing."""

_MASK = (1 << 64) - 1


@dataclass(frozen=True, eq=False)
class RowSketch:
    """Which rows a released table holds, as far as its distinctive ones show.

    Attributes:
        columns: names of the columns that were hashed, sorted; identifiers are left out.
        rows: rows of the table.
        singles: values of a whole row that occur once in it. doubles: those that occur more often.
        hashes: of the singles with the smallest ones, ascending, at most `MOST_HASHES`.
    """

    columns: tuple[str, ...]
    rows: int
    singles: int
    doubles: int
    hashes: Hashes = field(repr=False)

    @property
    def is_telling(self) -> bool:
        """Whether a table of these rows alone would be told from one that meets them by chance.

        Chance counts the repeated values up to three times; see `dpsynth.privacy.known_rows`.
        """
        return self.singles >= LEAST_SINGLES and self.singles > 3 * self.doubles

    @property
    def rate(self) -> float:
        """Share of the singles whose hashes are kept."""
        return len(self.hashes) / max(1, self.singles)

    def to_text(self) -> str:
        """One line of JSON, for an entry of the ledger."""
        kept = base64.b64encode(self.hashes.astype("<u8").tobytes()).decode("ascii")
        return json.dumps(
            {
                "format": FORMAT,
                "columns": list(self.columns),
                "rows": self.rows,
                "singles": self.singles,
                "doubles": self.doubles,
                "hashes": kept,
            }
        )

    @classmethod
    def from_text(cls, text: object) -> RowSketch:
        """Read what `to_text` wrote.

        Raises:
            InputError: it is something else.
        """
        try:
            raw = json.loads(str(text))
            form, columns = raw["format"], raw["columns"]
            counts = [raw[name] for name in ("rows", "singles", "doubles")]
            data = base64.b64decode(raw["hashes"], validate=True)
        except (ValueError, TypeError, KeyError, binascii.Error, RecursionError):
            raise _broken("it is not the JSON that dpsynth wrote") from None
        if form != FORMAT:
            raise _broken(f"its format is {form!r}, this version reads {FORMAT!r}")
        if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            raise _broken("its columns are no list of names")
        if not all(type(count) is int and count >= 0 for count in counts) or len(data) % 8:
            raise _broken("its counts or hashes are cut short")
        rows, singles, doubles = counts
        hashes = np.frombuffer(data, dtype="<u8").astype(np.uint64)
        rising = bool(np.all(hashes[1:] > hashes[:-1]))
        if not columns or not rising or len(hashes) != min(singles, MOST_HASHES):
            raise _broken("its hashes are not the smallest of its rows, in order")
        if singles + 2 * doubles > rows:
            raise _broken(f"{singles} single and {doubles} repeated rows are more than {rows}")
        return cls(tuple(columns), rows, singles, doubles, hashes)


def sketch_of(table: Table, columns: Iterable[str]) -> RowSketch:
    """The sketch of a released table.

    Args:
        table: the released rows.
        columns: those that were learned; fresh identifiers are left out, as they say nothing.

    Raises:
        InputError: a column that the table lacks.
    """
    names = tuple(sorted(columns))
    values, counts = np.unique(row_hashes(table, names), return_counts=True)
    singles = values[counts == 1]  # ascending, as np.unique sorts
    return RowSketch(
        columns=names,
        rows=table.num_rows,
        singles=len(singles),
        doubles=int((counts > 1).sum()),
        hashes=singles[:MOST_HASHES],
    )


def same_rows(one: Table, two: Table, columns: Sequence[str]) -> bool:
    """Whether two tables have exactly the same rows in these columns, in any order.

    Not covered by epsilon: it serves to refuse public rows that are the private ones, and the
    refusal goes to their owner. PRIVATE where the rows of either are.

    Raises:
        InputError: an unknown column.
    """
    if one.num_rows != two.num_rows:
        return False
    first, second = (np.sort(row_hashes(table, columns)) for table in (one, two))
    return bool(np.array_equal(first, second))


def row_hashes(table: Table, columns: Sequence[str]) -> Hashes:
    """A 64-bit hash of each row's values in these columns, shape (rows,).

    A row's hash depends on that row alone, whatever the other rows are and however they are
    stored. It is no cryptographic hash of the row: whoever chooses rows can make two collide, which
    bends a count and no guarantee. PRIVATE where the rows are.

    Raises:
        InputError: an unknown column.
    """
    found = np.full(table.num_rows, _text_key(FORMAT), dtype=np.uint64)
    for name in sorted(columns):
        keys = by_chunks(table.column(name), _cell_keys).astype(np.uint64, copy=False)
        found = _mix(
            found * np.uint64(0x9E3779B97F4A7C15) + _mix(keys ^ np.uint64(_text_key(name)))
        )
    return found


def _cell_keys(array: pa.Array) -> Hashes:
    """A 64-bit key of each cell's value, shape (n,)."""
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _keys_of_texts(array)
    missing = np.asarray(array.is_null())
    if pa.types.is_boolean(kind):
        keys = _truth_keys(np.asarray(pc.fill_null(array, False), dtype=bool))
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        keys = _number_keys(typed_seconds(array), "moment")
    else:
        values = typed_floats(array)
        missing = missing | np.isnan(values)
        keys = _number_keys(np.where(missing, 0.0, values), "number")
    return np.where(missing, np.uint64(0), keys)


def _keys_of_texts(array: pa.Array) -> Hashes:
    texts = pc.fill_null(pc.utf8_trim_whitespace(array), "")
    keys = np.zeros(len(texts), dtype=np.uint64)
    missing = missing_words(array)
    numbers = np.asarray(pc.match_substring_regex(texts, NUMBER)) & ~missing
    plain = pc.utf8_ltrim(texts.filter(pa.array(numbers)), characters="+")
    keys[numbers] = _number_keys(np.asarray(plain.cast(pa.float64())), "number")
    rest = np.flatnonzero(~numbers & ~missing)
    others = texts.take(pa.array(rest))
    seconds, valid = parse_iso(others)
    words = pc.utf8_lower(others)
    truths = np.asarray(pc.is_in(words, value_set=pa.array(["true", "false"], type=words.type)))
    plain_keys = np.array([_text_key(text) for text in others.to_pylist()], dtype=np.uint64)
    truth_keys = _truth_keys(np.asarray(pc.equal(words, "true"), dtype=bool))
    other = np.where(truths, truth_keys, plain_keys)
    keys[rest] = np.where(valid, _number_keys(np.where(valid, seconds, 0.0), "moment"), other)
    return keys


def _number_keys(values: NDArray[np.float64], kind: str) -> Hashes:
    """Keys of numbers to 12 digits, so that a tool that writes 15 of them changes none."""
    mantissa, exponent = np.frexp(values)
    with np.errstate(over="ignore"):
        rounded = np.ldexp(np.rint(mantissa * 2.0**40), exponent - 40) + 0.0  # -0.0 is 0.0
    return _mix(rounded.view(np.uint64) ^ np.uint64(_text_key(f"\0{kind}")))


def _truth_keys(values: NDArray[np.bool_]) -> Hashes:
    yes, no = (np.uint64(_text_key(f"\0{word}")) for word in ("true", "false"))
    return np.where(values, yes, no)


def _text_key(text: str) -> int:
    raw = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw, "little") & _MASK


def _mix(values: Hashes) -> Hashes:
    """Spread every bit over all others: the finalizer of splitmix64 (Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _broken(what: str) -> InputError:
    return InputError(f"the sketch of a release cannot be read: {what}; note the release anew")
