"""A variational autoencoder (Kingma and Welling, ICLR 2014) over the codes of all columns.

The encoder turns a row into a normal law over latent vectors, the decoder a latent vector into one
softmax for each column. Both are trained from private rows, so both are clipped and noised: a
decoder trained under noise beside an encoder trained without would tell of rows through its
gradients.
"""

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from dpsynth.generators.base import IntArray, Layout, column_cross_entropy, log_one_way
from dpsynth.privacy.layers import one_hot
from dpsynth.sampling.drawing import pick_columns

NAME = "vae"
SUMMARY = "variational autoencoder: a latent vector behind each row; encoder and decoder private"

_LATENT = 16
_BLOCK = 16_384


class Autoencoder(nn.Module):
    """Encoder and decoder. Shape: codes (rows, columns), noise (rows, latent) -> logits."""

    def __init__(self, layout: Layout, *, units: int, latent: int) -> None:
        super().__init__()
        self.sizes = layout.sizes
        self.latent = latent
        width = sum(layout.sizes)
        self.encoder = nn.Linear(width, units)
        self.posterior = nn.Linear(units, 2 * latent)
        self.decoder = nn.Linear(latent, units)
        self.middle = nn.Linear(units, units)
        self.logits = nn.Linear(units, width)

    def encode(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent vector of each row, shape (rows, latent) each."""
        hidden = torch.tanh(self.encoder(one_hot(codes, self.sizes)))
        mean, spread = self.posterior(hidden).chunk(2, dim=1)
        return mean, 4.0 * torch.tanh(0.25 * spread)

    def decode(self, latent: Tensor) -> Tensor:
        """Logits of all columns, shape (rows, sum(sizes))."""
        hidden = torch.tanh(self.middle(torch.tanh(self.decoder(latent))))
        return cast(Tensor, self.logits(hidden))


def build(layout: Layout, *, options: Mapping[str, float], rng: np.random.Generator) -> Autoencoder:
    """The untrained model, whose decoder says the noisy one-way marginals whatever it is given."""
    units = int(options.get("units", 128))
    model = Autoencoder(layout, units=units, latent=int(options.get("latent", _LATENT)))
    with torch.no_grad():
        for layer in (model.encoder, model.posterior, model.decoder, model.middle):
            start = rng.normal(0.0, layer.in_features**-0.5, size=layer.weight.shape)
            layer.weight.copy_(torch.from_numpy(start))
            layer.bias.zero_()
        # One input in each column is 1, not all of them.
        model.encoder.weight.mul_((sum(layout.sizes) / len(layout.sizes)) ** 0.5)
        model.logits.weight.zero_()
        model.logits.bias.copy_(log_one_way(layout))
    return model


def draws(model: nn.Module, rows: int, *, rng: np.random.Generator) -> Tensor:
    """Latent noise, shape (rows, latent)."""
    latent = cast(Autoencoder, model).latent
    return torch.from_numpy(rng.standard_normal((rows, latent), dtype=np.float32))


def per_example_loss(model: nn.Module, codes: Tensor, draws: Tensor) -> Tensor:
    """Minus the evidence lower bound of each row in nats, shape (rows,)."""
    net = cast(Autoencoder, model)
    mean, log_variance = net.encode(codes)
    latent = mean + torch.exp(0.5 * log_variance) * draws
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(1)
    return column_cross_entropy(net.decode(latent), codes, net.sizes) + divergence


def sample(model: nn.Module, rows: int, *, rng: np.random.Generator) -> IntArray:
    """Latent vectors from the standard normal law, decoded; codes of shape (rows, columns)."""
    net = cast(Autoencoder, model)
    parts = [np.zeros((0, len(net.sizes)), dtype=np.int64)]
    with torch.no_grad():
        for first in range(0, rows, _BLOCK):
            size = min(_BLOCK, rows - first)
            latent = draws(model, size, rng=rng).to(net.decoder.weight.device)
            parts.append(pick_columns(net.decode(latent).cpu(), net.sizes, rng=rng))
    return np.concatenate(parts)
