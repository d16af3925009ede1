"""Small models whose whole law can be written down, and a fitted one with every kind of column."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from dpsynth.fitted import FittedModel
from dpsynth.generators import autoregressive
from dpsynth.generators.base import Layout
from dpsynth.schema import Column, Schema
from dpsynth.synthesizer import Synthesizer
from dpsynth.training.options import TrainingOptions

SIZES = (3, 4, 2, 3)
CELLS = int(np.prod(SIZES))


def small_model(hidden: int, *, strength: float = 1.0) -> autoregressive.Autoregressive:
    rng = np.random.default_rng(0)
    layout = Layout(SIZES, tuple(np.full(s, 1 / s) for s in SIZES), 100.0)
    model = autoregressive.build(layout, options={"hidden": hidden, "hidden_scale": 0.5}, rng=rng)
    layers = [model.tables, *([model.inner, model.outer] if hidden else [])]
    with torch.no_grad():
        for layer in layers:
            for parameter, mask in zip(layer.parameters(), layer.trainable_masks(), strict=True):
                drawn = rng.normal(0, strength, parameter.shape)
                parameter.copy_(torch.from_numpy(drawn) * mask)
    return model


def all_rows() -> NDArray[np.int64]:
    """Every row that there is, in the order of `cell_counts`."""
    grids = np.meshgrid(*[np.arange(s) for s in SIZES], indexing="ij")
    return np.stack([g.ravel() for g in grids], axis=1)


def law(model: autoregressive.Autoregressive) -> NDArray[np.float64]:
    """Chance of every row, shape (CELLS,)."""
    losses = autoregressive.per_example_loss(model, torch.from_numpy(all_rows()))
    chances = torch.exp(-losses.detach().double()).numpy()
    return np.asarray(chances / chances.sum())


def cell_counts(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(np.ravel_multi_index(tuple(codes.T), SIZES), minlength=CELLS)


def chi_square(found: NDArray[np.int64], chances: NDArray[np.float64]) -> float:
    expected = found.sum() * chances
    kept = expected > 0
    assert found[~kept].sum() == 0
    return float((np.square(found - expected)[kept] / expected[kept]).sum())


COLUMNS = (
    Column(name="person_id", kind="identifier"),
    Column(name="age", kind="integer", lower=18, upper=90),
    Column(name="sex", kind="categorical", categories=("female", "male", "a|b")),
    Column(name="income", kind="numeric", lower=0, upper=20_000, decimals=2, nullable=False),
    Column(name="joined", kind="datetime", lower="2020-01-01", upper="2021-12-31", nullable=False),
    Column(name="active", kind="boolean"),
)


def people(rows: int = 2000) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    age = rng.integers(18, 80, rows)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 700, rows), unit="D")
    sex = np.where(rng.random(rows) < age / 100, "female", "male").astype(object)
    sex[rng.random(rows) < 0.15] = None
    sex[rng.random(rows) < 0.1] = "a|b"
    active = pd.array(rng.random(rows) < age / 90, dtype="boolean")
    active[rng.random(rows) < 0.1] = pd.NA
    return pd.DataFrame(
        {
            "person_id": np.arange(rows),
            "age": pd.array(age, dtype="Int64"),
            "sex": sex,
            "income": np.round(rng.gamma(2.0, 20.0 * age), 2).clip(0, 20_000),
            "joined": days.strftime("%Y-%m-%d"),
            "active": active,
        }
    )


@pytest.fixture(scope="session")
def fitted() -> FittedModel:
    settings = Synthesizer(
        epsilon=50.0,
        schema=Schema(columns=COLUMNS),
        training=TrainingOptions(steps=30),
    )
    return settings.fit(people(), rng=np.random.default_rng(1))


@pytest.fixture(scope="session")
def model_folder(fitted: FittedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampling") / "model"
    fitted.save(folder)
    return folder
