"""The figure of a benchmark: utility against the time of the fit, for every system.

    python benchmarks/utility_figure.py RESULTS.json -o docs/utility.svg [--epsilon 1]

RESULTS.json is what `utility.py --json` wrote. One column a table: above, how far the 3-way
marginals are from those of the training rows, with a dotted line for real held-out rows; below, the
ROC AUC on real rows of a classifier trained on synthetic ones, with a dotted line for one trained
on real rows. Points are medians over the seeds; bars reach from the smallest to the largest. OUT is
an SVG or a PNG.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from utility_cache import DONE

Row = dict[str, Any]
REAL = {"tvd3": "tvd3_floor", "tstr_auc": "trtr_auc"}
"""What real rows reach in each panel."""
LABELS = {
    "dpsynth": ("dpsynth", "#0b5fa5", "o"),
    "independent": ("independent columns", "#7a7a7a", "s"),
    "aim": ("AIM", "#c2410c", "D"),
    "mst": ("MST", "#b8860b", "^"),
    "dpctgan": ("DPCTGAN", "#7b3294", "v"),
    "tabularargn": ("TabularARGN", "#1b7837", "P"),
}
PANELS = {
    "tvd3": "3-way TVD\n(lower is better)",
    "tstr_auc": "AUC on real rows\n(higher is better)",
}
STYLE: dict[Any, Any] = {"font.size": 12, "svg.hashsalt": "utility", "axes.spines.top": False}
STYLE |= {"axes.spines.right": False, "svg.fonttype": "path"}


def draw(rows: list[Row], out: Path, epsilon: float) -> None:
    """Write the figure.

    Raises:
        SystemExit: no finished run at this epsilon.
    """
    done = [row for row in rows if row["status"] == DONE and row["epsilon"] == epsilon]
    tables = list(dict.fromkeys(row["table"] for row in done))
    if not done:
        known = sorted({row["epsilon"] for row in rows if row["status"] == DONE})
        raise SystemExit(f"no finished run at epsilon {epsilon:g}; the results have {known}")
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            2, len(tables), figsize=(3.5 * len(tables) + 1, 7.2), sharex=True, squeeze=False
        )
        for column, table in enumerate(tables):
            mine = [row for row in done if row["table"] == table]
            for line, measure in enumerate(PANELS):
                _panel(grid[line][column], mine, measure)
            grid[0][column].set_title(table.replace("_", " "), fontsize=13)
        _name_axes(figure, grid, epsilon)
        figure.savefig(out, dpi=110, metadata={"Date": None} if out.suffix == ".svg" else None)
    plt.close(figure)


def _panel(axes: Axes, rows: list[Row], measure: str) -> None:
    for system, (name, colour, mark) in LABELS.items():
        mine = [row for row in rows if row["system"] == system]
        if not mine:
            continue
        across, up = ([row[key] for row in mine] for key in ("fit_s", measure))
        x, y = statistics.median(across), statistics.median(up)
        spread: dict[str, Any] = {
            "xerr": _reach(across, x),
            "yerr": _reach(up, y),
            "elinewidth": 1.5,
        }
        axes.errorbar(x, y, fmt=mark, color=colour, ms=9, label=name, **spread)
    axes.axhline(rows[0][REAL[measure]], color="#444444", lw=1.5, ls=":")
    axes.set_xscale("log")
    if measure == "tvd3":
        _log_upwards(axes)
    axes.margins(x=0.25, y=0.15)
    axes.grid(True, color="#e5e5e5", lw=0.8)
    axes.set_axisbelow(True)


def _log_upwards(axes: Axes) -> None:
    """So that a system far off does not flatten the others."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _reach(values: list[float], middle: float) -> list[list[float]]:
    return [[middle - min(values)], [max(values) - middle]]


def _name_axes(figure: Any, grid: Any, epsilon: float) -> None:
    for line, title in enumerate(PANELS.values()):
        grid[line][0].set_ylabel(title)
    for axes in grid[1]:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g} s"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    named = {name: mark for axes in grid.flat for mark, name in zip(*_legend(axes), strict=True)}
    order = [name for name, _, _ in LABELS.values() if name in named]
    figure.legend(
        [named[n] for n in order], order, ncols=len(order), loc="lower center", frameon=False
    )
    figure.suptitle(f"Utility against the time of the fit, epsilon {epsilon:g} (dotted: real rows)")
    figure.tight_layout(rect=(0, 0.06, 1, 1))


def _legend(axes: Axes) -> tuple[list[Any], list[str]]:
    marks, names = axes.get_legend_handles_labels()
    return marks, names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--epsilon", type=float, default=1.0)
    given = parser.parse_args()
    draw(json.loads(given.results.read_text())["results"], given.out, given.epsilon)


if __name__ == "__main__":
    main()
