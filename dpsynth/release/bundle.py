"""The bundle: one folder that proves a release, `public/` apart from `internal/`.

    public/    synthetic.csv · schema.json · privacy.json · decision.json · certificate.json
               card.md · report.html · croissant.json · training.json · signing-key.pem
               manifest.json · manifest.dsse.json
    internal/  audit.json · privacy.json · decision.json · schema.json · report.html · columns.json
               policy.toml · waivers.json · about.json · ledger.json · holdout.json · model/
               errors.json · training.json · manifest.json
               quarantine/ (the synthetic table, where the verdict is not "allow")

Written beside its place and renamed, so that there is a whole bundle or none.
"""

import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pandas as pd

from audits.result import AuditResult
from dpsynth.errors import InputError
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.about import About
from dpsynth.release.attestation import attestation_payload
from dpsynth.release.canonical import pretty_json, sha256_file
from dpsynth.release.decisions import decision_json
from dpsynth.release.documents.card import card
from dpsynth.release.documents.certificate import certificate_text
from dpsynth.release.documents.croissant import croissant_text
from dpsynth.release.domain import domain_json, without_learned
from dpsynth.release.gate import Decision, decide
from dpsynth.release.manifest import (
    HOLDOUT_FORMAT,
    NAME,
    QUARANTINE,
    FileRecord,
    InternalManifest,
    Manifest,
    list_files,
    refuse_climbing,
)
from dpsynth.release.policy import Policy, parse_policy, signature_required
from dpsynth.release.report.columns import ColumnShares, to_json_text
from dpsynth.release.report.count_errors import NAME as ERRORS
from dpsynth.release.report.count_errors import CountErrors
from dpsynth.release.report.page import Edition, ReportData, render
from dpsynth.release.signing import ENVELOPE, PUBLIC_KEY, Signer
from dpsynth.release.training import NAME as TRAINING
from dpsynth.release.training import Training
from dpsynth.release.waivers import Waiver, check_dates
from dpsynth.schema import Schema
from dpsynth.writing import atomic_directory, write_frame


@dataclass(frozen=True, kw_only=True, eq=False)
class BundleContents:
    """Everything a bundle is made from.

    Attributes:
        synthetic: the synthetic table, or the file it lies in, which is copied as it is.
        rows: how many it has.
        schema: its public domain, learned bounds and categories filled in.
        learned: which fields of which columns were learned under the budget.
        statement, audit, decision: the claim, the evidence, the verdict.
        policy_text: the policy as TOML, exactly as it was read.
        waivers: rules that somebody set aside.
        columns: what the columns' pictures show, of synthetic and of real rows.
        errors: how far counts may be off; None where the model allows no simulations.
        training: what the monitor saw of the training; None where that is not known.
        model_files: the fitted model, bytes by relative path.
        holdout_rows: 0-based rows of the private table that were held out; never rows themselves.
        about: what the owner says of the release.
        ledger_text: the ledger's extract for this release (`Ledger.extract`); None without one.
        signer: who signs; None leaves the bundle unsigned.
        output: format of the synthetic table.
        created: UTC time in ISO 8601; the clock's where absent.
    """

    synthetic: pd.DataFrame | Path
    rows: int
    schema: Schema
    statement: PrivacyStatement
    audit: AuditResult
    decision: Decision
    policy_text: str
    model_files: Mapping[str, bytes]
    holdout_rows: Sequence[int]
    learned: Mapping[str, list[str]] = field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()
    columns: tuple[ColumnShares, ...] = ()
    errors: CountErrors | None = None
    training: Training | None = None
    about: About = field(default_factory=About)
    ledger_text: str | None = None
    signer: Signer | None = None
    output: Literal["csv", "parquet"] = "csv"
    created: str | None = None


def write_bundle(path: str | Path, contents: BundleContents) -> Path:
    """Write a bundle into a new folder and return its path.

    Raises:
        InputError: the folder exists, the disk fails, the output format is unknown, a model file's
            name climbs out, the policy demands a signature and there is no signer, a waiver is
            from the future, or the decision does not follow from statement, audit, policy and
            waivers. Then nothing is left on the disk.
    """
    created = contents.created or datetime.now(UTC).isoformat(timespec="seconds")
    _check(contents, created)
    # What is drawn follows from what is stored, digit by digit, so that it can be drawn again.
    stored = AuditResult.from_json_text(contents.audit.to_json_text())
    contents = replace(contents, audit=stored)
    with atomic_directory(path) as folder:
        for name in ("public", "internal"):
            (folder / name).mkdir()
        _write_table(folder / table_path(contents.decision, contents.output), contents.synthetic)
        _write_public(folder / "public", contents, created)
        _write_internal(folder / "internal", contents, created)
        manifest = _write_manifests(folder, contents, created)
        if contents.signer is not None:
            _sign(folder / "public", manifest, contents.signer)
    return Path(path)


def table_path(decision: Decision, output: str) -> str:
    """Where the synthetic table lies below the bundle: in public only where it may leave."""
    place = "public" if decision.verdict == "allow" else QUARANTINE
    return f"{place}/synthetic.{output}"


def _check(contents: BundleContents, created: str) -> None:
    if contents.output not in ("csv", "parquet"):
        raise InputError(f"output is {contents.output!r}; give 'csv' or 'parquet'")
    refuse_climbing(contents.model_files)
    if isinstance(contents.synthetic, Path):
        _check_suffix(contents.synthetic, contents.output)
    else:
        names = tuple(map(str, contents.synthetic.columns))
        contents.schema.check(names, "the synthetic table")
    policy = parse_policy(contents.policy_text, source="policy.toml")
    check_signer(policy, contents.signer)
    check_dates(contents.waivers, created)
    again = decide(contents.statement, contents.audit, policy, contents.waivers, contents.training)
    if again != contents.decision:
        raise InputError(
            "the decision does not follow from this statement, audit, policy, training and these "
            "waivers; "
            "decide again with what is passed"
        )


def check_signer(policy: Policy, signer: Signer | None) -> None:
    """Refuse to go on without a signer where the policy demands one; ask before a budget is spent.

    Raises:
        InputError: as said.
    """
    if signer is None and signature_required(policy):
        raise InputError(
            f"policy {policy.name!r} demands a signed bundle and there is no key to sign with; "
            "give one (--key; `dpsynth keygen` makes one)"
        )


def _check_suffix(table: Path, output: str) -> None:
    if table.suffix != f".{output}":
        raise InputError(
            f"the synthetic table {table.name} is copied as it is, but output is {output!r}; "
            f"give a file with suffix .{output}, or the other output"
        )


def _write_table(target: Path, table: pd.DataFrame | Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if isinstance(table, Path):
        shutil.copyfile(table, target)
    else:
        write_frame(table, target)


def _write_public(folder: Path, contents: BundleContents, created: str) -> None:
    decision = contents.decision.public()
    allowed = decision.verdict == "allow"
    # Where the release was stopped, what was learned from the rows stays in the house too.
    shown = contents.schema if allowed else without_learned(contents.schema, contents.learned)
    statement = contents.statement if allowed else contents.statement.without_learned()
    report = _report_data(contents, created, edition="public", schema=shown, statement=statement)
    domain = domain_json(shown, contents.learned if allowed else {})
    _write(folder / "schema.json", pretty_json(domain))
    _write(folder / "privacy.json", statement.to_json_text())
    _write(folder / "decision.json", pretty_json(decision_json(decision)))
    _write(folder / "certificate.json", certificate_text(report))
    _write(folder / "report.html", render(report))
    _write(folder / "card.md", card(report))
    if contents.signer is not None:
        _write(folder / PUBLIC_KEY, contents.signer.public_pem)
    if allowed:
        table = folder / f"synthetic.{contents.output}"
        record = FileRecord.of(table, name=table.name)
        _write(folder / "croissant.json", croissant_text(report, record))
        _write_training(folder, contents.training)


def _write_internal(folder: Path, contents: BundleContents, created: str) -> None:
    holdout = {"format": HOLDOUT_FORMAT, "rows": [int(row) for row in contents.holdout_rows]}
    report = _report_data(
        contents,
        created,
        edition="internal",
        schema=contents.schema,
        statement=contents.statement,
    )
    domain = domain_json(contents.schema, contents.learned)
    _write(folder / "audit.json", contents.audit.to_json_text())
    _write(folder / "privacy.json", contents.statement.to_json_text())
    _write(folder / "decision.json", pretty_json(decision_json(contents.decision)))
    _write(folder / "schema.json", pretty_json(domain))
    _write(folder / "policy.toml", contents.policy_text)
    waived = [waiver.model_dump(mode="json") for waiver in contents.waivers]
    _write(folder / "waivers.json", pretty_json(waived))
    _write(folder / "about.json", pretty_json(contents.about.model_dump(mode="json")))
    _write(folder / "holdout.json", pretty_json(holdout))
    _write(folder / "columns.json", to_json_text(contents.columns))
    _write(folder / "report.html", render(report))
    if contents.errors is not None:
        _write(folder / ERRORS, contents.errors.to_json_text())
    _write_training(folder, contents.training)
    if contents.ledger_text is not None:
        _write(folder / "ledger.json", contents.ledger_text)
    for name, data in contents.model_files.items():
        target = folder / "model" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _report_data(
    contents: BundleContents,
    created: str,
    *,
    edition: Edition,
    schema: Schema,
    statement: PrivacyStatement,
) -> ReportData:
    """What one edition of the report may know: the public one is given nothing private."""
    internal = edition == "internal"
    decision = contents.decision if internal else contents.decision.public()
    shown = internal or decision.verdict == "allow"
    columns = contents.columns if shown else ()
    return ReportData(
        edition=edition,
        about=contents.about,
        created=created,
        statement=statement,
        decision=decision,
        schema=schema,
        rows=contents.rows if shown else None,
        columns=columns if internal else tuple(column.public() for column in columns),
        errors=contents.errors if shown else None,
        training=contents.training if shown else None,
        audit=contents.audit if internal else None,
        table=table_path(decision, contents.output),
        signed_by=None if contents.signer is None else contents.signer.key_id,
    )


def _write_manifests(folder: Path, contents: BundleContents, created: str) -> Manifest:
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
        generation=contents.statement.input_generation + 1,
        made_from=contents.statement.lineage.made_from,
        signed_by=None if contents.signer is None else contents.signer.key_id,
        files=list_files(folder / "public"),
    ).sealed()
    _write(folder / "public" / NAME, public.to_json_text())
    return public


def _sign(folder: Path, manifest: Manifest, signer: Signer) -> None:
    payload = attestation_payload(manifest, sha256_file(folder / NAME))
    _write(folder / ENVELOPE, signer.sign(payload))


def _write_training(folder: Path, training: Training | None) -> None:
    if training is not None:
        _write(folder / TRAINING, training.to_json_text())


def _write(path: Path, text: str) -> None:
    # Bytes, so that no platform turns line ends into something else than what was hashed.
    path.write_bytes(text.encode("utf-8"))
