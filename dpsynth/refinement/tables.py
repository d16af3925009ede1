"""The tables of an autoregressive model, fitted to noisy tables of pairs.

Column after column, a softmax regression on the columns before it. Its gradient needs the rows only
through the pairs' tables: how often code b of the column meets code a of an earlier one. Those were
measured, with noise; the earlier columns themselves are drawn from the model as fitted so far. What
is left is a convex problem without private data (noisy sufficient statistics; cf. Bernstein and
Sheldon, NeurIPS 2018), solved to the end at no cost.

Each weight is shrunk by what is known about it: an estimate from a cell of e expected rows with
noise of standard deviation s has a variance of about (1 + s^2 / e) / e, and the spread of a pair's
true weights is estimated from its table (empirical Bayes), so that a pair of which the noise hides
everything keeps weights near zero.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from dpsynth.generators.base import Draft
from dpsynth.refinement.measured import Measured, with_margins
from dpsynth.sampling.drawing import pick, spread_uniforms
from dpsynth.sampling.linear import HiddenBranch, LinearColumns

FloatArray = NDArray[np.float64]

_POOL = 10_000
"""Rows drawn from the model as fitted so far, which stand for the earlier columns."""
_ITERATIONS = 30
_AGAIN = 10
"""Iterations of a fit that starts from tables already fitted."""
_LEAST_SHARE = 1e-6
_PRIOR_SCALE = 1.0
_MOST_VARIANCE = 4.0
_LEAST_VARIANCE = 1e-4
_CHANCE = 1.0
"""Standard deviations of the noise's own squares that do not count as dependence."""
_FLOOR = 0.5
"""Rows below which an expected count is not believed."""
_TINY = 1e-4


@dataclass(frozen=True, eq=False)
class Tables:
    """Weights of `LinearColumns`: `weight` (sum(sizes), sum(sizes)) and `bias` (sum(sizes),)."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, eq=False)
class _Problem:
    """One column's regression; shares are of all rows.

    Attributes:
        parents: one-hot codes of the measured earlier columns, shape (pool, features).
        offset: logits that are not fitted, shape (pool, codes) or ().
        targets: share of rows with feature a and code b, shape (features, codes).
        target: share of each code, shape (codes,).
        ridge: strength of the pull towards `centre`, shape (features, codes).
        centre: shape (features, codes).
    """

    parents: Tensor
    offset: Tensor
    targets: Tensor
    target: Tensor
    ridge: Tensor
    centre: Tensor


def fit_tables(
    measured: Measured,
    *,
    rng: np.random.Generator,
    hidden: HiddenBranch | None = None,
    start: Tables | None = None,
) -> Tables:
    """Tables that reproduce what was measured as closely as its noise allows.

    Args:
        measured: noisy marginals and tables; one-way marginals are met exactly.
        rng: draws the pool.
        hidden: a branch whose output is added to the logits and stays as it is.
        start: tables from which the fit starts and towards which its weights are shrunk; None
            shrinks towards no dependence.

    Returns:
        tables that are zero but for the measured pairs.
    """
    sizes = measured.sizes
    starts = np.r_[0, np.cumsum(sizes)]
    weight = torch.zeros(starts[-1], starts[-1])
    bias = torch.zeros(starts[-1])
    pool = np.zeros((_POOL, len(sizes)), dtype=np.int64)
    draft = _branch_alone(sizes, hidden).start(_POOL)
    for column in range(len(sizes)):
        block = slice(int(starts[column]), int(starts[column + 1]))
        features = _features(measured, column, starts)
        problem = _problem(measured, column, pool, features, draft, _rows_of(start, block))
        solved, bias[block] = _solved(problem, None if start is None else start.bias[block])
        weight[block.start : block.stop, features] = solved.T
        logits = _logits(problem, solved, bias[block])
        pool[:, column] = _drawn(logits, pool, measured, column, rng=rng)
        draft.fix(column, torch.from_numpy(pool[:, column]))
    return Tables(weight, bias)


def _branch_alone(sizes: tuple[int, ...], hidden: HiddenBranch | None) -> LinearColumns:
    width = sum(sizes)
    none = torch.zeros(width, width)
    return LinearColumns(sizes, none, torch.zeros(width), tuple(range(len(sizes))), hidden)


def _rows_of(start: Tables | None, block: slice) -> Tensor | None:
    return None if start is None else start.weight[block]


def _features(measured: Measured, column: int, starts: NDArray[np.int64]) -> Tensor:
    """Positions of the codes of the measured earlier columns, shape (features,)."""
    spans = [torch.arange(int(starts[i]), int(starts[i + 1])) for i, _ in measured.of(column)]
    return torch.cat(spans) if spans else torch.zeros(0, dtype=torch.int64)


def _problem(
    measured: Measured,
    column: int,
    pool: NDArray[np.int64],
    features: Tensor,
    draft: Draft,
    centre: Tensor | None,
) -> _Problem:
    margin = measured.rows * measured.one_way[column]
    targets: list[FloatArray] = [np.zeros((0, len(margin)))]
    ridges: list[FloatArray] = [np.zeros((0, len(margin)))]
    parents = torch.zeros(len(pool), len(features))
    start = 0
    for i, table in measured.of(column):
        size = len(table)
        seen = np.bincount(pool[:, i], minlength=size).astype(np.float64)
        seen *= measured.rows / len(pool)
        scale = seen.sum() / margin.sum()
        settled = with_margins(table, seen, margin * scale)
        targets.append(settled)
        ridges.append(_ridge(settled, seen, margin * scale, std=measured.std))
        parents[torch.arange(len(pool)), torch.from_numpy(start + pool[:, i])] = 1.0
        start += size
    return _Problem(
        parents=parents,
        offset=draft.logits(column),
        targets=_shares(np.concatenate(targets), measured.rows),
        target=_shares(margin, measured.rows),
        ridge=_shares(np.concatenate(ridges), measured.rows),
        centre=torch.zeros(len(features), len(margin))
        if centre is None
        else centre[:, features].T.clone(),
    )


def _shares(counts: FloatArray, rows: float) -> Tensor:
    return torch.from_numpy((counts / rows).astype(np.float32))


def _ridge(table: FloatArray, first: FloatArray, second: FloatArray, *, std: float) -> FloatArray:
    """Strength of the shrinkage of each cell's weight, in rows, shape as `table`."""
    expected = np.maximum(np.outer(first, second) / max(float(second.sum()), 1.0), _FLOOR)
    squares = float(((table - expected) ** 2).sum())
    chance = _CHANCE * std**2 * np.sqrt(2.0 * table.size)
    surplus = squares - std**2 * table.size - float(expected.sum()) - chance
    variance = float(np.clip(surplus / (expected**2).sum(), _LEAST_VARIANCE, _MOST_VARIANCE))
    return np.asarray((1.0 + std**2 / expected) / (_PRIOR_SCALE * variance))


def _logits(problem: _Problem, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.addmm(problem.offset + bias, problem.parents, weight)


def _solved(problem: _Problem, start: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weights (features, codes) and biases (codes,), by L-BFGS in scaled coordinates.

    Args:
        problem: the regression.
        start: biases to start from; None starts from the target's logarithms.
    """
    shape = problem.targets.shape
    target = problem.target.clamp_min(_LEAST_SHARE)
    target = target / target.sum()
    spread = (target * (1.0 - target)).clamp_min(_TINY)
    common = problem.parents.mean(0)[:, None]
    scale = (common * spread + problem.ridge).rsqrt()
    bias_scale = spread.rsqrt()
    cut = shape[0] * shape[1]

    def parts(at: FloatArray) -> tuple[Tensor, Tensor]:
        found = torch.from_numpy(at.astype(np.float32))
        return found[:cut].reshape(shape) * scale, found[cut:] * bias_scale

    def loss_and_gradient(at: FloatArray) -> tuple[float, FloatArray]:
        weight, bias = parts(at)
        logits = _logits(problem, weight, bias)
        total = logits.logsumexp(1)
        chances = logits.sub_(total[:, None]).exp_()
        moved = weight - problem.centre
        pull = problem.ridge * moved
        by_weight = problem.parents.T @ chances / len(chances) - problem.targets + pull
        by_bias = chances.mean(0) - target
        gradient = torch.cat([(by_weight * scale).flatten(), by_bias * bias_scale])
        met = (weight * problem.targets).sum() + (bias * target).sum()
        loss = total.double().mean() - met + 0.5 * (pull * moved).sum()
        return float(loss), gradient.double().numpy()

    bias = target.log() if start is None else start
    begin = torch.cat([(problem.centre / scale).flatten(), bias / bias_scale]).double().numpy()
    options = {"maxiter": _ITERATIONS if start is None else _AGAIN, "maxcor": 8, "gtol": 1e-5}
    found = minimize(loss_and_gradient, begin, jac=True, method="L-BFGS-B", options=options)
    return parts(found.x)


def _drawn(
    logits: Tensor,
    pool: NDArray[np.int64],
    measured: Measured,
    column: int,
    *,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """The column's codes for the pool, spread out over the columns that it was measured with."""
    keys = [(pool[:, i], len(table)) for i, table in measured.of(column)[-4:]]
    uniforms = spread_uniforms(keys, len(pool), rng=rng)
    return pick(logits, uniforms).numpy()
