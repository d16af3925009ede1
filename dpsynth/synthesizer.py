"""The library's door: `Synthesizer(epsilon=1.0).fit(table).sample(1000)`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dpsynth.checkpoints import CheckpointFolder, kept_in
from dpsynth.drafting import looks_like_identifier
from dpsynth.errors import InputError
from dpsynth.fitted import FittedModel
from dpsynth.fitting import Fit, Progress
from dpsynth.generators import registry
from dpsynth.plan import (
    KNOWN_ROWS,
    OpenColumn,
    Plan,
    PlannedColumn,
    make_plan,
)
from dpsynth.privacy.calibration import check_budget
from dpsynth.privacy.identity import Identity
from dpsynth.privacy.known_rows import Comparison, comparison_of
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.ledger_releases import known_releases
from dpsynth.privacy.lineage_record import Parent, stated
from dpsynth.privacy.noise import NoiseSource, secure_noise
from dpsynth.schema import Schema
from dpsynth.table import Table
from dpsynth.training.options import TrainingOptions
from dpsynth.warm_start import WarmStart

DEFAULT_DELTA = 1e-5


def _silent(label: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, kw_only=True)
class Synthesizer:
    """Settings of a private fit; `fit` does it.

    Attributes:
        epsilon, delta: the whole budget of the fit, everything included.
        schema: what the owner declares; None learns kinds, bounds and categories under the budget
            (columns whose names look like identifiers are then not modelled).
        generator: name of an installed generator.
        ledger: where the charges are committed; None keeps a ledger in memory for this fit.
        training: settings of the gradient steps; None takes those recommended for epsilon.
        warm_start: public rows of the same columns that the network is trained on first.

    Raises:
        InputError: a budget out of range, or an unknown generator.
    """

    epsilon: float
    delta: float = DEFAULT_DELTA
    schema: Schema | None = None
    generator: str = "autoregressive"
    ledger: Ledger | None = None
    training: TrainingOptions | None = None
    warm_start: WarmStart | None = None

    def __post_init__(self) -> None:
        check_budget(self.epsilon, self.delta)
        registry.check(self.generator)

    def own_ledger(self) -> Ledger:
        """A ledger in memory, for one fit whose charges are booked nowhere else."""
        return Ledger.open(
            "sqlite://", dataset="this fit", epsilon=self.epsilon, delta=self.delta, shared=False
        )

    def check_ledger(self) -> None:
        """Ask the ledger, before a row is read, whether it has this budget left.

        Raises:
            BudgetExceeded: it has not.
        """
        if self.ledger is not None:
            names = self.schema.names if self.schema is not None else ("any",)
            self.ledger.check(self.plan(names).charges)

    def plan(self, names: Sequence[str], *, lineage: bool = False) -> Plan:
        """How the budget would be split for a table with these columns; reads no data.

        Args:
            names: of the columns.
            lineage: whether rows of earlier releases will be looked for (see `comparison`).
        """
        cap = 1 if self.schema is None else self.schema.max_rows_per_unit
        return make_plan(
            planned_columns(names, self.schema),
            epsilon=self.epsilon,
            delta=self.delta,
            training=self.training,
            generator=self.generator,
            lineage=lineage,
            max_rows_per_unit=cap,
        )

    def comparison(self, names: Sequence[str]) -> Comparison:
        """The releases in the ledger that a table with these columns will be compared with."""
        known = () if self.ledger is None else known_releases(self.ledger.entries())
        return comparison_of(known, names)

    def fit(
        self,
        data: object,
        *,
        query: str | None = None,
        progress: Progress = _silent,
        noise: NoiseSource | None = None,
        rng: np.random.Generator | None = None,
        policy_hash: str | None = None,
        input_generation: int = 0,
        parents: Sequence[Parent] = (),
        identity: Identity | None = None,
        checkpoint: str | Path | CheckpointFolder | None = None,
    ) -> FittedModel:
        """Learn the table under the budget.

        Args:
            data: path of a CSV or Parquet file, database URL, DataFrame or `Table`.
            query: the SQL query, with a database URL.
            progress: told what is being done.
            noise: the noise source; None takes the cryptographic one. A seeded one is for tests
                and marks the result as not releasable.
            rng: starts the model and draws public rows; None seeds it from the operating system.
                Surplus rows of a unit are dropped by the noise source.
            policy_hash: of the release policy that will be applied; booked with the charges, so
                that it is known later which one was fixed beforehand.
            input_generation: 0 for rows that nobody knows to be synthetic, else how often they
                went through a generator before.
            parents: the synthetic tables that they are known to come from, by a manifest beside
                them (`dpsynth.release.lineage.input_parents`); takes the place of
                `input_generation`. Without a manifest, rows of releases in the ledger are looked
                for as well.
            identity: of the people of the whole table, where `data` is a part of it (see
                `dpsynth.privacy.identity.identity_of`); None takes that of `data`.
            checkpoint: folder that keeps the state of the training, and that a fit which was cut
                off goes on from, with all else given as before; it is removed when the fit is done
                (an open `CheckpointFolder` is left to its owner). Needs a ledger that outlives the
                process. See docs/checkpoints.md.

        Raises:
            InputError: a table or cell that does not fit, too few rows for the budget, people whom
                the ledger knows under another dataset's name, or a checkpoint that was made with
                other settings, of another table or by a training that is over.
            IntegrityError: a checkpoint that was cut short or changed.
            BudgetExceeded: the ledger has too little left; no row has been read then.
        """
        ledger = self.ledger or self.own_ledger()
        with kept_in(checkpoint) as kept:
            charged = self._check_start(ledger, kept)
            progress("reading", 0, 1)
            table = Table.read(data, query=query)
            names = table.names
            self.check_table(table)
            origin = tuple(parents) or stated(input_generation)
            known = self.comparison(names)
            # What its manifest tells of a table need not be asked of its rows.
            if any(parent.known_by == "manifest" for parent in origin):
                known = Comparison()
            lineage = KNOWN_ROWS in charged if charged else bool(known.releases)
            run = Fit(
                schema=self.schema,
                generator=self.generator,
                warm_start=self.warm_start,
                plan=self.plan(names, lineage=lineage),
                ledger=ledger,
                noise=noise or secure_noise(),
                rng=rng or np.random.default_rng(),
                policy_hash=policy_hash,
                origin=origin,
                known=known,
                identity=identity,
                kept=kept,
            )
            return run.model(table, progress=progress)

    def check_table(self, table: Table) -> None:
        """Refuse a table that does not fit the schema, or that is the warm start itself.

        Args:
            table: the private rows; before a part of them is held out, the whole of them too.

        Raises:
            InputError: names the columns.
        """
        if self.schema is not None:
            self.schema.check(table.names, table.source)
        if self.warm_start is not None:
            modelled = [column.name for column in planned_columns(table.names, self.schema)]
            self.warm_start.check(table, modelled)

    def _check_start(self, ledger: Ledger, kept: CheckpointFolder | None) -> tuple[str, ...]:
        """Refuse what can be refused before a row is read; labels that are charged already."""
        if kept is not None:
            kept.check_start(ledger)
            if kept.release is not None:
                return tuple(charge.label for charge in ledger.charges_of(kept.release))
        self.check_ledger()
        return ()


def planned_columns(names: Sequence[str], schema: Schema | None) -> tuple[PlannedColumn, ...]:
    """The columns to model: the schema's, or open ones for all names that are no identifiers.

    Raises:
        InputError: nothing is left to model.
    """
    if schema is not None:
        return tuple(schema.modelled)
    columns = tuple(OpenColumn(name) for name in names if not looks_like_identifier(name))
    if not columns:
        raise InputError(
            f"all columns ({', '.join(names)}) look like identifiers by name; give a schema that "
            "says what they are (dpsynth schema DATA drafts one)"
        )
    return columns
