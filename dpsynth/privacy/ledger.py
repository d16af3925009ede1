"""The durable budget book: what was ever asked of a dataset, and whether there is budget for more.

A ledger is one append-only table, in a SQLite file or behind any SQLAlchemy URL. Its first entry
for a dataset fixes the budget; each further entry is a charge, what was fixed before a release, or
what came of it. A charge is committed, and synced to the disk, BEFORE any private row is read, so a
crash costs budget and never privacy.

Every entry holds the sha256 of its contents and of the entry before it. What this finds: an entry
changed, inserted, or removed from the middle. What it cannot find by itself: entries cut off at the
end, or the whole file replaced by an older copy or rewritten, since no secret is involved. For that
each release keeps the ledger's :class:`Head` (in its privacy statement): `verify(head)` proves that
this entry is still there, and so all before it.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import sqlalchemy as sa

from dpsynth.errors import BudgetExceeded, InputError, IntegrityError
from dpsynth.privacy import accounting
from dpsynth.privacy.calibration import check_budget
from dpsynth.privacy.events import event_to_json
from dpsynth.privacy.identity import SALT_BYTES, Identity, identity_facts, refuse_same_people
from dpsynth.privacy.ledger_booking import Booking, Charge, Reservation
from dpsynth.privacy.ledger_budget import OverspentError, check_room, fitting, refusal
from dpsynth.privacy.ledger_entries import BEFORE_FIRST, Budget, Entry, Head, NewEntry
from dpsynth.privacy.ledger_extract import extract_text
from dpsynth.privacy.ledger_releases import (
    ReleaseRecord,
    charged,
    check_outcome,
    check_rules,
    events_of,
    releases_of,
)
from dpsynth.privacy.ledger_steps import StepBook, check_steps, open_steps, reopen_steps
from dpsynth.privacy.ledger_store import Store

__all__ = [
    "Booking",
    "Budget",
    "Charge",
    "Entry",
    "Head",
    "Ledger",
    "ReleaseRecord",
    "Reservation",
]

TIMEOUT_S = 60.0
NONCE = "nonce"
"""A random fact of every opening. The head goes into public statements, and all else that it is a
hash of may be known or guessed: without this, a guess of the dataset's name could be checked."""

Waiting = Callable[[str], None]


class Ledger:
    """The budget book of one dataset; make it with `open`, `create`, `read` or `read_all`.

    One ledger may hold several datasets: their budgets are apart, their chain of hashes is one.
    """

    def __init__(self, store: Store, *, dataset: str, budget: Budget, shared: bool = True) -> None:
        self._store = store
        self.dataset = dataset
        self.budget = budget
        self.shared = shared

    @property
    def name(self) -> str:
        """Where it is, as messages may show it: without user and password."""
        return self._store.name

    @property
    def is_durable(self) -> bool:
        """Whether it outlives this process; one in memory does not."""
        return self._store.is_durable

    @classmethod
    def open(
        cls,
        where: str | Path,
        *,
        dataset: str,
        epsilon: float,
        delta: float,
        shared: bool = True,
        timeout_s: float = TIMEOUT_S,
        waiting: Waiting | None = None,
    ) -> Ledger:
        """Open a ledger, creating it or the dataset's budget in it where there is none.

        Args:
            where: path of a SQLite file, or a database URL; "sqlite://" keeps it in memory.
            dataset: name of the private table; all releases of the same people share one.
            epsilon, delta: the budget of a NEW dataset. That of a known one stays as it is and is
                found in `.budget`.
            shared: False for a ledger that is made for one release alone; statements say so.
            timeout_s: how long to wait for another program, in every call.
            waiting: told, once in each long wait, that another program is in the way.

        Raises:
            InputError: the budget, or a place that cannot be opened, written or is something else.
        """
        return cls._opened(
            Store(where, timeout_s=timeout_s, must_exist=False, waiting=waiting),
            dataset,
            _checked_budget(dataset, epsilon, delta),
            must_be_new=False,
            shared=shared,
        )

    @classmethod
    def create(
        cls,
        where: str | Path,
        *,
        dataset: str,
        epsilon: float,
        delta: float,
        timeout_s: float = TIMEOUT_S,
        waiting: Waiting | None = None,
    ) -> Ledger:
        """As `open`, for a dataset that the ledger does not know yet.

        Raises:
            InputError: as `open`, or the dataset is known: a budget never changes.
        """
        return cls._opened(
            Store(where, timeout_s=timeout_s, must_exist=False, waiting=waiting),
            dataset,
            _checked_budget(dataset, epsilon, delta),
            must_be_new=True,
        )

    @classmethod
    def _opened(
        cls,
        store: Store,
        dataset: str,
        budget: Budget,
        *,
        must_be_new: bool,
        shared: bool = True,
    ) -> Ledger:
        payload = {"epsilon": budget.epsilon, "delta": budget.delta}
        new = NewEntry("budget", dataset, release="", label="budget", payload=payload)

        def create(connection: sa.Connection) -> Budget:
            store.create_table(connection)
            entries = store.checked(connection)
            known = [entry.budget for entry in entries if entry.dataset == dataset and entry.budget]
            if known and must_be_new:
                raise InputError(
                    f"ledger {store.name}: dataset {dataset!r} has its budget already (epsilon "
                    f"{known[0].epsilon:g} at delta {known[0].delta:g}), and a budget never changes"
                )
            if not known:
                store.append(connection, entries, [new])
            return known[0] if known else budget

        granted = store.write(create)
        store.check_writable()  # or it would be found only after the rows were read
        return cls(store, dataset=dataset, budget=granted, shared=shared)

    @classmethod
    def read(
        cls,
        where: str | Path,
        *,
        dataset: str | None = None,
        timeout_s: float = TIMEOUT_S,
        waiting: Waiting | None = None,
    ) -> Ledger:
        """Open a ledger that exists; nothing is written.

        Args:
            dataset: may be left out where the ledger has only one.
            timeout_s, waiting: as in `open`.

        Raises:
            InputError: absent, no ledger, or the dataset is not in it or not the only one.
            IntegrityError: an entry cannot be read.
        """
        store = Store(where, timeout_s=timeout_s, must_exist=True, waiting=waiting)
        books = cls._books(store)
        names = sorted(books)
        if dataset is None and len(names) == 1:
            (dataset,) = names
        if dataset is None:
            raise InputError(f"ledger {store.name}: holds the datasets {names}; name one of them")
        if dataset not in books:
            raise InputError(
                f"ledger {store.name}: has no dataset {dataset!r}; it holds {names}, name one of "
                "them"
            )
        return books[dataset]

    @classmethod
    def read_all(
        cls, where: str | Path, *, timeout_s: float = TIMEOUT_S, waiting: Waiting | None = None
    ) -> tuple[Ledger, ...]:
        """The books of all datasets in a ledger that exists; nothing is written.

        Raises:
            InputError: absent, no ledger, or one without a dataset.
            IntegrityError: an entry cannot be read.
        """
        store = Store(where, timeout_s=timeout_s, must_exist=True, waiting=waiting)
        return tuple(cls._books(store).values())

    @classmethod
    def _books(cls, store: Store) -> dict[str, Ledger]:
        books = {
            entry.dataset: cls(store, dataset=entry.dataset, budget=entry.budget)
            for entry in store.read(store.entries)
            if entry.budget
        }
        if not books:
            raise InputError(
                f"ledger {store.name}: holds no dataset; give one a budget by dpsynth ledger open"
            )
        return books

    def reserve(
        self,
        charges: Sequence[Charge],
        *,
        release: str,
        facts: Mapping[str, str | int] | None = None,
        identity: Identity | None = None,
    ) -> Reservation:
        """Book charges for this dataset, all or none, durably, before they may be used.

        Everything ever booked for the dataset is composed with them by the accountant "auto".

        Args:
            charges: labels all different.
            release: name of the release, new in this ledger.
            facts: what else was fixed beforehand, such as the hash of the policy; kept in an entry
                before the charges.
            identity: of the table's people (see `dpsynth.privacy.identity`); its fingerprint is
                kept with the facts.

        Raises:
            BudgetExceeded: it would cost more than the budget; nothing was written.
            InputError: no charges, labels that repeat, a release that is known, the people of
                another dataset, or a ledger that cannot be written.
            IntegrityError: the ledger was changed after it was written.
        """
        charges = tuple(charges)
        _check_names(release, charges)
        rows = [
            NewEntry("charge", self.dataset, release, charge.label, event_to_json(charge.event))
            for charge in charges
        ]
        fresh_salt = secrets.token_bytes(SALT_BYTES)
        fresh_nonce = secrets.token_hex(SALT_BYTES)

        def book(connection: sa.Connection) -> Booking:
            entries = self._store.checked(connection)
            fixed = dict(facts or {})
            if identity is not None:
                refuse_same_people(entries, identity, dataset=self.dataset, ledger=self.name)
                fixed |= identity_facts(
                    entries, identity, dataset=self.dataset, fresh_salt=fresh_salt
                )
            self._refuse_known(entries, release)
            before = events_of(entries, self.dataset)
            total = check_room(before, [charge.event for charge in charges], self.budget)
            if fixed:
                fixed[NONCE] = fresh_nonce
            opening = [NewEntry("opening", self.dataset, release, "fixed before", fixed)]
            head = self._store.append(connection, entries, [*(opening if fixed else []), *rows])
            count = len({*charged(entries, self.dataset), release})
            return Booking(release, head, count, total, self.budget, self.shared)

        try:
            return Reservation(charges=charges, booking=self._store.write(book))
        except OverspentError as overspent:  # what would fit is sought after the lock was let go
            raise self._refusal(overspent, f"release {release!r}") from None

    def check_steps(self) -> None:
        """Find out, before anything is charged, whether `keep_steps` will work."""
        check_steps(self._store)

    def keep_steps(self, reservation: Reservation, *, label: str, rows: Identity) -> StepBook:
        """Count the steps of a training durably; see `dpsynth.privacy.ledger_steps`."""
        return open_steps(self._store, reservation, label=label, rows=rows)

    def resume(self, release: str, *, rows: Identity) -> tuple[Reservation, StepBook]:
        """What is left of a training that was cut off; books nothing.

        Args:
            release: its name in the ledger.
            rows: fingerprint of the table that is here now.

        Raises:
            InputError: the ledger knows no such training, it is over, or this is another table.
            IntegrityError: the ledger was changed after it was written.
        """
        return reopen_steps(
            self._store,
            dataset=self.dataset,
            release=release,
            budget=self.budget,
            shared=self.shared,
            rows=rows,
        )

    def charges_of(self, release: str) -> tuple[Charge, ...]:
        """What was charged for a release of this dataset, in order; empty for one unknown."""
        own = (e for e in self.entries() if e.dataset == self.dataset and e.release == release)
        return tuple(Charge(entry.label, entry.event) for entry in own if entry.event)

    def check(self, charges: Sequence[Charge]) -> None:
        """Ask whether these charges would be granted now; books nothing.

        Raises:
            BudgetExceeded: they would cost more than what is left.
            IntegrityError: the ledger was changed after it was written.
        """
        before = events_of(self._store.read(self._store.checked), self.dataset)
        try:
            check_room(before, [charge.event for charge in charges], self.budget)
        except OverspentError as overspent:
            raise self._refusal(overspent, "the release") from None

    def fitting(self, charges: Sequence[Charge]) -> float | None:
        """The largest epsilon with which the same questions would be granted, with more noise.

        Returns:
            epsilon at the budget's delta, rounded down to three digits; None where nothing fits.
        """
        before = events_of(self.entries(), self.dataset)
        return fitting(before, [charge.event for charge in charges], self.budget)

    def record_release(self, release: str, facts: Mapping[str, str | int]) -> Head:
        """Write down what came of a release that was charged; later bundles of it may follow.

        Args:
            release: its name in the ledger.
            facts: "verdict" (allow, refuse or inconclusive), "manifest_sha256" (of the bytes of
                `public/manifest.json`), "created", and what else is worth keeping; nothing
                measured on rows.

        Raises:
            InputError: no such release was charged to this dataset, or no verdict.
            IntegrityError: the ledger was changed after it was written.
        """
        check_outcome(facts)
        row = NewEntry("release", self.dataset, release, str(facts["verdict"]), dict(facts))

        def note(connection: sa.Connection) -> Head:
            entries = self._store.checked(connection)
            if release not in charged(entries, self.dataset):
                raise InputError(
                    f"ledger {self.name}: release {release!r} was never charged to dataset "
                    f"{self.dataset!r}; only what was charged can have come out"
                )
            return self._store.append(connection, entries, [row])

        return self._store.write(note)

    def releases(self) -> tuple[ReleaseRecord, ...]:
        """The releases of this dataset, in the order in which they were charged."""
        return releases_of(self.entries(), dataset=self.dataset, delta=self.budget.delta)

    def extract(self, release: str) -> str:
        """The part of the ledger that goes with a release; see `dpsynth.privacy.ledger_extract`.

        Raises:
            InputError: no such release was charged to this dataset.
            IntegrityError: the ledger was changed after it was written.
        """
        rows = self._store.read(lambda c: (self._store.checked(c), self._store.rows(c))[1])
        return extract_text(rows, dataset=self.dataset, release=release)

    def entries(self) -> tuple[Entry, ...]:
        """All entries in order, of every dataset in this ledger, as they stand (see `verify`)."""
        return self._store.read(self._store.entries)

    @property
    def head(self) -> Head:
        """Number of entries and hash of the last one, now."""
        entries = self.entries()
        return Head(entries=len(entries), hash=entries[-1].hash if entries else BEFORE_FIRST)

    def spent(self) -> float:
        """Epsilon spent so far on this dataset, at the budget's delta."""
        return accounting.epsilon(events_of(self.entries(), self.dataset), delta=self.budget.delta)

    def verify(self, head: Head | None = None) -> None:
        """Check the whole chain, and that it is one which a ledger would write.

        Args:
            head: state of the ledger noted earlier, which must be a part of it still.

        Raises:
            IntegrityError: naming the first entry that does not fit: changed, missing, out of
                place, above the budget, or an opening or outcome without its charges.
        """
        entries = self._store.read(self._store.checked)
        if head is not None:
            found = entries[head.entries - 1].hash if 1 <= head.entries <= len(entries) else None
            if found != head.hash:
                raise IntegrityError(
                    f"ledger {self.name}: entry {head.entries - 1} must have hash "
                    f"{head.hash}, found {found}; entries were cut off or rewritten since"
                )
        check_rules(entries, ledger=self.name)

    def _refuse_known(self, entries: Sequence[Entry], release: str) -> None:
        if any(entry.release == release for entry in entries):
            raise InputError(
                f"ledger {self.name}: release {release!r} is in it already; give every release a "
                "name of its own"
            )

    def _refusal(self, overspent: OverspentError, who: str) -> BudgetExceeded:
        return refusal(
            overspent, budget=self.budget, who=who, dataset=self.dataset, ledger=self.name
        )


def _checked_budget(dataset: str, epsilon: float, delta: float) -> Budget:
    check_budget(epsilon, delta)
    _name("dataset", dataset)
    return Budget(epsilon=float(epsilon), delta=float(delta))


def _check_names(release: str, charges: Sequence[Charge]) -> None:
    _name("release", release)
    labels = [charge.label for charge in charges]
    if not labels or len(set(labels)) < len(labels):
        raise InputError(f"release {release!r}: labels {labels} must be some, and all different")
    for label in labels:
        _text("label", label)


def _name(what: str, value: object) -> None:
    _text(what, value)
    # A line break or a lone half of a character would make it another name in another place.
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in str(value)):
        raise InputError(f"{what}={value!r} must not hold control characters")


def _text(what: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{what}={value!r} must be a text that is not empty")
