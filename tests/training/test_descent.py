"""Descent: what moves when, and that its state is all that the next step depends on."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dpsynth.errors import IntegrityError, NonFiniteTraining
from dpsynth.generators import gan, registry, vae
from dpsynth.generators.base import Layout
from dpsynth.privacy.mean_gradients import MeanGradients
from dpsynth.training.descent import Descent
from dpsynth.training.objective import objective
from dpsynth.training.options import TrainingOptions

SIZES = (3, 2)
LAYOUT = Layout(SIZES, (np.full(3, 1 / 3), np.full(2, 0.5)), 100.0)


def _codes() -> Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.stack([rng.integers(0, s, 100) for s in SIZES], axis=1))


def _descent(
    name: str, *, steps: int = 8, **settings: float
) -> tuple[Descent, MeanGradients, nn.Module]:
    generator = registry.load(name)
    options = TrainingOptions(units=6, learning_rate=0.01, **settings)  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    model = generator.build(LAYOUT, options=options.generator_options, rng=rng)
    channel = MeanGradients(
        model,
        objective(generator, rng=np.random.default_rng(2)),
        _codes(),
        steps=steps,
        batch=20,
        rows=1.0,
        rng=np.random.default_rng(3),
    )
    descent = Descent(
        generator, model, rows=1.0, channel=channel, options=options, rng=np.random.default_rng(4)
    )
    return descent, channel, model


@pytest.mark.parametrize("every", [1, 3])
def test_the_maker_moves_once_in_so_many_steps_of_the_critic(every: int) -> None:
    descent, channel, model = _descent("gan", critic_steps=every)
    moved = []
    for _ in range(6):
        before = [p.detach().clone() for p in gan.maker_parameters(model)]
        critic = [p.detach().clone() for p in model.critic.parameters()]  # type: ignore[union-attr]
        descent.step(channel.ask())
        after = gan.maker_parameters(model)
        moved.append(any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)))
        now = model.critic.parameters()  # type: ignore[union-attr]
        assert any(not torch.equal(a, b) for a, b in zip(critic, now, strict=True))
        assert not any(p.requires_grad for p in after)
    assert moved == [(step + 1) % every == 0 for step in range(6)]


@pytest.mark.parametrize("name", ["gan", "vae"])
def test_a_state_goes_on_where_it_was_taken(name: str) -> None:
    """The same answers from there on lead to the same weights, bit by bit."""
    first, channel, model = _descent(name)
    for _ in range(3):
        first.step(channel.ask())
    state = first.state()
    second, _, other = _descent(name)
    second.restore(state)
    assert second.step_number == 3
    sums = channel.ask()
    for descent in (first, second):
        if descent._rival is not None:
            descent._rival._rng = np.random.default_rng(9)
        descent.step(sums)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    for key, value in first.state().items():
        assert torch.equal(value, second.state()[key])


def test_a_state_of_another_network_is_refused() -> None:
    state = _descent("vae")[0].state()
    with pytest.raises(IntegrityError, match="network of another shape"):
        _descent("gan")[0].restore(state)


def test_the_average_stands_in_only_while_asked() -> None:
    descent, channel, model = _descent("vae", averaging=0.9)
    for _ in range(4):
        descent.step(channel.ask())
    present = [p.detach().clone() for p in model.parameters()]
    with descent.averaged():
        assert any(not torch.equal(a, b) for a, b in zip(present, model.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(present, model.parameters(), strict=True))


def test_a_weight_that_is_not_finite_names_step_and_parameter() -> None:
    descent, channel, _ = _descent("vae")
    descent.step(channel.ask())
    with pytest.raises(NonFiniteTraining, match=r"step 2: parameter 'encoder\.weight'.*charge"):
        descent.step([g * float("nan") for g in channel.ask()])


def test_latent_noise_is_drawn_anew_for_every_loss() -> None:
    model = vae.build(LAYOUT, options={"units": 6.0}, rng=np.random.default_rng(1))
    with torch.no_grad():
        model.logits.weight.fill_(0.5).mul_(torch.arange(5.0)[:, None])
    loss = objective(vae, rng=np.random.default_rng(2))
    codes = _codes()
    assert not torch.equal(loss(model, codes), loss(model, codes))
