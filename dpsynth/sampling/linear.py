"""Columns whose logits are a bias plus one table row for each earlier column, ready to draw.

The logits of a column are summed up only when it is drawn, from the codes fixed so far: a row then
touches each table entry that it needs once, and no row of logits is kept. A hidden unit is computed
once, after the last column that it sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from dpsynth.generators.base import Draft


@dataclass(frozen=True, eq=False)
class HiddenBranch:
    """Hidden units: `scale * (outer tanh(inner one_hot + inner_bias) + outer_bias)` on the logits.

    Attributes:
        inner: shape (units, sum(sizes)), zero where a unit does not see a column.
        inner_bias: shape (units,).
        outer: shape (sum(sizes), units), zero where a column does not see a unit.
        outer_bias: shape (sum(sizes),).
        scale: factor of the branch.
    """

    inner: Tensor
    inner_bias: Tensor
    outer: Tensor
    outer_bias: Tensor
    scale: float


@dataclass(frozen=True, eq=False)
class _Layer:
    """A sum of table rows: the codes of `seen` columns pick rows of `table`."""

    seen: Tensor
    offsets: Tensor
    table: Tensor
    bias: Tensor

    def outputs(self, codes: Tensor) -> Tensor:
        """Shape (rows, outputs) from codes of shape (rows, columns)."""
        if not len(self.seen):
            return self.bias.repeat(len(codes), 1)
        picked = torch.index_select(codes, 1, self.seen) + self.offsets
        return nn.functional.embedding_bag(picked, self.table, mode="sum").add_(self.bias)


@dataclass(frozen=True, eq=False)
class _Units:
    """The hidden units that become known right before a column, and how it and they are used."""

    layer: _Layer
    known: int
    outer: Tensor


@dataclass(frozen=True, eq=False)
class LinearColumns:
    """Satisfies `dpsynth.generators.base.ColumnWise`. All tensors are float32 and detached.

    Attributes:
        sizes: number of codes of each column.
        weight: shape (sum(sizes), sum(sizes)): the block of rows of column j holds its tables; it
            may be non-zero only in the blocks of columns that come before j in `order`.
        bias: shape (sum(sizes),).
        order: the columns in the order in which they are drawn.
        hidden: the hidden branch, or None.
    """

    sizes: tuple[int, ...]
    weight: Tensor
    bias: Tensor
    order: tuple[int, ...]
    hidden: HiddenBranch | None = None

    def parents(self, column: int) -> tuple[int, ...]:
        """Columns with a table towards `column`, strongest first; then those of hidden units."""
        return self._parents[column]

    def start(self, rows: int) -> Draft:
        """See `ColumnWise`."""
        return _LinearDraft(self, rows)

    def steered(self, tables: Sequence[Tensor], biases: Sequence[Tensor]) -> "LinearColumns":
        """The same columns with something added to each layer's table and bias.

        Args:
            tables: for each column, shaped as `layers[column].table`.
            biases: for each column, shape (sizes[column],).
        """
        moved = tuple(
            replace(layer, table=layer.table + table, bias=layer.bias + bias)
            for layer, table, bias in zip(self.layers, tables, biases, strict=True)
        )
        return _Steered(
            self.sizes, self.weight, self.bias, self.order, self.hidden, base=self, moved=moved
        )

    @cached_property
    def _blocks(self) -> tuple[slice, ...]:
        ends = torch.tensor(self.sizes).cumsum(0).tolist()
        return tuple(slice(e - s, e) for e, s in zip(ends, self.sizes, strict=True))

    @cached_property
    def layers(self) -> tuple[_Layer, ...]:
        """For each column its tables."""
        return tuple(self._layer(self.weight[b], self._logit_bias(b)) for b in self._blocks)

    def _logit_bias(self, block: slice) -> Tensor:
        if self.hidden is None:
            return self.bias[block]
        return self.bias[block] + self.hidden.scale * self.hidden.outer_bias[block]

    def _layer(self, weight: Tensor, bias: Tensor) -> _Layer:
        """The tables towards some outputs that are not zero, one below the other."""
        seen = [i for i, block in enumerate(self._blocks) if bool(weight[:, block].any())]
        parts = [weight[:, self._blocks[i]].T for i in seen]
        starts = torch.tensor([0, *(len(part) for part in parts[:-1])]).cumsum(0)[: len(seen)]
        table = torch.cat(parts).contiguous() if parts else weight.new_zeros(0, len(weight))
        return _Layer(torch.tensor(seen, dtype=torch.int64), starts, table, bias)

    @cached_property
    def units(self) -> tuple[_Units, ...] | None:
        """For each column the hidden units that it is the first to need; None without a branch."""
        if self.hidden is None:
            return None
        place = {column: step for step, column in enumerate(self.order)}
        seen = torch.stack([self.hidden.inner[:, b].ne(0).any(1) for b in self._blocks], 1)
        places = torch.tensor([place[c] for c in range(len(self.sizes))])
        ready = torch.where(seen, places + 1, 0).amax(1)  # the step from which a unit is known
        by_step = torch.argsort(ready, stable=True)
        found = {}
        for step, column in enumerate(self.order):
            fresh = by_step[ready[by_step] == step]
            known = int((ready <= step).sum())
            outer = self.hidden.outer[self._blocks[column]][:, by_step[:known]]
            layer = self._layer(self.hidden.inner[fresh], self.hidden.inner_bias[fresh])
            found[column] = _Units(layer, known, (self.hidden.scale * outer).T.contiguous())
        return tuple(found[c] for c in range(len(self.sizes)))

    @cached_property
    def _parents(self) -> tuple[tuple[int, ...], ...]:
        shares = [torch.softmax(self.bias[b], 0) for b in self._blocks]
        return tuple(self._strongest(j, shares) for j in range(len(self.sizes)))

    def _strongest(self, column: int, shares: Sequence[Tensor]) -> tuple[int, ...]:
        """By the variance of the logits that a table makes, its codes being as common as alone."""
        tables = self.weight[self._blocks[column]]
        tables = tables - tables.mean(0)  # what moves all logits alike moves no probability
        layer = self.layers[column]
        strengths = []
        for i in layer.seen.tolist():
            table = tables[:, self._blocks[i]]
            mean = table @ shares[i]
            strengths.append(float((table - mean[:, None]).square().sum(0) @ shares[i]))
        ranked = sorted(zip(strengths, layer.seen.tolist(), strict=True), key=lambda s: -s[0])
        strongest = [i for strength, i in ranked if strength > 0]
        return (*strongest, *(i for i in self._by_hidden(column) if i not in strongest))

    def _by_hidden(self, column: int) -> list[int]:
        """Columns that reach a column through hidden units."""
        if self.hidden is None:
            return []
        used = self.hidden.outer[self._blocks[column]].ne(0).any(0)
        reach = [self.hidden.inner[used][:, block].ne(0).any() for block in self._blocks]
        return [i for i, reached in enumerate(reach) if bool(reached)]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Steered(LinearColumns):
    """Columns with other tables; what does not depend on them is the base's."""

    base: LinearColumns
    moved: tuple[_Layer, ...]

    @property
    def layers(self) -> tuple[_Layer, ...]:
        return self.moved

    @property
    def units(self) -> tuple[_Units, ...] | None:
        return self.base.units

    def parents(self, column: int) -> tuple[int, ...]:
        return self.base.parents(column)


class _LinearDraft:
    """Satisfies `Draft`: the codes so far, and the hidden units that they have settled."""

    def __init__(self, columns: LinearColumns, rows: int) -> None:
        self._columns = columns
        self._codes = torch.zeros(rows, len(columns.sizes), dtype=torch.int64)
        units = columns.hidden.inner.shape[0] if columns.hidden is not None else 0
        self._activities = torch.zeros(rows, units)
        self._fixed = 0
        self._settled = 0
        self._settle()

    def logits(self, column: int) -> Tensor:
        """See `Draft`."""
        found = self._columns.layers[column].outputs(self._codes)
        if self._columns.units is not None:
            units = self._columns.units[column]
            found.addmm_(self._activities[:, : units.known], units.outer)
        return found

    def fix(self, column: int, codes: Tensor) -> None:
        """See `Draft`."""
        self._codes[:, column] = codes
        self._fixed += 1
        self._settle()

    def _settle(self) -> None:
        """Compute the units that are known since the last column was fixed; each once."""
        if self._columns.units is None or self._fixed == len(self._columns.order):
            return
        units = self._columns.units[self._columns.order[self._fixed]]
        if self._settled < units.known:
            fresh = units.layer.outputs(self._codes).tanh_()
            self._activities[:, self._settled : units.known] = fresh
            self._settled = units.known
