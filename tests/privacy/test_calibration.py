import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.errors import InputError
from dpsynth.privacy import accounting
from dpsynth.privacy.calibration import check_budget, mu_for, noise_multiplier_for
from dpsynth.privacy.events import (
    Event,
    GaussianEvent,
    NonPrivateEvent,
    SampledGaussianEvent,
    ThresholdedGaussianEvent,
)
from dpsynth.privacy.search import smallest

budgets = st.tuples(st.floats(1e-3, 50.0), st.floats(-12.0, -1.0).map(lambda power: 10.0**power))


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan, math.inf, True])
def test_epsilon_must_be_finite_and_positive(epsilon: float) -> None:
    with pytest.raises(InputError, match="epsilon"):
        check_budget(epsilon, 1e-5)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-9, 1.5, math.nan, True])
def test_delta_must_lie_inside_the_unit_interval(delta: float) -> None:
    with pytest.raises(InputError, match="delta"):
        check_budget(1.0, delta)


@given(budget=budgets)
@settings(derandomize=True, deadline=None, max_examples=50)
def test_mu_is_safe_and_tight(budget: tuple[float, float]) -> None:
    epsilon, delta = budget
    mu = mu_for(epsilon, delta)
    assert accounting.epsilon([GaussianEvent(1.0 / mu)], delta=delta) <= epsilon
    assert accounting.epsilon([GaussianEvent(1.0 / (mu * 1.0001))], delta=delta) > epsilon


@pytest.mark.parametrize(
    ("epsilon", "delta", "mu"),
    [(1.0, 1e-5, 0.2681), (3.0, 1e-5, 0.7191), (10.0, 1e-5, 2.0004), (1.0, 1e-9, 0.1820)],
)
def test_mu_of_known_budgets(epsilon: float, delta: float, mu: float) -> None:
    assert mu_for(epsilon, delta) == pytest.approx(mu, abs=6e-5)


@given(budget=budgets, parts=st.integers(1, 40))
@settings(derandomize=True, deadline=None, max_examples=30)
def test_a_split_mu_still_fits_the_budget(budget: tuple[float, float], parts: int) -> None:
    epsilon, delta = budget
    mu = mu_for(epsilon, delta)
    events = [GaussianEvent(1.0 / (mu * math.sqrt(1.0 / parts))) for _ in range(parts)]
    assert accounting.epsilon(events, delta=delta) <= epsilon * (1.0 + 1e-9)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
def test_noise_for_full_batches_is_the_closed_form(epsilon: float) -> None:
    found = noise_multiplier_for(lambda z: [GaussianEvent(z, 100)], epsilon=epsilon, delta=1e-6)
    assert found == pytest.approx(10.0 / mu_for(epsilon, 1e-6), rel=2e-6)


@pytest.mark.parametrize(
    ("epsilon", "rate", "steps"), [(1.0, 1024 / 32561, 2000), (8.0, 4096 / 32561, 500)]
)
def test_noise_under_sampling_is_safe_and_tight(epsilon: float, rate: float, steps: int) -> None:
    def build(noise_multiplier: float) -> list[Event]:
        sampled = SampledGaussianEvent(noise_multiplier, rate, steps)
        return [GaussianEvent(20.0), ThresholdedGaussianEvent(40.0, 1e-6), sampled]

    found = noise_multiplier_for(build, epsilon=epsilon, delta=1e-5, tolerance=1e-4)
    assert accounting.epsilon(build(found), delta=1e-5) <= epsilon
    assert accounting.epsilon(build(found * 0.999), delta=1e-5) > epsilon


def test_a_plan_that_cannot_fit_is_refused() -> None:
    with pytest.raises(InputError, match="no noise multiplier"):
        noise_multiplier_for(
            lambda z: [NonPrivateEvent(), GaussianEvent(z)], epsilon=1.0, delta=1e-5
        )


def test_a_budget_so_wide_that_any_noise_fits() -> None:
    found = noise_multiplier_for(lambda z: [GaussianEvent(z)], epsilon=1e9, delta=0.5)
    assert 0.0 < found < 1e-3


@pytest.mark.parametrize(("low", "high"), [(0.0, 7.0), (1e-9, 1e9), (2.0, 3.0)])
def test_search_ends_on_the_safe_side(low: float, high: float) -> None:
    edge = math.e
    found = smallest(lambda x: x >= edge, low=low, high=high)
    assert edge <= found <= edge * (1.0 + 1e-11)


def test_search_at_its_ends() -> None:
    assert smallest(lambda x: True, low=0.5, high=2.0) == 0.5
    assert smallest(lambda x: x >= 2.0, low=0.5, high=2.0) == 2.0
    # Neighbouring floats end the search even where the tolerance asks for more.
    assert smallest(lambda x: x > 1.0, low=1.0, high=2.0, tolerance=0.0) == math.nextafter(1.0, 2.0)


def test_search_refuses_what_it_cannot_find() -> None:
    with pytest.raises(InputError, match="nothing up to"):
        smallest(lambda x: False, low=0.0, high=1.0)
    for low, high in [(2.0, 1.0), (-1.0, 1.0), (0.0, math.inf), (math.nan, 1.0)]:
        with pytest.raises(InputError, match="search range"):
            smallest(lambda x: True, low=low, high=high)
