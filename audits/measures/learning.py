"""The one learner of the audits: gradient-boosted trees with fixed settings.

One thread: on tables of this size several spend their time waiting for each other, a hundredfold
beside other work. No early stopping: it would set rows aside by a draw of its own.
"""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

_TREES = 100
_LEAVES = 16
_LEAF_ROWS = 20


def class_scores(
    rows: np.ndarray, labels: np.ndarray, *, classes: int, targets: np.ndarray
) -> np.ndarray:
    """How likely each target belongs to each class, learnt from labelled rows.

    Args:
        rows: (n, d) finite, from `features.design`.
        labels: (n,) int class numbers from 0 to classes - 1; some classes may have no row.
        classes: how many classes there are.
        targets: (m, d).

    Returns:
        float64 (m, classes), rows adding up to 1; a class without a row scores 0 everywhere, so
        it is told apart no better than by guessing. Without columns, or with labels of one class
        only, all targets score alike: the shares of the classes.
    """
    found = np.unique(labels)
    scores = np.zeros((len(targets), classes))
    if found.size < 2 or rows.shape[1] == 0:
        scores[:] = np.bincount(labels, minlength=classes) / max(1, len(labels))
        return scores
    # One iteration grows a tree for each class; many classes get fewer and bolder iterations.
    many = found.size > 2
    model = HistGradientBoostingClassifier(
        max_iter=max(20, 2 * _TREES // found.size) if many else _TREES,
        learning_rate=0.2 if many else 0.1,
        max_leaf_nodes=_LEAVES,
        min_samples_leaf=_LEAF_ROWS,
        early_stopping=False,
        random_state=0,
    )
    with threadpool_limits(1, user_api="openmp"):
        model.fit(rows, labels)
        scores[:, found] = model.predict_proba(targets)
    return scores


def number_scores(rows: np.ndarray, values: np.ndarray, *, targets: np.ndarray) -> np.ndarray:
    """A prediction of a number for each target, learnt from rows with known values.

    Args:
        rows: (n, d) finite, from `features.design`.
        values: (n,) finite and bounded; squared errors are what is made small.
        targets: (m, d).

    Returns:
        float64 (m,); all equal where there are no rows, no columns or a single value.
    """
    if values.size == 0 or rows.shape[1] == 0 or values.min() == values.max():
        return np.zeros(len(targets))
    model = HistGradientBoostingRegressor(
        max_iter=_TREES,
        max_leaf_nodes=_LEAVES,
        min_samples_leaf=_LEAF_ROWS,
        early_stopping=False,
        random_state=0,
    )
    with threadpool_limits(1, user_api="openmp"):
        model.fit(rows, values)
        return np.asarray(model.predict(targets), dtype=np.float64)
