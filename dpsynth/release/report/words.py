"""Plain words for the report and the card: what a verdict, a rule and an epsilon mean."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.gate import Decision, RuleOutcome
from dpsynth.release.policy import Verdict

_HEADLINES: dict[Verdict, str] = {
    "allow": "This table may be shared",
    "refuse": "This table must not be shared",
    "inconclusive": "Undecided: do not share this table yet",
}
_BADGES: dict[Verdict, str] = {"allow": "kept", "refuse": "broken", "inconclusive": "open"}
_RULES = {
    "budget": "Spent no more than was promised",
    "max_epsilon": "Limit on epsilon",
    "max_delta": "Limit on delta",
    "min_rows": "Enough rows",
    "require_releasable": "Noise nobody can repeat",
    "allowed_generators": "Generator on the list",
    "audited_claim": "Attacked under the claim that is made",
}
_KINDS = {"finding": "Check", "group": "Tests together", "figure": "Limit"}

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True)
class RuleLine:
    """One rule as the report shows it."""

    title: str
    code: str
    verdict: Verdict
    badge: str
    why: str
    source: str
    detail: str


def headline(verdict: Verdict) -> str:
    """The verdict as a sentence."""
    return _HEADLINES[verdict]


def explanation(decision: Decision) -> str:
    """Why, in a sentence or two, and what to do now."""
    total = len(decision.rules)
    if decision.verdict == "allow":
        return f"All {total} rules of the policy “{decision.policy_name}” were kept."
    stopping = [rule for rule in decision.rules if rule.verdict == decision.verdict]
    what = "broken" if decision.verdict == "refuse" else "not decided"
    return (
        f"{len(stopping)} of {total} rules of the policy “{decision.policy_name}” "
        f"{'is' if len(stopping) == 1 else 'are'} {what}. Nothing in public/ may be shared; the "
        "synthetic table is kept in internal/quarantine."
    )


def rule_lines(rules: Sequence[RuleOutcome]) -> list[RuleLine]:
    """The rules, those that stop the release first."""
    order: dict[Verdict, int] = {"refuse": 0, "inconclusive": 1, "allow": 2}
    return [
        RuleLine(
            title=_title(rule.rule),
            code=rule.rule,
            verdict=rule.verdict,
            badge=_BADGES[rule.verdict],
            why=rule.why,
            source=rule.source,
            detail=sentence(rule.reason or _coarse(rule.found)),
        )
        for rule in sorted(rules, key=lambda rule: order[rule.verdict])
    ]


def _title(rule: str) -> str:
    if rule in _RULES:
        return _RULES[rule]
    kind, _, name = rule.partition(" ")
    name = name.partition(" (")[0]
    plain = name.replace(".", ": ").replace("_", " ")
    return f"{_KINDS.get(kind, kind)}: {plain}"


def sentence(text: str) -> str:
    """The text with a capital letter first and a full stop last; empty stays empty."""
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _coarse(found: Any) -> str:
    if isinstance(found, dict) and "lower" in found and "upper" in found:
        return f"Between {found['lower']:.2f} and {found['upper']:.2f}."
    return ""


def percent(share: float) -> str:
    """A share for a reader: two digits that matter, never a rounded-down 0 or a rounded-up 100."""
    value = 100.0 * share
    if not math.isfinite(value):
        return "–"
    if 0.0 < value < 0.01:
        return "below 0.01 %"
    digits = 0 if value >= 99.95 or value == 0.0 else max(0, 1 - math.floor(math.log10(value)))
    return f"{value:.{digits}f} %"


def number(value: float) -> str:
    """A number for a reader: three digits that matter, "unlimited" for infinity."""
    if math.isinf(value):
        return "unlimited"
    return f"{value:.3g}"


def odds(chance: float) -> str:
    """A small chance as "1 in N", N to three digits that matter."""
    if not 0.0 < chance < 1.0:
        return f"{chance:.3g}"
    return f"1 in {float(f'{1.0 / chance:.3g}'):,.0f}"


def day(created: str) -> str:
    """An ISO 8601 time as a person writes it; other text as it is."""
    try:
        time = datetime.fromisoformat(created)
    except ValueError:
        return created
    zone = f" {time.tzname()}" if time.tzinfo is not None else ""
    return f"{time.day} {_MONTHS[time.month - 1]} {time.year}, {time:%H:%M}{zone}"


def one_person(statement: PrivacyStatement) -> str:
    """What the guarantee means for one person, as a story with numbers."""
    unit = statement.privacy_unit
    whose = "one row of the table" if unit == "row" else f"all rows of one {unit}"
    share = statement.tpr_at_fpr.get("0.01", 1.0)
    return (
        f"Think of one person ({whose}) and of an attacker who knows everything about that person "
        "and about everybody else in the table, has unlimited computing power, and only wants to "
        "learn whether the person took part. If that attacker is willing to accuse 1 in 100 "
        f"outsiders wrongly, at most {percent(share)} of those who took part can be found. Blind "
        "guessing finds 1 %."
    )


def group_shares(statement: PrivacyStatement) -> dict[str, float]:
    """Shares of the budget by purpose: the part of each event's label before the colon."""
    groups: dict[str, float] = {}
    for record in statement.events:
        name = record.label.partition(":")[0].strip()
        groups[name] = groups.get(name, 0.0) + record.share
    return groups
