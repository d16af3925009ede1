import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audits.errors import AuditInputError
from audits.records import encode, encode_onto, row_ids
from audits.tables.columns import guess_kind


def frame(**columns):
    return pd.DataFrame(columns)


def same(table, **options):
    return encode(table, table.copy(), table.copy(), **options)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2, 3], "number"),
        ([1.5, np.nan], "number"),
        (["1", "2.5", ""], "number"),
        (["-1e3", None], "number"),
        ([True, False], "category"),
        (["red", "2"], "category"),
        (["2020-01-02", "2021-12-31"], "datetime"),
        (["2020-01-02T10:00:00", None], "datetime"),
        (pd.to_datetime(["2020-01-02", "2021-12-31"]), "datetime"),
        ([None, None], "category"),
        (pd.Categorical(["x", "y"]), "category"),
    ],
)
def test_kind_is_guessed_from_the_values(values, kind):
    column = pd.Series(values)
    assert guess_kind(column, column) == kind


def test_kind_needs_both_real_tables_to_agree():
    assert guess_kind(pd.Series([1, 2]), pd.Series(["1", "x"])) == "category"
    assert guess_kind(pd.Series([1, 2]), pd.Series(["1", "3"])) == "number"


def test_numbers_as_text_equal_numbers():
    tables = encode(frame(x=[1, 2]), frame(x=["1", "2.0"]), frame(x=[1.0, np.nan]))
    assert tables.train.numbers.tolist() == tables.holdout.numbers.tolist()
    assert np.isnan(tables.synthetic.numbers[1, 0])


def test_dates_become_seconds_in_utc():
    naive = frame(t=pd.to_datetime(["1970-01-01T00:01:00", "1970-01-02T00:00:00"]))
    aware = frame(t=["1970-01-01T01:01:00+01:00", "1970-01-02T00:00:00+00:00"])
    tables = encode(naive, aware, naive)
    assert tables.train.numbers[:, 0].tolist() == [60.0, 86_400.0]
    assert tables.holdout.numbers[:, 0].tolist() == [60.0, 86_400.0]
    assert tables.train.kinds == ("datetime",)


def test_categories_of_numbers_are_compared_as_numbers():
    kinds = {"x": "category"}
    tables = encode(frame(x=[1, 2]), frame(x=["1", "2"]), frame(x=[2.0, np.nan]), kinds=kinds)
    assert tables.train.categories.tolist() == tables.holdout.categories.tolist() == [[0], [1]]
    assert tables.synthetic.categories.tolist() == [[1], [-1]]
    assert tables.train.layout.levels == (("1", "2"),)


def test_category_only_in_synthetic_gets_its_own_code():
    tables = encode(frame(x=["a"]), frame(x=["b"]), frame(x=["zebra"]))
    assert tables.synthetic.categories[0, 0] not in (
        tables.train.categories[0, 0],
        tables.holdout.categories[0, 0],
        -1,
    )


def test_columns_are_matched_by_name_and_may_be_ignored():
    tables = encode(
        frame(a=[1, 2], id=[7, 8], b=["x", "y"]),
        frame(b=["x", "y"], a=[1, 2], id=[9, 10]),
        frame(id=[0, 0], b=["y", "x"], a=[2, 1]),
        ignore=["id"],
    )
    assert tables.holdout.names == ("a", "b")
    assert tables.synthetic.numbers[:, 0].tolist() == [2.0, 1.0]
    assert tables.train.layout.number_names == ("a",)
    assert tables.train.layout.category_names == ("b",)


def test_column_names_need_not_be_text():
    table = pd.DataFrame(np.arange(6).reshape(3, 2))
    assert same(table).train.names == ("0", "1")


def test_range_comes_from_the_real_tables_alone():
    tables = encode(frame(x=[0.0, 4.0]), frame(x=[2.0, 10.0]), frame(x=[1e300, 5.0]))
    assert tables.train.layout.lower == (0.0,)
    assert tables.train.scales.tolist() == [10.0]
    assert tables.synthetic.scaled[:, 0].tolist() == [2.0, 0.5]


def test_constant_and_empty_columns_are_kept():
    table = frame(one=[5.0, 5.0], none=[np.nan, np.nan], text=[None, None])
    tables = encode(table, table, frame(one=[5.0, 6.0], none=[np.nan, 1.0], text=["x", None]))
    assert tables.train.names == ("one", "none", "text")
    assert np.isfinite(tables.synthetic.scaled).all()
    assert tables.train.scaled[0, 0] == 0.0
    assert tables.synthetic.scaled[1, 0] == 2.0


def test_range_beyond_float64_does_not_overflow():
    table = frame(x=[-1.7e308, 1.7e308])
    assert np.isfinite(same(table).train.scaled).all()


BAD = [
    (frame(a=[1]), frame(b=[1]), frame(a=[1]), "'holdout' lacks column 'a'"),
    (frame(a=[1]), frame(a=[1]), frame(a=[1], b=[1]), "'synthetic' has column 'b'"),
    (frame(a=[1]), frame(a=[1]), frame(a=[]), "'synthetic' has no rows"),
    (
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        frame(a=[1]),
        frame(a=[1]),
        "'a' appears more than once",
    ),
    (
        frame(a=[1, 2]),
        frame(a=[1, 2]),
        frame(a=["1", "oops"]),
        "table 'synthetic', column 'a', row 1: 'oops' is not a finite number",
    ),
    (frame(a=[1, np.inf]), frame(a=[1, 2]), frame(a=[1, 2]), "table 'train', column 'a', row 1"),
    (
        frame(a=["2020-01-01"]),
        frame(a=["2020-01-01"]),
        frame(a=["then"]),
        "'then' is not a finite datetime",
    ),
]


@pytest.mark.parametrize(("train", "holdout", "synthetic", "message"), BAD)
def test_tables_that_do_not_fit_are_refused_in_one_line(train, holdout, synthetic, message):
    with pytest.raises(AuditInputError, match=message) as caught:
        encode(train, holdout, synthetic)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": {"z": "number"}}, "kinds names column 'z'"),
        ({"kinds": {"a": "integer"}}, "kind 'integer' is not known; use one of number"),
        ({"ignore": ["z"]}, "ignore names column 'z'"),
        ({"ignore": ["a", "b"]}, "no column is left"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(AuditInputError, match=message):
        same(frame(a=[1, 2], b=["x", "y"]), **options)


def test_row_ids_are_equal_exactly_where_rows_are():
    a = frame(x=[1.0, np.nan, -0.0, 1.0], y=["u", None, "u", "v"])
    b = frame(x=[np.nan, 0.0, 1.0], y=[None, "u", "w"])
    tables = encode(a, b, b)
    first, second = row_ids([tables.train, tables.holdout])
    assert second[0] == first[1]
    assert second[1] == first[2]
    assert second[2] not in first
    assert np.unique(first).size == 4


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, None]), st.sampled_from(["a", "b", None])),
        min_size=2,
        max_size=12,
    )
)
def test_row_ids_agree_with_comparing_tuples(rows):
    table = pd.DataFrame(rows, columns=["x", "y"])
    kinds = {"x": "number", "y": "category"}
    (ids,) = row_ids([encode(table, table, table, kinds=kinds).train])
    for i, left in enumerate(rows):
        for j, right in enumerate(rows):
            assert (ids[i] == ids[j]) == (left == right)


def test_order_does_not_depend_on_how_rows_were_stored(mixed_table):
    table = mixed_table(60, 0)
    kinds = {"visits": "number", "gain": "number"}
    first = same(table, kinds=kinds).train.ordered()
    shuffled = same(table.sample(frac=1, random_state=3), kinds=kinds).train.ordered()
    np.testing.assert_array_equal(first.numbers, shuffled.numbers)
    np.testing.assert_array_equal(first.categories, shuffled.categories)


# selection, row numbers, further tables -----------------------------------------------------------


def test_selected_columns_keep_their_values_and_their_units(mixed_table):
    tables = encode(mixed_table(30, 1), mixed_table(20, 2), mixed_table(10, 3))
    part = tables.train.select(["town", "visits"])
    assert part.names == ("town", "visits")
    assert part.kinds == ("category", "number")
    visits = tables.train.layout.number_names.index("visits")
    np.testing.assert_array_equal(part.numbers[:, 0], tables.train.numbers[:, visits])
    np.testing.assert_array_equal(part.scaled[:, 0], tables.train.scaled[:, visits])
    np.testing.assert_array_equal(part.categories[:, 0], tables.train.categories[:, 0])
    assert part.layout.levels == tables.train.layout.levels[:1]


@pytest.mark.parametrize("names", [[], ["town", "nowhere"]])
def test_columns_that_are_not_there_cannot_be_selected(mixed_table, names):
    tables = encode(mixed_table(5, 1), mixed_table(5, 2), mixed_table(5, 3))
    with pytest.raises(AuditInputError, match="give one or more of"):
        tables.train.select(names)


def test_row_numbers_survive_every_reordering(mixed_table):
    frame = mixed_table(40, 1)
    tables = encode(frame, mixed_table(20, 2), mixed_table(10, 3))
    moved = tables.train.ordered().take(np.arange(39, -1, -1))
    assert sorted(moved.rows) == list(range(40))
    height = tables.train.layout.number_names.index("height")
    np.testing.assert_array_equal(moved.numbers[:, height], frame["height"].to_numpy()[moved.rows])


def test_a_further_table_is_read_on_the_same_layout(mixed_table):
    tables = encode(mixed_table(30, 1), mixed_table(20, 2), mixed_table(10, 3))
    again = encode_onto(tables.train.layout, mixed_table(30, 1), role="again")
    np.testing.assert_array_equal(again.numbers, tables.train.numbers)
    np.testing.assert_array_equal(again.categories, tables.train.categories)


def test_a_label_unknown_to_the_layout_has_a_code_of_its_own():
    frame = pd.DataFrame({"c": ["a", "b"], "n": ["1", "2"]})
    tables = encode(frame, frame, frame, kinds={"c": "category", "n": "category"})
    odd = pd.DataFrame({"c": ["b", "z", None, "y"], "n": [1.0, 2.0, 3.0, None]})
    made = encode_onto(tables.train.layout, odd, role="odd")
    assert made.categories[:, 0].tolist() == [1, 2, -1, 2]
    assert made.categories[:, 1].tolist() == [0, 1, 2, -1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="c"), "table 'odd' lacks column 'c'"),
        (lambda t: t.assign(x=1), "table 'odd' has column 'x'"),
        (lambda t: t[:0], "table 'odd' has no rows"),
        (lambda t: t.assign(n="many"), "table 'odd', column 'n', row 0: 'many' is not a finite"),
    ],
)
def test_a_further_table_that_does_not_fit_is_refused(change, message):
    frame = pd.DataFrame({"c": ["a", "b"], "n": [1.0, 2.0]})
    tables = encode(frame, frame, frame)
    with pytest.raises(AuditInputError, match=message):
        encode_onto(tables.train.layout, change(frame), role="odd")


def test_a_reference_table_is_one_more_table(mixed_table):
    frames = [mixed_table(n, n) for n in (30, 20, 10, 15)]
    tables = encode(*frames)
    assert [role for role, _ in tables.items()] == ["train", "holdout", "synthetic", "reference"]
    assert len(tables.map(lambda records: records.take(np.arange(3))).reference) == 3
    assert encode(*frames[:3]).reference is None
    with pytest.raises(AuditInputError, match="table 'reference' lacks column 'town'"):
        encode(*frames[:3], frames[3].drop(columns="town"))
