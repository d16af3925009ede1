"""What privacy costs a training step of the networks that are clipped by ghost norms.

Used by step_cost.py --networks. All steps run the same loss over the same batch in the same blocks
of rows, then Adam; they differ in how the gradient is made:
    plain: autograd of the summed loss.
    private: through the curator's own gradient channel (Opacus's ghost norms, one backward pass,
        clipped sums in double precision, ChaCha20 noise).
    ghost: Opacus's own fast gradient clipping, two backward passes.
    hooks: Opacus's per-example gradients.
Of an adversarial network this is the critic's loss on rows; the rest of its step (made-up rows, the
maker) is the same with and without privacy and would only make the ratio smaller.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from dpsynth.generators import registry
from dpsynth.generators.base import Layout
from dpsynth.privacy.clipping import PerExampleLoss, clipper_for
from dpsynth.privacy.curator import GradientChannel
from dpsynth.privacy.ghost import Ghost
from dpsynth.privacy.noise import secure_noise
from dpsynth.training.objective import objective

NETWORKS = ("vae", "gan", "diffusion")
HOOKS_FLOATS = 2**25
"""Numbers of per-example gradients that the hooks may hold at once: an eighth of a gigabyte."""
_RATE = 1e-3

Step = Callable[[], None]


@dataclass(frozen=True)
class Setting:
    """What all steps of a comparison share.

    Attributes:
        generator: name of the network.
        sizes: codes of each column; every third column is a number.
        codes: the batch, shape (rows, columns).
        units: of the hidden layers.
        clip_norm, noise: of the private steps.
    """

    generator: str
    sizes: tuple[int, ...]
    codes: Tensor
    units: int
    clip_norm: float
    noise: float

    def model(self) -> nn.Module:
        """A fresh network, the same each time."""
        numbers = tuple(
            np.arange(size, dtype=float) if j % 3 == 0 else None
            for j, size in enumerate(self.sizes)
        )
        even = tuple(np.full(size, 1 / size) for size in self.sizes)
        layout = Layout(self.sizes, even, 1e4, None, numbers)
        options = {"units": float(self.units)}
        generator = registry.load(self.generator)
        return generator.build(layout, options=options, rng=np.random.default_rng(0))

    def loss(self) -> PerExampleLoss:
        return objective(registry.load(self.generator), rng=np.random.default_rng(1))

    @property
    def at_once(self) -> int:
        """The rows of a block, as the private step cuts them.

        Raises:
            SystemExit: the network is not clipped by ghost norms.
        """
        clipper = clipper_for(self.model(), self.loss(), max_grad_norm=self.clip_norm)
        if not isinstance(clipper, Ghost):
            raise SystemExit(f"{self.generator}: clipped by {type(clipper).__name__}, not by Ghost")
        return clipper._rows_at_once

    def blocks(self, at_once: int | None = None) -> Iterator[Tensor]:
        """The batch, a block of rows at a time."""
        for rows in torch.split(self.codes, at_once or self.at_once):
            yield rows.long()


def plain(setting: Setting) -> Step:
    """Without privacy."""
    model, loss = setting.model(), setting.loss()
    trained, optimizer = _trained(model)
    at_once = setting.at_once

    def step() -> None:
        optimizer.zero_grad()
        for rows in setting.blocks(at_once):
            loss(model, rows).sum().backward()  # type: ignore[no-untyped-call]
        for parameter in trained:
            cast(Tensor, parameter.grad).div_(len(setting.codes))
        optimizer.step()

    return step


def private(setting: Setting) -> Step:
    """Through the curator's gradient channel."""
    model, loss = setting.model(), setting.loss()
    trained, optimizer = _trained(model)
    channel = GradientChannel(
        clipper=clipper_for(model, loss, max_grad_norm=setting.clip_norm),
        codes=setting.codes,
        steps=10**6,
        sample_rate=1.0,
        scale=setting.noise,
        noise=secure_noise(),
    )

    def step() -> None:
        for parameter, noisy in zip(trained, channel.ask(), strict=True):
            parameter.grad = (noisy / len(setting.codes)).to(parameter.dtype)
        optimizer.step()

    return step


def ghost(setting: Setting) -> Step:
    """Opacus's ghost clipping: a pass for the norms, a pass for the clipped sum."""
    from opacus.grad_sample import GradSampleModuleFastGradientClipping

    model, loss = setting.model(), setting.loss()
    trained, optimizer = _trained(model)
    wrapped: Any = GradSampleModuleFastGradientClipping(
        model, max_grad_norm=setting.clip_norm, use_ghost_clipping=True, loss_reduction="sum"
    )
    at_once = setting.at_once

    def step() -> None:
        total = [torch.zeros_like(p) for p in trained]
        for rows in setting.blocks(at_once):
            optimizer.zero_grad()
            losses = loss(model, rows)
            losses.sum().backward(retain_graph=True)  # type: ignore[no-untyped-call]
            factors = wrapped.get_clipping_coef().detach()
            optimizer.zero_grad()
            wrapped.disable_hooks()
            (losses * factors).sum().backward()
            wrapped.enable_hooks()
            for part, parameter in zip(total, trained, strict=True):
                part += cast(Tensor, parameter.grad)
        _noisy_update(optimizer, trained, total, setting)

    return step


def hooks(setting: Setting) -> Step:
    """Opacus's per-example gradients, clipped and summed."""
    from opacus.grad_sample import GradSampleModule

    model, loss = setting.model(), setting.loss()
    trained, optimizer = _trained(model)
    GradSampleModule(model, loss_reduction="sum")
    at_once = max(1, HOOKS_FLOATS // sum(math.prod(p.shape) for p in trained))

    def step() -> None:
        total = [torch.zeros_like(p) for p in trained]
        for rows in setting.blocks(at_once):
            optimizer.zero_grad()
            loss(model, rows).sum().backward()  # type: ignore[no-untyped-call]
            grads = [cast(Tensor, cast(Any, p).grad_sample) for p in trained]
            norms = torch.stack([g.flatten(1).norm(dim=1) for g in grads]).norm(dim=0)
            factors = (setting.clip_norm / norms).clamp(max=1.0)
            for part, grad in zip(total, grads, strict=True):
                part += torch.tensordot(factors, grad, dims=1)
            for parameter in trained:
                cast(Any, parameter).grad_sample = None
        _noisy_update(optimizer, trained, total, setting)

    return step


def _trained(model: nn.Module) -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
    trained = [p for p in model.parameters() if p.requires_grad]
    return trained, torch.optim.Adam(trained, lr=_RATE)


def _noisy_update(
    optimizer: torch.optim.Optimizer,
    trained: Sequence[nn.Parameter],
    total: Sequence[Tensor],
    setting: Setting,
) -> None:
    for part, parameter in zip(total, trained, strict=True):
        parameter.grad = (part + torch.randn_like(part) * setting.noise) / len(setting.codes)
    optimizer.step()
