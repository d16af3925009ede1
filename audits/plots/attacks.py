"""Plots of attacks: curves with the claim, small groups, success rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from audits.plots.drawing import (
    BLUE,
    GREY,
    ORANGE,
    PALETTE,
    RED,
    STYLES,
    intervals,
    plain,
    svg,
)
from audits.result import AuditResult, Claim, Finding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_GROUPS = 25


def curve(finding: Finding, result: AuditResult) -> str:
    """One attack's curve, with the claimed region."""
    return _curves([finding], result, salt=f"roc-{finding.name}")


def all_curves(findings: Sequence[Finding], result: AuditResult) -> str:
    """All attacks' curves in one plot."""
    return _curves(findings, result, salt="roc-all")


def _curves(findings: Sequence[Finding], result: AuditResult, *, salt: str) -> str:
    # Zero has no place on a logarithmic axis: show from one false positive in the holdout on.
    floor = min(0.5 / max(2, finding.rows_used.get("holdout", 1000)) for finding in findings)

    def draw(figure: Figure, axes: Axes) -> None:
        if result.claim is not None:
            _claimed(axes, result.claim, floor)
        axes.plot([floor, 1], [floor, 1], color=GREY, linestyle="--", label="guessing")
        for place, finding in enumerate(findings):
            fpr, tpr = (np.array(finding.curves[key]) for key in ("roc_fpr", "roc_tpr"))
            axes.step(
                np.maximum(fpr, floor),
                np.maximum(tpr, floor),
                where="post",
                color=PALETTE[place % len(PALETTE)],
                linestyle=STYLES[place // len(PALETTE) % len(STYLES)],
                label=finding.name,
            )
        axes.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(floor, 1.05))
        axes.set(xlabel="false-positive rate", ylabel="true-positive rate")
        axes.legend(loc="lower right", fontsize=7)

    return svg((5.4, 4.6) if len(findings) > 1 else (4.2, 3.8), draw, salt=salt)


def _claimed(axes: Axes, claim: Claim, floor: float) -> None:
    """Shade what no attacker can reach if the claim holds (for replacing one row).

    Kairouz, Oh and Viswanath, ICML 2015: TPR <= e^eps FPR + delta, and
    TPR <= 1 - e^-eps (1 - delta - FPR).
    """
    epsilon, delta = claim.replacing()
    fpr = np.geomspace(floor, 1.0, 400)
    factor = math.exp(min(epsilon, 50.0))
    limit = np.minimum(factor * fpr + delta, 1.0 - (1.0 - delta - fpr) / factor)
    limit = np.clip(limit, floor, 1.0)
    axes.fill_between(fpr, limit, 1.05, color=RED, alpha=0.12, linewidth=0)
    axes.plot(fpr, limit, color=RED, linewidth=1, label=f"claimed limit ({epsilon:g}, {delta:.2g})")


def groups(finding: Finding, result: AuditResult) -> str:
    """AUROC of the highest small groups with simultaneous intervals."""
    rows = finding.curves["groups"][:_MOST_GROUPS]
    place = np.arange(len(rows))

    def draw(figure: Figure, axes: Axes) -> None:
        axes.axvline(0.5, color=GREY, linestyle="--")
        triples = [(row["auroc"], row["lower"], row["upper"]) for row in rows]
        intervals(axes, place.tolist(), triples, BLUE)
        axes.set_yticks(place, plain([f"{row['group']} ({row['attack']})" for row in rows]))
        axes.invert_yaxis()
        axes.set(xlabel="AUROC; guessing is 0.5")

    return svg((6.0, 1.2 + 0.2 * len(rows)), draw, salt=f"groups-{finding.name}")


def rates(finding: Finding, result: AuditResult) -> str:
    """Success rates of a disclosure attack by sub-attack."""
    names = finding.curves["sub_attack"]
    place = np.arange(len(names))
    arms = (("attack", "training rows", ORANGE), ("control", "rows never seen", BLUE))

    def draw(figure: Figure, axes: Axes) -> None:
        for shift, (key, label, colour) in zip((-0.2, 0.2), arms, strict=True):
            axes.barh(place + shift, finding.curves[key], height=0.38, color=colour, label=label)
        axes.plot(finding.curves["baseline"], place, "|", color="black", ms=12, label="guessing")
        axes.set_yticks(place, plain(names))
        axes.invert_yaxis()
        axes.set(xlim=(0, 1), xlabel="share of successful attempts")
        figure.legend(loc="outside upper center", ncols=3)

    return svg((6.0, 1.3 + 0.3 * len(names)), draw, salt=f"rates-{finding.name}")
