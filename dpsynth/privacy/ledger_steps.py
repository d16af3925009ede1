"""Which steps of a training were begun, so that one that was cut off can go on.

The charge of a training pays for all its steps, before the first. Going on therefore costs nothing,
as long as no step is answered twice: two answers at one step would be two answers for the price of
one. So the ledger keeps, beside its entries, one row for each step that was begun, committed before
a private row is read. A step that was begun is spent, whether its answer arrived or was lost, and
whichever copy of a checkpoint a training goes on from. The key of the table (release and step) lets
no two processes begin the same step.

Row 0 of a training holds by what its table is known again: an HMAC of the rows under a random salt
(as in `identity.py`). A last row says that the training is over.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from dpsynth.errors import InputError, IntegrityError
from dpsynth.privacy import accounting
from dpsynth.privacy.identity import SALT_BYTES, Identity
from dpsynth.privacy.ledger_booking import Booking, Charge, Reservation
from dpsynth.privacy.ledger_database import STEPS, create_table
from dpsynth.privacy.ledger_entries import Budget, Entry, Head, canonical
from dpsynth.privacy.ledger_releases import charged, events_of
from dpsynth.privacy.ledger_store import Store
from dpsynth.privacy.sketch import row_hashes

if TYPE_CHECKING:
    from dpsynth.table import Table

AFRESH = "give another checkpoint folder to start afresh (a new charge)"
_BEGUN, _OVER = "begun", "over"


@dataclass(frozen=True)
class _Kept:
    """What the ledger knows of one training.

    Attributes:
        label: the charge that pays for its steps.
        begun: steps that are spent.
        over: whether it has come to its end.
        salt, rows: of the table's fingerprint, in hex.
    """

    label: str
    begun: int
    over: bool
    salt: str
    rows: str


class StepBook:
    """The steps of one training, as its ledger keeps them; made by `open_steps` or `reopen_steps`.

    Attributes:
        begun: how many were spent when the book was opened.
    """

    def __init__(self, store: Store, *, release: str, begun: int) -> None:
        self._store = store
        self._release = release
        self.begun = begun

    def begin(self, taken: int) -> None:
        """Commit that the next step is spent, before a row is read for it.

        Args:
            taken: steps that are spent so far.

        Raises:
            InputError: another process has begun it.
        """

        def note(connection: sa.Connection) -> None:
            kept = _read(connection, self._release)
            if kept is None or kept.over or kept.begun != taken:
                raise InputError(
                    f"ledger {self._store.name}: step {taken} of release {self._release!r} was "
                    "begun by another process, which goes on with the same training; let that one "
                    "end (no step was answered twice)"
                )
            _insert(connection, self._release, taken + 1, _BEGUN)

        self._store.write(note)

    def close(self) -> None:
        """Note that the training is over: nothing goes on from its checkpoints any more."""

        def note(connection: sa.Connection) -> None:
            kept = _read(connection, self._release)
            if kept is not None and not kept.over:
                _insert(connection, self._release, kept.begun + 1, _OVER)

        self._store.write(note)


def table_identity(table: Table) -> Identity:
    """From a salt to the fingerprint of a table's rows, in whatever order and file they are.

    Args:
        table: all rows that are learned from, before any is dropped.
    """
    digest = hashlib.sha256(canonical(sorted(table.names)).encode("ascii"))
    digest.update(np.sort(row_hashes(table, table.names)).astype("<u8").tobytes())
    return lambda salt: hmac.new(salt, digest.digest(), hashlib.sha256).hexdigest()


def check_steps(store: Store) -> None:
    """Find out, before anything is charged, whether steps can be kept; leaves nothing.

    Raises:
        InputError: this user may not make the table, or not add to it.
    """

    def first(connection: sa.Connection) -> None:
        create_table(connection, STEPS)
        _insert(connection, secrets.token_hex(SALT_BYTES), 0, "")

    store.rehearse(first)


def open_steps(store: Store, reservation: Reservation, *, label: str, rows: Identity) -> StepBook:
    """Begin to keep the steps of a training.

    Args:
        store: of the ledger.
        reservation: fresh from it.
        label: the charge that pays for the steps.
        rows: fingerprint of the table.

    Raises:
        InputError: the ledger cannot be written, or has steps of this release.
    """
    salt = secrets.token_bytes(SALT_BYTES)
    note = canonical({"label": label, "salt": salt.hex(), "rows": rows(salt)})

    def first(connection: sa.Connection) -> None:
        create_table(connection, STEPS)
        if _read(connection, reservation.release) is not None:
            raise InputError(
                f"ledger {store.name}: keeps steps of release {reservation.release!r} already"
            )
        _insert(connection, reservation.release, 0, note)

    store.write(first)
    book = StepBook(store, release=reservation.release, begun=0)
    reservation.keep_steps(label, book)
    return book


def reopen_steps(
    store: Store, *, dataset: str, release: str, budget: Budget, shared: bool, rows: Identity
) -> tuple[Reservation, StepBook]:
    """What is left of a training that was cut off: its own charge and no other, and its steps.

    Args:
        store, dataset, budget, shared: of the ledger.
        release: its name in the ledger.
        rows: fingerprint of the table that is here now.

    Raises:
        InputError: the ledger knows no such training, it is over, or this is another table.
        IntegrityError: the ledger was changed after it was written.
    """
    entries = store.read(store.checked)
    own = [e for e in entries if e.dataset == dataset and e.release == release and e.event]
    if not own:
        raise InputError(
            f"ledger {store.name}: has no release {release!r} of dataset {dataset!r}, which the "
            "checkpoint was booked as; give the ledger and the dataset that it was started with"
        )
    kept = store.read(lambda connection: _read(connection, release))
    if kept is None or kept.over:
        why = "keeps no steps of" if kept is None else "notes the end of the training of"
        raise InputError(
            f"ledger {store.name}: {why} release {release!r}, so nothing goes on from its "
            f"checkpoints; {AFRESH}"
        )
    if not hmac.compare_digest(rows(bytes.fromhex(kept.salt)), kept.rows):
        raise InputError(
            "this is another table than the one that the checkpoint was made from (its rows "
            f"differ); give that one, or {AFRESH}"
        )
    booking = _booking(entries, own[-1], dataset=dataset, budget=budget, shared=shared)
    left = [Charge(e.label, e.event) for e in own if e.event and e.label == kept.label]
    book = StepBook(store, release=release, begun=kept.begun)
    reservation = Reservation(charges=left, booking=booking)
    reservation.keep_steps(kept.label, book)
    return reservation, book


def _booking(
    entries: Sequence[Entry], last: Entry, *, dataset: str, budget: Budget, shared: bool
) -> Booking:
    """The ledger as it was right after the release was booked."""
    then = entries[: last.seq + 1]
    total = accounting.epsilon(events_of(then, dataset), delta=budget.delta)
    head = Head(len(then), last.hash)
    return Booking(last.release, head, len(charged(then, dataset)), total, budget, shared)


def _read(connection: sa.Connection, release: str) -> _Kept | None:
    """What is kept of a release's training; None where nothing is."""
    if not sa.inspect(connection).has_table(STEPS.name):
        return None
    query = sa.select(STEPS).where(STEPS.c.release == release).order_by(STEPS.c.step)
    rows = [(row.step, row.note) for row in connection.execute(query)]
    if not rows:
        return None
    if [number for number, _ in rows] != list(range(len(rows))):
        raise _broken(release, "are not numbered from 0 without a gap")
    try:
        facts = json.loads(rows[0][1])
        label, salt, fingerprint = (str(facts[name]) for name in ("label", "salt", "rows"))
        bytes.fromhex(salt)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _broken(release, "do not say by what the table is known") from None
    begun = sum(note == _BEGUN for _, note in rows[1:])
    return _Kept(label, begun, begun < len(rows) - 1, salt, fingerprint)


def _insert(connection: sa.Connection, release: str, step: int, note: str) -> None:
    connection.execute(STEPS.insert().values(release=release, step=step, note=note))


def _broken(release: str, what: str) -> IntegrityError:
    return IntegrityError(
        f"the ledger's steps of release {release!r} {what}; they were changed after they were "
        "written; restore the ledger from a copy that is not older than the checkpoint"
    )
