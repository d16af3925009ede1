"""The certificate: what four frameworks ask of a release, answered field by field."""

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from dpsynth.errors import IntegrityError
from dpsynth.release.about import About
from dpsynth.release.canonical import check_format, parse_json, pretty_json
from dpsynth.release.documents.answers import answers, mapping_table
from dpsynth.release.documents.frameworks.question import Answer
from dpsynth.release.policy import Audience, Verdict
from dpsynth.release.report.data import ReportData
from dpsynth.release.waivers import Waiver

__all__ = [
    "NAME",
    "Answer",
    "Certificate",
    "Claim",
    "Product",
    "answers",
    "certificate_text",
    "mapping_table",
    "read_certificate",
]

FORMAT: Literal["dpsynth.certificate/1"] = "dpsynth.certificate/1"
NAME = "certificate.json"
NOTE = (
    "This says where each question is answered. It claims no compliance with a law: the judgement "
    "is that of the expert or officer who signs for it."
)


class _Frozen(BaseModel):
    # An infinite epsilon has no JSON number; it is written as a string.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Product(_Frozen):
    """What was made.

    Attributes:
        table: path of the table below the bundle; in `internal/` where it was not released.
        rows: None where they may not be shown.
        columns: how many.
        generator: that made it.
        generation: how often the rows went through a generator; 1 for one made from real rows.
    """

    table: str
    rows: int | None
    columns: int
    generator: str
    generation: int


class Claim(_Frozen):
    """The promise, in short; `privacy.json` bears it out. Attributes as there."""

    epsilon: float
    delta: float
    epsilon_spent: float
    mu: float | None
    max_advantage: float
    tpr_at_fpr: dict[str, float]
    neighboring_relation: str
    privacy_unit: str
    max_rows_per_unit: int
    releases: int | None
    total_epsilon: float | None
    total_delta: float | None


class Certificate(_Frozen):
    """Content of `certificate.json`.

    Attributes:
        created: UTC time of the bundle, ISO 8601.
        about: what the owner states.
        verdict, audience, policy_name, policy_hash: of the decision.
        waivers: rules that were set aside, as far as the edition shows them.
        product, claim: what was made, and what is promised.
        signed_by: identifier of the signing key; None where the bundle is not signed.
        note: what this file does not say.
        answers: every question of every framework.
    """

    format: Literal["dpsynth.certificate/1"] = FORMAT
    created: str
    about: About
    verdict: Verdict
    audience: Audience
    policy_name: str
    policy_hash: str
    waivers: tuple[Waiver, ...]
    product: Product
    claim: Claim
    signed_by: str | None
    note: str = NOTE
    answers: tuple[Answer, ...]

    @classmethod
    def of(cls, data: ReportData) -> "Certificate":
        """The certificate of an edition: a pure function of what that edition may know."""
        decision = data.decision
        return cls(
            created=data.created,
            about=data.about,
            verdict=decision.verdict,
            audience=decision.audience,
            policy_name=decision.policy_name,
            policy_hash=decision.policy_hash,
            waivers=tuple(rule.waiver for rule in decision.rules if rule.waiver is not None),
            product=_product(data),
            claim=_claim(data),
            signed_by=data.signed_by,
            answers=answers(data),
        )

    def to_json_text(self) -> str:
        """The one text that this certificate has."""
        return pretty_json(json.loads(self.model_dump_json()))


def certificate_text(data: ReportData) -> str:
    """The certificate as JSON text."""
    return Certificate.of(data).to_json_text()


def read_certificate(text: str) -> Certificate:
    """Read what `certificate_text` wrote.

    Raises:
        IntegrityError: not JSON, another format (older or newer is said), or a field that is
            missing, unknown or of another kind.
    """
    data = parse_json(text, name=NAME)
    check_format(data, known=FORMAT, name=NAME)
    try:
        return Certificate.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the text"
        raise IntegrityError(
            f"{NAME}: {where}: {fault['msg']}; it was cut short or changed, ask for it again"
        ) from error


def _product(data: ReportData) -> Product:
    return Product(
        table=data.table,
        rows=data.rows,
        columns=len(data.schema.columns),
        generator=data.statement.generator,
        generation=data.statement.input_generation + 1,
    )


def _claim(data: ReportData) -> Claim:
    statement, ledger = data.statement, data.statement.ledger
    return Claim(
        epsilon=statement.epsilon,
        delta=statement.delta,
        epsilon_spent=statement.epsilon_spent,
        mu=statement.mu,
        max_advantage=statement.max_advantage,
        tpr_at_fpr=statement.tpr_at_fpr,
        neighboring_relation=statement.neighboring_relation,
        privacy_unit=statement.privacy_unit,
        max_rows_per_unit=statement.max_rows_per_unit,
        releases=None if ledger is None else ledger.releases,
        total_epsilon=None if ledger is None else ledger.total_epsilon,
        total_delta=None if ledger is None else ledger.total_delta,
    )
