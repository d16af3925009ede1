"""What an ideal refit would do, generation by generation: the dashed lines beside the curves.

Ideal means that a generation is fitted without any error but that of its finite sample: a Gaussian
by its mean and variance (divisor n - 1), a category by its shares. Real generators add errors of
their own, private ones their noise as well, so a curve below its line is no fault of the theory.

All laws are of first order in one over the number of rows, unless they say that they are exact.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from dpsynth.generations.modes import Mode

Floats = NDArray[np.float64]


def log_variance(mode: Mode, *, rows: int, generations: int) -> Floats:
    """Expected log of a synthetic table's variance over that of the real sample, ideal Gaussian.

    Under replacement exact: every generation multiplies the variance by chi2(n - 1)/(n - 1), whose
    log is expected to be digamma((n - 1)/2) - ln((n - 1)/2), about -1/(n - 1). So the variance goes
    to nothing, as -G/(n - 1) in the log.

    Under accumulation the k-th sample is one k-th of what the next model is fitted to, so its error
    counts as 1/k^2: drift -1/(n k^2) by the means' scatter, and as much again since the log is
    concave. The sum is bounded by pi^2/6. With fresh real rows the errors of a generation fade in
    later ones (see `_fresh_log_variance`). Both are of first order in 1/n.

    Args:
        mode: what each generation is fitted to.
        rows: n >= 3, of every table.
        generations: G >= 1.

    Returns:
        (G,) from generation 1.

    Sources: Shumailov et al., Nature 631, 2024 (variance to 0 under replacement); Gerstgrasser et
        al., arXiv:2404.01413 (the pi^2/6 bound, there for regression).
    """
    step = float(digamma((rows - 1) / 2) - math.log((rows - 1) / 2))
    count = np.arange(1, generations + 1)
    if mode.kind == "replace":
        return np.asarray(step * count, dtype=np.float64)
    if mode.kind == "accumulate":
        earlier = np.cumsum(np.where(count > 1, 2.0 / count**2, 0.0))
        return np.asarray(step - earlier / rows, dtype=np.float64)
    return step + _fresh_log_variance(mode.share, rows, generations)


def _fresh_log_variance(share: float, rows: int, generations: int) -> Floats:
    """Expected log of the variance that the k-th model was fitted with, over the real one: (G,).

    A share s of the rows is a sample of the real table, the rest one of the last synthetic table.
    Errors are passed on by (1 - s) and each generation adds its own, so that their squares settle:
    of the mean, in standard deviations, at (1 - s^2)/(n (1 - (1 - s)^2)); of the log variance at
    twice that. Groups with different means lie further apart, which raises the variance again.
    """
    passed, own = 1.0 - share, (1.0 - share**2) / rows
    mean_error, drift, found = 0.0, 0.0, []
    for _ in range(generations):
        # The squared error of the log variance is twice that of the mean; the log is concave.
        found.append(drift - mean_error)
        drift = passed * drift + share * passed * (mean_error - 1.0 / rows)
        mean_error = passed**2 * mean_error + own
    return np.array(found)


def lost(mode: Mode, copies: Floats, *, generations: int) -> Floats:
    """Chance that a level is in no row of the k-th synthetic table, refitted by its shares.

    The counts of a rare level go from one table to the next as a branching process whose every
    copy leaves Poisson(1) copies (the limit of the Wright-Fisher chain for many rows); where
    earlier or real rows stay in the training set they leave copies as well. The chance follows
    from the generating function of the counts, from the last generation back to the first.

    Args:
        mode: what each generation is fitted to.
        copies: (levels,) rows of the real table with the level.
        generations: G >= 1.

    Returns:
        (G, levels) from generation 1.

    Sources: Shumailov et al., Nature 631, 2024 (the chain's only absorbing states are points);
        Athreya and Ney, Branching Processes, 1972, section I.3 (generating functions).
    """
    chances = []
    for last in range(1, generations + 1):
        rate, fresh = _back(mode, last)
        # Fresh rows hold a copy with chance s each: a factor for every one of the copies.
        chances.append(np.exp((fresh - rate) * np.asarray(copies, dtype=np.float64)))
    return np.array(chances)


def _back(mode: Mode, last: int) -> tuple[float, float]:
    """Rate and log factor by which a copy of the real table keeps the last table from lacking it.

    The chance of lacking it, given counts T of what generation j is fitted to, is exp(-rate T).
    """
    if mode.kind == "accumulate":
        rate = 1.0 / last
        for j in range(last - 1, 0, -1):
            rate += -math.expm1(-rate) / j
        return rate, 0.0
    rate, fresh = 1.0, 0.0
    for _ in range(last - 1):
        # A training row with the level brings Poisson(1) rows of it, each of which must be lost.
        kept = mode.share if mode.kind == "fresh" else 0.0
        if kept:
            fresh += math.log1p(kept * math.expm1(-rate))
        rate = -math.log1p((1.0 - kept) * math.expm1(-rate))
        rate = -math.expm1(-rate)
    return rate, fresh


def levels_left(mode: Mode, copies: Floats, *, generations: int) -> Floats:
    """Expected share of the levels that the k-th synthetic table still has: (G,).

    Args:
        mode, generations: as in `lost`.
        copies: (levels,) of at least one level.
    """
    return np.asarray(1.0 - lost(mode, copies, generations=generations).mean(axis=1))


def regression_error(
    mode: Mode, *, rows: int, columns: int, noise_variance: float, generations: int
) -> Floats:
    """Expected excess test error of least squares refitted to its own predictions plus noise.

    With isotropic Gaussian features, T rows and d columns a generation: replacing adds
    sigma^2 d/(T - d - 1) each time, so the error grows in a line; accumulating adds a k-th of that
    over k, so it stays below pi^2/6 of the first (here the sum itself, an upper bound).

    Args:
        mode: "replace" or "accumulate".
        rows: T > d + 1.
        columns: d.
        noise_variance: sigma^2.
        generations: G >= 1.

    Returns:
        (G,) from generation 1.

    Raises:
        ValueError: a mode for which the law is not known.

    Source: Gerstgrasser et al., arXiv:2404.01413, theorems 1 and 2.
    """
    once = noise_variance * columns / (rows - columns - 1)
    count = np.arange(1, generations + 1)
    if mode.kind == "replace":
        return np.asarray(once * count, dtype=np.float64)
    if mode.kind == "accumulate":
        return np.asarray(once * np.cumsum(1.0 / count**2), dtype=np.float64)
    raise ValueError(f"no law is known here for mode {mode.name}; give replace or accumulate")
