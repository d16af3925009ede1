"""Read a bundle back: everything that `write_bundle` was given, from the files it wrote.

For whoever decides anew on a finished bundle, without the private rows. The bundle must have been
verified before: what is read here is taken as it stands.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from dpsynth.errors import IntegrityError
from dpsynth.privacy.ledger_releases import GENERATION, SKETCH
from dpsynth.privacy.sketch import sketch_of
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.about import About
from dpsynth.release.bundle import BundleContents
from dpsynth.release.canonical import read_json, read_text, sha256_file
from dpsynth.release.decisions import read_decision
from dpsynth.release.domain import read_domain
from dpsynth.release.manifest import NAME, Manifest, list_files, read_manifest
from dpsynth.release.report.columns import from_json_text
from dpsynth.release.report.count_errors import NAME as ERRORS
from dpsynth.release.report.count_errors import CountErrors
from dpsynth.release.training import NAME as TRAINING
from dpsynth.release.training import Training
from dpsynth.release.verification.parts import read_audit, read_holdout
from dpsynth.release.waivers import Waiver
from dpsynth.table import Table

T = TypeVar("T")
_WAIVERS = TypeAdapter(tuple[Waiver, ...])


def read_bundle(path: str | Path) -> BundleContents:
    """The contents of a bundle that verified.

    Args:
        path: the bundle's folder, `internal/` included.

    Returns:
        What was written, but for the signer, with the synthetic table as the path of its file.
        `write_bundle` makes the same files of it, but for the random salt and the signature.

    Raises:
        IntegrityError: a file is missing or is not what it should be.
    """
    folder = Path(path)
    inside = folder / "internal"
    manifest = read_manifest(folder / "public" / NAME, Manifest)
    table = folder / manifest.table
    domain = read_json(inside / "schema.json")
    return BundleContents(
        synthetic=table,
        rows=Table.read(table).num_rows,
        schema=read_domain(domain),
        learned=_learned(domain),
        statement=PrivacyStatement.from_json_text(read_text(inside / "privacy.json")),
        audit=read_audit(inside / "audit.json"),
        decision=read_decision(inside / "decision.json"),
        policy_text=read_text(inside / "policy.toml"),
        model_files=_model_files(inside / "model"),
        holdout_rows=read_holdout(inside / "holdout.json").tolist(),
        waivers=_parsed(inside / "waivers.json", _WAIVERS.validate_json),
        columns=from_json_text(read_text(inside / "columns.json")),
        errors=_optional(inside / ERRORS, CountErrors.from_json_text),
        training=_optional(inside / TRAINING, Training.from_json_text),
        about=_parsed(inside / "about.json", About.model_validate_json),
        ledger_text=_optional(inside / "ledger.json", str),
        output=_output(table),
        created=manifest.created,
    )


def release_facts(path: str | Path) -> dict[str, str | int]:
    """What the ledger notes of a bundle that was written, and by what its rows are known again.

    For `Ledger.record_release`: verdict, the manifest's SHA-256, its time, the generation and a
    sketch of the synthetic rows. Nothing in it was measured on private rows.

    Raises:
        IntegrityError: a file is missing or is not what it should be.
    """
    folder = Path(path)
    place = folder / "public" / NAME
    manifest = read_manifest(place, Manifest)
    learned = [c.name for c in read_domain(read_json(folder / "internal/schema.json")).modelled]
    return {
        "verdict": manifest.verdict,
        "manifest_sha256": sha256_file(place),
        "created": manifest.created,
        GENERATION: manifest.generation,
        SKETCH: sketch_of(Table.read(folder / manifest.table), learned).to_text(),
    }


def _learned(domain: Any) -> dict[str, list[str]]:
    """What `schema.json` says was learned under the budget."""
    learned = domain.get("learned")
    if not isinstance(learned, dict) or not all(
        isinstance(fields, list) for fields in learned.values()
    ):
        raise IntegrityError("schema.json: does not say what was learned; it was changed")
    return learned


def _parsed(path: Path, parse: Callable[[str], T]) -> T:
    try:
        return parse(read_text(path))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the text"
        raise IntegrityError(f"{path.name}: {where}: {fault['msg']}; it was changed") from error


def _model_files(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        return {}
    return {record.path: (folder / record.path).read_bytes() for record in list_files(folder)}


def _optional(path: Path, parse: Callable[[str], T]) -> T | None:
    """What a bundle need not have."""
    return parse(read_text(path)) if path.exists() else None


def _output(table: Path) -> Literal["csv", "parquet"]:
    if table.suffix == ".parquet":
        return "parquet"
    if table.suffix == ".csv":
        return "csv"
    raise IntegrityError(f"{table.name}: a synthetic table is .csv or .parquet; it was changed")
