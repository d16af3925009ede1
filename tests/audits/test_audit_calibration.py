"""A thin run of benchmarks/calibration.py: few fixed seeds, the same limits."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEEDS = 40


@pytest.fixture(scope="module")
def calibration():
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("calibration")
    finally:
        sys.path.remove(folder)


def test_no_procedure_exceeds_its_level(calibration):
    # With 40 seeds a procedure that is exactly at its level exceeds it by three standard errors
    # with probability below 2 %; the seeds are fixed. The full run, with 2,000 seeds and two
    # standard errors, is the benchmark itself.
    for procedure in calibration.procedures():
        if procedure.naive:
            continue
        level = procedure.level
        limit = level + 3.0 * (level * (1.0 - level) / SEEDS) ** 0.5
        share = calibration.rate(procedure, SEEDS)
        assert share <= limit, (procedure.name, procedure.data, share)


def test_every_naive_rule_is_caught(calibration):
    naive = [procedure for procedure in calibration.procedures() if procedure.naive]
    assert len(naive) >= 4
    for procedure in naive:
        share = calibration.rate(procedure, 200)
        assert share > calibration.allowed(procedure.level, 200), procedure.name


def test_each_procedure_draws_data_of_its_own_and_the_same_again(calibration):
    names = [(procedure.name, procedure.data) for procedure in calibration.procedures()]
    assert len(set(names)) == len(names)
    one = calibration.procedures()[0]
    assert calibration.rate(one, 50) == calibration.rate(one, 50)
    whole = calibration.rate(one, 100)
    halves = calibration.rate(one, 50), calibration.rate(one, 50, first=50)
    assert whole == pytest.approx(sum(halves) / 2)


def test_subsampled_epsilon_agrees_with_the_closed_form_and_a_sum(calibration):
    worlds = importlib.import_module("calibration_worlds")
    gaussian_epsilon = importlib.import_module("audits.statistics").gaussian_epsilon
    assert worlds.subsampled_epsilon(1.0, 0.9, 1e-5) == pytest.approx(
        gaussian_epsilon(0.9, delta=1e-5), abs=1e-6
    )
    np = importlib.import_module("numpy")
    x = np.linspace(-12.0, 14.0, 400_001)
    plain = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    mixed = 0.75 * plain + 0.25 * np.exp(-((x - 2) ** 2) / 2) / np.sqrt(2 * np.pi)
    epsilon = worlds.subsampled_epsilon(0.25, 2.0, 1e-5)
    deltas = [
        np.clip(a - np.exp(epsilon) * b, 0.0, None).sum() * (x[1] - x[0])
        for a, b in ((plain, mixed), (mixed, plain))
    ]
    assert max(deltas) == pytest.approx(1e-5, rel=1e-3)


def test_the_command_writes_both_tables_and_fails_on_a_broken_promise(
    calibration, tmp_path, monkeypatch, capsys
):
    kept = calibration.Procedure("quiet", "nothing", lambda rng: rng.random() < 0.01)
    broken = calibration.Procedure("loud", "nothing", lambda rng: rng.random() < 0.5)
    unseen = calibration.Procedure("meek", "nothing", lambda rng: False, naive=True)
    document = tmp_path / "page.md"
    for listed, status in (([kept], 0), ([kept, broken], 1), ([kept, unseen], 1)):
        document.write_text(f"before {' old '.join(calibration.MARKERS)} after\n")
        command = ["calibration.py", "--seeds", "20", "--markdown", str(document)]
        monkeypatch.setattr(sys, "argv", [*command, "--json", str(tmp_path / "out.json")])
        monkeypatch.setattr(calibration, "procedures", lambda listed=listed: listed)
        with pytest.raises(SystemExit) as stopped:
            calibration.main()
        assert stopped.value.code == status
    assert "unexpected: loud on nothing" in capsys.readouterr().err
    text = document.read_text()
    assert text.startswith("before <!--") and text.endswith("--> after\n")
    assert "old" not in text
    assert "| quiet | nothing | 0.05 |" in text and "*naive:* meek" in text
    result = json.loads((tmp_path / "out.json").read_text())
    assert [row["name"] for row in result["alarms"]] == ["quiet", "meek"]
    assert len(result["power"]) == 8


def test_the_page_holds_a_full_run_of_every_procedure(calibration):
    page = (ROOT / "docs" / "calibration.md").read_text()
    table = page.split(calibration.MARKERS[0])[1].split(calibration.MARKERS[1])[0]
    seeds = re.search(r"Share of ([\d,]+) seeds", table)
    assert seeds and int(seeds.group(1).replace(",", "")) >= 2_000
    for procedure in calibration.procedures():
        row = next(
            line for line in table.splitlines() if f"{procedure.name} | {procedure.data} |" in line
        )
        assert ("**no**" in row) == procedure.naive
