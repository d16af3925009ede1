import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dpsynth.errors import BudgetExceeded, InputError, UnsupportedEvent
from dpsynth.privacy import accounting, ledger_store
from dpsynth.privacy.events import (
    GaussianEvent,
    NonPrivateEvent,
    SampledGaussianEvent,
    ThresholdedGaussianEvent,
)
from dpsynth.privacy.ledger import Budget, Charge, Head, Ledger

SMALL = Charge("count", GaussianEvent(20.0))
MIXED = (
    Charge("values: city", ThresholdedGaussianEvent(30.0, 1e-7)),
    Charge("training: gradients", SampledGaussianEvent(4.0, 0.02, 100)),
)


def open_ledger(where: str | Path, *, epsilon: float = 1.0, dataset: str = "adult") -> Ledger:
    return Ledger.open(where, dataset=dataset, epsilon=epsilon, delta=1e-5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


# --- booking ------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [True, False])
def test_charges_are_booked_composed_and_kept(memory: bool, path: Path) -> None:
    ledger = open_ledger("sqlite://" if memory else path)
    first = ledger.reserve([SMALL], release="one")
    second = ledger.reserve(MIXED, release="two")
    events = [SMALL.event, *(charge.event for charge in MIXED)]
    assert ledger.spent() == accounting.epsilon(events, delta=1e-5)
    assert [(entry.seq, entry.release, entry.label) for entry in ledger.entries()] == [
        (0, "", "budget"),
        (1, "one", "count"),
        (2, "two", "values: city"),
        (3, "two", "training: gradients"),
    ]
    assert [entry.event for entry in ledger.entries()[1:]] == events
    assert first.head.entries == 2
    assert second.head == ledger.head == Head(4, ledger.entries()[-1].hash)
    ledger.verify(first.head)


def test_a_stored_budget_stays(path: Path) -> None:
    open_ledger(path, epsilon=1.0).reserve([SMALL], release="one")
    again = Ledger.open(path, dataset="adult", epsilon=99.0, delta=1e-3)
    assert again.budget == Budget(1.0, 1e-5)
    assert len(again.entries()) == 2
    read = Ledger.read(path)
    assert (read.dataset, read.budget, read.head) == ("adult", again.budget, again.head)


def test_datasets_have_budgets_of_their_own_and_one_chain(path: Path) -> None:
    adult, census = open_ledger(path, epsilon=0.3), open_ledger(path, dataset="census")
    adult.reserve([SMALL], release="one")
    assert census.spent() == 0.0
    census.reserve([SMALL], release="two")
    assert [entry.dataset for entry in adult.entries()] == ["adult", "census", "adult", "census"]
    adult.verify()
    assert Ledger.read(path, dataset="census").budget.epsilon == 1.0
    with pytest.raises(InputError, match=r"holds the datasets \['adult', 'census'\]; name one"):
        Ledger.read(path)
    with pytest.raises(InputError, match="has no dataset 'other'; it holds"):
        Ledger.read(path, dataset="other")
    assert [book.dataset for book in Ledger.read_all(path)] == ["adult", "census"]


def test_overspending_is_refused_and_writes_nothing(path: Path) -> None:
    ledger = open_ledger(path, epsilon=0.3)
    ledger.reserve([SMALL], release="one")
    before, head = ledger.spent(), ledger.head
    with pytest.raises(BudgetExceeded) as refusal:
        ledger.reserve([SMALL, Charge("more", GaussianEvent(3.0))], release="two")
    assert refusal.value.exit_code == 3
    assert f"spent so far {before:.6g}" in str(refusal.value)
    assert "budget" in str(refusal.value)
    assert ledger.head == head
    ledger.reserve([SMALL], release="three")  # what fits still does


@pytest.mark.parametrize(
    "event", [NonPrivateEvent(), ThresholdedGaussianEvent(1000.0, 1e-5), GaussianEvent(1e-200)]
)
def test_what_costs_infinity_is_refused(event: GaussianEvent, path: Path) -> None:
    with pytest.raises(BudgetExceeded, match="with it inf"):
        open_ledger(path, epsilon=100.0).reserve([Charge("all", event)], release="one")


def test_the_whole_budget_can_be_spent_in_parts(path: Path) -> None:
    mu = 1.0 / 3.7306317  # epsilon 1 at delta 1e-5
    parts = [Charge(str(part), GaussianEvent(7**0.5 / mu * (1 + 1e-7))) for part in range(7)]
    ledger = open_ledger(path)
    for part in parts:
        ledger.reserve([part], release=part.label)
    assert ledger.spent() == pytest.approx(1.0, rel=1e-6)
    with pytest.raises(BudgetExceeded):
        ledger.reserve(parts[:1], release="more")


@pytest.mark.parametrize("charges", [[], [SMALL, SMALL], [Charge(" ", SMALL.event)]])
def test_labels_must_be_there_and_differ(charges: list[Charge], path: Path) -> None:
    with pytest.raises(InputError, match="label"):
        open_ledger(path).reserve(charges, release="one")


def test_names_must_not_be_empty(path: Path) -> None:
    with pytest.raises(InputError, match="dataset"):
        open_ledger(path, dataset="")
    with pytest.raises(InputError, match="release"):
        open_ledger(path).reserve([SMALL], release="")


def test_a_budget_must_be_one(path: Path) -> None:
    with pytest.raises(InputError, match="epsilon"):
        open_ledger(path, epsilon=0.0)
    assert not path.exists()


def test_unknown_events_are_refused(path: Path) -> None:
    ledger = open_ledger(path)
    with pytest.raises(UnsupportedEvent):
        ledger.reserve([Charge("odd", "Laplace")], release="one")
    assert len(ledger.entries()) == 1


# --- taking -------------------------------------------------------------------------------------


def test_each_charge_is_taken_once() -> None:
    reservation = open_ledger("sqlite://").reserve(MIXED, release="one")
    assert reservation.remaining == ("values: city", "training: gradients")
    assert reservation.take("values: city") == MIXED[0]
    assert reservation.remaining == ("training: gradients",)
    with pytest.raises(BudgetExceeded, match="taken before"):
        reservation.take("values: city")
    with pytest.raises(BudgetExceeded, match="not reserved"):
        reservation.take("values: town")
    assert reservation.charges == MIXED


def in_threads(count: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_threads_share_a_reservation_and_a_ledger_in_memory() -> None:
    ledger, won = open_ledger("sqlite://"), []
    reservation = ledger.reserve([SMALL], release="one")

    def work(number: int) -> None:
        ledger.reserve([Charge("x", GaussianEvent(100.0))], release=str(number))
        try:
            won.append(reservation.take("count"))
        except BudgetExceeded:
            return

    in_threads(8, work)
    assert won == [SMALL]
    assert len(ledger.entries()) == 10
    ledger.verify()


def test_commits_are_synced_with_their_folder(path: Path) -> None:
    # 3 is EXTRA: after a power cut a committed charge is still there.
    engine = open_ledger(path)._store._engine
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 3
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"


# --- places that are no ledger ------------------------------------------------------------------


def test_reading_what_is_absent_makes_nothing(path: Path) -> None:
    for where in (path, str(path), f"sqlite:///{path}"):
        with pytest.raises(InputError, match="does not exist"):
            Ledger.read(where)
    assert not path.exists()


def test_another_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
    connection.close()
    for attempt in (lambda: open_ledger(path), lambda: Ledger.read(path)):
        with pytest.raises(InputError, match="holds no ledger"):
            attempt()


def test_an_empty_file_becomes_a_ledger_only_when_opened(path: Path) -> None:
    path.touch()
    with pytest.raises(InputError, match="holds no ledger"):
        Ledger.read(path)
    open_ledger(path).verify()


def test_a_conflict_with_another_writer_is_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database without a writer's lock: the key on `seq` refuses the later of two."""
    ledger, other, raced = open_ledger(path), open_ledger(path), []
    append = ledger_store.Store.append

    def late(self, connection, entries, new):
        if self is ledger._store and not raced:
            raced.append(True)
            entries = entries[:-1]  # as if read before the last entry was committed
        return append(self, connection, entries, new)

    other.reserve([SMALL], release="theirs")
    monkeypatch.setattr(ledger_store.Store, "append", late)
    ledger.reserve([SMALL], release="ours")
    assert raced == [True]
    assert [entry.release for entry in ledger.entries()] == ["", "theirs", "ours"]
    ledger.verify()


def test_endless_conflicts_end_in_a_clear_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = open_ledger(path)
    append = ledger_store.Store.append

    def always_late(self, connection, entries, new):
        return append(self, connection, (), new)

    monkeypatch.setattr(ledger_store.Store, "append", always_late)
    with pytest.raises(InputError, match="other writers"):
        ledger.reserve([SMALL], release="ours")
