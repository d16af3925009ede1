"""Plain gradients, of rows that need no protection: public ones, or real ones for comparison."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn


class MeanGradients:
    """Mean gradients over small batches, times the number of rows; nothing clipped, no noise.

    Stands where a `GradientChannel` does.

    Args:
        model: at its present weights.
        per_example_loss: what is differentiated.
        codes: rows, shape (rows, columns).
        steps: answers that will be given.
        batch: rows drawn for each of them, with replacement.
        rows: what the means are multiplied by.
        rng: draws the batches.
    """

    sample_rate = 1.0
    scale = 0.0

    def __init__(
        self,
        model: nn.Module,
        per_example_loss: Callable[[nn.Module, Tensor], Tensor],
        codes: Tensor,
        *,
        steps: int,
        batch: int,
        rows: float,
        rng: np.random.Generator,
    ) -> None:
        self.steps = steps
        self._taken = 0
        self._model = model
        self._loss = per_example_loss
        self._codes = codes
        self._batch = batch
        self._rows = rows
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._rng = rng

    @property
    def taken(self) -> int:
        """Answers given."""
        return self._taken

    def ask(self) -> list[Tensor]:
        """The mean gradient over one batch, times the number of rows."""
        self._taken += 1
        rows = self._rng.integers(0, len(self._codes), self._batch)
        loss = self._loss(self._model, self._codes[rows].long().to(self._trained[0].device)).mean()
        return [self._rows * g for g in torch.autograd.grad(loss, self._trained)]
