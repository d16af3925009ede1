"""Whom a membership attack is asked about: training rows and holdout rows, in exchangeable arms.

An attack with reference data needs rows that are in neither arm. Where none were given, half of the
holdout is lent as reference and leaves the arms of those attacks; attacks without reference keep
it. Two halves that lend themselves to each other in turn would use every row, but the two outcomes
would hang together (each half is arm here and reference there), and no shuffling of labels inside
the halves would show it: false alarms would be too many.
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

    Given the synthetic table, members and non-members are exchangeable; those that are not lent
    are so given the reference too.

    Attributes:
        targets: n rows of train and holdout.
        members: (n,) bool, true for training rows.
        lent: (n,) bool, holdout rows that serve as reference; no attack that holds the reference
            is asked about them.
        reference: rows in neither arm of an attack that holds them, or None.
        synthetic: the rows that the attacker sees.
    """

    targets: Records
    members: np.ndarray
    lent: np.ndarray
    reference: Records | None
    synthetic: Records


def arms(tables: Encoded, *, lend: bool, rng: np.random.Generator) -> Arms:
    """Targets from at most `MAX_ROWS` rows of each table.

    Args:
        tables: of the audit.
        lend: whether some attack wants a reference that was not given.
        rng: draws the subsamples and the rows lent.
    """
    used = bounded(tables, rng=rng)
    targets = concatenate([used.train, used.holdout])
    lent = np.zeros(len(targets), dtype=bool)
    reference = used.reference
    if reference is None and lend and len(used.holdout) >= MIN_SPLIT:
        half = np.sort(rng.permutation(len(used.holdout))[: len(used.holdout) // 2])
        lent[len(used.train) + half] = True
        reference = used.holdout.take(half)
    return Arms(
        targets=targets,
        members=np.arange(len(targets)) < len(used.train),
        lent=lent,
        reference=reference,
        synthetic=used.synthetic,
    )


def focus(chosen: Arms, exposure: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Mask of a few targets that are not lent: the most exposed ones and as many at random.

    The larger arm is cut to the size of the smaller one first, without looking at the exposure, so
    that the choice treats both arms alike.

    Args:
        chosen: the arms.
        exposure: (n,) higher means more exposed.
        rng: draws the random ones.
    """
    sides = [np.flatnonzero(~chosen.lent & side) for side in (chosen.members, ~chosen.members)]
    size = min(len(side) for side in sides)
    pool = np.sort(np.concatenate([side[rng.permutation(len(side))[:size]] for side in sides]))
    ranked = pool[np.argsort(-exposure[pool], kind="stable")]
    exposed, rest = ranked[:FOCUS_ROWS], np.sort(ranked[FOCUS_ROWS:])
    mask = np.zeros(len(chosen.targets), dtype=bool)
    mask[exposed] = True
    mask[rest[rng.permutation(len(rest))[:FOCUS_ROWS]]] = True
    return mask
