"""Checks of the smaller records: schema, row numbers of the holdout, waivers, ledger."""

from collections.abc import Iterator
from functools import partial
from typing import Protocol

from dpsynth.errors import InputError, IntegrityError
from dpsynth.privacy.ledger import Head
from dpsynth.privacy.ledger_extract import check_extract
from dpsynth.privacy.ledger_releases import ReleaseRecord
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.canonical import read_text, sha256_file
from dpsynth.release.domain import without_learned
from dpsynth.release.manifest import NAME
from dpsynth.release.verification.checks import Check, held
from dpsynth.release.verification.layout import require_plain, without_name
from dpsynth.release.verification.parts import Domain, Parts
from dpsynth.release.waivers import Waiver, check_dates

EXTRACT = "internal/ledger.json"
SHOWN = 12


class LedgerLike(Protocol):
    """What is asked of a ledger."""

    def verify(self, head: Head | None = None) -> None:
        """Raise `IntegrityError` unless the ledger is whole and still holds this head."""
        ...

    def releases(self) -> tuple[ReleaseRecord, ...]:
        """What was booked, and what came of it."""
        ...

    def extract(self, release: str) -> str:
        """The part of it that goes with a release, as JSON text."""
        ...


def check_records(parts: Parts) -> Iterator[Check]:
    """Records of the house that other files lean on."""
    internal = parts.internal
    if internal is None:
        return
    if internal.domain is not None and parts.public.domain is not None:
        inside, outside = internal.domain, parts.public.domain
        yield held("schemas", lambda: _schemas(parts, inside, outside))
    if internal.waivers is not None and parts.manifest is not None:
        yield held("waivers", partial(_waivers, internal.waivers, parts.manifest.created))
    if internal.statement is not None:
        statement = internal.statement
        yield held("ledger extract", lambda: _extract(parts, statement))


def _schemas(parts: Parts, inside: Domain, outside: Domain) -> str:
    allowed = parts.manifest is None or parts.manifest.verdict == "allow"
    expected = (
        inside
        if allowed
        else Domain(schema=without_learned(inside.schema, inside.learned), learned={})
    )
    if outside != expected:
        raise IntegrityError(
            "public/schema.json is not the public edition of internal/schema.json; "
            "one of them was changed after the run"
        )
    return "public/schema.json is the public edition of internal/schema.json"


def _waivers(waivers: tuple[Waiver, ...], created: str) -> str:
    try:
        check_dates(waivers, created)
    except InputError as error:
        raise IntegrityError(f"internal/waivers.json: {error}") from error
    return f"{len(waivers)} rules were set aside by name"


def _extract(parts: Parts, statement: PrivacyStatement) -> str:
    path = parts.folder / EXTRACT
    if statement.ledger is None:
        if path.exists() or path.is_symlink():
            raise IntegrityError(f"{EXTRACT} is there, but privacy.json names no ledger")
        return "no ledger was kept, so nothing is known of other releases of the same people"
    try:
        require_plain(path)
        hidden = check_extract(read_text(path), statement)
    except IntegrityError as error:
        raise IntegrityError(f"{EXTRACT}: {without_name(path, str(error))}") from error
    message = f"{EXTRACT}: {statement.ledger.entries} entries, chain whole, every charge is in it"
    if not hidden:
        return message
    return (
        f"{message}; {hidden} of them are said to be of other datasets and show their hash alone: "
        "that none is of the same people, only --ledger can tell"
    )


def check_ledger(parts: Parts, ledger: LedgerLike) -> Check:
    """The ledger at hand is whole and holds what the bundle says of it."""
    return held("ledger", lambda: _in_ledger(parts, ledger))


def _in_ledger(parts: Parts, ledger: LedgerLike) -> str:
    statement = parts.public.statement
    if statement is None:
        raise IntegrityError("public/privacy.json cannot be read, so no entry can be looked for")
    if statement.ledger is None:
        raise IntegrityError("public/privacy.json names no ledger; none was kept for this release")
    record = statement.ledger
    ledger.verify(Head(entries=record.entries, hash=record.head))
    found = {release.release: release for release in ledger.releases()}.get(record.release)
    if found is None:
        raise IntegrityError(f"the ledger books no release {record.release!r}; give the right one")
    try:
        # The bundle's own extract may call entries of this dataset another's; the ledger does not.
        check_extract(ledger.extract(record.release), statement)
    except IntegrityError as error:
        raise IntegrityError(
            f"public/privacy.json does not say what was booked: {error}"
        ) from error
    return _noted(parts, found)


def _noted(parts: Parts, found: ReleaseRecord) -> str:
    """Whether the ledger knows this bundle as what came of the release."""
    if not found.manifests:
        return f"release {found.release!r} is booked; what came of it was never noted"
    digest = sha256_file(parts.folder / "public" / NAME)
    if digest not in found.manifests:
        raise IntegrityError(
            f"public/{NAME} has SHA-256 {digest[:SHOWN]}, the ledger noted "
            f"{', '.join(known[:SHOWN] for known in found.manifests)} for release "
            f"{found.release!r}; this is not the bundle that was made of it"
        )
    latest = "" if digest == found.manifests[-1] else ", which a later one has replaced"
    return f"release {found.release!r} is booked, and noted with this very bundle{latest}"
