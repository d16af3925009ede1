"""Entropy and variance of one column: how much less a generator has than the table, and how surely.

Both compare a generator's codes with the noisy marginal under the null that the generator's law is
the true marginal. The noise is known; its effect on entropy and variance is computed for the law
that the generator shows (`noise_null`), so that noise spread over codes without rows is not taken
for diversity that the generator lacks.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dpsynth.training.monitoring.noise_null import Deviation, NoisyLaw, centred

FloatArray = NDArray[np.float64]

ENTROPY_LOSS = 0.02
VARIANCE_LOSS = 0.05
"""Smaller losses, as shares, raise no alarm however sure they are: no generator is perfect."""
_MEASURABLE = 20.0
_MOST = 10.0


@dataclass(frozen=True, eq=False)
class Marginal:
    """One column's noisy marginal. Public.

    Attributes:
        shares: shape (codes,), >= 0, summing to 1.
        noise: standard deviation in each cell, as a share of the rows, shape (codes,).
        values: of the codes, NaN for a missing value, shape (codes,); None for categories.
    """

    shares: FloatArray
    noise: FloatArray
    values: FloatArray | None = None


@dataclass(frozen=True)
class Loss:
    """What a generator has of the diversity of a column.

    Attributes:
        ratio: the generator's entropy (variance) over the table's, noise taken into account; at
            most 10; above 1 where it has more.
        sure: the loss is beyond what noise and sampling do to a perfect generator, and large enough
            to matter.
    """

    ratio: float
    sure: bool


def entropy(shares: FloatArray) -> float:
    """In nats."""
    return float(_surprise(shares).sum())


def entropy_loss(marginal: Marginal, noisy: NoisyLaw, rows: int, *, level: float) -> Loss:
    """Compare the entropy of `rows` codes with that of the noisy marginal.

    Args:
        marginal: the noisy marginal.
        noisy: shares of the generator's codes, and the same under the marginal's noise.
        rows: how many codes were looked at.
        level: false alarm rate of this one test.
    """
    shares = noisy.law
    if len(shares) < 2:
        return Loss(1.0, False)
    held = entropy(marginal.shares)
    under_noise = noisy.mean(_surprise(noisy.cells))
    # Miller and Madow 1955: a sample's entropy is too low by (codes - 1) / (2 rows).
    live = int((shares > 0).sum())
    had = entropy(shares) + (live - 1) / (2.0 * rows)
    lacking = held - float(under_noise.sum()) - (live - 1) / (2.0 * rows)
    ratio = _ratio(had, lacking)
    beyond = held - _ceiling(noisy)
    if ratio > 1.0 - ENTROPY_LOSS or beyond <= 0:
        return Loss(ratio, False)
    deviation = entropy_deviation(marginal, noisy, rows)
    return Loss(ratio, beyond > deviation.quantile(level))


def entropy_deviation(marginal: Marginal, noisy: NoisyLaw, rows: int) -> Deviation:
    """How far the entropy of the noisy marginal strays above a perfect generator's.

    H(p) - H(q) = sum (q - p) log p + KL(q || p): the first is Gaussian with variance Var(log p) /
    rows, the second chi-squared with codes - 1 degrees of freedom over 2 rows.
    """
    truth = _both(marginal, noisy.law, rows)
    logs = np.log(np.maximum(truth, 1e-300))
    spread = float(truth @ logs**2) - float(truth @ logs) ** 2
    return Deviation(
        noise=centred(noisy, _surprise(noisy.cells)),
        variance=max(spread, 0.0) / rows,
        quadratic=(0.5 / rows, len(noisy.law) - 1),
    )


def variance_loss(marginal: Marginal, noisy: NoisyLaw, rows: int, *, level: float) -> Loss | None:
    """Compare the variance of a numeric column; missing values are left out.

    With a_i = (x_i - mean)^2 - variance of the generator, the noisy marginal's variance exceeds
    the generator's by at most sum p_i a_i over the present mass: linear in the noisy cells.

    A generator between the truth and equal shares for all codes never has less variance than the
    smaller of these two has (variance is concave); only what falls below both is a loss.

    Args: as `entropy_loss`.

    Returns:
        None where a column has no two values, or the generator emitted missing values alone.
    """
    if marginal.values is None or not has_variance(marginal):
        return None
    present, shares = np.isfinite(marginal.values), noisy.law
    mass, held_mass = float(shares[present].sum()), float(marginal.shares[present].sum())
    if mass * rows < 2 or held_mass <= 0:
        return None
    values = np.where(present, marginal.values, 0.0)
    had, around = moments(values, shares * present)
    held, _ = moments(values, marginal.shares * present)
    around *= present
    excess = held_mass * (held - had)
    mean = float(around @ noisy.mean(noisy.cells))
    ratio = _ratio(had, (excess - mean) / held_mass)
    beyond = excess - max(mean, 0.0)
    if ratio > 1.0 - VARIANCE_LOSS or beyond <= 0:
        return Loss(ratio, False)
    deviation = variance_deviation(marginal, noisy, rows)
    even, _ = moments(values, present.astype(np.float64))
    sampling = np.sqrt(float(shares @ around**2) / mass / (mass * rows) * 2 * np.log(1 / level))
    return Loss(ratio, beyond > deviation.quantile(level) and had < even - float(sampling))


def variance_deviation(marginal: Marginal, noisy: NoisyLaw, rows: int) -> Deviation:
    """How far sum p_i a_i of the noisy marginal strays above zero when the generator is perfect."""
    if marginal.values is None:
        raise ValueError("a column of categories has no variance")
    present = np.isfinite(marginal.values)
    values = np.where(present, marginal.values, 0.0)
    _, around = moments(values, noisy.law * present)
    truth = _both(marginal, noisy.law, rows) * present
    variance, deviations = moments(values, truth)
    # Sampling error of the generator's variance among its present codes, times their mass.
    sampled = float(truth @ deviations**2) / rows
    return Deviation(
        noise=centred(noisy, (around * present)[:, None] * noisy.cells),
        variance=sampled,
        quadratic=(variance / rows, 1),
    )


def moments(values: FloatArray, weights: FloatArray) -> tuple[float, FloatArray]:
    """The variance, and (value - mean)^2 - variance of each code; 0 where all weights are."""
    total = float(weights.sum())
    if total <= 0:
        return 0.0, np.zeros_like(values)
    squares = (values - float(weights @ values) / total) ** 2
    variance = float(weights @ squares) / total
    return variance, squares - variance


def measurable(marginal: Marginal, noisy: NoisyLaw, rows: int) -> tuple[bool, bool]:
    """Whether the ratio of entropies (variances) means anything: its error is below a twentieth.

    Args:
        marginal: the noisy marginal.
        noisy: the same under its noise once more.
        rows: codes sampled for a look.
    """
    spread = entropy_deviation(marginal, noisy, rows).std
    clear = len(marginal.shares) > 1 and entropy(marginal.shares) > _MEASURABLE * spread
    if not has_variance(marginal):
        return clear, False
    return clear, _held(marginal) > _MEASURABLE * variance_deviation(marginal, noisy, rows).std


def least_losses(
    marginal: Marginal, noisy: NoisyLaw, rows: int, *, level: float, power: float
) -> tuple[float, float | None]:
    """The smallest losses of entropy and variance that are noticed, as shares of what there is.

    Reckoned at the noisy marginal, so right for small losses; 1 or more means that none is.

    Args:
        marginal, noisy, rows: as for `measurable`.
        level: false alarm rate of one test.
        power: probability of noticing.
    """
    z = NormalDist().inv_cdf(power)
    held = entropy(marginal.shares)
    deviation = entropy_deviation(marginal, noisy, rows)
    bar = _ceiling(noisy) - float(noisy.mean(_surprise(noisy.cells)).sum())
    least = bar + deviation.quantile(level) + z * deviation.std
    share = max(least / held, ENTROPY_LOSS) if held > 0 else 1.0
    if not has_variance(marginal):
        return share, None
    deviation = variance_deviation(marginal, noisy, rows)
    least = deviation.quantile(level) + z * deviation.std
    whole = _held(marginal)
    return share, max(least / whole, VARIANCE_LOSS) if whole > 0 else 1.0


def has_variance(marginal: Marginal) -> bool:
    """Whether a column has at least two values that are numbers."""
    return marginal.values is not None and int(np.isfinite(marginal.values).sum()) > 1


def _held(marginal: Marginal) -> float:
    """The variance of the present values times their mass."""
    if marginal.values is None:
        raise ValueError("a column of categories has no variance")
    present = np.isfinite(marginal.values)
    held = marginal.shares * present
    return moments(np.where(present, marginal.values, 0.0), held)[0] * float(held.sum())


def _ceiling(noisy: NoisyLaw) -> float:
    """The largest entropy to expect of the noisy marginal if the law is the truth.

    The true noise may be smaller than stated, as in pooled marginals: each cell counts with the
    higher of what it gives with the noise and without.
    """
    under_noise = noisy.mean(_surprise(noisy.cells))
    return float(np.maximum(under_noise, _surprise(noisy.law)).sum())


def _surprise(shares: FloatArray) -> FloatArray:
    """-p log p, shaped as `shares`."""
    return np.asarray(-shares * np.log(np.where(shares > 0, shares, 1.0)))


def _ratio(had: float, lacking: float) -> float:
    """`had` over `had + lacking`, in [0, 10]; 1 where there was nothing to have."""
    if had <= 0:
        return 0.0 if lacking > 0 else 1.0
    whole = had + lacking
    return min(had / whole, _MOST) if whole > 0 else _MOST


def _both(marginal: Marginal, shares: FloatArray, rows: int) -> FloatArray:
    """The marginal that the noisy one and the codes estimate together, if they share one.

    Weights inverse to the variances. A code of which the sample has none by chance keeps its
    weight in the sampling error.
    """
    known = 1.0 / np.maximum(marginal.noise, 1e-12) ** 2
    sampled = rows / np.maximum(np.maximum(marginal.shares, shares), 1.0 / rows)
    law = (known * marginal.shares + sampled * shares) / (known + sampled)
    return np.asarray(law / law.sum())
