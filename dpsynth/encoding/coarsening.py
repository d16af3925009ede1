"""Coarser codes: fewer codes a column, so that a table of two columns rises above its noise.

A code of the coarse codec is a run of neighbouring codes of a number, or several rare categories.
Inside it values follow the noisy one-way marginal of the fine codes, so that the resolution of a
column alone is not lost; only what other columns say about it is coarser. All of it is
post-processing of noisy answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dpsynth.encoding.binning import Intervals
from dpsynth.encoding.codec import ColumnCodec, NumberCodec, TableCodec
from dpsynth.encoding.domain import Domain

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class ResolutionRules:
    """How many codes a column keeps. Public constants, the same for every table.

    Attributes:
        least, most: bounds on the number of codes.
        sigmas: noise standard deviations that an average cell of a pair's table should hold.
    """

    least: int = 6
    most: int = 64
    sigmas: float = 2.0

    def codes(self, *, rows: float, std: float) -> int:
        """Most codes a column, where a cell of a pair's table has noise of `std` rows."""
        cells = max(rows, 1.0) / (self.sigmas * std)
        return int(np.clip(round(np.sqrt(cells)), self.least, self.most))


def coarsened(domain: Domain, limit: int) -> Domain:
    """The domain with at most `limit` codes a column (at least 2; a missing code is kept).

    Args:
        domain: what was learned.
        limit: most codes a column.
    """
    parts: list[ColumnCodec] = []
    one_way: list[FloatArray] = []
    for part, shares in zip(domain.codec.parts, domain.one_way, strict=True):
        groups = _groups(part, shares, limit=limit)
        parts.append(_merged(part, shares, groups))
        one_way.append(np.bincount(groups, weights=shares).astype(np.float64))
    return Domain(TableCodec(tuple(parts)), tuple(one_way), domain.notes)


def _groups(part: ColumnCodec, shares: FloatArray, *, limit: int) -> IntArray:
    """The coarse code of each code, shape (size,); coarse codes run from 0 without gaps."""
    if part.size <= limit:
        return np.arange(part.size)
    absent = part.missing is not None
    present = shares[: part.size - absent]
    room = max(limit - absent, 1)
    if isinstance(part, NumberCodec):
        groups = _runs(present, room)
    else:
        groups = np.full(len(present), room - 1, dtype=np.int64)
        commonest = np.argsort(-present, kind="stable")[: room - 1]
        groups[np.sort(commonest)] = np.arange(room - 1)
    return np.r_[groups, groups.max() + 1] if absent else groups


def _runs(shares: FloatArray, limit: int) -> IntArray:
    """Neighbouring codes of about equal mass together; a code of more than that stays alone.

    A heavy code stands in the way of the codes on its two sides, which then share a run: their
    values are told apart by their shares only.
    """
    heaviest = np.argsort(-shares, kind="stable")[: limit - 1]  # equal ones must not be too many
    heavy = np.zeros(len(shares), dtype=bool)
    heavy[heaviest] = shares[heaviest] > 1.0 / limit
    light = np.where(heavy, 0.0, shares)
    bins = max(limit - int(heavy.sum()), 1)
    middle = np.cumsum(light) - 0.5 * light
    bin_of = np.minimum((middle * bins / max(light.sum(), 1e-300)).astype(np.int64), bins - 1)
    labels: dict[tuple[bool, int], int] = {}
    keys = [(bool(h), code if h else int(bin_of[code])) for code, h in enumerate(heavy)]
    return np.array([labels.setdefault(key, len(labels)) for key in keys], dtype=np.int64)


def _merged(part: ColumnCodec, shares: FloatArray, groups: IntArray) -> ColumnCodec:
    """The codec whose codes are the groups; shares inside a group follow the fine codes."""
    missing = None if part.missing is None else int(groups[part.missing])
    fallback = int(groups[part.fallback])
    if isinstance(part, NumberCodec):
        found = part.intervals
        codes = groups[found.codes]
        weights = _within(found.weights, found.codes, codes, shares)
        intervals = Intervals(found.starts, codes, weights)
        return replace(part, intervals=intervals, missing=missing, fallback=fallback)
    if not len(part.codes):
        return part
    codes = groups[part.codes]
    weights = _within(part.weights, part.codes, codes, shares)
    return replace(part, codes=codes, weights=weights, missing=missing, fallback=fallback)


def _within(
    weights: FloatArray, fine: IntArray, coarse: IntArray, shares: FloatArray
) -> FloatArray:
    """Share of each member within its coarse code; as before where the code has no mass."""
    mass = weights * shares[fine]
    total = np.bincount(coarse, weights=mass)
    plain = np.bincount(coarse, weights=weights)
    empty = total[coarse] <= 0
    return np.where(empty, weights / plain[coarse], mass / np.where(empty, 1.0, total[coarse]))


def independent_guesses(
    one_way: Sequence[FloatArray], pairs: Sequence[tuple[int, int]], *, rows: float
) -> tuple[FloatArray, ...]:
    """Counts of each pair's cells if the two columns had nothing to do with each other."""
    return tuple(rows * np.outer(one_way[i], one_way[j]) for i, j in pairs)
