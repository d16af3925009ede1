"""The default fit from end to end: better than independence, never far below it, on any shape."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dpsynth.fitted import FittedModel
from dpsynth.plan import DISTANCES, MARGINALS, PAIRS, TRAINING
from dpsynth.privacy import accounting
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.noise import seeded_noise
from dpsynth.refinement.selection import SelectionRules
from dpsynth.schema import Column, Schema
from dpsynth.synthesizer import Synthesizer

CODES = 4
NAMES = ("a", "b", "c", "d", "e")
LETTERS = tuple("wxyz")
SCHEMA = Schema(
    columns=tuple(
        Column(name=n, kind="categorical", categories=LETTERS, nullable=False) for n in NAMES
    )
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small fits on one thread: fast, and the same wherever they run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def chain(rows: int, seed: int = 0, *, again: float = 0.7) -> pd.DataFrame:
    """Five columns, each of which repeats the one before it in a share `again` of the rows."""
    rng = np.random.default_rng(seed)
    columns = [rng.choice(CODES, rows, p=[0.4, 0.3, 0.2, 0.1])]
    for _ in NAMES[1:]:
        fresh = rng.integers(0, CODES, rows)
        columns.append(np.where(rng.random(rows) < again, columns[-1], fresh))
    return pd.DataFrame({n: np.array(LETTERS)[c] for n, c in zip(NAMES, columns, strict=True)})


def pairs_apart(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """Mean total variation over all tables of two columns."""
    found = []
    for k, first in enumerate(NAMES):
        for second in NAMES[k + 1 :]:
            tables = [frame.groupby([first, second]).size() / len(frame) for frame in (one, other)]
            found.append(0.5 * tables[0].sub(tables[1], fill_value=0.0).abs().sum())
    return float(np.mean(found))


def fit(frame: pd.DataFrame, *, epsilon: float, seed: int = 1, **settings: object) -> FittedModel:
    made = Synthesizer(epsilon=epsilon, **settings)  # type: ignore[arg-type]
    return made.fit(frame, noise=seeded_noise(seed), rng=np.random.default_rng(seed))


def test_at_a_large_budget_it_is_far_better_than_independence() -> None:
    frame = chain(5_000)
    apart = {
        name: pairs_apart(
            frame, fit(frame, epsilon=10.0, schema=SCHEMA, generator=name).sample(5_000, seed=2)
        )
        for name in ("autoregressive", "independent")
    }
    assert apart["autoregressive"] < 0.25 * apart["independent"]
    assert apart["independent"] > 0.1  # control: there is dependence to be found


@pytest.mark.parametrize("again", [0.0, 0.1])
def test_at_a_tiny_budget_it_is_hardly_worse_than_independence(again: float) -> None:
    """Near the smallest budget that 1,000 rows allow, where there is little or nothing to find.

    The mean over three fits is within 0.04 in total variation of the baseline's.
    """
    frame = chain(1_000, again=again)
    found: dict[str, list[float]] = {"autoregressive": [], "independent": []}
    for name, apart in found.items():
        for seed in range(3):
            model = fit(frame, epsilon=0.3, seed=seed, schema=SCHEMA, generator=name)
            apart.append(pairs_apart(frame, model.sample(5_000, seed=seed)))
    assert np.mean(found["autoregressive"]) < np.mean(found["independent"]) + 0.04


@pytest.mark.slow
def test_more_budget_is_better() -> None:
    frame = chain(1_500)
    found = [
        np.mean(
            [
                pairs_apart(
                    frame, fit(frame, epsilon=e, seed=s, schema=SCHEMA).sample(5_000, seed=s)
                )
                for s in range(2)
            ]
        )
        for e in (0.3, 1.5, 10.0)
    ]
    assert found[0] > found[1] > found[2]


def shaped(rows: int = 1_200) -> dict[str, tuple[pd.DataFrame, Schema]]:
    """Tables of awkward shapes, with the schema that their owner would write."""
    rng = np.random.default_rng(3)
    number = pd.Series(rng.integers(0, 50, rows))
    truth = pd.Series(rng.random(rows) < 0.3)
    parts: dict[str, tuple[pd.Series, Column]] = {
        "n": (number, Column(name="n", kind="integer", lower=0, upper=50)),
        "t": (truth, Column(name="t", kind="boolean")),
        "same": (
            pd.Series(["one"] * rows),
            Column(name="same", kind="categorical", categories=("one",)),
        ),
        "none": (
            pd.Series([None] * rows, dtype=object),
            Column(name="none", kind="numeric", lower=0, upper=1, decimals=1),
        ),
    }
    shapes = {
        "one": ("n",),
        "one constant": ("same",),
        "two": ("n", "t"),
        "boolean and constant": ("t", "same"),
        "all missing": ("n", "t", "none"),
        "all of them": ("same", "none", "t", "n"),
    }
    return {
        title: (
            pd.DataFrame({n: parts[n][0] for n in names}),
            Schema(columns=tuple(parts[n][1] for n in names)),
        )
        for title, names in shapes.items()
    }


@pytest.mark.parametrize("declared", [True, False], ids=["schema", "no schema"])
@pytest.mark.parametrize("title", list(shaped(2)))
def test_tables_of_any_shape_are_fitted_and_sampled(title: str, *, declared: bool) -> None:
    frame, schema = shaped()[title]
    model = fit(frame, epsilon=5.0, schema=schema if declared else None)
    made = model.sample(300, seed=1)
    assert list(made.columns) == list(frame.columns)
    assert len(made) == 300
    if "same" in made:
        assert set(made["same"].dropna()) == {"one"}
    if "none" in made:
        assert made["none"].isna().mean() > 0.9
    if "t" in made:
        assert made["t"].astype("boolean").mean() == pytest.approx(0.3, abs=0.1)
    if "n" in made:
        assert made["n"].dropna().between(0, 64).all()


def wide(columns: int, rows: int = 3_000) -> pd.DataFrame:
    """Booleans of which each odd one mostly repeats the even one before it."""
    rng = np.random.default_rng(4)
    found: dict[str, np.ndarray] = {}
    for k in range(columns):
        fresh = rng.random(rows) < 0.5
        again = found[f"b{k - 1}"] if k % 2 else fresh
        found[f"b{k}"] = np.where(rng.random(rows) < 0.9, again, fresh)
    return pd.DataFrame(found)


def test_a_wide_table_is_asked_which_pairs_depend_and_keeps_them() -> None:
    columns = SelectionRules().all_up_to + 2
    frame = wide(columns)
    model = fit(frame, epsilon=5.0)
    labels = [record.label for record in model.statement().events]
    assert labels[-4:] == [MARGINALS, DISTANCES, PAIRS, TRAINING]
    assert model.layout.pairs is not None
    assert {(k, k + 1) for k in range(0, columns - 1, 2)} <= set(model.layout.pairs)
    assert len(model.layout.pairs) < columns * (columns - 1) / 2
    made = model.sample(3_000, seed=1)
    for k in range(0, columns - 1, 2):
        real = (frame[f"b{k}"] == frame[f"b{k + 1}"]).mean()
        assert (made[f"b{k}"] == made[f"b{k + 1}"]).mean() == pytest.approx(real, abs=0.05)


def test_the_ledger_lists_the_new_questions_and_two_accountants_agree(tmp_path: Path) -> None:
    book = Ledger.open(tmp_path / "book.db", dataset="t", epsilon=3, delta=1e-5)
    columns = SelectionRules().all_up_to + 1
    model = Synthesizer(epsilon=3.0, ledger=book).fit(wide(columns, 1_500))
    statement = model.statement()
    booked = [entry for entry in book.entries() if entry.event is not None]
    labels = [record.label for record in model.statement().events]
    assert {MARGINALS, DISTANCES, PAIRS, TRAINING} <= set(labels)
    assert [entry.label for entry in booked] == labels
    events = [entry.event for entry in booked if entry.event is not None]
    exact = accounting.epsilon(events, delta=1e-5)
    assert exact == pytest.approx(statement.epsilon_spent, rel=1e-9)
    assert 2.97 < exact <= 3.0 * (1 + 1e-9)
    assert exact <= statement.witness_epsilon < 1.2 * exact
    pld = accounting.epsilon(events, delta=1e-5, accountant="pld")
    assert pld == pytest.approx(exact, rel=0.01)


def test_a_saved_model_samples_the_same_rows(tmp_path: Path) -> None:
    model = fit(chain(1_500), epsilon=3.0, schema=SCHEMA)
    model.save(tmp_path / "model")
    again = FittedModel.load(tmp_path / "model")
    assert again.layout.pairs == model.layout.pairs
    pd.testing.assert_frame_equal(again.sample(500, seed=1), model.sample(500, seed=1))


def test_units_of_several_rows_have_more_noise_and_no_more_rows() -> None:
    frame = chain(3_000).assign(who=np.arange(3_000) // 3)
    columns = (Column(name="who", kind="identifier"), *SCHEMA.columns)
    schema = Schema(columns=columns, unit="who", max_rows_per_unit=2)
    model = fit(frame, epsilon=5.0, schema=schema)
    assert abs(model.layout.rows - 2_000) < 60
    assert pairs_apart(frame, model.sample(3_000, seed=1)) < 0.1
