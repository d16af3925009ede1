"""Check that a bundle holds what every bundle holds, and nothing else.

Hashes and signature say that nothing was changed since the manifest was written. They do not say
that the right files are in it: a manifest that never had the report, or that lists a second table,
is whole as well.
"""

from collections.abc import Iterable, Iterator

from dpsynth.release.manifest import QUARANTINE, InternalManifest, Manifest
from dpsynth.release.report.count_errors import NAME as ERRORS
from dpsynth.release.signing import PUBLIC_KEY
from dpsynth.release.training import NAME as TRAINING
from dpsynth.release.verification.checks import Check
from dpsynth.release.verification.parts import Parts

COMMON = frozenset({"schema.json", "privacy.json", "decision.json", "report.html"})
PUBLIC = COMMON | {"card.md", "certificate.json"}
INTERNAL = COMMON | {
    "about.json",
    "audit.json",
    "columns.json",
    "holdout.json",
    "policy.toml",
    "waivers.json",
}
#: Only where the table may be shared.
METADATA = "croissant.json"
#: Only where a ledger was kept; the check of the extract knows whether it was.
LEDGER = "ledger.json"
#: The fitted model, whose files are the generator's own affair.
MODEL = "model/"
MOST_NAMED = 5


def check_contents(parts: Parts) -> Iterator[Check]:
    """One check for each half whose manifest can be read."""
    manifest = parts.manifest
    if manifest is None:
        return
    shared = (TRAINING,) if manifest.verdict == "allow" else ()
    yield _check("public", manifest, _public(manifest), shared)
    if parts.inner is not None:
        found = {record.path for record in parts.inner.files}
        optional = {LEDGER, ERRORS, TRAINING, *(path for path in found if path.startswith(MODEL))}
        yield _check("internal", parts.inner, _internal(manifest), optional)


def _public(manifest: Manifest) -> set[str]:
    names = set(PUBLIC)
    if manifest.verdict == "allow":
        names |= {METADATA, manifest.table.removeprefix("public/")}
    if manifest.signed_by is not None:
        names.add(PUBLIC_KEY)
    return names


def _internal(manifest: Manifest) -> set[str]:
    table = manifest.table.removeprefix("internal/")
    stopped = manifest.table.startswith(f"{QUARANTINE}/")
    return {*INTERNAL, *((table,) if stopped else ())}


def _check(
    half: str, manifest: Manifest | InternalManifest, expected: set[str], optional: Iterable[str]
) -> Check:
    found = {record.path for record in manifest.files}
    problems = [
        *(f"{half}/{name} is missing, which a bundle has" for name in sorted(expected - found)),
        *(
            f"{half}/{name} is listed, but has no place in a bundle"
            for name in sorted(found - expected - set(optional))
        ),
    ]
    more = len(problems) - MOST_NAMED
    message = "; ".join([*problems[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])
    return Check(
        f"{half} contents",
        not problems,
        message or f"{half}/ holds the files that a bundle has, and no others",
    )
