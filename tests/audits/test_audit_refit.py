"""The generator as a black box: frames and records, faults, and the two controls."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audits.black_box.refit import BlackBox, ShadowPlan, blind, decode, guarded, leaky, wrap
from audits.errors import AttackError, AuditInputError
from audits.records import Records, encode, encode_onto

Table = Callable[[int, int], pd.DataFrame]


def one_table(frame: pd.DataFrame, **options: Any) -> Records:
    return encode(frame, frame, frame, **options).train


@pytest.fixture
def records(mixed_table: Table) -> Records:
    return one_table(mixed_table(60, 1))


def test_decoded_rows_are_the_rows_with_their_own_types(mixed_table: Table) -> None:
    frame = mixed_table(60, 1)
    frame["when"] = pd.date_range("2020-01-31 12:34:56.789", periods=60, freq="37h")
    frame["zone"] = frame["when"].dt.tz_localize("Europe/Berlin")
    frame["code"] = np.tile([1, 2, 3], 20)
    records = one_table(frame, kinds={"code": "category"})
    back = decode(records, like=frame)
    pd.testing.assert_frame_equal(
        back,
        frame.astype({"town": object}).assign(
            when=frame["when"].astype("datetime64[us]"),
            zone=frame["zone"].dt.as_unit("us"),
        ),
    )


def test_without_a_model_table_labels_are_text_and_numbers_are_floats(records: Records) -> None:
    back = decode(records)
    assert back["gain"].dtype == np.float64
    assert set(back["member"]) == {"True", "False"}
    again = encode_onto(records.layout, back, role="again")
    np.testing.assert_array_equal(again.categories, records.categories)
    np.testing.assert_array_equal(again.numbers, records.numbers)


def test_missing_dates_and_labels_come_back_missing() -> None:
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime(["2020-01-01", None, "2021-06-05"]),
            "town": ["a", None, "b"],
            "seen": [True, None, False],
        }
    )
    back = decode(one_table(frame), like=frame)
    for name in frame.columns:
        assert back[name].isna().tolist() == [False, True, False]
    plain = decode(one_table(frame))
    assert str(plain["day"].dt.tz) == "UTC"
    assert plain["day"].isna().tolist() == [False, True, False]


def test_a_whole_number_column_with_gaps_or_fractions_stays_float(records: Records) -> None:
    like = decode(records).astype({"gain": np.int64})
    moved = replace(records, numbers=records.numbers + 0.5)
    assert decode(moved, like=like)["gain"].dtype == np.float64
    holes = records.numbers.copy()
    holes[0] = np.nan
    assert decode(replace(records, numbers=holes), like=like)["gain"].dtype == np.float64
    assert decode(records, like=like)["gain"].dtype == np.int64


def test_the_wrapped_generator_sees_frames_and_seeds(mixed_table: Table) -> None:
    frame = mixed_table(60, 1)
    records = one_table(frame)
    seen: list[tuple[pd.DataFrame, int]] = []

    def generate(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        seen.append((rows, seed))
        return rows.iloc[::-1]

    box = wrap(generate, records.layout, like=frame)
    made = box(records.take(np.arange(10)), rng=np.random.default_rng(1))
    np.testing.assert_array_equal(made.numbers, records.numbers[:10][::-1])
    assert seen[0][0].dtypes["gain"] == frame.dtypes["gain"]
    box(records, rng=np.random.default_rng(1))
    box(records, rng=np.random.default_rng(2))
    assert seen[0][1] == seen[1][1] != seen[2][1]


def test_an_unknown_label_is_unlike_every_known_one(records: Records) -> None:
    box = wrap(lambda rows, seed: rows.assign(town="west"), records.layout)
    made = box(records, rng=np.random.default_rng(1))
    towns = made.categories[:, records.layout.category_names.index("town")]
    assert set(towns) == {3}
    assert set(decode(made)["town"]) == {"<unknown>"}
    assert set(decode(made, like=decode(records))["town"]) == {"<unknown>"}


def raising(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    raise MemoryError("no room\nfor more")


@pytest.mark.parametrize(
    ("refit", "message"),
    [
        (raising, r"model 3: refit raised MemoryError\('no room'\) on 60 rows"),
        (lambda rows, seed: 1 / 0, r"model 3: refit raised ZeroDivisionError"),
        (lambda rows, seed: rows.to_numpy(), r"model 3: refit returned a ndarray"),
        (lambda rows, seed: rows.drop(columns="gain"), r"model 3: .*'refit' lacks column 'gain'"),
        (lambda rows, seed: rows.head(0), r"model 3: .*'refit' has no rows"),
        (lambda rows, seed: rows.assign(gain="much"), r"model 3: .*'gain', row 0: 'much'"),
        (lambda rows, seed: rows.assign(gain=np.nan), r"model 3: .*column 'gain' all missing"),
    ],
)
def test_a_failing_generator_is_one_line_with_the_model(
    records: Records, refit: Callable[[pd.DataFrame, int], pd.DataFrame], message: str
) -> None:
    box = wrap(refit, records.layout)
    with pytest.raises(AttackError, match=message) as caught:
        guarded(box, records, rng=np.random.default_rng(1), what="model 3")
    assert "\n" not in str(caught.value)


def test_a_refit_on_records_is_checked_too(records: Records, binary_table: Table) -> None:
    other = one_table(binary_table(20, 1))
    wrong: list[tuple[object, str]] = [
        (other, "no records on the layout"),
        (decode(records), "no records on the layout"),
        (records.take(np.arange(0)), "no rows for 60 rows"),
        (
            replace(records, numbers=np.full_like(records.numbers, np.inf)),
            "inf in column 'height', row 0",
        ),
    ]
    for made, message in wrong:
        with pytest.raises(AttackError, match=message):
            guarded(
                lambda rows, *, rng, made=made: made,
                records,
                rng=np.random.default_rng(1),
                what="model 1",
            )


def test_some_missing_values_are_the_generators_own_business(records: Records) -> None:
    holes = records.numbers.copy()
    holes[:-1] = np.nan
    made = replace(records, numbers=holes)
    assert (
        guarded(lambda rows, *, rng: made, records, rng=np.random.default_rng(1), what="model 1")
        is made
    )


def test_the_leaky_control_is_a_near_copy_of_its_rows(records: Records) -> None:
    made = leaky(records, rng=np.random.default_rng(1))
    order = np.argsort(made.rows)
    np.testing.assert_array_equal(made.categories[order], records.categories)
    gap = np.abs(made.numbers[order] - records.numbers) / records.scales
    assert 0.0 < np.nanmax(gap) < 0.01
    assert (made.rows != records.rows).any()


def test_the_blind_control_ignores_its_rows(records: Records) -> None:
    pool, rest = records.take(np.arange(20)), records.take(np.arange(20, 60))
    refit = blind(pool)
    one = refit(rest, rng=np.random.default_rng(1))
    two = refit(rest.take(np.arange(5)), rng=np.random.default_rng(1))
    np.testing.assert_array_equal(one.rows, two.rows)
    assert set(one.rows) <= set(range(20))
    with pytest.raises(AuditInputError, match="no rows"):
        blind(pool.take(np.arange(0)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": 2}, "2 shadow models"),
        ({"models": 7}, "7 shadow models"),
        ({"seed": -1}, "seed is -1"),
        ({"train_rows": 0}, "train_rows is 0"),
        ({"store": Path("x")}, "without a label"),
    ],
)
def test_a_wrong_plan_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AuditInputError, match=message):
        ShadowPlan(**options)


def test_a_box_keeps_its_own_memory(records: Records) -> None:
    assert BlackBox(refit=leaky).memo is not BlackBox(refit=leaky).memo
