"""What was done to the private rows, as frozen values that hold no private thing.

An event says mathematically what happened; :mod:`dpsynth.privacy.accounting` says what it costs.
The neighboring relation is always "add or remove one privacy unit". Every event may be chosen in
view of the answers to the earlier ones (adaptive composition), but its own fields must not depend
on the private rows in any other way.

The meaning of an event never changes. A new meaning is a new event with a new name, so that an old
ledger can always be accounted again.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dpsynth.errors import InputError, IntegrityError, UnsupportedEvent

MAX_STEPS = 10**9
"""More steps than any run takes; above it the accountants' rounding bounds are not tested."""


@dataclass(frozen=True)
class GaussianEvent:
    """Sum over all rows plus Gaussian noise, `steps` times.

    One step releases ``sum_i v_i + N(0, (noise_multiplier * S)^2 I)``, where adding or removing one
    unit changes the sum by at most S in L2 norm, and every row takes part.

    Raises:
        InputError: noise_multiplier is not a finite number above 0, or steps no integer >= 1.
    """

    noise_multiplier: float
    steps: int = 1

    def __post_init__(self) -> None:
        _keep(self, noise_multiplier=_positive(self, "noise_multiplier"), steps=_steps(self))


@dataclass(frozen=True)
class SampledGaussianEvent:
    """Gaussian sum over a Poisson sample of the units, `steps` times.

    One step first includes each unit independently with probability `sample_rate`, then releases
    ``sum over the sample + N(0, (noise_multiplier * S)^2 I)``; S as in :class:`GaussianEvent`. The
    sample is drawn afresh each step, stays secret, and may be empty. Shuffled or fixed-size batches
    are NOT this event.

    Raises:
        InputError: as GaussianEvent, or sample_rate outside (0, 1].
    """

    noise_multiplier: float
    sample_rate: float
    steps: int

    def __post_init__(self) -> None:
        rate = _positive(self, "sample_rate")
        if rate > 1.0:
            raise InputError(f"SampledGaussianEvent: sample_rate={rate!r} must be in (0, 1]")
        noise = _positive(self, "noise_multiplier")
        _keep(self, noise_multiplier=noise, sample_rate=rate, steps=_steps(self))


@dataclass(frozen=True)
class ThresholdedGaussianEvent:
    """Gaussian histogram over the partitions that occur in the rows; small ones are suppressed.

    One unit changes the histogram by at most S in L2 norm. Independent N(0, (noise_multiplier *
    S)^2) is added to the count of every partition that occurs; a partition is released, with its
    noisy count, where that count exceeds a threshold. `delta` bounds the probability that, of the
    partitions which occur in the rows of one unit alone, any is released.

    Raises:
        InputError: as GaussianEvent, or delta outside (0, 1).
    """

    noise_multiplier: float
    delta: float

    def __post_init__(self) -> None:
        delta = _positive(self, "delta")
        if delta >= 1.0:
            raise InputError(f"ThresholdedGaussianEvent: delta={delta!r} must be in (0, 1)")
        _keep(self, noise_multiplier=_positive(self, "noise_multiplier"), delta=delta)


@dataclass(frozen=True)
class NonPrivateEvent:
    """Anything without a guarantee: costs infinity. It exists so that shortcuts stay visible."""


Event = GaussianEvent | SampledGaussianEvent | ThresholdedGaussianEvent | NonPrivateEvent

# Closed: a stored name never leads to an import. Names are for ever, see the module docstring.
_TYPES: dict[str, type[Event]] = {
    "gaussian": GaussianEvent,
    "sampled_gaussian": SampledGaussianEvent,
    "thresholded_gaussian": ThresholdedGaussianEvent,
    "non_private": NonPrivateEvent,
}
_NAMES = {kind: name for name, kind in _TYPES.items()}


def event_to_json(event: Event) -> dict[str, Any]:
    """The event as a JSON object: its type name and all of its fields.

    Raises:
        UnsupportedEvent: not one of the four events.
    """
    if type(event) not in _NAMES:
        raise UnsupportedEvent(f"{event!r} is not an event; known: {', '.join(_TYPES)}")
    return {"type": _NAMES[type(event)], **dataclasses.asdict(event)}


def event_from_json(data: object) -> Event:
    """The event that :func:`event_to_json` wrote, equal to the original bit by bit.

    Raises:
        UnsupportedEvent: an unknown type name (perhaps from a later version).
        IntegrityError: no JSON object, or fields missing, left over or out of range.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("type"), str):
        raise IntegrityError(f"event {data!r} must be an object with a 'type'")
    name = data["type"]
    if name not in _TYPES:
        raise UnsupportedEvent(f"event type {name!r} is unknown; known: {', '.join(_TYPES)}")
    kind = _TYPES[name]
    expected = {field.name for field in dataclasses.fields(kind)}
    found = {key: value for key, value in data.items() if key != "type"}
    if set(found) != expected:
        raise IntegrityError(
            f"event {name!r} has fields {sorted(map(str, found))}, must have {sorted(expected)}"
        )
    try:
        return kind(**found)
    except InputError as error:
        raise IntegrityError(f"event {name!r} is broken: {error}") from error


def _keep(event: object, **values: float | int) -> None:
    """Store plain floats and ints, so that equality and JSON do not depend on numpy types."""
    for name, value in values.items():
        object.__setattr__(event, name, value)


def _positive(event: object, name: str) -> float:
    value = getattr(event, name)
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and number > 0.0):
        raise InputError(f"{type(event).__name__}: {name}={value!r} must be a finite number > 0")
    return number


def _steps(event: object) -> int:
    value = getattr(event, "steps")  # noqa: B009  (the two classes with steps share no base)
    try:
        number = 0 if isinstance(value, bool) else value.__index__()
    except (AttributeError, TypeError):
        number = 0
    if not 1 <= number <= MAX_STEPS:
        raise InputError(
            f"{type(event).__name__}: steps={value!r} must be an integer from 1 to {MAX_STEPS}"
        )
    return int(number)
