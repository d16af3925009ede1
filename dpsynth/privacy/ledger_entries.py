"""The entries of a ledger and the chain of hashes that joins them, wherever they are kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dpsynth.errors import IntegrityError, UnsupportedEvent
from dpsynth.privacy.events import Event, event_from_json

BEFORE_FIRST = "0" * 64
KINDS = ("budget", "opening", "charge", "release")
"""A dataset's budget; what was fixed before a release; one of its charges; what came of it."""

TEXTS = ("kind", "dataset", "release", "label", "payload", "time", "previous", "hash")
"""The fields of a row that are text; the other one is its number, `seq`."""


@dataclass(frozen=True)
class Budget:
    """All releases of a dataset together stay (epsilon, delta)-DP."""

    epsilon: float
    delta: float


@dataclass(frozen=True)
class Head:
    """The state of a ledger: number of entries, and the hash of the last one."""

    entries: int
    hash: str


@dataclass(frozen=True)
class Entry:
    """One line of the ledger: a budget, what was fixed beforehand, a charge, or what came out.

    Exactly one of `budget`, `event` and `facts` is there. time: UTC, ISO 8601. previous, hash:
    sha256 in hex.
    """

    seq: int
    dataset: str
    release: str
    label: str
    event: Event | None
    budget: Budget | None
    time: str
    previous: str
    hash: str
    kind: str
    facts: Mapping[str, Any] | None


@dataclass(frozen=True)
class NewEntry:
    """What a writer adds; number, time and hashes follow when it is appended."""

    kind: str  # one of KINDS
    dataset: str
    release: str
    label: str
    payload: Mapping[str, Any]


def read_entry(row: Mapping[str, Any], *, ledger: str) -> Entry:
    """The entry in a row as it is stored.

    Raises:
        IntegrityError: it cannot be read, or only a newer version of this package knows it.
    """
    payload = None
    if isinstance(row["seq"], int) and all(isinstance(row[name], str) for name in TEXTS):
        with contextlib.suppress(ValueError, RecursionError):
            payload = json.loads(row["payload"])
    if not isinstance(payload, dict):
        raise IntegrityError(
            f"ledger {ledger}: entry {row['seq']!r} cannot be read; restore the ledger from a copy"
        )
    kind = row["kind"]
    if kind not in KINDS:
        raise _unknown(ledger, row["seq"], f"kind {kind!r} is unknown")
    return Entry(
        seq=row["seq"],
        dataset=row["dataset"],
        release=row["release"],
        label=row["label"],
        event=_event(row["seq"], payload, ledger) if kind == "charge" else None,
        budget=_budget(row["seq"], payload, ledger) if kind == "budget" else None,
        time=row["time"],
        previous=row["previous"],
        hash=row["hash"],
        kind=kind,
        facts=payload if kind in ("opening", "release") else None,
    )


def read_chain(rows: Iterable[Mapping[str, Any]], *, ledger: str) -> tuple[Entry, ...]:
    """All entries, in order; each has been shown to fit those before it.

    Raises:
        IntegrityError: naming the first one that does not.
    """
    entries: list[Entry] = []
    previous, budgets = BEFORE_FIRST, set[str]()
    for place, row in enumerate(rows):
        entry, fault = read_entry(row, ledger=ledger), None
        if entry.seq != place:
            fault = f"number {place} is missing"
        elif entry.previous != previous:
            fault = f"it follows {entry.previous}, but entry {place - 1} has hash {previous}"
        elif entry.hash != row_hash(row):
            fault = f"it has hash {entry.hash}, but its contents have {row_hash(row)}"
        elif (entry.budget is None) != (entry.dataset in budgets):
            fault = f"dataset {entry.dataset!r} must have one budget, before its charges"
        if fault:
            raise IntegrityError(
                f"ledger {ledger}: entry {entry.seq} does not fit: {fault}; it was changed "
                "after it was written; restore the ledger from a copy"
            )
        budgets.add(entry.dataset)
        previous = entry.hash
        entries.append(entry)
    return tuple(entries)


def new_rows(entries: Sequence[Entry], new: Sequence[NewEntry]) -> list[dict[str, Any]]:
    """The rows that continue the chain of `entries`, all with the time of now."""
    previous = entries[-1].hash if entries else BEFORE_FIRST
    time = datetime.now(UTC).isoformat(timespec="seconds")
    rows = []
    for seq, entry in enumerate(new, start=len(entries)):
        row: dict[str, Any] = {
            "seq": seq,
            "kind": entry.kind,
            "dataset": entry.dataset,
            "release": entry.release,
            "label": entry.label,
            "payload": canonical(entry.payload),
            "time": time,
            "previous": previous,
        }
        previous = row["hash"] = row_hash(row)
        rows.append(row)
    return rows


def row_hash(row: Mapping[str, Any]) -> str:
    """sha256 over the canonical JSON of an entry, the hash of the one before it included."""
    covered = {name: row[name] for name in ("seq", *TEXTS) if name != "hash"}
    return hashlib.sha256(canonical(covered).encode("ascii")).hexdigest()


def canonical(value: object) -> str:
    """JSON with one way to write each value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _event(seq: int, payload: Mapping[str, Any], ledger: str) -> Event:
    try:
        return event_from_json(payload)
    except UnsupportedEvent as error:
        raise _unknown(ledger, seq, str(error)) from error


def _budget(seq: int, payload: Mapping[str, Any], ledger: str) -> Budget:
    values = [payload.get("epsilon"), payload.get("delta")]
    sound = all(isinstance(value, float) and 0.0 < value < math.inf for value in values)
    if len(payload) != 2 or not sound:
        raise IntegrityError(f"ledger {ledger}: entry {seq}: {dict(payload)!r} is no budget")
    return Budget(**payload)


def _unknown(ledger: str, seq: int, what: str) -> IntegrityError:
    return IntegrityError(
        f"ledger {ledger}: entry {seq}: {what}; a newer version of dpsynth wrote it (install "
        "that), or it was changed after it was written"
    )
