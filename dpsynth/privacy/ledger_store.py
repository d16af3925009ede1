"""Where ledger entries are kept: one append-only, hash-chained table behind an engine."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from dpsynth.errors import InputError
from dpsynth.privacy import ledger_database as database
from dpsynth.privacy.ledger_entries import (
    TEXTS,
    Entry,
    Head,
    NewEntry,
    new_rows,
    read_chain,
    read_entry,
)

_T = TypeVar("_T")

_ATTEMPTS = 100  # on a conflict with another writer; each means that another one got through
NOTICE_S = 2.0
"""Whoever waits longer than this for another program is told so."""


ATTEMPT_S = 1.0
"""The longest single wait: inside the database nobody can be stopped by Ctrl-C."""


class _LockedError(Exception):
    """Another program was in the way."""


class _UndoneError(Exception):
    """What a transaction wrote is to be taken back."""


def _silent(_message: str) -> None:
    """Tell nobody."""


class Store:
    """Transactions on one ledger, rows to entries, and database errors in plain words.

    Args:
        where: path of a SQLite file, or a database URL.
        timeout_s: how long to wait for another program.
        must_exist: whether a ledger must be there already.
        waiting: told once in each wait that lasts longer than `NOTICE_S`.

    Raises (every method):
        InputError: the place cannot be opened, read or written, or holds something else.
        IntegrityError: an entry that cannot be read; in `checked`, one that does not fit.
    """

    def __init__(
        self,
        where: str | Path,
        *,
        timeout_s: float,
        must_exist: bool,
        waiting: Callable[[str], None] | None = None,
    ) -> None:
        self.name, self._url = database.parse_place(where)
        self._timeout_s = timeout_s
        self._waiting = waiting or _silent
        self._lock = threading.RLock()  # an in-memory ledger is one connection for all threads
        self._engine, is_new = database.make_engine(self._url, name=self.name, timeout_s=timeout_s)
        if must_exist and is_new:
            raise InputError(f"ledger {self.name}: does not exist; check the path")
        if not is_new:
            self._check_table(must_exist=must_exist)

    @property
    def is_durable(self) -> bool:
        """Whether it outlives this process."""
        return not database.in_memory(self._url)

    def create_table(self, connection: sa.Connection) -> None:
        """Create the table where there is none; see `ledger_database.create_table`."""
        database.create_table(connection)

    def write(self, work: Callable[[sa.Connection], _T]) -> _T:
        """Run `work` in one transaction that holds the writer's lock; committed when this returns.

        On databases without such a lock two writers may read the same state: the key on `seq` then
        lets one of them commit, and the other one's work is run again on the new state.
        """
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(sa.exc.IntegrityError):
                return self._transaction(work, writing=True)
        raise InputError(f"ledger {self.name}: other writers came first {_ATTEMPTS} times; retry")

    def check_writable(self) -> None:
        """Find out that a file or its folder is read-only; leaves every byte as it was."""
        self.rehearse(database.write_nothing)

    def rehearse(self, work: Callable[[sa.Connection], object]) -> None:
        """Run `work` as `write` does and take it back: an error is found before it matters."""

        def undone(connection: sa.Connection) -> None:
            work(connection)
            raise _UndoneError

        with contextlib.suppress(_UndoneError):
            self._transaction(undone, writing=True)

    def read(self, work: Callable[[sa.Connection], _T]) -> _T:
        """Run `work` on one consistent state of the ledger."""
        return self._transaction(work, writing=False)

    def rows(self, connection: sa.Connection) -> list[dict[str, Any]]:
        """All entries in order, as they are stored."""
        query = sa.select(database.TABLE).order_by(database.TABLE.c.seq)
        return [dict(row) for row in connection.execute(query).mappings()]

    def entries(self, connection: sa.Connection) -> tuple[Entry, ...]:
        """All entries as they stand, unchecked."""
        return tuple(read_entry(row, ledger=self.name) for row in self.rows(connection))

    def checked(self, connection: sa.Connection) -> tuple[Entry, ...]:
        """All entries; each has been shown to fit those before it."""
        return read_chain(self.rows(connection), ledger=self.name)

    def append(
        self, connection: sa.Connection, entries: Sequence[Entry], new: Sequence[NewEntry]
    ) -> Head:
        """Add entries after `entries`, which must be all that `connection` sees."""
        rows = new_rows(entries, new)
        for row in rows:
            connection.execute(database.TABLE.insert().values(row))
        return Head(entries=len(entries) + len(rows), hash=rows[-1]["hash"])

    def _check_table(self, *, must_exist: bool) -> None:
        columns, has_tables = self.read(database.stored_columns)
        if columns is None:
            # A database of a server is shared by design; a file is one thing or another.
            if must_exist or (has_tables and self._url.get_backend_name() == "sqlite"):
                raise InputError(
                    f"ledger {self.name}: the database holds no ledger; check the path"
                )
        elif columns - {"seq", *TEXTS}:
            raise InputError(
                f"ledger {self.name}: has columns {sorted(columns - {'seq', *TEXTS})} that this "
                "version does not know; it was made by a newer version of dpsynth, install that"
            )
        elif {"seq", *TEXTS} - columns:
            raise InputError(
                f"ledger {self.name}: its table {database.TABLE.name} lacks columns "
                f"{sorted({'seq', *TEXTS} - columns)}; it is no ledger, check the path"
            )

    def _transaction(self, work: Callable[[sa.Connection], _T], *, writing: bool) -> _T:
        """One transaction, tried again as long as another program is in the way."""
        started, told = time.monotonic(), False
        with self._lock:
            while True:
                until = self._timeout_s if told else min(NOTICE_S, self._timeout_s)
                left = max(0.01, until - (time.monotonic() - started))
                patience = min(left, ATTEMPT_S)
                with contextlib.suppress(_LockedError):
                    return self._attempt(work, writing=writing, patience_s=patience)
                waited = time.monotonic() - started
                if waited >= self._timeout_s:
                    raise InputError(
                        f"ledger {self.name}: another program has kept it locked for "
                        f"{self._timeout_s:g} s; nothing was booked; try again when that program "
                        "is done, or end it"
                    )
                if waited >= NOTICE_S and not told:
                    told = True
                    self._waiting(
                        f"ledger {self.name} is locked by another program; waiting for it, up to "
                        f"{self._timeout_s:g} s"
                    )
                time.sleep(0.01)  # some locks are refused at once, whatever the patience

    def _attempt(
        self, work: Callable[[sa.Connection], _T], *, writing: bool, patience_s: float
    ) -> _T:
        try:
            with self._engine.connect() as connection:
                connection = connection.execution_options(
                    dpsynth_writing=writing, dpsynth_patience_s=patience_s
                )
                with connection.begin():
                    database.lock(connection, writing=writing, patience_s=patience_s)
                    return work(connection)
        except sa.exc.IntegrityError:
            raise  # another writer came first: `write` goes again
        except sa.exc.SQLAlchemyError as error:
            if database.is_locked(error):
                raise _LockedError from error
            reason = database.in_words(error, self._url)
            raise InputError(f"ledger {self.name}: {reason}") from error
