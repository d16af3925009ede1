"""Places for a ledger: a SQLite file, and a database of a PostgreSQL server made for the tests."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

SECRET = "correct/horse@battery"
Tamper = Callable[..., None]


def _program(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.URL]:
    """A running server: URL of its superuser by socket; by 127.0.0.1 it asks for `SECRET`."""
    pytest.importorskip("psycopg", reason="no driver for PostgreSQL: pip install psycopg[binary]")
    initdb, server = _program("initdb"), _program("postgres")
    if initdb is None or server is None:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    # The server refuses to run as root; Debian's package brings a user for it.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a short path: sockets have at most 107 letters
    try:
        if user is not None:
            shutil.chown(folder, user)
        word, data, port = folder / "word", folder / "data", _free_port()
        word.write_text(SECRET)
        word.chmod(0o644)
        make = [initdb, "-D", data, "-U", "owner", "-E", "UTF8", "--locale=C", "--pwfile", word]
        _quietly([*make, "--auth-local=trust", "--auth-host=scram-sha-256", "-N"], user, folder)
        with _serving([server, "-D", data, "-k", folder, "-p", port, "-F"], user, folder):
            url = sa.URL.create(
                "postgresql+psycopg",
                "owner",
                database="postgres",
                query={"host": str(folder), "port": str(port)},
            )
            _wait(url, folder / "log")
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _quietly(command: list[object], user: str | None, folder: Path) -> None:
    done = subprocess.run(
        [str(word) for word in command], user=user, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def _serving(command: list[object], user: str | None, folder: Path) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(word) for word in command], user=user, cwd=folder, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(url: sa.URL, log: Path) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            return _execute(url, "SELECT 1")
        except sa.exc.OperationalError:
            if time.monotonic() > until:
                pytest.fail(f"PostgreSQL did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)


def _execute(url: sa.URL, *statements: str) -> None:
    engine = sa.create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def postgres_url(postgres: sa.URL) -> str:
    """URL of a fresh, empty schema."""
    name = f"s{uuid.uuid4().hex}"
    _execute(postgres, f"CREATE SCHEMA {name}")
    url = postgres.update_query_dict({"options": f"-csearch_path={name}"})
    return url.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new ledger goes: the same tests hold for a file and for a server."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def tamper() -> Tamper:
    """Execute statements on a ledger behind the program's back, past its guards by default."""

    def execute(place: str, *statements: str, guarded: bool = False) -> None:
        url = sa.make_url(place) if "://" in place else sa.URL.create("sqlite", database=place)
        past = (
            [f"DROP TRIGGER IF EXISTS dpsynth_ledger_no_{verb}" for verb in ("update", "delete")]
            if url.drivername == "sqlite"
            else ["ALTER TABLE dpsynth_ledger DISABLE TRIGGER ALL"]
        )
        _execute(url, *([] if guarded else past), *statements)

    return execute
