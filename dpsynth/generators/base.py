"""What a generator is: an architecture, a per-example loss and a sampler, in one file.

A generator never sees rows, ledger or noise. It is built from a `Layout` (public: how many codes
each column has and the noisy one-way marginals), its loss is handed batches by the training loop
inside the curator, and it samples codes from its trained weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dpsynth.refinement.measured import Measured

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """The public shape of an encoded table.

    Attributes:
        sizes: number of codes of each column.
        one_way: for each column its estimated distribution, shape (sizes[j],), summing to 1.
        rows: the noisy row count.
        pairs: the pairs of columns (i, j), i < j, whose tables were measured; None where none were
            and a generator may relate any columns.
        positions: for each column None where its codes have no order, or the number that each code
            stands for, shape (sizes[j],), NaN for the code of a missing value. None where nothing
            is known of any column.
    """

    sizes: tuple[int, ...]
    one_way: tuple[FloatArray, ...]
    rows: float
    pairs: tuple[tuple[int, int], ...] | None = None
    positions: tuple[FloatArray | None, ...] | None = None


class Generator(Protocol):
    """The interface of a generator file; the module itself satisfies it."""

    NAME: str
    SUMMARY: str

    def build(
        self, layout: Layout, *, options: Mapping[str, float], rng: np.random.Generator
    ) -> nn.Module:
        """An untrained model; public inputs only."""
        ...

    def per_example_loss(self, model: nn.Module, codes: Tensor) -> Tensor:
        """Loss of each row, shape (rows,); row i's loss depends on row i alone."""
        ...

    def sample(self, model: nn.Module, rows: int, *, rng: np.random.Generator) -> IntArray:
        """Synthetic codes, shape (rows, columns)."""
        ...


class Measuring(Protocol):
    """A generator that starts from noisy tables of pairs; members that a generator may lack."""

    def adopt(self, model: nn.Module, measured: Measured, *, rng: np.random.Generator) -> None:
        """Take over what was measured, before training; public inputs only."""
        ...

    def refine(self, model: nn.Module, measured: Measured, *, rng: np.random.Generator) -> None:
        """Reconcile what training found with what was measured, after the last step."""
        ...


class Drawing(Protocol):
    """A generator whose loss is random: latent noise, timesteps, made-up rows."""

    def draws(self, model: nn.Module, rows: int, *, rng: np.random.Generator) -> Tensor:
        """Random numbers for the losses of `rows` rows, float32, one row of them a row."""
        ...

    def per_example_loss(self, model: nn.Module, codes: Tensor, draws: Tensor) -> Tensor:
        """Loss of each row; row i's depends on row i of `codes` and of `draws` alone."""
        ...


class Adversarial(Protocol):
    """A generator of two networks, of which only the critic is trained from rows.

    `per_example_loss` is the critic's loss of a real row. All members here see public things only.
    """

    def public_loss(self, model: nn.Module, *, rng: np.random.Generator) -> Tensor:
        """The part of the critic's loss that no row enters, a scalar; its gradient is free."""
        ...

    def maker_parameters(self, model: nn.Module) -> list[nn.Parameter]:
        """Parameters of the network that makes rows; frozen but for its own steps."""
        ...

    def maker_loss(self, model: nn.Module, *, rng: np.random.Generator) -> Tensor:
        """What the maker is moved by, a scalar."""
        ...


class Draft(Protocol):
    """Rows being drawn, one column at a time in the generator's order."""

    def logits(self, column: int) -> Tensor:
        """Unnormalised log-probabilities given the columns fixed so far.

        Returns:
            float32, shape (rows, sizes[column]); the caller may overwrite it.
        """
        ...

    def fix(self, column: int, codes: Tensor) -> None:
        """Set a column's codes, int64 of shape (rows,); columns come in `ColumnWise.order`."""
        ...


class ColumnWise(Protocol):
    """A model that draws columns one after another, ready to draw; several threads may use it.

    A generator file offers it by `columns(model) -> ColumnWise`, a member it may lack. With it rows
    can be drawn under a condition and the missing cells of given rows filled; without it a
    condition is met by drawing rows until enough fit.
    """

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of codes of each column."""
        ...

    @property
    def order(self) -> tuple[int, ...]:
        """The columns in the order in which they are drawn."""
        ...

    def parents(self, column: int) -> tuple[int, ...]:
        """All columns that a column's logits depend on, those that they lean on most first.

        They come before it. The first few decide how draws are spread, so their order is a hint;
        that no other column matters is a promise: a condition may be met without weights by it.
        """
        ...

    def start(self, rows: int) -> Draft:
        """Rows of which no column is fixed yet."""
        ...


_SAFE = 1e30
"""Sums of unshifted exponentials outside [1 / _SAFE, _SAFE] are worked out by log-softmax."""


_TOGETHER = 16
"""Columns whose sums are one matrix product; other widths than multiples of 16 are slower."""


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Constants of up to 16 neighbouring blocks of logits.

    Attributes:
        positions: where they are among all logits.
        columns: their columns.
        members: ones where a position is in a block, shape (positions, 16).
        spread: its transpose, one row a column.
    """

    positions: slice
    columns: slice
    members: Tensor
    spread: Tensor


@lru_cache(maxsize=32)
def _blocks(
    sizes: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> tuple[_Blocks, ...]:
    found: list[_Blocks] = []
    for first in range(0, len(sizes), _TOGETHER):
        widths = torch.tensor(sizes[first : first + _TOGETHER])
        start = sum(sizes[:first])
        owner = torch.repeat_interleave(torch.arange(len(widths)), widths)
        members = torch.zeros(len(owner), _TOGETHER, dtype=dtype)
        members[torch.arange(len(owner)), owner] = 1.0
        positions = slice(start, start + len(owner))
        columns = slice(first, first + len(widths))
        spread = members.T[: len(widths)].contiguous()
        found.append(_Blocks(positions, columns, members.to(device), spread.to(device)))
    return tuple(found)


@lru_cache(maxsize=32)
def _first_positions(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    widths = torch.tensor(sizes, device=device)
    return widths.cumsum(0) - widths


def _to_softmax(exponentials: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Divide each block by its sum, in place; the sums, shape (rows, columns)."""
    sums = exponentials.new_empty(len(exponentials), len(sizes))
    for blocks in _blocks(sizes, exponentials.dtype, exponentials.device):
        part = exponentials[:, blocks.positions]
        found = (part @ blocks.members)[:, : len(blocks.spread)]
        sums[:, blocks.columns] = found
        part *= found.reciprocal() @ blocks.spread
    return sums


class _ColumnCrossEntropy(torch.autograd.Function):
    """Sum over columns of the cross entropy of each column's block of logits.

    Written by hand: the blocks are narrow, and a softmax of each of them costs several times the
    rest of a training step. Here one exponential does for all blocks, and two matrix products with
    zeros and ones for sixteen of them. The gradient (softmax minus one-hot) is made in the forward
    pass.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, codes: Tensor, sizes: tuple[int, ...]) -> Tensor:  # type: ignore[no-untyped-def]
        index = codes + _first_positions(sizes, codes.device)
        grads = logits.exp()
        totals = _to_softmax(grads, sizes)
        losses = totals.log().sum(1) - logits.gather(1, index).sum(1)
        low, high = torch.aminmax(totals) if totals.numel() else (totals.new_ones(()),) * 2
        if not (float(low) > 1 / _SAFE and float(high) < _SAFE):
            # Each row by its own sums: another row in the batch must not change its bits.
            unsafe = ~((totals > 1 / _SAFE) & (totals < _SAFE)).all(1)
            losses[unsafe], grads[unsafe] = _by_log_softmax(logits[unsafe], codes[unsafe], sizes)
        grads.scatter_add_(1, index, grads.new_full(codes.shape, -1.0))
        ctx.save_for_backward(grads)
        return losses

    @staticmethod
    def backward(ctx, grad_losses: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        (grads,) = ctx.saved_tensors
        if grad_losses.stride() == (0,) and len(grad_losses) and float(grad_losses[0]) == 1.0:
            return grads, None, None  # the gradient of a plain sum
        return grads * grad_losses[:, None], None, None


def _by_log_softmax(logits: Tensor, codes: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Losses and softmax of rows with very large or very small logits, block by block."""
    blocks = [torch.log_softmax(block, dim=1) for block in torch.split(logits, list(sizes), dim=1)]
    found = [b.gather(1, codes[:, j : j + 1]).squeeze(1) for j, b in enumerate(blocks)]
    return -torch.stack(found).sum(0), torch.cat(blocks, dim=1).exp()


def column_cross_entropy(logits: Tensor, codes: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Negative log-likelihood of each row under independent softmax blocks.

    Args:
        logits: shape (rows, sum(sizes)); column j's block holds its unnormalised log-probabilities.
        codes: int64, shape (rows, columns).
        sizes: width of each block.

    Returns:
        shape (rows,), in nats.
    """
    losses: Tensor = _ColumnCrossEntropy.apply(logits, codes, sizes)  # type: ignore[no-untyped-call]
    return losses


def log_one_way(layout: Layout) -> Tensor:
    """Logits of the noisy one-way marginals, shape (sum(sizes),): where every generator starts.

    A code that the noise left without mass starts at a tenth of a row, so that its logit is finite.
    """
    floor = 0.1 / max(layout.rows, 1.0)
    parts = [np.log(np.maximum(p, floor) / np.maximum(p, floor).sum()) for p in layout.one_way]
    return torch.tensor(np.concatenate(parts), dtype=torch.float32)
