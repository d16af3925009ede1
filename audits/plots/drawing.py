"""Figures as SVG text: one look for all plots, and equal data give equal bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY, RED = "#2a6f97", "#e07a1f", "#8a8a8a", "#b00020"
# Distinct in hue and, through the line styles beside them, for readers who do not see hues.
PALETTE = ("#2a6f97", "#e07a1f", "#3a7d44", "#8e4585", "#b08900", "#555555", "#c2185b", "#00838f")
STYLES = ("-", "--", "-.", ":")

Draw = Callable[["Figure", Any], None]


def svg(size: tuple[float, float], draw: Draw, *, salt: str, panels: int = 1) -> str:
    """The drawing as an `<svg>` element.

    Args:
        size: inches.
        draw: gets the figure and its axes (one, or an array of `panels` side by side).
        salt: fixes the identifiers inside; different for each plot of a page.
        panels: how many axes side by side.
    """
    # Imported here: an audit without a report needs no plotting library.
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # A fixed salt and no date keep the bytes the same from run to run.
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure, figure.subplots(1, panels))
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def plain(names: Sequence[object]) -> list[str]:
    """Names as they are: a dollar sign would otherwise start a formula; long ones are cut."""
    return [_cut(str(name)).replace("$", r"\$") for name in names]


def _cut(name: str, longest: int = 32) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def intervals(
    axes: Axes, places: Sequence[float], rows: Sequence[tuple[float, float, float]], colour: str
) -> None:
    """Points with horizontal intervals: (value, lower, upper) at each place."""
    values = [row[0] for row in rows]
    arms = [[row[0] - row[1] for row in rows], [row[2] - row[0] for row in rows]]
    axes.errorbar(values, places, xerr=arms, fmt="o", color=colour, markersize=4, capsize=2)
