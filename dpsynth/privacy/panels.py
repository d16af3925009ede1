"""Products of one-hot codes with tables, without building the one-hot rows.

A row of codes picks one table row for each column: the forward pass adds the picked rows up, the
gradient adds the row's output gradient to each of them. Outputs are taken a panel at a time, so
that the tables of a panel stay in the cache, and so that columns which no output of the panel sees
cost nothing (half of them under an autoregressive order, more under sparse edges). On the CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

PANEL_OUTPUTS = 256
"""Outputs at which a panel is full: 1,000 table rows of that many floats fill a core's cache."""


def group_of(sizes: Sequence[int]) -> Tensor:
    """Group number of each position: sizes (2, 3) give 0 0 1 1 1."""
    return torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(list(sizes)))


@dataclass(frozen=True, eq=False)
class Panel:
    """Neighbouring outputs and the inputs that any of them sees.

    Attributes:
        outputs: their positions.
        columns: the input columns that any of them sees.
        inputs: the positions of these columns' codes among all codes, column after column.
        shift: by how much a code's number among `inputs` is below its number among all codes, for
            each seen column; None where the inputs are the first ones, so that it is nowhere.
        size: how many inputs.
    """

    outputs: slice
    columns: slice | Tensor
    inputs: slice | Tensor
    shift: Tensor | None
    size: int

    def picked(self, index: Tensor, table: Tensor) -> Tensor:
        """Sum of the picked table rows, shape (rows, panel outputs).

        Args:
            index: from `index_of`.
            table: one row for each input of the layer, shape (inputs of the layer, outputs).
        """
        rows = table[self.inputs, self.outputs].contiguous()
        return torch.nn.functional.embedding_bag(self._own(index), rows, mode="sum")

    def scattered(self, index: Tensor, output_grads: Tensor) -> Tensor:
        """For each input, the sum of `output_grads` over the rows that pick it.

        Only additions, in the type of `output_grads`: exact where every partial sum fits it.

        Returns:
            shape (size, panel outputs).
        """
        own = self._own(index)
        rows, columns = own.shape
        ends = np.arange(0, own.numel() + 1, columns, dtype=np.int32)
        grads = output_grads[:, self.outputs].contiguous().numpy()
        ones = np.ones(own.numel(), dtype=grads.dtype)
        picks = sparse.csc_array((ones, own.reshape(-1).numpy(), ends), shape=(self.size, rows))
        return torch.from_numpy(picks @ grads)

    def _own(self, index: Tensor) -> Tensor:
        """Number of each picked input among `inputs`, shape (rows, seen columns)."""
        own = index[:, self.columns]
        return own if self.shift is None else own - self.shift


def index_of(codes: Tensor, offsets: Tensor) -> Tensor:
    """Number of each code among all columns' codes, int32, shape (rows, columns).

    Args:
        codes: integers, shape (rows, columns).
        offsets: number of each column's first code, int32, shape (columns,).
    """
    return codes.to(torch.int32) + offsets


def panels_of(seen: Tensor, in_sizes: Sequence[int], out_sizes: Sequence[int]) -> tuple[Panel, ...]:
    """The panels of a layer; outputs that see no column are in none.

    Args:
        seen: which input columns each output group sees, bool, shape (groups, columns).
        in_sizes: codes of each input column.
        out_sizes: outputs of each group.
    """
    found: list[Panel] = []
    first = start = 0
    for group in range(len(out_sizes)):
        end = start + sum(out_sizes[first : group + 1])
        if end - start >= PANEL_OUTPUTS or group == len(out_sizes) - 1:
            columns = seen[first : group + 1].any(0).nonzero().squeeze(1)
            if len(columns):
                found.append(_panel(slice(start, end), columns, in_sizes))
            first, start = group + 1, end
    return tuple(found)


def _panel(outputs: slice, columns: Tensor, in_sizes: Sequence[int]) -> Panel:
    sizes = torch.tensor(list(in_sizes))
    size = int(sizes[columns].sum())
    if int(columns[-1]) == len(columns) - 1:  # the first so many columns: views instead of copies
        return Panel(outputs, slice(0, len(columns)), slice(0, size), None, size)
    inputs = torch.isin(group_of(in_sizes), columns).nonzero().squeeze(1)
    before, here = sizes.cumsum(0) - sizes, sizes[columns].cumsum(0) - sizes[columns]
    return Panel(outputs, columns, inputs, (before[columns] - here).to(torch.int32), size)
