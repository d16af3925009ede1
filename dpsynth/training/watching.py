"""The monitor at work during a training: looks now and then, keeps the iterate that is worth it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from dpsynth.generators.base import Generator
from dpsynth.training.descent import Descent
from dpsynth.training.monitor import Monitor

_ROWS = 8_192
"""Codes drawn for a look."""
_CLEARLY = 3.0
"""Standard errors by which an iterate must be worse to be passed over."""


class Watcher:
    """Looks at samples of the averaged iterate, compares, and remembers weights worth keeping.

    The newest iterate is kept unless it is clearly worse than the best one: many iterates are equal
    within the noise of the marginals, and of these the last has learned most of what marginals do
    not show. A generator that is refined after training has its marginals mended then, so what they
    look like before says nothing about which iterate is worth keeping: its last one stays, and the
    looks are for the curve.

    Args:
        generator: draws the samples.
        model: the model in training.
        monitor: compares them with public answers.
        looks: how many, spread evenly over the steps.
        steps: of the training.
        rng: the stream to draw from.
    """

    def __init__(
        self,
        generator: Generator,
        model: nn.Module,
        monitor: Monitor,
        *,
        looks: int,
        steps: int,
        rng: np.random.Generator,
    ) -> None:
        self._generator = generator
        self._model = model
        self._monitor = monitor
        self._every = max(1, steps // max(looks, 1))
        self._steps = steps
        self._rng = rng
        self._kept: dict[str, Tensor] = {}
        self._picks = not hasattr(generator, "refine")

    @property
    def live(self) -> str:
        """A few words about the last look; empty before the first."""
        readings = self._monitor.readings
        return readings[-1].live if readings else ""

    def look(self, descent: Descent) -> bool:
        """Look if it is time to; whether training should stop."""
        step = descent.step_number
        if step % self._every and step < self._steps:
            return False
        with descent.averaged():
            codes = self._generator.sample(self._model, _ROWS, rng=self._rng)
            reading = self._monitor.look(codes, step)
            best = self._monitor.best
            margin = _CLEARLY * float(np.hypot(reading.stderr, best.stderr))
            if self._picks and reading.score <= best.score + margin:
                self._kept = {k: v.detach().clone() for k, v in self._model.state_dict().items()}
        return self._picks and self._monitor.should_stop

    def settle(self) -> None:
        """Put the weights that were kept into the model."""
        if self._kept:
            self._model.load_state_dict(self._kept)

    def state(self) -> dict[str, Tensor]:
        """The weights that were kept, for a checkpoint."""
        return dict(self._kept)

    def facts(self) -> list[dict[str, Any]]:
        """All readings, for a checkpoint."""
        return [reading.to_dict() for reading in self._monitor.readings]

    def restore(self, kept: Mapping[str, Tensor]) -> None:
        """Go on from a `state`; the monitor is made with the earlier readings."""
        self._kept = dict(kept)
