"""Missing cells of given rows, from the model's distribution given each row's present cells.

Each row gets a number of candidates. A candidate goes through the columns in the model's order: a
present cell keeps its code and multiplies the candidate's weight by that code's chance, a missing
one is drawn. One candidate is picked by weight. Where all present cells come first, or there is no
relation, all weights are equal and the result is exact; otherwise it nears the conditional
distribution as the candidates grow in number (importance resampling; Rubin 1987).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpsynth.generators.base import ColumnWise
from dpsynth.sampling.blocks import BLOCK, cut, on_threads
from dpsynth.sampling.drawing import pick

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CANDIDATES = 64
"""Candidates for each row."""
TO_FILL = -1


@dataclass(frozen=True, eq=False)
class FilledCodes:
    """Rows without a gap.

    Attributes:
        codes: shape (rows, columns).
        effective: for each row how many equally likely candidates its own are worth, in
            [1, candidates]; shape (rows,).
    """

    codes: IntArray
    effective: FloatArray


def fill_codes(
    columns: ColumnWise,
    known: IntArray,
    *,
    allowed: Sequence[FloatArray],
    candidates: int = CANDIDATES,
    rng: np.random.Generator,
) -> FilledCodes:
    """Fill the gaps of each row.

    Args:
        columns: the model.
        known: shape (rows, columns); -1 where a cell is to be filled.
        allowed: for each column the share of each code that may be filled in, shape (size,).
        candidates: for each row; at least 1, at most 65,536.
        rng: the stream to draw from.
    """
    codes, effective = known.copy(), np.full(len(known), float(candidates))
    with np.errstate(divide="ignore"):
        logs = [torch.from_numpy(np.log(share).astype(np.float32)) for share in allowed]
    uneven = _unevenly_weighted(columns, known == TO_FILL, allowed)
    for rows, count in ((np.flatnonzero(~uneven), 1), (np.flatnonzero(uneven), candidates)):
        if len(rows):
            filled = _in_blocks(columns, known[rows], logs, count, rng=rng)
            codes[rows] = filled.codes
            effective[rows] = filled.effective * (candidates / count)
    return FilledCodes(codes, effective)


def _unevenly_weighted(
    columns: ColumnWise, gaps: BoolArray, allowed: Sequence[FloatArray]
) -> BoolArray:
    """Rows whose candidates differ in weight, shape (rows,); the others need but one candidate.

    A weight comes from a cell that is there, or from a gap that not every code may fill, and
    differs where such a column depends on a gap.
    """
    uneven = np.zeros(len(gaps), dtype=bool)
    for column in columns.order:
        parents = list(columns.parents(column))
        weighs = np.full(len(gaps), True) if (allowed[column] != 1).any() else ~gaps[:, column]
        uneven |= weighs & gaps[:, parents].any(axis=1)
    return uneven


def _in_blocks(
    columns: ColumnWise,
    known: IntArray,
    logs: Sequence[Tensor],
    candidates: int,
    *,
    rng: np.random.Generator,
) -> FilledCodes:
    pieces = np.split(known, np.cumsum(cut(len(known), most=max(1, BLOCK // candidates)))[:-1])
    filled = on_threads(
        pieces, lambda rows, stream: _fill(columns, rows, logs, candidates, rng=stream), rng=rng
    )
    return FilledCodes(
        np.concatenate([f.codes for f in filled]), np.concatenate([f.effective for f in filled])
    )


def _fill(
    columns: ColumnWise,
    known: IntArray,
    logs: Sequence[Tensor],
    candidates: int,
    *,
    rng: np.random.Generator,
) -> FilledCodes:
    rows = len(known) * candidates
    codes = torch.from_numpy(np.repeat(known, candidates, axis=0))
    weights = torch.zeros(rows, dtype=torch.float64)
    draft = columns.start(rows)
    for column in columns.order:
        logits = draft.logits(column)
        weights -= torch.logsumexp(logits, dim=1)
        given = codes[:, column]
        gap = given == TO_FILL
        present = logits.gather(1, given.clamp(min=0)[:, None]).squeeze(1)
        logits += logs[column]
        weights += torch.where(gap, torch.logsumexp(logits, dim=1), present)
        drawn = pick(logits, rng.random(rows))
        codes[:, column] = torch.where(gap, drawn, given)
        draft.fix(column, codes[:, column])
    return _one_each(codes.numpy(), weights.numpy().reshape(-1, candidates), rng=rng)


def _one_each(codes: IntArray, logs: FloatArray, *, rng: np.random.Generator) -> FilledCodes:
    """One candidate of each row, by weight."""
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    edges = weights.cumsum(axis=1)
    marks = rng.random((len(edges), 1)) * edges[:, -1:]
    picked = np.minimum((edges <= marks).sum(axis=1), edges.shape[1] - 1)
    effective = np.square(weights.sum(axis=1)) / np.square(weights).sum(axis=1)
    return FilledCodes(codes[np.arange(len(edges)) * edges.shape[1] + picked], effective)
