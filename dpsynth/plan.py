"""The budget, split before a row is read: what will be asked, and what each answer may cost.

The split depends on public facts alone (the columns, what the schema leaves open, epsilon, delta),
so `dpsynth plan` can print it without a table, and the whole of it is reserved in the ledger at
once. All noise is Gaussian, so the budget is one number, mu squared, and shares of it add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dpsynth.errors import InputError, UnsupportedEvent
from dpsynth.privacy.calibration import check_budget, mu_for, noise_multiplier_for
from dpsynth.privacy.events import (
    Event,
    GaussianEvent,
    SampledGaussianEvent,
    ThresholdedGaussianEvent,
)
from dpsynth.privacy.ledger import Charge
from dpsynth.refinement.selection import SelectionRules
from dpsynth.schema import Column
from dpsynth.training.options import MEASURING_GENERATOR, TrainingOptions

COUNT = "count: rows"
KNOWN_ROWS = "lineage: known rows"
FORMS = "forms: how cells are written"
MARGINALS = "marginals: one-way"
DISTANCES = "dependence: which pairs"
PAIRS = "marginals: pairs"
TRAINING = "training: gradients"

_COUNT_SHARE = 0.005
_KNOWN_ROWS_SHARE = 0.005
_FORMS_SHARE = 0.01
_BOUNDS_SHARE = 0.03
_VALUES_SHARE_A_COLUMN = 0.015
_LEAST_VALUES_SHARE, _MOST_VALUES_SHARE = 0.06, 0.15
_MARGINALS_SHARE = 0.10
_DISTANCES_SHARE = 0.05
_NAMING_DELTA = 0.1
"""Share of delta for naming the values of open categorical columns."""

NUMBER_KINDS = ("integer", "numeric", "datetime")
_MOST_NOISE = 1.0
"""Length of the noise in the mean gradient of all steps, in clip norms, beyond which it is all that
a network would learn."""
ROWS_PER_SIGMA = 10.0
"""Rows must be at least this many standard deviations of a one-way count's noise."""


@dataclass(frozen=True)
class OpenColumn:
    """A column of which only the name is known: its kind is learned by a noisy vote."""

    name: str


PlannedColumn = Column | OpenColumn


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A budget and what it buys.

    Attributes:
        epsilon, delta: the budget.
        mu: what all Gaussian answers together may cost, as one Gaussian mechanism.
        columns: the modelled columns, in order.
        charges: every charge, in the order of use.
        training: settings of the gradient steps.
    """

    epsilon: float
    delta: float
    mu: float
    columns: tuple[PlannedColumn, ...]
    charges: tuple[Charge, ...]
    training: TrainingOptions

    def multiplier(self, label: str) -> float | None:
        """Noise multiplier of the charge called `label`; None where there is no such charge."""
        found = [charge.event for charge in self.charges if charge.label == label]
        return _multiplier(found[0]) if found else None

    @property
    def marginal_std(self) -> float:
        """Noise in one cell of a one-way marginal, in rows, for one row a unit."""
        multiplier = self.multiplier(MARGINALS)
        if multiplier is None:
            raise KeyError(MARGINALS)
        return float(multiplier * np.sqrt(len(self.columns)))

    def hears(self, weights: int, *, rows: float, max_rows_per_unit: int) -> bool:
        """Whether a network's gradients can be told from their noise at all.

        The noise of all steps together, as a vector over the weights, is held against the longest
        mean gradient that clipping allows, in every step.
        """
        event = self.charges[-1].event
        if not isinstance(event, GaussianEvent | SampledGaussianEvent):
            raise UnsupportedEvent(f"{type(event).__name__} pays for no training")
        batch = rows * self.training.sample_rate
        noise = event.noise_multiplier * max_rows_per_unit * np.sqrt(weights / event.steps)
        return bool(noise <= _MOST_NOISE * batch)

    def smallest_rows(self, *, max_rows_per_unit: int) -> float:
        """Fewest rows for which the answers say more than the noise."""
        return ROWS_PER_SIGMA * self.marginal_std * max_rows_per_unit


def values_label(name: str) -> str:
    """Label of the charge for a column's bins or categories."""
    return f"values: {name}"


def bounds_label(name: str) -> str:
    """Label of the charge for a numeric column's bounds."""
    return f"bounds: {name}"


def make_plan(
    columns: Sequence[PlannedColumn],
    *,
    epsilon: float,
    delta: float,
    training: TrainingOptions | None = None,
    generator: str = MEASURING_GENERATOR,
    lineage: bool = False,
    max_rows_per_unit: int = 1,
) -> Plan:
    """Split a budget over the questions that `columns` leave open and the training.

    Args:
        columns: what will be modelled.
        epsilon, delta: the budget.
        training: settings; None takes those recommended for the generator.
        generator: its name.
        lineage: whether to ask for rows of earlier releases: where the ledger holds some.
        max_rows_per_unit: rows kept of one unit; with several, batches are full.

    Raises:
        InputError: epsilon or delta out of range, or Poisson batches of units with several rows.
    """
    check_budget(epsilon, delta)
    training = training or TrainingOptions.recommended(
        epsilon=epsilon, generator=generator, max_rows_per_unit=max_rows_per_unit
    )
    naming = [c.name for c in columns if _needs_naming(c)]
    gauss_delta = delta * (1.0 - _NAMING_DELTA) if naming else delta
    mu = mu_for(epsilon, gauss_delta)
    each_delta = delta * _NAMING_DELTA / max(1, len(naming))
    if training.sample_rate < 1 and max_rows_per_unit > 1:
        raise InputError(
            f"sample_rate is {training.sample_rate:g}: Poisson sampling draws rows, and a privacy "
            f"unit may have {max_rows_per_unit} of them here; set sample_rate to 1"
        )
    shares = _shares(columns, gradient_share=training.gradient_share, lineage=lineage)
    charges = [
        Charge(label, _event(mu, share, each_delta if label in map(values_label, naming) else None))
        for label, share in shares.items()
    ]
    charges.append(
        _training_charge(charges, mu=mu, epsilon=epsilon, delta=delta, training=training)
    )
    return Plan(
        epsilon=epsilon,
        delta=delta,
        mu=mu,
        columns=tuple(columns),
        charges=tuple(charges),
        training=training,
    )


def smallest_epsilon(plan: Plan, *, rows: float, max_rows_per_unit: int, weights: int = 0) -> float:
    """The least epsilon (two digits, rounded up) at which `rows` would be enough for `plan`.

    Args:
        plan: for a smaller epsilon.
        rows: the noisy row count.
        max_rows_per_unit: rows kept of one unit.
        weights: of the network, where it has to be heard above the noise; 0 asks for the one-way
            marginals alone.
    """
    # Full batches stand for Poisson ones: nearly the same total noise, and no search for each try.
    training = replace(plan.training, sample_rate=1.0)

    def enough(epsilon: float) -> bool:
        trial = make_plan(plan.columns, epsilon=epsilon, delta=plan.delta, training=training)
        if trial.smallest_rows(max_rows_per_unit=max_rows_per_unit) > rows:
            return False
        return not weights or trial.hears(weights, rows=rows, max_rows_per_unit=max_rows_per_unit)

    low, high = plan.epsilon, plan.epsilon
    while high < 1e6 and not enough(high):
        low, high = high, high * 2.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    digits = 10.0 ** (np.floor(np.log10(high)) - 1)
    return float(np.ceil(high / digits) * digits)


def needs_form(column: PlannedColumn) -> bool:
    """Whether the column's kind, decimals or time resolution has to be learned."""
    if isinstance(column, OpenColumn):
        return True
    return column.kind == "datetime" or (column.kind == "numeric" and column.decimals is None)


def _needs_bounds(column: PlannedColumn) -> bool:
    if isinstance(column, OpenColumn):
        return True
    return column.kind in NUMBER_KINDS and None in column.bounds


def _needs_values(column: PlannedColumn) -> bool:
    return _needs_naming(column) or (isinstance(column, Column) and column.kind in NUMBER_KINDS)


def _needs_naming(column: PlannedColumn) -> bool:
    if isinstance(column, OpenColumn):
        return True
    return column.kind == "categorical" and column.categories is None


def _shares(
    columns: Sequence[PlannedColumn], *, gradient_share: float, lineage: bool
) -> dict[str, float]:
    """Share of mu squared by label, training left out."""
    shares = {COUNT: _COUNT_SHARE}
    if lineage:
        shares[KNOWN_ROWS] = _KNOWN_ROWS_SHARE
    if any(map(needs_form, columns)):
        shares[FORMS] = _FORMS_SHARE
    bounds = [c.name for c in columns if _needs_bounds(c)]
    shares |= {bounds_label(name): _BOUNDS_SHARE / len(bounds) for name in bounds}
    values = [c.name for c in columns if _needs_values(c)]
    total = float(
        np.clip(_VALUES_SHARE_A_COLUMN * len(values), _LEAST_VALUES_SHARE, _MOST_VALUES_SHARE)
    )
    shares |= {values_label(name): total / len(values) for name in values}
    shares[MARGINALS] = _MARGINALS_SHARE
    if gradient_share < 1 and len(columns) > 1:
        if SelectionRules().asks(len(columns)):
            shares[DISTANCES] = _DISTANCES_SHARE
        shares[PAIRS] = (1.0 - sum(shares.values())) * (1.0 - gradient_share)
    return shares


def _event(mu: float, share: float, naming_delta: float | None) -> Event:
    multiplier = 1.0 / (mu * float(np.sqrt(share)))
    if naming_delta is None:
        return GaussianEvent(noise_multiplier=multiplier)
    return ThresholdedGaussianEvent(noise_multiplier=multiplier, delta=naming_delta)


def _training_charge(
    others: Sequence[Charge], *, mu: float, epsilon: float, delta: float, training: TrainingOptions
) -> Charge:
    """Full batches take the rest of mu squared; Poisson batches the rest of (epsilon, delta)."""
    if training.sample_rate >= 1:
        spent = sum(1.0 / _multiplier(charge.event) ** 2 for charge in others)
        multiplier = float(np.sqrt(training.steps / (mu**2 - spent)))
        return Charge(TRAINING, GaussianEvent(noise_multiplier=multiplier, steps=training.steps))

    def sampled(multiplier: float) -> SampledGaussianEvent:
        return SampledGaussianEvent(
            noise_multiplier=multiplier, sample_rate=training.sample_rate, steps=training.steps
        )

    before = [charge.event for charge in others]
    multiplier = noise_multiplier_for(lambda z: [*before, sampled(z)], epsilon=epsilon, delta=delta)
    return Charge(TRAINING, sampled(multiplier))


def _multiplier(event: Event) -> float:
    if isinstance(event, GaussianEvent | ThresholdedGaussianEvent):
        return float(event.noise_multiplier)
    raise UnsupportedEvent(f"{type(event).__name__} has no place before training in a plan")
