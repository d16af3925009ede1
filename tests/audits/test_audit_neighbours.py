import itertools

import numpy as np
import pandas as pd
import pytest

from audits.checks import copies, nearest_neighbours
from audits.distance import pairwise
from audits.judgement import Settings
from audits.measures import dealing
from audits.records import Encoded, encode
from audits.statistics import clopper_pearson
from audits.tables.sampling import equal_groups

SETTINGS = Settings(seed=1, confidence=0.95, groups=3)
ALONE = Settings(seed=1, confidence=0.95, groups=1)


def numbers(values):
    return pd.DataFrame({"x": np.asarray(values, dtype=float)})


def value(evidence, name):
    return evidence.figures[name].value


def checked(*frames, settings=SETTINGS):
    return nearest_neighbours.run(encode(*frames), settings=settings)


# nearest neighbours ------------------------------------------------------------------------------


def test_share_closer_by_hand():
    # 0, 1, 2 and 5 lie nearer train, 20 nearer the holdout; 6 is 4 away from both.
    tables = encode(numbers([0, 2]), numbers([10, 20]), numbers([0, 1, 2, 20, 6, 5]))
    got = nearest_neighbours.run(tables, settings=SETTINGS)
    assert value(got, "share_closer_to_train") == pytest.approx(4.5 / 6)
    assert value(got, "tie_share") == pytest.approx(1 / 6)
    assert value(got, "dcr_median_train") == pytest.approx(np.median([0, 1, 0, 18, 4, 3]) / 20)
    assert value(got, "dcr_median_holdout") == pytest.approx(np.median([10, 9, 8, 0, 4, 5]) / 20)
    # Nearest over second nearest: 0/2, 1/1, 0/2, 18/20, 4/6, 3/5.
    assert value(got, "nndr_median_train") == pytest.approx(np.median([0, 1, 0, 0.9, 4 / 6, 0.6]))


def test_ratio_of_two_zero_distances_is_one():
    tables = encode(numbers([1, 1]), numbers([5, 6]), numbers([1, 1]))
    assert value(nearest_neighbours.run(tables, settings=SETTINGS), "nndr_median_train") == 1.0


def test_groups_use_every_row_and_have_one_size():
    rng = np.random.default_rng(0)
    for rows, size in [(7, 7), (9, 4), (20, 5), (5, 4)]:
        groups = equal_groups(rows, size, rng=rng)
        assert {len(group) for group in groups} == {size}
        assert set(np.concatenate(groups)) == set(range(rows))
        assert len(groups) == -(-rows // size)
        assert all(len(set(group)) == size for group in groups)


@pytest.mark.parametrize(("n", "h"), [(200, 50), (50, 200), (90, 60)])
def test_unequal_sizes_do_not_tilt_the_share(n, h):
    rng = np.random.default_rng(2)
    shares = []
    for _ in range(20):
        tables = encode(*(pd.DataFrame(rng.normal(size=(rows, 4))) for rows in (n, h, 100)))
        comparisons = nearest_neighbours._compare(tables, rng=rng)
        shares.append(np.mean([c.credits.mean() for c in comparisons]))
    error = np.std(shares, ddof=1) / np.sqrt(20)
    assert abs(np.mean(shares) - 0.5) < 4 * error


# dealing -----------------------------------------------------------------------------------------


def every_deal(tables):
    """Twice the credits of train under all deals of the real rows, and as seen; slowly."""
    n, h = len(tables.train), len(tables.holdout)
    near = np.hstack([pairwise(tables.synthetic, side) for side in (tables.train, tables.holdout)])

    def credits(members):
        inside = np.isin(np.arange(n + h), members)
        to_train, to_holdout = near[:, inside].min(axis=1), near[:, ~inside].min(axis=1)
        return int((2 * (to_train < to_holdout) + (to_train == to_holdout)).sum())

    deals = itertools.combinations(range(n + h), n)
    return np.array([credits(list(deal)) for deal in deals]), credits(list(range(n)))


@pytest.mark.parametrize("seed", range(6))
def test_dealing_agrees_with_all_deals(seed):
    # Few values, so that rows repeat and different rows tie.
    rng = np.random.default_rng(seed)
    frames = [
        pd.DataFrame({"x": rng.integers(0, 4, rows) * 1.0, "c": rng.choice(["u", "v"], rows)})
        for rows in (5, 3 + seed % 2, 9)
    ]
    tables = encode(*frames, kinds={"x": "number", "c": "category"})
    all_deals, seen = every_deal(tables)
    got = dealing.deal(tables, draws=3000, rng=rng)
    assert got.share == seen / 18
    # Random deals against all of them: 4 standard errors.
    assert got.mean == pytest.approx(
        all_deals.mean() / 18, abs=4 * all_deals.std() / 18 / 3000**0.5
    )
    assert got.error == pytest.approx(all_deals.std() / 18, rel=0.1, abs=1e-9)
    assert got.p_value == pytest.approx((all_deals >= seen).mean(), abs=0.04)


def test_the_smallest_p_value_is_one_over_the_deals():
    rng = np.random.default_rng(0)
    real = pd.DataFrame(rng.normal(size=(200, 3)))
    tables = encode(real, pd.DataFrame(rng.normal(size=(100, 3))), real)
    assert dealing.deal(tables, draws=199, rng=rng).p_value == 1 / 200


def test_equal_rows_everywhere_give_no_alarm():
    table = pd.DataFrame({"x": [1.0] * 60})
    got = checked(table, table, table)
    assert got.p_value == 1.0
    assert value(got, "share_closer_to_train") == 0.5
    assert "cannot be told" in got.blind


def mixed(rows, rng):
    return pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "gain": np.where(rng.random(rows) < 0.8, 0, rng.integers(1, 1000, rows)),
            "c": rng.choice(["u", "v", "w"], rows, p=[0.6, 0.3, 0.1]),
            "d": rng.choice(list("klmn"), rows),
        }
    )


def flips(rows, rng):
    return pd.DataFrame(rng.choice(["no", "yes"], (rows, 7)), columns=list("abcdefg"))


@pytest.mark.parametrize("make", [mixed, flips])
def test_independent_data_pass_with_a_holdout_half_the_size(make):
    # 200 seeds at level 5 %: at most 5 % + 2 standard errors (8.1 %) alarm.
    rng = np.random.default_rng(11)
    table = make(200 * 120, rng)
    whole = encode(table, table[: 200 * 60], make(200 * 90, rng))
    alarms = 0
    for seed in range(200):
        # Train and holdout come from one table: it is dealt out by row, each row once.
        rows = seed * 120 + np.arange(120)
        tables = Encoded(
            train=whole.train.take(rows[:80]),
            holdout=whole.train.take(rows[80:]),
            synthetic=whole.synthetic.take(seed * 90 + np.arange(90)),
        )
        alarms += dealing.deal(tables, draws=199, rng=rng).p_value <= 0.05
    assert alarms / 200 <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5


def test_the_copied_share_said_to_be_detectable_is_detected():
    # 20 seeds with a holdout half the size of train. At 95 % power fewer than 17 alarms come once
    # in 60 such tests; a fifth of that share is mostly missed.
    rng = np.random.default_rng(12)
    caught = {1.0: 0, 0.2: 0}
    for _ in range(20):
        train, holdout, fresh = (
            pd.DataFrame(rng.normal(size=(rows, 4))) for rows in (400, 200, 300)
        )
        clean = checked(train, holdout, fresh, settings=ALONE)
        share = value(clean, "detectable_copied_share")
        for part in caught:
            made = fresh.copy()
            count = round(part * 300 * share)
            made.iloc[:count] = train.sample(count, random_state=rng.integers(2**31)).to_numpy()
            tables = encode(train, holdout, made)
            caught[part] += dealing.deal(tables, draws=199, rng=rng).p_value <= 0.05
    assert caught[1.0] >= 17
    assert caught[0.2] <= 10


def test_a_verbatim_copy_of_seven_binary_columns_does_not_pass(binary_table):
    train = binary_table(500, 1)
    got = checked(train, binary_table(500, 2), train)
    assert got.p_value <= SETTINGS.alpha_each or got.blind


def test_the_text_names_the_rule_and_the_limits(mixed_table):
    got = checked(mixed_table(200, 1), mixed_table(100, 2), mixed_table(150, 3))
    for text in (got.found, got.nothing):
        assert "missing against missing 0" in text
        assert "bug detector for copies, not a privacy verdict" in text
    assert "without copying passes" in got.blind_spot


def test_baselines_are_the_holdouts_own_distances():
    tables = encode(numbers([0, 2]), numbers([1, 20]), numbers([0, 5]))
    got = nearest_neighbours.run(tables, settings=SETTINGS)
    # 1 is 1 from 0 and from 2; 20 is 18 from 2 and 20 from 0.
    assert value(got, "dcr_median_baseline") == pytest.approx(np.median([1, 18]) / 20)
    assert value(got, "nndr_median_baseline") == pytest.approx(np.median([1.0, 0.9]))
    assert value(got, "share_closer_to_train_baseline") == 0.5


@pytest.mark.parametrize("rows", [1, 3])
def test_tiny_tables_keep_every_figure(rows, mixed_table):
    whole = checked(mixed_table(60, 1), mixed_table(60, 2), mixed_table(60, 3))
    tiny = checked(mixed_table(rows, 1), mixed_table(rows, 2), mixed_table(rows, 3))
    assert set(tiny.figures) == set(whole.figures)
    assert "has " in tiny.void


# copies ------------------------------------------------------------------------------------------


def test_copies_by_hand():
    train = pd.DataFrame({"c": list("aabcd")})
    holdout = pd.DataFrame({"c": list("abefg")})
    synthetic = pd.DataFrame({"c": list("ccae") + ["new"] * 4})
    got = copies.run(encode(train, holdout, synthetic), settings=SETTINGS)
    assert value(got, "exact_share") == 3 / 8
    assert value(got, "exact_share_holdout") == 2 / 8
    assert value(got, "excess") == 1 / 8
    assert value(got, "train_rows_in_holdout") == 3 / 5
    # Lone rows are c, d in train and e, f, g in the holdout; c and e are hit.
    # Two hit rows among ten real ones, at least one of them in train: 1 - C(5,2)/C(10,2).
    assert got.p_value == pytest.approx(1 - 10 / 45)
    low = (
        clopper_pearson(3, 8, confidence=0.975).lower
        - clopper_pearson(2, 8, confidence=0.975).upper
    )
    assert got.figures["excess"].lower == pytest.approx(low)


def test_unequal_sizes_are_compared_at_the_smaller_one():
    train = pd.DataFrame({"c": list("aabc")})
    holdout = pd.DataFrame({"c": list("ab")})
    synthetic = pd.DataFrame({"c": list("abz")})
    got = copies.run(encode(train, holdout, synthetic), settings=SETTINGS)
    subsets = list(itertools.combinations("aabc", 2))
    a, b = (np.mean([letter in subset for subset in subsets]) for letter in "ab")
    assert value(got, "exact_share") == pytest.approx(2 / 3)
    assert value(got, "exact_share_holdout") == pytest.approx(2 / 3)
    assert value(got, "excess") == pytest.approx((a + b - 2) / 3)


def test_copies_without_any_lone_row_cannot_be_judged():
    table = pd.DataFrame({"c": list("ab") * 60})
    got = copies.run(encode(table, table, table), settings=SETTINGS)
    assert got.p_value == 1.0
    assert "repeat so much" in got.blind
    assert value(got, "detectable_copied_share") == 1.0
