"""One fit under way: questions, training, statement, around one reservation of the ledger's."""

import importlib.metadata
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np

from dpsynth.checkpoints import CheckpointFolder
from dpsynth.encoding.domain import Domain, learn
from dpsynth.encoding.labels import code_labels
from dpsynth.errors import InputError, IntegrityError
from dpsynth.fitted import FittedModel
from dpsynth.generators import registry
from dpsynth.generators.base import Layout
from dpsynth.plan import (
    COUNT,
    DISTANCES,
    KNOWN_ROWS,
    PAIRS,
    TRAINING,
    Plan,
    smallest_epsilon,
)
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.identity import Identity
from dpsynth.privacy.known_rows import Comparison, recognize
from dpsynth.privacy.ledger import Booking, Ledger, Reservation
from dpsynth.privacy.ledger_entries import Head
from dpsynth.privacy.ledger_steps import AFRESH, table_identity
from dpsynth.privacy.lineage_record import LineageRecord, Parent
from dpsynth.privacy.noise import NoiseSource
from dpsynth.privacy.queries import KnownRows, RowCount
from dpsynth.privacy.rows import PrivateRows
from dpsynth.privacy.statement import PrivacyStatement, make_statement
from dpsynth.refinement.measured import Measured
from dpsynth.refinement.measuring import PairQuestions, measure
from dpsynth.replicates import draw_codes
from dpsynth.schema import Column, Schema
from dpsynth.table import Table
from dpsynth.training.checkpoint import NO_CHECKPOINTS
from dpsynth.training.dpsgd import Aids, train
from dpsynth.training.monitor import Monitor, MonitorSettings
from dpsynth.training.monitoring.public_answers import KnownNoise
from dpsynth.training.monitoring.readings import Reading
from dpsynth.training.state_files import StateFiles
from dpsynth.warm_start import WarmStart

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, parts done, parts in all)."""

_LOOKED_AT = 10_000
"""Rows that the monitor looks at when training is over, drawn as they will be released."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One fit under way: from a plan to a fitted model.

    Attributes:
        schema, generator, warm_start: as in `dpsynth.synthesizer.Synthesizer`.
        plan: what is asked and what it costs.
        ledger: where the charges are committed.
        noise, rng, policy_hash, identity: as in `Synthesizer.fit`.
        origin: what is known beforehand of where the rows come from.
        known: earlier releases that the rows are compared with.
        kept: the checkpoint folder, or None.
    """

    schema: Schema | None
    generator: str
    warm_start: WarmStart | None
    plan: Plan
    ledger: Ledger
    noise: NoiseSource
    rng: np.random.Generator
    policy_hash: str | None
    origin: tuple[Parent, ...]
    known: Comparison
    identity: Identity | None
    kept: CheckpointFolder | None

    def model(self, table: Table, *, progress: Progress) -> FittedModel:
        """The fitted model; see `dpsynth.synthesizer.Synthesizer.fit` for what it raises."""
        unit, cap = self._unit()
        # Which surplus rows of a unit go must be nobody's to know, or one unit more would change
        # the rows of all others; so that is not for `rng`, which a caller may have seeded.
        dropping = self.rng if unit is None else self.noise.apart()
        rows = PrivateRows(table, unit=unit, max_rows_per_unit=cap, rng=dropping)
        rows.check([c for c in self.plan.columns if isinstance(c, Column)])
        resumed = self.kept is not None and self.kept.release is not None
        begin = self._go_on if resumed else self._begin
        curator, draft, files = begin(rows, table, progress)
        self._check_network(draft)
        warm = self.warm_start
        monitor = self._monitor(draft, () if files is None else files.readings)
        network = train(
            registry.load(self.generator),
            draft.layout,
            curator=curator,
            codec=draft.codec,
            label=TRAINING,
            options=self.plan.training,
            rng=self.rng,
            aids=Aids(
                measured=draft.measured,
                warm_start=None if warm is None else warm.codes(draft.codec),
                monitor=monitor,
                checkpoints=files or NO_CHECKPOINTS,
                progress=progress,
            ),
        )
        fitted = replace(draft, model=network)
        codes = draw_codes(fitted, _LOOKED_AT, rng=self.rng)
        released = monitor.look(codes, self.plan.training.steps)
        return replace(fitted, watched={**monitor.curve(), "released": released.to_dict()})

    def _begin(
        self, rows: PrivateRows, table: Table, progress: Progress
    ) -> tuple[Curator, FittedModel, StateFiles | None]:
        """Book the charges and learn what comes before training."""
        release = uuid.uuid4().hex
        if self.kept is not None:
            self.kept.start(release, self._kept_settings(table.names))
        try:
            reservation = self.ledger.reserve(
                self.plan.charges,
                release=release,
                facts=self._facts(),
                identity=self.identity or rows.identity,
            )
            curator = self._curator(rows, reservation)
            draft = self._draft(curator, table.names, reservation.booking, progress=progress)
            if self.kept is None:
                return curator, draft, None
            whose = table_identity(table)
            book = self.ledger.keep_steps(reservation, label=TRAINING, rows=whose)
            return curator, draft, self.kept.keep(draft, book)
        except Exception:
            if self.kept is not None:  # a process that is killed leaves the note, and its meaning
                self.kept.withdraw()
            raise

    def _go_on(
        self, rows: PrivateRows, table: Table, _progress: Progress
    ) -> tuple[Curator, FittedModel, StateFiles | None]:
        """Take up a training that was cut off; what came before it is never asked again."""
        kept = cast(CheckpointFolder, self.kept)
        kept.check_settings(self._kept_settings(table.names))
        release = str(kept.release)
        reservation, book = self.ledger.resume(release, rows=table_identity(table))
        if self.ledger.charges_of(release) != self.plan.charges:
            raise InputError(
                f"checkpoint {kept.path}: the release was booked with other charges than this "
                f"version plans; install the version that made it, or {AFRESH}"
            )
        draft = kept.draft()
        record = draft.privacy.ledger
        if record is None or record.release != release:
            raise IntegrityError(f"checkpoint {kept.path}: its draft is of another release")
        self.ledger.verify(Head(record.entries, record.head))
        files = kept.go_on(book, steps=self.plan.training.steps)
        return Curator(rows, reservation=reservation, noise=self.noise), draft, files

    def _curator(self, rows: PrivateRows, reservation: Reservation) -> Curator:
        return Curator(rows, reservation=reservation, noise=self.noise)

    def _kept_settings(self, names: Sequence[str]) -> dict[str, Any]:
        """What a checkpoint must have been made with; the device is free to change."""
        schema, warm = self.schema, self.warm_start
        training = asdict(self.plan.training)
        del training["device"]
        return {
            "dataset": self.ledger.dataset,
            "epsilon": self.plan.epsilon,
            "delta": self.plan.delta,
            "generator": self.generator,
            "columns": list(names),
            "schema": None if schema is None else schema.to_dict(),
            "training": training,
            "noise": self.noise.description if self.noise.releasable else "seeded, for a test",
            "policy_hash": self.policy_hash,
            "warm_start": None if warm is None else warm.digest,
            "made_from": [parent.model_dump(mode="json") for parent in self.origin],
            "versions": _versions(),
        }

    def _draft(
        self, curator: Curator, names: tuple[str, ...], booking: Booking, *, progress: Progress
    ) -> FittedModel:
        """All that is learned before training, around a network without any."""
        unit, cap = self._unit()
        questions = len(self.plan.charges) - 1
        asked = iter(range(1, questions + 1))
        progress("learning the domain", 0, questions)
        count = float(curator.ask(RowCount(), label=COUNT).values[0])
        progress("learning the domain", next(asked), questions)
        self._check_rows(count, cap)
        lineage = self._lineage(curator, count)
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
        options = self.plan.training.generator_options
        generator = registry.load(self.generator)
        return FittedModel(
            generator=self.generator,
            options=options,
            layout=layout,
            codec=domain.codec,
            model=generator.build(layout, options=options, rng=self.rng),
            names=names,
            privacy=self._statement(domain, names, booking, lineage),
            unit=unit,
            max_rows_per_unit=cap,
            measured=measured,
        )

    def _monitor(self, draft: FittedModel, readings: Sequence[Reading]) -> Monitor:
        """Compares what training draws with what was measured."""
        _, cap = self._unit()
        measured = draft.measured or Measured(
            rows=max(draft.layout.rows, 1.0),
            one_way=draft.layout.one_way,
            one_way_std=self.plan.marginal_std * cap,
            pairs=(),
            tables=(),
            std=1.0,
        )
        return Monitor(
            measured,
            tuple(column.name for column in draft.codec.columns),
            positions=draft.codec.positions,
            settings=MonitorSettings(looks=self.plan.training.looks + 1),
            noise=KnownNoise(
                rows=(self.plan.multiplier(COUNT) or 0.0) * cap,
                cells=tuple(
                    measured.one_way_std * np.sqrt(part.merged) for part in draft.codec.parts
                ),
            ),
            labels=[code_labels(part) for part in draft.codec.parts],
            readings=readings,
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
        before = LineageRecord(made_from=self.origin)
        facts: dict[str, str | int] = {"input_generation": before.generation}
        if self.policy_hash is not None:
            facts["policy_hash"] = self.policy_hash
        return facts

    def _lineage(self, curator: Curator, count: float) -> LineageRecord:
        """Where the rows come from: what was known before, and what they show themselves."""
        if not self.known.releases:
            return LineageRecord(made_from=self.origin, not_compared=self.known.others)
        answer = curator.ask(KnownRows(self.known.sketches), label=KNOWN_ROWS)
        rows = (count, (self.plan.multiplier(COUNT) or 0.0) * self._unit()[1])
        found = recognize(answer.values, std=answer.std, rows=rows, comparison=self.known)
        return found.known_before(self.origin)

    def _unit(self) -> tuple[str | None, int]:
        schema = self.schema
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

    def _check_network(self, draft: FittedModel) -> None:
        """Refuse a network that would hear noise alone; one that is refined rests on its pairs."""
        if hasattr(registry.load(self.generator), "refine"):
            return
        rows, cap = max(draft.layout.rows, 1.0), draft.max_rows_per_unit
        weights = sum(p.numel() for p in draft.model.parameters() if p.requires_grad)
        if self.plan.hears(weights, rows=rows, max_rows_per_unit=cap):
            return
        enough = smallest_epsilon(self.plan, rows=rows, max_rows_per_unit=cap, weights=weights)
        raise InputError(
            f"about {rows:.0f} rows are too few to train {self.generator} ({weights:,} "
            f"weights) at epsilon {self.plan.epsilon:g}: it would learn the noise; the smallest "
            f"epsilon that would do is about {enough:g}, or take the generator autoregressive, "
            "which suits small tables; nothing was released, the charge stays booked"
        )

    def _statement(
        self, domain: Domain, names: Sequence[str], booking: Booking, lineage: LineageRecord
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
            generator=self.generator,
            clamping=domain.notes,
            unprotected=_unprotected(names, self.schema, self.warm_start, self.origin),
            versions=_versions(),
            booking=booking,
            policy_hash=self.policy_hash,
            input_generation=lineage.generation,
            lineage=lineage,
        )


def _layout(domain: Domain, measured: Measured | None, rows: float) -> Layout:
    codec = domain.codec
    one_way = domain.one_way if measured is None else measured.one_way
    pairs = None if measured is None else measured.pairs
    return Layout(codec.sizes, one_way, rows, pairs, codec.positions)


def _unprotected(
    names: Sequence[str],
    schema: Schema | None,
    warm: WarmStart | None,
    origin: Sequence[Parent],
) -> tuple[str, ...]:
    """What epsilon does not cover, in plain sentences."""
    found = [f"column names and their order: {', '.join(names)}"]
    if warm is not None:
        found.append(warm.sentence)
    if any(parent.known_by == "manifest" for parent in origin):
        found.append("that the table is, byte for byte, one that was released before")
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
