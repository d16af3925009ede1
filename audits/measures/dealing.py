"""Is the nearest real row of a synthetic row too often one of train? A permutation test.

If training and holdout rows are exchangeable given the synthetic table, the real rows might as well
have been dealt to the two tables at random. The share of synthetic rows nearer to train, ties half,
is compared with its values under many such deals: exact at any sizes, with any ties, and every
real row takes part.

Source: Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9(1), 2010
(p-values of randomly drawn permutations).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from audits.distance import nearest
from audits.records import Encoded, concatenate, row_ids

# Different rows at the very same distance are few; more of them are not looked at, in any deal.
_TIED = 4
_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Dealt:
    """Outcome of the test.

    Attributes:
        share: of the synthetic rows nearer to train, ties half, all real rows taking part.
        mean: of the same share over the deals; not 0.5 where the tables differ in size.
        error: its standard deviation over the deals.
        p_value: one-sided; at most a with probability at most a under the null.
    """

    share: float
    mean: float
    error: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class _Nearest:
    """Which real rows are nearest to the synthetic ones; P real rows.

    Attributes:
        weight: (P,) synthetic rows with this real row, and no other, as their nearest.
        rows: (R,) real rows whose values are nearest together with others, value by value.
        starts: (U,) where each of those values begins in `rows`.
        sets: (S, U) incidence of the values in sets that are equally near.
        shared: (S,) synthetic rows with this set as their nearest.
    """

    weight: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    sets: sparse.csr_array
    shared: np.ndarray


def deal(tables: Encoded, *, draws: int, rng: np.random.Generator) -> Dealt:
    """Compare the seen share with `draws` random deals of the real rows.

    Args:
        tables: train and holdout (at least one row each) and synthetic.
        draws: deals; the smallest possible p-value is 1 / (draws + 1).
        rng: of the deals.
    """
    found = _nearest(tables, rng=rng)
    total = found.weight.size
    labels = (np.arange(total) < len(tables.train)).astype(np.int8)
    seen = int(_credits(found, labels[None, :])[0])
    drawn = []
    for start in range(0, draws, _BATCH):
        batch = np.tile(labels, (min(_BATCH, draws - start), 1))
        drawn.append(_credits(found, rng.permuted(batch, axis=1, out=batch)))
    credits = np.concatenate(drawn)
    # Twice the credits are whole numbers: no tie is lost to rounding.
    whole = 2.0 * len(tables.synthetic)
    return Dealt(
        share=seen / whole,
        mean=float(credits.mean()) / whole,
        error=float(credits.std()) / whole,
        p_value=(1.0 + int(np.count_nonzero(credits >= seen))) / (draws + 1.0),
    )


def _nearest(tables: Encoded, *, rng: np.random.Generator) -> _Nearest:
    real = concatenate([tables.train, tables.holdout])
    (value,) = row_ids([real])
    _, first, times = np.unique(value, return_index=True, return_counts=True)
    # Which of equally near values is looked at must not tell in which table they lie.
    order = rng.permutation(first.size)
    k = min(_TIED, first.size)
    distances, places = nearest(tables.synthetic, real.take(first[order]), k=k)
    tied = np.where(distances == distances[:, :1], order[places], -1)
    alone = (np.count_nonzero(tied >= 0, axis=1) == 1) & (times[tied[:, 0]] == 1)
    sets, shared = np.unique(np.sort(tied[~alone], axis=1), axis=0, return_counts=True)
    present = sets >= 0
    values, codes = np.unique(sets[present], return_inverse=True)
    sizes = times[values]
    by_value = np.argsort(value, kind="stable")
    ends = np.cumsum(times)
    return _Nearest(
        weight=np.bincount(first[tied[alone, 0]], minlength=len(real)),
        rows=np.concatenate(
            [by_value[ends[v] - times[v] : ends[v]] for v in values] or [np.empty(0, np.int64)]
        ),
        starts=np.cumsum(sizes) - sizes,
        sets=sparse.csr_array(
            (np.ones(codes.size, dtype=np.int64), (np.nonzero(present)[0], codes)),
            shape=(len(sets), values.size),
        ),
        shared=shared,
    )


def _credits(found: _Nearest, labels: np.ndarray) -> np.ndarray:
    """Twice the credits of train, for each row of labels (deals, P) that are 1 in train."""
    # Whole numbers below 2**53: exact in any order of summation.
    credits = 2 * (labels.astype(np.float64) @ found.weight.astype(np.float64)).astype(np.int64)
    if found.shared.size == 0:
        return np.asarray(credits)
    chosen = labels[:, found.rows]
    least = np.minimum.reduceat(chosen, found.starts, axis=1).T.astype(np.int64)
    most = np.maximum.reduceat(chosen, found.starts, axis=1).T.astype(np.int64)
    sizes = found.sets.sum(axis=1)[:, None]
    # A set is all in train, all in the holdout, or mixed: two, no or one half credit.
    score = (found.sets @ least == sizes).astype(np.int64) + (found.sets @ most > 0)
    return np.asarray(credits + found.shared @ score)
