"""A bundle made by another version of dpsynth: its figures are worked out again, its words are not.

Wording changes from version to version. What a sentence says beside the figures is compared only by
the version that wrote it; in every version hashes and signature cover the sentence.
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


def not_compared(name: str, made: str) -> str:
    """What is said of words that were not compared."""
    return (
        f"{name}: made by {PACKAGE} {made}; its words are compared by that version alone, hashes "
        "and signature cover them"
    )


def without_words(decision: Decision) -> Decision:
    """Verdicts, values and limits of a decision, without the sentences beside them."""
    blank = {"reason": "", "why": "", "source": ""}
    rules = tuple(rule.model_copy(update=blank) for rule in decision.rules)
    return decision.model_copy(update={"rules": rules})
