"""The library's door: what goes in comes out with the right names, kinds, steps and budget."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpsynth.errors import BudgetExceeded, InputError
from dpsynth.fitted import FittedModel
from dpsynth.privacy.accounting import epsilon as composed
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.noise import seeded_noise
from dpsynth.privacy.rows import PrivateRows
from dpsynth.schema import Column, Schema
from dpsynth.synthesizer import Synthesizer
from dpsynth.training.options import TrainingOptions

Make = Callable[..., Synthesizer]


def smallest(message: str) -> float:
    """The epsilon that a refusal for too few rows names."""
    return float(message.split("would do is about ")[1].split(",")[0])


def test_sample_has_the_columns_and_types_of_the_table(
    model: FittedModel, table: pd.DataFrame
) -> None:
    made = model.sample(400, seed=1)
    assert list(made.columns) == list(table.columns)
    assert len(made) == 400
    assert pd.api.types.is_integer_dtype(made["age"])
    assert made["age"].between(18, 90).all()
    assert made["active"].dtype == bool
    assert set(made["active"]) == {True, False}
    assert set(made["sex"].dropna()) <= {"female", "male"}
    assert made["joined"].str.fullmatch(r"202[01]-\d\d-\d\d").all()


def test_missing_values_come_back_at_their_rate_and_only_where_they_were(
    model: FittedModel,
) -> None:
    made = model.sample(2000, seed=2)
    assert 0.08 < made["sex"].isna().mean() < 0.25
    assert not made.drop(columns="sex").isna().any().any()


def test_decimals_keep_their_step(model: FittedModel) -> None:
    cents = model.sample(500, seed=3)["income"] * 100
    assert np.abs(cents - cents.round()).max() < 1e-6
    assert (cents.round() % 100 != 0).any()


def test_identifiers_are_fresh_and_unique(model: FittedModel) -> None:
    assert model.sample(50, seed=4)["person_id"].tolist() == list(range(1, 51))


def test_default_size_is_the_noisy_count(model: FittedModel, table: pd.DataFrame) -> None:
    assert len(model.sample(seed=1)) == model.rows
    assert abs(model.rows - len(table)) < 50


@pytest.mark.parametrize("rows", [0, -1, 10**9])
def test_sample_size_out_of_range(model: FittedModel, rows: int) -> None:
    with pytest.raises(InputError, match=f"rows is {rows}"):
        model.sample(rows)


def test_equal_seeds_give_equal_samples_and_others_do_not(model: FittedModel) -> None:
    pd.testing.assert_frame_equal(model.sample(100, seed=5), model.sample(100, seed=5))
    assert not model.sample(100, seed=5).equals(model.sample(100, seed=6))


def test_a_fit_spends_its_budget_and_never_more(model: FittedModel) -> None:
    statement = model.statement()
    assert statement.epsilon_spent <= statement.epsilon * (1 + 1e-9)
    assert statement.epsilon_spent > 0.99 * statement.epsilon
    assert statement.releasable


def test_the_ledger_of_a_fit_composes_to_its_epsilon(
    synthesizer: Make, table: pd.DataFrame, tmp_path: Path
) -> None:
    book = Ledger.open(tmp_path / "book.db", dataset="t", epsilon=10, delta=1e-5)
    synthesizer(ledger=book).fit(table)
    events = [entry.event for entry in book.entries() if entry.event is not None]
    assert 9.9 < composed(events, delta=1e-5) <= 10 * (1 + 1e-9)
    assert book.spent() == pytest.approx(composed(events, delta=1e-5))
    book.verify()


def test_without_a_schema_kinds_and_domain_are_learned(table: pd.DataFrame) -> None:
    made = Synthesizer(epsilon=10, training=TrainingOptions(steps=5)).fit(table).sample(300, seed=1)
    assert list(made.columns) == list(table.columns)
    assert pd.api.types.is_integer_dtype(made["age"])
    assert made["age"].between(0, 150).mean() > 0.9
    assert set(made["sex"].dropna()) >= {"female", "male"}
    assert pd.api.types.is_float_dtype(made["income"])
    assert made["joined"].str.fullmatch(r"\d{4}-\d\d-\d\d").all()
    assert made["person_id"].tolist() == list(range(1, 301))


def test_only_identifiers_by_name_leaves_nothing_to_model() -> None:
    frame = pd.DataFrame({"person_id": range(900), "email": [f"a{i}@b.c" for i in range(900)]})
    with pytest.raises(InputError, match="look like identifiers by name; give a schema"):
        Synthesizer(epsilon=10).fit(frame)


def test_a_unit_with_a_cap_is_in_the_statement_and_the_model(
    synthesizer: Make, schema: Schema, table: pd.DataFrame
) -> None:
    units = Schema(columns=schema.columns, unit="person_id", max_rows_per_unit=2)
    fitted = synthesizer(schema=units).fit(table)
    statement = fitted.statement()
    assert (statement.privacy_unit, statement.max_rows_per_unit) == ("person_id", 2)
    assert fitted.schema().unit == "person_id"
    assert abs(fitted.layout.rows - len(table)) < 100


def test_rows_of_a_unit_beyond_the_cap_are_dropped(
    synthesizer: Make, schema: Schema, table: pd.DataFrame
) -> None:
    units = Schema(columns=schema.columns, unit="person_id", max_rows_per_unit=1)
    crowded = table.assign(person_id=np.arange(len(table)) // 4)
    plain = synthesizer(epsilon=30.0).fit(crowded)
    capped = synthesizer(schema=units, epsilon=30.0).fit(crowded)
    assert abs(capped.layout.rows - len(table) / 4) < 30
    assert abs(plain.layout.rows - len(table)) < 30


def test_a_seeded_rng_does_not_say_which_rows_of_a_unit_were_kept(
    schema: Schema, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever knew which rows go would see all others change with one unit more."""
    held: list[PrivateRows] = []

    class Seen(PrivateRows):
        def check(self, columns: Sequence[Column]) -> None:
            held.append(self)
            raise InputError("seen")

    monkeypatch.setattr("dpsynth.fitting.PrivateRows", Seen)
    units = Schema(columns=schema.columns, unit="person_id", max_rows_per_unit=1)
    crowded = table.assign(person_id=np.arange(len(table)) // 4)
    for noise in (0, 0, 1):
        with pytest.raises(InputError, match="seen"):
            Synthesizer(epsilon=1.0, schema=units).fit(
                crowded, noise=seeded_noise(noise), rng=np.random.default_rng(3)
            )
    first, again, other = (rows.hashes(("age", "joined")).tolist() for rows in held)
    assert first == again != other


def test_too_few_rows_names_the_smallest_epsilon_and_that_one_works(
    synthesizer: Make, table: pd.DataFrame
) -> None:
    """With a count whose noise is small by choice of seed: the advice rests on that count."""
    noise = min(range(50), key=lambda seed: abs(seeded_noise(seed).generator.standard_normal()))
    few = table.head(300)
    with pytest.raises(InputError, match=r"too few for epsilon 0\.1 ") as refusal:
        synthesizer(epsilon=0.1).fit(few, noise=seeded_noise(noise))
    enough = smallest(str(refusal.value))
    again = synthesizer(epsilon=enough * 1.1).fit(few, noise=seeded_noise(noise))
    assert len(again.sample(10, seed=1)) == 10
    with pytest.raises(InputError, match="too few"):  # nor is the advice too large
        synthesizer(epsilon=enough * 0.8).fit(few, noise=seeded_noise(noise))


def test_too_few_rows_books_the_charge(
    synthesizer: Make, table: pd.DataFrame, tmp_path: Path
) -> None:
    book = Ledger.open(tmp_path / "book.db", dataset="t", epsilon=0.1, delta=1e-5)
    with pytest.raises(InputError, match="the charge stays booked"):
        synthesizer(epsilon=0.1, ledger=book).fit(table.head(50))
    assert book.spent() == pytest.approx(0.1, rel=0.02)


def test_an_exhausted_ledger_refuses_before_a_row_is_read(
    synthesizer: Make, table: pd.DataFrame, tmp_path: Path
) -> None:
    book = Ledger.open(tmp_path / "book.db", dataset="t", epsilon=10, delta=1e-5)
    synthesizer(ledger=book).fit(table)
    entries = book.entries()
    with pytest.raises(BudgetExceeded):
        synthesizer(ledger=book).fit(tmp_path / "no-such-file.csv")
    assert book.entries() == entries
    with pytest.raises(InputError, match="no such file"):  # the control: the path is what is wrong
        synthesizer().fit(tmp_path / "no-such-file.csv")


def test_seeded_noise_is_repeatable_and_never_releasable(
    synthesizer: Make, table: pd.DataFrame
) -> None:
    one, two = (
        synthesizer().fit(table, noise=seeded_noise(3), rng=np.random.default_rng(1))
        for _ in range(2)
    )
    assert not one.statement().releasable
    assert "SEEDED" in one.statement().noise_source
    pd.testing.assert_frame_equal(one.sample(50, seed=1), two.sample(50, seed=1))


def test_secure_noise_differs_from_fit_to_fit(
    model: FittedModel, synthesizer: Make, table: pd.DataFrame
) -> None:
    assert synthesizer().fit(table).layout.rows != model.layout.rows


@pytest.mark.parametrize("epsilon", [0, -1, float("nan"), float("inf")])
def test_a_budget_out_of_range(epsilon: float) -> None:
    with pytest.raises(InputError, match="epsilon"):
        Synthesizer(epsilon=epsilon)


@pytest.mark.parametrize("delta", [0, 1, float("nan")])
def test_a_delta_out_of_range(delta: float) -> None:
    with pytest.raises(InputError, match="delta"):
        Synthesizer(epsilon=1, delta=delta)


def test_an_unknown_generator_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="did you mean 'autoregressive'"):
        Synthesizer(epsilon=1, generator="autoregresive")
