"""Nominal 95 % intervals for the population, from repeated private fits of new tables.

docs/errors.md holds the figures of a longer run of the same kind.
"""

import numpy as np
import pandas as pd
import pytest

from dpsynth import replicates
from dpsynth.generators import autoregressive
from dpsynth.inference import combine
from dpsynth.privacy.noise import seeded_noise
from dpsynth.schema import Column, Schema
from dpsynth.synthesizer import Synthesizer
from dpsynth.training.options import TrainingOptions

SCHEMA = Schema(
    columns=(
        Column(name="group", kind="categorical", categories=("a", "b", "c"), nullable=False),
        Column(name="score", kind="integer", lower=0, upper=9, nullable=False),
        Column(name="member", kind="boolean", nullable=False),
    )
)
SMALL = TrainingOptions(steps=3, hidden=4, gradient_share=0.1, noise_floor=1.0, hidden_scale=1.0)
CASES, REPLICATES, ROWS = 60, 5, 800


def population(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    group = rng.choice(3, rows, p=[0.5, 0.3, 0.2])
    score = np.clip(np.rint(1.5 * group + rng.normal(3.0, 1.5, rows)), 0, 9).astype(np.int64)
    member = rng.random(rows) < 0.2 + 0.2 * group
    return pd.DataFrame({"group": np.array(list("abc"))[group], "score": score, "member": member})


def estimates(frame: pd.DataFrame) -> np.ndarray:
    """A mean, a share, and two shares of two columns together."""
    group, member = frame["group"], frame["member"].astype(bool)
    both = [((group == name) & member).mean() for name in "ac"]
    return np.array([frame["score"].mean(), member.mean(), *both])


def variances(frame: pd.DataFrame) -> np.ndarray:
    """Of the estimates, as if the rows were real."""
    shares = estimates(frame)[1:]
    return np.array([frame["score"].var(), *(shares * (1 - shares))]) / len(frame)


@pytest.mark.slow
def test_intervals_hold_the_population_and_those_of_one_table_taken_for_real_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """60 fits of new tables, 4 estimates each, at epsilon 0.5, all randomness fixed.

    225 of 240 (94 %) were covered, 163 (68 %) with one table taken for real. The bar is 212: were
    coverage 95 %, fewer would be covered less than once in 1,000 choices of the seeds (the
    estimates of a fit go together in part, so 240 count for at least 120). Smaller tables fall
    short: docs/errors.md has 89 % at 600 rows.
    """
    monkeypatch.setattr(autoregressive, "_TARGET_ROWS", 20_000)
    monkeypatch.setattr(replicates, "_WORLD", 50_000)
    rng = np.random.default_rng(95)
    truth = estimates(population(2_000_000, rng))
    covered, taken_for_real = 0, 0
    for case in range(CASES):
        table = population(ROWS, rng)
        model = Synthesizer(epsilon=0.5, schema=SCHEMA, training=SMALL).fit(
            table, rng=rng, noise=seeded_noise(case)
        )
        own = model.sample(rng=rng)
        made = [estimates(one.sample(rng=rng)) for one in model.replicates(REPLICATES, rng=rng)]
        fitted = estimates(own)
        naive = np.abs(fitted - truth) <= 1.96 * np.sqrt(variances(own))
        taken_for_real += int(naive.sum())
        for place, value in enumerate(truth):
            found = combine([one[place] for one in made], fitted=fitted[place])
            low, high = found.interval()
            covered += low <= value <= high
    assert covered >= 212
    assert taken_for_real < 180, "taken for real, one table covers less than 75 %"
