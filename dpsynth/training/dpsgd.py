"""The one training loop: DP-SGD on noisy clipped gradient sums that the curator hands out.

The loop sees public things only: the model, the noisy sums and the noisy row count. Everything it
does with them, Adam, the falling step, the averaging of iterates and the monitor's choice among
them, is post-processing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from dpsynth.errors import NonFiniteTraining
from dpsynth.generators.base import Generator, IntArray, Layout, Measuring
from dpsynth.privacy.clipping import PerExampleLoss, clipper_for
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.rows import Codec
from dpsynth.refinement.measured import Measured
from dpsynth.refinement.simulated import rows_from
from dpsynth.training.checkpoint import NO_CHECKPOINTS, Checkpoints
from dpsynth.training.descent import Channel, Descent
from dpsynth.training.monitor import Monitor
from dpsynth.training.objective import objective
from dpsynth.training.options import TrainingOptions
from dpsynth.training.public import rehearse
from dpsynth.training.watching import Watcher

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, steps done, steps in all) after each step."""

_SIMULATED_ROWS = 4096
_REHEARSED_ROWS = 50_000


def _silent(label: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Aids:
    """What a training may lean on; all of it public, so that none of it costs anything.

    Attributes:
        measured: noisy tables of pairs.
        warm_start: codes of public rows, shape (rows, columns).
        monitor: compares samples with noisy marginals.
        checkpoints: where the state is kept after each step.
        progress: told of each step.
    """

    measured: Measured | None = None
    warm_start: IntArray | None = None
    monitor: Monitor | None = None
    checkpoints: Checkpoints = NO_CHECKPOINTS
    progress: Progress = _silent


def train(
    generator: Generator,
    layout: Layout,
    *,
    curator: Curator,
    codec: Codec,
    label: str,
    options: TrainingOptions,
    rng: np.random.Generator,
    aids: Aids | None = None,
) -> nn.Module:
    """A trained model, public.

    Where tables of pairs were measured a generator adopts them before the first step and is refined
    by them after the last; one that cannot is trained on rows simulated from them first. All of
    this is post-processing.

    Args:
        generator: architecture and loss.
        layout: sizes, noisy marginals and noisy row count.
        curator: answers the gradient steps.
        codec: how rows become codes.
        label: the charge that pays for all steps.
        options: fixed in advance.
        rng: starts the model and draws public rows; the random numbers of a loss of private rows
            come from the curator.
        aids: what else is public.

    Raises:
        NonFiniteTraining: a weight stopped being finite; the charge stays booked.
    """
    aids = aids or Aids()
    saved = aids.checkpoints.saved
    model = generator.build(layout, options=options.generator_options, rng=rng).to(options.device)
    simulated = _start(
        generator, model, layout, aids, options=options, rng=rng, fresh=saved is None
    )
    loss = objective(generator, rng=rng)
    if saved is None:
        norm = public_clip_norm(model, loss, simulated, quantile=options.clip_quantile)
    else:
        norm = saved.max_grad_norm
    aids.checkpoints.fix(max_grad_norm=norm)
    # A loss that draws does so for private rows now: never from the stream of public things, whose
    # later numbers would tell how many rows there were.
    if hasattr(generator, "draws"):
        loss = objective(generator, rng=curator.loss_stream())
    channel = curator.gradients(
        model,
        clipper_for(model, loss, max_grad_norm=norm),
        codec,
        label=label,
        taken=0 if saved is None else saved.taken,
    )
    descent = Descent(generator, model, rows=layout.rows, channel=channel, options=options, rng=rng)
    watcher = _watcher(generator, model, aids, channel, options=options, rng=rng)
    descend(descent, channel, watcher=watcher, checkpoints=aids.checkpoints, progress=aids.progress)
    model.to("cpu")
    if aids.measured is not None and hasattr(generator, "refine"):
        cast(Measuring, generator).refine(model, aids.measured, rng=rng)
    return model


def public_clip_norm(
    model: nn.Module, loss: PerExampleLoss, simulated: IntArray, *, quantile: float
) -> float:
    """A clip norm from public facts: a quantile of the gradient norms of simulated rows.

    The rows are drawn from noisy answers, so the norm costs nothing. A fixed share of the a-priori
    bound would suit one table and clip nearly every row of another.

    Args:
        model: at its starting weights.
        loss: the loss of each row.
        simulated: codes, shape (rows, columns). Public.
        quantile: in (0, 1].
    """
    clipper = clipper_for(model, loss, max_grad_norm=1e6)
    norms = clipper.norms(torch.from_numpy(simulated))
    return max(float(torch.quantile(norms, quantile)), 1e-2)


def descend(
    descent: Descent,
    channel: Channel,
    *,
    watcher: Watcher | None = None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
    progress: Progress = _silent,
) -> None:
    """Ask for sums and take steps until the charge is spent or the watcher calls a halt.

    Leaves the averaged iterate, or the one that the watcher kept, in the model.

    Raises:
        NonFiniteTraining: names the step and the parameter or layer.
    """
    saved = checkpoints.saved
    if saved is not None:
        descent.restore(saved.descent)
        if watcher is not None:
            watcher.restore(saved.kept)
    while channel.taken < channel.steps:
        descent.skip_to(channel.taken)
        checkpoints.begin(channel.taken)
        descent.step(_asked(channel))
        stop = watcher is not None and watcher.look(descent)
        checkpoints.save(descent, watcher)
        progress(_words(watcher), descent.step_number, channel.steps)
        if stop:
            break
    descent.finish()
    if watcher is not None:
        watcher.settle()


def _start(
    generator: Generator,
    model: nn.Module,
    layout: Layout,
    aids: Aids,
    *,
    options: TrainingOptions,
    rng: np.random.Generator,
    fresh: bool,
) -> IntArray:
    """Bring the model to where the private steps begin; the public rows that set the clip norm."""
    rows = _independent_rows(layout, rng=rng)
    if aids.measured is not None and hasattr(generator, "adopt"):
        cast(Measuring, generator).adopt(model, aids.measured, rng=rng)
    if not fresh:
        return rows
    rehearsed = _public_rows(generator, aids, rng=rng)
    if rehearsed is not None and options.rehearsals:
        rehearse(
            generator,
            model,
            rehearsed,
            options=options,
            rng=rng,
            progress=lambda done, total: aids.progress("rehearsing on public rows", done, total),
        )
        return rehearsed[rng.integers(0, len(rehearsed), _SIMULATED_ROWS)]
    return rows if aids.measured is None else generator.sample(model, _SIMULATED_ROWS, rng=rng)


def _public_rows(generator: Generator, aids: Aids, *, rng: np.random.Generator) -> IntArray | None:
    """Rows to train on before the first private step: a warm start's, simulated ones, or both."""
    warm = aids.warm_start
    if aids.measured is None or hasattr(generator, "refine"):
        return warm
    simulated = rows_from(aids.measured, _REHEARSED_ROWS, rng=rng)
    if warm is None:
        return simulated
    # As many of either: the simulated ones know this table's pairs, the warm ones more than pairs.
    return np.concatenate([simulated, warm[rng.integers(0, len(warm), len(simulated))]])


def _watcher(
    generator: Generator,
    model: nn.Module,
    aids: Aids,
    channel: Channel,
    *,
    options: TrainingOptions,
    rng: np.random.Generator,
) -> Watcher | None:
    if aids.monitor is None:
        return None
    looks, steps = options.looks, channel.steps
    return Watcher(generator, model, aids.monitor, looks=looks, steps=steps, rng=rng)


def _words(watcher: Watcher | None) -> str:
    live = "" if watcher is None else watcher.live
    return f"training: {live}" if live else "training"


def _asked(channel: Channel) -> "list[torch.Tensor]":
    try:
        return channel.ask()
    except NonFiniteTraining as error:
        raise NonFiniteTraining(f"training stopped at step {channel.taken}: {error}") from error


def _independent_rows(layout: Layout, *, rng: np.random.Generator) -> IntArray:
    """Rows drawn from the noisy one-way marginals, shape (rows, columns)."""
    columns = [rng.choice(len(p), size=_SIMULATED_ROWS, p=p) for p in layout.one_way]
    return np.stack(columns, axis=1).astype(np.int64)
