"""Pictures of the audit's findings: made from real rows, for the internal edition alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from audits.result import Finding
from audits.statistics import Estimate
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.report.columns import MOST_COLUMNS
from dpsynth.release.report.drawing import (
    WIDE,
    claimed_curve,
    corner,
    percent_below,
    short,
)
from dpsynth.release.report.svg import INK, MAIN, MUTED, OTHER, PAPER, Picture, picture


def attack_curves(findings: Sequence[Finding], statement: PrivacyStatement) -> Picture | None:
    """ROC of the membership attacks, the strongest in bold, beside the ceiling that is claimed."""
    drawn = [finding for finding in findings if finding.curves.get("roc_fpr")]
    if not drawn:
        return None
    best = max(drawn, key=_area)
    floor = 0.5 / max(50, *(finding.rows_used.get("holdout", 1000) for finding in drawn))
    ceiling = _replacing(statement)

    def draw(axes: Axes) -> None:
        axes.fill_between(
            np.maximum(ceiling[0], floor), ceiling[1], 1.0, color=MAIN, alpha=0.10, linewidth=0
        )
        axes.plot(np.maximum(ceiling[0], floor), ceiling[1], color=MAIN, linewidth=1.6)
        axes.plot([floor, 1], [floor, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for finding in sorted(drawn, key=lambda item: item is best):
            fpr, tpr = (
                np.maximum(np.array(finding.curves[key]), floor) for key in ("roc_fpr", "roc_tpr")
            )
            width, alpha = (2.0, 1.0) if finding is best else (1.0, 0.45)
            axes.step(fpr, tpr, where="post", color=OTHER, linewidth=width, alpha=alpha)
        _log_rates(axes, floor)
        axes.text(
            0.03, 0.96, "ruled out by the claim", color=MAIN, va="top", transform=axes.transAxes
        )
        ground = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 2.0}
        name = short(best.name.replace("_", " "), 22)
        axes.text(0.97, 0.06, name, color=OTHER, ha="right", transform=axes.transAxes, bbox=ground)

    return picture(
        "roc",
        draw,
        size=WIDE,
        alt=f"Curves of {len(drawn)} membership attacks on logarithmic axes beside the claimed "
        f"ceiling and the line of blind guessing. The strongest is {best.name}, with an area under "
        f"the curve of {_area(best):.3f}; guessing gives 0.5.",
        caption=f"What the attacks achieved (orange, the strongest in bold: {best.name}), the "
        "ceiling that the guarantee claims for one row in place of another (blue), blind guessing "
        "(dashed).",
    )


def _area(finding: Finding) -> float:
    return finding.figures["auroc"].value if "auroc" in finding.figures else 0.5


def _replacing(statement: PrivacyStatement) -> tuple[np.ndarray, np.ndarray]:
    """The ceiling for telling a training row from one never seen: one takes the other's place.

    Removing a row and adding another are two steps: what is found after the first is what may be
    accused before the second (group privacy of f-DP: Dong, Roth and Su 2022, J. R. Stat. Soc. B
    84).
    """
    rates, found = claimed_curve(statement)
    return rates, np.interp(found, rates, found)


def _log_rates(axes: Axes, floor: float) -> None:
    axes.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(floor, 1.15))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    axes.set_xlabel("outsiders wrongly accused")
    axes.set_ylabel("participants found")


def attack_areas(findings: Sequence[Finding]) -> Picture | None:
    """AUROC of each membership attack with its interval: over all rows, and over those apart."""
    kinds = (("auroc", MAIN, -0.16), ("auroc_vulnerable", OTHER, 0.16))
    drawn = [finding for finding in findings if "auroc" in finding.figures]
    if not drawn:
        return None
    rows = [[finding.figures.get(key) for finding in drawn] for key, _, _ in kinds]
    known = [one for row in rows for one in row if one is not None]
    low = min(0.4, *(one.lower for one in known))
    high = max(0.6, *(one.upper for one in known))

    def draw(axes: Axes) -> None:
        axes.axvline(0.5, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for (_, colour, shift), row in zip(kinds, rows, strict=True):
            _dots(axes, row, colour, shift)
        _names_down(axes, [finding.name for finding in drawn])
        axes.set_xlim(low - 0.02, high + 0.02)
        axes.set_xlabel("area under the curve; guessing gives 0.5")

    said = "; ".join(f"{finding.name} {_area(finding):.3f}" for finding in drawn)
    return picture(
        "areas",
        draw,
        size=(WIDE[0], 0.8 + 0.34 * len(drawn)),
        alt=f"Area under the curve of each membership attack: {said}.",
        caption="Each attack over all rows (blue) and over the tenth of rows that stand apart most "
        "(orange), with intervals.",
    )


def criteria(findings: Sequence[Finding]) -> Picture | None:
    """Success of each disclosure attack: on training rows, on rows never seen, and by guessing."""
    kinds = (
        ("attack_rate", OTHER, -0.2),
        ("control_rate", MAIN, 0.0),
        ("baseline_rate", MUTED, 0.2),
    )
    drawn = [item for item in findings if all(key in item.figures for key, _, _ in kinds)]
    if not drawn:
        return None

    def draw(axes: Axes) -> None:
        for key, colour, shift in kinds:
            _dots(axes, [finding.figures[key] for finding in drawn], colour, shift)
        _names_down(axes, [finding.name for finding in drawn])
        axes.set_xlim(-0.02, 1.02)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.set_xlabel("share of successful tries")

    said = "; ".join(
        f"{finding.name} "
        + " against ".join(f"{finding.figures[key].value:.1%}" for key, _, _ in kinds[:2])
        for finding in drawn
    )
    return picture(
        "criteria",
        draw,
        size=(WIDE[0], 0.8 + 0.5 * len(drawn)),
        alt=f"Success on training rows against success on rows never seen: {said}.",
        caption="How often each attack succeeds on training rows (orange), on rows never seen "
        "(blue), and by guessing (grey). Only what orange has beyond blue was learned from the "
        "table about its participants.",
    )


def _dots(axes: Axes, row: Sequence[Estimate | None], colour: str, shift: float) -> None:
    """Points with their intervals, one below the other."""
    for place, one in enumerate(row):
        if one is not None:
            at = place + shift
            axes.plot([one.lower, one.upper], [at, at], color=colour, linewidth=1.6)
            axes.plot([one.value], [at], "o", color=colour, markersize=5)


def _names_down(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [short(name.replace("_", " "), 22) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", labelcolor=INK, labelsize=9)
    axes.grid(visible=False, axis="y")


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
        corner(axes, "to training rows", MAIN, 0.94)
        corner(axes, "to unseen rows", OTHER, 0.84)
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
        axes.set_yticks(places, [short(name, 22) for name in names])
        axes.tick_params(axis="y", labelcolor=INK, labelsize=9)
        axes.set_xlim(0, 1.02)
        percent_below(axes)

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
