"""What only a database server has: drivers, passwords, rights, locks."""

import importlib.util
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from dpsynth.cli import invoke
from dpsynth.errors import InputError
from dpsynth.privacy import ledger_database
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.ledger import Charge, Ledger
from dpsynth.privacy.ledger_entries import NewEntry

SMALL = Charge("count", GaussianEvent(20.0))


def opened(where: str, **options: object) -> Ledger:
    return Ledger.open(where, dataset="adult", epsilon=1.0, delta=1e-5, **options)


@contextmanager
def session(where: str) -> Iterator[sa.Connection]:
    with sa.create_engine(where, poolclass=NullPool).connect() as connection:
        yield connection


def test_a_url_without_a_driver_takes_the_one_that_is_there(postgres_url: str) -> None:
    assert postgres_url.startswith("postgresql+psycopg://")
    ledger = opened(postgres_url.replace("+psycopg", "", 1))
    assert ledger._store._engine.driver in ("psycopg", "psycopg2")
    ledger.reserve([SMALL], release="one")
    assert len(Ledger.read(postgres_url).entries()) == 2


@pytest.mark.parametrize("there", ["psycopg", "psycopg2"])
def test_either_driver_will_do(there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == there or None)
    assert ledger_database.parse_place("postgresql://host/x")[1].get_driver_name() == there


def test_no_driver_is_a_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="needs the driver psycopg, which is not installed; pip"):
        opened("postgresql://someone:secret@host/x")


def by_password(postgres: sa.URL, password: str) -> str:
    port = int(str(postgres.query["port"]))
    url = postgres.set(host="127.0.0.1", port=port, password=password, query={})
    return url.render_as_string(hide_password=False)


def test_passwords_work_and_stay_out_of_messages(postgres: sa.URL, postgres_url: str) -> None:
    wrong = by_password(postgres, "wrong&secret")
    with pytest.raises(InputError, match="password authentication failed") as refusal:
        opened(wrong)
    assert "secret" not in str(refusal.value)
    right = by_password(postgres, "correct/horse@battery")
    with pytest.raises(InputError, match="holds no ledger") as refusal:
        Ledger.read(right)
    assert "horse" not in str(refusal.value)


def test_a_driver_that_quotes_a_password_is_not_repeated() -> None:
    url = sa.make_url("postgresql://owner:horse@host/x")
    fault = sa.exc.OperationalError("", {}, Exception("cannot use horse\nmore"))
    text = ledger_database.in_words(fault, url)
    assert text.startswith("cannot use ...; ")
    assert "more" not in text


def test_the_command_line_shows_no_password(
    postgres: sa.URL, capsys: pytest.CaptureFixture[str]
) -> None:
    where = by_password(postgres, "correct/horse@battery")
    name = uuid.uuid4().hex
    assert invoke(["ledger", "open", where, "--dataset", name, "--epsilon", "1"]) == 0
    assert invoke(["ledger", "open", where, "--dataset", name, "--epsilon", "1"]) == 2
    assert invoke(["ledger", "verify", where]) == 0
    assert invoke(["ledger", "show", where, "--dataset", "other"]) == 2
    out = capsys.readouterr()
    assert out.out.count("ledger postgresql") + out.out.count("postgresql+psycopg://127") >= 1
    for word in ("horse", "battery", "owner"):
        assert word not in out.out + out.err
    with session(where) as connection, connection.begin():
        connection.exec_driver_sql("DROP TABLE dpsynth_ledger")
        connection.exec_driver_sql("DROP FUNCTION dpsynth_ledger_refuse")


@pytest.mark.parametrize(
    "statement",
    ["TRUNCATE dpsynth_ledger", "UPDATE dpsynth_ledger SET label = '' WHERE seq = 99"],
)
def test_more_accidents_are_stopped(
    statement: str, postgres_url: str, tamper: Callable[..., None]
) -> None:
    opened(postgres_url)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        tamper(postgres_url, statement, guarded=True)


@pytest.fixture
def member_url(postgres: sa.URL, postgres_url: str) -> str:
    """The same ledger for a user who may read it and add to it, and nothing else."""
    opened(postgres_url)
    member = f"m{uuid.uuid4().hex}"
    schema = str(sa.make_url(postgres_url).query["options"]).split("search_path=")[1]
    with session(postgres_url) as connection, connection.begin():
        connection.exec_driver_sql(f"CREATE ROLE {member} LOGIN")
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {member}")
        connection.exec_driver_sql(f"GRANT SELECT, INSERT ON dpsynth_ledger TO {member}")
    return postgres_url.replace("//owner", f"//{member}")


def test_members_need_no_more_than_to_read_and_add(
    member_url: str, tamper: Callable[..., None]
) -> None:
    ledger = opened(member_url)
    ledger.reserve([SMALL], release="one")
    ledger.record_release("one", {"verdict": "allow"})
    ledger.verify()
    Ledger.create(member_url, dataset="census", epsilon=1.0, delta=1e-5)
    for statement in (
        "DELETE FROM dpsynth_ledger",
        "TRUNCATE dpsynth_ledger",
        "ALTER TABLE dpsynth_ledger DISABLE TRIGGER ALL",
        "DROP TABLE dpsynth_ledger",
    ):
        with pytest.raises(sa.exc.ProgrammingError, match=r"permission denied|must be owner"):
            tamper(member_url, statement, guarded=True)


def test_who_may_only_read_gets_a_clear_line(postgres_url: str, member_url: str) -> None:
    member = member_url.split("//")[1].split("@")[0]
    with session(postgres_url) as connection, connection.begin():
        connection.exec_driver_sql(f"REVOKE INSERT ON dpsynth_ledger FROM {member}")
    ledger = Ledger.read(member_url)
    with pytest.raises(InputError, match=r"permission denied.*read dpsynth_ledger and add to it"):
        ledger.reserve([SMALL], release="one")
    assert len(ledger.entries()) == 1


def test_a_server_that_is_read_only(postgres_url: str) -> None:
    opened(postgres_url)
    read_only = postgres_url.replace("options=", "options=-cdefault_transaction_read_only%3Don%20")
    ledger = Ledger.read(read_only)
    with pytest.raises(InputError, match="read-only transaction"):
        ledger.reserve([SMALL], release="one")


@contextmanager
def held(where: str, statement: str) -> Iterator[sa.Connection]:
    with session(where) as connection:
        connection.exec_driver_sql(statement)
        yield connection


LOCKS = ("LOCK TABLE dpsynth_ledger", f"SELECT pg_advisory_xact_lock({ledger_database._LOCK_KEY})")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_is_waited_for_in_vain(lock: str, postgres_url: str) -> None:
    ledger = opened(postgres_url, timeout_s=0.3)
    with (
        held(postgres_url, lock),
        pytest.raises(InputError, match=r"kept it locked for 0\.3 s; nothing was booked"),
    ):
        ledger.reserve([SMALL], release="one")
    ledger.reserve([SMALL], release="one")


def test_who_waits_is_told_once_and_then_served(postgres_url: str) -> None:
    told: list[str] = []
    ledger = opened(postgres_url, waiting=told.append)
    with held(postgres_url, LOCKS[1]) as connection:
        release = threading.Timer(2.8, connection.rollback)
        release.start()
        started = time.monotonic()
        ledger.reserve([SMALL], release="one")
        assert time.monotonic() - started > 2.3  # control: the lock was real
        release.join()
    (line,) = told
    assert "is locked by another program; waiting for it, up to 60 s" in line
    assert len(ledger.entries()) == 2


def test_a_charge_is_synced_whatever_the_server_prefers(postgres_url: str) -> None:
    careless = postgres_url.replace("options=", "options=-csynchronous_commit%3Doff%20")
    show = "SHOW synchronous_commit"
    store = opened(careless)._store
    assert store.read(lambda connection: connection.exec_driver_sql(show).scalar()) == "off"
    assert store.write(lambda connection: connection.exec_driver_sql(show).scalar()) == "on"


def test_what_was_read_after_a_wait_is_the_latest(postgres_url: str) -> None:
    """A server that starts transactions as serializable would show the state before the wait."""
    level = "-cdefault_transaction_isolation%3Dserializable%20"
    strict = postgres_url.replace("options=", f"options={level}")
    one, other = opened(strict), opened(strict)
    started = threading.Event()

    def slow(connection: sa.Connection) -> None:
        started.set()
        time.sleep(0.3)
        entries = one._store.checked(connection)
        one._store.append(connection, entries, [NewEntry("release", "adult", "x", "y", {"a": 1})])

    thread = threading.Thread(target=lambda: one._store.write(slow))
    thread.start()
    started.wait()
    attempts: list[int] = []

    def count(connection: sa.Connection) -> int:
        attempts.append(len(other._store.checked(connection)))
        return attempts[-1]

    assert other._store.write(count) == 2
    thread.join()
    assert attempts == [2]
