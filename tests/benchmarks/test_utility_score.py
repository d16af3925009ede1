"""The project's own scorer: hand-computed distances, and the same figures as the outside one."""

import importlib
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

OUTSIDE = Path(__file__).parents[3] / "shared" / "bench" / "score.py"


@pytest.fixture
def scorer():
    return importlib.import_module("utility_score")


def test_distances_by_hand(scorer) -> None:
    train = pd.DataFrame({"x": ["a", "a", "b", "b"], "y": [0, 1, 0, 1], "z": [5, 5, 5, 5]})
    made = pd.DataFrame({"x": ["a", "a", "a", "c"], "y": [0, 0, 1, 1], "z": [5, 5, 5, 6]})
    figures = scorer.marginal_scores(train, train, made)
    # x: a 3/4 for 1/2, b 0 for 1/2, unknown 1/4 for 0; y: equal; z: unknown 1/4 for 0.
    assert figures["tvd1"] == pytest.approx((0.5 + 0 + 0.25) / 3)
    # xy: cells (a,0) 2/4 for 1/4, (a,1) 1/4 for 1/4, b none for 2/4, unknown 1/4: 1/2; xz: the
    # unknown x has the unknown z, so 1/2 too; yz: (1, 5) 1/4 for 2/4, (1, unknown) 1/4: 1/4.
    assert figures["tvd2"] == pytest.approx((0.5 + 0.5 + 0.25) / 3)
    assert figures["tvd3"] == pytest.approx(0.5)
    assert figures["tvd1_floor"] == figures["tvd3_floor"] == 0


def test_numbers_are_cut_at_the_quantiles_of_the_training_rows(scorer) -> None:
    column = pd.Series(np.arange(100.0))
    coder = scorer.Coder(column)
    assert coder.size == 21
    assert np.bincount(coder.codes(column)).tolist() == [5] * 20
    assert coder.codes(pd.Series([-7.0, 1e9, np.nan])).tolist() == [0, 19, 20]


def test_few_numbers_are_values_of_their_own(scorer) -> None:
    coder = scorer.Coder(pd.Series([3, 1, 3, 2]))
    assert coder.codes(pd.Series(["1", "2", "3", "4", None])).tolist() == [0, 1, 2, 3, 3]


def test_a_perfect_and_a_broken_table(scorer) -> None:
    rng = np.random.default_rng(0)
    train, test, made = (_frame(600, rng) for _ in range(3))
    good = scorer.score(train, test, made, "label")
    broken = made.assign(
        label=rng.permutation(made["label"]), number=rng.permutation(made["number"])
    )
    bad = scorer.score(train, test, broken, "label")
    assert good["tstr_auc"] > 0.95 > 0.65 > bad["tstr_auc"]
    assert good["c2st_auc"] < 0.6 < 0.7 < bad["c2st_auc"]
    assert good["tvd2"] == pytest.approx(good["tvd2_floor"], abs=0.02)
    assert bad["tvd2"] > good["tvd2"] + 0.05
    assert scorer.score(train, test, made.assign(label="yes"), "label")["tstr_auc"] == 0.5


@pytest.mark.skipif(not OUTSIDE.exists(), reason="the outside scorer is not beside this checkout")
@pytest.mark.parametrize("target", ["label", "few", "city"])
def test_same_figures_as_the_outside_scorer(scorer, target: str) -> None:
    spec = importlib.util.spec_from_file_location("outside_score", OUTSIDE)
    outside = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(outside)
    rng = np.random.default_rng(1)
    train, test, made = (_frame(400, rng) for _ in range(3))
    made.loc[::9, "city"] = "Elsewhere"
    assert scorer.score(train, test, made, target) == pytest.approx(
        outside.score(train, test, made, target), abs=1e-12
    )


def _frame(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    number = rng.normal(size=rows)
    label = np.where(number + rng.normal(scale=0.1, size=rows) > 0, "yes", "no")
    gaps = np.where(rng.random(rows) < 0.1, np.nan, number * 3 + rng.normal(size=rows))
    city = rng.choice(["Aachen", "Bonn", "Celle"], rows)
    few = rng.integers(0, 4, rows)
    return pd.DataFrame({"number": number, "gaps": gaps, "city": city, "few": few, "label": label})
