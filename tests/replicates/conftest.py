"""A small population of four dependent columns, and private fits of it that take a second."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest

from dpsynth import replicates
from dpsynth.fitted import FittedModel
from dpsynth.generators import autoregressive
from dpsynth.schema import Column, Schema
from dpsynth.synthesizer import Synthesizer
from dpsynth.training.options import TrainingOptions

Made = Callable[..., pd.DataFrame]
Fitted = Callable[..., FittedModel]

#: As the recommended settings, with fewer steps and units.
SMALL = TrainingOptions(steps=3, hidden=6, gradient_share=0.1, noise_floor=1.0, hidden_scale=1.0)


def _category(name: str, count: int) -> Column:
    texts = tuple(map(str, range(count)))
    return Column(name=name, kind="categorical", categories=texts, nullable=False)


SCHEMA = Schema(
    columns=(
        _category("a", 3),
        _category("b", 4),
        Column(name="x", kind="integer", lower=0, upper=9, nullable=False),
        _category("d", 2),
    )
)


def make_population(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    a = rng.choice(3, rows, p=[0.5, 0.3, 0.2])
    free = rng.choice(4, rows, p=[0.4, 0.3, 0.2, 0.1])
    b = np.where(rng.random(rows) < 0.6, a, free)
    x = np.clip(np.rint(1.5 * a + rng.normal(3.0, 1.5, rows)), 0, 9).astype(np.int64)
    d = np.where(rng.random(rows) < 0.7, b % 2, rng.integers(0, 2, rows))
    return pd.DataFrame({"a": a.astype(str), "b": b.astype(str), "x": x, "d": d.astype(str)})


@pytest.fixture(scope="session")
def population() -> Made:
    return make_population


@pytest.fixture(scope="session")
def fit() -> Fitted:
    def made(
        table: pd.DataFrame,
        *,
        rng: np.random.Generator,
        epsilon: float = 1.0,
        training: TrainingOptions | None = SMALL,
        generator: str = "autoregressive",
    ) -> FittedModel:
        settings = Synthesizer(
            epsilon=epsilon, schema=SCHEMA, training=training, generator=generator
        )
        return settings.fit(table, rng=rng)

    return made


@pytest.fixture(scope="session")
def fitted(fit: Fitted) -> FittedModel:
    rng = np.random.default_rng(11)
    return fit(make_population(2000, rng), rng=rng)


@pytest.fixture
def fewer_drawn_rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Smaller samples stand for a model's distribution: enough for 2,000 rows, and faster."""
    monkeypatch.setattr(autoregressive, "_TARGET_ROWS", 50_000)
    monkeypatch.setattr(replicates, "_WORLD", 50_000)
    yield
