"""Training on public rows: the same descent, on gradients of rows that need no protection."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from dpsynth.generators.base import Generator, IntArray
from dpsynth.privacy.mean_gradients import MeanGradients
from dpsynth.training.descent import Descent
from dpsynth.training.objective import objective
from dpsynth.training.options import TrainingOptions

BATCH = 1024
"""Rows of one plain gradient."""


def rehearse(
    generator: Generator,
    model: nn.Module,
    codes: IntArray,
    *,
    options: TrainingOptions,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Train on public rows, at no cost in budget; leaves the averaged iterate in `model`.

    Args:
        generator: whose model it is.
        model: trained in place.
        codes: public rows, shape (rows, columns): simulated from noisy answers, or released before.
        options: `rehearsals` steps, at the learning rate of the private ones.
        rng: draws batches and random numbers of the loss.
        progress: told of each step.

    Raises:
        NonFiniteTraining: a weight stopped being finite.
    """
    channel = MeanGradients(
        model,
        objective(generator, rng=rng),
        torch.from_numpy(codes),
        steps=options.rehearsals,
        batch=BATCH,
        rows=1.0,
        rng=rng,
    )
    descent = Descent(generator, model, rows=1.0, channel=channel, options=options, rng=rng)
    for step in range(channel.steps):
        descent.step(channel.ask())
        progress(step + 1, channel.steps)
    descent.finish()
