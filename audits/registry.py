"""Which attacks there are: files in `audits/attacks/` and entry points of other packages.

An attack is a module (or any object) with

- `NAME`: text, how results call it: letters, digits and underscores;
- `KNOWLEDGE`: text, what the attacker holds;
- `score(targets, *, synthetic)`: float array (len(targets),), finite, higher meaning "more likely
  a member";
- `BLIND_SPOT` (may be left out): text, what it cannot see.

Another package adds one by an entry point of the group "audits.attacks".
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

import numpy as np

import audits.attacks
from audits.errors import AttackError, AuditInputError
from audits.records import Records

GROUP = "audits.attacks"


class Attack(Protocol):
    """What a file in `audits/attacks/` looks like from outside.

    Attributes:
        NAME: how results call it.
        KNOWLEDGE: what the attacker holds, in plain words.
    """

    NAME: str
    KNOWLEDGE: str

    def score(self, targets: Records, *, synthetic: Records) -> np.ndarray:
        """Finite scores (len(targets),), higher meaning "more likely a member"."""


def attacks() -> dict[str, Attack]:
    """All installed attacks by name, in the order of their names.

    Raises:
        AttackError: one lacks a part of the contract, or two share a name.
    """
    own = [
        importlib.import_module(f"{audits.attacks.__name__}.{module.name}")
        for module in pkgutil.iter_modules(audits.attacks.__path__)
    ]
    return collect([*own, *_load(entry_points(group=GROUP))])


def collect(found: Iterable[object]) -> dict[str, Attack]:
    """Check each attack's contract and put them in the order of their names.

    Raises:
        AttackError: one lacks a part of the contract, or two share a name.
    """
    checked: dict[str, Attack] = {}
    for attack in found:
        kept = _checked(attack)
        if kept.NAME in checked:
            raise AttackError(f"two attacks are named {kept.NAME!r}; rename one of them")
        checked[kept.NAME] = kept
    return dict(sorted(checked.items()))


def choose(names: Iterable[str] | None) -> dict[str, Attack]:
    """The attacks of these names, or all of them for None.

    Raises:
        AuditInputError: a name that is not installed.
    """
    installed = attacks()
    if names is None:
        return installed
    wanted = list(names)
    for name in wanted:
        if name not in installed:
            raise AuditInputError(
                f"no attack {name!r} is installed; installed are {', '.join(installed)}"
            )
    return {name: attack for name, attack in installed.items() if name in wanted}


def _load(points: Iterable[EntryPoint]) -> list[object]:
    return [point.load() for point in points]


def _checked(attack: Any) -> Attack:
    origin = getattr(attack, "__name__", repr(attack))
    for part in ("NAME", "KNOWLEDGE"):
        if not isinstance(getattr(attack, part, None), str):
            raise AttackError(f"attack {origin}: {part} is missing or not text; define it")
    if not callable(getattr(attack, "score", None)):
        raise AttackError(f"attack {origin}: it has no function score(targets, *, synthetic)")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", attack.NAME):
        raise AttackError(
            f"attack {origin}: NAME {attack.NAME!r} must be small letters, digits and underscores"
        )
    checked: Attack = attack
    return checked
