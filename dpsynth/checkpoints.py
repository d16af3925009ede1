"""A folder that a fit leaves behind when it is cut off, and goes on from: `--checkpoint DIR`.

It holds `checkpoint.json` (settings, and the release's name in the ledger), `draft/` (the model
folder as it was before training) and the state of the training. It is internal: nobody else needs
it, and for a `run` it holds the row numbers of the holdout.
"""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dpsynth.checkpoint_place import DRAFT, HEAD, LOCK, locked, make_place
from dpsynth.errors import InputError, IntegrityError
from dpsynth.fitted import FittedModel
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.ledger_steps import AFRESH, StepBook
from dpsynth.table import Split, Table
from dpsynth.training.state_files import StateFiles, broken, remove_state
from dpsynth.writing import atomic_write

IntArray = NDArray[np.int64]
Purpose = Literal["fit", "run"]

FORMAT = "dpsynth.checkpoint/1"
_SHOWN = 60
"""Letters of a value that a message shows."""


class CheckpointFolder:
    """The folder of one fit; made by `open_checkpoint`, which locks it.

    Attributes:
        path: the folder.
        purpose: whether it serves a `fit` or a `run`.
        holdout_rows: 0-based rows that a `run` holds out; set before the fit starts.
        in_training: whether this process left, or found, something that can be gone on with.
    """

    def __init__(self, path: Path, *, purpose: Purpose) -> None:
        self.path = path
        self.purpose = purpose
        self.holdout_rows: IntArray | None = None
        self.in_training = False
        self._head = _read_head(path)
        self._files: StateFiles | None = None
        self._book: StepBook | None = None
        if self._head is not None and self._head["holdout_rows"] is not None:
            self.holdout_rows = np.array(self._head["holdout_rows"], dtype=np.int64)

    @property
    def release(self) -> str | None:
        """The ledger's name of the release that was cut off; None at a fresh start."""
        return None if self._head is None else str(self._head["release"])

    @property
    def step(self) -> int:
        """Steps that the saved state has seen."""
        return 0 if self._files is None else self._files.step

    def check_start(self, ledger: Ledger) -> None:
        """Refuse what cannot be gone on with, before a row is read or anything is charged.

        Raises:
            InputError: a ledger in memory, one that cannot keep steps, or a fit that was cut off
                before its first checkpoint.
        """
        if not ledger.is_durable:
            raise InputError(
                f"checkpoint {self.path}: the ledger is in memory and ends with this process, so "
                "nothing could go on from a checkpoint; give a ledger in a file, such as "
                "Ledger.open('people.ledger.db', ...)"
            )
        if self.release is None:
            ledger.check_steps()
        elif not (self.path / DRAFT).is_dir():
            cost = (
                "its charge stays booked"
                if ledger.charges_of(self.release)
                else (f"ledger {ledger.name} has no charge of it")
            )
            raise InputError(
                f"checkpoint {self.path}: the fit was cut off before its first checkpoint, while "
                f"it learned the domain, and cannot be gone on with ({cost}, release "
                f"{self.release!r}); remove the folder to start afresh (a new charge)"
            )

    def start(self, release: str, settings: Mapping[str, Any]) -> None:
        """Note what is about to be charged, so that a later process knows what it finds."""
        held = None if self.holdout_rows is None else self.holdout_rows.tolist()
        head = {
            "format": FORMAT,
            "release": release,
            "settings": self._with_purpose(settings),
            "holdout_rows": held,
        }
        self._clear()  # what a process left that was killed while it removed its folder
        with atomic_write(self.path / HEAD) as beside:
            beside.write_text(json.dumps(head), encoding="utf-8")
        self._head = head

    def withdraw(self) -> None:
        """Take the note of `start` back: the fit ended with an error that its caller sees."""
        self._head = None
        self._clear()

    def keep(self, draft: FittedModel, book: StepBook) -> StateFiles:
        """Keep what was learned before training; from now on the fit can be gone on with."""
        draft.save(self.path / DRAFT)
        files = self._training(book)
        self.in_training = True
        return files

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Refuse to go on with other settings.

        Raises:
            InputError: naming the first that differs, with both values.
        """
        if self._head is None:
            return
        now, then = _flat(self._with_purpose(settings)), _flat(self._head["settings"])
        names = [n for n in {**then, **now} if now.get(n) != then.get(n)]
        if names:
            name, *others = names
            more = f" (and so do {', '.join(others[:5])})" if others else ""
            raise InputError(
                f"checkpoint {self.path}: {name} is {_short(now.get(name))} here and was "
                f"{_short(then.get(name))} when the checkpoint was made{more}; give the same, or "
                f"{AFRESH}"
            )

    def draft(self) -> FittedModel:
        """What was learned before training.

        Raises:
            IntegrityError: a file is missing, cut short or changed.
        """
        return FittedModel.load(self.path / DRAFT)

    def go_on(self, book: StepBook, *, steps: int) -> StateFiles:
        """The state to go on from.

        Args:
            book: the steps that the ledger counts as begun.
            steps: of the whole training.

        Raises:
            InputError: all steps are spent, and this copy has not seen them.
            IntegrityError: a file is missing or changed, or the ledger is older than the state.
        """
        files = self._training(book)
        if files.step > book.begun:
            raise IntegrityError(
                f"checkpoint {self.path}: has seen {files.step} steps, of which the ledger counts "
                f"{book.begun}; the ledger was replaced by an older copy: restore the newest one"
            )
        if book.begun >= steps > files.step + 1:
            raise InputError(
                f"checkpoint {self.path}: all {steps} steps of the training are spent, and this "
                f"copy has seen {files.step} of them; go on from the newest copy, or {AFRESH}"
            )
        self.in_training = True  # not before: a refused state is nothing to go on with
        return files

    def finish(self) -> None:
        """The fit is done and its result is where it belongs: close the training, remove all."""
        if self._book is not None:
            self._book.close()
        self._clear()
        self._head, self._files, self._book, self.in_training = None, None, None, False

    def _clear(self) -> None:
        (self.path / HEAD).unlink(missing_ok=True)
        for name in (DRAFT, *(p.name for p in self.path.glob(f".*.{DRAFT}"))):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for beside in self.path.glob(f".*.{HEAD}"):
            beside.unlink(missing_ok=True)
        remove_state(self.path)

    def _training(self, book: StepBook) -> StateFiles:
        self._book = book
        self._files = StateFiles(self.path, begun=book.begun)
        return self._files

    def _with_purpose(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """As JSON gives them back, so that they can be compared."""
        found: dict[str, Any] = json.loads(json.dumps({"command": self.purpose, **settings}))
        return found


@contextlib.contextmanager
def open_checkpoint(path: str | Path, *, purpose: Purpose) -> Iterator[CheckpointFolder]:
    """Open or make a checkpoint folder, for this process alone.

    A folder that turns out to hold nothing at the end is removed.

    Args:
        path: absent or empty for a fresh start.
        purpose: a checkpoint of a fit is not gone on with by a run, nor the reverse.

    Raises:
        InputError: no such place, other files in it, or another process uses it.
        IntegrityError: a checkpoint that cannot be read.
    """
    folder = Path(path)
    make_place(folder)
    try:
        with locked(folder):
            yield CheckpointFolder(folder, purpose=purpose)
    finally:
        with contextlib.suppress(OSError):  # it holds a checkpoint, or is in use by another
            if [entry.name for entry in folder.iterdir()] in ([], [LOCK]):
                (folder / LOCK).unlink(missing_ok=True)
                folder.rmdir()


@contextlib.contextmanager
def kept_in(
    checkpoint: str | Path | CheckpointFolder | None,
) -> Iterator[CheckpointFolder | None]:
    """The folder of a fit: an open one is left to its owner, a path is opened and finished."""
    if checkpoint is None or isinstance(checkpoint, CheckpointFolder):
        yield checkpoint
        return
    with open_checkpoint(checkpoint, purpose="fit") as folder:
        yield folder
        folder.finish()


def split_again(table: Table, holdout_rows: IntArray) -> Split:
    """The split that an interrupted run had made.

    Raises:
        InputError: the table has too few rows to be the same.
    """
    held = np.zeros(table.num_rows, dtype=bool)
    if len(holdout_rows) and int(holdout_rows.max()) >= len(held):
        raise InputError(
            f"{table.source}: this is another table than the one that the checkpoint was made "
            f"from (it has fewer rows); give that one, or {AFRESH}"
        )
    held[holdout_rows] = True
    train, holdout = np.flatnonzero(~held), np.flatnonzero(held)
    return Split(
        train=table.take(train),
        holdout=table.take(holdout),
        train_rows=train,
        holdout_rows=holdout,
    )


def _read_head(folder: Path) -> dict[str, Any] | None:
    path = folder / HEAD
    if not path.exists():
        return None
    try:
        head = json.loads(path.read_bytes())
        form, _, settings = head["format"], str(head["release"]), head["settings"]
        held = head["holdout_rows"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise broken(path, "cut short or changed since it was written") from error
    if form != FORMAT:
        raise broken(path, f"has format {form!r}, and this version reads {FORMAT!r}")
    counts = held is None or (
        isinstance(held, list) and all(type(n) is int and n >= 0 for n in held)
    )
    if not isinstance(settings, dict) or not counts:
        raise broken(path, "cut short or changed since it was written")
    return dict(head)


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested settings as one level: "training.steps", "schema.columns.0.name"."""
    parts: Any = value.items() if isinstance(value, Mapping) else None
    if isinstance(value, list | tuple):
        parts = enumerate(value)
    if parts is None or not value:
        return {name: value}
    found: dict[str, Any] = {}
    for key, part in parts:
        found |= _flat(part, f"{name}.{key}" if name else str(key))
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
