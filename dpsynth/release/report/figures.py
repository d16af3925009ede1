"""Pictures of the claim and of the columns. Each takes values and gives a `Picture`."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.report.columns import ColumnShares, tick
from dpsynth.release.report.drawing import (
    SHORT,
    WIDE,
    bare,
    claimed_curve,
    percent_below,
    short,
)
from dpsynth.release.report.svg import INK, MAIN, MUTED, OTHER, Picture, picture

SMALL = (3.5, 1.9)


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


def one_way(columns: Sequence[ColumnShares]) -> list[tuple[str, Picture]]:
    """One small picture per column: the synthetic values, and the real ones where they are kept."""
    return [
        (one.name, (_bars if one.edges is None else _histogram)(f"column-{place}", one))
        for place, one in enumerate(columns)
    ]


def _bars(name: str, column: ColumnShares) -> Picture:
    labels, sides = column.labels, column.sides

    def draw(axes: Axes) -> None:
        places = np.arange(len(labels))[::-1]
        axes.barh(places, sides[0], color=MAIN, height=0.66, alpha=0.75)
        for values in sides[1:]:
            axes.plot(values, places, linestyle="", marker="|", color=OTHER, markersize=13, mew=2.4)
        axes.set_yticks(places, [short(label, SHORT) for label in labels])
        axes.tick_params(axis="y", labelcolor=INK, labelsize=9)
        percent_below(axes)

    height = max(1.3, 0.55 + 0.24 * len(labels))
    alt = f"Shares of {column.name}: " + "; ".join(
        f"{short(label, 40)} " + " against ".join(f"{side[place]:.1%}" for side in sides)
        for place, label in enumerate(labels[:5])
    )
    return picture(name, draw, size=(SMALL[0], height), alt=alt + ".", caption=column.name)


def _histogram(name: str, column: ColumnShares) -> Picture:
    edges = np.array(column.edges)

    def draw(axes: Axes) -> None:
        axes.stairs(column.synthetic, edges, color=MAIN, fill=True, alpha=0.75, linewidth=0)
        for values in column.sides[1:]:
            axes.stairs(values, edges, color=OTHER, linewidth=1.8)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.locator_params(axis="both", nbins=4)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: tick(at, column.kind)))
        axes.tick_params(labelsize=9)
        axes.grid(visible=False, axis="x")

    low, high = (tick(edge, column.kind) for edge in (edges[0], edges[-1]))
    middle = " against ".join(column.medians)
    alt = f"Histogram of {column.name} from {low} to {high}, median {middle}."
    return picture(name, draw, size=SMALL, alt=alt, caption=column.name)


def _unit_square(axes: Axes) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.005))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
