"""Every column as a small number of cells, for counting."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from audits.records import Encoded, Records

BINS = 20


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Three tables as cell numbers.

    Attributes:
        names: of the columns, in the order of the training table.
        labels: of the cells of each column, for messages; the last one is "missing".
        train: (n, columns) int64 cell numbers; likewise `holdout` and `synthetic`.
    """

    names: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    train: np.ndarray
    holdout: np.ndarray
    synthetic: np.ndarray


def cells(tables: Encoded) -> Cells:
    """Categories as they are; numbers cut at the 20-quantiles of train; missing is a cell."""
    layout = tables.train.layout
    columns: list[tuple[tuple[str, ...], list[np.ndarray]]] = []
    roles = (tables.train, tables.holdout, tables.synthetic)
    number = category = 0
    for kind in layout.kinds:
        if kind == "category":
            columns.append(_categories(roles, category))
            category += 1
        else:
            columns.append(_numbers(roles, number))
            number += 1
    train, holdout, synthetic = (
        np.column_stack([codes[i] for _, codes in columns]).astype(np.int64) for i in range(3)
    )
    return Cells(
        names=layout.names,
        labels=tuple(labels for labels, _ in columns),
        train=train,
        holdout=holdout,
        synthetic=synthetic,
    )


def _categories(
    roles: tuple[Records, ...], column: int
) -> tuple[tuple[str, ...], list[np.ndarray]]:
    levels = roles[0].layout.levels[column]
    codes = [records.categories[:, column] for records in roles]
    return (*levels, "missing"), [np.where(code < 0, len(levels), code) for code in codes]


def _numbers(roles: tuple[Records, ...], column: int) -> tuple[tuple[str, ...], list[np.ndarray]]:
    values = [records.numbers[:, column] for records in roles]
    present = values[0][~np.isnan(values[0])]
    inner = np.linspace(0, 1, BINS + 1)[1:-1]
    # Quantiles that are data values: a value that many rows share gets cells of its own.
    edges = np.unique(np.quantile(present, inner, method="lower")) if present.size else np.empty(0)
    missing = edges.size + 1
    codes = [
        np.where(np.isnan(value), missing, np.searchsorted(edges, value, side="right"))
        for value in values
    ]
    bounds = ["-inf", *(f"{edge:g}" for edge in edges), "inf"]
    labels = [f"{low} to {high}" for low, high in itertools.pairwise(bounds)]
    return (*labels, "missing"), codes
