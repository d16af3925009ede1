"""What a monitor says and remembers: readings, sentences, the best look, when to stop."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dpsynth.errors import InputError, IntegrityError
from dpsynth.refinement.measured import Measured
from dpsynth.training.monitor import Monitor, MonitorSettings, looks_in_vain
from dpsynth.training.monitoring.public_answers import KnownNoise
from dpsynth.training.monitoring.readings import Missing, Reading

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
QUICK = settings(derandomize=True, deadline=None, max_examples=30)
seeds = st.integers(0, 2**32 - 1)

ROWS = 4_000
NAMES = ("job", "age", "sex")
AGES = np.array([10.0, 30.0, 50.0, 70.0, np.nan])
LAW = (
    np.array([0.5, 0.3, 0.15, 0.05]),
    np.array([0.2, 0.3, 0.3, 0.15, 0.05]),
    np.array([0.6, 0.4]),
)
PAIRS = ((0, 1), (1, 2))


def _rows(law: Sequence[FloatArray], rows: int, rng: np.random.Generator) -> IntArray:
    return np.stack([rng.choice(len(p), size=rows, p=p) for p in law], axis=1)


def _measured(
    *, pairs: tuple[tuple[int, int], ...] = PAIRS, law: Sequence[FloatArray] = LAW
) -> Measured:
    """The exact answers about independent columns, said to have a little noise."""
    tables = tuple(ROWS * np.outer(law[i], law[j]) for i, j in pairs)
    return Measured(float(ROWS), tuple(law), 5.0, pairs, tables, 5.0)


def _monitor(
    *, pairs: tuple[tuple[int, int], ...] = PAIRS, settings: MonitorSettings | None = None
) -> Monitor:
    return Monitor(_measured(pairs=pairs), NAMES, positions=(None, AGES, None), settings=settings)


def _even(rows: int) -> IntArray:
    """Rows whose columns have exactly the shares of the law, each column shuffled."""
    rng = np.random.default_rng(3)
    return np.stack(
        [rng.permutation(np.repeat(np.arange(len(p)), np.rint(rows * p).astype(int))) for p in LAW],
        axis=1,
    )


def test_a_sample_that_equals_the_marginals_scores_about_zero() -> None:
    reading = _monitor().look(_even(ROWS), 1)
    assert reading.tvd_one_way == 0.0
    assert reading.tvd_pairs is not None
    assert reading.tvd_pairs < 0.01
    assert reading.score < 0.01
    assert abs(reading.entropy_ratio - 1) < 0.01
    assert reading.variance_ratio is not None
    assert abs(reading.variance_ratio - 1) < 0.01
    assert reading.alarms == reading.collapse == ()
    assert reading.missing == ()


def test_without_pairs_nothing_is_said_about_them() -> None:
    reading = _monitor(pairs=()).look(_even(ROWS), 1)
    assert (reading.tvd_pairs, reading.live_pairs, reading.lost_pairs) == (None, 0, 0)
    assert reading.live.startswith("1-way .000, entropy 100 %")


def test_distances_are_those_of_the_samples() -> None:
    """A column of one code is 0.5 from (0.5, ...), less what noise explains (below 0.01)."""
    codes = _even(ROWS)
    codes[:, 0] = 0
    reading = _monitor(pairs=()).look(codes, 1)
    assert reading.tvd_one_way == pytest.approx(0.5 / 3, abs=0.01)


@QUICK
@given(seed=seeds)
def test_neither_the_order_of_rows_nor_of_categories_matters(seed: int) -> None:
    rng = np.random.default_rng(seed)
    law = tuple(rng.dirichlet(np.ones(len(p))) for p in LAW)
    codes = _rows(tuple(rng.dirichlet(np.full(len(p), 0.3)) for p in LAW), 500, rng)
    plain = Monitor(_measured(law=law), NAMES, positions=(None, AGES, None)).look(codes, 1)
    order = rng.permutation(4)  # code k of `job` is called order[k]
    back = np.argsort(order)
    measured = _measured(law=(law[0][back], *law[1:]))
    moved = codes[rng.permutation(500)]
    moved[:, 0] = order[moved[:, 0]]
    other = Monitor(measured, NAMES, positions=(None, AGES, None)).look(moved, 1)
    for name in ("tvd_one_way", "tvd_pairs", "score", "stderr", "entropy_ratio", "variance_ratio"):
        assert getattr(other, name) == pytest.approx(getattr(plain, name), abs=1e-9)
    assert (other.narrow, other.shrunk) == (plain.narrow, plain.shrunk)
    assert (other.live_pairs, other.lost_pairs) == (plain.live_pairs, plain.lost_pairs)
    renamed = {(m.column, int(order[m.code]) if m.column == 0 else m.code) for m in plain.missing}
    assert {(m.column, m.code) for m in other.missing} == renamed


@QUICK
@given(seed=seeds, rows=st.integers(1, 300))
def test_a_reading_is_in_its_bounds_and_survives_json(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    law = tuple(rng.dirichlet(np.full(len(p), 0.3)) for p in LAW)
    monitor = _monitor()
    for step in range(2):
        reading = monitor.look(_rows(law, rows, rng), step)
        assert 0 <= reading.tvd_one_way <= 1
        assert reading.tvd_pairs is not None
        assert 0 <= reading.tvd_pairs <= 1
        assert reading.entropy_ratio >= 0
        assert len(reading.live) <= 40
        assert set(reading.collapse) <= set(reading.alarms)
        text = json.dumps(reading.to_dict(), allow_nan=False)
        assert Reading.from_dict(json.loads(text)) == reading
    json.dumps(monitor.curve(), allow_nan=False)


def _without(code: int, rows: int = ROWS) -> IntArray:
    codes = _even(rows)
    codes[codes[:, 0] == code, 0] = 0
    return codes


def test_a_mode_that_was_there_is_gone_and_one_that_never_was_is_not_called_so() -> None:
    monitor = _monitor()
    first = monitor.look(_without(3), 10)
    assert [(m.column, m.code, m.share) for m in first.missing] == [(0, 3, 0.0)]
    assert first.missing[0].at_least < first.missing[0].expected == 0.05
    assert first.alarms[0].startswith("job: code 3 never appeared (surely at least")
    assert first.collapse == ()
    monitor.look(_even(ROWS), 20)
    third = monitor.look(_without(3), 30)
    assert third.alarms[0].startswith("job: code 3 vanished, though an earlier look had it")
    assert third.collapse[0] == third.alarms[0]
    assert third.live.endswith("1 mode lost")


def test_sentences_use_the_names_of_codes_and_put_modes_of_a_column_together() -> None:
    labels = (("clerk", "smith", "cook", "judge"), ("a", "b", "c", "d", ""), ("f", "m"))
    monitor = Monitor(_measured(), NAMES, positions=(None, AGES, None), labels=labels)
    codes = _even(ROWS)
    codes[:, 0] = 0
    reading = monitor.look(codes, 1)
    assert reading.alarms[0].startswith("job: 'smith', 'cook', 'judge' never appeared")
    assert sum("never appeared" in alarm for alarm in reading.alarms) == 1  # no pairs told again
    assert reading.lost_pairs == 0


def test_entropy_and_variance_that_fall_are_told_from_what_never_was() -> None:
    narrow = _even(ROWS)
    narrow[::2, 0] = 0
    narrow[:, 1] = np.where(np.isin(narrow[:, 1], (0, 3)), 1, narrow[:, 1])
    start = _monitor()
    never = start.look(narrow, 5)
    assert never.collapse == ()
    assert (0 in never.narrow, never.shrunk) == (True, (1,))
    assert any(
        a.startswith("job: entropy is") and a.endswith("and was never near it")
        for a in never.alarms
    )
    later = _monitor()
    later.look(_even(ROWS), 5)
    fell = later.look(narrow, 10)
    assert any(a.startswith("age: variance fell to ") for a in fell.collapse)
    assert any("at step 5)" in a and a.startswith("job: entropy fell to ") for a in fell.collapse)
    assert (fell.entropy_column, fell.variance_column) == ("age", "age")
    assert fell.entropies[1] == fell.entropy_ratio


def test_combinations_that_vanish_are_counted() -> None:
    """Every code of both columns stays; no row has code 0 of one with code 1 of the other."""
    codes = _even(ROWS)
    lossy = codes.copy()
    both = (codes[:, 1] == 1) & (codes[:, 2] == 0)
    lossy[both, 2] = 1
    monitor = _monitor()
    monitor.look(codes, 1)
    reading = monitor.look(lossy, 2)
    assert (reading.lost_pairs, reading.live_pairs > 20) == (1, True)
    assert f"1 of {reading.live_pairs} sure combinations of two columns vanished" in str(
        reading.collapse
    )


def test_relations_that_were_not_learned_are_no_alarm() -> None:
    """Two columns that are one and the same in the table, with rare codes; drawn apart."""
    shares = np.array([0.7, 0.2, 0.07, 0.03])
    measured = Measured(1e5, (shares, shares), 5.0, ((0, 1),), (1e5 * np.diag(shares),), 5.0)
    monitor = Monitor(measured, ("a", "b"), positions=(None, None))
    rng = np.random.default_rng(0)
    reading = monitor.look(_rows((shares, shares), 10_000, rng), 1)
    assert reading.alarms == ()
    assert reading.tvd_pairs is not None
    assert reading.tvd_pairs > 0.3  # control: they were lost


def test_alarms_hold_at_the_last_look_or_at_the_best() -> None:
    monitor = _monitor()
    assert monitor.alarms == ()
    monitor.look(_without(3), 1)
    lost = monitor.alarms
    assert lost
    monitor.look(_even(ROWS), 2)
    assert monitor.alarms == ()
    codes = _even(ROWS)
    codes[:, 0] = 0
    worst = monitor.look(codes, 3)
    assert monitor.best.step == 2
    assert monitor.alarms == worst.alarms


def _reading(score: float, stderr: float = 0.01) -> Reading:
    return Reading(
        step=0,
        rows=1,
        tvd_one_way=0.0,
        tvd_pairs=None,
        score=score,
        stderr=stderr,
        entropies=(None,),
        variances=(None,),
        entropy_column=None,
        variance_column=None,
        missing=(),
        live_pairs=0,
        lost_pairs=0,
    )


@pytest.mark.parametrize(
    ("scores", "vain"),
    [
        ([], 0),
        ([0.5], 0),
        ([0.5, 0.4, 0.3], 0),
        ([0.5, 0.49, 0.495], 2),  # within the error
        ([0.5, 0.49, 0.48], 0),  # small gains add up
        ([0.3, 0.5, 0.4], 2),
    ],
)
def test_looks_in_vain_are_those_without_a_clear_improvement(
    scores: list[float], vain: int
) -> None:
    assert looks_in_vain([_reading(score) for score in scores]) == vain


def test_training_stops_after_patience_and_never_before_the_least_looks() -> None:
    monitor = _monitor(settings=MonitorSettings(patience=2, least_looks=5))
    stops = []
    for step in range(6):
        monitor.look(_even(ROWS), step)
        stops.append(monitor.should_stop)
    assert stops == [False] * 4 + [True] * 2
    again = _monitor(settings=MonitorSettings(patience=3, least_looks=1))
    for step, code in enumerate((1, 2, 3)):  # each better than the one before
        again.look(_without(code), step)
        assert again.newest_is_best
        assert not again.should_stop
    assert again.curve()["best_step"] == 2


def test_a_monitor_goes_on_from_stored_readings() -> None:
    first = _monitor()
    first.look(_even(ROWS), 1)
    stored = json.loads(json.dumps([r.to_dict() for r in first.readings]))
    second = Monitor(
        _measured(),
        NAMES,
        positions=(None, AGES, None),
        readings=[Reading.from_dict(raw) for raw in stored],
    )
    assert second.look(_without(3), 2) == first.look(_without(3), 2)
    assert second.readings == first.readings
    assert second.readings[-1].collapse


@QUICK
@given(looks=st.integers(1, 100), more=st.integers(0, 500))
def test_the_levels_of_all_looks_never_add_up_to_more_than_alpha(looks: int, more: int) -> None:
    settings = MonitorSettings(alpha=0.05, looks=looks)
    total = 4 * sum(settings.level(look) for look in range(looks + more))
    assert total <= 0.05 * (1 + 1e-9)
    assert total >= 0.75 * 0.05 * (1 - 1e-9)


@pytest.mark.parametrize("lost", [0, 1, 7, 123])
@pytest.mark.parametrize("tvd", [0.0, 0.0314, 0.9999, 1.0])
def test_the_live_text_is_short(lost: int, tvd: float) -> None:
    reading = _reading(0.0)
    modes = (Missing(0, 0, 0.1, 0.1, 0.0),) * lost
    shown = Reading(
        **{**vars(reading), "tvd_pairs": tvd, "missing": modes, "entropies": (20.0,)}
    ).live
    assert len(shown) <= 40
    assert f", {lost} mode" in shown or lost not in (1, 7)
    assert shown.endswith("99+ lost") == (lost > 99)


def test_a_damaged_reading_is_refused() -> None:
    raw = _reading(0.0).to_dict()
    del raw["score"]
    with pytest.raises(IntegrityError, match="KeyError: 'score'"):
        Reading.from_dict(raw)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((3, 2), dtype=int), r"shape \(3, 2\); rows of 3 columns"),
        (np.zeros((0, 3), dtype=int), "at least one"),
        (np.zeros((3, 3)), "type float64; give integers"),
        (np.array([[0, 0, 2]]), "'sex' has code 2; it must be from 0 to 1"),
        (np.array([[0, -1, 0]]), "'age' has code -1; it must be from 0 to 4"),
    ],
)
def test_codes_that_do_not_fit_are_refused(codes: IntArray, message: str) -> None:
    monitor = _monitor()
    with pytest.raises(InputError, match=message):
        monitor.look(codes, 1)
    assert monitor.readings == ()


def test_wrong_arguments_are_refused() -> None:
    measured = _measured()
    places = (None, AGES, None)
    with pytest.raises(InputError, match="2 names for 3 columns"):
        Monitor(measured, ("a", "b"), positions=places)
    with pytest.raises(InputError, match="1 positions for 3 columns"):
        Monitor(measured, NAMES, positions=(None,))
    with pytest.raises(InputError, match="'age' has positions of shape"):
        Monitor(measured, NAMES, positions=(None, AGES[:4], None))
    with pytest.raises(InputError, match="labels name"):
        Monitor(measured, NAMES, positions=places, labels=(("a",), ("b",), ("c",)))
    with pytest.raises(InputError, match="noise is given for"):
        Monitor(measured, NAMES, positions=places, noise=KnownNoise(cells=LAW[:1]))
    with pytest.raises(InputError, match="marginal of column 'job' sums to"):
        Monitor(_measured(law=(2 * LAW[0], *LAW[1:])), NAMES, positions=places)
    with pytest.raises(InputError, match="0 columns"):
        Monitor(Measured(1.0, (), 1.0, (), (), 1.0), (), positions=())
    with pytest.raises(InputError, match="has not looked yet"):
        _ = _monitor().best


@pytest.mark.parametrize(
    ("name", "value"), [("alpha", 0.0), ("alpha", 1.0), ("looks", 0), ("patience", 0)]
)
def test_wrong_settings_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name} is {value}"):
        MonitorSettings(**{name: value})  # type: ignore[arg-type]


def test_the_example_of_the_page_prints_what_the_page_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "monitor.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:python)?\n(.*?)```", page, re.DOTALL)
    exec(compile(blocks[0], "docs/monitor.md", "exec"), {})
    assert capsys.readouterr().out == blocks[1]


def test_the_monitor_needs_no_torch() -> None:
    code = "import sys, dpsynth.training.monitor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
