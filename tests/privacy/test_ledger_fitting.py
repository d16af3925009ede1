"""What a refusal says would fit does fit, and hardly more would."""

import dataclasses
import math

import pytest

from dpsynth.errors import BudgetExceeded
from dpsynth.plan import OpenColumn, make_plan
from dpsynth.privacy import accounting
from dpsynth.privacy.calibration import mu_for, noise_multiplier_for
from dpsynth.privacy.events import (
    Event,
    GaussianEvent,
    NonPrivateEvent,
    SampledGaussianEvent,
    ThresholdedGaussianEvent,
)
from dpsynth.privacy.ledger import Charge, Ledger

DELTA = 1e-5


def book(spent: float | None = None, *, epsilon: float = 1.0) -> Ledger:
    ledger = Ledger.open("sqlite://", dataset="adult", epsilon=epsilon, delta=DELTA)
    if spent is not None:
        ledger.reserve([Charge("x", gaussian(spent))], release="before")
    return ledger


def gaussian(epsilon: float) -> GaussianEvent:
    return GaussianEvent(1.0 / mu_for(epsilon, DELTA))


def next_up(epsilon: float) -> float:
    """The next number with three digits."""
    return epsilon + 10.0 ** (math.floor(math.log10(epsilon)) - 2)


def fits(ledger: Ledger, event: Event) -> bool:
    try:
        ledger.check([Charge("asked", event)])
    except BudgetExceeded:
        return False
    return True


@pytest.mark.parametrize("spent", [None, 0.1, 0.5, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize("asked", [1.5, 40.0])
def test_the_largest_epsilon_is_found(spent: float | None, asked: float) -> None:
    ledger = book(spent)
    found = ledger.fitting([Charge("asked", gaussian(asked))])
    assert found is not None
    assert fits(ledger, gaussian(found))
    assert not fits(ledger, gaussian(next_up(found)))
    assert float(f"{found:.3g}") == found


def test_an_untouched_budget_fits_whole() -> None:
    for epsilon in (0.1, 0.62, 1.0, 3.0, 7.5, 12.0):
        assert book(epsilon=epsilon).fitting([Charge("all", gaussian(50.0))]) == epsilon


def test_what_fits_already_is_told_as_it_is() -> None:
    event = GaussianEvent(20.0)
    alone = accounting.epsilon([event], delta=DELTA)
    found = book(0.2).fitting([Charge("asked", event)])
    assert found is not None
    assert found <= alone < next_up(found)


@pytest.mark.slow
def test_sampled_questions_fit_too() -> None:
    rate = 0.2
    ledger = book(0.5)
    found = ledger.fitting([Charge("asked", SampledGaussianEvent(0.8, rate, 200))])
    assert found is not None

    def plan(epsilon: float) -> SampledGaussianEvent:
        noise = noise_multiplier_for(
            lambda z: [SampledGaussianEvent(z, rate, 200)], epsilon=epsilon, delta=DELTA
        )
        return SampledGaussianEvent(noise, rate, 200)

    assert fits(ledger, plan(found))
    assert not fits(ledger, plan(1.01 * found))


def test_thresholds_keep_their_delta() -> None:
    half = ThresholdedGaussianEvent(5.0, 4e-6)
    ledger = book()
    found = ledger.fitting([Charge("a", half), Charge("b", gaussian(3.0))])
    assert found is not None
    noisier = dataclasses.replace(half, noise_multiplier=1e6)
    assert fits(ledger, noisier)
    # No noise makes up for a delta that is spent.
    assert ledger.fitting([Charge("a", ThresholdedGaussianEvent(5.0, 2e-5))]) is None


@pytest.mark.parametrize("event", [NonPrivateEvent(), GaussianEvent(1e-200)])
def test_some_questions_never_fit(event: Event) -> None:
    assert book().fitting([Charge("all", event)]) is None


def test_a_spent_budget_fits_nothing() -> None:
    ledger = book(1.0)
    assert ledger.fitting([Charge("more", gaussian(0.5))]) is None
    with pytest.raises(BudgetExceeded, match=r"not even --epsilon 0\.001 would fit"):
        ledger.reserve([Charge("more", gaussian(0.5))], release="two")


def test_a_refusal_names_what_was_asked_and_what_would_fit() -> None:
    ledger = book(0.5)
    found = ledger.fitting([Charge("more", gaussian(0.9))])
    with pytest.raises(BudgetExceeded) as refusal:
        ledger.reserve([Charge("more", gaussian(0.9))], release="two")
    text = str(refusal.value)
    assert "asks for epsilon 0.9 of dataset 'adult'; spent so far 0.5, with it 1.05" in text
    assert f"left is --epsilon {found:g} --delta 1e-05" in text
    assert "\n" not in text


def test_a_plan_with_the_epsilon_that_fits_is_granted() -> None:
    """The advice holds for the plan that a run would make, thresholds and all."""
    columns = [OpenColumn(name) for name in ("age", "town", "income")]
    ledger = book(0.7, epsilon=2.0)
    asked = make_plan(columns, epsilon=1.9, delta=DELTA).charges
    found = ledger.fitting(asked)
    assert found is not None
    again = make_plan(columns, epsilon=found, delta=DELTA).charges
    assert any(isinstance(charge.event, ThresholdedGaussianEvent) for charge in again)
    ledger.reserve(again, release="as advised")
    louder = make_plan(columns, epsilon=1.02 * found, delta=DELTA).charges
    with pytest.raises(BudgetExceeded):
        book(0.7, epsilon=2.0).reserve(louder, release="above")
