"""One suite for every registered generator: a new file is tested before it has a test."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dpsynth.errors import InputError
from dpsynth.generators import registry
from dpsynth.generators.base import Layout
from dpsynth.privacy.clipping import BookKeeping, PerExampleLoss, clipper_for

SIZES = (3, 1, 4, 2)
NAMES = registry.names()


def _layout(sizes: tuple[int, ...] = SIZES) -> Layout:
    rng = np.random.default_rng(0)
    return Layout(sizes, tuple(rng.dirichlet(np.ones(s)) for s in sizes), 500.0)


def _built(name: str, *, hidden: float = 6, sizes: tuple[int, ...] = SIZES) -> nn.Module:
    options = {"hidden": hidden, "hidden_scale": 0.25}
    return registry.load(name).build(_layout(sizes), options=options, rng=np.random.default_rng(1))


def _draws(name: str, model: nn.Module, rows: int, seed: int = 3) -> tuple[Tensor, ...]:
    """What a random loss is given beside the rows; nothing where it is not random."""
    generator = registry.load(name)
    if not hasattr(generator, "draws"):
        return ()
    return (generator.draws(model, rows, rng=np.random.default_rng(seed)),)


def _losses(name: str, model: nn.Module, codes: Tensor, draws: tuple[Tensor, ...]) -> Tensor:
    loss: Tensor = registry.load(name).per_example_loss(model, codes, *draws)
    return loss


def _fixed(name: str, model: nn.Module, rows: int) -> PerExampleLoss:
    """The loss of given rows with given random numbers, however the rows are cut into parts."""
    draws = _draws(name, model, rows)
    left = [0]

    def loss(net: nn.Module, codes: Tensor) -> Tensor:
        first = left[0]
        left[0] = (first + len(codes)) % rows
        return _losses(name, net, codes, tuple(d[first : first + len(codes)] for d in draws))

    return loss


def _moved(model: nn.Module, seed: int = 7) -> nn.Module:
    """The model with weights as after some training: none is zero."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.from_numpy(rng.normal(0.0, 0.2, parameter.shape)))
    return model


def _codes(rows: int, seed: int = 2) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([rng.integers(0, s, rows) for s in SIZES], axis=1))


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_one_finite_number_a_row(name: str) -> None:
    model = _built(name)
    losses = _losses(name, model, _codes(7), _draws(name, model, 7))
    assert losses.shape == (7,)
    assert bool(torch.isfinite(losses).all())


@pytest.mark.parametrize("name", NAMES)
def test_loss_of_a_row_depends_on_that_row_alone(name: str) -> None:
    """Changing every other row and its random numbers, or leaving them out, changes nothing."""
    model, codes = _moved(_built(name)), _codes(6)
    draws = _draws(name, model, 6)
    whole = _losses(name, model, codes, draws)
    for row in range(6):
        mine = slice(row, row + 1)
        alone = _losses(name, model, codes[mine], tuple(d[mine] for d in draws))
        torch.testing.assert_close(alone[0], whole[row], rtol=1e-5, atol=1e-5)
    others, fresh = _codes(6, seed=9), _draws(name, model, 6, seed=10)
    others[0] = codes[0]
    for old, new in zip(draws, fresh, strict=True):
        new[0] = old[0]
    changed = _losses(name, model, others, fresh)
    torch.testing.assert_close(changed[0], whole[0], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(changed[1:], whole[1:])


@pytest.mark.parametrize("name", NAMES)
def test_random_numbers_of_a_loss_repeat_under_a_seed(name: str) -> None:
    model = _built(name)
    for one, two, other in zip(
        _draws(name, model, 5), _draws(name, model, 5), _draws(name, model, 5, 4), strict=True
    ):
        assert len(one) == 5
        assert one.dtype == torch.float32
        assert torch.equal(one, two)
        assert not torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_clipped_sums_are_bounded(name: str) -> None:
    model, codes = _moved(_built(name)), _codes(5)
    draws = _draws(name, model, 5)

    def summed(rows: slice) -> list[Tensor]:
        def loss(net: nn.Module, part: Tensor) -> Tensor:
            padding = len(part) - len(codes[rows])  # book-keeping fills up its chunks
            mine = (d[rows] for d in draws)
            given = tuple(torch.cat([d, d[-1:].expand(padding, *d.shape[1:])]) for d in mine)
            return _losses(name, net, part, given)

        return clipper_for(model, loss, max_grad_norm=0.3).clipped_sum(codes[rows])

    whole, without = summed(slice(0, 5)), summed(slice(1, 5))
    moved = torch.stack([(a - b).square().sum() for a, b in zip(whole, without, strict=True)])
    assert 0 < float(moved.sum().sqrt()) <= 0.3


@pytest.mark.parametrize("max_grad_norm", [0.5, 5.0, 1e3])
@pytest.mark.parametrize("name", NAMES)
def test_clipped_sums_equal_brute_force(name: str, max_grad_norm: float) -> None:
    """Each row's gradient by autograd on its own, clipped and added up in float64: to 1e-5 of it.

    The clip norm is the one inside, a little below the stated bound. Where the model is made of
    book-kept layers, to their grid: 2**-13 of the norm a row.
    """
    rows = 40
    model, codes = _moved(_built(name)), _codes(rows)
    draws = _draws(name, model, rows)
    clipper = clipper_for(model, _fixed(name, model, rows), max_grad_norm=max_grad_norm)
    trained = [p for p in model.parameters() if p.requires_grad]
    masks = clipper.masks()
    inner = float(clipper._inner_norm)  # type: ignore[attr-defined]
    assert (1.0 - 1e-3) * max_grad_norm < inner <= max_grad_norm or isinstance(clipper, BookKeeping)
    expected = [torch.zeros(p.shape, dtype=torch.float64) for p in trained]
    for row in range(rows):
        mine = slice(row, row + 1)
        loss = _losses(name, model, codes[mine], tuple(d[mine] for d in draws)).sum()
        grads = [
            g.double() * m for g, m in zip(torch.autograd.grad(loss, trained), masks, strict=True)
        ]
        norm = float(torch.stack([g.square().sum() for g in grads]).sum().sqrt())
        for total, grad in zip(expected, grads, strict=True):
            total += min(1.0, inner / norm) * grad
    if isinstance(clipper, BookKeeping):
        tolerance = rows * max_grad_norm * 2.0**-13
        found = clipper_for(
            model, registry.load(name).per_example_loss, max_grad_norm=max_grad_norm
        ).clipped_sum(codes)
    else:
        tolerance = 1e-5 * max(float(total.abs().max()) for total in expected)
        found = clipper.clipped_sum(codes)
    for one, two in zip(found, expected, strict=True):
        assert float((one - two).abs().max()) <= tolerance


@pytest.mark.parametrize("name", NAMES)
def test_clipped_sums_do_not_depend_on_how_rows_are_cut_into_parts(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 23
    model, codes = _moved(_built(name)), _codes(rows)
    clipper = clipper_for(model, _fixed(name, model, rows), max_grad_norm=0.7)
    whole = clipper.clipped_sum(codes)
    monkeypatch.setattr(clipper, "_rows_at_once", 4)
    for one, two in zip(clipper.clipped_sum(codes), whole, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


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
