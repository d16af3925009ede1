"""Markdown in which no text of a table, a policy or an owner can do anything but be read.

Every value that a template prints is escaped, without being asked to; a filter that makes marks on
purpose says so by returning `Marks`.
"""

import re
import unicodedata

from jinja2 import Environment

from dpsynth.release.report.templating import environment

_MARKS = re.compile(r"([\\`*_{}\[\]<>|~#&!$])")
_AT_START = re.compile(r"^([-+=]|\d+(?=[.)](?:\s|$)))")
_PLAIN_CODE = re.compile(r"[A-Za-z0-9._/:+-]+")


class Marks(str):
    """Markdown made on purpose: printed as it is."""


def markdown_environment(package: str) -> Environment:
    """An environment for a package's Markdown templates."""
    made = environment(package, html=False).overlay(finalize=escaped)
    made.filters = made.filters | {"code": code, "marks": Marks}
    return made


def escaped(value: object) -> str:
    """A value as one line of text that starts no list, table, link, tag, formula or heading."""
    if isinstance(value, Marks):
        return value
    # Control characters go, and those that turn the direction of writing.
    kept = (" " if c.isspace() else c for c in str(value))
    plain = "".join(c for c in kept if c == " " or unicodedata.category(c) not in ("Cc", "Cf"))
    text = _MARKS.sub(r"\\\1", " ".join(plain.split()))
    text = _AT_START.sub(_behind_a_backslash, text)
    # Some readers make a link of whatever looks like an address.
    return text.replace("://", "\\://").replace("www.", "www\\.")


def code(value: object) -> str:
    """A name or a hash in code marks; a text that is neither stays a text."""
    text = str(value)
    return Marks(f"`{text}`") if _PLAIN_CODE.fullmatch(text) else escaped(value)


def _behind_a_backslash(match: re.Match[str]) -> str:
    """`-` becomes `\\-`; of `12.` the mark that makes a list is the point behind the digits."""
    found = match[1]
    return f"{found}\\" if found.isdigit() else f"\\{found}"
