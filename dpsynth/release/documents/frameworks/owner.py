"""Answers that only the owner of a release can give: taken as stated, never guessed."""

from dpsynth.release.documents.frameworks.question import Reply, owner_must
from dpsynth.release.report.data import ReportData
from dpsynth.release.report.words import ENDS, sentence

_AUDIENCES = {
    "public": "anybody",
    "internal": "colleagues and named recipients",
    "development": "developers and testers",
}


def curator(data: ReportData) -> Reply:
    """Who issues the release."""
    return _stated(data.about.curator, "who issues the table and answers for it")


def contact(data: ReportData) -> Reply:
    """Where questions go."""
    return _stated(data.about.contact, "where questions go")


def purpose(data: ReportData) -> Reply:
    """What the table is for."""
    return _stated(data.about.purpose, "what the table is for")


def reasons(data: ReportData) -> Reply:
    """Why these parameters; the policy's own reasons stand beside the owner's."""
    limits = [
        f"{rule.rule}: {sentence(rule.why)}"
        for rule in data.decision.rules
        if rule.rule.startswith("max_") and rule.why
    ]
    policy = f" The policy gives as reasons: {' '.join(limits)}" if limits else ""
    if data.about.reasons:
        return Reply(f"{_said(data.about.reasons)}{policy}")
    gap = owner_must("why epsilon, delta and the privacy unit were chosen so")
    return Reply(gap.text + policy, gap.status)


def recipients(data: ReportData) -> Reply:
    """Who may get the table: by the policy, and by the owner's word."""
    allowed = f"The policy is written for {_AUDIENCES[data.decision.audience]}."
    if data.decision.verdict != "allow":
        allowed = f"Nobody may get the table: the verdict is {data.decision.verdict!r}. {allowed}"
    if data.about.recipients:
        return Reply(f"{allowed} {_said(data.about.recipients)}")
    gap = owner_must("who will receive the table")
    return Reply(f"{gap.text} {allowed}", gap.status)


def collection(data: ReportData) -> Reply:
    """How the private table came to be, and who can reach it; no program sees that."""
    gap = "how the private table was collected, where it lies and who can read it"
    if not data.about.source:
        return owner_must(gap)
    return Reply(
        f"{_said(data.about.source)} Open: the owner must state where the "
        "private table lies and who can read it.",
        "open",
    )


def side_channels(data: ReportData) -> Reply:
    """Who could watch the run."""
    return Reply(
        "Open: the owner must state who could watch the run. How long it took, how much memory it "
        "used and whether it failed are not covered by epsilon; they show to whoever shares the "
        "machine, and are not part of what is released.",
        "open",
    )


def original_kept(data: ReportData) -> Reply:
    """Whether the private table still exists, and what stays with it."""
    return Reply(
        "Open: the owner must state what becomes of the private table. While it is kept, it stays "
        "personal data, and so does internal/, which holds figures measured on real rows.",
        "open",
    )


def review(data: ReportData) -> Reply:
    """When the judgement is looked at again."""
    return Reply(
        "Open: the owner must state when the judgement is looked at again. The bound by epsilon "
        "does not age, as it holds against any knowledge; the audits show today's attacks, and "
        "every further release adds to what was spent.",
        "open",
    )


def expert(data: ReportData) -> Reply:
    """Who determines the risk."""
    return Reply(
        "Open: the owner must name the expert, with knowledge and experience. No program is one.",
        "open",
    )


def _stated(text: str, what: str) -> Reply:
    return Reply(_said(text)) if text else owner_must(what)


def _said(text: str) -> str:
    """The owner's words as they are: no capital where there was none, as in an address."""
    return f"The owner states: {text}{'' if text.endswith(ENDS) else '.'}"
