"""Networks through the library's door: sizes they cannot learn, odd tables, devices, choice."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from dpsynth.cli_shared import checked_device, chosen_generator
from dpsynth.errors import InputError
from dpsynth.fitted import FittedModel
from dpsynth.generators import registry
from dpsynth.generators.choice import choose
from dpsynth.plan import make_plan, smallest_epsilon
from dpsynth.privacy.noise import seeded_noise
from dpsynth.schema import Column, Schema
from dpsynth.synthesizer import Synthesizer
from dpsynth.training.options import TrainingOptions

NETWORKS = ("diffusion", "gan", "vae")
QUICK = {"steps": 3, "rehearsals": 3, "units": 8, "looks": 1}


def _schema(*names: str) -> Schema:
    return Schema(columns=tuple(Column(name=n, kind="integer", lower=0, upper=9) for n in names))


def _frame(rows: int, *names: str, constant: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {n: np.zeros(rows, int) if constant else rng.integers(0, 10, rows) for n in names}
    )


def _fit(generator: str, frame: pd.DataFrame, schema: Schema, **settings: object) -> FittedModel:
    chosen = TrainingOptions(**{"gradient_share": 0.7, **QUICK, **settings})  # type: ignore[arg-type]
    return Synthesizer(epsilon=20.0, schema=schema, generator=generator, training=chosen).fit(
        frame, noise=seeded_noise(0), rng=np.random.default_rng(0)
    )


@pytest.mark.parametrize("generator", NETWORKS)
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_a_single_column_and_constant_ones_are_learned(
    generator: str, constant: bool, names: tuple[str, ...]
) -> None:
    model = _fit(generator, _frame(800, *names, constant=constant), _schema(*names))
    drawn = model.sample(300, seed=0)
    assert list(drawn.columns) == list(names)
    assert drawn["a"].dropna().between(0, 9).all()
    if constant:
        assert (drawn["a"] == 0).mean() > 0.9


@pytest.mark.parametrize("generator", NETWORKS)
def test_a_table_too_small_names_an_epsilon_that_would_do_and_another_generator(
    generator: str,
) -> None:
    schema, frame = _schema("a", "b"), _frame(180, "a", "b")
    training = TrainingOptions.recommended(epsilon=2.0, generator=generator)
    settings = Synthesizer(epsilon=2.0, schema=schema, generator=generator, training=training)
    ledger = settings.own_ledger()
    message = rf"too few to train {generator} .*smallest epsilon that would do is about .*autoregr"
    with pytest.raises(InputError, match=message):
        Synthesizer(
            epsilon=2.0, schema=schema, generator=generator, training=training, ledger=ledger
        ).fit(frame, noise=seeded_noise(0))
    assert ledger.spent() > 0.0  # the noisy count was looked at


def test_the_named_epsilon_is_heard_and_half_of_it_is_not() -> None:
    columns = _schema("a", "b").modelled
    plan = make_plan(columns, epsilon=1.0, delta=1e-5, generator="vae")
    named = smallest_epsilon(plan, rows=400.0, max_rows_per_unit=1, weights=70_000)
    for epsilon, heard in ((named * 1.05, True), (named / 2, False)):
        trial = make_plan(columns, epsilon=epsilon, delta=1e-5, generator="vae")
        assert trial.hears(70_000, rows=400.0, max_rows_per_unit=1) is heard


@pytest.mark.parametrize("generator", NETWORKS)
def test_units_of_several_rows_are_trained_on_full_batches(generator: str) -> None:
    assert TrainingOptions.recommended(epsilon=1.0, generator=generator).sample_rate < 1.0
    several = TrainingOptions.recommended(epsilon=1.0, generator=generator, max_rows_per_unit=3)
    assert several.sample_rate == 1.0


@pytest.mark.parametrize("generator", NETWORKS)
def test_charges_are_the_same_whatever_the_device_or_the_chunks(
    generator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpsynth.privacy import ghost

    plans = [
        Synthesizer(
            epsilon=1.0,
            generator=generator,
            training=TrainingOptions(steps=5, sample_rate=0.5, device=device),
        ).plan(["a", "b"])
        for device in ("cpu", "cuda")
    ]
    assert plans[0].charges == plans[1].charges
    events = []
    for floats in (2**9, 2**23):
        monkeypatch.setattr(ghost, "_FLOATS_AT_ONCE", floats)
        model = _fit(generator, _frame(500, "a", "b"), _schema("a", "b"))
        events.append(model.statement().events)
    assert events[0] == events[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("generator", NETWORKS)
def test_a_network_trains_on_cuda_and_comes_back(generator: str) -> None:
    model = _fit(generator, _frame(500, "a", "b"), _schema("a", "b"), device="cuda")
    assert all(p.device.type == "cpu" for p in model.model.parameters())
    assert len(model.sample(50, seed=0)) == 50


def test_devices_that_are_not_there_are_refused() -> None:
    assert checked_device("cpu", "vae") == "cpu"
    with pytest.raises(InputError, match="allowed: cpu, cuda"):
        checked_device("tpu", "vae")
    with pytest.raises(InputError, match="on the CPU alone"):
        checked_device("cuda", "autoregressive")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            checked_device("cuda", "vae")


def test_auto_follows_the_rule_and_every_choice_is_installed() -> None:
    for columns in (None, 1, 2, 100):
        assert choose(columns=columns).generator in registry.names()
    assert chosen_generator("auto", None) == choose(columns=None).generator
    assert chosen_generator("auto", _schema("a")) == choose(columns=1).generator
    assert chosen_generator("vae", None) == "vae"


@pytest.mark.parametrize("generator", NETWORKS)
def test_a_network_is_saved_and_draws_the_same_again(generator: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = _fit(generator, _frame(500, "a", "b"), _schema("a", "b"))
    model.save(tmp_path / "model")
    again = FittedModel.load(tmp_path / "model")
    assert again.watched == json.loads(json.dumps(model.watched))
    pd.testing.assert_frame_equal(model.sample(200, seed=3), again.sample(200, seed=3))
