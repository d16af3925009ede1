"""Rows drawn in rounds, each of which makes up for what the rounds before it got wrong.

Rows drawn each on its own miss the expected count of a cell by about the root of that count. Here
the counts of the rounds so far are held against their targets, and the next round draws a code that
is ahead a little less often, one that is behind a little more often (error feedback, as in
sigma-delta modulation). What remains at the end is about one round's error. The targets may come
from noisy marginals as well as from the model; then the sample is repaired towards them.

No private data is involved. Rows of one call are not independent of each other any more, which is
the point; they come back in random order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpsynth.generators.base import IntArray
from dpsynth.sampling.blocks import on_threads
from dpsynth.sampling.drawing import draw_block
from dpsynth.sampling.linear import LinearColumns

FloatArray = NDArray[np.float64]

CHAIN = 131_072
"""Most rows of one chain of rounds; several chains run on several threads."""
_ROUNDS = 48
_LEAST_ROUND = 128
"""Rows below which a round says too little."""
_GAIN = 1.5
_MOST_GAIN = 0.4
_LIMIT = 1.0


@dataclass(frozen=True, eq=False)
class ColumnTargets:
    """Targets of one column.

    Attributes:
        codes: share of each code, shape (size,).
        tables: share of each code of each column that it sees together with its own, one below the
            other as in the layer's table, shape (sum of their sizes, size).
    """

    codes: Tensor
    tables: Tensor


def draw_towards(
    columns: LinearColumns,
    targets: Sequence[ColumnTargets],
    rows: int,
    *,
    rng: np.random.Generator,
) -> IntArray:
    """Codes whose counts come close to the targets, shape (rows, columns)."""
    if rows < 1:
        return np.zeros((0, len(columns.sizes)), dtype=np.int64)
    chains = -(-rows // CHAIN)
    sizes = [rows // chains + (c < rows % chains) for c in range(chains)]

    def work(size: int, stream: np.random.Generator) -> IntArray:
        return _chain(columns, targets, size, rng=stream)

    found = np.concatenate(on_threads(sizes, work, rng=rng))
    return found[rng.permutation(rows)]


def _chain(
    columns: LinearColumns,
    targets: Sequence[ColumnTargets],
    rows: int,
    *,
    rng: np.random.Generator,
) -> IntArray:
    rounds = int(np.clip(rows // _LEAST_ROUND, 1, _ROUNDS))
    counts = [_Counts.none(target) for target in targets]
    drawn: list[IntArray] = []
    done = 0
    for size in (rows // rounds + (r < rows % rounds) for r in range(rounds)):
        steered = columns
        if done:
            moves = [c.moves(t, done, size) for c, t in zip(counts, targets, strict=True)]
            steered = columns.steered([m[0] for m in moves], [m[1] for m in moves])
        codes = draw_block(steered, size, rng=rng)
        drawn.append(codes)
        done += size
        for column, count in enumerate(counts):
            count.add(codes, column, columns)
    return np.concatenate(drawn)


@dataclass(eq=False)
class _Counts:
    """Counts of one column in the rows drawn so far, shaped as its targets."""

    codes: Tensor
    tables: Tensor

    @classmethod
    def none(cls, target: ColumnTargets) -> "_Counts":
        return cls(torch.zeros_like(target.codes), torch.zeros_like(target.tables))

    def add(self, codes: IntArray, column: int, columns: LinearColumns) -> None:
        """Count the rows of one round."""
        layer = columns.layers[column]
        mine, size = codes[:, column], len(self.codes)
        self.codes += torch.from_numpy(np.bincount(mine, minlength=size))
        if len(layer.seen):
            rows = codes[:, layer.seen.numpy()] + layer.offsets.numpy()
            flat = np.bincount((rows * size + mine[:, None]).ravel(), minlength=self.tables.numel())
            self.tables += torch.from_numpy(flat).reshape(self.tables.shape)

    def moves(self, target: ColumnTargets, done: int, coming: int) -> tuple[Tensor, Tensor]:
        """What to add to the column's table and bias for the round of `coming` rows."""
        parents = round(float(target.tables.sum()))
        gain = min(_MOST_GAIN, _GAIN / max(parents, 1))
        return (
            _move(self.tables, target.tables, done, coming, gain),
            _move(self.codes, target.codes, done, coming, gain),
        )


def _move(counts: Tensor, shares: Tensor, done: int, coming: int, gain: float) -> Tensor:
    ahead = counts - done * shares
    return (ahead * (-gain) / (coming * shares + 1.0)).clamp_(-_LIMIT, _LIMIT)
