"""Waivers: a person who answers for it sets one rule of the policy aside, by name, with a reason.

A waiver file is TOML:

    [[waiver]]
    rule = "finding singling_out"
    name = "Erika Muster, data protection officer"
    reason = "..."
    date = "2026-11-21"

A waiver never changes what a rule came to: the outcome stays as it is, and the waiver is shown
beside it, in both editions of the report.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dpsynth.errors import InputError
from dpsynth.release.policy import NOT_WAIVABLE, Policy, rule_names
from dpsynth.release.toml_file import build, check_printable, nearest, parse_toml, read_toml_text

DATE = r"^\d{4}-\d{2}-\d{2}$"


class Waiver(BaseModel):
    """One rule set aside.

    Attributes:
        rule: as the decision names it, such as "figure closest_record.auroc".
        name: of the person who answers for it.
        reason: why.
        date: when it was decided, ISO 8601 (YYYY-MM-DD).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_strip_whitespace=True)

    rule: str = Field(min_length=1, max_length=200)
    name: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=2000)
    date: str = Field(json_schema_extra={"pattern": DATE})

    @model_validator(mode="after")
    def _can_be_shown(self) -> Self:
        for field in ("rule", "name", "reason"):
            check_printable(f"waiver: {field}", getattr(self, field))
        # `fromisoformat` alone takes week dates and dates without dashes as well.
        try:
            known = re.fullmatch(DATE, self.date) and date.fromisoformat(self.date)
        except ValueError:
            known = None
        if not known:
            raise ValueError(f"date {self.date[:40]!r} is not YYYY-MM-DD, such as 2026-11-21")
        return self


class WaiverFile(BaseModel):
    """Content of a waiver file: one `[[waiver]]` table for each rule that is set aside."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    waiver: tuple[Waiver, ...] = Field(min_length=1)


def load_waivers(path: str | Path) -> tuple[Waiver, ...]:
    """Read a waiver file.

    Whether the rules exist and may be waived is for `check_waivers`, with the policy at hand.

    Raises:
        InputError: missing or unreadable file, broken TOML (with the line), unknown key (with the
            nearest one), a name, reason or date that is missing, empty or no date.
    """
    data = parse_toml(read_toml_text(path, what="waivers"), source=str(path))
    return build(_dates_as_text(data), WaiverFile, source=str(path)).waiver


def check_waivers(waivers: Sequence[Waiver], policy: Policy) -> None:
    """Hold waivers against a policy, before the run as well as in the gate.

    Raises:
        InputError: the policy lets nothing be waived; a rule that it does not have (with the
            nearest one), that nobody may set aside, or that two waivers name.
    """
    if not waivers:
        return
    if policy.waivers == "none":
        raise InputError(
            f"policy {policy.name!r} lets nobody set a rule aside, but rule {waivers[0].rule!r} is "
            "waived; take the waivers out, or run under a policy that says waivers = "
            '"inconclusive" or "any"'
        )
    known = rule_names(policy)
    counts = Counter(waiver.rule for waiver in waivers)
    for waiver in waivers:
        if waiver.rule in NOT_WAIVABLE:
            raise InputError(
                f"waiver of rule {waiver.rule!r} by {waiver.name}: nobody can set this rule aside, "
                "as the others rest on it; take the waiver out"
            )
        if waiver.rule not in known:
            raise InputError(
                f"waiver of rule {waiver.rule!r} by {waiver.name}: policy {policy.name!r} has no "
                f"such rule; {nearest(waiver.rule, set(known) - NOT_WAIVABLE)}"
            )
        if counts[waiver.rule] > 1:
            raise InputError(
                f"rule {waiver.rule!r} is waived {counts[waiver.rule]} times; keep one waiver of it"
            )


def check_dates(waivers: Sequence[Waiver], created: str) -> None:
    """Refuse waivers from the future.

    Args:
        waivers: of one release.
        created: when its bundle was made, ISO 8601. A waiver may bear the day after, which it may
            already be where the person sits.

    Raises:
        InputError: a waiver dated later, or `created` is no time.
    """
    try:
        day = datetime.fromisoformat(created).date()
    except ValueError as error:
        raise InputError(
            f"the bundle was made at {created[:40]!r}, which is no ISO 8601 time; waivers cannot "
            "be held against it"
        ) from error
    for waiver in waivers:
        if date.fromisoformat(waiver.date) - day > timedelta(days=1):
            raise InputError(
                f"waiver of rule {waiver.rule!r} by {waiver.name} is dated {waiver.date}, after "
                f"the bundle was made ({created}); give the day on which it was decided"
            )


def _dates_as_text(data: dict[str, Any]) -> dict[str, Any]:
    """A date without quotes, which TOML knows as a kind of its own, means the same text."""
    waivers = data.get("waiver")
    if not isinstance(waivers, list):
        return data
    return data | {"waiver": [_date_as_text(one) for one in waivers]}


def _date_as_text(waiver: Any) -> Any:
    found = waiver.get("date") if isinstance(waiver, dict) else None
    if not isinstance(found, date) or isinstance(found, datetime):
        return waiver
    return {**waiver, "date": found.isoformat()}
