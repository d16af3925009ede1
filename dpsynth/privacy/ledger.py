"""The durable budget book: what was ever asked of a dataset, and whether there is budget for more.

A ledger is one append-only table, in a SQLite file or behind any SQLAlchemy URL. Its first entry
for a dataset fixes the budget; each further entry is a charge. A charge is committed, and synced to
the disk, BEFORE any private row is read, so a crash costs budget and never privacy.

Every entry holds the sha256 of its contents and of the entry before it. What this finds: an entry
changed, inserted, or removed from the middle. What it cannot find by itself: entries cut off at the
end, or the whole file replaced by an older copy or rewritten, since no secret is involved. For that
each release keeps the ledger's :class:`Head` (in its privacy statement): `verify(head)` proves that
this entry is still there, and so all before it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from dpsynth.errors import BudgetExceeded, InputError, IntegrityError
from dpsynth.privacy import accounting
from dpsynth.privacy.calibration import check_budget
from dpsynth.privacy.events import Event, event_to_json
from dpsynth.privacy.ledger_store import Budget, Entry, Head, NewEntry, Store

__all__ = ["Booking", "Budget", "Charge", "Entry", "Head", "Ledger", "Reservation"]

RELATIVE_TOLERANCE = 1e-9
"""Spending may exceed the budget by this factor: rounding when a budget is split and summed."""


@dataclass(frozen=True)
class Charge:
    """What one question will cost. label: unique within its release."""

    label: str
    event: Event


@dataclass(frozen=True)
class Booking:
    """A ledger right after a release was booked.

    Attributes:
        release: its name in the ledger.
        head: state of the ledger with it.
        releases: releases charged to the same dataset so far, this one included.
        total_epsilon: what they cost together, at the budget's delta.
        budget: of the dataset.
    """

    release: str
    head: Head
    releases: int
    total_epsilon: float
    budget: Budget


class Reservation:
    """Charges that are committed; each can be taken exactly once, by any thread of this process."""

    def __init__(self, *, charges: Sequence[Charge], booking: Booking) -> None:
        self.release = booking.release
        self.charges = tuple(charges)
        self.booking = booking
        self.head = booking.head
        self._left = {charge.label: charge for charge in charges}
        self._lock = threading.Lock()

    @property
    def remaining(self) -> tuple[str, ...]:
        """Labels not taken yet, in the order of the reservation."""
        with self._lock:
            return tuple(self._left)

    def take(self, label: str) -> Charge:
        """The charge of that label, which is used up by this.

        Raises:
            BudgetExceeded: not reserved, or taken before.
        """
        with self._lock:
            charge = self._left.pop(label, None)
        if charge is None:
            known = any(charge.label == label for charge in self.charges)
            what = "was taken before" if known else "was not reserved"
            raise BudgetExceeded(f"release {self.release!r}: charge {label!r} {what}")
        return charge


class Ledger:
    """The budget book of one dataset; make it with `open` or `read`.

    One file may hold several datasets: their budgets are apart, their chain of hashes is one.
    """

    def __init__(self, store: Store, *, dataset: str, budget: Budget) -> None:
        self._store = store
        self.dataset = dataset
        self.budget = budget

    @classmethod
    def open(
        cls,
        where: str | Path,
        *,
        dataset: str,
        epsilon: float,
        delta: float,
        timeout_s: float = 60.0,
    ) -> Ledger:
        """Open a ledger, creating it or the dataset's budget in it where there is none.

        Args:
            where: path of a SQLite file, or a database URL; "sqlite://" keeps it in memory.
            dataset: name of the private table; all releases of the same people share one.
            epsilon, delta: the budget of a NEW dataset. That of a known one stays as it is and is
                found in `.budget`.
            timeout_s: how long to wait for another writer.

        Raises:
            InputError: the budget, or a place that cannot be opened, written or is something else.
        """
        check_budget(epsilon, delta)
        _name("dataset", dataset)
        store = Store(where, timeout_s=timeout_s, must_exist=False)
        payload = {"epsilon": float(epsilon), "delta": float(delta)}
        new = NewEntry("budget", dataset, release="", label="budget", payload=payload)

        def create(connection: sa.Connection) -> Budget:
            store.create_table(connection)
            entries = store.checked(connection)
            known = [entry.budget for entry in entries if entry.dataset == dataset and entry.budget]
            if not known:
                store.append(connection, entries, [new])
            return known[0] if known else Budget(**payload)

        return cls(store, dataset=dataset, budget=store.write(create))

    @classmethod
    def read(cls, where: str | Path, *, dataset: str | None = None) -> Ledger:
        """Open a ledger that exists; nothing is written.

        Args:
            dataset: may be left out where the ledger has only one.

        Raises:
            InputError: absent, no ledger, or the dataset is not in it or not the only one.
            IntegrityError: an entry cannot be read.
        """
        store = Store(where, timeout_s=60.0, must_exist=True)
        budgets = {
            entry.dataset: entry.budget for entry in store.read(store.entries) if entry.budget
        }
        if dataset is None and len(budgets) == 1:
            (dataset,) = budgets
        budget = budgets.get(dataset) if dataset is not None else None
        if dataset is None or budget is None:
            raise InputError(
                f"ledger {store.name}: has datasets {sorted(budgets)}, not {dataset!r}; name one"
            )
        return cls(store, dataset=dataset, budget=budget)

    def reserve(
        self,
        charges: Sequence[Charge],
        *,
        release: str,
        facts: Mapping[str, str | int] | None = None,
    ) -> Reservation:
        """Book charges for this dataset, all or none, durably, before they may be used.

        Everything ever booked for the dataset is composed with them by the accountant "auto".

        Args:
            charges: labels all different.
            release: name of the release, new in this ledger.
            facts: what else was fixed beforehand, such as the hash of the policy; kept in an entry
                before the charges.

        Raises:
            BudgetExceeded: it would cost more than the budget; nothing was written.
            InputError: no charges, labels that repeat, or a ledger that cannot be written.
            IntegrityError: the ledger was changed after it was written.
        """
        charges = tuple(charges)
        _name("release", release)
        labels = [charge.label for charge in charges]
        if not labels or len(set(labels)) < len(labels):
            raise InputError(
                f"release {release!r}: labels {labels} must be some, and all different"
            )
        for label in labels:
            _name("label", label)
        rows = [
            NewEntry("charge", self.dataset, release, charge.label, event_to_json(charge.event))
            for charge in charges
        ]

        if facts:
            rows.insert(0, NewEntry("opening", self.dataset, release, "fixed before", dict(facts)))

        def book(connection: sa.Connection) -> Booking:
            entries = self._store.checked(connection)
            before = self._events(entries)
            total = self._refuse_overspending(before, [c.event for c in charges], release)
            known = {
                entry.release for entry in entries if entry.event and entry.dataset == self.dataset
            }
            head = self._store.append(connection, entries, rows)
            return Booking(release, head, len(known | {release}), total, self.budget)

        return Reservation(charges=charges, booking=self._store.write(book))

    def check(self, charges: Sequence[Charge]) -> None:
        """Ask whether these charges would be granted now; books nothing.

        Raises:
            BudgetExceeded: they would cost more than what is left.
            IntegrityError: the ledger was changed after it was written.
        """
        before = self._events(self._store.read(self._store.checked))
        self._refuse_overspending(before, [charge.event for charge in charges], "(asked first)")

    def entries(self) -> tuple[Entry, ...]:
        """All entries in order, of every dataset in this ledger, as they stand (see `verify`)."""
        return self._store.read(self._store.entries)

    @property
    def head(self) -> Head:
        """Number of entries and hash of the last one, now."""
        last = self.entries()[-1]
        return Head(entries=last.seq + 1, hash=last.hash)

    def spent(self) -> float:
        """Epsilon spent so far on this dataset, at the budget's delta."""
        return accounting.epsilon(self._events(self.entries()), delta=self.budget.delta)

    def verify(self, head: Head | None = None) -> None:
        """Check the whole chain, and that no dataset has overspent its budget.

        Args:
            head: state of the ledger noted earlier, which must be a part of it still.

        Raises:
            IntegrityError: naming the first entry that does not fit.
        """
        entries = self._store.read(self._store.checked)
        if head is not None:
            found = entries[head.entries - 1].hash if 1 <= head.entries <= len(entries) else None
            if found != head.hash:
                raise IntegrityError(
                    f"ledger {self._store.name}: entry {head.entries - 1} must have hash "
                    f"{head.hash}, found {found}; entries were cut off or rewritten since"
                )
        for first in (entry for entry in entries if entry.budget is not None):
            self._check_budget_kept(first, entries)

    def _check_budget_kept(self, first: Entry, entries: Sequence[Entry]) -> None:
        budget = first.budget or self.budget
        events = [
            entry.event for entry in entries if entry.event and entry.dataset == first.dataset
        ]
        spent = accounting.epsilon(events, delta=budget.delta)
        if spent > budget.epsilon * (1.0 + RELATIVE_TOLERANCE):
            raise IntegrityError(
                f"ledger {self._store.name}: dataset {first.dataset!r} has spent epsilon "
                f"{spent:.6g}, above its budget {budget.epsilon:.6g}; no ledger books such a charge"
            )

    def _events(self, entries: Sequence[Entry]) -> list[Event]:
        return [entry.event for entry in entries if entry.event and entry.dataset == self.dataset]

    def _refuse_overspending(
        self, before: Sequence[Event], asked: Sequence[Event], release: str
    ) -> float:
        """Epsilon of everything together, if the budget has room for it."""
        total = accounting.epsilon([*before, *asked], delta=self.budget.delta)
        if total > self.budget.epsilon * (1.0 + RELATIVE_TOLERANCE):
            spent = accounting.epsilon(before, delta=self.budget.delta)
            alone = accounting.epsilon(asked, delta=self.budget.delta)
            raise BudgetExceeded(
                f"release {release!r} asks for epsilon {alone:.6g} of dataset {self.dataset!r}; "
                f"spent so far {spent:.6g}, with it {total:.6g}, but the budget in ledger "
                f"{self._store.name} is {self.budget.epsilon:.6g}, all at delta "
                f"{self.budget.delta:g}. Nothing was booked; ask for less epsilon"
            )
        return total


def _name(what: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{what}={value!r} must be a text that is not empty")
