"""The report: one HTML file without network or scripts, in two editions from the same data.

The public edition is made from data that holds nothing private to begin with: `audit` and `real`
must be absent there, and the decision must be its public edition. So nothing has to be hidden.
"""

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from audits.result import AuditResult, Finding
from audits.statistics import Estimate
from dpsynth.errors import InputError
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release import figures, words
from dpsynth.release.gate import Decision
from dpsynth.release.svg import Picture
from dpsynth.schema import Schema

Edition = Literal["public", "internal"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportData:
    """What one edition of the report and the card are made from.

    Attributes:
        edition: "public" or "internal".
        title: heading.
        created: UTC time in ISO 8601.
        statement, decision, schema: the claim, the verdict (in this edition), the public domain.
        table: path of the synthetic table below the bundle.
        synthetic: the synthetic table; None where it may not be shown.
        audit: the evidence; internal edition only.
        real: training rows for the pictures; internal edition only.

    Raises:
        InputError: private data for the public edition.
    """

    edition: Edition
    title: str
    created: str
    statement: PrivacyStatement
    decision: Decision
    schema: Schema
    table: str
    synthetic: pd.DataFrame | None = None
    audit: AuditResult | None = None
    real: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        if self.decision.edition != self.edition:
            raise InputError(
                f"{self.edition} report with the {self.decision.edition} decision; "
                "pass decision.public() to the public edition and the full one to the internal"
            )
        if self.edition == "public" and not (self.audit is None and self.real is None):
            raise InputError(
                "the public report was given an audit or real rows; "
                "epsilon does not cover them, leave them out"
            )


def render(data: ReportData) -> str:
    """The report as HTML text."""
    return _environment(html=True).get_template("report.html.j2").render(**_context(data))


def card(data: ReportData) -> str:
    """The model card and datasheet as Markdown text."""
    return _environment(html=False).get_template("card.md.j2").render(**_card_context(data))


def _environment(*, html: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("dpsynth.release", "templates"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": words.percent,
        "number": words.number,
        "odds": words.odds,
        "day": words.day,
        "interval": _interval,
        "svg": lambda picture: Markup(picture.svg),  # made by svg.py, every text in it escaped
        "cell": _markdown_cell,
    }
    return environment


def _facts(data: ReportData) -> dict[str, Any]:
    """What report and card share."""
    statement, decision = data.statement, data.decision
    return {
        "data": data,
        "statement": statement,
        "decision": decision,
        "headline": words.headline(decision.verdict),
        "explanation": words.explanation(decision),
        "stopping": words.rule_lines([rule for rule in decision.rules if rule.verdict != "allow"]),
        "one_person": words.one_person(statement),
        "claim_rules": words.rule_lines([rule for rule in decision.rules if not rule.private]),
        "evidence_rules": words.rule_lines([rule for rule in decision.rules if rule.private]),
        "groups": words.group_shares(statement),
        "rows": None if data.synthetic is None else len(data.synthetic),
    }


def _card_context(data: ReportData) -> dict[str, Any]:
    return {**_facts(data), "columns": data.schema.columns}


def _context(data: ReportData) -> dict[str, Any]:
    facts = _facts(data)
    return {
        **facts,
        "trade_off": figures.trade_off(data.statement),
        "budget": figures.budget(facts["groups"]),
        "one_way": _one_way(data),
        "columns_left_out": max(0, len(data.schema.modelled) - figures.MOST_COLUMNS),
        "findings": () if data.audit is None else data.audit.findings,
        "pictures": _evidence_pictures(data),
        "fidelity": _fidelity(data.audit),
    }


def _one_way(data: ReportData) -> list[tuple[str, Picture]]:
    if data.synthetic is None:
        return []
    return figures.one_way(data.schema, data.synthetic, data.real)


def _evidence_pictures(data: ReportData) -> dict[str, list[Picture]]:
    """Pictures of real rows, by the section they belong to."""
    found: dict[str, list[Picture]] = {}
    for finding in () if data.audit is None else data.audit.findings:
        made = _pictures_of(finding, data.statement)
        found.setdefault(finding.family, []).extend(made)
    return found


def _pictures_of(finding: Finding, statement: PrivacyStatement) -> list[Picture]:
    matrix = finding.curves.get("tvd2_matrix")
    made = {
        "membership": lambda: figures.attack_curve(finding, statement),
        "nearest_neighbours": lambda: figures.distances(finding),
        "diversity": lambda: figures.coverage(finding),
        "fidelity": lambda: figures.heat_map(finding.curves["columns"], matrix) if matrix else None,
    }
    draw = made.get(finding.family)
    drawn = None if draw is None else draw()
    return [] if drawn is None else [drawn]


def _fidelity(audit: AuditResult | None) -> list[tuple[str, Estimate, Estimate]]:
    """(what, synthetic against real, real against real) for 1, 2 and 3 columns at once."""
    finding = next((f for f in (audit.findings if audit else ()) if f.family == "fidelity"), None)
    if finding is None:
        return []
    names = (("tvd1", "single columns"), ("tvd2", "pairs"), ("tvd3", "triples"))
    return [
        (label, finding.figures[name], finding.figures[f"{name}_baseline"])
        for name, label in names
        if name in finding.figures and f"{name}_baseline" in finding.figures
    ]


def _interval(estimate: Estimate) -> str:
    """A figure with its interval, or alone where it is a plain count."""
    if estimate.lower == estimate.upper:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} ({estimate.lower:.4g} to {estimate.upper:.4g})"


def _markdown_cell(text: object) -> str:
    """A text that cannot break out of a Markdown table cell or start a tag."""
    plain = " ".join(str(text).split()).replace("\\", "\\\\").replace("|", "\\|")
    return plain.replace("<", "&lt;")
