"""The figure of utility against time."""

import importlib

import pytest


@pytest.fixture
def figure():
    return importlib.import_module("utility_figure")


def _row(system: str, table: str, seed: int = 0, **more):
    head = {"system": system, "table": table, "epsilon": 1.0, "seed": seed, "status": "done"}
    scores = {"tvd3": 0.2, "tvd3_floor": 0.1, "tstr_auc": 0.8, "trtr_auc": 0.9, "fit_s": 10.0}
    return head | scores | more


def test_the_same_results_give_the_same_file(figure, tmp_path) -> None:
    rows = [_row("dpsynth", "one"), _row("aim", "one", fit_s=900.0, tvd3=0.15)]
    rows += [_row("dpsynth", "two", seed=1, tvd3=0.3), {"status": "failed", "epsilon": 1.0}]
    figure.draw(rows, tmp_path / "a.svg", 1.0)
    figure.draw(rows, tmp_path / "b.svg", 1.0)
    first = (tmp_path / "a.svg").read_bytes()
    assert first == (tmp_path / "b.svg").read_bytes()
    figure.draw(rows[:1], tmp_path / "c.svg", 1.0)
    assert first != (tmp_path / "c.svg").read_bytes()


def test_no_run_at_that_epsilon_is_said(figure, tmp_path) -> None:
    with pytest.raises(
        SystemExit, match=r"no finished run at epsilon 2; the results have \[1\.0\]"
    ):
        figure.draw([_row("aim", "one")], tmp_path / "a.svg", 2.0)
