"""Which generators are installed: one file each in this folder, or an entry point.

A third party adds one by a package whose entry point in the group `dpsynth.generators` names a
module with `NAME`, `SUMMARY`, `build`, `per_example_loss` and `sample`.
"""

import difflib
import importlib
import pkgutil
from importlib import metadata
from typing import TYPE_CHECKING, cast

import dpsynth.generators as package
from dpsynth.errors import InputError

if TYPE_CHECKING:  # it imports torch, which `plan` does without
    from dpsynth.generators.base import Generator

ENTRY_POINTS = "dpsynth.generators"
_NOT_GENERATORS = {"base", "choice", "registry"}
_MEMBERS = ("NAME", "SUMMARY", "build", "per_example_loss", "sample")


def names() -> tuple[str, ...]:
    """Names of the installed generators, sorted; imports none of them."""
    own = {m.name for m in pkgutil.iter_modules(package.__path__)} - _NOT_GENERATORS
    others = {entry.name for entry in metadata.entry_points(group=ENTRY_POINTS)}
    return tuple(sorted(own | others))


def check(name: str) -> None:
    """Refuse a generator that is not installed; imports none of them.

    Raises:
        InputError: there is no generator called `name`.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"unknown generator {name!r}; installed: {', '.join(names())}{hint}")


def load(name: str) -> "Generator":
    """The generator called `name`.

    Raises:
        InputError: there is none, or its module lacks a member of the interface.
    """
    check(name)
    own = {m.name for m in pkgutil.iter_modules(package.__path__)} - _NOT_GENERATORS
    if name in own:
        module = importlib.import_module(f"{package.__name__}.{name}")
    else:
        (entry,) = metadata.entry_points(group=ENTRY_POINTS, name=name)
        module = entry.load()
    lacking = [member for member in _MEMBERS if not hasattr(module, member)]
    if lacking:
        raise InputError(f"generator {name!r} lacks {', '.join(lacking)}; see docs/extending.md")
    return cast("Generator", module)
