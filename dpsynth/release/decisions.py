"""Decisions as files: the decision itself, and what it means for whoever opens the folder."""

import json
from pathlib import Path
from typing import Any

from dpsynth.errors import IntegrityError
from dpsynth.release.canonical import check_format, read_json
from dpsynth.release.gate import Decision
from dpsynth.release.manifest import QUARANTINE
from dpsynth.release.report.words import headline

FORMAT: str = Decision.model_fields["format"].default


def decision_json(decision: Decision) -> dict[str, Any]:
    """The content of `decision.json`."""
    shareable = decision.verdict == "allow"
    note = (
        f"{headline(decision)}. It lies in public/."
        if shareable
        else "Nothing in public/ may be shared. The synthetic table is kept in "
        f"{QUARANTINE}/ and must not leave the house."
    )
    return {**decision.model_dump(mode="json"), "shareable": shareable, "note": note}


def read_decision(path: Path) -> Decision:
    """A stored decision.

    Raises:
        IntegrityError: missing, no JSON, another format, not a decision, or one whose note or
            `shareable` says something else than its verdict.
    """
    data = read_json(path)
    check_format(data, known=FORMAT, name=path.name)
    fields = {key: value for key, value in data.items() if key not in ("shareable", "note")}
    try:
        decision = Decision.model_validate_json(json.dumps(fields))
    except ValueError as error:
        raise IntegrityError(
            f"{path.name}: not a decision this version reads ({first_fault(error)})"
        ) from error
    if decision_json(decision) != data:
        raise IntegrityError(
            f"{path.name}: 'shareable' or 'note' is not what verdict {decision.verdict!r} means; "
            "it was changed"
        )
    return decision


def first_fault(error: ValueError) -> str:
    """The first complaint of a pydantic error, with the place it is about."""
    return " ".join(str(error).split("\n")[1:3]) or str(error)
