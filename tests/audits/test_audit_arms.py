from dataclasses import replace

import numpy as np
import pytest

from audits.membership.arms import FOCUS_ROWS, MIN_SPLIT, arms, focus
from audits.records import encode, row_ids


@pytest.fixture
def tables(mixed_table):
    return encode(mixed_table(400, 1), mixed_table(240, 2), mixed_table(300, 3))


def rng():
    return np.random.default_rng(5)


def test_without_need_nothing_is_lent(tables):
    chosen = arms(tables, lend=False, rng=rng())
    assert chosen.reference is None
    assert len(chosen.targets) == 640
    assert chosen.members.sum() == 400
    assert not chosen.lent.any()


def test_half_of_the_holdout_is_lent_and_serves_as_reference(tables):
    chosen = arms(tables, lend=True, rng=rng())
    assert len(chosen.reference) == 120
    assert not (chosen.lent & chosen.members).any()
    np.testing.assert_array_equal(chosen.targets.rows[chosen.lent], chosen.reference.rows)
    outside = chosen.targets.rows[~chosen.members & ~chosen.lent]
    assert sorted([*outside, *chosen.reference.rows]) == list(range(240))
    assert chosen.targets.rows[chosen.members].tolist() == list(range(400))


def test_a_given_reference_is_used_and_nothing_is_split(mixed_table):
    given = encode(mixed_table(80, 1), mixed_table(70, 2), mixed_table(60, 3), mixed_table(50, 4))
    chosen = arms(given, lend=True, rng=rng())
    assert not chosen.lent.any()
    np.testing.assert_array_equal(*row_ids([chosen.reference, given.reference]))


def test_a_small_holdout_lends_nothing(mixed_table):
    small = encode(mixed_table(300, 1), mixed_table(MIN_SPLIT - 1, 2), mixed_table(300, 3))
    assert arms(small, lend=True, rng=rng()).reference is None


def test_focus_takes_exposed_rows_and_others_without_regard_to_the_arm(mixed_table):
    given = encode(mixed_table(3000, 1), mixed_table(600, 2), mixed_table(100, 3))
    chosen = arms(given, lend=False, rng=rng())
    exposure = np.random.default_rng(1).random(len(chosen.targets))
    shares = []
    lent = replace(chosen, lent=~chosen.members & (chosen.targets.rows < 300))
    assert not (focus(lent, exposure, rng=rng()) & lent.lent).any()
    for seed in range(40):
        mask = focus(chosen, exposure, rng=np.random.default_rng(seed))
        assert mask.sum() == 2 * FOCUS_ROWS
        shares.append(chosen.members[mask].mean())
    # The exposed ones are drawn from the same 600 non-members each time, so picks repeat: wide.
    assert abs(np.mean(shares) - 0.5) < 0.05
    top = np.sort(exposure[mask])[FOCUS_ROWS:]
    assert top.min() > np.quantile(exposure, 0.85)
