"""How far a synthetic table can be trusted: the command `errors`, and `sample --replicates`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from dpsynth.cli_options import AsJson, Seed
from dpsynth.console import bars, emit
from dpsynth.errors import InputError


def errors(
    model: Annotated[Path, typer.Argument(help="Model folder made by `dpsynth fit`.")],
    pair: Annotated[
        list[str] | None,
        typer.Option(help="A,B: only the counts of these two columns together (repeatable)."),
    ] = None,
    replicates: Annotated[int, typer.Option(help="Releases to simulate.")] = 10,
    seed: Seed = None,
    as_json: AsJson = False,
) -> int:
    """How far counts of the synthetic table may be off; costs no budget.

    Example: dpsynth errors model --pair age,income
    """
    from dpsynth.fitted import FittedModel

    fitted = FittedModel.load(model)
    names = [column.name for column in fitted.codec.columns]
    pairs = None if not pair else [split_pair(text, names) for text in pair]
    with bars() as progress:
        found = fitted.expected_errors(
            pairs,
            replicates=replicates,
            seed=seed,
            progress=lambda done, total: progress("simulating", done, total),
        )
    emit(found.to_json(), as_json=as_json, text=found.text())
    return 0


def split_pair(text: str, names: Sequence[str]) -> tuple[str, str]:
    """The two columns of `A,B`, whose names may hold commas themselves."""
    cuts = [place for place, sign in enumerate(text) if sign == ","]
    for place in cuts:
        first, second = text[:place], text[place + 1 :]
        if first in names and second in names:
            return first, second
    raise InputError(
        f"--pair {text!r} is not A,B with two modelled columns; there are {', '.join(names)}"
    )


def sample_replicates(
    model: Path,
    out: Path,
    *,
    count: int,
    rows: int | None,
    where: Mapping[str, str],
    seed: int | None,
    as_json: bool,
) -> int:
    """Write a table of the model itself (0.csv) and one of each of `count` replicates of it."""
    import numpy as np

    from dpsynth.fitted import FittedModel, check_rows
    from dpsynth.sampling.evidence import read_evidence
    from dpsynth.writing import atomic_directory, write_frame

    fitted = FittedModel.load(model)
    if rows is not None:
        check_rows(rows)
    read_evidence(fitted.codec.parts, fitted.names, where)  # refused before the long work
    rng = np.random.default_rng(seed)
    size = fitted.rows if rows is None else rows
    with bars() as progress, atomic_directory(out) as folder:
        made = fitted.replicates(
            count, rng=rng, progress=lambda done, total: progress("replicates", done, total)
        )
        for number, one in enumerate((fitted, *made)):
            write_frame(one.sample(size, where=where, rng=rng), folder / f"{number}.csv")
    emit(
        {"out": str(out), "rows": size, "replicates": count},
        as_json=as_json,
        text=f"{out}: 0.csv from the model, 1.csv to {count}.csv from its replicates, {size} rows "
        "each. Analyse every table alike, then combine: "
        "dpsynth.inference.combine(estimates of 1 to "
        f"{count}, fitted=estimate of 0)",
    )
    return 0
