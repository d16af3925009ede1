"""Whether the instruments can be believed: the controls that every attack runs beside its test.

Positive control: training rows are planted in the synthetic table on purpose, and the attack must
find them. Negative control: holdout rows stand in for the synthetic table, and it must stay silent.
An audit keeps their outcome in the finding's figures and verdict, and this reads it from there:

    verdict none            silent, and planted rows were found            passed
    verdict leak            an alarm, and no alarm where nothing leaks     passed
    verdict inconclusive    planted rows were not found                    blind
                            found, or an alarm, and yet not believed       failed
"""

from collections.abc import Iterator
from typing import Literal

from audits.result import AuditResult, Finding
from dpsynth.release.gate.outcome import RuleOutcome, counted, stored
from dpsynth.release.policy import Policy, Verdict

#: As the audits judge: an attack that needs more copies than this share is blind, and fewer rows
#: than this carry no verdict. Tests hold both against the audits' own constants.
BLIND_SHARE = 0.5
MIN_ROWS = 50

#: Figures in which an attack's positive control is kept, and what follows from it.
PLANTED = ("control_auroc", "control_planted_rate")
POWER = "detectable_copied_share"

Control = Literal["passed", "blind", "failed", "not recorded"]


def control_rules(audit: AuditResult, policy: Policy) -> Iterator[RuleOutcome]:
    """The rule `require_controls`.

    Kept where every attack recorded its controls, no attack's own controls speak against it, and
    one attack at least passed. Whether a single blind attack stops a release is for the rules on
    findings and groups to say.
    """
    if not policy.require_controls.limit:
        return
    found = {item.name: _control(item, audit) for item in audit.findings if item.knowledge}
    verdict, reason = _judge(found)
    yield RuleOutcome(
        rule="require_controls",
        verdict=verdict,
        found=dict(found) or None,
        limit=True,
        reason=reason,
        why=policy.require_controls.reason,
        source=policy.require_controls.source,
        private=True,
    )


def _judge(found: dict[str, Control]) -> tuple[Verdict, str]:
    if not found:
        return "inconclusive", "the audit holds no attack, so no control either"
    for state, said in (
        ("not recorded", "no outcome of the controls is recorded for"),
        ("failed", "its own controls speak against"),
    ):
        names = ", ".join(name for name, one in found.items() if one == state)
        if names:
            return "inconclusive", f"{said} {names}"
    passed = [name for name, one in found.items() if one == "passed"]
    if not passed:
        return "inconclusive", (
            "the only attack did not find the rows planted on purpose"
            if len(found) == 1
            else f"none of the {len(found)} attacks found rows planted on purpose"
        )
    return "allow", (
        f"{len(passed)} of {counted(len(found), 'attack')} found rows planted on purpose, "
        "and none gave an alarm where nothing can leak"
    )


def _control(finding: Finding, audit: AuditResult) -> Control:
    power = finding.figures.get(POWER)
    planted = any(name in finding.figures for name in PLANTED)
    if power is None or not planted or finding.verdict == "measured":
        return "not recorded"
    if finding.verdict in ("none", "leak"):
        return "passed"
    p_value = finding.p_adjusted
    alarmed = p_value is not None and stored(p_value) <= stored(1.0 - audit.confidence)
    rows = [count for table, count in finding.rows_used.items() if table in audit.sizes]
    seeing = stored(power.value) <= BLIND_SHARE and min(rows, default=0) >= MIN_ROWS
    return "failed" if alarmed or seeing else "blind"
