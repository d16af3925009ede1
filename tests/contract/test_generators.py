"""One suite for every registered generator: a new file is tested before it has a test."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dpsynth.errors import InputError
from dpsynth.generators import registry
from dpsynth.generators.base import Layout
from dpsynth.privacy.clipping import clipper_for

SIZES = (3, 1, 4, 2)
NAMES = registry.names()


def _layout(sizes: tuple[int, ...] = SIZES) -> Layout:
    rng = np.random.default_rng(0)
    return Layout(sizes, tuple(rng.dirichlet(np.ones(s)) for s in sizes), 500.0)


def _built(name: str, *, hidden: float = 6, sizes: tuple[int, ...] = SIZES) -> nn.Module:
    options = {"hidden": hidden, "hidden_scale": 0.25}
    return registry.load(name).build(_layout(sizes), options=options, rng=np.random.default_rng(1))


def _codes(rows: int, seed: int = 2) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([rng.integers(0, s, rows) for s in SIZES], axis=1))


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_one_finite_number_a_row(name: str) -> None:
    losses = registry.load(name).per_example_loss(_built(name), _codes(7))
    assert losses.shape == (7,)
    assert bool(torch.isfinite(losses).all())


@pytest.mark.parametrize("name", NAMES)
def test_loss_of_a_row_depends_on_that_row_alone(name: str) -> None:
    """Changing every other row, or leaving it out, changes nothing."""
    generator, model, codes = registry.load(name), _built(name), _codes(6)
    whole = generator.per_example_loss(model, codes)
    for row in range(6):
        alone = generator.per_example_loss(model, codes[row : row + 1])
        torch.testing.assert_close(alone[0], whole[row], rtol=1e-5, atol=1e-6)
    others = _codes(6, seed=9)
    others[0] = codes[0]
    changed = generator.per_example_loss(model, others)
    torch.testing.assert_close(changed[0], whole[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_clipped_sums_are_bounded(name: str) -> None:
    generator, model, codes = registry.load(name), _built(name), _codes(5)
    clipper = clipper_for(model, generator.per_example_loss, max_grad_norm=0.3)
    whole, without = clipper.clipped_sum(codes), clipper.clipped_sum(codes[1:])
    moved = torch.stack([(a - b).square().sum() for a, b in zip(whole, without, strict=True)])
    assert 0 < float(moved.sum().sqrt()) <= 0.3


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_codes_and_repeat_under_a_seed(name: str) -> None:
    generator, model = registry.load(name), _built(name)
    codes = generator.sample(model, 1000, rng=np.random.default_rng(5))
    again = generator.sample(model, 1000, rng=np.random.default_rng(5))
    assert codes.shape == (1000, len(SIZES))
    assert np.array_equal(codes, again)
    assert codes.min() >= 0
    assert np.all(codes.max(axis=0) < np.array(SIZES))
    assert generator.sample(model, 1, rng=np.random.default_rng(0)).shape == (1, len(SIZES))


@pytest.mark.parametrize("name", NAMES)
def test_an_untrained_model_samples_the_noisy_marginals(name: str) -> None:
    """Total variation of 20,000 draws within four standard errors of zero."""
    generator, model, layout = registry.load(name), _built(name, hidden=0), _layout()
    codes = generator.sample(model, 20_000, rng=np.random.default_rng(5))
    for column, expected in enumerate(layout.one_way):
        share = np.bincount(codes[:, column], minlength=len(expected)) / len(codes)
        assert 0.5 * np.abs(share - expected).sum() < 4 * np.sqrt(len(expected) / len(codes))


@pytest.mark.parametrize("name", NAMES)
def test_a_single_column_and_constant_columns_work(name: str) -> None:
    for sizes in ((4,), (1,), (1, 1)):
        model = _built(name, sizes=sizes)
        codes = registry.load(name).sample(model, 50, rng=np.random.default_rng(0))
        assert codes.shape == (50, len(sizes))


@pytest.mark.parametrize("name", NAMES)
def test_weights_can_be_saved_without_pickle(name: str) -> None:
    from safetensors.torch import load, save

    model = _built(name)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    fresh = _built(name)
    fresh.load_state_dict(load(save(state)))
    torch.testing.assert_close(dict(fresh.state_dict()), dict(state))


@pytest.mark.parametrize("name", NAMES)
def test_a_generator_names_and_sums_itself_up(name: str) -> None:
    generator = registry.load(name)
    assert name == generator.NAME
    assert 10 < len(generator.SUMMARY) < 120


def test_an_unknown_generator_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="did you mean 'autoregressive'"):
        registry.load("autoregresive")
