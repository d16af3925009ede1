"""Exact answers, for comparison only: what the same questions would say without privacy.

Nothing that comes from here may be released. It is reached through functions whose names hold
`non_private`, whose results have a type that no gate takes.
"""

from typing import TYPE_CHECKING

import numpy as np

from dpsynth.privacy.curator import Answer, Curator
from dpsynth.privacy.ledger import Reservation
from dpsynth.privacy.noise import seeded_noise
from dpsynth.privacy.queries import Query
from dpsynth.privacy.rows import Codec, PrivateRows

if TYPE_CHECKING:
    from torch import nn

    from dpsynth.privacy.clipping import Clipper, PerExampleLoss
    from dpsynth.privacy.mean_gradients import MeanGradients

_HARDLY_ANY = 1e-3
"""Standard deviation of what is added to answers: below half a row, so that counts stay exact when
rounded, and above zero, since what reads an answer divides by it."""


class NonPrivateCurator(Curator):
    """Answers exactly, or to a small part of a row; its gradients are plain mean gradients.

    Args:
        rows: the private rows, read without protection.
        reservation: names the questions; what it charges means nothing here.
        per_example_loss: what the gradients are of, unclipped.
        steps: gradients that it will answer.
        batch: rows in each of them.
        rng: deals the batches.
    """

    def __init__(
        self,
        rows: PrivateRows,
        *,
        reservation: Reservation,
        per_example_loss: "PerExampleLoss",
        steps: int,
        batch: int,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(rows, reservation=reservation, noise=seeded_noise(0))
        self._loss = per_example_loss
        self._steps = steps
        self._size = batch
        self._rng = rng

    def __repr__(self) -> str:
        return "NonPrivateCurator(...)"

    def ask(self, query: Query, *, label: str) -> Answer:
        """The exact answer."""
        self._gaussian(label)
        return Answer(query.sum(self._rows), _HARDLY_ANY)

    def gradients(  # type: ignore[override]
        self, model: "nn.Module", clipper: "Clipper", codec: Codec, *, label: str, taken: int = 0
    ) -> "MeanGradients":
        """A channel of exact mean gradients; the clipper is not used."""
        import torch

        from dpsynth.privacy.mean_gradients import MeanGradients

        codes = torch.from_numpy(self._rows.codes(codec).copy())
        return MeanGradients(
            model,
            self._loss,
            codes,
            steps=self._steps,
            batch=self._size,
            rows=float(len(codes)),
            rng=self._rng,
        )

    def _scale(self, multiplier: float, row_bound: float, size: int) -> float:
        # Noise is drawn on a grid that 2**23 standard deviations must not exceed.
        return max(_HARDLY_ANY, self._rows.count / 2**21)
