"""Ledgers in words and as JSON, for the command line."""

from collections.abc import Mapping, Sequence
from typing import Any

from dpsynth.privacy.calibration import mu_for
from dpsynth.privacy.events import GaussianEvent, event_to_json
from dpsynth.privacy.ledger import Charge, Entry, Ledger, ReleaseRecord
from dpsynth.privacy.ledger_releases import SKETCH

_PREFIX = 8  # hexadecimal digits that are enough to tell hashes apart by eye


def ledger_json(books: Sequence[Ledger]) -> dict[str, Any]:
    """The books of a ledger (one or more), and their entries as they stand, as JSON values."""
    wanted = {book.dataset for book in books}
    entries = [entry for entry in books[0].entries() if entry.dataset in wanted]
    return {
        "datasets": [_book_json(book) for book in books],
        "entries": [_entry_json(entry) for entry in entries],
    }


def ledger_text(books: Sequence[Ledger]) -> str:
    """The books in lines: each dataset with its budget, then a line for each release."""
    return "\n\n".join(_book_text(book) for book in books)


def left(book: Ledger) -> float:
    """The largest epsilon that one more release could have, in three digits; 0 where none."""
    budget = book.budget
    loud = 1.0 / mu_for(budget.epsilon, budget.delta)
    return book.fitting([Charge("one more", GaussianEvent(loud))]) or 0.0


def _book_json(book: Ledger) -> dict[str, Any]:
    return {
        "dataset": book.dataset,
        "budget": {"epsilon": book.budget.epsilon, "delta": book.budget.delta},
        "spent": book.spent(),
        "left": left(book),
        "releases": [_release_json(release) for release in book.releases()],
    }


def _release_json(release: ReleaseRecord) -> dict[str, Any]:
    return {
        "release": release.release,
        "time": release.time,
        "epsilon": release.epsilon,
        "policy_hash": release.policy_hash,
        "verdict": release.verdict,
        "manifest_sha256": release.manifest_sha256,
        "manifests": list(release.manifests),
    }


def _entry_json(entry: Entry) -> dict[str, Any]:
    budget = entry.budget
    return {
        "seq": entry.seq,
        "kind": entry.kind,
        "dataset": entry.dataset,
        "release": entry.release,
        "label": entry.label,
        "event": event_to_json(entry.event) if entry.event is not None else None,
        "budget": None if budget is None else {"epsilon": budget.epsilon, "delta": budget.delta},
        "facts": None if entry.facts is None else _shown(entry.facts),
        "time": entry.time,
        "previous": entry.previous,
        "hash": entry.hash,
    }


def _shown(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts without the thousands of hashes in a sketch of released rows."""
    return {name: "kept in the ledger" if name == SKETCH else fact for name, fact in facts.items()}


def _book_text(book: Ledger) -> str:
    facts = _book_json(book)
    rest = f"{facts['left']:g} left for one more release" if facts["left"] else "nothing left"
    lines = [
        f"dataset {book.dataset!r}: spent epsilon {facts['spent']:.6g} of {book.budget.epsilon:g} "
        f"at delta {book.budget.delta:g}; {rest}"
    ]
    releases = book.releases()
    if not releases:
        return f"{lines[0]}\n  no releases yet"
    lines.append(f"  {'charged':25}  {'release':32}  {'epsilon':>9}  {'policy':8}  verdict")
    lines.extend(_release_line(release) for release in releases)
    return "\n".join(lines)


def _release_line(release: ReleaseRecord) -> str:
    policy = (release.policy_hash or "none")[:_PREFIX]
    return (
        f"  {release.time:25}  {release.release[:32]:32}  {release.epsilon:9.4g}  {policy:8}  "
        f"{release.verdict}"
    )
