"""Controls through the whole chain, from a private table to a bundle that verifies."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dpsynth import pipeline
from dpsynth.errors import BudgetExceeded
from dpsynth.fitted import FittedModel
from dpsynth.privacy.ledger import Ledger
from dpsynth.release.bundle import write_bundle
from dpsynth.release.canonical import read_json
from dpsynth.release.commands import verify_command
from dpsynth.release.reading import read_bundle
from dpsynth.release.verify import verify_bundle
from dpsynth.schema import Column, Schema
from dpsynth.synthesizer import Synthesizer
from dpsynth.table import Table, split
from dpsynth.training.options import TrainingOptions

FEW_STEPS = TrainingOptions(steps=3)
SCHEMA = Schema(
    columns=(
        Column(name="age", kind="integer", lower=0, upper=99, nullable=False),
        Column(name="income", kind="numeric", lower=0, upper=9999, decimals=1, nullable=False),
        Column(name="height", kind="numeric", lower=50, upper=250, decimals=1, nullable=False),
        Column(name="town", kind="categorical", categories=("Ulm", "Bonn", "Kiel")),
    )
)


def blind(rows: int, seed: int) -> pd.DataFrame:
    """Rows that follow from the declared domain alone."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(0, 100, rows),
            "income": np.round(rng.uniform(0, 9999, rows), 1),
            "height": np.round(rng.uniform(50, 250, rows), 1),
            "town": rng.choice(["Ulm", "Bonn", "Kiel"], rows),
        }
    )


def private(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(99)
    age = rng.integers(0, 100, rows)
    return blind(rows, 98).assign(age=age, income=np.round(40.0 * age + rng.gamma(2, 300, rows), 1))


def settings(ledger: Ledger, **changes: Any) -> Synthesizer:
    return Synthesizer(
        **{"epsilon": 1.0, "schema": SCHEMA, "training": FEW_STEPS, "ledger": ledger, **changes}
    )


def open_ledger(tmp_path: Path, epsilon: float = 3.0) -> Ledger:
    return Ledger.open(tmp_path / "l.db", dataset="people", epsilon=epsilon, delta=1e-5)


@pytest.fixture
def run_as(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[pipeline.RunResult, Ledger]]:
    """A run whose generator is replaced by one that copies the rows it was trained on, or is blind.

    Nothing that ships can copy: a generator never sees a row. So the control takes the place of
    what a model samples.
    """
    table, seen = private(1200), []

    def watched(*args: Any, **options: Any) -> Any:
        # The same rows are held out each time: audits have a false alarm rate of their own.
        seen.append(split(*args, **{**options, "rng": np.random.default_rng(1)}))
        return seen[-1]

    def copies(model: FittedModel, rows: int, **_: Any) -> pd.DataFrame:
        return table.iloc[seen[-1].train_rows].reset_index(drop=True)

    def invents(model: FittedModel, rows: int, **_: Any) -> pd.DataFrame:
        return blind(rows, seed=5)

    def run(kind: str) -> tuple[pipeline.RunResult, Ledger]:
        monkeypatch.setattr(pipeline, "split", watched)
        sample = {"copies": copies, "blind": invents}[kind]
        monkeypatch.setattr(FittedModel, "sample", sample)
        ledger = open_ledger(tmp_path)
        rng = np.random.default_rng(1)
        out = tmp_path / "bundle"
        return pipeline.run(table, out, synthesizer=settings(ledger), rng=rng), ledger

    return run


@pytest.mark.slow
def test_a_copying_generator_is_refused_and_its_bundle_says_so(
    run_as: Callable[[str], tuple[pipeline.RunResult, Ledger]],
) -> None:
    result, ledger = run_as("copies")
    assert result.audit.verdict == "leak"
    assert (result.decision.verdict, result.decision.exit_code) == ("refuse", 3)
    assert not list((result.bundle / "public").glob("synthetic*")), "nothing may leave"
    assert read_json(result.bundle / "public" / "decision.json")["shareable"] is False
    verification = verify_bundle(result.bundle, ledger=ledger)
    assert verification.ok, verification.failures
    assert [release.verdict for release in ledger.releases()] == ["refuse"]


@pytest.mark.slow
def test_a_generator_that_is_blind_is_not_called_leaky(
    run_as: Callable[[str], tuple[pipeline.RunResult, Ledger]],
) -> None:
    result, ledger = run_as("blind")
    assert [f.name for f in result.audit.findings if f.verdict == "leak"] == []
    assert result.decision.verdict != "refuse"
    verification = verify_bundle(result.bundle, ledger=ledger)
    assert verification.ok, verification.failures


@pytest.mark.slow
def test_a_policy_changed_after_the_run_is_noticed_however_much_is_rewritten(
    run_as: Callable[[str], tuple[pipeline.RunResult, Ledger]], tmp_path: Path
) -> None:
    """First one file, then all that a forger can write anew; the ledger is not theirs to write."""
    result, ledger = run_as("blind")
    touched = Path(shutil.copytree(result.bundle, tmp_path / "touched"))
    policy = touched / "internal" / "policy.toml"
    policy.write_text(f"{policy.read_text(encoding='utf-8')}\n# one line more\n")
    assert "internal/policy.toml" in said(verify_bundle(touched))

    contents = read_bundle(result.bundle)
    forged = write_bundle(tmp_path / "forged", loosened(contents))
    found = {check.name for check in verify_bundle(forged).failures}
    assert found == {"ledger extract"}, "all that could be rewritten agrees"
    assert "policy_hash was fixed as" in said(verify_bundle(forged))
    assert "ledger" in {check.name for check in verify_bundle(forged, ledger=ledger).failures}


def loosened(contents: Any) -> Any:
    """The same release as if another policy had been fixed: decision and statement rewritten."""
    from dataclasses import replace

    from dpsynth.release.gate import decide
    from dpsynth.release.policy import parse_policy, policy_hash

    text = 'name = "loose"\naudience = "development"\nmax_epsilon = 50.0\n'
    policy = parse_policy(text)
    statement = contents.statement.model_copy(update={"policy_hash": policy_hash(policy)})
    decision = decide(statement, contents.audit, policy)
    return replace(contents, policy_text=text, statement=statement, decision=decision)


def said(verification: Any) -> str:
    return " | ".join(f"{check.name}: {check.message}" for check in verification.failures)


def test_a_spent_ledger_refuses_before_a_row_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(tmp_path, epsilon=0.5)
    entries = ledger.entries()

    def read(*args: Any, **options: Any) -> Table:
        pytest.fail("a row was read before the ledger was asked")

    for reader in ("read", "from_csv", "from_frame", "from_parquet", "from_sql"):
        monkeypatch.setattr(Table, reader, read)
    with pytest.raises(BudgetExceeded, match="epsilon"):
        pipeline.run(private(50), tmp_path / "out", synthesizer=settings(ledger, epsilon=1.0))
    assert ledger.entries() == entries, "nothing was charged"
    assert not (tmp_path / "out").exists()
    ledger_with_room = Ledger.open(tmp_path / "room.db", dataset="people", epsilon=3.0, delta=1e-5)
    with pytest.raises(pytest.fail.Exception, match="a row was read"):
        pipeline.run(private(50), tmp_path / "out", synthesizer=settings(ledger_with_room))


DRIVER = """
import os, signal, sys, traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from dpsynth import pipeline, writing
from dpsynth.privacy.ledger import Ledger
from dpsynth.schema import Schema
from dpsynth.synthesizer import Synthesizer
from dpsynth.training.options import TrainingOptions

place = Path(sys.argv[1])
table, schema = pd.read_csv(place / "table.csv"), Schema.from_toml(place / "schema.toml")
audit_tables, sync = pipeline.audit_tables, writing._sync


def few(tables, *, options, **rest):
    brief = replace(options, attacks=["closest_record"], checks=["copies"], n_jobs=1)
    return audit_tables(tables, options=brief, **rest)


def child(number):
    steps = 0

    def step(*ignored):
        nonlocal steps
        steps += 1
        if steps == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def stepping_sync(path):
        step()
        sync(path)

    pipeline.audit_tables, writing._sync = few, stepping_sync
    ledger = Ledger.open(place / f"{number}.db", dataset="people", epsilon=3.0, delta=1e-5)
    noted = Ledger.record_release

    def note(self, *args, **options):
        step()
        noted(self, *args, **options)
        step()

    Ledger.record_release = note
    settings = Synthesizer(
        epsilon=1.0, schema=schema, training=TrainingOptions(steps=3), ledger=ledger
    )
    pipeline.run(table, place / f"bundle-{number}", synthesizer=settings, progress=step)
    (place / "steps").write_text(str(steps))
    os._exit(0)


def ending(number):
    if (pid := os.fork()) == 0:
        try:
            child(number)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    print(number, os.waitpid(pid, 0)[1], flush=True)


ending(0)  # never killed: tells how many steps there are
steps = int((place / "steps").read_text())
early, late = np.linspace(1, steps - 10, 14).round(), np.arange(steps - 9, steps + 1)
for number in sorted({*map(int, early), *map(int, late)}):
    ending(number)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_a_whole_bundle_or_none_and_never_one_without_its_charge(
    tmp_path: Path,
) -> None:
    """kill -9 at every step that a run reports, every file it syncs, and around its last entry."""
    private(600).to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "schema.toml").write_text(SCHEMA.to_toml_text(), encoding="utf-8")
    command = [sys.executable, "-c", DRIVER, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    endings = dict(tuple(map(int, line.split())) for line in done.stdout.splitlines())
    states = {number: state_after(tmp_path, number) for number in endings}
    assert (endings.pop(0), states.pop(0)) == (0, "bundle"), done.stderr
    assert len(endings) >= 20
    assert set(endings.values()) == {9}, "each was killed"
    assert list(dict.fromkeys(states.values())) == [
        "nothing charged",
        "charged, no bundle",
        "bundle, not noted",
        "bundle",
    ], "killed later, more is there; nothing else ever"


def state_after(place: Path, number: int) -> str:
    """What a run left behind, every promise about it checked."""
    bundle = place / f"bundle-{number}"
    ledger = Ledger.read(place / f"{number}.db")
    ledger.verify()
    releases = ledger.releases()
    if not bundle.exists():
        assert all(release.verdict == "not finished" for release in releases)
        return "charged, no bundle" if releases else "nothing charged"
    assert len(releases) == 1, "a bundle without its charge"
    verification = verify_command(bundle, ledger=str(place / f"{number}.db"))
    assert verification.ok, said(verification)
    return "bundle" if releases[0].manifests else "bundle, not noted"
