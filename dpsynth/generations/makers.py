"""Makers of a generation: the ideal refits that the theory is about, and dpsynth's own fits."""

import io

import numpy as np
import pandas as pd

from dpsynth.generations.chain import Make
from dpsynth.privacy.noise import NoiseSource
from dpsynth.schema import Schema
from dpsynth.table import Table


def gaussian_refit(frame: pd.DataFrame, rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Each column on its own, by its mean and variance (divisor n - 1); columns of numbers."""
    mean, spread = frame.mean(), frame.std(ddof=1)
    made = rng.normal(mean.to_numpy(), spread.to_numpy(), size=(rows, frame.shape[1]))
    return pd.DataFrame(made, columns=frame.columns)


def multinomial_refit(frame: pd.DataFrame, rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Each column on its own, by the shares of its values."""
    return pd.DataFrame(
        {name: frame[name].to_numpy()[rng.integers(0, len(frame), rows)] for name in frame}
    )


def private_maker(
    *,
    epsilon: float,
    delta: float,
    schema: Schema | None,
    generator: str,
    noise: NoiseSource | None = None,
) -> Make:
    """Private fits, each under a ledger of its own in memory: the experiment releases nothing.

    Args:
        epsilon, delta, schema, generator: as in `dpsynth.synthesizer.Synthesizer`.
        noise: a seeded source for tests; None takes the cryptographic one, so that a seed does
            not repeat the run.

    Raises:
        InputError: a budget out of range or an unknown generator.
    """
    from dpsynth.synthesizer import Synthesizer

    settings = Synthesizer(epsilon=epsilon, delta=delta, schema=schema, generator=generator)

    def make(frame: pd.DataFrame, rows: int, rng: np.random.Generator) -> pd.DataFrame:
        return as_text(settings.fit(frame, rng=rng, noise=noise).sample(rows, rng=rng))

    return make


def non_private_maker(*, schema: Schema | None, generator: str) -> Make:
    """Fits without any privacy, for comparison.

    Args:
        schema, generator: as in `dpsynth.non_private.fit_non_private`.
    """
    from dpsynth.non_private import fit_non_private

    def make(frame: pd.DataFrame, rows: int, rng: np.random.Generator) -> pd.DataFrame:
        model = fit_non_private(frame, schema=schema, generator=generator, rng=rng)
        return as_text(model.sample(rows, rng=rng))

    return make


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """The table as another person reads it from a CSV file: every cell its text, "" if missing.

    So real and synthetic rows can stand in one table, whatever types they came with.
    """
    text = io.StringIO(frame.to_csv(index=False))
    return pd.read_csv(
        text, dtype=str, keep_default_na=False, na_filter=False, skip_blank_lines=False
    )


def frame_of(table: Table) -> pd.DataFrame:
    """The cells of a table as text; PRIVATE as the table is."""
    parts = [batch.to_pandas(types_mapper=pd.ArrowDtype) for batch in table.batches()]
    return as_text(pd.concat(parts, ignore_index=True))
