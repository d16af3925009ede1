import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.errors import InputError
from dpsynth.iso_time import format_datetime, is_date_only, iso_seconds, parse_iso

EPOCH = datetime.datetime(1970, 1, 1)
WRONG = (
    "|2020|20200101|2020-1-1|2020-13-01|2020-00-01|2020-01-00|2020-02-30|1900-02-29|0000-01-01|"
    "2020-01-01T24:00|2020-01-01T10|2020-01-01T10:60|2020-01-01T10:00:60|2020-01-01T10:00+24:00|"
    "2020-01-01T10:00+02:60|01/02/2020|2020-01-01x|２０２０-01-01|2020-01-01\n"
)
UTC_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def twin(moment: datetime.datetime) -> float:
    """The slow version: the standard library's own arithmetic."""
    return (moment - (EPOCH if moment.tzinfo is None else UTC_EPOCH)).total_seconds()


zones = st.none() | st.builds(
    lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.datetimes(timezones=zones), min_size=1, max_size=30), st.sampled_from("T t"))
def test_parsing_agrees_with_the_standard_library(moments: list[datetime.datetime], mark: str):
    texts = pa.array([moment.isoformat(sep=mark) for moment in moments])
    seconds, valid = parse_iso(texts)
    assert valid.all()
    # 2e-5 is the spacing of float64 at the far ends of the calendar.
    np.testing.assert_allclose(seconds, [twin(m) for m in moments], rtol=0, atol=2e-5)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.dates(), min_size=1, max_size=30))
def test_days_come_back_as_they_were(days: list[datetime.date]):
    texts = [day.isoformat() for day in days]
    seconds, valid = parse_iso(pa.array(texts))
    assert valid.all()
    assert format_datetime(seconds, "day").tolist() == texts


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.datetimes(), min_size=1, max_size=30))
def test_seconds_come_back_as_they_were(moments: list[datetime.datetime]):
    texts = [moment.replace(microsecond=0).isoformat() for moment in moments]
    seconds, _ = parse_iso(pa.array(texts))
    assert format_datetime(seconds, "second").tolist() == texts


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86_400.0),
        ("1970-01-01 00:01", 60.0),
        ("1970-01-01T00:00:01,5", 1.5),
        ("1970-01-01T02:00:00+02:00", 0.0),
        ("1970-01-01T02:00:00 +02", 0.0),
        ("1970-01-01T00:00:00-0130", 5_400.0),
        ("1970-01-01T00:00:00Z", 0.0),
        ("2000-02-29", 951_782_400.0),
        (" 1970-01-02 ", 86_400.0),
        ("9999-12-31", 253_402_214_400.0),
    ],
)
def test_forms_that_are_read(text: str, seconds: float):
    assert iso_seconds(text) == seconds


@pytest.mark.parametrize(
    "text",
    WRONG.split("|"),
)
def test_forms_that_are_not(text: str):
    seconds, valid = parse_iso(pa.array([text]))
    assert not valid[0]
    assert seconds[0] == 0.0


def test_nulls_are_not_valid():
    assert parse_iso(pa.array([None, "2020-01-01"]))[1].tolist() == [False, True]
    assert iso_seconds("never") is None


def test_formatting_rounds_down_also_before_1970():
    assert format_datetime(np.array([-0.5, 0.5]), "second").tolist() == [
        "1969-12-31T23:59:59",
        "1970-01-01T00:00:00",
    ]
    assert format_datetime(np.array([-1.0]), "day").tolist() == ["1969-12-31"]


def test_formatting_clips_to_four_digit_years():
    found = format_datetime(np.array([-1e18, 1e18]), "second").tolist()
    assert found == ["0001-01-01T00:00:00", "9999-12-31T23:59:59"]


def test_formatting_refuses_what_is_no_date():
    with pytest.raises(InputError, match="finite number of seconds"):
        format_datetime(np.array([np.nan]), "day")
    with pytest.raises(InputError, match="resolution 'hour'"):
        format_datetime(np.array([0.0]), "hour")  # type: ignore[arg-type]


def test_date_only():
    assert is_date_only("2020-01-01 ")
    assert not is_date_only("2020-01-01T00:00")
