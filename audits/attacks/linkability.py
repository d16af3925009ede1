"""Linkability: do two halves of a person's columns lead to the same synthetic row?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audits.disclosure.attempts import Attempts
from audits.distance import nearest
from audits.errors import AttackError
from audits.records import Encoded, Records
from audits.tables.sampling import subsample

NAME = "linkability"
CRITERION = "linkability"
KNOWLEDGE = "the synthetic table, and two lists of the targets that share no column"
BLIND_SPOT = (
    "It links through the nearest synthetic rows only, over a few random splits of the columns. A "
    "link on a training row is not yet a leak, as rare persons may be linked through rows that "
    "merely resemble them; only the excess over the holdout counts. That excess is an average over "
    "targets drawn at random."
)
TARGETS = 4_000
SPLITS = 3
# Longer names of column halves would fill a report.
_LONGEST_LABEL = 60
NEIGHBOURS = (1, 5)

Halves = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the attacker holds.

    Attributes:
        splits: pairs of disjoint lists of columns; by default `SPLITS` random halvings.
        neighbours: how many nearest synthetic rows to look at on either side; each number is a
            sub-attack of its own.
        targets: at most this many rows of each table, drawn at random.
    """

    splits: tuple[Halves, ...] | None = None
    neighbours: tuple[int, ...] = NEIGHBOURS
    targets: int = TARGETS


def attempt(tables: Encoded, *, rng: np.random.Generator, choice: Choice | None = None) -> Attempts:
    """Links for targets of train and of the holdout, one sub-attack for each split and k.

    A target is linked if the k synthetic rows nearest in one half of the columns and the k nearest
    in the other half share a row (Gower's distance; of several equally near, the same random order
    on both sides). The baseline draws both sides' k rows at random.

    Args:
        tables: on one layout, in canonical order.
        rng: draws splits, targets, the order of ties and the baseline.
        choice: of splits and neighbours.

    Raises:
        AttackError: fewer than two columns, or a synthetic table smaller than two rows.
        AuditInputError: `choice` names a column that the tables lack.
    """
    asked = choice or Choice()
    rows = len(tables.synthetic)
    if len(tables.train.names) < 2 or rows < 2:
        raise AttackError(
            f"attack {NAME!r} needs two columns and two synthetic rows or more; the tables have "
            f"{len(tables.train.names)} columns and {rows} synthetic rows"
        )
    splits = asked.splits or _splits(tables.train.names, rng=rng)
    # With as many neighbours as rows every target would be linked.
    counts = sorted({min(k, max(1, rows // 2)) for k in asked.neighbours})
    synthetic = tables.synthetic.take(rng.permutation(rows))
    arms = [subsample(table, asked.targets, rng=rng) for table in (tables.train, tables.holdout)]
    attack, control = (
        np.concatenate([links(arm, synthetic, split, counts) for split in splits], axis=1)
        for arm in arms
    )
    sub_attacks = [(split, k) for split in splits for k in counts]
    shared = [rng.hypergeometric(k, rows - k, k, size=len(arms[0])) > 0 for _, k in sub_attacks]
    return Attempts(
        names=tuple(_label(splits.index(split) + 1, split, k) for split, k in sub_attacks),
        attack=attack,
        control=control,
        baseline=np.column_stack(shared),
    )


def _label(number: int, split: Halves, k: int) -> str:
    """Short halves by name, long ones by number."""
    columns = " to ".join(", ".join(half) for half in split)
    return f"{columns if len(columns) <= _LONGEST_LABEL else f'split {number}'}, k={k}"


def links(targets: Records, synthetic: Records, split: Halves, counts: list[int]) -> np.ndarray:
    """Whether each target is linked at each number of neighbours, (n, len(counts)) bool."""
    left, right = (
        nearest(targets.select(half), synthetic.select(half), k=max(counts))[1] for half in split
    )
    same = left[:, :, None] == right[:, None, :]
    return np.column_stack([same[:, :k, :k].any(axis=(1, 2)) for k in counts])


def _splits(names: tuple[str, ...], *, rng: np.random.Generator) -> list[Halves]:
    """Different random halvings of the columns, as many as there are, at most `SPLITS`."""
    found: dict[Halves, None] = {}
    # A halving may be drawn twice; a table of few columns has few of them.
    for _ in range(10 * SPLITS):
        mixed = rng.permutation(len(names))
        halves = sorted(tuple(names[i] for i in np.sort(part)) for part in np.array_split(mixed, 2))
        found[halves[0], halves[1]] = None
        if len(found) == SPLITS:
            break
    return list(found)
