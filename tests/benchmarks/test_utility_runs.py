"""Runs of the utility benchmark: what a result is found by, and what becomes of failures."""

import dataclasses
import importlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

DRAWS = """
import json, pathlib, sys
job = json.loads(pathlib.Path(sys.argv[1]).read_text())
with open(job["settings"]["log"], "a") as log:
    log.write("fitted\\n")
pathlib.Path(job["synthetic"]).write_text(pathlib.Path(job["train"]).read_text())
print("a word before")
print(json.dumps({"fit_s": 1.0, "fit_cpu_s": 0.5, "peak_mb": 10}))
"""
SCORES = """
import json, sys
assert sys.argv[4] == "--target" and sys.argv[5] == "kind"
print(json.dumps({"tvd1": 0.1, "tvd2": 0.2, "tvd3": 0.3, "tstr_auc": 0.9, "c2st_auc": 0.6}))
"""
FLOORS = ', "tvd1_floor": 0.1, "tvd2_floor": 0.1, "tvd3_floor": 0.1, "trtr_auc": 0.9})'
FLOORED = SCORES.replace("})", FLOORS)
BREAKS = "raise ValueError('no such thing as a missing cell')"
HANGS = """
import time
print("round 3 of 9", flush=True)
time.sleep(60)
"""


def _script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture
def runs() -> Any:
    return importlib.import_module("utility_runs")


@pytest.fixture
def systems() -> Any:
    return importlib.import_module("utility_systems")


@pytest.fixture
def make_run(runs, systems, table_folder, tmp_path, monkeypatch):
    """A run of a system whose runner is the given script; the code is always of one version."""
    monkeypatch.setattr(systems, "code_digest", lambda folder: "one version of dpsynth")
    table = importlib.import_module("utility_tables").BenchmarkTable(table_folder)

    def make(script: str, name: str = "stand-in") -> Any:
        runner = str(_script(tmp_path, f"{name}.py", script))
        system = systems.System(name, runner, {"log": str(tmp_path / "log")})
        return runs.Run(system, table, epsilon=1.0, delta=1e-5, seed=0)

    return make


@pytest.fixture
def bench(runs, tmp_path):
    cache = importlib.import_module("utility_cache").Cache(tmp_path / "cache")
    return runs.Bench(cache, scorer=_script(tmp_path, "scorer.py", SCORES), limit_s=30)


def test_a_run_is_fitted_once_scored_and_found_again(bench, make_run, tmp_path) -> None:
    run = make_run(DRAWS)
    assert not bench.known(run)
    row = bench.result(run)
    assert bench.known(run)
    assert bench.result(run) == row
    assert (tmp_path / "log").read_text() == "fitted\n"
    assert (row["table"], row["system"], row["status"]) == ("tiny", "stand-in", "done")
    assert (row["fit_cpu_s"], row["tvd3"]) == (0.5, 0.3)


def test_another_scorer_scores_the_kept_rows_without_a_fit(bench, make_run, tmp_path) -> None:
    run = make_run(DRAWS)
    bench.result(run)
    other = _script(tmp_path, "other.py", SCORES.replace("0.3", "0.4"))
    assert dataclasses.replace(bench, scorer=other).result(run)["tvd3"] == 0.4
    assert (tmp_path / "log").read_text() == "fitted\n"


def test_what_a_result_depends_on_is_in_its_key(runs, make_run, systems, monkeypatch) -> None:
    digest = importlib.import_module("utility_cache").digest
    run = make_run(DRAWS)
    keys = [digest(run.inputs())]
    changes = [{"epsilon": 3.0}, {"delta": 1e-6}, {"seed": 1}]
    changes.append({"system": dataclasses.replace(run.system, settings={"log": "", "steps": 2})})
    changes.append({"system": dataclasses.replace(run.system, name="other")})
    keys += [digest(dataclasses.replace(run, **change).inputs()) for change in changes]
    for path in (run.table.train, run.table.meta):
        path.write_text(path.read_text() + "\n")
        keys.append(digest(run.inputs()))
    monkeypatch.setattr(systems, "code_digest", lambda folder: "another version of dpsynth")
    keys.append(digest(run.inputs()))
    assert len(set(keys)) == 1 + len(changes) + 3


def test_pinned_packages_are_in_the_key(runs, systems, make_run, monkeypatch, tmp_path) -> None:
    digest = importlib.import_module("utility_cache").digest
    shutil.copytree(systems.RIVALS, tmp_path / "rivals")
    monkeypatch.setattr(systems, "RIVALS", tmp_path / "rivals")
    run = dataclasses.replace(make_run(DRAWS), system=systems.ALL["aim"])
    before = digest(run.inputs())
    (tmp_path / "rivals" / "dpmm.txt").write_text("dpmm==0.1.8\n")
    assert digest(run.inputs()) != before


def test_a_system_that_fails_is_a_row_with_its_last_line(bench, make_run, tmp_path) -> None:
    utility = importlib.import_module("utility")
    console = importlib.import_module("rich.console").Console(file=io.StringIO())
    failing, working = make_run(BREAKS, "broken"), make_run(DRAWS)
    rows = utility.results(bench, [failing, working], console)
    assert [row["status"] for row in rows] == ["failed", "done"]
    assert rows[0]["message"] == "ValueError: no such thing as a missing cell"
    assert "broken on tiny, epsilon 1, seed 0: failed: ValueError" in console.file.getvalue()


def test_a_run_whose_inputs_changed_meanwhile_is_not_kept(bench, make_run, monkeypatch) -> None:
    run = make_run(DRAWS)
    versions = iter(["first", "second", "third", "third", "third", "third"])
    monkeypatch.setattr(type(run.system), "version", lambda self: {"code": next(versions)})
    assert "changed while it ran" in bench.result(run)["message"]
    assert bench.result(run)["status"] == "done"


def test_a_failure_is_tried_again_only_when_asked(bench, make_run, tmp_path) -> None:
    run = make_run(BREAKS)
    assert bench.result(run)["status"] == "failed"
    _script(tmp_path, "stand-in.py", DRAWS)
    assert bench.result(run)["status"] == "failed"
    assert dataclasses.replace(bench, again=True).result(run)["status"] == "done"


def test_a_run_past_its_limit_says_how_far_it_was_and_gets_more_time(
    bench, make_run, tmp_path
) -> None:
    run = make_run(HANGS)
    hasty = dataclasses.replace(bench, limit_s=1.5)
    row = hasty.result(run)
    assert (row["status"], row["reached"]) == ("failed", "round 3 of 9")
    assert row["message"] == "not finished in 0.025 min"
    assert 1.5 <= row["wall_s"] < 30
    _script(tmp_path, "stand-in.py", DRAWS)
    assert hasty.result(run)["status"] == "failed"
    assert bench.result(run)["status"] == "done"


def test_a_runner_that_reports_nothing_is_a_failure(bench, make_run) -> None:
    row = bench.result(make_run("print('all good')"))
    assert row["message"] == "its last line is no JSON object: 'all good'"


def test_rows_that_cannot_be_scored_are_a_failure(bench, make_run, tmp_path) -> None:
    wrong = _script(tmp_path, "wrong.py", "raise SystemExit('column kind is not there')")
    row = dataclasses.replace(bench, scorer=wrong).result(make_run(DRAWS))
    assert row["message"] == "cannot be scored: column kind is not there"


def test_an_environment_that_cannot_be_made_is_a_failure(
    bench, make_run, systems, monkeypatch
) -> None:
    run = dataclasses.replace(make_run(DRAWS), system=systems.ALL["aim"])

    def refuse(command: list[str]) -> None:
        raise RuntimeError("cannot be installed: ERROR: no matching distribution")

    monkeypatch.setattr(systems, "_call", refuse)
    row = bench.result(run)
    assert (row["system"], row["status"]) == ("aim", "failed")
    assert row["message"] == "cannot be installed: ERROR: no matching distribution"


def test_the_command_writes_json_and_markdown_and_reports_what_it_knows(
    make_run, table_folder, tmp_path, monkeypatch, capsys
) -> None:
    utility = importlib.import_module("utility")
    system = make_run(DRAWS, "dpsynth").system
    monkeypatch.setattr(utility, "ALL", {"dpsynth": system})
    command = ["utility.py", "--tables", str(table_folder), "--cache", str(tmp_path / "cache")]
    command += ["--scorer", str(_script(tmp_path, "scorer.py", FLOORED)), "--epsilon", "1", "3"]
    outs = ["--json", str(tmp_path / "out.json"), "--markdown", str(tmp_path / "out.md")]
    monkeypatch.setattr("sys.argv", [*command, "--seeds", "1", *outs])
    utility.main()
    written = json.loads((tmp_path / "out.json").read_text())
    assert [row["epsilon"] for row in written["results"]] == [1.0, 3.0]
    assert list(written["systems"]) == ["dpsynth"]
    assert "### tiny, epsilon 3" in (tmp_path / "out.md").read_text()
    monkeypatch.setattr("sys.argv", [*command, "--seeds", "2", "--only-known"])
    utility.main()
    assert "| dpsynth | 1 | **0.1000** |" in capsys.readouterr().out
    assert (tmp_path / "log").read_text() == "fitted\n" * 2


@pytest.mark.slow
def test_dpsynth_itself_runs_as_a_system(runs, systems, tmp_path) -> None:
    """The independent generator on a made table, with the project's own scorer."""
    cache = importlib.import_module("utility_cache").Cache(tmp_path)
    tables = importlib.import_module("utility_tables")
    run = runs.Run(systems.ALL["independent"], tables.made("parity", cache), 1.0, 1e-5, 0)
    row = runs.Bench(cache, limit_s=120).result(run)
    assert row["status"] == "done", row
    assert row["tvd1"] < 0.02
    assert row["tvd3"] > row["tvd3_floor"] + 0.005
    assert row["tstr_auc"] < 0.6 < 0.9 < row["trtr_auc"]
    assert row["fit_s"] > 0 < row["peak_mb"]
    drawn = Path(next((tmp_path / "synthetic").iterdir())).read_text().splitlines()
    assert len(drawn) == 1 + tables.TRAIN_ROWS
    assert json.loads(next((tmp_path / "runs").iterdir()).read_text())["inputs"]["seed"] == 0
