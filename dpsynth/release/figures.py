"""Pictures of the claim and of the columns. Each takes values and gives a `Picture`."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from dpsynth.cells import Cells
from dpsynth.iso_time import format_datetime
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.drawing import (
    MOST_COLUMNS,
    SHORT,
    WIDE,
    bare,
    claimed_curve,
    percent_below,
    short,
)
from dpsynth.release.svg import INK, MAIN, MUTED, OTHER, Picture, picture
from dpsynth.schema import Column, Schema
from dpsynth.table import Table

SMALL = (3.5, 1.9)
BINS = 30
MOST_BARS = 8


def trade_off(statement: PrivacyStatement) -> Picture:
    """The most an attacker can achieve: members found against innocents accused."""
    false_alarms, found = claimed_curve(statement)
    share = statement.tpr_at_fpr.get("0.01")

    def draw(axes: Axes) -> None:
        axes.fill_between(false_alarms, found, 1.0, color=MAIN, alpha=0.10, linewidth=0)
        axes.plot(false_alarms, found, color=MAIN, linewidth=2)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.text(0.03, 0.95, "ruled out by the guarantee", color=MAIN, va="top", fontsize=10)
        axes.text(0.60, 0.50, "blind guessing", color=MUTED, va="top", fontsize=10)
        _unit_square(axes)
        axes.set_xlabel("outsiders wrongly accused")
        axes.set_ylabel("participants found")

    point = "" if share is None else f" At 1 % wrongly accused at most {share:.1%} are found."
    return picture(
        "trade-off",
        draw,
        size=WIDE,
        alt="Curve of the largest share of participants any attacker can find, against the share "
        f"of outsiders wrongly accused, beside the diagonal of blind guessing.{point}",
        caption="The curve is a ceiling for every attack, known or unknown, whatever else the "
        "attacker knows. The nearer to the dashed line, the better the protection.",
    )


def budget(groups: dict[str, float]) -> Picture:
    """Bars of the budget's shares, largest on top; `groups` are shares by name."""
    names = sorted(groups, key=lambda name: groups[name])
    top = max(groups.values(), default=1.0)

    def draw(axes: Axes) -> None:
        axes.barh(range(len(names)), [groups[name] for name in names], color=MAIN, height=0.62)
        for place, name in enumerate(names):
            text = f"{groups[name]:.1%}"
            axes.text(groups[name] + 0.015 * top, place, text, va="center", fontsize=10)
        axes.set_yticks(range(len(names)), [short(name, 26) for name in names])
        axes.tick_params(axis="y", labelcolor=INK)
        bare(axes)
        axes.set_xlim(0, top * 1.15)

    listed = ", ".join(f"{name} {groups[name]:.1%}" for name in reversed(names))
    return picture(
        "budget",
        draw,
        size=(WIDE[0], 0.45 + 0.34 * max(1, len(names))),
        alt=f"Bars of the share of the privacy budget by purpose: {listed}.",
        caption="Shares describe how the budget was divided; the guarantee is computed from all "
        "of them together.",
    )


def one_way(
    schema: Schema, synthetic: pd.DataFrame, real: pd.DataFrame | None
) -> list[tuple[str, Picture]]:
    """One small picture per modelled column: the synthetic values, and the real ones if given."""
    frames = [frame for frame in (synthetic, real) if frame is not None]
    columns = schema.modelled[:MOST_COLUMNS]
    pictures = []
    for place, column in enumerate(columns):
        cells = [_cells(frame, column) for frame in frames]
        counted = column.kind in ("categorical", "boolean") or (
            column.kind == "integer" and _few_values(column)
        )
        draw = _bars if counted else _histogram
        pictures.append((column.name, draw(f"column-{place}", column, cells)))
    return pictures


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


def _bars(name: str, column: Column, sides: list[Cells]) -> Picture:
    shares = [_category_shares(cells, column) for cells in sides]
    # Ordered by the synthetic side alone: the order of the public edition shows nothing private.
    order = sorted(shares[0], key=lambda label: -shares[0][label])[:MOST_BARS]
    rest = [1.0 - sum(side.get(label, 0.0) for label in order) for side in shares]
    labels = order + (["all others"] if max(rest) > 1e-9 else [])
    widths = [
        [side.get(label, 0.0) for label in order] + ([left] if len(labels) > len(order) else [])
        for side, left in zip(shares, rest, strict=True)
    ]

    def draw(axes: Axes) -> None:
        places = np.arange(len(labels))[::-1]
        axes.barh(places, widths[0], color=MAIN, height=0.66, alpha=0.75)
        for values in widths[1:]:
            axes.plot(values, places, linestyle="", marker="|", color=OTHER, markersize=13, mew=2.4)
        axes.set_yticks(places, [short(label, SHORT) for label in labels])
        axes.tick_params(axis="y", labelcolor=INK, labelsize=9)
        percent_below(axes)

    height = max(1.3, 0.55 + 0.24 * len(labels))
    alt = f"Shares of {column.name}: " + "; ".join(
        f"{short(label, 40)} " + " against ".join(f"{side[place]:.1%}" for side in widths)
        for place, label in enumerate(labels[:5])
    )
    return picture(name, draw, size=(SMALL[0], height), alt=alt + ".", caption=column.name)


def _category_shares(cells: Cells, column: Column) -> dict[str, float]:
    values = cells.values
    if column.kind == "boolean":
        values = np.where(values > 0.5, "true", "false").astype(object)
    elif column.kind == "integer":
        values = np.array([f"{value:.0f}" for value in values], dtype=object)
    labels = np.where(cells.missing, "(missing)", values)
    counts = pd.Series(labels, dtype=object).value_counts(normalize=True, sort=False)
    return {str(label): float(share) for label, share in counts.items()}


def _histogram(name: str, column: Column, sides: list[Cells]) -> Picture:
    edges = _edges(column, sides[0])
    heights = []
    for cells in sides:
        present = np.clip(cells.values[~cells.missing], edges[0], edges[-1])
        counts = np.histogram(present, bins=edges)[0]
        heights.append(counts / max(1, len(cells.values)))

    def draw(axes: Axes) -> None:
        axes.stairs(heights[0], edges, color=MAIN, fill=True, alpha=0.75, linewidth=0)
        for values in heights[1:]:
            axes.stairs(values, edges, color=OTHER, linewidth=1.8)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.locator_params(axis="both", nbins=4)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: _tick(at, column)))
        axes.tick_params(labelsize=9)
        axes.grid(visible=False, axis="x")

    middle = " against ".join(_median(cells, column) for cells in sides)
    alt = (
        f"Histogram of {column.name} from {_tick(edges[0], column)} to {_tick(edges[-1], column)}, "
        f"median {middle}."
    )
    return picture(name, draw, size=SMALL, alt=alt, caption=column.name)


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
    return _tick(float(np.median(present)), column) if len(present) else "of nothing, all missing"


def _tick(value: float, column: Column) -> str:
    if column.kind == "datetime":
        return str(format_datetime(np.array([value]), "day")[0])
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def _unit_square(axes: Axes) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.005))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
