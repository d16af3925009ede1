"""Several processes on one ledger file, and processes that are killed while they write."""

import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

from dpsynth.errors import BudgetExceeded
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.ledger import Charge, Ledger

SPAWN = multiprocessing.get_context("spawn")


def open_ledger(path: str) -> Ledger:
    return Ledger.open(path, dataset="adult", epsilon=1.0, delta=1e-5)


def write_many(path: str, name: str, count: int) -> None:
    ledger = open_ledger(path)
    for number in range(count):
        ledger.reserve([Charge(str(number), GaussianEvent(1000.0))], release=name)


def race(path: str, barrier: object, results: object, name: str) -> None:
    ledger = open_ledger(path)
    barrier.wait()
    try:
        ledger.reserve([Charge("all", GaussianEvent(4.0))], release=name)  # epsilon 0.93 of 1
    except BudgetExceeded:
        results.put((name, False))
    else:
        results.put((name, True))


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")  # which does not exist: they race to make it as well
    names = ("left", "right")
    workers = [SPAWN.Process(target=write_many, args=(path, name, 40)) for name in names]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    ledger = Ledger.read(path)
    ledger.verify()
    entries = ledger.entries()
    assert [entry.seq for entry in entries] == list(range(81))
    for name in names:
        labels = [entry.label for entry in entries if entry.release == name]
        assert labels == [str(number) for number in range(40)]


def test_a_budget_for_one_has_one_winner(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    barrier, results = SPAWN.Barrier(8), SPAWN.Queue()
    workers = [
        SPAWN.Process(target=race, args=(path, barrier, results, str(number)))
        for number in range(8)
    ]
    for worker in workers:
        worker.start()
    outcomes = dict(results.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    assert sorted(outcomes.values()) == [False] * 7 + [True]
    ledger = Ledger.read(path)
    ledger.verify()
    (winner,) = (name for name, won in outcomes.items() if won)
    assert [entry.release for entry in ledger.entries()] == ["", winner]


LOOP = """
import sys
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.ledger import Charge, Ledger
ledger = Ledger.open(sys.argv[1], dataset="adult", epsilon=1.0, delta=1e-5)
for number in range(100000):
    ledger.reserve([Charge("x", GaussianEvent(5000.0)), Charge("y", GaussianEvent(5000.0))],
                   release=f"{sys.argv[2]}-{number}")
    print(f"{sys.argv[2]}-{number}", flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path, acknowledged = tmp_path / "ledger.db", []
    for attempt in range(2):
        worker = subprocess.Popen(
            [sys.executable, "-c", LOOP, str(path), str(attempt)],
            stdout=subprocess.PIPE,
            text=True,
        )
        first = worker.stdout.readline()
        time.sleep(0.2 + 0.077 * attempt)
        worker.send_signal(signal.SIGKILL)
        rest, _ = worker.communicate()
        assert worker.returncode == -signal.SIGKILL
        acknowledged += [first.strip(), *(line for line in rest.split("\n")[:-1])]
    ledger = Ledger.read(path)
    ledger.verify()
    releases = [entry.release for entry in ledger.entries()[1:]]
    assert len(acknowledged) > 4
    # Each is there with both charges; one more per attempt may be booked but not acknowledged.
    assert all(releases.count(release) == 2 for release in acknowledged)
    assert len(set(releases) - set(acknowledged)) <= 2
    assert all(releases.count(release) == 2 for release in releases)
