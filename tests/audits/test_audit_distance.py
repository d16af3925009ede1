import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audits import distance
from audits.distance import nearest, pairwise
from audits.errors import AuditInputError
from audits.records import encode


def slow_gower(x, y, records):
    """The declared rule, one pair and one column at a time, in double precision."""
    layout = records.layout
    parts = []
    for a, b, span in zip(x[0], y[0], layout.span, strict=True):
        if np.isnan(a) or np.isnan(b):
            parts.append(0.0 if np.isnan(a) and np.isnan(b) else 1.0)
        elif span == 0:
            parts.append(float(a != b))
        else:
            parts.append(min(1.0, abs(a - b) / span))
    parts += [float(a != b) for a, b in zip(x[1], y[1], strict=True)]
    return sum(parts) / len(parts)


def slow_nearest(queries, references, k):
    table = np.array(
        [
            [
                slow_gower((qn, qc), (rn, rc), queries)
                for rn, rc in zip(references.numbers, references.categories, strict=True)
            ]
            for qn, qc in zip(queries.numbers, queries.categories, strict=True)
        ]
    )
    return np.sort(table, axis=1)[:, :k], table


number = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 2.5, 7.0, -3.0]))
row = st.tuples(number, number, st.sampled_from(["a", "b", "c", None]))
rows = st.lists(row, min_size=3, max_size=10)
KINDS = {"x": "number", "y": "number", "z": "category"}


@settings(derandomize=True, deadline=None, max_examples=50)
@given(train=rows, holdout=rows, synthetic=rows, k=st.integers(1, 3))
def test_nearest_agrees_with_its_slow_twin(train, holdout, synthetic, k):
    frames = [pd.DataFrame(part, columns=["x", "y", "z"]) for part in (train, holdout, synthetic)]
    tables = encode(*frames, kinds=KINDS)
    # Synthetic values further out than one range are, by rule, compared with real rows only.
    for queries, references in ((tables.synthetic, tables.train), (tables.train, tables.synthetic)):
        got, where = nearest(queries, references, k=k)
        expected, table = slow_nearest(queries, references, k)
        np.testing.assert_allclose(got, expected, atol=1e-6)
        np.testing.assert_allclose(pairwise(queries, references), table, atol=1e-9)
        chosen = np.take_along_axis(table, where, axis=1)
        np.testing.assert_allclose(chosen, expected, atol=1e-6)


def test_hand_worked_distances():
    train = pd.DataFrame({"x": [0.0, 10.0], "c": ["a", "b"]})
    synthetic = pd.DataFrame({"x": [1.0, 30.0, np.nan], "c": ["a", "b", "b"]})
    tables = encode(train, train, synthetic)
    got, where = nearest(tables.synthetic, tables.train)
    # (0.1 + 0) / 2; 20 away is capped at one range: (1 + 0) / 2; missing: (1 + 0) / 2.
    assert got[:, 0].tolist() == [0.05, 0.5, 0.5]
    assert where[:, 0].tolist() == [0, 1, 1]


def test_of_equally_near_rows_the_first_is_named():
    train = pd.DataFrame({"x": [3.0, 1.0, 1.0, 1.0, 5.0]})
    tables = encode(train, train, pd.DataFrame({"x": [1.0]}))
    got, where = nearest(tables.synthetic, tables.train, k=3)
    assert where.tolist() == [[1, 2, 3]]
    assert got.tolist() == [[0.0, 0.0, 0.0]]


def test_distances_that_are_equal_on_paper_are_equal():
    # 0.3 - 0.1 and 0.5 - 0.3 differ in the last bits of any floating-point format.
    train = pd.DataFrame({"x": [0.0, 2.0, 20.0]})
    holdout = pd.DataFrame({"x": [0.0, 10.0, 20.0]})
    tables = encode(train, holdout, pd.DataFrame({"x": [6.0]}))
    assert (
        nearest(tables.synthetic, tables.train)[0] == nearest(tables.synthetic, tables.holdout)[0]
    )


def test_ties_across_blocks_keep_the_first(monkeypatch):
    monkeypatch.setattr(distance, "_REFERENCE_BLOCK", 2)
    monkeypatch.setattr(distance, "_QUERY_BLOCK", 1)
    train = pd.DataFrame({"x": [3.0, 1.0, 1.0, 1.0, 5.0]})
    tables = encode(train, train, train)
    _, where = nearest(tables.synthetic, tables.train, k=2)
    assert where.tolist() == [[0, 1], [1, 2], [1, 2], [1, 2], [4, 0]]


def test_bits_do_not_depend_on_blocks_or_threads(mixed_table, monkeypatch):
    tables = encode(mixed_table(700, 1), mixed_table(500, 2), mixed_table(600, 3))
    once = nearest(tables.synthetic, tables.train, k=2, n_jobs=1)
    twice = nearest(tables.synthetic, tables.train, k=2, n_jobs=2)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        inherited = nearest(tables.synthetic, tables.train, k=2)
    monkeypatch.setattr(distance, "_REFERENCE_BLOCK", 97)
    monkeypatch.setattr(distance, "_QUERY_BLOCK", 5)
    small = nearest(tables.synthetic, tables.train, k=2)
    for other in (twice, inherited, small):
        assert once[0].tobytes() == other[0].tobytes()
        assert once[1].tobytes() == other[1].tobytes()


@pytest.mark.parametrize("few", [0, 16, 10**9])
def test_bits_do_not_depend_on_when_pairs_are_given_up(few, mixed_table, monkeypatch):
    # 0 sums open pairs alone from the start, 10**9 never does; either way the same neighbours.
    tables = encode(mixed_table(500, 1), mixed_table(5, 2), mixed_table(300, 3))
    expected = nearest(tables.synthetic, tables.train, k=3)
    monkeypatch.setattr(distance, "_FEW", few)
    monkeypatch.setattr(distance, "_CHECK_EVERY", 1)
    monkeypatch.setattr(distance, "_REFERENCE_BLOCK", 50)
    got = nearest(tables.synthetic, tables.train, k=3)
    assert got[0].tobytes() == expected[0].tobytes()
    assert got[1].tobytes() == expected[1].tobytes()


def test_pairwise_has_the_bits_of_nearest_whatever_the_blocks(mixed_table, monkeypatch):
    tables = encode(mixed_table(150, 1), mixed_table(5, 2), mixed_table(90, 3))
    distances, where = nearest(tables.synthetic, tables.train, k=3)
    whole = pairwise(tables.synthetic, tables.train)
    assert np.take_along_axis(whole, where, axis=1).tobytes() == distances.tobytes()
    monkeypatch.setattr(distance, "_REFERENCE_BLOCK", 17)
    monkeypatch.setattr(distance, "_QUERY_BLOCK", 3)
    assert pairwise(tables.synthetic, tables.train).tobytes() == whole.tobytes()


@pytest.mark.parametrize("levels", [255, 256, 300, 66_000])
def test_many_categories_are_told_apart(levels):
    labels = [f"c{i}" for i in range(levels)]
    train = pd.DataFrame({"c": labels})
    probe = pd.DataFrame({"c": [labels[0], labels[-1], labels[levels - 256]]})
    tables = encode(train, probe, probe)
    got, where = nearest(tables.synthetic, tables.train)
    assert got[:, 0].tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_array_equal(tables.train.categories[where[:, 0]], tables.synthetic.categories)


def test_wrong_k_and_foreign_layouts_are_refused():
    table = pd.DataFrame({"x": [1.0, 2.0]})
    tables = encode(table, table, table)
    for k in (0, 3):
        with pytest.raises(AuditInputError, match=f"k={k} neighbours asked of 2"):
            nearest(tables.synthetic, tables.train, k=k)
    other = encode(table + 1, table, table)
    for search in (nearest, pairwise):
        with pytest.raises(AuditInputError, match="different layouts"):
            search(tables.synthetic, other.train)
