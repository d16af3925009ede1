import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

import audits
from audits.records import encode
from audits.tables.notes import notes
from audits.tables.overlap import Overlap, overlap, present, without_overlap

THIN = {"attacks": ["closest_record"], "checks": ["copies"]}


def frame(values):
    return pd.DataFrame({"x": list(values)})


def test_overlap_by_hand():
    tables = encode(frame([1.0, 2.0, 2.0, 3.0]), frame([2.0, 5.0]), frame([1.0]))
    found = overlap(tables)
    assert found.rows == 2
    assert found.share == 0.5
    # Of three other rows, two are drawn: a "2" meets the other "2" in two of three draws.
    assert found.expected == pytest.approx(0.5 * 2 / 3)


def test_rows_in_both_leave_both_and_the_reference():
    tables = encode(
        frame([1.0, 2.0, 2.0, 3.0]), frame([2.0, 5.0]), frame([1.0]), frame([3.0, 5.0, 7.0])
    )
    kept = without_overlap(tables)
    assert kept.train.numbers[:, 0].tolist() == [1.0, 3.0]
    assert kept.train.rows.tolist() == [0, 3]
    assert kept.holdout.numbers[:, 0].tolist() == [5.0]
    assert kept.reference.numbers[:, 0].tolist() == [7.0]
    assert overlap(kept).rows == 0


@given(st.integers(1, 30), st.data())
@settings(derandomize=True, deadline=None, max_examples=50)
def test_presence_is_one_minus_hypergeometric_zero(total, data):
    count = data.draw(st.integers(0, total))
    size = data.draw(st.integers(1, total))
    expected = 1.0 - stats.hypergeom.pmf(0, total, count, size)
    assert present(np.array([count]), total, size)[0] == pytest.approx(expected, abs=1e-12)


def test_a_bad_split_is_said_and_removing_it_mends_the_audit(mixed_table):
    """Half of the holdout are training rows: the leak hides, and comes out once they are gone."""
    train = mixed_table(300, 1)
    holdout = pd.concat([mixed_table(300, 2), train[:150]])
    kept = audits.run(train, holdout, train.copy(), **THIN)
    assert any("overlap more than chance explains" in note for note in kept.notes)
    assert any("They were kept" in note for note in kept.notes)
    mended = audits.run(train, holdout, train.copy(), remove_overlap=True, **THIN)
    assert any("They were left out of both" in note for note in mended.notes)
    assert mended.verdict == "leak"
    area = [run.figure("closest_record.auroc").value for run in (kept, mended)]
    assert area[1] > 0.95 > area[0] + 0.1


def test_tables_that_overlap_wholly_are_refused(mixed_table):
    table = mixed_table(60, 1)
    with pytest.raises(audits.AuditInputError, match="'train' has no rows left once the overlap"):
        audits.run(table, table.copy(), table.copy(), remove_overlap=True)


@pytest.mark.slow
def test_removal_does_not_alarm_on_clean_dense_tables(binary_table):
    """Rows in both leave both; leaving one side only would alarm nearly always. 5 % of 40: <= 6."""
    alarms = 0
    for seed in range(40):
        tables = [binary_table(n, 50 + 3 * seed + i) for i, n in enumerate((60, 60, 60))]
        result = audits.run(*tables, attacks=["closest_record"], remove_overlap=True, seed=seed)
        alarms += result.verdict == "leak"
    assert alarms <= 6


def test_notes_name_columns_that_show_nothing_and_values_out_of_the_domain():
    real = pd.DataFrame({"a": [1, 1], "b": [None, None], "c": ["x", "y"], "d": [0.0, 1.0]})
    made = pd.DataFrame({"a": [1, 2], "b": [None, None], "c": ["x", "z"], "d": [0.5, 9.0]})
    found = notes(encode(real, real, made), Overlap(rows=0, share=0.0, expected=0.0), removed=False)
    assert found[0] == "Column 'a' has one value in all real rows; it shows nothing."
    assert found[1] == "Column 'b' is missing in every real row; it shows nothing."
    assert "'a' 50.00%, 'c' 50.00%, 'd' 50.00%" in found[2]
    assert len(found) == 3


def test_notes_name_ten_columns_at_most():
    real = pd.DataFrame({f"c{i}": [0.0, 1.0] for i in range(12)})
    made = pd.DataFrame({f"c{i}": [0.0, 2.0] for i in range(12)})
    (note,) = notes(
        encode(real, real, made), Overlap(rows=0, share=0.0, expected=0.0), removed=False
    )
    assert note.count("50.00%") == 10
    assert note.endswith("and 2 more.")


def test_presence_in_a_subsample_agrees_with_counting():
    for total, size in [(6, 2), (6, 5), (5, 5), (300, 200)]:
        count = np.arange(total + 1)
        got = present(count, total, size)
        expected = 1 - special.comb(total - count, size) / special.comb(total, size)
        np.testing.assert_allclose(got, expected, atol=1e-9)
        # Rounding may not reach below nothing: a share is computed from these.
        assert got[0] == 0.0
        assert got.max() <= 1.0
