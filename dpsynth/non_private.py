"""Fits without privacy, to compare with: what the noise costs, and how models of models decay.

The result has a type of its own. It cannot be saved as a model, carries no privacy statement, marks
every table it draws, and no gate or bundle takes it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from torch import nn

from dpsynth.encoding.codec import TableCodec
from dpsynth.fitting import Fit
from dpsynth.generators import registry
from dpsynth.generators.base import Layout
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.known_rows import Comparison
from dpsynth.privacy.ledger import Reservation
from dpsynth.privacy.noise import seeded_noise
from dpsynth.privacy.non_private import NonPrivateCurator
from dpsynth.privacy.rows import PrivateRows
from dpsynth.refinement.measured import Measured
from dpsynth.sampling.repaired import repair_for
from dpsynth.sampling.sampler import TableSampler
from dpsynth.schema import Schema
from dpsynth.synthesizer import Synthesizer
from dpsynth.table import Table
from dpsynth.training.objective import objective
from dpsynth.training.options import TrainingOptions
from dpsynth.training.public import BATCH

Progress = Callable[[str, int, int], None]

MARK = "NOT PRIVATE: drawn from a model that was trained without protection; do not release"
"""What `attrs["non_private"]` of every table drawn here says."""

_NOMINAL_EPSILON = 10.0
"""Fixes which questions are asked and how fine codes are; no noise is drawn by it."""
_STEPS, _STEPS_AFTER_PAIRS = 2_000, 400
"""Gradient steps of a network, and of one whose tables are fitted to exact pairs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NonPrivateModel:
    """A model that knows its training rows too well; for comparison only.

    Attributes:
        generator: its name.
        layout: sizes and marginals, from exact answers.
        codec: codes to values, from exact answers.
        measured: exact tables of pairs, or None.
        model: the trained weights.
        names: the table's columns in order.
    """

    generator: str
    layout: Layout
    codec: TableCodec
    measured: Measured | None
    model: nn.Module
    names: tuple[str, ...]

    def sample(self, rows: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Rows, marked in `attrs["non_private"]`; shape (rows, columns)."""
        generator = registry.load(self.generator)
        repair = repair_for(generator, self.layout, self.measured, one_way_std=0.0)
        sampler = TableSampler(generator, self.model, self.codec, self.names, repair)
        parts = [part.frame for part in sampler.parts(rows, where=None, rng=rng)]
        frame = pd.concat(parts, ignore_index=True)
        frame.attrs["non_private"] = MARK
        return frame


@dataclass(frozen=True, kw_only=True)
class _NonPrivateFit(Fit):
    """A fit whose questions are answered exactly."""

    steps: int

    def _curator(self, rows: PrivateRows, reservation: Reservation) -> Curator:
        return NonPrivateCurator(
            rows,
            reservation=reservation,
            per_example_loss=objective(registry.load(self.generator), rng=self.rng),
            steps=self.steps,
            batch=BATCH,
            rng=self.rng,
        )


def fit_non_private(
    data: object,
    *,
    schema: Schema | None = None,
    generator: str = "autoregressive",
    training: TrainingOptions | None = None,
    steps: int | None = None,
    rng: np.random.Generator | None = None,
    progress: Progress = lambda label, done, total: None,
) -> NonPrivateModel:
    """The same fit as `Synthesizer.fit`, every answer exact and every gradient plain.

    Nothing is charged, and nothing is protected: for tables that are not private, or to see what
    privacy costs.

    Args:
        data: as for `Synthesizer.fit`.
        schema: as there.
        generator: name of an installed generator.
        training: settings of the network; clipping and batches are not used.
        steps: gradient steps, each on 1,024 rows; None takes 2,000, or 400 where the generator is
            fitted to exact pairs besides.
        rng: starts the model, deals batches, draws.
        progress: told what is being done.

    Raises:
        InputError: as for `Synthesizer.fit`.
    """
    stream = rng or np.random.default_rng()
    chosen = training or TrainingOptions.recommended(epsilon=_NOMINAL_EPSILON, generator=generator)
    settings = Synthesizer(
        epsilon=_NOMINAL_EPSILON,
        schema=schema,
        generator=generator,
        training=replace(chosen, sample_rate=1.0),
    )
    table = Table.read(data)
    if schema is not None:
        schema.check(table.names, table.source)
    fitted = _NonPrivateFit(
        schema=schema,
        generator=generator,
        warm_start=None,
        plan=settings.plan(table.names),
        ledger=settings.own_ledger(),  # labels the questions; it is thrown away
        noise=seeded_noise(0),
        rng=stream,
        policy_hash=None,
        origin=(),
        known=Comparison(),
        identity=None,
        kept=None,
        steps=_default_steps(generator) if steps is None else steps,
    ).model(table, progress=progress)
    return NonPrivateModel(
        generator=generator,
        layout=fitted.layout,
        codec=fitted.codec,
        measured=fitted.measured,
        model=fitted.model,
        names=fitted.names,
    )


def _default_steps(generator: str) -> int:
    refined = hasattr(registry.load(generator), "refine")
    return _STEPS_AFTER_PAIRS if refined else _STEPS
