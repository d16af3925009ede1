"""An adversarial network (Goodfellow et al., NeurIPS 2014) of which the critic alone sees rows.

The critic is trained by clipped, noised gradients of its loss on real rows. Everything else is
public: its loss on made-up rows, its gradient penalty (on made-up rows alone; Mescheder et al.,
ICML 2018, R2), and the maker, which is post-processing. The critic takes several steps on large
batches for each of the maker's (Bie, Kamath and Zhang, "Private GANs, Revisited", TMLR 2023).

Rows are made under a condition, as in CTGAN (Xu et al., NeurIPS 2019): one column, drawn evenly,
gets a code drawn by its noisy frequency, and the maker makes the others to go with it. So every
code is made at least at its noisy share of the rows in which its column is the given one. Nothing
is conditioned on in real rows, and no exact frequency is used anywhere.

The maker is also held to the noisy tables: what they say of one and two columns need not be learned
through the critic again, which is left to find what they do not show.
"""

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dpsynth.generators.base import IntArray, Layout, log_one_way
from dpsynth.privacy.layers import one_hot
from dpsynth.refinement.measured import Measured
from dpsynth.sampling.drawing import pick_columns, spread_uniforms

NAME = "gan"
SUMMARY = "adversarial: a critic trained privately, a maker that never sees a row"

_LATENT = 32
_BLOCK = 16_384
_MADE = 1_024
"""Rows made for one public loss."""
_TEMPERATURE = 0.7
_PENALTY = 0.1
_MATCH = 4.0
_SLOPE = 0.2
_TINY = 1e-9


class Adversaries(nn.Module):
    """A critic and a maker. Shape: one-hot rows (rows, width) -> (rows,); noise -> logits."""

    shares: Tensor
    _owner: Tensor

    def __init__(self, layout: Layout, *, units: int, latent: int) -> None:
        super().__init__()
        self.sizes = layout.sizes
        self.latent = latent
        width = sum(self.sizes)
        self.critic = nn.Sequential(
            nn.Linear(width, units),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(units, units),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(units, 1),
        )
        self.maker = nn.Sequential(
            nn.Linear(latent + width, units),
            nn.ReLU(),
            nn.Linear(units, units),
            nn.ReLU(),
            nn.Linear(units, width),
        )
        shares = torch.from_numpy(np.concatenate(layout.one_way)).float()
        owner = torch.repeat_interleave(torch.arange(len(self.sizes)), torch.tensor(self.sizes))
        self.register_buffer("shares", shares, persistent=False)
        self.register_buffer("_owner", owner, persistent=False)
        self.targets: _Targets | None = None

    def judge(self, rows: Tensor) -> Tensor:
        """How real rows look, shape (rows,); higher is more real."""
        found: Tensor = self.critic(rows).squeeze(1)
        return found

    def logits(self, rows: int, *, rng: np.random.Generator) -> Tensor:
        """Logits of made-up rows, of which one column each is given; shape (rows, width)."""
        device = self.shares.device
        noise = torch.from_numpy(rng.standard_normal((rows, self.latent), dtype=np.float32))
        columns = rng.integers(0, len(self.sizes), rows)
        given = self._given(columns, rng).to(device)
        made = self.maker(torch.cat([noise.to(device), given], dim=1))
        fixed = self._owner[None, :] == torch.from_numpy(columns).to(device)[:, None]
        return torch.where(fixed, 60.0 * given - 30.0, made)

    def _given(self, columns: IntArray, rng: np.random.Generator) -> Tensor:
        """One-hot codes of the given columns, by their noisy frequencies."""
        uniforms = spread_uniforms([(columns, len(self.sizes))], len(columns), rng=rng)
        codes = np.zeros(len(columns), dtype=np.int64)
        first = 0
        for column, share in enumerate(torch.split(self.shares.cpu().double(), list(self.sizes))):
            mine = np.flatnonzero(columns == column)
            edges = np.cumsum(share.numpy())
            picked = np.searchsorted(edges[:-1] / edges[-1], uniforms[mine], side="right")
            codes[mine] = first + picked
            first += len(share)
        return functional.one_hot(torch.from_numpy(codes), first).float()


class _Targets:
    """Noisy tables as one matrix over all codes, and how much each cell weighs."""

    def __init__(self, measured: Measured) -> None:
        width = sum(measured.sizes)
        starts = np.r_[0, np.cumsum(measured.sizes)]
        shares = np.concatenate(measured.one_way)
        aims, weights = np.zeros((width, width)), np.zeros((width, width))
        noise = measured.std / measured.rows
        for (i, j), table in zip(measured.pairs, measured.tables, strict=True):
            block = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
            expected = np.outer(shares[block[0]], shares[block[1]])
            aims[block] = table / measured.rows
            # Chi-squared, where the noise does not drown a cell.
            weights[block] = 1.0 / (expected + noise)
        self.aims = torch.from_numpy(aims).float()
        self.weights = torch.from_numpy(weights / max(len(measured.pairs), 1)).float()


def build(layout: Layout, *, options: Mapping[str, float], rng: np.random.Generator) -> Adversaries:
    """The untrained networks; the maker makes independent columns.

    Args:
        layout: sizes and noisy marginals.
        options: `units` of all hidden layers.
        rng: starts the weights.
    """
    model = Adversaries(layout, units=int(options.get("units", 128)), latent=_LATENT)
    active = len(layout.sizes)
    with torch.no_grad():
        for layer in [*model.critic, *model.maker]:
            if isinstance(layer, nn.Linear):
                inputs = active if layer is model.critic[0] else layer.in_features
                start = rng.normal(0.0, (1.5 / inputs) ** 0.5, size=layer.weight.shape)
                layer.weight.copy_(torch.from_numpy(start))
                layer.bias.zero_()
        out = cast(nn.Linear, model.maker[-1])
        out.weight.zero_()
        out.bias.copy_(log_one_way(layout))
    model.maker.requires_grad_(False)
    return model


def adopt(model: nn.Module, measured: Measured, *, rng: np.random.Generator) -> None:
    """Hold the maker to the measured pairs from now on."""
    cast(Adversaries, model).targets = _Targets(measured)


def per_example_loss(model: nn.Module, codes: Tensor) -> Tensor:
    """The critic's logistic loss on real rows, shape (rows,)."""
    net = cast(Adversaries, model)
    return functional.softplus(-net.judge(one_hot(codes, net.sizes)))


def public_loss(model: nn.Module, *, rng: np.random.Generator) -> Tensor:
    """The critic's loss on made-up rows, with the gradient penalty there."""
    net = cast(Adversaries, model)
    with torch.no_grad():
        rows = _made(net, net.logits(_MADE, rng=rng), rng=rng)
    rows.requires_grad_(True)
    judged = net.judge(rows)
    (slopes,) = torch.autograd.grad(judged.sum(), rows, create_graph=True)
    penalty = slopes.square().sum(1).mean()
    return functional.softplus(judged).mean() + _PENALTY * penalty


def maker_parameters(model: nn.Module) -> list[nn.Parameter]:
    """All weights of the maker."""
    return list(cast(Adversaries, model).maker.parameters())


def maker_loss(model: nn.Module, *, rng: np.random.Generator) -> Tensor:
    """How well the critic sees through made-up rows, and how far they are from noisy tables."""
    net = cast(Adversaries, model)
    logits = net.logits(_MADE, rng=rng)
    fooled = functional.softplus(-net.judge(_made(net, logits, rng=rng))).mean()
    return fooled + _MATCH * _mismatch(net, logits)


def sample(model: nn.Module, rows: int, *, rng: np.random.Generator) -> IntArray:
    """Rows that the maker makes, codes of shape (rows, columns)."""
    net = cast(Adversaries, model)
    parts = [np.zeros((0, len(net.sizes)), dtype=np.int64)]
    with torch.no_grad():
        for first in range(0, rows, _BLOCK):
            logits = net.logits(min(_BLOCK, rows - first), rng=rng).cpu()
            parts.append(pick_columns(logits, net.sizes, rng=rng))
    return np.concatenate(parts)


def _made(net: Adversaries, logits: Tensor, *, rng: np.random.Generator) -> Tensor:
    """One-hot rows with the gradient of a soft choice (straight-through; Jang et al., ICLR 2017).

    The critic sees whole codes from both sides, so it cannot tell made-up rows by their softness.
    """
    uniforms = torch.from_numpy(rng.random(tuple(logits.shape), dtype=np.float32))
    gumbel = -torch.log(-torch.log(uniforms.to(logits.device).clamp_(_TINY, 1.0 - 1e-7)))
    parts = []
    for block in torch.split(logits + gumbel, list(net.sizes), dim=1):
        soft = torch.softmax(block / _TEMPERATURE, dim=1)
        hard = functional.one_hot(block.argmax(1), block.shape[1]).float()
        parts.append(hard + soft - soft.detach())
    return torch.cat(parts, dim=1)


def _mismatch(net: Adversaries, logits: Tensor) -> Tensor:
    """Distance of made-up rows from the noisy marginals of one column, and of two if measured."""
    chances = torch.cat([b.softmax(1) for b in torch.split(logits, list(net.sizes), dim=1)], dim=1)
    shares = net.shares
    found = ((chances.mean(0) - shares).square() / (shares + 0.01)).sum() / len(net.sizes)
    if net.targets is not None:
        aims = net.targets.aims.to(logits.device)
        weights = net.targets.weights.to(logits.device)
        pairs = chances.T @ chances / len(chances)
        found = found + (weights * (pairs - aims).square()).sum()
    return found
