"""Checks of the folders: the right ones, every listed file unchanged, nothing else."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from dpsynth.errors import IntegrityError
from dpsynth.release.canonical import sha256_file
from dpsynth.release.manifest import (
    NAME,
    FileRecord,
    InternalManifest,
    Manifest,
    file_faults,
    read_manifest,
)
from dpsynth.release.signing import ENVELOPE
from dpsynth.release.verification.checks import Check, why

HALVES = ("public", "internal")
M = TypeVar("M", Manifest, InternalManifest)


def is_real_folder(path: Path) -> bool:
    """Whether it is a folder and no link to one."""
    return not path.is_symlink() and path.is_dir()


def check_layout(folder: Path, *, public_only: bool) -> Check:
    """The two halves are there and nothing lies beside them."""
    problems = [
        f"{entry.name} does not belong into a bundle"
        for entry in sorted(folder.iterdir())
        if entry.name not in HALVES
    ]
    for name in ("public",) if public_only else HALVES:
        if not is_real_folder(folder / name):
            hint = "; where only public/ was handed over, verify with --public-only"
            problems.append(f"{name}/ is missing or a link{hint if name == 'internal' else ''}")
    return Check("layout", not problems, "; ".join(problems) or "the folders are as they should be")


def open_manifest(folder: Path, half: str, model: type[M]) -> tuple[M | None, Check]:
    """The manifest of one half where it can be read, and the check that says so."""
    name = f"{half}/{NAME}"
    try:
        require_plain(folder / name)
        manifest = read_manifest(folder / name, model)
    except Exception as error:
        return None, Check(name, False, without_name(folder / name, why(error)))
    return manifest, Check(name, True, f"{len(manifest.files)} files listed, checksum fits")


def without_name(path: Path, message: str) -> str:
    """The message without the file's own name, where the name of its check says it already."""
    return message.removeprefix(f"{path}: ").removeprefix(f"{path.name}: ")


def plain(path: Path) -> Path:
    """The path itself, once `require_plain` has let it through."""
    require_plain(path)
    return path


def require_plain(path: Path) -> None:
    """Refuse a link, a pipe or a device: reading one could lead outside, or never end.

    Raises:
        IntegrityError: not a plain file, or not there.
    """
    try:
        plain = stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise IntegrityError(
            f"{path.name}: cannot be read ({reason}); ask for the whole bundle again"
        ) from error
    if not plain:
        raise IntegrityError(
            f"{path.name}: is not a plain file (a link, perhaps); nothing outside is read"
        )


def check_halves(
    folder: Path, manifest: Manifest | None, inner: InternalManifest | None
) -> Iterator[Check]:
    """Every file that a manifest lists is there and unchanged, and no other is.

    Where a manifest cannot be read, its own check has said so; then nothing is known of its files.
    """
    if manifest is not None:
        yield from _files(folder, manifest, half="public")
    if inner is not None:
        yield from _files(folder, inner, half="internal")
    if manifest is not None and inner is not None:
        yield _pin(folder, manifest)


def _files(folder: Path, manifest: Manifest | InternalManifest, *, half: str) -> Iterator[Check]:
    records = {record.path: record for record in manifest.files}
    if len(records) < len(manifest.files):
        yield Check(f"{half} files", False, f"{half}/{NAME} lists a path twice")
    faults = list(_guarded(folder / half, records))
    envelope = folder / half / ENVELOPE
    if half == "internal" and (envelope.is_symlink() or envelope.exists()):
        # No manifest lists this name, so it is looked for where no signature belongs.
        faults.append((ENVELOPE, "has no place there; the signature lies in public/"))
    for name, fault in faults:
        yield Check(f"file {half}/{name}", False, f"{half}/{name} {fault}")
    if not faults:
        yield Check(f"{half} files", True, f"all {len(records)} files are there and unchanged")


def _pin(folder: Path, manifest: Manifest) -> Check:
    """The internal manifest is the one that the public manifest names by its hash."""
    pinned = sha256_file(folder / "internal" / NAME) == manifest.internal_manifest
    message = "fits the public one" if pinned else "is not the one that public/ pins by hash"
    return Check(f"internal/{NAME} pinned", pinned, f"internal/{NAME} {message}")


def _guarded(folder: Path, records: dict[str, FileRecord]) -> Iterator[tuple[str, str]]:
    try:
        yield from file_faults(folder, records)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        yield getattr(error, "filename", None) or ".", f"cannot be read ({reason})"
