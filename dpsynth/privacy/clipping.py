"""Clipped gradient sums: the bounded contribution behind DP-SGD (Abadi et al., CCS 2016).

Three ways to the same sum, chosen by what the model is made of:
    * `BookKeeping` where all that is trained is layers of `dpsynth.privacy.layers`, each of them
      wholly (others may be frozen): norms in closed form, one matrix product a layer, no
      per-example gradient is ever materialised.
    * `Ghost` where all that is trained is torch's linear layers: norms by Opacus's ghost clipping.
    * `PerExample` for any other torch module: Opacus computes per-example gradients.

Guarantee of all: the sum over a batch is a sum over rows of vectors with L2 norm at most
`max_grad_norm`, rounding included, and row i's vector depends on row i alone. The second half
rests on the model: a layer that mixes rows (batch norm) is refused here, and the generators'
contract test checks it on each model.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from dpsynth.errors import InputError
from dpsynth.privacy.ghost import Ghost, ghost_layers
from dpsynth.privacy.layers import BOOK_KEPT, ROWS_PER_SUM, BookKeptLayer, in_steps
from dpsynth.privacy.taps import Tap, checked_losses, clip_factors, faulty_layer, tapped

PerExampleLoss = Callable[[nn.Module, Tensor], Tensor]
"""(model, batch of shape (rows, ...)) -> losses of shape (rows,)."""

_NORM_MARGIN = 1e-5
"""Relative margin for computing a norm in float32: sums of squares, one root, one product."""

_FLOATS_AT_ONCE = 2**20
"""Floats of a layer's output that are worked on at once: a megabyte, which a core's cache holds."""

_MIXES_ROWS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)


class Clipper(Protocol):
    """Sums clipped per-example gradients over a batch."""

    max_grad_norm: float

    def clipped_sum(self, batch: Tensor) -> list[Tensor]:
        """Sum over the rows of `batch`, float64, one tensor for each trained parameter."""
        ...

    def norms(self, batch: Tensor) -> Tensor:
        """Unclipped gradient norm of each row, shape (rows,). Call it on public rows only."""
        ...

    def masks(self) -> list[Tensor]:
        """For each trained parameter, which entries are trained at all."""
        ...


def clipper_for(
    model: nn.Module, per_example_loss: PerExampleLoss, *, max_grad_norm: float
) -> Clipper:
    """The clipper that suits the model's layers.

    Raises:
        InputError: `max_grad_norm` is not positive and finite, nothing is trainable, or a layer
            mixes rows.
    """
    if not 0 < max_grad_norm < float("inf"):
        raise InputError(f"max_grad_norm is {max_grad_norm}; it must be positive and finite")
    for name, module in model.named_modules():
        if isinstance(module, _MIXES_ROWS):
            raise InputError(
                f"layer {name!r} ({type(module).__name__}) mixes rows, so that clipping rows "
                "bounds nothing; use LayerNorm or GroupNorm instead"
            )
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    if not trained:
        raise InputError("the model has no trainable parameter; there is nothing to train")
    layers = [m for m in model.modules() if isinstance(m, BOOK_KEPT) and _wholly_trained(m)]
    kept = [id(p) for layer in layers for p in layer.parameters(recurse=False)]
    # A parameter that two layers share would be in `kept` twice: the norm rules leave out its
    # cross terms.
    if trained == set(kept) and len(kept) == len(trained):
        return BookKeeping(model, per_example_loss, layers, max_grad_norm)
    linear = ghost_layers(model)
    if linear:
        return Ghost(model, per_example_loss, linear, max_grad_norm)
    return PerExample(model, per_example_loss, max_grad_norm)


def _wholly_trained(layer: nn.Module) -> bool:
    return all(p.requires_grad for p in layer.parameters(recurse=False))


class BookKeeping:
    """Clipped sums where book-kept layers are all that is trained; see the module's docstring.

    Args:
        model: any module; only the loss runs it.
        per_example_loss: one loss a row.
        layers: the trained layers. A frozen layer is no business of the norms: its parameters do
            not move, so it is neither recorded nor summed.
        max_grad_norm: bound of a row's contribution, rounding included.

    Raises:
        InputError: the bound is below what rounding may add.
    """

    def __init__(
        self,
        model: nn.Module,
        per_example_loss: PerExampleLoss,
        layers: Sequence[nn.Module],
        max_grad_norm: float,
    ) -> None:
        self.max_grad_norm = max_grad_norm
        self._model = model
        self._loss = per_example_loss
        self._layers = tuple(layers)
        self._rules = tuple(cast(BookKeptLayer, layer) for layer in layers)
        self._steps = [rule.grid_step(max_grad_norm) for rule in self._rules]
        self._buffers: dict[int, Tensor] = {}
        self._rows_at_once = _rows_at_once(layers)
        slack = sum(rule.rounding_slack(max_grad_norm) ** 2 for rule in self._rules) ** 0.5
        self._inner_norm = (max_grad_norm - slack) * (1.0 - _NORM_MARGIN)
        if self._inner_norm <= 0:
            raise InputError(
                f"max_grad_norm is {max_grad_norm}, below the rounding of sums ({slack:.3g}) for a "
                "model of this width; raise it"
            )

    def clipped_sum(self, batch: Tensor) -> list[Tensor]:
        """See `Clipper`."""
        sums = [_ExactSum() for _ in self._rules]
        with tapped(self._layers) as taps:
            for rows, real in _chunks(batch, self._rows_at_once):
                parts = self._parts(rows, taps, real)
                for total, part in zip(sums, parts, strict=True):
                    total.add(part, rows=real)
        return [g for k, total in enumerate(sums) for g in self._gradients(k, total)]

    def masks(self) -> list[Tensor]:
        """See `Clipper`."""
        return [mask for rule in self._rules for mask in rule.trainable_masks()]

    def norms(self, batch: Tensor) -> Tensor:
        """See `Clipper`."""
        parts: list[Tensor] = []
        with tapped(self._layers) as taps:
            for rows, real in _chunks(batch, self._rows_at_once):
                parts.append(self._squared(*self._output_gradients(rows, taps))[:real])
        return torch.cat(parts).sqrt()

    def _squared(self, inputs: list[Tensor], grads: list[Tensor]) -> Tensor:
        first, *others = (
            rule.squared_norms(a, d, scratch=self._buffer(k, d))
            for k, (rule, a, d) in enumerate(zip(self._rules, inputs, grads, strict=True))
        )
        return sum(others, first)

    def _parts(self, rows: Tensor, taps: list[Tap], real: int) -> Iterator[list[Tensor]]:
        """Each layer's exact sums over the first `real` rows."""
        inputs, grads = self._output_gradients(rows, taps)
        factors = clip_factors(
            self._squared(inputs, grads),
            self._inner_norm,
            where=faulty_layer(self._model, self._layers, grads),
        )
        for k, rule in enumerate(self._rules):
            steps = in_steps(grads[k], factors, step=self._steps[k], out=self._buffer(k, grads[k]))
            yield rule.summed_steps(inputs[k][:real], steps[:real])

    def _buffer(self, layer: int, like: Tensor) -> Tensor:
        """Where a layer's clipped gradients go: one place for all chunks and steps."""
        found = self._buffers.get(layer)
        if found is None or found.shape != like.shape or found.dtype != like.dtype:
            found = self._buffers[layer] = torch.empty_like(like)
        return found

    def _gradients(self, layer: int, total: "_ExactSum") -> list[Tensor]:
        rule = self._rules[layer]
        if not total.rows:
            return [torch.zeros(m.shape, dtype=torch.float64) for m in rule.trainable_masks()]
        return rule.gradients(total.sums(), self._steps[layer])

    def _output_gradients(self, rows: Tensor, taps: list[Tap]) -> tuple[list[Tensor], list[Tensor]]:
        """Each layer's input, and the gradient of the summed losses at its output."""
        losses = checked_losses(self._loss(self._model, rows), rows)
        for tap in taps:
            if len(tap.outputs) != 1:
                raise InputError(
                    f"a layer ran {len(tap.outputs)} times in one forward pass; a book-kept "
                    "layer must run exactly once, as its norm rule leaves out cross terms"
                )
        grads = torch.autograd.grad(losses.sum(), [tap.outputs[0] for tap in taps])
        inputs = [tap.inputs[0].detach() for tap in taps]
        for tap in taps:
            tap.clear()
        return inputs, list(grads)


def _rows_at_once(layers: Sequence[nn.Module]) -> int:
    """A power of two, at most ROWS_PER_SUM, by the widest parameter's outputs."""
    outputs = max(len(p) for layer in layers for p in layer.parameters(recurse=False))
    fitting = _FLOATS_AT_ONCE // max(outputs, 1)
    return min(ROWS_PER_SUM, max(64, 1 << max(fitting.bit_length() - 1, 0)))


class _ExactSum:
    """Adds up whole numbers of steps: in the type they come in while that is exact, then float64.

    A part holds at most ROWS_PER_SUM rows; so do the parts that are added up before they are
    widened.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._totals: list[Tensor] = []
        self._parts: list[Tensor] = []
        self._pending = 0

    def add(self, part: list[Tensor], *, rows: int) -> None:
        """Add the sums over `rows` more rows."""
        if self._pending + rows > ROWS_PER_SUM:
            self._widen()
        if self._parts:
            self._parts = [a.add_(b) for a, b in zip(self._parts, part, strict=True)]
        else:
            self._parts = part
        self._pending += rows
        self.rows += rows

    def sums(self) -> list[Tensor]:
        """The sums over all rows, float64."""
        self._widen()
        return self._totals

    def _widen(self) -> None:
        if self._totals:
            self._totals = [t.add_(p) for t, p in zip(self._totals, self._parts, strict=True)]
        else:
            self._totals = [p.double() for p in self._parts]
        self._parts, self._pending = [], 0


def _chunks(batch: Tensor, rows: int) -> Iterator[tuple[Tensor, int]]:
    """Chunks of exactly `rows` rows, and how many of them count.

    The last chunk is filled up with its last row, so that all chunks have one shape: the kernels
    of a linear algebra library may add in another order where a matrix has another height.
    Integer codes may come in any small type, and are widened here, a chunk at a time.
    """
    for chunk in torch.split(batch, rows):
        real = len(chunk)
        if not real:
            continue
        if real < rows:
            chunk = torch.cat([chunk, chunk[-1:].expand(rows - real, *chunk.shape[1:])])
        yield (chunk if chunk.is_floating_point() else chunk.long()), real


class PerExample:
    """Clipped sums for any torch module, by Opacus's per-example gradients."""

    def __init__(
        self,
        model: nn.Module,
        per_example_loss: PerExampleLoss,
        max_grad_norm: float,
        rows_at_once: int = 256,
    ) -> None:
        self.max_grad_norm = max_grad_norm
        self._model = model
        self._loss = per_example_loss
        self._rows_at_once = rows_at_once
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._device = self._trained[0].device
        self._inner_norm = max_grad_norm * (1.0 - 10 * _NORM_MARGIN)

    def clipped_sum(self, batch: Tensor) -> list[Tensor]:
        """See `Clipper`."""
        totals = [torch.zeros(p.shape, dtype=torch.float64) for p in self._trained]
        with _per_example_gradients(self._model):
            for rows in torch.split(batch, self._rows_at_once):
                if not len(rows):
                    continue
                rows = (rows if rows.is_floating_point() else rows.long()).to(self._device)
                for total, part in zip(totals, self._chunk(rows), strict=True):
                    total += part.cpu()
        return totals

    def masks(self) -> list[Tensor]:
        """See `Clipper`."""
        return [torch.ones(p.shape, dtype=torch.bool) for p in self._trained]

    def norms(self, batch: Tensor) -> Tensor:
        """See `Clipper`."""
        with _per_example_gradients(self._model):
            chunks = torch.split(batch.to(self._device), self._rows_at_once)
            parts = [_squared(self._gradients(rows)) for rows in chunks]
        return torch.cat(parts).cpu().sqrt()

    def _chunk(self, rows: Tensor) -> list[Tensor]:
        grads = self._gradients(rows)
        factors = clip_factors(_squared(grads), self._inner_norm)
        return [torch.tensordot(factors.double(), g.double(), dims=1) for g in grads]

    def _gradients(self, rows: Tensor) -> list[Tensor]:
        """Per-example gradients, one tensor of shape (rows, ...) a parameter."""
        losses = checked_losses(self._loss(self._model, rows), rows)
        with warnings.catch_warnings():
            # Rows are data and need no gradient; torch remarks on that for Opacus's hooks.
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            losses.sum().backward()  # type: ignore[no-untyped-call]
        return [self._taken(p, rows) for p in self._trained]

    @staticmethod
    def _taken(parameter: nn.Parameter, rows: Tensor) -> Tensor:
        """The parameter's per-example gradient, taken out so that it cannot be counted twice."""
        found = getattr(parameter, "grad_sample", None)
        if not isinstance(found, Tensor) or len(found) != len(rows):
            raise InputError(
                f"a parameter of shape {tuple(parameter.shape)} has no gradient for each row; "
                "every layer must be supported by Opacus, take part in the loss and run once a step"
            )
        parameter.grad_sample = None  # type: ignore[attr-defined]
        parameter.grad = None
        return found


def _squared(grads: Sequence[Tensor]) -> Tensor:
    return torch.stack([g.square().flatten(1).sum(1) for g in grads]).sum(0)


@contextmanager
def _per_example_gradients(model: nn.Module) -> Iterator[None]:
    """Let Opacus fill `grad_sample` of each parameter while the block runs."""
    from opacus.grad_sample import GradSampleModule

    wrapped = GradSampleModule(model, loss_reduction="sum", strict=True)
    try:
        yield
    finally:
        wrapped.remove_hooks()
        for parameter in model.parameters():
            if hasattr(parameter, "grad_sample"):
                del parameter.grad_sample
            parameter.grad = None
