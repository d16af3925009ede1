"""Clipped sums: closed-form norms against brute force and Opacus, bounds in floating point."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dpsynth.errors import InputError, NonFiniteTraining
from dpsynth.generators import autoregressive
from dpsynth.generators.base import Layout, column_cross_entropy
from dpsynth.privacy.clipping import (
    BookKeeping,
    PerExample,
    _ExactSum,
    clip_factors,
    clipper_for,
)
from dpsynth.privacy.layers import CodeLinear, MaskedLinear, seen_columns

SIZES = (3, 2, 5, 4)
QUICK = settings(derandomize=True, deadline=None, max_examples=25)


def _layout(sizes: tuple[int, ...] = SIZES) -> Layout:
    return Layout(sizes, tuple(np.full(s, 1.0 / s) for s in sizes), 100.0)


def _model(seed: int, *, hidden: int, scale: float = 1.0) -> autoregressive.Autoregressive:
    rng = np.random.default_rng(seed)
    options = {"hidden": float(hidden), "hidden_scale": 0.5}
    model = autoregressive.build(_layout(), options=options, rng=rng)
    layers = [model.tables, *([model.inner, model.outer] if hidden else [])]
    with torch.no_grad():
        for layer in layers:
            for parameter, mask in zip(layer.parameters(), layer.trainable_masks(), strict=True):
                parameter.copy_(torch.from_numpy(rng.normal(0, scale, parameter.shape)) * mask)
    return model


def _codes(seed: int, rows: int) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([rng.integers(0, s, rows) for s in SIZES], axis=1))


def _brute_force(model: nn.Module, codes: Tensor, masks: list[Tensor]) -> list[list[Tensor]]:
    """Each row's gradient by autograd, one row at a time, masked entries left out."""
    rows = []
    for row in codes.split(1):
        loss = autoregressive.per_example_loss(model, row).sum()
        grads = torch.autograd.grad(loss, list(model.parameters()))
        rows.append([g.double() * m for g, m in zip(grads, masks, strict=True)])
    return rows


def _norm(parts: list[Tensor]) -> float:
    return float(torch.stack([p.square().sum() for p in parts]).sum().sqrt())


@pytest.mark.parametrize("hidden", [0, 7])
@pytest.mark.parametrize("max_grad_norm", [0.7, 2.0, 50.0])
def test_book_kept_sum_equals_brute_force(hidden: int, max_grad_norm: float) -> None:
    model, codes = _model(1, hidden=hidden), _codes(2, 40)
    clipper = clipper_for(model, autoregressive.per_example_loss, max_grad_norm=max_grad_norm)
    assert isinstance(clipper, BookKeeping)
    rows = _brute_force(model, codes, clipper.masks())
    norms = torch.tensor([_norm(r) for r in rows])
    torch.testing.assert_close(clipper.norms(codes).double(), norms.double(), rtol=1e-3, atol=1e-4)
    factors = [min(1.0, max_grad_norm / float(n)) for n in norms]
    for found, *parts in zip(clipper.clipped_sum(codes), *rows, strict=True):
        expected = torch.stack([f * p for f, p in zip(factors, parts, strict=True)]).sum(0)
        # Each row is rounded to a grid of max_grad_norm * 2**-14, and clipped a little early.
        assert (found - expected).abs().max() < 40 * 50 * 2.0**-13


@pytest.mark.parametrize("hidden", [0, 7])
def test_book_keeping_agrees_with_opacus(hidden: int) -> None:
    """The reference implementation's per-example gradients of a plain copy of the network."""
    model, codes = _model(3, hidden=hidden), _codes(4, 64)
    kept = clipper_for(model, autoregressive.per_example_loss, max_grad_norm=1.5)
    plain = _Plain(model, hidden=hidden)

    def loss(module: nn.Module, rows: Tensor) -> Tensor:
        return column_cross_entropy(module(rows), rows, SIZES)

    reference = PerExample(plain, loss, 1e9)
    with torch.no_grad():
        assert torch.allclose(plain(codes), model(codes), atol=2e-3)
    masks = kept.masks()
    gradients = _opacus_rows(reference, codes)
    gradients = [g.double() * m for g, m in zip(gradients, masks, strict=True)]
    squared = torch.stack([g.square().flatten(1).sum(1) for g in gradients]).sum(0)
    factors = (1.5 / squared.sqrt()).clamp(max=1.0)
    for found, grads in zip(kept.clipped_sum(codes), gradients, strict=True):
        expected = torch.tensordot(factors, grads, dims=1)
        torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-2)


def _opacus_rows(clipper: PerExample, codes: Tensor) -> list[Tensor]:
    from dpsynth.privacy import clipping

    with clipping._per_example_gradients(clipper._model):
        return clipper._gradients(codes)


class _Plain(nn.Module):
    """The same network from torch's own layers, for Opacus."""

    def __init__(self, model: autoregressive.Autoregressive, *, hidden: int) -> None:
        super().__init__()
        self.scale = model.hidden_scale
        self.tables = self._copy(model.tables)
        self.hidden = hidden
        if hidden:
            self.inner, self.outer = self._copy(model.inner), self._copy(model.outer)

    @staticmethod
    def _copy(layer: nn.Module) -> nn.Linear:
        weight, bias = layer.parameters()
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
        return linear

    def forward(self, codes: Tensor) -> Tensor:
        hot = torch.cat([nn.functional.one_hot(codes[:, j], s) for j, s in enumerate(SIZES)], 1)
        logits: Tensor = self.tables(hot.float())
        if self.hidden:
            logits = logits + self.scale * self.outer(torch.tanh(self.inner(hot.float())))
        return logits


@QUICK
@given(
    seed=st.integers(0, 10_000),
    hidden=st.sampled_from([0, 5]),
    scale=st.sampled_from([1e-3, 1.0, 30.0]),
    max_grad_norm=st.sampled_from([0.05, 1.0, 8.0]),
)
def test_removing_one_row_moves_the_sum_by_at_most_the_clip_norm(
    seed: int, hidden: int, scale: float, max_grad_norm: float
) -> None:
    """In floating point, rounding included: no tolerance."""
    model = _model(seed, hidden=hidden, scale=scale)
    codes = _codes(seed + 1, 9)
    clipper = clipper_for(model, autoregressive.per_example_loss, max_grad_norm=max_grad_norm)
    whole = clipper.clipped_sum(codes)
    without = clipper.clipped_sum(codes[1:])
    moved = _norm([a - b for a, b in zip(whole, without, strict=True)])
    assert moved <= max_grad_norm
    alone = clipper.clipped_sum(codes[:1])
    for a, b, c in zip(whole, without, alone, strict=True):
        assert torch.equal(a - b, c)  # sums are exact


@pytest.mark.parametrize("hidden", [0, 7])
def test_a_sum_has_the_same_bits_in_any_order_and_partition(hidden: int) -> None:
    model, codes = _model(5, hidden=hidden), _codes(6, 3000)
    clipper = clipper_for(model, autoregressive.per_example_loss, max_grad_norm=2.0)
    whole = clipper.clipped_sum(codes)
    shuffled = clipper.clipped_sum(
        codes[torch.from_numpy(np.random.default_rng(7).permutation(3000))]
    )
    parts = [clipper.clipped_sum(p) for p in codes.split(713)]
    joined = [torch.stack(ps).sum(0) for ps in zip(*parts, strict=True)]
    for a, b, c in zip(whole, shuffled, joined, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


class _Sparse(nn.Module):
    """A sparse map of codes plus a hidden branch behind a sparse one; layers can be frozen."""

    EDGES = ((), (0,), (0,), (2, 0))
    INNER = ((0, 2), 1, (1,))

    def __init__(self, seed: int, frozen: tuple[str, ...] = ()) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.tables = CodeLinear(SIZES, SIZES, self.EDGES, grad_bound=1.0)
        self.inner = CodeLinear(SIZES, (2, 3, 1), self.INNER)
        self.outer = MaskedLinear((2, 3, 1), SIZES, (0, 1, 2, 3))
        for name, layer in self.named_children():
            for parameter, mask in zip(layer.parameters(), layer.trainable_masks(), strict=True):
                value = torch.from_numpy(rng.normal(0, 1, parameter.shape)) * mask
                parameter.data.copy_(value)
                parameter.requires_grad_(name not in frozen)

    def forward(self, codes: Tensor) -> Tensor:
        logits: Tensor = self.tables(codes) + 0.5 * self.outer(torch.tanh(self.inner(codes)))
        return logits


def _sparse_loss(model: nn.Module, rows: Tensor) -> Tensor:
    return column_cross_entropy(model(rows), rows, SIZES)


def _by_autograd(model: nn.Module, codes: Tensor, masks: list[Tensor]) -> list[Tensor]:
    """The slow twin: each row's gradient of the trained parameters, shape (rows, ...) each."""
    trained = [p for p in model.parameters() if p.requires_grad]
    rows = [torch.autograd.grad(_sparse_loss(model, r).sum(), trained) for r in codes.split(1)]
    return [
        torch.stack(g).double() * m for g, m in zip(zip(*rows, strict=True), masks, strict=True)
    ]


FROZEN = [(), ("tables",), ("inner",), ("outer",), ("inner", "outer"), ("tables", "inner")]


@pytest.mark.parametrize("frozen", FROZEN)
@pytest.mark.parametrize("max_grad_norm", [0.7, 50.0])
def test_sparse_and_frozen_layers_equal_autograd(
    frozen: tuple[str, ...], max_grad_norm: float
) -> None:
    model, codes = _Sparse(1, frozen), _codes(2, 40)
    clipper = clipper_for(model, _sparse_loss, max_grad_norm=max_grad_norm)
    assert isinstance(clipper, BookKeeping)
    masks = clipper.masks()
    assert len(masks) == 6 - 2 * len(frozen)
    rows = _by_autograd(model, codes, masks)
    norms = torch.stack([g.square().flatten(1).sum(1) for g in rows]).sum(0).sqrt()
    torch.testing.assert_close(clipper.norms(codes).double(), norms, rtol=1e-3, atol=1e-4)
    factors = (max_grad_norm / norms).clamp(max=1.0)
    for found, grads in zip(clipper.clipped_sum(codes), rows, strict=True):
        expected = torch.tensordot(factors, grads, dims=1)
        assert (found - expected).abs().max() < 40 * 50 * 2.0**-13


@pytest.mark.parametrize("frozen", FROZEN)
def test_sparse_and_frozen_layers_sum_exactly_within_the_bound(frozen: tuple[str, ...]) -> None:
    model, codes = _Sparse(3, frozen), _codes(4, 2500)
    clipper = clipper_for(model, _sparse_loss, max_grad_norm=0.6)
    whole = clipper.clipped_sum(codes)
    order = torch.from_numpy(np.random.default_rng(7).permutation(2500))
    parts = [clipper.clipped_sum(p) for p in codes[order].split(713)]
    for a, *b in zip(whole, *parts, strict=True):
        assert torch.equal(a, torch.stack(b).sum(0))
    for row in range(20):
        alone = clipper.clipped_sum(codes[row : row + 1])
        without = clipper.clipped_sum(torch.cat([codes[:row], codes[row + 1 :]]))
        assert _norm(alone) <= 0.6
        assert all(torch.equal(a - b, c) for a, b, c in zip(whole, without, alone, strict=True))


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32])
def test_codes_of_any_integer_type_sum_to_the_same_bits(kind: torch.dtype) -> None:
    model, codes = _model(5, hidden=7), _codes(6, 1500)
    clipper = clipper_for(model, autoregressive.per_example_loss, max_grad_norm=2.0)
    pairs = zip(clipper.clipped_sum(codes), clipper.clipped_sum(codes.to(kind)), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("rows_at_once", [64, 256, 1024])
def test_a_sum_has_the_same_bits_at_any_height_of_its_blocks(rows_at_once: int) -> None:
    model, codes = _model(5, hidden=7), _codes(6, 2777)
    clipper = clipper_for(model, autoregressive.per_example_loss, max_grad_norm=2.0)
    assert isinstance(clipper, BookKeeping)
    expected, norms = clipper.clipped_sum(codes), clipper.norms(codes)
    clipper._rows_at_once = rows_at_once
    pairs = zip(expected, clipper.clipped_sum(codes), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert torch.equal(norms, clipper.norms(codes))
    assert len(norms) == 2777


def test_exact_sums_are_widened_before_single_precision_gives_out() -> None:
    """The largest steps of 5,000 rows: 2**14 * 5000 + 1 does not fit float32."""
    total = _ExactSum()
    for _ in range(5):
        total.add([torch.tensor([2.0**14 * 1000])], rows=1000)
    total.add([torch.tensor([1.0])], rows=1)
    assert total.sums()[0].item() == 2**14 * 5000 + 1
    assert total.rows == 5001


def test_an_edge_that_is_left_out_is_neither_trained_nor_weighed() -> None:
    layer = CodeLinear(SIZES, SIZES, _Sparse.EDGES)
    full = CodeLinear(SIZES, SIZES, range(4))
    assert [layer._mask[:, c].any().item() for c in (0, 3, 5, 10)] == [True, False, True, False]
    grads = torch.ones(1, sum(SIZES))
    expected = 3 * 1 + 2 * 2 + 5 * 2 + 4 * 3  # sum of outputs times (columns seen + 1)
    assert layer.squared_norms(torch.zeros(1, 4, dtype=torch.int64), grads).item() == expected
    assert layer.rounding_slack(1.0) == pytest.approx(0.5 * 2.0**-14 * expected**0.5)
    assert layer.rounding_slack(1.0) < full.rounding_slack(1.0)


@pytest.mark.parametrize("visible", [(5,), (-1,), ((0, 4),), ((1, 1),)])
def test_columns_that_are_not_there_are_refused(visible: tuple[int | tuple[int, ...], ...]) -> None:
    with pytest.raises(InputError, match="output group 0 sees columns"):
        seen_columns(visible, 4)


def test_a_layer_frozen_in_part_is_not_book_kept() -> None:
    model = _Sparse(1)
    model.tables.bias.requires_grad_(False)
    assert isinstance(clipper_for(model, _sparse_loss, max_grad_norm=1.0), PerExample)


def test_layers_that_share_a_parameter_are_not_book_kept() -> None:
    model = _Sparse(1, ("inner", "outer"))
    model.twin = CodeLinear(SIZES, SIZES, _Sparse.EDGES)
    model.twin.weight, model.twin.bias = model.tables.weight, model.tables.bias
    assert isinstance(clipper_for(model, _sparse_loss, max_grad_norm=1.0), PerExample)


def test_an_empty_batch_sums_to_zero() -> None:
    model = _model(1, hidden=0)
    clipper = clipper_for(model, autoregressive.per_example_loss, max_grad_norm=2.0)
    sums = clipper.clipped_sum(_codes(0, 0))
    assert [s.shape for s in sums] == [p.shape for p in model.parameters()]
    assert all(not s.any() for s in sums)


def _mlp() -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 1))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net


def _squares(model: nn.Module, batch: Tensor) -> Tensor:
    return model(batch).squeeze(1).square()


@pytest.mark.parametrize("max_grad_norm", [0.5, 1e6])
def test_any_module_goes_through_opacus(max_grad_norm: float) -> None:
    net = _mlp()
    batch = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 6))).float()
    clipper = clipper_for(net, _squares, max_grad_norm=max_grad_norm)
    assert isinstance(clipper, PerExample)
    expected = [torch.zeros(p.shape, dtype=torch.float64) for p in net.parameters()]
    for row in batch.split(1):
        grads = torch.autograd.grad(_squares(net, row).sum(), list(net.parameters()))
        factor = min(1.0, max_grad_norm / _norm([g.double() for g in grads]))
        expected = [e + factor * g.double() for e, g in zip(expected, grads, strict=True)]
    found = clipper.clipped_sum(batch)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    again = clipper.clipped_sum(batch)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))  # nothing left over
    one = _norm(clipper.clipped_sum(batch[:1]))
    assert one <= max_grad_norm


def test_batch_norm_is_refused() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    with pytest.raises(InputError, match="mixes rows"):
        clipper_for(net, _squares, max_grad_norm=1.0)


@pytest.mark.parametrize("norm", [0.0, -1.0, float("inf"), float("nan")])
def test_a_clip_norm_that_bounds_nothing_is_refused(norm: float) -> None:
    with pytest.raises(InputError, match="max_grad_norm"):
        clipper_for(_mlp(), _squares, max_grad_norm=norm)


def test_a_clip_norm_below_the_rounding_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CodeLinear, "rounding_slack", lambda self, bound: 2.0 * bound)
    with pytest.raises(InputError, match="below the rounding"):
        clipper_for(_model(0, hidden=0), autoregressive.per_example_loss, max_grad_norm=1.0)


def test_a_model_with_nothing_to_train_is_refused() -> None:
    net = _mlp().requires_grad_(False)
    with pytest.raises(InputError, match="nothing to train"):
        clipper_for(net, _squares, max_grad_norm=1.0)


def test_a_reduced_loss_is_refused() -> None:
    clipper = clipper_for(
        _model(0, hidden=0),
        lambda m, b: autoregressive.per_example_loss(m, b).mean(),
        max_grad_norm=1.0,
    )
    with pytest.raises(InputError, match="unreduced"):
        clipper.clipped_sum(_codes(0, 5))


def test_a_layer_that_runs_twice_is_refused() -> None:
    def twice(model: nn.Module, rows: Tensor) -> Tensor:
        return column_cross_entropy(model(rows) + model(rows), rows, SIZES)

    clipper = clipper_for(_model(0, hidden=0), twice, max_grad_norm=1.0)
    with pytest.raises(InputError, match="exactly once"):
        clipper.clipped_sum(_codes(0, 5))


def test_a_parameter_outside_the_loss_is_refused() -> None:
    net = nn.ModuleDict({"used": nn.Linear(6, 1), "idle": nn.Linear(6, 1)})

    def loss(model: nn.Module, rows: Tensor) -> Tensor:
        return _squares(model["used"], rows)  # type: ignore[index]

    with pytest.raises(InputError, match="exactly once in the loss"):
        clipper_for(net, loss, max_grad_norm=1.0).clipped_sum(torch.ones(4, 6))


def test_a_norm_that_is_not_finite_stops_training() -> None:
    with pytest.raises(NonFiniteTraining, match="not finite"):
        clip_factors(torch.tensor([1.0, float("nan")]), 1.0)
