"""A thin run of benchmarks/audit_rates.py, and what its tables make of broken promises."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import audits

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def modules():
    """The benchmark's parts by name."""
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        names = ("audit_rates", "audit_tables", "audit_tasks", "audit_worlds")
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(folder)


@pytest.fixture(scope="module")
def tables(modules):
    return modules["audit_tables"]


@pytest.fixture(scope="module")
def tasks(modules):
    return modules["audit_tasks"]


@pytest.fixture(scope="module")
def worlds(modules):
    return modules["audit_worlds"]


def alarms(tasks, world, seeds):
    return [tasks.run(("rates", world, seed))["verdict"] == "leak" for seed in range(seeds)]


def test_an_audit_without_a_leak_seldom_alarms(tasks):
    # At 5 % each, two alarms of four have probability 1.4 %; the seeds are fixed. The full run is
    # the benchmark itself.
    assert sum(alarms(tasks, "mixed", 4)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("world", ["mixed", "binary", "narrow", "wide", "towns"])
def test_audits_without_a_leak_keep_their_rate(tasks, tables, world):
    # More than 5 of 40 have probability 1.4 % at 5 % each.
    assert sum(alarms(tasks, world, 40)) <= 5
    # The control: with an audit at 50 % this count would be exceeded nearly surely.
    assert tables.allowed(0.05, 40) < 0.5


def test_the_same_counts_see_a_leak(worlds):
    # Rejects the wrong answer: a fifth of the training rows are copied.
    rng = np.random.default_rng(70)
    clean = worlds.draw(worlds.wide, (200, 100, 200), rng)
    result = audits.run(*worlds.plant(clean, 0.2, rng), checks=["copies"], attacks=[])
    assert result.verdict == "leak"
    assert audits.run(*clean, checks=["copies"], attacks=[]).verdict == "none"


@pytest.mark.parametrize("size", ["60 rows, holdout 60", "200 rows, holdout 100"])
def test_a_verbatim_binary_copy_does_not_pass(tasks, size):
    lines = [tasks.run(("copies", size, seed)) for seed in range(2)]
    assert all(line["verdict"] in ("leak", "inconclusive") for line in lines)


def test_a_group_by_itself_has_the_p_values_of_the_whole_audit(tasks, worlds):
    # The power table runs one group of tests at a time.
    rng = np.random.default_rng(71)
    leaky = worlds.plant(worlds.draw(worlds.mixed, (200, 150, 200), rng), 0.3, rng)
    whole = audits.run(*leaky, seed=3, checks=tasks.TESTED)
    tested = [finding for finding in whole.findings if finding.p_value is not None]
    assert {finding.group for finding in tested} >= {"copies", "linkability"}
    for finding in tested:
        if finding.name in ("closest_record", "density_ratio", "linkability", "copies"):
            again = tasks._again(whole, finding, leaky)
            assert again.p_value == finding.p_value, finding.name


def test_groups_are_those_that_share_the_rate(tasks):
    line = tasks.run(("rates", "towns", 0))
    groups = {finding["group"] for finding in line["findings"].values()}
    assert line["groups"] == len(groups) >= 7


def test_draws_are_independent_and_the_same_again(worlds):
    for make, _ in {**worlds.WORLDS, **worlds.POWER, "fifteen": (worlds.fifteen, ())}.values():
        one, other, third = worlds.draw(make, (300, 300, 40), np.random.default_rng(5))
        again = worlds.draw(make, (300, 300, 40), np.random.default_rng(5))
        assert (len(one), len(third)) == (300, 40)
        assert one.equals(again[0]) and not one.equals(other)
    assert worlds.fifteen(50, np.random.default_rng(0)).shape == (50, 15)


def test_planting_copies_just_that_share(worlds):
    rng = np.random.default_rng(72)
    clean = worlds.draw(worlds.wide, (200, 100, 150), rng)
    for share, count in ((0.1, 20), (0.101, 21), (0.0, 0), (1.0, 150)):
        train, holdout, synthetic = worlds.plant(clean, share, rng)
        assert train.equals(clean[0]) and holdout.equals(clean[1])
        assert len(synthetic) == 150
        assert synthetic.number0.isin(train.number0).sum() == count
        # The rest is what had been there, each row once.
        kept = synthetic[~synthetic.number0.isin(train.number0)]
        assert kept.number0.is_unique and kept.number0.isin(clean[2].number0).all()


def fake(job):
    task, world, seed = job
    return {"task": task, "world": world, "seed": seed, "verdict": "none", "tries": 1}


def test_work_goes_on_where_it_was_killed(tasks, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(tasks, "run", lambda job: made.append(job) or fake(job))
    path = tmp_path / "deep" / "rates.jsonl"
    jobs = tasks.rate_jobs(2)
    told = []

    def work(wanted):
        return tasks.work(wanted, path=path, workers=1, report=lambda *done: told.append(done))

    lines = work(jobs[:4])
    assert made == jobs[:4] and told[-1] == (4, 4)
    # A line cut short by a kill is done again, and so is one of other code.
    torn = path.read_text().splitlines()
    other = json.dumps(json.loads(torn[0]) | {"code": "other", "verdict": "leak"})
    path.write_text("\n".join([other, *torn[1:]])[:-9])
    made.clear()
    again = work(jobs)
    assert sorted(made) == sorted([jobs[0], *jobs[3:]])
    assert again[:4] == lines and len(again) == len(jobs)
    assert [tasks._job(line) for line in again] == jobs
    made.clear()
    assert work(jobs[2:5]) == again[2:5] and made == []
    assert told[-1][1] == len(jobs)


@pytest.mark.slow
def test_two_workers_give_the_lines_of_one(tasks, worlds, tmp_path, monkeypatch):
    jobs = [("copies", "60 rows, holdout 60", seed) for seed in range(2)]
    lines = [
        tasks.work(jobs, path=tmp_path / f"{workers}", workers=workers, report=lambda *_: None)
        for workers in (1, 2)
    ]
    one, two = ([{**line, "seconds": 0} for line in done] for done in lines)
    assert one == two


def rate_line(worlds, *, alarmed=(), seeds=100, first=0):
    """Lines without a leak; alarms as (finding, world, number of seeds)."""
    lines = []
    for world in worlds.WORLDS:
        for seed in range(first, first + seeds):
            names = [n for n, w, count in alarmed if w == world and seed < first + count]
            findings = {
                name: {"verdict": "leak" if name in names else "none", "group": name}
                for name in ("lira", "copies")
            }
            verdict = "leak" if names else "none"
            line = {"world": world, "seed": seed, "groups": 2, "findings": findings}
            lines.append(line | {"verdict": verdict})
    return lines


def test_rates_within_two_standard_errors_are_kept(tables, worlds):
    # 2.5 % promised of each: 2.5 + 2 * 1.56 = 5.6 of 100.
    lines = rate_line(worlds, alarmed=[("lira", "wide", 5)])
    text, broken = tables.rates(lines)
    assert broken == [] and tables.exceeded(lines) == []
    assert "| lira | 0.0250 | 0.0000 | 0.0000 | 0.0000 | 0.0500 | 0.0000 | yes |" in text
    assert "| **the whole audit** | 0.0500 |" in text and "100 seeds" in text
    assert "| 1.00 | 1.00 | 1.00 | 0.95 | 1.00 | |" in text


def test_rates_above_are_broken_unless_fresh_seeds_clear_them(tables, worlds):
    lines = rate_line(worlds, alarmed=[("lira", "wide", 6)])
    assert tables.exceeded(lines) == ["wide"]
    text, broken = tables.rates(lines)
    assert broken == ["lira alarms without a leak on wide: 0.0600"] and "**no**" in text
    fresh = rate_line(worlds, alarmed=[("lira", "wide", 2)], first=100)
    text, broken = tables.rates(lines, [line for line in fresh if line["world"] == "wide"])
    assert broken == [] and "0.0600, again 0.0200 |" in text and "**no**" not in text
    assert tables.rates(lines, rate_line(worlds, alarmed=[("lira", "wide", 7)]))[1]


def test_alarms_of_many_findings_break_the_promise_of_the_whole(tables, worlds):
    lines = rate_line(worlds, alarmed=[("lira", "mixed", 5)])
    for line in lines:
        if line["world"] == "mixed" and 5 <= line["seed"] < 10:
            line["findings"]["copies"]["verdict"] = line["verdict"] = "leak"
    _, broken = tables.rates(lines)
    assert broken == ["**the whole audit** alarms without a leak on mixed: 0.1000"]


def test_findings_of_one_group_share_one_rate(tables, worlds):
    lines = rate_line(worlds, alarmed=[("lira", "mixed", 4)])
    for line in lines:
        for finding in line["findings"].values():
            finding["group"] = "membership"
        if line["world"] == "mixed" and 4 <= line["seed"] < 8:
            line["findings"]["copies"]["verdict"] = line["verdict"] = "leak"
    text, broken = tables.rates(lines)
    assert broken == ["any of membership alarms without a leak on mixed: 0.0800"]
    assert "| any of membership | 0.0250 | 0.0800 | 0.0000 |" in text


def power_line(worlds, caught, *, seeds=200, stated=200):
    return [
        {
            "world": world,
            "seed": seed,
            "findings": {"lira": {"stated": 0.2, "caught": seed < caught}} if seed < stated else {},
        }
        for world in worlds.POWER
        for seed in range(seeds)
    ]


def test_power_is_judged_from_enough_runs_only(tables, worlds):
    # 95 % less two standard errors of 200 runs is 91.9 %.
    text, broken = tables.power(power_line(worlds, 184))
    assert broken == [] and "| mixed | lira | 200 | 20.0 % | 0.920 | yes |" in text
    _, broken = tables.power(power_line(worlds, 183))
    assert broken[0] == "lira misses what it calls detectable on mixed: 0.915"
    text, broken = tables.power(power_line(worlds, 0, stated=99))
    assert broken == [] and "| mixed | lira | 99 | 20.0 % | 0.000 |  |" in text


def test_one_copy_that_passes_breaks_the_promise(tables, worlds):
    lines = [
        {"world": size, "verdict": verdict, "findings": {}}
        for size in worlds.COPIES
        for verdict in ("leak", "inconclusive")
    ]
    text, broken = tables.copies(lines)
    assert broken == [] and "| 60 rows, holdout 60 | 1 | 1 | 0 | yes |" in text
    lines[0]["verdict"] = "none"
    text, broken = tables.copies(lines)
    assert broken == ["a verbatim copy passes: 60 rows, holdout 60, 1 of 2"]


def test_the_speed_table_is_in_order_and_holds_the_target(tables, tasks):
    line = tasks.timed(rows=60, threads=1, csv=None, progress=lambda *_: None)
    assert line["columns"] == 15 and line["rows"] == 60
    assert sum(line["steps"].values()) <= line["seconds"] and line["peak_mib"] > 50
    text, broken = tables.speed(line | {"steps": {"quick": 0.1, "slow": 5.0}})
    assert broken == [] and text.index("| slow | 5.0 |") < text.index("| quick | 0.1 |")
    _, broken = tables.speed(line | {"seconds": 181.0})
    assert broken == ["the full suite takes 181 s"]


def test_the_speed_task_takes_a_table_of_ones_own(tasks, worlds, tmp_path):
    path = tmp_path / "own.csv"
    worlds.mixed(181, np.random.default_rng(0)).to_csv(path, index=False)
    line = tasks.timed(rows=500, threads=1, csv=path, progress=lambda *_: None)
    assert (line["table"], line["rows"], line["columns"]) == ("own.csv", 60, 5)


def test_the_command_writes_its_part_of_the_page_and_fails_on_a_broken_promise(
    modules, tasks, worlds, tmp_path, monkeypatch, capsys
):
    page = tmp_path / "page.md"
    markers = "before\n<!-- {0}: begin --> ancient <!-- {0}: end -->\n"
    page.write_text(markers.format("copies") + markers.format("power"))
    command = ["audit_rates.py", "--copies", "--seeds", "3", "--workers", "1"]
    monkeypatch.setattr(sys, "argv", [*command, "--out", f"{tmp_path}", "--markdown", f"{page}"])
    for verdict, status in (("leak", 0), ("none", 1)):
        line = {"verdict": verdict, "findings": {}, "seconds": 0.0}
        monkeypatch.setattr(tasks, "run", lambda job, line=line: fake(job) | line)
        monkeypatch.setattr(tasks, "fingerprint", lambda verdict=verdict: verdict)
        with pytest.raises(SystemExit) as stopped:
            modules["audit_rates"].main()
        assert stopped.value.code == status
    shown = capsys.readouterr()
    assert "broken promise: a verbatim copy passes: 60 rows, holdout 60, 3 of 3" in shown.err
    text = page.read_text()
    assert text.startswith("before") and text.count("ancient") == 1 and text.count("before") == 2
    assert "| 60 rows, holdout 60 | 0 | 0 | 3 | **no** |" in text


def test_a_command_without_a_task_is_refused(modules, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["audit_rates.py"])
    with pytest.raises(SystemExit) as stopped:
        modules["audit_rates"].main()
    assert stopped.value.code == 2
    assert "give --rates, --power, --copies, --speed" in capsys.readouterr().err


def test_doubted_worlds_are_measured_on_fresh_seeds(modules, tasks, worlds, tmp_path, monkeypatch):
    seen = []

    def run(job):
        seen.append(job)
        _, world, seed = job
        alarm = world == "wide" and seed < 10
        findings = {"copies": {"verdict": "leak" if alarm else "none", "group": "copies"}}
        verdict = findings["copies"]["verdict"]
        return fake(job) | {"groups": 1, "findings": findings, "verdict": verdict}

    monkeypatch.setattr(tasks, "run", run)
    arguments = ["audit_rates.py", "--rates", "--seeds", "50", "--workers", "1"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--out", f"{tmp_path}"])
    with pytest.raises(SystemExit) as stopped:
        modules["audit_rates"].main()
    assert stopped.value.code == 0
    fresh = [("rates", "wide", seed) for seed in range(50, 100)]
    assert seen[len(worlds.WORLDS) * 50 :] == fresh


def test_the_page_holds_every_task_and_no_broken_promise(tables):
    page = (ROOT / "docs" / "audit_rates.md").read_text()
    for task in tables.TASKS:
        part = page.split(f"<!-- {task}: begin -->")[1].split(f"<!-- {task}: end -->")[0]
        assert "|" in part and "**no**" not in part, task
    rates = page.split("<!-- rates: begin -->")[1].split("<!-- rates: end -->")[0]
    for name in ("closest_record", "vulnerable_records", "singling_out", "copies"):
        assert f"| {name} |" in rates
