"""Whether rows came out of an earlier release: from one noisy answer to a share with its error.

The answer (`queries.KnownRows`) counts, for each release, the sketched rows of it that occur in the
table, and the values of a whole row that occur in the table more than once. Rows also coincide by
chance, the more the fewer columns there are. How often, the repeats tell:

    Let a value of a whole row be expected `a` times in the table and `b` times in the release, the
    two made independently. It occurs once in the release and is met in the table with probability
    (1 - exp(-a)) b exp(-b), which is at most the chance that the table repeats it,
    1 - (1 + a) exp(-a), plus the chance that the release does, b^2 / 2 exp(-b): 2 a b <= a^2 + b^2,
    with room for larger a and b (a test holds the bound against a grid). Summed over all values:
    rows met by chance <= values repeated in the table + values repeated in the release.

So an honest second release of one table is not taken for synthetic rows, however its generator
models the rows, and however few columns there are: there the repeats drown the count, and this
says that it cannot know. A real table without any repeats (each value entered once, by rule) has
a = 1 or 0 instead; for it the second term is taken max(2, 2 n / m) times (n rows against m of the
release), which covers a generator that models such a table well.

False alarms: an honest table is taken for one with synthetic rows at rate `FALSE_ALARM` at most,
over all releases it is compared with; a test draws hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from dpsynth.errors import InputError
from dpsynth.privacy.ledger_releases import KnownRelease
from dpsynth.privacy.lineage_record import LineageRecord, Parent, Share
from dpsynth.privacy.sketch import RowSketch

FALSE_ALARM = 1e-3
"""How often an honest table is said to hold synthetic rows, and a bound to be wrong."""
POWER = 0.95
"""How often a share that is said to be noticeable is noticed."""


@dataclass(frozen=True)
class Comparison:
    """The releases of a ledger that a table can be compared with; public.

    Attributes:
        releases: with telling sketches of the same columns; the table has them all.
        others: how many more the ledger holds that say nothing of this table: of other columns, of
            too few distinctive rows, or noted before sketches were kept.
    """

    releases: tuple[tuple[KnownRelease, RowSketch], ...] = ()
    others: int = 0

    @property
    def sketches(self) -> tuple[RowSketch, ...]:
        """Those of the releases, in order."""
        return tuple(sketch for _, sketch in self.releases)


def comparison_of(known: Sequence[KnownRelease], names: Sequence[str]) -> Comparison:
    """Choose what a table with these columns can be compared with.

    One answer is about one set of columns. Where releases of several sets fit, the largest set is
    taken, then the one with the most releases.
    """
    fitting: dict[tuple[str, ...], list[tuple[KnownRelease, RowSketch]]] = {}
    for release in known:
        sketch = release.sketch
        if sketch is not None and sketch.is_telling and set(sketch.columns) <= set(names):
            fitting.setdefault(sketch.columns, []).append((release, sketch))
    chosen = max(
        fitting.values(), key=lambda found: (len(found[0][1].columns), len(found)), default=[]
    )
    return Comparison(tuple(chosen), len(known) - len(chosen))


def recognize(
    values: np.ndarray, *, std: float, rows: tuple[float, float], comparison: Comparison
) -> LineageRecord:
    """What the noisy answer says of the table; post-processing.

    Args:
        values: noisy counts of `queries.KnownRows`, shape (releases + 1,).
        std: standard deviation of the noise in each.
        rows: noisy row count of the table, and the standard deviation of its noise.
        comparison: what the table was compared with.

    Raises:
        InputError: another number of counts.
    """
    releases = comparison.releases
    if np.shape(values) != (len(releases) + 1,) or not releases:
        raise InputError(
            f"{np.size(values)} counts for {len(releases)} releases; one a release and one for "
            "repeated rows are needed"
        )
    z = float(stats.norm.isf(FALSE_ALARM / len(releases)))
    doubled = max(float(values[-1]), 0.0)
    # Row counts for the value of a share, its lower and its upper bound.
    counts = tuple(max(1.0, rows[0] + sign * z * rows[1]) for sign in (0, 1, -1))
    parents, noticeable = [], []
    for (release, sketch), found in zip(releases, values[:-1].tolist(), strict=True):
        share, least = _share(sketch, found, doubled, counts, std=std, z=z)
        noticeable.append(least)
        if share is not None:
            parents.append(
                Parent(
                    known_by="rows",
                    generation=release.generation,
                    manifest_sha256=release.manifest_sha256,
                    share=share,
                )
            )
    return LineageRecord(
        made_from=tuple(parents),
        compared=len(releases),
        not_compared=comparison.others,
        noticeable_share=_rounded(min(1.0, max(noticeable))),
        false_alarm_rate=FALSE_ALARM,
    )


def _share(
    sketch: RowSketch,
    found: float,
    doubled: float,
    counts: tuple[float, ...],
    *,
    std: float,
    z: float,
) -> tuple[Share | None, float]:
    """Share of the table from one release, None where chance explains it; the least noticeable."""
    rate = sketch.rate
    weight = max(2.0, 2.0 * counts[0] / max(1, sketch.rows))
    chance = rate * (doubled + weight * sketch.doubles)
    # The noise of both counts, and the luck in what chance met and what was repeated.
    luck = float(np.sqrt(std**2 * (1.0 + rate**2) + chance * (1.0 + rate * weight)))
    margin = z * luck + z**2 / 3.0  # Bernstein's second term: small counts have heavier tails
    # So many rows of the table stand behind one sketched row that was found in it.
    scales = [sketch.rows / (max(1, len(sketch.hashes)) * n) for n in counts]
    power = float(stats.norm.ppf(POWER))
    least = scales[0] * (chance + margin + power * (luck + np.sqrt(margin)))
    if found - chance <= margin:
        return None, least
    upper = found + z * float(np.sqrt(std**2 + found)) + z**2 / 3.0
    ends = (found - chance, found - chance - margin, upper)
    value, low, high = (
        _rounded(min(1.0, max(0.0, scale * end))) for scale, end in zip(scales, ends, strict=True)
    )
    return Share(value=value, lower=low, upper=high), least


def _rounded(share: float) -> float:
    return float(round(share, 4))
