"""The library's door: `Synthesizer(epsilon=1.0).fit(table).sample(1000)`."""

import importlib.metadata
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dpsynth.drafting import looks_like_identifier
from dpsynth.encoding.domain import Domain, learn
from dpsynth.errors import InputError
from dpsynth.fitted import FittedModel
from dpsynth.generators import registry
from dpsynth.generators.base import Layout
from dpsynth.plan import (
    COUNT,
    DISTANCES,
    PAIRS,
    TRAINING,
    OpenColumn,
    Plan,
    PlannedColumn,
    make_plan,
    smallest_epsilon,
)
from dpsynth.privacy.calibration import check_budget
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.identity import Identity
from dpsynth.privacy.ledger import Booking, Ledger
from dpsynth.privacy.noise import NoiseSource, secure_noise
from dpsynth.privacy.queries import RowCount
from dpsynth.privacy.rows import PrivateRows
from dpsynth.privacy.statement import PrivacyStatement, make_statement
from dpsynth.refinement.measured import Measured
from dpsynth.refinement.measuring import PairQuestions, measure
from dpsynth.schema import Column, Schema
from dpsynth.table import Table
from dpsynth.training.dpsgd import train
from dpsynth.training.options import TrainingOptions

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, parts done, parts in all)."""

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

    Raises:
        InputError: a budget out of range, an unknown generator, or one that cannot use the tables
            of pairs for which `training` sets budget aside.
    """

    epsilon: float
    delta: float = DEFAULT_DELTA
    schema: Schema | None = None
    generator: str = "autoregressive"
    ledger: Ledger | None = None
    training: TrainingOptions | None = None

    def __post_init__(self) -> None:
        check_budget(self.epsilon, self.delta)
        loaded = registry.load(self.generator)
        share = 1.0 if self.training is None else self.training.gradient_share
        if share < 1 and not (hasattr(loaded, "adopt") and hasattr(loaded, "refine")):
            raise InputError(
                f"gradient_share is {share:g}, which measures tables of pairs with the rest, and "
                f"generator {self.generator!r} has no use for them (it lacks adopt and refine); "
                "set gradient_share to 1, or take the generator autoregressive"
            )

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

    def plan(self, names: Sequence[str]) -> Plan:
        """How the budget would be split for a table with these columns; reads no data."""
        return make_plan(
            planned_columns(names, self.schema),
            epsilon=self.epsilon,
            delta=self.delta,
            training=self.training,
            generator=self.generator,
        )

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
        identity: Identity | None = None,
    ) -> FittedModel:
        """Learn the table under the budget.

        Args:
            data: path of a CSV or Parquet file, database URL, DataFrame or `Table`.
            query: the SQL query, with a database URL.
            progress: told what is being done.
            noise: the noise source; None takes the cryptographic one. A seeded one is for tests
                and marks the result as not releasable.
            rng: starts the model and drops surplus rows of a unit; None seeds it from the
                operating system.
            policy_hash: of the release policy that will be applied; booked with the charges, so
                that it is known later which one was fixed beforehand.
            input_generation: 0 for rows that nobody knows to be synthetic, else how often they
                went through a generator before.
            identity: of the people of the whole table, where `data` is a part of it (see
                `dpsynth.privacy.identity.identity_of`); None takes that of `data`.

        Raises:
            InputError: a table or cell that does not fit, too few rows for the budget, or people
                whom the ledger knows under another dataset's name.
            BudgetExceeded: the ledger has too little left; no row has been read then.
        """
        ledger = self.ledger or self.own_ledger()
        self.check_ledger()
        progress("reading", 0, 1)
        table = Table.read(data, query=query)
        names = table.names
        if self.schema is not None:
            self.schema.check(names, table.source)
        plan = self.plan(names)
        run = _Fit(
            settings=self,
            plan=plan,
            ledger=ledger,
            noise=noise or secure_noise(),
            rng=rng or np.random.default_rng(),
            policy_hash=policy_hash,
            input_generation=input_generation,
            identity=identity,
        )
        return run.model(table, progress=progress)


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


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """One fit under way: from a reserved plan to a fitted model."""

    settings: Synthesizer
    plan: Plan
    ledger: Ledger
    noise: NoiseSource
    rng: np.random.Generator
    policy_hash: str | None
    input_generation: int
    identity: Identity | None

    def model(self, table: Table, *, progress: Progress) -> FittedModel:
        unit, cap = self._unit()
        rows = PrivateRows(table, unit=unit, max_rows_per_unit=cap, rng=self.rng)
        rows.check([c for c in self.plan.columns if isinstance(c, Column)])
        reservation = self.ledger.reserve(
            self.plan.charges,
            release=uuid.uuid4().hex,
            facts=self._facts(),
            identity=self.identity or rows.identity,
        )
        curator = Curator(rows, reservation=reservation, noise=self.noise)
        questions = len(self.plan.charges) - 1
        asked = iter(range(1, questions + 1))
        progress("learning the domain", 0, questions)
        count = float(curator.ask(RowCount(), label=COUNT).values[0])
        progress("learning the domain", next(asked), questions)
        self._check_rows(count, cap)
        domain = learn(
            curator,
            self.plan,
            rows=count,
            progress=lambda _: progress("learning the domain", next(asked, questions), questions),
        )
        measured = None
        pair_questions = self._pair_questions(cap)
        if pair_questions is not None:
            progress("measuring pairs", 0, 1)
            domain, measured = measure(curator, domain, rows=count, questions=pair_questions)
            progress("measuring pairs", 1, 1)
        layout = _layout(domain, measured, count)
        network = train(
            registry.load(self.settings.generator),
            layout,
            curator=curator,
            codec=domain.codec,
            label=TRAINING,
            options=self.plan.training,
            rng=self.rng,
            measured=measured,
            progress=lambda done, total: progress("training", done, total),
        )
        return FittedModel(
            generator=self.settings.generator,
            options=self.plan.training.generator_options,
            layout=layout,
            codec=domain.codec,
            model=network,
            names=table.names,
            privacy=self._statement(domain, table.names, reservation.booking),
            unit=unit,
            max_rows_per_unit=cap,
            measured=measured,
        )

    def _pair_questions(self, cap: int) -> PairQuestions | None:
        """What the plan has set aside for pairs; None where it measures none."""
        tables = self.plan.multiplier(PAIRS)
        if tables is None:
            return None
        return PairQuestions(
            tables=PAIRS,
            tables_multiplier=tables,
            distances=None if self.plan.multiplier(DISTANCES) is None else DISTANCES,
            one_way_std=self.plan.marginal_std * cap,
            max_rows_per_unit=cap,
        )

    def _facts(self) -> dict[str, str | int]:
        """What was fixed beforehand, for the ledger."""
        facts: dict[str, str | int] = {"input_generation": self.input_generation}
        if self.policy_hash is not None:
            facts["policy_hash"] = self.policy_hash
        return facts

    def _unit(self) -> tuple[str | None, int]:
        schema = self.settings.schema
        if schema is None or schema.unit is None:
            return None, 1
        return schema.unit, schema.max_rows_per_unit

    def _check_rows(self, count: float, cap: int) -> None:
        least = self.plan.smallest_rows(max_rows_per_unit=cap)
        if count >= least:
            return
        enough = smallest_epsilon(self.plan, rows=max(count, 1.0), max_rows_per_unit=cap)
        raise InputError(
            f"about {max(count, 0):.0f} rows are too few for epsilon {self.plan.epsilon:g} with "
            f"{len(self.plan.columns)} columns (at least {least:.0f} are needed, or the noise "
            f"drowns them); the smallest epsilon that would do is about {enough:g}, or drop "
            "columns; nothing was released, the charge stays booked (try again with a new output, "
            "or a ledger that has room for both)"
        )

    def _statement(
        self, domain: Domain, names: Sequence[str], booking: Booking
    ) -> PrivacyStatement:
        unit, cap = self._unit()
        return make_statement(
            epsilon=self.plan.epsilon,
            delta=self.plan.delta,
            charges=self.plan.charges,
            privacy_unit=unit or "row",
            max_rows_per_unit=cap,
            sampling=self.plan.training.sampling,
            noise_source=self.noise.description,
            releasable=self.noise.releasable,
            generator=self.settings.generator,
            clamping=domain.notes,
            unprotected=_unprotected(names, self.settings.schema),
            versions=_versions(),
            booking=booking,
            policy_hash=self.policy_hash,
            input_generation=self.input_generation,
        )


def _layout(domain: Domain, measured: Measured | None, rows: float) -> Layout:
    if measured is None:
        return Layout(domain.codec.sizes, domain.one_way, rows)
    return Layout(domain.codec.sizes, measured.one_way, rows, measured.pairs)


def _unprotected(names: Sequence[str], schema: Schema | None) -> tuple[str, ...]:
    """What epsilon does not cover, in plain sentences."""
    found = [f"column names and their order: {', '.join(names)}"]
    if schema is None:
        return (*found, "which columns look like identifiers, by their names")
    found.append("kinds: " + ", ".join(f"{c.name} {c.kind}" for c in schema.columns))
    bounds = [f"{c.name} {c.lower}..{c.upper}" for c in schema.columns if c.lower is not None]
    if bounds:
        found.append("declared bounds: " + ", ".join(bounds))
    declared = [c.name for c in schema.columns if c.categories is not None]
    if declared:
        found.append("declared categories of: " + ", ".join(declared))
    never = [c.name for c in schema.columns if not c.nullable and c.kind != "identifier"]
    if never:
        found.append("declared never missing: " + ", ".join(never))
    return tuple(found)


def _versions() -> dict[str, str]:
    packages = ("dpsynth", "torch", "opacus", "dp-accounting", "numpy", "randomgen")
    return {name: importlib.metadata.version(name) for name in packages}
