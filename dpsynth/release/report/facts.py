"""What report and card say in the same words; no pictures, so that it loads quickly."""

from typing import Any

from dpsynth.release.report import words
from dpsynth.release.report.data import ReportData
from dpsynth.release.report.lineage_words import made_from
from dpsynth.release.report.training_words import watched


def facts(data: ReportData) -> dict[str, Any]:
    """What report and card share."""
    statement, decision = data.statement, data.decision
    return {
        "data": data,
        "statement": statement,
        "decision": decision,
        "headline": words.headline(decision),
        "explanation": words.explanation(decision),
        "stopping": words.rule_lines(words.stopping(decision.rules)),
        "waived": words.rule_lines([rule for rule in decision.rules if rule.waiver]),
        "one_person": words.one_person(statement),
        "several_rows": words.several_rows(statement),
        "all_releases": words.all_releases(statement),
        "lineage": words.lineage(statement),
        "made_from": made_from(statement),
        "watched": watched(data.training),
        "signature": words.signature(data.signed_by),
        "fixed": words.fixed(statement, decision),
        "owner": words.owner(data.about),
        "claim_rules": words.rule_lines([rule for rule in decision.rules if not rule.private]),
        "evidence_rules": words.rule_lines([rule for rule in decision.rules if rule.private]),
        "groups": words.group_shares(statement),
        "purposes": words.purposes(words.group_shares(statement)),
        "rows": data.rows,
    }
