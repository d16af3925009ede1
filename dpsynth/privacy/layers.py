"""Layers whose per-example gradient norm is known in closed form (book-keeping).

For a linear layer the gradient of one row is the outer product of its output gradient d and its
input a, so its squared norm is ||a||^2 ||d||^2 and no per-row gradient has to be built (Goodfellow,
arXiv:1510.01799; Bu et al., ICML 2023, arXiv:2210.00038). Under an autoregressive mask the rule
holds group by group: the row's squared norm is the sum over output groups g of
(||inputs visible to g||^2 + 1 for the bias) ||d_g||^2.

Here forward pass, norm and clipped sum of a layer stand side by side, because the guarantee rests
on their agreement. Generators may use these layers; they cannot change their rules.

Exact sums. Before summing, output gradients are rounded to a fixed-point grid so coarse that every
partial sum is exact in the floating-point type used. The sum over rows is then associative: the
same bits for any batching, thread count or partition, and the sum of two neighbouring tables
differs by exactly one row's rounded contribution (Casacuberta et al., CCS 2022, show what happens
otherwise). It rests on a row's own forward pass giving the same bits in any batch, which holds on
the CPU as tested and which torch does not promise. `rounding_slack` says how much rounding may add
to a row's norm.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from dpsynth.errors import InputError
from dpsynth.privacy.panels import Panel, group_of, index_of, panels_of

ROWS_PER_SUM = 1024
"""Rows added in single precision at once: 2**10 rows of 14-bit numbers fit float32's 24 bits."""

_GRID_BITS = 14
_INPUT_BITS = 12


class BookKeptLayer(Protocol):
    """What `dpsynth.privacy.clipping` needs of a layer; the implementations are in this file."""

    def squared_norms(
        self, inputs: Tensor, output_grads: Tensor, *, scratch: Tensor | None = None
    ) -> Tensor:
        """Squared norm of each row's parameter gradient, shape (rows,).

        Args:
            inputs: what the layer was given.
            output_grads: gradients of the loss at the layer's output, shape (rows, outputs).
            scratch: memory of the shape of `output_grads` that may be overwritten.
        """
        ...

    def grid_step(self, bound: float) -> float:
        """Step of the fixed-point grid of output gradients of rows clipped to `bound`."""
        ...

    def summed_steps(self, inputs: Tensor, steps: Tensor) -> list[Tensor]:
        """Exact sums over at most ROWS_PER_SUM rows, in whole steps, in a shape of the layer's.

        Args:
            inputs: what the layer was given.
            steps: output gradients in whole steps of the grid, from `in_steps`.
        """
        ...

    def gradients(self, sums: list[Tensor], step: float) -> list[Tensor]:
        """Added-up `summed_steps`, float64, as gradients: float64, one tensor a parameter."""
        ...

    def rounding_slack(self, bound: float) -> float:
        """Largest L2 norm that rounding can add to one row's gradient."""
        ...

    def trainable_masks(self) -> list[Tensor]:
        """For each parameter, which entries are trained; the others stay zero."""
        ...


def one_hot(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    """Float one-hot rows.

    Args:
        codes: int64, shape (rows, columns), codes[:, j] in [0, sizes[j]).
        sizes: number of codes of each column.

    Returns:
        shape (rows, sum(sizes)), exactly one 1 for each column.
    """
    offsets = torch.tensor([0, *sizes[:-1]], device=codes.device).cumsum(0)
    rows = torch.zeros(len(codes), sum(sizes), device=codes.device)
    return rows.scatter_(1, codes + offsets, 1.0)


def seen_columns(visible: Sequence[int | Sequence[int]], columns: int) -> Tensor:
    """Which input columns each output group sees, bool, shape (groups, columns).

    Args:
        visible: for each output group a number n (it sees the first n columns) or the numbers of
            the columns that it sees.
        columns: how many input columns there are.

    Raises:
        InputError: a number out of range, or a column named twice.
    """
    seen = torch.zeros(len(visible), columns, dtype=torch.bool)
    for group, entry in enumerate(visible):
        numbers = entry if isinstance(entry, Sequence) else range(min(entry, 0), max(entry, 0))
        if len(set(numbers)) < len(numbers) or any(not 0 <= n < columns for n in numbers):
            raise InputError(
                f"output group {group} sees columns {entry!r}; allowed: a number from 0 to "
                f"{columns}, or different column numbers from 0 to {columns - 1}"
            )
        seen[group, list(numbers)] = True
    return seen


def in_steps(
    output_grads: Tensor, factors: Tensor, *, step: float, out: Tensor | None = None
) -> Tensor:
    """Clipped output gradients in whole steps of the grid, at most 2**14 in size.

    Args:
        output_grads: shape (rows, outputs).
        factors: what clipping scales each row by, shape (rows,).
        step: of the grid, a power of two; so dividing by it changes no bit.
        out: where to put them; None makes a new tensor.
    """
    limit = float(2**_GRID_BITS)
    scaled = torch.mul(output_grads, (factors * (1.0 / step))[:, None], out=out)
    return scaled.round_().clamp_(-limit, limit)


def _grid_step(bound: float) -> float:
    return float(2.0 ** (torch.tensor(bound).log2().ceil().item() - _GRID_BITS))


def _zero_columns_first(outputs: int, inputs: int, *, dtype: torch.dtype) -> Tensor:
    """Zeros of shape (outputs, inputs), each input's outputs side by side in memory.

    That is the order in which codes pick table rows.
    """
    return torch.zeros(inputs, outputs, dtype=dtype).T


class _Lookup(torch.autograd.Function):
    """bias + the table rows that the codes pick, panel by panel."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, index: Tensor, weight: Tensor, bias: Tensor, panels: tuple[Panel, ...]
    ) -> Tensor:
        ctx.save_for_backward(index)
        ctx.panels, ctx.shape = panels, weight.shape
        outputs = bias.expand(len(index), -1).clone()
        for panel in panels:
            outputs[:, panel.outputs] += panel.picked(index, weight.T)
        return outputs

    @staticmethod
    def backward(  # type: ignore[no-untyped-def]
        ctx, output_grads: Tensor
    ) -> tuple[None, Tensor, Tensor, None]:
        (index,) = ctx.saved_tensors
        weight = _zero_columns_first(*ctx.shape, dtype=output_grads.dtype)
        for panel in ctx.panels:
            weight.T[panel.inputs, panel.outputs] = panel.scattered(index, output_grads)
        return None, weight, output_grads.sum(0), None


class CodeLinear(nn.Module):
    """A linear map of one-hot codes: for each output group, a bias plus one table row a column.

    A row has one active input for each column that an output group sees, so that its squared norm
    is sum_g (columns that g sees + 1) ||d_g||^2.

    Shape: codes (rows, columns) int64 -> (rows, sum(out_sizes)).

    Args:
        in_sizes: codes of each input column.
        out_sizes: outputs of each group.
        visible: for each output group a number n (it sees the first n input columns) or the
            numbers of the columns that it sees. Weights of others are to stay zero.
        grad_bound: size beyond which an output gradient is clamped; 1 for the logits of a cross
            entropy, whose gradient never exceeds it, so that the grid is as fine as it can be.

    Raises:
        InputError: `visible` names a column that is not there, or one twice.
    """

    _offsets: Tensor
    _mask: Tensor
    _weights: Tensor

    def __init__(
        self,
        in_sizes: Sequence[int],
        out_sizes: Sequence[int],
        visible: Sequence[int | Sequence[int]],
        *,
        grad_bound: float = float("inf"),
    ) -> None:
        super().__init__()
        self.in_sizes = tuple(in_sizes)
        self.grad_bound = grad_bound
        outputs, inputs = sum(out_sizes), sum(in_sizes)
        self.weight = nn.Parameter(_zero_columns_first(outputs, inputs, dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(outputs))
        seen = seen_columns(visible, len(self.in_sizes))
        self._panels = panels_of(seen, self.in_sizes, out_sizes)
        seen = seen[group_of(out_sizes)]
        mask = _zero_columns_first(outputs, inputs, dtype=torch.bool)
        mask.copy_(seen[:, group_of(in_sizes)])
        widths = torch.tensor(self.in_sizes)
        offsets = (widths.cumsum(0) - widths).to(torch.int32)
        self.register_buffer("_offsets", offsets, persistent=False)
        self.register_buffer("_mask", mask, persistent=False)
        self.register_buffer("_weights", (seen.sum(1) + 1).float(), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Logits or activations, shape (rows, sum(out_sizes))."""
        outputs: Tensor = _Lookup.apply(
            index_of(codes, self._offsets), self.weight, self.bias, self._panels
        )  # type: ignore[no-untyped-call]
        return outputs

    def squared_norms(
        self, inputs: Tensor, output_grads: Tensor, *, scratch: Tensor | None = None
    ) -> Tensor:
        """See `BookKeptLayer`; `inputs` are codes, whose one-hot norm is known."""
        return torch.mul(output_grads, output_grads, out=scratch) @ self._weights

    def grid_step(self, bound: float) -> float:
        """See `BookKeptLayer`."""
        return _grid_step(min(bound, self.grad_bound))

    def summed_steps(self, inputs: Tensor, steps: Tensor) -> list[Tensor]:
        """See `BookKeptLayer`; 2**10 rows of 14-bit numbers fit float32. One tensor a panel."""
        index = index_of(inputs, self._offsets)
        return [*(panel.scattered(index, steps) for panel in self._panels), steps.sum(0)]

    def gradients(self, sums: list[Tensor], step: float) -> list[Tensor]:
        """See `BookKeptLayer`."""
        weight = _zero_columns_first(*self._mask.shape, dtype=torch.float64)
        scale = torch.where(self._mask, step, 0.0)  # a power of two or zero: no bit changes
        for panel, total in zip(self._panels, sums[:-1], strict=True):
            here = panel.inputs, panel.outputs
            weight.T[here] = total * scale.T[here]
        return [weight, sums[-1] * step]

    def rounding_slack(self, bound: float) -> float:
        """See `BookKeptLayer`: half a grid step in each output, times the active inputs."""
        return float(0.5 * self.grid_step(bound) * self._weights.double().sum().sqrt())

    def trainable_masks(self) -> list[Tensor]:
        """See `BookKeptLayer`."""
        return [self._mask, torch.ones_like(self.bias, dtype=torch.bool)]


class MaskedLinear(nn.Module):
    """A linear map of bounded activations in [-1, 1] under an autoregressive mask.

    Output group g sees the input groups before `visible[g]`; the squared norm of a row is
    sum_g (||a_visible(g)||^2 + 1) ||d_g||^2. Inputs are rounded to multiples of 2**-12 in the
    forward pass, so that the map that is trained is the map whose norms are taken.

    Shape: (rows, sum(in_sizes)) in [-1, 1] -> (rows, sum(out_sizes)).
    """

    _mask: Tensor
    _sees: Tensor
    _outputs: Tensor

    def __init__(
        self, in_sizes: Sequence[int], out_sizes: Sequence[int], visible: Sequence[int]
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(sum(out_sizes), sum(in_sizes)))
        self.bias = nn.Parameter(torch.zeros(sum(out_sizes)))
        seen = torch.tensor(list(visible))
        outputs = group_of(out_sizes)
        mask = group_of(in_sizes)[None, :] < seen[outputs][:, None]
        groups = group_of(in_sizes)[:, None] < seen[None, :]
        self.register_buffer("_mask", mask, persistent=False)
        self.register_buffer("_sees", groups.float(), persistent=False)
        self.register_buffer("_outputs", nn.functional.one_hot(outputs).float(), persistent=False)

    def forward(self, activations: Tensor) -> Tensor:
        """Output, shape (rows, sum(out_sizes))."""
        rounded = activations + (self._rounded(activations) - activations).detach()
        return nn.functional.linear(rounded, self.weight, self.bias)

    def squared_norms(
        self, inputs: Tensor, output_grads: Tensor, *, scratch: Tensor | None = None
    ) -> Tensor:
        """See `BookKeptLayer`."""
        visible = self._rounded(inputs).square() @ self._sees + 1.0
        return (visible * (torch.mul(output_grads, output_grads, out=scratch) @ self._outputs)).sum(
            1
        )

    def grid_step(self, bound: float) -> float:
        """See `BookKeptLayer`."""
        return _grid_step(bound)

    def summed_steps(self, inputs: Tensor, steps: Tensor) -> list[Tensor]:
        """See `BookKeptLayer`; exact in float64 for up to 2**26 rows at a time."""
        wide = steps.double()
        return [wide.T @ self._rounded(inputs).double(), wide.sum(0)]

    def gradients(self, sums: list[Tensor], step: float) -> list[Tensor]:
        """See `BookKeptLayer`."""
        weight, bias = sums
        return [weight.double().mul_(self._mask).mul_(step), bias.double().mul_(step)]

    def rounding_slack(self, bound: float) -> float:
        """See `BookKeptLayer`: as if every visible activation were 1."""
        active = self._mask.sum(1).double() + 1.0
        return float(0.5 * _grid_step(bound) * active.sum().sqrt())

    def trainable_masks(self) -> list[Tensor]:
        """See `BookKeptLayer`."""
        return [self._mask, torch.ones_like(self.bias, dtype=torch.bool)]

    @staticmethod
    def _rounded(activations: Tensor) -> Tensor:
        scale = float(2**_INPUT_BITS)
        return (activations.detach() * scale).round_().clamp_(-scale, scale) / scale


BOOK_KEPT: tuple[type[nn.Module], ...] = (CodeLinear, MaskedLinear)
