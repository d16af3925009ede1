"""How far a generator's codes are from noisy marginals, beyond what noise and sampling explain."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.training.monitoring.noise_null import NoisyLaw

FloatArray = NDArray[np.float64]

_MEAN_ABSOLUTE = np.sqrt(2.0 / np.pi)


@dataclass(frozen=True)
class Apart:
    """Total variation distance of one marginal, or the mean over several.

    Attributes:
        excess: the distance less what a perfect generator would have; below zero by luck.
        stderr: its standard error from the sample of codes. The noise in the marginal is the same
            at every look and moves all of them together, so it is not counted.
    """

    excess: float
    stderr: float

    @property
    def distance(self) -> float:
        """What remains, in [0, 1]."""
        return float(np.clip(self.excess, 0.0, 1.0))


def one_way_apart(held: FloatArray, noisy: NoisyLaw, rows: int) -> Apart:
    """Of one column.

    Args:
        held: the noisy marginal, projected, shape (codes,).
        noisy: shares of the generator's codes, and the same under the marginal's noise.
        rows: how many codes were looked at.
    """
    return _apart(held, noisy.law, rows, noisy.absolute_error)


def pair_apart(held: FloatArray, shares: FloatArray, rows: int, noise: float) -> Apart:
    """Of one pair of columns, whose noisy shares are not projected.

    Args:
        held, shares: shape (cells,).
        rows: how many codes were looked at.
        noise: standard deviation in each cell, as a share of the rows.
    """
    return _apart(held, shares, rows, np.full(len(shares), _MEAN_ABSOLUTE * noise))


def mean_apart(found: Sequence[Apart]) -> Apart:
    """The mean; the sample is one and the same, so standard errors are not taken to cancel."""
    count = len(found)
    return Apart(
        sum(apart.excess for apart in found) / count,
        sum(apart.stderr for apart in found) / count,
    )


def _apart(held: FloatArray, shares: FloatArray, rows: int, noise: FloatArray) -> Apart:
    """`noise` is the expected absolute error of each cell of `held`."""
    # A perfect generator's law, which both estimate; a sample may lack a rare cell by chance.
    positive = np.maximum(held, 0.0)
    law = 0.5 * (shares + positive / max(float(positive.sum()), 1.0))
    sampled = law * np.maximum(1.0 - law, 0.0) / rows
    # The second bound holds for a count that is expected to be far below one.
    missed = np.minimum(_MEAN_ABSOLUTE * np.sqrt(sampled), 2.0 * law)
    expected = float(np.hypot(noise, missed).sum())
    excess = 0.5 * (float(np.abs(held - shares).sum()) - expected)
    return Apart(excess, 0.5 * float(np.sqrt(sampled.sum())))
