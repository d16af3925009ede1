"""Whether a table that is about to be learned from was itself made by a generator, and how often.

A released table lies beside its manifest, which says of which generation it is. A copy that was
moved away from it cannot be recognized here: its owner must say so.
"""

from pathlib import Path

from dpsynth.errors import InputError, IntegrityError
from dpsynth.release.canonical import sha256_file
from dpsynth.release.manifest import (
    NAME,
    QUARANTINE,
    FileRecord,
    InternalManifest,
    Manifest,
    read_manifest,
)

#: A chain of more generations than this is a slip of the keyboard.
MOST_GENERATIONS = 1000


def input_generation(data: object, *, declared: int | None = None) -> int:
    """How often the rows of a table went through a generator: 0 for real ones.

    Args:
        data: where the table comes from; only a path of a file can be recognized.
        declared: what its owner says; None where nothing was said.

    Raises:
        InputError: the owner says less than the manifest beside the table, or nothing that can be.
    """
    if declared is not None and not 0 <= declared <= MOST_GENERATIONS:
        raise InputError(
            f"input generation is {declared}; give 0 for real rows, 1 for rows that were made from "
            f"real ones, and so on (at most {MOST_GENERATIONS})"
        )
    found = _beside(Path(data)) if isinstance(data, str | Path) and "://" not in str(data) else 0
    if declared is not None and declared < found:
        raise InputError(
            f"{data}: the manifest beside it says that its rows are synthetic, of generation "
            f"{found}; {declared} was declared, leave that out"
        )
    return max(found, declared or 0)


def _beside(table: Path) -> int:
    """The generation that the manifest of a table's own bundle states; 0 where it lies in none."""
    inside = table.parent.parent if table.parent.name == Path(QUARANTINE).name else None
    bundle = table.parent.parent if inside is None else inside.parent
    try:
        manifest = read_manifest(bundle / "public" / NAME, Manifest)
        listed: tuple[FileRecord, ...] = manifest.files
        if inside is not None:
            listed = read_manifest(inside / NAME, InternalManifest).files
        digest = sha256_file(table)
    except (IntegrityError, OSError):
        # Any other folder, or a bundle that does not verify: nothing is known of this table.
        return 0
    return manifest.generation if any(file.sha256 == digest for file in listed) else 0
