"""Answers that follow from the decision, as far as the edition shows it: rules, waivers, seal."""

from collections.abc import Sequence

from dpsynth.release.documents.frameworks.question import Reply
from dpsynth.release.gate import RuleOutcome
from dpsynth.release.report import words
from dpsynth.release.report.data import ReportData
from dpsynth.release.waivers import Waiver

_BADGES = {"allow": "kept", "refuse": "broken", "inconclusive": "undecided"}
_LENIENT = (
    "no leak was found by the following, but the policy also lets an attack pass that could see "
    "nothing, and it is not shown here whether they could"
)
_BLIND = "the attack could see nothing, which the policy lets pass"
_HIDDEN = (
    "Open: the policy lets this edition show the verdict alone. The outcome of each rule is in "
    "internal/decision.json; ask the issuer."
)
_PUBLISH = {
    "overall": "This edition shows the overall verdict alone.",
    "verdict": "This edition shows for each rule whether it was kept, and no figure.",
    "coarse": "This edition shows figures rounded outwards to coarse steps.",
}


def singling_out(data: ReportData) -> Reply:
    """Can one person be picked out?"""
    copying = ("closest_record", "near_copies", "copies", "nearest_neighbours")
    return _criterion(data, ("singling_out", *copying))


def linkability(data: ReportData) -> Reply:
    """Can two records of one person be joined?"""
    return _criterion(data, ("linkability",))


def inference(data: ReportData) -> Reply:
    """Can a value be told of one person beyond what is true of people in general?"""
    return _criterion(data, ("attribute_inference",))


def membership(data: ReportData) -> Reply:
    """Can it be told whether somebody took part?"""
    groups = ("membership", "membership_reference", "membership_black_box")
    attacks = ("local_density", "density_ratio", "classifier", "lira", "shadow")
    return _criterion(data, (*groups, *attacks, "claim", "vulnerable_records"))


def _criterion(data: ReportData, names: Sequence[str]) -> Reply:
    """Outcomes of the rules on some findings and on what belongs to them."""
    rules = [rule for rule in data.decision.rules if _subject(rule) in names]
    if rules:
        return _outcomes(rules)
    if _evidence_hidden(data):
        return Reply(_HIDDEN, "open")
    return Reply(
        f"Open: the policy {data.decision.policy_name!r} has no rule on this. The bound by epsilon "
        "holds all the same.",
        "open",
    )


def _subject(rule: RuleOutcome) -> str:
    """What a rule is about: "finding linkability", "figure linkability.risk (upper)", "group x"."""
    kind, _, rest = rule.rule.partition(" ")
    name = rest.partition(" ")[0].partition(".")[0]
    return name if kind in ("finding", "group", "figure") else ""


def _outcomes(rules: Sequence[RuleOutcome]) -> Reply:
    """Several rules; one line for each that was not kept, one list for all that were.

    Open where a rule was not decided, or where no rule is shown to have been able to see.
    """
    kept = [rule for rule in rules if rule.verdict == "allow"]
    blind = [rule for rule in kept if _saw(rule) is False]
    unsure = [rule for rule in kept if _saw(rule) is None and _blindness_passes(rule)]
    clear = [rule for rule in kept if rule not in blind and rule not in unsure]
    parts = [
        *(_outcome(rule) for rule in rules if rule.verdict != "allow"),
        _together("Kept", clear),
        _together(f"Kept, but {_BLIND}", blind),
        _together(_LENIENT, unsure),
    ]
    measured = any(_subject(rule) and rule not in blind and rule not in unsure for rule in rules)
    decided = all(rule.verdict != "inconclusive" for rule in rules)
    return Reply("\n".join(filter(None, parts)), "answered" if measured and decided else "open")


def _together(what: str, rules: Sequence[RuleOutcome]) -> str:
    return words.sentence(f"{what}: {', '.join(rule.rule for rule in rules)}") if rules else ""


def _outcome(rule: RuleOutcome) -> str:
    """One rule that was not kept, in a sentence or two: why, and who set it aside."""
    text = f"{_BADGES[rule.verdict]}: {rule.rule}"
    if rule.reason:
        text += f" ({rule.reason.rstrip('.')})"
    if rule.waiver is not None:
        text += f"; set aside by {rule.waiver.name} on {rule.waiver.date}"
    return words.sentence(text)


def _blindness_passes(rule: RuleOutcome) -> bool:
    """The policy counts a finding without power as kept."""
    return isinstance(rule.limit, dict) and rule.limit.get("inconclusive") == "allow"


def _saw(rule: RuleOutcome) -> bool | None:
    """Whether some attack of the rule would have noticed a leak; None where it is not shown."""
    found = rule.found
    verdicts = list(found.values()) if isinstance(found, dict) else [found]
    if not {"none", "leak", "inconclusive"}.issuperset(map(str, verdicts)):
        return None
    return "none" in verdicts or "leak" in verdicts


def _evidence_hidden(data: ReportData) -> bool:
    return data.decision.edition == "public" and data.decision.publish == "overall"


def attacks(data: ReportData) -> Reply:
    """What was tried against the table, and how it ended."""
    rules = [rule for rule in data.decision.rules if rule.private]
    if not rules:
        none = f"Open: the policy {data.decision.policy_name!r} asks for no audit."
        return Reply(_HIDDEN if _evidence_hidden(data) else none, "open")
    return _outcomes(rules)


def utility(data: ReportData) -> Reply:
    """How good the table is, and for whom it is worse."""
    known = "The noise is the same for all, so small groups carry the largest errors."
    if data.audit is None:
        return Reply(
            f"{known} Open: how far it is from the real rows was measured on them, so the figures "
            "are kept in internal/report.html; ask the issuer.",
            "open",
        )
    names = ", ".join(item.name for item in data.audit.findings if item.family == "fidelity")
    measured = f"Measured on real rows: {names}." if names else "Open: nothing was measured."
    return Reply(f"{known} {measured}", "answered" if names else "open")


def audit_leakage(data: ReportData) -> Reply:
    """What the audit itself tells about real rows."""
    shown = (
        "This edition shows every figure and must not leave the house."
        if data.edition == "internal"
        else _PUBLISH[data.decision.publish]
    )
    return Reply(
        "Outcomes of the audit were computed on real rows, and epsilon does not cover them. "
        + shown
    )


def policy(data: ReportData) -> Reply:
    """Which rules were applied, and whether they were fixed beforehand."""
    fixed, applied = data.statement.policy_hash, data.decision.policy_hash
    name = f"Policy {data.decision.policy_name!r}, SHA-256 {applied}."
    if fixed is None:
        return Reply(f"{name} Open: nothing shows that it was fixed before the run.", "open")
    if fixed != applied:
        return Reply(f"{name} Open: the policy fixed before the run was another, {fixed}.", "open")
    if data.statement.ledger is None:
        return Reply(
            f"{name} It was fixed before the run by the statement's word; no ledger shows it."
        )
    return Reply(
        f"{name} It was booked in the ledger before the first question was put to the private rows."
    )


def verdict(data: ReportData) -> Reply:
    """What the rules came to."""
    decision = data.decision
    stopped = [
        rule.rule for rule in decision.rules if rule.verdict != "allow" and rule.waiver is None
    ]
    by = f" Not kept: {', '.join(stopped)}." if stopped else ""
    return Reply(
        f"The verdict by these rules is {decision.verdict!r}.{by} It is what a program found; the "
        "judgement is the expert's."
    )


def waivers(data: ReportData) -> Reply:
    """Which rules somebody set aside, and which waivers set nothing aside."""
    decision = data.decision
    used = [(rule.rule, rule.waiver) for rule in decision.rules if rule.waiver is not None]
    idle = [(unused.waiver.rule, unused.waiver) for unused in decision.unused_waivers]
    text = words.sentence(f"Rules that were set aside: {_listed(used) or 'none'}")
    if idle:
        text += " " + words.sentence(f"Waivers that set nothing aside: {_listed(idle)}")
    return Reply(text)


def _listed(found: Sequence[tuple[str, Waiver]]) -> str:
    return "; ".join(
        f"{rule!r} by {waiver.name} on {waiver.date}, as: {waiver.reason}" for rule, waiver in found
    )


def threshold(data: ReportData) -> Reply:
    """The limits on epsilon, delta and what they bound."""
    limits = [
        f"Rule {rule.rule!r}: at most {words.number(rule.limit)}, {_BADGES[rule.verdict]}."
        for rule in data.decision.rules
        if rule.rule.startswith("max_") and isinstance(rule.limit, int | float)
    ]
    fixed = policy(data)
    listed = " ".join(limits) or "The policy sets no limit on epsilon."
    return Reply(f"{listed} {fixed.text}", fixed.status)


def signature(data: ReportData) -> Reply:
    """Who vouches for the files."""
    if data.signed_by is None:
        asked = " The policy demands a signature." if data.decision.signature_required else ""
        return Reply(words.signature(None) + asked, "open")
    return Reply(
        f"Signed with the Ed25519 key {data.signed_by}. That the key is the issuer's must be known "
        "from elsewhere."
    )


def record(data: ReportData) -> Reply:
    """How the methods and results are documented, and how to check them."""
    return Reply(
        "Statement, decision and this certificate are files of the bundle, pinned by SHA-256 in "
        "the manifest, which also pins the evidence in internal/. `dpsynth verify` works them "
        f"out again, the decision only where internal/ is at hand. {signature(data).text}"
    )


def very_small(data: ReportData) -> Reply:
    """Whether the risk is small enough: for the expert, with the bound at hand."""
    from_claim = words.one_person(data.statement)
    return Reply(f"Open: whether this is very small is for the expert to say. {from_claim}", "open")
