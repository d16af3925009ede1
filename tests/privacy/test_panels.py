"""Products of codes with tables against dense one-hot products."""

import numpy as np
import pytest
import torch
from torch import Tensor

from dpsynth.privacy import panels
from dpsynth.privacy.layers import CodeLinear, one_hot
from dpsynth.privacy.panels import index_of, panels_of

SIZES = (3, 1, 5, 4, 2)
SEEN = {
    "in order": [range(j) for j in range(5)],
    "sparse": [(), (0,), (1,), (0, 2), (4, 2)],
    "none": [()] * 5,
}


def _seen(name: str) -> Tensor:
    seen = torch.zeros(5, 5, dtype=torch.bool)
    for group, columns in enumerate(SEEN[name]):
        seen[group, list(columns)] = True
    return seen


def _codes(rows: int) -> Tensor:
    rng = np.random.default_rng(rows)
    return torch.from_numpy(np.stack([rng.integers(0, s, rows) for s in SIZES], axis=1))


def _index(codes: Tensor) -> Tensor:
    widths = torch.tensor(SIZES)
    return index_of(codes, (widths.cumsum(0) - widths).to(torch.int32))


@pytest.fixture(params=[1, 6, 1000])
def _width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One output group a panel, a few, and all in one."""
    monkeypatch.setattr(panels, "PANEL_OUTPUTS", request.param)


@pytest.mark.usefixtures("_width")
@pytest.mark.parametrize("name", SEEN)
def test_panels_pick_and_scatter_like_one_hot_rows(name: str) -> None:
    seen, codes = _seen(name), _codes(50)
    rng = np.random.default_rng(1)
    table = torch.from_numpy(rng.integers(-9, 9, (15, 15))).float()
    grads = torch.from_numpy(rng.integers(-9, 9, (50, 15))).float()
    hot = one_hot(codes, SIZES)
    covered = torch.zeros(15, dtype=torch.bool)
    for panel in panels_of(seen, SIZES, SIZES):
        covered[panel.outputs] = True
        mine = torch.zeros(15, dtype=torch.bool)
        mine[panel.inputs] = True
        expected = (hot * mine) @ table[:, panel.outputs]
        assert torch.equal(panel.picked(_index(codes), table), expected)
        expected = (hot.T @ grads[:, panel.outputs])[panel.inputs]
        assert torch.equal(panel.scattered(_index(codes), grads), expected)
    owner = panels.group_of(SIZES)
    assert bool(covered[seen.any(1)[owner]].all())  # what sees something is in a panel


@pytest.mark.usefixtures("_width")
@pytest.mark.parametrize("name", SEEN)
def test_the_layer_and_its_gradient_equal_a_dense_linear_layer(name: str) -> None:
    layer = CodeLinear(SIZES, SIZES, [tuple(c) for c in SEEN[name]])
    rng = np.random.default_rng(2)
    mask = layer.trainable_masks()[0]
    layer.weight.data.copy_(torch.from_numpy(rng.normal(size=(15, 15))) * mask)
    layer.bias.data.copy_(torch.from_numpy(rng.normal(size=15)))
    codes = _codes(30)
    weights = torch.from_numpy(rng.normal(size=(30, 15))).float()
    dense = torch.nn.functional.linear(one_hot(codes, SIZES), layer.weight, layer.bias)
    torch.testing.assert_close(layer(codes), dense)
    found = torch.autograd.grad((layer(codes) * weights).sum(), list(layer.parameters()))
    wanted = torch.autograd.grad((dense * weights).sum(), list(layer.parameters()))
    torch.testing.assert_close(found[0] * mask, wanted[0] * mask)
    torch.testing.assert_close(found[1], wanted[1])
