"""Pictures of a training as the monitor saw it: distances, and the smallest entropy."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dpsynth.release.report.drawing import WIDE
from dpsynth.release.report.svg import INK, MAIN, MUTED, OTHER, Picture, picture
from dpsynth.release.training import ENTROPY_BOUND, Look, Training

#: A curve needs two looks.
LEAST_LOOKS = 2
_SIZE = (WIDE[0], 2.7)


def training_curves(training: Training) -> list[Picture]:
    """Distances over the steps, and the smallest entropy; empty where there is no curve."""
    if len(training.readings) < LEAST_LOOKS:
        return []
    return [_distances(training), _entropies(training)]


def best_look(training: Training) -> Look:
    """The look during training with the lowest score, the earliest of equal ones."""
    return min(training.readings, key=lambda look: look.score)


def _distances(training: Training) -> Picture:
    steps = [look.step for look in training.readings]
    last, best = training.released, best_look(training)
    columns = [look.tvd_one_way for look in training.readings]
    pairs = [look.tvd_pairs for look in training.readings if look.tvd_pairs is not None]

    def draw(axes: Axes) -> None:
        axes.plot(steps, columns, color=OTHER, linewidth=2)
        _dot(axes, _behind(steps, 0.03), last.tvd_one_way, OTHER)
        if len(pairs) == len(steps) and last.tvd_pairs is not None:
            axes.plot(steps, pairs, color=MAIN, linewidth=2)
            _dot(axes, _behind(steps, 0.06), last.tvd_pairs, MAIN)
        _best(axes, best.step)
        axes.set_ylim(0, 1.12 * max(*columns, *pairs, last.tvd_one_way, 0.01))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_ylabel("distance")
        _below(axes)

    which = "pairs of columns (blue) and of single columns (orange)" if pairs else "single columns"
    ends = f"{columns[0]:.3f} at first, {last.tvd_one_way:.3f} at the end"
    return picture(
        "training-distances",
        draw,
        size=_SIZE,
        alt=f"Distance to the noisy counts over {len(steps)} looks: single columns {ends}; best at "
        f"step {best.step}.",
        caption=f"Distance of the generator's rows to the noisy counts of {which}, less what noise "
        "alone makes; 0 is as near as can be told. Dashed: the best look. Dots: the finished "
        "model.",
    )


def _entropies(training: Training) -> Picture:
    steps = [look.step for look in training.readings]
    ratios = [min(look.entropy_ratio, 1.0) for look in training.readings]
    last = min(training.released.entropy_ratio, 1.0)

    def draw(axes: Axes) -> None:
        axes.axhline(ENTROPY_BOUND, color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
        axes.plot(steps, ratios, color=MAIN, linewidth=2)
        _dot(axes, _behind(steps, 0.04), last, MAIN)
        _best(axes, best_look(training).step)
        low = min(*ratios, last, ENTROPY_BOUND)
        axes.set_ylim(max(0.0, low - 0.15 * (1.0 - low)), 1.005)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_ylabel("smallest entropy")
        _below(axes)

    return picture(
        "training-entropy",
        draw,
        size=_SIZE,
        alt=f"Smallest entropy of a column as a share of the table's: {100 * ratios[0]:.0f} % at "
        f"the first look, {100 * last:.0f} % at the finished model.",
        caption="Entropy of the column that has least of the table's, at most 100 %. Below the "
        f"dotted line, {100 * ENTROPY_BOUND:.0f} %, a loss that is surely more than noise counts "
        "as an alarm.",
    )


def _behind(steps: Sequence[int], share: float) -> float:
    """Where the finished model stands: behind the last look, wherever the plan would have ended."""
    return steps[-1] + share * max(steps[-1] - steps[0], 1)


def _dot(axes: Axes, place: float, height: float, colour: str) -> None:
    axes.plot([place], [height], "o", color=colour, markersize=6, clip_on=False)


def _best(axes: Axes, step: int) -> None:
    axes.axvline(step, color=INK, linewidth=1, linestyle=(0, (4, 3)))


def _below(axes: Axes) -> None:
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(visible=False, axis="x")
