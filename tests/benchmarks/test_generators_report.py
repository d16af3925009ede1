"""The generators' Markdown and figure, from fixed results."""

import importlib
from typing import Any

import pytest

FACTS = {"rows": 1000, "columns": 4, "numeric": 0.25}


@pytest.fixture
def report():
    return importlib.import_module("generators_report")


def _row(system: str, epsilon: float | None, tvd: float, **more: Any) -> dict[str, Any]:
    scores = {"tvd1": tvd, "tvd2": 2 * tvd, "tvd3": 3 * tvd, "tstr_auc": 0.9 - tvd, "c2st_auc": 0.7}
    floors = {"tvd1_floor": 0.01, "tvd2_floor": 0.02, "tvd3_floor": 0.03, "trtr_auc": 0.95}
    costs = {"fit_s": 20.0, "fit_cpu_s": 10.0, "peak_mb": 400}
    seen = {"alarms": None if epsilon is None else [], "missing": []}
    head = {"table": "tiny", "system": system, "epsilon": epsilon, "seed": 0, "status": "done"}
    return head | scores | floors | costs | seen | {"facts": FACTS} | more


ROWS = [
    _row("vae", 3.0, 0.05, alarms=["a", "b"], missing=["x: y"]),
    _row("autoregressive", 3.0, 0.02, c2st_auc=0.8),
    _row("vae", None, 0.01),
    {"table": "tiny", "system": "gan", "epsilon": 3.0, "seed": 0, "status": "failed"}
    | {"message": "too | few rows; raise epsilon", "facts": FACTS},
    _row("vae", 1.0, 0.06),
    _row("vae", 1.0, 0.08, seed=1, alarms=["c"]),
]


def test_one_line_a_generator_and_epsilon_with_the_best_bold(report) -> None:
    lines = report.markdown(ROWS).splitlines()
    assert "### tiny: 1,000 rows, 4 columns, 25% of them numeric" in lines
    figures = [line for line in lines if line.startswith(("| 1 |", "| 3 |", "| no"))]
    assert figures == [
        "| 1 | vae | 2 | **0.1400** | **0.2100** | **0.8300** | **0.7000** | 0 | 1 | 20 | 10 "
        "| 400 |",
        "| 3 | vae | 1 | 0.1000 | 0.1500 | 0.8500 | **0.7000** | 1 | 2 | 20 | 10 | 400 |",
        "| 3 | autoregressive | 1 | **0.0400** | **0.0600** | **0.8800** | 0.8000 | 0 | 0 | 20 "
        "| 10 | 400 |",
        "| 3 | gan | 1 | failed: too / few rows | | | | | | | | |",
        "| no privacy | vae | 1 | **0.0200** | **0.0300** | **0.8900** | **0.7000** | 0 | - | 20 "
        "| 10 | 400 |",
    ]
    assert len({line.count("|") for line in figures}) == 1


def test_the_table_of_winners_names_the_best_and_the_next(report) -> None:
    lines = report.markdown(ROWS).split("### Who wins where")[1].splitlines()
    assert (
        "| tiny | 1,000 | 25% | 3 | autoregressive .0400, vae .1000 | "
        "autoregressive .8800, vae .8500 | vae .7000, autoregressive .8000 |"
    ) in lines
    assert any(line.startswith("| tiny | 1,000 | 25% | no privacy | vae .0200 |") for line in lines)
    assert report.first_two([ROWS[3]], "tvd2") == "-"


def test_only_what_stands_between_the_marks_changes(report) -> None:
    page = "top\n<!-- figures:start -->\nold\n<!-- figures:end -->\nbottom\n"
    once = report.put_between_marks(page, "new\n")
    assert once == "top\n<!-- figures:start -->\nnew\n<!-- figures:end -->\nbottom\n"
    assert report.put_between_marks(once, "new\n") == once


@pytest.mark.parametrize(
    "page",
    [
        "no marks",
        "<!-- figures:end --> <!-- figures:start -->",
        "<!-- figures:start --> <!-- figures:start --> <!-- figures:end -->",
    ],
)
def test_a_page_without_its_marks_is_refused(report, page: str) -> None:
    with pytest.raises(SystemExit, match="the page needs the lines"):
        report.put_between_marks(page, "new")


def test_the_figure_follows_the_results(tmp_path) -> None:
    figure = importlib.import_module("generators_figure")
    figure.draw(ROWS, tmp_path / "a.svg")
    figure.draw(ROWS, tmp_path / "b.svg")
    first = (tmp_path / "a.svg").read_bytes()
    assert first == (tmp_path / "b.svg").read_bytes()
    figure.draw(ROWS[:2], tmp_path / "c.svg")
    assert first != (tmp_path / "c.svg").read_bytes()
    with pytest.raises(SystemExit, match="no finished run to draw"):
        figure.draw([ROWS[3]], tmp_path / "d.svg")
