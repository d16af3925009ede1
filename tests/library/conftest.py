"""One small private table with every kind of column, and fits of it that take under a second."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dpsynth.fitted import FittedModel
from dpsynth.schema import Column, Schema
from dpsynth.synthesizer import Synthesizer
from dpsynth.training.options import TrainingOptions

FEW_STEPS = TrainingOptions(steps=5)


def make_table(rows: int = 1000, seed: int = 7) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 700, rows), unit="D")
    sex = rng.choice(["female", "male"], rows)
    return pd.DataFrame(
        {
            "person_id": np.arange(rows) // 2,
            "age": rng.integers(18, 80, rows),
            "sex": np.where(rng.random(rows) < 0.15, None, sex),
            "income": np.round(rng.gamma(2.0, 1000.0, rows), 2),
            "joined": days.strftime("%Y-%m-%d"),
            "active": rng.random(rows) < 0.7,
        }
    )


COLUMNS = (
    Column(name="person_id", kind="identifier"),
    Column(name="age", kind="integer", lower=18, upper=90, nullable=False),
    Column(name="sex", kind="categorical", categories=("female", "male")),
    Column(name="income", kind="numeric", lower=0, upper=20_000, decimals=2, nullable=False),
    Column(name="joined", kind="datetime", lower="2020-01-01", upper="2021-12-31", nullable=False),
    Column(name="active", kind="boolean", nullable=False),
)


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    return make_table()


@pytest.fixture(scope="session")
def fresh() -> pd.DataFrame:
    """Rows of the same source as `table`, none of them in it."""
    return make_table(seed=8)


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema(columns=COLUMNS)


@pytest.fixture(scope="session")
def synthesizer(schema: Schema) -> Callable[..., Synthesizer]:
    def build(**changes: Any) -> Synthesizer:
        settings: dict[str, Any] = {"epsilon": 10.0, "schema": schema, "training": FEW_STEPS}
        return Synthesizer(**(settings | changes))

    return build


@pytest.fixture(scope="session")
def model(synthesizer: Callable[..., Synthesizer], table: pd.DataFrame) -> FittedModel:
    return synthesizer().fit(table)
