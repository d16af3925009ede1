"""Rows drawn column after column, spread out so that their counts vary little.

Each column is drawn by inverting its cumulative distribution at one uniform a row. The uniforms of
a block are the multiples of the golden ratio modulo 1 from a random start, dealt to the rows in the
order of their codes in the columns that matter most to this one. Two things follow:

- A row's uniform is uniform whatever its earlier codes are, since the start is; so every row has
  exactly the model's distribution.
- Rows with equal codes get uniforms that lie far apart from each other, any stretch of neighbours
  among them; so the count of each pair of codes stays closer to its expectation than that of rows
  drawn each on its own. The means of counts are the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpsynth.generators.base import ColumnWise, IntArray
from dpsynth.sampling.blocks import BLOCK, cut, on_threads

FloatArray = NDArray[np.float64]

_GOLDEN = 0.6180339887498949
_MOST_KEYS = 4
_KEY_BITS = 29
_ROW_BITS = 16
_TIE_BITS = 63 - _KEY_BITS - _ROW_BITS
_BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))

if BLOCK > 1 << _ROW_BITS:
    raise ImportError(f"a block of {BLOCK} rows does not fit {_ROW_BITS} bits of a sorting key")


@dataclass(frozen=True, eq=False)
class Drawn:
    """Rows of one block.

    Attributes:
        codes: int64, shape (rows, columns).
        log_weights: log of the chance of the evidence given the codes drawn before each piece of
            it, summed; zero without evidence. Shape (rows,).
    """

    codes: IntArray
    log_weights: FloatArray


def draw_rows(columns: ColumnWise, rows: int, *, rng: np.random.Generator) -> IntArray:
    """Codes of shape (rows, columns), drawn in blocks on several threads."""
    if rows < 1:
        return np.zeros((0, len(columns.sizes)), dtype=np.int64)
    return draw_weighted(columns, rows, evidence={}, rng=rng).codes


def draw_weighted(
    columns: ColumnWise, rows: int, *, evidence: Mapping[int, FloatArray], rng: np.random.Generator
) -> Drawn:
    """Rows whose columns with evidence are drawn among the codes that it allows, and weights.

    Weighted by exp(log_weights) the rows follow the model's distribution given the evidence
    (sequential importance sampling; Liu and Chen 1998).

    Args:
        columns: the model.
        rows: how many, at least 1.
        evidence: for some columns the share of each code that fits, in [0, 1], shape (size,), not
            all zero.
        rng: the stream to draw from.
    """
    logs = {c: _log(share) for c, share in evidence.items()}
    blocks = on_threads(
        cut(rows), lambda size, stream: _draw(columns, size, logs, rng=stream), rng=rng
    )
    if len(blocks) == 1:
        return blocks[0]
    codes = np.concatenate([block.codes for block in blocks])
    return Drawn(codes, np.concatenate([block.log_weights for block in blocks]))


def draw_block(columns: ColumnWise, rows: int, *, rng: np.random.Generator) -> IntArray:
    """Codes of at most a block of rows on the calling thread, shape (rows, columns)."""
    return _draw(columns, rows, {}, rng=rng).codes


def _log(share: FloatArray) -> Tensor:
    with np.errstate(divide="ignore"):
        return torch.from_numpy(np.log(share).astype(np.float32))


def _draw(
    columns: ColumnWise, rows: int, logs: Mapping[int, Tensor], *, rng: np.random.Generator
) -> Drawn:
    codes = np.empty((len(columns.sizes), rows), dtype=np.int64)
    weights = np.zeros(rows)
    draft = columns.start(rows)
    for column in columns.order:
        logits = draft.logits(column)
        if column in logs:
            weights -= torch.logsumexp(logits, dim=1).double().numpy()
            logits += logs[column]
            weights += torch.logsumexp(logits, dim=1).double().numpy()
        keys = [(codes[p], columns.sizes[p]) for p in columns.parents(column)[:_MOST_KEYS]]
        drawn = pick(logits, spread_uniforms(keys, rows, rng=rng))
        codes[column] = drawn.numpy()
        draft.fix(column, drawn)
    return Drawn(np.ascontiguousarray(codes.T), weights)


def pick(logits: Tensor, uniforms: FloatArray) -> Tensor:
    """One code a row by inversion of the cumulative distribution; never one of chance zero.

    Args:
        logits: float32, shape (rows, codes), overwritten; -inf where a code is ruled out, not
            everywhere in a row.
        uniforms: shape (rows,), in [0, 1).

    Returns:
        int64, shape (rows,).
    """
    cumulative = logits.sub_(logits.amax(dim=1, keepdim=True)).exp_().cumsum_(dim=1)
    # Below one in float32 too: the product then stays below the sum, so no code past the last
    # possible one is picked.
    marks = torch.from_numpy(uniforms.astype(np.float32)).clamp_(max=_BELOW_ONE)[:, None]
    picks = torch.searchsorted(cumulative, marks * cumulative[:, -1:], right=True)
    return picks.squeeze(1)


def spread_uniforms(
    keys: list[tuple[IntArray, int]], rows: int, *, rng: np.random.Generator
) -> FloatArray:
    """Uniforms far apart among rows of equal codes, shape (rows,).

    Args:
        keys: codes of shape (rows,) and their number, of the columns that matter, the most
            important first; what is equal in all of them comes in random order.
        rows: how many; at most 65,536.
        rng: gives the start and the order of equals.
    """
    key, width = np.zeros(rows, dtype=np.int64), 1
    for codes, size in keys:
        if width * size >= 1 << _KEY_BITS:
            break
        key *= size
        key += codes
        width *= size
    key <<= _TIE_BITS
    key |= rng.integers(0, 1 << _TIE_BITS, rows)
    key <<= _ROW_BITS
    key |= np.arange(rows)
    key.sort()
    key &= (1 << _ROW_BITS) - 1
    spread = np.arange(rows) * _GOLDEN
    spread += rng.random()
    spread -= np.floor(spread)
    uniforms = np.empty(rows)
    uniforms[key] = spread
    return uniforms


def pick_columns(logits: Tensor, sizes: Sequence[int], *, rng: np.random.Generator) -> IntArray:
    """Codes of columns that are independent of each other given the logits, shape (rows, columns).

    Args:
        logits: float32, shape (rows, sum(sizes)), at most 65,536 rows; may be overwritten.
        sizes: codes of each column.
        rng: the stream to draw from; every row has its own chances, and counts vary little.
    """
    blocks = torch.split(logits, list(sizes), dim=1)
    drawn = [pick(block.contiguous(), spread_uniforms([], len(block), rng=rng)) for block in blocks]
    return torch.stack(drawn, dim=1).numpy()
