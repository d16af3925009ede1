"""Whether a table that is about to be learned from was itself made by a generator, and how often.

A released table is known by the manifest of its bundle: it lies beside it (in `public/`, wherever
that folder was copied to, or in the quarantine), or somebody copied `manifest.json` next to it. A
copy that was moved away from every manifest, or changed, is known by its rows where the ledger
holds a sketch of them (`dpsynth.privacy.known_rows`). Beyond that its owner must say so.
"""

from collections.abc import Iterator
from pathlib import Path

from dpsynth.errors import InputError, IntegrityError
from dpsynth.privacy.lineage_record import MOST_GENERATIONS, LineageRecord, Parent, stated
from dpsynth.release.canonical import sha256_file
from dpsynth.release.manifest import (
    NAME,
    QUARANTINE,
    InternalManifest,
    Manifest,
    read_manifest,
)


def input_parents(data: object, *, declared: int | None = None) -> tuple[Parent, ...]:
    """The synthetic tables that a table is known to come from, before a row is asked about.

    Args:
        data: where the table comes from; only a path of a file can be recognized.
        declared: how often its rows went through a generator, as its owner says; 0 for real rows,
            None where nothing was said.

    Raises:
        InputError: the owner says less than the manifest beside the table, or nothing that can be.
    """
    if declared is not None and not 0 <= declared <= MOST_GENERATIONS:
        raise InputError(
            f"input generation is {declared}; give 0 for real rows, 1 for rows that were made from "
            f"real ones, and so on (at most {MOST_GENERATIONS})"
        )
    is_file = isinstance(data, str | Path) and "://" not in str(data)
    parent = _beside(Path(str(data))) if is_file else None
    if parent is None:
        return stated(declared or 0)
    if declared is not None and declared < parent.generation:
        raise InputError(
            f"{data}: the manifest beside it says that its rows are synthetic, of generation "
            f"{parent.generation}; {declared} was declared, leave that out"
        )
    if declared is None or declared == parent.generation:
        return (parent,)
    # The owner knows more: the manifest names the table, the word of the owner its history.
    return (parent.model_copy(update={"generation": declared}),)


def input_generation(data: object, *, declared: int | None = None) -> int:
    """How often the rows of a table went through a generator: 0 for real ones, as far as is known.

    Raises:
        InputError: as `input_parents`.
    """
    return LineageRecord(made_from=input_parents(data, declared=declared)).generation


def _beside(table: Path) -> Parent | None:
    """The table's own bundle, by a manifest that lists its bytes; None where there is none.

    A name does not count, the bytes do: a table that was renamed is known all the same.
    """
    try:
        digest = sha256_file(table)
    except OSError:
        return None
    for public, listed in _manifests(table):
        if digest in listed:
            return _parent(public)
    return None


def _manifests(table: Path) -> Iterator[tuple[Path, frozenset[str]]]:
    """Public manifests near a table, each with the hashes of the files it answers for."""
    public = table.parent / NAME
    if table.parent.name != Path(QUARANTINE).name or public.exists():
        listed = _listed(public, Manifest)
        if listed:
            yield public, listed
        return
    inside = table.parent.parent
    public = inside.parent / "public" / NAME
    manifest = inside / NAME
    # The public manifest answers for the internal one, and that for the table in quarantine.
    if _pins(public, manifest):
        yield public, _listed(manifest, InternalManifest)


def _listed(path: Path, model: type[Manifest] | type[InternalManifest]) -> frozenset[str]:
    try:
        return frozenset(file.sha256 for file in read_manifest(path, model).files)
    except (IntegrityError, OSError):
        # Another program's manifest, or one that was changed: nothing is known of this table.
        return frozenset()


def _pins(public: Path, internal: Path) -> bool:
    try:
        return read_manifest(public, Manifest).internal_manifest == sha256_file(internal)
    except (IntegrityError, OSError):
        return False


def _parent(public: Path) -> Parent:
    manifest = read_manifest(public, Manifest)
    return Parent(
        known_by="manifest", generation=manifest.generation, manifest_sha256=sha256_file(public)
    )
