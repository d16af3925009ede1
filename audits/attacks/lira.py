"""Membership by a likelihood ratio of each record's own: in models with it, in models without."""

from __future__ import annotations

import numpy as np

from audits.black_box.refit import Refit
from audits.black_box.shadow_models import shadow_runs
from audits.records import Records

NAME = "lira"
KNOWLEDGE = (
    "the synthetic table, rows of the same source, and the generator itself, to be fitted again "
    "(black box)"
)
BLIND_SPOT = (
    "It looks at closeness and at counts on few columns, with as many refits as were paid for; an "
    "attacker who refits more often, or looks inside the generator, may see more."
)
# From here on each record's own spread is known well enough; below, all records share one.
OWN_SPREAD_MODELS = 64
# A spread below this share of the statistic's whole spread is rounding, not knowledge.
_FLOOR = 1e-3
_DECIMALS = 9


def score(
    targets: Records,
    *,
    synthetic: Records,
    reference: Records,
    refit: Refit,
    rng: np.random.Generator,
) -> np.ndarray:
    """Log likelihood ratio of membership, float64 (len(targets),).

    The statistic, chosen in advance: minus the nearest distance, minus the mean distance to the
    five nearest, and the mean log count over the column sets.

    Source: Carlini, Chien, Nasr, Song, Terzis and Tramer, Membership inference attacks from first
        principles, IEEE S&P 2022 (arXiv 2112.03570), algorithm 1 (online attack), here with one
        Gaussian over all three statistics.

    Raises:
        AttackError: a refit failed.
    """
    runs = shadow_runs(targets, synthetic=synthetic, reference=reference, refit=refit, rng=rng)
    return runs.scores(_on_chosen)


def log_ratio(real: np.ndarray, shadow: np.ndarray, included: np.ndarray) -> np.ndarray:
    """log N(x; in) - log N(x; out) for each record, with its own means.

    The covariance within a side is shared by all records below `OWN_SPREAD_MODELS` models.

    Args:
        real: (T, F) statistics in the table under attack.
        shadow: (K, T, F) statistics in the shadow tables.
        included: (K, T) bool; each record is in and out at least twice.

    Returns:
        float64 (T,), rounded to nine decimals; 0 for all where no statistic varies.
    """
    # The whole spread is each record's own, over all models: records differ more than models do.
    centred = shadow - shadow.mean(axis=0)
    whole = np.sqrt(np.square(centred).mean(axis=(0, 1)))
    varies = whole > 1e-12
    if not varies.any():
        return np.zeros(len(real))
    scale = whole[varies]
    real, shadow = real[:, varies] / scale, shadow[:, :, varies] / scale
    own = len(shadow) >= OWN_SPREAD_MODELS
    inside, outside = (_log_density(real, shadow, side, own) for side in (included, ~included))
    return np.asarray(np.round(inside - outside, _DECIMALS))


def _log_density(real: np.ndarray, shadow: np.ndarray, side: np.ndarray, own: bool) -> np.ndarray:
    """Log density up to a constant that both sides share, (T,)."""
    weights = side.astype(np.float64)
    count = weights.sum(axis=0)
    means = np.einsum("kt,ktf->tf", weights, shadow) / count[:, None]
    rest = (shadow - means) * weights[:, :, None]
    spread = np.einsum("ktf,ktg->tfg", rest, rest)
    if own:
        covariance = spread / (count - 1.0)[:, None, None]
    else:
        pooled = spread.sum(axis=0) / (count - 1.0).sum()
        covariance = np.broadcast_to(pooled, spread.shape)
    covariance = covariance + _FLOOR**2 * np.eye(real.shape[1])
    gap = real - means
    solved = np.linalg.solve(covariance, gap[:, :, None])[:, :, 0]
    _, volume = np.linalg.slogdet(covariance)
    return np.asarray(-0.5 * ((gap * solved).sum(axis=1) + volume))


def _on_chosen(real: np.ndarray, shadow: np.ndarray, included: np.ndarray) -> np.ndarray:
    return log_ratio(_chosen(real), _chosen(shadow), included)


def _chosen(statistics: np.ndarray) -> np.ndarray:
    counts = statistics[..., 2:].mean(axis=-1, keepdims=True)
    return np.concatenate([statistics[..., :2], counts], axis=-1)
