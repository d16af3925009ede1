"""Expected errors of counts, by simulating whole releases.

Each replicate plays the release on a table that is known (see `dpsynth.replicates`), so what its
synthetic table gets wrong can be counted: noise, shrinkage and sampling alike. What a simulated
table cannot show is structure of the private table that the model lacks. That shows in the noisy
tables of pairs themselves: where they are further from the synthetic table than in the simulations,
the surplus is added.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dpsynth.encoding.labels import code_labels
from dpsynth.errors import InputError
from dpsynth.expected_errors import ColumnErrors, ExpectedErrors, PairErrors
from dpsynth.generators.base import FloatArray, IntArray
from dpsynth.refinement.simulated import counts
from dpsynth.replicates import Progress, Replicate, draw_codes, make_replicates, measured_of

if TYPE_CHECKING:
    from dpsynth.fitted import FittedModel

Pair = tuple[int, int]
_TINY = 1e-12


def find_expected_errors(
    model: "FittedModel",
    pairs: Sequence[tuple[str, str]] | None,
    *,
    replicates: int,
    rng: np.random.Generator,
    rows: int | None = None,
    progress: Progress = lambda done, total: None,
) -> ExpectedErrors:
    """Simulate `replicates` releases and count what they get wrong.

    Args:
        model: the fitted model.
        pairs: names of two columns each; None takes every pair that was measured.
        replicates: how many.
        rng: the stream to draw from.
        rows: of the synthetic table; None takes the noisy row count.
        progress: told of each simulation.

    Raises:
        InputError: a pair names a column that is not modelled or one column twice, replicates out
            of range, or the model was fitted without measured pairs.
    """
    measured = measured_of(model)
    names = [column.name for column in model.codec.columns]
    asked = measured.pairs if pairs is None else tuple(_pair(p, names) for p in pairs)
    tally = _Tally(measured.sizes, asked)
    for one in make_replicates(model, replicates, rng=rng, progress=progress):
        tally.add(one, Made(draw_codes(one.model, rows, rng=rng), one.model.layout.rows))
    made = Made(draw_codes(model, rows, rng=rng), measured.rows)
    noisy = dict(zip(measured.pairs, measured.tables, strict=True))
    found = [
        _pair_errors(pair, tally, names, made, noisy.get(pair), std=measured.std) for pair in asked
    ]
    return ExpectedErrors(
        rows=len(made.codes),
        replicates=replicates,
        columns=tuple(_column_errors(model, j, tally, made) for j in range(len(names))),
        pairs=tuple(sorted(found, key=lambda p: -p.tvd)),
    )


@dataclass(frozen=True, eq=False)
class Made:
    """Codes of a synthetic table, shape (rows, columns), and the rows that they stand for."""

    codes: IntArray
    rows: float

    def column(self, column: int, size: int) -> FloatArray:
        """Estimated counts of a column's codes, shape (size,)."""
        counted = np.bincount(self.codes[:, column], minlength=size).astype(np.float64)
        return counted * (self.rows / len(self.codes))

    def pair(self, pair: Pair, sizes: tuple[int, ...]) -> FloatArray:
        """Estimated counts of two columns, shape (sizes[i], sizes[j])."""
        return counts(self.codes, pair, sizes) * (self.rows / len(self.codes))


class _Tally:
    """Sums over the replicates of what they got wrong."""

    def __init__(self, sizes: tuple[int, ...], pairs: Sequence[Pair]) -> None:
        self.sizes = sizes
        self.done = 0
        self.columns = [np.zeros(size) for size in sizes]
        self.pairs = {(i, j): np.zeros((sizes[i], sizes[j])) for i, j in pairs}
        self.distances = dict.fromkeys(self.pairs, 0.0)
        self.residuals = dict.fromkeys(self.pairs, 0.0)

    def add(self, one: Replicate, made: Made) -> None:
        """Hold the synthetic rows of a replicate against the table that it was fitted to."""
        real = one.simulated.codes
        self.done += 1
        for j, size in enumerate(self.sizes):
            truth = np.bincount(real[:, j], minlength=size)
            self.columns[j] += (made.column(j, size) - truth) ** 2
        answers = one.simulated.measured
        noisy = dict(zip(answers.pairs, answers.tables, strict=True))
        for pair, squares in self.pairs.items():
            mine, table = made.pair(pair, self.sizes), counts(real, pair, self.sizes)
            squares += (mine - table) ** 2
            self.distances[pair] += distance(mine, table)
            if pair in noisy:
                self.residuals[pair] += residual(noisy[pair], mine)

    def factor(self, pair: Pair, made: FloatArray, noisy: FloatArray, *, std: float) -> float:
        """What a pair's errors are multiplied by for what the noisy table says against the made.

        The squared distance to the noisy table is the squared error plus the noise, less what the
        fit took over of the noise; the last two are the same in the simulations (a covariance
        penalty; Efron 2004). So a larger distance than theirs is error that they do not have, once
        it stands out from how far noise alone makes such distances differ (shrunk as James and
        Stein would).

        Args:
            pair: the pair. made, noisy: its tables. std: noise in a cell of the latter.
        """
        simulated = float(self.pairs[pair].sum()) / self.done
        more = residual(noisy, made) - self.residuals[pair] / self.done
        by_chance = 2.0 * noisy.size * std**4 * (1.0 + 1.0 / self.done)
        kept = more - by_chance / more if more**2 > by_chance and more > 0 else 0.0
        return float(np.sqrt((simulated + kept) / max(simulated, _TINY)))


def residual(noisy: FloatArray, made: FloatArray) -> float:
    """Squared distance of two tables of counts, the second times what brings it nearest.

    The noise of the row count moves all cells together and says nothing about structure.
    """
    scale = float((noisy * made).sum()) / max(float((made**2).sum()), _TINY)
    return float(((noisy - scale * made) ** 2).sum())


def distance(one: FloatArray, other: FloatArray) -> float:
    """Total variation distance of two tables of counts."""
    return 0.5 * float(np.abs(one / one.sum() - other / other.sum()).sum())


def _column_errors(model: "FittedModel", column: int, tally: _Tally, made: Made) -> ColumnErrors:
    part = model.codec.parts[column]
    errors = np.sqrt(tally.columns[column] / tally.done)
    return ColumnErrors(
        name=part.column.name,
        labels=code_labels(part),
        counts=tuple(made.column(column, part.size).tolist()),
        errors=tuple(errors.tolist()),
        shares=tuple((errors / made.rows).tolist()),
    )


def _pair_errors(
    pair: Pair,
    tally: _Tally,
    names: Sequence[str],
    made: Made,
    noisy: FloatArray | None,
    *,
    std: float,
) -> PairErrors:
    errors = np.sqrt(tally.pairs[pair] / tally.done)
    factor = 1.0
    if noisy is not None:
        factor = tally.factor(pair, made.pair(pair, tally.sizes), noisy, std=std)
    return PairErrors(
        first=names[pair[0]],
        second=names[pair[1]],
        cells=errors.size,
        mean=factor * float(errors.mean()),
        largest=factor * float(errors.max()),
        tvd=min(1.0, factor * tally.distances[pair] / tally.done),
        measured=noisy is not None,
    )


def _pair(pair: tuple[str, str], names: Sequence[str]) -> Pair:
    for name in pair:
        if name not in names:
            raise InputError(
                f"pair {pair[0]},{pair[1]}: no modelled column {name!r}; there are "
                f"{', '.join(names)}"
            )
    first, second = sorted(map(names.index, pair))
    if first == second:
        raise InputError(f"pair {pair[0]},{pair[1]}: one column twice; give two columns")
    return first, second
