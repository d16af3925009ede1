"""Whether a bundle's charges are in a ledger: the check behind `dpsynth ledger verify --bundle`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dpsynth.errors import InputError, IntegrityError
from dpsynth.privacy.ledger import Head, Ledger
from dpsynth.privacy.ledger_extract import check_extract
from dpsynth.privacy.statement import LedgerRecord, PrivacyStatement
from dpsynth.release.canonical import read_text, sha256_file
from dpsynth.release.unpacking import opened_bundle
from dpsynth.release.verification.layout import plain


@dataclass(frozen=True)
class BundleBooking:
    """A bundle that a ledger knows.

    Attributes:
        dataset, release: under which it is booked.
        noted: whether the ledger has the hash of the bundle's manifest; a run that was stopped
            between writing the bundle and noting it leaves none.
    """

    dataset: str
    release: str
    noted: bool


def check_bundle(
    where: str | Path, bundle: Path, *, waiting: Callable[[str], None] | None = None
) -> BundleBooking:
    """Check a ledger, and that the charges of a bundle were booked in it.

    Args:
        where: path or URL of the ledger.
        bundle: folder (or zip) that `dpsynth run` made; its public part is enough.
        waiting: as in `Ledger.open`.

    Raises:
        InputError: a place that is no ledger or no bundle.
        IntegrityError: the ledger was changed, or it is not the one of this bundle, or it booked
            something else than the bundle says, or it knows other bundles of the same release and
            not this one.
    """
    with opened_bundle(bundle) as folder:
        public = folder / "public"
        statement = PrivacyStatement.from_json_text(read_text(plain(public / "privacy.json")))
        record = _record(statement)
        digest = sha256_file(plain(public / "manifest.json"))
    books = Ledger.read_all(where, waiting=waiting)
    books[0].verify(Head(entries=record.entries, hash=record.head))
    for book in books:
        for release in book.releases():
            if release.release == record.release:
                check_extract(book.extract(record.release), statement)
                _check_noted(book, release.manifests, digest)
                return BundleBooking(book.dataset, record.release, digest in release.manifests)
    raise IntegrityError(f"ledger {books[0].name}: release {record.release!r} was never charged")


def _record(statement: PrivacyStatement) -> LedgerRecord:
    if statement.ledger is None:
        raise InputError("the bundle's privacy.json names no ledger, so none can bear it out")
    return statement.ledger


def _check_noted(book: Ledger, manifests: tuple[str, ...], digest: str) -> None:
    if manifests and digest not in manifests:
        raise IntegrityError(
            f"ledger {book.name}: noted manifests {', '.join(manifests)} for this release, but the "
            f"bundle's public/manifest.json has sha256 {digest}; it is not the bundle that came out"
        )
