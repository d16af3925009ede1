"""The whole chain behind `dpsynth run`: split, fit, sample, audit, gate, bundle."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from audits.result import AuditResult
from dpsynth.checkpoints import CheckpointFolder, split_again
from dpsynth.errors import InputError
from dpsynth.expected_errors import ExpectedErrors
from dpsynth.fitted import FittedModel, check_rows
from dpsynth.fitting import Progress
from dpsynth.generators import registry
from dpsynth.privacy.identity import identity_of
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.lineage_record import LineageRecord, Parent
from dpsynth.privacy.noise import NoiseSource, secure_noise
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.about import About
from dpsynth.release.bundle import BundleContents, check_signer, write_bundle
from dpsynth.release.domain import learned_fields
from dpsynth.release.evidence import AuditOptions, audit_frame, audit_tables
from dpsynth.release.foreseen import Planned, refuse_foreseen
from dpsynth.release.gate import Decision, decide
from dpsynth.release.installed import installed_names
from dpsynth.release.lineage import input_parents
from dpsynth.release.policy import (
    Policy,
    check_rule_names,
    parse_policy,
    policy_hash,
    policy_text_of,
)
from dpsynth.release.reading import release_facts
from dpsynth.release.report.columns import column_shares
from dpsynth.release.report.count_errors import MOST_PAIRS, ColumnError, CountErrors, PairError
from dpsynth.release.signing import Signer
from dpsynth.release.training import Training
from dpsynth.synthesizer import Synthesizer
from dpsynth.table import Split, Table, split
from dpsynth.writing import refuse_unwritable

HOLDOUT_SHARE = 0.1
"""Share of the privacy units that training never sees; the audits compare with them."""

_SIMULATIONS = 4
"""Releases that the report's expected errors are simulated by: an error to about a third."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What `run` does with a fitted model.

    Attributes:
        rows: synthetic rows; None takes the noisy row count of the whole table.
        policy: a shipped policy's name or the path of a file; None takes "internal".
        about: what the owner says of the release.
        signer: who signs the bundle; None leaves it unsigned.
        input_generation: how often the rows went through a generator before; None finds out
            where it can be found out.
        audit_seed: of the audits' own subsamples; published.
        output: "csv" or "parquet".

    Raises:
        InputError: rows or output out of range: now, and not after the budget is spent.
    """

    rows: int | None = None
    policy: str | Path | None = None
    about: About = field(default_factory=About)
    signer: Signer | None = None
    input_generation: int | None = None
    audit_seed: int = 0
    output: Literal["csv", "parquet"] = "csv"

    def __post_init__(self) -> None:
        if self.rows is not None:
            check_rows(self.rows)
        if self.output not in ("csv", "parquet"):
            raise InputError(f"output is {self.output!r}; give 'csv' or 'parquet'")


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What `run` made: the verdict, the folder and the model."""

    decision: Decision
    bundle: Path
    model: FittedModel
    audit: AuditResult


def run(
    data: object,
    out: str | Path,
    *,
    synthesizer: Synthesizer,
    options: RunOptions | None = None,
    query: str | None = None,
    progress: Progress = lambda label, done, total: None,
    noise: NoiseSource | None = None,
    rng: np.random.Generator | None = None,
    checkpoint: CheckpointFolder | None = None,
) -> RunResult:
    """From a private table to an audited, gated bundle.

    Args:
        data: path of a CSV or Parquet file, database URL, DataFrame or `Table`.
        out: the bundle's folder; must not exist.
        synthesizer: budget, schema, generator and ledger.
        options: rows, policy, seed of the audits.
        query: the SQL query, with a database URL.
        progress: told what is being done.
        noise, rng: as in `Synthesizer.fit`.
        checkpoint: an open folder that a run which was cut off goes on from; finished when the
            bundle is written.

    Raises:
        InputError: bad input, or `out` exists or cannot be written; nothing has been charged then
            unless it says so.
        BudgetExceeded: the ledger has too little left; no row has been read then.
        ReleaseRefused: the policy could not allow it, whatever came of it; nothing was charged.
    """
    chosen = options or RunOptions()
    target = _free(Path(out))
    resumed = checkpoint is not None and checkpoint.release is not None
    chain = _prepare(data, synthesizer, chosen, progress, resumed=resumed)
    if not resumed:  # what is gone on with was charged, and weighed, when it started
        chain.settings.check_ledger()
    stream = rng or np.random.default_rng()
    progress("reading", 0, 1)
    table = Table.read(data, query=query)
    chain.settings.check_table(table)  # the whole of it: `fit` sees the training rows alone
    unit = chain.settings.schema.unit if chain.settings.schema else None
    source = noise or secure_noise()
    # The split from the secret stream too: of a seeded one it would tell how many rows there are.
    parts = _parts(table, unit, checkpoint, rng=source.apart())
    model = chain.settings.fit(
        parts.train,
        progress=progress,
        noise=source,
        rng=stream,
        policy_hash=policy_hash(chain.policy),
        parents=chain.parents,
        identity=identity_of(table, unit),
        checkpoint=checkpoint,
    )
    progress("sampling", 0, 1)
    synthetic = model.sample(_count(model, chosen), rng=stream)
    errors = _count_errors(model, len(synthetic), rng=stream, progress=progress)
    contents = chain.contents(model, parts, synthetic, errors)
    progress("writing", 0, 1)
    write_bundle(target, contents)
    chain.ledger.record_release(_release(contents.statement), release_facts(target))
    if checkpoint is not None:
        checkpoint.finish()
    progress("writing", 1, 1)
    return RunResult(decision=contents.decision, bundle=target, model=model, audit=contents.audit)


def check_beforehand(
    data: object, synthesizer: Synthesizer, options: RunOptions, *, shared: bool
) -> None:
    """Find what stands in the way of a run before its ledger is opened, which fixes a budget.

    Args:
        data, synthesizer, options: as in `run`; the synthesizer's ledger is not looked at.
        shared: whether the ledger will be one for all releases of the dataset.

    Raises:
        InputError: no such policy, a wrong one, or one that demands a signature which nobody gives.
        ReleaseRefused: the policy could not allow it, whatever the ledger holds.
    """
    policy, _ = _policy(options)
    parents = input_parents(data, declared=options.input_generation)
    refuse_foreseen(policy, _planned(synthesizer, parents, shared=shared))


@dataclass(frozen=True, kw_only=True)
class _Chain:
    """What a run knows before it reads a row."""

    settings: Synthesizer
    ledger: Ledger
    options: RunOptions
    policy: Policy
    policy_text: str
    parents: tuple[Parent, ...]
    progress: Progress

    def contents(
        self,
        model: FittedModel,
        parts: Split,
        synthetic: pd.DataFrame,
        errors: CountErrors | None,
    ) -> BundleContents:
        """Audit and decide; everything that the bundle holds."""
        statement, schema = model.statement(), model.schema()
        training = Training.of(model.watched)
        claim = (statement.epsilon, statement.delta)
        audit = audit_tables(
            (parts.train, parts.holdout, Table.from_frame(synthetic)),
            schema=schema,
            options=AuditOptions(seed=self.options.audit_seed, claim=claim),
            progress=self.progress,
        )
        return BundleContents(
            synthetic=synthetic,
            rows=len(synthetic),
            schema=schema,
            learned=learned_fields(schema, self.settings.schema),
            statement=statement,
            audit=audit,
            decision=decide(statement, audit, self.policy, training=training),
            policy_text=self.policy_text,
            model_files=model.to_files(),
            holdout_rows=parts.holdout_rows.tolist(),
            columns=column_shares(schema, synthetic, audit_frame(parts.train, schema)),
            errors=errors,
            training=training,
            about=self.options.about,
            ledger_text=self.ledger.extract(_release(statement)),
            signer=self.options.signer,
            output=self.options.output,
        )


def _parts(
    table: Table,
    unit: str | None,
    checkpoint: CheckpointFolder | None,
    *,
    rng: np.random.Generator,
) -> Split:
    """The training and holdout rows; a run that is gone on with keeps those that it had."""
    if checkpoint is not None and checkpoint.holdout_rows is not None:
        return split_again(table, checkpoint.holdout_rows)
    parts = split(table, unit=unit, share=HOLDOUT_SHARE, rng=rng)
    if checkpoint is not None:
        checkpoint.holdout_rows = parts.holdout_rows
    return parts


def _prepare(
    data: object,
    synthesizer: Synthesizer,
    options: RunOptions,
    progress: Progress,
    *,
    resumed: bool,
) -> _Chain:
    """Policy, ledger and lineage; refuses what can be refused before anything is charged."""
    policy, text = _policy(options)
    ledger = synthesizer.ledger or synthesizer.own_ledger()
    parents = input_parents(data, declared=options.input_generation)
    if not resumed:
        planned = _planned(synthesizer, parents, shared=ledger.shared)
        earlier = replace(
            planned, earlier_epsilon=ledger.spent(), earlier_releases=len(ledger.releases())
        )
        refuse_foreseen(policy, earlier)
    return _Chain(
        settings=replace(synthesizer, ledger=ledger),
        ledger=ledger,
        options=options,
        policy=policy,
        policy_text=text,
        parents=parents,
        progress=progress,
    )


def _planned(synthesizer: Synthesizer, parents: tuple[Parent, ...], *, shared: bool) -> Planned:
    """The release as if it were the first of its people."""
    lineage = LineageRecord(made_from=parents)
    return Planned(
        epsilon=synthesizer.epsilon,
        delta=synthesizer.delta,
        generator=synthesizer.generator,
        input_generation=lineage.generation,
        real_share=lineage.real_share.upper,
        shared_ledger=shared,
        earlier_epsilon=0.0,
        earlier_releases=0,
    )


def _policy(options: RunOptions) -> tuple[Policy, str]:
    text, source = policy_text_of(options.policy)
    policy = parse_policy(text, source=source)
    check_rule_names(policy, installed_names())
    check_signer(policy, options.signer)
    return policy, text


def _count(model: FittedModel, options: RunOptions) -> int:
    whole = max(1, round(model.layout.rows / (1.0 - HOLDOUT_SHARE)))
    return whole if options.rows is None else options.rows


def _count_errors(
    model: FittedModel, rows: int, *, rng: np.random.Generator, progress: Progress
) -> CountErrors | None:
    """How far counts may be off; None where the model allows no simulations.

    They fit it anew to simulated answers, which only a generator with `refine` can do.
    """
    if model.measured is None or not hasattr(registry.load(model.generator), "refine"):
        return None
    found = model.expected_errors(
        replicates=_SIMULATIONS,
        rows=rows,
        rng=rng,
        progress=lambda done, total: progress("simulating errors", done, total),
    )
    return _for_the_report(found)


def _for_the_report(found: ExpectedErrors) -> CountErrors:
    columns = [
        ColumnError(
            name=column.name,
            mean=float(np.mean(column.shares)),
            largest=column.shares[column.worst],
            worst=column.labels[column.worst],
        )
        for column in found.columns
    ]
    pairs = [
        PairError(first=pair.first, second=pair.second, distance=pair.tvd)
        for pair in found.pairs[:MOST_PAIRS]
    ]
    return CountErrors(
        rows=found.rows, simulations=found.replicates, columns=tuple(columns), pairs=tuple(pairs)
    )


def _release(statement: PrivacyStatement) -> str:
    """The ledger's name of the release."""
    if statement.ledger is None:
        raise InputError("the fit was booked in no ledger, so nothing of it can be released")
    return statement.ledger.release


def _free(target: Path) -> Path:
    if target.exists():
        raise InputError(
            f"{target} exists; give a folder that does not, or move it away (nothing was charged)"
        )
    if not target.parent.is_dir():
        raise InputError(f"{target.parent}: no such folder; make it first (nothing was charged)")
    refuse_unwritable(target.absolute().parent)
    return target
