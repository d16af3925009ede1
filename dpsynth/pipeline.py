"""The whole chain behind `dpsynth run`: split, fit, sample, audit, gate, bundle."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from audits.result import AuditResult
from dpsynth.errors import InputError
from dpsynth.fitted import FittedModel, check_rows
from dpsynth.privacy.noise import NoiseSource
from dpsynth.release.about import About
from dpsynth.release.bundle import BundleContents, write_bundle
from dpsynth.release.canonical import read_text
from dpsynth.release.domain import learned_fields
from dpsynth.release.evidence import AuditOptions, audit_frame, audit_tables
from dpsynth.release.gate import Decision, decide
from dpsynth.release.policy import default_policy_text, parse_policy, policy_hash
from dpsynth.release.report.columns import column_shares
from dpsynth.release.signing import Signer
from dpsynth.release.waivers import Waiver
from dpsynth.synthesizer import Progress, Synthesizer
from dpsynth.table import Table, split

HOLDOUT_SHARE = 0.1
"""Share of the privacy units that training never sees; the audits compare with them."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What `run` does with a fitted model.

    Attributes:
        rows: synthetic rows; None takes the noisy row count of the whole table.
        policy: path of a policy file; None takes the one shipped.
        waivers: rules of the policy that somebody sets aside.
        about: what the owner says of the release.
        signer: who signs the bundle; None leaves it unsigned.
        audit_seed: of the audits' own subsamples; published.
        output: "csv" or "parquet".

    Raises:
        InputError: rows or output out of range: now, and not after the budget is spent.
    """

    rows: int | None = None
    policy: Path | None = None
    waivers: tuple[Waiver, ...] = ()
    about: About = field(default_factory=About)
    signer: Signer | None = None
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

    Raises:
        InputError: bad input, or `out` exists; nothing has been charged then unless it says so.
        BudgetExceeded: the ledger has too little left; no row has been read then.
    """
    options = options or RunOptions()
    target = _free(Path(out))
    policy_text = default_policy_text() if options.policy is None else read_text(options.policy)
    policy = parse_policy(policy_text, source=str(options.policy or "default policy"))
    synthesizer.check_ledger()
    stream = rng or np.random.default_rng()
    progress("reading", 0, 1)
    table = Table.read(data, query=query)
    unit = synthesizer.schema.unit if synthesizer.schema else None
    parts = split(table, unit=unit, share=HOLDOUT_SHARE, rng=stream)
    model = synthesizer.fit(
        parts.train,
        progress=progress,
        noise=noise,
        rng=stream,
        policy_hash=policy_hash(policy),
    )
    whole = max(1, round(model.layout.rows / (1.0 - HOLDOUT_SHARE)))
    count = whole if options.rows is None else options.rows
    progress("sampling", 0, 1)
    synthetic = model.sample(count, rng=stream)
    statement = model.statement()
    audit = audit_tables(
        (parts.train, parts.holdout, Table.from_frame(synthetic)),
        schema=model.schema(),
        options=AuditOptions(seed=options.audit_seed, claim=(statement.epsilon, statement.delta)),
        progress=progress,
    )
    decision = decide(statement, audit, policy, options.waivers)
    schema = model.schema()
    progress("writing", 0, 1)
    contents = BundleContents(
        synthetic=synthetic,
        rows=len(synthetic),
        schema=schema,
        learned=learned_fields(schema, synthesizer.schema),
        statement=statement,
        audit=audit,
        decision=decision,
        policy_text=policy_text,
        waivers=options.waivers,
        model_files=model.to_files(),
        holdout_rows=parts.holdout_rows.tolist(),
        columns=column_shares(schema, synthetic, audit_frame(parts.train, schema)),
        about=options.about,
        signer=options.signer,
        output=options.output,
    )
    write_bundle(target, contents)
    progress("writing", 1, 1)
    return RunResult(decision=decision, bundle=target, model=model, audit=audit)


def _free(target: Path) -> Path:
    if target.exists():
        raise InputError(
            f"{target} exists; give a folder that does not, or move it away (nothing was charged)"
        )
    if not target.parent.is_dir():
        raise InputError(f"{target.parent}: no such folder; make it first (nothing was charged)")
    return target
