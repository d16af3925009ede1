"""`--checkpoint` of `fit` and `run`: cut off, and gone on with by the same command."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from dpsynth.cli import invoke
from dpsynth.console import Bars
from dpsynth.privacy.ledger import Ledger
from dpsynth.training.options import TrainingOptions

Refused = Callable[..., str]


def command(data: Path, *more: str, verb: str = "fit") -> list[str]:
    folder = data.parent
    kept = ["--checkpoint", str(folder / "kept"), "-o", str(folder / "out")]
    return [verb, str(data), "--epsilon", "8", "--generator", "independent", *kept, *more]


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    few = TrainingOptions(steps=4)
    monkeypatch.setattr(TrainingOptions, "recommended", classmethod(lambda cls, **_: few))


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch, stage: str = "training") -> None:
    """Ctrl-C right after the progress bar shows this step."""

    def shown(self: Bars, label: str, done: int, total: int) -> None:
        if label.startswith(stage) and done == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(Bars, "__call__", shown)


@pytest.fixture
def stopped(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The table of a fit that was stopped after step 2."""
    with monkeypatch.context() as patched:
        stop_at(2, patched)
        assert invoke(command(data)) == 1
    return data


def spent(data: Path) -> float:
    return Ledger.read(f"{data.parent / 'out'}.ledger.db").spent()


def test_a_stopped_fit_goes_on_with_the_same_command(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        stop_at(2, patched)
        assert invoke(command(data)) == 1
    said = capsys.readouterr().err
    assert "keeps the training up to step 2; the same command goes on from it" in said
    assert "stopped; what the ledger has booked stays booked" in said
    before = spent(data)
    assert invoke(command(data)) == 0
    assert "going on with release" in capsys.readouterr().err
    assert spent(data) == before
    assert (data.parent / "out" / "model.json").is_file()
    assert not (data.parent / "kept").exists()


def test_a_stopped_run_goes_on_with_the_rows_that_it_held_out(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = command(data, verb="run")
    with monkeypatch.context() as patched:
        stop_at(2, patched)
        assert invoke(arguments) == 1
    head = json.loads((data.parent / "kept" / "checkpoint.json").read_text())
    with monkeypatch.context() as patched:
        stop_at(0, patched, "writing")  # the training is done: nothing of it is lost
        assert invoke(arguments) == 1
    before = spent(data)
    assert invoke(arguments) in (0, 3, 4)
    out = data.parent / "out"
    held = json.loads((out / "internal" / "holdout.json").read_text())
    assert held["rows"] == head["holdout_rows"]
    assert spent(data) == before
    assert not (data.parent / "kept").exists()
    assert invoke(["verify", str(out)]) == 0
    (record,) = Ledger.read(f"{out}.ledger.db").releases()
    assert record.release == head["release"]
    assert record.verdict != "not finished"


def test_stopped_before_training_says_what_it_cost(
    data: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    with monkeypatch.context() as patched:
        stop_at(1, patched, "learning")
        assert invoke(command(data)) == 1
    said = refused(command(data))
    assert "before its first checkpoint" in said
    assert "its charge stays booked" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--epsilon", "7"], "epsilon is 7.0 here and was 8.0 when the checkpoint was made"),
        (["--delta", "1e-6"], "delta is 1e-06 here and was 1e-05"),
        (["--generator", "vae"], "generator is 'vae' here and was 'independent'"),
        (["--dataset", "others"], "dataset is 'others' here and was 'people.csv'"),
    ],
)
def test_other_options_are_refused_by_name(
    change: list[str], said: str, stopped: Path, refused: Refused
) -> None:
    assert said in refused(command(stopped, *change))
    assert not (stopped.parent / "out").exists()


def test_another_table_command_or_ledger_is_refused(stopped: Path, refused: Refused) -> None:
    assert "command is 'run' here and was 'fit'" in refused(command(stopped, verb="run"))
    book = ["--ledger", str(stopped.parent / "book.db")]
    assert "book.db: has no release" in refused(command(stopped, *book))
    lines = stopped.read_text().splitlines()
    stopped.write_text("\n".join(lines[:-1]) + "\n")
    assert "this is another table" in refused(command(stopped))


def test_a_broken_state_is_not_said_to_go_on(
    stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (state,) = (stopped.parent / "kept").glob("state-*.safetensors")
    state.write_bytes(state.read_bytes()[:-1])
    assert invoke(command(stopped)) == 2
    said = capsys.readouterr().err
    assert "cut short or changed" in said
    assert "goes on from it" not in said


def test_places_that_will_not_do(stopped: Path, refused: Refused) -> None:
    folder = stopped.parent
    (folder / "out").mkdir()
    assert "exists" in refused(command(stopped))
    (folder / "out").rmdir()
    same = [*command(stopped)[:-1], str(folder / "kept2"), "--checkpoint", str(folder / "kept2")]
    assert "both" in refused(same)
    shutil.rmtree(folder / "kept" / "draft")
    assert "before its first checkpoint" in refused(command(stopped))
    (folder / "kept" / "checkpoint.json").write_text("{")
    assert "checkpoint.json: cut short or changed" in refused(command(stopped))


KILLED = """
import sys
from dpsynth import cli
from dpsynth.training.options import TrainingOptions
few = TrainingOptions(steps=int(sys.argv[1]))
TrainingOptions.recommended = classmethod(lambda cls, **_: few)
cli.main(sys.argv[2:])
"""
STEPS = 60


def begun(ledger: str) -> int:
    """Steps that the ledger counts as begun; 0 as long as it cannot tell."""
    engine = sa.create_engine(f"sqlite:///{ledger}")
    try:
        with engine.connect() as connection:
            query = "SELECT count(*) FROM dpsynth_ledger_steps WHERE note = 'begun'"
            return int(connection.exec_driver_sql(query).scalar_one())
    except sa.exc.OperationalError:
        return 0


@pytest.mark.slow  # half a dozen processes that each load torch
@pytest.mark.parametrize("verb", ["fit", "run"])
def test_kill_9_at_any_time_costs_at_most_the_step_in_flight(verb: str, data: Path) -> None:
    """Killed again and again, until it gets through: the ledger and the output are right."""
    program = [sys.executable, "-c", KILLED, str(STEPS), *command(data, verb=verb)]
    ledger, kills = f"{data.parent / 'out'}.ledger.db", 0
    log = data.parent / "log"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    while kills < 3:
        known = begun(ledger)
        with log.open("wb") as said:
            process = subprocess.Popen(program, env=environment, stderr=said)
        until = time.monotonic() + 120
        while begun(ledger) < known + 4 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        assert process.poll() is None, log.read_text()[-2000:]
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        saved = json.loads((data.parent / "kept" / "training.json").read_text())["step"]
        assert saved <= begun(ledger) <= saved + 1
    before, known = Ledger.read(ledger).head, begun(ledger)
    assert known < STEPS
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3, 4), done.stderr
    assert begun(ledger) == STEPS
    book = Ledger.read(ledger)
    book.verify(before)
    charges = [entry for entry in book.entries() if entry.event is not None]
    assert len(charges) == sum(
        entry.event is not None for entry in book.entries()[: before.entries]
    )
    assert not (data.parent / "kept").exists()
    assert (data.parent / "out").is_dir()
