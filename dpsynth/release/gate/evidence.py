"""Rules on what the audit found: measured on real rows, so their outcomes stay in the house."""

import math
from collections.abc import Iterator

from pydantic import JsonValue

from audits.result import AuditResult, Finding
from audits.statistics import Estimate
from dpsynth.release.gate.outcome import RuleOutcome, counted, json_number, stored
from dpsynth.release.policy import (
    FigureLimit,
    FindingRule,
    GroupRule,
    Policy,
    Verdict,
    figure_rule_name,
)

_END_WORDS = {"lower": "lower end", "value": "value itself", "upper": "upper end"}


def evidence_rules(audit: AuditResult, policy: Policy) -> Iterator[RuleOutcome]:
    """Size, findings, groups, leaks the policy did not think of, and figures."""
    yield from _size(audit, policy)
    yield from (_finding(rule, audit) for rule in policy.finding)
    yield from (_group(rule, audit) for rule in policy.group)
    yield from _other_leaks(audit, policy)
    yield from (_figure(rule, audit) for rule in policy.figure)


def figure_of(audit: AuditResult, name: str) -> Estimate | None:
    """The estimate called "finding.figure", or None where the audit does not hold it."""
    finding_name, _, figure = name.partition(".")
    finding = _find(audit, finding_name)
    estimate = None if finding is None else finding.figures.get(figure)
    return None if estimate is None else _as_stored(estimate)


def _size(audit: AuditResult, policy: Policy) -> Iterator[RuleOutcome]:
    if policy.min_rows is None:
        return
    rows, limit = audit.sizes.get("train"), policy.min_rows.limit
    verdict: Verdict = "inconclusive"
    reason = "the audit does not say from how many rows the generator learned"
    if rows is not None:
        verdict = "allow" if rows >= limit else "refuse"
        reason = (
            f"the generator learned from {counted(rows, 'row')}, at least {limit} "
            f"{'is' if limit == 1 else 'are'} asked for"
        )
    yield RuleOutcome(
        rule="min_rows",
        verdict=verdict,
        found=rows,
        limit=limit,
        reason=reason,
        why=policy.min_rows.reason,
        source=policy.min_rows.source,
        private=True,
    )


def _finding(rule: FindingRule, audit: AuditResult) -> RuleOutcome:
    found = _find(audit, rule.name)
    return RuleOutcome(
        rule=f"finding {rule.name}",
        verdict=_finding_verdict(rule, found),
        found=None if found is None else found.verdict,
        limit={"leak": rule.leak, "inconclusive": rule.inconclusive},
        reason="the audit does not hold this finding" if found is None else found.reason,
        why=rule.reason,
        source=rule.source,
        private=True,
    )


def _group(rule: GroupRule, audit: AuditResult) -> RuleOutcome:
    tests = [item for item in audit.findings if item.group == rule.name]
    verdicts = {item.verdict for item in tests}
    verdict: Verdict = "allow"
    if not tests:
        verdict, reason = _not_measured(rule.inconclusive), "the audit ran no test of this group"
    elif "leak" in verdicts:
        leaky = ", ".join(item.name for item in tests if item.verdict == "leak")
        verdict, reason = rule.leak, f"a leak was found by {leaky}"
    elif "none" not in verdicts:
        verdict = rule.inconclusive
        reason = (
            "the only test would not have noticed a leak in this table"
            if len(tests) == 1
            else f"none of the {len(tests)} tests would have noticed a leak in this table"
        )
    else:
        seeing = [item.name for item in tests if item.verdict == "none"]
        reason = (
            f"{len(seeing)} of {counted(len(tests), 'test')} would have noticed a leak and found "
            f"none: {', '.join(seeing)}"
        )
    return RuleOutcome(
        rule=f"group {rule.name}",
        verdict=verdict,
        found={item.name: item.verdict for item in tests} or None,
        limit={"leak": rule.leak, "inconclusive": rule.inconclusive},
        reason=reason,
        why=rule.reason,
        source=rule.source,
        private=True,
    )


def _find(audit: AuditResult, name: str) -> Finding | None:
    return next((finding for finding in audit.findings if finding.name == name), None)


def _finding_verdict(rule: FindingRule, found: Finding | None) -> Verdict:
    if found is None:
        return _not_measured(rule.inconclusive)
    if found.verdict == "leak":
        return rule.leak
    if found.verdict == "inconclusive":
        return rule.inconclusive
    return "allow"


def _not_measured(inconclusive: Verdict) -> Verdict:
    """Nothing measured: a policy may be stricter than inconclusive here, never more lenient."""
    return "refuse" if inconclusive == "refuse" else "inconclusive"


def _other_leaks(audit: AuditResult, policy: Policy) -> Iterator[RuleOutcome]:
    """A leak that the policy did not think of still refuses."""
    named = {rule.name for rule in policy.finding}
    for finding in audit.findings:
        if finding.verdict == "leak" and finding.name not in named:
            yield RuleOutcome(
                rule=f"finding {finding.name}",
                verdict="refuse",
                found="leak",
                limit={"leak": "refuse"},
                reason=finding.reason,
                why="A leak refuses unless the policy names the finding and says otherwise.",
                private=True,
            )


def _figure(rule: FigureLimit, audit: AuditResult) -> RuleOutcome:
    estimate = figure_of(audit, rule.name)
    limit: dict[str, JsonValue] = {"bound": rule.bound, "confidence": rule.confidence}
    limit |= {key: end for key, end in (("min", rule.min), ("max", rule.max)) if end is not None}
    verdict, reason = _judge(rule, estimate)
    return RuleOutcome(
        rule=figure_rule_name(rule),
        verdict=verdict,
        found=None if estimate is None else _interval(estimate),
        limit=limit,
        reason=reason,
        why=rule.reason,
        source=rule.source,
        private=True,
    )


def _judge(rule: FigureLimit, estimate: Estimate | None) -> tuple[Verdict, str]:
    if estimate is None:
        return _not_measured(rule.inconclusive), "the audit does not hold this figure"
    ends = {"lower": estimate.lower, "value": estimate.value, "upper": estimate.upper}
    text = f"{estimate.value:.4g} ({estimate.lower:.4g} to {estimate.upper:.4g})"
    if not all(math.isfinite(end) for end in ends.values()):
        return _not_measured(rule.inconclusive), "the figure could not be measured on this table"
    if estimate.confidence < rule.confidence:
        return _not_measured(rule.inconclusive), (
            f"measured at confidence {estimate.confidence:g}, at least {rule.confidence:g} is "
            "asked for"
        )
    if _breaks(rule, ends[rule.bound]):
        return "refuse", f"{text}: the {_END_WORDS[rule.bound]} breaks the limit"
    if any(_breaks(rule, end) for end in ends.values()):
        return rule.inconclusive, f"{text}: the interval straddles the limit"
    return "allow", f"{text}: within the limit"


def _breaks(rule: FigureLimit, end: float) -> bool:
    return (rule.max is not None and end > rule.max) or (rule.min is not None and end < rule.min)


def _interval(estimate: Estimate) -> dict[str, JsonValue]:
    return {
        "value": json_number(estimate.value),
        "lower": json_number(estimate.lower),
        "upper": json_number(estimate.upper),
        "confidence": json_number(estimate.confidence),
    }


def _as_stored(estimate: Estimate) -> Estimate:
    """To the digits that an audit's JSON keeps, so that the verdict is the same from the file."""
    return Estimate(
        value=stored(estimate.value),
        lower=stored(estimate.lower),
        upper=stored(estimate.upper),
        confidence=stored(estimate.confidence),
    )
