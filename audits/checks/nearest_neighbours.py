"""Do synthetic rows lie closer to the training table than to the holdout?

A named bug detector, not a privacy verdict: tables that pass are still open to membership attacks
(Yao et al., The DCR Delusion, ESORICS 2025, arXiv:2505.01524).

Rules: Gower distance, as declared in `audits.distance`; a tie between the tables is half a credit;
tables of unequal size are compared through random groups of the smaller size that use every row,
averaged. The ratio of nearest to second-nearest distance is 1 where both are 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audits.distance import nearest
from audits.judgement import LARGEST_BLIND_SHARE, Evidence, Settings, too_few
from audits.measures.dealing import Dealt, deal
from audits.records import Encoded, Records, row_ids
from audits.statistics import (
    Estimate,
    clustered_error,
    detectable_share,
    exact,
    median_interval,
    normal_interval,
)
from audits.tables.sampling import bounded, equal_groups, generator, sizes, subsample

NAME = "nearest_neighbours"
_BLIND_SPOT = (
    "Distances find copies and near copies; a generator that leaks without copying passes. A bug "
    "detector, not a privacy verdict."
)
_RULES = (
    "Distance: mean over columns of |difference| / range of the real tables (at most 1) for "
    "numbers and dates, of 0 or 1 for categories; missing against missing 0, against a value 1; a "
    "tie between the tables counts half."
)
_DETECTOR = "This is a bug detector for copies, not a privacy verdict."
_BINS = 40
# Enough for medians to three digits.
_BASELINE_ROWS = 5_000


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """Synthetic rows against one pair of equally large real groups; arrays (m,).

    Attributes:
        credits: 1 where train is nearer, 0.5 for a tie, 0 where the holdout is.
        clusters: number among all real rows (train first) of the nearest one; of a tie, train's.
        dcr: distance to the nearest row of each side.
        nndr: nearest over second-nearest distance of each side.
    """

    credits: np.ndarray
    clusters: np.ndarray
    dcr: tuple[np.ndarray, np.ndarray]
    nndr: tuple[np.ndarray, np.ndarray]


def run(tables: Encoded, *, settings: Settings) -> Evidence:
    """Share of synthetic rows closer to train, and the distances behind it.

    Null: training and holdout rows are exchangeable given the synthetic table; the share is 0.5.
    The p-value is that of `audits.dealing`: exact at unequal sizes and with ties.
    """
    rng = generator(settings.seed, NAME)
    used = bounded(tables, rng=rng)
    comparisons = _compare(used, rng=rng)
    confidence = settings.confidence
    credit = np.mean([c.credits for c in comparisons], axis=0)
    share = float(credit.mean())
    error = _clustered_error(comparisons, share)
    ties = float(np.mean([c.credits == 0.5 for c in comparisons]))
    dealt = deal(used, draws=_draws(settings), rng=rng)
    closer = normal_interval(share, error, confidence=confidence, bounds=(0.0, 1.0))
    detectable = _detectable(used, dealt, settings)
    return Evidence(
        name=NAME,
        family="nearest_neighbours",
        figures={
            "share_closer_to_train": closer,
            "share_closer_to_train_baseline": exact(0.5, confidence=confidence),
            "tie_share": exact(ties, confidence=confidence),
            **_medians(comparisons, confidence),
            **_real_medians(used, rng=rng, confidence=confidence),
            "detectable_copied_share": exact(min(1.0, detectable), confidence=confidence),
        },
        blind_spot=_BLIND_SPOT,
        p_value=dealt.p_value,
        found=(
            f"{100 * share:.1f} % of synthetic rows lie closer to the training table than to the "
            f"holdout [{100 * closer.lower:.1f}, {100 * closer.upper:.1f}]; without copying it is "
            f"50 %. {_DETECTOR} {_RULES}"
        ),
        nothing=(
            f"Synthetic rows lie no closer to train than to holdout; had {100 * detectable:.1f} % "
            f"of them been copies, this would have shown in 95 % of audits. {_DETECTOR} {_RULES}"
        ),
        blind=_blind(detectable),
        void=too_few(sizes(used)),
        rows_used=sizes(used),
        curves=_histograms(comparisons),
    )


def _medians(comparisons: Sequence[_Comparison], confidence: float) -> dict[str, Estimate]:
    return {
        f"{name}_median_{table}": _median([getattr(c, name)[side] for c in comparisons], confidence)
        for name in ("dcr", "nndr")
        for side, table in enumerate(("train", "holdout"))
    }


def _real_medians(
    tables: Encoded, *, rng: np.random.Generator, confidence: float
) -> dict[str, Estimate]:
    """What holdout rows in place of the synthetic ones get against a training group."""
    size = min(len(tables.train), len(tables.holdout))
    holdout = subsample(tables.holdout, _BASELINE_ROWS, rng=rng)
    ((distances, _), *_) = _grouped(tables.train, size, holdout, rng=rng, most=1)
    return {
        "dcr_median_baseline": median_interval(distances[:, 0], confidence=confidence),
        "nndr_median_baseline": median_interval(_ratio(distances), confidence=confidence),
    }


def _compare(tables: Encoded, *, rng: np.random.Generator) -> list[_Comparison]:
    size = min(len(tables.train), len(tables.holdout))
    trains = _grouped(tables.train, size, tables.synthetic, rng=rng)
    holdouts = _grouped(tables.holdout, size, tables.synthetic, rng=rng)
    count = max(len(trains), len(holdouts))
    pairs = [(trains[i % len(trains)], holdouts[i % len(holdouts)]) for i in range(count)]
    return [_one(train, holdout, len(tables.train)) for train, holdout in pairs]


def _grouped(
    real: Records,
    size: int,
    queries: Records,
    *,
    rng: np.random.Generator,
    most: int | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Distances and row numbers of the two nearest real rows, for each group of real rows."""
    k = min(2, size)
    found = []
    for group in equal_groups(len(real), size, rng=rng)[:most]:
        distances, places = nearest(queries, real.take(group), k=k)
        found.append((distances, group[places]))
    return found


def _one(
    train: tuple[np.ndarray, np.ndarray], holdout: tuple[np.ndarray, np.ndarray], offset: int
) -> _Comparison:
    (near, where), (far, elsewhere) = train, holdout
    closer, equal = near[:, 0] < far[:, 0], near[:, 0] == far[:, 0]
    return _Comparison(
        credits=np.where(equal, 0.5, closer.astype(np.float64)),
        # Synthetic rows with the same nearest real row change sides together.
        clusters=np.where(closer | equal, where[:, 0], offset + elsewhere[:, 0]),
        dcr=(near[:, 0], far[:, 0]),
        nndr=(_ratio(near), _ratio(far)),
    )


def _ratio(distances: np.ndarray) -> np.ndarray:
    first, second = distances[:, 0], distances[:, -1]
    return np.asarray(np.divide(first, second, out=np.ones_like(first), where=second > 0))


def _clustered_error(comparisons: Sequence[_Comparison], share: float) -> float:
    """Standard error of the averaged share; a real row is one cluster over all comparisons."""
    return clustered_error(
        np.concatenate([c.credits - share for c in comparisons]),
        np.concatenate([c.clusters for c in comparisons]),
    )


def _median(arrays: Sequence[np.ndarray], confidence: float) -> Estimate:
    parts = [median_interval(array, confidence=confidence) for array in arrays]
    return Estimate(
        value=float(np.mean([part.value for part in parts])),
        lower=float(np.mean([part.lower for part in parts])),
        upper=float(np.mean([part.upper for part in parts])),
        confidence=confidence,
    )


def _draws(settings: Settings) -> int:
    """Enough deals for a p-value a tenth of what the test may count on."""
    return max(1_999, math.ceil(10.0 / settings.alpha_each))


def _detectable(tables: Encoded, dealt: Dealt, settings: Settings) -> float:
    """Share of copies among synthetic rows that would show; copies of repeated rows only tie."""
    train, holdout = row_ids([tables.train, tables.holdout])
    tied = float(np.isin(train, holdout).mean())
    floor = math.sqrt(dealt.mean * (1.0 - dealt.mean) / len(tables.synthetic))
    return detectable_share(
        1.0 - 0.5 * tied,
        no_leak=dealt.mean,
        standard_error=max(dealt.error, floor),
        alpha=settings.alpha_each,
    )


def _blind(detectable: float) -> str:
    if detectable <= LARGEST_BLIND_SHARE:
        return ""
    return (
        "Rows repeat so much in this table, or are so few, that a copy cannot be told from a "
        "fresh draw by its distances; silence means nothing."
    )


def _histograms(comparisons: Sequence[_Comparison]) -> dict[str, list[float]]:
    """Distances to the closest real row, as counts over shared bins."""
    top = max(float(side.max()) for c in comparisons for side in c.dcr)
    edges = np.linspace(0.0, top if top > 0 else 1.0, _BINS + 1)
    train, holdout = (
        np.mean([np.histogram(c.dcr[side], bins=edges)[0] for c in comparisons], axis=0)
        for side in (0, 1)
    )
    return {
        "dcr_edges": edges.tolist(),
        "dcr_train": train.tolist(),
        "dcr_holdout": holdout.tolist(),
    }
