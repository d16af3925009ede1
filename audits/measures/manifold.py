"""Do two sets of rows fill the same region? Figures from nearest-neighbour balls.

All balls are closed, under the Gower distance, and reach to the fifth-nearest other row of the
same table. Equal rows are at distance 0, so on tables with few distinct rows the balls are larger
than the formulas for continuous data suppose: compare every figure with its real-against-real
baseline, never with 1.

Sources:
    precision, recall: Kynkäänniemi et al., NeurIPS 2019, arXiv:1904.06991.
    density, coverage: Naeem et al., ICML 2020, arXiv:2002.09797.
    clipped_density, clipped_coverage: Salvy et al., ICLR 2026, arXiv:2507.01761.
    alpha_precision, beta_recall, authenticity: Alaa et al., ICML 2022, arXiv:2102.08921.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from audits.distance import nearest, pairwise
from audits.measures.resampling import everything, jackknife
from audits.records import Records
from audits.statistics import Estimate, clopper_pearson, normal_interval

K = 5
# Neighbours kept beyond the fifth, to know the fifth-nearest after a group was left out.
_SPARE = 10
NAMES = (
    "precision",
    "recall",
    "density",
    "coverage",
    "clipped_density",
    "clipped_coverage",
    "alpha_precision",
    "beta_recall",
    "authenticity",
)


@dataclass(frozen=True, kw_only=True)
class RealBalls:
    """The real rows and their balls; n rows.

    Attributes:
        records: the rows.
        k: neighbours that a ball reaches to.
        lone: (n,) distance of each row to its nearest other row.
        radius: (n,) distance to its k-th nearest other row.
        clipped: (n,) the same, at most its median over the rows.
        ideal: mean clipped share of balls that hold a real row; divides the clipped density.
        centre: one row, the middle of the table.
        depth: (n,) distance of each row to the centre.
    """

    records: Records
    k: int
    lone: np.ndarray
    radius: np.ndarray
    clipped: np.ndarray
    ideal: float
    centre: Records
    depth: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Reach:
    """Where m other rows, in G groups, lie among n real ones.

    Attributes:
        balls: (m,) real balls that hold the row.
        clipped: (m,) clipped real balls that hold it.
        fresh: (m,) 1 where its nearest real row has a nearer real neighbour, 0 where not; ties 0.5.
        held: (G, n) rows of the group in each real ball.
        entry: (G, n) smallest depth rank of a row of the group in each real ball; 1 if none.
        reached: (G + 1, n) real rows in a ball of an other row: of all, and with a group left out.
    """

    balls: np.ndarray
    clipped: np.ndarray
    fresh: np.ndarray
    held: np.ndarray
    entry: np.ndarray
    reached: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Figures of one table against the real one, by `NAMES`, and which real balls it reaches.

    Attributes:
        figures: by name.
        covered: (n,) bool, real rows with a row of the other table in their ball.
        covered_without: (G, n) bool, the same with each group of other rows left out.
    """

    figures: dict[str, Estimate]
    covered: np.ndarray
    covered_without: np.ndarray


def real_balls(records: Records) -> RealBalls:
    """Balls of a table of at least two rows."""
    k = min(K, len(records) - 1)
    # The first is the row itself or one equal to it: either way 0 away.
    distances, _ = nearest(records, records, k=k + 1)
    radius = distances[:, -1]
    clipped = np.minimum(radius, np.median(radius))
    centre = middle(records)
    return RealBalls(
        records=records,
        k=k,
        lone=distances[:, 1],
        radius=radius,
        clipped=clipped,
        ideal=_ideal(records, clipped, k),
        centre=centre,
        depth=pairwise(records, centre)[:, 0],
    )


def _ideal(records: Records, clipped: np.ndarray, k: int) -> float:
    """Mean over real rows of the share of the k clipped balls of others that hold it, at most 1."""
    shares = []
    for start in range(0, len(records), 512):
        rows = np.arange(start, min(start + 512, len(records)))
        holders = (pairwise(records.take(rows), records) <= clipped).sum(axis=1) - 1
        shares.append(np.minimum(holders / k, 1.0))
    return float(np.concatenate(shares).mean())


def middle(records: Records) -> Records:
    """One row: the lower median of each number column, the commonest value of each category.

    Missing counts as the largest number and as a category.
    """
    numbers = np.sort(records.numbers, axis=0)[[(len(records) - 1) // 2]]
    categories = np.array(
        [[int(np.bincount(codes + 1).argmax()) - 1 for codes in records.categories.T]],
        dtype=records.categories.dtype,
    ).reshape(1, records.categories.shape[1])
    return replace(records.take(np.array([0])), numbers=numbers, categories=categories)


def overlap(
    other: Records, real: RealBalls, groups: list[np.ndarray], *, confidence: float
) -> Overlap:
    """All figures of `other` against the real rows.

    The intervals cover the draw of the other rows; the real rows, and so their balls, are held
    fixed.

    Args:
        other: m >= 2 rows.
        real: what they are compared with.
        groups: the row numbers of `other` in random groups.
        confidence: of the intervals.
    """
    reach = _reach(other, real, groups)
    without = reach.held.sum(axis=0) - reach.held
    sizes = np.array([len(group) for group in groups])
    figures = _by_row(reach, real, confidence)
    figures |= _by_ball(reach, real.k, sizes, confidence)
    figures |= _by_depth(other, reach, real, groups, confidence)
    return Overlap(
        figures={name: figures[name] for name in NAMES},
        covered=reach.held.sum(axis=0) > 0,
        covered_without=without > 0,
    )


def unknown(rows: int, *, confidence: float) -> dict[str, Estimate]:
    """The figures of tables too small for any ball: nothing is ruled out."""
    limits = {"density": (0.0, max(1.0, rows / K))}
    return {
        name: everything(0.0, confidence=confidence, bounds=limits.get(name, (0.0, 1.0)))
        for name in NAMES
    }


def expected_coverage(real: int, other: int, k: int = K) -> float:
    """Coverage to expect of two continuous samples of one distribution.

    1 - prod_{i=1..k} (N - i) / (M + N - i), for N real and M other rows.

    Source: Naeem et al., arXiv:2002.09797, eq. 9.
    """
    steps = np.arange(1, k + 1)
    return float(1.0 - np.prod((real - steps) / (other + real - steps)))


def expected_clipped(real: int, other: int, k: int = K) -> np.ndarray:
    """Uncalibrated clipped coverage to expect of 0..other good rows among `other`: (other + 1,).

    The mass of a ball to the k-th of N - 1 other real rows is Beta(k, N - k), so the number of
    good rows in it is beta-binomial; the figure is the mean of min(number, k) / k.

    Source: Salvy et al., arXiv:2507.01761, section on the calibration of Clipped Coverage.
    """
    good = np.arange(other + 1)
    short = np.arange(k)
    law = stats.betabinom.pmf(short[:, None], good[None, :], k, real - k)
    return np.asarray(1.0 - ((k - short) @ law) / k)


def _reach(other: Records, real: RealBalls, groups: list[np.ndarray]) -> _Reach:
    count, n = len(groups), len(real.records)
    balls, clipped = (np.empty(len(other), dtype=np.int64) for _ in range(2))
    fresh = np.empty(len(other))
    held = np.empty((count, n), dtype=np.int64)
    entry = np.empty((count, n))
    reached = np.zeros((count + 1, n), dtype=np.bool_)
    ranks, radii = _ranks(_depth(other)), _radii(other, groups)
    for place, group in enumerate(groups):
        distances = pairwise(other.take(group), real.records)
        inside = distances <= real.radius
        balls[group] = inside.sum(axis=1)
        clipped[group] = (distances <= real.clipped).sum(axis=1)
        fresh[group] = _fresh(distances, real.lone)
        held[place] = inside.sum(axis=0)
        entry[place] = np.where(inside, ranks[group, None], 1.0).min(axis=0)
        for left_out in range(count + 1):
            if left_out != place + 1:
                reached[left_out] |= (distances <= radii[left_out][group, None]).any(axis=0)
    return _Reach(
        balls=balls, clipped=clipped, fresh=fresh, held=held, entry=entry, reached=reached
    )


def _depth(records: Records) -> np.ndarray:
    return np.asarray(pairwise(records, middle(records))[:, 0])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Mid-ranks as shares, in (0, 1)."""
    return np.asarray((stats.rankdata(values) - 0.5) / values.size)


def _fresh(distances: np.ndarray, lone: np.ndarray) -> np.ndarray:
    """Whether each row is further from its nearest real row than that one from the other real."""
    where = distances.argmin(axis=1)
    own = distances[np.arange(len(distances)), where]
    return np.asarray(np.where(own == lone[where], 0.5, own > lone[where]).astype(np.float64))


def _radii(other: Records, groups: list[np.ndarray]) -> list[np.ndarray]:
    """Radius of each other row's ball: among all rows, and with each group left out."""
    k = min(K, len(other) - 1)
    distances, places = nearest(other, other, k=min(len(other), k + 1 + _SPARE))
    label = np.empty(len(other), dtype=np.int64)
    for place, group in enumerate(groups):
        label[group] = place
    radii = [distances[:, k]]
    for place in range(len(groups)):
        # The row itself is among its neighbours, so the k-th other is the one after k kept.
        order = np.cumsum(label[places] != place, axis=1)
        enough = order[:, -1] > k
        at = np.where(enough, (order > k).argmax(axis=1), distances.shape[1] - 1)
        radii.append(distances[np.arange(len(other)), at])
    return radii


def _by_row(reach: _Reach, real: RealBalls, confidence: float) -> dict[str, Estimate]:
    m = reach.balls.size
    shares = reach.balls / real.k
    good = np.minimum(reach.clipped / real.k, 1.0)
    return {
        "precision": clopper_pearson(int(np.count_nonzero(reach.balls)), m, confidence=confidence),
        "density": normal_interval(
            float(shares.mean()),
            _error(shares),
            confidence=confidence,
            bounds=(0.0, len(real.records) / real.k),
        ),
        "clipped_density": _calibrated(good, real.ideal, confidence),
        # Half credits spread less than whole ones: the binomial interval errs on the wide side.
        "authenticity": clopper_pearson(float(reach.fresh.sum()), m, confidence=confidence),
    }


def _calibrated(shares: np.ndarray, ideal: float, confidence: float) -> Estimate:
    """Mean of shares over their ideal, at most 1."""
    mean = float(shares.mean())
    plain = normal_interval(mean, _error(shares), confidence=confidence, bounds=(0.0, 1.0))
    wide = _no_narrower(plain, shares.size)
    value, lower, upper = (min(1.0, end / ideal) for end in (wide.value, wide.lower, wide.upper))
    return Estimate(value=value, lower=lower, upper=upper, confidence=confidence)


def _no_narrower(estimate: Estimate, trials: int) -> Estimate:
    """At least the binomial interval, so that nothing collapses at 0 or 1 from a few rows."""
    binomial = clopper_pearson(estimate.value * trials, trials, confidence=estimate.confidence)
    return replace(
        estimate,
        lower=min(estimate.lower, binomial.lower),
        upper=max(estimate.upper, binomial.upper),
    )


def _by_ball(reach: _Reach, k: int, sizes: np.ndarray, confidence: float) -> dict[str, Estimate]:
    held, n, m = reach.held.sum(axis=0), reach.held.shape[1], int(sizes.sum())
    without = held - reach.held

    def calibrated(counts: np.ndarray, rows: int) -> float:
        curve = expected_clipped(n, rows, k)
        share = float(np.minimum(counts, k).mean()) / k
        return float(np.interp(share, curve, np.arange(rows + 1) / max(1, rows)))

    pairs: dict[str, tuple[float, list[float]]] = {
        "recall": (reach.reached[0].mean(), reach.reached[1:].mean(axis=1).tolist()),
        "coverage": ((held > 0).mean(), (without > 0).mean(axis=1).tolist()),
        "clipped_coverage": (
            calibrated(held, m),
            [
                calibrated(counts, m - int(size))
                for counts, size in zip(without, sizes, strict=True)
            ],
        ),
    }
    figures = {
        name: jackknife(value, replicates, confidence=confidence, bounds=(0.0, 1.0))
        for name, (value, replicates) in pairs.items()
    }
    return {name: _no_narrower(estimate, n) for name, estimate in figures.items()}


def _by_depth(
    other: Records,
    reach: _Reach,
    real: RealBalls,
    groups: list[np.ndarray],
    confidence: float,
) -> dict[str, Estimate]:
    """One minus twice the area between the curve of shares held and the diagonal."""
    depth, own = pairwise(other, real.centre)[:, 0], _ranks(_depth(other))
    ordered = np.sort(real.depth)
    below, upto = (np.searchsorted(ordered, depth, side=side) for side in ("left", "right"))
    ranks, expected = (below + upto) / (2.0 * ordered.size), _ranks(real.depth)

    def alpha(rows: np.ndarray) -> float:
        return 1.0 - 2.0 * float(stats.wasserstein_distance(ranks[rows], expected))

    def beta(kept: np.ndarray) -> float:
        first = reach.entry[kept].min(axis=0)
        return 1.0 - 2.0 * float(stats.wasserstein_distance(first, own))

    every = np.arange(len(groups))
    curves: dict[str, tuple[Callable[[np.ndarray], float], np.ndarray, list[np.ndarray]]] = {
        "alpha_precision": (
            alpha,
            np.arange(len(other)),
            [np.setdiff1d(np.arange(len(other)), group) for group in groups],
        ),
        "beta_recall": (beta, every, [np.delete(every, place) for place in every]),
    }
    return {
        name: jackknife(
            max(0.0, figure(whole)),
            [figure(part) for part in parts] if len(groups) > 1 else [],
            confidence=confidence,
            bounds=(0.0, 1.0),
        )
        for name, (figure, whole, parts) in curves.items()
    }


def _error(values: np.ndarray) -> float:
    return float(np.sqrt(values.var(ddof=1) / values.size)) if values.size > 1 else 0.0
