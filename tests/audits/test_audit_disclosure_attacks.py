"""Attribute inference, linkability and singling out, each against a plain loop."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audits.attacks import attribute_inference, linkability, singling_out
from audits.disclosure.predicates import (
    AT_LEAST,
    AT_MOST,
    EQUAL,
    MISSING,
    NOT_EQUAL,
    PRESENT,
    Columns,
    Condition,
    at_random,
    from_row,
    rare_or_extreme,
)
from audits.errors import AttackError, AuditInputError
from audits.records import Encoded, Records, encode

Table = Callable[[int, int], pd.DataFrame]


def encoded(make: Table, *, rows: int = 120, copied: int = 0) -> Encoded:
    train, holdout, synthetic = (make(rows, part) for part in range(3))
    synthetic.iloc[:copied] = train.iloc[:copied]
    return encode(train, holdout, synthetic)


def one_column(values: list[object], kind: str) -> Records:
    frame = pd.DataFrame({"x": values, "y": 1})
    return encode(frame, frame, frame, kinds={"x": kind}).train


def gower(a: Records, i: int, b: Records, j: int) -> float:
    parts = [min(1.0, abs(x - y)) for x, y in zip(a.scaled[i], b.scaled[j], strict=True)]
    parts += [float(x != y) for x, y in zip(a.categories[i], b.categories[j], strict=True)]
    return round(sum(parts) / len(parts), 6)


def ties(target: Records, i: int, pool: Records, k: int) -> list[int]:
    """Rows that are among the k nearest in some order of ties."""
    apart = [gower(target, i, pool, j) for j in range(len(pool))]
    limit = sorted(apart)[k - 1]
    return [j for j, distance in enumerate(apart) if distance <= limit + 1e-6]


# --- attribute inference --------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["town", "gain", "visits", "member"])
def test_a_guess_is_the_value_of_a_nearest_row(secret: str, mixed_table: Table) -> None:
    tables = encoded(mixed_table, rows=60, copied=20)
    choice = attribute_inference.Choice(secrets=(secret,))
    tried = attribute_inference.attempt(tables, rng=np.random.default_rng(1), choice=choice)
    known = [name for name in tables.train.names if name != secret]
    pool = tables.synthetic.select(known)
    for records, got in ((tables.train, tried.attack), (tables.holdout, tried.control)):
        for i in range(len(records)):
            near = ties(records.select(known), i, pool, 1)
            target = records.take(np.full(len(near), i))
            guesses = tables.synthetic.take(np.array(near))
            hits = attribute_inference.guessed(guesses, target, secret, choice=choice)
            assert got[i, 0] in hits


def test_a_secret_that_decides_nothing_but_itself_is_not_used_to_find_the_row() -> None:
    """Were the secret among the known columns, every guess would be right."""
    rng = np.random.default_rng(2)
    frames = [
        pd.DataFrame({"id": rng.random(200), "secret": rng.choice(list("ab"), 200)})
        for _ in range(3)
    ]
    choice = attribute_inference.Choice(secrets=("secret",))
    tried = attribute_inference.attempt(encode(*frames), rng=rng, choice=choice)
    for arm in ("attack", "control", "baseline"):
        # Fair coins: 4 s.e. of 200.
        assert abs(tried.count(arm, 0)[0] - 100) < 4 * np.sqrt(50)


def test_numbers_are_guessed_within_the_tolerance() -> None:
    """Range 100, 1 % of it: 1; missing is guessed by missing only."""
    truth = one_column([0.0, 50.0, 100.0, None, 50.0, None], "number")
    guesses = one_column([1.0, 51.5, 99.0, None, None, 50.0], "number")
    guesses = encode(
        pd.DataFrame({"x": [0.0, 100.0], "y": 1}),
        pd.DataFrame({"x": [0.0, 100.0], "y": 1}),
        pd.DataFrame({"x": [1.0, 51.5, 99.0, None, None, 50.0], "y": 1}),
        kinds={"x": "number"},
    ).synthetic
    choice = attribute_inference.Choice(tolerance=0.01)
    hits = attribute_inference.guessed(guesses, truth, "x", choice=choice)
    assert hits.tolist() == [True, False, True, True, False, False]
    own = attribute_inference.Choice(tolerance=0.05, unit="guess")
    hits = attribute_inference.guessed(guesses, truth, "x", choice=own)
    assert hits.tolist() == [False, True, True, True, False, False]


def test_a_negative_guess_is_not_right_by_its_sign() -> None:
    """A relative error divided by a negative guess is below any tolerance; ours is not."""
    truth, guesses = one_column([5.0, -1.0], "number"), one_column([-5.0, -1.0], "number")
    own = attribute_inference.Choice(tolerance=0.05, unit="guess")
    hits = attribute_inference.guessed(guesses, truth, "x", choice=own)
    assert hits.tolist() == [False, True]


def test_categories_are_guessed_exactly() -> None:
    frame = pd.DataFrame({"x": ["a", "b", None, None], "y": 1})
    other = pd.DataFrame({"x": ["a", "a", None, "b"], "y": 1})
    tables = encode(frame, frame, other, kinds={"x": "category"})
    choice = attribute_inference.Choice()
    hits = attribute_inference.guessed(tables.synthetic, tables.train, "x", choice=choice)
    assert hits.tolist() == [True, False, True, False]


def test_one_column_cannot_be_inferred_or_linked() -> None:
    frame = pd.DataFrame({"x": range(60)})
    tables, rng = encode(frame, frame, frame), np.random.default_rng(0)
    with pytest.raises(AttackError, match="needs two columns or more"):
        attribute_inference.attempt(tables, rng=rng)
    with pytest.raises(AttackError, match="have 1 columns and 60 synthetic rows"):
        linkability.attempt(tables, rng=rng)


def test_unknown_columns_are_refused(mixed_table: Table) -> None:
    tables, rng = encoded(mixed_table), np.random.default_rng(0)
    with pytest.raises(AuditInputError, match="shoe"):
        attribute_inference.attempt(
            tables, rng=rng, choice=attribute_inference.Choice(secrets=("shoe",))
        )
    with pytest.raises(AttackError, match="nothing is left to know of 'town'"):
        attribute_inference.attempt(
            tables,
            rng=rng,
            choice=attribute_inference.Choice(secrets=("town",), known=("town",)),
        )
    with pytest.raises(AuditInputError, match="shoe"):
        linkability.attempt(
            tables, rng=rng, choice=linkability.Choice(splits=((("shoe",), ("town",)),))
        )


def test_a_unit_that_is_not_known_is_refused() -> None:
    with pytest.raises(AuditInputError, match="unit is 'metre'; use"):
        attribute_inference.Choice(unit="metre")


# --- linkability ----------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3])
def test_links_are_shared_nearest_rows(k: int, mixed_table: Table) -> None:
    """Slow twin where no tie can decide: linked if the certain neighbours meet, not if none do."""
    tables = encoded(mixed_table, rows=50, copied=25)
    split = (("height", "town"), ("visits", "gain", "member"))
    found = linkability.links(tables.train, tables.synthetic, split, [k])[:, 0]
    decided = 0
    for i in range(len(tables.train)):
        left, right = (
            ties(tables.train.select(half), i, tables.synthetic.select(half), k) for half in split
        )
        if not set(left) & set(right):
            assert not found[i]
            decided += 1
        elif len(left) == len(right) == k:
            assert found[i]
            decided += 1
    assert decided > 10


def test_copies_with_unique_halves_are_all_linked() -> None:
    rng = np.random.default_rng(3)
    train, holdout = (pd.DataFrame(rng.random((300, 4)), columns=list("abcd")) for _ in range(2))
    tried = linkability.attempt(encode(train, holdout, train), rng=rng)
    assert tried.attack.all()
    # Both sides' k of 300 rows meet by chance in about k * k / 300 of tries: 1 of 12 for k = 5.
    assert tried.control.mean(axis=0).max() < 0.2
    assert tried.baseline.mean(axis=0).max() < 0.2
    halves = [name.rpartition(", k=")[0] for name in tried.names]
    assert len(set(halves)) == linkability.SPLITS
    for half in halves:
        left, right = half.split(" to ")
        assert sorted(left.split(", ") + right.split(", ")) == list("abcd")


def test_random_links_are_as_frequent_as_the_formula_says() -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(rng.random((4_000, 2)), columns=["a", "b"])
    synthetic = frame.iloc[:40]
    choice = linkability.Choice(neighbours=(5,))
    tried = linkability.attempt(encode(frame, frame, synthetic), rng=rng, choice=choice)
    expected = 1 - np.prod([(35 - i) / (40 - i) for i in range(5)])
    # 4 s.e. of 4,000 tries.
    assert abs(tried.baseline[:, 0].mean() - expected) < 4 * np.sqrt(0.25 / 4_000)


# --- singling out ---------------------------------------------------------------------------------


def naive(records: Records, statement: tuple[Condition, ...]) -> list[int]:
    rows = []
    for i in range(len(records)):
        codes = [None if code < 0 else float(code) for code in records.categories[i]]
        numbers = [None if np.isnan(value) else float(value) for value in records.numbers[i]]
        if all(_met((numbers + codes)[part.column], part) for part in statement):
            rows.append(i)
    return rows


def _met(value: float | None, part: Condition) -> bool:
    if part.test in (MISSING, PRESENT):
        return (value is None) == (part.test == MISSING)
    if value is None:
        return False
    return {
        EQUAL: value == part.value,
        NOT_EQUAL: value != part.value,
        AT_LEAST: value >= part.value,
        AT_MOST: value <= part.value,
    }[part.test]


@settings(derandomize=True, deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 5))
def test_statements_hold_where_a_loop_says_so(mixed_table: Table, seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    records = encoded(mixed_table, rows=40).synthetic
    made = Columns(records)
    columns = rng.permutation(5)[:width]
    row = int(rng.integers(40))
    about_row, random = from_row(made, row, columns), at_random(made, columns, rng=rng)
    assert row in made.rows(about_row)
    for statement in (about_row, random):
        assert made.rows(statement).tolist() == naive(records, statement)
        assert len(statement) == width


def test_statements_on_one_column() -> None:
    frame = pd.DataFrame({"n": [1.0, 2.0, 2.0, 9.0, None], "c": ["a", "a", "b", None, None]})
    records = encode(frame, frame, frame, kinds={"n": "number", "c": "category"}).train
    found = [(part.column, part.test, part.value) for (part,) in rare_or_extreme(Columns(records))]
    assert found == [
        (0, MISSING, 0.0),
        (0, AT_MOST, 1.0),
        (0, AT_LEAST, 9.0),
        (0, EQUAL, 1.0),
        (0, EQUAL, 9.0),
        (1, EQUAL, 1.0),
    ]


def test_each_statement_singles_out_another_synthetic_row(mixed_table: Table) -> None:
    """A synthetic table tried on itself: all succeed; a disjoint table is the control."""
    train, holdout = mixed_table(150, 0), mixed_table(150, 1)
    tables = encode(train, holdout, train)
    tried = singling_out.attempt(tables, rng=np.random.default_rng(0))
    assert tried.attack.all()
    assert 0.0 < tried.control.mean() < 0.6
    assert tried.matches is not None
    inside = tried.matches.pairs[tried.matches.pairs[:, 1] < 150]
    assert len(np.unique(inside[:, 1])) == len(inside)


def test_matches_say_which_rows(mixed_table: Table) -> None:
    tables = encoded(mixed_table, rows=80, copied=30)
    tried = singling_out.attempt(tables, rng=np.random.default_rng(1))
    matches = tried.matches
    assert matches is not None
    for number in np.unique(matches.pairs[:, 0]):
        rows = matches.pairs[matches.pairs[:, 0] == number, 1]
        assert (np.count_nonzero(rows < matches.rows) == 1) == tried.attack[number, 0]
        assert (np.count_nonzero(rows >= matches.rows) == 1) == tried.control[number, 0]


def test_the_larger_table_is_cut_to_the_smaller(mixed_table: Table) -> None:
    tables = encode(mixed_table(200, 0), mixed_table(90, 1), mixed_table(150, 2))
    tried = singling_out.attempt(tables, rng=np.random.default_rng(1))
    assert tried.matches is not None and tried.matches.rows == 90
    assert tried.attack.shape == tried.control.shape


def test_nobody_to_single_out_is_said() -> None:
    frame = pd.DataFrame({"a": ["x", "y"] * 40, "b": ["u"] * 80})
    with pytest.raises(AttackError, match="80 rows repeat too much"):
        singling_out.attempt(encode(frame, frame, frame), rng=np.random.default_rng(0))


def test_long_halves_are_named_by_number() -> None:
    rng = np.random.default_rng(3)
    columns = [f"a_rather_long_name_{i}" for i in range(6)]
    train, holdout = (pd.DataFrame(rng.random((60, 6)), columns=columns) for _ in range(2))
    tried = linkability.attempt(encode(train, holdout, train), rng=rng)
    assert tried.names[0] == "split 1, k=1"
    assert len(set(tried.names)) == len(tried.names)
