"""A ledger that was changed behind the program's back is found out, and books nothing more."""

import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from dpsynth.errors import IntegrityError
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.ledger import Charge, Head, Ledger

SMALL = Charge("count", GaussianEvent(20.0))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    ledger = Ledger.open(path, dataset="adult", epsilon=1.0, delta=1e-5)
    for release in ("one", "two", "three"):
        ledger.reserve([SMALL], release=release)
    return path


def tamper(path: Path, *statements: str, drop: bool = True) -> None:
    connection = sqlite3.connect(path)
    with connection:
        if drop:
            connection.execute("DROP TRIGGER dpsynth_ledger_no_update")
            connection.execute("DROP TRIGGER dpsynth_ledger_no_delete")
        for statement in statements:
            connection.execute(statement)
    connection.close()


LOUDER = '{"noise_multiplier":99.0,"steps":1,"type":"gaussian"}'


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        (f"UPDATE dpsynth_ledger SET payload = '{LOUDER}' WHERE seq = 2", 2),
        ("UPDATE dpsynth_ledger SET label = 'other' WHERE seq = 1", 1),
        ("UPDATE dpsynth_ledger SET release = 'other' WHERE seq = 3", 3),
        ("UPDATE dpsynth_ledger SET dataset = 'other' WHERE seq = 3", 3),
        ("UPDATE dpsynth_ledger SET time = '2020-01-01' WHERE seq = 2", 2),
        ("UPDATE dpsynth_ledger SET hash = previous WHERE seq = 3", 3),
        ("UPDATE dpsynth_ledger SET previous = hash WHERE seq = 2", 2),
        ('UPDATE dpsynth_ledger SET payload = \'{"epsilon":9.0,"delta":1e-05}\' WHERE seq = 0', 0),
        ("UPDATE dpsynth_ledger SET seq = 7 WHERE seq = 3", 7),
        ("DELETE FROM dpsynth_ledger WHERE seq = 0", 1),
        ("DELETE FROM dpsynth_ledger WHERE seq = 2", 3),
    ],
)
def test_changes_are_found_and_nothing_more_is_booked(
    statement: str, entry: int, written: Path
) -> None:
    ledger = Ledger.read(written)
    tamper(written, statement)
    with pytest.raises(IntegrityError, match=f"entry {entry} does not fit"):
        ledger.verify()
    with pytest.raises(IntegrityError, match=f"entry {entry} does not fit"):
        ledger.reserve([SMALL], release="four")


@pytest.mark.parametrize(
    "change",
    [
        "payload = '{'",
        "payload = '[]'",
        "payload = x'00'",
        "kind = 'other'",
        "previous = x'00'",
        'payload = \'{"type":"gaussian","noise_multiplier":-1.0,"steps":1}\'',
        "kind = 'budget', payload = '{\"epsilon\":NaN,\"delta\":0.1}'",
        "kind = 'budget', payload = '{\"epsilon\":1.0}'",
    ],
)
def test_entries_that_cannot_be_read(change: str, written: Path) -> None:
    tamper(written, f"UPDATE dpsynth_ledger SET {change} WHERE seq = 2")
    with pytest.raises(IntegrityError):
        Ledger.read(written)


def forge(path: Path, **changes: object) -> None:
    """Append an entry that fits the chain, as only somebody who knows the rules can."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    last = dict(connection.execute("SELECT * FROM dpsynth_ledger ORDER BY seq DESC").fetchone())
    row = {**last, "seq": last["seq"] + 1, "previous": last["hash"], **changes}
    del row["hash"]
    text = json.dumps(row, sort_keys=True, separators=(",", ":"))
    row["hash"] = hashlib.sha256(text.encode()).hexdigest()
    with connection:
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        connection.execute(f"INSERT INTO dpsynth_ledger ({names}) VALUES ({marks})", row)
    connection.close()


def test_a_chain_can_be_continued_by_the_rules(written: Path) -> None:
    forge(
        written
    )  # control: the forger's hashes are right, so what follows is found by other rules
    Ledger.read(written).verify()


@pytest.mark.parametrize(
    ("changes", "fault"), [({"seq": 9}, "number 4 is missing"), ({"previous": "0" * 64}, "follows")]
)
def test_an_entry_must_follow_the_one_before(
    changes: dict[str, object], fault: str, written: Path
) -> None:
    forge(written, **changes)
    with pytest.raises(IntegrityError, match=fault):
        Ledger.read(written).verify()


def test_an_overspent_dataset_is_found(written: Path) -> None:
    loud = '{"noise_multiplier":0.5,"steps":1,"type":"gaussian"}'
    forge(written, payload=loud)
    with pytest.raises(IntegrityError, match="above its budget"):
        Ledger.read(written).verify()


def test_a_second_budget_or_none_is_found(written: Path) -> None:
    forge(written, dataset="other")
    with pytest.raises(IntegrityError, match="must have one budget"):
        Ledger.read(written).verify()


def test_a_raised_budget_is_found(written: Path) -> None:
    forge(written, kind="budget", payload='{"delta":1e-05,"epsilon":9.0}')
    with pytest.raises(IntegrityError, match="must have one budget"):
        Ledger.read(written).verify()


def test_a_cut_tail_is_found_by_the_head_alone(written: Path) -> None:
    ledger = Ledger.read(written)
    head = ledger.head
    tamper(written, "DELETE FROM dpsynth_ledger WHERE seq = 3")
    ledger.verify()  # the chain by itself cannot tell
    with pytest.raises(IntegrityError, match="cut off"):
        ledger.verify(head)
    ledger.reserve([SMALL], release="again")
    with pytest.raises(IntegrityError, match="rewritten"):
        ledger.verify(head)
    with pytest.raises(IntegrityError):
        ledger.verify(Head(0, head.hash))


@pytest.mark.parametrize(
    "verb", ["UPDATE dpsynth_ledger SET label = ''", "DELETE FROM dpsynth_ledger"]
)
def test_accidents_are_stopped(verb: str, written: Path) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        tamper(written, verb, drop=False)


def test_an_opening_needs_its_charges(written: Path) -> None:
    forge(written, kind="opening", release="four", payload='{"policy_hash":"h"}')
    with pytest.raises(IntegrityError, match="opens release 'four', but entry 5 is no charge"):
        Ledger.read(written).verify()
    forge(written, kind="charge", release="five", payload=LOUDER)
    with pytest.raises(IntegrityError, match="opens release 'four', but entry 5 is no charge"):
        Ledger.read(written).verify()


def test_an_outcome_needs_its_charges(written: Path) -> None:
    forge(written, kind="release", release="three", payload='{"verdict":"allow"}')
    Ledger.read(written).verify()  # control
    forge(written, kind="release", release="four", payload='{"verdict":"allow"}')
    with pytest.raises(IntegrityError, match=r"outcome of release 'four'.*not charged before"):
        Ledger.read(written).verify()
