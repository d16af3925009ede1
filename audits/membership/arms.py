"""Whom a membership attack is asked about: training rows and holdout rows, in exchangeable arms.

An attack with reference data needs rows that are in neither arm. Where none were given, the holdout
lends them to itself: both real tables are cut in two folds, and the holdout half of one fold is the
reference of the other. Scores are compared within a fold only, so nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audits.records import Encoded, Records, concatenate
from audits.tables.sampling import bounded

# Fewer holdout rows than this cannot be halved into an arm and a reference worth the name.
MIN_SPLIT = 100
# Refitting a generator is dear: a black-box attack is asked about this many exposed rows, and as
# many drawn at random.
FOCUS_ROWS = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Arms:
    """The targets of all membership attacks of one audit.

    Attributes:
        targets: n rows of train and holdout.
        members: (n,) bool, true for training rows.
        folds: (n,) int64 fold numbers; within a fold members and non-members are exchangeable
            given the synthetic table and the fold's reference.
        references: for each fold, rows in neither arm, or None.
        synthetic: the rows that the attacker sees.
    """

    targets: Records
    members: np.ndarray
    folds: np.ndarray
    references: tuple[Records | None, ...]
    synthetic: Records

    def fold(self, number: int) -> np.ndarray:
        """Numbers of the targets in this fold."""
        return np.flatnonzero(self.folds == number)


def arms(tables: Encoded, *, lend: bool, rng: np.random.Generator) -> Arms:
    """Targets from at most `MAX_ROWS` rows of each table.

    Args:
        tables: of the audit.
        lend: whether some attack wants a reference that was not given.
        rng: draws the subsamples and the folds.
    """
    used = bounded(tables, rng=rng)
    if used.reference is not None or not lend or len(used.holdout) < MIN_SPLIT:
        return _join([(used.train, used.holdout, used.reference)], used.synthetic)
    first, second = _halves(used.holdout, rng=rng)
    left, right = _halves(used.train, rng=rng)
    return _join([(left, first, second), (right, second, first)], used.synthetic)


def focus(chosen: Arms, exposure: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Mask of a few targets of the first fold: the most exposed ones and as many at random.

    The larger arm is cut to the size of the smaller one first, without looking at the exposure, so
    that the choice treats both arms alike.

    Args:
        chosen: the arms.
        exposure: (n,) higher means more exposed.
        rng: draws the random ones.
    """
    first = chosen.fold(0)
    sides = [first[chosen.members[first] == side] for side in (True, False)]
    size = min(len(side) for side in sides)
    pool = np.sort(np.concatenate([side[rng.permutation(len(side))[:size]] for side in sides]))
    ranked = pool[np.argsort(-exposure[pool], kind="stable")]
    exposed, rest = ranked[:FOCUS_ROWS], np.sort(ranked[FOCUS_ROWS:])
    mask = np.zeros(len(chosen.targets), dtype=bool)
    mask[exposed] = True
    mask[rest[rng.permutation(len(rest))[:FOCUS_ROWS]]] = True
    return mask


def _halves(records: Records, *, rng: np.random.Generator) -> tuple[Records, Records]:
    mixed = rng.permutation(len(records))
    half = len(mixed) // 2
    return records.take(np.sort(mixed[:half])), records.take(np.sort(mixed[half:]))


def _join(parts: list[tuple[Records, Records, Records | None]], synthetic: Records) -> Arms:
    sides = [side for train, out, _ in parts for side in (train, out)]
    return Arms(
        targets=concatenate(sides),
        members=np.concatenate(
            [np.repeat([True, False], [len(train), len(out)]) for train, out, _ in parts]
        ),
        folds=np.repeat(np.arange(len(parts)), [len(train) + len(out) for train, out, _ in parts]),
        references=tuple(reference for _, _, reference in parts),
        synthetic=synthetic,
    )
