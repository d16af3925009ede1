"""What known noise and a finite sample do to a marginal when a generator is perfect.

A noisy marginal is the true one plus Gaussian noise, projected on the distributions (one constant
is taken off every cell and what falls below zero becomes zero). Here that is computed for any law,
cell by cell, on a grid of the normal distribution: no random numbers, the same answer every time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_Z = np.linspace(-8.0, 8.0, 161)
_WEIGHTS = np.exp(-0.5 * _Z**2) / np.exp(-0.5 * _Z**2).sum()
_NEWTON_STEPS = 30
_TILTS = np.geomspace(0.3, 9.0, 24)


@dataclass(frozen=True, eq=False)
class NoisyLaw:
    """A law as its noisy, projected marginal would show it.

    Attributes:
        law: shares of the codes, shape (codes,), summing to 1.
        cells: the noisy share of each code at each point of the grid, shape (codes, points).
    """

    law: FloatArray
    cells: FloatArray

    def mean(self, values: FloatArray) -> FloatArray:
        """Expectation of a function of each cell, given at the points; shape (codes,)."""
        return np.asarray(values @ _WEIGHTS)

    @property
    def absolute_error(self) -> FloatArray:
        """Expected absolute error of each cell, shape (codes,)."""
        return self.mean(np.abs(self.cells - self.law[:, None]))


def noisy_law(law: FloatArray, noise: FloatArray) -> NoisyLaw:
    """The law under noise.

    The constant that the projection takes off is put where the expected cells sum to 1; how it
    varies from draw to draw is left to the caller (`centred`).

    Args:
        law: shape (codes,), summing to 1.
        noise: standard deviation of the noise in each cell, as a share of the rows, shape (codes,).
    """
    drawn = law[:, None] + noise[:, None] * _Z
    offset = 0.0
    for _ in range(_NEWTON_STEPS):  # convex and falling: Newton from the left never overshoots
        live = drawn > offset
        surplus = float((np.where(live, drawn - offset, 0.0) @ _WEIGHTS).sum()) - 1.0
        slope = float((live @ _WEIGHTS).sum())
        if surplus <= 1e-13 or slope <= 0:
            break
        offset += surplus / slope
    return NoisyLaw(law, np.maximum(drawn - offset, 0.0))


def centred(noisy: NoisyLaw, values: FloatArray) -> FloatArray:
    """`values` of each cell less their mean and less what the fixed sum of all cells takes away.

    The cells of a projected marginal always sum to 1, so any multiple of a cell may be added to its
    value without changing the sum over cells. The multiple with the least variance is the one that
    the projection leaves.

    Args:
        noisy: the law under noise.
        values: a function of each cell at the points, shape (codes, points).

    Returns:
        Mean zero in each cell, shape (codes, points).
    """
    cells = noisy.cells - noisy.mean(noisy.cells)[:, None]
    found = values - noisy.mean(values)[:, None]
    spread = float(noisy.mean(cells**2).sum())
    if spread <= 0:
        return found
    return np.asarray(found - (float(noisy.mean(cells * found).sum()) / spread) * cells)


@dataclass(frozen=True, eq=False)
class Deviation:
    """How far a statistic of a perfect generator strays upwards.

    The sum of three independent parts, of which the first two have mean zero:

    Attributes:
        noise: contribution of each cell's noise at the points, shape (codes, points).
        variance: of a Gaussian part, the first-order sampling error.
        quadratic: (a, k): a part a * chi-squared with k degrees of freedom, the second-order
            sampling error; its mean counts as straying.
    """

    noise: FloatArray
    variance: float
    quadratic: tuple[float, int]

    @property
    def std(self) -> float:
        """Standard deviation of all three together."""
        scale, degrees = self.quadratic
        drawn = float((self.noise**2 @ _WEIGHTS).sum())
        return float(np.sqrt(drawn + self.variance + 2.0 * degrees * scale**2))

    def quantile(self, level: float) -> float:
        """A value that is exceeded with probability at most `level`.

        Chernoff's bound, the least over a grid of tilts t of (K(t) + log(1 / level)) / t, where K
        is the cumulant generating function. Safe for skewed sums of few cells, where a normal
        quantile is not; for a normal sum the value is sqrt(2 log(1 / level)) deviations.
        """
        std = self.std
        if std <= 0:
            return 0.0
        tilts = _TILTS / std
        scale, degrees = self.quadratic
        tilts = tilts[2.0 * tilts * scale < 0.99]
        if not len(tilts):
            tilts = np.array([0.4 / scale])
        cgf = 0.5 * tilts**2 * self.variance
        cgf -= 0.5 * degrees * np.log1p(-2.0 * tilts * scale)
        for place, tilt in enumerate(tilts):
            cgf[place] += float(np.log(np.exp(tilt * self.noise) @ _WEIGHTS).sum())
        return float(((cgf + np.log(1.0 / level)) / tilts).min())
