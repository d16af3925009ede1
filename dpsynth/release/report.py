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
from dpsynth.release import figures, figures_evidence, words
from dpsynth.release.drawing import MOST_COLUMNS
from dpsynth.release.gate import Decision
from dpsynth.release.svg import Picture
from dpsynth.schema import Schema

Edition = Literal["public", "internal"]

#: Training rows listed by their number; the audit's own result holds more.
MOST_ROWS = 10

#: The audit's name for the attacks that it tests together.
MEMBERSHIP = "membership"


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
        "sentence": words.sentence,
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
        "columns_left_out": max(0, len(data.schema.modelled) - MOST_COLUMNS),
        "findings": () if data.audit is None else data.audit.findings,
        "pictures": _evidence_pictures(data),
        "together": _together(data.audit),
        "exposed": _exposed(data.audit),
        "fidelity": _fidelity(data.audit),
    }


def _one_way(data: ReportData) -> list[tuple[str, Picture]]:
    if data.synthetic is None:
        return []
    return figures.one_way(data.schema, data.synthetic, data.real)


def _evidence_pictures(data: ReportData) -> dict[str, list[Picture]]:
    """Pictures of real rows, by the section they belong to."""
    if data.audit is None:
        return {}
    families: dict[str, list[Finding]] = {}
    for finding in data.audit.findings:
        families.setdefault(finding.family, []).append(finding)
    made = {family: _drawn(family, found, data) for family, found in families.items()}
    return {family: [one for one in several if one] for family, several in made.items()}


def _drawn(family: str, findings: list[Finding], data: ReportData) -> list[Picture | None]:
    if family == "membership":
        curves = figures_evidence.attack_curves(findings, data.statement)
        return [curves, figures_evidence.attack_areas(findings)]
    if family == "disclosure":
        return [figures_evidence.criteria(findings)]
    draw = {
        "nearest_neighbours": figures_evidence.distances,
        "diversity": figures_evidence.coverage,
        "fidelity": figures_evidence.heat_map,
    }.get(family)
    return [] if draw is None else [draw(finding) for finding in findings]


def _together(audit: AuditResult | None) -> str:
    """What the membership attacks say as a group, in a sentence."""
    tests = [item for item in audit.findings if item.group == MEMBERSHIP] if audit else []
    leaks = [item.name for item in tests if item.verdict == "leak"]
    seeing = sum(item.verdict == "none" for item in tests)
    if not tests:
        return ""
    if leaks:
        return f"Of {len(tests)} attacks, tested together, {len(leaks)} did: {', '.join(leaks)}."
    if not seeing:
        return f"None of the {len(tests)} attacks would have noticed a leak in this very table."
    return (
        f"Of {len(tests)} attacks, tested together, none did; {seeing} would have noticed a leak "
        "of the size each states."
    )


def _exposed(audit: AuditResult | None) -> list[tuple[int, str, float, float]]:
    """(training row, attack, share of outsiders as suspicious, its upper end), most at risk first.

    The attack is the one that reaches the row best.
    """
    found = [] if audit is None else [item.curves.get("records", []) for item in audit.findings]
    rows = []
    listed = [record for records in found for record in records if record["attacks"]]
    for record in listed[:MOST_ROWS]:
        attack = min(record["attacks"], key=lambda name: record["attacks"][name]["false_positives"])
        reach = record["attacks"][attack]
        rows.append((record["row"], attack, reach["false_positives"], reach["upper"]))
    return rows


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
