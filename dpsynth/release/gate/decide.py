"""The decision: every rule, the waivers laid beside them, one verdict."""

from collections.abc import Sequence

from audits.result import AuditResult
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.gate.claims import audited_claim, claim_rules
from dpsynth.release.gate.collapse import collapse_rules
from dpsynth.release.gate.controls import control_rules
from dpsynth.release.gate.evidence import evidence_rules
from dpsynth.release.gate.outcome import Decision, RuleOutcome, UnusedWaiver
from dpsynth.release.policy import Policy, Verdict, policy_hash, signature_required
from dpsynth.release.training import Training
from dpsynth.release.waivers import Waiver, check_waivers


def decide(
    statement: PrivacyStatement,
    audit: AuditResult,
    policy: Policy,
    waivers: Sequence[Waiver] = (),
    training: Training | None = None,
) -> Decision:
    """Hold a statement, an audit and what was seen of the training against a policy.

    Three rules always hold: the budget was kept, the policy was fixed before the run, and the
    audit tested the claim that is made. A leak that the policy does not name refuses.

    Args:
        statement: what was done and what it can cost.
        audit: what was found.
        policy: what is allowed.
        waivers: rules that somebody sets aside by name. One whose rule was kept, or whose outcome
            the policy does not let anybody set aside, changes nothing and is listed as unused; it
            cannot be known before the run, so it is no reason to lose one.
        training: what the monitor saw, up to the finished model; None where that is not known.

    Returns:
        A `Decision` with one outcome per rule, in the order of `policy.rule_names`. A waived rule
        keeps its verdict; the verdict of the whole passes over it.

    Raises:
        InputError: as `check_waivers`, for what is wrong whatever the outcomes are.
    """
    check_waivers(waivers, policy)
    given = {waiver.rule: waiver for waiver in waivers}
    rules = tuple(
        _laid_beside(rule, given.get(rule.rule), policy)
        for rule in (
            *claim_rules(statement, policy),
            *collapse_rules(training, policy),
            *audited_claim(statement, audit),
            *control_rules(audit, policy),
            *evidence_rules(audit, policy),
        )
    )
    return Decision(
        verdict=_verdict(rules),
        rules=rules,
        policy_name=policy.name,
        policy_hash=policy_hash(policy),
        audience=policy.audience,
        publish=policy.publish,
        signature_required=signature_required(policy),
        unused_waivers=tuple(_unused(given, rules, policy)),
    )


def _verdict(rules: Sequence[RuleOutcome]) -> Verdict:
    stopping = {rule.verdict for rule in rules if rule.waiver is None}
    if "refuse" in stopping:
        return "refuse"
    return "inconclusive" if "inconclusive" in stopping else "allow"


def _laid_beside(rule: RuleOutcome, waiver: Waiver | None, policy: Policy) -> RuleOutcome:
    if waiver is None or not _may_be_waived(rule, policy):
        return rule
    return rule.model_copy(update={"waiver": waiver})


def _may_be_waived(rule: RuleOutcome, policy: Policy) -> bool:
    # Waivers of rules that never may be are turned away by `check_waivers`.
    return rule.verdict == "inconclusive" or (rule.verdict == "refuse" and policy.waivers == "any")


def _unused(
    given: dict[str, Waiver], rules: Sequence[RuleOutcome], policy: Policy
) -> list[UnusedWaiver]:
    outcomes = {rule.rule: rule for rule in rules}
    return [
        UnusedWaiver(waiver=waiver, reason=_why_unused(outcomes.get(name)))
        for name, waiver in given.items()
        if name not in outcomes or outcomes[name].waiver is None
    ]


def _why_unused(rule: RuleOutcome | None) -> str:
    if rule is None:
        return "the rule was not applied"
    if rule.verdict == "allow":
        return "the rule was kept, so there was nothing to set aside"
    return "the rule refuses, and this policy lets only inconclusive outcomes be set aside"
