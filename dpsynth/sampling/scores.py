"""Normal scores: ordered codes as points of the standard normal law, and back.

A code is the stretch of the noisy cumulative distribution that it covers; a row's score is a random
point of that stretch, taken through the normal quantile function (van der Waerden 1952, with the
randomized ranks of Brockwell 2007). So scores of the noisy marginal are standard normal whatever
the column holds, heaps of one value and all, and a score goes back to its code by the same public
table.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

FloatArray = NDArray[np.float64]

_EDGE = 1e-6
"""Scores stay within the quantiles of this chance: below 4.8 in size."""


class NormalScores(nn.Module):
    """The public tables of the numeric columns of a layout; nothing in it is trained.

    Args:
        shares: for each column the noisy distribution over its codes, all above zero.
        positions: for each column the number that each code stands for; the code of missing values
            (NaN) comes before all numbers.
    """

    def __init__(self, shares: Sequence[FloatArray], positions: Sequence[FloatArray]) -> None:
        super().__init__()
        self.columns = len(shares)
        for n, (share, position) in enumerate(zip(shares, positions, strict=True)):
            order = np.argsort(np.where(np.isnan(position), -np.inf, position), kind="stable")
            edges = np.r_[0.0, np.cumsum(share[order]) / share.sum()]
            self._keep(n, order=order, rank=np.argsort(order), edges=edges)

    def scores(self, codes: Tensor, uniforms: Tensor) -> Tensor:
        """Scores of codes.

        Args:
            codes: int64, shape (rows, columns).
            uniforms: where in its stretch each score lies, in [0, 1), shape (rows, times, columns).

        Returns:
            float32, shape (rows, times, columns).
        """
        found = torch.empty_like(uniforms, dtype=torch.float64)
        for n in range(self.columns):
            edges = self._table("edges", n)
            rank = self._table("rank", n)[codes[:, n]]
            low, high = edges[rank][:, None], edges[rank + 1][:, None]
            found[..., n] = low + (high - low) * uniforms[..., n]
        return normal_quantile(found)

    def codes(self, scores: Tensor) -> Tensor:
        """Codes of scores of shape (rows, columns), int64."""
        points = torch.special.ndtr(scores.double())
        found = torch.empty(scores.shape, dtype=torch.int64, device=scores.device)
        for n in range(self.columns):
            inner = self._table("edges", n)[1:-1]
            rank = torch.searchsorted(inner, points[:, n].contiguous(), right=True)
            found[:, n] = self._table("order", n)[rank]
        return found

    def _keep(self, column: int, **tables: NDArray[np.generic]) -> None:
        for name, table in tables.items():
            self.register_buffer(f"{name}{column}", torch.from_numpy(table), persistent=False)

    def _table(self, name: str, column: int) -> Tensor:
        return self.get_buffer(f"{name}{column}")


def normal_quantile(uniforms: Tensor) -> Tensor:
    """The standard normal quantile of numbers in [0, 1], float32, cut off far out."""
    quantiles: Tensor = torch.special.ndtri(uniforms.double().clamp(_EDGE, 1.0 - _EDGE))
    return quantiles.float()
