"""The flagship: columns one after another, each from a softmax of its predecessors.

The logits of column j are a bias plus, for each earlier column i, a learned table row picked by
that column's code (a fully visible sigmoid belief network in its softmax form; Neal 1992, Frey
1998). The fit is convex and its per-example gradient norm has a closed form. Optionally a hidden
branch (an autoregressive mask as in MADE, Germain et al. 2015) adds interactions of more than two
columns; its output is scaled down so that it adds little to the gradient norm and clips nothing.
"""

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from dpsynth.generators.base import IntArray, Layout, column_cross_entropy, log_one_way
from dpsynth.privacy.layers import CodeLinear, MaskedLinear

NAME = "autoregressive"
_BLOCK = 16_384
SUMMARY = "columns one after another, pairwise-linear, by book-keeping DP-SGD; the default"


class Autoregressive(nn.Module):
    """Pairwise-linear autoregressive model over integer codes, with an optional hidden branch.

    Shape: codes (rows, columns) int64 -> logits (rows, sum(sizes)); the block of column j depends
    on the columns before j only.
    """

    def __init__(self, layout: Layout, *, hidden: int, hidden_scale: float) -> None:
        super().__init__()
        self.sizes = layout.sizes
        columns = len(layout.sizes)
        self.tables = CodeLinear(self.sizes, self.sizes, range(columns), grad_bound=1.0)
        self.hidden_scale = hidden_scale
        groups = _hidden_groups(hidden, columns)
        self.branch = bool(groups)
        if groups:
            self.inner = CodeLinear(self.sizes, groups, range(1, columns))
            self.outer = MaskedLinear(groups, self.sizes, range(columns))

    def forward(self, codes: Tensor) -> Tensor:
        """Logits of every column given the columns before it."""
        logits: Tensor = self.tables(codes)
        if self.branch:
            logits = logits + self.hidden_scale * self.outer(torch.tanh(self.inner(codes)))
        return logits


def build(
    layout: Layout, *, options: Mapping[str, float], rng: np.random.Generator
) -> Autoregressive:
    """The untrained model: biases from the noisy one-way marginals, tables zero.

    Args:
        layout: sizes and noisy marginals of the encoded columns.
        options: `hidden` (units of the hidden branch, 0 for none), `hidden_scale`.
        rng: starts the hidden branch.
    """
    hidden = int(options.get("hidden", 0))
    model = Autoregressive(layout, hidden=hidden, hidden_scale=options.get("hidden_scale", 0.25))
    with torch.no_grad():
        model.tables.bias.copy_(log_one_way(layout))
        if model.branch:
            mask = model.inner.trainable_masks()[0].numpy()
            start = rng.normal(0.0, 1.0 / np.sqrt(len(layout.sizes)), size=mask.shape) * mask
            model.inner.weight.copy_(torch.from_numpy(start))
    return model


def per_example_loss(model: nn.Module, codes: Tensor) -> Tensor:
    """Negative log-likelihood of each row in nats, shape (rows,)."""
    return column_cross_entropy(model(codes), codes, cast(Autoregressive, model).sizes)


def sample(model: nn.Module, rows: int, *, rng: np.random.Generator) -> IntArray:
    """Draw rows column by column, codes of shape (rows, columns).

    Each column's uniforms are stratified over a block of rows in random order: every row keeps its
    distribution, and the sampling error of the counts falls.
    """
    net = cast(Autoregressive, model)
    with torch.no_grad():
        blocks = [
            _sample_block(net, len(b), rng=rng) for b in torch.split(torch.arange(rows), _BLOCK)
        ]
    return torch.cat(blocks).numpy() if blocks else np.zeros((0, len(net.sizes)), dtype=np.int64)


def _sample_block(net: Autoregressive, rows: int, *, rng: np.random.Generator) -> Tensor:
    """Rows drawn together; each column drawn adds its table rows to all later logits."""
    codes = torch.zeros(rows, len(net.sizes), dtype=torch.int64)
    logits = net.tables.bias.repeat(rows, 1)
    table = net.tables.weight.T.contiguous()
    inner = net.inner.weight.T.contiguous() if net.branch else None
    hidden = net.inner.bias.repeat(rows, 1) if net.branch else None
    start = 0
    for column, size in enumerate(net.sizes):
        end = start + size
        block = logits[:, start:end]
        if hidden is not None:
            outer = torch.nn.functional.linear(torch.tanh(hidden), net.outer.weight[start:end])
            block = block + net.hidden_scale * (outer + net.outer.bias[start:end])
        drawn = _draw(block, rng=rng)
        codes[:, column] = drawn
        logits[:, end:] += table[:, end:][start + drawn]
        if hidden is not None and inner is not None:
            hidden += inner[start + drawn]
        start = end
    return codes


def _draw(logits: Tensor, *, rng: np.random.Generator) -> Tensor:
    """One code a row by inversion of the cumulative distribution, shape (rows,)."""
    cumulative = torch.softmax(logits.double(), dim=1).cumsum(1)
    rows = len(logits)
    uniforms = (rng.permutation(rows) + rng.random(rows)) / rows
    picks = torch.searchsorted(cumulative, torch.from_numpy(uniforms)[:, None]).squeeze(1)
    return picks.clamp_(max=logits.shape[1] - 1)


def _hidden_groups(hidden: int, columns: int) -> tuple[int, ...]:
    """Hidden units of each group; group g (from 1) sees the first g columns, later groups first."""
    groups = columns - 1
    if hidden < 1 or groups < 1:
        return ()
    return tuple(hidden // groups + (g >= groups - hidden % groups) for g in range(groups))
