"""The known result, the settings of an experiment, and its files."""

import csv
import io
import json
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from dpsynth.errors import InputError
from dpsynth.generations import drawing
from dpsynth.generations.chain import Start
from dpsynth.generations.curves import Yardstick
from dpsynth.generations.experiment import Material, Plan, collapse, prepare
from dpsynth.generations.makers import as_text, frame_of, gaussian_refit, multinomial_refit
from dpsynth.generations.modes import parse_modes
from dpsynth.generations.page import html, write
from dpsynth.generations.result import INTERNAL, Collapse
from dpsynth.schema import Column, Schema
from dpsynth.table import Table

MODES = ("replace", "accumulate", "fresh:0.5")
ZIPF = 1.0 / np.arange(1, 101) / np.sum(1.0 / np.arange(1, 101))
SCHEMA = Schema(
    columns=(
        Column(name="word", kind="categorical"),
        Column(name="size", kind="numeric"),
        Column(name="side", kind="categorical"),
    )
)


def words(rows: int = 1_250) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    return pd.DataFrame(
        {
            "word": rng.choice([f"w{n}" for n in range(100)], rows, p=ZIPF),
            "size": rng.normal(0, 1, rows).round(6),
            "side": rng.choice(["left", "right"], rows),
        }
    )


def ready(plan: Plan, frame: pd.DataFrame | None = None) -> Material:
    return prepare(Table.from_frame(words() if frame is None else frame), SCHEMA, plan)


@pytest.fixture(scope="module")
def known() -> Collapse:
    """Nine generations of multinomial refits, by each mode."""
    plan = Plan(generations=9, modes=parse_modes(MODES), target="side", seed=1)
    return collapse(ready(plan), plan, multinomial_refit, maker="multinomial refit")


def test_replacing_loses_support_and_the_others_do_not(known: Collapse) -> None:
    replace, accumulate, fresh = (
        np.array(curve.figures["support"], dtype=float) for curve in known.curves
    )
    assert replace[0] == accumulate[0] == fresh[0] == 1.0
    assert replace[1] == accumulate[1] == fresh[1] < 1.0, "generation 1 is the same table"
    assert np.all(np.diff(replace) <= 0) and replace[-1] < replace[1] - 0.15
    # Means of four generations each, whose own standard deviation is at most 0.034: 0.024 for their
    # difference. The law expects 0.13 under replacement and less than 0.01 otherwise.
    fall = [kept[2:6].mean() - kept[6:].mean() for kept in (replace, accumulate, fresh)]
    assert fall[0] > 0.05 > max(fall[1:])
    assert min(accumulate[1:].min(), fresh[1:].min()) > replace[-1] + 0.1


def test_the_curves_run_beside_the_theory(known: Collapse) -> None:
    """One run of about 116 cells: the standard deviation is at most 0.034, as of 100 levels."""
    for curve in known.curves:
        found = np.array(curve.figures["support"], dtype=float)
        assert np.abs(found - curve.theory["support"]).max() < 4 * 0.034
        assert curve.theory["support"][0] == 1.0
        assert curve.theory["log_variance"][0] == 0.0
    laws = [np.array(curve.theory["support"]) for curve in known.curves]
    # Control: the law of replacing does not fit what accumulating leaves.
    assert np.abs(np.array(known.curves[1].figures["support"], dtype=float) - laws[0]).max() > 0.2


def test_the_sizes_are_written_down(known: Collapse) -> None:
    rows = known.settings["rows"]
    replace, accumulate, fresh = known.curves
    assert replace.real_rows == (rows, *[0] * 8)
    assert accumulate.training_rows == tuple(rows * n for n in range(1, 10))
    assert set(fresh.training_rows) == {rows}
    assert set(fresh.real_rows[1:]) == {round(rows / 2)}
    assert "used more than once" in fresh.note
    assert rows + known.settings["holdout_rows"] == 1_250


def test_seeds_repeat_the_experiment() -> None:
    texts = []
    for seed in (3, 3, 4):
        plan = Plan(generations=2, modes=parse_modes(["fresh:0.5"]), seed=seed)
        result = collapse(ready(plan, words(300)), plan, multinomial_refit, maker="m")
        texts.append(result.to_json_text())
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["curves"] != json.loads(texts[2])["curves"]


def test_a_seed_that_was_drawn_is_written_down() -> None:
    plan = Plan(generations=1, modes=parse_modes(["replace"]))
    one, two = ready(plan, words(300)), ready(plan, words(300))
    assert one.seed != two.seed
    again = ready(Plan(generations=1, modes=plan.modes, seed=one.seed), words(300))
    assert again.start.zero.equals(one.start.zero)


def test_rows_set_the_others_aside_to_be_fresh() -> None:
    plan = Plan(generations=3, modes=parse_modes(["fresh:0.5"]), rows=200, seed=1)
    material = ready(plan)
    assert len(material.start.zero) == 200
    result = collapse(material, plan, multinomial_refit, maker="m")
    assert "no generation before saw them" in result.curves[0].note
    short = Plan(generations=99, modes=plan.modes, rows=200, seed=1)
    with pytest.raises(InputError, match="99 generations of 200 rows take 9800 fresh real rows"):
        ready(short)
    with pytest.raises(InputError, match="ask for fewer"):
        ready(Plan(generations=3, modes=plan.modes, rows=1_200, seed=1))


def test_people_stay_on_one_side_and_identifiers_are_dropped() -> None:
    frame = words(600).assign(person=np.arange(600) // 3)
    schema = Schema(
        columns=(*SCHEMA.columns, Column(name="person", kind="identifier")),
        unit="person",
        max_rows_per_unit=3,
    )
    plan = Plan(generations=1, modes=parse_modes(["replace"]), seed=1)
    frame["size"] = frame["person"].astype(float)
    material = prepare(Table.from_frame(frame), schema, plan)
    sides = [material.start.zero, material.yardstick.holdout]
    assert [list(side) for side in sides] == [["word", "size", "side"]] * 2
    assert not set(sides[0]["size"]) & set(sides[1]["size"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generations": 0}, "generations is 0; give a whole number of at least 1"),
        ({"rows": 0}, "rows is 0"),
        ({"modes": ()}, "no mode is given"),
    ],
)
def test_plans_out_of_range(settings: dict[str, object], message: str) -> None:
    given = {"generations": 2, "modes": parse_modes(["replace"]), **settings}
    with pytest.raises(InputError, match=message):
        Plan(**given)  # type: ignore[arg-type]


def test_text_is_what_a_csv_file_holds() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [0.5, float("nan")]})
    assert as_text(frame).to_dict("list") == {"a": ["1", "2"], "b": ["x", ""], "c": ["0.5", ""]}
    assert as_text(frame[["b"]])["b"].tolist() == ["x", ""], "an empty line is a row"
    whole = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [True, False]})
    assert frame_of(Table.from_frame(whole))["a"].tolist() == ["1", ""]


@pytest.mark.slow
def test_gaussian_refits_follow_their_law() -> None:
    """Forty generations of 24 rows: the expected log variance is -1.8 under replacement.

    With sixteen columns a mean has a standard deviation of sqrt(40 * 0.091 / 16) = 0.48.
    """
    rng = np.random.default_rng(9)
    names = [f"n{place}" for place in range(16)]
    schema = Schema(columns=tuple(Column(name=name, kind="numeric") for name in names))
    frames = [pd.DataFrame(rng.normal(size=(n, 16)), columns=names) for n in (24, 9, 0)]
    plan = Plan(generations=40, modes=parse_modes(["replace", "accumulate"]), seed=5)
    material = Material(
        start=Start(zero=frames[0], spare=frames[2]),
        yardstick=Yardstick(real=frames[0], holdout=frames[1], schema=schema),
        seed=5,
    )
    replace, accumulate = collapse(material, plan, gaussian_refit, maker="gaussian refit").curves
    fallen, kept = (curve.figures["log_variance"][-1] for curve in (replace, accumulate))
    assert fallen == pytest.approx(replace.theory["log_variance"][-1], abs=3 * 0.48)
    assert kept == pytest.approx(accumulate.theory["log_variance"][-1], abs=0.4)
    assert kept is not None and fallen is not None and kept - fallen > 0.5


def test_every_file_says_that_it_is_internal(known: Collapse, tmp_path: Path) -> None:
    write(known, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["collapse.csv", "collapse.html", "collapse.json", "collapse.png"]
    assert INTERNAL.startswith("internal: not covered by epsilon")
    assert "thrown away" in INTERNAL
    assert json.loads((tmp_path / "collapse.json").read_text())["heading"] == INTERNAL
    assert (tmp_path / "collapse.csv").read_text().startswith(f"# {INTERNAL}\n")
    assert INTERNAL in (tmp_path / "collapse.html").read_text()
    picture = matplotlib.image.imread(tmp_path / "collapse.png")
    assert picture.shape[0] > 500 and picture.shape[1] > 1_000 and picture.std() > 0.01


def test_the_csv_holds_every_figure(known: Collapse) -> None:
    rows = list(csv.DictReader(io.StringIO(known.to_csv_text().split("\n", 1)[1])))
    assert len(rows) == 3 * 10 * 9
    last = [r for r in rows if r["mode"] == "replace" and r["measure"] == "support"][-1]
    assert float(last["value"]) == known.curves[0].figures["support"][-1]
    assert float(last["theory"]) == known.curves[0].theory["support"][-1]
    assert {r["theory"] for r in rows if r["measure"] == "coverage"} == {""}


def test_the_page_stands_alone_and_reads_in_the_dark(known: Collapse) -> None:
    page = html(known)
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r'(?:src|href)="(?!#)', page), "nothing is fetched"
    assert "<script" not in page
    assert page.count('role="img"') == len(drawing.shown(known)) == 8
    for curve in known.curves:
        assert curve.mode in page and curve.note in page
    assert "stroke-dasharray" in page, "the theory is dashed"
    # Ink and grid follow the page; the lines' own colours are there for each mode.
    assert "var(--muted)" in page and all(colour in page for colour in drawing.COLOURS[:3])


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("paper", ["#ffffff", "#1a1e22"])
def test_lines_stand_out_on_light_and_dark(paper: str) -> None:
    """WCAG 2.2, 1.4.11: 3 to 1 for graphics."""
    for colour in drawing.COLOURS:
        low, high = sorted((_luminance(colour), _luminance(paper)))
        assert (high + 0.05) / (low + 0.05) >= 3.0, colour
    assert len(set(drawing.MARKS)) == len(drawing.COLOURS) == len(set(drawing.COLOURS))


def test_the_picture_names_modes_and_measures(known: Collapse) -> None:
    figure = drawing.draw_all(known)
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[:3] == list(MODES)
    assert "ideal refit" in labels[3]
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        measure.title for measure in drawing.shown(known)
    ]
    support = figure.axes[0]
    assert len(support.lines) == 6, "a line and a dashed one for each mode"
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert high - low >= 0.02 - 1e-9


def test_the_words_for_a_person(known: Collapse) -> None:
    text = known.text()
    assert text.startswith(INTERNAL)
    assert "Support left" in text and "ideal refit" in text and "note: replace: " in text
