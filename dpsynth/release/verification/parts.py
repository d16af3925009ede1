"""What a bundle's files hold, each read once; a file that cannot be read is a failed check."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from audits import result as audits_result
from audits.result import AuditResult
from dpsynth.errors import IntegrityError
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.about import About
from dpsynth.release.canonical import check_format, read_json, read_text
from dpsynth.release.decisions import read_decision
from dpsynth.release.documents.certificate import Certificate, read_certificate
from dpsynth.release.domain import read_domain, read_learned, read_stranger
from dpsynth.release.gate import Decision
from dpsynth.release.manifest import HOLDOUT_FORMAT, QUARANTINE, InternalManifest, Manifest
from dpsynth.release.policy import Policy, parse_policy
from dpsynth.release.report.columns import ColumnShares, from_json_text
from dpsynth.release.report.count_errors import NAME as ERRORS
from dpsynth.release.report.count_errors import CountErrors
from dpsynth.release.training import NAME as TRAINING
from dpsynth.release.training import Training
from dpsynth.release.verification.checks import Check, why
from dpsynth.release.verification.layout import (
    is_real_folder,
    open_manifest,
    require_plain,
    without_name,
)
from dpsynth.release.waivers import Waiver
from dpsynth.schema import Schema
from dpsynth.table import Table

T = TypeVar("T")
PRIVACY_FORMAT: str = PrivacyStatement.model_fields["format"].default
_AUDIT = TypeAdapter(AuditResult)
_WAIVERS = TypeAdapter(tuple[Waiver, ...])


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A `schema.json`: the public domain, and which of its fields were learned."""

    schema: Schema
    learned: dict[str, list[str]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Half:
    """What both halves hold; None where a file cannot be read, or need not be there."""

    statement: PrivacyStatement | None = None
    decision: Decision | None = None
    domain: Domain | None = None
    training: Training | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Internal(Half):
    """What only `internal/` holds; None where a file cannot be read."""

    audit: AuditResult | None = None
    policy: Policy | None = None
    waivers: tuple[Waiver, ...] | None = None
    about: About | None = None
    columns: tuple[ColumnShares, ...] | None = None
    holdout: np.ndarray | None = None
    errors: CountErrors | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """A bundle, taken apart.

    Attributes:
        folder: of the bundle.
        manifest, inner: of the two halves.
        public, internal: their files; `internal` is None where it was not handed over.
        certificate: of the public half; None where it cannot be read.
        table: the synthetic rows; None where they cannot be read or were not handed over.
        checks: what was found on the way.
    """

    folder: Path
    manifest: Manifest | None
    inner: InternalManifest | None
    public: Half
    internal: Internal | None
    certificate: Certificate | None
    table: Table | None
    checks: tuple[Check, ...]

    @property
    def signed(self) -> bool:
        """Whether the bundle says that it is signed; its own check finds out whether it is."""
        return self.manifest is not None and self.manifest.signed_by is not None


@dataclass
class _Reader:
    """Reads files of one bundle and notes which of them cannot be read."""

    folder: Path
    taken: int = 0
    faults: list[Check] = field(default_factory=list)

    def take(self, name: str, read: Callable[[Path], T]) -> T | None:
        path = self.folder / name
        try:
            require_plain(path)
            value = read(path)
        except Exception as error:
            self.faults.append(Check(name, False, without_name(path, why(error))))
            return None
        self.taken += 1
        return value

    def take_if_there(self, name: str, read: Callable[[Path], T]) -> T | None:
        """What a bundle need not have."""
        path = self.folder / name
        return self.take(name, read) if path.exists() or path.is_symlink() else None

    def checks(self) -> tuple[Check, ...]:
        found = f"{self.taken} files have the form that this version reads"
        return tuple(self.faults) or (Check("forms", True, found),)


def take_apart(folder: Path, *, public_only: bool) -> Parts:
    """Read all that a bundle's checks need; nothing that it holds raises an error here."""
    reader = _Reader(folder)
    manifest = inner = internal = certificate = None
    found: list[Check] = []
    public = Half()
    if is_real_folder(folder / "public"):
        manifest, check = open_manifest(folder, "public", Manifest)
        found.append(check)
        public = Half(**_common(reader, "public"))
        certificate = reader.take("public/certificate.json", _read_certificate)
    if not public_only and is_real_folder(folder / "internal"):
        inner, check = open_manifest(folder, "internal", InternalManifest)
        found.append(check)
        internal = _internal(reader)
    return Parts(
        folder=folder,
        manifest=manifest,
        inner=inner,
        public=public,
        internal=internal,
        certificate=certificate,
        table=_table(reader, manifest, public_only=public_only),
        checks=(*found, *reader.checks()),
    )


def _common(reader: _Reader, half: str) -> dict[str, Any]:
    return {
        "statement": reader.take(f"{half}/privacy.json", read_statement),
        "decision": reader.take(f"{half}/decision.json", read_decision),
        "domain": reader.take(f"{half}/schema.json", _read_domain),
        "training": reader.take_if_there(f"{half}/{TRAINING}", read_training),
    }


def _internal(reader: _Reader) -> Internal:
    return Internal(
        **_common(reader, "internal"),
        audit=reader.take("internal/audit.json", read_audit),
        policy=reader.take("internal/policy.toml", _read_policy),
        waivers=reader.take("internal/waivers.json", _read_waivers),
        about=reader.take("internal/about.json", _read_about),
        columns=reader.take("internal/columns.json", lambda path: from_json_text(read_text(path))),
        holdout=reader.take("internal/holdout.json", read_holdout),
        errors=reader.take_if_there(f"internal/{ERRORS}", _read_errors),
    )


def table_places(verdict: str) -> tuple[str, ...]:
    """Where the synthetic table may lie below a bundle with this verdict."""
    place = "public" if verdict == "allow" else QUARANTINE
    return tuple(f"{place}/synthetic.{suffix}" for suffix in ("csv", "parquet"))


def _table(reader: _Reader, manifest: Manifest | None, *, public_only: bool) -> Table | None:
    if manifest is None or manifest.table not in table_places(manifest.verdict):
        return None  # named by the check of the verdict
    if manifest.table.startswith("internal/"):
        middle = [reader.folder / "internal", reader.folder / QUARANTINE]
        if public_only or not all(map(is_real_folder, middle)):
            return None
    return reader.take(manifest.table, read_stranger)


def read_statement(path: Path) -> PrivacyStatement:
    """A stored privacy statement.

    Raises:
        IntegrityError: missing, no JSON, another format, or not a statement.
    """
    check_format(read_json(path), known=PRIVACY_FORMAT, name=path.name)
    return PrivacyStatement.from_json_text(read_text(path))


def read_audit(path: Path) -> AuditResult:
    """A stored audit.

    Raises:
        IntegrityError: missing, no JSON or another format. AuditInputError: not an audit.
    """
    data = read_json(path)
    check_format(data, known=audits_result.FORMAT, name=path.name)
    result = AuditResult.from_json_text(read_text(path))
    try:
        # Once more by its types: the reader trusts what the audits themselves have written.
        _AUDIT.validate_python({key: value for key, value in data.items() if key != "verdict"})
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise IntegrityError(f"{path.name}: {where}: {fault['msg']}; it was changed") from error
    return result


def read_holdout(path: Path) -> np.ndarray:
    """The 0-based rows that were held out, shape (n,).

    Raises:
        IntegrityError: missing, another format, or not row numbers, each once.
    """
    data = read_json(path)
    check_format(data, known=HOLDOUT_FORMAT, name=path.name)
    rows = data.get("rows")
    numbers = isinstance(rows, list) and all(type(row) is int and 0 <= row < 2**62 for row in rows)
    if not numbers or len(set(rows)) < len(rows) or set(data) != {"format", "rows"}:
        raise IntegrityError(
            f"{path.name}: 'rows' must be row numbers from 0, each once; it was changed"
        )
    return np.array(rows, dtype=np.int64)


def read_training(path: Path) -> Training:
    """What was seen of the training.

    Raises:
        IntegrityError: missing, no JSON, another format, or figures that contradict each other.
    """
    return Training.from_json_text(read_text(path))


def _read_errors(path: Path) -> CountErrors:
    return CountErrors.from_json_text(read_text(path))


def _read_certificate(path: Path) -> Certificate:
    return read_certificate(read_text(path))


def _read_domain(path: Path) -> Domain:
    data = read_json(path)
    schema = read_domain(data)
    return Domain(schema=schema, learned=read_learned(data, schema))


def _read_policy(path: Path) -> Policy:
    return parse_policy(read_text(path), source=path.name)


def _read_waivers(path: Path) -> tuple[Waiver, ...]:
    read_json(path)  # refuses a key that is there twice
    return _validated(path, _WAIVERS.validate_json)


def _read_about(path: Path) -> About:
    read_json(path)
    return _validated(path, About.model_validate_json)


def _validated(path: Path, validate: Callable[[str], T]) -> T:
    try:
        return validate(read_text(path))
    except ValueError as error:
        if isinstance(error, IntegrityError):
            raise
        fault = " ".join(str(error).split("\n")[1:3])
        raise IntegrityError(
            f"{path.name}: {fault or error}; it was cut short or changed"
        ) from error
