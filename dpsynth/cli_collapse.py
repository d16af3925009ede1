"""The command `collapse`: what is left after several generations of models fitted to models."""

from typing import TYPE_CHECKING, Annotated

import typer

from dpsynth.cli_options import AsJson, Data, GeneratorName, Out, Query, SchemaFile
from dpsynth.cli_shared import chosen_generator, declared_schema, must_be_new, must_be_there
from dpsynth.console import bars, emit, say
from dpsynth.errors import InputError

if TYPE_CHECKING:
    from dpsynth.generations.chain import Make
    from dpsynth.schema import Schema

DELTA = 1e-5
MODES = ("replace", "accumulate")


def collapse(
    data: Data,
    generations: Annotated[int, typer.Option(help="Synthetic generations, at least 1.")],
    out: Out,
    mode: Annotated[
        list[str] | None,
        typer.Option(
            help="replace, accumulate or fresh:SHARE; may be repeated. Default: the first two."
        ),
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Budget of each generation's fit, above 0.")
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="Probability budget, in (0, 1); default: 1e-5.")
    ] = None,
    non_private: Annotated[
        bool, typer.Option("--non-private", help="Fit without any privacy, for comparison.")
    ] = False,
    generator: GeneratorName = "autoregressive",
    schema_file: SchemaFile = None,
    target: Annotated[
        str | None, typer.Option(help="Column to predict: train on synthetic, test on real.")
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(help="Rows of each table; the other real rows are dealt as fresh ones."),
    ] = None,
    query: Query = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of split and samples; private noise has none.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Fit models to what models made, and draw what is left. For internal eyes.

    Example: dpsynth collapse people.csv --generations 5 --epsilon 3 -o collapse
    """
    from dpsynth.generations.experiment import Plan, prepare, without_identifiers
    from dpsynth.generations.experiment import collapse as run
    from dpsynth.generations.modes import parse_modes
    from dpsynth.generations.page import write
    from dpsynth.generations.result import INTERNAL
    from dpsynth.table import Table
    from dpsynth.writing import atomic_directory

    must_be_new(out)
    plan = Plan(
        generations=generations,
        modes=parse_modes(mode or MODES),
        rows=rows,
        target=target,
        seed=seed,
    )
    declared = declared_schema(schema_file)
    generator = chosen_generator(generator, declared)
    modelled = None if declared is None else without_identifiers(declared)
    make, maker = _maker(epsilon, delta, generator, modelled, non_private=non_private)
    must_be_there(data)
    material = prepare(Table.read(data, query=query), declared, plan)
    with bars() as progress, atomic_directory(out) as folder:
        result = run(material, plan, make, maker=maker, progress=progress)
        write(result, folder)
    say(INTERNAL)
    emit(
        {"out": str(out), **result.to_json()},
        as_json=as_json,
        text=f"{result.text()}\n{out / 'collapse.html'}",
    )
    return 0


def _maker(
    epsilon: float | None,
    delta: float | None,
    generator: str,
    schema: "Schema | None",
    *,
    non_private: bool,
) -> "tuple[Make, str]":
    """What fits and samples, and its name in the files."""
    from dpsynth.generations import makers
    from dpsynth.generators import registry

    registry.check(generator)
    if non_private:
        if epsilon is not None or delta is not None:
            raise InputError("--non-private has no budget; leave out --epsilon and --delta")
        made = makers.non_private_maker(schema=schema, generator=generator)
        return made, f"{generator}, fitted WITHOUT privacy"
    if epsilon is None:
        raise InputError("give --epsilon for private fits, or --non-private for comparison")
    chosen = DELTA if delta is None else delta
    made = makers.private_maker(epsilon=epsilon, delta=chosen, schema=schema, generator=generator)
    return made, f"{generator} at epsilon {epsilon:g}, delta {chosen:g} in each generation"
