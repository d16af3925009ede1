"""A question of a framework, and how its answer is found in a release."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from dpsynth.release.report.data import ReportData

Status = Literal["answered", "open", "not applicable"]
Framework = Literal[
    "NIST SP 800-226",
    "WP29 Opinion 05/2014",
    "HIPAA expert determination",
    "DP deployments registry, tier 3",
]


@dataclass(frozen=True)
class Reply:
    """What a release says to a question; "open" where only a person can answer."""

    text: str
    status: Status = "answered"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question.

    Attributes:
        field: a short name, one of its kind in the framework.
        asks: the question in our words.
        where: what bears the answer out: files of a bundle, each with its fields, as
            "public/privacy.json: delta, epsilon; public/card.md".
        reply: the answer, a pure function of what an edition may know.
    """

    field: str
    asks: str
    where: str
    reply: Callable[[ReportData], Reply]


class Answer(BaseModel):
    """One question of a framework with its answer.

    Attributes:
        framework, field, question, where: as in `Question`.
        answer: in plain words; a line break separates lists of rules.
        status: "answered", "open" (a person must state or judge it), or "not applicable".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    framework: Framework
    field: str
    question: str
    answer: str
    status: Status
    where: str


def owner_must(state: str) -> Reply:
    """Only the owner knows, and did not say."""
    return Reply(f"Open: the owner must state {state}.", "open")
