"""What a disclosure attack hands over: successes in three arms, and the test that compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse, stats

from audits.errors import AttackError
from audits.statistics import max_t
from audits.statistics.families import PERMUTATIONS

Arm = Literal["attack", "control", "baseline"]
ARMS: tuple[Arm, ...] = ("attack", "control", "baseline")
# Permuted labels are multiplied in blocks of about this many cells.
_BLOCK_CELLS = 4_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """Which rows the statements of a paired attack hold for.

    Attributes:
        pairs: (k, 2) int64: statement, row; rows count from 0 through train and on through the
            holdout.
        rows: rows of either table; both have as many.
    """

    pairs: np.ndarray
    rows: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Attempts:
    """Successes of T sub-attacks.

    A try is a target row, the same ones in every sub-attack; or, where `matches` is given, a
    statement about the whole table, the same ones in train and in the holdout.

    Attributes:
        names: of the sub-attacks, such as the columns taken as secret.
        attack: (n1, T) bool, against train.
        control: (n2, T) bool, against the holdout; n2 = n1 for statements.
        baseline: (n3, T) bool, guessing without use of the synthetic rows' structure.
        matches: of the statements, which succeed where they match exactly one row; T is 1 then.

    Raises:
        AttackError: the arrays do not fit together, or an arm holds no try.
    """

    names: tuple[str, ...]
    attack: np.ndarray
    control: np.ndarray
    baseline: np.ndarray
    matches: Matches | None = None

    def __post_init__(self) -> None:
        for arm in ARMS:
            tries = getattr(self, arm)
            if tries.dtype != np.bool_ or tries.ndim != 2 or tries.shape[1] != len(self.names):
                raise AttackError(
                    f"attempts: {arm} is {tries.dtype} of shape {tries.shape}; need bool of shape "
                    f"(tries, {len(self.names)})"
                )
            if tries.size == 0:
                raise AttackError(f"attempts: {arm} holds no try; need at least one")
        if self.matches is not None and (
            self.attack.shape != self.control.shape or len(self.names) != 1
        ):
            raise AttackError(
                f"attempts: statements were tried {self.attack.shape} times on train and "
                f"{self.control.shape} on the holdout; need the same ones, in one sub-attack"
            )

    @property
    def paired(self) -> bool:
        """Whether the same statements were tried on both tables."""
        return self.matches is not None

    def count(self, arm: Arm, place: int) -> tuple[int, int]:
        """(successes, tries) of a sub-attack."""
        tries = getattr(self, arm)
        return int(np.count_nonzero(tries[:, place])), int(tries.shape[0])

    def sizes(self) -> dict[str, int]:
        """Tries in each arm."""
        return {f"{arm}_tries": int(getattr(self, arm).shape[0]) for arm in ARMS}

    def swapped(self) -> Attempts:
        """Train and holdout in each other's place, for the test in the other direction."""
        matches = self.matches
        if matches is not None:
            rows = (matches.pairs[:, 1] + matches.rows) % (2 * matches.rows)
            matches = Matches(pairs=np.column_stack([matches.pairs[:, 0], rows]), rows=matches.rows)
        return Attempts(
            names=self.names,
            attack=self.control,
            control=self.attack,
            baseline=self.baseline,
            matches=matches,
        )

    def p_values(self, *, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Do attacks on training rows succeed more often? Statistics and p-values, both (T,).

        Null: rows of train and holdout are exchangeable given the synthetic table. The p-values are
        exact at any sizes and corrected over the sub-attacks: Fisher's test for one, the
        permutation maximum for several. Statements about a whole table depend on each other, as
        several may match one row; their test deals the rows anew between the two tables.
        """
        if self.matches is not None:
            return _dealt(self.matches, rng=rng)
        members, outside = self.attack.shape[0], self.control.shape[0]
        if len(self.names) == 1:
            return _fisher(int(self.attack.sum()), members, int(self.control.sum()), outside)
        labels = np.arange(members + outside) < members
        tested = max_t(
            np.concatenate([self.attack, self.control]).astype(np.float64),
            labels,
            np.zeros(labels.size, dtype=np.int64),
            rng=rng,
        )
        return tested.z, tested.p_adjusted


def fisher(hits: int, tries: int, control_hits: int, control_tries: int) -> float:
    """One-sided p-value of "no more success in the first arm" (Fisher's exact test).

    Null: all tries are exchangeable; alarm rate at level a: at most a, at any sizes.
    """
    both = hits + control_hits
    return float(stats.hypergeom.sf(hits - 1, tries + control_tries, both, tries))


def _fisher(
    hits: int, tries: int, control_hits: int, control_tries: int
) -> tuple[np.ndarray, np.ndarray]:
    p_value = fisher(hits, tries, control_hits, control_tries)
    return np.zeros(1), np.array([p_value])


def _dealt(matches: Matches, *, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Permutation test of "more statements single out a row of train than of the holdout".

    Only rows that some statement matches matter: their number in train is hypergeometric, and
    which they are is uniform.
    """
    if not len(matches.pairs):
        return np.zeros(1), np.ones(1)
    _, statements = np.unique(matches.pairs[:, 0], return_inverse=True)
    rows, places = np.unique(matches.pairs[:, 1], return_inverse=True)
    table = sparse.csr_array(
        (np.ones(len(statements), dtype=np.int32), (statements, places)),
        shape=(int(statements.max()) + 1, rows.size),
    )
    observed = _excess(table, (rows < matches.rows)[:, None])[0]
    block = max(1, _BLOCK_CELLS // max(table.shape))
    dealt = np.concatenate(
        [
            _excess(table, _deal(rows.size, matches.rows, min(block, PERMUTATIONS - low), rng).T)
            for low in range(0, PERMUTATIONS, block)
        ]
    )
    beyond = int(np.count_nonzero(dealt >= observed))
    spread = float(np.sqrt(np.square(dealt).mean()))
    z = observed / spread if spread > 0.0 else 0.0
    return np.array([z]), np.array([(1.0 + beyond) / (PERMUTATIONS + 1.0)])


def _deal(size: int, rows: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, size) labels, 1 for train, of `size` rows out of two tables of `rows` each."""
    inside = rng.hypergeometric(rows, rows, size, size=count)
    labels = (np.arange(size) < inside[:, None]).astype(np.int8)
    return rng.permuted(labels, axis=1)


def _excess(table: sparse.csr_array, labels: np.ndarray) -> np.ndarray:
    """Statements that match one row of train less those that match one of the holdout, (count,)."""
    total = np.asarray(table.sum(axis=1))[:, None]
    inside = table @ labels.astype(np.int32)
    alone = (inside == 1).sum(axis=0) - (total - inside == 1).sum(axis=0)
    return np.asarray(alone, dtype=np.int64)
