"""Did the synthetic table keep the variety of the real one?

Measured, not judged. Every figure stands beside the same figure for the holdout
(`<figure>_baseline`), both tables cut to the smaller of the two sizes: the baseline is what perfect
data would get. Figures of neighbourhoods use at most `MAX_BALLS` rows of each table, the Vendi
score at most 500; `rows_used` says how many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from audits.judgement import Evidence, Settings
from audits.measures import manifold
from audits.measures.resampling import everything, jackknife, random_groups
from audits.measures.spread import CAP, Spread, spread
from audits.measures.subgroups import MIN_ROWS, Subgroups, describe, subgroups
from audits.measures.vendi import MAX_ROWS as MAX_VENDI
from audits.measures.vendi import vendi_score
from audits.records import Encoded, Records, row_ids
from audits.statistics import Estimate, clopper_pearson, exact
from audits.tables.binning import Cells, cells
from audits.tables.sampling import generator, sizes, subsample

NAME = "diversity"
MODE_SHARE = 0.01
MAX_BALLS = 5_000
_BLIND_SPOT = (
    "It sees neighbourhoods, cells of single columns and repeats; where distances are mostly alike "
    "(many columns), a lost combination of values hardly moves them. A generator that copies its "
    "training rows keeps all their variety: other checks look for that."
)


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """What both arms are measured against.

    Attributes:
        tables: holdout and synthetic at equal sizes.
        cells: of those tables.
        near: the three tables cut to the rows whose neighbourhoods are measured.
        real: balls of `near.train`; None where it is a single row.
        subgroups: of the rows of `near.train`.
        confidence: of the intervals.
    """

    tables: Encoded
    cells: Cells
    near: Encoded
    real: manifold.RealBalls | None
    subgroups: Subgroups
    confidence: float


@dataclass(frozen=True, kw_only=True)
class _Arm:
    """All that is measured of one table: the synthetic one, or the holdout in its place.

    Attributes:
        figures: by name.
        columns: by column.
        coverage: (S,) by subgroup.
        dropped: modes of train that it lacks.
    """

    figures: dict[str, Estimate]
    columns: Spread
    coverage: np.ndarray
    dropped: list[str]


def run(tables: Encoded, *, settings: Settings) -> Evidence:
    """Precision to recall, coverage, tails, modes, spread, repeats, subgroups."""
    rng = generator(settings.seed, NAME)
    frame = _frame(tables, rng=rng, confidence=settings.confidence)
    # Both arms are split alike, so the draw of the groups is not in their difference.
    seed = int(rng.integers(2**32))
    made = _arm(frame, "synthetic", rng=np.random.default_rng(seed))
    baseline = _arm(frame, "holdout", rng=np.random.default_rng(seed))
    figures = _beside(made.figures, baseline.figures) | _plain(frame)
    size = len(frame.near.train)
    rows = len(frame.tables.synthetic)
    return Evidence(
        name=NAME,
        family="diversity",
        figures=figures,
        blind_spot=_BLIND_SPOT,
        nothing=" ".join([_summary(figures, made.dropped), *_gaps(frame)]),
        rows_used={
            **sizes(frame.tables),
            "neighbourhoods": size,
            "vendi": min(rows, MAX_VENDI),
        },
        curves={
            "columns": list(frame.cells.names),
            "coverage": made.columns.coverage[0].tolist(),
            "coverage_baseline": baseline.columns.coverage[0].tolist(),
            "entropy_ratio": made.columns.entropy[0].tolist(),
            "entropy_ratio_baseline": baseline.columns.entropy[0].tolist(),
            "number_columns": list(tables.train.layout.number_names),
            "variance_ratio": made.columns.variance[0].tolist(),
            "variance_ratio_baseline": baseline.columns.variance[0].tolist(),
            "dropped": made.dropped,
            "subgroups": describe(frame.subgroups, frame.cells, made.coverage, baseline.coverage),
        },
    )


def _frame(tables: Encoded, *, rng: np.random.Generator, confidence: float) -> _Frame:
    size = min(len(tables.holdout), len(tables.synthetic))
    cut = Encoded(
        train=tables.train,
        holdout=subsample(tables.holdout, size, rng=rng),
        synthetic=subsample(tables.synthetic, size, rng=rng),
    )
    # Balls of fewer rows are larger: real and compared rows are taken in equal number.
    limit = min(MAX_BALLS, size, len(cut.train))
    rows = np.sort(rng.permutation(len(cut.train))[:limit])
    near = Encoded(
        train=cut.train.take(rows),
        holdout=subsample(cut.holdout, limit, rng=rng),
        synthetic=subsample(cut.synthetic, limit, rng=rng),
    )
    counted = cells(cut)
    return _Frame(
        tables=cut,
        cells=counted,
        near=near,
        real=manifold.real_balls(near.train) if limit > 1 else None,
        subgroups=subgroups(counted.train[rows]),
        confidence=confidence,
    )


def _arm(frame: _Frame, role: str, *, rng: np.random.Generator) -> _Arm:
    rows: Records = getattr(frame.tables, role)
    codes: np.ndarray = getattr(frame.cells, role)
    columns = spread(
        (frame.tables.train, frame.cells.train), (rows, codes), random_groups(len(rows), rng=rng)
    )
    figures, coverage = _near(frame, getattr(frame.near, role), rng=rng)
    figures |= _by_column(columns, frame)
    few = subsample(rows, MAX_VENDI, rng=rng)
    dropped = _dropped(frame.cells, codes)
    return _Arm(
        figures=figures
        | {
            "vendi_score": vendi_score(
                few, random_groups(len(few), rng=rng), confidence=frame.confidence
            ),
            "dropped_modes": exact(len(dropped), confidence=frame.confidence),
            "duplicate_share": clopper_pearson(
                _repeats(rows), len(rows), confidence=frame.confidence
            ),
        },
        columns=columns,
        coverage=coverage,
        dropped=dropped,
    )


def _near(
    frame: _Frame, other: Records, *, rng: np.random.Generator
) -> tuple[dict[str, Estimate], np.ndarray]:
    """Figures of neighbourhoods, and the coverage of each subgroup."""
    worst = everything(0.0, confidence=frame.confidence, bounds=(0.0, 1.0))
    if frame.real is None:
        figures = manifold.unknown(len(other), confidence=frame.confidence)
        shares = np.zeros((1, frame.subgroups.cell.size))
    else:
        groups = random_groups(len(other), rng=rng)
        reach = manifold.overlap(other, frame.real, groups, confidence=frame.confidence)
        figures = reach.figures
        covered = np.vstack([reach.covered[None, :], reach.covered_without])
        shares = frame.subgroups.coverage(covered)
        if shares.shape[1]:
            lowest = shares.min(axis=1)
            worst = jackknife(lowest[0], lowest[1:], confidence=frame.confidence, bounds=(0.0, 1.0))
    return figures | {"subgroup_coverage_worst": worst}, shares[0]


def _by_column(columns: Spread, frame: _Frame) -> dict[str, Estimate]:
    """Means and worst columns; nothing is known of a figure without a column."""
    chosen, confidence = _category_columns(frame.tables), frame.confidence
    widest = float(max(len(labels) for labels in frame.cells.labels))
    parts: dict[str, tuple[np.ndarray, tuple[float, float]]] = {
        "category_coverage": (columns.coverage[:, chosen], (0.0, 1.0)),
        "tail_coverage": (columns.tail, (0.0, 1.0)),
        "entropy_ratio": (columns.entropy, (0.0, widest)),
        "variance_ratio": (columns.variance, (0.0, CAP)),
    }
    figures = {}
    for name, (values, bounds) in parts.items():
        for suffix, summary in (("", np.mean), ("_worst", np.min)):
            if values.shape[1] == 0:
                figures[name + suffix] = everything(0.0, confidence=confidence, bounds=bounds)
                continue
            found = summary(values, axis=1)
            figures[name + suffix] = jackknife(
                found[0], found[1:], confidence=confidence, bounds=bounds
            )
    return figures


def _beside(
    figures: Mapping[str, Estimate], baseline: Mapping[str, Estimate]
) -> dict[str, Estimate]:
    """Each figure followed by its baseline."""
    pairs = {}
    for name, estimate in figures.items():
        pairs[name] = estimate
        pairs[f"{name}_baseline"] = baseline[name]
    return pairs


def _plain(frame: _Frame) -> dict[str, Estimate]:
    """What sizes and training shares alone lead to expect."""
    shares = _mode_shares(frame.cells)
    rows = len(frame.tables.synthetic)
    size = len(frame.near.train)
    expected = manifold.expected_coverage(size, size, min(manifold.K, max(1, size - 1)))
    return {
        "coverage_expected": exact(expected if size > 1 else 0.0, confidence=frame.confidence),
        "dropped_modes_expected": exact(
            float(np.power(1.0 - shares, rows).sum()), confidence=frame.confidence
        ),
        "dropped_mode_noticeable_share": exact(
            noticeable_share(rows, shares.size, alpha=1.0 - frame.confidence),
            confidence=frame.confidence,
        ),
    }


def noticeable_share(rows: int, modes: int, *, alpha: float) -> float:
    """Smallest share of a value whose absence from so many rows is no accident.

    A table that holds a share p of the value lacks it with probability (1 - p)^rows. At this share
    the chance that any of the modes is lacking stays below alpha (Bonferroni), so a value that was
    dropped is noticed with certainty, and an honest table is accused at most at rate alpha.
    """
    return float(1.0 - (alpha / max(1, modes)) ** (1.0 / rows))


def _category_columns(tables: Encoded) -> np.ndarray:
    """Mask of the category columns; of all columns (their bins) where there is none."""
    mask = np.array([kind == "category" for kind in tables.train.kinds])
    return mask if mask.any() else ~mask


def _mode_shares(table: Cells) -> np.ndarray:
    """Shares of train of all cells with at least 1 % of it."""
    shares = [np.bincount(codes) / len(codes) for codes in table.train.T]
    return np.concatenate([share[share >= MODE_SHARE] for share in shares])


def _dropped(table: Cells, codes: np.ndarray) -> list[str]:
    """Cells with at least 1 % of train that none of these rows has."""
    dropped = []
    for column, (name, labels) in enumerate(zip(table.names, table.labels, strict=True)):
        held = np.bincount(table.train[:, column], minlength=len(labels))
        made = np.bincount(codes[:, column], minlength=len(labels))
        lost = (held >= MODE_SHARE * len(table.train)) & (made == 0)
        dropped += [f"{name} = {labels[cell]}" for cell in np.flatnonzero(lost)]
    return dropped


def _repeats(records: Records) -> int:
    """Rows that equal an earlier row."""
    (ids,) = row_ids([records])
    return int(ids.size - np.unique(ids).size)


def _summary(figures: Mapping[str, Estimate], dropped: Sequence[str]) -> str:
    seen = figures["dropped_mode_noticeable_share"].value
    power = f"had one held by {100 * seen:.2g} % of them been dropped, it would have been noticed"
    if not dropped:
        modes = (
            f"Every value or range with at least {MODE_SHARE:.0%} of the training rows is there; "
            f"{power}."
        )
    else:
        named = ", ".join(dropped[:5]) + (", ..." if len(dropped) > 5 else "")
        modes = (
            f"{len(dropped)} values or ranges with at least {MODE_SHARE:.0%} of the training rows "
            f"are missing (chance alone would drop "
            f"{figures['dropped_modes_expected'].value:.2g}; {power}): {named}."
        )
    held = ", ".join(
        f"{name} {figures[name].value:.3f} (real against real "
        f"{figures[f'{name}_baseline'].value:.3f})"
        for name in ("precision", "recall", "coverage", "authenticity")
    )
    return f"{modes} Neighbourhoods: {held}."


def _gaps(frame: _Frame) -> list[str]:
    """Which figures could not be computed, and why."""
    gaps = []
    if frame.real is None:
        gaps.append("A single row has no neighbourhood: figures of neighbourhoods are unknown.")
    elif frame.subgroups.cell.size == 0:
        gaps.append(f"No subgroup has {MIN_ROWS} rows: the worst subgroup is unknown.")
    if len(frame.tables.synthetic) < 2:
        gaps.append("A single row has no spread: intervals are all that is possible.")
    if not frame.tables.train.layout.number_names:
        gaps.append("There is no number column: tail coverage and variance ratio are unknown.")
    return gaps
