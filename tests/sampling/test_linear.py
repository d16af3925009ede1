"""A model ready to draw gives the same logits as its forward pass, column by column."""

import numpy as np
import pytest
import torch

from dpsynth.generators import autoregressive, independent
from dpsynth.generators.base import Layout
from dpsynth.sampling.linear import HiddenBranch, LinearColumns

from .conftest import SIZES, all_rows, law, small_model

# The layer that is trained rounds hidden activities to 12 bits; drawing does without.
CLOSE = {"rtol": 1e-5, "atol": 1e-3}


def _drafted(columns: LinearColumns, codes: torch.Tensor) -> list[torch.Tensor]:
    draft = columns.start(len(codes))
    found = {}
    for column in columns.order:
        found[column] = draft.logits(column).clone()
        draft.fix(column, codes[:, column])
    return [found[c] for c in range(len(columns.sizes))]


@pytest.mark.parametrize("hidden", [0, 2, 7])
def test_logits_are_those_of_the_forward_pass(hidden: int) -> None:
    model, codes = small_model(hidden), torch.from_numpy(all_rows())
    drafted = _drafted(autoregressive.columns(model), codes)
    torch.testing.assert_close(torch.cat(drafted, 1), model(codes).detach(), **CLOSE)


def test_columns_in_another_order() -> None:
    """The same model with its columns renumbered has the same logits."""
    model, codes = small_model(7), torch.from_numpy(all_rows())
    places = (2, 0, 3, 1)  # new column k is old column places[k]
    starts = torch.tensor([0, *SIZES[:-1]]).cumsum(0)
    old = torch.cat([torch.arange(SIZES[p]) + starts[p] for p in places])
    state = {k: v.detach() for k, v in model.named_parameters()}
    columns = LinearColumns(
        tuple(SIZES[p] for p in places),
        state["tables.weight"][old][:, old],
        state["tables.bias"][old],
        tuple(places.index(c) for c in range(len(SIZES))),
        HiddenBranch(
            state["inner.weight"][:, old],
            state["inner.bias"],
            state["outer.weight"][old],
            state["outer.bias"][old],
            0.5,
        ),
    )
    drafted = _drafted(columns, codes[:, list(places)])
    expected = model(codes).detach().split(SIZES, dim=1)
    for k, place in enumerate(places):
        torch.testing.assert_close(drafted[k], expected[place], **CLOSE)


def test_parents_are_ranked_and_absent_tables_are_no_parents() -> None:
    model = small_model(0)
    with torch.no_grad():
        model.tables.weight[9:, :3] *= 5.0  # column 0 towards column 3
        model.tables.weight[9:, 3:7] = 0.0  # no table of column 1
        model.tables.weight[9:, 7:9] *= 0.1
    columns = autoregressive.columns(model)
    assert columns.parents(3) == (0, 2)
    assert columns.parents(0) == ()
    torch.testing.assert_close(
        torch.cat(_drafted(columns, torch.from_numpy(all_rows())), 1),
        model(torch.from_numpy(all_rows())).detach(),
        rtol=1e-5,
        atol=1e-5,
    )


def test_a_column_reached_through_hidden_units_is_a_parent() -> None:
    model = small_model(7)
    with torch.no_grad():
        model.tables.weight.zero_()
    columns = autoregressive.columns(model)
    assert [columns.parents(c) for c in range(4)] == [(), (0,), (0, 1), (0, 1, 2)]


def test_a_shift_of_all_logits_makes_no_parent() -> None:
    model = small_model(0)
    with torch.no_grad():
        model.tables.weight[9:, :3] = torch.tensor([1.0, 2.0, 3.0])
    assert 0 not in autoregressive.columns(model).parents(3)


def test_columns_of_the_baseline_have_no_parents() -> None:
    layout = Layout(SIZES, tuple(np.full(s, 1 / s) for s in SIZES), 100.0)
    model = independent.build(layout, options={}, rng=np.random.default_rng(0))
    assert all(independent.columns(model).parents(c) == () for c in range(len(SIZES)))


def test_the_law_of_the_small_model_is_far_from_independent() -> None:
    """Control: the tests of drawing would see it if relations were lost."""
    chances = law(small_model(0)).reshape(SIZES)
    alone = chances.sum(axis=(1, 2, 3))[:, None] * chances.sum(axis=(0, 2, 3))[None, :]
    assert abs(chances.sum(axis=(2, 3)) - alone).sum() > 0.2
