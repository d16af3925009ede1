"""Where a training leaves its state, so that one that was cut off can go on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from dpsynth.training.descent import Descent
    from dpsynth.training.watching import Watcher


@dataclass(frozen=True, kw_only=True, eq=False)
class Saved:
    """What an earlier process left.

    Attributes:
        max_grad_norm: the clip norm that was fixed.
        taken: steps that were begun, by the ledger; those whose answers were lost among them.
        descent: state of the descent.
        kept: weights that the watcher kept.
    """

    max_grad_norm: float
    taken: int
    descent: Mapping[str, Tensor]
    kept: Mapping[str, Tensor]


class Checkpoints(Protocol):
    """A place for the state of one training."""

    @property
    def saved(self) -> Saved | None:
        """What is there to go on from; None at a fresh start."""
        ...

    def fix(self, *, max_grad_norm: float) -> None:
        """Note the clip norm, before the first step."""
        ...

    def begin(self, step: int) -> None:
        """Told that a step is about to be asked for.

        The count that privacy rests on is the ledger's: the channel keeps it by itself.
        """
        ...

    def save(self, descent: "Descent", watcher: "Watcher | None") -> None:
        """Keep the state after a step."""
        ...


class _None:
    """Keeps nothing."""

    saved: Saved | None = None

    def fix(self, *, max_grad_norm: float) -> None:
        """Nothing to do."""

    def begin(self, step: int) -> None:
        """Nothing to do."""

    def save(self, descent: "Descent", watcher: "Watcher | None") -> None:
        """Nothing to do."""


NO_CHECKPOINTS: Checkpoints = _None()
