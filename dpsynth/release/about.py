"""What only the owner knows of a release: who issues it, what for, from which data.

A TOML file of plain texts, all optional; what is left out is shown as not stated, never guessed:

    title = "Doctor visits 2025, synthetic"
    curator = "Institute of Health, Ulm"
    contact = "data-protection@institute.example"
    purpose = "Teaching and software tests"
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from dpsynth.release.toml_file import build, check_printable, parse_toml, read_toml_text

Line = Annotated[str, StringConstraints(max_length=200)]
Text = Annotated[str, StringConstraints(max_length=2000)]


class About(BaseModel):
    """Facts of a release that no program can find out; public.

    Attributes:
        title: heading of report and card, at most 200 characters.
        curator: who issues the table and answers for it; at most 2,000 characters, like the rest.
        contact: where questions go.
        purpose: what it was made for.
        recipients: who may get it.
        licence: terms of use (an SPDX name or a URL).
        source: which data it was made from, and how they were collected.
        reasons: why these parameters were chosen (epsilon, delta, privacy unit).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_strip_whitespace=True)

    title: Line = "Synthetic table"
    curator: Text = ""
    contact: Text = ""
    purpose: Text = ""
    recipients: Text = ""
    licence: Text = ""
    source: Text = ""
    reasons: Text = ""

    @model_validator(mode="after")
    def _can_be_printed(self) -> Self:
        if not self.title:
            raise ValueError("title is empty; give one, or leave the line out")
        for name in type(self).model_fields:
            check_printable(name, getattr(self, name))
        return self


def load_about(path: str | Path) -> About:
    """Read such a file.

    Raises:
        InputError: missing or unreadable file, broken TOML (with the line), unknown key (with the
            nearest one), a value that is no text, is too long or cannot be printed.
    """
    data = parse_toml(read_toml_text(path, what="about"), source=str(path))
    return build(data, About, source=str(path))
