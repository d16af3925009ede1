"""The plots of an audit as SVG text; equal findings give equal bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from audits.result import Finding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREY = "#2a6f97", "#e07a1f", "#8a8a8a"


def plots(finding: Finding) -> list[tuple[str, str]]:
    """(caption, SVG) for whatever this finding has curves for; an empty list is no fault."""
    return [
        (caption, draw(finding)) for needed, caption, draw in _PLOTS if finding.curves.get(needed)
    ]


def _svg(size: tuple[float, float], draw: Callable[[Figure, Axes], None], salt: str) -> str:
    # Imported here: an audit without a report needs no plotting library.
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # A fixed salt and no date keep the bytes the same from run to run.
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure, figure.subplots())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def _roc(finding: Finding) -> str:
    fpr, tpr = (np.array(finding.curves[key]) for key in ("roc_fpr", "roc_tpr"))
    # Zero has no place on a logarithmic axis: show from one false positive in the holdout on.
    floor = 0.5 / max(2, finding.rows_used.get("holdout", 1000))

    def draw(figure: Figure, axes: Axes) -> None:
        axes.plot([floor, 1], [floor, 1], color=_GREY, linestyle="--", label="guessing")
        axes.step(np.maximum(fpr, floor), np.maximum(tpr, floor), where="post", color=_BLUE)
        axes.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(floor, 1.05))
        axes.set(xlabel="false-positive rate", ylabel="true-positive rate")
        axes.legend(loc="lower right")

    return _svg((4.2, 3.8), draw, f"roc-{finding.name}")


def _distances(finding: Finding) -> str:
    edges = np.array(finding.curves["dcr_edges"])

    def draw(figure: Figure, axes: Axes) -> None:
        for key, colour, label in (
            ("dcr_train", _ORANGE, "to train"),
            ("dcr_holdout", _BLUE, "to holdout"),
        ):
            axes.stairs(np.array(finding.curves[key]), edges, color=colour, label=label)
        axes.set(xlabel="distance to the closest real row (Gower)", ylabel="synthetic rows")
        axes.legend()

    return _svg((5.2, 3.2), draw, f"dcr-{finding.name}")


def _coverage(finding: Finding) -> str:
    names = [str(name) for name in finding.curves["columns"]]
    place = np.arange(len(names))

    def draw(figure: Figure, axes: Axes) -> None:
        axes.barh(place, finding.curves["coverage"], color=_ORANGE, label="synthetic")
        axes.plot(finding.curves["coverage_baseline"], place, "|", color=_BLUE, label="holdout")
        axes.set_yticks(place, _plain(names))
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.02), xlabel="share of the training table's values that occur")
        figure.legend(loc="outside upper center", ncols=2)

    return _svg((5.2, 1.2 + 0.22 * len(names)), draw, f"coverage-{finding.name}")


def _heat_map(finding: Finding) -> str:
    names = [str(name) for name in finding.curves["columns"]]
    matrix = np.array(finding.curves["tvd2_matrix"], dtype=np.float64)

    def draw(figure: Figure, axes: Axes) -> None:
        image = axes.imshow(matrix, cmap="viridis", vmin=0.0)
        place = np.arange(len(names))
        axes.set_xticks(place, _plain(names), rotation=90)
        axes.set_yticks(place, _plain(names))
        figure.colorbar(image, label="two-way total variation distance")

    side = 2.4 + 0.2 * len(names)
    return _svg((side + 1.0, side), draw, f"tvd2-{finding.name}")


def _plain(names: list[str]) -> list[str]:
    """Column names as they are: a dollar sign would otherwise start a formula."""
    return [name.replace("$", r"\$") for name in names]


_PLOTS: tuple[tuple[str, str, Callable[[Finding], str]], ...] = (
    ("roc_fpr", "How well the attack tells training rows from rows never seen.", _roc),
    ("dcr_edges", "Distance of synthetic rows to their closest real row.", _distances),
    ("coverage", "Values and ranges of the training table that still occur.", _coverage),
    ("tvd2_matrix", "Distance of the two-way counts from the training table's.", _heat_map),
)
