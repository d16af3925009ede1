"""What the report, the card and the certificate are made from: one value, without any pictures.

Kept apart from the page, so that whoever only recomputes a card loads no drawing library.
"""

from dataclasses import dataclass
from typing import Literal

from audits.result import AuditResult
from dpsynth.errors import InputError
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.about import About
from dpsynth.release.gate import Decision
from dpsynth.release.report.columns import ColumnShares
from dpsynth.release.report.count_errors import CountErrors
from dpsynth.release.training import Training
from dpsynth.schema import Schema

Edition = Literal["public", "internal"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportData:
    """What one edition of the report and the card are made from.

    Attributes:
        edition: "public" or "internal".
        about: what the owner says of the release, its title among it.
        created: UTC time in ISO 8601.
        statement, decision, schema: the claim, the verdict (in this edition), the public domain.
        table: path of the synthetic table below the bundle.
        rows: how many synthetic rows; None where they may not be shown.
        columns: what the columns' pictures show; empty where they may not be shown.
        errors: how far counts may be off; None where it is not known or may not be shown.
        training: what was seen of the training; None where it is not known or may not be shown.
        audit: the evidence; internal edition only.
        signed_by: identifier of the key that the bundle is signed with; None where it is not.

    Raises:
        InputError: private data for the public edition.
    """

    edition: Edition
    about: About
    created: str
    statement: PrivacyStatement
    decision: Decision
    schema: Schema
    table: str
    rows: int | None = None
    columns: tuple[ColumnShares, ...] = ()
    errors: CountErrors | None = None
    training: Training | None = None
    audit: AuditResult | None = None
    signed_by: str | None = None

    def __post_init__(self) -> None:
        if self.decision.edition != self.edition:
            raise InputError(
                f"{self.edition} report with the {self.decision.edition} decision; "
                "pass decision.public() to the public edition and the full one to the internal"
            )
        real = any(column.real is not None for column in self.columns)
        if self.edition == "public" and (real or self.audit is not None):
            raise InputError(
                "the public report was given an audit or counts of real rows; "
                "epsilon does not cover them, leave them out"
            )
