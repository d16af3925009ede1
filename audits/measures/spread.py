"""How much of each column's variety another table keeps, column by column.

All figures compare with the training table. Those that grow with the number of rows mean
something only beside the same figure of real rows in equal number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audits.records import Records

TAILS = (0.005, 0.01, 0.02, 0.05)
# A ratio to a spread of nothing has no bound; this is far beyond what any use could bear.
CAP = 10.0
# Below this, in squares of the real range, a spread is rounding.
_NO_SPREAD = 1e-14


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Figures of one table by column; row 0 from all rows, row g from all but random group g - 1.

    Attributes:
        coverage: (G + 1, columns) share of the cells of train that the table reaches.
        entropy: (G + 1, columns) effective number of values, exp(entropy of the cells), over that
            of train. The exponential keeps it defined where train has a single value.
        tail: (G + 1, numbers) share of the outermost ranges of train that it reaches.
        variance: (G + 1, numbers) variance over that of train, at most `CAP`; 1 where neither
            varies, `CAP` where train alone does not, 0 where only train has values.
    """

    coverage: np.ndarray
    entropy: np.ndarray
    tail: np.ndarray
    variance: np.ndarray


def spread(
    train: tuple[Records, np.ndarray],
    other: tuple[Records, np.ndarray],
    groups: Sequence[np.ndarray],
) -> Spread:
    """Figures of a table against train.

    Args:
        train: its rows and their cells, (n, columns).
        other: rows and cells of the table compared.
        groups: row numbers of `other` in random groups.
    """
    label = np.empty(len(other[0]), dtype=np.int64)
    for place, group in enumerate(groups):
        label[group] = place
    cells = [
        _cells(train[1][:, column], other[1][:, column], label, len(groups))
        for column in range(train[1].shape[1])
    ]
    numbers = [
        _number(train[0], other[0], column, label, len(groups))
        for column in range(train[0].numbers.shape[1])
    ]
    empty = np.empty((len(groups) + 1, 0))
    return Spread(
        coverage=np.column_stack([coverage for coverage, _ in cells]),
        entropy=np.column_stack([entropy for _, entropy in cells]),
        tail=np.column_stack([tail for tail, _ in numbers]) if numbers else empty,
        variance=np.column_stack([ratio for _, ratio in numbers]) if numbers else empty,
    )


def entropy(counts: np.ndarray) -> np.ndarray:
    """Entropy in nats of counts along the last axis; 0 where there are none."""
    shares = counts / np.maximum(1, counts.sum(axis=-1, keepdims=True))
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(axis=-1))


def _cells(
    train: np.ndarray, other: np.ndarray, label: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray]:
    width = 1 + int(max(train.max(), other.max()))
    held = np.bincount(train, minlength=width)
    counts = _left_out(other, label, width, groups)
    reached = (counts[:, held > 0] > 0).mean(axis=1)
    return reached, np.exp(entropy(counts) - entropy(held))


def _left_out(cells: np.ndarray, label: np.ndarray, width: int, groups: int) -> np.ndarray:
    """Counts (groups + 1, width): of all rows, and with each group left out."""
    split = np.bincount(label * width + cells, minlength=groups * width).reshape(groups, width)
    total = split.sum(axis=0)
    return np.vstack([total[None, :], total - split])


def _number(
    train: Records, other: Records, column: int, label: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray]:
    here, there = (~np.isnan(records.numbers[:, column]) for records in (train, other))
    # In units of the real range, far-out values pulled in: no overflow, no value that rules all.
    real, made = train.scaled[here, column], other.scaled[there, column]
    kept = label[there]
    variances = _variances(made, kept, groups)
    own = float(real.var()) if real.size else 0.0
    if own > _NO_SPREAD:
        ratio = np.minimum(variances / own, CAP)
    else:
        ratio = np.where(variances > _NO_SPREAD, CAP, 1.0)
    if real.size == 0:
        return np.ones(groups + 1), ratio
    return _tail(real, made, kept, groups), np.where(made.size == 0, 0.0, ratio)


def _tail(real: np.ndarray, made: np.ndarray, label: np.ndarray, groups: int) -> np.ndarray:
    reached = []
    for sign in (1.0, -1.0):
        # Quantiles that are data values, so that every range holds a row of train.
        edges = np.unique(np.quantile(sign * real, TAILS, method="inverted_cdf"))
        places = np.searchsorted(edges, sign * made, side="left")
        reached.append(_left_out(places, label, edges.size + 1, groups)[:, :-1] > 0)
    return np.asarray(np.hstack(reached).mean(axis=1))


def _variances(values: np.ndarray, label: np.ndarray, groups: int) -> np.ndarray:
    """Variance of all values, and with each group left out; 0 of fewer than one."""
    sums = []
    # Moments about a value of the table itself lose no digits where it barely varies.
    centred = values - (values[0] if values.size else 0.0)
    for power in (0, 1, 2):
        split = np.bincount(label, weights=centred**power, minlength=groups)
        sums.append(np.concatenate([[split.sum()], split.sum() - split]))
    count = np.maximum(1.0, sums[0])
    return np.asarray(np.maximum(0.0, sums[2] / count - np.square(sums[1] / count)))
