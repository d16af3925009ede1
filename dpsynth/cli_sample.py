"""The command `sample`: rows at large, rows under a condition, gaps of a table filled."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from dpsynth.cli_shared import must_be_there
from dpsynth.console import Bars, bars, emit, say
from dpsynth.fitted import FittedModel
from dpsynth.sampling.sampler import ConditionalSample
from dpsynth.sampling.writing import check_suffix, write_parts
from dpsynth.table import Table
from dpsynth.writing import write_frame


def sample_table(
    model: Path,
    out: Path,
    *,
    rows: int | None,
    where: Mapping[str, str],
    seed: int | None,
    as_json: bool,
) -> int:
    """Draw rows into a file, part by part: memory does not grow with their number."""
    check_suffix(out)
    fitted = FittedModel.load(model)
    worth = _Worth()
    with bars() as progress:
        parts = fitted.sample_parts(rows, where=where, seed=seed)
        frames = worth.counted(parts, fitted.rows if rows is None else rows, progress)
        write_parts(frames, out, columns=fitted.schema().columns)
    found = {"rows": worth.rows, "out": str(out)}
    if where:
        found |= {
            "effective_sample_size": round(worth.effective, 1),
            "distinct_share": worth.distinct / worth.rows,
            "drawn": worth.drawn,
            "probability": worth.mass / worth.drawn,
        }
        say(worth.sentence)
    emit(found, as_json=as_json, text=f"{out}: {worth.rows} rows")
    return 0


class _Worth:
    """Running totals of what the parts are worth, since the parts themselves are let go."""

    def __init__(self) -> None:
        self.rows = self.distinct = self.drawn = 0
        self.effective = self.mass = 0.0

    def counted(
        self, parts: Iterator[ConditionalSample], rows: int, progress: Bars
    ) -> Iterator[pd.DataFrame]:
        """The frames of the parts, each added to the totals."""
        progress("sampling", 0, rows)
        for part in parts:
            self.rows += len(part.frame)
            self.distinct += part.distinct
            self.drawn += part.drawn
            self.effective += part.effective_sample_size
            self.mass += part.probability * part.drawn
            yield part.frame
            progress("sampling", self.rows, rows)

    @property
    def sentence(self) -> str:
        """What a reader of the rows should know."""
        return (
            f"the condition has probability {self.mass / self.drawn:.3g} in the model; effective "
            f"sample size {self.effective:,.0f} of {self.rows:,} rows, "
            f"{self.distinct / self.rows:.1%} of them drawn on their own"
        )


def fill_table(model: Path, table: Path, out: Path, *, seed: int | None, as_json: bool) -> int:
    """Fill the gaps of a table."""
    must_be_there(str(table))
    check_suffix(out)
    filled = FittedModel.load(model).fill_cells(Table.read(table), seed=seed)
    write_frame(filled.frame, out)
    worth = filled.effective_candidates
    effective = float(np.median(worth)) if len(worth) else float(filled.candidates)
    least = float(worth.min()) if len(worth) else float(filled.candidates)
    found = {
        "rows": len(filled.frame),
        "out": str(out),
        "cells_filled": filled.cells,
        "candidates": filled.candidates,
        "median_effective_candidates": round(effective, 2),
        "least_effective_candidates": round(least, 2),
    }
    say(
        f"{out} holds the rows of {table}: if these are private, the model's epsilon does not "
        "cover it; treat it as you treat them"
    )
    emit(
        found,
        as_json=as_json,
        text=f"{out}: {len(filled.frame)} rows, {filled.cells} cells filled from "
        f"{filled.candidates} candidates a row (worth {effective:.1f} in the "
        f"median row with a gap, {least:.1f} in the worst)",
    )
    return 0
