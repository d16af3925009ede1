"""All events of a release, composed into one value that does not depend on their order.

* Gaussian events at sample rate 1 compose to one number, ``mu^2 = sum steps / z^2`` (Dong, Roth, Su
  2022, Corollary 3.3, arXiv:1905.02383), which is exact, also where they are chosen adaptively;
* sampled events at a rate below 1 are kept as (noise multiplier, sample rate, steps);
* the deltas of thresholded events add up and are taken off the delta that was asked for.

Why a thresholded event may be treated so. Let D' hold one unit more than D, let G and G' be the
laws of the answers on the partitions that D knows, and let p <= delta be the probability that a
partition of the extra unit alone passes (independent noise, so independent of G'). All outcomes
without such a passing have law G under D, and (1 - p) G' under D'. (1) D' against D: passing adds
at most p, so H(eps) <= H_G(eps) + p, where H is the hockey-stick divergence. (2) D against D':
``H = sup_S G(S) - g (1 - p) G'(S)`` with g = e^eps. Where g G'(S) <= 1 this is at most
``G(S) - g G'(S) + p <= H_G + p``; where g G'(S) > 1 it is below ``1 - (1 - p) = p``. The argument
uses nothing about G, so it holds for the composition with p the sum of all thresholds' deltas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dpsynth.errors import UnsupportedEvent
from dpsynth.privacy.events import (
    Event,
    GaussianEvent,
    NonPrivateEvent,
    SampledGaussianEvent,
    ThresholdedGaussianEvent,
)


@dataclass(frozen=True)
class Total:
    """What all events together amount to; equal for the same events in any order.

    mu: GDP parameter of all Gaussian parts at sample rate 1 (0 where there are none).
    sampled: (noise_multiplier, sample_rate, steps) of Poisson sampled ones, rate < 1, sorted.
    delta: sum of the thresholds' deltas. private: False once a NonPrivateEvent took part.
    """

    mu: float
    sampled: tuple[tuple[float, float, int], ...]
    delta: float
    private: bool

    @property
    def silent(self) -> bool:
        """Nothing was released."""
        return self.private and self.mu == 0.0 and not self.sampled

    @property
    def steps(self) -> int:
        """Number of sampled steps."""
        return sum(steps for _, _, steps in self.sampled)


def fold(events: Sequence[Event]) -> Total:
    """Compose events into one :class:`Total` (formulas at the top of this file).

    Raises:
        UnsupportedEvent: something that is not one of the four events; never approximated.
    """
    squares: list[float] = []
    deltas: list[float] = []
    sampled: dict[tuple[float, float], int] = {}
    private = True
    for event in events:
        match event:
            case GaussianEvent(noise_multiplier=z, steps=steps):
                squares.append(steps * (1.0 / z) * (1.0 / z))
            case SampledGaussianEvent(noise_multiplier=z, sample_rate=1.0, steps=steps):
                squares.append(steps * (1.0 / z) * (1.0 / z))
            case SampledGaussianEvent(noise_multiplier=z, sample_rate=q, steps=steps):
                sampled[z, q] = sampled.get((z, q), 0) + steps
            case ThresholdedGaussianEvent(noise_multiplier=z, delta=lost):
                squares.append((1.0 / z) * (1.0 / z))
                deltas.append(lost)
            case NonPrivateEvent():
                private = False
            case _:
                raise UnsupportedEvent(f"{event!r}: no accountant knows this event; it is refused")
    # Summing in sorted order makes the result the same, bit by bit, for any order of events.
    return Total(
        mu=math.sqrt(sum(sorted(squares))),
        sampled=tuple(sorted((z, q, steps) for (z, q), steps in sampled.items())),
        delta=sum(sorted(deltas)),
        private=private,
    )
