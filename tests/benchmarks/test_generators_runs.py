"""The generators' benchmark: which runs it makes, what they are found by, what it says of each."""

import importlib
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

DRAWS = """
import json, pathlib, sys
job = json.loads(pathlib.Path(sys.argv[1]).read_text())
text = pathlib.Path(job["train"]).read_text()
pathlib.Path(job["synthetic"]).write_text(text.replace(",b", ",a"))
seen = ["size shrank"] if job["settings"]["private"] else None
costs = {"fit_s": 1.0, "fit_cpu_s": 0.5, "peak_mb": 10}
print(json.dumps({**costs, "alarms": seen, "collapse": seen, "looks": 3, "best_step": 2}))
"""
SCORES = """
import json
held = {"tvd1_floor": 0.1, "tvd2_floor": 0.1, "tvd3_floor": 0.1, "trtr_auc": 0.9}
scores = {"tvd1": 0.1, "tvd2": 0.2, "tvd3": 0.3, "tstr_auc": 0.9, "c2st_auc": 0.6}
print(json.dumps(held | scores))
"""


def _script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture
def runs() -> Any:
    return importlib.import_module("generators_runs")


@pytest.fixture
def table(table_folder: Path) -> Any:
    return importlib.import_module("utility_tables").BenchmarkTable(table_folder)


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    return importlib.import_module("utility_cache").Cache(tmp_path / "cache")


def test_networks_without_privacy_run_once_whatever_the_epsilons(runs, table) -> None:
    given = runs.planned([table], ["vae", "gan"], [1, 3], [0, 1], delta=1e-5, non_private=True)
    assert len(given) == 2 * 2 * 2 + 2 * 2
    bare = [run for run in given if not run.system.settings["private"]]
    assert {(run.system.name, run.seed) for run in bare} == {
        ("vae", 0),
        ("gan", 0),
        ("vae", 1),
        ("gan", 1),
    }
    assert {run.epsilon for run in bare} == {runs.NO_PRIVACY}
    assert bare[0].title == "vae on tiny, no privacy, seed 0"
    assert len(runs.planned([table], ["vae"], [1], [0], delta=1e-5, non_private=False)) == 1


def test_with_and_without_privacy_are_found_by_different_keys(runs, table) -> None:
    digest = importlib.import_module("utility_cache").digest
    given = runs.planned([table], ["vae"], [1, 3], [0], delta=1e-5, non_private=True)
    assert len({digest(run.inputs()) for run in given}) == 3


def test_code_that_no_fit_runs_is_not_in_the_key(runs, tmp_path, monkeypatch) -> None:
    for name in ("release/gate.py", "cli_audit.py", "generators/vae.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("one")
    monkeypatch.setattr(runs, "PACKAGE", tmp_path)
    one = runs.system("vae", private=True)
    before = one.version()
    (tmp_path / "release/gate.py").write_text("two")
    (tmp_path / "cli_audit.py").write_text("two")
    assert one.version() == before
    (tmp_path / "generators/vae.py").write_text("two")
    assert one.version() != before


def test_a_sized_table_is_a_part_of_the_rows_and_always_the_same(runs, table, cache) -> None:
    small = runs.sized(table, 4, cache)
    first = small.train.read_text()
    assert small.name == "tiny-4"
    assert runs.sized(table, 4, cache).train.read_text() == first
    whole = table.train.read_text().splitlines()
    drawn = first.splitlines()
    assert drawn[0] == whole[0]
    assert len(drawn) == 5 == len(set(drawn))
    assert set(drawn) < set(whole)
    assert small.test.read_bytes() == table.test.read_bytes()
    assert runs.sized(table, None, cache) is table
    with pytest.raises(SystemExit, match="10 rows; 11 cannot be drawn"):
        runs.sized(table, 11, cache)


def test_facts_of_a_table(runs, table) -> None:
    assert runs.facts(table) == {"rows": 10, "columns": 2, "numeric": 0.5}


@pytest.fixture
def lost(runs, tmp_path):
    """The categories that are missing from one made column."""

    def find(kind: str, real: list[str], made: list[str]) -> list[str]:
        for name, cells in (("real", real), ("made", made)):
            pd.DataFrame({"x": cells}).to_csv(tmp_path / f"{name}.csv", index=False)
        (tmp_path / "meta.json").write_text(json.dumps({"columns": {"x": {"kind": kind}}}))
        return runs.missing_categories(
            tmp_path / "real.csv", tmp_path / "made.csv", tmp_path / "meta.json"
        )

    return find


def test_a_large_category_that_no_row_has_is_missing(lost) -> None:
    real = ["a"] * 95 + ["b"] * 3 + ["c"] * 2
    assert lost("categorical", real, ["a", "c"]) == ["x: b"]
    assert lost("categorical", real, ["a", "b"]) == []  # c has 2 %, not more
    assert lost("categorical", real, ["c"]) == ["x: a", "x: b"]


def test_missing_values_are_a_category_of_every_column(lost) -> None:
    assert lost("categorical", ["a"] * 9 + [""], ["a", "a"]) == ["x: (missing)"]
    assert lost("integer", ["1", "2", "3", ""], ["7", "8"]) == ["x: (missing)"]
    assert lost("integer", ["1", "2", "3", ""], ["7", ""]) == []


def test_the_command_writes_all_its_outputs_and_goes_on_from_its_cache(
    runs, table_folder, tmp_path, monkeypatch
) -> None:
    generators = importlib.import_module("generators")
    runner = str(_script(tmp_path, "runner.py", DRAWS))
    systems = importlib.import_module("utility_systems")

    def stand_in(name: str, *, private: bool) -> Any:
        version = {"generator": name, "private": private}
        return systems.System(name, runner, version)

    monkeypatch.setattr(runs, "system", stand_in)
    monkeypatch.setattr(systems, "code_digest", lambda folder: "one version")
    monkeypatch.setattr(generators, "Console", lambda **_: _quiet())
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures:start -->\nold\n<!-- figures:end -->\nafter\n")
    command = ["generators.py", "--tables", str(table_folder), "--rows", "8", "all"]
    command += ["--generators", "vae", "--epsilon", "1", "--non-private", "--into", str(page)]
    command += ["--cache", str(tmp_path / "cache"), "--json", str(tmp_path / "out.json")]
    command += ["--scorer", str(_script(tmp_path, "scorer.py", SCORES))]
    monkeypatch.setattr("sys.argv", command)
    generators.main()
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [(r["table"], r["epsilon"]) for r in rows] == [
        ("tiny-8", 1.0),
        ("tiny", 1.0),
        ("tiny-8", None),
        ("tiny", None),
    ]
    assert all(row["status"] == "done" and row["missing"] == ["kind: b"] for row in rows)
    assert rows[0]["facts"]["rows"] == 8
    assert (rows[0]["alarms"], rows[2]["alarms"]) == (["size shrank"], None)
    text = page.read_text()
    assert text.startswith("before\n<!-- figures:start -->\nMedians")
    assert "| no privacy | vae |" in text
    assert text.endswith("<!-- figures:end -->\nafter\n")
    Path(runner).write_text("raise SystemExit('not again')")
    generators.main()
    assert page.read_text() == text


def _quiet() -> Any:
    return importlib.import_module("rich.console").Console(file=io.StringIO())


def test_a_wrong_number_of_rows_is_refused(monkeypatch, capsys) -> None:
    generators = importlib.import_module("generators")
    monkeypatch.setattr("sys.argv", ["generators.py", "--tables", "d", "--rows", "0"])
    with pytest.raises(SystemExit) as stopped:
        generators.main()
    assert stopped.value.code == 2
    assert "'0'; a whole number of rows, or all" in capsys.readouterr().err


def test_the_runner_says_what_the_monitor_saw(monkeypatch) -> None:
    folder = importlib.import_module("utility_systems").RIVALS
    monkeypatch.syspath_prepend(folder)
    runner = importlib.import_module("own_generators")
    released = {"alarms": ("x shrank", "y lacks a"), "collapse": ("x shrank",)}
    watched = {"released": released, "readings": [{}, {}], "best_step": 40}
    assert runner.said(watched) == {
        "alarms": ["x shrank", "y lacks a"],
        "collapse": ["x shrank"],
        "looks": 2,
        "best_step": 40,
    }
    assert set(runner.said(None).values()) == {None}


@pytest.mark.slow
@pytest.mark.parametrize("private", [True, False])
def test_a_generator_itself_runs_as_a_system(runs, cache, private: bool) -> None:
    """The independent generator on a made table, with the project's own scorer."""
    made = importlib.import_module("utility_tables").made("parity", cache)
    epsilon = 1.0 if private else runs.NO_PRIVACY
    one = importlib.import_module("utility_runs").Run(
        runs.system("independent", private=private), made, epsilon, 1e-5, 0
    )
    row = importlib.import_module("utility_runs").Bench(cache, limit_s=120).result(one)
    assert row["status"] == "done", row
    assert (row["alarms"] is None) is not private
    (found,) = runs.completed([one], [row], cache)
    assert found["missing"] == []
    assert found["epsilon"] == (1.0 if private else None)
    assert found["facts"] == {"rows": 20_000, "columns": 12, "numeric": 0.0}
