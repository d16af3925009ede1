"""The place of a checkpoint: a folder for its owner alone, used by one process at a time."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from dpsynth.errors import InputError
from dpsynth.training.state_files import STATE
from dpsynth.writing import refuse_unwritable

HEAD, DRAFT, LOCK = "checkpoint.json", "draft", "lock"
"""Names in the folder, beside those of `dpsynth.training.state_files`."""
_OURS = re.compile(rf"(\.[0-9a-f]{{12}}\.)?({HEAD}|{DRAFT}|{LOCK}|{STATE}|state-\d+\.safetensors)")


def make_place(folder: Path) -> None:
    """Make the folder, or find out that the one there is not meant for a checkpoint.

    Raises:
        InputError: a file, a folder of others, or a place where nothing can be written.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"checkpoint {folder}: is a file; give a folder that is empty or absent")
    if not folder.exists():
        if not folder.absolute().parent.is_dir():
            raise InputError(f"checkpoint {folder}: no folder {folder.parent}; make it first")
        refuse_unwritable(folder.absolute().parent)
        folder.mkdir(mode=0o700)
        return
    found = sorted(entry.name for entry in folder.iterdir())
    others = [name for name in found if not _OURS.fullmatch(name)]
    if others and HEAD not in found:
        raise InputError(
            f"checkpoint {folder}: holds {others[0]!r} and no checkpoint; give a folder that is "
            "empty or absent, or one that dpsynth left there"
        )
    refuse_unwritable(folder)
    folder.chmod(0o700)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """No other process on this machine may use the folder; a killed one's lock goes with it.

    Raises:
        InputError: another process uses it.
    """
    if os.name != "posix":  # the ledger still lets no two processes begin the same step
        yield
        return
    import fcntl

    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise InputError(
            f"checkpoint {folder}: another process uses it; wait for that one, or give another "
            "folder"
        ) from error
    try:
        yield
    finally:
        os.close(handle)
