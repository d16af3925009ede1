"""The watcher: which iterate is kept, when training stops, and when looks are taken."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dpsynth.refinement.measured import Measured
from dpsynth.training.descent import Descent
from dpsynth.training.dpsgd import descend
from dpsynth.training.monitor import Monitor, MonitorSettings
from dpsynth.training.options import TrainingOptions
from dpsynth.training.watching import Watcher

SHARES = np.array([0.5, 0.3, 0.2])


class _Shares(nn.Module):
    """Draws its one column by a softmax of its one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(np.log(SHARES)).float())


def _sample(model: nn.Module, rows: int, *, rng: np.random.Generator) -> np.ndarray:
    chances = torch.softmax(cast(_Shares, model).logits.detach().double(), 0).numpy()
    return rng.choice(3, size=(rows, 1), p=chances / chances.sum())


class _Script:
    """A channel whose answers take the logits where the script says, one step after the other."""

    sample_rate, scale = 1.0, 0.0

    def __init__(self, pushes: list[float]) -> None:
        self.steps, self._pushes, self._taken = len(pushes), pushes, 0

    @property
    def taken(self) -> int:
        return self._taken

    def ask(self) -> list[Tensor]:
        self._taken += 1
        return [self._pushes[self._taken - 1] * torch.tensor([-1.0, 0.5, 0.5])]


def _trained(pushes: list[float], *, refines: bool = False, patience: int = 50) -> dict[str, Any]:
    model = _Shares()
    generator: Any = SimpleNamespace(sample=_sample)
    if refines:
        generator.refine = None
    measured = Measured(20_000.0, (SHARES,), 5.0, (), (), 1.0)
    settings = MonitorSettings(looks=len(pushes), patience=patience, least_looks=2)
    monitor = Monitor(measured, ("a",), positions=(None,), settings=settings)
    channel = _Script(pushes)
    options = TrainingOptions(learning_rate=0.3, averaging=0.0, betas=(0.0, 0.0))
    rng = np.random.default_rng(0)
    descent = Descent(generator, model, rows=1.0, channel=channel, options=options, rng=rng)
    watcher = Watcher(generator, model, monitor, looks=len(pushes), steps=len(pushes), rng=rng)
    descend(descent, channel, watcher=watcher)
    share = float(torch.softmax(model.logits.detach(), 0)[0])
    return {"share": share, "taken": channel.taken, "looks": len(monitor.readings)}


AWAY = [1.0] * 10
"""Every step takes the shares further from what was measured; Adam's steps have one size."""


def test_the_iterate_before_it_went_wrong_is_kept() -> None:
    """The first look is nearest to the measured half; the last is far beyond it."""
    kept = _trained(AWAY)
    assert kept["looks"] == 10
    assert abs(kept["share"] - 0.5) < 0.15
    assert _trained(AWAY, refines=True)["share"] > 0.8


def test_of_iterates_that_are_equal_within_the_noise_the_last_is_kept() -> None:
    tiny = [1e-12] * 9 + [-1e-12]  # Adam makes steps of one size of any gradient above its floor
    assert _trained(tiny)["share"] == pytest.approx(0.5, abs=0.02)


def test_training_stops_when_looks_bring_nothing() -> None:
    stopped = _trained(AWAY, patience=3)
    assert stopped["taken"] < 10
    assert _trained(AWAY, patience=3, refines=True)["taken"] == 10
