"""The contract that every registered attack keeps; a new file is tested by being there."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from audits import registry
from audits.attacks import closest_record
from audits.errors import AttackError, AuditInputError
from audits.records import concatenate, encode

ATTACKS = registry.attacks()


@pytest.fixture(scope="module")
def tables(mixed_table):
    return encode(mixed_table(120, 1), mixed_table(90, 2), mixed_table(150, 3))


@pytest.mark.parametrize("name", ATTACKS)
def test_scores_are_one_finite_number_for_each_target(name, tables):
    scores = ATTACKS[name].score(tables.train, synthetic=tables.synthetic)
    assert scores.shape == (120,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert np.unique(scores).size > 1


@pytest.mark.parametrize("name", ATTACKS)
def test_planted_copies_score_higher(name, tables):
    leaky = concatenate([tables.synthetic, tables.train])
    planted = ATTACKS[name].score(tables.train, synthetic=leaky)
    fresh = ATTACKS[name].score(tables.holdout, synthetic=leaky)
    assert np.median(planted) > np.median(fresh)


@pytest.mark.parametrize("name", ATTACKS)
def test_order_of_rows_does_not_matter(name, tables):
    score = ATTACKS[name].score
    plain = score(tables.train, synthetic=tables.synthetic)
    rng = np.random.default_rng(0)
    targets, made = rng.permutation(120), rng.permutation(150)
    moved = score(tables.train.take(targets), synthetic=tables.synthetic.take(made))
    np.testing.assert_allclose(moved, plain[targets])


@pytest.mark.parametrize("name", ATTACKS)
def test_scores_repeat_and_leave_the_tables_alone(name, tables):
    before = tables.train.numbers.copy(), tables.synthetic.categories.copy()
    first, second = (
        ATTACKS[name].score(tables.train, synthetic=tables.synthetic) for _ in range(2)
    )
    assert first.tobytes() == second.tobytes()
    np.testing.assert_array_equal(before[0], tables.train.numbers)
    np.testing.assert_array_equal(before[1], tables.synthetic.categories)


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_say_what_they_know(name):
    assert name == ATTACKS[name].NAME
    assert len(ATTACKS[name].KNOWLEDGE) > 5


def test_closest_record_by_hand():
    train = pd.DataFrame({"x": [0.0, 10.0], "c": ["a", "b"]})
    tables = encode(train, train, pd.DataFrame({"x": [1.0, 10.0], "c": ["a", "a"]}))
    scores = closest_record.score(tables.train, synthetic=tables.synthetic)
    assert scores.tolist() == pytest.approx([-0.05, -0.5])


def test_choose_takes_all_or_the_named_ones():
    assert registry.choose(None) == ATTACKS
    assert list(registry.choose(["closest_record"])) == ["closest_record"]
    with pytest.raises(AuditInputError, match="no attack 'psychic' is installed; installed are"):
        registry.choose(["psychic"])


def test_attacks_of_other_packages_are_found(monkeypatch):
    foreign = SimpleNamespace(NAME="foreign", KNOWLEDGE="nothing at all", score=len)
    point = SimpleNamespace(load=lambda: foreign)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    assert list(registry.attacks()) == ["closest_record", "foreign"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"NAME": None}, "NAME is missing"),
        ({"KNOWLEDGE": 3}, "KNOWLEDGE is missing or not text"),
        ({"score": "no"}, "no function score"),
        ({"NAME": "Two words"}, "must be small letters"),
        ({"NAME": "closest_record"}, "two attacks are named 'closest_record'"),
    ],
)
def test_attacks_that_break_the_contract_are_refused(changes, message):
    good = {"NAME": "good", "KNOWLEDGE": "nothing", "score": len}
    with pytest.raises(AttackError, match=message):
        registry.collect([closest_record, SimpleNamespace(**(good | changes))])
