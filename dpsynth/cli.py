"""The command line: a thin shell over library calls of the same names.

Exit codes: 0 done and allowed; 1 fault; 2 wrong use or bad input; 3 refused (gate, or budget
spent); 4 inconclusive. Results go to standard output, messages and progress to standard error.
"""

import errno
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from audits.errors import AuditError
from dpsynth.cli_audit import attacks, audit
from dpsynth.cli_checkpoint import CheckpointPath, resumable
from dpsynth.cli_collapse import collapse
from dpsynth.cli_errors import errors, sample_replicates
from dpsynth.cli_ledger import ledger_app
from dpsynth.cli_options import (
    HELP,
    AboutFile,
    AsJson,
    Data,
    Dataset,
    Delta,
    Device,
    Epsilon,
    Format,
    GeneratorName,
    InputGeneration,
    LedgerPath,
    Out,
    PolicyName,
    Query,
    Rows,
    SchemaFile,
    Seed,
    SigningKey,
    TotalEpsilon,
    WarmStartTable,
)
from dpsynth.cli_release import (
    approve,
    gate,
    keygen,
    say_watched,
    show_decision,
    signer_from,
    verify,
)
from dpsynth.cli_shared import (
    booked_in,
    chosen_generator,
    dataset_name,
    declared_schema,
    holds_releases,
    must_be_new,
    must_be_there,
    pairs,
    synthesizer_for,
)
from dpsynth.console import bars, emit, say
from dpsynth.errors import DPSynthError, InputError

if TYPE_CHECKING:
    from dpsynth.checkpoints import CheckpointFolder
    from dpsynth.synthesizer import Synthesizer

app = typer.Typer(
    add_completion=False,
    context_settings=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,  # a local of a fit may be a private cell
    help="Differentially private synthetic tables: fit, audit, gate, release.",
)
app.add_typer(ledger_app, name="ledger")

DELTA = 1e-5

# BadParameter -> UsageError -> ClickException: typer does not export the parent, and depending on
# its version takes it from click or from a copy of its own.
_USAGE_ERROR = cast(type[typer.BadParameter], typer.BadParameter.mro()[2])
_INTERRUPTED = 130  # what typer makes of Ctrl-C, depending on its version
_WRONG_PATH = {
    errno.EACCES,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(invoke(sys.argv[1:] if arguments is None else arguments))


def invoke(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code. No traceback for what a user can cause."""
    try:
        code = app(list(arguments), prog_name="dpsynth", standalone_mode=False)
    except _USAGE_ERROR as usage:
        if type(usage).__name__ == "NoArgsIsHelpError":
            say(str(usage))
        else:
            say(f"error: {usage.format_message()} (dpsynth -h lists the commands)")
        return 2
    except (DPSynthError, AuditError) as error:
        say(f"error: {error}")
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = _INTERRUPTED
    except (OSError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno in _WRONG_PATH:
            say(f"error: {error.filename}: {error.strerror}; give a path that you may use")
            return 2
        say(f"error: {type(error).__name__}: {error}")
        return 1
    if code == _INTERRUPTED:
        say("stopped; what the ledger has booked stays booked")
        return 1
    return code if isinstance(code, int) else 0


@app.command()
def demo(
    out: Out = Path("dpsynth-demo"),
    epsilon: Epsilon = 1.0,
    as_json: AsJson = False,
) -> int:
    """The whole chain on a real table: statsmodels' RAND health insurance experiment.

    Example: dpsynth demo -o demo
    """
    from dpsynth.demo import demo_schema, demo_table
    from dpsynth.privacy.calibration import check_budget

    check_budget(epsilon, DELTA)
    settings = synthesizer_for(epsilon, DELTA, demo_schema(), "autoregressive")
    with booked_in(None, out=out, dataset="randhie", epsilon=epsilon, delta=DELTA) as book:
        return _run(demo_table(), out, replace(settings, ledger=book), as_json=as_json)


@app.command()
def schema(
    data: Data,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File to write.")] = None,
    query: Query = None,
) -> int:
    """Draft a schema from header and cell forms, for the owner to complete.

    Example: dpsynth schema people.csv -o schema.toml
    """
    from dpsynth.drafting import draft_toml
    from dpsynth.table import Table
    from dpsynth.writing import atomic_write

    text = draft_toml(Table.read(data, query=query))
    if out is None:
        sys.stdout.write(text)
        return 0
    with atomic_write(out) as path:
        path.write_text(text, encoding="utf-8")
    say(f"wrote {out}: review the kinds and fill in what only you know, then pass --schema {out}")
    return 0


@app.command()
def plan(
    epsilon: Epsilon,
    schema_file: Annotated[Path, typer.Option("--schema", help="Schema file (TOML).")],
    delta: Delta = DELTA,
    generator: GeneratorName = "autoregressive",
    ledger: LedgerPath = None,
    as_json: AsJson = False,
) -> int:
    """What a fit will ask and cost; reads no data.

    With the ledger, the question for rows of earlier releases is in it, where it holds some.

    Example: dpsynth plan --schema schema.toml --epsilon 1
    """
    from dpsynth.generators import registry
    from dpsynth.plan import make_plan
    from dpsynth.plan_text import plan_json, plan_text
    from dpsynth.schema import Schema

    declared = Schema.from_toml(schema_file)
    generator = chosen_generator(generator, declared)
    registry.check(generator)
    lineage = ledger is not None and holds_releases(ledger, declared.names)
    made = make_plan(
        declared.modelled,
        epsilon=epsilon,
        delta=delta,
        generator=generator,
        lineage=lineage,
        max_rows_per_unit=declared.max_rows_per_unit,
    )
    cap = declared.max_rows_per_unit
    emit(plan_json(made, cap), as_json=as_json, text=plan_text(made, cap))
    return 0


@app.command()
def run(
    data: Data,
    epsilon: Epsilon,
    out: Out,
    delta: Delta = DELTA,
    schema_file: SchemaFile = None,
    generator: GeneratorName = "autoregressive",
    warm_start: WarmStartTable = None,
    device: Device = "cpu",
    rows: Rows = None,
    policy: PolicyName = None,
    ledger: LedgerPath = None,
    total_epsilon: TotalEpsilon = None,
    dataset: Dataset = None,
    query: Query = None,
    about: AboutFile = None,
    key: SigningKey = None,
    input_generation: InputGeneration = None,
    checkpoint: CheckpointPath = None,
    output: Annotated[
        Format, typer.Option("--format", help="Of the synthetic table: csv or parquet.")
    ] = "csv",
    as_json: AsJson = False,
) -> int:
    """From a private table to an audited, gated bundle.

    Example: dpsynth run people.csv --epsilon 1 --schema schema.toml -o release
    """
    from dpsynth.pipeline import RunOptions, check_beforehand
    from dpsynth.privacy.calibration import check_budget
    from dpsynth.release.about import About, load_about

    check_budget(epsilon, delta)
    must_be_new(out)
    # Whatever can be wrong without the ledger is looked for first: it fixes a budget for good.
    settings = synthesizer_for(
        epsilon,
        delta,
        declared_schema(schema_file),
        generator,
        warm_start=warm_start,
        device=device,
    )
    options = RunOptions(
        rows=rows,
        policy=policy,
        about=About() if about is None else load_about(about),
        signer=signer_from(key),
        input_generation=input_generation,
        output=output,
    )
    must_be_there(data)
    check_beforehand(data, settings, options, shared=ledger is not None)
    name = dataset_name(data) if dataset is None else dataset
    with (
        booked_in(
            ledger, out=out, dataset=name, epsilon=epsilon, delta=delta, total=total_epsilon
        ) as book,
        resumable(checkpoint, out=out, purpose="run") as kept,
    ):
        settings = replace(settings, ledger=book)
        return _run(
            data, out, settings, as_json=as_json, query=query, options=options, checkpoint=kept
        )


@app.command()
def fit(
    data: Data,
    epsilon: Epsilon,
    out: Out,
    delta: Delta = DELTA,
    schema_file: SchemaFile = None,
    generator: GeneratorName = "autoregressive",
    warm_start: WarmStartTable = None,
    device: Device = "cpu",
    ledger: LedgerPath = None,
    total_epsilon: TotalEpsilon = None,
    dataset: Dataset = None,
    query: Query = None,
    input_generation: InputGeneration = None,
    checkpoint: CheckpointPath = None,
    as_json: AsJson = False,
) -> int:
    """Fit a model under the budget, without audit or gate.

    Example: dpsynth fit people.csv --epsilon 1 -o model
    """
    from dpsynth.privacy.calibration import check_budget
    from dpsynth.release.lineage import input_parents
    from dpsynth.release.report.lineage_words import made_from

    check_budget(epsilon, delta)
    must_be_new(out)
    must_be_there(data)
    parents = input_parents(data, declared=input_generation)
    settings = synthesizer_for(
        epsilon,
        delta,
        declared_schema(schema_file),
        generator,
        warm_start=warm_start,
        device=device,
    )
    name = dataset_name(data) if dataset is None else dataset
    with (
        booked_in(
            ledger, out=out, dataset=name, epsilon=epsilon, delta=delta, total=total_epsilon
        ) as book,
        resumable(checkpoint, out=out, purpose="fit") as kept,
    ):
        with bars() as progress:
            model = replace(settings, ledger=book).fit(
                data, query=query, progress=progress, parents=parents, checkpoint=kept
            )
        model.save(out)
        if kept is not None:
            kept.finish()
    statement = model.statement()
    say(made_from(statement))
    say_watched(model.watched)
    emit(
        {
            "model": str(out),
            "epsilon_spent": statement.epsilon_spent,
            "delta": delta,
            "input_generation": statement.input_generation,
            "made_from": [parent.model_dump() for parent in statement.lineage.made_from],
        },
        as_json=as_json,
        text=f"{out}: {statement.sentence}",
    )
    return 0


@app.command()
def sample(
    model: Annotated[Path, typer.Argument(help="Model folder made by `dpsynth fit`.")],
    out: Out,
    rows: Rows = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="COL=VALUE, COL=LOW..HIGH or COL=ONE|OTHER: only such rows (repeatable)."
        ),
    ] = None,
    fill: Annotated[
        Path | None, typer.Option(help="Table whose missing cells are filled; no new rows.")
    ] = None,
    replicates: Annotated[
        int | None,
        typer.Option(min=2, help="Write a folder of tables for inference, from so many."),
    ] = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> int:
    """Draw synthetic rows, or fill the gaps of a table; costs no budget.

    Example: dpsynth sample model --rows 10000 -o synthetic.csv
    """
    from dpsynth.cli_sample import fill_table, sample_table

    must_be_new(out)
    if fill is not None and replicates is not None:
        raise InputError("--fill makes one table; leave out --replicates")
    if replicates is not None:
        return sample_replicates(
            model,
            out,
            count=replicates,
            rows=rows,
            where=pairs(where or ()),
            seed=seed,
            as_json=as_json,
        )
    if fill is None:
        return sample_table(
            model, out, rows=rows, where=pairs(where or ()), seed=seed, as_json=as_json
        )
    if rows is not None or where:
        raise InputError("--fill keeps the rows of its table; leave out --rows and --where")
    return fill_table(model, fill, out, seed=seed, as_json=as_json)


app.command()(errors)
app.command()(audit)
app.command()(collapse)


for command in (gate, approve, verify, keygen):
    app.command()(command)


_AUTO_HELP = "--generator auto follows these lines by public facts alone; see docs/generators.md"


@app.command()
def generators(as_json: AsJson = False) -> int:
    """The generators that are installed, and which table each suits.

    Example: dpsynth generators
    """
    from dpsynth.generators import registry
    from dpsynth.generators.choice import SUITS

    found = {
        name: {"summary": registry.load(name).SUMMARY, "suits": SUITS.get(name, "")}
        for name in registry.names()
    }
    lines = [f"{name:16} {facts['summary']}" for name, facts in found.items()]
    suits = [f"{name:16} suits {text}" for name, text in SUITS.items() if name in found]
    emit(found, as_json=as_json, text="\n".join([*lines, "", *suits, "", _AUTO_HELP]))
    return 0


app.command()(attacks)


def _run(
    data: object,
    out: Path,
    settings: "Synthesizer",
    *,
    as_json: bool,
    query: str | None = None,
    options: object = None,
    checkpoint: "CheckpointFolder | None" = None,
) -> int:
    from dpsynth.pipeline import RunOptions, run
    from dpsynth.release.report.lineage_words import made_from

    chosen = options if isinstance(options, RunOptions) else RunOptions()
    with bars() as progress:
        result = run(
            data,
            out,
            synthesizer=settings,
            options=chosen,
            query=query,
            progress=progress,
            checkpoint=checkpoint,
        )
    statement = result.model.statement()
    say(statement.sentence)
    say(made_from(statement))
    say_watched(result.model.watched)
    return show_decision(
        result.decision,
        out,
        as_json=as_json,
        epsilon_spent=statement.epsilon_spent,
        delta=statement.delta,
    )


if __name__ == "__main__":
    main()
