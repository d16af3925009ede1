"""What the small pictures of the columns show, as numbers, so that they can be drawn again.

Made once, when a bundle is written, and kept in `internal/columns.json`: whoever approves a bundle
later draws both editions of the report from it, without the private rows.
"""

from collections.abc import Sequence
from itertools import compress

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from dpsynth.cells import Cells
from dpsynth.errors import IntegrityError
from dpsynth.iso_time import format_datetime
from dpsynth.schema import Column, Schema
from dpsynth.table import Table

#: Columns that are drawn at most, so that a page of a wide table stays a page.
MOST_COLUMNS = 40

BINS = 30
MOST_BARS = 8
#: A share below it is rounding: no table has so many rows.
LEAST_SHARE = 1e-9


class ColumnShares(BaseModel):
    """One column's picture in numbers: bars of categories, or a histogram.

    Attributes:
        name, kind: of the column.
        labels: of the bars; empty for a histogram.
        edges: of the histogram's bins; None for bars.
        synthetic: share of the synthetic rows for each bar or bin.
        real: the same of the training rows; PRIVATE, None in the public edition.
        medians: of the synthetic and the real values, as text; for histograms only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] | None = None
    synthetic: tuple[float, ...]
    real: tuple[float, ...] | None = None
    medians: tuple[str, ...] = ()

    @property
    def sides(self) -> tuple[tuple[float, ...], ...]:
        """The synthetic shares, and the real ones where they are kept."""
        return (self.synthetic,) if self.real is None else (self.synthetic, self.real)

    def public(self) -> "ColumnShares":
        """Without anything that was counted in real rows.

        A bar that no synthetic row fills goes as well: it is there because real rows fill it.
        """
        kept = [share > LEAST_SHARE or not self.labels for share in self.synthetic]
        return self.model_copy(
            update={
                "labels": tuple(compress(self.labels, kept)),
                "synthetic": tuple(compress(self.synthetic, kept)),
                "real": None,
                "medians": self.medians[:1],
            }
        )


_ALL = TypeAdapter(tuple[ColumnShares, ...])


def column_shares(
    schema: Schema, synthetic: pd.DataFrame, real: pd.DataFrame | None = None
) -> tuple[ColumnShares, ...]:
    """The first `MOST_COLUMNS` modelled columns, counted; bins and bars follow the synthetic side.

    So that what the public edition shows, its order included, depends on nothing private.
    """
    frames = [frame for frame in (synthetic, real) if frame is not None]
    return tuple(_shares(column, frames) for column in schema.modelled[:MOST_COLUMNS])


def to_json_text(columns: Sequence[ColumnShares]) -> str:
    """The content of `internal/columns.json`."""
    return _ALL.dump_json(tuple(columns), indent=1).decode("utf-8") + "\n"


def from_json_text(text: str) -> tuple[ColumnShares, ...]:
    """Read what `to_json_text` wrote.

    Raises:
        IntegrityError: cut short or changed.
    """
    try:
        return _ALL.validate_json(text)
    except ValidationError as error:
        raise IntegrityError("columns.json: was cut short or changed; ask for it again") from error


def _shares(column: Column, frames: Sequence[pd.DataFrame]) -> ColumnShares:
    sides = [_cells(frame, column) for frame in frames]
    counted = column.kind in ("categorical", "boolean") or (
        column.kind == "integer" and _few_values(column)
    )
    return _bars(column, sides) if counted else _histogram(column, sides)


def _cells(frame: pd.DataFrame, column: Column) -> Cells:
    """One column's cells; dates may come as seconds since 1970 as well."""
    series = frame[column.name]
    if column.kind == "datetime" and pd.api.types.is_float_dtype(series):
        missing = series.isna().to_numpy()
        return Cells(values=series.fillna(0.0).to_numpy(dtype=np.float64), missing=missing)
    return Table.from_frame(frame[[column.name]]).cells(column, strict=False)


def _few_values(column: Column) -> bool:
    lower, upper = column.bounds
    return lower is not None and upper is not None and upper - lower < MOST_BARS


def _bars(column: Column, sides: Sequence[Cells]) -> ColumnShares:
    shares = [_category_shares(cells, column) for cells in sides]
    order = sorted(shares[0], key=lambda label: -shares[0][label])[:MOST_BARS]
    rest = [1.0 - sum(side.get(label, 0.0) for label in order) for side in shares]
    others = max(rest) > LEAST_SHARE
    widths = [
        tuple(side.get(label, 0.0) for label in order) + ((left,) if others else ())
        for side, left in zip(shares, rest, strict=True)
    ]
    return ColumnShares(
        name=column.name,
        kind=column.kind,
        labels=(*order, "all others") if others else tuple(order),
        synthetic=widths[0],
        real=widths[1] if len(widths) > 1 else None,
    )


def _category_shares(cells: Cells, column: Column) -> dict[str, float]:
    values = cells.values
    if column.kind == "boolean":
        values = np.where(values > 0.5, "true", "false").astype(object)
    elif column.kind == "integer":
        values = np.array([f"{value:.0f}" for value in values], dtype=object)
    labels = np.where(cells.missing, "(missing)", values)
    counts = pd.Series(labels, dtype=object).value_counts(normalize=True, sort=False)
    return {str(label): float(share) for label, share in counts.items()}


def _histogram(column: Column, sides: Sequence[Cells]) -> ColumnShares:
    edges = _edges(column, sides[0])
    heights = []
    for cells in sides:
        present = np.clip(cells.values[~cells.missing], edges[0], edges[-1])
        counts = np.histogram(present, bins=edges)[0] / max(1, len(cells.values))
        heights.append(tuple(map(float, counts)))
    return ColumnShares(
        name=column.name,
        kind=column.kind,
        edges=tuple(map(float, edges)),
        synthetic=heights[0],
        real=heights[1] if len(heights) > 1 else None,
        medians=tuple(_median(cells, column) for cells in sides),
    )


def _edges(column: Column, made: Cells) -> np.ndarray:
    """Bin edges (at most BINS + 1,) from the public bounds, or where open from synthetic values."""
    lower, upper = column.bounds
    present = made.values[~made.missing]
    low = float(present.min(initial=np.inf)) if lower is None else lower
    high = float(present.max(initial=-np.inf)) if upper is None else upper
    if not np.isfinite([low, high]).all() or low >= high:
        low = low if np.isfinite(low) else 0.0
        return np.array([low - 0.5, low + 0.5])
    if column.kind == "integer" and high - low < BINS:
        return np.arange(low - 0.5, high + 1.0)
    return np.linspace(low, high, BINS + 1)


def _median(cells: Cells, column: Column) -> str:
    present = cells.values[~cells.missing]
    if not len(present):
        return "of nothing, all missing"
    return tick(float(np.median(present)), column.kind)


def tick(value: float, kind: str) -> str:
    """A value of a column of this kind, for an axis."""
    if kind == "datetime":
        return str(format_datetime(np.array([value]), "day")[0])
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
