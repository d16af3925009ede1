"""A bundle made by another version of dpsynth: its figures are worked out again, its words are not.

Wording changes from version to version. What a sentence says beside the figures is compared only by
the version that wrote it. A signature covers the sentence in every version; without one, whoever
claims another version in the statement can write what he likes there, and the check says so.
"""

import importlib.metadata

from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.gate import Decision

PACKAGE = "dpsynth"


def other_version(statement: PrivacyStatement | None) -> str | None:
    """The version that made a bundle, where it is not the one that runs."""
    if statement is None:
        return None
    made = statement.versions.get(PACKAGE, "unknown")
    return None if made == importlib.metadata.version(PACKAGE) else made


def not_compared(name: str, made: str, *, signed: bool) -> str:
    """What is said of words that were not compared."""
    cover = "the signature covers them" if signed else "no signature covers them, so trust none"
    return (
        f"{name}: made by {PACKAGE} {made}; its words are compared by that version alone, and "
        f"{cover}"
    )


def without_words(decision: Decision) -> Decision:
    """Verdicts, values and limits of a decision, without the sentences beside them."""
    blank = {"reason": "", "why": "", "source": ""}
    rules = tuple(rule.model_copy(update=blank) for rule in decision.rules)
    return decision.model_copy(update={"rules": rules})
