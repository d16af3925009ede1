"""Repair: plain rows of any generator that cannot refine itself agree with what was measured."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from dpsynth.fitted import FittedModel
from dpsynth.generators import autoregressive, independent, registry
from dpsynth.generators.base import Layout
from dpsynth.privacy.noise import seeded_noise
from dpsynth.refinement.measured import Measured
from dpsynth.refinement.simulated import counts
from dpsynth.replicates import draw_codes
from dpsynth.sampling import repaired
from dpsynth.sampling.blocks import cut
from dpsynth.sampling.repaired import POOL, Repair, repair_for
from dpsynth.schema import Column, Schema
from dpsynth.synthesizer import Synthesizer
from dpsynth.training.options import TrainingOptions

Codes = NDArray[np.int64]
SIZES = (3, 4, 1)
LAYOUT = Layout(SIZES, tuple(np.full(s, 1 / s) for s in SIZES), 5_000.0)
BARE: Any = SimpleNamespace(NAME="bare")


def _truth() -> NDArray[np.float64]:
    """Counts of two dependent columns; none is over twice as likely as its even share."""
    law = np.random.default_rng(1).uniform(0.4, 1.6, (3, 4))
    return np.asarray(5_000.0 * law / law.sum())


def _measured() -> Measured:
    table = _truth()
    shares = (table.sum(1) / 5_000, table.sum(0) / 5_000, np.ones(1))
    return Measured(5_000.0, shares, 1.0, ((0, 1),), (table,), 1.0)


def _uniform(seed: int) -> Callable[[int], Codes]:
    """A model that knows nothing."""
    rng = np.random.default_rng(seed)
    return lambda count: np.stack([rng.integers(0, s, count) for s in SIZES], axis=1)


def _apart(codes: Codes) -> float:
    table = counts(codes, (0, 1), SIZES) / len(codes)
    return float(0.5 * np.abs(table - _truth() / 5_000).sum())


def _stream() -> np.random.Generator:
    return np.random.default_rng(0)


def test_repaired_rows_agree_with_what_was_measured() -> None:
    made = Repair(_measured()).codes(_uniform(1), 5_000, rng=_stream())
    assert made.codes.shape == (5_000, 3)
    assert _apart(_uniform(1)(5_000)) > 0.12  # control
    assert _apart(made.codes) < 0.03
    assert made.drawn == POOL * 5_000
    assert made.effective <= 5_000
    assert made.probability == 1.0


def test_no_row_is_picked_twice() -> None:
    """Rows told apart by a column that the repair does not see."""
    labels = np.arange(15_000)

    def draw(count: int) -> Codes:
        return np.column_stack([_uniform(1)(count), labels[:count]])

    wide = replace(_measured(), one_way=(*_measured().one_way, np.full(15_000, 1 / 15_000)))
    made = Repair(wide).codes(draw, 5_000, rng=_stream())
    assert made.distinct == len(np.unique(made.codes[:, 3])) == 5_000


@pytest.mark.parametrize("rows", [1, 10])
def test_few_rows_come_from_a_pool_that_says_enough(rows: int) -> None:
    made = Repair(_measured()).codes(_uniform(1), rows, rng=_stream())
    assert made.codes.shape == (rows, 3)
    assert made.drawn >= 5_000
    assert made.effective == rows


def test_many_rows_come_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    model = _uniform(1)

    def draw(count: int) -> Codes:
        asked.append(count)
        return model(count)

    monkeypatch.setattr(repaired, "cut", partial(cut, most=4_000))
    made = Repair(_measured()).codes(draw, 10_001, rng=_stream())
    assert made.codes.shape == (10_001, 3)
    assert asked == [10_002, 10_002, 9_999]
    assert made.drawn == sum(asked)
    assert _apart(made.codes) < 0.03


def test_a_seed_repeats_the_rows() -> None:
    one, two, other = (
        Repair(_measured()).codes(_uniform(s), 500, rng=np.random.default_rng(s)).codes
        for s in (4, 4, 5)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_who_is_repaired() -> None:
    def rule(generator: Any, measured: Measured | None) -> Repair | None:
        return repair_for(generator, LAYOUT, measured, one_way_std=7.0)

    assert rule(autoregressive, _measured()) is None
    assert rule(autoregressive, None) is None
    assert rule(independent, None) is None
    assert rule(independent, _measured()) is not None
    found = rule(BARE, _measured())
    assert found is not None
    assert len(found.measured.pairs) == 1
    alone = rule(BARE, None)
    assert alone is not None
    assert (alone.measured.pairs, alone.measured.one_way_std) == ((), 7.0)
    assert alone.measured.one_way is LAYOUT.one_way


NAMES = ("a", "b", "constant")


def _schema(names: tuple[str, ...]) -> Schema:
    categories = {"a": ("0", "1", "2"), "b": ("0", "1", "2", "3"), "constant": ("0",)}
    return Schema(
        columns=tuple(
            Column(name=n, kind="categorical", categories=categories[n], nullable=False)
            for n in names
        )
    )


def _fit(names: tuple[str, ...], *, generator: str = "vae", share: float = 0.3) -> FittedModel:
    """A model that has hardly been trained, of rows whose second column follows the first."""
    rng = np.random.default_rng(0)
    first = rng.choice(3, 3_000, p=[0.6, 0.3, 0.1])
    second = np.where(rng.random(3_000) < 0.7, first, rng.integers(0, 4, 3_000))
    columns = {"a": first, "b": second, "constant": np.zeros(3_000, dtype=np.int64)}
    frame = pd.DataFrame({n: columns[n].astype(str) for n in names})
    training = TrainingOptions(steps=2, gradient_share=share, units=8, rehearsals=0)
    settings = Synthesizer(
        epsilon=5.0, schema=_schema(names), generator=generator, training=training
    )
    return settings.fit(frame, rng=np.random.default_rng(1), noise=seeded_noise(2))


@pytest.fixture(scope="module")
def made() -> FittedModel:
    return _fit(NAMES)


def _bare(model: FittedModel) -> FittedModel:
    """The model whose rows stay as they are drawn."""
    bare = replace(model)
    bare.__dict__["sampler"] = replace(model.sampler, repair=None)
    return bare


def _to_measured(model: FittedModel, codes: Codes) -> float:
    """Total variation between a table of the first two columns and the noisy one."""
    assert model.measured is not None
    table = counts(codes, (0, 1), model.measured.sizes) / len(codes)
    return float(0.5 * np.abs(table - model.measured.tables[0] / model.measured.rows).sum())


def test_a_fitted_network_draws_repaired_rows(made: FittedModel) -> None:
    plain = draw_codes(_bare(made), 5_000, rng=_stream())
    assert _to_measured(made, plain) > 0.2  # control
    assert _to_measured(made, draw_codes(made, 5_000, rng=_stream())) < 0.1
    parts = list(made.sample_parts(2_000, seed=1))
    assert len(parts[0].frame) == 2_000
    assert parts[0].drawn == repaired._LEAST_POOL
    pd.testing.assert_frame_equal(parts[0].frame, made.sample(2_000, seed=1))


def test_a_condition_is_met_by_the_model_itself(made: FittedModel) -> None:
    conditions = {"a": "1"}
    found, bare = (m.sample(200, where=conditions, seed=2) for m in (made, _bare(made)))
    pd.testing.assert_frame_equal(found, bare)
    assert not made.sample(200, seed=2).equals(_bare(made).sample(200, seed=2))  # control


def test_a_single_column_is_repaired_by_its_marginal() -> None:
    model = _fit(("a",))
    repair = model.sampler.repair
    assert model.measured is None
    assert repair is not None
    assert 0 < repair.measured.one_way_std < 30
    codes = draw_codes(model, 5_000, rng=_stream())
    found = np.bincount(codes[:, 0], minlength=3) / 5_000
    np.testing.assert_allclose(found, model.layout.one_way[0], atol=0.02)


@pytest.mark.parametrize(("name", "share"), [("autoregressive", 0.3), ("independent", 1.0)])
def test_rows_of_the_others_stay_as_they_were(name: str, share: float) -> None:
    model = _fit(NAMES, generator=name, share=share)
    assert model.sampler.repair is None
    plain = registry.load(name).sample(model.model, 300, rng=_stream())
    np.testing.assert_array_equal(draw_codes(model, 300, rng=_stream()), plain)


def test_any_generator_without_refine_is_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    """One from elsewhere that measures pairs and does nothing with them."""
    module: Any = independent
    foreign = SimpleNamespace(
        NAME="foreign",
        SUMMARY="columns on their own",
        build=module.build,
        per_example_loss=module.per_example_loss,
        sample=module.sample,
    )
    load, names = registry.load, registry.names()
    monkeypatch.setattr(registry, "names", lambda: (*names, "foreign"))
    monkeypatch.setattr(registry, "load", lambda n: foreign if n == "foreign" else load(n))
    model = _fit(NAMES, generator="foreign")
    assert _to_measured(model, draw_codes(_bare(model), 5_000, rng=_stream())) > 0.2  # control
    assert _to_measured(model, draw_codes(model, 5_000, rng=_stream())) < 0.1
