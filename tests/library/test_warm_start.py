"""Public rows to start from: they help, cost nothing, are named, and are refused by name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpsynth.errors import InputError
from dpsynth.pipeline import run
from dpsynth.privacy.noise import seeded_noise
from dpsynth.schema import Column, Schema
from dpsynth.synthesizer import Synthesizer
from dpsynth.training.options import TrainingOptions
from dpsynth.warm_start import WarmStart

LETTERS = ("a", "b", "c")
SCHEMA = Schema(
    columns=tuple(
        Column(name=name, kind="categorical", categories=LETTERS, nullable=False) for name in "xyz"
    )
)
TRAINING = TrainingOptions(steps=2, learning_rate=0.01, rehearsals=150, units=16, looks=1)


def _frame(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, z = rng.integers(0, 3, rows), rng.integers(0, 3, rows)
    letters = np.array(LETTERS)
    return pd.DataFrame({"x": letters[x], "y": letters[x], "z": letters[z]})


def _settings(generator: str, warm: WarmStart | None) -> Synthesizer:
    return Synthesizer(
        epsilon=3.0, schema=SCHEMA, generator=generator, training=TRAINING, warm_start=warm
    )


@pytest.mark.parametrize("generator", ["vae", "diffusion"])
def test_a_relation_in_public_rows_is_there_before_the_private_steps(generator: str) -> None:
    """Two private steps alone teach nothing; with the public rows most rows agree."""
    agreeing = []
    for warm in (None, WarmStart.read(_frame(500, 1))):
        model = _settings(generator, warm).fit(
            _frame(600, 0), noise=seeded_noise(0), rng=np.random.default_rng(0)
        )
        drawn = model.sample(500, seed=1)
        agreeing.append(float((drawn["x"] == drawn["y"]).mean()))
    assert agreeing[0] < 0.6
    assert agreeing[1] > agreeing[0] + 0.15


def test_the_plan_is_the_same_and_the_statement_names_the_start() -> None:
    warm = WarmStart.read(_frame(40, 1))
    plain, started = _settings("vae", None), _settings("vae", warm)
    assert plain.plan(SCHEMA.names) == started.plan(SCHEMA.names)
    model = started.fit(_frame(600, 0), noise=seeded_noise(0), rng=np.random.default_rng(0))
    named = [text for text in model.statement().unprotected if "warm start" in text]
    assert named == [warm.sentence]
    assert "40 rows" in warm.sentence
    assert warm.digest in warm.sentence


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["x", "y"], r"lacks 'z'; give public rows of the same columns"),
        (["x", "y", "z", "w"], r"has 'w', which the table does not"),
        (["x", "y", "w"], r"lacks 'z' and has 'w'"),
    ],
)
def test_other_columns_are_refused_before_anything_is_charged(
    columns: list[str], message: str
) -> None:
    warm = WarmStart.read(_frame(30, 1).assign(w="a")[columns])
    settings = _settings("vae", warm)
    ledger = settings.own_ledger()
    with pytest.raises(InputError, match=message):
        replace(settings, ledger=ledger).fit(_frame(600, 0))
    assert ledger.spent() == 0.0


def test_the_private_table_itself_is_refused_in_any_order() -> None:
    frame = _frame(50, 0)
    warm = WarmStart.read(frame.sample(frac=1.0, random_state=1)[["z", "x", "y"]])
    with pytest.raises(InputError, match="exactly the private rows"):
        _settings("vae", warm).fit(frame)


def test_the_private_table_without_its_identifiers_is_refused() -> None:
    frame = _frame(50, 0)
    schema = Schema(columns=(*SCHEMA.columns, Column(name="id", kind="identifier")))
    for warm in (frame, frame.assign(id=np.arange(50) + 7_000)):
        settings = replace(_settings("vae", WarmStart.read(warm)), schema=schema)
        with pytest.raises(InputError, match="exactly the private rows"):
            settings.fit(frame.assign(id=np.arange(50)))


def test_a_run_refuses_the_whole_private_table_though_it_learns_from_a_part(
    tmp_path: Path,
) -> None:
    frame = _frame(600, 0)
    settings = _settings("vae", WarmStart.read(frame))
    settings = replace(settings, ledger=settings.own_ledger())
    with pytest.raises(InputError, match="exactly the private rows"):
        run(frame, tmp_path / "bundle", synthesizer=settings)
    assert settings.ledger is not None
    assert settings.ledger.spent() == 0.0


def test_an_empty_start_is_refused() -> None:
    with pytest.raises(InputError, match="no rows"):
        WarmStart.read(_frame(0, 0))


def test_odd_cells_of_public_rows_count_as_missing_or_other() -> None:
    warm = WarmStart.read(_frame(30, 1).assign(z="never heard of"))
    model = _settings("vae", warm).fit(
        _frame(600, 0), noise=seeded_noise(0), rng=np.random.default_rng(0)
    )
    assert set(model.sample(200, seed=0)["z"]) <= {*LETTERS, "other"}


def test_digests_tell_tables_apart() -> None:
    one, two = WarmStart.read(_frame(30, 1)), WarmStart.read(_frame(30, 2))
    again = WarmStart.read(_frame(30, 1).iloc[::-1])
    assert one.digest == again.digest != two.digest
