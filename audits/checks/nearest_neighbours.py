"""Do synthetic rows lie closer to the training table than to the holdout?

A named bug detector, not a privacy verdict: tables that pass are still open to membership attacks
(Yao et al., The DCR Delusion, ESORICS 2025, arXiv:2505.01524).

Rules: Gower distance; a tie between the tables is half a credit; tables of unequal size are
compared through random groups of the smaller size that use every row, averaged. The ratio of
nearest to second-nearest distance is 1 where both are 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from audits.distance import nearest
from audits.judgement import LARGEST_BLIND_SHARE, Evidence, Settings, too_few
from audits.records import Encoded, Records, row_ids
from audits.sampling import bounded, equal_groups, generator, sizes
from audits.statistics import (
    Estimate,
    clustered_error,
    detectable_share,
    exact,
    median_interval,
    normal_interval,
)

NAME = "nearest_neighbours"
_BLIND_SPOT = (
    "Distances find copies and near copies; a generator that leaks without copying passes. A bug "
    "detector, not a privacy verdict."
)
_BINS = 40


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """Synthetic rows against one pair of equally large real groups; arrays (m,)."""

    credits: np.ndarray
    clusters: np.ndarray
    dcr: tuple[np.ndarray, np.ndarray]
    nndr: tuple[np.ndarray, np.ndarray]


def run(tables: Encoded, *, settings: Settings) -> Evidence:
    """Share of synthetic rows closer to train, and the distances behind it.

    Null: training and holdout rows are exchangeable given the synthetic table; the share is 0.5.
    """
    rng = generator(settings.seed, NAME)
    used = bounded(tables, rng=rng)
    comparisons = _compare(used, rng=rng)
    confidence = settings.confidence
    credit = np.mean([c.credits for c in comparisons], axis=0)
    share = float(credit.mean())
    error = _pooled_error(comparisons, share)
    null_error = _pooled_error(comparisons, 0.5)
    ties = float(np.mean([c.credits == 0.5 for c in comparisons]))
    p_value = float(stats.norm.sf((share - 0.5) / null_error)) if null_error > 0 else 1.0
    closer = normal_interval(share, error, confidence=confidence, bounds=(0.0, 1.0))
    detectable = _detectable(used, null_error, settings)
    return Evidence(
        name=NAME,
        family="nearest_neighbours",
        figures={
            "share_closer_to_train": closer,
            "tie_share": exact(ties, confidence=confidence),
            **_medians(comparisons, confidence),
            "detectable_copied_share": exact(min(1.0, detectable), confidence=confidence),
        },
        blind_spot=_BLIND_SPOT,
        p_value=p_value,
        found=(
            f"{100 * share:.1f} % of synthetic rows lie closer to the training table than to the "
            f"holdout [{100 * closer.lower:.1f}, {100 * closer.upper:.1f}]; without copying it is "
            f"50 %."
        ),
        nothing=(
            f"Synthetic rows lie no closer to train than to holdout; had {100 * detectable:.1f} % "
            f"of them been copies, this would have shown in 95 % of audits."
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


def _compare(tables: Encoded, *, rng: np.random.Generator) -> list[_Comparison]:
    size = min(len(tables.train), len(tables.holdout))
    trains = _grouped(tables.train, size, tables.synthetic, rng=rng)
    holdouts = _grouped(tables.holdout, size, tables.synthetic, rng=rng)
    count = max(len(trains), len(holdouts))
    pairs = [(trains[i % len(trains)], holdouts[i % len(holdouts)]) for i in range(count)]
    return [_one(train, holdout, size) for train, holdout in pairs]


def _grouped(
    real: Records, size: int, synthetic: Records, *, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Distances and places of the two nearest real rows, for each group of real rows."""
    k = min(2, size)
    groups = equal_groups(len(real), size, rng=rng)
    return [nearest(synthetic, real.take(group), k=k) for group in groups]


def _one(
    train: tuple[np.ndarray, np.ndarray], holdout: tuple[np.ndarray, np.ndarray], size: int
) -> _Comparison:
    (near, where), (far, elsewhere) = train, holdout
    closer, equal = near[:, 0] < far[:, 0], near[:, 0] == far[:, 0]
    return _Comparison(
        credits=np.where(equal, 0.5, closer.astype(np.float64)),
        # Synthetic rows with the same nearest real row change sides together.
        clusters=np.where(closer | equal, where[:, 0], size + elsewhere[:, 0]),
        dcr=(near[:, 0], far[:, 0]),
        nndr=(_ratio(near), _ratio(far)),
    )


def _ratio(distances: np.ndarray) -> np.ndarray:
    first, second = distances[:, 0], distances[:, -1]
    return np.asarray(np.divide(first, second, out=np.ones_like(first), where=second > 0))


def _pooled_error(comparisons: Sequence[_Comparison], centre: float) -> float:
    """Standard error of the averaged share, as if the groups were one: never too small."""
    errors = [clustered_error(c.credits - centre, c.clusters) for c in comparisons]
    return math.sqrt(float(np.mean(np.square(errors))))


def _median(arrays: Sequence[np.ndarray], confidence: float) -> Estimate:
    parts = [median_interval(array, confidence=confidence) for array in arrays]
    return Estimate(
        value=float(np.mean([part.value for part in parts])),
        lower=float(np.mean([part.lower for part in parts])),
        upper=float(np.mean([part.upper for part in parts])),
        confidence=confidence,
    )


def _detectable(tables: Encoded, null_error: float, settings: Settings) -> float:
    """Share of copies among synthetic rows that would show; copies of repeated rows only tie."""
    train, holdout = row_ids([tables.train, tables.holdout])
    tied = float(np.isin(train, holdout).mean())
    floor = 0.5 / math.sqrt(len(tables.synthetic))
    return detectable_share(
        1.0 - 0.5 * tied,
        no_leak=0.5,
        standard_error=max(null_error, floor),
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
