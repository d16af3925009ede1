"""What several pictures of the report share: sizes, short names, bare axes, the claimed curve."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import PercentFormatter

from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.report.svg import LINE

WIDE = (4.7, 3.0)
SHORT = 16

#: Strengths of colour that a map tells apart.
LEVELS = 40


def claimed_curve(statement: PrivacyStatement) -> tuple[np.ndarray, np.ndarray]:
    """False-positive rates (n,) and the largest true-positive rates (n,)."""
    curve = np.array(sorted(statement.tradeoff), dtype=np.float64).reshape(-1, 2)
    return curve[:, 0], 1.0 - curve[:, 1]


def corner(axes: Axes, text: str, color: str, height: float) -> None:
    """A word at the right edge, at a share of the height."""
    place: dict[str, Any] = {"ha": "right", "va": "top", "transform": axes.transAxes}
    axes.text(0.98, height, text, color=color, **place)


def percent_below(axes: Axes) -> None:
    """Shares as per cent on the x axis, no lines across the bars."""
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.locator_params(axis="x", nbins=4)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_color(LINE)


def bare(axes: Axes, *, keep_x: bool = False) -> None:
    """No frame and no grid; no x axis either unless it is kept."""
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if not keep_x:
        axes.set_xticks([])


def squares(axes: Axes, strengths: np.ndarray, colour: str) -> None:
    """Squares below the diagonal of a matrix (c, c), the fuller the nearer to 1.

    All squares of one strength are one path: a map of 40 columns stays small.
    """
    levels = np.round(np.clip(np.nan_to_num(strengths), 0.0, 1.0) * LEVELS).astype(int)
    levels = np.tril(levels, -1)
    for level in np.unique(levels[levels > 0]):
        parts = [
            _square(float(column), float(row))
            for row, column in zip(*np.nonzero(levels == level), strict=True)
        ]
        path = Path.make_compound_path(*parts)
        axes.add_patch(PathPatch(path, color=colour, alpha=level / LEVELS, linewidth=0))


def _square(x: float, y: float) -> Path:
    half = 0.46
    ends = [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
    return Path([*ends, ends[0]], closed=True)


def short(text: str, most: int) -> str:
    """The text in `most` characters (at least 6), cut before its end, where names often differ."""
    return text if len(text) <= most else f"{text[: most - 5]}…{text[-4:]}"
