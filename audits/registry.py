"""Which attacks there are: files in `audits/attacks/` and entry points of other packages.

Every attack is a module (or any object) with `NAME` (letters, digits, underscores: how results call
it), `KNOWLEDGE` (what the attacker holds, in plain words) and, if it likes, `BLIND_SPOT`. Beyond
that it is one of two kinds:

- a membership attack has `score(targets, *, synthetic, ...)`: float array (len(targets),), finite,
  higher meaning "more likely a member". What else the attacker holds stands in the signature, as
  keyword-only parameters out of `OPTIONAL`;
- a disclosure attack has `CRITERION` (one of `CRITERIA`) and `attempt(tables, *, rng)`, giving the
  successes against training rows, against the holdout, and of guessing.

Another package adds one by an entry point of the group "audits.attacks".
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import numpy as np

import audits.attacks
from audits.errors import AttackError, AuditInputError
from audits.records import Encoded, Records

if TYPE_CHECKING:
    from audits.disclosure.attempts import Attempts

GROUP = "audits.attacks"
CRITERIA = ("singling_out", "linkability", "inference")
OPTIONAL = {
    "reference": "rows of the same source that are in neither arm",
    "refit": "the generator as a black box: rows in, synthetic rows out",
    "rng": "a seeded random generator",
}


class MembershipAttack(Protocol):
    """An attack that scores rows.

    Attributes:
        NAME: how results call it.
        KNOWLEDGE: what the attacker holds, in plain words.
    """

    NAME: str
    KNOWLEDGE: str

    def score(self, targets: Records, *, synthetic: Records) -> np.ndarray:
        """Finite scores (len(targets),), higher meaning "more likely a member"."""


class DisclosureAttack(Protocol):
    """An attack that tries something and succeeds or not.

    Attributes:
        NAME: how results call it.
        KNOWLEDGE: what the attacker holds, in plain words.
        CRITERION: which of the three tests of WP29 Opinion 05/2014 it is.
    """

    NAME: str
    KNOWLEDGE: str
    CRITERION: str

    def attempt(self, tables: Encoded, *, rng: np.random.Generator) -> Attempts:
        """Successes against train, against the holdout, and of guessing."""


Attack = MembershipAttack | DisclosureAttack


def is_membership(attack: Attack) -> TypeGuard[MembershipAttack]:
    """Whether the attack scores rows."""
    return hasattr(attack, "score")


def is_disclosure(attack: Attack) -> TypeGuard[DisclosureAttack]:
    """Whether the attack tries something and succeeds or not."""
    return not is_membership(attack)


def holds(attack: MembershipAttack) -> frozenset[str]:
    """Names out of `OPTIONAL` that the attack's signature asks for."""
    return frozenset(_keywords(attack.score)) - {"synthetic"}


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


def _keywords(function: Any) -> list[str]:
    found = inspect.signature(function).parameters.values()
    return [item.name for item in found if item.kind is inspect.Parameter.KEYWORD_ONLY]


def _checked(attack: Any) -> Attack:
    origin = getattr(attack, "__name__", repr(attack))
    for part in ("NAME", "KNOWLEDGE"):
        if not isinstance(getattr(attack, part, None), str):
            raise AttackError(f"attack {origin}: {part} is missing or not text; define it")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", attack.NAME):
        raise AttackError(
            f"attack {origin}: NAME {attack.NAME!r} must be small letters, digits and underscores"
        )
    scores, attempts = (callable(getattr(attack, part, None)) for part in ("score", "attempt"))
    if scores == attempts:
        raise AttackError(
            f"attack {origin}: it must have either score(targets, *, synthetic, ...) or "
            f"attempt(tables, *, rng)"
        )
    if scores:
        _check_score(attack, origin)
    elif getattr(attack, "CRITERION", None) not in CRITERIA:
        raise AttackError(
            f"attack {origin}: CRITERION is {getattr(attack, 'CRITERION', None)!r}; it must be one "
            f"of {', '.join(CRITERIA)}"
        )
    checked: Attack = attack
    return checked


def _check_score(attack: Any, origin: str) -> None:
    asked = _keywords(attack.score)
    unknown = [name for name in asked if name not in ("synthetic", *OPTIONAL)]
    if "synthetic" not in asked or unknown:
        raise AttackError(
            f"attack {origin}: score takes keywords {asked}; it must take synthetic, and may take "
            f"{', '.join(OPTIONAL)}"
        )
