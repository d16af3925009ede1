"""The loss that a generator gives to a clipper, with its random numbers drawn."""

from typing import cast

import numpy as np
from torch import Tensor, nn

from dpsynth.generators.base import Drawing, Generator
from dpsynth.privacy.clipping import PerExampleLoss


def objective(generator: Generator, *, rng: np.random.Generator) -> PerExampleLoss:
    """The generator's loss of each row.

    Args:
        generator: architecture and loss.
        rng: where the random numbers of a generator with `draws` come from. They are drawn for the
            rows independently of what is in them, so that a row still changes its own loss alone.
    """
    if not hasattr(generator, "draws"):
        return generator.per_example_loss
    drawing = cast(Drawing, generator)

    def loss(model: nn.Module, codes: Tensor) -> Tensor:
        draws = drawing.draws(model, len(codes), rng=rng).to(codes.device)
        return drawing.per_example_loss(model, codes, draws)

    return loss
