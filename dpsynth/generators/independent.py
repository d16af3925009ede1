"""The honest baseline: every column on its own, from the noisy one-way marginals.

Only the biases are there, and they start at the noisy marginals. Training steps refine them like
any other model's, so that the baseline pays for what it uses and takes the same loop.
"""

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from dpsynth.generators.base import IntArray, Layout, column_cross_entropy, log_one_way
from dpsynth.privacy.layers import CodeLinear
from dpsynth.sampling.drawing import draw_rows
from dpsynth.sampling.linear import LinearColumns

NAME = "independent"
SUMMARY = "each column on its own (no relations between columns): the honest baseline"


class Independent(nn.Module):
    """One softmax a column. Shape: codes (rows, columns) int64 -> logits (rows, sum(sizes))."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.sizes = layout.sizes
        self.tables = CodeLinear(self.sizes, self.sizes, [0] * len(self.sizes), grad_bound=1.0)

    def forward(self, codes: Tensor) -> Tensor:
        """The same logits for every row."""
        logits: Tensor = self.tables(codes)
        return logits


def build(layout: Layout, *, options: Mapping[str, float], rng: np.random.Generator) -> Independent:
    """The untrained model: biases from the noisy one-way marginals."""
    model = Independent(layout)
    with torch.no_grad():
        model.tables.bias.copy_(log_one_way(layout))
    return model


def per_example_loss(model: nn.Module, codes: Tensor) -> Tensor:
    """Negative log-likelihood of each row in nats, shape (rows,)."""
    return column_cross_entropy(model(codes), codes, cast(Independent, model).sizes)


def columns(model: nn.Module) -> LinearColumns:
    """The model ready to draw its columns; none leans on another."""
    net = cast(Independent, model)
    bias = net.tables.bias.detach()
    weight = bias.new_zeros(len(bias), len(bias))
    return LinearColumns(net.sizes, weight, bias, tuple(range(len(net.sizes))))


def sample(model: nn.Module, rows: int, *, rng: np.random.Generator) -> IntArray:
    """Columns drawn on their own, codes of shape (rows, columns)."""
    return draw_rows(columns(model), rows, rng=rng)
