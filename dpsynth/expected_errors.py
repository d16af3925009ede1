"""How far counts of a synthetic table may be off the private table's: figures, and their words."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

_LINES = 20


@dataclass(frozen=True)
class ColumnErrors:
    """Expected errors of one column's counts.

    Attributes:
        name: of the column.
        labels: names of its codes: categories or ranges.
        counts: what the synthetic table says how many rows have each code.
        errors: root of the expected squared difference to the private table's count, in rows.
        shares: `errors` as shares of all rows.
    """

    name: str
    labels: tuple[str, ...]
    counts: tuple[float, ...]
    errors: tuple[float, ...]
    shares: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean expected error of a count, in rows."""
        return float(np.mean(self.errors))

    @property
    def worst(self) -> int:
        """The code with the largest expected error."""
        return int(np.argmax(self.errors))


@dataclass(frozen=True)
class PairErrors:
    """Expected errors of the counts of two columns together.

    Attributes:
        first, second: names of the columns.
        cells: how many cells their table has.
        mean, largest: over the cells, of the expected error of a count, in rows.
        tvd: expected total variation distance of the two tables, 0 (the same) to 1.
        measured: whether the pair's table was measured; where it was not, structure that the model
            lacks cannot be seen and the errors may be larger.
    """

    first: str
    second: str
    cells: int
    mean: float
    largest: float
    tvd: float
    measured: bool


@dataclass(frozen=True)
class ExpectedErrors:
    """Expected errors of counts, of a synthetic table against the private one.

    Attributes:
        rows: rows of the synthetic table; counts are scaled to the noisy row count.
        replicates: simulations that they were found by.
        columns: one entry a column.
        pairs: one entry a pair that was asked for, the largest expected distance first.
    """

    rows: int
    replicates: int
    columns: tuple[ColumnErrors, ...]
    pairs: tuple[PairErrors, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "rows": self.rows,
            "replicates": self.replicates,
            "columns": [{"name": c.name, "codes": _codes(c)} for c in self.columns],
            "pairs": [asdict(pair) for pair in self.pairs],
        }

    def text(self) -> str:
        """Tables of lines: single columns, then the pairs with the largest distances."""
        return "\n".join(
            [
                f"expected errors of counts in {self.rows} synthetic rows, in rows of the private "
                f"table ({self.replicates} simulations)",
                "",
                *_column_lines(self.columns),
                *_pair_lines(self.pairs),
            ]
        )


def _codes(column: ColumnErrors) -> list[dict[str, Any]]:
    parts = zip(column.labels, column.counts, column.errors, column.shares, strict=True)
    return [
        {"label": label, "count": count, "error": error, "error_share": share}
        for label, count, error, share in parts
    ]


def _column_lines(columns: tuple[ColumnErrors, ...]) -> list[str]:
    width = max(6, *(len(column.name) for column in columns))
    lines = [f"{'column':{width}}  {'codes':>5}  {'mean':>8}  {'largest':>8}  of"]
    for column in columns:
        worst = column.worst
        lines.append(
            f"{column.name:{width}}  {len(column.errors):5}  {column.mean:8.1f}  "
            f"{column.errors[worst]:8.1f}  {column.labels[worst]} "
            f"({column.counts[worst]:.0f} rows)"
        )
    return lines


def _pair_lines(pairs: tuple[PairErrors, ...]) -> list[str]:
    if not pairs:
        return []
    lines = ["", f"{'distance':>8}  {'cells':>5}  {'mean':>8}  {'largest':>8}  pair"]
    for pair in pairs[:_LINES]:
        unseen = "" if pair.measured else "  (not measured: may be more)"
        lines.append(
            f"{pair.tvd:8.4f}  {pair.cells:5}  {pair.mean:8.1f}  {pair.largest:8.1f}  "
            f"{pair.first} with {pair.second}{unseen}"
        )
    if len(pairs) > _LINES:
        lines.append(f"... and {len(pairs) - _LINES} more pairs, with smaller distances")
    return lines
