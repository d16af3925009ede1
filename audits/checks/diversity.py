"""Did the synthetic table keep the variety of the real one?

Measured, not judged. Figures that depend on the number of rows stand beside the same figure for
the holdout, both taken at the smaller of the two sizes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audits.binning import Cells, cells
from audits.judgement import Evidence, Settings
from audits.records import Encoded, Records, row_ids
from audits.sampling import generator, sizes, subsample
from audits.statistics import clopper_pearson, exact

NAME = "diversity"
MODE_SHARE = 0.01
_BLIND_SPOT = (
    "It counts cells of single columns; a table can keep them all and still lose combinations."
)


def run(tables: Encoded, *, settings: Settings) -> Evidence:
    """Coverage of the real categories, modes that were dropped, rows that repeat."""
    rng = generator(settings.seed, NAME)
    size = min(len(tables.holdout), len(tables.synthetic))
    cut = Encoded(
        train=tables.train,
        holdout=subsample(tables.holdout, size, rng=rng),
        synthetic=subsample(tables.synthetic, size, rng=rng),
    )
    whole, equal = cells(tables), cells(cut)
    coverage, baseline = _coverage(equal, equal.synthetic), _coverage(equal, equal.holdout)
    chosen = _category_columns(tables)
    dropped, expected = _dropped(whole)
    confidence = settings.confidence
    return Evidence(
        name=NAME,
        family="diversity",
        figures={
            "category_coverage": exact(coverage[chosen].mean(), confidence=confidence),
            "category_coverage_baseline": exact(baseline[chosen].mean(), confidence=confidence),
            "dropped_modes": exact(len(dropped), confidence=confidence),
            "dropped_modes_expected": exact(expected, confidence=confidence),
            "duplicate_share": clopper_pearson(
                _repeats(cut.synthetic), size, confidence=confidence
            ),
            "duplicate_share_baseline": clopper_pearson(
                _repeats(cut.holdout), size, confidence=confidence
            ),
        },
        blind_spot=_BLIND_SPOT,
        nothing=_summary(dropped, expected),
        rows_used=sizes(cut),
        curves={
            "columns": list(whole.names),
            "coverage": coverage.tolist(),
            "coverage_baseline": baseline.tolist(),
            "dropped": dropped,
        },
    )


def _coverage(table: Cells, rows: np.ndarray) -> np.ndarray:
    """For each column, the share of the cells of train that these rows reach."""
    shares = []
    for column in range(len(table.names)):
        held = np.unique(table.train[:, column])
        shares.append(np.isin(held, rows[:, column]).mean())
    return np.array(shares)


def _category_columns(tables: Encoded) -> np.ndarray:
    """Mask of the category columns; of all columns (their bins) where there is none."""
    mask = np.array([kind == "category" for kind in tables.train.kinds])
    return mask if mask.any() else ~mask


def _dropped(table: Cells) -> tuple[list[str], float]:
    """Cells with at least 1 % of train that no synthetic row has; and how many chance drops."""
    dropped, expected = [], 0.0
    n, m = len(table.train), len(table.synthetic)
    for column, (name, labels) in enumerate(zip(table.names, table.labels, strict=True)):
        counts = np.bincount(table.train[:, column], minlength=len(labels))
        made = np.bincount(table.synthetic[:, column], minlength=len(labels))
        modes = counts >= MODE_SHARE * n
        expected += float(np.power(1.0 - counts[modes] / n, m).sum())
        dropped += [f"{name} = {labels[cell]}" for cell in np.flatnonzero(modes & (made == 0))]
    return dropped, expected


def _repeats(records: Records) -> int:
    """Rows that equal an earlier row."""
    (ids,) = row_ids([records])
    return int(ids.size - np.unique(ids).size)


def _summary(dropped: Sequence[str], expected: float) -> str:
    if not dropped:
        return f"Every value or range with at least {MODE_SHARE:.0%} of the training rows is there."
    named = ", ".join(dropped[:5]) + (", ..." if len(dropped) > 5 else "")
    return (
        f"{len(dropped)} values or ranges with at least {MODE_SHARE:.0%} of the training rows are "
        f"missing (chance alone would drop {expected:.2g}): {named}."
    )
