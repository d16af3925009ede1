"""The databases that can hold a ledger: how to open, lock and guard them, and their errors."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, StaticPool

from dpsynth.errors import InputError
from dpsynth.privacy.ledger_entries import TEXTS

_METADATA = sa.MetaData()
TABLE = sa.Table(
    "dpsynth_ledger",
    _METADATA,
    # The key is what keeps two writers from forking the chain, on any database.
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in TEXTS),
)
STEPS = sa.Table(
    "dpsynth_ledger_steps",
    _METADATA,
    # The key is what keeps two processes from beginning the same step.
    sa.Column("release", sa.Text, primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("note", sa.Text, nullable=False),
)
"""Beside the entries: steps of trainings that may be gone on with; see `ledger_steps`."""

# Any number will do that no other program takes. An advisory lock, since LOCK TABLE would ask for
# rights to change entries, which nobody needs to have; and it is there before the table is.
_LOCK_KEY = int.from_bytes(hashlib.sha256(TABLE.name.encode()).digest()[:8], "big", signed=True)

_POSTGRES_DRIVERS = ("psycopg", "psycopg2")
_MODULES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}


def parse_place(where: str | Path) -> tuple[str, sa.URL]:
    """The place as messages may show it, without user and password, and its URL.

    Raises:
        InputError: no URL, or a kind of database that is not known or has no driver here.
    """
    text = str(where)
    if isinstance(where, Path) or "://" not in text:
        return text, sa.URL.create("sqlite", database=text)
    scheme = text.split("://", 1)[0]
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        # What was wrong is not quoted: it may be a part of the password.
        raise InputError(
            f"ledger {scheme}://...: is no database URL; write for example "
            "postgresql://user@host/name, and %40 for @, %2F for / in a password"
        ) from None
    if url.drivername == "sqlite":
        return text, url
    port = f":{url.port}" if url.port else ""
    name = f"{url.drivername}://{url.host or ''}{port}/{url.database or ''}"
    return name, _with_driver(url)


def in_memory(url: sa.URL) -> bool:
    """Whether the database ends with this process."""
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def make_engine(url: sa.URL, *, name: str, timeout_s: float) -> tuple[sa.Engine, bool]:
    """An engine for a URL, and whether its SQLite database has yet to be made.

    Raises:
        InputError: no driver, or a SQLite file that has nowhere to be.
    """
    try:
        if url.get_backend_name() != "sqlite":
            # No pool: each transaction connects afresh, so nothing outlives a fork or a lock.
            return sa.create_engine(url, poolclass=NullPool, **_options(url, timeout_s)), False
    except sa.exc.NoSuchModuleError as error:
        raise InputError(
            f"ledger {name}: {url.drivername!r} is no kind of database that is known; take a "
            "SQLite file or a postgresql:// URL"
        ) from error
    except ModuleNotFoundError as error:
        raise InputError(
            f"ledger {name}: the database driver {error.name!r} is not installed; "
            f"pip install {_MODULES.get(str(error.name), error.name)!r}"
        ) from error
    if in_memory(url):
        engine, is_new = _memory(url), True
    else:
        is_new = not url.query and not Path(str(url.database)).exists()
        _check_file(url, name)
        # Connecting itself never waits: how long to wait is decided for each transaction.
        engine = sa.create_engine(url, poolclass=NullPool, connect_args={"timeout": 0.0})
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine, is_new


def lock(connection: sa.Connection, *, writing: bool, patience_s: float) -> None:
    """On PostgreSQL, take the writer's lock; SQLite takes its own where a transaction begins.

    Other databases have the key on `seq` alone: of two writers one fails, and tries again.
    """
    if connection.dialect.name != "postgresql":
        return
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, round(1000 * patience_s))}")
    if writing:
        # A charge that was answered for must survive a power cut, whatever the server's default.
        if connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "off":
            connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")


def create_table(connection: sa.Connection, table: sa.Table = TABLE) -> None:
    """Create a table of the ledger where there is none, with triggers that refuse changes.

    The triggers stop accidents. Whoever owns the table can drop them: that is what the chain of
    hashes finds.
    """
    is_new = not sa.inspect(connection).has_table(table.name)
    table.create(connection, checkfirst=True)
    guards: tuple[str, ...] = ()
    if connection.dialect.name == "sqlite":
        guards = _sqlite_guards(table.name)
    elif connection.dialect.name == "postgresql" and is_new:
        guards = _postgres_guards(table.name)  # later only the table's owner could make them
    for statement in guards:
        connection.exec_driver_sql(statement)


def write_nothing(connection: sa.Connection) -> None:
    """Write what is there already, which fails on a file that may only be read; SQLite alone."""
    if connection.dialect.name != "sqlite":
        return
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA user_version = {version}")


def stored_columns(connection: sa.Connection) -> tuple[set[str] | None, bool]:
    """Names of the columns of the ledger's table, and whether there is any table.

    Both from one state: another process may be making the ledger just now. The names are None where
    the database has no such table.
    """
    inspector = sa.inspect(connection)
    tables = inspector.get_table_names()
    if TABLE.name not in tables:
        return None, bool(tables)
    return {column["name"] for column in inspector.get_columns(TABLE.name)}, True


def is_locked(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether another program was in the way, so that waiting may help."""
    cause = getattr(error, "orig", None)
    code = str(getattr(cause, "sqlite_errorname", "") or _sqlstate(cause))
    # 55P03: lock_timeout. 40001, 40P01: another transaction came first.
    return code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or code in ("55P03", "40001", "40P01")


def in_words(error: sa.exc.SQLAlchemyError, url: sa.URL) -> str:
    """What was wrong and how to mend it, in one line that shows no password."""
    cause = getattr(error, "orig", None)
    lines = str(cause or error).strip().splitlines() or [type(error).__name__]
    reason = lines[0].replace(url.password, "...") if url.password else lines[0]
    if url.get_backend_name() != "sqlite":
        return (
            f"{reason}; it must be a database that is up and in which this user may create a "
            f"table, or read {TABLE.name} and add to it"
        )
    code = str(getattr(cause, "sqlite_errorname", ""))
    if code.startswith("SQLITE_READONLY"):
        return (
            f"{reason}: this user may not write to the file or its disk; a charge must be booked "
            "before a row is read, so give write permission to file and folder, or name another"
        )
    if code.startswith("SQLITE_CANTOPEN"):
        return (
            f"{reason}; this user must have permission to write the file and to make files in its "
            "folder"
        )
    if code.startswith("SQLITE_FULL"):
        return f"{reason}; make room on the disk; nothing was booked"
    return f"{reason}; it must be a SQLite file that dpsynth made, or a path that does not exist"


def _sqlite_guards(table: str) -> tuple[str, ...]:
    return tuple(
        f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    )


def _postgres_guards(table: str) -> tuple[str, ...]:
    return (
        f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'a ledger is append-only'; END $$",
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE PROCEDURE {table}_refuse()",
    )


def _sqlstate(cause: object) -> str:
    return str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or "")


def _with_driver(url: sa.URL) -> sa.URL:
    """Where the URL names no driver for PostgreSQL, the one that is installed."""
    if url.drivername != "postgresql":
        return url
    found = [name for name in _POSTGRES_DRIVERS if importlib.util.find_spec(name)]
    if not found:
        raise InputError(
            "a ledger in PostgreSQL needs the driver psycopg, which is not installed; "
            "pip install 'psycopg[binary]'"
        )
    return url.set(drivername=f"postgresql+{found[0]}")


def _options(url: sa.URL, timeout_s: float) -> dict[str, Any]:
    if url.get_backend_name() != "postgresql":
        return {}
    # Under READ COMMITTED what is read after the lock was granted is the latest state; under a
    # stricter level it would be the state before the wait.
    options: dict[str, Any] = {"isolation_level": "READ COMMITTED"}
    if url.get_driver_name() in _POSTGRES_DRIVERS and "connect_timeout" not in url.query:
        options["connect_args"] = {"connect_timeout": max(2, round(timeout_s))}
    return options


def _memory(url: sa.URL) -> sa.Engine:
    return sa.create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})


def _check_file(url: sa.URL, name: str) -> None:
    path = Path(str(url.database))
    if url.query:  # a file: URI, which SQLite reads by rules of its own
        return
    if path.is_dir():
        raise InputError(f"ledger {name}: is a folder; give a file in it, such as {path}/ledger.db")
    if not path.absolute().parent.is_dir():
        raise InputError(f"ledger {name}: there is no folder {path.parent}; make it first")


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would start transactions on its own, too late
    # FULL syncs the file; EXTRA also the folder, without which a power cut could undo a commit.
    connection.execute("PRAGMA synchronous = EXTRA").close()


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    patience = round(1000 * options.get("dpsynth_patience_s", 0.0))
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {patience}")
    # IMMEDIATE takes the writer's lock before reading, so that what was read still holds.
    writing = options.get("dpsynth_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
