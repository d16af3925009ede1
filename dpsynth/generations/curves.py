"""How much of the real table a later generation still has, in a few figures.

INTERNAL: every figure reads real rows without noise and is covered by no epsilon. Generation 0 is
measured like the others, so that a curve starts at what the real table itself gets.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audits.distance import nearest
from audits.errors import AuditInputError
from audits.measures.manifold import real_balls
from audits.measures.spread import spread
from audits.measures.targets import MIN_CLASS_ROWS, Target, skills
from audits.records import Encoded, Records, encode, row_ids
from audits.statistics import tvd
from audits.tables.binning import cells
from audits.tables.sampling import generator, subsample
from dpsynth.columns import nearest as nearest_name
from dpsynth.errors import InputError
from dpsynth.release.evidence import AUDIT_KINDS, audit_frame
from dpsynth.schema import Schema
from dpsynth.table import Table

TAIL = 0.01
RARE = 0.05
MAX_BALLS = 2_000
MAX_LEARNT = 10_000
MAX_PAIRS = 500
MIN_ROWS = 20
# A variance of nothing has no logarithm; this is as good as nothing.
_NO_VARIANCE = 1e-12

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Measure:
    """One curve.

    Attributes:
        key: in the files.
        title: over the picture.
        meaning: what 1, 0 or a fall says, in a line.
    """

    key: str
    title: str
    meaning: str


MEASURES = (
    Measure("support", "Support left", "share of the real table's levels and ranges that occur"),
    Measure(
        "tail_mass", "Tail mass", "rows in its rarest levels and outer 1 %, over the real share"
    ),
    Measure("entropy_ratio", "Entropy ratio", "effective number of values, over the real one"),
    Measure(
        "log_variance", "Log variance ratio", "mean over numbers of ln(variance / real variance)"
    ),
    Measure("variance_ratio", "Variance ratio", "geometric mean over numbers"),
    Measure("coverage", "Coverage", "real rows with a synthetic one among their near neighbours"),
    Measure("tvd2", "Two-way distance", "mean total variation distance of pairs of columns"),
    Measure(
        "tstr",
        "Train on synthetic, test on real",
        "AUROC (numbers: rank correlation) on held-out rows",
    ),
    Measure("distinct_share", "Distinct rows", "share of rows that equal no earlier one"),
)


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """The real rows, by which every generation is measured. PRIVATE.

    Attributes:
        real: generation 0.
        holdout: real rows that no generation is fitted to.
        schema: by which all tables are read.
        target: column for train-on-synthetic; None leaves that curve out.
        seed: of the subsamples.

    Raises:
        InputError: too few rows or columns, or a target that cannot be predicted.
    """

    real: pd.DataFrame
    holdout: pd.DataFrame
    schema: Schema
    target: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        names = [column.name for column in self.schema.modelled]
        if len(names) < 2:
            raise InputError(
                f"the table has one column to model ({names[0]!r}); the curves compare pairs of "
                "columns, so give a table with at least two"
            )
        if len(self.real) < MIN_ROWS or len(self.holdout) < 2:
            raise InputError(
                f"{len(self.real)} rows for generation 0 and {len(self.holdout)} held out are too "
                f"few to draw curves from; give a table that leaves at least {MIN_ROWS} and 2"
            )
        if self.target is not None:
            if self.target not in names:
                raise InputError(
                    f"target {self.target!r} is no column of the table"
                    f"{nearest_name(self.target, names)}; columns are {', '.join(names)}"
                )
            target_of(self._encoded(self.real).train, self.target)

    def measure(self, table: pd.DataFrame) -> dict[str, float | None]:
        """All figures of one table, by the keys of `MEASURES`; None where one has no meaning.

        Args:
            table: rows with the columns of the real table.

        Raises:
            InputError: a table that cannot be compared with the real one.
        """
        tables = self._encoded(table)
        numbers = cells(tables)
        train, made = numbers.train, numbers.synthetic
        whole = spread((tables.train, train), (tables.synthetic, made), [np.arange(len(made))])
        log_variance = _log_variance(tables.train, whole.variance[0])
        return {
            "support": support(train, made),
            "tail_mass": _tail_mass(tables, train, made),
            "entropy_ratio": float(whole.entropy[0].mean()),
            "log_variance": log_variance,
            "variance_ratio": None if log_variance is None else float(np.exp(log_variance)),
            "coverage": self._coverage(tables),
            "tvd2": self._tvd2(train, made),
            "tstr": None if self.target is None else self._tstr(tables, self.target),
            "distinct_share": _distinct(tables.synthetic),
        }

    def copies(self) -> NDArray[np.float64]:
        """Rows of the real table in each of its levels and ranges, all columns in one row."""
        counts = [np.bincount(codes) for codes in cells(self._encoded(self.real)).train.T]
        found = np.concatenate(counts)
        return found[found > 0].astype(np.float64)

    def _encoded(self, table: pd.DataFrame) -> Encoded:
        kinds = {column.name: AUDIT_KINDS[column.kind] for column in self.schema.modelled}
        parts = [
            audit_frame(Table.from_frame(frame, source=source), self.schema)
            for frame, source in (
                (self.real, "the real table"),
                (self.holdout, "the held-out rows"),
                (table, "a synthetic table"),
            )
        ]
        try:
            return encode(parts[0], parts[1], parts[2], kinds=kinds)
        except AuditInputError as error:
            raise InputError(str(error)) from error

    def _coverage(self, tables: Encoded) -> float:
        """PRDC coverage of equally many rows (Naeem et al., arXiv:2002.09797)."""
        rows = min(MAX_BALLS, len(tables.train), len(tables.synthetic))
        real = real_balls(subsample(tables.train, rows, rng=generator(self.seed, "balls")))
        made = subsample(tables.synthetic, rows, rng=generator(self.seed, "made"))
        distances, _ = nearest(real.records, made)
        return float((distances[:, 0] <= real.radius).mean())

    def _tvd2(self, train: Codes, made: Codes) -> float:
        pairs = list(itertools.combinations(range(train.shape[1]), 2))
        if len(pairs) > MAX_PAIRS:
            kept = generator(self.seed, "pairs").permutation(len(pairs))[:MAX_PAIRS]
            pairs = [pairs[place] for place in np.sort(kept)]
        return float(np.mean([_pair_distance(train, made, *pair) for pair in pairs]))

    def _tstr(self, tables: Encoded, name: str) -> float:
        target = target_of(tables.train, name)
        fit = subsample(tables.synthetic, MAX_LEARNT, rng=generator(self.seed, "learnt"))
        test = subsample(tables.holdout, MAX_LEARNT, rng=generator(self.seed, "tested"))
        alone = np.zeros(len(test), dtype=np.int64)
        skill, _ = skills(target, fit, test, alone, ranked_by=tables.train)
        return float(target.figure(skill[:1])[0])


def target_of(train: Records, name: str) -> Target:
    """The column as something to predict.

    Raises:
        InputError: it does not vary enough in the real rows.
    """
    layout = train.layout
    if name in layout.category_names:
        values = train.categories[:, layout.category_names.index(name)]
        codes, counts = np.unique(values[values >= 0], return_counts=True)
        common = codes[counts >= MIN_CLASS_ROWS]
        if common.size >= 2:
            return Target(name=name, score="auroc", codes=common, known=np.empty(0))
    else:
        known = np.sort(train.numbers[:, layout.number_names.index(name)])
        known = known[~np.isnan(known)]
        if known.size and known[0] < known[-1]:
            empty = np.empty(0, dtype=np.int32)
            return Target(name=name, score="rank_correlation", codes=empty, known=known)
    raise InputError(
        f"target {name!r} cannot be predicted: it takes two labels with {MIN_CLASS_ROWS} rows "
        "each, or numbers that vary; give another column"
    )


def support(train: Codes, made: Codes) -> float:
    """Share of the cells of all columns of `train` that hold a row of `made`."""
    held = reached = 0
    for real, other in zip(train.T, made.T, strict=True):
        there = np.unique(real)
        held += there.size
        reached += int(np.isin(there, other).sum())
    return reached / held


def _tail_mass(tables: Encoded, train: Codes, made: Codes) -> float | None:
    """Share of cells in the real table's tails over the real share, all columns together."""
    real_mass = made_mass = 0.0
    number = 0
    for column, kind in enumerate(tables.train.kinds):
        if kind == "category":
            rare = _rare(train[:, column])
            real, other = (np.isin(codes[:, column], rare) for codes in (train, made))
        else:
            values = tables.train.numbers[:, number]
            low, high = _outer(values)
            real, other = (
                (records.numbers[:, number] < low) | (records.numbers[:, number] > high)
                for records in (tables.train, tables.synthetic)
            )
            number += 1
        if real.any():
            real_mass += float(real.mean())
            made_mass += float(other.mean())
    return made_mass / real_mass if real_mass else None


def _rare(codes: Codes) -> Codes:
    """The rarest levels that hold at most 5 % of the rows together."""
    counts = np.bincount(codes)
    order = np.argsort(counts, kind="stable")
    kept = order[np.cumsum(counts[order]) <= RARE * len(codes)]
    return kept[counts[kept] > 0].astype(np.int64)


def _outer(values: NDArray[np.float64]) -> tuple[float, float]:
    present = values[~np.isnan(values)]
    if present.size == 0:
        return -np.inf, np.inf
    low, high = np.quantile(present, (TAIL, 1.0 - TAIL))
    return float(low), float(high)


def _log_variance(real: Records, ratios: NDArray[np.float64]) -> float | None:
    """Mean log ratio over the numbers that vary in the real table; None where none does."""
    present = ~np.isnan(real.numbers)
    columns = [real.scaled[mask, place] for place, mask in enumerate(present.T)]
    varies = np.array(
        [column.size > 0 and np.ptp(column) > 0 for column in columns], dtype=np.bool_
    )
    kept = ratios[varies]
    return float(np.log(np.maximum(kept, _NO_VARIANCE)).mean()) if kept.size else None


def _pair_distance(train: Codes, made: Codes, first: int, second: int) -> float:
    width = 1 + int(max(train[:, second].max(), made[:, second].max()))
    real, other = (codes[:, first] * width + codes[:, second] for codes in (train, made))
    joint = np.unique(np.concatenate([real, other]), return_inverse=True)[1]
    count = int(joint.max()) + 1
    sides = (joint[: len(real)], joint[len(real) :])
    left, right = (np.bincount(side, minlength=count) for side in sides)
    return float(tvd(left, right))


def _distinct(records: Records) -> float:
    (ids,) = row_ids([records])
    return float(np.unique(ids).size / ids.size)
