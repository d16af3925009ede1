"""Many processes on one ledger, and processes that are killed while they write."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dpsynth.privacy.calibration import mu_for
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.ledger import Charge, Ledger

# Each script loads the package once and forks: a ledger keeps no connection open between calls.
START = """
import json, os, random, signal, sys, time
import sqlalchemy as sa
from dpsynth.errors import BudgetExceeded
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.ledger import Charge, Ledger
where, noise = sys.argv[1], float(sys.argv[2])
def opened():
    return Ledger.open(where, dataset="adult", epsilon=1.0, delta=1e-5)
def forked(work):
    pid = os.fork()
    if pid:
        return pid
    try:
        code = work() or 0
    except BaseException as fault:
        print(repr(fault), file=sys.stderr, flush=True)
        code = 9
    os._exit(code)
def ended(pid):
    return os.waitpid(pid, 0)[1]
"""

RACE = """
gate, start = os.pipe()
def work(number):
    os.close(start)
    os.read(gate, 1)
    try:
        opened().reserve([Charge("all", GaussianEvent(noise))], release=str(number))
    except BudgetExceeded:
        return 3
pids = [forked(lambda: work(number)) for number in range(20)]
os.close(start)
print(json.dumps([os.waitstatus_to_exitcode(ended(pid)) for pid in pids]))
"""

MANY = """
def work(name):
    ledger = opened()
    for number in range(25):
        charge = Charge(str(number), GaussianEvent(noise))
        ledger.reserve([charge], release=f"{name}-{number}")
pids = [forked(lambda: work(name)) for name in ("left", "right")]
print(json.dumps([ended(pid) for pid in pids]))
"""

# The k-th statement of a booking, the commit included, is the last thing that the process does.
KILL_AT = """
def work(point):
    ledger, seen = opened(), [0]
    def count(*_):
        seen[0] += 1
        if seen[0] == point:
            os.kill(os.getpid(), signal.SIGKILL)
    engine = ledger._store._engine
    sa.event.listen(engine, "before_cursor_execute", count)
    sa.event.listen(engine, "commit", count)
    charges = [Charge(label, GaussianEvent(noise)) for label in ("x", "y")]
    ledger.reserve(charges, release=f"r{point}", facts={"policy_hash": "h"})
    return 7
point, done = 0, False
while not done:
    point += 1
    status = ended(forked(lambda: work(point)))
    done = os.WIFEXITED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL or os.WEXITSTATUS(status) == 7, status
    Ledger.read(where).verify()
    opened().reserve([Charge("after", GaussianEvent(noise))], release=f"after r{point}")
print(json.dumps(point))
"""

KILL_ANY_TIME = """
rng, acknowledged = random.Random(7), []
for attempt in range(15):
    answers, answer = os.pipe()
    def work():
        ledger = opened()
        for number in range(10000):
            release = f"{attempt}-{number}"
            charges = [Charge(label, GaussianEvent(noise)) for label in ("x", "y")]
            ledger.reserve(charges, release=release)
            os.write(answer, (release + "\\n").encode())
    pid = forked(work)
    os.close(answer)
    heard = os.read(answers, 64)
    time.sleep(rng.uniform(0.0, 0.15))
    os.kill(pid, signal.SIGKILL)
    assert os.WTERMSIG(ended(pid)) == signal.SIGKILL
    while more := os.read(answers, 65536):
        heard += more
    acknowledged += heard.decode().split("\\n")[:-1]
print(json.dumps(acknowledged))
"""


def run(script: str, place: str, noise: float) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", START + script, place, str(noise)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def opened(place: str) -> Ledger:
    return Ledger.open(place, dataset="adult", epsilon=1.0, delta=1e-5)


def noise_for_the_last(part: float) -> tuple[float, float]:
    """Noise multipliers of all but the last part of epsilon 1, and of that last part."""
    before, whole = mu_for(1.0 - part, 1e-5), mu_for(1.0, 1e-5)
    return 1.0 / before, (whole**2 - before**2) ** -0.5


@pytest.mark.slow
def test_of_twenty_processes_one_gets_the_last_tenth_of_epsilon(place: str) -> None:
    most, last = noise_for_the_last(0.1)
    opened(place).reserve([Charge("most", GaussianEvent(most))], release="first")
    codes = run(RACE, place, last)
    assert sorted(codes) == [0] + [3] * 19
    ledger = Ledger.read(place)
    ledger.verify()
    assert [entry.release for entry in ledger.entries()] == ["", "first", str(codes.index(0))]
    assert ledger.spent() == pytest.approx(1.0, rel=1e-9)


@pytest.mark.slow
def test_processes_that_race_to_make_a_ledger_lose_nothing(place: str) -> None:
    assert run(MANY, place, 1000.0) == [0, 0]
    ledger = Ledger.read(place)
    ledger.verify()
    assert [entry.seq for entry in ledger.entries()] == list(range(51))
    for name in ("left", "right"):
        labels = [e.label for e in ledger.entries() if e.release.startswith(name)]
        assert labels == [str(number) for number in range(25)]


@pytest.mark.slow
def test_kill_9_at_every_statement_leaves_all_or_nothing(place: str) -> None:
    points = run(KILL_AT, place, 5000.0)
    assert points > 5
    ledger = Ledger.read(place)
    ledger.verify()
    kinds: dict[str, list[str]] = {}
    for entry in ledger.entries()[1:]:
        kinds.setdefault(entry.release, []).append(entry.kind)
    booked = {name: found for name, found in kinds.items() if name.startswith("r")}
    assert f"r{points}" in booked  # control: the one that was not killed
    assert len(booked) < points  # control: most were killed before the commit
    assert all(found == ["opening", "charge", "charge"] for found in booked.values())


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9_at_any_time(place: str) -> None:
    acknowledged = run(KILL_ANY_TIME, place, 5000.0)
    ledger = Ledger.read(place)
    ledger.verify()
    releases = [entry.release for entry in ledger.entries()[1:]]
    assert len(acknowledged) >= 15
    # Each is there with both charges; one more per attempt may be booked but not acknowledged.
    assert all(releases.count(release) == 2 for release in releases)
    assert set(acknowledged) <= set(releases)
    assert len(set(releases) - set(acknowledged)) <= 15


def test_two_processes_share_a_file(tmp_path: Path) -> None:
    place = str(tmp_path / "ledger.db")
    assert run(MANY.replace("25", "5"), place, 1000.0) == [0, 0]
    ledger = Ledger.read(place)
    ledger.verify()
    assert len(ledger.entries()) == 11
