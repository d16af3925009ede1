"""What a user can get wrong about sampling ends in one line, not in a traceback."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpsynth import cli
from dpsynth.errors import InputError
from dpsynth.fitted import FittedModel
from dpsynth.sampling.given import with_gaps_filled
from dpsynth.synthesizer import Synthesizer
from dpsynth.training.options import TrainingOptions


@pytest.fixture(scope="module")
def model() -> FittedModel:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"a": rng.integers(0, 5, 900), "b": rng.random(900) < 0.3})
    return Synthesizer(epsilon=10, training=TrainingOptions(steps=2)).fit(frame)


@pytest.mark.parametrize("seed", [-1, "a", 1.5, True])
def test_a_seed_that_is_none(model: FittedModel, seed: object) -> None:
    with pytest.raises(InputError, match="seed is"):
        model.sample(3, seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [5.0, "5", True, 0])
def test_rows_that_are_none(model: FittedModel, rows: object) -> None:
    with pytest.raises(InputError, match="rows is"):
        model.sample(rows)  # type: ignore[arg-type]


def test_a_condition_that_is_no_text(model: FittedModel) -> None:
    with pytest.raises(InputError, match="is no text"):
        model.sample_where({"a": 1}, 5)  # type: ignore[dict-item]


def test_a_cell_outside_a_learned_domain_names_what_is_allowed(model: FittedModel) -> None:
    with pytest.raises(InputError, match=r"allowed: -?\d+ to \d+ in steps of 1"):
        model.fill(pd.DataFrame({"a": [1e6, np.nan], "b": [True, False]}))


def test_plan_refuses_an_unknown_generator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = tmp_path / "s.toml"
    schema.write_text('[[columns]]\nname = "a"\nkind = "integer"\n', encoding="utf-8")
    arguments = ["plan", "--schema", str(schema), "--epsilon", "1", "--generator", "nope"]
    assert cli.invoke(arguments) == 2
    assert "unknown generator 'nope'" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--seed", "-5"], ["--replicates", "1"]])
def test_options_out_of_range(model: FittedModel, option: list[str], tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    out = tmp_path / "out.csv"
    assert cli.invoke(["sample", str(tmp_path / "model"), *option, "-o", str(out)]) == 2
    assert not out.exists()


GAPS = np.array([False, True])


def test_moments_with_a_zone() -> None:
    given = pd.Series(pd.to_datetime(["2024-01-02T03:00:00Z", None], utc=True))
    filled = with_gaps_filled(given, pd.Series(["2020-01-01", "2021-05-06"]), GAPS)
    assert filled.dtype == given.dtype
    assert filled.tolist() == [given[0], pd.Timestamp("2021-05-06", tz="UTC")]


def test_days_and_decimals_stay_what_they_are() -> None:
    days = pd.Series([date(2024, 1, 2), None], dtype=object)
    filled = with_gaps_filled(days, pd.Series(["2020-01-01", "2021-05-06"]), GAPS)
    assert filled.tolist() == [date(2024, 1, 2), date(2021, 5, 6)]
    amounts = pd.Series([Decimal("1.50"), None], dtype=object)
    filled = with_gaps_filled(amounts, pd.Series([9.0, 2.25]), GAPS)
    assert filled.tolist() == [Decimal("1.50"), Decimal("2.25")]
