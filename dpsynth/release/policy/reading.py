"""Policies from TOML: files of the house, and those that ship with the package.

Every limit may be a bare value (`max_epsilon = 3`) or a table that also says why and where the
number comes from:

    [max_epsilon]
    limit = 3
    reason = "..."
    source = "..."

`[[figure]]` limits one audit figure, `[[finding]]` requires one audit finding, `[[group]]` requires
that one of several tests would have noticed. Measuring first and choosing the limit afterwards is
not a test, so `policy_hash` pins the content of the file, and the ledger books that hash before the
first question is put to the rows.
"""

import difflib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from dpsynth.errors import InputError
from dpsynth.release.policy.model import FORMAT, Policy
from dpsynth.release.toml_file import build, parse_toml, read_toml_text

#: The shipped policy that applies where none is given.
DEFAULT = "internal"


def load_policy(path: str | Path) -> Policy:
    """Read a policy from a TOML file.

    Raises:
        InputError: missing or unreadable file, broken TOML (with the line), unknown key (with the
            nearest one), wrong type, another format, or limits that contradict each other.
    """
    return parse_policy(read_toml_text(path, what="policy"), source=str(path))


def parse_policy(text: str, *, source: str = "policy") -> Policy:
    """Read a policy from TOML text; `source` names it in messages.

    Raises:
        InputError: as `load_policy`.
    """
    data = parse_toml(text, source=source)
    _check_format(data.get("format", FORMAT), source)
    return build(data, Policy, source=source)


def policy_text_of(name_or_path: str | Path | None = None) -> tuple[str, str]:
    """The TOML text of a policy and what to call it in messages.

    Args:
        name_or_path: name of a shipped policy ("public", "internal", "development"), or the path of
            a TOML file; None takes the shipped default. A file of that name in the working folder
            is meant by "./public" or by a `Path`.

    Raises:
        InputError: no such policy (with the nearest name), or a file that cannot be read.
    """
    wanted = DEFAULT if name_or_path is None else str(name_or_path)
    shipped = shipped_policies()
    named = not isinstance(name_or_path, Path)
    if named and wanted in shipped:
        return _shipped_text(wanted), f"policy {wanted!r}"
    path = Path(wanted)
    # A bare word that is no file was meant as the name of a shipped policy.
    if named and not path.exists() and path.name == wanted and not path.suffix:
        near = difflib.get_close_matches(wanted, shipped, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(shipped)};"
        raise InputError(
            f"policy {wanted!r} is neither shipped nor a file; {hint} Or give the path of a TOML "
            "file"
        )
    return read_toml_text(path, what="policy"), str(path)


def default_policy_text() -> str:
    """The TOML text of the policy that applies when none is given, comments and all."""
    return _shipped_text(DEFAULT)


def shipped_policies() -> tuple[str, ...]:
    """Names of the policies that ship with the package, sorted."""
    names = (entry.name for entry in _folder().iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def _folder() -> Traversable:
    return resources.files("dpsynth.release") / "policies"


def _shipped_text(name: str) -> str:
    return _folder().joinpath(f"{name}.toml").read_text(encoding="utf-8")


def _check_format(found: Any, source: str) -> None:
    """Only this version's format is read: a rule that is not understood must not be skipped."""
    if found == FORMAT:
        return
    title, _, number = FORMAT.rpartition("/")
    version = found.removeprefix(f"{title}/") if isinstance(found, str) else ""
    if version == "1":
        raise InputError(
            f"{source}: format {found!r} is an older one; all its rules are rules of {FORMAT!r} "
            f'as well, so change the line to format = "{FORMAT}" and look whether the new rules '
            "(docs/policy.md) suit you"
        )
    if version.isdecimal() and len(version) < 10 and int(version) > int(number):
        raise InputError(
            f"{source}: format {found!r} was made for a newer version of dpsynth; install that, "
            f"this version reads {FORMAT!r}"
        )
    raise InputError(f"{source}: format is {str(found)[:60]!r}; this version reads {FORMAT!r}")
