"""The split of the budget: it adds up, never over, and depends on public facts only."""

from typing import Any

import numpy as np
import pytest

from dpsynth.errors import InputError
from dpsynth.plan import (
    COUNT,
    DISTANCES,
    FORMS,
    KNOWN_ROWS,
    MARGINALS,
    PAIRS,
    TRAINING,
    OpenColumn,
    Plan,
    PlannedColumn,
    make_plan,
    smallest_epsilon,
)
from dpsynth.privacy import accounting
from dpsynth.privacy.events import (
    GaussianEvent,
    SampledGaussianEvent,
    ThresholdedGaussianEvent,
)
from dpsynth.privacy.statement import WITNESS
from dpsynth.refinement.selection import SelectionRules
from dpsynth.schema import Column
from dpsynth.training.options import MEASURING_GENERATOR, TrainingOptions

DECLARED = (
    Column(name="age", kind="integer", lower=0, upper=120),
    Column(name="sex", kind="categorical", categories=("f", "m")),
    Column(name="ok", kind="boolean"),
)
OPEN = (OpenColumn("a"), OpenColumn("b"), Column(name="when", kind="datetime"), *DECLARED)


def _booleans(columns: int) -> tuple[PlannedColumn, ...]:
    return tuple(Column(name=f"b{k}", kind="boolean") for k in range(columns))


def _epsilon(plan: Plan) -> float:
    return accounting.epsilon([c.event for c in plan.charges], delta=plan.delta)


@pytest.mark.parametrize("columns", [DECLARED, OPEN, OPEN[:1]], ids=["declared", "open", "one"])
@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 1e-6), (1.0, 1e-5), (10.0, 1e-9)])
def test_the_charges_compose_to_the_budget(
    columns: tuple[PlannedColumn, ...], epsilon: float, delta: float
) -> None:
    plan = make_plan(columns, epsilon=epsilon, delta=delta)
    spent = _epsilon(plan)
    assert spent <= epsilon * (1 + 1e-9)
    assert spent >= epsilon * (1 - 1e-6)
    mu2 = sum(
        getattr(c.event, "steps", 1) / c.event.noise_multiplier**2
        for c in plan.charges
        if isinstance(c.event, GaussianEvent | ThresholdedGaussianEvent)
    )
    assert mu2 == pytest.approx(plan.mu**2, rel=1e-9)


def test_charges_stand_in_the_order_of_use() -> None:
    labels = [c.label for c in make_plan(OPEN, epsilon=1.0, delta=1e-5).charges]
    assert labels == [
        COUNT,
        FORMS,
        "bounds: a",
        "bounds: b",
        "bounds: when",
        "values: a",
        "values: b",
        "values: when",
        "values: age",
        MARGINALS,
        PAIRS,
        TRAINING,
    ]
    declared = [c.label for c in make_plan(DECLARED, epsilon=1.0, delta=1e-5).charges]
    assert declared == [COUNT, "values: age", MARGINALS, PAIRS, TRAINING]


def _labels(columns: tuple[PlannedColumn, ...], **options: Any) -> list[str]:
    return [c.label for c in make_plan(columns, epsilon=1.0, delta=1e-5, **options).charges]


def test_wide_tables_are_asked_first_which_pairs_depend() -> None:
    most = SelectionRules().all_up_to
    labels = _labels(_booleans(most + 1))
    assert labels == [COUNT, MARGINALS, DISTANCES, PAIRS, TRAINING]
    assert DISTANCES not in _labels(_booleans(most))


def test_a_single_column_has_no_pairs() -> None:
    assert _labels(_booleans(1)) == [COUNT, MARGINALS, TRAINING]


def test_generators_that_measure_nothing_leave_all_to_the_gradients() -> None:
    assert _labels(_booleans(40), generator="independent") == [COUNT, MARGINALS, TRAINING]
    whole = TrainingOptions(gradient_share=1.0)
    assert _labels(_booleans(40), training=whole) == [COUNT, MARGINALS, TRAINING]


@pytest.mark.parametrize("columns", [2, 5, 30, 100])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0, 10.0])
def test_the_default_split_composes_to_the_budget(columns: int, epsilon: float) -> None:
    plan = make_plan(_booleans(columns), epsilon=epsilon, delta=1e-5)
    assert epsilon * (1 - 1e-6) <= _epsilon(plan) <= epsilon * (1 + 1e-9)
    events = [c.event for c in plan.charges]
    assert accounting.epsilon(events, delta=1e-5, accountant="pld") == pytest.approx(
        epsilon, rel=0.01
    )
    assert epsilon <= accounting.epsilon(events, delta=1e-5, accountant=WITNESS) < 1.5 * epsilon


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_the_gradients_take_their_share_of_what_is_left(share: float) -> None:
    plan = make_plan(
        DECLARED, epsilon=1.0, delta=1e-5, training=TrainingOptions(gradient_share=share)
    )
    spent = {
        c.label: getattr(c.event, "steps", 1) / getattr(c.event, "noise_multiplier", 0) ** 2
        for c in plan.charges
    }
    left = spent[PAIRS] + spent[TRAINING]
    assert spent[TRAINING] / left == pytest.approx(share, rel=1e-6)


def test_a_question_that_is_not_asked_has_no_multiplier() -> None:
    plan = make_plan(_booleans(1), epsilon=1.0, delta=1e-5)
    assert plan.multiplier(PAIRS) is None
    assert plan.multiplier(MARGINALS) is not None


@pytest.mark.parametrize("generator", ["autoregressive", "independent"])
@pytest.mark.parametrize("epsilon", [1e-3, 1.0, 2.5, 1e3])
def test_recommended_settings_are_valid_for_any_epsilon(epsilon: float, generator: str) -> None:
    found = TrainingOptions.recommended(epsilon=epsilon, generator=generator)
    assert found == TrainingOptions.recommended(epsilon=epsilon, generator=generator)
    assert (found.gradient_share < 1) == (generator == MEASURING_GENERATOR)


def test_delta_is_reserved_only_for_naming_values() -> None:
    plan = make_plan(OPEN, epsilon=1.0, delta=1e-5)
    naming = [c for c in plan.charges if isinstance(c.event, ThresholdedGaussianEvent)]
    assert [c.label for c in naming] == ["values: a", "values: b"]
    assert sum(c.event.delta for c in naming) == pytest.approx(1e-6)


def test_a_plan_is_a_function_of_its_arguments() -> None:
    one, two = (make_plan(OPEN, epsilon=2.0, delta=1e-5) for _ in range(2))
    assert one == two


def test_poisson_training_calibrates_to_the_budget() -> None:
    training = TrainingOptions(steps=20, sample_rate=0.2)
    plan = make_plan(DECLARED, epsilon=1.0, delta=1e-5, training=training)
    event = plan.charges[-1].event
    assert isinstance(event, SampledGaussianEvent)
    assert (event.sample_rate, event.steps) == (0.2, 20)
    assert 0.99 <= _epsilon(plan) <= 1.0 + 1e-9


@pytest.mark.parametrize("cap", [1, 4])
def test_the_smallest_epsilon_is_enough_and_less_is_not(cap: int) -> None:
    plan = make_plan(OPEN, epsilon=0.05, delta=1e-6)
    rows = plan.smallest_rows(max_rows_per_unit=cap) / 3
    enough = smallest_epsilon(plan, rows=rows, max_rows_per_unit=cap)

    def least(epsilon: float) -> float:
        trial = make_plan(OPEN, epsilon=epsilon, delta=1e-6)
        return trial.smallest_rows(max_rows_per_unit=cap)

    assert least(enough) <= rows
    assert least(0.9 * enough) > rows


def test_marginal_noise_is_that_of_the_charge() -> None:
    plan = make_plan(DECLARED, epsilon=1.0, delta=1e-5)
    event = next(c.event for c in plan.charges if c.label == MARGINALS)
    assert plan.marginal_std == pytest.approx(event.noise_multiplier * np.sqrt(3))


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 1e-5), (float("nan"), 1e-5), (1.0, 1.0)])
def test_a_budget_out_of_range_is_refused(epsilon: float, delta: float) -> None:
    with pytest.raises(InputError):
        make_plan(DECLARED, epsilon=epsilon, delta=delta)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"sample_rate": 0.0},
        {"sample_rate": 1.5},
        {"learning_rate": float("inf")},
        {"clip_quantile": 0.0},
        {"gradient_share": 0.0},
        {"gradient_share": 1.5},
        {"noise_floor": -1.0},
        {"noise_floor": float("inf")},
    ],
)
def test_training_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        TrainingOptions(**wrong)


def test_looking_for_known_rows_is_one_small_charge() -> None:
    plain, asking = (
        make_plan(OPEN, epsilon=1.0, delta=1e-5, lineage=asks) for asks in (False, True)
    )
    assert plain.multiplier(KNOWN_ROWS) is None
    multiplier = asking.multiplier(KNOWN_ROWS)
    assert multiplier is not None
    assert 1.0 / (multiplier * asking.mu) ** 2 == pytest.approx(0.005)
    assert _epsilon(asking) == pytest.approx(1.0, rel=1e-6)
    labels = [charge.label for charge in asking.charges]
    assert labels[:2] == ["count: rows", KNOWN_ROWS]
