"""The figure of the generators: closeness and usefulness against epsilon, a column a table."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from generators_report import epsilons, medians, told
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from utility_cache import DONE

Row = dict[str, Any]
PANELS = {
    "tvd2": ("2-way TVD\n(lower is better)", "tvd2_floor"),
    "tstr_auc": ("AUC on real rows\n(higher is better)", "trtr_auc"),
    "c2st_auc": ("told from real rows, AUC\n(0.5 is perfect)", None),
}
"""Title of each panel, and the figure that real rows reach in it."""
MARKS = {
    "autoregressive": ("#0b5fa5", "o"),
    "vae": ("#c2410c", "D"),
    "gan": ("#7b3294", "v"),
    "diffusion": ("#1b7837", "P"),
    "independent": ("#7a7a7a", "s"),
}
_OTHER = ("#444444", "x")
BASELINE = "independent"
STYLE: dict[Any, Any] = {"font.size": 12, "svg.hashsalt": "generators"}
STYLE |= {"axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "path"}


def draw(rows: Sequence[Row], out: Path) -> None:
    """Write the figure, an SVG or PNG.

    Raises:
        SystemExit: no run is finished.
    """
    done = [row for row in rows if row["status"] == DONE]
    if not done:
        raise SystemExit("no finished run to draw")
    tables = list(dict.fromkeys(row["table"] for row in done))
    size = (max(3.2 * len(tables) + 1.4, 6.5), 9.6)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(len(PANELS), len(tables), figsize=size, squeeze=False)
        for column, table in enumerate(tables):
            mine = [row for row in done if row["table"] == table]
            for line, measure in enumerate(PANELS):
                _panel(grid[line][column], mine, measure)
            grid[0][column].set_title(_title(mine), fontsize=12)
            grid[-1][column].set_xlabel("epsilon")
        for line, (title, _) in enumerate(PANELS.values()):
            grid[line][0].set_ylabel(title)
        _name_lines(figure, grid)
        figure.savefig(out, dpi=110, metadata={"Date": None} if out.suffix == ".svg" else None)
    plt.close(figure)


def _title(rows: Sequence[Row]) -> str:
    return f"{rows[0]['table'].replace('_', ' ')}\n{rows[0]['facts']['rows']:,} rows"


def _panel(axes: Axes, rows: Sequence[Row], measure: str) -> None:
    steps = epsilons(rows)
    for name in sorted({row["system"] for row in rows}, key=_order):
        places = [
            (at, medians(cell, name)[measure])
            for at, epsilon in enumerate(steps)
            if medians(cell := [r for r in rows if r["epsilon"] == epsilon], name)
        ]
        if measure == "tstr_auc" and name == BASELINE and places:
            _say_below(axes, [value for _, value in places])
            continue
        colour, mark = MARKS.get(name, _OTHER)
        private = [place for place in places if steps[place[0]] is not None]
        bare = [place for place in places if steps[place[0]] is None]
        style: dict[str, Any] = {"color": colour, "marker": mark, "ms": 8}
        axes.plot(*_across_and_up(private), label=name, lw=1.8, **style)
        axes.plot(*_across_and_up(bare), ls="none", mfc="none", mew=1.8, **style)
    floor = PANELS[measure][1]
    level = 0.5 if floor is None else statistics.median(row[floor] for row in rows)
    axes.axhline(level, color="#444444", lw=1.5, ls=":")
    axes.set_xticks(range(len(steps)), [told(e).replace("no privacy", "none") for e in steps])
    if measure == "tvd2":
        _log_upwards(axes)
    axes.margins(x=0.12, y=0.14)
    axes.grid(True, color="#e5e5e5", lw=0.8)
    axes.set_axisbelow(True)


def _say_below(axes: Axes, values: Sequence[float]) -> None:
    """The baseline knows nothing to predict by; drawn, it would flatten all others."""
    reach = f"{min(values):.2f} to {max(values):.2f}"
    words = f"{BASELINE}: {reach}"
    place: dict[str, Any] = {"xy": (0.5, 0.03), "xycoords": "axes fraction"}
    axes.annotate(words, ha="center", color=MARKS[BASELINE][0], fontsize=10, **place)


def _log_upwards(axes: Axes) -> None:
    """So that the baseline does not flatten the others."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _across_and_up(places: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [at for at, _ in places], [value for _, value in places]


def _order(name: str) -> tuple[int, str]:
    known = list(MARKS)
    return (known.index(name) if name in known else len(known), name)


def _name_lines(figure: Any, grid: Any) -> None:
    named: dict[str, Any] = {}
    for axes in grid.flat:
        lines, names = axes.get_legend_handles_labels()
        named |= dict(zip(names, lines, strict=True))
    order = sorted(named, key=_order)
    marks = [named[name] for name in order]
    across = 3 if len(grid[0]) < 3 else len(order)
    figure.legend(marks, order, ncols=across, loc="lower center", frameon=False)
    figure.suptitle(
        "Generators by epsilon (hollow: without privacy; dotted: real rows)", fontsize=12
    )
    figure.tight_layout(rect=(0, 0.07, 1, 1))
