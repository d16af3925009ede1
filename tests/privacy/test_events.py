import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.errors import InputError, IntegrityError, UnsupportedEvent
from dpsynth.privacy.events import (
    MAX_STEPS,
    Event,
    GaussianEvent,
    NonPrivateEvent,
    SampledGaussianEvent,
    ThresholdedGaussianEvent,
    event_from_json,
    event_to_json,
)

noises = st.floats(min_value=1e-6, max_value=1e9)
rates = st.floats(min_value=0.0, max_value=1.0, exclude_min=True)
steps = st.integers(min_value=1, max_value=MAX_STEPS)
events = st.one_of(
    st.builds(GaussianEvent, noises, steps),
    st.builds(SampledGaussianEvent, noises, rates, steps),
    st.builds(ThresholdedGaussianEvent, noises, st.floats(1e-300, 0.999)),
    st.just(NonPrivateEvent()),
)


@given(event=events)
@settings(derandomize=True, deadline=None, max_examples=50)
def test_json_round_trip_keeps_every_bit(event: Event) -> None:
    assert event_from_json(json.loads(json.dumps(event_to_json(event)))) == event


def test_json_names_do_not_change() -> None:
    # Old ledgers hold these names for ever.
    assert event_to_json(GaussianEvent(2, 3)) == {
        "type": "gaussian",
        "noise_multiplier": 2.0,
        "steps": 3,
    }
    assert event_to_json(SampledGaussianEvent(2.0, 0.5, 3)) == {
        "type": "sampled_gaussian",
        "noise_multiplier": 2.0,
        "sample_rate": 0.5,
        "steps": 3,
    }
    assert event_to_json(ThresholdedGaussianEvent(2.0, 1e-6)) == {
        "type": "thresholded_gaussian",
        "noise_multiplier": 2.0,
        "delta": 1e-6,
    }
    assert event_to_json(NonPrivateEvent()) == {"type": "non_private"}


def test_numpy_numbers_become_plain_ones() -> None:
    event = GaussianEvent(np.float64(2.0), np.int64(3))
    assert type(event.noise_multiplier) is float
    assert type(event.steps) is int
    assert event == GaussianEvent(2.0, 3)


@pytest.mark.parametrize("noise", [0.0, -1.0, math.nan, math.inf, True, "1", None, 10**400])
def test_noise_multiplier_must_be_finite_and_positive(noise: object) -> None:
    for build in (
        lambda: GaussianEvent(noise),
        lambda: SampledGaussianEvent(noise, 0.5, 1),
        lambda: ThresholdedGaussianEvent(noise, 1e-6),
    ):
        with pytest.raises(InputError, match="noise_multiplier"):
            build()


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.0000001, math.nan, math.inf])
def test_sample_rate_must_be_a_probability_above_zero(rate: float) -> None:
    with pytest.raises(InputError, match="sample_rate"):
        SampledGaussianEvent(1.0, rate, 1)


@pytest.mark.parametrize("count", [0, -1, 1.5, 2.0, True, "2", None, MAX_STEPS + 1])
def test_steps_must_be_a_whole_number(count: object) -> None:
    with pytest.raises(InputError, match="steps"):
        GaussianEvent(1.0, count)
    with pytest.raises(InputError, match="steps"):
        SampledGaussianEvent(1.0, 0.5, count)


@pytest.mark.parametrize("delta", [0.0, -1e-6, 1.0, 2.0, math.nan])
def test_threshold_delta_must_lie_inside_the_unit_interval(delta: float) -> None:
    with pytest.raises(InputError, match="delta"):
        ThresholdedGaussianEvent(1.0, delta)


@pytest.mark.parametrize("name", ["laplace", "Gaussian", "dpsynth.privacy.events.GaussianEvent"])
def test_unknown_type_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedEvent, match=name):
        event_from_json({"type": name, "noise_multiplier": 1.0, "steps": 1})


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "gaussian",
        {},
        {"type": 3},
        {"type": "gaussian", "noise_multiplier": 1.0},
        {"type": "gaussian", "noise_multiplier": 1.0, "steps": 1, "delta": 0.1},
        {"type": "gaussian", "noise_multiplier": 0.0, "steps": 1},
        {"type": "gaussian", "noise_multiplier": "1.0", "steps": 1},
        {"type": "gaussian", "noise_multiplier": [1.0], "steps": 1},
        {"type": "non_private", "steps": 1},
    ],
)
def test_broken_json_is_refused(data: object) -> None:
    with pytest.raises(IntegrityError):
        event_from_json(data)


def test_what_is_no_event_has_no_json() -> None:
    with pytest.raises(UnsupportedEvent, match="not an event"):
        event_to_json("gaussian")
