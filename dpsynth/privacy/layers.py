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

ROWS_PER_SUM = 1024
"""Rows added in single precision at once: 2**10 rows of 14-bit numbers fit float32's 24 bits."""

_GRID_BITS = 14
_INPUT_BITS = 12


class BookKeptLayer(Protocol):
    """What `dpsynth.privacy.clipping` needs of a layer; the implementations are in this file."""

    def squared_norms(self, inputs: Tensor, output_grads: Tensor) -> Tensor:
        """Squared norm of each row's parameter gradient, shape (rows,)."""
        ...

    def summed_gradients(
        self, inputs: Tensor, output_grads: Tensor, *, bound: float
    ) -> list[Tensor]:
        """Sum over rows of the parameter gradients, float64, one tensor a parameter."""
        ...

    def rounding_slack(self, bound: float) -> float:
        """Largest L2 norm that rounding can add to one row's gradient."""
        ...

    def trainable_masks(self) -> list[Tensor]:
        """For each parameter, which entries are trained; the others stay zero."""
        ...


def group_of(sizes: Sequence[int]) -> Tensor:
    """Group number of each position: sizes (2, 3) give 0 0 1 1 1."""
    return torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(list(sizes)))


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


def _in_steps(output_grads: Tensor, *, step: float) -> Tensor:
    """Whole numbers of grid steps, at most 2**14 in size."""
    limit = float(2**_GRID_BITS)
    return (output_grads * (1.0 / step)).round_().clamp_(-limit, limit)


def _grid_step(bound: float) -> float:
    return float(2.0 ** (torch.tensor(bound).log2().ceil().item() - _GRID_BITS))


class CodeLinear(nn.Module):
    """A linear map of one-hot codes: for each output group, a bias plus one table row a column.

    Output group g sees the columns before `visible[g]`, so a row has exactly `visible[g]` active
    inputs there and its squared norm is sum_g (visible[g] + 1) ||d_g||^2.

    Shape: codes (rows, columns) int64 -> (rows, sum(out_sizes)).

    Args:
        in_sizes: codes of each input column.
        out_sizes: outputs of each group.
        visible: for each output group, how many input columns it sees.
        grad_bound: size beyond which an output gradient is clamped; 1 for the logits of a cross
            entropy, whose gradient never exceeds it, so that the grid is as fine as it can be.
    """

    _mask: Tensor
    _weights: Tensor

    def __init__(
        self,
        in_sizes: Sequence[int],
        out_sizes: Sequence[int],
        visible: Sequence[int],
        *,
        grad_bound: float = float("inf"),
    ) -> None:
        super().__init__()
        self.in_sizes = tuple(in_sizes)
        self.grad_bound = grad_bound
        self.weight = nn.Parameter(torch.zeros(sum(out_sizes), sum(in_sizes)))
        self.bias = nn.Parameter(torch.zeros(sum(out_sizes)))
        seen = torch.tensor(list(visible))[group_of(out_sizes)]
        self.register_buffer("_mask", group_of(in_sizes)[None, :] < seen[:, None], persistent=False)
        self.register_buffer("_weights", (seen + 1).float(), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Logits or activations, shape (rows, sum(out_sizes))."""
        return nn.functional.linear(one_hot(codes, self.in_sizes), self.weight, self.bias)

    def squared_norms(self, inputs: Tensor, output_grads: Tensor) -> Tensor:
        """See `BookKeptLayer`; `inputs` are codes, whose one-hot norm is known."""
        return output_grads.square() @ self._weights

    def summed_gradients(
        self, inputs: Tensor, output_grads: Tensor, *, bound: float
    ) -> list[Tensor]:
        """See `BookKeptLayer`; exact: integers below 2**24 in float32, then float64."""
        weight = torch.zeros(self.weight.shape, dtype=torch.float64, device=inputs.device)
        bias = torch.zeros(self.bias.shape, dtype=torch.float64, device=inputs.device)
        step = _grid_step(min(bound, self.grad_bound))
        for start in range(0, len(inputs), ROWS_PER_SUM):
            rows = slice(start, start + ROWS_PER_SUM)
            grads = _in_steps(output_grads[rows], step=step)
            weight += grads.T @ one_hot(inputs[rows], self.in_sizes)
            bias += grads.sum(0)
        return [weight.mul_(self._mask).mul_(step), bias.mul_(step)]

    def rounding_slack(self, bound: float) -> float:
        """See `BookKeptLayer`: half a grid step in each output, times the active inputs."""
        step = _grid_step(min(bound, self.grad_bound))
        return float(0.5 * step * self._weights.double().sum().sqrt())

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

    def squared_norms(self, inputs: Tensor, output_grads: Tensor) -> Tensor:
        """See `BookKeptLayer`."""
        visible = self._rounded(inputs).square() @ self._sees + 1.0
        return (visible * (output_grads.square() @ self._outputs)).sum(1)

    def summed_gradients(
        self, inputs: Tensor, output_grads: Tensor, *, bound: float
    ) -> list[Tensor]:
        """See `BookKeptLayer`; exact in float64 for up to 2**26 rows at a time."""
        step = _grid_step(bound)
        grads = _in_steps(output_grads, step=step)
        weight = grads.double().T @ self._rounded(inputs).double()
        return [weight.mul_(self._mask).mul_(step), grads.double().sum(0).mul_(step)]

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
