"""Better estimates from noisy counts whose noise is known: post-processing, so free of charge."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def nonnegative(noisy: FloatArray, total: float) -> FloatArray:
    """The non-negative counts nearest to `noisy` that add up to `total`.

    The Euclidean projection on a simplex (Duchi et al., ICML 2008), known for noisy histograms as
    norm-sub (Wang et al., NDSS 2020): one constant is taken off every count and what falls below
    zero becomes zero.

    Args:
        noisy: shape (cells,), at least one cell.
        total: what the counts must add up to, >= 0.

    Returns:
        shape (cells,), >= 0.
    """
    if total <= 0:
        return np.zeros(len(noisy))
    falling = np.sort(noisy)[::-1]
    offsets = (np.cumsum(falling) - total) / np.arange(1, len(noisy) + 1)
    last = int(np.flatnonzero(falling - offsets > 0)[-1])
    clipped: FloatArray = np.maximum(noisy - offsets[last], 0.0)
    return clipped


def plateaus(noisy: FloatArray, std: float, *, contrast: float) -> IntArray:
    """Cut a noisy histogram into runs of cells that the noise cannot tell apart.

    Starting from single cells, the two neighbouring runs whose means differ least, in units of the
    noise of that difference, are joined until every remaining difference exceeds `contrast`.

    Args:
        noisy: counts with independent noise, in order, shape (cells,).
        std: standard deviation of the noise in each.
        contrast: standard deviations that two neighbours must differ by.

    Returns:
        The first cell of each run, ascending, starting with 0.
    """
    starts = np.arange(len(noisy))
    sums, lengths = noisy.astype(np.float64).copy(), np.ones(len(noisy))
    while len(starts) > 1:
        means = sums / lengths
        spread = std * np.sqrt(1.0 / lengths[1:] + 1.0 / lengths[:-1])
        difference = np.abs(np.diff(means)) / spread
        least = int(np.argmin(difference))
        if difference[least] > contrast:
            break
        sums[least] += sums[least + 1]
        lengths[least] += lengths[least + 1]
        starts = np.delete(starts, least + 1)
        sums, lengths = np.delete(sums, least + 1), np.delete(lengths, least + 1)
    return starts.astype(np.int64)


def universal_contrast(cells: int) -> float:
    """A contrast that pure noise in so many cells rarely exceeds.

    The largest of m noises stays below about sqrt(2 ln m) standard deviations (Donoho & Johnstone
    1994); four times as many comparisons are allowed for, since runs are compared both ways and at
    several lengths.
    """
    return float(np.sqrt(2.0 * np.log(4.0 * max(cells, 2))))


def denoised(
    noisy: FloatArray, std: float, *, total: float, contrast: float
) -> tuple[IntArray, FloatArray]:
    """Runs of a noisy histogram and the mass of each.

    A run whose sum is below one and a half standard deviations is taken as empty; the masses are
    scaled to `total` (evenly by length if all are empty). `contrast` as in `plateaus`.

    Returns:
        (first cell of each run, mass of each run).
    """
    starts = plateaus(noisy, std, contrast=contrast)
    lengths = np.diff(np.r_[starts, len(noisy)])
    sums = np.add.reduceat(noisy, starts)
    masses = np.where(sums > 1.5 * std * np.sqrt(lengths), sums, 0.0)
    if masses.sum() <= 0:
        masses = lengths.astype(np.float64)
    return starts, masses * (max(total, 0.0) / masses.sum())
