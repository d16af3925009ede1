"""Inference: guess a person's secret value from the synthetic row nearest in all other columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audits.disclosure.attempts import Attempts
from audits.distance import nearest
from audits.errors import AttackError, AuditInputError
from audits.records import Encoded, Records
from audits.tables.sampling import subsample

NAME = "attribute_inference"
CRITERION = "inference"
KNOWLEDGE = "the synthetic table, and of each target all columns but one: the secret"
BLIND_SPOT = (
    "It is one guesser (nearest synthetic row), one secret at a time, with all other columns "
    "known. A success on a training row is not yet a leak, as much of a row can be guessed from "
    "what holds for everybody; only the excess over the holdout counts. That excess is an average "
    "over targets drawn at random: a few exposed persons may stay hidden in it."
)
TARGETS = 2_000


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the attacker knows, wants, and counts as success.

    Attributes:
        secrets: columns to guess, one at a time; all by default.
        known: columns known of each target; by default all but the secret.
        targets: at most this many rows of each table, drawn at random.
        tolerance: a number is guessed if it is off by at most this share of `unit`.
        unit: "range" of the column in the real tables; or "guess", the guess's own size.
    """

    secrets: tuple[str, ...] | None = None
    known: tuple[str, ...] | None = None
    targets: int = TARGETS
    tolerance: float = 0.01
    unit: str = "range"

    def __post_init__(self) -> None:
        if self.unit not in ("range", "guess"):
            raise AuditInputError(f"unit is {self.unit!r}; use 'range' or 'guess'")


def attempt(tables: Encoded, *, rng: np.random.Generator, choice: Choice | None = None) -> Attempts:
    """Guesses for targets of train and of the holdout, one sub-attack for each secret.

    The guess is the value in the nearest synthetic row (Gower's distance over the known columns;
    of several equally near, one at random). The baseline is the value of a random synthetic row. A
    category is guessed if it is equal, a missing value if the guess is missing too.

    Args:
        tables: on one layout, in canonical order.
        rng: draws targets, the order of ties and the baseline.
        choice: of columns and tolerance.

    Raises:
        AttackError: fewer than two columns, or none known but the secret.
        AuditInputError: `choice` names a column that the tables lack.
    """
    asked = choice or Choice()
    names = tables.train.names
    if len(names) < 2:
        raise AttackError(
            f"attack {NAME!r} needs two columns or more, one to know and one to guess; the tables "
            f"have {len(names)}"
        )
    secrets = names if asked.secrets is None else asked.secrets
    # A random order once, so that the first of equally near rows is a random one.
    synthetic = tables.synthetic.take(rng.permutation(len(tables.synthetic)))
    members = subsample(tables.train, asked.targets, rng=rng)
    outside = subsample(tables.holdout, asked.targets, rng=rng)
    attack: list[np.ndarray] = []
    control: list[np.ndarray] = []
    baseline: list[np.ndarray] = []
    for secret in secrets:
        known = [name for name in asked.known or names if name != secret]
        if not known:
            raise AttackError(f"attack {NAME!r}: nothing is left to know of {secret!r}")
        pool = synthetic.select(known)
        for targets, hits in ((members, attack), (outside, control)):
            _, rows = nearest(targets.select(known), pool)
            hits.append(guessed(synthetic.take(rows[:, 0]), targets, secret, choice=asked))
        drawn = synthetic.take(rng.integers(len(synthetic), size=len(members)))
        baseline.append(guessed(drawn, members, secret, choice=asked))
    return Attempts(
        names=tuple(secrets),
        attack=np.column_stack(attack),
        control=np.column_stack(control),
        baseline=np.column_stack(baseline),
    )


def guessed(guesses: Records, targets: Records, secret: str, *, choice: Choice) -> np.ndarray:
    """Whether each guess hits the target's secret, (n,) bool.

    Args:
        guesses: n rows that hold the guessed values.
        targets: n rows that hold the true ones.
        secret: the column.
        choice: with the tolerance for numbers.
    """
    guess, truth = guesses.select([secret]), targets.select([secret])
    if guess.layout.kinds[0] == "category":
        return np.asarray(guess.categories[:, 0] == truth.categories[:, 0])
    made, real = guess.numbers[:, 0], truth.numbers[:, 0]
    unit = guess.layout.span[0] if choice.unit == "range" else np.abs(made)
    # The small step forgives the last bit of a difference that is the tolerance on paper.
    near = np.abs(made - real) <= choice.tolerance * unit * (1 + 1e-9)
    return np.asarray(near | (np.isnan(made) & np.isnan(real)))
