import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from audits.checks import diversity
from audits.distance import pairwise
from audits.judgement import Settings
from audits.measures import manifold, spread, subgroups, vendi
from audits.measures.resampling import everything, jackknife, random_groups
from audits.records import encode

SETTINGS = Settings(seed=1, confidence=0.95, groups=3)


def normal(rows, columns, rng):
    return pd.DataFrame(rng.normal(size=(rows, columns)), columns=list("abcdefgh")[:columns])


def overlap(train, other, *, seed=0):
    tables = encode(train, train, other)
    groups = random_groups(len(other), rng=np.random.default_rng(seed))
    real = manifold.real_balls(tables.train)
    return manifold.overlap(tables.synthetic, real, groups, confidence=0.95)


def values(train, other):
    return {name: figure.value for name, figure in overlap(train, other).figures.items()}


def checked(*frames):
    return diversity.run(encode(*frames), settings=SETTINGS)


def value(evidence, name):
    return evidence.figures[name].value


# neighbourhoods ----------------------------------------------------------------------------------


def slow_overlap(real, other, k):
    """The published definitions, one row at a time, from full distance matrices."""
    own, cross, made = pairwise(real, real), pairwise(other, real), pairwise(other, other)
    n, m = len(real), len(other)

    def kth(matrix, row, place):
        return sorted(np.delete(matrix[row], row))[place - 1]

    radius = [kth(own, i, min(k, n - 1)) for i in range(n)]
    clipped = [min(r, np.median(radius)) for r in radius]
    theirs = [kth(made, j, min(k, m - 1)) for j in range(m)]
    k = min(k, n - 1)
    held = [sum(cross[j, i] <= radius[i] for j in range(m)) for i in range(n)]
    holders = [sum(cross[j, i] <= radius[i] for i in range(n)) for j in range(m)]
    good = [min(1, sum(cross[j, i] <= clipped[i] for i in range(n)) / k) for j in range(m)]
    ideal = [min(1, sum(own[h, i] <= clipped[i] for i in range(n) if i != h) / k) for h in range(n)]
    fresh = []
    for j in range(m):
        i = int(np.argmin(cross[j]))
        gap = cross[j, i] - kth(own, i, 1)
        fresh.append(0.5 if gap == 0 else float(gap > 0))
    return {
        "precision": np.mean([count > 0 for count in holders]),
        "density": np.mean(holders) / k,
        "recall": np.mean([any(cross[j, i] <= theirs[j] for j in range(m)) for i in range(n)]),
        "coverage": np.mean([count > 0 for count in held]),
        "clipped_density": min(1, np.mean(good) / np.mean(ideal)),
        "authenticity": np.mean(fresh),
    }


row = st.tuples(st.sampled_from([0.0, 0.5, 1.0, 4.0, 9.0]), st.sampled_from(["u", "v"]))


@settings(derandomize=True, deadline=None, max_examples=30)
@given(train=st.lists(row, min_size=2, max_size=12), other=st.lists(row, min_size=2, max_size=12))
def test_neighbourhoods_agree_with_their_slow_twin(train, other):
    frames = [pd.DataFrame(part, columns=["x", "c"]) for part in (train, other)]
    tables = encode(frames[0], frames[0], frames[1], kinds={"x": "number", "c": "category"})
    expected = slow_overlap(tables.train, tables.synthetic, manifold.K)
    got = values(*frames)
    for name, figure in expected.items():
        assert got[name] == pytest.approx(figure, abs=1e-9), name


def test_coverage_of_one_distribution_is_the_closed_form():
    # Forty pairs of independent tables; the mean is within 2 standard errors, and the same test
    # tells it from the closed form of a neighbour more or less.
    rng = np.random.default_rng(3)
    n, m = 150, 100
    seen = [values(normal(n, 3, rng), normal(m, 3, rng))["coverage"] for _ in range(40)]
    error = np.std(seen, ddof=1) / np.sqrt(40)
    assert abs(np.mean(seen) - manifold.expected_coverage(n, m)) < 2 * error
    for k in (manifold.K - 1, manifold.K + 1):
        assert abs(np.mean(seen) - manifold.expected_coverage(n, m, k)) > 2 * error


def test_expected_coverage_reference_values():
    # For M = N it tends to 1 - 2^-k; the product for small tables by hand.
    assert manifold.expected_coverage(10**7, 10**7) == pytest.approx(1 - 2**-5, abs=1e-6)
    assert manifold.expected_coverage(4, 3, 2) == pytest.approx(1 - (3 / 6) * (2 / 5))


def test_expected_clipped_coverage_is_the_sum_of_its_definition():
    # mean of min(j, k) / k over j good rows in a ball of mass Beta(k, N - k).
    n, m, k = 30, 17, 5
    curve = manifold.expected_clipped(n, m, k)
    for good in (0, 1, 5, 17):
        j = np.arange(good + 1)
        law = special.comb(good, j) * special.beta(k + j, n + good - k - j) / special.beta(k, n - k)
        assert curve[good] == pytest.approx((np.minimum(j, k) * law).sum() / k)
    assert np.all(np.diff(curve) > 0)


def test_clipped_figures_fall_in_proportion_to_the_bad_rows():
    # Salvy et al.: the score is about the share of good rows; the plain figures are not.
    rng = np.random.default_rng(4)
    train = normal(600, 4, rng)
    for share in (0.25, 0.5, 0.75):
        bad = round(share * 600)
        other = pd.concat([normal(600 - bad, 4, rng), normal(bad, 4, rng) + 50])
        got = values(train, other)
        assert got["clipped_density"] == pytest.approx(1 - share, abs=0.08)
        assert got["clipped_coverage"] == pytest.approx(1 - share, abs=0.08)
    assert got["coverage"] > 0.6


def test_an_outlier_among_the_real_rows_does_not_rescue_bad_rows():
    rng = np.random.default_rng(5)
    clean = normal(300, 2, rng)
    wild = clean.copy()
    wild.iloc[:12] = rng.normal(0, 25, (12, 2))
    bad = pd.DataFrame(rng.uniform(-40, 40, (300, 2)), columns=list("ab"))
    assert values(wild, bad)["precision"] > 0.7
    assert values(wild, bad)["clipped_density"] < 0.15


def test_authenticity_compares_with_the_nearest_real_rows_own_neighbour():
    # Real rows 0, 10 and 11. A row at 2 is nearest to 0, whose own neighbour is 10 away: too close.
    # At 8.5 it is nearest to 10 (1.5), whose own neighbour is 1 away: fresh. A row at 9: a tie.
    train = pd.DataFrame({"x": [0.0, 10.0, 11.0]})
    other = pd.DataFrame({"x": [2.0, 8.5, 9.0]})
    assert values(train, other)["authenticity"] == pytest.approx((0 + 1 + 0.5) / 3)


def test_copies_are_not_authentic_and_independent_rows_mostly_are():
    rng = np.random.default_rng(6)
    train = normal(300, 3, rng)
    assert values(train, train)["authenticity"] == 0.0
    assert values(train, normal(300, 3, rng))["authenticity"] > 0.35


def test_dropped_and_invented_modes_move_the_right_figures():
    rng = np.random.default_rng(7)
    both = pd.concat([normal(200, 2, rng), normal(200, 2, rng) + 30])
    one = normal(400, 2, rng)
    fresh = pd.concat([normal(200, 2, rng), normal(200, 2, rng) + 30])
    invented = pd.concat([normal(200, 2, rng), normal(200, 2, rng) + 30]) - [30, 0]
    good, dropped, foreign = (values(both, other) for other in (fresh, one, invented))
    for name in ("recall", "coverage", "clipped_coverage", "beta_recall"):
        assert dropped[name] < good[name] - 0.2, name
    assert dropped["precision"] == pytest.approx(good["precision"], abs=0.05)
    for name in ("precision", "density", "clipped_density"):
        assert foreign[name] < good[name] - 0.3, name


def test_a_shrunken_table_loses_recall_and_alpha_precision():
    rng = np.random.default_rng(8)
    train, fresh = normal(400, 2, rng), normal(400, 2, rng)
    good, shrunk = values(train, fresh), values(train, fresh * 0.2)
    assert good["alpha_precision"] > 0.9
    assert shrunk["alpha_precision"] < 0.4
    assert shrunk["recall"] < good["recall"] - 0.3
    assert shrunk["precision"] > 0.9


def test_intervals_have_the_spread_of_fresh_draws():
    # The real rows stay; the half-widths are about two standard deviations, never much less.
    rng = np.random.default_rng(9)
    train = normal(250, 2, rng)
    # A quarter of the rows is off, so that no figure is cut at 1.
    runs = [
        overlap(train, pd.concat([normal(190, 2, rng), normal(60, 2, rng) + 4])).figures
        for _ in range(20)
    ]
    for name in manifold.NAMES:
        spread_seen = np.std([run[name].value for run in runs], ddof=1)
        half = np.mean([(run[name].upper - run[name].lower) / 2 for run in runs])
        assert half > 1.2 * spread_seen, name
        assert half < max(7 * spread_seen, 0.05), name


def test_the_middle_is_the_median_and_the_commonest_value():
    table = pd.DataFrame({"x": [3.0, 1.0, 2.0, 9.0], "c": ["u", "v", "v", None]})
    centre = manifold.middle(encode(table, table, table).train)
    assert centre.numbers.tolist() == [[2.0]]
    assert centre.categories.tolist() == [[1]]


# jackknife ---------------------------------------------------------------------------------------


def test_jackknife_of_a_mean_is_students_interval():
    sample = np.random.default_rng(0).normal(size=20)
    left_out = [np.delete(sample, i).mean() for i in range(20)]
    got = jackknife(sample.mean(), left_out, confidence=0.95, bounds=(-9, 9))
    low, high = stats.t.interval(0.95, 19, sample.mean(), stats.sem(sample))
    assert (got.lower, got.upper) == pytest.approx((low, high))


def test_too_few_groups_rule_nothing_out():
    for replicates in ([], [0.4]):
        got = jackknife(0.4, replicates, confidence=0.9, bounds=(0, 1))
        assert (got.lower, got.value, got.upper) == (0, 0.4, 1)
    assert everything(7.0, confidence=0.9, bounds=(0.0, 1.0)).value == 1.0


@pytest.mark.parametrize("rows", [1, 2, 19, 20, 47])
def test_random_groups_part_the_rows(rows):
    groups = random_groups(rows, rng=np.random.default_rng(rows))
    assert sorted(np.concatenate(groups)) == list(range(rows))
    assert len(groups) == min(20, rows)
    assert max(map(len, groups)) - min(map(len, groups)) <= 1


# columns -----------------------------------------------------------------------------------------


def columns(train, other):
    tables = encode(train, train, other)
    table = diversity.cells(tables)
    groups = random_groups(len(other), rng=np.random.default_rng(0))
    return spread.spread((tables.train, table.train), (tables.synthetic, table.synthetic), groups)


def test_spread_by_hand():
    train = pd.DataFrame({"c": list("aabb"), "x": [0.0, 1.0, 2.0, 3.0]})
    other = pd.DataFrame({"c": list("aaaa"), "x": [0.0, 0.0, 1.5, 1.5]})
    got = columns(train, other)
    assert got.coverage[0, 0] == 0.5
    # One effective value instead of two.
    assert got.entropy[0, 0] == pytest.approx(0.5)
    assert got.variance[0, 0] == pytest.approx(np.var([0, 0, 1.5, 1.5]) / np.var([0, 1, 2, 3]))
    # The outermost ranges of four rows are their ends: 0 is reached, 3 is not.
    assert got.tail[0, 0] == 0.5


def test_leaving_groups_out_equals_counting_again(mixed_table):
    train, other = mixed_table(300, 1), mixed_table(100, 2)
    whole = columns(train, other)
    groups = random_groups(100, rng=np.random.default_rng(0))
    for place in (0, 7):
        # The bins and the real range come from train alone, so the rest can be counted afresh.
        again = columns(train, other.drop(index=groups[place]))
        for name in ("coverage", "entropy", "tail", "variance"):
            np.testing.assert_allclose(getattr(whole, name)[place + 1], getattr(again, name)[0])


@pytest.mark.parametrize(
    ("train", "other", "expected"),
    [
        ([5.0, 5.0], [5.0, 5.0], 1.0),
        ([5.0, 5.0], [5.0, 6.0], spread.CAP),
        ([1.0, 2.0], [1.5, 1.5], 0.0),
        ([1.0, 2.0], [np.nan, np.nan], 0.0),
        ([np.nan, np.nan], [np.nan, np.nan], 1.0),
        ([1.0, 2.0], [-1e308, 1e308], spread.CAP),
    ],
)
def test_variance_ratio_is_defined_for_every_column(train, other, expected):
    got = columns(pd.DataFrame({"x": train}), pd.DataFrame({"x": other}))
    if expected == spread.CAP and other[0] < 0:
        # Far-out values are pulled in to one range beyond the real ones.
        expected = np.var([-1.0, 2.0]) / 0.25
    assert got.variance[0, 0] == pytest.approx(expected)


def test_a_cut_tail_is_seen():
    rng = np.random.default_rng(0)
    train, other = (pd.DataFrame({"x": rng.normal(size=4000)}) for _ in range(2))
    assert columns(train, other).tail[0, 0] == 1.0
    low, high = train["x"].quantile([0.03, 0.97])
    assert columns(train, other.clip(low, high)).tail[0, 0] < 0.5


# vendi -------------------------------------------------------------------------------------------


def test_vendi_counts_different_rows():
    assert vendi.vendi(np.eye(7)) == pytest.approx(7.0)
    assert vendi.vendi(np.ones((7, 7))) == pytest.approx(1.0)
    # Two kinds of rows, five to three: exp of the entropy of (5/8, 3/8).
    kinds = np.repeat([0, 1], [5, 3])
    kernel = (kinds[:, None] == kinds[None, :]).astype(float)
    assert vendi.vendi(kernel) == pytest.approx(np.exp(stats.entropy([5 / 8, 3 / 8])))


def test_the_kernel_is_positive_semi_definite(mixed_table):
    wild = mixed_table(120, 3)
    wild.loc[:10, "height"] = 1e6
    tables = encode(mixed_table(50, 1), mixed_table(50, 2), wild)
    kernel = 1 - pairwise(tables.synthetic, tables.synthetic)
    assert np.linalg.eigvalsh(kernel).min() > -1e-7


def test_repeating_rows_lowers_the_vendi_score(mixed_table):
    fresh = mixed_table(200, 1)
    repeated = pd.concat([mixed_table(10, 2)] * 20, ignore_index=True)
    got = checked(mixed_table(200, 3), fresh, repeated)
    assert got.figures["vendi_score"].upper < got.figures["vendi_score_baseline"].lower
    assert value(got, "duplicate_share") == pytest.approx(190 / 200)


# the check ---------------------------------------------------------------------------------------


def test_diversity_by_hand():
    train = pd.DataFrame({"c": list("aaaabbcd"), "x": [1.0] * 8})
    holdout = pd.DataFrame({"c": list("abca"), "x": [1.0] * 4})
    synthetic = pd.DataFrame({"c": list("aabb"), "x": [1.0] * 4})
    got = checked(train, holdout, synthetic)
    assert value(got, "category_coverage") == 2 / 4
    assert value(got, "category_coverage_baseline") == 3 / 4
    assert value(got, "dropped_modes") == 2
    assert value(got, "dropped_modes_baseline") == 1
    assert got.curves["dropped"] == ["c = c", "c = d"]
    chance = (1 - 4 / 8) ** 4 + (1 - 2 / 8) ** 4 + 2 * (1 - 1 / 8) ** 4
    assert value(got, "dropped_modes_expected") == pytest.approx(chance)
    assert value(got, "duplicate_share") == 2 / 4
    assert value(got, "duplicate_share_baseline") == 1 / 4
    assert "2 values or ranges" in got.nothing


def test_missing_is_a_value_that_can_be_dropped():
    real = pd.DataFrame({"x": [1.0, 2.0, np.nan, np.nan]})
    made = pd.DataFrame({"x": [1.0, 2.0, 1.0, 2.0]})
    got = checked(real, real, made)
    assert got.curves["dropped"] == ["x = missing"]
    # Without category columns, coverage is that of the bins.
    assert value(got, "category_coverage") < 1.0
    assert value(got, "category_coverage_baseline") == 1.0


def test_every_figure_stands_beside_its_baseline_and_in_its_interval(mixed_table):
    got = checked(mixed_table(400, 1), mixed_table(200, 2), mixed_table(300, 3))
    alone = {
        "coverage_expected",
        "dropped_modes_expected",
        "dropped_mode_noticeable_share",
    }
    named = {name.removesuffix("_baseline") for name in got.figures} - alone
    assert len(named) == 21
    for name in named:
        assert {name, f"{name}_baseline"} <= set(got.figures), name
        # Independent real rows on both sides: the baseline is within the joined intervals.
        a, b = got.figures[name], got.figures[f"{name}_baseline"]
        assert abs(a.value - b.value) <= 2 * (b.upper - b.lower + a.upper - a.lower) + 1e-9, name
    assert got.rows_used == {
        "train": 400,
        "holdout": 200,
        "synthetic": 200,
        "neighbourhoods": 200,
        "vendi": 200,
    }


def test_the_holdout_as_synthetic_table_equals_its_baseline(mixed_table):
    got = checked(mixed_table(200, 1), mixed_table(150, 2), mixed_table(150, 2))
    for name, figure in got.figures.items():
        if f"{name}_baseline" in got.figures:
            # The two arms' rows are split alike, so even the intervals agree.
            assert got.figures[f"{name}_baseline"] == figure, name


def test_noticeable_share_keeps_its_false_alarm_rate():
    # Twelve values at exactly that share: all of them occur in about 95 % of tables, and a share a
    # third smaller is lacking too often. 4,000 seeds: 5 % within 4 standard errors of 0.35 %.
    rows, modes = 200, 12
    share = diversity.noticeable_share(rows, modes, alpha=0.05)
    rng = np.random.default_rng(1)
    lacking = (rng.binomial(rows, share, (4000, modes)) == 0).any(axis=1).mean()
    assert lacking == pytest.approx(0.05, abs=0.014)
    assert (rng.binomial(rows, share / 1.5, (4000, modes)) == 0).any(axis=1).mean() > 0.2


def test_the_subgroup_that_was_left_out_is_named(mixed_table):
    made = mixed_table(400, 3)
    made = made[made["town"] != "east"]
    got = checked(mixed_table(400, 1), mixed_table(380, 2), made)
    entries = {(e["column"], e["value"]): e for e in got.curves["subgroups"]}
    east, north = entries["town", "east"], entries["town", "north"]
    assert east["share_ratio"] == 0.0
    assert east["coverage"] < east["coverage_baseline"] - 0.3
    assert north["share_ratio"] == pytest.approx(1.0, abs=0.25)
    assert abs(north["coverage"] - north["coverage_baseline"]) < 0.1
    assert value(got, "subgroup_coverage_worst") <= east["coverage"]
    assert value(got, "dropped_modes") >= 1


def test_subgroup_coverage_is_a_mean_over_its_rows():
    codes = np.array([[0, 1]] * 30 + [[1, 1]] * 40 + [[2, 0]] * 10)
    groups = subgroups.subgroups(codes)
    assert list(zip(groups.column, groups.cell, strict=True)) == [(0, 0), (0, 1), (1, 1)]
    covered = np.zeros((1, 80), dtype=bool)
    covered[0, :45] = True
    np.testing.assert_allclose(groups.coverage(covered), [[1.0, 15 / 40, 45 / 70]])


@pytest.mark.parametrize(
    ("table", "gap"),
    [
        (pd.DataFrame({"x": [1.0], "c": ["a"]}), "A single row has no neighbourhood"),
        (pd.DataFrame({"x": [1.0] * 3}), "No subgroup has 30 rows"),
        (pd.DataFrame({"x": [np.nan] * 60, "c": ["a"] * 60}), ""),
        (pd.DataFrame({"c": ["a", "b"] * 20}), "no number column"),
        (pd.DataFrame({"c": [None] * 40, "x": range(40)}), ""),
    ],
)
def test_poor_tables_keep_every_figure(table, gap, mixed_table):
    whole = checked(mixed_table(60, 1), mixed_table(60, 2), mixed_table(60, 3))
    got = checked(table, table, table)
    assert set(got.figures) == set(whole.figures)
    assert gap in got.nothing
    if len(table) == 1:
        assert (got.figures["coverage"].lower, got.figures["coverage"].upper) == (0.0, 1.0)
    if gap == "no number column":
        assert got.figures["variance_ratio"].upper == spread.CAP


def test_same_seed_same_bits(mixed_table, monkeypatch):
    monkeypatch.setattr(diversity, "MAX_BALLS", 100)
    tables = encode(mixed_table(300, 1), mixed_table(200, 2), mixed_table(250, 3))
    first, second = (diversity.run(tables, settings=SETTINGS) for _ in range(2))
    assert first == second
    assert first.rows_used["neighbourhoods"] == 100
    other = diversity.run(tables, settings=Settings(seed=2, confidence=0.95, groups=3))
    assert other.figures != first.figures
