"""What a generator is: an architecture, a per-example loss and a sampler, in one file.

A generator never sees rows, ledger or noise. It is built from a `Layout` (public: how many codes
each column has and the noisy one-way marginals), its loss is handed batches by the training loop
inside the curator, and it samples codes from its trained weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """The public shape of an encoded table.

    Attributes:
        sizes: number of codes of each column.
        one_way: for each column its estimated distribution, shape (sizes[j],), summing to 1.
        rows: the noisy row count.
    """

    sizes: tuple[int, ...]
    one_way: tuple[FloatArray, ...]
    rows: float


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


class _ColumnCrossEntropy(torch.autograd.Function):
    """Sum over columns of the cross entropy of each column's block of logits.

    Written by hand since autograd would build each column's gradient as a full-width tensor: the
    gradient (softmax minus one-hot) is made once in the forward pass.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, codes: Tensor, sizes: tuple[int, ...]) -> Tensor:  # type: ignore[no-untyped-def]
        grads = torch.empty_like(logits)
        losses = torch.zeros(len(logits), dtype=logits.dtype, device=logits.device)
        start = 0
        for column, size in enumerate(sizes):
            block = slice(start, start + size)
            log_probabilities = torch.log_softmax(logits[:, block], dim=1)
            losses -= log_probabilities.gather(1, codes[:, column : column + 1]).squeeze(1)
            torch.exp(log_probabilities, out=grads[:, block])
            start += size
        offsets = torch.tensor([0, *sizes[:-1]], device=codes.device).cumsum(0)
        grads.scatter_add_(1, codes + offsets, grads.new_full(codes.shape, -1.0))
        ctx.save_for_backward(grads)
        return losses

    @staticmethod
    def backward(ctx, grad_losses: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        (grads,) = ctx.saved_tensors
        return grads * grad_losses[:, None], None, None


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
