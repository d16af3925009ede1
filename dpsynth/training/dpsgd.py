"""The one training loop: DP-SGD on noisy clipped gradient sums that the curator hands out.

The loop sees public things only: the model, the noisy sums and the noisy row count. Everything it
does with them, Adam, the falling step and the averaging of iterates among it, is post-processing.
"""

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from dpsynth.errors import NonFiniteTraining
from dpsynth.generators.base import Generator, IntArray, Layout, Measuring
from dpsynth.privacy.clipping import clipper_for
from dpsynth.privacy.curator import Curator, GradientChannel
from dpsynth.privacy.rows import Codec
from dpsynth.refinement.measured import Measured
from dpsynth.training.adam import Adam
from dpsynth.training.options import TrainingOptions

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all) after each step."""

_SIMULATED_ROWS = 4096


def train(
    generator: Generator,
    layout: Layout,
    *,
    curator: Curator,
    codec: Codec,
    label: str,
    options: TrainingOptions,
    rng: np.random.Generator,
    measured: Measured | None = None,
    progress: Progress = lambda done, total: None,
) -> nn.Module:
    """A trained model, public.

    Where tables of pairs were measured the generator adopts them before the first step and is
    refined by them after the last; both are post-processing.

    Args:
        generator: architecture and loss.
        layout: sizes, noisy marginals and noisy row count.
        curator: answers the gradient steps.
        codec: how rows become codes.
        label: the charge that pays for all steps.
        options: fixed in advance.
        rng: starts the model and draws the public rows that set the clip norm.
        measured: noisy tables of pairs, for a generator that can use them.
        progress: told of each step.

    Raises:
        NonFiniteTraining: a weight stopped being finite; the charge stays booked.
    """
    model = generator.build(layout, options=options.generator_options, rng=rng)
    simulated = _independent_rows(layout, rng=rng)
    if measured is not None:
        measuring = cast(Measuring, generator)
        measuring.adopt(model, measured, rng=rng)
        simulated = generator.sample(model, _SIMULATED_ROWS, rng=rng)
    norm = public_clip_norm(generator, model, simulated, quantile=options.clip_quantile)
    clipper = clipper_for(model, generator.per_example_loss, max_grad_norm=norm)
    channel = curator.gradients(model, clipper, codec, label=label)
    descend(model, channel, rows=layout.rows, options=options, progress=progress)
    if measured is not None:
        measuring.refine(model, measured, rng=rng)
    return model


def public_clip_norm(
    generator: Generator, model: nn.Module, simulated: IntArray, *, quantile: float
) -> float:
    """A clip norm from public facts: a quantile of the gradient norms of simulated rows.

    The rows are drawn from noisy answers, so the norm costs nothing. A fixed share of the a-priori
    bound would suit one table and clip nearly every row of another.

    Args:
        generator: whose loss is differentiated.
        model: at its starting weights.
        simulated: codes, shape (rows, columns). Public.
        quantile: in (0, 1].
    """
    clipper = clipper_for(model, generator.per_example_loss, max_grad_norm=1e6)
    norms = clipper.norms(torch.from_numpy(simulated))
    return max(float(torch.quantile(norms, quantile)), 1e-2)


def _independent_rows(layout: Layout, *, rng: np.random.Generator) -> IntArray:
    """Rows drawn from the noisy one-way marginals, shape (rows, columns)."""
    columns = [rng.choice(len(p), size=_SIMULATED_ROWS, p=p) for p in layout.one_way]
    return np.stack(columns, axis=1).astype(np.int64)


def descend(
    model: nn.Module,
    channel: GradientChannel,
    *,
    rows: float,
    options: TrainingOptions,
    progress: Progress,
) -> None:
    """Adam on the noisy sums over the public row count; leaves the averaged iterate in `model`.

    Raises:
        NonFiniteTraining: names the step and the parameter.
    """
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    parameters = [p for _, p in trained]
    averages = [p.detach().clone() for p in parameters]
    batch = max(rows * channel.sample_rate, 1.0)
    floor = max(options.noise_floor * channel.scale / batch, 1e-8)
    optimizer = Adam(parameters, betas=options.betas, floor=floor)
    for step in range(channel.steps):
        sums = zip(parameters, channel.ask(), strict=True)
        gradients = [(noisy / batch).to(parameter.dtype) for parameter, noisy in sums]
        rate = options.learning_rate * (1.0 - step / channel.steps)
        optimizer.step(gradients, learning_rate=rate)
        _check_finite(trained, step)
        _average(averages, parameters, decay=options.averaging)
        progress(step + 1, channel.steps)
    with torch.no_grad():
        for parameter, average in zip(parameters, averages, strict=True):
            parameter.copy_(average)
            parameter.grad = None


def _average(averages: list[Tensor], parameters: list[nn.Parameter], *, decay: float) -> None:
    for average, parameter in zip(averages, parameters, strict=True):
        average.mul_(decay).add_(parameter.detach(), alpha=1.0 - decay)


def _check_finite(trained: list[tuple[str, nn.Parameter]], step: int) -> None:
    for name, parameter in trained:
        if not bool(torch.isfinite(parameter).all()):
            raise NonFiniteTraining(
                f"training stopped at step {step + 1}: parameter {name!r} is not finite; lower "
                "learning_rate (the charge stays booked)"
            )
