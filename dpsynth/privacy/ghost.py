"""Clipped sums by Opacus's ghost norms: for networks of plain torch layers.

Ghost clipping (Li et al., ICLR 2022, arXiv:2110.05679) finds the norm of a row's gradient without
the gradient: for a linear layer with one input vector a row it is ||a|| ||d||, with several vectors
a row (timesteps) the root of the sum over all pairs of them of (a_s . a_t)(d_s . d_t). Opacus
knows these rules for linear and embedding layers. The clipped sum is then one matrix product a
layer over the same inputs and output gradients (book-keeping, Bu et al., ICML 2023), so that a step
takes one backward pass.

Guarantee as in `dpsynth.privacy.clipping`, in ordinary floating point: products are added up in
float64, and the bound leaves a margin for the rounding of norms in float32. Where a row's several
inputs cancel, which float32 cannot see, its norm is taken in float64.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from dpsynth.errors import InputError
from dpsynth.privacy.taps import Tap, checked_losses, clip_factors, faulty_layer, tapped

PerExampleLoss = Callable[[nn.Module, Tensor], Tensor]

_MARGIN = 1e-4
"""Relative: a norm is a root of a float32 sum of products of two norms."""
_CANCELLED = 0.1
"""Below this part of what it could be, a row's squared norm is taken again in float64."""

_FLOATS_AT_ONCE = 2**23


def ghost_layers(model: nn.Module) -> list[nn.Module]:
    """The trained layers, where ghost norms cover all that is trained; otherwise none."""
    layers = [m for m in model.modules() if _trained(m)]
    parameters = [p for layer in layers for p in _trained(layer)]
    if len({id(p) for p in parameters}) < len(parameters):
        return []  # a shared parameter has cross terms, which the rules leave out
    return layers if all(type(layer) is nn.Linear for layer in layers) else []


class Ghost:
    """Clipped sums of a model whose trained layers are all linear; see the module's docstring.

    Args:
        model: any module; only the loss runs it.
        per_example_loss: one loss a row; every trained layer must run exactly once in it, with rows
            as the first dimension of its input.
        layers: from `ghost_layers`.
        max_grad_norm: bound of a row's contribution, rounding included.
    """

    def __init__(
        self,
        model: nn.Module,
        per_example_loss: PerExampleLoss,
        layers: Sequence[nn.Module],
        max_grad_norm: float,
    ) -> None:
        self.max_grad_norm = max_grad_norm
        self._model = model
        self._loss = per_example_loss
        self._layers = tuple(cast(nn.Linear, layer) for layer in layers)
        self._inner_norm = max_grad_norm * (1.0 - _MARGIN)
        widths = sum(layer.in_features + layer.out_features for layer in self._layers)
        self._rows_at_once = int(min(4096, max(64, _FLOATS_AT_ONCE // max(widths, 1))))

    def clipped_sum(self, batch: Tensor) -> list[Tensor]:
        """See `Clipper`."""
        totals = [torch.zeros(p.shape, dtype=torch.float64) for p in self._parameters()]
        for inputs, grads in self._passes(batch):
            factors = clip_factors(
                self._squared(inputs, grads),
                self._inner_norm,
                where=faulty_layer(self._model, self._layers, grads),
            )
            for total, part in zip(totals, self._sums(inputs, grads, factors), strict=True):
                total += part.cpu()
        return totals

    def masks(self) -> list[Tensor]:
        """See `Clipper`."""
        return [torch.ones(p.shape, dtype=torch.bool) for p in self._parameters()]

    def norms(self, batch: Tensor) -> Tensor:
        """See `Clipper`."""
        return torch.cat([self._squared(a, d).cpu() for a, d in self._passes(batch)]).sqrt()

    def _parameters(self) -> list[nn.Parameter]:
        """Trained parameters, in the model's order."""
        return [p for layer in self._layers for p in _trained(layer)]

    def _passes(self, batch: Tensor) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
        """Inputs of every layer and gradients at its output, a chunk of rows at a time."""
        with tapped(self._layers) as taps:
            for rows in torch.split(batch, self._rows_at_once):
                if len(rows):
                    there = rows.to(self._layers[0].weight.device)
                    yield self._pass(there if there.is_floating_point() else there.long(), taps)

    def _pass(self, rows: Tensor, taps: list[Tap]) -> tuple[list[Tensor], list[Tensor]]:
        losses = checked_losses(self._loss(self._model, rows), rows)
        for tap in taps:
            # Opacus has a norm rule for one vector a row and for several; for more dimensions it
            # returns no norm at all, and the layer would be summed without being clipped.
            if (
                len(tap.outputs) != 1
                or len(tap.outputs[0]) != len(rows)
                or tap.outputs[0].dim() not in (2, 3)
            ):
                raise InputError(
                    "a linear layer must run exactly once in the loss, with the rows of the batch "
                    "as its first dimension; several inputs of a row go side by side in the second "
                    "(three dimensions at most)"
                )
        grads = torch.autograd.grad(losses.sum(), [tap.outputs[0] for tap in taps])
        inputs = [tap.inputs[0].detach() for tap in taps]
        for tap in taps:
            tap.clear()
        return inputs, list(grads)

    def _squared(self, inputs: list[Tensor], grads: list[Tensor]) -> Tensor:
        """Squared norm of each row's gradient, shape (rows,).

        The sum over pairs of a row's inputs can cancel. In float32 what is left of it would be
        rounding, far below the norm of what is summed; such rows are done again in float64.
        """
        found = self._by_rule(inputs, grads)
        if all(d.dim() == 2 for d in grads):
            return found  # one input a row: nothing cancels
        doubtful = found < _CANCELLED * _without_cancelling(inputs, grads)
        if bool(doubtful.any()):
            again = [[part[doubtful].double() for part in parts] for parts in (inputs, grads)]
            found[doubtful] = self._by_rule(*again).to(found.dtype)
        return found

    def _by_rule(self, inputs: list[Tensor], grads: list[Tensor]) -> Tensor:
        """Squared norms by Opacus's rule for the layer, in the precision of the arguments."""
        from opacus.grad_sample.linear import compute_linear_norm_sample

        found = [
            norm.square()
            for layer, a, d in zip(self._layers, inputs, grads, strict=True)
            for norm in compute_linear_norm_sample(layer, [a], d).values()
        ]
        return torch.stack(found).sum(0)

    def _sums(self, inputs: list[Tensor], grads: list[Tensor], factors: Tensor) -> Iterator[Tensor]:
        """Clipped sums over the chunk, float64, in the order of the parameters."""
        for layer, a, d in zip(self._layers, inputs, grads, strict=True):
            each = factors.double().view(-1, *[1] * (d.dim() - 1))
            weighted = d.to(torch.float64, copy=True).mul_(each)
            flat = weighted.flatten(0, -2)
            for parameter in _trained(layer):
                if parameter is layer.weight:
                    yield flat.T @ a.double().flatten(0, -2)
                else:
                    yield flat.sum(0)


def _without_cancelling(inputs: list[Tensor], grads: list[Tensor]) -> Tensor:
    """The largest that each row's squared norm could be, given the sizes of inputs and gradients.

    With a bias, which is one more input of 1.
    """
    found = []
    for a, d in zip(inputs, grads, strict=True):
        sizes = (a.square().sum(-1) + 1.0).sqrt() * d.square().sum(-1).sqrt()
        found.append(sizes.view(len(d), -1).sum(1).square())
    return torch.stack(found).sum(0)


def _trained(layer: nn.Module) -> list[nn.Parameter]:
    return [p for p in layer.parameters(recurse=False) if p.requires_grad]
