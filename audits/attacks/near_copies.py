"""Membership by agreement: a synthetic row that shares too much with a target to be chance.

A Gower distance weighs every column alike, so a copy with one column altered drowns among rows that
happen to be near. Here every column counts by how rare such an agreement is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audits.measures.pairs import blocks, by_target
from audits.records import Records

NAME = "near_copies"
KNOWLEDGE = "the synthetic table alone (no box)"
BLIND_SPOT = (
    "It sees rows copied in most of their columns, the rare values above all. It treats columns as "
    "independent, and noise on every column hides a row from it."
)

# Products of this many orders of magnitude stay inside the range of float32.
_DECADES = 36.0


def score(targets: Records, *, synthetic: Records) -> np.ndarray:
    """Surprise at the best agreement with one synthetic row, in nats, float64 (len(targets),).

    The surprise of a pair is minus the sum over columns of the log of the share of synthetic rows
    that agree with the target at least as well in that column: those of equal category; those whose
    number lies between the two, ends included; those missing too. No agreement counts nothing.
    Were the columns independent and the row drawn afresh, that share would be the p-value of the
    column, so targets in crowded and in empty places are on one scale.

    Source: weights of agreement in record linkage (Fellegi and Sunter, JASA 64, 1969), with the
        p-values of Fisher's combination in place of their likelihood ratios.
    """
    left, right = _counted(targets, synthetic), _counted(synthetic, synthetic)
    return by_target(len(targets), lambda block: _best(left, right, block, len(synthetic)))


@dataclass(frozen=True, kw_only=True)
class _Column:
    """One column of one table, counted in the synthetic table; counts are in units of `_unit`.

    Attributes:
        codes: of a category, (n,); None for a number.
        below: (n,) how many synthetic values are smaller; unused for a category.
        upto: (n,) how many are smaller or equal; for a category: how many are equal.
        gaps: whether a number is missing here.
    """

    codes: np.ndarray | None
    below: np.ndarray
    upto: np.ndarray
    gaps: bool


def _unit(rows: int) -> float:
    """A power of two near the row count: dividing by it leaves differences of counts exact."""
    return float(2 ** math.ceil(math.log2(rows)))


def _counted(records: Records, synthetic: Records) -> list[_Column]:
    rows, unit = len(synthetic), np.float32(_unit(len(synthetic)))
    columns: list[_Column] = []
    for values, made in zip(records.numbers.T, synthetic.numbers.T, strict=True):
        ordered, missing = np.sort(made), np.isnan(values)
        # A gap lies a whole table away from every value, and beside every other gap.
        below, upto = (
            (np.searchsorted(ordered, values, side=side) + rows * missing).astype(np.float32)
            for side in ("left", "right")
        )
        columns.append(
            _Column(codes=None, below=below / unit, upto=upto / unit, gaps=bool(missing.any()))
        )
    for codes, made in zip(records.categories.T, synthetic.categories.T, strict=True):
        top = max(int(codes.max(initial=-1)), int(made.max(initial=-1)))
        counts = np.bincount(made + 1, minlength=top + 2)[codes + 1].astype(np.float32) / unit
        columns.append(_Column(codes=codes, below=counts, upto=counts, gaps=False))
    return columns


def _best(
    left: Sequence[_Column], right: Sequence[_Column], targets: slice, rows: int
) -> np.ndarray:
    """Largest surprise over all synthetic rows, for one block of targets."""
    # Products start high enough for their factors, at least 1 / rows each, to stay in float32.
    together = max(1, int(2.0 * _DECADES / max(1.0, math.log10(_unit(rows)))))
    groups = [slice(i, i + together) for i in range(0, len(left), together)]
    best = np.full(targets.stop - targets.start, -np.inf)
    for made in blocks(rows):
        products = [_product(left[group], right[group], (targets, made), rows) for group in groups]
        if len(groups) == 1:
            # The logarithm of the smallest product instead of all logarithms.
            surprise = -np.log(products[0].min(axis=1).astype(np.float64))
        else:
            logs = [np.log(product, dtype=np.float64) for product in products]
            surprise = -np.sum(logs, axis=0).min(axis=1)
        np.maximum(best, surprise, out=best)
    unit = _unit(rows)
    return np.asarray(best + len(left) * (math.log(unit) / 2.0 - math.log(unit / rows)))


def _product(
    left: Sequence[_Column], right: Sequence[_Column], pair: tuple[slice, slice], rows: int
) -> np.ndarray:
    """Counts that agree at least as well, by `_unit`, multiplied over columns from a high start."""
    a, b = pair
    shape = (a.stop - a.start, b.stop - b.start)
    product = np.full(shape, _unit(rows) ** (len(left) / 2.0), dtype=np.float32)
    part, other = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
    unequal = np.empty(shape, dtype=np.bool_)
    whole = np.float32(rows / _unit(rows))
    for mine, made in zip(left, right, strict=True):
        if mine.codes is None or made.codes is None:
            np.subtract(made.upto[None, b], mine.below[a, None], out=part)
            np.subtract(mine.upto[a, None], made.below[None, b], out=other)
            np.maximum(part, other, out=part)
            if mine.gaps or made.gaps:
                np.minimum(part, whole, out=part)
        else:
            np.not_equal(mine.codes[a, None], made.codes[None, b], out=unequal)
            np.multiply(unequal, whole - mine.upto[a, None], out=part)
            np.add(part, mine.upto[a, None], out=part)
        np.multiply(product, part, out=product)
    return product
