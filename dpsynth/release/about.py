"""What only the owner knows of a release: who issues it, what for, from which data.

A TOML file of plain texts, all optional; what is left out is shown as not stated, never guessed:

    title = "Doctor visits 2025, synthetic"
    curator = "Institute of Health, Ulm"
    contact = "data-protection@institute.example"
    purpose = "Teaching and software tests"
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class About(BaseModel):
    """Facts of a release that no program can find out; public.

    Attributes:
        title: heading of report and card.
        curator: who issues the table and answers for it.
        contact: where questions go.
        purpose: what it was made for.
        recipients: who may get it.
        licence: terms of use (an SPDX name or a URL).
        source: which data it was made from, and how they were collected.
        reasons: why these parameters were chosen (epsilon, delta, privacy unit).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_strip_whitespace=True)

    title: str = "Synthetic table"
    curator: str = ""
    contact: str = ""
    purpose: str = ""
    recipients: str = ""
    licence: str = ""
    source: str = ""
    reasons: str = ""


def load_about(path: str | Path) -> About:
    """Read such a file."""
    raise NotImplementedError(path)
