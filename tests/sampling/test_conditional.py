"""Rows under a condition follow the model's conditional law; rejection is the slow twin."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from dpsynth.errors import InputError
from dpsynth.generators import autoregressive
from dpsynth.sampling import conditional
from dpsynth.sampling.conditional import (
    ConditionalCodes,
    conditional_codes,
    effective_sample_size,
    systematic,
)
from dpsynth.sampling.rejection import rejected_codes

from .conftest import CELLS, SIZES, all_rows, cell_counts, chi_square, law, small_model

ROWS = 20_000
# Of a chi-square with 71 degrees of freedom, passed by chance once in a million.
LIMIT = 139.0
EVIDENCE = {
    "first column": {0: np.array([0.0, 1.0, 0.0])},
    "last column": {3: np.array([0.0, 0.0, 1.0])},
    "shares of codes": {1: np.array([0.2, 0.0, 1.0, 0.5])},
    "two columns": {1: np.array([0.0, 1.0, 0.3, 0.0]), 3: np.array([1.0, 0.5, 0.0])},
}


def _given(model: autoregressive.Autoregressive, evidence: Mapping[int, np.ndarray]) -> np.ndarray:
    """Chance of every row given the evidence; not yet divided by the chance of the evidence."""
    rows, chances = all_rows(), law(model)
    return chances * np.prod([share[rows[:, c]] for c, share in evidence.items()], axis=0)


def _conditional(hidden: int, evidence: Mapping[int, np.ndarray]) -> ConditionalCodes:
    columns = autoregressive.columns(small_model(hidden))
    rng = np.random.default_rng(2)
    return conditional_codes(columns, ROWS, evidence=evidence, asked="it", rng=rng)


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("name", EVIDENCE)
def test_rows_follow_the_conditional_law(name: str, hidden: int) -> None:
    """Chi-square against the law written out; alarm rate below 1e-6.

    Picks from a surplus worth `effective` rows have a chi-square of at most 1 + rows / effective
    times that of independent rows.
    """
    made = _conditional(hidden, EVIDENCE[name])
    joint = _given(small_model(hidden), EVIDENCE[name])
    assert len(made.codes) == ROWS
    assert chi_square(cell_counts(made.codes), joint / joint.sum()) < 2 * LIMIT
    assert made.probability == pytest.approx(joint.sum(), rel=0.03)


@pytest.mark.parametrize("name", EVIDENCE)
def test_rejection_follows_the_same_law(name: str) -> None:
    model, rng = small_model(5), np.random.default_rng(2)
    made = rejected_codes(
        lambda n: autoregressive.sample(model, n, rng=rng),
        ROWS, evidence=EVIDENCE[name], asked="it", rng=rng,
    )  # fmt: skip
    joint = _given(model, EVIDENCE[name])
    assert chi_square(cell_counts(made.codes), joint / joint.sum()) < LIMIT
    assert made.probability == pytest.approx(joint.sum(), rel=0.05)


def test_without_weights_the_law_is_another() -> None:
    """Control: rows drawn under evidence on the last column are wrong until they are weighted."""
    model, evidence = small_model(0), EVIDENCE["last column"]
    drawn = conditional.draw_weighted(
        autoregressive.columns(model), ROWS, evidence=evidence, rng=np.random.default_rng(2)
    )
    joint = _given(model, evidence)
    assert chi_square(cell_counts(drawn.codes), joint / joint.sum()) > 4 * LIMIT


def test_evidence_that_comes_first_is_exact() -> None:
    made = _conditional(5, EVIDENCE["first column"])
    assert (made.effective, made.distinct, made.drawn) == (ROWS, ROWS, ROWS)


def test_one_row_is_weighted_too() -> None:
    """A single row a call, 400 calls: it is picked from a surplus, not taken as it comes."""
    model, evidence = small_model(0, strength=2.0), EVIDENCE["last column"]
    columns, rng = autoregressive.columns(model), np.random.default_rng(6)
    first = [
        conditional_codes(columns, 1, evidence=evidence, asked="it", rng=rng).codes[0]
        for _ in range(400)
    ]
    joint = _given(model, evidence)
    assert chi_square(cell_counts(np.array(first)), joint / joint.sum()) < LIMIT


def test_evidence_on_settled_evidence_is_exact() -> None:
    """The second column leans on the first alone, which has a single code."""
    made = _conditional(5, {0: np.array([0.0, 1.0, 0.0]), 1: np.array([0.0, 1.0, 0.3, 0.0])})
    assert made.drawn == ROWS
    open_first = {0: np.array([0.0, 1.0, 1.0]), 1: np.array([0.0, 1.0, 0.3, 0.0])}
    assert _conditional(5, open_first).drawn > ROWS


def test_evidence_that_comes_last_costs_a_surplus() -> None:
    made = _conditional(5, EVIDENCE["last column"])
    assert made.drawn > ROWS
    assert 0.3 * ROWS < made.effective <= ROWS
    assert made.distinct <= ROWS


def test_a_few_rows_come_from_a_surplus_of_thousands() -> None:
    """The law of three rows a call over 400 calls; alarm rate below 1e-6."""
    model, evidence = small_model(0), EVIDENCE["last column"]
    columns, rng = autoregressive.columns(model), np.random.default_rng(5)
    calls = [
        conditional_codes(columns, 3, evidence=evidence, asked="it", rng=rng).codes
        for _ in range(400)
    ]
    joint = _given(model, evidence)
    assert chi_square(cell_counts(np.concatenate(calls)), joint / joint.sum()) < LIMIT


def _needle() -> autoregressive.Autoregressive:
    """Column 3 takes code 2 almost only where columns 0 and 1 are both 0, which is rare."""
    model = small_model(0)
    with torch.no_grad():
        model.tables.weight.zero_()
        model.tables.bias.zero_()
        model.tables.bias[0] = model.tables.bias[3] = -3.0
        model.tables.bias[11] = -45.0
        model.tables.weight[11, 0] = model.tables.weight[11, 3] = 25.0
    return model


def test_rows_that_hardly_count_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditional, "MOST_DRAWS", 20)
    columns = autoregressive.columns(_needle())
    with pytest.raises(InputError, match=r"\d+ rows drawn for c=2 are worth \d+, and 500 are want"):
        conditional_codes(
            columns, 500, evidence=EVIDENCE["last column"], asked="c=2",
            rng=np.random.default_rng(1),
        )  # fmt: skip


def test_more_draws_find_the_needle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditional, "MOST_DRAWS", 20_000)
    made = conditional_codes(
        autoregressive.columns(_needle()), 100, evidence=EVIDENCE["last column"], asked="c=2",
        rng=np.random.default_rng(1),
    )  # fmt: skip
    assert np.mean((made.codes[:, 0] == 0) & (made.codes[:, 1] == 0)) > 0.9


def test_rejection_says_how_rare_a_condition_is() -> None:
    model, rng = _needle(), np.random.default_rng(1)
    with pytest.raises(InputError, match=r"only \d+ of 20000 synthetic rows fit c=2 \(0\.\d+%\)"):
        rejected_codes(
            lambda n: autoregressive.sample(model, n, rng=rng),
            50, evidence=EVIDENCE["last column"], asked="c=2", rng=rng,
        )  # fmt: skip


def test_chances_too_small_for_a_float_are_compared_as_logs() -> None:
    model = small_model(0)
    with torch.no_grad():
        model.tables.bias[9:] = torch.tensor([0.0, 0.0, -500.0])
    made = conditional_codes(
        autoregressive.columns(model), 200, evidence=EVIDENCE["last column"], asked="it",
        rng=np.random.default_rng(1),
    )  # fmt: skip
    assert set(made.codes[:, 3]) == {2}


def test_effective_sample_size() -> None:
    assert effective_sample_size(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_sample_size(np.array([1.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_sample_size(np.array([1.0, 0.5])) == pytest.approx(1.8)


def test_systematic_picks_differ_from_their_share_by_less_than_one() -> None:
    rng = np.random.default_rng(0)
    weights = rng.gamma(0.5, size=50)
    weights[:3] = weights[-3:] = 0.0
    for _ in range(20):
        picks = np.bincount(systematic(weights, 300, rng=rng), minlength=50)
        assert abs(picks - 300 * weights / weights.sum()).max() < 1
        assert picks[:3].sum() + picks[-3:].sum() == 0


def test_cells_are_all_there() -> None:
    assert len(all_rows()) == CELLS == int(np.prod(SIZES))
