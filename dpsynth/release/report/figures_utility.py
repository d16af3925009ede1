"""Pictures of how near the synthetic table is to the real one: made from real rows, internal alone.

Two tables beside each other are two pictures, so that a phone can put them one below the other.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from audits.result import Finding
from audits.statistics import Estimate
from dpsynth.release.report.columns import MOST_COLUMNS
from dpsynth.release.report.drawing import SHORT, WIDE, bare, corner, short, squares
from dpsynth.release.report.svg import INK, LINE, MAIN, MUTED, OTHER, Picture, picture

#: Columns of a map whose names can still be read on a phone.
FITS_A_PHONE = 12

#: Characters of a target's name.
_LONG = 22


def heat_map(finding: Finding) -> Picture | None:
    """Two-way distances: one square per pair of columns, the fuller the further apart."""
    matrix = finding.curves.get("tvd2_matrix")
    if not matrix:
        return None
    values = _numbers(matrix)
    shown = _worst(values)
    values, names = values[np.ix_(shown, shown)], [finding.curves["columns"][i] for i in shown]
    top = float(np.nanmax(values, initial=0.0)) or 1.0
    first, second, worst = _furthest(values, names)
    return _triangle(
        "two-way",
        names,
        ((values / top, OTHER),),
        alt=f"Squares of the two-way distance between real and synthetic for {len(names)} columns; "
        f"the largest is {worst:.3f}, for {first} with {second}.",
        caption=f"Distance between the real and the synthetic table for each pair of columns. Full "
        f"colour is {top:.3f}, no colour is 0; furthest apart: {first} with {second}.",
    )


def correlations(finding: Finding) -> tuple[Picture, ...]:
    """How strongly columns go together: in the real table, and in the synthetic one."""
    curves = finding.curves
    names = list(curves.get("columns", ()))
    if len(names) < 2 or not curves.get("correlation_real"):
        return ()
    sides = [_numbers(curves[f"correlation_{side}"]) for side in ("real", "synthetic")]
    shown = _worst(np.abs(sides[0] - sides[1]))
    sides, names = [side[np.ix_(shown, shown)] for side in sides], [names[i] for i in shown]
    first, second, apart = _furthest(np.abs(sides[0] - sides[1]), names)
    words = (
        f"Real rows. Blue: both rise together, or go together; orange: one falls as the other "
        f"rises. Full colour is 1, no colour is 0. Compare {first} with {second}, which differ "
        f"most: by {apart:.2f}.",
        "Synthetic rows, in the same colours.",
    )
    return tuple(
        _triangle(
            f"correlation-{side}",
            names,
            ((values, MAIN), (-values, OTHER)),
            title=f"{side} rows",
            least=3.2,
            alt=f"Squares of the strength of association of {len(names)} columns in {side} rows; "
            + _strongest(values, names),
            caption=caption,
        )
        for side, values, caption in zip(("real", "synthetic"), sides, words, strict=True)
    )


def learning(finding: Finding) -> Picture | None:
    """Models learnt from synthetic rows beside models learnt from real ones, tested on real rows.

    On one scale for all targets: 0 is guessing, 1 is perfect. The means have their intervals.
    """
    curves: Any = finding.curves
    targets = list(curves.get("targets", ()))
    if not targets:
        return None
    arms = (("trtr", OTHER, -0.14), ("tstr", MAIN, 0.14))
    points = {arm: _skills(curves[arm], curves["scores"]) for arm, _, _ in arms}
    means = _mean_skills(finding)
    labels = [*targets, *means]

    def draw(axes: Axes) -> None:
        axes.axvline(0.0, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for arm, colour, shift in arms:
            places = np.arange(len(targets)) + shift
            axes.plot(points[arm], places, "o", color=colour, markersize=6)
            for place, mean in enumerate(means.values(), start=len(targets)):
                one, at = mean[arm], place + shift
                axes.plot([one.lower, one.upper], [at, at], color=colour, linewidth=1.8)
                axes.plot([one.value], [at], "D", color=colour, markersize=5)
        if means:
            axes.axhline(len(targets) - 0.5, color=LINE, linewidth=1)
        axes.set_yticks(range(len(labels)), [short(label, _LONG) for label in labels])
        axes.set_ylim(len(labels) - 0.5, -0.5)
        low = min(0.0, *points["trtr"], *points["tstr"])
        axes.set_xlim(low - 0.05, 1.05)
        axes.tick_params(axis="y", labelcolor=INK, labelsize=9)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("skill: 0 is guessing, 1 is perfect")

    said = "; ".join(
        f"{target} {made:.2f} against {real:.2f}"
        for target, made, real in zip(targets, points["tstr"], points["trtr"], strict=True)
    )
    return picture(
        "learning",
        draw,
        size=(WIDE[0], 0.8 + 0.42 * len(labels)),
        alt="Skill of models learnt from synthetic rows against models learnt from real rows, by "
        f"target: {said}.",
        caption="Train on synthetic, test on real: how well a target is predicted on real rows by "
        f"a model learnt from synthetic rows (blue) and from real rows (orange).{_kept(finding)}",
    )


def _skills(scores: Sequence[float], kinds: Sequence[str]) -> list[float]:
    """On the common scale: areas under the curve have their guessing at 0.5."""
    pairs = zip(scores, kinds, strict=True)
    return [2.0 * score - 1.0 if kind == "auroc" else score for score, kind in pairs]


def _mean_skills(finding: Finding) -> dict[str, dict[str, Estimate]]:
    """The means over the targets of a kind, by their label, for each arm."""
    means: dict[str, dict[str, Estimate]] = {}
    for kind, label in (("auroc", "mean of categories"), ("rank_correlation", "mean of numbers")):
        arms = [finding.figures.get(f"tstr_{kind}_mean{end}") for end in ("", "_baseline")]
        if kind in finding.curves["scores"] and arms[0] is not None and arms[1] is not None:
            synthetic, real = (_as_skill(one, kind) for one in arms if one is not None)
            means[label] = {"tstr": synthetic, "trtr": real}
    return means


def _as_skill(one: Estimate, kind: str) -> Estimate:
    value, lower, upper = _skills((one.value, one.lower, one.upper), (kind,) * 3)
    return Estimate(value=value, lower=lower, upper=upper, confidence=one.confidence)


def _kept(finding: Finding) -> str:
    ratio = finding.figures.get("tstr_ratio")
    if ratio is None:
        return ""
    return (
        f" Of the skill that real rows give, {ratio.value:.0%} is kept ({ratio.lower:.0%} to "
        f"{ratio.upper:.0%})."
    )


def _triangle(
    name: str,
    names: Sequence[str],
    layers: Sequence[tuple[np.ndarray, str]],
    *,
    alt: str,
    caption: str,
    title: str = "",
    least: float = 4.2,
) -> Picture:
    """One square per pair of columns, its strength from 0 to 1 in each layer's colour."""
    count = len(names)
    labels = [short(one, SHORT) for one in names]

    def draw(axes: Axes) -> None:
        for strengths, colour in layers:
            squares(axes, strengths, colour)
        axes.set_xlim(-0.5, max(0.5, count - 1.5))
        axes.set_ylim(max(1.5, count - 0.5), 0.5)
        axes.set_xticks(range(count - 1), labels[:-1], rotation=90)
        axes.set_yticks(range(1, count), labels[1:])
        axes.tick_params(labelcolor=INK, labelsize=9 if count <= FITS_A_PHONE else 8)
        bare(axes, keep_x=True)
        corner(axes, title, INK, 1.0)

    side = max(least, 1.6 + 0.24 * count) if count > FITS_A_PHONE else least
    size = (side, side - 0.3)
    return picture(name, draw, size=size, alt=alt, caption=caption, wide=count > FITS_A_PHONE)


def _numbers(matrix: Sequence[Sequence[float | None]]) -> np.ndarray:
    """A matrix (c, c), NaN where nothing was measured."""
    rows = [[np.nan if value is None else value for value in row] for row in matrix]
    return np.array(rows, dtype=np.float64)


def _worst(apart: np.ndarray) -> list[int]:
    """The columns to show, in their order: all, or those with the largest mean distance."""
    counts = np.maximum(1, np.isfinite(apart).sum(axis=1))
    means = np.nansum(apart, axis=1) / counts
    chosen = sorted(range(len(means)), key=lambda i: -means[i])[:MOST_COLUMNS]
    return sorted(chosen)


def _furthest(values: np.ndarray, names: Sequence[str]) -> tuple[str, str, float]:
    """The pair of columns with the largest value below the diagonal, and that value."""
    pairs = np.where(np.tri(len(values), k=-1, dtype=bool), values, np.nan)
    if not np.isfinite(pairs).any():
        return "-", "-", 0.0
    row, column = divmod(int(np.nanargmax(pairs)), values.shape[1])
    return names[column], names[row], float(values[row, column])


def _strongest(values: np.ndarray, names: Sequence[str]) -> str:
    first, second, _ = _furthest(np.abs(values), names)
    value = values[list(names).index(first), list(names).index(second)]
    return f"the strongest is {value:.2f}, for {first} with {second}."
