"""The flagship: columns one after another, each from a softmax of its predecessors.

The logits of column j are a bias plus, for each earlier column i that was measured with it, a table
row picked by that column's code (a fully visible sigmoid belief network in its softmax form; Neal
1992, Frey 1998), plus the output of a hidden branch (an autoregressive mask as in MADE, Germain et
al. 2015) for what three and more columns do together.

The tables are fitted to noisy tables of pairs before training (`adopt`) and again after it
(`refine`); DP-SGD trains the hidden branch on what the pairs leave over. Where no pairs were
measured DP-SGD trains tables and branch alike. Rows are drawn so that their counts come close to
what was measured (see `dpsynth.sampling.feedback`).
"""

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from dpsynth.generators.base import IntArray, Layout, column_cross_entropy, log_one_way
from dpsynth.privacy.layers import CodeLinear, MaskedLinear
from dpsynth.refinement.measured import Measured
from dpsynth.refinement.tables import Tables, fit_tables
from dpsynth.refinement.targets import Targets, targets_for
from dpsynth.sampling.drawing import draw_rows
from dpsynth.sampling.feedback import ColumnTargets, draw_towards
from dpsynth.sampling.linear import HiddenBranch, LinearColumns

NAME = "autoregressive"
SUMMARY = "columns one after another: measured pairs, and DP-SGD for what goes beyond; the default"

_TARGET_ROWS = 200_000
"""Rows drawn to learn what the model expects."""


class Autoregressive(nn.Module):
    """Pairwise-linear autoregressive model over integer codes, with an optional hidden branch.

    Shape: codes (rows, columns) int64 -> logits (rows, sum(sizes)); the block of column j depends
    on the columns before j only.
    """

    targets: Tensor
    shares: Tensor

    def __init__(self, layout: Layout, *, hidden: int, hidden_scale: float) -> None:
        super().__init__()
        self.sizes = layout.sizes
        columns = len(layout.sizes)
        self.pairs = layout.pairs
        self.tables = CodeLinear(
            self.sizes, self.sizes, _parents(layout.pairs, columns), grad_bound=1.0
        )
        self.hidden_scale = hidden_scale
        groups = _hidden_groups(hidden, columns)
        self.branch = bool(groups)
        if groups:
            self.inner = CodeLinear(self.sizes, groups, range(1, columns))
            self.outer = MaskedLinear(groups, self.sizes, range(columns))
        if layout.pairs is not None:
            width = sum(self.sizes)
            self.register_buffer("targets", torch.zeros(width, width))
            self.register_buffer("shares", torch.zeros(width))

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
        layout: sizes, noisy marginals and measured pairs of the encoded columns.
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


def adopt(model: nn.Module, measured: Measured, *, rng: np.random.Generator) -> None:
    """Fit the tables to the measured pairs; with a hidden branch they stay fixed in training.

    The branch starts without effect, as its outer weights are zero.
    """
    net = cast(Autoregressive, model)
    _take(net, fit_tables(measured, rng=rng))
    for parameter in net.tables.parameters():
        parameter.requires_grad_(not net.branch)


def refine(model: nn.Module, measured: Measured, *, rng: np.random.Generator) -> None:
    """Fit the tables again around what training found, and set what samples should come to."""
    net = cast(Autoregressive, model)
    found = Tables(net.tables.weight.detach().clone(), net.tables.bias.detach().clone())
    _take(net, fit_tables(measured, rng=rng, hidden=_hidden(net), start=found))
    _aim(net, targets_for(measured, draw_rows(columns(net), _TARGET_ROWS, rng=rng)))


def columns(model: nn.Module) -> LinearColumns:
    """The model ready to draw its columns one after another."""
    net = cast(Autoregressive, model)
    tables, bias = net.tables.weight.detach(), net.tables.bias.detach()
    return LinearColumns(net.sizes, tables, bias, tuple(range(len(net.sizes))), _hidden(net))


def sample(model: nn.Module, rows: int, *, rng: np.random.Generator) -> IntArray:
    """Draw rows column by column, codes of shape (rows, columns).

    With measured pairs the rows together come close to the targets that `refine` set; without, or
    before that, every row has the model's distribution and the counts of pairs of codes vary less
    than those of rows drawn each on its own (see `dpsynth.sampling.drawing`).
    """
    net = cast(Autoregressive, model)
    ready = columns(model)
    if net.pairs is None or not bool(net.shares.any()):
        return draw_rows(ready, rows, rng=rng)
    return draw_towards(ready, _column_targets(net, ready), rows, rng=rng)


def _parents(
    pairs: tuple[tuple[int, int], ...] | None, columns: int
) -> list[int] | list[tuple[int, ...]]:
    """The columns that each column has tables for."""
    if pairs is None:
        return list(range(columns))
    return [tuple(i for i, j in pairs if j == column) for column in range(columns)]


def _take(net: Autoregressive, tables: Tables) -> None:
    with torch.no_grad():
        net.tables.weight.copy_(tables.weight)
        net.tables.bias.copy_(tables.bias)


def _hidden(net: Autoregressive) -> HiddenBranch | None:
    if not net.branch:
        return None
    weights = {name: value.detach() for name, value in net.named_parameters()}
    inner, inner_bias = weights["inner.weight"], weights["inner.bias"]
    outer, outer_bias = weights["outer.weight"], weights["outer.bias"]
    return HiddenBranch(inner, inner_bias, outer, outer_bias, net.hidden_scale)


def _aim(net: Autoregressive, targets: Targets) -> None:
    starts = np.r_[0, np.cumsum(net.sizes)]
    net.shares.copy_(torch.from_numpy(np.concatenate(targets.one_way)))
    for (i, j), table in zip(targets.pairs, targets.tables, strict=True):
        block = net.targets[starts[j] : starts[j + 1], starts[i] : starts[i + 1]]
        block.copy_(torch.from_numpy(table.T))


def _column_targets(net: Autoregressive, ready: LinearColumns) -> list[ColumnTargets]:
    """The targets of each column, in the order of its layer's table."""
    starts = np.r_[0, np.cumsum(net.sizes)]
    found = []
    for column, layer in enumerate(ready.layers):
        block = slice(starts[column], starts[column + 1])
        rows = net.targets[block]
        tables = [rows[:, starts[i] : starts[i + 1]].T for i in layer.seen.tolist()]
        empty = rows.new_zeros(0, net.sizes[column])
        found.append(ColumnTargets(net.shares[block], torch.cat([empty, *tables])))
    return found


def _hidden_groups(hidden: int, columns: int) -> tuple[int, ...]:
    """Hidden units of each group; group g (from 1) sees the first g columns, later groups first."""
    groups = columns - 1
    if hidden < 1 or groups < 1:
        return ()
    return tuple(hidden // groups + (g >= groups - hidden % groups) for g in range(groups))
