"""The picture of how far counts may be off."""

from matplotlib.axes import Axes

from dpsynth.release.report.columns import MOST_COLUMNS
from dpsynth.release.report.count_errors import CountErrors
from dpsynth.release.report.drawing import SHORT, WIDE, percent_below, short
from dpsynth.release.report.svg import INK, MAIN, Picture, picture
from dpsynth.release.report.words import percent


def count_errors(errors: CountErrors) -> Picture:
    """One line a column: a dot at the mean expected error of a count, a bar at the largest."""
    columns = errors.columns[:MOST_COLUMNS]

    def draw(axes: Axes) -> None:
        for place, one in zip(range(len(columns) - 1, -1, -1), columns, strict=True):
            axes.plot([one.mean, one.largest], [place, place], color=MAIN, linewidth=1.4)
            axes.plot(one.mean, place, marker="o", color=MAIN, markersize=6)
            axes.plot(one.largest, place, marker="|", color=MAIN, markersize=11, mew=2.2)
        axes.set_yticks(range(len(columns) - 1, -1, -1), [short(c.name, SHORT) for c in columns])
        axes.tick_params(axis="y", labelcolor=INK, labelsize=9)
        axes.set_ylim(-0.6, len(columns) - 0.4)
        axes.set_xlim(left=0)
        axes.set_xlabel("expected error of a count, as a share of all rows")
        percent_below(axes)

    widest = max(columns, key=lambda one: one.largest)
    left_out = len(errors.columns) - len(columns)
    more = f" {left_out} further column{' is' if left_out == 1 else 's are'} not drawn."
    return picture(
        "count-errors",
        draw,
        size=(WIDE[0], 0.75 + 0.24 * max(3, len(columns))),
        alt=f"Expected errors of counts for {len(columns)} columns; the largest is "
        f"{percent(widest.largest)} of all rows, for {short(widest.worst, 40)} of "
        f"{short(widest.name, 40)}.",
        caption="Dot: mean over the values of the column. Bar: the value with the largest expected "
        f"error.{more if left_out else ''}",
    )
