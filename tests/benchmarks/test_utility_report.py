"""The Markdown of fixed results."""

import importlib
from typing import Any

import pytest


@pytest.fixture
def report():
    return importlib.import_module("utility_report")


def _row(system: str, seed: int, tvd: float, **more: Any) -> dict[str, Any]:
    scores = {"tvd1": tvd, "tvd2": 2 * tvd, "tvd3": 3 * tvd, "tstr_auc": 0.9 - tvd, "c2st_auc": 0.7}
    floors = {"tvd1_floor": 0.01, "tvd2_floor": 0.02, "tvd3_floor": 0.03, "trtr_auc": 0.95}
    costs = {"fit_s": 20.0, "fit_cpu_s": 10.0, "peak_mb": 400}
    head = {"table": "tiny", "system": system, "epsilon": 1.0, "seed": seed, "status": "done"}
    return head | scores | floors | costs | more


ROWS = [
    _row("dpsynth", 0, 0.05),
    _row("dpsynth", 1, 0.03),
    _row("dpsynth", 2, 0.04),
    _row("aim", 0, 0.045, fit_cpu_s=700.0, c2st_auc=0.6),
    {"table": "tiny", "system": "aim", "epsilon": 1.0, "seed": 1, "status": "failed"}
    | {"message": "not finished in 75 min", "reached": "round 3 | of 9"},
]


def test_medians_ranges_the_best_and_the_ratio_of_times(report) -> None:
    text = report.markdown(ROWS, {"dpsynth": "every default"})
    assert "### tiny, epsilon 1" in text
    ours, theirs, failed = (
        line for line in text.splitlines() if line.startswith(("| dp", "| aim"))
    )
    assert "| dpsynth | 3 | **0.0400** (0.0300 to 0.0500) | **0.0800** (0.0600 to 0.1000) |" in ours
    assert ours.endswith(
        "| 0.7000 (0.7000 to 0.7000) | 20 (20 to 20) | 10 (10 to 10) | 400 (400 to 400) | 70.0 |"
    )
    assert theirs.startswith("| aim | 1 | 0.0450 |")
    assert "| **0.6000** | 20 | 700 | 400 | 1.0 |" in theirs
    assert "| aim | 1 | failed: not finished in 75 min (round 3 / of 9) |" in failed
    assert len({line.count("|") for line in (ours, theirs, failed)}) == 1
    assert "3-way TVD 0.0300; AUC of real rows 0.9500" in text
    assert "- **dpsynth**: every default" in text


def test_the_tally_against_aim(report) -> None:
    told = report.against(ROWS)
    assert "2-way TVD 1 of 1" in told
    assert "TSTR AUC 1 of 1, C2ST AUC 0 of 1" in told
    assert told.endswith("aim's CPU seconds over dpsynth's: 70.0 to 70.0.")
    assert report.against(ROWS[:3]) == ""


def test_a_tie_is_no_win(report) -> None:
    rows = [_row("dpsynth", 0, 0.05), _row("aim", 0, 0.05)]
    assert "2-way TVD 0 of 1, 3-way TVD 0 of 1, TSTR AUC 0 of 1" in report.against(rows)


def test_blocks_follow_the_tables_and_ascend_in_epsilon(report) -> None:
    rows = [_row("aim", 0, 0.1, table=t, epsilon=e) for e in (10.0, 1.0) for t in ("b", "a")]
    heads = [line for line in report.markdown(rows, {}).splitlines() if line.startswith("###")]
    named = [f"### {table}, epsilon {epsilon}" for table in "ba" for epsilon in (1, 10)]
    assert heads == named
