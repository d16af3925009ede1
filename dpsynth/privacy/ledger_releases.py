"""The releases in a ledger: what each cost, by which policy, and what came of it."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpsynth.errors import InputError, IntegrityError
from dpsynth.privacy import accounting
from dpsynth.privacy.events import Event
from dpsynth.privacy.ledger_budget import is_within
from dpsynth.privacy.ledger_entries import Entry
from dpsynth.privacy.lineage_record import MOST_GENERATIONS
from dpsynth.privacy.sketch import RowSketch

UNFINISHED = "not finished"
"""The verdict of a release that was charged and of which nothing else was noted."""

VERDICTS = ("allow", "refuse", "inconclusive")
GENERATION, SKETCH = "generation", "sketch"
"""Names of two facts of a release: which generation its rows are, and a sketch of them."""


@dataclass(frozen=True)
class ReleaseRecord:
    """One release of a dataset.

    Attributes:
        release: its name in the ledger.
        time: when it was charged; UTC, ISO 8601.
        epsilon: what it costs by itself, at the budget's delta.
        policy_hash: of the policy that was fixed beforehand; None where there was none.
        verdict: the gate's last one; "not finished" where none was noted.
        manifests: sha256 of `public/manifest.json` of every bundle made of it, in order; more than
            one where rules were set aside later.
    """

    release: str
    time: str
    epsilon: float
    policy_hash: str | None
    verdict: str
    manifests: tuple[str, ...]

    @property
    def manifest_sha256(self) -> str | None:
        """That of the last bundle; None where none was noted."""
        return self.manifests[-1] if self.manifests else None


@dataclass(frozen=True)
class KnownRelease:
    """A release that came out, of any dataset of a ledger: what its rows are known by.

    Attributes:
        dataset, release: under which it was charged.
        generation: how often its rows went through a generator: 1 where it learned from real ones.
        manifest_sha256: of `public/manifest.json` of the last bundle made of it.
        sketch: of its rows; None where it was noted before sketches were kept.
    """

    dataset: str
    release: str
    generation: int
    manifest_sha256: str | None
    sketch: RowSketch | None


def events_of(entries: Sequence[Entry], dataset: str) -> list[Event]:
    """Everything charged to a dataset, in order."""
    return [entry.event for entry in entries if entry.event and entry.dataset == dataset]


def charged(entries: Sequence[Entry], dataset: str) -> tuple[str, ...]:
    """Names of the releases charged to a dataset, in order."""
    return tuple(dict.fromkeys(e.release for e in entries if e.event and e.dataset == dataset))


def releases_of(
    entries: Sequence[Entry], *, dataset: str, delta: float
) -> tuple[ReleaseRecord, ...]:
    """All releases of a dataset, in the order in which they were charged."""
    own = [entry for entry in entries if entry.dataset == dataset]
    return tuple(
        _record([entry for entry in own if entry.release == name], delta)
        for name in charged(own, dataset)
    )


def known_releases(entries: Sequence[Entry]) -> tuple[KnownRelease, ...]:
    """Every release that came out, of all datasets, in the order in which they were first noted.

    Raises:
        IntegrityError: a fact that no ledger writes.
    """
    noted: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        if entry.kind == "release" and entry.facts:
            known = noted.setdefault((entry.dataset, entry.release), {})
            known.update({name: fact for name, fact in entry.facts.items() if fact is not None})
    return tuple(_known(dataset, name, facts) for (dataset, name), facts in noted.items())


def _known(dataset: str, release: str, facts: Mapping[str, Any]) -> KnownRelease:
    digest = facts.get("manifest_sha256")
    try:
        check_outcome(facts)
        sketch = RowSketch.from_text(facts[SKETCH]) if SKETCH in facts else None
    except InputError as error:
        raise IntegrityError(f"release {release!r} in the ledger: {error}") from None
    # Releases noted before the generation was kept learned from real rows as far as is known.
    generation = int(facts.get(GENERATION, 1))
    return KnownRelease(
        dataset, release, generation, None if digest is None else str(digest), sketch
    )


def check_outcome(facts: Mapping[str, str | int]) -> None:
    """What came of a release, before it is written down.

    Raises:
        InputError: no verdict, a hash or a generation that is none, or a sketch that is broken.
    """
    generation = facts.get(GENERATION, 1)
    if type(generation) is not int or not 1 <= generation <= MOST_GENERATIONS:
        raise InputError(
            f"generation={generation!r} of a release must be a whole number from 1 to "
            f"{MOST_GENERATIONS}"
        )
    if SKETCH in facts:
        RowSketch.from_text(facts[SKETCH])
    if facts.get("verdict") not in VERDICTS:
        raise InputError(
            f"verdict={facts.get('verdict')!r} of a release must be one of {', '.join(VERDICTS)}"
        )
    digest = facts.get("manifest_sha256")
    if digest is not None and not (
        isinstance(digest, str) and len(digest) == 64 and set(digest) <= set(string.hexdigits)
    ):
        raise InputError(f"manifest_sha256={digest!r} of a release must be 64 hex digits")


def check_rules(entries: Sequence[Entry], *, ledger: str) -> None:
    """What a chain of hashes cannot show: that the entries are those that a ledger would write.

    Raises:
        IntegrityError: a dataset that overspent; what was fixed beforehand without the charges that
            must follow it; an outcome of a release that was not charged.
    """
    booked: set[tuple[str, str]] = set()
    for entry, after in zip(entries, [*entries[1:], None], strict=True):
        if entry.event is not None:
            booked.add((entry.dataset, entry.release))
        if entry.kind == "opening" and not _follows(after, entry):
            raise IntegrityError(
                f"ledger {ledger}: entry {entry.seq} opens release {entry.release!r}, but entry "
                f"{entry.seq + 1} is no charge of it; no ledger writes it so"
            )
        if entry.kind == "release" and (entry.dataset, entry.release) not in booked:
            raise IntegrityError(
                f"ledger {ledger}: entry {entry.seq} is the outcome of release {entry.release!r} "
                f"of dataset {entry.dataset!r}, which was not charged before; no ledger writes it"
            )
        if entry.budget is not None:
            _check_kept(entry, entries, ledger)


def _record(own: Sequence[Entry], delta: float) -> ReleaseRecord:
    first = next(entry for entry in own if entry.event)
    openings = [entry.facts for entry in own if entry.kind == "opening" and entry.facts]
    outcomes = [entry.facts for entry in own if entry.kind == "release" and entry.facts]
    policy = openings[0].get("policy_hash") if openings else None
    digests = [facts.get("manifest_sha256") for facts in outcomes]
    return ReleaseRecord(
        release=first.release,
        time=first.time,
        epsilon=accounting.epsilon([entry.event for entry in own if entry.event], delta=delta),
        policy_hash=None if policy is None else str(policy),
        verdict=str(outcomes[-1].get("verdict")) if outcomes else UNFINISHED,
        manifests=tuple(str(digest) for digest in digests if digest is not None),
    )


def _follows(after: Entry | None, opening: Entry) -> bool:
    return (
        after is not None
        and after.event is not None
        and (after.dataset, after.release) == (opening.dataset, opening.release)
    )


def _check_kept(first: Entry, entries: Sequence[Entry], ledger: str) -> None:
    budget = first.budget
    if budget is None:
        return
    spent = accounting.epsilon(events_of(entries, first.dataset), delta=budget.delta)
    if not is_within(spent, budget):
        raise IntegrityError(
            f"ledger {ledger}: dataset {first.dataset!r} has spent epsilon {spent:.6g}, above its "
            f"budget {budget.epsilon:.6g}; no ledger books such a charge"
        )
