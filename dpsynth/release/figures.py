"""The pictures of the report. Each takes values and gives a `Picture`; none reads a file."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, PercentFormatter

from audits.result import Finding
from dpsynth.cells import Cells
from dpsynth.iso_time import format_datetime
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.svg import INK, LINE, MAIN, MUTED, OTHER, Picture, picture
from dpsynth.schema import Column, Schema
from dpsynth.table import Table

WIDE = (4.7, 3.0)
SMALL = (3.5, 1.9)
BINS = 30
MOST_BARS = 8
MOST_COLUMNS = 40
_SHORT = 16


def trade_off(statement: PrivacyStatement) -> Picture:
    """The most an attacker can achieve: members found against innocents accused."""
    false_alarms, found = _claim(statement)
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


def _claim(statement: PrivacyStatement) -> tuple[np.ndarray, np.ndarray]:
    """False-positive rates (n,) and the largest true-positive rates (n,)."""
    curve = np.array(sorted(statement.tradeoff), dtype=np.float64).reshape(-1, 2)
    return curve[:, 0], 1.0 - curve[:, 1]


def budget(groups: dict[str, float]) -> Picture:
    """Bars of the budget's shares, largest on top; `groups` are shares by name."""
    names = sorted(groups, key=lambda name: groups[name])
    top = max(groups.values(), default=1.0)

    def draw(axes: Axes) -> None:
        axes.barh(range(len(names)), [groups[name] for name in names], color=MAIN, height=0.62)
        for place, name in enumerate(names):
            text = f"{groups[name]:.1%}"
            axes.text(groups[name] + 0.015 * top, place, text, va="center", fontsize=10)
        axes.set_yticks(range(len(names)), [_short(name, 26) for name in names])
        axes.tick_params(axis="y", labelcolor=INK)
        _bare(axes)
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
        axes.set_yticks(places, [_short(label, _SHORT) for label in labels])
        axes.tick_params(axis="y", labelcolor=INK, labelsize=9)
        _percent_below(axes)

    height = max(1.3, 0.55 + 0.24 * len(labels))
    alt = f"Shares of {column.name}: " + "; ".join(
        f"{_short(label, 40)} " + " against ".join(f"{side[place]:.1%}" for side in widths)
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


def heat_map(names: Sequence[str], matrix: Sequence[Sequence[float | None]]) -> Picture:
    """Two-way distances: one square per pair of columns, the fuller the further apart."""
    shown = _worst(matrix)
    values = np.array(
        [[np.nan if matrix[i][j] is None else matrix[i][j] for j in shown] for i in shown],
        dtype=np.float64,
    )
    top = float(np.nanmax(values, initial=0.0)) or 1.0
    labels = [_short(names[i], _SHORT) for i in shown]

    def draw(axes: Axes) -> None:
        for row, column in zip(*np.nonzero(np.tril(np.isfinite(values), -1)), strict=True):
            strength = float(values[row, column]) / top
            corner = (float(column) - 0.46, float(row) - 0.46)
            axes.add_patch(Rectangle(corner, 0.92, 0.92, color=OTHER, alpha=strength, linewidth=0))
        axes.set_xlim(-0.5, max(0.5, len(shown) - 1.5))
        axes.set_ylim(max(1.5, len(shown) - 0.5), 0.5)
        axes.set_xticks(range(len(shown) - 1), labels[:-1], rotation=90)
        axes.set_yticks(range(1, len(shown)), labels[1:])
        axes.tick_params(labelcolor=INK, labelsize=8)
        _bare(axes, keep_x=True)

    side = 1.6 + 0.24 * len(shown)
    first, second, worst = _furthest(values, [names[i] for i in shown])
    return picture(
        "two-way",
        draw,
        size=(max(4.2, side), max(3.2, side - 0.3)),
        alt=f"Squares of the two-way distance between real and synthetic for {len(shown)} columns; "
        f"the largest is {worst:.3f}, for {first} with {second}.",
        caption=f"Distance between the real and the synthetic table for each pair of columns. Full "
        f"colour is {top:.3f}, no colour is 0; furthest apart: {first} with {second}.",
    )


def _worst(matrix: Sequence[Sequence[float | None]]) -> list[int]:
    """The columns to show, in their order: all, or those with the largest mean distance."""
    means = [float(np.mean([v for v in row if v is not None] or [0.0])) for row in matrix]
    chosen = sorted(range(len(means)), key=lambda i: -means[i])[:MOST_COLUMNS]
    return sorted(chosen)


def _furthest(values: np.ndarray, names: Sequence[str]) -> tuple[str, str, float]:
    if not np.isfinite(values).any():
        return "-", "-", 0.0
    row, column = divmod(int(np.nanargmax(values)), values.shape[1])
    return names[min(row, column)], names[max(row, column)], float(values[row, column])


def attack_curve(finding: Finding, statement: PrivacyStatement) -> Picture | None:
    """ROC of a membership attack beside the ceiling that the statement claims."""
    curves: Any = finding.curves
    if not curves.get("roc_fpr"):
        return None
    fpr, tpr = np.array(curves["roc_fpr"]), np.array(curves["roc_tpr"])
    floor = 0.5 / max(50, finding.rows_used.get("holdout", 1000))
    claim_fpr, claim_tpr = _claim(statement)

    def draw(axes: Axes) -> None:
        axes.fill_between(
            np.maximum(claim_fpr, floor), claim_tpr, 1.0, color=MAIN, alpha=0.10, linewidth=0
        )
        axes.plot(np.maximum(claim_fpr, floor), claim_tpr, color=MAIN, linewidth=1.6)
        axes.plot([floor, 1], [floor, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.step(np.maximum(fpr, floor), np.maximum(tpr, floor), where="post", color=OTHER, lw=2)
        axes.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(floor, 1.15))
        axes.text(
            0.03, 0.96, "ruled out by the claim", color=MAIN, va="top", transform=axes.transAxes
        )
        axes.text(0.97, 0.06, "this attack", color=OTHER, ha="right", transform=axes.transAxes)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
        axes.set_xlabel("outsiders wrongly accused")
        axes.set_ylabel("participants found")

    area = finding.figures.get("auroc")
    said = "" if area is None else f" Area under the curve {area.value:.3f}; guessing gives 0.5."
    return picture(
        f"roc-{finding.name}",
        draw,
        size=WIDE,
        alt=f"Attack curve of {finding.name} on logarithmic axes beside the claimed ceiling and "
        f"the line of blind guessing.{said}",
        caption=f"{finding.name}: what this attack achieved (orange), the ceiling that the "
        "guarantee claims (blue), blind guessing (dashed).",
    )


def distances(finding: Finding) -> Picture | None:
    """Distances of synthetic rows to the closest training row and the closest unseen row."""
    curves: Any = finding.curves
    if not curves.get("dcr_edges"):
        return None
    edges = np.array(curves["dcr_edges"])
    train, holdout = np.array(curves["dcr_train"]), np.array(curves["dcr_holdout"])

    def draw(axes: Axes) -> None:
        total = max(1.0, float(train.sum()))
        axes.stairs(train / total, edges, color=MAIN, fill=True, alpha=0.55, linewidth=0)
        axes.stairs(holdout / total, edges, color=OTHER, linewidth=1.8)
        _corner(axes, "to training rows", MAIN, 0.94)
        _corner(axes, "to unseen rows", OTHER, 0.84)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.set_xlabel("distance from a synthetic row to the closest real row")
        axes.set_ylim(bottom=0)
        axes.grid(visible=False, axis="x")

    share = finding.figures.get("share_closer_to_train")
    said = "" if share is None else f" {share.value:.1%} lie closer to training rows."
    return picture(
        "distances",
        draw,
        size=WIDE,
        alt="Two histograms of the distance from synthetic rows to the closest training row and "
        f"to the closest unseen row.{said}",
        caption="Two shapes that lie on each other are what a table without copies looks like.",
    )


def coverage(finding: Finding) -> Picture | None:
    """By column, the share of real values and ranges that the synthetic table reaches."""
    curves: Any = finding.curves
    names = list(curves.get("columns", ()))[:MOST_COLUMNS]
    if not names or not curves.get("coverage"):
        return None
    reached = np.array(curves["coverage"])[: len(names)]
    base = np.array(curves["coverage_baseline"])[: len(names)]

    def draw(axes: Axes) -> None:
        places = np.arange(len(names))[::-1]
        axes.barh(places, reached, color=MAIN, alpha=0.75, height=0.62)
        axes.plot(base, places, linestyle="", marker="|", color=OTHER, markersize=11, mew=2.4)
        axes.set_yticks(places, [_short(name, 22) for name in names])
        axes.tick_params(axis="y", labelcolor=INK, labelsize=9)
        axes.set_xlim(0, 1.02)
        _percent_below(axes)

    low = int(np.argmin(reached))
    return picture(
        "coverage",
        draw,
        size=(WIDE[0], 0.6 + 0.24 * len(names)),
        alt=f"Bars of the share of real values reached, for {len(names)} columns; lowest for "
        f"{names[low]} with {reached[low]:.0%}, where unseen real rows reach {base[low]:.0%}.",
        caption="Values and ranges of the training table that the synthetic table reaches (bars) "
        "and that as many unseen real rows reach (orange marks).",
    )


def _corner(axes: Axes, text: str, color: str, height: float) -> None:
    place: dict[str, Any] = {"ha": "right", "va": "top", "transform": axes.transAxes}
    axes.text(0.98, height, text, color=color, **place)


def _unit_square(axes: Axes) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.005))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def _percent_below(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.locator_params(axis="x", nbins=4)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_color(LINE)


def _bare(axes: Axes, *, keep_x: bool = False) -> None:
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if not keep_x:
        axes.set_xticks([])


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
