"""What a reader must know of the tables before believing a figure, in plain sentences."""

from __future__ import annotations

import numpy as np

from audits.records import Encoded, Records
from audits.tables.overlap import Overlap

_NAMED = 10


def notes(tables: Encoded, found: Overlap, *, removed: bool) -> list[str]:
    """Sentences on columns that say nothing, on synthetic values outside the domain, on overlap.

    Args:
        tables: as audited.
        found: of the tables as given.
        removed: whether the overlapping rows were left out.
    """
    sentences = [*_empty(tables), *_outside(tables)]
    if found.rows:
        told = "left out of both" if removed else "kept"
        sentences.append(
            f"{found.rows} training rows ({found.share:.2%}) equal a holdout row in every column; "
            f"repeats within train alone would explain {found.expected:.2%}. They were {told}."
        )
    if found.share > 2.0 * found.expected + 0.01:
        sentences.append(
            "Train and holdout overlap more than chance explains: some rows may have been given in "
            "both, which hides leaks. Split one table at random, or remove the overlap."
        )
    return sentences


def _empty(tables: Encoded) -> list[str]:
    """Columns in which real rows cannot differ."""
    sentences = []
    for place, name in enumerate(tables.train.names):
        real = np.concatenate([_column(records, place) for records in _real(tables)])
        present = real[~np.isnan(real)]
        if present.size == 0:
            sentences.append(f"Column {name!r} is missing in every real row; it shows nothing.")
        elif present.size == real.size and (present == present[0]).all():
            sentences.append(f"Column {name!r} has one value in all real rows; it shows nothing.")
    return sentences


def _outside(tables: Encoded) -> list[str]:
    """Synthetic values that no real row has (labels) or beyond the real range (numbers)."""
    shares = []
    for place, name in enumerate(tables.train.names):
        real = np.concatenate([_column(records, place) for records in _real(tables)])
        made = _column(tables.synthetic, place)
        if tables.train.kinds[place] == "category":
            odd = ~np.isin(made[~np.isnan(made)], real)
        else:
            odd = _beyond(made, real)
        if odd.any():
            shares.append((name, odd.sum() / max(1, made.size)))
    shares.sort(key=lambda pair: -pair[1])
    named = ", ".join(f"{name!r} {share:.2%}" for name, share in shares[:_NAMED])
    if not shares:
        return []
    more = f" and {len(shares) - _NAMED} more" if len(shares) > _NAMED else ""
    return [f"Synthetic values outside the real tables' labels or range, by column: {named}{more}."]


def _beyond(made: np.ndarray, real: np.ndarray) -> np.ndarray:
    held = real[~np.isnan(real)]
    if held.size == 0:
        return np.asarray(~np.isnan(made))
    return np.asarray((made < held.min()) | (made > held.max()))


def _real(tables: Encoded) -> tuple[Records, Records]:
    return tables.train, tables.holdout


def _column(records: Records, place: int) -> np.ndarray:
    """One column as float64, NaN where missing, by its place among all columns."""
    kind, name = records.kinds[place], records.names[place]
    if kind == "category":
        codes = records.categories[:, records.layout.category_names.index(name)]
        return np.where(codes < 0, np.nan, codes.astype(np.float64))
    column: np.ndarray = records.numbers[:, records.layout.number_names.index(name)]
    return column
