"""The one distance of all audits: Gower's, capped, with a declared rule for missing values.

The distance of two rows is the mean over columns of a part in [0, 1]:

- a number column: |x - y| / range of the real tables, at most 1 (a synthetic value further out
  than one range counts as one range out);
- a category column: 0 if equal, else 1;
- both missing: 0; one missing: 1, whatever the kind.

Source: Gower, A general coefficient of similarity and some of its properties, Biometrics 27(4),
1971. The search runs in float32, so a neighbour may be passed over for one that is nearer
by less than 1e-6; the distances of those found are then computed in float64 and rounded to nine
decimals, so that distances which are equal on paper are equal here.
"""

from __future__ import annotations

import numpy as np
from joblib import Parallel, delayed

from audits.errors import AuditInputError
from audits.records import Records

# One block of pairs stays inside a core's second-level cache; measured, not derived.
_QUERY_BLOCK = 64
_REFERENCE_BLOCK = 4096
# The minimum with an array is four times as quick as the minimum with one number.
_ONE = np.ones((_QUERY_BLOCK, _REFERENCE_BLOCK), dtype=np.float32)
_ONE.setflags(write=False)
# After so many number columns, see how many pairs are still open; below one in so many, go on with
# those alone.
_CHECK_EVERY = 3
_FEW = 16
_DECIMALS = 9


def nearest(
    queries: Records, references: Records, *, k: int = 1, n_jobs: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest references of every query, by brute force, exactly.

    Args:
        queries: m rows.
        references: n rows on the same layout, n >= k.
        k: how many neighbours.
        n_jobs: threads; None takes the number of a surrounding `joblib.parallel_config`, or one.

    Returns:
        Distances, float64 (m, k), rising along the row; indices into references, int64 (m, k).
        Of references that the search finds equally near, the one stored first is taken. Every bit
        is the same whatever n_jobs: each pair is summed column by column in one fixed order.

    Raises:
        AuditInputError: fewer references than k, or layouts that differ.
    """
    _check_layouts(queries, references)
    if not 1 <= k <= len(references):
        raise AuditInputError(
            f"k={k} neighbours asked of {len(references)} references; k must be between 1 and that"
        )
    left, right = _Packed(queries), _Packed(references)
    starts = range(0, len(queries), _QUERY_BLOCK)
    chunks = [starts[i : i + 32] for i in range(0, len(starts), 32)]
    parts = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(_search)(left, right, chunk, k) for chunk in chunks
    )
    indices = np.concatenate(parts or [np.empty((0, k), np.int64)])
    distances = _exact(queries, references, indices)
    order = np.lexsort((indices, distances), axis=1)
    return np.take_along_axis(distances, order, 1), np.take_along_axis(indices, order, 1)


def pairwise(queries: Records, references: Records) -> np.ndarray:
    """All distances of two sets of rows, float64 (m, n), rounded like those of `nearest`.

    The caller keeps m * n small: the whole matrix is held.

    Raises:
        AuditInputError: layouts that differ.
    """
    _check_layouts(queries, references)
    out = np.empty((len(queries), len(references)))
    columns = [*zip(queries.scaled.T, references.scaled.T, strict=True)]
    codes = [*zip(queries.categories.T, references.categories.T, strict=True)]
    for row in range(0, len(queries), _QUERY_BLOCK):
        for start in range(0, len(references), _REFERENCE_BLOCK):
            rows, ends = slice(row, row + _QUERY_BLOCK), slice(start, start + _REFERENCE_BLOCK)
            total = out[rows, ends]
            total[...] = 0.0
            for a, b in columns:
                part = np.abs(a[rows, None] - b[None, ends])
                total += np.minimum(part, 1.0, out=part)
            for c, d in codes:
                total += c[rows, None] != d[None, ends]
            total /= len(queries.names)
    return np.asarray(np.round(out, _DECIMALS, out=out))


def _check_layouts(queries: Records, references: Records) -> None:
    if queries.layout is not references.layout and queries.layout != references.layout:
        raise AuditInputError(
            "queries and references have different layouts; encode all tables in one call"
        )


def _exact(queries: Records, references: Records, indices: np.ndarray) -> np.ndarray:
    """Distances of the pairs found, in float64, shape (m, k)."""
    total = np.zeros(indices.shape)
    for a, b in zip(queries.scaled.T, references.scaled.T, strict=True):
        total += np.minimum(np.abs(a[:, None] - b[indices]), 1.0)
    for a, b in zip(queries.categories.T, references.categories.T, strict=True):
        total += a[:, None] != b[indices]
    return np.asarray(np.round(total / len(queries.names), _DECIMALS))


class _Packed:
    """Records column by column, in the narrowest integers that hold the codes."""

    def __init__(self, records: Records) -> None:
        self.numbers = np.ascontiguousarray(records.scaled.T, dtype=np.float32)
        self.capped = _needs_cap(records)
        self.categories = [
            np.ascontiguousarray(records.categories[:, j] + 1).astype(_width(len(levels)))
            for j, levels in enumerate(records.layout.levels)
        ]
        self.rows = len(records)


def _needs_cap(records: Records) -> np.ndarray:
    """Number columns with a part that may exceed 1: a missing value or one outside the range."""
    scaled = records.scaled
    return np.asarray(((scaled < 0) | (scaled > 1)).any(axis=0))


def _width(levels: int) -> type[np.unsignedinteger]:
    if levels < 2**8:
        return np.uint8
    return np.uint16 if levels < 2**16 else np.uint32


def _search(left: _Packed, right: _Packed, starts: range, k: int) -> np.ndarray:
    indices = []
    for start in starts:
        stop = min(start + _QUERY_BLOCK, left.rows)
        best = np.full((stop - start, k), np.inf, dtype=np.float32)
        where = np.zeros((stop - start, k), dtype=np.int64)
        for begin in range(0, right.rows, _REFERENCE_BLOCK):
            ends = slice(begin, min(begin + _REFERENCE_BLOCK, right.rows))
            block = _block(left, right, slice(start, stop), ends, best[:, -1])
            if block is not None:
                _merge(best, where, block, begin)
        indices.append(where)
    return np.concatenate(indices)


def _block(
    left: _Packed, right: _Packed, rows: slice, columns: slice, limit: np.ndarray
) -> np.ndarray | None:
    """Sums of the parts (not yet their mean) for one block of pairs.

    A pair whose sum so far has reached its query's limit is out, since parts are never negative:
    where few pairs are left, only those are summed further and the others are infinite. What is
    summed is summed in the same order either way. None where no pair is left.
    """
    total = _differing(left, right, rows, columns)
    part = np.empty(total.shape, dtype=np.float32)
    one = _ONE[: total.shape[0], : total.shape[1]]
    for j, (a, b) in enumerate(zip(left.numbers, right.numbers, strict=True)):
        if j % _CHECK_EVERY == 0:
            open_pairs = total < limit[:, None]
            count = np.count_nonzero(open_pairs)
            if count == 0:
                return None
            if count * _FEW < total.size:
                return _finish(left, right, (rows, columns), total, open_pairs, j)
        np.subtract(a[rows, None], b[None, columns], out=part)
        np.abs(part, out=part)
        if left.capped[j] or right.capped[j]:
            np.minimum(part, one, out=part)
        np.add(total, part, out=total)
    return total


def _differing(left: _Packed, right: _Packed, rows: slice, columns: slice) -> np.ndarray:
    """Category columns in which the pairs of a block differ, as float32."""
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    counter = np.uint8 if len(left.categories) < 2**8 else np.uint32
    differing = np.zeros(shape, dtype=counter)
    unequal = np.empty(shape, dtype=np.bool_)
    for a, b in zip(left.categories, right.categories, strict=True):
        np.not_equal(a[rows, None], b[None, columns], out=unequal)
        np.add(differing, unequal, out=differing)
    return differing.astype(np.float32)


def _finish(
    left: _Packed,
    right: _Packed,
    block: tuple[slice, slice],
    total: np.ndarray,
    open_pairs: np.ndarray,
    first: int,
) -> np.ndarray:
    """Add the number columns from `first` on for the open pairs; all others become infinite."""
    places = np.flatnonzero(open_pairs)
    queries, references = np.divmod(places, total.shape[1])
    sums = total.ravel()[places]
    for j in range(first, len(left.numbers)):
        a, b = left.numbers[j][block[0]], right.numbers[j][block[1]]
        part = np.abs(a[queries] - b[references])
        if left.capped[j] or right.capped[j]:
            np.minimum(part, np.float32(1.0), out=part)
        sums += part
    total.fill(np.inf)
    total.ravel()[places] = sums
    return total


def _merge(best: np.ndarray, where: np.ndarray, block: np.ndarray, offset: int) -> None:
    """Put the block's smallest values into the running lists, in place."""
    k = best.shape[1]
    # Strictly below: a tie with an earlier reference would not displace it anyway.
    rows = np.flatnonzero(block.min(axis=1) < best[:, -1])
    if rows.size == 0:
        return
    block = block[rows]
    each = np.arange(rows.size)
    found = np.empty((rows.size, min(k, block.shape[1])), dtype=np.int64)
    values = np.empty(found.shape, dtype=np.float32)
    for i in range(found.shape[1]):
        found[:, i] = block.argmin(axis=1)
        values[:, i] = block[each, found[:, i]]
        block[each, found[:, i]] = np.inf
    merged = np.concatenate([best[rows], values], axis=1)
    places = np.concatenate([where[rows], found + offset], axis=1)
    order = np.argsort(merged, axis=1, kind="stable")[:, :k]
    best[rows] = np.take_along_axis(merged, order, axis=1)
    where[rows] = np.take_along_axis(places, order, axis=1)
