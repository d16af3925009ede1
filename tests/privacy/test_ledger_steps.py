"""Steps of a training that may be gone on with: counted durably, none of them twice."""

import threading
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
import torch
from torch import Tensor

from dpsynth.errors import BudgetExceeded, InputError, IntegrityError
from dpsynth.privacy.curator import GradientChannel
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.ledger import Charge, Ledger, Reservation
from dpsynth.privacy.ledger_steps import StepBook, table_identity
from dpsynth.privacy.noise import seeded_noise
from dpsynth.table import Table

COUNT = Charge("count", GaussianEvent(50.0))
TRAINING = Charge("training", GaussianEvent(50.0, steps=3))
FRAME = pd.DataFrame({"age": [30, 41, 52, 41], "sex": ["f", "m", None, "f"]})
Tamper = Callable[..., None]


def opened(place: str, *, dataset: str = "people") -> Ledger:
    return Ledger.open(place, dataset=dataset, epsilon=1.0, delta=1e-5)


def whose(frame: pd.DataFrame = FRAME) -> Callable[[bytes], str]:
    return table_identity(Table.from_frame(frame))


def started(place: str, release: str = "one") -> tuple[Reservation, StepBook]:
    ledger = opened(place)
    reservation = ledger.reserve([COUNT, TRAINING], release=release)
    return reservation, ledger.keep_steps(reservation, label="training", rows=whose())


def test_what_was_begun_is_spent_for_whoever_goes_on(place: str) -> None:
    reservation, book = started(place)
    book.begin(0)
    book.begin(1)
    again, reopened = opened(place).resume("one", rows=whose())
    assert reopened.begun == 2
    assert again.steps_of("training") is reopened
    assert again.remaining == ("training",)
    assert again.booking == reservation.booking
    with pytest.raises(BudgetExceeded, match="'count' was not reserved"):
        again.take("count")


def test_going_on_books_nothing(place: str) -> None:
    started(place)
    ledger = opened(place)
    head, spent = ledger.head, ledger.spent()
    _, book = ledger.resume("one", rows=whose())
    book.begin(0)
    assert (ledger.head, ledger.spent()) == (head, spent)
    ledger.verify(head)
    assert "begun" not in ledger.extract("one")


def test_no_step_is_begun_twice(place: str) -> None:
    _, first = started(place)
    _, second = opened(place).resume("one", rows=whose())
    first.begin(0)
    with pytest.raises(InputError, match="step 0 of release 'one' was begun by another process"):
        second.begin(0)
    first.begin(1)


def test_of_many_that_begin_a_step_at_once_one_does(place: str) -> None:
    started(place)
    books = [opened(place).resume("one", rows=whose())[1] for _ in range(4)]
    outcomes: list[str] = []

    def work(book: StepBook) -> None:
        try:
            book.begin(0)
            outcomes.append("begun")
        except InputError:
            outcomes.append("refused")

    threads = [threading.Thread(target=work, args=(book,)) for book in books]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["begun", *["refused"] * 3]


def test_what_is_over_is_not_gone_on_with(place: str) -> None:
    _, book = started(place)
    book.begin(0)
    book.close()
    book.close()
    with pytest.raises(InputError, match="notes the end of the training"):
        opened(place).resume("one", rows=whose())
    with pytest.raises(InputError, match="another process"):
        book.begin(1)


def test_another_table_ledger_dataset_or_release_is_refused(place: str) -> None:
    started(place)
    other = FRAME.assign(age=[30, 41, 52, 42])
    with pytest.raises(InputError, match="another table than the one that the checkpoint"):
        opened(place).resume("one", rows=whose(other))
    with pytest.raises(InputError, match="no release 'two' of dataset 'people'"):
        opened(place).resume("two", rows=whose())
    with pytest.raises(InputError, match="no release 'one' of dataset 'others'"):
        opened(place, dataset="others").resume("one", rows=whose())


def test_a_ledger_of_before_is_given_the_table_when_it_is_needed(place: str) -> None:
    ledger = opened(place)
    reservation = ledger.reserve([TRAINING], release="one")
    with pytest.raises(InputError, match="keeps no steps of release 'one'"):
        ledger.resume("one", rows=whose())
    ledger.keep_steps(reservation, label="training", rows=whose())
    assert ledger.resume("one", rows=whose())[1].begun == 0
    with pytest.raises(InputError, match="keeps steps of release 'one' already"):
        ledger.keep_steps(reservation, label="training", rows=whose())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE dpsynth_ledger_steps SET step = 9 WHERE step = 1",
        "DELETE FROM dpsynth_ledger_steps WHERE step = 1",
    ],
)
def test_changes_are_stopped_and_found(place: str, tamper: Tamper, statement: str) -> None:
    _, book = started(place)
    book.begin(0)
    book.begin(1)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        tamper(place, statement, guarded=True)
    past = (
        ["ALTER TABLE dpsynth_ledger_steps DISABLE TRIGGER ALL"]
        if "://" in place
        else [f"DROP TRIGGER dpsynth_ledger_steps_no_{v}" for v in ("update", "delete")]
    )
    tamper(place, *past, statement)
    with pytest.raises(IntegrityError, match="not numbered from 0 without a gap"):
        opened(place).resume("one", rows=whose())


def test_a_note_that_cannot_be_read_is_named(place: str, tamper: Tamper) -> None:
    opened(place).reserve([TRAINING], release="zero")
    started(place)
    statement = "INSERT INTO dpsynth_ledger_steps (release, step, note) VALUES ('zero', 0, '{}')"
    tamper(place, statement)
    with pytest.raises(IntegrityError, match="by what the table is known"):
        opened(place).resume("zero", rows=whose())


def test_that_steps_cannot_be_kept_is_found_beforehand(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = opened(place)
    ledger.check_steps()
    started(place)
    ledger.check_steps()
    assert opened(place).resume("one", rows=whose())[1].begun == 0
    columns = "(release TEXT, step TEXT)"
    tables = (
        f"ALTER TABLE dpsynth_ledger_steps RENAME TO x; CREATE TABLE dpsynth_ledger_steps {columns}"
    )
    with ledger._store._engine.connect() as connection, connection.begin():
        for statement in tables.split("; "):
            connection.exec_driver_sql(statement)
    with pytest.raises(InputError, match="note"):
        ledger.check_steps()


def test_a_ledger_in_memory_is_not_durable(tmp_path: object) -> None:
    assert not opened("sqlite://").is_durable
    assert opened(f"{tmp_path}/ledger.db").is_durable


def test_a_table_is_known_by_its_values_in_any_order() -> None:
    salt = b"s" * 32
    same = whose()(salt)
    assert whose(FRAME.iloc[::-1])(salt) == same
    assert whose(FRAME[["sex", "age"]])(salt) == same
    assert whose(FRAME.astype(str).replace("None", ""))(salt) == same
    assert whose()(b"t" * 32) != same
    for other in (
        FRAME.iloc[:3],
        pd.concat([FRAME, FRAME.iloc[:1]]),
        FRAME.rename(columns={"sex": "gender"}),
        FRAME.assign(sex=["f", "m", "m", "f"]),
    ):
        assert whose(other)(salt) != same


class _Clipper:
    """Sums of ones; notes when it was asked."""

    max_grad_norm = 1.0

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def masks(self) -> list[Tensor]:
        return [torch.ones(2, dtype=torch.bool)]

    def clipped_sum(self, _codes: Tensor) -> list[Tensor]:
        self._seen.append("rows")
        return [torch.ones(2, dtype=torch.float64)]


def channel(seen: list[str], begin: Callable[[int], None], taken: int) -> GradientChannel:
    return GradientChannel(
        clipper=_Clipper(seen),  # type: ignore[arg-type]
        codes=torch.zeros(3, 1),
        steps=3,
        sample_rate=1.0,
        scale=1.0,
        noise=seeded_noise(0),
        taken=taken,
        begin=begin,
    )


def test_a_step_is_noted_before_a_row_is_read() -> None:
    seen: list[str] = []
    made = channel(seen, lambda taken: seen.append(f"begin {taken}"), 1)
    made.ask()
    made.ask()
    assert seen == ["begin 1", "rows", "begin 2", "rows"]
    with pytest.raises(BudgetExceeded, match="all 3 gradient steps"):
        made.ask()


def test_a_step_that_cannot_be_noted_reads_no_row() -> None:
    seen: list[str] = []

    def refuse(taken: int) -> None:
        raise InputError(f"step {taken} was begun")

    made = channel(seen, refuse, 0)
    with pytest.raises(InputError):
        made.ask()
    assert seen == []
    assert made.taken == 0


def test_answers_of_all_that_go_on_are_no_more_than_the_charge(place: str) -> None:
    """Three processes with copies of one checkpoint, each as greedy as it can be."""
    started(place)
    books = [opened(place).resume("one", rows=whose())[1] for _ in range(3)]
    rng, seen = np.random.default_rng(3), list[str]()
    channels = [channel(seen, book.begin, book.begun) for book in books]
    for pick in rng.integers(0, 3, 12):
        try:
            channels[pick].ask()
        except (InputError, BudgetExceeded):
            _, book = opened(place).resume("one", rows=whose())
            channels[pick] = channel(seen, book.begin, book.begun)
    assert len(seen) == TRAINING.event.steps  # type: ignore[union-attr]
