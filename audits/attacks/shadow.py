"""Membership by a classifier that learned, on shadow models, what membership looks like."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from audits.black_box.refit import Refit
from audits.black_box.shadow_models import shadow_runs
from audits.records import Records

NAME = "shadow"
KNOWLEDGE = (
    "the synthetic table, rows of the same source, and the generator itself, to be fitted again "
    "(black box)"
)
BLIND_SPOT = (
    "It learns one sign of membership for all records; a leak that shows differently in each "
    "record is better seen by a likelihood ratio per record."
)
_DECIMALS = 9


def score(
    targets: Records,
    *,
    synthetic: Records,
    reference: Records,
    refit: Refit,
    rng: np.random.Generator,
) -> np.ndarray:
    """Log odds of membership by a classifier over all (model, target) pairs, (len(targets),).

    Source: Stadler, Oprisanu and Troncoso, Synthetic data - anonymisation groundhog day, USENIX
        Security 2022 (arXiv 2011.07018), section 5; Houssiau et al., TAPAS (arXiv 2211.06550),
        for one classifier over statistics around the target.

    Raises:
        AttackError: a refit failed.
    """
    runs = shadow_runs(targets, synthetic=synthetic, reference=reference, refit=refit, rng=rng)
    return runs.scores(log_odds)


def log_odds(real: np.ndarray, shadow: np.ndarray, included: np.ndarray) -> np.ndarray:
    """Logistic regression of membership on statistics in units of each record's own spread.

    Args:
        real: (T, F) statistics in the table under attack.
        shadow: (K, T, F) statistics in the shadow tables.
        included: (K, T) bool; not all equal.

    Returns:
        float64 (T,), rounded to nine decimals; 0 for all where no statistic varies.
    """
    # Records lie in denser and in emptier places: what counts is the step from a record's own
    # level. The level comes from all models, so it is blind to the labels.
    level = shadow.mean(axis=0)
    steps = shadow - level
    own = np.sqrt(np.square(steps).mean(axis=0))
    common = np.sqrt(np.square(own).mean(axis=0))
    varies = common > 1e-12
    if not varies.any():
        return np.zeros(len(real))
    # Half of the common spread is added: a record's own is measured on few models.
    unit = (own + 0.5 * common)[:, varies]
    train = (steps[:, :, varies] / unit).reshape(-1, int(varies.sum()))
    # Newton's method ends within rounding of the one optimum, whatever the order of the sums.
    model = LogisticRegression(solver="newton-cholesky", tol=1e-10)
    model.fit(train, included.reshape(-1))
    odds = model.decision_function((real - level)[:, varies] / unit)
    return np.asarray(np.round(odds, _DECIMALS))
