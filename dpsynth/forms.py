"""What a cell looks like, whatever its column is declared to be: the ballots of a noisy vote.

Every cell has exactly one form, so a histogram over `FORMS` is a sum of one-hot rows and one row
moves it by one. Kinds and decimals that the owner did not declare are decided from such a
histogram.

Forms go by value, not by spelling: ``1.50`` is ``decimal_1``, ``3.0`` is an ``integer`` and
midnight is a ``date``, so that text and typed columns of the same values vote alike.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpsynth.columns import MAX_DECIMALS, MAX_INTEGER
from dpsynth.iso_time import DAY, parse_iso

FORMS: tuple[str, ...] = (
    "missing",
    "boolean",
    "integer",
    *(f"decimal_{digits}" for digits in range(1, MAX_DECIMALS + 1)),
    "float",
    "date",
    "datetime",
    "text",
)
CODE: dict[str, int] = {form: code for code, form in enumerate(FORMS)}

MISSING_WORDS = ("", "na", "nan", "nat", "null", "none", "n/a")
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"

# Single letters are left out: T, N, F and Y are far more often categories (sex, stage, grade).
_BOOLEAN_WORDS = ("true", "false", "yes", "no")
# Leading zeros mark codes (postal codes, account numbers) that would be spoilt as numbers; more
# than 15 digits do not fit a float64.
_INTEGER = r"^[+-]?(0|[1-9]\d{0,14})(\.0*)?$"
_POINT = r"^[+-]?(?:0|[1-9]\d{0,14})?\.(?P<digits>\d*[1-9])0*$"
_CODE_LIKE = r"^[+-]?(0\d.*|\d{16,})$"


def cell_forms(array: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The form of every cell.

    Args:
        array: Arrow cells of shape (n,), of any type that a `Table` holds.

    Returns:
        int8 codes into `FORMS`, shape (n,).
    """
    return by_chunks(array, _chunk_forms)


def by_chunks(
    array: pa.Array | pa.ChunkedArray, function: Callable[[pa.Array], np.ndarray]
) -> np.ndarray:
    """Apply a cell-by-cell function to each chunk's distinct values and spread the answers.

    Working on distinct values makes repeated cells nearly free; working by chunk keeps text beyond
    2 GiB within Arrow's 32-bit offsets.
    """
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    parts = [_spread(chunk, function) for chunk in chunks if len(chunk)]
    if not parts:
        return function(pa.array([], type=array.type))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _spread(chunk: pa.Array, function: Callable[[pa.Array], np.ndarray]) -> np.ndarray:
    kind = chunk.type
    if not (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)
    ):
        return function(chunk)
    coded = chunk.dictionary_encode(null_encoding="encode")
    return np.asarray(function(coded.dictionary)[np.asarray(coded.indices)])


def missing_words(array: pa.Array) -> np.ndarray:
    """Which cells are null or one of the words for "no value" in any case, bool of shape (n,)."""
    words = pc.utf8_lower(pc.utf8_trim_whitespace(array))
    found = pc.is_in(words, value_set=pa.array(MISSING_WORDS, type=array.type))
    return np.asarray(pc.or_(found, array.is_null()))


def _chunk_forms(array: pa.Array) -> np.ndarray:
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _text_forms(array)
    missing = np.asarray(array.is_null())
    if pa.types.is_boolean(kind):
        forms = np.full(len(array), CODE["boolean"], dtype=np.int8)
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        seconds = typed_seconds(array)
        forms = np.where(seconds % DAY == 0, CODE["date"], CODE["datetime"]).astype(np.int8)
    else:
        values = typed_floats(array)
        missing = missing | np.isnan(values)
        forms = _number_forms(values, single=pa.types.is_float32(kind))
    forms[missing] = CODE["missing"]
    return forms


def _text_forms(array: pa.Array) -> np.ndarray:
    texts = pc.fill_null(pc.utf8_trim_whitespace(array), "")
    forms = np.full(len(texts), CODE["text"], dtype=np.int8)
    numbers = np.asarray(pc.match_substring_regex(texts, NUMBER))
    forms[numbers] = _number_text_forms(texts.filter(pa.array(numbers)))
    # Each step looks only at what the steps before it left over: patterns are the cost here.
    others = texts.filter(pa.array(~numbers))
    seconds, valid = parse_iso(others)
    rest = np.where(seconds % DAY == 0, CODE["date"], CODE["datetime"])
    words = pc.utf8_lower(others)
    truths = np.asarray(pc.is_in(words, value_set=pa.array(_BOOLEAN_WORDS, type=words.type)))
    rest = np.where(valid, rest, np.where(truths, CODE["boolean"], CODE["text"]))
    forms[~numbers] = np.where(missing_words(words), CODE["missing"], rest)
    return forms


def _number_text_forms(texts: pa.Array) -> np.ndarray:
    """Forms of texts that all match `NUMBER`, int8 of shape (n,)."""
    forms = np.full(len(texts), CODE["float"], dtype=np.int8)
    digits = pc.struct_field(pc.extract_regex(texts, pattern=_POINT), "digits")
    count = np.asarray(pc.fill_null(pc.utf8_length(digits), 0), dtype=np.int64)
    short = (count >= 1) & (count <= MAX_DECIMALS)
    forms[short] = CODE["integer"] + count[short]
    forms[np.asarray(pc.match_substring_regex(texts, _INTEGER))] = CODE["integer"]
    forms[np.asarray(pc.match_substring_regex(texts, _CODE_LIKE))] = CODE["text"]
    return forms


def _number_forms(values: np.ndarray, *, single: bool) -> np.ndarray:
    forms = np.full(len(values), CODE["float"], dtype=np.int8)
    open_ = np.flatnonzero(np.isfinite(values) & (np.abs(values) <= MAX_INTEGER))
    for digits in range(MAX_DECIMALS + 1):
        rounded = np.round(values[open_], digits)
        if single:  # 0.1 as float32 is 0.10000000149 as float64: compare where it was made
            rounded = rounded.astype(np.float32).astype(np.float64)
        fits = rounded == values[open_]
        forms[open_[fits]] = CODE["integer"] + digits
        open_ = open_[~fits]
    return forms


def typed_floats(array: pa.Array) -> np.ndarray:
    """float64 of an Arrow array of numbers, NaN where null, shape (n,)."""
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    values = array.to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float64)


def typed_seconds(array: pa.Array) -> np.ndarray:
    """Seconds since 1970-01-01 of an Arrow array of dates or times, 0.0 where null, shape (n,)."""
    kind = array.type
    if pa.types.is_date32(kind):
        counts, per_second = array.cast(pa.int32()), 1 / DAY
    else:
        unit = "ms" if pa.types.is_date64(kind) else kind.unit
        counts, per_second = array.cast(pa.int64()), {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[unit]
    return np.asarray(pc.fill_null(counts, 0), dtype=np.float64) / per_second
