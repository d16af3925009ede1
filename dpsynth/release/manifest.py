"""The manifests: which files a bundle holds, with size and SHA-256 of each.

`public/manifest.json` lists the public files and pins `internal/manifest.json` by hash, which lists
the internal ones. So the public half commits to the evidence without showing it; a random salt in
the internal manifest keeps anyone from guessing the evidence and checking the guess by its hash.

Each manifest carries a checksum of itself. It finds an accident, not a forger who computes it anew;
against a forger stands a signature over `public/manifest.json`.
"""

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from dpsynth.errors import InputError, IntegrityError
from dpsynth.privacy.lineage_record import Parent
from dpsynth.release.canonical import (
    canonical_json,
    check_format,
    parse_json,
    pretty_json,
    read_text,
    sha256_file,
    sha256_text,
)
from dpsynth.release.policy import Verdict
from dpsynth.release.signing import ENVELOPE

FORMAT = "dpsynth.bundle/3"
INTERNAL_FORMAT = "dpsynth.internal/2"
HOLDOUT_FORMAT = "dpsynth.holdout/1"
NAME = "manifest.json"
#: What no manifest can list: itself, and the signature over it.
UNLISTED = frozenset({NAME, ENVELOPE})
QUARANTINE = "internal/quarantine"
M = TypeVar("M", bound="_Manifest")


class FileRecord(BaseModel):
    """One file: its path below the folder of its manifest, SHA-256 in hexadecimal, bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str
    bytes: int

    @classmethod
    def of(cls, file: Path, *, name: str) -> Self:
        """The record of a file as it lies there."""
        return cls(path=name, sha256=sha256_file(file), bytes=file.stat().st_size)


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    self_sha256: str = ""
    files: tuple[FileRecord, ...]

    def sealed(self) -> Self:
        """The same manifest with the checksum of its content filled in."""
        return self.model_copy(update={"self_sha256": self.checksum()})

    def checksum(self) -> str:
        """SHA-256 of the content but for `self_sha256`."""
        content = self.model_dump(mode="json", exclude={"self_sha256"})
        return sha256_text(canonical_json(content))

    def to_json_text(self) -> str:
        """The one text that this manifest has."""
        return pretty_json(self.model_dump(mode="json"))


class Manifest(_Manifest):
    """Content of `public/manifest.json`.

    Attributes:
        verdict: of the gate; `policy_hash`: of the policy it applied.
        created: UTC time in ISO 8601.
        versions: of the packages at work.
        table: path of the synthetic table below the bundle; it lies in `internal/` unless allowed.
        internal_manifest: SHA-256 of `internal/manifest.json`.
        generation: how often the rows went through a generator: 1 where it learned from real rows.
        made_from: the earlier synthetic tables that rows of its input are known to come from, with
            their shares; empty where they are real rows as far as is known.
        signed_by: identifier of the key in `signing-key.pem` that `manifest.dsse.json` is signed
            with; None where the bundle is not signed.
    """

    format: Literal["dpsynth.bundle/3"] = "dpsynth.bundle/3"
    verdict: Verdict
    policy_hash: str
    created: str
    versions: dict[str, str]
    table: str
    internal_manifest: str
    generation: int
    made_from: tuple[Parent, ...]
    signed_by: str | None


class InternalManifest(_Manifest):
    """Content of `internal/manifest.json`; `salt` is 32 random bytes in hexadecimal."""

    format: Literal["dpsynth.internal/2"] = "dpsynth.internal/2"
    salt: str


def list_files(folder: Path) -> tuple[FileRecord, ...]:
    """A record of every file below a folder but manifest and signature, sorted by path."""
    return tuple(
        FileRecord.of(folder / name, name=name)
        for name in sorted(_names(folder))
        if name not in UNLISTED
    )


def read_manifest(path: Path, model: type[M]) -> M:
    """Read a manifest and hold it against its own checksum.

    Raises:
        IntegrityError: missing, another format, a field missing or unknown, a path that climbs out,
            or content that its checksum does not fit.
    """
    text = read_text(path)
    known = model.model_fields["format"].default
    check_format(parse_json(text, name=path.name), known=known, name=path.name)
    try:
        manifest = model.model_validate_json(text)
    except ValidationError as error:
        raise IntegrityError(f"{path.name}: {_fault(error)}") from error
    # Equal texts, not only equal values: a space or a doubled key is a change as well.
    if manifest.checksum() != manifest.self_sha256 or manifest.to_json_text() != text:
        raise IntegrityError(f"{path.name}: its content does not fit its checksum; it was changed")
    for record in manifest.files:
        check_relative(record.path, where=path.name)
    return manifest


def _fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or "the text"
    return f"{where}: {fault['msg']}; it was cut short or changed, ask for it again"


def check_relative(path: str, *, where: str) -> None:
    """Refuse a path that is absolute, climbs, or is not in its plain form.

    Raises:
        IntegrityError: with the path.
    """
    parts = PurePosixPath(path).parts
    plain = bool(parts) and str(PurePosixPath(path)) == path
    if not plain or ".." in parts or path.startswith("/") or "\\" in path or "\0" in path:
        raise IntegrityError(
            f"{where}: path {path!r} is not a plain path below the folder; "
            "names may not climb, start at the root or hold a backslash"
        )


def file_faults(folder: Path, records: Mapping[str, FileRecord]) -> Iterator[tuple[str, str]]:
    """(path, what is wrong) for every file that is missing, changed, extra or no plain file."""
    present = set(_names(folder))
    for name, record in records.items():
        if name not in present:
            yield name, "is listed in the manifest but missing"
            continue
        path = folder / name
        if not _is_plain(path):
            yield name, "is not a plain file (a link, perhaps); nothing outside is read"
        elif (size := path.stat().st_size) != record.bytes:
            yield name, f"has {size} bytes, the manifest says {record.bytes}"
        elif sha256_file(path) != record.sha256:
            yield name, "was changed: its SHA-256 is not the one in the manifest"
    for name in sorted(present - records.keys() - UNLISTED):
        yield name, "is not listed in the manifest"
    for name in sorted(present & UNLISTED):
        if not _is_plain(folder / name):
            yield name, "is not a plain file (a link, perhaps); nothing outside is read"


def _names(folder: Path) -> Iterator[str]:
    """Paths below a folder of everything but real folders; links are never followed.

    An empty folder counts too: it is something that no manifest lists. Without recursion, since a
    stranger's folders may lie as deep as the disk allows.
    """
    waiting = [(folder, "")]
    while waiting:
        place, before = waiting.pop()
        entries = list(place.iterdir())
        if not entries and before:
            yield before
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink():
                waiting.append((entry, f"{before}{entry.name}/"))
            else:
                yield f"{before}{entry.name}"


def _is_plain(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)


def refuse_climbing(names: Mapping[str, bytes]) -> None:
    """The same rule for names a caller gives.

    Raises:
        InputError: with the name.
    """
    for name in names:
        try:
            check_relative(name, where="model file")
        except IntegrityError as error:
            raise InputError(str(error)) from error
