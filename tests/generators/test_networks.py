"""What is particular to the networks: each learns a relation, and its parts do as they say."""

import numpy as np
import pytest
import torch
from torch import Tensor

from dpsynth.generators import diffusion, gan, registry, vae
from dpsynth.generators.base import Layout
from dpsynth.privacy.clipping import clipper_for
from dpsynth.privacy.ghost import Ghost
from dpsynth.refinement.measured import Measured
from dpsynth.training.objective import objective
from dpsynth.training.options import TrainingOptions
from dpsynth.training.public import rehearse

SIZES = (4, 3, 5)
POSITIONS = (np.arange(4.0), None, np.array([5.0, 1.0, 2.0, np.nan, 4.0]))
NETWORKS = ("diffusion", "gan", "vae")


def _rows(count: int, seed: int = 0) -> np.ndarray:
    """The first column decides the second; the third goes its own way."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 4, count)
    second = np.where(rng.random(count) < 0.9, np.minimum(first, 2), rng.integers(0, 3, count))
    return np.stack([first, second, rng.choice(5, count, p=[0.5, 0.2, 0.15, 0.1, 0.05])], axis=1)


def _layout() -> Layout:
    rows = _rows(20_000, seed=5)
    one_way = tuple(np.bincount(rows[:, j], minlength=s) / len(rows) for j, s in enumerate(SIZES))
    return Layout(SIZES, one_way, 5_000.0, None, POSITIONS)


def _agreement(codes: np.ndarray) -> float:
    return float((np.minimum(codes[:, 0], 2) == codes[:, 1]).mean())


OPTIONS = {
    "vae": TrainingOptions(learning_rate=0.01, rehearsals=250, units=32),
    "diffusion": TrainingOptions(learning_rate=0.01, rehearsals=200, units=32),
    "gan": TrainingOptions(
        learning_rate=0.01, maker_rate=0.01, rehearsals=250, units=32, betas=(0.5, 0.9)
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_learns_a_relation_from_public_rows(name: str) -> None:
    """Columns agree in 93 % of the rows, independent ones would in a third."""
    generator, options = registry.load(name), OPTIONS[name]
    model = generator.build(
        _layout(), options=options.generator_options, rng=np.random.default_rng(1)
    )
    before = _agreement(generator.sample(model, 4_000, rng=np.random.default_rng(2)))
    rehearse(generator, model, _rows(5_000), options=options, rng=np.random.default_rng(3))
    after = _agreement(generator.sample(model, 4_000, rng=np.random.default_rng(2)))
    assert before < 0.5
    assert after > 0.7


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_clipped_by_ghost_norms(name: str) -> None:
    generator = registry.load(name)
    model = generator.build(_layout(), options={"units": 8.0}, rng=np.random.default_rng(1))
    loss = objective(generator, rng=np.random.default_rng(0))
    assert isinstance(clipper_for(model, loss, max_grad_norm=1.0), Ghost)


def test_encoder_and_decoder_are_both_private() -> None:
    """Every weight of the autoencoder is trained through the clipper; none goes around it."""
    model = vae.build(_layout(), options={"units": 8.0}, rng=np.random.default_rng(1))
    loss = objective(vae, rng=np.random.default_rng(0))
    clipper = clipper_for(model, loss, max_grad_norm=1.0)
    assert len(clipper.masks()) == len(list(model.parameters()))
    assert {n.split(".")[0] for n, _ in model.named_parameters()} >= {"encoder", "decoder"}


def test_only_the_critic_is_trained_from_rows() -> None:
    model = gan.build(_layout(), options={"units": 8.0}, rng=np.random.default_rng(1))
    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"critic"}
    codes = torch.from_numpy(_rows(9))
    maker = gan.maker_parameters(model)
    for parameter in maker:
        parameter.requires_grad_(True)
    grads = torch.autograd.grad(gan.per_example_loss(model, codes).sum(), maker, allow_unused=True)
    assert all(grad is None for grad in grads)


def test_given_codes_come_by_their_noisy_frequencies() -> None:
    """A given column's codes come near their share; draws are spread out."""
    model = gan.build(_layout(), options={"units": 8.0}, rng=np.random.default_rng(1))
    columns = np.repeat([0, 1, 2], 1_000)
    given = model._given(columns, np.random.default_rng(0))
    assert torch.equal(given.sum(1), torch.ones(3_000))
    first = 0
    for column, share in enumerate(_layout().one_way):
        counts = given[columns == column, first : first + len(share)].sum(0).numpy()
        assert np.abs(counts - 1_000 * share).max() < 40  # 1,000 draws that are spread out
        first += len(share)


def test_a_maker_that_is_held_to_pairs_makes_them() -> None:
    """With the critic's opinion left out, the noisy table alone teaches the relation."""
    rows = _rows(20_000, seed=5)
    counts = np.zeros((4, 3))
    np.add.at(counts, (rows[:, 0], rows[:, 1]), 0.25)
    layout = _layout()
    measured = Measured(5_000.0, layout.one_way, 5.0, ((0, 1),), (counts,), 5.0)
    model = gan.build(layout, options={"units": 32.0}, rng=np.random.default_rng(1))
    gan.adopt(model, measured, rng=np.random.default_rng(0))
    rng = np.random.default_rng(4)
    maker = gan.maker_parameters(model)
    for parameter in maker:
        parameter.requires_grad_(True)
    adam = torch.optim.Adam(maker, lr=3e-3)
    for _ in range(150):
        adam.zero_grad()
        gan._mismatch(model, model.logits(1_024, rng=rng)).backward()
        adam.step()
    assert _agreement(gan.sample(model, 4_000, rng=np.random.default_rng(2))) > 0.8


def test_made_rows_are_whole_codes_with_a_gradient() -> None:
    model = gan.build(_layout(), options={"units": 8.0}, rng=np.random.default_rng(1))
    logits = torch.randn(50, sum(SIZES), generator=torch.Generator().manual_seed(0))
    logits.requires_grad_(True)
    rows = gan._made(model, logits, rng=np.random.default_rng(0))
    assert torch.allclose(rows.detach().round(), rows.detach(), atol=1e-6)
    assert torch.allclose(rows.detach().sum(1), torch.full((50,), 3.0))
    (slope,) = torch.autograd.grad((rows * torch.arange(float(sum(SIZES)))).sum(), logits)
    assert slope.abs().sum() > 0


def test_an_untrained_denoiser_says_what_a_code_says_of_itself() -> None:
    """Bayes: p(c) q(c_t | c), by brute force over the clean codes."""
    model = diffusion.build(_layout(), options={"units": 8.0}, rng=np.random.default_rng(1))
    share = model.shares
    time = torch.tensor([0.3])
    kept = float(diffusion.signal(time))
    for present in range(3):
        _, logits = model(torch.zeros(1, 2), torch.tensor([[present]]), time)
        like = torch.tensor([(1 - kept) * float(share[present])] * 3)
        like[present] += kept
        expected = share * like / (share * like).sum()
        torch.testing.assert_close(logits[0].softmax(0), expected, rtol=1e-4, atol=1e-6)


def test_a_step_back_of_codes_is_the_posterior_by_brute_force() -> None:
    model = diffusion.build(_layout(), options={"units": 8.0}, rng=np.random.default_rng(1))
    share, left, after = model.shares.double(), torch.tensor(0.4), torch.tensor(0.7)
    guess = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    alpha = float(left / after)
    for present in range(3):
        found = diffusion._posterior(
            model, torch.tensor([[present]]), guess.log().float()[None], left, after
        )
        total = torch.zeros(3, dtype=torch.float64)
        for clean in range(3):
            joint = torch.zeros(3, dtype=torch.float64)
            for earlier in range(3):
                first = float(after) * (clean == earlier) + (1 - float(after)) * share[earlier]
                second = alpha * (earlier == present) + (1 - alpha) * share[present]
                joint[earlier] = first * second
            total += guess[clean] * joint / joint.sum()
        torch.testing.assert_close(found[0].double().softmax(0), total, rtol=1e-4, atol=1e-6)


def test_diffusion_of_numbers_alone_and_of_categories_alone_works() -> None:
    for positions in ((np.arange(3.0), np.arange(2.0)), (None, None), None):
        layout = Layout((3, 2), (np.full(3, 1 / 3), np.full(2, 0.5)), 100.0, None, positions)
        model = diffusion.build(layout, options={"units": 8.0}, rng=np.random.default_rng(1))
        codes = diffusion.sample(model, 200, rng=np.random.default_rng(0))
        assert codes.shape == (200, 2)
        draws = diffusion.draws(model, 200, rng=np.random.default_rng(0))
        losses = diffusion.per_example_loss(model, torch.from_numpy(codes), draws)
        assert bool(torch.isfinite(losses).all())


def test_more_times_a_row_leave_its_expected_loss_and_calm_it() -> None:
    codes = torch.from_numpy(_rows(4_000))

    def losses(times: float) -> Tensor:
        options = {"units": 8.0, "times": times}
        model = diffusion.build(_layout(), options=options, rng=np.random.default_rng(1))
        draws = diffusion.draws(model, len(codes), rng=np.random.default_rng(0))
        return diffusion.per_example_loss(model, codes, draws).detach()

    one, eight = losses(1.0), losses(8.0)
    error = float((one.var() / len(codes) + eight.var() / len(codes)).sqrt())
    assert abs(float(one.mean() - eight.mean())) < 4 * error
    assert float(eight.std()) < 0.6 * float(one.std())
