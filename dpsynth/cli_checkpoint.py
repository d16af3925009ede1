"""The option `--checkpoint` of `fit` and `run`, and what is said of it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dpsynth.console import say
from dpsynth.errors import InputError

if TYPE_CHECKING:
    from dpsynth.checkpoints import CheckpointFolder

CheckpointPath = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        help="Folder to go on from if this is cut off; absent or empty at first, removed at last.",
    ),
]


@contextlib.contextmanager
def resumable(
    path: Path | None, *, out: Path, purpose: Literal["fit", "run"]
) -> Iterator["CheckpointFolder | None"]:
    """The open checkpoint folder of a command; where it is cut off, says how to go on.

    Args:
        path: None keeps nothing.
        out: what the command will write.
        purpose: which command it is.
    """
    from dpsynth.checkpoints import open_checkpoint

    if path is None:
        yield None
        return
    if path.absolute() == out.absolute():
        raise InputError(f"--checkpoint and --out are both {out}; give two folders")
    with open_checkpoint(path, purpose=purpose) as folder:
        if folder.release is not None:
            say(f"checkpoint {path}: going on with release {folder.release}")
        try:
            yield folder
        except BaseException:
            if folder.in_training:
                say(
                    f"checkpoint {path} keeps the training up to step {folder.step}; the same "
                    "command goes on from it and charges nothing more"
                )
            raise
