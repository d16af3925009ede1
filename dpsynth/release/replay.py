"""Run the audits of a bundle again, on the private tables, and expect the same figures.

The audit's seed is stored with its result and its input is read by the bundle's own schema, so an
auditor who holds the private rows must come to the same evidence, figure by figure.
"""

from pathlib import Path
from typing import Any

import numpy as np

from audits.result import AuditResult
from dpsynth.errors import InputError, IntegrityError
from dpsynth.release.canonical import read_json
from dpsynth.release.domain import read_domain, read_stranger
from dpsynth.release.evidence import audit_tables, options_of
from dpsynth.release.manifest import NAME, Manifest, read_manifest
from dpsynth.release.verification.checks import Check, held
from dpsynth.release.verification.layout import plain
from dpsynth.release.verification.parts import read_audit, read_holdout
from dpsynth.table import Table

#: Figures that another machine's arithmetic may move in the last digits.
RELATIVE, ABSOLUTE = 1e-6, 1e-9
#: Differences that the message names.
MOST_NAMED = 5


def replay(bundle: str | Path, train: object, holdout: object | None = None) -> Check:
    """Re-run the stored audit and compare every figure and verdict.

    Args:
        bundle: the bundle's folder, `internal/` included.
        train: the training rows (anything `Table.read` takes); or the whole private table.
        holdout: the rows that were held out; None cuts them from `train` by the row numbers in
            `internal/holdout.json`.

    Returns:
        A check named "replay" whose message names the first figures that differ.

    Raises:
        InputError: a private table cannot be read.
    """
    folder = Path(bundle)
    whole = Table.read(train)
    kept = None if holdout is None else Table.read(holdout)
    return held("replay", lambda: _again(folder, whole, kept))


def _again(folder: Path, whole: Table, kept: Table | None) -> str:
    stored = read_audit(plain(folder / "internal" / "audit.json"))
    schema = read_domain(read_json(plain(folder / "internal" / "schema.json")))
    manifest = read_manifest(plain(folder / "public" / NAME), Manifest)
    synthetic = read_stranger(plain(folder / manifest.table))
    parts = _split(whole, folder) if kept is None else (whole, kept)
    again = audit_tables((*parts, synthetic), schema=schema, options=options_of(stored))
    differences = compare(stored, again)
    if differences:
        more = len(differences) - MOST_NAMED
        rest = f"; and {more} more" if more > 0 else ""
        raise IntegrityError(f"{'; '.join(differences[:MOST_NAMED])}{rest}")
    return f"all {len(stored.figures())} figures came out the same"


def _split(whole: Table, folder: Path) -> tuple[Table, Table]:
    """Train and holdout rows of the whole private table, by the stored row numbers."""
    rows = read_holdout(plain(folder / "internal" / "holdout.json"))
    if not rows.size or rows.max() >= whole.num_rows:
        raise InputError(
            "the row numbers in holdout.json do not fit the private table; pass the table the "
            "bundle was made from, or its training rows with the held-out rows beside them"
        )
    return whole.take(np.setdiff1d(np.arange(whole.num_rows), rows)), whole.take(np.sort(rows))


def compare(stored: AuditResult, again: AuditResult) -> list[str]:
    """One sentence for each size, verdict or figure that differs; last digits may."""
    found = [
        f"{role}: {size} rows stored, {again.sizes.get(role)} now"
        for role, size in stored.sizes.items()
        if again.sizes.get(role) != size
    ]
    verdicts = {finding.name: finding.verdict for finding in again.findings}
    found += [
        f"{finding.name}: {finding.verdict!r} stored, {verdicts.get(finding.name)!r} now"
        for finding in stored.findings
        if verdicts.get(finding.name) != finding.verdict
    ]
    figures: dict[str, Any] = again.figures()
    for name, estimate in stored.figures().items():
        other = figures.get(name)
        ends = ("value", "lower", "upper")
        if other is None or not np.allclose(
            [getattr(estimate, end) for end in ends],
            [getattr(other, end) for end in ends],
            rtol=RELATIVE,
            atol=ABSOLUTE,
        ):
            now = "absent" if other is None else f"{other.value:.6g}"
            found.append(f"{name}: {estimate.value:.6g} stored, {now} now")
    return found
