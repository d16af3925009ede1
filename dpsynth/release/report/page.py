"""The report: one HTML file without network or scripts, in two editions from the same data.

The public edition is made from data that holds nothing private to begin with: `audit` and counts of
real rows must be absent there, and the decision must be its public edition. So nothing has to be
hidden.
"""

from dataclasses import dataclass
from typing import Any, Literal

from audits.result import AuditResult, Finding
from audits.statistics import Estimate
from dpsynth.errors import InputError
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.about import About
from dpsynth.release.gate import Decision
from dpsynth.release.report import figures, figures_evidence, words
from dpsynth.release.report.columns import ColumnShares
from dpsynth.release.report.drawing import MOST_COLUMNS
from dpsynth.release.report.svg import Picture
from dpsynth.release.report.templating import environment
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
        about: what the owner says of the release, its title among it.
        created: UTC time in ISO 8601.
        statement, decision, schema: the claim, the verdict (in this edition), the public domain.
        table: path of the synthetic table below the bundle.
        rows: how many synthetic rows; None where they may not be shown.
        columns: what the columns' pictures show; empty where they may not be shown.
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


def render(data: ReportData) -> str:
    """The report as HTML text."""
    return (
        environment("dpsynth.release.report", html=True)
        .get_template("report.html.j2")
        .render(**_context(data))
    )


def facts(data: ReportData) -> dict[str, Any]:
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
        "rows": data.rows,
    }


def _context(data: ReportData) -> dict[str, Any]:
    shared = facts(data)
    return {
        **shared,
        "trade_off": figures.trade_off(data.statement),
        "budget": figures.budget(shared["groups"]),
        "one_way": figures.one_way(data.columns),
        "real_shown": any(column.real is not None for column in data.columns),
        "columns_left_out": max(0, len(data.schema.modelled) - MOST_COLUMNS),
        "findings": () if data.audit is None else data.audit.findings,
        "pictures": _evidence_pictures(data),
        "together": _together(data.audit),
        "exposed": _exposed(data.audit),
        "fidelity": _fidelity(data.audit),
    }


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
