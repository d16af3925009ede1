"""The noise source: where every random number that privacy rests on comes from.

What it defends against:
    * Guessing the noise. Numbers come from ChaCha20 in counter mode under a 256-bit key drawn from
      the operating system; the key is never stored, printed or reused, and no 32- or 64-bit seed
      stands between the operating system and the noise.
    * Reading a private value out of the low bits of a floating-point sum (Mironov, CCS 2012). An
      answer is an integer multiple of a public power of two, `grid`: the true sum is rounded to
      the grid, the noise is rounded to the grid, and two integers below 2**53 are added exactly.
      Since the sum lies on the grid, that equals rounding (sum + noise) afterwards, which is
      post-processing of the Gaussian mechanism and costs nothing.

What it does not defend against: a Gaussian made of finitely many bits (tails end near 8.5
standard deviations, a probability of about 1e-17 an answer), timing side channels, and whoever can
read this process's memory while it runs.
"""

import secrets
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from randomgen import ChaCha

from dpsynth.errors import DPSynthError

FloatArray = NDArray[np.float64]

_GRID_BITS = 30
"""The grid is 2**-30 of the noise's standard deviation, rounded down to a power of two."""


@dataclass(frozen=True, kw_only=True)
class NoiseSource:
    """A stream of Gaussian noise and the public facts about it.

    Attributes:
        generator: the stream; private, as whoever holds its state can subtract the noise.
        description: what a statement prints.
        releasable: False for a seeded stream, whose results the gate refuses.
    """

    generator: np.random.Generator
    description: str
    releasable: bool

    def __repr__(self) -> str:
        return f"NoiseSource({self.description!r}, releasable={self.releasable})"

    def apart(self) -> np.random.Generator:
        """A stream of its own, under a key drawn from this one; as private as this one."""
        key = int.from_bytes(self.generator.bytes(32), "little")
        return np.random.Generator(ChaCha(key=key, rounds=20))


def secure_noise() -> NoiseSource:
    """Noise from ChaCha20 under a fresh 256-bit key of the operating system's."""
    stream = ChaCha(key=secrets.randbits(256), rounds=20)
    return NoiseSource(
        generator=np.random.Generator(stream),
        description="ChaCha20, 256-bit key from the operating system, answers on a fixed grid",
        releasable=True,
    )


def seeded_noise(seed: int) -> NoiseSource:
    """Repeatable noise, for tests and dry runs: whoever knows the seed can remove it.

    All that is made with it is marked as not releasable, and the gate refuses it.
    """
    return NoiseSource(
        generator=np.random.Generator(np.random.PCG64(seed)),
        description=f"SEEDED for a test (seed {seed}): not private, not releasable",
        releasable=False,
    )


def grid_for(scale: float) -> float:
    """The public grid of answers with noise of standard deviation `scale`: a power of two."""
    return float(2.0 ** (np.floor(np.log2(scale)) - _GRID_BITS))


def scale_for(*, noise_multiplier: float, sensitivity: float, size: int) -> float:
    """Standard deviation that hides `sensitivity` and what rounding to the grid adds to it.

    Rounding moves each of `size` coordinates by at most half a grid step on either of two
    neighbouring tables, so their distance grows by at most grid * sqrt(size). The grid is that of
    the scale with this margin in it, which may be the next power of two: hence twice the grid.
    """
    grid = 2.0 * grid_for(noise_multiplier * sensitivity)
    return noise_multiplier * (sensitivity + grid * float(np.sqrt(size)))


def add_noise(total: FloatArray, *, scale: float, noise: NoiseSource) -> FloatArray:
    """The Gaussian mechanism: `total` plus noise of standard deviation `scale`, on the grid.

    Args:
        total: the true sum, any shape. PRIVATE.
        scale: standard deviation, from `scale_for`.
        noise: the source; advanced by one number for each coordinate.

    Returns:
        The noisy answer, same shape, each a multiple of `grid_for(scale)`. Public.

    Raises:
        DPSynthError: the sum is so large beside the noise that the grid cannot hold it exactly.
    """
    grid = grid_for(scale)
    steps = np.rint(np.asarray(total, dtype=np.float64) / grid)
    steps += np.rint(noise.generator.standard_normal(np.shape(total)) * (scale / grid))
    if not np.all(np.abs(steps) < 2.0**53):
        raise DPSynthError(
            "an answer does not fit the noise grid: a sum is not finite or exceeds 2**23 standard "
            "deviations of its noise; bound the contributions more tightly or add noise"
        )
    return steps * grid
