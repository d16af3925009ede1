"""Verify a bundle: is it what was written, is epsilon what it says, does the verdict follow?

Needs neither the private rows nor the model nor torch. Every check runs even if one before it
failed, so that one look shows all that is wrong; a file that was touched is named.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audits.errors import AuditError
from audits.result import AuditResult
from dpsynth.errors import DPSynthError, InputError, IntegrityError
from dpsynth.privacy import accounting
from dpsynth.privacy.statement import PrivacyStatement, recompute
from dpsynth.release.canonical import read_json, read_text, sha256_file
from dpsynth.release.domain import outside_domain, read_domain
from dpsynth.release.gate import SLACK, Decision, decide
from dpsynth.release.manifest import (
    NAME,
    QUARANTINE,
    InternalManifest,
    Manifest,
    file_faults,
    read_manifest,
)
from dpsynth.release.policy import load_policy, policy_hash

#: Relative difference of epsilon that another library version's grid may make.
EPSILON_TOLERANCE = 1e-6
CLAIM_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Check:
    """One check: its name, whether it held, and one line that says what was looked at or found."""

    name: str
    ok: bool
    message: str


@dataclass(frozen=True)
class Verification:
    """All checks of one bundle, in the order they were made."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check held."""
        return all(check.ok for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that did not hold."""
        return tuple(check for check in self.checks if not check.ok)

    @property
    def exit_code(self) -> int:
        """0 if every check held; else that of `IntegrityError`."""
        return 0 if self.ok else IntegrityError.exit_code


def verify_bundle(path: str | Path, *, public_only: bool = False) -> Verification:
    """Check a bundle.

    Args:
        path: the bundle's folder.
        public_only: True where only `public/` was handed over; what needs `internal/` is left out
            and said to be.

    Returns:
        A `Verification`; a fault of the bundle is a failed check, not an exception.

    Raises:
        InputError: `path` is not a folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the bundle's folder")
    return Verification(tuple(_checks(folder, public_only=public_only)))


def _checks(folder: Path, *, public_only: bool) -> Iterator[Check]:
    yield from _layout(folder, public_only=public_only)
    public = folder / "public"
    manifest: Manifest | None = None
    try:
        manifest = read_manifest(public / NAME, Manifest)
        yield Check(f"public/{NAME}", True, f"{len(manifest.files)} files listed, checksum fits")
    except DPSynthError as error:
        yield Check(f"public/{NAME}", False, str(error))
    if manifest is not None:
        yield from _files(public, manifest, where="public")
    statement: PrivacyStatement | None = None
    try:
        statement = PrivacyStatement.from_json_text(read_text(public / "privacy.json"))
        yield Check("privacy.json", True, "the privacy statement can be read")
    except DPSynthError as error:
        yield Check("privacy.json", False, str(error))
    if statement is not None:
        yield from _epsilon(statement)
    if manifest is not None:
        yield from _public_verdict(folder, manifest)
        yield from _domain(folder, manifest)
    if not public_only:
        yield from _internal(folder, manifest, statement)
    yield Check(
        "signature",
        True,
        "not signed: hashes find accidents and changes, not a forger who writes all of them anew",
    )


def _layout(folder: Path, *, public_only: bool) -> Iterator[Check]:
    expected = {"public"} if public_only else {"public", "internal"}
    allowed = {"public", "internal"}
    problems = [
        f"{entry.name} does not belong into a bundle"
        for entry in sorted(folder.iterdir())
        if entry.name not in allowed
    ]
    for name in sorted(expected):
        if (folder / name).is_symlink() or not (folder / name).is_dir():
            hint = "; where only public/ was handed over, verify with public_only"
            problems.append(f"{name}/ is missing or a link{hint if name == 'internal' else ''}")
    yield Check("layout", not problems, "; ".join(problems) or "the folders are as they should be")


def _files(folder: Path, manifest: Manifest | InternalManifest, *, where: str) -> Iterator[Check]:
    records = {record.path: record for record in manifest.files}
    if len(records) < len(manifest.files):
        yield Check(f"{where} files", False, "the manifest lists a path twice")
    faults = list(_guard_walk(folder, records))
    for name, fault in faults:
        yield Check(f"file {where}/{name}", False, f"{where}/{name} {fault}")
    if not faults:
        yield Check(f"{where} files", True, f"all {len(records)} files are there and unchanged")


def _guard_walk(folder: Path, records: dict[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        yield from file_faults(folder, records)
    except OSError as error:
        yield error.filename or ".", f"cannot be read ({error.strerror})"


def _epsilon(statement: PrivacyStatement) -> Iterator[Check]:
    try:
        epsilon, witness = recompute(statement)
    except DPSynthError as error:
        yield Check("epsilon", False, f"epsilon cannot be recomputed: {error}")
        return
    for name, stated, found in (
        (f"epsilon ({statement.accountant})", statement.epsilon_spent, epsilon),
        (f"witness epsilon ({statement.witness})", statement.witness_epsilon, witness),
    ):
        same = math.isclose(stated, found, rel_tol=EPSILON_TOLERANCE, abs_tol=1e-12)
        yield Check(name, same, f"stated {stated:.6g}, recomputed from the events {found:.6g}")
    yield _claims(statement)
    kept = statement.epsilon_spent <= statement.epsilon * (1 + SLACK)
    yield Check(
        "budget",
        kept,
        f"epsilon {statement.epsilon_spent:.6g} spent of {statement.epsilon:.6g} asked for "
        f"(delta {statement.delta:g})",
    )


def _claims(statement: PrivacyStatement) -> Check:
    """What the report says of an attacker must follow from the events as epsilon does."""
    events = statement.replay_events()
    stated: dict[str, Any] = {
        "mu": statement.mu,
        "max_advantage": statement.max_advantage,
        "tradeoff": statement.tradeoff,
        **{f"tpr_at_fpr {rate}": tpr for rate, tpr in statement.tpr_at_fpr.items()},
    }
    found: dict[str, Any] = {
        "mu": accounting.gaussian_mu(events),
        "max_advantage": accounting.max_advantage(events),
        "tradeoff": accounting.tradeoff_curve(events),
        **{
            f"tpr_at_fpr {rate}": accounting.tpr_at_fpr(events, float(rate))
            for rate in statement.tpr_at_fpr
        },
    }
    wrong = [name for name in stated if not _same(stated[name], found[name])]
    message = "mu, trade-off curve, largest advantage and rates follow from the events"
    return Check(
        "claims",
        not wrong,
        f"{', '.join(wrong)}: not what the events give" if wrong else message,
    )


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    left, right = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    return left.shape == right.shape and np.allclose(left, right, rtol=CLAIM_TOLERANCE, atol=1e-9)


def _public_verdict(folder: Path, manifest: Manifest) -> Iterator[Check]:
    """The public decision, the manifest and the place of the table must tell the same story."""
    problems = []
    try:
        decision = read_decision(folder / "public" / "decision.json")
        if decision.verdict != manifest.verdict:
            problems.append(
                f"decision.json says {decision.verdict!r}, the manifest {manifest.verdict!r}"
            )
        if decision.policy_hash != manifest.policy_hash:
            problems.append("decision.json and the manifest name different policies")
    except DPSynthError as error:
        problems.append(str(error))
    place = "public" if manifest.verdict == "allow" else QUARANTINE
    known = tuple(f"{place}/synthetic.{suffix}" for suffix in ("csv", "parquet"))
    if manifest.table not in known:
        problems.append(
            f"verdict {manifest.verdict!r} but the table is said to lie at {manifest.table!r}; "
            f"allowed: {' or '.join(known)}"
        )
    listed = {record.path for record in manifest.files if record.path.startswith("synthetic")}
    if manifest.verdict != "allow" and listed:
        problems.append(f"verdict {manifest.verdict!r} but public/ holds {min(listed)}")
    message = f"verdict {manifest.verdict!r}, policy {manifest.policy_hash[:12]}"
    yield Check("verdict", not problems, "; ".join(problems) or message)


def _domain(folder: Path, manifest: Manifest) -> Iterator[Check]:
    if manifest.verdict != "allow":
        yield Check("domain", True, "no synthetic table in public/, nothing to look at")
        return
    table = folder / "public" / Path(manifest.table).name
    try:
        schema = read_domain(read_json(folder / "public" / "schema.json"))
        problems = ["the table is no plain file"] if table.is_symlink() else []
        problems = problems or list(outside_domain(table, schema))
    except DPSynthError as error:
        problems = [str(error)]
    message = f"every value of {table.name} lies in the public domain"
    yield Check("domain", not problems, "; ".join(problems) or message)


def _internal(
    folder: Path, manifest: Manifest | None, statement: PrivacyStatement | None
) -> Iterator[Check]:
    internal = folder / "internal"
    if internal.is_symlink() or not internal.is_dir():
        return  # named by the layout check
    try:
        inner = read_manifest(internal / NAME, InternalManifest)
        pinned = manifest is None or sha256_file(internal / NAME) == manifest.internal_manifest
        message = "fits the public one" if pinned else "is not the one that public/ pins by hash"
        yield Check(f"internal/{NAME}", pinned, f"internal/{NAME} {message}")
        yield from _files(internal, inner, where="internal")
    except DPSynthError as error:
        yield Check(f"internal/{NAME}", False, str(error))
    if statement is not None:
        yield _held("decision", lambda: _decided_again(folder, statement, manifest))


def _held(name: str, run: Callable[[], str]) -> Check:
    try:
        return Check(name, True, run())
    except (DPSynthError, AuditError) as error:
        return Check(name, False, str(error))


def _decided_again(folder: Path, statement: PrivacyStatement, manifest: Manifest | None) -> str:
    """The gate once more, from what lies in the bundle.

    Raises:
        IntegrityError: it comes to another decision than the stored ones, or to another policy.
    """
    internal = folder / "internal"
    policy = load_policy(internal / "policy.toml")
    audit = AuditResult.from_json_text(read_text(internal / "audit.json"))
    again = decide(statement, audit, policy)
    if manifest is not None and policy_hash(policy) != manifest.policy_hash:
        raise IntegrityError(
            "internal/policy.toml is not the policy whose hash public/manifest.json holds; "
            "it was changed after the run"
        )
    for name, expected in (("internal", again), ("public", again.public())):
        stored = read_decision(folder / name / "decision.json")
        if stored != expected:
            raise IntegrityError(
                f"{name}/decision.json says {stored.verdict!r}; statement, evidence and policy "
                f"give {again.verdict!r} or other outcomes; it was changed after the run"
            )
    return f"the gate comes to {again.verdict!r} again"


def read_decision(path: Path) -> Decision:
    """A stored decision.

    Raises:
        IntegrityError: missing, no JSON, or not a decision.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise IntegrityError(f"{path.name}: not a decision; it was cut short or changed")
    fields = {key: value for key, value in data.items() if key not in ("shareable", "note")}
    try:
        return Decision.model_validate_json(json.dumps(fields))
    except ValueError as error:
        raise IntegrityError(
            f"{path.name}: not a decision this version reads ({_first_line(error)})"
        ) from error


def _first_line(error: ValueError) -> str:
    return " ".join(str(error).split("\n")[:3])
