"""The chain itself: fit, sample, hand on. Knows nothing of what a maker does inside."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dpsynth.errors import InputError
from dpsynth.generations.modes import Mode

Make = Callable[[pd.DataFrame, int, np.random.Generator], pd.DataFrame]
"""Fits a model to a table and draws so many rows of it: make(frame, rows, rng) -> frame."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One synthetic table and what it was made from.

    Attributes:
        number: from 1; generation 0 is the real table.
        table: as many rows as generation 0.
        training_rows: rows that its model was fitted to.
        real_rows: how many of them are real.
    """

    number: int
    table: pd.DataFrame
    training_rows: int
    real_rows: int


@dataclass(frozen=True, kw_only=True)
class Start:
    """The real rows of an experiment.

    Attributes:
        zero: generation 0, n rows.
        spare: further real rows, dealt out first where a mode takes fresh ones; may be empty.
    """

    zero: pd.DataFrame
    spare: pd.DataFrame

    def again(self, mode: Mode, generations: int) -> bool:
        """Whether this mode meets a real row twice: real rows are dealt until none is left."""
        if mode.kind != "fresh":
            return False
        wanted = mode.fresh_rows(len(self.zero)) * (generations - 1)
        return wanted > (len(self.spare) or len(self.zero))

    def check_fresh(self, mode: Mode, generations: int) -> None:
        """Refuse a share that gives no row.

        Where rows were set aside to be dealt, also refuse too few of them: rows that are not fresh
        would then be passed off as such.

        Raises:
            InputError: too few rows.
        """
        if mode.kind != "fresh":
            return
        each = mode.fresh_rows(len(self.zero))
        if len(self.spare) and self.again(mode, generations):
            raise InputError(
                f"mode {mode.name}: {generations} generations of {len(self.zero)} rows take "
                f"{each * (generations - 1)} fresh real rows beside the first, and there are "
                f"{len(self.spare)}; ask for fewer rows, fewer generations or a smaller share"
            )


def chain(
    start: Start,
    *,
    mode: Mode,
    generations: int,
    make: Make,
    rng: np.random.Generator,
    first: Generation | None = None,
) -> Iterator[Generation]:
    """The synthetic tables from generation 1 on, one after the other.

    Generation 1 is fitted to generation 0 whatever the mode, so several modes may share it.

    Args:
        start: the real rows.
        mode: what each later generation is fitted to.
        generations: how many, at least 1.
        make: fits and samples.
        rng: for the makers and the dealing.
        first: generation 1 where it is there already.
    """
    rows = len(start.zero)
    fresh = _dealt(start, mode.fresh_rows(rows), rng)
    last = first or generation_one(start, make=make, rng=rng)
    pool = start.zero
    yield last
    for number in range(2, generations + 1):
        real_rows = 0
        if mode.kind == "replace":
            training = last.table
        elif mode.kind == "accumulate":
            pool = training = _joined(pool, last.table)
            real_rows = rows
        else:
            dealt = next(fresh)
            real_rows = len(dealt)
            kept = rng.permutation(len(last.table))[: rows - real_rows]
            training = _joined(dealt, last.table.iloc[kept])
        last = Generation(
            number=number,
            table=make(training, rows, rng),
            training_rows=len(training),
            real_rows=real_rows,
        )
        yield last


def generation_one(start: Start, *, make: Make, rng: np.random.Generator) -> Generation:
    """The table made from the real one."""
    rows = len(start.zero)
    return Generation(
        number=1, table=make(start.zero, rows, rng), training_rows=rows, real_rows=rows
    )


def _dealt(start: Start, size: int, rng: np.random.Generator) -> Iterator[pd.DataFrame]:
    """Hands of `size` different real rows; none is dealt twice before all have been dealt."""
    source = start.spare if len(start.spare) else start.zero
    left = rng.permutation(len(source))
    while True:
        if len(left) < size:
            left = rng.permutation(len(source))
        yield source.iloc[left[:size]]
        left = left[size:]


def _joined(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([first, second], ignore_index=True)
