"""Plain words for the report and the card: what a verdict, a rule and an epsilon mean."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.about import About
from dpsynth.release.gate import Decision, RuleOutcome
from dpsynth.release.policy import Audience, Verdict
from dpsynth.release.waivers import Waiver

_ALLOWED: dict[Audience, str] = {
    "public": "This table may be published",
    "internal": "This table may be shared inside the organisation and with named recipients",
    "development": "This table may be used for development and tests",
}
_STOPPED: dict[Verdict, str] = {
    "refuse": "This table must not be shared",
    "inconclusive": "Undecided: do not share this table yet",
}
_BADGES: dict[Verdict, str] = {"allow": "kept", "refuse": "broken", "inconclusive": "undecided"}
_RULES = {
    "budget": "Spent no more than was promised",
    "max_epsilon": "Limit on epsilon",
    "max_delta": "Limit on delta",
    "min_rows": "Enough rows",
    "require_releasable": "Noise from a secure source",
    "allowed_generators": "Generator on the list",
    "audited_claim": "Attacked under the claim that is made",
    "policy_fixed": "Rules fixed before the run",
    "max_total_epsilon": "Limit on epsilon over all releases",
    "max_releases": "Limit on the number of releases",
    "require_shared_ledger": "One ledger for all releases",
    "max_input_generation": "How often rows may go through a generator",
    "min_real_share": "Enough real rows in the input",
    "max_collapse_alarms": "No variety lost in training",
    "require_signature": "Signed",
    "require_controls": "Attacks shown to work",
}
_KINDS = {"finding": "Check", "group": "Tests together", "figure": "Limit"}

#: What ends a sentence, so that no full stop is put behind it.
ENDS = (".", "!", "?", "…")

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True)
class RuleLine:
    """One rule as the report shows it; `tone` is the badge's colour, "waived" where set aside."""

    title: str
    code: str
    verdict: Verdict
    badge: str
    why: str
    source: str
    detail: str
    waiver: Waiver | None = None

    @property
    def tone(self) -> str:
        """How the badge is coloured."""
        return self.verdict if self.waiver is None else "waived"


def headline(decision: Decision) -> str:
    """The verdict as a sentence, and whom the table is for."""
    if decision.verdict == "allow":
        return _ALLOWED[decision.audience]
    return _STOPPED[decision.verdict]


def explanation(decision: Decision) -> str:
    """Why, in a sentence or two, and what to do now."""
    total, policy = len(decision.rules), f"the policy “{decision.policy_name}”"
    aside = sum(rule.waiver is not None for rule in decision.rules)
    waived = f" {_rules(aside)} set aside by name (see below)." if aside else ""
    # Where the policy keeps the evidence inside, the rules that are left here are not all.
    whole = decision.edition == "internal" or decision.publish != "overall"
    if decision.verdict == "allow":
        if not whole:
            return f"The rules of {policy} were kept.{waived}"
        kept = f"{total - aside} of {total}" if aside else f"All {total}"
        return f"{kept} rules of {policy} were kept.{waived}"
    inside = "Nothing in public/ may be shared; the synthetic table is kept in internal/quarantine."
    if not whole:
        return f"Not all rules of {policy} were kept.{waived} {inside}"
    count = len(stopping([rule for rule in decision.rules if rule.verdict == decision.verdict]))
    what = "broken" if decision.verdict == "refuse" else "not decided"
    are = "is" if count == 1 else "are"
    return f"{count} of {total} rules of {policy} {are} {what}.{waived} {inside}"


def _rules(count: int) -> str:
    return "1 rule was" if count == 1 else f"{count} rules were"


def stopping(rules: Sequence[RuleOutcome]) -> list[RuleOutcome]:
    """The rules that stop a release: not kept, and set aside by nobody."""
    return [rule for rule in rules if rule.verdict != "allow" and rule.waiver is None]


def rule_lines(rules: Sequence[RuleOutcome]) -> list[RuleLine]:
    """The rules, those that stop the release first."""
    order: dict[Verdict, int] = {"refuse": 0, "inconclusive": 1, "allow": 2}
    return [
        RuleLine(
            title=_title(rule.rule),
            code=rule.rule,
            verdict=rule.verdict,
            badge=_BADGES[rule.verdict] if rule.waiver is None else "waived",
            why=rule.why,
            source=rule.source,
            detail=sentence(rule.reason or _coarse(rule.found)),
            waiver=rule.waiver,
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
    """The text with a capital first and a full stop last, if it has no end; empty stays empty."""
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith(ENDS) else ".")


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
    digits = 0 if value >= 99.95 or value == 0.0 else max(0, 1 - math.floor(math.log10(abs(value))))
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


def date(day_of_year: str) -> str:
    """An ISO 8601 date as a person writes it; other text as it is."""
    try:
        time = datetime.fromisoformat(day_of_year)
    except ValueError:
        return day_of_year
    return f"{time.day} {_MONTHS[time.month - 1]} {time.year}"


def one_person(statement: PrivacyStatement) -> str:
    """What the guarantee means for one person, as a story with numbers."""
    unit = statement.privacy_unit
    whose = "with one row in the table" if unit == "row" else f"all rows of one {unit}"
    share = statement.tpr_at_fpr.get("0.01", 1.0)
    return (
        f"Think of one person ({whose}) and of an attacker who knows everything about that person "
        "and about everybody else in the table, has unlimited computing power, and only wants to "
        "learn whether the person took part. If that attacker is willing to accuse 1 in 100 "
        f"outsiders wrongly, at most {percent(share)} of those who took part can be found. Blind "
        f"guessing finds 1 %.{several_rows(statement)}"
    )


def several_rows(statement: PrivacyStatement) -> str:
    """A warning where rows are hidden one by one; else empty. Starts with a space."""
    if statement.privacy_unit != "row":
        return ""
    return " A person with several rows is protected less: the figures hold for each row alone."


def all_releases(statement: PrivacyStatement) -> str:
    """What this release and those before it, from the same people, cost them together."""
    ledger = statement.ledger
    if ledger is None:
        return (
            "No ledger was kept, so nothing is known here of other releases from the same people. "
            "Each of them adds to what is said above."
        )
    spent = (
        f"epsilon {number(ledger.total_epsilon)} of the {number(ledger.budget_epsilon)} that the "
        f"ledger grants this dataset, at a delta of {odds(ledger.total_delta)}"
    )
    spent_up = ledger.total_epsilon >= ledger.budget_epsilon * (1 - 1e-6)
    further = (
        "Nothing is left: it grants no further release."
        if spent_up
        else "Every further release adds to that."
    )
    if not ledger.shared:
        return (
            "The ledger was made for this release alone, so nothing is known here of other "
            "releases from the same people. Each of them adds to what is said above."
        )
    if ledger.releases == 1:
        return (
            "The ledger held no other release of this dataset. What was booked elsewhere, or "
            f"nowhere, it cannot know. This one took {spent}. {further}"
        )
    share = found_at_most(ledger.total_epsilon, ledger.total_delta, 0.01)
    return (
        f"The ledger held {ledger.releases} releases of this dataset, this one included. What was "
        f"booked elsewhere, or nowhere, it cannot know. Together they took {spent}. An attacker "
        "who holds all of them, and is willing to accuse 1 in 100 outsiders wrongly, finds at most "
        f"{percent(share)} of those who took part. "
        f"{further}"
    )


def found_at_most(epsilon: float, delta: float, fpr: float) -> float:
    """Largest true-positive rate of any attack at a false-positive rate, from (epsilon, delta).

    Source: Kairouz, Oh and Viswanath 2015, Theorem 2.1.
    """
    if not math.isfinite(epsilon):
        return 1.0
    many = math.exp(min(epsilon, 700.0)) * fpr + delta
    few = 1.0 - math.exp(-epsilon) * (1.0 - delta - fpr)
    return min(1.0, many, few)


def lineage(statement: PrivacyStatement) -> str:
    """A warning where the table was made from rows that were synthetic; else empty."""
    times = statement.input_generation
    if times == 0:
        return ""
    often = "once" if times == 1 else f"{times} times"
    made = statement.lineage.synthetic_share
    if statement.lineage.made_from and made.lower < 1.0:
        return (
            f"Made in part from synthetic rows. About {made.value:.0%} of the rows it was learned "
            f"from ({made.lower:.0%} to {made.upper:.0%}) were not real: they had gone through a "
            f"generator {often} before. The guarantee below is about all those rows as if they "
            "were real, and the errors of each generation add up."
        )
    return (
        f"Made from synthetic rows. The rows it was learned from were not real: they had gone "
        f"through a generator {often} before. The guarantee below is about those rows, and the "
        "errors of each generation add up."
    )


def fixed(statement: PrivacyStatement, decision: Decision) -> str:
    """Whether the rules were there before the rows were looked at, in a sentence."""
    policy = f"The policy “{decision.policy_name}”"
    if statement.policy_hash is None:
        return f"Nothing shows that {policy[0].lower()}{policy[1:]} was fixed before the run."
    if statement.policy_hash != decision.policy_hash:
        return (
            f"{policy} is not the one that was fixed before the run; the fingerprint of that one "
            f"is {statement.policy_hash}."
        )
    where = "" if statement.ledger is None else " and booked in the ledger"
    return f"{policy} was fixed{where} before the first question was put to the private rows."


def signature(signed_by: str | None) -> str:
    """Who vouches for the bundle, in a sentence."""
    if signed_by is None:
        return (
            "Not signed: the fingerprints show a change only to somebody who has them from "
            "elsewhere, and nothing shows who made this."
        )
    return f"Signed with key {signed_by}."


def owner(about: About) -> list[tuple[str, str]]:
    """What the owner says of the release, by question; "Not stated." where nothing was said."""
    said = (
        ("Issued by", about.curator),
        ("Contact", about.contact),
        ("Made for", about.purpose),
        ("Meant for", about.recipients),
        ("Terms of use", about.licence),
        ("Made from", about.source),
        ("Why these parameters", about.reasons),
    )
    return [(question, answer or "Not stated.") for question, answer in said]


#: What the names of charges mean, for whoever reads how the budget was divided.
_PURPOSES = {
    "count": "how many rows there are",
    "lineage": "whether rows of earlier releases are among them",
    "forms": "how cells are written",
    "bounds": "the range of a number",
    "categories": "which categories occur",
    "values": "values that many rows share",
    "dependence": "which columns go together",
    "marginals": "how often each value occurs",
    "training": "the steps in which the model learns",
}


def purposes(groups: Iterable[str]) -> str:
    """What the shares of the budget were spent on, in a sentence; empty where nothing is known."""
    return sentence("; ".join(f"{name}: {_PURPOSES[name]}" for name in groups if name in _PURPOSES))


def group_shares(statement: PrivacyStatement) -> dict[str, float]:
    """Shares of the budget by purpose: the part of each event's label before the colon."""
    groups: dict[str, float] = {}
    for record in statement.events:
        name = record.label.partition(":")[0].strip()
        groups[name] = groups.get(name, 0.0) + record.share
    return groups
