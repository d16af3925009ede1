"""The bundle: one folder that proves a release, `public/` apart from `internal/`.

    public/    synthetic.csv · schema.json · privacy.json · decision.json · card.md · report.html
               manifest.json
    internal/  audit.json · decision.json · report.html · policy.toml · holdout.json · model/
               manifest.json · quarantine/ (the synthetic table, where the verdict is not "allow")

Written beside its place and renamed, so that there is a whole bundle or none.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from audits.result import AuditResult
from dpsynth.errors import InputError
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.canonical import pretty_json, sha256_file
from dpsynth.release.domain import domain_json, learned_fields, without_learned
from dpsynth.release.gate import Decision, decide
from dpsynth.release.manifest import (
    HOLDOUT_FORMAT,
    NAME,
    QUARANTINE,
    InternalManifest,
    Manifest,
    list_files,
    refuse_climbing,
)
from dpsynth.release.policy import parse_policy
from dpsynth.release.report import Edition, ReportData, card, render
from dpsynth.schema import Schema
from dpsynth.writing import atomic_directory, write_frame


@dataclass(frozen=True, kw_only=True, eq=False)
class BundleContents:
    """Everything a bundle is made from.

    Attributes:
        synthetic: the synthetic table.
        schema: its public domain, learned bounds and categories filled in.
        statement, audit, decision: the claim, the evidence, the verdict.
        policy_text: the policy as TOML, exactly as it was read.
        model_files: the fitted model, bytes by relative path.
        holdout_rows: 0-based rows of the private table that were held out; never rows themselves.
        declared: the schema as the owner gave it; what it lacks is marked as learned.
        real: the training rows, for pictures in the internal report alone; stored nowhere.
        output: format of the synthetic table.
        title: heading of report and card.
        created: UTC time in ISO 8601; the clock's where absent.
    """

    synthetic: pd.DataFrame
    schema: Schema
    statement: PrivacyStatement
    audit: AuditResult
    decision: Decision
    policy_text: str
    model_files: Mapping[str, bytes]
    holdout_rows: Sequence[int]
    declared: Schema | None = None
    real: pd.DataFrame | None = None
    output: Literal["csv", "parquet"] = "csv"
    title: str = "Synthetic table"
    created: str | None = None


def write_bundle(path: str | Path, contents: BundleContents) -> Path:
    """Write a bundle into a new folder and return its path.

    Raises:
        InputError: the folder exists, the disk fails, the output format is unknown, a model file's
            name climbs out, or the decision does not follow from statement, audit and policy. Then
            nothing is left on the disk.
    """
    _check(contents)
    created = contents.created or datetime.now(UTC).isoformat(timespec="seconds")
    with atomic_directory(path) as folder:
        for name in ("public", "internal"):
            (folder / name).mkdir()
        table = folder / table_path(contents.decision, contents.output)
        table.parent.mkdir(exist_ok=True)
        write_frame(contents.synthetic, table)
        _write_public(folder / "public", contents, created)
        _write_internal(folder / "internal", contents, created)
        _write_manifests(folder, contents, created)
    return Path(path)


def table_path(decision: Decision, output: str) -> str:
    """Where the synthetic table lies below the bundle: in public only where it may leave."""
    place = "public" if decision.verdict == "allow" else QUARANTINE
    return f"{place}/synthetic.{output}"


def _check(contents: BundleContents) -> None:
    if contents.output not in ("csv", "parquet"):
        raise InputError(f"output is {contents.output!r}; give 'csv' or 'parquet'")
    refuse_climbing(contents.model_files)
    contents.schema.check(tuple(map(str, contents.synthetic.columns)), "the synthetic table")
    policy = parse_policy(contents.policy_text, source="policy.toml")
    if decide(contents.statement, contents.audit, policy) != contents.decision:
        raise InputError(
            "the decision does not follow from this statement, audit and policy; "
            "decide again with the policy whose text is passed"
        )


def _write_public(folder: Path, contents: BundleContents, created: str) -> None:
    decision = contents.decision.public()
    allowed = decision.verdict == "allow"
    learned = learned_fields(contents.schema, contents.declared)
    # Where the release was stopped, what was learned from the rows stays in the house too.
    shown = contents.schema if allowed else without_learned(contents.schema, learned)
    report = _report_data(contents, created, edition="public", schema=shown)
    _write(folder / "schema.json", pretty_json(domain_json(shown, learned if allowed else {})))
    _write(folder / "privacy.json", contents.statement.to_json_text())
    _write(folder / "decision.json", pretty_json(_decision_json(decision)))
    _write(folder / "report.html", render(report))
    _write(folder / "card.md", card(report))


def _write_internal(folder: Path, contents: BundleContents, created: str) -> None:
    learned = learned_fields(contents.schema, contents.declared)
    holdout = {"format": HOLDOUT_FORMAT, "rows": [int(row) for row in contents.holdout_rows]}
    report = _report_data(contents, created, edition="internal", schema=contents.schema)
    _write(folder / "audit.json", contents.audit.to_json_text())
    _write(folder / "decision.json", pretty_json(_decision_json(contents.decision)))
    _write(folder / "schema.json", pretty_json(domain_json(contents.schema, learned)))
    _write(folder / "policy.toml", contents.policy_text)
    _write(folder / "holdout.json", pretty_json(holdout))
    _write(folder / "report.html", render(report))
    for name, data in contents.model_files.items():
        target = folder / "model" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _report_data(
    contents: BundleContents, created: str, *, edition: Edition, schema: Schema
) -> ReportData:
    """What one edition of the report may know: the public one is given nothing private."""
    internal = edition == "internal"
    decision = contents.decision if internal else contents.decision.public()
    return ReportData(
        edition=edition,
        title=contents.title,
        created=created,
        statement=contents.statement,
        decision=decision,
        schema=schema,
        synthetic=contents.synthetic if internal or decision.verdict == "allow" else None,
        audit=contents.audit if internal else None,
        real=contents.real if internal else None,
        table=table_path(decision, contents.output),
    )


def _decision_json(decision: Decision) -> dict[str, Any]:
    shareable = decision.verdict == "allow"
    note = (
        "The synthetic table lies in public/ and may be shared."
        if shareable
        else "Nothing in public/ may be shared. The synthetic table is kept in "
        f"{QUARANTINE}/ and must not leave the house."
    )
    return {**decision.model_dump(mode="json"), "shareable": shareable, "note": note}


def _write_manifests(folder: Path, contents: BundleContents, created: str) -> None:
    internal = InternalManifest(
        files=list_files(folder / "internal"), salt=secrets.token_hex(32)
    ).sealed()
    _write(folder / "internal" / NAME, internal.to_json_text())
    public = Manifest(
        verdict=contents.decision.verdict,
        policy_hash=contents.decision.policy_hash,
        created=created,
        versions=dict(contents.statement.versions),
        table=table_path(contents.decision, contents.output),
        internal_manifest=sha256_file(folder / "internal" / NAME),
        files=list_files(folder / "public"),
    ).sealed()
    _write(folder / "public" / NAME, public.to_json_text())


def _write(path: Path, text: str) -> None:
    # Bytes, so that no platform turns line ends into something else than what was hashed.
    path.write_bytes(text.encode("utf-8"))
