"""Write down in the ledger what came of a release, to hold a bundle against it later."""

from collections.abc import Iterable
from pathlib import Path

from dpsynth.errors import InputError
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.canonical import read_text, sha256_file
from dpsynth.release.manifest import NAME, Manifest, read_manifest


def release_of(statement: PrivacyStatement) -> str:
    """The ledger's name of the release that a statement is about.

    Raises:
        InputError: it was booked in no ledger.
    """
    if statement.ledger is None:
        raise InputError(
            "the privacy statement names no ledger, so nothing of it can be booked; "
            "fit with a ledger"
        )
    return statement.ledger.release


def record_bundle(books: Iterable[Ledger], bundle: Path) -> None:
    """Book verdict and manifest hash of a bundle under its release.

    Args:
        books: the datasets of a ledger; the one that was charged for the release takes the note.
        bundle: the bundle's folder.

    Raises:
        InputError: the release was never charged there, or the ledger cannot be written.
        IntegrityError: the bundle or the ledger was changed.
    """
    public = bundle / "public"
    manifest = read_manifest(public / NAME, Manifest)
    release = release_of(PrivacyStatement.from_json_text(read_text(public / "privacy.json")))
    for book in books:
        if any(known.release == release for known in book.releases()):
            facts = {
                "verdict": manifest.verdict,
                "manifest_sha256": sha256_file(public / NAME),
                "created": manifest.created,
            }
            book.record_release(release, facts)
            return
    raise InputError(
        f"release {release!r} of {bundle} was never charged in this ledger; "
        "give the ledger that it was booked in"
    )
