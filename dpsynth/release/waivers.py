"""Waivers: a person who answers for it sets one rule of the policy aside, by name, with a reason.

A waiver file is TOML:

    [[waiver]]
    rule = "finding singling_out"
    name = "Erika Muster, data protection officer"
    reason = "..."
    date = "2026-11-21"
"""

from datetime import date
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Waiver(BaseModel):
    """One rule set aside.

    Attributes:
        rule: as the decision names it, such as "figure closest_record.auroc".
        name: of the person who answers for it.
        reason: why.
        date: when it was decided, ISO 8601 (YYYY-MM-DD).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_strip_whitespace=True)

    rule: str = Field(min_length=1)
    name: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    date: str

    @model_validator(mode="after")
    def _is_a_date(self) -> Self:
        try:
            date.fromisoformat(self.date)
        except ValueError as error:
            raise ValueError(f"date {self.date!r} is not YYYY-MM-DD, such as 2026-11-21") from error
        return self


def load_waivers(path: str | Path) -> tuple[Waiver, ...]:
    """Read a waiver file."""
    raise NotImplementedError(path)
