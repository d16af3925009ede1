"""The gate: a pure function of the privacy statement, the audit's evidence and the policy.

It holds no threshold of its own. Refuse if any rule refuses; else inconclusive if any rule is;
else allow. What was not measured is inconclusive, never allowed.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from audits.result import AuditResult, Finding
from audits.statistics import Estimate
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.policy import (
    Audience,
    FigureLimit,
    FindingRule,
    GroupRule,
    Limit,
    Policy,
    Verdict,
    policy_hash,
)
from dpsynth.release.waivers import Waiver

EXIT_CODES: dict[Verdict, int] = {"allow": 0, "refuse": 3, "inconclusive": 4}

#: Relative slack for epsilon spent against epsilon asked: rounding of the search that calibrates.
SLACK = 1e-9

#: Significant digits of a figure in an audit's JSON form.
STORED_DIGITS = 10

#: Coarse figures are rounded outwards to this step.
COARSE_STEP = 0.05


class RuleOutcome(BaseModel):
    """What one rule of the policy came to.

    Attributes:
        rule: name, such as "max_epsilon" or "figure closest_record.auroc".
        verdict: allow, refuse or inconclusive.
        found: the value met; a figure with its interval is an object; None where nothing was found
            or the edition hides it.
        limit: what the policy allows.
        reason: what happened, in plain words; empty where the edition hides it.
        why: the policy's own reason for the rule; `source`: where its number comes from.
        private: True where `found` was measured on real rows, so that epsilon does not cover it.
        waiver: where somebody set the rule aside: `verdict` stays what it was, and stops nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    verdict: Verdict
    found: JsonValue
    limit: JsonValue
    reason: str
    why: str = ""
    source: str = ""
    private: bool = False
    waiver: Waiver | None = None


class Decision(BaseModel):
    """The verdict, every rule's outcome, and the hash of the policy that was applied.

    Attributes:
        audience: whom the policy allows to get the table where the verdict is "allow".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["dpsynth.decision/2"] = "dpsynth.decision/2"
    edition: Literal["internal", "public"] = "internal"
    verdict: Verdict
    rules: tuple[RuleOutcome, ...]
    policy_name: str
    policy_hash: str
    audience: Audience
    publish: Literal["verdict", "coarse"]

    @property
    def exit_code(self) -> int:
        """What a command that ends with this decision returns: 0, 3 or 4."""
        return EXIT_CODES[self.verdict]

    def public(self) -> "Decision":
        """The edition that may leave the house: no exact figure measured on real rows."""
        coarse = self.publish == "coarse"
        rules = tuple(_hide(rule, coarse=coarse) for rule in self.rules)
        return self.model_copy(update={"edition": "public", "rules": rules})


def decide(
    statement: PrivacyStatement,
    audit: AuditResult,
    policy: Policy,
    waivers: Sequence[Waiver] = (),
) -> Decision:
    """Hold a statement and an audit against a policy.

    Returns:
        A `Decision` with one outcome per rule, in the order of the policy, preceded by the rules
        that always hold: the budget was kept, the audit tested the claim that is made, and no
        finding of the audit is a leak.
    """
    rules = (
        _budget(statement),
        *_claim_rules(statement, policy),
        *_audited_claim(statement, audit),
        *_size_rules(audit, policy),
        *(_finding(rule, audit) for rule in policy.finding),
        *(_group(rule, audit) for rule in policy.group),
        *_other_leaks(audit, policy),
        *(_figure(rule, audit) for rule in policy.figure),
    )
    verdicts = {outcome.verdict for outcome in rules}
    verdict: Verdict = "allow"
    if "refuse" in verdicts:
        verdict = "refuse"
    elif "inconclusive" in verdicts:
        verdict = "inconclusive"
    return Decision(
        verdict=verdict,
        rules=rules,
        policy_name=policy.name,
        policy_hash=policy_hash(policy),
        audience=policy.audience,
        publish=policy.publish,
    )


def _budget(statement: PrivacyStatement) -> RuleOutcome:
    spent, asked = statement.epsilon_spent, statement.epsilon
    kept = math.isfinite(spent) and spent <= asked * (1 + SLACK)
    return RuleOutcome(
        rule="budget",
        verdict="allow" if kept else "refuse",
        found=_json_number(spent),
        limit=_json_number(asked),
        reason=f"epsilon spent is {spent:.4g}, epsilon asked for was {asked:.4g}",
        why="What was spent may not exceed what was promised.",
    )


def _claim_rules(statement: PrivacyStatement, policy: Policy) -> Iterator[RuleOutcome]:
    """Rules on the statement alone; all public facts."""
    if policy.max_epsilon is not None:
        largest = max(statement.epsilon, statement.epsilon_spent)
        yield _at_most("max_epsilon", largest, policy.max_epsilon)
    if policy.max_delta is not None:
        yield _at_most("max_delta", statement.delta, policy.max_delta)
    required = policy.require_releasable
    if required.limit:
        yield _outcome(
            "require_releasable",
            statement.releasable,
            found=statement.releasable,
            limit=required,
            reason=f"the noise came from: {statement.noise_source}",
        )
    allowed = policy.allowed_generators
    if allowed is not None:
        yield _outcome(
            "allowed_generators",
            statement.generator in allowed.limit,
            found=statement.generator,
            limit=allowed,
            reason=f"the generator is {statement.generator!r}",
        )


def _at_most(rule: str, found: float, limit: Limit[float]) -> RuleOutcome:
    return _outcome(
        rule,
        found <= limit.limit,
        found=_json_number(found),
        limit=limit,
        reason=f"{rule.removeprefix('max_')} is {found:.4g}, at most {limit.limit:.4g} is allowed",
    )


def _outcome(
    rule: str, kept: bool, *, found: JsonValue, limit: Limit[Any], reason: str
) -> RuleOutcome:
    value = limit.limit
    return RuleOutcome(
        rule=rule,
        verdict="allow" if kept else "refuse",
        found=found,
        limit=list(value) if isinstance(value, tuple) else value,
        reason=reason,
        why=limit.reason,
        source=limit.source,
    )


def _audited_claim(statement: PrivacyStatement, audit: AuditResult) -> Iterator[RuleOutcome]:
    """Attacks that were held against another claim say nothing about this one."""
    claim = audit.claim
    if claim is None:
        return
    pairs = ((claim.epsilon, statement.epsilon), (claim.delta, statement.delta))
    same = all(math.isclose(held, made, rel_tol=SLACK) for held, made in pairs)
    yield RuleOutcome(
        rule="audited_claim",
        verdict="allow" if same else "inconclusive",
        found={"epsilon": claim.epsilon, "delta": claim.delta},
        limit={"epsilon": _json_number(statement.epsilon), "delta": _json_number(statement.delta)},
        reason=f"the attacks were held against epsilon {claim.epsilon:.4g} at delta "
        f"{claim.delta:.4g}, the claim is {statement.epsilon:.4g} at {statement.delta:.4g}",
        why="The attacks must be held against the claim that is made, not against another.",
    )


def _size_rules(audit: AuditResult, policy: Policy) -> Iterator[RuleOutcome]:
    if policy.min_rows is None:
        return
    rows, limit = audit.sizes["train"], policy.min_rows.limit
    yield RuleOutcome(
        rule="min_rows",
        verdict="allow" if rows >= limit else "refuse",
        found=rows,
        limit=limit,
        reason=f"the generator learned from {rows} rows, at least {limit} are asked for",
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
        reason = f"none of the {len(tests)} tests would have noticed a leak in this table"
    else:
        seeing = [item.name for item in tests if item.verdict == "none"]
        reason = (
            f"{len(seeing)} of {len(tests)} tests would have noticed a leak and found none: "
            f"{', '.join(seeing)}"
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
    limit: dict[str, JsonValue] = {"bound": rule.bound}
    limit |= {key: end for key, end in (("min", rule.min), ("max", rule.max)) if end is not None}
    verdict, reason = _judge(rule, estimate)
    return RuleOutcome(
        rule=f"figure {rule.name}" + ("" if rule.bound == "lower" else f" ({rule.bound})"),
        verdict=verdict,
        found=None if estimate is None else _interval(estimate),
        limit=limit,
        reason=reason,
        why=rule.reason,
        source=rule.source,
        private=True,
    )


def figure_of(audit: AuditResult, name: str) -> Estimate | None:
    """The estimate called "finding.figure", or None where the audit does not hold it."""
    finding_name, _, figure = name.partition(".")
    finding = _find(audit, finding_name)
    estimate = None if finding is None else finding.figures.get(figure)
    return None if estimate is None else _as_stored(estimate)


def _judge(rule: FigureLimit, estimate: Estimate | None) -> tuple[Verdict, str]:
    if estimate is None:
        return _not_measured(rule.inconclusive), "the audit does not hold this figure"
    ends = {"lower": estimate.lower, "value": estimate.value, "upper": estimate.upper}
    text = f"{estimate.value:.4g} ({estimate.lower:.4g} to {estimate.upper:.4g})"
    if not all(math.isfinite(end) for end in ends.values()):
        return _not_measured(rule.inconclusive), "the figure could not be measured on this table"
    if _breaks(rule, ends[rule.bound]):
        return "refuse", f"{text}: the {_END_WORDS[rule.bound]} breaks the limit"
    if any(_breaks(rule, end) for end in ends.values()):
        return rule.inconclusive, f"{text}: the interval straddles the limit"
    return "allow", f"{text}: within the limit"


_END_WORDS = {"lower": "lower end", "value": "value itself", "upper": "upper end"}


def _breaks(rule: FigureLimit, end: float) -> bool:
    return (rule.max is not None and end > rule.max) or (rule.min is not None and end < rule.min)


def _interval(estimate: Estimate) -> dict[str, JsonValue]:
    return {
        "value": _json_number(estimate.value),
        "lower": _json_number(estimate.lower),
        "upper": _json_number(estimate.upper),
        "confidence": _json_number(estimate.confidence),
    }


def _json_number(value: float) -> JsonValue:
    """A number JSON can hold; NaN and infinities become their names."""
    return float(value) if math.isfinite(value) else str(float(value))


def _as_stored(estimate: Estimate) -> Estimate:
    """To the digits that an audit's JSON keeps, so that the verdict is the same from the file."""
    value, lower, upper, confidence = (
        float(f"{number:.{STORED_DIGITS}g}")
        for number in (estimate.value, estimate.lower, estimate.upper, estimate.confidence)
    )
    return Estimate(value=value, lower=lower, upper=upper, confidence=confidence)


def _hide(rule: RuleOutcome, *, coarse: bool) -> RuleOutcome:
    if not rule.private:
        return rule
    found = _coarsen(rule.found) if coarse else None
    return rule.model_copy(update={"found": found, "reason": ""})


def _coarsen(found: JsonValue) -> JsonValue:
    """An interval rounded outwards to steps of `COARSE_STEP`; anything else is hidden."""
    if not isinstance(found, dict):
        return None
    lower, upper = found.get("lower"), found.get("upper")
    if not isinstance(lower, float) or not isinstance(upper, float):
        return None
    return {
        "lower": round(math.floor(lower / COARSE_STEP) * COARSE_STEP, 2),
        "upper": round(math.ceil(upper / COARSE_STEP) * COARSE_STEP, 2),
    }
