"""Diffusion: Gaussian noise for numbers, multinomial noise for categories, one small denoiser.

Numbers are turned into normal scores (see `dpsynth.sampling.scores`), whose marginal law is the one
that Gaussian diffusion starts from and ends at. The denoiser predicts v (Salimans and Ho, ICLR
2022, arXiv:2202.00512) for numbers and the clean code for categories (multinomial diffusion:
Hoogeboom et al., NeurIPS 2021, arXiv:2102.05379, with the noisy one-way marginal as the law that
codes decay to). What a column's own noised value says about its clean one is known in closed form
and is added to the network's output: the network learns the relations between columns and nothing
else, and an untrained one draws independent columns.

Each row is noised at several times, whose losses are averaged inside one clipped gradient: noise
multiplicity (Dockhorn et al., TMLR 2023, arXiv:2210.09929), which costs no privacy.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from dpsynth.generators.base import IntArray, Layout, column_cross_entropy
from dpsynth.privacy.layers import one_hot
from dpsynth.sampling.drawing import pick_columns
from dpsynth.sampling.scores import NormalScores, normal_quantile

NAME = "diffusion"
SUMMARY = "diffusion: Gaussian for numbers, multinomial for categories, several timesteps a row"

_STEPS = 16
_BLOCK = 8_192
_WAVES = 4
_FLOOR = 0.1
"""Rows that a code has at least: its share must not be zero."""
_ENDS = 1e-5
"""How near to 0 and 1 the share of signal comes."""


class Denoiser(nn.Module):
    """From noised columns and a time to what they were.

    Shape: scores (..., numbers), states (..., categories) int64, time (...) ->
    (..., numbers) and (..., sum of the categories' sizes).
    """

    shares: Tensor
    _first: Tensor

    def __init__(self, layout: Layout, *, units: int, times: int) -> None:
        super().__init__()
        positions = layout.positions or (None,) * len(layout.sizes)
        self.times = times
        self.columns = len(layout.sizes)
        self.numbers = [j for j, found in enumerate(positions) if found is not None]
        self.categories = [j for j, found in enumerate(positions) if found is None]
        self.sizes = [layout.sizes[j] for j in self.categories]
        shares = [_positive(layout, j) for j in range(self.columns)]
        self.score = NormalScores(
            [shares[j] for j in self.numbers], [p for p in positions if p is not None]
        )
        flat = np.concatenate([np.zeros(0), *(shares[j] for j in self.categories)])
        first = np.cumsum([0, *self.sizes[:-1]])[: len(self.sizes)]
        self.register_buffer("shares", torch.from_numpy(flat).float(), persistent=False)
        self.register_buffer("_first", torch.from_numpy(first).long(), persistent=False)
        width = len(self.numbers) + sum(self.sizes)
        self.inner = nn.Linear(width + 2 * _WAVES, units)
        self.middle = nn.Linear(units, units)
        self.outer = nn.Linear(units, width)

    def forward(self, scores: Tensor, states: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """v of the numbers; logits of the clean codes, each column's own noised code included."""
        angles = time[..., None] * torch.pi * 2.0 ** torch.arange(_WAVES, device=time.device)
        seen = torch.cat([scores, self.spelt_out(states), angles.sin(), angles.cos()], dim=-1)
        hidden = torch.tanh(self.inner(seen))
        found = self.outer(hidden + torch.tanh(self.middle(hidden)))
        v, added = found.split([len(self.numbers), sum(self.sizes)], dim=-1)
        index = states + self._first
        kept = signal(time)[..., None]
        own = torch.log1p(kept / ((1.0 - kept) * self.shares[index]))
        return v, (added + self.shares.log()).scatter_add(-1, index, own)

    def spelt_out(self, states: Tensor) -> Tensor:
        """One-hot codes, shape (..., sum of sizes)."""
        if not self.sizes:
            return states.float()
        flat = one_hot(states.flatten(0, -2), self.sizes)
        return flat.view(*states.shape[:-1], -1)

    def noised(self, codes: Tensor, kept: Tensor, uniforms: Tensor) -> Tensor:
        """Each code kept with a chance, else drawn anew; shape (rows, times, categories).

        Args:
            codes: shape (rows, 1, categories). kept: shape (rows, times, 1).
            uniforms: shape (rows, times, 2 * categories): which code, and whether.
        """
        which, whether = uniforms.chunk(2, dim=-1)
        fresh = torch.empty(which.shape, dtype=torch.int64, device=which.device)
        for n, share in enumerate(torch.split(self.shares, self.sizes)):
            inner = share.double().cumsum(0)[:-1].float()
            fresh[..., n] = torch.searchsorted(inner, which[..., n].contiguous(), right=True)
        return torch.where(whether < kept, codes, fresh)

    def halves(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Codes of the numbers and of the categories."""
        return codes[:, self.numbers], codes[:, self.categories]


def signal(time: Tensor) -> Tensor:
    """Share of variance that is still the clean score's, and chance that a code is still kept."""
    return torch.cos(0.5 * torch.pi * time).square().clamp(_ENDS, 1.0 - _ENDS)


def build(layout: Layout, *, options: Mapping[str, float], rng: np.random.Generator) -> Denoiser:
    """The untrained denoiser, which says what columns say of themselves.

    Args:
        layout: sizes, noisy marginals and positions.
        options: `units` of its two hidden layers, `times` that each row is noised in one loss.
        rng: starts the hidden layers.
    """
    times = int(options.get("times", 4))
    model = Denoiser(layout, units=int(options.get("units", 128)), times=times)
    active = model.columns + _WAVES  # entries of an input that are about one in size
    with torch.no_grad():
        for layer, inputs in ((model.inner, active), (model.middle, model.middle.in_features)):
            start = rng.normal(0.0, inputs**-0.5, size=layer.weight.shape)
            layer.weight.copy_(torch.from_numpy(start))
            layer.bias.zero_()
        model.outer.weight.zero_()
        model.outer.bias.zero_()
    return model


def draws(model: nn.Module, rows: int, *, rng: np.random.Generator) -> Tensor:
    """Uniform numbers, shape (rows, times, 1 + 2 * columns): the time, then two a column."""
    net = cast(Denoiser, model)
    shape = (rows, net.times, 1 + 2 * net.columns)
    return torch.from_numpy(rng.random(shape, dtype=np.float32))


def per_example_loss(model: nn.Module, codes: Tensor, draws: Tensor) -> Tensor:
    """Mean over times of the squared error of v and the cross entropy of codes, shape (rows,)."""
    net = cast(Denoiser, model)
    numbers, categories = net.halves(codes)
    width = len(net.numbers)
    # One time in each of `times` equal parts of (0, 1).
    time = (torch.arange(net.times, device=draws.device) + draws[..., 0]) / net.times
    left = signal(time)[..., None]
    clean = net.score.scores(numbers, draws[..., 1 : 1 + width])
    noise = normal_quantile(draws[..., 1 + width : 1 + 2 * width])
    states = net.noised(categories[:, None], left, draws[..., 1 + 2 * width :])
    v, logits = net(left.sqrt() * clean + (1.0 - left).sqrt() * noise, states, time)
    aim = left.sqrt() * noise - (1.0 - left).sqrt() * clean
    losses = (v - aim).square().sum(-1)
    if net.sizes:
        spread = categories[:, None].expand(-1, net.times, -1).flatten(0, 1)
        entropy = column_cross_entropy(logits.flatten(0, 1), spread, tuple(net.sizes))
        losses = losses + entropy.view(losses.shape)
    mean: Tensor = losses.mean(1)
    return mean


def sample(model: nn.Module, rows: int, *, rng: np.random.Generator) -> IntArray:
    """Rows from noise, step by step; codes of shape (rows, columns)."""
    net = cast(Denoiser, model)
    parts = [np.zeros((0, net.columns), dtype=np.int64)]
    with torch.no_grad():
        for first in range(0, rows, _BLOCK):
            parts.append(_block(net, min(_BLOCK, rows - first), rng=rng))
    return np.concatenate(parts)


def _block(net: Denoiser, rows: int, *, rng: np.random.Generator) -> IntArray:
    device = net.inner.weight.device
    scores = _normal((rows, len(net.numbers)), rng).to(device)
    states = _pick(net, net.shares.log().expand(rows, -1).clone(), rng)
    times = torch.linspace(1.0, 0.0, _STEPS + 1, device=device)
    for now, then in pairwise(times):
        v, logits = net(scores, states, now.expand(rows))
        left, after = signal(now), signal(then)
        noise = _normal(scores.shape, rng).to(device)
        last = float(then) == 0.0
        scores = _number_step(scores, v, noise, left, after, last=last)
        states = _pick(net, logits if last else _posterior(net, states, logits, left, after), rng)
    codes = np.empty((rows, net.columns), dtype=np.int64)
    codes[:, net.numbers] = net.score.codes(scores).cpu().numpy()
    codes[:, net.categories] = states.cpu().numpy()
    return codes


def _number_step(
    scores: Tensor, v: Tensor, noise: Tensor, left: Tensor, after: Tensor, *, last: bool
) -> Tensor:
    """One step of ancestral sampling (Ho et al., NeurIPS 2020, Algorithm 2).

    Its variance is 1 - alpha: exact for standard normal scores, which these are.
    """
    clean = left.sqrt() * scores - (1.0 - left).sqrt() * v
    alpha = left / after
    mean = (after.sqrt() * (1.0 - alpha) * clean + alpha.sqrt() * (1.0 - after) * scores) / (
        1.0 - left
    )
    return clean if last else mean + (1.0 - alpha).sqrt() * noise


def _posterior(
    net: Denoiser, states: Tensor, logits: Tensor, left: Tensor, after: Tensor
) -> Tensor:
    """Log-chances of the codes one step earlier, given the present ones and the denoiser's guess.

    The sum over clean codes c of guess(c) q(earlier | present, c), block by block.
    """
    alpha = left / after
    found = []
    blocks = zip(
        torch.split(logits, net.sizes, dim=1),
        torch.split(net.shares, net.sizes),
        states.T,
        strict=True,
    )
    for block, share, present in blocks:
        stray = share[present][:, None]
        back = (1.0 - alpha) * stray.expand(-1, len(share)).clone()
        back[torch.arange(len(present), device=back.device), present] += alpha
        weight = block.softmax(1) / (after * back + (1.0 - after) * stray)
        total = weight.sum(1, keepdim=True)
        found.append(back * (after * weight + (1.0 - after) * share * total))
    return torch.cat(found, dim=1).clamp_min_(1e-30).log_() if found else logits


def _pick(net: Denoiser, logits: Tensor, rng: np.random.Generator) -> Tensor:
    if not net.sizes:
        return torch.zeros(len(logits), 0, dtype=torch.int64, device=logits.device)
    return torch.from_numpy(pick_columns(logits.cpu(), net.sizes, rng=rng)).to(logits.device)


def _normal(shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def _positive(layout: Layout, column: int) -> np.ndarray:
    floor = _FLOOR / max(layout.rows, 1.0)
    share = np.maximum(layout.one_way[column], floor)
    return np.asarray(share / share.sum())
