"""The generator as a black box: rows in, synthetic rows out.

A user gives `refit(rows, seed)` on data frames; `wrap` makes it work on `Records`, which is what
attacks see. The two refits whose leakage is known, `leaky` and `blind`, are the positive and the
negative control of every black-box attack.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from audits.errors import AttackError, AuditInputError
from audits.records import Layout, Records, encode_onto

RefitFrame = Callable[[pd.DataFrame, int], pd.DataFrame]
Progress = Callable[[str, int, int], None]

MODELS = 32
# Small against the gaps between real rows, and not zero: the control is a near copy.
_LEAKY_NOISE = 1e-3


class Refit(Protocol):
    """Fit the generator on these rows and return rows that it makes.

    Called from several threads at once when an audit runs on several; it must not draw from a
    global random state.
    """

    def __call__(self, rows: Records, *, rng: np.random.Generator) -> Records:
        """Synthetic rows on the layout of `rows`; all randomness comes from `rng`."""


@dataclass(frozen=True, kw_only=True)
class ShadowPlan:
    """How often and how a black-box attack refits the generator.

    Attributes:
        models: shadow models, at least 4, even: every target is in half of them.
        seed: of the coins, of the background rows and of the generator's own seeds.
        train_rows: rows the real generator was trained on, if the attacker knows; None takes the
            number of synthetic rows.
        n_jobs: threads; None takes the number of a surrounding `joblib.parallel_config`, or one.
        progress: called with ("shadow models", done, in all) after each model.
        store: folder where finished models are kept, so that a killed audit goes on where it
            stopped; None keeps nothing. It holds synthetic rows made from real ones: private.
        label: names the generator and its settings in the store. A function's behaviour cannot be
            hashed, so whoever changes the generator changes the label.
    """

    models: int = MODELS
    seed: int = 0
    train_rows: int | None = None
    n_jobs: int | None = None
    progress: Progress | None = None
    store: Path | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if self.models < 4 or self.models % 2:
            raise AuditInputError(
                f"{self.models} shadow models; give an even number, 4 or more, such as {MODELS}"
            )
        if self.seed < 0:
            raise AuditInputError(f"seed is {self.seed}; give a whole number, 0 or more")
        if self.train_rows is not None and self.train_rows < 1:
            raise AuditInputError(f"train_rows is {self.train_rows}; give 1 or more, or None")
        if self.store is not None and not self.label:
            raise AuditInputError(
                f"store {str(self.store)!r} without a label; name the generator and its settings, "
                f"so that its models are not taken for another's"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class BlackBox:
    """A refit with its plan, and what was already computed with it in this audit.

    Attributes:
        refit: the generator.
        plan: how to refit it.
        memo: shadow runs by a digest of all that went into them; one audit's, never global.
    """

    refit: Refit
    plan: ShadowPlan = field(default_factory=ShadowPlan)
    memo: dict[str, Any] = field(default_factory=dict)

    def __call__(self, rows: Records, *, rng: np.random.Generator) -> Records:
        """Synthetic rows of a generator fitted on these rows."""
        return self.refit(rows, rng=rng)


def wrap(
    refit: RefitFrame,
    layout: Layout,
    *,
    like: pd.DataFrame | None = None,
    plan: ShadowPlan | None = None,
) -> BlackBox:
    """A refit on data frames as a refit on records of this layout.

    A label that the generator makes and the layout does not know gets a code of its own, unlike
    every known one.

    Args:
        refit: `refit(rows, seed) -> synthetic rows`.
        layout: of the audit's tables.
        like: a real table; the rows handed to `refit` get its dtypes and its original labels.
            Without it numbers come as floats, labels as text and dates as UTC times.
        plan: how a black-box attack uses the refit.
    """

    def on_records(rows: Records, *, rng: np.random.Generator) -> Records:
        made = refit(decode(rows, like=like), int(rng.integers(2**31)))
        if not isinstance(made, pd.DataFrame):
            raise AttackError(
                f"refit returned a {type(made).__name__}; it must return a pandas DataFrame"
            )
        try:
            return encode_onto(layout, made, role="refit")
        except AuditInputError as fault:
            raise AttackError(str(fault)) from fault

    return BlackBox(refit=on_records, plan=plan or ShadowPlan())


def decode(records: Records, *, like: pd.DataFrame | None = None) -> pd.DataFrame:
    """Records as a data frame with the columns of their layout, in its order.

    Args:
        records: n rows.
        like: a real table on the same layout, from which dtypes and original labels are taken
            where the values allow; a label that it lacks stays text.

    Returns:
        n rows. Numbers are float64 (NaN missing) or of the integer type in `like`; dates are UTC
        times, or naive if `like` has naive ones; labels are as in `like` or text (None missing).
        Codes beyond the layout's levels become the text "<unknown>".
    """
    columns: dict[str, pd.Series] = {}
    originals = None if like is None else encode_onto(records.layout, like, role="like")
    numbers, categories = (
        iter(range(records.numbers.shape[1])),
        iter(range(len(records.layout.levels))),
    )
    for name, kind in zip(records.names, records.kinds, strict=True):
        source = None if like is None else like[_key(like, name)]
        if kind == "category":
            place = next(categories)
            labels = list(records.layout.levels[place])
            known = None if originals is None else originals.categories[:, place]
            columns[name] = _category(records.categories[:, place], labels, known, source)
        else:
            values = records.numbers[:, next(numbers)]
            columns[name] = _date(values, source) if kind == "datetime" else _number(values, source)
    return pd.DataFrame(columns)


def guarded(refit: Refit, rows: Records, *, rng: np.random.Generator, what: str) -> Records:
    """What the refit makes of these rows, after checks that a model's number can be put to.

    Raises:
        AttackError: the refit raised, or returned no records of this layout, no rows, an infinite
            number, or a column that is all missing although the rows given had values there.
    """
    try:
        made = refit(rows, rng=rng)
    except AttackError as fault:
        raise AttackError(f"{what}: {fault}") from fault
    except Exception as fault:  # Foreign code: whatever it raises, the audit says so and goes on.
        cause = str(fault).splitlines()[0] if str(fault) else ""
        raise AttackError(
            f"{what}: refit raised {type(fault).__name__}({cause!r}) on {len(rows)} rows; mend the "
            f"generator"
        ) from fault
    problem = _problem(made, rows)
    if problem:
        raise AttackError(f"{what}: {problem}")
    return made


def leaky(rows: Records, *, rng: np.random.Generator) -> Records:
    """A generator that returns its training rows, shuffled, numbers moved by 0.1 % of the range.

    The positive control: an attack that cannot tell its members has nothing to say of others.
    """
    made = rows.take(rng.permutation(len(rows)))
    noise = rng.normal(0.0, _LEAKY_NOISE, made.numbers.shape) * made.scales
    return replace(made, numbers=made.numbers + noise)


def blind(pool: Records) -> Refit:
    """A generator that resamples rows of a fixed pool and never looks at its training rows.

    The negative control, if the pool is in no arm: an attack that wins against it is wrong.

    Raises:
        AuditInputError: the pool is empty.
    """
    if len(pool) == 0:
        raise AuditInputError("pool of the blind generator has no rows; give at least one")

    def ignore(rows: Records, *, rng: np.random.Generator) -> Records:
        return pool.take(rng.integers(0, len(pool), len(pool)))

    return ignore


def _problem(made: object, rows: Records) -> str:
    if not isinstance(made, Records) or made.layout != rows.layout:
        return "refit returned no records on the layout of its rows; wrap a data-frame generator"
    if len(made) == 0:
        return f"refit returned no rows for {len(rows)} rows; it must return at least one"
    for place, name in enumerate(made.layout.number_names):
        values = made.numbers[:, place]
        if np.isinf(values).any():
            row = int(np.flatnonzero(np.isinf(values))[0])
            return f"refit returned {values[row]} in column {name!r}, row {row}; must be finite"
        # Some missing values may be honest (a noisy rate); a whole column is a broken generator.
        if np.isnan(values).all() and not np.isnan(rows.numbers[:, place]).all():
            return f"refit returned column {name!r} all missing, though its rows have values there"
    return ""


def _key(table: pd.DataFrame, name: str) -> Any:
    """The column's own name: layouts call columns by text."""
    return next(column for column in table.columns if str(column) == name)


def _number(values: np.ndarray, source: pd.Series | None) -> pd.Series:
    whole = pd.Series(values)
    if source is None or not pd.api.types.is_integer_dtype(source.dtype):
        return whole
    if not (np.isfinite(values).all() and (values == np.round(values)).all()):
        return whole
    return whole.astype(source.dtype)


def _date(values: np.ndarray, source: pd.Series | None) -> pd.Series:
    # Seconds as float64 hold microseconds until the year 2100; nothing finer is kept.
    missing = np.isnan(values)
    micros = np.round(np.where(missing, 0.0, values) * 1e6).astype(np.int64)
    times = pd.Series(micros.astype("datetime64[us]")).dt.tz_localize("UTC").mask(missing)
    if source is not None and isinstance(source.dtype, pd.DatetimeTZDtype):
        return times.dt.tz_convert(source.dtype.tz)
    if source is not None and pd.api.types.is_datetime64_dtype(source.dtype):
        return times.dt.tz_localize(None)
    return times


def _category(
    codes: np.ndarray, labels: list[str], known: np.ndarray | None, source: pd.Series | None
) -> pd.Series:
    values: list[Any] = [*labels, "<unknown>", None]
    if known is not None and source is not None:
        places, first = np.unique(known, return_index=True)
        for code, row in zip(places.tolist(), first.tolist(), strict=True):
            if 0 <= code < len(labels):
                values[code] = source.iloc[row]
    lookup = np.empty(len(values), dtype=object)
    lookup[:] = values
    column = pd.Series(lookup[codes], dtype=object)
    if source is None or (codes == -1).any() or (codes == len(labels)).any():
        return column
    kinds = (pd.api.types.is_bool_dtype, pd.api.types.is_numeric_dtype)
    return column.astype(source.dtype) if any(kind(source.dtype) for kind in kinds) else column
