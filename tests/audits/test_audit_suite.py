import json

import numpy as np
import pandas as pd
import pytest

import audits
from audits import registry
from audits.attacks import closest_record
from audits.errors import AttackError, AuditInputError
from audits.judgement import Evidence, Settings, judge
from audits.statistics import exact

INTERFACE = {
    "closest_record.auroc",
    "closest_record.tpr_at_fpr_0.01",
    "closest_record.advantage",
    "closest_record.auroc_vulnerable",
    "closest_record.control_auroc",
    "closest_record.detectable_copied_share",
    "closest_record.epsilon_lower_bound",
    "closest_record.epsilon_ceiling",
    "vulnerable_records.flagged_share",
    "vulnerable_records.flagged_share_baseline",
    "vulnerable_records.worst_group_auroc",
    "singling_out.residual_risk",
    "linkability.residual_risk",
    "attribute_inference.residual_risk",
    "nearest_neighbours.share_closer_to_train",
    "nearest_neighbours.dcr_median_train",
    "nearest_neighbours.dcr_median_holdout",
    "nearest_neighbours.nndr_median_train",
    "nearest_neighbours.nndr_median_holdout",
    "copies.exact_share",
    "copies.exact_share_holdout",
    "copies.excess",
    "diversity.category_coverage",
    "diversity.dropped_modes",
    "diversity.dropped_modes_expected",
    "diversity.duplicate_share",
    "fidelity.tvd1",
    "fidelity.tvd1_baseline",
    "fidelity.tvd2",
    "fidelity.tvd2_baseline",
    "fidelity.tvd3",
    "fidelity.tvd3_baseline",
    "correlation.correlation_difference_mean",
    "two_sample.auroc",
    "two_sample.auroc_baseline",
}
TESTED = ("closest_record", "nearest_neighbours", "copies")
# Enough for tests of the machinery: one attack and the two checks that test something.
THIN = {"attacks": ["closest_record"], "checks": ["nearest_neighbours", "copies"]}


def text_without_times(result):
    return json.dumps(json.loads(result.to_json_text()) | {"seconds": {}}, sort_keys=True)


def without_row_numbers(result):
    """Rows are listed by the number they were given under, which another order changes."""
    data = json.loads(text_without_times(result))
    for finding in data["findings"]:
        finding["curves"].pop("records", None)
    return data


@pytest.fixture(scope="module")
def clean(mixed_table):
    return audits.run(mixed_table(500, 1), mixed_table(400, 2), mixed_table(500, 3), seed=4)


# controls ----------------------------------------------------------------------------------------


def test_independent_rows_are_not_called_leaky(clean):
    assert clean.verdict == "none"
    for name in TESTED:
        assert clean.finding(name).verdict == "none"
    assert clean.finding("fidelity").verdict == "measured"


def test_copied_rows_are_caught_by_every_test(mixed_table):
    train = mixed_table(300, 1)
    copied = train.sample(frac=1, random_state=0)
    result = audits.run(train, mixed_table(200, 2), copied, checks=["nearest_neighbours", "copies"])
    assert result.verdict == "leak"
    # No group of values is large enough here to be tested on its own; all others see it.
    assert result.finding("vulnerable_records").verdict == "measured"
    for finding in result.findings:
        assert finding.verdict in ("leak", "measured"), finding.name
    assert result.finding("closest_record").p_adjusted < 0.01
    assert result.finding("copies").p_adjusted < 1e-6
    assert result.figure("copies.exact_share").value == 1.0
    assert result.figure("closest_record.auroc").lower > 0.9


def test_noisy_copies_are_caught_without_one_exact_copy(mixed_table):
    train = mixed_table(300, 1)
    near = train.assign(height=train["height"] + 1e-3)
    result = audits.run(train, mixed_table(300, 2), near, **THIN)
    assert result.figure("copies.exact_share").value == 0.0
    assert result.verdict == "leak"


@pytest.mark.parametrize(("rows", "held"), [(500, 500), (500, 250), (200, 600), (2000, 300)])
def test_a_copy_of_a_dense_table_never_passes(binary_table, rows, held):
    for seed in range(3):
        train = binary_table(rows, seed)
        holdout = binary_table(held, 100 + seed)
        result = audits.run(train, holdout, train.copy(), seed=seed, checks=THIN["checks"])
        assert result.verdict in ("leak", "inconclusive")
        assert "none" not in {finding.verdict for finding in result.findings}, seed


def test_a_copy_of_a_dense_table_is_called_inconclusive_for_its_reason(binary_table):
    train = binary_table(2000, 1)
    result = audits.run(train, binary_table(2000, 2), train.copy(), **THIN)
    assert result.verdict == "inconclusive"
    assert "Rows repeat so much in this table" in result.finding("copies").reason
    assert "The instrument is blind here" in result.finding("closest_record").reason


def test_tables_from_two_sources_fail_the_negative_control(mixed_table):
    shifted = mixed_table(300, 2).assign(height=lambda table: table["height"] + 40)
    result = audits.run(mixed_table(300, 1), shifted, mixed_table(300, 3), **THIN)
    assert result.finding("closest_record").verdict == "inconclusive"
    assert "Negative control failed" in result.finding("closest_record").reason


@pytest.mark.parametrize("short", [0, 1, 2])
def test_too_few_rows_are_inconclusive_even_for_copies(mixed_table, short):
    sizes = [120, 120, 120]
    sizes[short] = 30
    tables = [mixed_table(n, seed) for seed, n in enumerate(sizes)]
    tables[2] = pd.concat([tables[0]] * 4).head(sizes[2])
    result = audits.run(*tables, **THIN)
    assert result.verdict == "inconclusive"
    assert "has 30 rows; a verdict needs at least 50" in result.finding("copies").reason


def test_three_rows_in_every_table_do_not_crash():
    table = pd.DataFrame({"x": [1.0, 2.0, 2.0]})
    assert audits.run(table, table.copy(), table.copy()).verdict == "inconclusive"
    assert audits.run(table[:1], table[:1], table[:1]).verdict == "inconclusive"


# calibration and power, thin ---------------------------------------------------------------------


@pytest.mark.slow
def test_alarm_rate_on_tables_without_a_leak():
    """120 seeds, holdout half of train; the whole audit's rate is 5 %."""
    rng = np.random.default_rng(11)
    alarms, silent = 0, 0
    for seed in range(120):
        tables = [
            pd.DataFrame(
                {
                    "x": rng.normal(size=n),
                    "y": rng.exponential(size=n),
                    "c": rng.choice(list("abc"), n),
                }
            )
            for n in (240, 120, 240)
        ]
        verdict = audits.run(*tables, seed=seed, **THIN).verdict
        alarms += verdict == "leak"
        silent += verdict == "none"
    assert alarms / 120 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 120)
    assert silent >= 0.85 * 120


@pytest.mark.slow
@pytest.mark.parametrize("name", ["closest_record", "nearest_neighbours", "copies"])
def test_the_share_stated_as_detectable_is_detected(name, mixed_table):
    """Plant exactly that share and count how often the one finding alarms."""
    n, caught, reps = 400, 0, 40
    for seed in range(reps):
        train, holdout, fresh = (mixed_table(n, 1000 + 3 * seed + i) for i in range(3))
        stated = audits.run(train, holdout, fresh, seed=seed, **THIN)
        share = stated.figure(f"{name}.detectable_copied_share").value
        assert 0.0 < share < 0.5
        copied = int(np.ceil(share * n))
        leaky = pd.concat([train.sample(copied, random_state=seed), fresh.head(n - copied)])
        caught += (
            audits.run(train, holdout, leaky, seed=seed, **THIN).finding(name).verdict == "leak"
        )
    # 95 % promised; 40 runs at 95 % fall below 34 in one case in a hundred.
    assert caught >= 34


# determinism -------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_bytes_on_one_and_two_threads(clean, mixed_table):
    tables = mixed_table(500, 1), mixed_table(400, 2), mixed_table(500, 3)
    twice = audits.run(*tables, seed=4, n_jobs=2)
    assert text_without_times(clean) == text_without_times(twice)


def test_the_seed_draws_subsamples_and_nothing_else(mixed_table):
    tables = mixed_table(300, 1), mixed_table(200, 2), mixed_table(300, 3)
    options = {"attacks": ["closest_record"], "checks": ["fidelity"]}
    clean, other = (audits.run(*tables, seed=seed, **options) for seed in (4, 5))
    # The seed draws the synthetic rows that stand beside the smaller holdout, nothing else here.
    assert clean.figure("fidelity.tvd2") != other.figure("fidelity.tvd2")
    assert clean.figure("closest_record.auroc") == other.figure("closest_record.auroc")


def test_order_of_rows_and_columns_does_not_matter(clean, mixed_table):
    tables = [
        mixed_table(n, seed).sample(frac=1, random_state=9) for n, seed in ((500, 1), (400, 2))
    ]
    made = mixed_table(500, 3).sample(frac=1, random_state=8)
    moved = audits.run(*tables, made[made.columns[::-1]], seed=4)
    assert without_row_numbers(clean) == without_row_numbers(moved)


def test_large_tables_are_subsampled_and_say_so(mixed_table, monkeypatch):
    monkeypatch.setattr("audits.tables.sampling.MAX_ROWS", 100)
    result = audits.run(mixed_table(300, 1), mixed_table(200, 2), mixed_table(80, 3), **THIN)
    used = {"train": 100, "holdout": 100, "synthetic": 80}
    assert result.finding("closest_record").rows_used == used
    assert result.finding("copies").rows_used == result.sizes


# the result --------------------------------------------------------------------------------------


def test_figures_of_the_interface_are_there(clean):
    figures = clean.figures()
    assert set(figures) >= INTERFACE
    for name in INTERFACE:
        assert clean.figure(name) == figures[name]


def test_json_round_trip(clean):
    text = clean.to_json_text()
    again = audits.AuditResult.from_json_text(text)
    assert again.to_json_text() == text
    assert again.verdict == clean.verdict
    assert again.figure("fidelity.tvd2").value == pytest.approx(clean.figure("fidelity.tvd2").value)


def test_json_keeps_ten_significant_digits(clean):
    findings = json.loads(clean.to_json_text())["findings"]
    (figures,) = (item["figures"] for item in findings if item["name"] == "closest_record")
    written = figures["auroc"]["lower"]
    assert written == float(f"{clean.figure('closest_record.auroc').lower:.10g}")
    assert written != clean.figure("closest_record.auroc").lower


def test_progress_reports_each_step_in_order(mixed_table):
    seen = []
    result = audits.run(
        *(mixed_table(60, seed) for seed in range(3)),
        progress=lambda what, done, total: seen.append((what, done, total)),
        **THIN,
    )
    steps = ["exposure", "closest_record", "joint test", "nearest_neighbours", "copies"]
    assert [what for what, _, _ in seen] == [*steps, "done"]
    assert [done for _, done, _ in seen] == list(range(6))
    assert {total for _, _, total in seen} == {5}
    assert list(result.seconds) == steps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data | {"format": "audits.result/9"}, "has format 'audits.result/9'"),
        (lambda data: data | {"verdict": "leak"}, "states verdict 'leak' but its findings say"),
        (lambda data: data | {"extra": 1}, "missing or unknown field"),
        (lambda data: {k: v for k, v in data.items() if k != "findings"}, "missing or unknown"),
        (lambda data: data | {"findings": [{"name": "x"}]}, "missing or unknown"),
        (
            lambda data: data | {"findings": [data["findings"][0] | {"verdict": "fine"}]},
            "and verdict 'fine'; allowed are",
        ),
        (lambda data: [data], "has format 'list'"),
    ],
)
def test_changed_result_files_are_refused(clean, change, message):
    text = json.dumps(change(json.loads(clean.to_json_text())))
    with pytest.raises(AuditInputError, match=message):
        audits.AuditResult.from_json_text(text)


def test_result_file_that_was_cut_short_is_refused(clean):
    with pytest.raises(AuditInputError, match="is not JSON"):
        audits.AuditResult.from_json_text(clean.to_json_text()[:500])


def test_figures_that_are_not_there_are_named(clean):
    with pytest.raises(AuditInputError, match="no finding 'magic'"):
        clean.figure("magic.auroc")
    with pytest.raises(AuditInputError, match=r"no figure 'copies\.auroc'.*exact_share"):
        clean.figure("copies.auroc")


def test_figures_that_are_not_finite_are_not_written(clean):
    from dataclasses import replace

    broken = replace(clean, seconds={"copies": float("inf")})
    with pytest.raises(AuditInputError, match="finite numbers only"):
        broken.to_json_text()


# arguments and foreign attacks -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"seed": True}, "seed is True"),
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"n_jobs": "two"}, "n_jobs is 'two'"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"confidence": float("nan")}, "confidence is nan"),
        ({"attacks": ["psychic"]}, "no attack 'psychic'"),
        ({"attacks": ["lira"]}, "attack 'lira' needs the generator as a black box"),
        ({"checks": ["vibes"]}, "no check 'vibes'; there are nearest_neighbours, copies"),
    ],
)
def test_arguments_out_of_range_are_refused(mixed_table, options, message):
    table = mixed_table(60, 0)
    with pytest.raises(AuditInputError, match=message):
        audits.run(table, table, table, **options)


class Foreign:
    """An attack of another package whose scores are the given ones."""

    KNOWLEDGE = "nothing"

    def __init__(self, name, scores):
        self.NAME, self.scores = name, scores

    def score(self, targets, *, synthetic):
        return self.scores(len(targets))


@pytest.mark.parametrize("scores", [lambda n: np.zeros(n - 1), lambda n: np.full(n, np.nan)])
def test_attack_with_wrong_scores_is_inconclusive_not_a_crash(mixed_table, monkeypatch, scores):
    monkeypatch.setattr(registry, "attacks", lambda: {"odd": Foreign("odd", scores)})
    result = audits.run(*(mixed_table(60, seed) for seed in range(3)), checks=["copies"])
    assert result.finding("odd").verdict == "inconclusive"
    assert "must give one finite score each" in result.finding("odd").reason
    assert result.verdict == "inconclusive"
    assert audits.AuditResult.from_json_text(result.to_json_text()).verdict == "inconclusive"


def test_a_broken_attack_takes_nothing_from_the_others(mixed_table, monkeypatch):
    both = {"closest_record": closest_record, "odd": Foreign("odd", lambda n: np.full(n, np.inf))}
    monkeypatch.setattr(registry, "attacks", lambda: both)
    result = audits.run(*(mixed_table(300, seed) for seed in range(3)), checks=["copies"])
    assert result.finding("odd").verdict == "inconclusive"
    assert result.finding("closest_record").verdict == "none"
    assert result.verdict == "none"


def test_attack_that_guesses_is_inconclusive(mixed_table, monkeypatch):
    guess = Foreign("guess", lambda n: np.random.default_rng(n).random(n))
    monkeypatch.setattr(registry, "attacks", lambda: {"guess": guess})
    result = audits.run(*(mixed_table(200, seed) for seed in range(3)), checks=["copies"])
    assert result.finding("guess").verdict == "inconclusive"
    assert "blind" in result.finding("guess").reason


@pytest.mark.parametrize("name", ["copies", "vulnerable_records", "claim"])
def test_attack_named_like_a_check_is_refused(mixed_table, monkeypatch, name):
    monkeypatch.setattr(registry, "attacks", lambda: {name: Foreign(name, np.zeros)})
    with pytest.raises(AttackError, match=f"named '{name}', like a check"):
        audits.run(*(mixed_table(60, seed) for seed in range(3)))


def test_attack_that_needs_a_reference_and_gets_none_says_so(mixed_table):
    tables = [mixed_table(n, seed) for seed, n in enumerate((200, 80, 200))]
    result = audits.run(*tables, attacks=["density_ratio"], checks=["copies"])
    assert "needs reference rows" in result.finding("density_ratio").reason
    given = audits.run(
        *tables, reference=mixed_table(150, 9), attacks=["density_ratio"], checks=["copies"]
    )
    assert given.finding("density_ratio").verdict in ("none", "inconclusive")
    assert given.sizes["reference"] == 150


@pytest.mark.slow
def test_lent_reference_rows_raise_no_false_alarms():
    """Few rows, so that chance in the lent half is as large as any score: 200 audits at 5 %.

    More than 19 alarms have a probability below 1 %.
    """
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng([77, seed])
        tables = [
            pd.DataFrame(rng.normal(size=(n, 3)), columns=list("xyz")) for n in (300, 100, 300)
        ]
        result = audits.run(*tables, attacks=["density_ratio"], checks=["copies"], seed=seed)
        assert result.finding("density_ratio").rows_used["holdout"] == 50
        alarms += result.finding("density_ratio").p_value <= 0.05
    assert alarms <= 19


class BlackBox:
    """A black-box attack that looks at one number of each row: it cannot know a member."""

    NAME = "box"
    KNOWLEDGE = "the generator"

    @staticmethod
    def score(targets, *, synthetic, reference, refit):
        return targets.numbers[:, 0].copy()


@pytest.mark.slow
def test_black_box_attacks_raise_no_false_alarms_with_unequal_tables(monkeypatch):
    """They are asked about as many members as non-members out of 600 and 120 rows.

    200 audits at 5 %: more than 19 alarms have a probability below 1 %.
    """
    monkeypatch.setattr(registry, "attacks", lambda: {"box": BlackBox})
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng([78, seed])
        tables = [pd.DataFrame(rng.normal(size=(n, 2)), columns=list("xy")) for n in (600, 240, 50)]
        result = audits.run(*tables, refit=lambda rows, seed: rows, checks=["copies"], seed=seed)
        finding = result.finding("box")
        assert finding.group == "membership_black_box"
        assert 150 <= sum(finding.rows_used[arm] for arm in ("train", "holdout")) <= 200
        alarms += finding.p_value <= 0.05
    assert alarms <= 19


def test_attacks_that_hold_lent_rows_are_tested_apart(clean, mixed_table):
    groups = {finding.name: finding.group for finding in clean.findings}
    assert groups["closest_record"] == groups["near_copies"] == "membership"
    assert groups["density_ratio"] == groups["classifier"] == "membership_reference"
    tables = [mixed_table(n, seed) for seed, n in enumerate((100, 80, 100, 90))]
    given = audits.run(
        *tables[:3], reference=tables[3], attacks=["closest_record", "density_ratio"], checks=[]
    )
    assert {finding.group for finding in given.findings if finding.group} == {"membership"}


def test_claim_is_held_against_the_attacks(mixed_table):
    train = mixed_table(300, 1)
    claim = audits.Claim(epsilon=0.5, delta=1e-6)
    result = audits.run(train, mixed_table(300, 2), train.copy(), claim=claim, **THIN)
    assert result.finding("claim").verdict == "leak"
    assert result.claim == claim
    again = audits.AuditResult.from_json_text(result.to_json_text())
    assert again.claim == claim
    fresh = audits.run(train, mixed_table(300, 2), mixed_table(300, 3), claim=claim, **THIN)
    assert fresh.finding("claim").verdict == "none"


def test_vulnerable_rows_are_named_by_their_number_as_given(mixed_table):
    """Three people far from all others, copied: they head the list, by their place in the file."""
    train = mixed_table(300, 1)
    odd = [250, 17, 120]
    train.loc[odd, "height"] = [260.0, 270.0, 280.0]
    made = pd.concat([mixed_table(297, 3), train.loc[odd]])
    result = audits.run(train, mixed_table(300, 2), made, **THIN)
    records = result.finding("vulnerable_records").curves["records"]
    assert {record["row"] for record in records[:10]} >= set(odd)
    assert records[0]["attacks"]["closest_record"]["false_positives"] <= 0.01


# judgement ---------------------------------------------------------------------------------------


def evidence(name, p_value, **fields):
    return Evidence(
        name=name,
        family="copies",
        figures={"count": exact(1, confidence=0.95)},
        blind_spot="all",
        p_value=p_value,
        found="found",
        nothing="nothing",
        **fields,
    )


def test_judgement_by_hand():
    findings = judge(
        [
            evidence("alarm", 0.001),
            evidence("after_correction", 0.02),
            evidence("blind", 0.5, blind="blind"),
            evidence("void", 0.0001, void="void"),
            evidence("measured", None),
        ],
        settings=Settings(seed=0, confidence=0.95, groups=4),
    )
    assert [finding.verdict for finding in findings] == [
        "leak",
        "none",
        "inconclusive",
        "inconclusive",
        "measured",
    ]
    assert [finding.reason for finding in findings] == [
        "found",
        "nothing",
        "blind",
        "void",
        "nothing",
    ]
    assert [finding.p_adjusted for finding in findings] == [0.004, 0.08, 1.0, 0.0004, None]


def test_findings_of_one_group_share_their_correction():
    findings = judge(
        [evidence("a", 0.02, group="g"), evidence("b", 0.6, group="g"), evidence("c", 0.7)],
        settings=Settings(seed=0, confidence=0.95, groups=2),
    )
    assert [finding.p_adjusted for finding in findings] == [0.04, 1.0, 1.0]
    assert [finding.group for finding in findings] == ["g", "g", "c"]
    assert findings[0].verdict == "leak"


def test_more_groups_than_counted_on_are_refused():
    with pytest.raises(AuditInputError, match="2 groups of tests share a rate split into 1"):
        judge(
            [evidence("a", 0.02), evidence("b", 0.6)],
            settings=Settings(seed=0, confidence=0.95, groups=1),
        )


def test_an_alarm_counts_even_where_silence_would_not():
    settings = Settings(seed=0, confidence=0.95, groups=1)
    (finding,) = judge([evidence("x", 0.001, blind="blind")], settings=settings)
    assert finding.verdict == "leak"
