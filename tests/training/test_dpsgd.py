"""The training loop: what a gradient step hands out, and that training learns what it should."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from dpsynth.encoding.codec import CategoryCodec, TableCodec
from dpsynth.errors import BudgetExceeded, InputError, NonFiniteTraining
from dpsynth.generators import registry
from dpsynth.generators.base import IntArray, Layout, column_cross_entropy
from dpsynth.privacy.clipping import Clipper, PerExample, clipper_for
from dpsynth.privacy.curator import Curator, GradientChannel
from dpsynth.privacy.events import Event, GaussianEvent, SampledGaussianEvent
from dpsynth.privacy.layers import one_hot
from dpsynth.privacy.ledger import Charge, Ledger
from dpsynth.privacy.noise import seeded_noise
from dpsynth.privacy.rows import PrivateRows
from dpsynth.refinement.measured import Measured
from dpsynth.schema import Column
from dpsynth.table import Table
from dpsynth.training.descent import Channel, Descent
from dpsynth.training.dpsgd import (
    _SIMULATED_ROWS,
    Aids,
    _independent_rows,
    descend,
    public_clip_norm,
    train,
)
from dpsynth.training.options import TrainingOptions

SIZES = (3, 3)
ROWS = 2_000
LAYOUT = Layout(SIZES, (np.full(3, 1 / 3), np.full(3, 1 / 3)), float(ROWS))


def _codec() -> TableCodec:
    def part(name: str) -> CategoryCodec:
        return CategoryCodec(
            column=Column(name=name, kind="categorical", categories=("a", "b", "c")),
            categories=("a", "b", "c"),
            codes=np.arange(3),
            weights=np.ones(3),
            other=None,
            missing=None,
            fallback=0,
        )

    return TableCodec((part("x"), part("y")))


def _curator(
    event: Event, *, seed: int = 0, unit: str | None = None, agreeing: float = 0.85
) -> Curator:
    """Two columns of three categories that agree (in 90 % of the rows), over one charge."""
    rng = np.random.default_rng(11)
    x = rng.integers(0, 3, ROWS)
    y = np.where(rng.random(ROWS) < agreeing, x, rng.integers(0, 3, ROWS))
    letters = np.array(["a", "b", "c"])
    frame = pd.DataFrame({"x": letters[x], "y": letters[y], "id": np.arange(ROWS) // 2})
    rows = PrivateRows(Table.from_frame(frame), unit=unit, max_rows_per_unit=2, rng=rng)
    book = Ledger.open("sqlite://", dataset="t", epsilon=1e9, delta=0.1)
    reserved = book.reserve([Charge("g", event)], release="r")
    return Curator(rows, reservation=reserved, noise=seeded_noise(seed))


def _flagship() -> nn.Module:
    return registry.load("autoregressive").build(
        LAYOUT, options={"hidden": 0.0, "hidden_scale": 0.25}, rng=np.random.default_rng(0)
    )


def _norm(model: nn.Module, rows: IntArray, *, quantile: float) -> float:
    loss = registry.load("autoregressive").per_example_loss
    return public_clip_norm(model, loss, rows, quantile=quantile)


def _descent(
    model: nn.Module, channel: Channel, *, rows: float, options: TrainingOptions
) -> Descent:
    return Descent(
        registry.load("autoregressive"),
        model,
        rows=rows,
        channel=channel,
        options=options,
        rng=np.random.default_rng(0),
    )


def _clipper(model: nn.Module, name: str = "autoregressive", norm: float = 1.0) -> Clipper:
    return clipper_for(model, registry.load(name).per_example_loss, max_grad_norm=norm)


def test_no_step_beyond_the_charge() -> None:
    model = _flagship()
    curator = _curator(GaussianEvent(noise_multiplier=1.0, steps=3))
    channel = curator.gradients(model, _clipper(model), _codec(), label="g")
    for _ in range(3):
        channel.ask()
    with pytest.raises(BudgetExceeded, match="all 3 gradient steps"):
        channel.ask()
    with pytest.raises(BudgetExceeded):
        curator.gradients(model, _clipper(model), _codec(), label="g")
    assert repr(channel) == "GradientChannel(steps=3, taken=3)"


def test_noise_has_the_scale_of_the_charge_and_spares_masked_entries() -> None:
    """Kolmogorov-Smirnov on 300 answers: fits its scale, and not 2/3 or 3/2 of it."""
    multiplier, norm, steps = 5.0, 0.7, 300
    model = _flagship()
    clipper = _clipper(model, norm=norm)
    curator = _curator(GaussianEvent(noise_multiplier=multiplier, steps=steps))
    channel = curator.gradients(model, clipper, _codec(), label="g")
    exact = clipper.clipped_sum(channel._codes)
    noise: list[Tensor] = []
    for _ in range(steps):
        for noisy, total, mask in zip(channel.ask(), exact, clipper.masks(), strict=True):
            assert not noisy[~mask].any()
            noise.append((noisy - total)[mask])
    assert any(not mask.all() for mask in clipper.masks())
    sample = torch.cat(noise).numpy() / (multiplier * norm)
    assert stats.kstest(sample, stats.norm.cdf).pvalue > 1e-4
    for wrong in (2 / 3, 3 / 2):
        assert stats.kstest(sample / wrong, stats.norm.cdf).pvalue < 1e-9


def test_poisson_batches_have_the_right_size_and_vary() -> None:
    """Mean of 300 batches within five standard errors; the spread is the binomial one."""
    model = _flagship()
    event = SampledGaussianEvent(noise_multiplier=1.0, sample_rate=0.2, steps=1)
    channel = _curator(event).gradients(model, _clipper(model), _codec(), label="g")
    sizes = np.array([len(channel._batch()) for _ in range(300)])
    spread = np.sqrt(ROWS * 0.2 * 0.8)
    assert abs(sizes.mean() - 0.2 * ROWS) < 5 * spread / np.sqrt(300)
    assert sizes.std() == pytest.approx(spread, rel=0.25)


def test_poisson_batches_of_units_with_several_rows_are_refused() -> None:
    model = _flagship()
    event = SampledGaussianEvent(noise_multiplier=1.0, sample_rate=0.2, steps=1)
    with pytest.raises(InputError, match="full batches"):
        _curator(event, unit="id").gradients(model, _clipper(model), _codec(), label="g")


@pytest.mark.parametrize("agreeing", [0.0, 1.0])
def test_training_clips_by_the_public_norm_whatever_the_rows(
    agreeing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    asked = Curator.gradients

    def spy(
        self: Curator, model: nn.Module, clipper: Clipper, *rest: object, label: str, taken: int
    ) -> object:
        norms.append(clipper.max_grad_norm)
        return asked(self, model, clipper, *rest, label=label, taken=taken)  # type: ignore[arg-type]

    monkeypatch.setattr(Curator, "gradients", spy)
    generator, options = registry.load("autoregressive"), TrainingOptions(steps=1)
    train(
        generator,
        LAYOUT,
        curator=_curator(GaussianEvent(noise_multiplier=1.0), agreeing=agreeing),
        codec=_codec(),
        label="g",
        options=options,
        rng=np.random.default_rng(1),
    )
    rng = np.random.default_rng(1)
    model = generator.build(LAYOUT, options=options.generator_options, rng=rng)
    simulated = _independent_rows(LAYOUT, rng=rng)
    expected = _norm(model, simulated, quantile=options.clip_quantile)
    assert norms == [expected]


def _fitted_agreement(name: str) -> float:
    """Share of sampled rows whose two columns agree, after training at hardly any noise."""
    steps = 60
    curator = _curator(GaussianEvent(noise_multiplier=0.5, steps=steps))
    model = train(
        registry.load(name),
        LAYOUT,
        curator=curator,
        codec=_codec(),
        label="g",
        options=TrainingOptions(steps=steps),
        rng=np.random.default_rng(1),
    )
    codes = registry.load(name).sample(model, 4_000, rng=np.random.default_rng(2))
    return float((codes[:, 0] == codes[:, 1]).mean())


def test_the_flagship_learns_a_pairwise_dependence_and_independence_does_not() -> None:
    """The columns agree in 90 % of the rows; independent ones would in a third."""
    assert _fitted_agreement("autoregressive") > 0.8
    assert _fitted_agreement("independent") == pytest.approx(1 / 3, abs=0.05)


class _Stuck(GradientChannel):
    """A channel whose second answer is not finite."""

    def ask(self) -> list[Tensor]:
        answers = super().ask()
        return [a * float("nan") for a in answers] if self._taken == 2 else answers


def test_weights_that_are_not_finite_stop_training() -> None:
    model = _flagship()
    codes = torch.zeros((8, 2), dtype=torch.int64)
    channel = _Stuck(
        clipper=_clipper(model),
        codes=codes,
        steps=5,
        sample_rate=1.0,
        scale=1.0,
        noise=seeded_noise(0),
    )
    name = next(n for n, p in model.named_parameters() if p.requires_grad)
    with pytest.raises(NonFiniteTraining, match=rf"step 2: parameter '{name}'"):
        descend(_descent(model, channel, rows=8.0, options=TrainingOptions(steps=5)), channel)


class _Bottleneck(nn.Module):
    """One-hot rows through two units and back to logits: any torch module will do."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Linear(sum(SIZES), 4)
        self.norm = nn.LayerNorm(4)
        self.up = nn.Linear(4, sum(SIZES))

    def forward(self, rows: Tensor) -> Tensor:
        return self.up(torch.tanh(self.norm(self.down(rows))))


def _bottleneck_loss(model: nn.Module, codes: Tensor) -> Tensor:
    return column_cross_entropy(model(one_hot(codes, SIZES)), codes, SIZES)


def test_any_torch_module_trains_through_opacus() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _Bottleneck()
    clipper = clipper_for(model, _bottleneck_loss, max_grad_norm=1.0)
    assert isinstance(clipper, PerExample)
    steps = 40
    curator = _curator(GaussianEvent(noise_multiplier=0.5, steps=steps))
    channel = curator.gradients(model, clipper, _codec(), label="g")
    before = float(_bottleneck_loss(model, channel._codes).detach().mean())
    seen: list[tuple[int, int]] = []
    options = TrainingOptions(steps=steps, averaging=0.8)
    descend(
        _descent(model, channel, rows=float(ROWS), options=options),
        channel,
        progress=lambda label, done, total: seen.append((done, total)),
    )
    after = float(_bottleneck_loss(model, channel._codes).detach().mean())
    assert after < 0.5 * before
    assert seen == [(i, steps) for i in range(1, steps + 1)]


def test_the_clip_norm_is_a_function_of_public_facts() -> None:
    """It takes no private rows; the same simulated rows give the same norm, others another."""

    def norm(layout: Layout, quantile: float = 0.5) -> float:
        simulated = _independent_rows(layout, rng=np.random.default_rng(5))
        return _norm(_flagship(), simulated, quantile=quantile)

    skewed = Layout(SIZES, (np.array([0.98, 0.01, 0.01]), np.array([0.9, 0.05, 0.05])), 1.0)
    assert norm(LAYOUT) == norm(LAYOUT)
    assert 0.01 <= norm(LAYOUT) < np.sqrt(2 * 2 + 2)  # the a-priori bound: sqrt(2 (1 + 1) + 2)
    assert norm(skewed) > 0
    assert norm(LAYOUT, 0.1) <= norm(LAYOUT)


def test_simulated_rows_follow_the_noisy_marginals() -> None:
    """Within five standard errors of each share; codes without a share do not come up."""
    one_way = (np.array([0.7, 0.3, 0.0]), np.array([0.1, 0.2, 0.7]))
    rows = _independent_rows(Layout(SIZES, one_way, 100.0), rng=np.random.default_rng(1))
    for column, share in enumerate(one_way):
        found = np.bincount(rows[:, column], minlength=3) / len(rows)
        assert np.all(np.abs(found - share) <= 5 * np.sqrt(share / len(rows)))


AGREEING = 0.9 * np.eye(3) / 3 + 0.05 * (1 - np.eye(3)) / 3
"""Shares of the codes of the private table, in which the columns agree in 90 % of the rows."""
MEASURED = Measured(
    rows=float(ROWS),
    one_way=(AGREEING.sum(axis=1), AGREEING.sum(axis=0)),
    one_way_std=1.0,
    pairs=((0, 1),),
    tables=(ROWS * AGREEING,),
    std=1.0,
)
PAIRED = Layout(SIZES, MEASURED.one_way, float(ROWS), ((0, 1),))


class _Watched:
    """The flagship, whose state is kept after adoption and before refinement."""

    def __init__(self) -> None:
        self._flagship = registry.load("autoregressive")
        self.adopted: dict[str, Tensor] = {}
        self.trained: dict[str, Tensor] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._flagship, name)

    def adopt(self, model: nn.Module, measured: Measured, *, rng: np.random.Generator) -> None:
        self._flagship.adopt(model, measured, rng=rng)  # type: ignore[attr-defined]
        self.adopted = {k: v.clone() for k, v in model.state_dict().items()}

    def refine(self, model: nn.Module, measured: Measured, *, rng: np.random.Generator) -> None:
        self.trained = {k: v.clone() for k, v in model.state_dict().items()}
        self._flagship.refine(model, measured, rng=rng)  # type: ignore[attr-defined]


def _trained_on_pairs(
    *, hidden: int, noise: float, agreeing: float = 0.85, floor: float = 0.0
) -> _Watched:
    steps, watched = 20, _Watched()
    train(
        watched,  # type: ignore[arg-type]
        PAIRED,
        curator=_curator(GaussianEvent(noise_multiplier=noise, steps=steps), agreeing=agreeing),
        codec=_codec(),
        label="g",
        options=TrainingOptions(
            steps=steps, hidden=hidden, gradient_share=0.5, noise_floor=floor, hidden_scale=1.0
        ),
        rng=np.random.default_rng(1),
        aids=Aids(measured=MEASURED),
    )
    return watched


def _moved(watched: _Watched, part: str) -> float:
    return max(
        float((watched.trained[key] - value).abs().max())
        for key, value in watched.adopted.items()
        if key.startswith(part)
    )


def test_beside_a_branch_the_measured_tables_stay_as_adopted() -> None:
    watched = _trained_on_pairs(hidden=4, noise=1.0)
    assert _moved(watched, "tables") == 0.0
    assert _moved(watched, "outer") > 0.0


def test_without_a_branch_training_moves_the_tables() -> None:
    assert _moved(_trained_on_pairs(hidden=0, noise=1.0), "tables") > 0.0


def test_weights_of_mere_noise_move_little_above_the_noise_floor() -> None:
    """Noise far above every gradient: the floor keeps the branch nearer to where it was.

    Without it Adam's steps have one size whatever the signal: the outer weights move as far.
    """
    free = _moved(_trained_on_pairs(hidden=4, noise=1e5), "outer")
    held = _moved(_trained_on_pairs(hidden=4, noise=1e5, floor=10.0), "outer")
    assert held < 0.2 * free


@pytest.mark.parametrize("agreeing", [0.0, 1.0])
def test_with_measured_pairs_too_the_clip_norm_comes_from_public_rows(
    agreeing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two private tables as different as can be, one norm."""
    norms: list[float] = []
    asked = Curator.gradients

    def spy(
        self: Curator, model: nn.Module, clipper: Clipper, *rest: object, label: str, taken: int
    ) -> object:
        norms.append(clipper.max_grad_norm)
        return asked(self, model, clipper, *rest, label=label, taken=taken)  # type: ignore[arg-type]

    monkeypatch.setattr(Curator, "gradients", spy)
    _trained_on_pairs(hidden=4, noise=1.0, agreeing=agreeing)
    generator, rng = registry.load("autoregressive"), np.random.default_rng(1)
    model = generator.build(PAIRED, options={"hidden": 4.0, "hidden_scale": 1.0}, rng=rng)
    _independent_rows(PAIRED, rng=rng)
    generator.adopt(model, MEASURED, rng=rng)  # type: ignore[attr-defined]
    simulated = generator.sample(model, _SIMULATED_ROWS, rng=rng)
    assert norms == [_norm(model, simulated, quantile=0.5)]


def test_refinement_comes_after_training_and_keeps_the_pair() -> None:
    """Rows of the refined model agree as measured, although training pulled elsewhere."""
    watched = _trained_on_pairs(hidden=4, noise=1.0, agreeing=0.0)
    model = registry.load("autoregressive").build(
        PAIRED, options={"hidden": 4.0, "hidden_scale": 1.0}, rng=np.random.default_rng(1)
    )
    model.load_state_dict(watched.trained)
    watched.refine(model, MEASURED, rng=np.random.default_rng(2))
    codes = registry.load("autoregressive").sample(model, 4_000, rng=np.random.default_rng(2))
    assert (codes[:, 0] == codes[:, 1]).mean() == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("sample_rate", [1.0, 0.2])
def test_the_public_stream_does_not_tell_how_many_rows_were_drawn_for(sample_rate: float) -> None:
    """Whoever knows the seed of `rng` must not read the private row count off its later numbers."""
    options = TrainingOptions(steps=2, sample_rate=sample_rate, learning_rate=0.01, units=8)
    event: Event = GaussianEvent(noise_multiplier=1.0, steps=2)
    if sample_rate < 1.0:
        event = SampledGaussianEvent(noise_multiplier=1.0, sample_rate=sample_rate, steps=2)
    after = []
    for seed, count in ((0, ROWS), (1, ROWS - 1)):
        curator = _curator(event, seed=seed)
        curator._rows._table = curator._rows._table.take(np.arange(count))
        rng = np.random.default_rng(5)
        train(
            registry.load("vae"),
            LAYOUT,
            curator=curator,
            codec=_codec(),
            label="g",
            options=options,
            rng=rng,
        )
        after.append(rng.bit_generator.state)
    assert after[0] == after[1]
