"""Synthetic rows that equal a real row in every column, train against holdout.

Only rows that occur once among all real rows carry evidence: a row that several people share is
reproduced by honest sampling. Missing equals missing; numbers must be equal to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from audits.judgement import LARGEST_BLIND_SHARE, Evidence, Settings, too_few
from audits.records import Encoded, row_ids
from audits.statistics import POWER, Estimate, clopper_pearson, exact
from audits.tables.overlap import present
from audits.tables.sampling import sizes

NAME = "copies"
_BLIND_SPOT = (
    "A row that was changed in a single digit is no exact copy; see the nearest neighbours for "
    "those."
)


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """How often the value of each synthetic row occurs, arrays (m,); and the lone real rows.

    Attributes:
        train: times it occurs in train.
        holdout: times it occurs in the holdout.
        lone_train: real rows that occur once in all, and in train.
        lone_holdout: the same in the holdout.
        hit_train: those of `lone_train` that the synthetic table reproduces.
        hit_holdout: those of `lone_holdout` that it reproduces.
        repeated: share of training rows whose value occurs in the holdout.
    """

    train: np.ndarray
    holdout: np.ndarray
    lone_train: int
    lone_holdout: int
    hit_train: int
    hit_holdout: int
    repeated: float


def run(tables: Encoded, *, settings: Settings) -> Evidence:
    """Shares of exact copies, and a test on the real rows that occur once.

    Null: training and holdout rows are exchangeable given the synthetic table. Then the lone rows
    that were hit fall on train as balls from an urn (hypergeometric): an exact test at any sizes.
    """
    counts = _count(tables)
    rows = (len(tables.train), len(tables.holdout))
    p_value = _p_value(counts.hit_train, counts.hit_holdout, rows)
    share = _detectable(counts, rows, settings.alpha_each)
    return Evidence(
        name=NAME,
        family="copies",
        figures=_figures(counts, rows, share, confidence=settings.confidence),
        blind_spot=_BLIND_SPOT,
        p_value=p_value,
        found=(
            f"Of the real rows that occur only once, the synthetic table reproduces "
            f"{counts.hit_train} of {counts.lone_train} in train but {counts.hit_holdout} of "
            f"{counts.lone_holdout} in the holdout."
        ),
        nothing=(
            f"Training rows are reproduced no more often than holdout rows; had "
            f"{100 * share:.2g} % of the training rows been copied, it would have shown in 95 % "
            f"of audits."
        ),
        blind="" if share <= LARGEST_BLIND_SHARE else _blind(counts),
        void=too_few(sizes(tables)),
        rows_used=sizes(tables),
    )


def _count(tables: Encoded) -> _Counts:
    train, holdout, synthetic = row_ids([tables.train, tables.holdout, tables.synthetic])
    cells = 1 + max(int(ids.max()) for ids in (train, holdout, synthetic))
    in_train, in_holdout, made = (
        np.bincount(ids, minlength=cells) for ids in (train, holdout, synthetic)
    )
    lone = in_train + in_holdout == 1
    return _Counts(
        train=in_train[synthetic],
        holdout=in_holdout[synthetic],
        lone_train=int((lone & (in_train == 1)).sum()),
        lone_holdout=int((lone & (in_holdout == 1)).sum()),
        hit_train=int((lone & (in_train == 1) & (made > 0)).sum()),
        hit_holdout=int((lone & (in_holdout == 1) & (made > 0)).sum()),
        repeated=float((in_holdout[train] > 0).mean()),
    )


def _figures(
    counts: _Counts, rows: tuple[int, int], detectable: float, *, confidence: float
) -> dict[str, Estimate]:
    m = counts.train.size
    size = min(rows)
    # Half of the error goes to each side of the difference.
    stricter = (1.0 + confidence) / 2.0
    sides = [
        (float(present(count, total, size).sum()), total)
        for count, total in ((counts.train, rows[0]), (counts.holdout, rows[1]))
    ]
    train, holdout = (clopper_pearson(hits, m, confidence=stricter) for hits, _ in sides)
    return {
        "exact_share": clopper_pearson(
            int(np.count_nonzero(counts.train)), m, confidence=confidence
        ),
        "exact_share_holdout": clopper_pearson(sides[1][0], m, confidence=confidence),
        "excess": Estimate(
            value=train.value - holdout.value,
            lower=train.lower - holdout.upper,
            upper=train.upper - holdout.lower,
            confidence=confidence,
        ),
        "train_rows_in_holdout": exact(counts.repeated, confidence=confidence),
        "detectable_copied_share": exact(min(1.0, detectable), confidence=confidence),
    }


def _p_value(hit_train: int, hit_holdout: int, rows: tuple[int, int]) -> float:
    return float(stats.hypergeom.sf(hit_train - 1, sum(rows), hit_train + hit_holdout, rows[0]))


def _detectable(counts: _Counts, rows: tuple[int, int], alpha: float) -> float:
    """Smallest copied share of training rows that the test sees in 95 % of runs; above 1: none."""
    if counts.lone_train == 0:
        return np.inf
    chance = counts.hit_holdout / max(1, counts.lone_holdout)
    for share in np.geomspace(1.0 / rows[0], 1.0, 80):
        hit = chance + (1.0 - chance) * share
        likely = int(stats.binom.ppf(1.0 - POWER, counts.lone_train, hit))
        if _p_value(likely, counts.hit_holdout, rows) <= alpha:
            return float(share)
    return np.inf


def _blind(counts: _Counts) -> str:
    return (
        f"Rows repeat so much in this table that a copy cannot be told from a fresh draw "
        f"({100 * counts.repeated:.0f} % of the training rows also occur in the holdout, "
        f"{counts.lone_train} occur only once); silence means nothing."
    )
