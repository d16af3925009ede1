"""A reading's findings in plain sentences: what was lost, and what was never reached.

A generator that lacks diversity either lost it, which is collapse, or never had it. Earlier
readings tell which: a mode that one of them did not lack is gone; a ratio of which at least half
the shortfall came since one of them fell.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from dpsynth.training.monitoring.readings import Missing, Reading

_MOST_NAMED = 3

Told = tuple[str, bool]
"""A sentence, and whether it tells of collapse."""


@dataclass(frozen=True)
class Names:
    """What columns and codes are called.

    Attributes:
        columns: one name each.
        labels: names of each column's codes; None calls them by number.
    """

    columns: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...] | None = None

    def code(self, column: int, code: int) -> str:
        """One code of a column."""
        return f"code {code}" if self.labels is None else repr(self.labels[column][code])


def with_alarms(reading: Reading, earlier: Sequence[Reading], names: Names) -> Reading:
    """The reading with its sentences.

    Args:
        reading: without sentences.
        earlier: the looks before it, in order.
        names: of columns and codes.
    """
    entropies = [(look.step, look.entropies) for look in earlier]
    variances = [(look.step, look.variances) for look in earlier]
    told: list[Told] = [
        *_modes(reading.missing, earlier, names),
        *_pairs(reading, earlier),
        *(_narrow("entropy", j, reading.entropies, entropies, names) for j in reading.narrow),
        *(_narrow("variance", j, reading.variances, variances, names) for j in reading.shrunk),
    ]
    gone = tuple(sentence for sentence, lost in told if lost)
    return replace(reading, alarms=tuple(sentence for sentence, _ in told), collapse=gone)


def _modes(missing: Sequence[Missing], earlier: Sequence[Reading], names: Names) -> list[Told]:
    """One sentence for the modes of a column that are gone, one for those that never were."""
    lacking = [{(mode.column, mode.code) for mode in look.missing} for look in earlier]

    def seen(mode: Missing) -> bool:
        return any((mode.column, mode.code) not in found for found in lacking)

    grouped = groupby(
        sorted(missing, key=lambda m: (m.column, seen(m))), lambda m: (m.column, seen(m))
    )
    return [_mode(column, list(modes), lost, names) for (column, lost), modes in grouped]


def _mode(column: int, modes: Sequence[Missing], lost: bool, names: Names) -> Told:
    by_share = sorted(modes, key=lambda mode: (-mode.expected, mode.code))
    named = ", ".join(names.code(column, mode.code) for mode in by_share[:_MOST_NAMED])
    more = f" and {len(modes) - _MOST_NAMED} more" if len(modes) > _MOST_NAMED else ""
    share = 100 * sum(mode.at_least for mode in modes)
    what = "vanished, though an earlier look had it" if lost else "never appeared"
    sure = f"surely at least {share:.2g} % of the rows"
    return f"{names.columns[column]}: {named}{more} {what} ({sure})", lost


def _pairs(reading: Reading, earlier: Sequence[Reading]) -> list[Told]:
    if not reading.lost_pairs:
        return []
    counts = f"{reading.lost_pairs} of {reading.live_pairs} sure combinations of two columns"
    best = min(((look.lost_pairs, look.step) for look in earlier), default=(reading.lost_pairs, 0))
    if 2 * best[0] <= reading.lost_pairs:
        return [(f"{counts} vanished (only {best[0]} lacked at step {best[1]})", True)]
    return [(f"{counts} never appeared", False)]


def _narrow(
    what: str,
    column: int,
    now: Sequence[float | None],
    earlier: Sequence[tuple[int, Sequence[float | None]]],
    names: Names,
) -> Told:
    """A column whose ratio is surely too low."""
    ratio = now[column] or 0.0
    known = [(min(ratios[column] or 0.0, 1.0), -step) for step, ratios in earlier]
    best, step = max(known, default=(0.0, 0))
    share = f"{names.columns[column]}: {what} {{}} {100 * ratio:.0f} % of the table's"
    if best - ratio >= 0.5 * (1.0 - ratio):
        return f"{share.format('fell to')} ({100 * best:.0f} % at step {-step})", True
    return f"{share.format('is')} and was never near it", False
