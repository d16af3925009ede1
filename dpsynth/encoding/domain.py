"""Learning the public domain of a table: kinds, bounds, bins and categories, by noisy answers only.

`learn` asks the curator what the schema leaves open and returns a codec with the noisy one-way
marginals. What it returns is public; a column about which the noise lets nothing be known is still
coded (as missing, or as one value) rather than refused, since a refusal would tell of the rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dpsynth.cells import FORMS, format_datetime
from dpsynth.encoding.binning import BinningRules, cut
from dpsynth.encoding.codec import DAY, CategoryCodec, ColumnCodec, NumberCodec, TableCodec
from dpsynth.encoding.estimate import nonnegative
from dpsynth.plan import (
    FORMS as FORMS_LABEL,
)
from dpsynth.plan import (
    MARGINALS,
    NUMBER_KINDS,
    Plan,
    PlannedColumn,
    bounds_label,
    needs_form,
    values_label,
)
from dpsynth.privacy.curator import Answer, Curator
from dpsynth.privacy.queries import (
    FormVotes,
    Grid,
    Magnitudes,
    OneWayMarginals,
    Partitions,
    QuantileTree,
)
from dpsynth.schema import Column, Kind

FloatArray = NDArray[np.float64]

OTHER = "other"
_RARE_SHARE = 0.002
"""Categories below this share of the rows (or below the noise) share one code."""
_SIGMAS = 3.0
_VOTE_SIGMAS = 4.5
"""Noise that a vote on a kind must exceed: one false vote turns integers into decimals, and there
are a dozen forms in each column."""
_MOST_POINTS = 2**52
_LARGEST = 1e300
"""Bounds beyond it are drawn in, so that the width of a grid does not overflow."""
_UNDECLARED_DECIMALS = 6

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Domain:
    """The public domain of a table.

    Attributes:
        codec: rows to codes and back.
        one_way: estimated distribution over the codes of each column.
        notes: how values were clamped, one plain sentence a column.
    """

    codec: TableCodec
    one_way: tuple[FloatArray, ...]
    notes: tuple[str, ...]


def learn(
    curator: Curator,
    plan: Plan,
    *,
    rows: float,
    rules: BinningRules | None = None,
    progress: Progress = lambda label: None,
) -> Domain:
    """Ask for what the plan's columns leave open and build the codec.

    Args:
        curator: holds the reserved charges of `plan`.
        plan: the columns and the charges' labels.
        rows: the noisy row count.
        rules: how fine numbers are coded.
        progress: called with the label of each question before it is asked.
    """
    rules = rules or BinningRules()
    forms = _ask_forms(curator, plan, progress)
    parts: list[ColumnCodec] = []
    notes: list[str] = []
    for planned in plan.columns:
        column = _with_form(planned, forms.get(planned.name), rows=rows)
        part, note = _learn_column(curator, column, planned, rows, rules, progress, forms)
        parts.append(part)
        notes.append(note)
    draft = TableCodec(tuple(parts))
    progress(MARGINALS)
    answer = curator.ask(OneWayMarginals(draft), label=MARGINALS)
    return _settled(draft, answer, rows=rows, notes=tuple(notes))


def _ask_forms(curator: Curator, plan: Plan, progress: Progress) -> dict[str, Answer]:
    names = tuple(column.name for column in plan.columns if needs_form(column))
    if not names:
        return {}
    progress(FORMS_LABEL)
    answer = curator.ask(FormVotes(names), label=FORMS_LABEL)
    return {name: Answer(answer.values[i], answer.std) for i, name in enumerate(names)}


def _with_form(planned: PlannedColumn, votes: Answer | None, *, rows: float) -> Column:
    """The column with its kind and decimals filled in from the noisy vote."""
    if votes is None and isinstance(planned, Column):
        return planned
    if votes is None:
        return Column(name=planned.name, kind="categorical")
    if isinstance(planned, Column):
        if planned.kind == "numeric":
            return replace(planned, decimals=_decimals(votes))
        return planned
    kind = voted_kind(votes)
    if kind == "numeric":
        return Column(name=planned.name, kind="numeric", decimals=_decimals(votes))
    return Column(name=planned.name, kind=kind)


def voted_kind(votes: Answer) -> Kind:
    """The kind that the noisy vote over cell forms speaks for.

    Text wins with a fiftieth of the present cells, as one wrong word in a number column is an
    error but many are categories; otherwise the commonest family wins.
    """
    count = dict(zip(FORMS, votes.values, strict=True))
    present = sum(count.values()) - count["missing"]
    if count["text"] > max(present / 50.0, _VOTE_SIGMAS * votes.std) or (
        present < _VOTE_SIGMAS * votes.std
    ):
        return "categorical"
    numbers = [count[f] for f in FORMS if f.startswith("decimal") or f == "float"]
    families: dict[Kind, float] = {
        "boolean": count["boolean"],
        "numeric": count["integer"] + sum(numbers),
        "datetime": count["date"] + count["datetime"],
        "categorical": count["text"],
    }
    kind = max(families, key=lambda family: families[family])
    if kind == "numeric" and not any(_heard(n, present, votes.std) for n in numbers):
        return "integer"
    return kind


def _decimals(votes: Answer) -> int:
    """Most digits after the point that enough cells have."""
    count = dict(zip(FORMS, votes.values, strict=True))
    present = sum(count.values()) - count["missing"]
    if _heard(count["float"], present, votes.std):
        return _UNDECLARED_DECIMALS
    digits = [d for d in range(1, 10) if _heard(count[f"decimal_{d}"], present, votes.std)]
    return max(digits, default=0)


def _heard(votes: float, present: float, std: float) -> bool:
    return votes > max(_VOTE_SIGMAS * std, 0.01 * present)


def _learn_column(
    curator: Curator,
    column: Column,
    planned: PlannedColumn,
    rows: float,
    rules: BinningRules,
    progress: Progress,
    forms: Mapping[str, Answer],
) -> tuple[ColumnCodec, str]:
    if column.kind in NUMBER_KINDS:
        return _learn_number(
            curator, column, planned, rows, rules, progress, forms.get(column.name)
        )
    if column.kind == "boolean":
        return _categories(column, ("false", "true"), other=False), f"{column.name}: true or false"
    if column.categories is not None:
        note = f"{column.name}: values outside the declared categories count as {OTHER!r}"
        return _categories(column, column.categories, other=True), note
    label = values_label(column.name)
    progress(label)
    found = curator.name_partitions(Partitions(column), label=label)
    note = (
        f"{column.name}: {len(found.values)} categories were common enough to be named (noisy "
        f"count of at least {found.threshold:.0f}); all others count as {OTHER!r}"
    )
    return _categories(column, found.values, other=True), note


def _learn_number(
    curator: Curator,
    column: Column,
    planned: PlannedColumn,
    rows: float,
    rules: BinningRules,
    progress: Progress,
    votes: Answer | None,
) -> tuple[ColumnCodec, str]:
    lower, upper = column.bounds
    if lower is None or upper is None:
        label = bounds_label(column.name)
        progress(label)
        found = _bounds(curator.ask(Magnitudes(column), label=label))
        if found is None and (lower is None and upper is None):
            empty = _categories(Column(name=column.name, kind="categorical"), (), other=False)
            return empty, f"{column.name}: no value rose above the noise; released as missing"
        low, high = found or (0.0, 0.0)
        lower = low if lower is None else lower
        upper = max(high, lower) if upper is None else upper
        lower = min(lower, upper)
    grid = _grid(column, lower, upper, votes)
    tree = QuantileTree(column, grid)
    label = values_label(column.name)
    progress(label)
    answer = curator.explore(
        tree, label=label, open_above=lambda std: rules.open_above(rows=rows, std=std)
    )
    intervals = cut(tree, answer, rows=rows, rules=rules)
    part = NumberCodec(column=column, grid=grid, intervals=intervals, missing=None, fallback=0)
    part = replace(part, missing=part.size) if column.nullable else part
    return part, f"{column.name}: values are clamped to {_ends_text(column, grid)}"


def _ends_text(column: Column, grid: Grid) -> str:
    ends = grid.value(np.array([0, grid.size - 1])) + 0.0  # + 0.0 turns -0.0 into 0.0
    if column.kind == "datetime":
        texts = format_datetime(ends, "day" if grid.step % DAY == 0 else "second")
        return f"{texts[0]} .. {texts[1]}"
    return f"{ends[0]:.10g} .. {ends[1]:.10g}"


def _bounds(answer: Answer) -> tuple[float, float] | None:
    """The range of the magnitudes whose noisy counts rise above the noise."""
    heard = np.flatnonzero(answer.values > 4.0 * answer.std)
    if not len(heard):
        return None
    return Magnitudes.range_of(int(heard[0]), int(heard[-1]))


def _grid(column: Column, lower: float, upper: float, votes: Answer | None) -> Grid:
    """The values that can be released: whole numbers, decimals, days or seconds."""
    step = 1.0
    if column.kind == "numeric":
        step = 10.0 ** -(column.decimals or 0)
    elif column.kind == "datetime":
        step = DAY if votes is not None and _is_daily(votes) else 1.0
    lower, upper = (float(np.clip(end, -_LARGEST, _LARGEST)) for end in (lower, upper))
    while max(abs(lower), abs(upper)) / step > _MOST_POINTS:
        step *= 10.0
    # Aligned to the step: what is rounded to it on release must encode to the same point again.
    first, last = np.ceil(lower / step - 1e-9), np.floor(upper / step + 1e-9)
    return Grid(float(first * step), float(step), int(max(last - first + 1, 1)))


def _is_daily(votes: Answer) -> bool:
    count = dict(zip(FORMS, votes.values, strict=True))
    return not _heard(count["datetime"], count["datetime"] + count["date"], votes.std)


def _categories(column: Column, categories: tuple[str, ...], *, other: bool) -> CategoryCodec:
    """One code for each category, then `other`, then missing; merged later by noisy counts."""
    labels = categories
    index: int | None = None
    if other:
        labels = categories if OTHER in categories else (*categories, OTHER)
        index = labels.index(OTHER)
    return CategoryCodec(
        column=column,
        categories=labels,
        codes=np.arange(len(labels)),
        weights=np.ones(len(labels)),
        other=index,
        missing=len(labels) if column.nullable or not labels else None,
        fallback=0,
    )


def _settled(draft: TableCodec, answer: Answer, *, rows: float, notes: tuple[str, ...]) -> Domain:
    """The final codec: rare categories merged, missing codes without support dropped."""
    parts: list[ColumnCodec] = []
    one_way: list[FloatArray] = []
    start = 0
    for part in draft.parts:
        noisy = answer.values[start : start + part.size]
        start += part.size
        settled, counts = _settle(part, noisy, answer.std, rows)
        parts.append(settled)
        one_way.append(
            counts / counts.sum() if counts.sum() > 0 else np.full(len(counts), 1.0 / len(counts))
        )
    return Domain(TableCodec(tuple(parts)), tuple(one_way), notes)


def _settle(
    part: ColumnCodec, noisy: FloatArray, std: float, rows: float
) -> tuple[ColumnCodec, FloatArray]:
    if isinstance(part, CategoryCodec):
        return _settle_categories(part, noisy, std, rows)
    return _settle_number(part, noisy, std, rows)


def _settle_number(
    part: NumberCodec, noisy: FloatArray, std: float, rows: float
) -> tuple[NumberCodec, FloatArray]:
    present = noisy
    missing = part.missing
    if missing is not None and noisy[missing] < _SIGMAS * std:
        present, missing = noisy[:-1], None
    counts = nonnegative(present, rows)
    values = counts if missing is None else counts[:-1]
    return replace(part, missing=missing, fallback=int(np.argmax(values))), counts


def _settle_categories(
    part: CategoryCodec, noisy: FloatArray, std: float, rows: float
) -> tuple[CategoryCodec, FloatArray]:
    if part.other is not None and noisy[part.other] < _SIGMAS * std:
        part, noisy = _without_other(part, noisy)
    size = len(part.categories)
    keeps_missing = part.missing is not None and (noisy[part.missing] >= _SIGMAS * std or not size)
    counts = nonnegative(noisy[: size + keeps_missing], rows)
    rare = noisy[:size] < max(_SIGMAS * std, _RARE_SHARE * rows)
    if rare.sum() < 2:
        rare = np.zeros(size, dtype=bool)
    codes, merged = _merge(counts[:size], rare)
    settled = replace(
        part,
        codes=codes,
        weights=_within(counts[:size], codes),
        missing=len(merged) if keeps_missing else None,
        fallback=int(np.argmax(merged)) if size else 0,
    )
    return settled, np.r_[merged, counts[size:]]


def _without_other(part: CategoryCodec, noisy: FloatArray) -> tuple[CategoryCodec, FloatArray]:
    """Nothing was seen outside the domain, so the synthetic table makes nothing up there.

    Where `other` is itself a declared category it stays a category like the rest.
    """
    index = part.other
    if index is None or (len(part.categories) == 1 and part.missing is None):
        return part, noisy  # something has to be released
    if OTHER in (part.column.categories or ()):
        return replace(part, other=None), noisy
    kept = part.categories[:index] + part.categories[index + 1 :]
    smaller = replace(
        part,
        categories=kept,
        codes=np.arange(len(kept)),
        weights=np.ones(len(kept)),
        other=None,
        missing=None if part.missing is None else part.missing - 1,
    )
    return smaller, np.delete(noisy, index)


def _merge(counts: FloatArray, rare: NDArray[np.bool_]) -> tuple[NDArray[np.int64], FloatArray]:
    """Codes with all rare categories in the last one, and the counts of the codes."""
    codes = np.cumsum(~rare) - 1
    codes[rare] = int((~rare).sum())
    merged = np.bincount(codes, weights=counts).astype(np.float64) if len(codes) else counts
    return codes.astype(np.int64), merged


def _within(counts: FloatArray, codes: NDArray[np.int64]) -> FloatArray:
    """Each category's share of its code, even where a code has no mass."""
    if not len(codes):
        return counts
    total = np.bincount(codes, weights=counts)[codes]
    members = np.bincount(codes)[codes]
    return np.where(total > 0, counts / np.where(total > 0, total, 1.0), 1.0 / members)
