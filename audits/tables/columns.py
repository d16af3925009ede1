"""One column of three tables, read as numbers, seconds or category codes.

Missing are None, NaN, NaT, pandas NA and the empty text; nothing else. In particular "?" or "NA"
as text is a category of its own unless the file reader already made it missing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from audits.errors import AuditInputError

KINDS = ("number", "category", "datetime")


def guess_kind(train: pd.Series, holdout: pd.Series) -> str:
    """The kind of a column that nobody declared, from its real values alone.

    Booleans and text are categories, except text that is all numbers ("number") or all ISO 8601
    dates ("datetime"). A column without any value is a category.
    """
    if any(pd.api.types.is_datetime64_any_dtype(column) for column in (train, holdout)):
        return "datetime"
    if all(_is_number(column) for column in (train, holdout)):
        return "number"
    if any(pd.api.types.is_bool_dtype(column) for column in (train, holdout)):
        return "category"
    # The copies lose their dtype on purpose: text in one table and numbers in the other may meet.
    real = pd.concat([train.astype(object), holdout.astype(object)], ignore_index=True)
    present = real[~_missing(real)]
    if present.empty:
        return "category"
    if not pd.to_numeric(present.astype(str), errors="coerce").isna().any():
        return "number"
    if not _parse_dates(present).isna().any():
        return "datetime"
    return "category"


def encode_number(
    columns: Mapping[str, pd.Series], *, name: str, kind: str
) -> dict[str, np.ndarray]:
    """Values as float64 by table; dates as seconds since 1970 in UTC; NaN where missing.

    Raises:
        AuditInputError: a value is not a number (or date), or is infinite.
    """
    return {role: _floats(column, role, name, kind) for role, column in columns.items()}


def encode_category(
    columns: Mapping[str, pd.Series],
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Codes by table (int32, -1 where missing) and the labels behind them, in sorted order.

    Where every value of all tables is a number, labels are compared as numbers, so that "1", 1
    and 1.0 are one category.
    """
    texts = {role: _labels(column) for role, column in columns.items()}
    if all(_all_numbers(text) for text in texts.values()):
        texts = {role: _as_number_labels(text) for role, text in texts.items()}
    levels = tuple(sorted(set().union(*(set(text.unique()) for text in texts.values()))))
    codes = {role: _codes(column, texts[role], levels) for role, column in columns.items()}
    return codes, levels


def encode_known(column: pd.Series, levels: tuple[str, ...]) -> np.ndarray:
    """Codes of one more column for labels that are fixed: int32, -1 where missing.

    A label that is not among the levels gets the code `len(levels)`. Where all levels are numbers,
    so are the labels compared with them.
    """
    texts = _labels(column)
    if levels and _all_numbers(pd.Series(levels)) and _all_numbers(texts):
        texts = _as_number_labels(texts)
    return _codes(column, texts, levels)


def _labels(column: pd.Series) -> pd.Series:
    return column[~_missing(column)].astype(str)


def _all_numbers(texts: pd.Series) -> bool:
    return not pd.to_numeric(texts, errors="coerce").isna().any()


def _as_number_labels(texts: pd.Series) -> pd.Series:
    values = pd.to_numeric(texts, errors="coerce").astype(float)
    return values.map(lambda value: f"{value:.17g}").astype(str)


def _codes(column: pd.Series, texts: pd.Series, levels: tuple[str, ...]) -> np.ndarray:
    lookup = {level: code for code, level in enumerate(levels)}
    out = np.full(len(column), -1, dtype=np.int32)
    known = texts.map(lookup).fillna(len(levels))
    out[~_missing(column).to_numpy()] = known.to_numpy(dtype=np.int32)
    return out


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _missing(column: pd.Series) -> pd.Series:
    return (column.isna() | (column.astype(object) == "")).astype(bool)


def _parse_dates(column: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(column):
        return pd.to_datetime(column, utc=True)
    return pd.to_datetime(column.astype(str), format="ISO8601", errors="coerce", utc=True)


def _floats(column: pd.Series, role: str, name: str, kind: str) -> np.ndarray:
    missing = _missing(column)
    kept = column[~missing]
    if kind == "datetime":
        moments = _parse_dates(kept)
        values = moments.astype("datetime64[us, UTC]").astype("int64").to_numpy() / 1e6
        bad = moments.isna().to_numpy()
    else:
        values = (
            kept.to_numpy(dtype=np.float64)
            if _is_number(kept)
            else pd.to_numeric(kept.astype(str), errors="coerce").to_numpy(dtype=np.float64)
        )
        bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.flatnonzero(~missing.to_numpy())[np.flatnonzero(bad)[0]])
        raise AuditInputError(
            f"table {role!r}, column {name!r}, row {row}: {column.iloc[row]!r} is not a finite "
            f"{kind}; mend the value, or declare the column's kind as 'category'"
        )
    out = np.full(len(column), np.nan)
    out[~missing.to_numpy()] = values
    return out
