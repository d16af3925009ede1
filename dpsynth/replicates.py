"""Replicates of a fitted model: what it might have become with other rows and other noise.

The parametric bootstrap (Efron and Tibshirani 1993, chapter 6): the fitted model stands for the
truth, a table is drawn from it, the questions are asked of that table with noise of the same size,
and a model is fitted to the answers as the real one was. All of it is made of public things, so it
costs no budget. docs/errors.md says what replicates cover and what they do not.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from dpsynth.errors import InputError
from dpsynth.generators import registry
from dpsynth.generators.base import IntArray, Measuring
from dpsynth.plan import COUNT, MARGINALS
from dpsynth.refinement.measured import Measured
from dpsynth.refinement.simulated import Simulated, simulated

if TYPE_CHECKING:
    from dpsynth.fitted import FittedModel

Progress = Callable[[int, int], None]
"""Called with (replicates made, replicates in all)."""

MOST = 1000
_WORLD = 200_000
"""Least rows that stand for the model's distribution."""


@dataclass(frozen=True, eq=False)
class Replicate:
    """A model fitted to a simulated table.

    Attributes:
        model: the replicate.
        simulated: the table that played the private one, and the answers about it.
    """

    model: "FittedModel"
    simulated: Simulated


def measured_of(model: "FittedModel") -> Measured:
    """What was measured for the model.

    Raises:
        InputError: nothing that replicates could be made from.
    """
    generator = registry.load(model.generator)
    if model.measured is None or not hasattr(generator, "refine"):
        raise InputError(
            f"this model ({model.generator}) was fitted without measured pairs of columns, which "
            "replicates are made from; fit it with the default generator and training, and at "
            "least two columns"
        )
    return model.measured


def make_replicates(
    model: "FittedModel",
    count: int,
    *,
    rng: np.random.Generator,
    progress: Progress = lambda done, total: None,
) -> Iterator[Replicate]:
    """Replicates one after another; the first ones do not depend on how many are asked for.

    Args:
        model: the fitted model; stays as it is.
        count: how many, 1 to 1,000.
        rng: the stream to draw from.
        progress: told of each replicate.

    Raises:
        InputError: count out of range, or the model was fitted without measured pairs.
    """
    measured = measured_of(model)
    if not 1 <= count <= MOST:
        raise InputError(f"{count} replicates; ask for 1 to {MOST}")
    return _made(model, measured, count, rng=rng, progress=progress)


def _made(
    model: "FittedModel",
    measured: Measured,
    count: int,
    *,
    rng: np.random.Generator,
    progress: Progress,
) -> Iterator[Replicate]:
    generator = registry.load(model.generator)
    noise = count_std(model)
    world = generator.sample(model.model, max(_WORLD, model.rows), rng=rng)
    progress(0, count)
    for made in range(count):
        (stream,) = rng.spawn(1)
        table = simulated(world, measured, count_std=noise, rng=stream)
        yield Replicate(_refitted(model, table.measured, rng=stream), table)
        progress(made + 1, count)


def draw_codes(
    model: "FittedModel", rows: int | None = None, *, rng: np.random.Generator
) -> IntArray:
    """Codes of a synthetic table, by default of as many rows as the model's, (rows, columns)."""
    count = model.rows if rows is None else rows
    return model.sampler.codes(count, rng=rng)


def count_std(model: "FittedModel") -> float:
    """Noise in the model's row count, in rows, from its statement; 0 where it is not stated."""
    return _multiplier(model, COUNT) * model.max_rows_per_unit


def marginal_std(model: "FittedModel") -> float:
    """Noise in one cell of a one-way marginal, in rows, as `count_std`; pairs not averaged in."""
    columns = len(model.layout.sizes)
    return _multiplier(model, MARGINALS) * float(np.sqrt(columns)) * model.max_rows_per_unit


def _multiplier(model: "FittedModel", label: str) -> float:
    events = [r.event for r in model.privacy.events if r.label == label]
    return sum(float(event.get("noise_multiplier", 0.0)) for event in events)


def _refitted(
    model: "FittedModel", measured: Measured, *, rng: np.random.Generator
) -> "FittedModel":
    """The model fitted anew to other answers; its hidden branch stays as training left it.

    Both steps of a fit are taken, since the second starts from what the first found: refining alone
    would start from the real answers and come out too near to them.
    """
    network = copy.deepcopy(model.model)
    measuring = cast(Measuring, registry.load(model.generator))
    measuring.adopt(network, measured, rng=rng)
    measuring.refine(network, measured, rng=rng)
    layout = replace(model.layout, one_way=measured.one_way, rows=measured.rows)
    return replace(model, layout=layout, model=network, measured=measured)
