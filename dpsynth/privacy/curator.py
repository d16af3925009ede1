"""The one door to the private rows.

Each question takes the same way: take its charge (already committed to the ledger, each usable
once), sum the bounded contributions, add Gaussian noise from the noise source, hand back a public
answer. Whatever holds a curator's answers can compute anything from them at no further cost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dpsynth.errors import BudgetExceeded, InputError
from dpsynth.privacy.events import GaussianEvent, SampledGaussianEvent, ThresholdedGaussianEvent
from dpsynth.privacy.ledger import Reservation
from dpsynth.privacy.noise import NoiseSource, add_noise, scale_for
from dpsynth.privacy.queries import Partitions, QuantileTree, Query
from dpsynth.privacy.rows import Codec, PrivateRows

if TYPE_CHECKING:  # torch is imported only when training starts
    from torch import Tensor, nn

    from dpsynth.privacy.clipping import Clipper

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Answer:
    """A noisy answer: public.

    Attributes:
        values: the noisy sums.
        std: standard deviation of the noise in each of them.
    """

    values: FloatArray
    std: float


@dataclass(frozen=True)
class TreeLevel:
    """Noisy counts of the children of the nodes that were opened on one level.

    Attributes:
        parents: numbers of the opened nodes, ascending, shape (opened,).
        counts: noisy counts of their children, shape (opened, branching).
    """

    parents: IntArray
    counts: FloatArray


@dataclass(frozen=True)
class TreeAnswer:
    """The opened part of a noisy quantile tree, root downwards: public."""

    levels: tuple[TreeLevel, ...]
    std: float


@dataclass(frozen=True)
class PartitionAnswer:
    """The values common enough to be named, with their noisy counts: public."""

    values: tuple[str, ...]
    counts: FloatArray
    std: float
    threshold: float


class Curator:
    """Answers bounded questions about private rows under a reservation of the ledger's.

    Args:
        rows: the private rows, capped by unit.
        reservation: charges that the ledger has committed.
        noise: where the noise comes from.
    """

    def __init__(self, rows: PrivateRows, *, reservation: Reservation, noise: NoiseSource) -> None:
        self._rows = rows
        self._reservation = reservation
        self._noise = noise

    def __repr__(self) -> str:
        return "Curator(...)"

    def ask(self, query: Query, *, label: str) -> Answer:
        """The noisy answer to `query`, paid for by the charge called `label`.

        Raises:
            BudgetExceeded: the charge was not reserved, was used before, or is of another kind.
        """
        multiplier = self._gaussian(label)
        total = query.sum(self._rows)
        scale = self._scale(multiplier, query.row_bound, total.size)
        return Answer(add_noise(total, scale=scale, noise=self._noise), scale)

    def explore(
        self, tree: QuantileTree, *, label: str, open_above: Callable[[float], float]
    ) -> TreeAnswer:
        """Descend a quantile tree from the root, opening nodes by their noisy counts.

        Args:
            tree: the tree; its charge covers all levels.
            label: the charge.
            open_above: from the noise's standard deviation to the noisy count above which a
                node's children are looked at; public.

        Raises:
            BudgetExceeded: as in `ask`.
        """
        multiplier = self._gaussian(label)
        index = tree.sorted_index(self._rows)
        # The grid margin is that of the whole tree's nodes, opened or not; its root is tiny.
        scale = self._scale(multiplier, tree.row_bound, 2 * tree.grid.size)
        threshold = open_above(scale)
        levels: list[TreeLevel] = []
        parents = np.zeros(1, dtype=np.int64)
        for level in range(1, tree.levels + 1):
            exact = tree.child_counts(index, parents, level)
            noisy = add_noise(exact, scale=scale, noise=self._noise)
            levels.append(TreeLevel(parents, noisy))
            opened, child = np.nonzero(noisy > threshold)
            parents = parents[opened] * tree.branching + child
            if not len(parents):
                break
        return TreeAnswer(tuple(levels), scale)

    def name_partitions(self, partitions: Partitions, *, label: str) -> PartitionAnswer:
        """The values of an open categorical column that many units share.

        Raises:
            BudgetExceeded: as in `ask`, or the charge reserves no delta.
        """
        event = self._reservation.take(label).event
        if not isinstance(event, ThresholdedGaussianEvent):
            raise BudgetExceeded(f"charge {label!r} reserves no delta for naming unknown values")
        values, counts = partitions.counts(self._rows)
        # Counts are whole numbers, which the grid holds exactly: no margin, and none that would
        # depend on how many values there are.
        scale = self._scale(event.noise_multiplier, partitions.row_bound, 0)
        noisy = add_noise(counts, scale=scale, noise=self._noise)
        threshold = partitions.threshold(
            scale=scale, delta=event.delta, max_rows_per_unit=self._rows.max_rows_per_unit
        )
        kept = noisy >= threshold
        return PartitionAnswer(tuple(map(str, values[kept])), noisy[kept], scale, threshold)

    def gradients(
        self,
        model: "nn.Module",
        clipper: "Clipper",
        codec: Codec,
        *,
        label: str,
        taken: int = 0,
    ) -> "GradientChannel":
        """A channel that answers as many noisy clipped gradient sums as its charge has steps.

        Args:
            model: whose parameters the clipper differentiates at, as they are at each step.
            clipper: bounds each row's contribution; see `dpsynth.privacy.clipping`.
            codec: how rows become integer codes.
            label: the charge.
            taken: steps of it that an interrupted training has spent.

        Raises:
            BudgetExceeded: as in `ask`.
            InputError: sampled batches of units with several rows.
        """
        event = self._reservation.take(label).event
        if not isinstance(event, GaussianEvent | SampledGaussianEvent):
            raise BudgetExceeded(f"charge {label!r} does not pay for gradient steps")
        kept = self._reservation.steps_of(label)
        import torch

        # A copy: a loss that wrote into its batch would change what later questions see.
        codes = torch.from_numpy(self._rows.codes(codec).copy())
        rate = event.sample_rate if isinstance(event, SampledGaussianEvent) else 1.0
        size = sum(int(mask.sum()) for mask in clipper.masks())
        scale = self._scale(event.noise_multiplier, clipper.max_grad_norm, size)
        if rate < 1.0 and self._rows.max_rows_per_unit > 1:
            raise InputError(
                "Poisson sampling draws rows, and a privacy unit has several here; train on full "
                "batches (sample_rate 1)"
            )
        return GradientChannel(
            clipper=clipper,
            codes=codes,
            steps=event.steps,
            sample_rate=rate,
            scale=scale,
            noise=self._noise,
            taken=max(taken, kept.begun),  # what the ledger says is spent is spent
            begin=kept.begin,
        )

    def loss_stream(self) -> np.random.Generator:
        """Where the random numbers come from that a loss draws for private rows. PRIVATE.

        How many are drawn depends on how many rows there are, and which row gets which on the rows
        before it. So the guarantee rests on nobody knowing them: they come from the noise source,
        and nothing public is ever drawn from the same stream.
        """
        return self._noise.apart()

    def _gaussian(self, label: str) -> float:
        """Take a charge that pays for one Gaussian answer; its noise multiplier."""
        event = self._reservation.take(label).event
        if isinstance(event, ThresholdedGaussianEvent):
            return event.noise_multiplier
        if isinstance(event, GaussianEvent) and event.steps == 1:
            return event.noise_multiplier
        raise BudgetExceeded(f"charge {label!r} does not pay for one Gaussian answer")

    def _scale(self, multiplier: float, row_bound: float, size: int) -> float:
        sensitivity = self._rows.max_rows_per_unit * row_bound
        return scale_for(noise_multiplier=multiplier, sensitivity=sensitivity, size=size)


class GradientChannel:
    """Noisy clipped gradient sums, `steps` of them and no more; made by `Curator.gradients`."""

    def __init__(
        self,
        *,
        clipper: "Clipper",
        codes: "Tensor",
        steps: int,
        sample_rate: float,
        scale: float,
        noise: NoiseSource,
        taken: int = 0,
        begin: Callable[[int], None] = lambda taken: None,
    ) -> None:
        self.steps = steps
        self.sample_rate = sample_rate
        self.scale = scale
        self._clipper = clipper
        self._codes = codes
        self._noise = noise
        self._taken = taken
        self._begin = begin
        self._trained = [_Trained.of(mask) for mask in clipper.masks()]

    def __repr__(self) -> str:
        return f"GradientChannel(steps={self.steps}, taken={self._taken})"

    @property
    def taken(self) -> int:
        """Steps that are spent."""
        return self._taken

    def ask(self) -> list["Tensor"]:
        """One noisy sum at the model's present weights, one float64 tensor a parameter.

        Untrained (masked) entries are zero and get no noise. The step is counted before a row is
        read, so an interrupted step is spent.

        Raises:
            BudgetExceeded: all steps of the charge have been taken.
        """
        if self._taken >= self.steps:
            raise BudgetExceeded(
                f"all {self.steps} gradient steps of the charge are spent; reserve more to go on"
            )
        self._begin(self._taken)  # on the disk, where the training may be gone on with
        self._taken += 1
        sums = self._clipper.clipped_sum(self._batch())
        return [
            self._noised(total, trained) for total, trained in zip(sums, self._trained, strict=True)
        ]

    def _batch(self) -> "Tensor":
        """All rows, or each row independently with probability `sample_rate` (Poisson)."""
        if self.sample_rate >= 1.0:
            return self._codes
        drawn = self._noise.generator.random(len(self._codes)) < self.sample_rate
        return self._codes[np.flatnonzero(drawn)]

    def _noised(self, total: "Tensor", trained: "_Trained") -> "Tensor":
        import torch

        noisy = torch.zeros_like(trained.mask, dtype=torch.float64)
        if total.stride() != noisy.stride():
            total = torch.empty_like(noisy).copy_(total)
        exact = _flat(total).index_select(0, trained.positions)
        values = add_noise(exact.numpy(), scale=self.scale, noise=self._noise)
        _flat(noisy).index_copy_(0, trained.positions, torch.from_numpy(values))
        return noisy


@dataclass(frozen=True, eq=False)
class _Trained:
    """The trained entries of a parameter: found once, since every step needs them.

    Attributes:
        mask: which entries are trained, its entries side by side in memory.
        positions: where the trained ones lie in memory, int64.
    """

    mask: "Tensor"
    positions: "Tensor"

    @classmethod
    def of(cls, mask: "Tensor") -> "_Trained":
        """Those of a boolean mask of any shape."""
        dense = mask if mask.dim() == 2 and mask.T.is_contiguous() else mask.contiguous()
        return cls(dense, _flat(dense).nonzero().squeeze(1))


def _flat(tensor: "Tensor") -> "Tensor":
    """The entries in the order in which they lie in memory, as a view."""
    return (tensor if tensor.is_contiguous() else tensor.T).view(-1)
