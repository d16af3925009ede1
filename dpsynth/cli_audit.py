"""The commands that need no private table of one's own: audit any synthetic table, list attacks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsynth.cli_options import AsJson, Out, SchemaFile
from dpsynth.cli_shared import declared_schema, must_be_new
from dpsynth.console import bars, emit

if TYPE_CHECKING:
    from dpsynth.table import Table

DELTA = 1e-5
#: What `dpsynth audit` returns, by verdict.
EXIT_CODES = {"none": 0, "leak": 3, "inconclusive": 4}


def audit(
    train: Annotated[Path, typer.Option(help="Rows the generator was trained on.")],
    holdout: Annotated[Path, typer.Option(help="Rows of the same source that it never saw.")],
    synthetic: Annotated[Path, typer.Option(help="Rows that it made.")],
    out: Out,
    reference: Annotated[
        Path | None, typer.Option(help="Further real rows, in neither of the first two.")
    ] = None,
    previous: Annotated[
        Path | None, typer.Option(help="An earlier release: were its rows fed back, what was lost.")
    ] = None,
    schema_file: SchemaFile = None,
    attack: Annotated[
        list[str] | None, typer.Option(help="Run this attack only; may be repeated.")
    ] = None,
    check: Annotated[
        list[str] | None, typer.Option(help="Run this check only; may be repeated.")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Claimed epsilon, which the attacks are held against.")
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="Claimed delta, with --epsilon; default: 1e-5.")
    ] = None,
    remove_overlap: Annotated[
        bool, typer.Option("--remove-overlap", help="Leave out rows in both real tables.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the audit's own subsamples.")] = 0,
    as_json: AsJson = False,
) -> int:
    """Audit any synthetic table, from any tool.

    Example: dpsynth audit --train a.csv --holdout b.csv --synthetic c.csv -o audit
    """
    from audits.report import write_html
    from dpsynth.drafting import draft_schema
    from dpsynth.release.evidence import AuditOptions, audit_tables
    from dpsynth.table import Table
    from dpsynth.writing import atomic_directory

    must_be_new(out)
    options = AuditOptions(
        seed=seed,
        attacks=_without_a_box(attack or ()) or None,
        checks=tuple(check or ()) or None,
        claim=_claim(epsilon, delta),
        remove_overlap=remove_overlap,
    )
    tables = (Table.read(train), Table.read(holdout), Table.read(synthetic))
    further = None if reference is None else Table.read(reference)
    earlier = None if previous is None else Table.read(previous)
    others = [*tables[1:], *(table for table in (further, earlier) if table is not None)]
    declared = declared_schema(schema_file)
    if declared is None:
        _same_columns(tables[0], others)
    declared = declared or draft_schema(tables[0])
    for table in (tables[0], *others):
        declared.check(table.names, table.source)
    with bars() as progress:
        result = audit_tables(
            tables,
            schema=declared,
            reference=further,
            previous=earlier,
            options=options,
            progress=progress,
        )
    with atomic_directory(out) as folder:
        (folder / "audit.json").write_text(result.to_json_text(), encoding="utf-8")
        write_html(result, folder / "report.html")
    figures = {name: figure.value for name, figure in result.figures().items()}
    lines = [f"note: {note}" for note in result.notes]
    lines += [f"{finding.name}: {finding.reason}" for finding in result.findings]
    emit(
        {
            "verdict": result.verdict,
            "figures": figures,
            "notes": list(result.notes),
            "out": str(out),
        },
        as_json=as_json,
        text="\n".join([*lines, f"verdict: {result.verdict} ({out / 'report.html'})"]),
    )
    return EXIT_CODES[result.verdict]


def _claim(epsilon: float | None, delta: float | None) -> tuple[float, float] | None:
    """The claim to hold the attacks against, checked before a table is read."""
    from audits.result import Claim
    from dpsynth.errors import InputError

    if epsilon is None:
        if delta is not None:
            raise InputError("--delta is given without --epsilon; give both, or neither")
        return None
    claim = Claim(epsilon=epsilon, delta=DELTA if delta is None else delta)
    return claim.epsilon, claim.delta


def _without_a_box(names: Sequence[str]) -> tuple[str, ...]:
    """The names, if each is installed and needs no more than tables."""
    from audits import registry
    from dpsynth.errors import InputError
    from dpsynth.release.commands import attack_summaries

    known = attack_summaries()
    registry.choose(names)
    for name in names:
        if known[name]["run"] == "library":
            raise InputError(
                f"attack {name!r} needs the generator itself; run it from Python: "
                f"audits.run(..., refit=...)"
            )
    return tuple(names)


def _same_columns(first: "Table", others: "Sequence[Table]") -> None:
    """Without a schema the training table says which columns there are.

    Raises:
        InputError: another table lacks one of them, or has one more.
    """
    from dpsynth.errors import InputError

    for table in others:
        for has, lacks in ((first, table), (table, first)):
            odd = [name for name in has.names if name not in lacks.names]
            if odd:
                raise InputError(
                    f"{lacks.source}: column {odd[0]!r} is missing, which {has.source} has; give "
                    f"all tables the same columns"
                )


def attacks(as_json: AsJson = False) -> int:
    """The audit attacks that are installed, and what each attacker holds.

    Example: dpsynth attacks
    """
    from dpsynth.release.commands import attack_summaries

    found = attack_summaries()
    lines = [
        f"{name:20} {item['kind']:11} {_capital(item['holds'])}"
        + (" [from Python only: refit]" if item["run"] == "library" else "")
        for name, item in found.items()
    ]
    emit(found, as_json=as_json, text="\n".join(lines))
    return 0


def _capital(text: str) -> str:
    """Attacks of other packages write as they like; the list reads as one."""
    return text[:1].upper() + text[1:].rstrip(".")
