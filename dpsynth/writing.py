"""Writing that leaves nothing half done: write beside the target, then rename."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from dpsynth.errors import InputError

_FRAME_SUFFIXES = (".csv", ".csv.gz", ".parquet")


@contextlib.contextmanager
def atomic_write(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` to write a file to; rename it to `path` at the end.

    The yielded path keeps the target's suffixes. On any error it is removed and `path` is as it was
    before; the rename is atomic, so no reader ever sees a part of the file.

    Raises:
        InputError: `path` exists (and `overwrite` is false), its folder is missing, or the disk
            fails.
    """
    target = Path(path)
    beside = _beside(target, overwrite=overwrite)
    with _one_line_errors(target), _removed_on_error(beside, beside.unlink):
        yield beside
        _sync(beside)
        _refuse_existing(target, overwrite=overwrite)
        beside.replace(target)
        _sync(target.parent)


@contextlib.contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield a new folder beside `path` to fill; rename it to `path` at the end.

    On any error the folder is removed with all that is in it.

    Raises:
        InputError: `path` exists, its parent is missing, or the disk fails.
    """
    target = Path(path)
    beside = _beside(target, overwrite=False)
    with _one_line_errors(target), _removed_on_error(beside, lambda: shutil.rmtree(beside)):
        beside.mkdir()
        yield beside
        for file in beside.rglob("*"):
            _sync(file)
        _refuse_existing(target, overwrite=False)
        beside.rename(target)
        _sync(target.parent)


def refuse_unwritable(folder: Path) -> None:
    """Make something in a folder and take it away: permissions alone do not tell.

    Whoever writes only after the budget was charged asks this first.

    Raises:
        InputError: nothing can be made in it.
    """
    probe = folder / f".{secrets.token_hex(6)}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise InputError(
            f"{folder}: cannot write there: {error.strerror}; give the right to write, make room, "
            "or choose another folder (nothing was charged)"
        ) from error


def write_frame(frame: pd.DataFrame, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a table as CSV (UTF-8, missing cells empty) or Parquet, whole or not at all.

    Raises:
        InputError: another suffix than .csv, .csv.gz or .parquet, `path` exists, or the disk fails.
    """
    target = Path(path)
    if not target.name.lower().endswith(_FRAME_SUFFIXES):
        raise InputError(
            f"{target}: cannot write a table to suffix {target.suffix!r}; "
            f"allowed: {', '.join(_FRAME_SUFFIXES)}"
        )
    with atomic_write(target, overwrite=overwrite) as beside:
        if target.suffix.lower() == ".parquet":
            frame.to_parquet(beside, index=False)
        else:
            frame.to_csv(beside, index=False)


def _beside(target: Path, *, overwrite: bool) -> Path:
    _refuse_existing(target, overwrite=overwrite)
    if not target.parent.is_dir():
        raise InputError(
            f"{target}: the folder {str(target.parent)!r} does not exist; make it first"
        )
    return target.with_name(f".{secrets.token_hex(6)}.{target.name}")


def _refuse_existing(target: Path, *, overwrite: bool) -> None:
    if overwrite and not target.is_dir():
        return
    if target.exists() or target.is_symlink():
        raise InputError(f"{target}: already exists; give another path, or remove it first")


@contextlib.contextmanager
def _one_line_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = " ".join(str(error.strerror or error).split())
        raise InputError(
            f"{target}: cannot write: {reason}; nothing was left behind, free some space or choose "
            f"another place"
        ) from error


@contextlib.contextmanager
def _removed_on_error(beside: Path, remove: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # the error that brought us here is the one to report
            remove()
        raise


def _sync(path: Path) -> None:
    """Force a file or a folder to the disk, so that a rename never outruns its content."""
    if os.name != "posix":  # elsewhere a folder cannot be opened, nor a read-only file synced
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
