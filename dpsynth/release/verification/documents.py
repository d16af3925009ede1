"""Checks of card, certificate and metadata: each is what the release's own facts give.

Where only `public/` was handed over, what the owner says of the release is taken from the
certificate itself: then the documents must agree with each other and with all else in `public/`.
The report's pictures depend on the drawing library's version, so the report is hashed and signed
but not drawn again.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from dpsynth.errors import IntegrityError
from dpsynth.release.about import About
from dpsynth.release.canonical import read_text
from dpsynth.release.documents.card import card
from dpsynth.release.documents.certificate import Certificate, certificate_text
from dpsynth.release.documents.croissant import croissant_text
from dpsynth.release.manifest import FileRecord, Manifest
from dpsynth.release.report.data import ReportData
from dpsynth.release.verification.checks import Check, held
from dpsynth.release.verification.layout import require_plain
from dpsynth.release.verification.parts import Parts
from dpsynth.release.verification.versions import not_compared, other_version

CROISSANT = "croissant.json"


def check_documents(parts: Parts) -> Iterator[Check]:
    """One check for each document that can be made again from what the bundle holds."""
    manifest, data = parts.manifest, public_facts(parts)
    if manifest is None or data is None:
        return
    makers: dict[str, Callable[[], str]] = {
        "certificate.json": lambda: certificate_text(data),
        "card.md": lambda: card(data),
    }
    listed = {record.path: record for record in manifest.files}
    record = listed.get(Path(manifest.table).name)
    if CROISSANT in listed and record is not None:
        makers[CROISSANT] = lambda: croissant_text(data, record)
    made = other_version(data.statement)
    for name, make in makers.items():
        if made is None:
            yield held(name, partial(_same, parts.folder, name, make))
        else:
            yield Check(name, True, not_compared(f"public/{name}", made, signed=parts.signed))
    certificate = parts.certificate
    if made is not None and certificate is not None:
        yield held("certificate", lambda: _same_figures(certificate, data))
    yield held("metadata", lambda: _only_where_allowed(manifest, listed))


def public_facts(parts: Parts) -> ReportData | None:
    """What the public documents were made from; None where a file of it is not there."""
    manifest, public, about = parts.manifest, parts.public, _about(parts)
    if manifest is None or about is None:
        return None
    if public.statement is None or public.decision is None or public.domain is None:
        return None
    if public.decision.edition != "public":
        return None  # named by the check of the verdict
    allowed = manifest.verdict == "allow"
    if allowed and parts.table is None:
        return None
    return ReportData(
        edition="public",
        about=about,
        created=manifest.created,
        statement=public.statement,
        decision=public.decision,
        schema=public.domain.schema,
        rows=parts.table.num_rows if allowed and parts.table is not None else None,
        table=manifest.table,
        training=public.training,
        signed_by=manifest.signed_by,
    )


def _about(parts: Parts) -> About | None:
    if parts.internal is not None:
        return parts.internal.about
    return None if parts.certificate is None else parts.certificate.about


def _same_figures(certificate: Certificate, data: ReportData) -> str:
    """The figures of a certificate whose words only another version can compare."""
    words = {"note", "answers"}
    found = certificate.model_dump(exclude=words)
    expected = Certificate.of(data).model_dump(exclude=words)
    wrong = [name for name in expected if found[name] != expected[name]]
    if wrong:
        raise IntegrityError(
            f"public/certificate.json: {', '.join(wrong)}: not what the facts of this release "
            "give; it was changed after the run"
        )
    return "public/certificate.json has the figures of this release"


def _same(folder: Path, name: str, make: Callable[[], str]) -> str:
    path = folder / "public" / name
    try:
        require_plain(path)
        found = read_text(path)
    except IntegrityError as error:
        raise IntegrityError(f"public/{error}") from error
    if found != make():
        raise IntegrityError(
            f"public/{name} is not what the facts of this release give; it was changed after the "
            "run, or written by a build of this version that words it otherwise"
        )
    return f"public/{name} says what the facts of this release give"


def _only_where_allowed(manifest: Manifest, listed: dict[str, FileRecord]) -> str:
    allowed = manifest.verdict == "allow"
    if allowed != (CROISSANT in listed):
        state = "lacks" if allowed else "must not hold"
        raise IntegrityError(f"public/ {state} {CROISSANT} where the verdict is {manifest.verdict}")
    return "metadata for data catalogues are there only where the table may be shared"
