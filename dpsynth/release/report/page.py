"""The report: one HTML file without network or scripts, in two editions from the same data.

The public edition is made from data that holds nothing private to begin with: `audit` and counts of
real rows must be absent there, and the decision must be its public edition. So nothing has to be
hidden.
"""

from collections.abc import Sequence
from typing import Any

from audits.result import AuditResult, Finding
from audits.statistics import Estimate
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.documents.answers import answers
from dpsynth.release.documents.frameworks.question import Answer
from dpsynth.release.gate.outcome import counted
from dpsynth.release.report import (
    figures,
    figures_errors,
    figures_evidence,
    figures_training,
    figures_utility,
    training_words,
)
from dpsynth.release.report.columns import MOST_COLUMNS
from dpsynth.release.report.data import Edition, ReportData
from dpsynth.release.report.facts import facts
from dpsynth.release.report.svg import Picture
from dpsynth.release.report.templating import environment
from dpsynth.release.report.words import sentence
from dpsynth.release.training import Training

__all__ = ["Edition", "ReportData", "facts", "render"]

#: Training rows listed by their number; the audit's own result holds more.
MOST_ROWS = 10

Pictures = dict[str, list[Picture]]

#: The audit's name for the attacks that it tests together.
MEMBERSHIP = "membership"


def render(data: ReportData) -> str:
    """The report as HTML text."""
    return (
        environment("dpsynth.release.report", html=True)
        .get_template("report.html.j2")
        .render(**_context(data))
    )


def _context(data: ReportData) -> dict[str, Any]:
    shared = facts(data)
    real = any(column.real is not None for column in data.columns)
    findings = () if data.audit is None else data.audit.findings
    return {
        **shared,
        "trade_off": figures.trade_off(data.statement),
        "budget": figures.budget(shared["groups"]),
        "one_way": figures.one_way(data.columns),
        "real_shown": real,
        "looks": "Does it look like the real table?" if real or findings else "What is in it?",
        "errors": data.errors,
        "errors_drawn": data.errors and figures_errors.count_errors(data.errors),
        "errors_known": data.errors and (2.0 * data.errors.simulations) ** -0.5,
        "training": data.training,
        "training_drawn": data.training and figures_training.training_curves(data.training),
        "training_said": data.training and _training_said(data.training),
        "columns_left_out": max(0, len(data.schema.modelled) - MOST_COLUMNS),
        "findings": findings,
        "together_drawn": _family_pictures(findings, data.statement),
        "drawn": _finding_pictures(findings),
        "together": _together(data.audit),
        "exposed": _exposed(data.audit),
        "fidelity": _fidelity(data.audit),
        "frameworks": _frameworks(data),
    }


def _training_said(training: Training) -> dict[str, str]:
    return {
        "verdict": training_words.verdict_of(training),
        "course": training_words.course(training),
        "released": sentence(training_words.figures_of(training.released)),
        "cost": training_words.COST,
    }


def _frameworks(data: ReportData) -> list[tuple[str, str, list[Answer]]]:
    """(framework, how many questions are answered, the answers), as the certificate has them."""
    groups: dict[str, list[Answer]] = {}
    for answer in answers(data):
        groups.setdefault(answer.framework, []).append(answer)
    return [(name, _tally(replies), replies) for name, replies in groups.items()]


def _tally(replies: Sequence[Answer]) -> str:
    counts = dict.fromkeys(("answered", "open", "not applicable"), 0)
    for reply in replies:
        counts[reply.status] += 1
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


def _family_pictures(findings: Sequence[Finding], statement: PrivacyStatement) -> Pictures:
    """Pictures of real rows that hold several findings, by the family they belong to."""
    attacks = [finding for finding in findings if finding.family == "membership"]
    disclosures = [finding for finding in findings if finding.family == "disclosure"]
    return {
        "membership": _made(
            figures_evidence.attack_curves(attacks, statement),
            figures_evidence.attack_areas(attacks),
        ),
        "disclosure": _made(figures_evidence.criteria(disclosures)),
    }


def _finding_pictures(findings: Sequence[Finding]) -> Pictures:
    """Pictures of real rows that hold one finding, by its name."""
    return {
        finding.name: _made(
            figures_evidence.distances(finding),
            figures_evidence.coverage(finding) if finding.family == "diversity" else None,
            figures_utility.heat_map(finding),
            *figures_utility.correlations(finding),
            figures_utility.learning(finding),
        )
        for finding in findings
    }


def _made(*pictures: Picture | None) -> list[Picture]:
    return [picture for picture in pictures if picture is not None]


def _together(audit: AuditResult | None) -> str:
    """What the membership attacks say as a group, in a sentence."""
    tests = [item for item in audit.findings if item.group == MEMBERSHIP] if audit else []
    leaks = [item.name for item in tests if item.verdict == "leak"]
    seeing = sum(item.verdict == "none" for item in tests)
    if not tests:
        return ""
    tried = counted(len(tests), "attack")
    if leaks:
        return f"Of {tried}, tested together, {len(leaks)} did: {', '.join(leaks)}."
    if not seeing:
        which = (
            "The only attack would not"
            if len(tests) == 1
            else f"None of the {len(tests)} attacks would"
        )
        return f"{which} have noticed a leak in this very table."
    return (
        f"Of {tried}, tested together, none did; {seeing} would have noticed a leak "
        f"of the size that {'it states' if seeing == 1 else 'each of them states'}."
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
