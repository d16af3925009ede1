"""What `columns` promises, for every registered generator that offers it."""

from typing import Any

import numpy as np
import pytest
import torch

from dpsynth.generators import registry
from dpsynth.generators.base import ColumnWise, Layout

from .conftest import SIZES, all_rows

NAMES = [name for name in registry.names() if hasattr(registry.load(name), "columns")]
HIDDEN = [0, 6]


def _model(name: str, hidden: int) -> Any:
    """A model with random weights, zero where the generator leaves them so."""
    rng = np.random.default_rng(3)
    layout = Layout(SIZES, tuple(rng.dirichlet(np.ones(s)) for s in SIZES), 500.0)
    options = {"hidden": float(hidden), "hidden_scale": 0.5}
    model = registry.load(name).build(layout, options=options, rng=rng)
    with torch.no_grad():
        for layer in model.modules():
            if hasattr(layer, "trainable_masks"):
                for value, mask in zip(layer.parameters(), layer.trainable_masks(), strict=True):
                    value += torch.from_numpy(rng.normal(0, 1, value.shape)).float() * mask
    return model


def _logits(columns: ColumnWise, codes: torch.Tensor) -> dict[int, torch.Tensor]:
    draft, found = columns.start(len(codes)), {}
    for column in columns.order:
        found[column] = draft.logits(column).clone()
        draft.fix(column, codes[:, column])
    return found


def test_the_built_in_generators_offer_columns() -> None:
    assert {"autoregressive", "independent"} <= set(NAMES)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("name", NAMES)
def test_column_by_column_chances_multiply_to_the_loss(name: str, hidden: int) -> None:
    generator: Any = registry.load(name)
    model, codes = _model(name, hidden), torch.from_numpy(all_rows())
    columns = generator.columns(model)
    assert columns.sizes == SIZES
    assert sorted(columns.order) == list(range(len(SIZES)))
    losses = torch.zeros(len(codes))
    for column, logits in _logits(columns, codes).items():
        assert logits.shape == (len(codes), SIZES[column])
        assert logits.dtype == torch.float32
        losses -= logits.log_softmax(1).gather(1, codes[:, column : column + 1]).squeeze(1)
    expected = generator.per_example_loss(model, codes).detach()
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("name", NAMES)
def test_no_column_but_its_parents_moves_a_column(name: str, hidden: int) -> None:
    generator: Any = registry.load(name)
    columns = generator.columns(_model(name, hidden))
    codes = torch.from_numpy(all_rows())
    before = _logits(columns, codes)
    for changed in range(len(SIZES)):
        other = codes.clone()
        other[:, changed] = (other[:, changed] + 1) % SIZES[changed]
        after = _logits(columns, other)
        for column in range(len(SIZES)):
            if changed not in columns.parents(column):
                torch.testing.assert_close(after[column], before[column], rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_parents_come_before_their_column(name: str) -> None:
    generator: Any = registry.load(name)
    columns = generator.columns(_model(name, 6))
    for place, column in enumerate(columns.order):
        assert set(columns.parents(column)) <= set(columns.order[:place])
        assert len(set(columns.parents(column))) == len(columns.parents(column))
