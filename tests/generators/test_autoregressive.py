"""The flagship's own promises: order, closed-form loss, sampling from what it models."""

import numpy as np
import pytest
import torch

from dpsynth.generators import autoregressive
from dpsynth.generators.base import Layout, column_cross_entropy

SIZES = (3, 4, 2)


def _model(hidden: int) -> autoregressive.Autoregressive:
    rng = np.random.default_rng(0)
    layout = Layout(SIZES, tuple(np.full(s, 1 / s) for s in SIZES), 100.0)
    model = autoregressive.build(layout, options={"hidden": hidden, "hidden_scale": 0.5}, rng=rng)
    layers = [model.tables, *([model.inner, model.outer] if hidden else [])]
    with torch.no_grad():
        for layer in layers:
            for parameter, mask in zip(layer.parameters(), layer.trainable_masks(), strict=True):
                parameter.copy_(torch.from_numpy(rng.normal(0, 1, parameter.shape)) * mask)
    return model


def _all_rows() -> torch.Tensor:
    grids = np.meshgrid(*[np.arange(s) for s in SIZES], indexing="ij")
    return torch.from_numpy(np.stack([g.ravel() for g in grids], axis=1))


@pytest.mark.parametrize("hidden", [0, 5])
def test_a_column_sees_only_the_columns_before_it(hidden: int) -> None:
    model = _model(hidden)
    base = torch.zeros(1, 3, dtype=torch.int64)
    for column in range(3):
        changed = base.clone()
        changed[0, column] = 1
        end = sum(SIZES[: column + 1])
        difference = (model(base) - model(changed)).abs().squeeze(0)
        assert difference[:end].max() < 1e-6
        assert column == 2 or difference[end:].max() > 1e-3


@pytest.mark.parametrize("hidden", [0, 5])
def test_probabilities_of_all_rows_add_up_to_one(hidden: int) -> None:
    losses = autoregressive.per_example_loss(_model(hidden), _all_rows()).detach()
    assert float(torch.exp(-losses.double()).sum()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("hidden", [0, 5])
def test_samples_follow_the_model(hidden: int) -> None:
    """Chi-square of 40,000 draws against the exact 24-cell law; alarm rate about 1e-6.

    Stratified draws have a smaller chi-square than free ones, never a larger one on average.
    """
    model = _model(hidden)
    exact = torch.exp(-autoregressive.per_example_loss(model, _all_rows())).detach().numpy()
    codes = autoregressive.sample(model, 40_000, rng=np.random.default_rng(1))
    found = np.bincount(np.ravel_multi_index(tuple(codes.T), SIZES), minlength=24)
    expected = 40_000 * exact / exact.sum()
    assert float((np.square(found - expected) / expected).sum()) < 75


def test_cross_entropy_and_its_gradient_match_torch() -> None:
    rng = np.random.default_rng(3)
    logits = torch.from_numpy(rng.normal(0, 3, (6, 9))).requires_grad_()
    codes = torch.from_numpy(np.stack([rng.integers(0, s, 6) for s in SIZES], axis=1))
    ours = column_cross_entropy(logits, codes, SIZES)
    parts = [
        torch.nn.functional.cross_entropy(block, codes[:, j], reduction="none")
        for j, block in enumerate(logits.split(SIZES, dim=1))
    ]
    torch.testing.assert_close(ours, torch.stack(parts).sum(0))
    (mine,) = torch.autograd.grad((ours * torch.arange(6)).sum(), logits)
    (theirs,) = torch.autograd.grad((torch.stack(parts).sum(0) * torch.arange(6)).sum(), logits)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("shift", [0.0, 75.0, -75.0, 3e4, -3e4])
def test_cross_entropy_of_extreme_logits_is_that_of_log_softmax(shift: float) -> None:
    """A shift changes nothing, and rows beside an extreme row keep their bits."""
    rng = np.random.default_rng(4)
    plain = torch.from_numpy(rng.normal(0, 3, (6, 9))).float()
    codes = torch.from_numpy(np.stack([rng.integers(0, s, 6) for s in SIZES], axis=1))
    logits = plain.clone()
    logits[2] += shift
    logits[4, :3] += shift
    logits.requires_grad_()
    ours = column_cross_entropy(logits, codes, SIZES)
    parts = [
        torch.nn.functional.cross_entropy(block, codes[:, j], reduction="none")
        for j, block in enumerate(logits.split(SIZES, dim=1))
    ]
    torch.testing.assert_close(ours, torch.stack(parts).sum(0), rtol=1e-5, atol=1e-4)
    (mine,) = torch.autograd.grad(ours.sum(), logits)
    (theirs,) = torch.autograd.grad(torch.stack(parts).sum(), logits)
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    before = column_cross_entropy(plain, codes, SIZES)
    calm = [0, 1, 3, 5]
    assert torch.equal(before[calm], ours.detach()[calm])


def test_cross_entropy_of_many_blocks_matches_torch() -> None:
    """More columns than are summed together at once."""
    sizes = (3, 1, 5) * 13
    rng = np.random.default_rng(5)
    logits = torch.from_numpy(rng.normal(0, 3, (7, sum(sizes))))
    codes = torch.from_numpy(np.stack([rng.integers(0, s, 7) for s in sizes], axis=1))
    parts = [
        torch.nn.functional.cross_entropy(block, codes[:, j], reduction="none")
        for j, block in enumerate(logits.split(sizes, dim=1))
    ]
    torch.testing.assert_close(
        column_cross_entropy(logits, codes, sizes), torch.stack(parts).sum(0)
    )


def test_a_logit_that_is_no_number_gives_no_number() -> None:
    logits = torch.zeros(2, 9)
    logits[1, 4] = float("nan")
    losses = column_cross_entropy(logits, torch.zeros(2, 3, dtype=torch.int64), SIZES)
    assert torch.isfinite(losses).tolist() == [True, False]


def test_hidden_units_are_shared_out_with_later_groups_first() -> None:
    assert autoregressive._hidden_groups(5, 4) == (1, 2, 2)
    assert autoregressive._hidden_groups(0, 4) == ()
    assert autoregressive._hidden_groups(9, 1) == ()
