"""Fits without privacy: better than private ones, of a type of their own, and marked."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpsynth.fitted import FittedModel
from dpsynth.non_private import MARK, NonPrivateModel, fit_non_private
from dpsynth.schema import Column, Schema
from dpsynth.training.options import TrainingOptions

SCHEMA = Schema(
    columns=(
        Column(name="x", kind="categorical", categories=("a", "b", "c"), nullable=False),
        Column(name="y", kind="categorical", categories=("a", "b", "c"), nullable=False),
        Column(name="n", kind="integer", lower=0, upper=9, nullable=False),
    )
)


def _frame(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, rows)
    y = np.where(rng.random(rows) < 0.9, x, rng.integers(0, 3, rows))
    letters = np.array(["a", "b", "c"])
    return pd.DataFrame({"x": letters[x], "y": letters[y], "n": rng.integers(0, 10, rows)})


@pytest.mark.parametrize("name", ["autoregressive", "independent", "vae"])
def test_few_rows_are_enough_without_privacy(name: str) -> None:
    """400 rows of which 93 % agree; the counts of each column are exact."""
    frame = _frame()
    advised = TrainingOptions.recommended(epsilon=10.0, generator=name)
    training = replace(advised, units=32, rehearsals=100)
    model = fit_non_private(
        frame,
        schema=SCHEMA,
        generator=name,
        training=training,
        steps=150,
        rng=np.random.default_rng(1),
    )
    drawn = model.sample(2_000, rng=np.random.default_rng(2))
    agreeing = float((drawn["x"] == drawn["y"]).mean())
    real = float((frame["x"] == frame["y"]).mean())
    if name == "independent":
        assert agreeing < 0.5
    else:
        assert agreeing > 0.7
        assert real > 0.9
    shares = drawn["x"].value_counts(normalize=True)
    assert abs(shares - frame["x"].value_counts(normalize=True)).max() < 0.05


def test_the_result_is_marked_and_nothing_that_releases_takes_it(tmp_path: Path) -> None:
    model = fit_non_private(
        _frame(), schema=SCHEMA, generator="independent", steps=2, rng=np.random.default_rng(0)
    )
    assert isinstance(model, NonPrivateModel)
    assert not isinstance(model, FittedModel)
    assert model.sample(5, rng=np.random.default_rng(0)).attrs == {"non_private": MARK}
    for part in ("statement", "privacy", "save", "to_files", "replicates"):
        assert not hasattr(model, part)


def test_it_repeats_under_a_seed() -> None:
    drawn = [
        fit_non_private(
            _frame(), schema=SCHEMA, generator="independent", steps=3, rng=np.random.default_rng(4)
        ).sample(50, rng=np.random.default_rng(5))
        for _ in range(2)
    ]
    assert json.loads(drawn[0].to_json()) == json.loads(drawn[1].to_json())
