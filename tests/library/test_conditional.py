"""`sample(where=...)`: only rows that fit, from the model's own conditional distribution."""

import numpy as np
import pandas as pd
import pytest

from dpsynth.errors import InputError
from dpsynth.fitted import FittedModel
from dpsynth.synthesizer import Synthesizer
from dpsynth.training.options import TrainingOptions


def test_all_rows_fit_a_category_and_a_boolean(model: FittedModel) -> None:
    made = model.sample(120, seed=1, where={"sex": "female", "active": "False"})
    assert len(made) == 120
    assert set(made["sex"]) == {"female"}
    assert set(made["active"]) == {False}
    assert made["person_id"].tolist() == list(range(1, 121))
    assert made.index.tolist() == list(range(120))


@pytest.mark.parametrize("text", ["40", "40.0", "4e1"])
def test_numbers_are_compared_by_value(model: FittedModel, text: str) -> None:
    assert set(model.sample(3, seed=1, where={"age": text})["age"]) == {40}


def test_a_decimal_value() -> None:
    frame = pd.DataFrame({"x": np.tile([0.0, 0.1, 0.3], 400), "y": np.tile(["a", "b"], 600)})
    fitted = Synthesizer(epsilon=10, training=TrainingOptions(steps=3)).fit(frame)
    made = fitted.sample(20, seed=1, where={"x": "0.10"})
    assert np.allclose(made["x"], 0.1)


def test_a_date_with_or_without_time(model: FittedModel) -> None:
    day = model.sample(1, seed=3)["joined"].iloc[0]
    for text in (day, f"{day}T00:00:00"):
        assert set(model.sample(1, seed=3, where={"joined": text})["joined"]) == {day}


def test_an_empty_value_asks_for_missing_ones(model: FittedModel) -> None:
    assert model.sample(30, seed=1, where={"sex": ""})["sex"].isna().all()
    with pytest.raises(InputError, match="'age' has no missing values"):
        model.sample(1, where={"age": ""})


def test_it_is_repeatable_and_no_condition_changes_nothing(model: FittedModel) -> None:
    one, two = (model.sample(40, seed=8, where={"sex": "male"}) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    pd.testing.assert_frame_equal(model.sample(40, seed=8, where={}), model.sample(40, seed=8))


def test_a_condition_keeps_the_conditional_distribution(model: FittedModel) -> None:
    """Slow twin: filter a plain sample; the means differ by sampling error alone."""
    kept = model.sample(4000, seed=1)
    kept = kept[kept["sex"] == "male"]
    made = model.sample(1500, seed=2, where={"sex": "male"})
    error = np.hypot(kept["age"].std() / len(kept) ** 0.5, made["age"].std() / 1500**0.5)
    assert abs(kept["age"].mean() - made["age"].mean()) < 4 * error


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"agee": "40"}, r"'agee' is not in the model \(did you mean 'age'"),
        ({"person_id": "4"}, "'person_id' is an identifier"),
        ({"sex": "femal"}, r"no value 'femal' \(did you mean 'female'"),
        ({"active": "maybe"}, "allowed: true, false"),
        ({"age": "17"}, "no value '17'; nearest: 18, allowed: 18 to 90"),
        ({"age": "40.5"}, "no value '40.5'; nearest: 40"),
        ({"age": "old"}, "'old' is not a number"),
        ({"age": "nan"}, "'nan' is not a number"),
        ({"joined": "2031-01-01"}, "nearest: 2021-12-31"),
        ({"joined": "yesterday"}, "'yesterday' is not an ISO 8601 date"),
    ],
)
def test_conditions_outside_the_domain(
    model: FittedModel, where: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        model.sample(5, where=where)


def test_a_rare_condition_is_met_and_says_how_rare(model: FittedModel) -> None:
    """One row in millions: to draw rows until enough fit would take hours."""
    rare = {"age": "41", "joined": "2020-05-05", "income": "1234.56"}
    made = model.sample_where(rare, 50, seed=1)
    for name, value in (("age", 41), ("joined", "2020-05-05"), ("income", 1234.56)):
        assert set(made.frame[name]) == {value}
    assert 0 < made.probability < 1e-6
    assert 5 < made.effective_sample_size <= 50
