"""What a ledger promises, wherever it is kept: a SQLite file or a PostgreSQL server."""

import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from dpsynth.errors import BudgetExceeded, InputError, IntegrityError
from dpsynth.privacy import accounting
from dpsynth.privacy.events import GaussianEvent, ThresholdedGaussianEvent, event_to_json
from dpsynth.privacy.ledger import Budget, Charge, Head, Ledger
from dpsynth.privacy.ledger_entries import NewEntry

SMALL = Charge("count", GaussianEvent(20.0))
TWO = (Charge("values: city", ThresholdedGaussianEvent(30.0, 1e-7)), SMALL)
HASH = "ab" * 32
Tamper = Callable[..., None]


def opened(place: str, *, dataset: str = "adult", epsilon: float = 1.0) -> Ledger:
    return Ledger.open(place, dataset=dataset, epsilon=epsilon, delta=1e-5)


@pytest.fixture
def written(place: str) -> str:
    ledger = opened(place)
    for release in ("one", "two", "three"):
        ledger.reserve([SMALL], release=release)
    return place


def test_charges_are_kept_and_read_again(place: str) -> None:
    reservation = opened(place).reserve(TWO, release="one", facts={"policy_hash": HASH})
    again = Ledger.read(place)
    assert again.budget == Budget(1.0, 1e-5)
    assert [(entry.kind, entry.label) for entry in again.entries()] == [
        ("budget", "budget"),
        ("opening", "fixed before"),
        ("charge", "values: city"),
        ("charge", "count"),
    ]
    assert again.spent() == accounting.epsilon([charge.event for charge in TWO], delta=1e-5)
    assert reservation.head == again.head
    again.verify(reservation.head)


def test_names_may_be_of_any_script(place: str) -> None:
    opened(place, dataset="Größe 大小 🙂 '\"%").reserve(
        [Charge("a\nb\t%s", SMALL.event)], release="ß"
    )
    ledger = Ledger.read(place, dataset="Größe 大小 🙂 '\"%")
    ledger.verify()
    assert ledger.entries()[-1].label == "a\nb\t%s"


def test_overspending_writes_nothing(place: str) -> None:
    ledger = opened(place, epsilon=0.3)
    ledger.reserve([SMALL], release="one")
    head = ledger.head
    with pytest.raises(BudgetExceeded, match="Nothing was booked; left is --epsilon 0"):
        ledger.reserve([Charge("more", GaussianEvent(3.0))], release="two")
    assert ledger.head == head


def test_a_budget_is_fixed_once(place: str) -> None:
    assert Ledger.create(place, dataset="adult", epsilon=2, delta=1e-5).budget == Budget(2.0, 1e-5)
    assert opened(place, epsilon=99.0).budget == Budget(2.0, 1e-5)
    with pytest.raises(InputError, match="has its budget already"):
        Ledger.create(place, dataset="adult", epsilon=3.0, delta=1e-5)
    Ledger.create(place, dataset="census", epsilon=1.0, delta=1e-6)
    assert [book.dataset for book in Ledger.read_all(place)] == ["adult", "census"]
    assert len(opened(place).entries()) == 2


def test_a_release_has_a_name_of_its_own(written: str) -> None:
    for dataset in ("adult", "census"):
        ledger = opened(written, dataset=dataset)
        head = ledger.head
        with pytest.raises(InputError, match="'two' is in it already"):
            ledger.reserve([SMALL], release="two")
        assert ledger.head == head


def test_what_came_of_a_release_is_noted(written: str) -> None:
    ledger = Ledger.read(written)
    ledger.reserve([SMALL], release="four", facts={"policy_hash": HASH, "input_generation": 0})
    facts = {"verdict": "inconclusive", "manifest_sha256": HASH, "created": "2026-01-01"}
    ledger.record_release("four", facts)
    head = ledger.record_release(
        "four", {**facts, "verdict": "allow", "manifest_sha256": "cd" * 32}
    )
    ledger.verify(head)
    *rest, last = Ledger.read(written).releases()
    assert [(r.release, r.verdict, r.manifest_sha256) for r in rest] == [
        (name, "not finished", None) for name in ("one", "two", "three")
    ]
    assert (last.release, last.verdict, last.policy_hash) == ("four", "allow", HASH)
    assert last.manifests == (HASH, "cd" * 32)
    assert last.manifest_sha256 == "cd" * 32
    assert last.epsilon == accounting.epsilon([SMALL.event], delta=1e-5)
    assert ledger.spent() == accounting.epsilon([SMALL.event] * 4, delta=1e-5)


@pytest.mark.parametrize(
    ("release", "facts", "fault"),
    [
        ("nine", {"verdict": "allow"}, "never charged"),
        ("one", {}, "verdict"),
        ("one", {"verdict": "fine"}, "verdict='fine'"),
        ("one", {"verdict": "allow", "manifest_sha256": "12"}, "64 hex digits"),
    ],
)
def test_what_did_not_come_out_is_not_noted(
    release: str, facts: dict[str, str], fault: str, written: str
) -> None:
    ledger = Ledger.read(written)
    head = ledger.head
    with pytest.raises(InputError, match=fault):
        ledger.record_release(release, facts)
    with pytest.raises(InputError, match="never charged to dataset 'census'"):
        opened(written, dataset="census").record_release("one", {"verdict": "allow"})
    assert ledger.entries()[: head.entries][-1].hash == head.hash
    assert all(entry.kind != "release" for entry in ledger.entries())


LOUDER = '{"noise_multiplier":99.0,"steps":1,"type":"gaussian"}'


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        (f"UPDATE dpsynth_ledger SET payload = '{LOUDER}' WHERE seq = 2", 2),
        ("UPDATE dpsynth_ledger SET dataset = 'other' WHERE seq = 3", 3),
        ("UPDATE dpsynth_ledger SET time = '2020-01-01' WHERE seq = 2", 2),
        ("UPDATE dpsynth_ledger SET hash = previous WHERE seq = 3", 3),
        ("UPDATE dpsynth_ledger SET seq = 7 WHERE seq = 3", 7),
        ("DELETE FROM dpsynth_ledger WHERE seq = 0", 1),
        ("DELETE FROM dpsynth_ledger WHERE seq = 2", 3),
    ],
)
def test_changes_are_found_and_nothing_more_is_booked(
    statement: str, entry: int, written: str, tamper: Tamper
) -> None:
    ledger = Ledger.read(written)
    tamper(written, statement)
    for act in (
        ledger.verify,
        lambda: ledger.reserve([SMALL], release="four"),
        lambda: ledger.record_release("one", {"verdict": "allow"}),
        lambda: ledger.extract("one"),
    ):
        with pytest.raises(IntegrityError, match=f"entry {entry} does not fit"):
            act()


def test_a_cut_tail_is_found_by_the_head(written: str, tamper: Tamper) -> None:
    ledger = Ledger.read(written)
    head = ledger.head
    tamper(written, "DELETE FROM dpsynth_ledger WHERE seq = 3")
    ledger.verify()
    with pytest.raises(IntegrityError, match="cut off"):
        ledger.verify(head)
    with pytest.raises(IntegrityError):
        ledger.verify(Head(0, head.hash))


@pytest.mark.parametrize(
    "statement", ["UPDATE dpsynth_ledger SET label = ''", "DELETE FROM dpsynth_ledger"]
)
def test_accidents_are_stopped(statement: str, written: str, tamper: Tamper) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        tamper(written, statement, guarded=True)
    Ledger.read(written).verify()


def test_threads_and_ledgers_share_a_place(place: str) -> None:
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            ledger = opened(place)
            for part in range(3):
                charge = Charge("x", GaussianEvent(100.0))
                ledger.reserve([charge], release=f"{number}-{part}")
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    ledger = Ledger.read(place)
    ledger.verify()
    assert [entry.seq for entry in ledger.entries()] == list(range(13))


def test_a_ledger_of_a_newer_version_is_named_so(written: str, tamper: Tamper) -> None:
    ledger = Ledger.read(written)
    tamper(written, "UPDATE dpsynth_ledger SET kind = 'treaty' WHERE seq = 3")
    for act in (ledger.verify, lambda: opened(written), lambda: Ledger.read(written)):
        with pytest.raises(IntegrityError, match="'treaty' is unknown; a newer version"):
            act()
    event = '{"scale":1.0,"type":"laplace"}'
    tamper(written, f"UPDATE dpsynth_ledger SET kind='charge', payload='{event}' WHERE seq = 3")
    with pytest.raises(IntegrityError, match=r"'laplace' is unknown.*a newer version"):
        ledger.verify()


def test_columns_of_a_newer_version_are_named_so(written: str, tamper: Tamper) -> None:
    tamper(written, "ALTER TABLE dpsynth_ledger ADD COLUMN signature TEXT")
    for act in (lambda: opened(written), lambda: Ledger.read(written)):
        with pytest.raises(InputError, match=r"\['signature'\].*newer version"):
            act()


def test_a_table_that_is_no_ledger(place: str, tamper: Tamper) -> None:
    opened(place)
    tamper(place, "ALTER TABLE dpsynth_ledger RENAME COLUMN previous TO before")
    tamper(place, "ALTER TABLE dpsynth_ledger DROP COLUMN before")
    with pytest.raises(InputError, match=r"lacks columns \['previous'\]; it is no ledger"):
        Ledger.read(place)


def test_ledgers_of_before_stay_readable(place: str) -> None:
    """Kinds budget and charge alone, one release under one name in several bookings."""
    ledger = opened(place)
    store = ledger._store
    old = [
        NewEntry("charge", "adult", "one", str(number), event_to_json(SMALL.event))
        for number in range(2)
    ]
    for entry in old:
        store.write(lambda c, entry=entry: store.append(c, store.checked(c), [entry]))
    ledger.verify()
    (record,) = ledger.releases()
    assert (record.release, record.verdict, record.policy_hash) == ("one", "not finished", None)
    ledger.reserve([SMALL], release="two")
    assert [record.release for record in ledger.releases()] == ["one", "two"]
