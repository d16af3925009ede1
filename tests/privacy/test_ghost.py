"""Ghost clipping: against Opacus itself, several inputs a row, and what it must refuse."""

import numpy as np
import pytest
import torch
from opacus.grad_sample import GradSampleModule
from torch import Tensor, nn

from dpsynth.errors import InputError, NonFiniteTraining
from dpsynth.privacy.clipping import PerExample, clipper_for
from dpsynth.privacy.ghost import Ghost


def _net(seed: int = 0) -> nn.Sequential:
    rng = np.random.default_rng(seed)
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(0, 1, parameter.shape)))
    return net


def _rows(count: int, *, times: int = 0, seed: int = 1) -> Tensor:
    shape = (count, times, 6) if times else (count, 6)
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, shape)).float()


def _loss(model: nn.Module, rows: Tensor) -> Tensor:
    return model(rows).square().flatten(1).sum(1)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("times", [0, 3])
@pytest.mark.parametrize("max_grad_norm", [0.5, 20.0, 1e4])
def test_sums_agree_with_opacus_per_example_gradients(times: int, max_grad_norm: float) -> None:
    net, rows = _net(), _rows(30, times=times)
    ghost = clipper_for(net, _loss, max_grad_norm=max_grad_norm)
    assert isinstance(ghost, Ghost)
    found = ghost.clipped_sum(rows)
    wrapped = GradSampleModule(_net(), loss_reduction="sum")
    _loss(wrapped, rows).sum().backward()
    grads = [p.grad_sample.double() for p in wrapped.parameters()]
    norms = torch.stack([g.flatten(1).square().sum(1) for g in grads]).sum(0).sqrt()
    factors = (ghost._inner_norm / norms).clamp(max=1.0)
    for one, grad in zip(found, grads, strict=True):
        two = torch.tensordot(factors, grad, dims=1)
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5 * float(two.abs().max()))
    torch.testing.assert_close(ghost.norms(rows).double(), norms, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e4])
def test_no_row_moves_a_sum_by_more_than_the_bound(size: float) -> None:
    net, rows = _net(), size * _rows(12)
    ghost = clipper_for(net, _loss, max_grad_norm=0.7)
    whole = ghost.clipped_sum(rows)
    for row in range(12):
        rest = ghost.clipped_sum(torch.cat([rows[:row], rows[row + 1 :]]))
        moved = torch.stack([(a - b).square().sum() for a, b in zip(whole, rest, strict=True)])
        assert float(moved.sum().sqrt()) <= 0.7


def test_chunks_do_not_matter() -> None:
    ghost = clipper_for(_net(), _loss, max_grad_norm=0.7)
    whole = ghost.clipped_sum(_rows(50))
    ghost._rows_at_once = 7  # type: ignore[attr-defined]
    for one, two in zip(ghost.clipped_sum(_rows(50)), whole, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)


def test_frozen_layers_are_left_out_and_no_rows_give_zeros() -> None:
    net = _net()
    net[0].requires_grad_(False)
    ghost = clipper_for(net, _loss, max_grad_norm=0.7)
    assert [tuple(g.shape) for g in ghost.clipped_sum(_rows(4))] == [(3, 5), (3,)]
    assert all(not g.any() for g in ghost.clipped_sum(_rows(4)[:0]))


def test_a_shared_layer_or_another_kind_goes_to_opacus() -> None:
    shared = nn.Linear(6, 6)
    tied = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    tied[1].weight = tied[0].weight
    assert isinstance(clipper_for(tied, _loss, max_grad_norm=1.0), PerExample)
    other = nn.Sequential(shared, nn.LayerNorm(6))
    assert isinstance(clipper_for(other, _loss, max_grad_norm=1.0), PerExample)


def test_a_layer_that_runs_twice_is_refused() -> None:
    layer = nn.Linear(6, 6)
    net = nn.Sequential(layer, nn.Tanh())

    def twice(model: nn.Module, rows: Tensor) -> Tensor:
        return _loss(model, model(rows))

    with pytest.raises(InputError, match="exactly once"):
        clipper_for(net, twice, max_grad_norm=1.0).clipped_sum(_rows(4))


def test_a_loss_that_folds_rows_into_one_is_refused() -> None:
    def folded(model: nn.Module, rows: Tensor) -> Tensor:
        return model(rows.mean(0, keepdim=True)).sum(1).expand(len(rows))

    with pytest.raises(InputError, match="first dimension"):
        clipper_for(_net(), folded, max_grad_norm=1.0).clipped_sum(_rows(4))


def test_a_gradient_that_is_not_finite_names_the_layer() -> None:
    def broken(model: nn.Module, rows: Tensor) -> Tensor:
        return _loss(model, rows) * float("inf")

    with pytest.raises(NonFiniteTraining, match=r"layer '2'.*lower learning_rate"):
        clipper_for(_net(), broken, max_grad_norm=1.0).clipped_sum(_rows(4))


def test_more_dimensions_than_opacus_has_a_norm_for_are_refused() -> None:
    """Opacus gives no norm for four dimensions: the layer would be summed without being clipped."""

    def deep(model: nn.Module, rows: Tensor) -> Tensor:
        many = rows[:, None, None, :].expand(-1, 2, 3, -1)
        first = 100.0 * model.get_submodule("0")(many)
        second = model.get_submodule("2")(torch.tanh(first).sum((1, 2)))
        losses: Tensor = second.square().sum(1) + first.sum((1, 2, 3))
        return losses

    with pytest.raises(InputError, match="three dimensions at most"):
        clipper_for(_net(), deep, max_grad_norm=0.7).clipped_sum(_rows(4))


def test_inputs_of_a_row_that_cancel_are_clipped_all_the_same() -> None:
    """The norm is what is left of a large sum: in float32 that would be rounding alone."""
    layer = nn.Linear(6, 3, bias=False)
    rng = np.random.default_rng(0)
    size, nudge = 1e4, 1e-3
    base = torch.from_numpy(rng.normal(0, 1, (40, 1, 6))).float()
    rows = torch.cat([base, base * (1.0 + nudge * torch.rand(40, 1, 1))], dim=1)

    def difference(model: nn.Module, batch: Tensor) -> Tensor:
        first, second = model(batch).unbind(1)
        losses: Tensor = size * (first - second).sum(1)
        return losses

    ghost = clipper_for(layer, difference, max_grad_norm=0.7)
    assert isinstance(ghost, Ghost)
    for row in torch.split(rows, 1):
        (found,) = ghost.clipped_sum(row)
        assert float(found.norm()) <= 0.7
