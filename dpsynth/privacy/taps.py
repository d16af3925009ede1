"""What layers see in one forward pass, and the checks and factors that all clippers share."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dpsynth.errors import InputError, NonFiniteTraining


@dataclass
class Tap:
    """What one layer saw in one forward pass."""

    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)

    def clear(self) -> None:
        """Forget the pass."""
        self.inputs.clear()
        self.outputs.clear()


def clip_factors(
    squared_norms: Tensor, max_norm: float, *, where: Callable[[], str] = lambda: ""
) -> Tensor:
    """min(1, max_norm / norm) for each row.

    Args:
        squared_norms: shape (rows,).
        max_norm: the clip norm.
        where: words for the layer at fault, asked for only if there is a fault.

    Raises:
        NonFiniteTraining: a norm is not finite.
    """
    if not math.isfinite(float(squared_norms.amax())):
        raise NonFiniteTraining(
            f"a per-example gradient is not finite{where()}; lower learning_rate (the charge stays "
            "booked)"
        )
    return squared_norms.clamp_min(1e-30).rsqrt_().mul_(max_norm).clamp_max_(1.0)


def checked_losses(losses: Tensor, rows: Tensor) -> Tensor:
    """The losses as they are.

    Raises:
        InputError: they are not one number for each row.
    """
    if losses.shape != (len(rows),):
        raise InputError(
            f"per_example_loss returned shape {tuple(losses.shape)} for {len(rows)} rows; it must "
            "return one loss for each row, unreduced"
        )
    return losses


def faulty_layer(
    model: nn.Module, layers: Sequence[nn.Module], grads: Sequence[Tensor]
) -> Callable[[], str]:
    """Words for the last layer whose output gradient is not finite: the fault came from there.

    Args:
        model: names the layers.
        layers: in the order in which they run.
        grads: gradients at their outputs.
    """

    def words() -> str:
        names = {id(module): name for name, module in model.named_modules()}
        broken = [
            names[id(layer)]
            for layer, grad in zip(layers, grads, strict=True)
            if not bool(torch.isfinite(grad).all())
        ]
        return f" at the output of layer {broken[-1]!r}" if broken else " at a layer's input"

    return words


@contextmanager
def tapped(layers: Sequence[nn.Module]) -> Iterator[list[Tap]]:
    """Record inputs and outputs of the layers while the block runs."""
    taps = [Tap() for _ in layers]

    def hook(tap: Tap) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        def record(_: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            tap.inputs.append(inputs[0])
            tap.outputs.append(output)

        return record

    handles = [
        layer.register_forward_hook(hook(tap)) for layer, tap in zip(layers, taps, strict=True)
    ]
    try:
        yield taps
    finally:
        for handle in handles:
            handle.remove()
