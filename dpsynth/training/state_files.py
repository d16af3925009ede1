"""The state of one training in files: written whole after each step, read by who goes on from it.

All of it came from noisy answers, so it is as public as the model it becomes. Neither the noise nor
where it comes from is in it: whoever goes on draws fresh noise from the operating system.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from dpsynth.errors import IntegrityError
from dpsynth.training.checkpoint import Saved
from dpsynth.training.monitoring.readings import Reading
from dpsynth.writing import atomic_write

if TYPE_CHECKING:
    from dpsynth.training.descent import Descent
    from dpsynth.training.watching import Watcher

STATE = "training.json"
"""What points to the rest: replaced last, so that it never names a file that is not whole."""
_NAME = re.compile(r"state-\d{1,9}\.safetensors")
_DESCENT, _KEPT = "descent.", "kept."


class StateFiles:
    """A `Checkpoints` that keeps the state in a folder.

    Args:
        folder: exists; nobody else writes to it.
        begun: steps that the ledger counts as spent; they may be one more than the state has seen.

    Raises:
        IntegrityError: a file is missing, cut short or changed.
    """

    def __init__(self, folder: Path, *, begun: int = 0) -> None:
        self._folder = folder
        self._facts = _read_facts(folder / STATE)
        self._begun = begun
        self._saved = self._read_state()

    @property
    def saved(self) -> Saved | None:
        """What is there to go on from; None before the first step was saved."""
        return self._saved

    @property
    def step(self) -> int:
        """Steps that the saved state has seen."""
        return int(self._facts.get("step", 0))

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What the monitor saw up to that state."""
        return tuple(Reading.from_dict(raw) for raw in self._facts.get("readings", ()))

    def fix(self, *, max_grad_norm: float) -> None:
        """Note the clip norm; it reaches the disk with the first state, which it belongs to."""
        self._facts["max_grad_norm"] = max_grad_norm

    def begin(self, step: int) -> None:
        """Nothing to do: the channel notes the step in the ledger, in the trusted core."""

    def save(self, descent: "Descent", watcher: "Watcher | None") -> None:
        """Keep the state after a step; the one before stays until this one is whole.

        Raises:
            InputError: the disk fails.
        """
        tensors = {_DESCENT + name: value for name, value in descent.state().items()}
        kept = {} if watcher is None else watcher.state()
        tensors |= {_KEPT + name: value.detach().cpu() for name, value in kept.items()}
        data = save({name: value.contiguous() for name, value in tensors.items()})
        name = f"state-{descent.step_number}.safetensors"
        older = self._facts.get("state")
        _write(self._folder / name, data)
        self._facts |= {
            "step": descent.step_number,
            "state": name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "readings": [] if watcher is None else watcher.facts(),
        }
        _write(self._folder / STATE, json.dumps(self._facts).encode())
        if older not in (None, name):
            (self._folder / str(older)).unlink(missing_ok=True)

    def _read_state(self) -> Saved | None:
        if "state" not in self._facts:
            return None
        path = self._folder / str(self._facts["state"])
        if not _NAME.fullmatch(path.name) or path.parent != self._folder:
            raise broken(self._folder / STATE, f"names {path.name!r}, which is no state")
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != self._facts.get("sha256"):
            raise broken(path, "missing, cut short or changed since it was written")
        try:
            tensors = load(data)
            norm = float(self._facts["max_grad_norm"])
            self.readings  # noqa: B018  a reading that cannot be read is found now
        except (SafetensorError, ValueError, TypeError, KeyError) as error:
            raise broken(path, f"not a state ({type(error).__name__})") from error
        return Saved(
            max_grad_norm=norm,
            taken=self._begun,
            descent=_under(tensors, _DESCENT),
            kept=_under(tensors, _KEPT),
        )


def remove_state(folder: Path) -> None:
    """Take away what `StateFiles` wrote, half written files of a killed process with it."""
    for pattern in ("state-*.safetensors", ".*.state-*.safetensors", f".*.{STATE}", STATE):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def broken(path: Path, what: str) -> IntegrityError:
    """What to say of a file of a checkpoint that cannot be used."""
    return IntegrityError(
        f"{path}: {what}; use an unchanged copy of the checkpoint folder, or another folder to "
        "start afresh (a new charge)"
    )


def _read_facts(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        facts = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise broken(path, f"not JSON ({error})") from error
    if not isinstance(facts, dict) or not isinstance(facts.get("step"), int):
        raise broken(path, "not the facts of a training")
    return facts


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}


def _write(path: Path, data: bytes) -> None:
    with atomic_write(path, overwrite=True) as beside:
        beside.write_bytes(data)
