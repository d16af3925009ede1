"""One declared column: its name, its kind and what the owner knows of it. All of it is public."""

import decimal
import difflib
import math
import numbers
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, cast, get_args

from dpsynth.errors import SchemaError
from dpsynth.iso_time import DAY, is_date_only, iso_seconds

Kind = Literal["integer", "numeric", "categorical", "boolean", "datetime", "identifier"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Bound = int | float | str | None

MAX_INTEGER = 2**53 - 1  # the largest integer that float64 does not share with its neighbour
MAX_DECIMALS = 9
MAX_CATEGORIES = 2000
_BOUNDED = ("integer", "numeric", "datetime")


def canonical_text(value: object) -> str | None:
    """The one text that stands for a categorical value, or None if the value cannot be one.

    Text stays as it is; whole numbers lose their point (``1.0`` and ``1`` are both ``"1"``);
    booleans are ``"true"`` and ``"false"``.
    """
    if isinstance(value, str):
        return value
    if hasattr(value, "item") and not isinstance(value, numbers.Real):
        value = value.item()  # numpy scalars that do not register as numbers, such as np.bool_
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, decimal.Decimal) and value.is_finite():
        whole = value == value.to_integral_value()
        return str(int(value)) if whole else format(value.normalize(), "f")
    if isinstance(value, numbers.Real) and math.isfinite(value):
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    return None


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column as declared: public, immutable, checked when made.

    Attributes:
        name: as in the table's header.
        kind: one of `KINDS`.
        lower, upper: inclusive bounds of an integer, numeric or datetime column (ISO 8601 text for
            datetime). None = learned under the budget.
        categories: canonical texts of a categorical column. None = learned under the budget.
        nullable: True = missing values are a value of their own; False = a missing value is bad
            input.
        decimals: digits after the point of a numeric column, 0 to 9. None = learned by a noisy
            vote.

    Raises:
        SchemaError: any value that does not fit its kind.
    """

    name: str
    kind: Kind
    lower: Bound = None
    upper: Bound = None
    categories: tuple[str, ...] | None = None
    nullable: bool = True
    decimals: int | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.kind not in KINDS:
            raise SchemaError(
                f"column {self.name!r}: unknown kind {self.kind!r}{nearest(self.kind, KINDS)}; "
                f"allowed: {', '.join(KINDS)}"
            )
        if not isinstance(self.nullable, bool):
            raise SchemaError(
                f"column {self.name!r}: nullable = {self.nullable!r} must be true or false"
            )
        object.__setattr__(self, "lower", self._clean_bound("lower"))
        object.__setattr__(self, "upper", self._clean_bound("upper"))
        low, high = self.bounds
        if low is not None and high is not None and not low < high:
            raise SchemaError(
                f"column {self.name!r}: lower = {self.lower!r} must be below upper = "
                f"{self.upper!r}; give the range that is possible, not the range that was seen"
            )
        object.__setattr__(self, "categories", self._clean_categories())
        self._check_decimals()

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """Declared bounds as numbers: the column's own unit, or seconds since 1970-01-01.

        An upper bound that is a date without a time covers its whole day (to 23:59:59).
        """
        if self.kind != "datetime":
            return (
                None if self.lower is None else float(self.lower),
                None if self.upper is None else float(self.upper),
            )
        low = iso_seconds(self.lower) if isinstance(self.lower, str) else None
        high = iso_seconds(self.upper) if isinstance(self.upper, str) else None
        if high is not None and isinstance(self.upper, str) and is_date_only(self.upper):
            high += DAY - 1.0
        return low, high

    def to_dict(self) -> dict[str, Any]:
        """The column as JSON values; keys at their default are left out."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        kept = {k: v for k, v in found.items() if v is not None and not (k == "nullable" and v)}
        if self.categories is not None:
            kept["categories"] = list(self.categories)
        return kept

    @classmethod
    def from_dict(cls, raw: object) -> Self:
        """A column from parsed TOML or JSON.

        Raises:
            SchemaError: not a table of known keys, a key missing, or a value that does not fit.
        """
        if not isinstance(raw, Mapping):
            raise SchemaError(f"a column must be a table with name and kind, not {raw!r}")
        label = f"column {raw['name']!r}" if "name" in raw else "a column without a name"
        check_keys(raw, [f.name for f in fields(cls)], where=label)
        for key in ("name", "kind"):
            if key not in raw:
                raise SchemaError(f"{label}: {key} is missing; every column needs name and kind")
        return cls(**{str(key): value for key, value in raw.items()})

    def _clean_bound(self, key: Literal["lower", "upper"]) -> Bound:
        value: object = getattr(self, key)
        where = f"column {self.name!r}: {key} = {value!r}"
        if value is None:
            return None
        if self.kind not in _BOUNDED:
            raise SchemaError(
                f"{where} on kind {self.kind!r}; bounds are for {', '.join(_BOUNDED)}: remove it"
            )
        if self.kind == "datetime":
            text = value.isoformat() if hasattr(value, "isoformat") else value
            if not isinstance(text, str) or iso_seconds(text) is None:
                raise SchemaError(f"{where} is not an ISO 8601 date; write it as '2024-12-31'")
            return text
        number = _real(value)
        if number is None:
            raise SchemaError(f"{where} must be a finite number, written without quotes")
        if self.kind == "numeric":
            return number
        if number != int(number) or abs(number) > MAX_INTEGER:
            raise SchemaError(
                f"{where} must be a whole number within +-{MAX_INTEGER}; "
                f"round it, or declare kind = 'numeric'"
            )
        return int(number)

    def _clean_categories(self) -> tuple[str, ...] | None:
        if self.categories is None:
            return None
        where = f"column {self.name!r}: categories"
        if self.kind != "categorical":
            raise SchemaError(
                f"{where} on kind {self.kind!r}; only kind 'categorical' has categories: "
                f"remove them or change the kind"
            )
        # A set would do but for its order, which differs from run to run.
        if not isinstance(self.categories, list | tuple):
            raise SchemaError(f"{where} = {self.categories!r} must be a list of texts")
        given = list(self.categories)
        if not 1 <= len(given) <= MAX_CATEGORIES:
            raise SchemaError(
                f"{where}: {len(given)} declared, 1 to {MAX_CATEGORIES} are allowed; "
                f"leave categories out to have them learned under the budget"
            )
        texts = [canonical_text(value) for value in given]
        for value, text in zip(given, texts, strict=True):
            if text is None or text == "":
                raise SchemaError(
                    f"{where}: {value!r} is not a category; allowed: text that is not empty, "
                    f"numbers, true, false (missing values need no category: nullable = true)"
                )
        twice = [text for text, count in Counter(texts).items() if count > 1]
        if twice:
            raise SchemaError(f"{where}: {twice[0]!r} is listed more than once; keep one of them")
        return tuple(cast("list[str]", texts))

    def _check_decimals(self) -> None:
        if self.decimals is None:
            return
        where = f"column {self.name!r}: decimals = {self.decimals!r}"
        if self.kind != "numeric":
            raise SchemaError(f"{where} on kind {self.kind!r}; only kind 'numeric' has decimals")
        if type(self.decimals) is not int or not 0 <= self.decimals <= MAX_DECIMALS:
            raise SchemaError(f"{where} must be a whole number from 0 to {MAX_DECIMALS}")


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.strip():
        raise SchemaError(f"a column is named {name!r}; a name must be text that is not empty")


def check_keys(raw: Mapping[Any, Any], known: Sequence[str], *, where: str) -> None:
    """Refuse a key that is not known, suggesting the nearest one that is."""
    for key in raw:
        if key not in known:
            raise SchemaError(
                f"{where}: unknown key {key!r}{nearest(str(key), known)}; "
                f"allowed: {', '.join(known)}"
            )


def nearest(word: object, known: Sequence[str]) -> str:
    """A suggestion in brackets, or nothing when no known word comes near."""
    found = difflib.get_close_matches(str(word), known, n=1, cutoff=0.6)
    return f" (did you mean {found[0]!r}?)" if found else ""


def _real(value: object) -> int | float | None:
    """A finite Python number, or None for anything else (booleans and text included)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    if isinstance(value, numbers.Integral):
        whole = int(value)
        return whole if abs(whole) < 10**300 else None
    number = float(value)
    return number if math.isfinite(number) else None
