"""Training rows that came out of an earlier release: synthetic rows fed back as real ones.

No holdout can serve as the null here, as it may hold such rows just as well. Repeats serve: values
of a whole row that are in one of the two tables twice say how often rows coincide by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from audits.earlier import Earlier
from audits.judgement import LARGEST_BLIND_SHARE, Evidence, Settings, too_few
from audits.records import Records, row_ids
from audits.statistics import POWER, Estimate, clopper_pearson, exact
from audits.tables.sampling import generator, subsample

NAME = "feedback"
CHANCE = 2.0 / 3.0
"""Most of the informative values that chance lets fall on both tables; see `run`."""
_BLIND_SPOT = (
    "It compares rows value by value: fed-back rows that were changed, even by rounding, are not "
    "seen. An earlier generator that copied its training rows looks the same as rows fed back; an "
    "audit of that release tells the two apart."
)


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """Of the two tables cut to one size.

    Attributes:
        size: rows of each.
        crossing: values that occur once in the release and also in train.
        repeated: values that a table repeats without that: in the release, or in train alone.
        single: share of the release's rows that occur once in it.
    """

    size: int
    crossing: int
    repeated: int
    single: float


def run(tables: Earlier, *, settings: Settings) -> Evidence:
    """Share of training rows found in the release, and a test of whether chance explains it.

    Null: the two tables were drawn independently, whatever from. Let a value be expected a times in
    train and b times in the release, at equal sizes. It crosses with probability
    (1 - exp(-a)) b exp(-b), and is repeated with probability 1 - (1 + b) exp(-b) +
    exp(-b) (1 - (1 + a) exp(-a)), which is no smaller for any a and b (2 a b <= a^2 + b^2, and a
    test on a grid). So given that it does one of the two, it crosses with probability at most 1/2;
    for a table that enters each value once by rule (a is 1 or 0) and a release that models it, at
    most 2/3. The number of crossings is then at most binomial. Tables of unequal size are cut to
    one by a seeded draw.
    """
    rng = generator(settings.seed, NAME)
    counts = _count(tables, rng=rng)
    p_value = _p_value(counts.crossing, counts.repeated)
    share = _detectable(counts, len(tables.previous), settings.alpha_each)
    found = _share_found(tables.train, tables.previous, settings.confidence)
    made = _share_found(tables.synthetic, tables.previous, settings.confidence)
    return Evidence(
        name=NAME,
        family="copies",
        figures={
            "found_share": found,
            "found_share_synthetic": made,
            "crossing_values": exact(float(counts.crossing), confidence=settings.confidence),
            "repeated_values": exact(float(counts.repeated), confidence=settings.confidence),
            "detectable_fed_share": exact(min(1.0, share), confidence=settings.confidence),
        },
        blind_spot=_BLIND_SPOT,
        p_value=p_value,
        found=(
            f"{found.value:.1%} of the training rows occur in the earlier release, more than rows "
            f"coincide by chance: {counts.crossing} values are in both tables, {counts.repeated} "
            f"in one of them repeatedly. The training table holds rows of the release."
        ),
        nothing=(
            f"Training rows occur in the earlier release no more often than chance explains; had "
            f"{100 * share:.2g} % of them come from it, it would have shown in 95 % of audits."
        ),
        blind="" if share <= LARGEST_BLIND_SHARE else _blind(counts),
        void=too_few({"train": len(tables.train), "previous": len(tables.previous)}),
        rows_used={"train": counts.size, "previous": counts.size},
    )


def _count(tables: Earlier, *, rng: np.random.Generator) -> _Counts:
    size = min(len(tables.train), len(tables.previous))
    train, previous = row_ids(
        [subsample(records, size, rng=rng) for records in (tables.train, tables.previous)]
    )
    width = 1 + int(max(train.max(), previous.max()))
    here, there = (np.bincount(ids, minlength=width) for ids in (train, previous))
    once = there == 1
    return _Counts(
        size=size,
        crossing=int((once & (here > 0)).sum()),
        repeated=int(((there > 1) | (~once & (here > 1))).sum()),
        single=float(once.sum() / size),
    )


def _share_found(rows: Records, previous: Records, confidence: float) -> Estimate:
    ids, known = row_ids([rows, previous])
    return clopper_pearson(int(np.isin(ids, known).sum()), len(ids), confidence=confidence)


def _p_value(crossing: int, repeated: int) -> float:
    return float(stats.binom.sf(crossing - 1, crossing + repeated, CHANCE))


def _detectable(counts: _Counts, previous: int, alpha: float) -> float:
    """Smallest fed-back share of training rows seen in 95 % of audits; above 1: none."""
    if counts.single == 0.0:
        return np.inf
    # A fed-back row crosses where its twin in the release was kept in the cut and occurs once.
    each = counts.size * (counts.size / previous) * counts.single
    for share in np.geomspace(1.0 / counts.size, 1.0, 80):
        likely = int(stats.poisson.ppf(1.0 - POWER, share * each))
        if _p_value(likely, counts.repeated) <= alpha:
            return float(share)
    return np.inf


def _blind(counts: _Counts) -> str:
    return (
        f"Rows repeat so much in these tables ({counts.repeated} values of a whole row among "
        f"{counts.size} rows each) that rows fed back cannot be told from chance; silence means "
        f"nothing."
    )
