"""ISO 8601 text to and from seconds since 1970-01-01, on whole Arrow arrays.

Written out (rather than left to a library cast) because a table's owner needs to know *which* cell
is wrong, and because sentinels such as 9999-12-31 do not fit a 64-bit count of nanoseconds.
"""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpsynth.errors import InputError

DAY = 86_400.0
_PATTERN = (
    r"^(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"(?:[Tt ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?"
    r" ?(?:(?P<utc>[Zz])|(?P<sign>[+-])(?P<zone_hour>\d\d):?(?P<zone_minute>\d\d)?)?)?$"
)
# Years 1 to 9999: what four digits can write. Both ends are whole seconds.
_FIRST = -62_135_596_800
_LAST = 253_402_300_799


def parse_iso(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Seconds since 1970-01-01 of ISO 8601 texts, and which of them are valid.

    Args:
        texts: Arrow strings, shape (n,): ``YYYY-MM-DD``, optionally followed by ``T`` or a space
            and ``hh:mm[:ss[.fraction]]``, optionally followed by ``Z`` or ``+hh[:mm]``.

    Returns:
        ``seconds``, float64 of shape (n,), 0.0 where not valid. A time with a zone is converted to
        UTC; one without is taken as it stands. ``valid``, bool of shape (n,).
    """
    parts = pc.extract_regex(texts.cast(pa.large_string()), pattern=_PATTERN)
    valid = ~np.asarray(parts.is_null(), dtype=bool)

    def digits(name: str) -> np.ndarray:
        # A leading zero turns "not written" into 0 and leaves what is written as it is.
        return np.asarray(_after("0", parts, name).cast(pa.int32()))

    year, month, day = digits("year"), digits("month"), digits("day")
    hour, minute, second = digits("hour"), digits("minute"), digits("second")
    zone_hour, zone_minute = digits("zone_hour"), digits("zone_minute")
    valid &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    valid &= (hour <= 23) & (minute <= 59) & (second <= 59)
    valid &= (zone_hour <= 23) & (zone_minute <= 59)
    months = np.where(valid, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    first_day = months.astype("datetime64[D]")
    days = first_day + np.where(valid, day - 1, 0)
    valid &= days < (months + 1).astype("datetime64[D]")
    sign = np.where(
        np.asarray(pc.equal(pc.struct_field(parts, "sign"), "-").fill_null(False)), -1, 1
    )
    offset = sign * (zone_hour * 3600 + zone_minute * 60)
    whole = days.astype(np.int64) * int(DAY) + hour * 3600 + minute * 60 + second - offset
    return np.where(valid, whole + _fraction(parts), 0.0), valid


def _fraction(parts: pa.StructArray) -> np.ndarray:
    """Fraction of a second in [0, 1), shape (n,); zero where none is written."""
    return np.asarray(_after("0.0", parts, "fraction").cast(pa.float64())) * 10.0


def _after(prefix: str, parts: pa.StructArray, name: str) -> pa.Array:
    """The named part of each match, "" where there is none, behind a prefix."""
    field = pc.fill_null(pc.struct_field(parts, name), "")
    start, between = pa.scalar(prefix, field.type), pa.scalar("", field.type)
    return pc.binary_join_element_wise(start, field, between)


def iso_seconds(text: str) -> float | None:
    """Seconds since 1970-01-01 of one ISO 8601 text, or None if it is not one."""
    seconds, valid = parse_iso(pa.array([text.strip()], type=pa.string()))
    return float(seconds[0]) if valid[0] else None


def is_date_only(text: str) -> bool:
    """Whether a valid ISO 8601 text names a day and no time of day."""
    return len(text.strip()) == len("YYYY-MM-DD")


def format_datetime(seconds: np.ndarray, resolution: Literal["day", "second"]) -> np.ndarray:
    """ISO 8601 text of seconds since 1970-01-01, rounded down to the resolution.

    Args:
        seconds: float array of any shape, finite; clipped to the years 1 to 9999.
        resolution: ``"day"`` gives ``YYYY-MM-DD``; ``"second"`` gives ``YYYY-MM-DDThh:mm:ss``.

    Returns:
        Object array of str, same shape.

    Raises:
        InputError: a value that is not finite, or an unknown resolution.
    """
    units: dict[str, Any] = {"day": "D", "second": "s"}
    if resolution not in units:
        raise InputError(f"resolution {resolution!r} is not one of 'day', 'second'")
    values = np.asarray(seconds, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError("a date must be a finite number of seconds; found NaN or infinity")
    whole = np.floor(np.clip(values, _FIRST, _LAST)).astype("datetime64[s]")
    return np.datetime_as_string(whole.astype(f"datetime64[{units[resolution]}]")).astype(object)
