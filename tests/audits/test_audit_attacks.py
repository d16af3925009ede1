"""The contract that every registered attack keeps; a new file is tested by being there."""

import re
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest

from audits import registry
from audits.attacks import classifier, closest_record, local_density, near_copies
from audits.black_box.refit import leaky
from audits.disclosure.attempts import Attempts
from audits.errors import AttackError, AuditInputError
from audits.measures import pairs
from audits.records import concatenate, encode

ATTACKS = registry.attacks()
MEMBERSHIP = [name for name, attack in ATTACKS.items() if registry.is_membership(attack)]
DISCLOSURE = [name for name in ATTACKS if name not in MEMBERSHIP]
BLACK_BOX = [name for name in MEMBERSHIP if "refit" in registry.holds(ATTACKS[name])]


@pytest.fixture(scope="module")
def tables(mixed_table):
    return encode(
        mixed_table(120, 1), mixed_table(90, 2), mixed_table(150, 3), reference=mixed_table(100, 4)
    )


def ask(name, tables, targets, synthetic):
    """Scores with all that the attack's signature asks for."""
    whole = {
        "reference": tables.reference,
        "rng": np.random.default_rng(0),
        "refit": leaky,
    }
    attack = ATTACKS[name]
    given = {key: whole[key] for key in registry.holds(attack)}
    return attack.score(targets, synthetic=synthetic, **given)


def test_every_attack_of_the_issue_is_installed():
    wanted = {"closest_record", "local_density", "near_copies", "density_ratio", "classifier"}
    assert wanted <= set(MEMBERSHIP)
    assert {"lira", "shadow"} <= set(BLACK_BOX)
    assert {ATTACKS[name].CRITERION for name in DISCLOSURE} == set(registry.CRITERIA)


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_scores_are_one_finite_number_for_each_target(name, tables):
    scores = ask(name, tables, tables.train, tables.synthetic)
    assert scores.shape == (120,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert np.unique(scores).size > 1


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_planted_copies_score_higher(name, tables):
    if name in BLACK_BOX:
        made = leaky(tables.train, rng=np.random.default_rng(5))
    else:
        made = concatenate([tables.synthetic, tables.train])
    scores = ask(name, tables, concatenate([tables.train, tables.holdout]), made)
    assert np.median(scores[:120]) > np.median(scores[120:])


@pytest.mark.parametrize("name", [name for name in MEMBERSHIP if name not in BLACK_BOX])
def test_order_of_rows_does_not_matter(name, tables):
    plain = ask(name, tables, tables.train, tables.synthetic)
    rng = np.random.default_rng(0)
    targets, made, known = rng.permutation(120), rng.permutation(150), rng.permutation(100)
    moved = SimpleNamespace(reference=tables.reference.take(known))
    scores = ask(name, moved, tables.train.take(targets), tables.synthetic.take(made))
    # The density's pairs are in float32.
    np.testing.assert_allclose(scores, plain[targets], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in MEMBERSHIP if name not in BLACK_BOX])
def test_a_score_does_not_depend_on_the_other_targets(name, tables):
    together = ask(name, tables, concatenate([tables.train, tables.holdout]), tables.synthetic)
    alone = ask(name, tables, tables.train, tables.synthetic)
    assert alone.tobytes() == together[:120].tobytes()


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_threads_and_repeats_change_no_bit_and_tables_stay_as_they_are(name, tables):
    before = tables.train.numbers.copy(), tables.synthetic.categories.copy()
    first = ask(name, tables, tables.train, tables.synthetic)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        second = ask(name, tables, tables.train, tables.synthetic)
    assert first.tobytes() == second.tobytes()
    np.testing.assert_array_equal(before[0], tables.train.numbers)
    np.testing.assert_array_equal(before[1], tables.synthetic.categories)


@pytest.mark.parametrize("name", [name for name in MEMBERSHIP if name not in BLACK_BOX])
@pytest.mark.parametrize(
    "odd",
    [
        {"same": 1.0},
        {"same": "x"},
        {"gone": np.nan},
        {"huge": 1e300},
        {"same": 1.0, "again": 1.0, "word": "y"},
    ],
    ids=["constant number", "constant word", "all missing", "huge", "three constants"],
)
def test_odd_columns_do_not_stop_an_attack(name, odd, mixed_table):
    frames = [mixed_table(60, seed).assign(**odd) for seed in range(4)]
    frames[2].loc[0, "height"] = -1e308
    frames[2].loc[1, "town"] = "atlantis"
    tables = encode(*frames[:3], reference=frames[3])
    assert np.isfinite(ask(name, tables, tables.train, tables.synthetic)).all()


@pytest.mark.parametrize("name", [name for name in MEMBERSHIP if name not in BLACK_BOX])
@pytest.mark.parametrize("columns", [["height"], ["town"]])
def test_one_column_and_few_rows_are_enough(name, columns, mixed_table):
    frames = [mixed_table(4, seed)[columns] for seed in range(4)]
    tables = encode(*frames[:3], reference=frames[3])
    assert np.isfinite(ask(name, tables, tables.train, tables.synthetic)).all()


@pytest.mark.parametrize("name", DISCLOSURE)
def test_attempts_repeat_with_the_seed_and_succeed_more_on_copies(name, mixed_table):
    train, holdout = mixed_table(200, 1), mixed_table(200, 2)
    tables = encode(train, holdout, train)
    first, second = (ATTACKS[name].attempt(tables, rng=np.random.default_rng(3)) for _ in range(2))
    assert isinstance(first, Attempts)
    for arm in ("attack", "control", "baseline"):
        assert getattr(first, arm).tobytes() == getattr(second, arm).tobytes()
    assert first.attack.mean() > first.control.mean()


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_say_what_they_know_and_cannot_see(name):
    assert name == ATTACKS[name].NAME
    # Lists and reports put it into a sentence of theirs.
    assert re.fullmatch(r"[a-z].{5,}[^.]", ATTACKS[name].KNOWLEDGE)
    assert len(ATTACKS[name].BLIND_SPOT) > 20


def test_closest_record_by_hand():
    train = pd.DataFrame({"x": [0.0, 10.0], "c": ["a", "b"]})
    tables = encode(train, train, pd.DataFrame({"x": [1.0, 10.0], "c": ["a", "a"]}))
    scores = closest_record.score(tables.train, synthetic=tables.synthetic)
    assert scores.tolist() == pytest.approx([-0.05, -0.5])


def test_local_density_by_hand():
    train = pd.DataFrame({"x": [0.0, 10.0]})
    made = pd.DataFrame({"x": np.concatenate([np.zeros(10), [10.0, 9.0, 8.0]])})
    tables = encode(train, train, made)
    scores = local_density.score(tables.train, synthetic=tables.synthetic)
    # The first has its five upon it; the second at 0, 0.1, 0.2, and two of those at 1.
    assert scores.tolist() == pytest.approx([-np.log(1e-9), -np.log(0.46)])


def test_local_density_with_few_synthetic_rows_counts_all():
    train = pd.DataFrame({"x": [0.0, 10.0]})
    tables = encode(train, train, pd.DataFrame({"x": [1.0, 2.0]}))
    scores = local_density.score(tables.train, synthetic=tables.synthetic)
    assert scores.tolist() == pytest.approx([-np.log(0.15), -np.log(0.85)])


def surprise_by_loops(targets, synthetic):
    """The definition, pair by pair: minus log shares that agree at least as well."""
    rows = len(synthetic)
    best = np.full(len(targets), -np.inf)
    for i in range(len(targets)):
        for k in range(rows):
            total = 0.0
            for values, made in zip(targets.numbers.T, synthetic.numbers.T, strict=True):
                a, b = values[i], made[k]
                if np.isnan(a) and np.isnan(b):
                    share = np.isnan(made).sum()
                elif np.isnan(a) or np.isnan(b):
                    share = rows
                else:
                    share = ((made >= min(a, b)) & (made <= max(a, b))).sum()
                total -= np.log(share / rows)
            for codes, made in zip(targets.categories.T, synthetic.categories.T, strict=True):
                if codes[i] == made[k]:
                    total -= np.log((made == codes[i]).mean())
            best[i] = max(best[i], total)
    return best


@pytest.mark.parametrize("seed", range(4))
def test_near_copies_equals_its_definition(seed, mixed_table):
    frames = [mixed_table(25, 10 * seed + i) for i in range(3)]
    frames[2].loc[0, "town"] = "atlantis"
    frames[2].loc[1, "height"] = -1e6
    frames[2].loc[2:9, "visits"] = np.nan
    tables = encode(*frames)
    targets = concatenate([tables.train, tables.synthetic])
    scores = near_copies.score(targets, synthetic=tables.synthetic)
    np.testing.assert_allclose(
        scores, surprise_by_loops(targets, tables.synthetic), rtol=1e-5, atol=1e-5
    )


def test_near_copies_equals_its_definition_beyond_the_range_of_float32():
    rng = np.random.default_rng(0)
    frames = [pd.DataFrame(rng.normal(size=(30, 110))) for _ in range(2)]
    made = pd.concat([frames[0].iloc[:5], pd.DataFrame(rng.normal(size=(25, 110)))])
    tables = encode(*frames, made)
    scores = near_copies.score(tables.train, synthetic=tables.synthetic)
    np.testing.assert_allclose(scores, surprise_by_loops(tables.train, tables.synthetic), rtol=1e-5)
    # A verbatim copy of 110 columns, each value held by one row of 30.
    assert scores[0] == pytest.approx(110 * np.log(30))


def test_near_copies_in_blocks_equals_one_block(mixed_table, monkeypatch):
    tables = encode(*(mixed_table(90, seed) for seed in range(3)))
    plain = near_copies.score(tables.train, synthetic=tables.synthetic)
    monkeypatch.setattr(pairs.blocks, "__defaults__", (7,))
    assert near_copies.score(tables.train, synthetic=tables.synthetic).tobytes() == plain.tobytes()


def test_classifier_knows_its_own_tables_and_weighs_them_alike():
    rng = np.random.default_rng(1)
    train = pd.DataFrame({"x": [0.0, 100.0], "c": ["a", "b"]})
    made = pd.DataFrame({"x": rng.normal(0, 1, 400), "c": "a"})
    known = pd.DataFrame({"x": rng.normal(100, 1, 40), "c": "b"})
    tables = encode(train, train, made, reference=known)
    scores = classifier.score(
        tables.train, synthetic=tables.synthetic, reference=tables.reference, rng=rng
    )
    # The first lies among synthetic rows, the second among rows of the source.
    assert scores.tolist() == [1.0, 0.0]


def test_classifier_weighs_tables_alike_where_leaves_are_mixed():
    rng = np.random.default_rng(2)
    sizes = (500, 2, 1000, 100)
    tables = encode(*(pd.DataFrame({"x": rng.normal(size=size)}) for size in sizes))
    scores = classifier.score(
        tables.train, synthetic=tables.synthetic, reference=tables.reference, rng=rng
    )
    # One tree in four has mixed leaves and says 0.5; the others see ten rows to one and say 0.91.
    assert 0.78 < scores.mean() < 0.84


def test_choose_takes_all_or_the_named_ones():
    assert registry.choose(None) == ATTACKS
    assert list(registry.choose(["closest_record"])) == ["closest_record"]
    with pytest.raises(AuditInputError, match="no attack 'psychic' is installed; installed are"):
        registry.choose(["psychic"])


def plain(targets, *, synthetic):
    return np.zeros(len(targets))


def greedy(targets, *, synthetic, train):
    return np.zeros(len(targets))


def blind(targets):
    return np.zeros(len(targets))


def with_reference(targets, *, synthetic, reference, rng):
    return np.zeros(len(targets))


def test_attacks_of_other_packages_are_found(monkeypatch):
    foreign = SimpleNamespace(NAME="foreign", KNOWLEDGE="nothing at all", score=plain)
    point = SimpleNamespace(load=lambda: foreign)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    assert set(registry.attacks()) == {*ATTACKS, "foreign"}


def test_what_an_attack_holds_is_read_off_its_signature():
    assert registry.holds(SimpleNamespace(score=plain)) == frozenset()
    assert registry.holds(SimpleNamespace(score=with_reference)) == {"reference", "rng"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"NAME": None}, "NAME is missing"),
        ({"KNOWLEDGE": 3}, "KNOWLEDGE is missing or not text"),
        ({"score": "no"}, "it must have either score"),
        ({"attempt": print}, "it must have either score"),
        ({"score": greedy}, "score takes keywords .*'train'"),
        ({"score": blind}, "it must take synthetic"),
        ({"score": None, "attempt": print}, "CRITERION is None; it must be one of"),
        (
            {"score": None, "attempt": print, "CRITERION": "charm"},
            "CRITERION is 'charm'; it must be one of singling_out",
        ),
        ({"NAME": "Two words"}, "must be small letters"),
        ({"NAME": "closest_record"}, "two attacks are named 'closest_record'"),
    ],
)
def test_attacks_that_break_the_contract_are_refused(changes, message):
    good = {"NAME": "good", "KNOWLEDGE": "nothing", "score": plain}
    with pytest.raises(AttackError, match=message):
        registry.collect([closest_record, SimpleNamespace(**(good | changes))])


@pytest.mark.parametrize("rows", [1, 2, 5, 65, 75, 127, 128, 129, 600])
def test_wide_tables_neither_overflow_nor_lose_a_copy(rows):
    """Products over 150 columns stay inside float32 at any row count; a copy is still found."""
    rng = np.random.default_rng(rows)
    real, made = (pd.DataFrame(rng.normal(size=(rows, 150))).add_prefix("x") for _ in range(2))
    leaky = pd.concat([made[1:], real[:1]])
    tables = encode(real, made, leaky)
    scores = near_copies.score(tables.train, synthetic=tables.synthetic)
    assert np.isfinite(scores).all()
    assert scores[0] == scores.max()
