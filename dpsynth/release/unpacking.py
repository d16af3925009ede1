"""A bundle that came as a zip file: unpacked under limits, so that no archive can do harm.

A bundle from a stranger may hold anything. Nothing is written outside a private folder, nothing
but plain files and folders is made, and reading stops at a limit whatever the headers say.
"""

import contextlib
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath

from dpsynth.errors import InputError, IntegrityError
from dpsynth.release.manifest import check_relative

BLOCK = 2**20
#: The central directory of a zip that is read at once; room for many times `Limits.files`.
MAX_DIRECTORY_BYTES = 4 * 2**20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a zip file may unpack to.

    Attributes:
        total, file: bytes of all files, and of one.
        ratio: unpacked bytes for each byte of the zip file. Text rarely passes 20; a bomb reaches
            1,000. `spare` bytes are free, so that small files of one letter do no harm.
        files: entries; depth: folders within folders.
    """

    total: int = 8 * 2**30
    file: int = 4 * 2**30
    ratio: int = 100
    spare: int = 2**20
    files: int = 10_000
    depth: int = 8


@contextlib.contextmanager
def opened_bundle(path: str | Path, limits: Limits | None = None) -> Iterator[Path]:
    """The folder of a bundle, which may have come as a zip file.

    Args:
        path: a folder, which is given back as it is, or a zip of one. A zip is unpacked into a
            private folder that is removed at the end. It may hold `public/` and `internal/`, or one
            folder that does.
        limits: for a zip.

    Raises:
        InputError: neither folder nor zip, or no room to unpack.
        IntegrityError: a damaged zip, or one with links, names that climb, encrypted or repeated
            entries, or more than the limits allow.
    """
    source = Path(path)
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise InputError(f"{source}: no such folder or zip file; give a bundle")
    with tempfile.TemporaryDirectory(prefix="dpsynth-") as place:
        _unpack(source, Path(place), limits or Limits())
        yield _root(Path(place))


def _root(place: Path) -> Path:
    """The bundle's folder: where the zip holds one folder around it, that one."""
    entries = list(place.iterdir())
    if len(entries) == 1 and (entries[0] / "public").is_dir():
        return entries[0]
    return place


class _Capped:
    """A file that refuses to be read in one huge piece, as the list of a million entries is."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        """At most `MAX_DIRECTORY_BYTES` at once."""
        wanted = MAX_DIRECTORY_BYTES + 1 if size < 0 else size
        if size > MAX_DIRECTORY_BYTES or len(data := self._file.read(wanted)) > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("its list of entries is too long")
        return data


def _unpack(source: Path, place: Path, limits: Limits) -> None:
    try:
        with source.open("rb") as file, zipfile.ZipFile(_Capped(file)) as archive:
            entries = archive.infolist()
            _check_entries(source, entries, limits)
            left = min(limits.total, limits.spare + limits.ratio * source.stat().st_size)
            for entry in entries:
                left -= _write_entry(archive, entry, place, min(left, limits.file))
    except IntegrityError:
        raise
    except OSError as error:
        raise InputError(
            f"{source}: cannot be unpacked ({error.strerror or error}); free some space, "
            "or unpack it yourself and give the folder"
        ) from error
    # What a damaged or forged archive makes the reader raise; OSError was handled above.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise IntegrityError(
            f"{source}: not a zip file that can be read ({error}); ask for the bundle again"
        ) from error


def _check_entries(source: Path, entries: list[zipfile.ZipInfo], limits: Limits) -> None:
    """What the list of entries already shows; sizes are checked again while reading."""
    if len(entries) > limits.files:
        raise IntegrityError(
            f"{source}: {len(entries)} entries, at most {limits.files} are unpacked; "
            "this is no bundle"
        )
    seen: set[str] = set()
    for entry in entries:
        name = entry.orig_filename
        fault = _fault(entry, limits)
        if fault is not None:
            raise IntegrityError(f"{source}: entry {name[:200]!r} {fault}; nothing was unpacked")
        # Some file systems do not tell capitals apart; one file must not replace another there.
        if (key := name.rstrip("/").casefold()) in seen:
            raise IntegrityError(f"{source}: entry {name!r} is there twice; nothing was unpacked")
        seen.add(key)


def _fault(entry: zipfile.ZipInfo, limits: Limits) -> str | None:
    """What is wrong with an entry, or None."""
    name = entry.orig_filename
    plain = name.removesuffix("/")
    try:
        check_relative(plain, where="zip")
    except IntegrityError:
        return "is not a plain path below the folder (it may not climb or start at the root)"
    if ":" in plain:
        return "holds a colon, which some systems read as a drive"
    if len(PurePosixPath(plain).parts) > limits.depth:
        return f"lies more than {limits.depth} folders deep"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
        return "is a link or a device, not a plain file"
    if entry.flag_bits & 0x41:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is packed by method {entry.compress_type}; only stored and deflated are read"
    if entry.file_size > min(limits.file, limits.spare + limits.ratio * entry.compress_size):
        return f"would unpack to {entry.file_size:,} bytes, which no bundle needs (a zip bomb?)"
    return None


def _write_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, place: Path, limit: int) -> int:
    """Unpack one entry; how many bytes it has.

    Raises:
        IntegrityError: more than `limit` bytes come out, whatever the header says.
    """
    target = place / entry.orig_filename
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    done = 0
    with archive.open(entry) as packed, target.open("xb") as file:
        while block := packed.read(BLOCK):
            done += len(block)
            if done > limit:
                raise IntegrityError(
                    f"{entry.orig_filename!r} unpacks to more than {limit:,} bytes, which no "
                    "bundle of this size needs (a zip bomb?); nothing was kept"
                )
            file.write(block)
    return done
