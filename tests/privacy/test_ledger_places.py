"""Ledgers that are locked, read-only or something else: one clear line, and nothing is lost."""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dpsynth.cli import invoke
from dpsynth.errors import InputError, IntegrityError
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.ledger import Charge, Ledger

SMALL = Charge("count", GaussianEvent(20.0))
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    Ledger.open(path, dataset="adult", epsilon=1.0, delta=1e-5).reserve([SMALL], release="one")
    return path


@contextmanager
def held(path: Path, how: str = "BEGIN IMMEDIATE") -> Iterator[subprocess.Popen[str]]:
    """Another process holds the lock; it lets go when its standard input is closed."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "locked\n"
    try:
        yield holder
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()


@pytest.mark.parametrize("how", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_who_waits_too_long_gets_a_clear_line(how: str, written: Path) -> None:
    ledger = Ledger.open(written, dataset="adult", epsilon=1.0, delta=1e-5, timeout_s=0.3)
    with held(written, how):
        with pytest.raises(InputError, match=r"kept it locked for 0\.3 s; nothing was booked"):
            ledger.reserve([SMALL], release="two")
        if how == "BEGIN EXCLUSIVE":  # which keeps readers out as well
            with pytest.raises(InputError, match="kept it locked"):
                Ledger.read(written, timeout_s=0.2)
        else:
            assert len(Ledger.read(written, timeout_s=0.2).entries()) == 2
    ledger.reserve([SMALL], release="two")
    assert len(ledger.entries()) == 3


def test_who_waits_is_told_once_and_then_served(written: Path) -> None:
    told: list[str] = []
    ledger = Ledger.open(written, dataset="adult", epsilon=1.0, delta=1e-5, waiting=told.append)
    assert told == []
    with held(written) as holder:
        threading.Timer(3.0, holder.stdin.close).start()
        started = time.monotonic()
        ledger.reserve([SMALL], release="two")
        assert time.monotonic() - started > 2.5  # control: the lock was real
    assert told == [f"ledger {written} is locked by another program; waiting for it, up to 60 s"]
    ledger.verify()


def test_the_command_line_says_that_it_waits(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with held(written) as holder:
        threading.Timer(2.6, holder.stdin.close).start()
        arguments = ["--dataset", "census", "--epsilon", "1"]
        assert invoke(["ledger", "open", str(written), *arguments]) == 0
    assert capsys.readouterr().err.count("locked by another program; waiting") == 1


# --- read-only, by a user whom permissions bind -------------------------------------------------

AS_NOBODY = """
import os, pwd, sys
from dpsynth import ledger_text
from dpsynth.cli import invoke
from dpsynth.privacy.ledger import Ledger
# Loads what a ledger needs, while this process may still read the installed packages.
ledger_text.ledger_text([Ledger.open("sqlite://", dataset="d", epsilon=1.0, delta=1e-5)])
if os.geteuid() == 0:
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
sys.exit(invoke(sys.argv[1:]))
"""


def as_nobody(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command as a user whom permissions bind; root itself may write everywhere."""
    return subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *map(str, arguments)], capture_output=True, text=True
    )


@pytest.fixture
def public_folder(written: Path) -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own; holds `ledger.db`."""
    folder = Path(tempfile.mkdtemp())
    shutil.copy(written, folder / "ledger.db")
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


OPEN = ("--dataset", "census", "--epsilon", "1")


@pytest.mark.slow
def test_a_file_that_may_only_be_read(public_folder: Path) -> None:
    path = public_folder / "ledger.db"
    path.chmod(0o444)
    before = path.read_bytes()
    refused = as_nobody("ledger", "open", path, *OPEN)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"error: ledger {path}: ")
    assert "may not write" in line
    shown = as_nobody("ledger", "show", path)
    assert shown.returncode == 0, shown.stderr
    assert "spent epsilon" in shown.stdout
    assert path.read_bytes() == before
    assert [entry.name for entry in public_folder.iterdir()] == ["ledger.db"]


@pytest.mark.slow
def test_a_folder_in_which_nothing_may_be_made(public_folder: Path) -> None:
    """The file itself may be written, but a safe commit needs a journal beside it."""
    path = public_folder / "ledger.db"
    path.chmod(0o666)
    public_folder.chmod(0o555)
    before = path.read_bytes()
    for where in (path, public_folder / "new.db"):
        refused = as_nobody("ledger", "open", where, *OPEN)
        assert refused.returncode == 2, refused.stderr
        (line,) = refused.stderr.splitlines()
        assert "permission" in line
    assert path.read_bytes() == before
    assert [entry.name for entry in public_folder.iterdir()] == ["ledger.db"]


def test_a_file_that_root_may_not_write_either(written: Path) -> None:
    url = f"sqlite:///file:{written}?mode=ro&uri=true"
    before = written.read_bytes()
    assert len(Ledger.read(url).entries()) == 2
    for act in (
        lambda: Ledger.open(url, dataset="adult", epsilon=1.0, delta=1e-5),
        lambda: Ledger.read(url).reserve([SMALL], release="two"),
    ):
        with pytest.raises(InputError, match=r"readonly.*may not write.*give write permission"):
            act()
    assert written.read_bytes() == before


def test_opening_a_known_dataset_changes_no_byte(written: Path) -> None:
    before = written.read_bytes()
    opened(written)
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == [written.name]


# --- places that are no ledger ------------------------------------------------------------------


def opened(where: str | Path) -> Ledger:
    return Ledger.open(where, dataset="adult", epsilon=1.0, delta=1e-5)


def test_places_that_cannot_hold_a_ledger(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to have a header of one\n" * 20)
    for where, fault in (
        (text, "not a database; it must be a SQLite file"),
        (tmp_path, "is a folder; give a file in it"),
        (tmp_path / "missing" / "ledger.db", "no folder .*missing; make it first"),
    ):
        with pytest.raises(InputError, match=fault):
            opened(where)
    assert text.read_text().startswith("not a database")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_that_was_cut_short(written: Path) -> None:
    written.write_bytes(written.read_bytes()[:5000])
    with pytest.raises(InputError, match=f"ledger {written}: "):
        Ledger.read(written).verify()


def test_a_ledger_that_was_emptied(written: Path) -> None:
    connection = sqlite3.connect(written)
    with connection:
        connection.execute("DROP TRIGGER dpsynth_ledger_no_delete")
        connection.execute("DELETE FROM dpsynth_ledger")
    connection.close()
    with pytest.raises(InputError, match="holds no dataset"):
        Ledger.read(written)


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("nosuch://host/name", "'nosuch' is no kind of database that is known"),
        ("mysql://someone:secret@host/name", "driver .* is not installed; pip install"),
        ("postgresql://someone:a/secret@127.0.0.1:1/name", "must be a database that"),
        ("postgresql://someone:secret", "is no database URL"),
        ("postgresql://someone:secret@127.0.0.1:1/name?password=secret", "must be a database that"),
    ],
)
def test_urls_that_lead_nowhere_show_no_password(where: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault) as refusal:
        Ledger.open(where, dataset="adult", epsilon=1.0, delta=1e-5, timeout_s=2.0)
    assert "secret" not in str(refusal.value)
    assert "someone" not in str(refusal.value).replace('user "someone"', "")


@pytest.mark.parametrize("what", ["dataset", "release"])
@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x00", "\ud800"])
def test_names_that_are_none(what: str, name: str) -> None:
    with pytest.raises(InputError, match=what):
        if what == "dataset":
            Ledger.open("sqlite://", dataset=name, epsilon=1.0, delta=1e-5)
        else:
            opened("sqlite://").reserve([SMALL], release=name)


def test_integrity_errors_are_input_errors() -> None:
    assert issubclass(IntegrityError, InputError)
