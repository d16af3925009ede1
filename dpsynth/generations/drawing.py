"""Small multiples: one panel for each measure, one line for each mode, theory dashed."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dpsynth.generations.curves import MEASURES, Measure
from dpsynth.generations.result import INTERNAL, Collapse, Curve
from dpsynth.release.report.svg import Picture, picture

#: Told apart by colour-blind readers (Okabe and Ito 2008) and by their marks; each has a contrast
#: of about 3 to 1 or more on white and on near-black.
COLOURS = ("#0079bd", "#d55e00", "#009e73", "#c2689a", "#a88600", "#7a7f87")
MARKS = ("o", "s", "^", "D", "v", "P")

_HIDDEN = ("variance_ratio",)  # the same as the log variance beside it; it stays in the table
_SIZE = (4.3, 2.7)
_LEAST_SPAN = 0.02  # below it a panel would show scatter as if it were a fall
_DASHES = (0, (3, 2.2))
_THEORY = "dashed: what an ideal refit is expected to do"
_LIGHT: dict[Any, Any] = {
    "text.parse_math": False,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8d939b",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e2e4e8",
    "grid.linewidth": 0.6,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "legend.frameon": False,
}


def shown(result: Collapse) -> tuple[Measure, ...]:
    """The measures that have a panel: those with a figure in every generation."""
    return tuple(
        measure
        for measure in MEASURES
        if measure.key not in _HIDDEN
        and all(None not in curve.figures[measure.key] for curve in result.curves)
    )


def pictures(result: Collapse) -> list[tuple[Measure, Picture]]:
    """A picture for each measure, as SVG that takes ink and grid from the page around it."""
    return [
        (
            measure,
            picture(
                f"generations-{measure.key}",
                lambda axes, measure=measure: _panel(axes, result, measure),  # type: ignore[misc]
                size=_SIZE,
                alt=_words(result, measure),
                caption=measure.meaning,
            ),
        )
        for measure in shown(result)
    ]


def draw_all(result: Collapse) -> Figure:
    """All panels in one figure on white, with a legend."""
    measures = shown(result)
    columns = min(4, len(measures))
    rows = -(-len(measures) // columns)
    with matplotlib.rc_context(_LIGHT):
        figure = Figure(figsize=(3.5 * columns, 2.75 * rows + 0.9), layout="constrained")
        FigureCanvasAgg(figure)
        for place, measure in enumerate(measures):
            axes = figure.add_subplot(rows, columns, place + 1)
            _panel(axes, result, measure)
            axes.set_title(measure.title, fontsize=10.5)
        figure.legend(
            handles=[*(_handle(place, c) for place, c in enumerate(result.curves)), _dashed()],
            loc="outside upper center",
            ncols=len(result.curves) + 1,
        )
        figure.text(0.5, -0.01, INTERNAL, ha="center", va="top", fontsize=8.5, color="#5a626c")
    return figure


def write_png(result: Collapse, path: Path) -> None:
    """The figure of all panels as a PNG file, the same bytes for the same figures."""
    draw_all(result).savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})


def _panel(axes: Axes, result: Collapse, measure: Measure) -> None:
    for place, curve in enumerate(result.curves):
        colour = COLOURS[place % len(COLOURS)]
        values = curve.figures[measure.key]
        theory = curve.theory.get(measure.key)
        if theory is not None:
            axes.plot(range(len(theory)), theory, color=colour, linestyle=_DASHES, linewidth=1.2)
        axes.plot(
            range(len(values)),
            [float("nan") if value is None else value for value in values],
            color=colour,
            marker=MARKS[place % len(MARKS)],
            markersize=4.5,
            linewidth=1.8,
        )
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_xlabel("generation (0: real)")
    axes.margins(y=0.1)
    low, high = axes.get_ylim()
    if high - low < _LEAST_SPAN:
        middle = (low + high) / 2
        axes.set_ylim(middle - _LEAST_SPAN / 2, middle + _LEAST_SPAN / 2)


def _handle(place: int, curve: Curve) -> Line2D:
    return Line2D(
        [],
        [],
        color=COLOURS[place % len(COLOURS)],
        marker=MARKS[place % len(MARKS)],
        label=curve.mode,
    )


def _dashed() -> Line2D:
    return Line2D([], [], color="#5a626c", linestyle=_DASHES, linewidth=1.2, label=_THEORY)


def _words(result: Collapse, measure: Measure) -> str:
    ends = "; ".join(
        f"{curve.mode} from {curve.figures[measure.key][0]:.3g} to "
        f"{curve.figures[measure.key][-1]:.3g}"
        for curve in result.curves
    )
    return f"{measure.title} by generation: {ends}."
