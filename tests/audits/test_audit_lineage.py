"""Rows of an earlier release that were fed back, and what was lost since the release."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import audits
from audits import suite
from audits.checks import decay, feedback
from audits.earlier import Earlier, encode_earlier
from audits.errors import AuditInputError
from audits.judgement import Settings, judge
from audits.records import encode
from audits.report import html
from audits.result import Finding

SETTINGS = Settings(seed=1, confidence=0.95, groups=1)


def people(rows: int, seed: int, *, columns: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng([91, seed])
    frame = pd.DataFrame(
        {
            "town": rng.choice(["Ulm", "Bonn", "Kiel"], rows, p=[0.6, 0.3, 0.1]),
            "age": rng.integers(0, 100, rows).astype(float),
            "height": np.round(rng.normal(170, 10, rows), 1),
            "income": np.round(rng.gamma(2, 300, rows), 1),
        }
    )
    return frame[frame.columns[:columns]]


def earlier(previous: pd.DataFrame, train: pd.DataFrame, synthetic: pd.DataFrame) -> Earlier:
    layout = encode(train, train, synthetic).train.layout
    return encode_earlier(previous, train, synthetic, layout=layout)


def fed(previous: pd.DataFrame, train: pd.DataFrame) -> Finding:
    (found,) = judge(
        [feedback.run(earlier(previous, train, people(200, 3)[train.columns]), settings=SETTINGS)],
        settings=SETTINGS,
    )
    return found


def with_fed_rows(previous: pd.DataFrame, share: float, rows: int, seed: int) -> pd.DataFrame:
    made = previous.sample(round(share * rows), random_state=seed)
    real = people(rows - len(made), 5000 + seed)
    return pd.concat([made, real]).sample(frac=1.0, random_state=seed, ignore_index=True)


@pytest.mark.parametrize(("released", "rows"), [(1000, 1000), (4000, 1000), (600, 2000)])
def test_rows_that_were_fed_back_are_found(released: int, rows: int) -> None:
    previous = people(released, 1)
    found = fed(previous, with_fed_rows(previous, 0.25, rows, 2))
    assert found.verdict == "leak"
    share = found.figures["found_share"]
    assert share.lower <= 0.25 <= share.upper
    assert found.figures["detectable_fed_share"].value < 0.25
    assert "rows of the release" in found.reason


def test_honest_rows_of_one_source_are_not_fed_back() -> None:
    found = fed(people(1500, 1), people(1500, 2))
    assert found.verdict == "none"
    assert "no more often than chance" in found.reason
    assert found.figures["detectable_fed_share"].value < 0.1


@pytest.mark.parametrize("columns", [1, 2, 3, 4])
def test_false_alarms_stay_below_the_stated_rate(columns: int) -> None:
    """60 seeds at 5 %: more than 9 have a chance of 2e-3 at that rate; it is far lower here."""
    found = 0
    for seed in range(60):
        tables = (people(n, 10 * seed + i, columns=columns) for i, n in enumerate((400, 300, 60)))
        evidence = feedback.run(earlier(*tables), settings=SETTINGS)
        found += evidence.p_value is not None and evidence.p_value <= SETTINGS.alpha
    assert found <= 9


def test_a_table_that_enters_each_value_once_gives_no_alarm() -> None:
    """Every cell of a design once, against a generator that knows the design: 60 seeds at 5 %."""
    design = pd.DataFrame([(i, j) for i in range(25) for j in range(25)], columns=["a", "b"])
    found = 0
    for seed in range(60):
        rng = np.random.default_rng([92, seed])
        made = pd.DataFrame(rng.integers(0, 25, (625, 2)), columns=["a", "b"])
        found += (feedback.run(earlier(made, design, made), settings=SETTINGS).p_value or 0) <= 0.05
    assert found <= 9


def test_control_at_even_chances_the_design_would_be_accused() -> None:
    """Why chance is taken at 2/3: at 1/2 a table without repeats is accused nearly always."""
    design = pd.DataFrame([(i, j) for i in range(25) for j in range(25)], columns=["a", "b"])
    made = pd.DataFrame(np.random.default_rng(1).integers(0, 25, (625, 2)), columns=["a", "b"])
    figures = feedback.run(earlier(made, design, made), settings=SETTINGS).figures
    crossing, repeated = (figures[f"{name}_values"].value for name in ("crossing", "repeated"))
    assert crossing > 0.5 * (crossing + repeated) + 2 * np.sqrt(0.25 * (crossing + repeated))


def test_a_share_that_is_said_to_be_detectable_is_detected() -> None:
    """Power at the stated share: 95 %, so at least 31 of 40 (chance of fewer: 1e-4)."""
    previous = people(800, 1)
    share = fed(previous, people(800, 2)).figures["detectable_fed_share"].value
    found = 0
    for seed in range(40):
        train = with_fed_rows(previous, share, 800, seed)
        p_value = feedback.run(earlier(previous, train, previous), settings=SETTINGS).p_value
        found += p_value is not None and p_value <= SETTINGS.alpha_each
    assert found >= 31


def test_a_narrow_table_is_inconclusive() -> None:
    previous, train = people(500, 1, columns=1), people(500, 2, columns=1)
    found = fed(previous, pd.concat([previous[:250], train[:250]], ignore_index=True))
    assert found.verdict == "inconclusive"
    assert "repeat so much" in found.reason


def test_a_small_table_is_inconclusive() -> None:
    previous = people(300, 1)
    found = fed(previous, previous[:40])
    assert found.verdict == "inconclusive"
    assert "has 40 rows" in found.reason


def test_the_order_of_rows_changes_nothing() -> None:
    previous, train, synthetic = people(500, 1), people(400, 2), people(300, 3)
    shuffled = [t.sample(frac=1.0, random_state=4) for t in (previous, train, synthetic)]
    for check in (feedback, decay):
        one = check.run(earlier(previous, train, synthetic), settings=SETTINGS)
        other = check.run(earlier(*shuffled), settings=SETTINGS)
        assert one.figures == other.figures


values = st.floats(1e-3, 20)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(a=values, b=values)
def test_crossings_are_no_likelier_than_repeats(a: float, b: float) -> None:
    """The inequality in the docstring of `feedback.run`, for values drawn at any frequencies."""
    crossing = -np.expm1(-a) * b * np.exp(-b)
    repeated = 1 - (1 + b) * np.exp(-b) + np.exp(-b) * (1 - (1 + a) * np.exp(-a))
    assert crossing <= repeated * (1 + 1e-6)


# decay -------------------------------------------------------------------------------------------


def decayed(previous: pd.DataFrame, synthetic: pd.DataFrame) -> audits.judgement.Evidence:
    return decay.run(earlier(previous, people(200, 4), synthetic), settings=SETTINGS)


def test_an_equal_table_shows_no_decay() -> None:
    found = decayed(people(3000, 1), people(3000, 2))
    assert "No figure is surely below" in found.nothing
    for name in decay.FIGURES:
        figure, baseline = found.figures[name], found.figures[f"{name}_baseline"]
        assert figure.lower <= figure.value <= figure.upper
        assert figure.value == pytest.approx(baseline.value, abs=0.12)
    assert found.p_value is None


def test_seldom_is_an_equal_table_said_to_have_lost_something() -> None:
    """30 seeds; five figures whose intervals must part by both ends: at most 4."""
    said = sum(
        "Surely less" in decayed(people(800, 2 * s), people(800, 2 * s + 1)).nothing
        for s in range(30)
    )
    assert said <= 4


def lose_category(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["town"] != "Kiel"].reset_index(drop=True)


def lose_variance(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(
        **{
            n: frame[n].mean() + 0.7 * (frame[n] - frame[n].mean())
            for n in ("age", "height", "income")
        }
    )


def lose_tails(frame: pd.DataFrame) -> pd.DataFrame:
    low, high = frame["income"].quantile([0.03, 0.97])
    return frame.assign(
        income=frame["income"].clip(low, high),
        height=frame["height"].clip(155, 185),
        age=frame["age"].clip(4, 95),
    )


def lose_entropy(frame: pd.DataFrame) -> pd.DataFrame:
    kept = frame.sample(
        len(frame),
        replace=True,
        weights=frame["town"].map({"Ulm": 8.0, "Bonn": 1.0, "Kiel": 1.0}),
        random_state=1,
    )
    return kept.reset_index(drop=True)


@pytest.mark.parametrize(
    ("lose", "figure"),
    [
        (lose_category, "support"),
        (lose_variance, "variance_ratio"),
        (lose_tails, "tail_mass"),
        (lose_tails, "tail_coverage"),
        (lose_entropy, "entropy_ratio"),
    ],
)
def test_each_loss_shows_in_its_figure(lose, figure) -> None:  # type: ignore[no-untyped-def]
    found = decayed(people(3000, 1), lose(people(4000, 2)))
    assert found.figures[figure].upper < found.figures[f"{figure}_baseline"].lower
    assert found.nothing.startswith("Surely less than in the earlier release")


def test_labels_that_only_the_release_has_count_as_lost() -> None:
    previous = people(2000, 1)
    previous.loc[::10, "town"] = "Trier"
    found = decayed(previous, people(2000, 2))
    assert found.figures["support_worst"].value < found.figures["support_worst_baseline"].lower


def test_tables_without_numbers_have_no_tails() -> None:
    previous, train, synthetic = (people(300, s)[["town"]] for s in (1, 2, 3))
    found = decay.run(earlier(previous, train, synthetic), settings=SETTINGS)
    assert found.figures["tail_mass"].lower == 0.0
    assert found.figures["tail_mass"].upper > 1.0


# the whole audit ---------------------------------------------------------------------------------


QUICK = {"attacks": [], "checks": ["copies", "feedback", "decay"]}


def test_an_audit_with_an_earlier_release_reports_both() -> None:
    previous = people(600, 1)
    train = with_fed_rows(previous, 0.5, 600, 2)
    result = suite.run(
        train.assign(id=0),
        people(300, 3).assign(id=0),
        people(600, 4).assign(id=0),
        previous=previous,
        ignore=["id"],
        **QUICK,  # type: ignore[arg-type]
    )
    assert result.finding("feedback").verdict == "leak"
    assert result.finding("decay").verdict == "measured"
    assert result.verdict == "leak"
    assert result.sizes["previous"] == 600
    assert result.options["checks"] == ["copies", "decay", "feedback"]
    again = audits.AuditResult.from_json_text(result.to_json_text())
    assert again.finding("feedback").reason == result.finding("feedback").reason
    page = html(result)
    assert "feedback" in page
    assert "decay" in page


def test_without_an_earlier_release_its_checks_do_not_run() -> None:
    result = suite.run(
        people(200, 1), people(200, 2), people(200, 3), attacks=[], checks=["copies"]
    )
    assert [finding.name for finding in result.findings] == ["copies"]
    with pytest.raises(AuditInputError, match="'feedback' needs an earlier release"):
        suite.run(people(60, 1), people(60, 2), people(60, 3), checks=["feedback"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="age"), "'previous'"),
        (lambda t: t.assign(extra=1), "'previous'"),
        (lambda t: t[:0], "'previous'"),
        (lambda t: t.assign(age="old"), "table 'previous', column 'age'"),
    ],
)
def test_an_earlier_release_that_does_not_fit(change, message) -> None:  # type: ignore[no-untyped-def]
    tables = [people(60, seed) for seed in (1, 2, 3)]
    with pytest.raises(AuditInputError, match=message):
        suite.run(*tables, previous=change(people(60, 4)), **QUICK)  # type: ignore[arg-type]
