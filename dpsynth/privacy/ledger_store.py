"""Where ledger entries are kept: one append-only, hash-chained table behind an engine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, StaticPool

from dpsynth.errors import InputError, IntegrityError
from dpsynth.privacy.events import Event, event_from_json

_T = TypeVar("_T")

_ATTEMPTS = 100  # on a conflict with another writer; each means that another one got through
_BEFORE_FIRST = "0" * 64
_METADATA = sa.MetaData()
KINDS = ("budget", "opening", "charge", "release")
"""A dataset's budget; what was fixed before a release; one of its charges; what came of it."""

_TEXTS = ("kind", "dataset", "release", "label", "payload", "time", "previous", "hash")
_TABLE = sa.Table(
    "dpsynth_ledger",
    _METADATA,
    # The key is what keeps two writers from forking the chain, on any database.
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in _TEXTS),
)
_TRIGGERS = tuple(
    f"CREATE TRIGGER IF NOT EXISTS {_TABLE.name}_no_{verb.lower()} BEFORE {verb} ON {_TABLE.name} "
    "BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END"
    for verb in ("UPDATE", "DELETE")
)


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


class Store:
    """Transactions on one ledger, rows to entries, and database errors in plain words.

    Raises (every method):
        InputError: the place cannot be opened, read or written, or holds something else.
        IntegrityError: an entry that cannot be read; in `checked`, one that does not fit.
    """

    def __init__(self, where: str | Path, *, timeout_s: float, must_exist: bool) -> None:
        self.name = _public_name(where)
        self._lock = threading.RLock()  # an in-memory ledger is one connection for all threads
        with self._plain_errors():
            self._engine, is_new = _engine(where, timeout_s=timeout_s)
            if must_exist and is_new:
                raise InputError(f"ledger {self.name}: does not exist; check the path")
            tables = [] if is_new else sa.inspect(self._engine).get_table_names()
        foreign = bool(tables) and self._engine.dialect.name == "sqlite"
        if _TABLE.name not in tables and (must_exist or foreign):
            raise InputError(f"ledger {self.name}: the database holds no ledger; check the path")

    def create_table(self, connection: sa.Connection) -> None:
        """Create the table where there is none; on SQLite with triggers against changes.

        The triggers stop accidents. Whoever means to change the file can drop them: that is what
        the chain of hashes finds.
        """
        _METADATA.create_all(connection)
        if connection.dialect.name == "sqlite":
            for trigger in _TRIGGERS:
                connection.exec_driver_sql(trigger)

    def write(self, work: Callable[[sa.Connection], _T]) -> _T:
        """Run `work` in one transaction that holds the writer's lock; committed when this returns.

        On databases without such a lock two writers may read the same state: the key on `seq` then
        lets one of them commit, and the other one's work is run again on the new state.
        """
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(sa.exc.IntegrityError):
                return self._transaction(work, writing=True)
        raise InputError(f"ledger {self.name}: other writers came first {_ATTEMPTS} times; retry")

    def read(self, work: Callable[[sa.Connection], _T]) -> _T:
        """Run `work` on one consistent state of the ledger."""
        return self._transaction(work, writing=False)

    def entries(self, connection: sa.Connection) -> tuple[Entry, ...]:
        """All entries as they stand, unchecked."""
        return tuple(self._entry(row) for row in _rows(connection))

    def checked(self, connection: sa.Connection) -> tuple[Entry, ...]:
        """All entries; each has been shown to fit those before it."""
        entries: list[Entry] = []
        previous, budgets = _BEFORE_FIRST, set[str]()
        for place, row in enumerate(_rows(connection)):
            entry, fault = self._entry(row), None
            if entry.seq != place:
                fault = f"number {place} is missing"
            elif entry.previous != previous:
                fault = f"it follows {entry.previous}, but entry {place - 1} has hash {previous}"
            elif entry.hash != _hash(row):
                fault = f"it has hash {entry.hash}, but its contents have {_hash(row)}"
            elif (entry.budget is None) != (entry.dataset in budgets):
                fault = f"dataset {entry.dataset!r} must have one budget, before its charges"
            if fault:
                raise IntegrityError(
                    f"ledger {self.name}: entry {entry.seq} does not fit: {fault}; it was changed "
                    "after it was written; restore the ledger from a copy"
                )
            budgets.add(entry.dataset)
            previous = entry.hash
            entries.append(entry)
        return tuple(entries)

    def append(
        self, connection: sa.Connection, entries: Sequence[Entry], new: Sequence[NewEntry]
    ) -> Head:
        """Add entries after `entries`, which must be all that `connection` sees."""
        previous = entries[-1].hash if entries else _BEFORE_FIRST
        time = datetime.now(UTC).isoformat(timespec="seconds")
        for seq, entry in enumerate(new, start=len(entries)):
            row: dict[str, Any] = {
                "seq": seq,
                "kind": entry.kind,
                "dataset": entry.dataset,
                "release": entry.release,
                "label": entry.label,
                "payload": _canonical(entry.payload),
                "time": time,
                "previous": previous,
            }
            previous = row["hash"] = _hash(row)
            connection.execute(_TABLE.insert().values(row))
        return Head(entries=len(entries) + len(new), hash=previous)

    def _transaction(self, work: Callable[[sa.Connection], _T], *, writing: bool) -> _T:
        with self._lock, self._plain_errors(), self._engine.connect() as connection:
            connection = connection.execution_options(dpsynth_writing=writing)
            with connection.begin():
                return work(connection)

    def _entry(self, row: Mapping[str, Any]) -> Entry:
        payload = None
        if isinstance(row["seq"], int) and all(isinstance(row[name], str) for name in _TEXTS):
            with contextlib.suppress(json.JSONDecodeError):
                payload = json.loads(row["payload"])
        if not isinstance(payload, dict) or row["kind"] not in KINDS:
            raise IntegrityError(f"ledger {self.name}: entry {row['seq']!r} cannot be read")
        kind = row["kind"]
        return Entry(
            seq=row["seq"],
            dataset=row["dataset"],
            release=row["release"],
            label=row["label"],
            event=event_from_json(payload) if kind == "charge" else None,
            budget=self._budget(row["seq"], payload) if kind == "budget" else None,
            time=row["time"],
            previous=row["previous"],
            hash=row["hash"],
            kind=kind,
            facts=payload if kind in ("opening", "release") else None,
        )

    def _budget(self, seq: int, payload: Mapping[str, Any]) -> Budget:
        values = [payload.get("epsilon"), payload.get("delta")]
        sound = all(isinstance(value, float) and 0.0 < value < math.inf for value in values)
        if len(payload) != 2 or not sound:
            raise IntegrityError(f"ledger {self.name}: entry {seq}: {dict(payload)!r} is no budget")
        return Budget(**payload)

    @contextlib.contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError:
            raise  # another writer came first: `write` goes again
        except sa.exc.SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise InputError(
                f"ledger {self.name}: {reason}; it must be a SQLite file that can be written and "
                "that no other program keeps locked, or the URL of such a database"
            ) from error
        except ModuleNotFoundError as error:
            raise InputError(
                f"ledger {self.name}: the database driver {error.name!r} is not installed"
            ) from error


def _public_name(where: str | Path) -> str:
    """The place as messages may show it: without the password of a database."""
    text = str(where)
    if "://" not in text:
        return text
    scheme, rest = text.split("://", 1)
    return f"{scheme}://{rest.rsplit('@', 1)[-1]}"


def _engine(where: str | Path, *, timeout_s: float) -> tuple[sa.Engine, bool]:
    """An engine for a path or URL, and whether its SQLite database has yet to be made."""
    is_url = isinstance(where, str) and "://" in where
    url = sa.make_url(str(where)) if is_url else sa.URL.create("sqlite", database=str(where))
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url), False
    if url.database in (None, "", ":memory:"):
        engine = sa.create_engine(
            url, poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        is_new = True
    else:
        # No pool: each transaction opens the file afresh, so nothing outlives a fork or a lock.
        engine = sa.create_engine(url, poolclass=NullPool, connect_args={"timeout": timeout_s})
        is_new = not url.query and not Path(url.database).exists()
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine, is_new


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would start transactions on its own, too late
    # FULL syncs the file; EXTRA also the folder, without which a power cut could undo a commit.
    connection.execute("PRAGMA synchronous = EXTRA").close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # IMMEDIATE takes the writer's lock before reading, so that what was read still holds.
    writing = connection.get_execution_options().get("dpsynth_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _rows(connection: sa.Connection) -> list[dict[str, Any]]:
    query = sa.select(_TABLE).order_by(_TABLE.c.seq)
    return [dict(row) for row in connection.execute(query).mappings()]


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _hash(row: Mapping[str, Any]) -> str:
    """sha256 over the canonical JSON of an entry, the hash of the one before it included."""
    covered = {name: row[name] for name in ("seq", *_TEXTS) if name != "hash"}
    return hashlib.sha256(_canonical(covered).encode("ascii")).hexdigest()
