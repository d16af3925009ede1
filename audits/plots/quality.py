"""Plots of distances, diversity, fidelity and utility."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from audits.plots.drawing import BLUE, ORANGE, plain, svg
from audits.result import AuditResult, Finding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def distances(finding: Finding, result: AuditResult) -> str:
    """Distances to the closest training row and to the closest holdout row."""
    edges = np.array(finding.curves["dcr_edges"])

    def draw(figure: Figure, axes: Axes) -> None:
        for key, colour, label in (
            ("dcr_train", ORANGE, "to train"),
            ("dcr_holdout", BLUE, "to holdout"),
        ):
            axes.stairs(np.array(finding.curves[key]), edges, color=colour, label=label)
        axes.set(xlabel="distance to the closest real row (Gower)", ylabel="synthetic rows")
        axes.legend()

    return svg((5.2, 3.2), draw, salt=f"dcr-{finding.name}")


def coverage(finding: Finding, result: AuditResult) -> str:
    """Share of each column's values that still occur."""
    names = finding.curves["columns"]
    place = np.arange(len(names))

    def draw(figure: Figure, axes: Axes) -> None:
        axes.barh(place, finding.curves["coverage"], color=ORANGE, label="synthetic")
        axes.plot(finding.curves["coverage_baseline"], place, "|", color=BLUE, ms=10, label="real")
        axes.set_yticks(place, plain(names))
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.02), xlabel="share of the training table's values that occur")
        figure.legend(loc="outside upper center", ncols=2)

    return svg((5.2, 1.2 + 0.22 * len(names)), draw, salt=f"coverage-{finding.name}")


def heat_map(finding: Finding, result: AuditResult) -> str:
    """Two-way distances of counts, pair by pair."""
    names = finding.curves["columns"]
    matrix = np.array(finding.curves["tvd2_matrix"], dtype=np.float64)

    def draw(figure: Figure, axes: Axes) -> None:
        image = axes.imshow(matrix, cmap="viridis", vmin=0.0)
        _ticks(axes, names)
        figure.colorbar(image, label="two-way total variation distance")

    side = 2.4 + 0.2 * len(names)
    return svg((side + 1.0, side), draw, salt=f"tvd2-{finding.name}")


def associations(finding: Finding, result: AuditResult) -> str:
    """Two matrices side by side, on one scale."""
    names = finding.curves["columns"]

    def draw(figure: Figure, axes: Any) -> None:
        for panel, key, title in zip(
            axes, ("correlation_real", "correlation_synthetic"), ("real", "synthetic"), strict=True
        ):
            matrix = np.array(finding.curves[key], dtype=np.float64)
            image = panel.imshow(matrix, cmap="RdBu_r", vmin=-1.0, vmax=1.0)
            panel.set_title(title)
            _ticks(panel, names)
        figure.colorbar(image, ax=axes, label="association")

    side = 2.2 + 0.18 * len(names)
    return svg((2.0 * side + 1.2, side), draw, salt=f"assoc-{finding.name}", panels=2)


def utility(finding: Finding, result: AuditResult) -> str:
    """Scores of models trained on synthetic and on real rows, by target."""
    names = finding.curves["targets"]
    place = np.arange(len(names))

    def draw(figure: Figure, axes: Axes) -> None:
        for shift, key, label, colour in (
            (-0.2, "tstr", "trained on synthetic", ORANGE),
            (0.2, "trtr", "trained on real", BLUE),
        ):
            axes.barh(place + shift, finding.curves[key], height=0.38, color=colour, label=label)
        axes.set_yticks(place, plain(names))
        axes.invert_yaxis()
        axes.set(xlabel="AUROC, or rank correlation for numbers, on unseen real rows")
        figure.legend(loc="outside upper center", ncols=2)

    return svg((5.6, 1.3 + 0.35 * len(names)), draw, salt=f"utility-{finding.name}")


def _ticks(axes: Axes, names: list[str]) -> None:
    place = np.arange(len(names))
    axes.set_xticks(place, plain(names), rotation=90)
    axes.set_yticks(place, plain(names))
