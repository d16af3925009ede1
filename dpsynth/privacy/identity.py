"""Whose table it is: a salted fingerprint of the unit ids, by which a renamed file is known.

The fingerprint covers the set of ids and nothing else of a row. It is an HMAC under a random salt
that is kept in the ledger; without the salt nobody can try a guess. Ledger and salt stay in the
house, as the rows do: whoever holds both and knows every id but one can find out that one.
"""

from __future__ import annotations

import hashlib
import hmac
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dpsynth.errors import InputError
from dpsynth.privacy.ledger_entries import Entry

if TYPE_CHECKING:
    from dpsynth.table import Table

Identity = Callable[[bytes], str]
"""From a salt to the fingerprint of a table's units."""

SALT_BYTES = 32
SALT, FINGERPRINT = "unit_salt", "unit_fingerprint"
"""Names of the two facts in an opening entry, both in hex."""


def identity_of(table: Table, unit: str | None) -> Identity | None:
    """The identity of a table's privacy units; None where there are no ids to tell them by.

    Args:
        table: all private rows, those that are held out included.
        unit: the column with the ids.

    Raises:
        InputError: an unknown column.
    """
    if unit is None:
        return None
    distinct = table.column(unit).unique().to_pylist()
    ids = sorted({text for text in map(_as_text, distinct) if text})
    if not ids:
        return None
    digest = _digest(ids)
    return lambda salt: hmac.new(salt, digest, hashlib.sha256).hexdigest()


def refuse_same_people(
    entries: Sequence[Entry], identity: Identity, *, dataset: str, ledger: str
) -> None:
    """Find another dataset of the ledger that was opened by the very same units.

    Raises:
        InputError: there is one; it is named.
    """
    others: dict[tuple[str, str], str] = {
        (entry.facts[SALT], entry.facts[FINGERPRINT]): entry.dataset
        for entry in entries
        if entry.dataset != dataset and _is_identified(entry) and entry.facts
    }
    fingerprints = {salt: identity(bytes.fromhex(salt)) for salt in {salt for salt, _ in others}}
    for (salt, known), other in others.items():
        if hmac.compare_digest(fingerprints[salt], known):
            raise InputError(
                f"ledger {ledger}: this table has exactly the people of dataset {other!r}, so "
                f"dataset {dataset!r} would be a second budget against them; nothing was booked; "
                f"give --dataset {shlex.quote(other)}"
            )


def identity_facts(
    entries: Sequence[Entry], identity: Identity, *, dataset: str, fresh_salt: bytes
) -> dict[str, str]:
    """Salt and fingerprint for an opening entry; a dataset keeps the salt it has."""
    known = [
        bytes.fromhex(entry.facts[SALT])
        for entry in entries
        if entry.dataset == dataset and _is_identified(entry) and entry.facts
    ]
    salt = known[0] if known else fresh_salt
    return {SALT: salt.hex(), FINGERPRINT: identity(salt)}


def _is_identified(entry: Entry) -> bool:
    facts = entry.facts if entry.kind == "opening" else None
    return facts is not None and all(_is_hex(facts.get(name)) for name in (SALT, FINGERPRINT))


def _is_hex(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _as_text(value: object) -> str:
    """An id as text, the same for every kind of file: 12, 12.0 and " 12 " are one id."""
    if value is None or value != value:  # null or NaN: a unit of its own, without a name
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _digest(ids: Iterable[str]) -> bytes:
    """sha256 over the ids, each after its length in bytes, so that no two lists run together."""
    found = hashlib.sha256()
    for text in ids:
        raw = text.encode("utf-8", "surrogatepass")
        found.update(len(raw).to_bytes(8, "big") + raw)
    return found.digest()
