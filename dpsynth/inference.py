"""What an analysis of several synthetic tables says about the population: combining rules.

An analysis is run on each of m tables drawn from m replicate models, and its m answers are
combined. How much they scatter holds what one table hides: that other rows and other noise would
have given another model. docs/errors.md derives the rules and says when they hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from dpsynth.errors import InputError


@dataclass(frozen=True)
class Combined:
    """An estimate for the population, with its error.

    Attributes:
        estimate: of the population's value.
        standard_error: root of its variance.
        degrees_of_freedom: of the t distribution that an interval is taken from.
        adjusted: whether the variance came out below zero and Reiter's adjustment was taken.
    """

    estimate: float
    standard_error: float
    degrees_of_freedom: float
    adjusted: bool = False

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The central interval that should hold the population's value in `level` of all cases.

        Raises:
            InputError: level is not between 0 and 1.
        """
        if not 0.0 < level < 1.0:
            raise InputError(f"level is {level:g}; it must be above 0 and below 1, e.g. 0.95")
        far = float(stats.t.ppf(0.5 + 0.5 * level, self.degrees_of_freedom)) * self.standard_error
        return self.estimate - far, self.estimate + far


def combine(
    estimates: Sequence[float],
    variances: Sequence[float] | None = None,
    *,
    fitted: float | None = None,
    independent_rows: bool = False,
) -> Combined:
    """Combine the estimates of m tables, one from each of m replicate models.

    With the tables that `sample` draws, whose counts scatter hardly at all around what their model
    says, the variance is T = (1 + 1/m) b, where b is the variance between the estimates, with m - 1
    degrees of freedom. Where every row was drawn on its own (`independent_rows`), b holds the
    sampling of the synthetic tables as well, of which the mean u of `variances` is taken off:
    T = (1 + 1/m) b - u (Raghunathan, Reiter and Rubin 2003).

    Args:
        estimates: of the quantity, one a table; at least 2.
        variances: of each estimate, as if its table were a simple random sample of independent
            rows; needed with `independent_rows`, not used without.
        fitted: the estimate from a table of the fitted model itself. With it the estimate is
            2 * fitted - mean(estimates): what shrinkage took off on the way from the fitted model
            to its replicates is put back. Without it the mean is taken, which is off by twice the
            model's own bias.
        independent_rows: how the rows of the tables were drawn.

    Raises:
        InputError: fewer than 2 estimates, numbers that are not finite, or variances that do not
            fit.
    """
    values = _finite("estimates", estimates)
    m = len(values)
    if m < 2:
        raise InputError(f"estimates has {m} value; give one for each of at least 2 replicates")
    mean, between = float(values.mean()), float(values.var(ddof=1))
    estimate = mean if fitted is None else 2.0 * float(_finite("fitted", [fitted])[0]) - mean
    if not independent_rows:
        return Combined(estimate, float(np.sqrt((1.0 + 1.0 / m) * between)), m - 1.0)
    return _of_independent_rows(estimate, between, _within(variances, m), m)


def _of_independent_rows(estimate: float, between: float, within: float, m: int) -> Combined:
    """Raghunathan, Reiter and Rubin (2003); Reiter (2002) where the variance is not positive."""
    spread = (1.0 + 1.0 / m) * between
    total = spread - within
    freedom = (m - 1.0) * (1.0 - within / spread) ** 2 if spread > 0 else 0.0
    if total > 0:
        return Combined(estimate, float(np.sqrt(total)), max(freedom, 1.0))
    # For synthetic tables of the private table's size the adjusted variance is u itself.
    return Combined(estimate, float(np.sqrt(within)), m - 1.0, adjusted=True)


def _within(variances: Sequence[float] | None, m: int) -> float:
    if variances is None:
        raise InputError("independent_rows needs variances: give the variance of each estimate")
    values = _finite("variances", variances)
    if len(values) != m or (values < 0).any():
        raise InputError(
            f"variances must be {m} numbers of at least 0, one for each estimate; got {len(values)}"
            + (f", the least {values.min():g}" if len(values) else "")
        )
    return float(values.mean())


def _finite(name: str, values: Sequence[float]) -> np.ndarray:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise InputError(f"{name} must be finite numbers; look for missing values in the analysis")
    return found
