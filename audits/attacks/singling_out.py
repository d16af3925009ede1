"""Singling out: does what is true of one synthetic row alone hold for exactly one real person?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from audits.disclosure.attempts import Attempts, Matches
from audits.disclosure.predicates import Columns, Statement, at_random, from_row, rare_or_extreme
from audits.errors import AttackError
from audits.records import Encoded
from audits.tables.sampling import subsample

NAME = "singling_out"
CRITERION = "singling_out"
KNOWLEDGE = "the synthetic table alone, and roughly how many rows the training table has"
BLIND_SPOT = (
    "It tries statements of a few columns, made from single synthetic rows. That one holds for "
    "exactly one person says nothing about who that is, and it happens by chance as well: about "
    "37 % of the time for a statement that holds for one in as many people as the table has rows. "
    "So only the excess over a holdout of the same size counts; the larger table is cut to the "
    "smaller one, and a small holdout makes the attack weak."
)
QUERIES = 2_000
WIDTHS = (2, 3, 4, 5)
# How many statements are looked at for one that singles out a synthetic row.
_PATIENCE = 10
# Guessing at random is measured on fewer statements: its rate carries no test.
_GUESSES = 500
# A statement that matches more rows than this of both tables cannot be told from a common trait.
_MOST_MATCHES = 50


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which statements the attacker makes.

    Attributes:
        queries: how many, at most.
        univariate: at most this share of them is about one column (rare values and extremes).
        widths: how many columns the others are about, in turn.
        one_each: at most one statement for each synthetic row, which keeps them nearly independent.
    """

    queries: int = QUERIES
    univariate: float = 0.25
    widths: tuple[int, ...] = WIDTHS
    one_each: bool = True


def attempt(tables: Encoded, *, rng: np.random.Generator, choice: Choice | None = None) -> Attempts:
    """Statements made from the synthetic table, tried on train and on a holdout of equal size.

    Each holds for exactly one row of the synthetic table; it succeeds on a table if it holds for
    exactly one row of that. The baseline makes random statements from synthetic values and tries
    them on train.

    Args:
        tables: on one layout, in canonical order.
        rng: draws the statements and, from the larger real table, as many rows as the smaller has.
        choice: of statements.

    Raises:
        AttackError: nothing singles out a synthetic row, as in a table of repeated rows.

    Source: predicates singling out: Cohen and Nissim, PNAS 117(15), 2020; statements from rare
        values and from rows: PoPETs 2023(2), section 4.1.
    """
    asked = choice or Choice()
    size = min(len(tables.train), len(tables.holdout))
    train, holdout = (
        Columns(subsample(table, size, rng=rng)) for table in (tables.train, tables.holdout)
    )
    made = Columns(tables.synthetic)
    statements = _statements(made, asked, rng=rng)
    if not statements:
        raise AttackError(
            f"attack {NAME!r}: no statement holds for one synthetic row alone; its "
            f"{len(tables.synthetic)} rows repeat too much to single anyone out"
        )
    inside, outside = ([table.rows(item) for item in statements] for table in (train, holdout))
    guesses = [
        train.rows(at_random(made, columns, rng=rng))
        for columns in _drawn_columns(made, asked, rng=rng, limit=min(_GUESSES, asked.queries))
    ]
    return Attempts(
        names=("statements",),
        attack=_single(inside),
        control=_single(outside),
        baseline=_single(guesses),
        matches=Matches(pairs=_pairs(inside, outside, size), rows=size),
    )


def _single(found: list[np.ndarray]) -> np.ndarray:
    return np.array([[rows.size == 1] for rows in found])


def _pairs(inside: list[np.ndarray], outside: list[np.ndarray], size: int) -> np.ndarray:
    """(k, 2) statement and row, for statements that could single out a row of either table."""
    pairs = []
    for number, (left, right) in enumerate(zip(inside, outside, strict=True)):
        # Which statements take part depends on both tables together, so the test stays exact.
        if left.size + right.size <= _MOST_MATCHES:
            rows = np.concatenate([left, right + size])
            pairs.append(np.column_stack([np.full(rows.size, number), rows]))
    return np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs])


def _statements(made: Columns, choice: Choice, *, rng: np.random.Generator) -> list[Statement]:
    """Different statements, each of which holds for one synthetic row alone."""
    rows = int(made.values.shape[1])
    limit = min(choice.queries, rows) if choice.one_each else choice.queries
    simple = rare_or_extreme(made)
    candidates: Iterator[Statement] = (simple[i] for i in rng.permutation(len(simple)))
    found: dict[Statement, int] = {}
    _collect(made, candidates, found, choice, limit=round(choice.univariate * limit))
    drawn = (
        from_row(made, int(rng.integers(rows)), columns)
        for columns in _drawn_columns(made, choice, rng=rng, limit=_PATIENCE * limit)
    )
    if choice.univariate < 1.0:
        _collect(made, drawn, found, choice, limit=limit)
    return list(found)


def _collect(
    made: Columns,
    candidates: Iterator[Statement],
    found: dict[Statement, int],
    choice: Choice,
    *,
    limit: int,
) -> None:
    """Put into `found` (statement: the row it holds for) until it holds `limit` of them."""
    taken = set(found.values())
    for statement in candidates:
        if len(found) >= limit:
            return
        if statement in found:
            continue
        rows = made.rows(statement)
        if rows.size == 1 and not (choice.one_each and int(rows[0]) in taken):
            found[statement] = int(rows[0])
            taken.add(int(rows[0]))


def _drawn_columns(
    made: Columns, choice: Choice, *, rng: np.random.Generator, limit: int
) -> Iterator[np.ndarray]:
    """Random sets of columns of the declared widths in turn, at most all columns."""
    columns = len(made.values)
    for number in range(limit):
        width = min(choice.widths[number % len(choice.widths)], columns)
        yield rng.permutation(columns)[:width]
