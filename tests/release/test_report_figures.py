"""The pictures, one by one: hard columns, few and many pairs, and the figures they must say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dpsynth.release.report import figures, figures_evidence, figures_utility
from dpsynth.release.report.columns import column_shares
from dpsynth.release.report.drawing import short
from dpsynth.schema import Column, Schema


def test_hard_columns_are_drawn():
    schema = Schema(
        columns=(
            Column(name="empty", kind="numeric"),
            Column(name="constant", kind="integer"),
            Column(name="$\\frac{名前}", kind="categorical"),
            Column(name="many", kind="categorical"),
            Column(name="when", kind="datetime"),
        )
    )
    frame = pd.DataFrame(
        {
            "empty": pd.Series([None] * 40, dtype=object),
            "constant": [7] * 40,
            "$\\frac{名前}": ["値", "<&>"] * 20,
            "many": [f"c{i}" for i in range(40)],
            "when": pd.Series(np.linspace(0, 1e9, 40)).where(np.arange(40) > 2),
        }
    )
    drawn = figures.one_way(column_shares(schema, frame, frame))
    assert [name for name, _ in drawn] == list(schema.names)
    for name, one in drawn:
        assert one.svg.startswith("<svg"), name
        assert "nan" not in one.svg.lower(), name
    assert "all others" in drawn[3][1].svg
    assert "2001-09-09" in drawn[4][1].alt


def heat_map(finding, names, matrix):
    curves = {"columns": names, "tvd2_matrix": matrix}
    return figures_utility.heat_map(replace(finding("x"), curves=curves))


def test_a_heat_map_without_pairs_is_drawn(finding):
    alone = heat_map(finding, ["a"], [[None]])
    assert "for - with -" in alone.alt
    names = [f"column {i}" for i in range(60)]
    matrix = [[None if i == j else float(i == 59 or j == 59) for j in range(60)] for i in range(60)]
    assert "40 columns" in heat_map(finding, names, matrix).alt
    assert "column 0 with column 59" in heat_map(finding, names, matrix).caption


def associations(finding, names, real, synthetic):
    curves = {"columns": names, "correlation_real": real, "correlation_synthetic": synthetic}
    return figures_utility.correlations(replace(finding("correlation"), curves=curves))


def test_real_and_synthetic_associations_stand_side_by_side(finding):
    real = [[1.0, 0.9, 0.1], [0.9, 1.0, -0.3], [0.1, -0.3, 1.0]]
    made = [[1.0, 0.8, 0.1], [0.8, 1.0, 0.4], [0.1, 0.4, 1.0]]
    first, second = associations(finding, ["a", "b", "c"], real, made)
    assert first.alt.endswith("in real rows; the strongest is 0.90, for a with b.")
    assert second.alt.endswith("in synthetic rows; the strongest is 0.80, for a with b.")
    assert "Compare b with c, which differ most: by 0.70." in first.caption
    assert first.svg.count("var(--other)") == 1, "one pair falls together in the real rows"
    assert second.svg.count("var(--other)") == 0
    assert associations(finding, ["a"], [[1.0]], [[1.0]]) == ()


def test_long_names_keep_their_ends_apart():
    assert short("blood pressure 17", 16) == "blood press…e 17"
    assert short("exactly sixteen!", 16) == "exactly sixteen!"
    assert len({short(f"a long column name {i}", 16) for i in range(100)}) == 100


def test_a_wide_map_scrolls_and_stays_small(finding):
    names = [f"column {i}" for i in range(100)]
    rng = np.random.default_rng(5)
    real, made = (rng.uniform(-1, 1, (100, 100)) for _ in range(2))
    for drawn in associations(finding, names, real.tolist(), made.tolist()):
        assert "of 40 columns" in drawn.alt
        assert drawn.width > 390
        assert len(drawn.svg) < 150_000
    assert (
        associations(finding, ["a", "b"], real[:2, :2].tolist(), made[:2, :2].tolist())[0].width
        == 0
    )


def test_learning_is_on_one_scale_of_skill(finding):
    curves = {
        "targets": ["town", "income"],
        "scores": ["auroc", "rank_correlation"],
        "tstr": [0.75, 0.5],
        "trtr": [0.9, 0.6],
    }
    figures_found = {
        "tstr_auroc_mean": (0.7, 0.75, 0.8),
        "tstr_auroc_mean_baseline": (0.85, 0.9, 0.95),
        "tstr_rank_correlation_mean": (0.4, 0.5, 0.6),
        "tstr_ratio": (0.7, 0.72, 0.75),
    }
    whole = replace(finding("utility", **figures_found), curves=curves)
    drawn = figures_utility.learning(whole)
    assert drawn.alt.endswith("town 0.50 against 0.80; income 0.50 against 0.60.")
    assert drawn.caption.endswith("72% is kept (70% to 75%).")
    assert "mean of categories" in drawn.svg
    assert "mean of numbers" not in drawn.svg, "its real half is not there"
    (mean,) = figures_utility._mean_skills(whole).values()
    assert mean["tstr"].lower == pytest.approx(0.4)
    assert mean["trtr"].upper == pytest.approx(0.9)
    assert figures_utility.learning(replace(whole, curves={**curves, "targets": []})) is None


def test_findings_without_curves_draw_nothing(finding, statement):
    bare = finding("x")
    assert figures_evidence.attack_curves([bare], statement()) is None
    assert figures_evidence.attack_areas([bare]) is None
    assert figures_evidence.criteria([bare]) is None
    assert figures_evidence.distances(bare) is None
    assert figures_evidence.coverage(bare) is None
    assert figures_utility.heat_map(bare) is None
    assert figures_utility.correlations(bare) == ()
    assert figures_utility.learning(bare) is None


def test_the_strongest_attack_is_named_and_the_ceiling_is_that_of_replacing(finding, statement):
    """Dong, Roth and Su: a group of two at mu is as safe as one at 2 mu."""
    from scipy import stats

    claim = statement(mu=1.0)
    rates, ceiling = figures_evidence._replacing(claim)
    inner = (rates > 0.01) & (rates < 0.99)
    expected = stats.norm.cdf(stats.norm.ppf(rates[inner]) + 2.0)
    single = stats.norm.cdf(stats.norm.ppf(rates[inner]) + 1.0)
    assert np.abs(ceiling[inner] - expected).max() < 0.02
    assert np.abs(single - expected).max() > 0.2, "one step would not pass"
    curves = {"roc_fpr": [0.0, 0.5, 1.0], "roc_tpr": [0.0, 0.5, 1.0]}
    weak, strong = (
        replace(finding(name, auroc=(0.4, area, 0.7)), curves=curves)
        for name, area in (("weak", 0.51), ("strong", 0.58))
    )
    drawn = figures_evidence.attack_curves([weak, strong], claim)
    assert "strongest is strong, with an area under the curve of 0.580" in drawn.alt
    assert "weak 0.510; strong 0.580" in figures_evidence.attack_areas([weak, strong]).alt


def test_criteria_show_members_against_others(finding):
    rates = {"attack_rate": (0.5, 0.6, 0.7), "control_rate": (0.3, 0.4, 0.5)}
    whole = finding("linkability", **rates, baseline_rate=(0.1, 0.2, 0.3))
    partial = finding("singling_out", **rates)
    drawn = figures_evidence.criteria([whole, partial])
    assert drawn.alt.endswith("linkability 60.0% against 40.0%.")
