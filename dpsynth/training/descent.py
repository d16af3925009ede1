"""Gradient descent on sums that a channel hands out, one step at a time, with all state in tensors.

The same steps train privately (a curator's noisy sums), on public rows beforehand, and without
privacy for comparison: what differs is the channel.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from dpsynth.errors import IntegrityError, NonFiniteTraining
from dpsynth.generators.base import Adversarial, Generator
from dpsynth.training.adam import Adam
from dpsynth.training.options import TrainingOptions


class Channel(Protocol):
    """Where gradient sums come from; `dpsynth.privacy.curator.GradientChannel` is the private one.

    Attributes:
        steps: sums that it will answer in all.
        sample_rate: share of the rows in one sum, on average.
        scale: standard deviation of the noise in each entry.
    """

    steps: int
    sample_rate: float
    scale: float

    @property
    def taken(self) -> int:
        """Sums that are spent."""
        ...

    def ask(self) -> list[Tensor]:
        """The next sum, one tensor for each trained parameter."""
        ...


class Descent:
    """A model on its way down: Adam's moments, the averaged iterate, the step reached.

    Args:
        generator: whose model it is.
        model: its trainable parameters are moved in place.
        rows: the public row count; sums are divided by it.
        channel: its sample rate, scale and number of steps fix batch, noise floor and schedule.
        options: learning rate, averaging and the rest.
        rng: what the public parts of a loss are drawn from.
    """

    def __init__(
        self,
        generator: Generator,
        model: nn.Module,
        *,
        rows: float,
        channel: Channel,
        options: TrainingOptions,
        rng: np.random.Generator,
    ) -> None:
        self.step_number = 0
        self._model = model
        self._steps = channel.steps
        self._options = options
        self._batch = max(rows * channel.sample_rate, 1.0)
        self._private = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        floor = max(options.noise_floor * channel.scale / self._batch, 1e-8)
        self._optimizer = Adam([p for _, p in self._private], betas=options.betas, floor=floor)
        self._rival = _Rival(generator, model, options, rng) if _is_adversarial(generator) else None
        moved = self._private + (self._rival.named if self._rival else [])
        self._moved = moved
        self._averages = [p.detach().clone() for _, p in moved]

    def step(self, sums: Sequence[Tensor]) -> None:
        """Move by one answer of the channel.

        Raises:
            NonFiniteTraining: names the step and the parameter.
        """
        gradients = [
            (total / self._batch).to(device=p.device, dtype=p.dtype)
            for (_, p), total in zip(self._private, sums, strict=True)
        ]
        if self._rival is not None:
            public = self._rival.public_gradients([p for _, p in self._private])
            gradients = [a + b for a, b in zip(gradients, public, strict=True)]
        left = 1.0 - self.step_number / self._steps
        self._optimizer.step(gradients, learning_rate=self._options.learning_rate * left)
        if self._rival is not None:
            self._rival.respond(self.step_number, left)
        self.step_number += 1
        self._check_finite()
        self._average()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged iterate stands in the model while the block runs."""
        present = [p.detach().clone() for _, p in self._moved]
        self._put(self._averages)
        try:
            yield
        finally:
            self._put(present)

    def finish(self) -> None:
        """Leave the averaged iterate in the model."""
        self._put(self._averages)
        for _, parameter in self._moved:
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, but for the stream of random numbers."""
        found = {"step": torch.tensor(self.step_number)}
        found |= {f"model.{name}": value for name, value in self._model.state_dict().items()}
        for (name, _), average in zip(self._moved, self._averages, strict=True):
            found[f"average.{name}"] = average
        found |= {f"private.{k}": v for k, v in self._optimizer.state().items()}
        if self._rival is not None:
            found |= {f"rival.{k}": v for k, v in self._rival.optimizer.state().items()}
        return {name: value.cpu().clone() for name, value in found.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state`.

        Raises:
            IntegrityError: it belongs to another model.
        """
        expected = {name: value.shape for name, value in self.state().items()}
        if {name: value.shape for name, value in state.items()} != expected:
            raise IntegrityError(
                "the checkpoint belongs to a network of another shape; give the settings that it "
                "was made with, or another checkpoint folder"
            )
        self.step_number = int(state["step"])
        self._model.load_state_dict(_under(state, "model."))
        for average, (name, _) in zip(self._averages, self._moved, strict=True):
            average.copy_(state[f"average.{name}"])
        self._optimizer.restore(_under(state, "private."))
        if self._rival is not None:
            self._rival.optimizer.restore(_under(state, "rival."))

    def skip_to(self, step: int) -> None:
        """Count the steps before `step` as taken: those whose answers were lost are spent."""
        self.step_number = max(self.step_number, step)

    def _put(self, values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for (_, parameter), value in zip(self._moved, values, strict=True):
                parameter.copy_(value)

    def _average(self) -> None:
        decay = self._options.averaging
        for average, (_, parameter) in zip(self._averages, self._moved, strict=True):
            average.mul_(decay).add_(parameter.detach(), alpha=1.0 - decay)

    def _check_finite(self) -> None:
        for name, parameter in self._moved:
            if not bool(torch.isfinite(parameter).all()):
                raise NonFiniteTraining(
                    f"training stopped at step {self.step_number}: parameter {name!r} is not "
                    "finite; lower learning_rate (the charge stays booked)"
                )


class _Rival:
    """The part of an adversarial model that no row touches, trained against the private part."""

    def __init__(
        self,
        generator: Generator,
        model: nn.Module,
        options: TrainingOptions,
        rng: np.random.Generator,
    ) -> None:
        self._generator = cast(Adversarial, generator)
        self._model = model
        self._every = options.critic_steps
        self._rate = options.maker_rate
        self._rng = rng
        names = {id(p): n for n, p in model.named_parameters()}
        self._parameters = self._generator.maker_parameters(model)
        self.named = [(names[id(p)], p) for p in self._parameters]
        self.optimizer = Adam(self._parameters, betas=options.betas, floor=1e-8)

    def public_gradients(self, parameters: list[nn.Parameter]) -> list[Tensor]:
        """Of the part of the critic's loss that no row enters: exact, and free."""
        loss = self._generator.public_loss(self._model, rng=self._rng)
        return list(torch.autograd.grad(loss, parameters))

    def respond(self, step: int, left: float) -> None:
        """Move the maker, once in `critic_steps` steps."""
        if (step + 1) % self._every:
            return
        for parameter in self._parameters:
            parameter.requires_grad_(True)
        loss = self._generator.maker_loss(self._model, rng=self._rng)
        gradients = torch.autograd.grad(loss, self._parameters)
        for parameter in self._parameters:
            parameter.requires_grad_(False)
        self.optimizer.step(gradients, learning_rate=self._rate * left)


def _is_adversarial(generator: Generator) -> bool:
    return hasattr(generator, "maker_loss")


def _under(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
