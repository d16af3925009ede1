"""Which generators are run on which tables, and what is known of a run beside its scores."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from utility_cache import DONE, Cache, digest, file_digest
from utility_runs import Run
from utility_systems import PACKAGE, System
from utility_tables import BenchmarkTable

NO_PRIVACY = math.inf
"""Stands for epsilon where a network is trained without privacy; None in results."""
LARGE = 0.02
"""Share of the training rows from which on a category must not be missing."""
NUMBERS = ("integer", "numeric", "datetime")
_SUBSAMPLE_SEED = 20_261
_NOT_IN_A_FIT = ("release", "generations", "cli")


@dataclass(frozen=True)
class GeneratorSystem(System):
    """One of dpsynth's own generators; found again by the part of the code that a fit runs."""

    def version(self) -> dict[str, str]:
        """What stands for its code in the hash of a result."""
        files = {
            str(path.relative_to(PACKAGE)): file_digest(path)
            for path in PACKAGE.rglob("*.py")
            if not str(path.relative_to(PACKAGE)).startswith(_NOT_IN_A_FIT)
        }
        return {"code": digest(files)}


class GeneratorRun(Run):
    """A run whose title says where there is no privacy."""

    @property
    def title(self) -> str:
        return super().title.replace(f"epsilon {NO_PRIVACY:g}", "no privacy")


def system(generator: str, *, private: bool) -> GeneratorSystem:
    """A generator at its defaults, private or not."""
    settings = {"generator": generator, "private": private}
    return GeneratorSystem(generator, "own_generators.py", settings, remark="Every default.")


def planned(
    tables: Sequence[BenchmarkTable],
    generators: Sequence[str],
    epsilons: Sequence[float],
    seeds: Sequence[int],
    *,
    delta: float,
    non_private: bool,
) -> list[Run]:
    """All runs: private ones table by table, then those without privacy."""
    private = [system(name, private=True) for name in generators]
    bare = [system(name, private=False) for name in generators] if non_private else []
    return [
        GeneratorRun(one, table, epsilon, delta, seed)
        for seed in seeds
        for epsilon, systems in [*((e, private) for e in epsilons), (NO_PRIVACY, bare)]
        for table in tables
        for one in systems
    ]


def sized(table: BenchmarkTable, rows: int | None, cache: Cache) -> BenchmarkTable:
    """The table with that many of its training rows, always the same; None takes all of them.

    Raises:
        SystemExit: it has fewer rows.
    """
    if rows is None:
        return table
    if rows > table.rows():
        raise SystemExit(f"{table.train}: {table.rows()} rows; {rows} cannot be drawn from them")
    folder = cache.file("tables", f"{table.name}-{rows}")
    folder.mkdir(exist_ok=True)
    # Cells as they are written, so that a whole number does not become 7.0 beside a missing one.
    train = pd.read_csv(table.train, dtype=str, keep_default_na=False, skip_blank_lines=False)
    drawn = train.sample(rows, random_state=_SUBSAMPLE_SEED)
    drawn.to_csv(folder / "train.csv", index=False)
    for source in (table.test, table.meta):
        (folder / source.name).write_bytes(source.read_bytes())
    return BenchmarkTable(folder)


def facts(table: BenchmarkTable) -> dict[str, Any]:
    """What a rule of choice may lean on: rows, columns, and the share of them that is numeric."""
    kinds = [about["kind"] for about in json.loads(table.meta.read_text())["columns"].values()]
    numeric = sum(kind in NUMBERS for kind in kinds) / len(kinds)
    return {"rows": table.rows(), "columns": len(kinds), "numeric": round(numeric, 3)}


def missing_categories(train: Path, synthetic: Path, meta: Path) -> list[str]:
    """Categories with more than 2 % of the training rows that no synthetic row has.

    Missing values count as a category of every column.

    Returns:
        "column: category" each.
    """
    columns = json.loads(meta.read_text())["columns"]
    real, made = (
        pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
        for path in (train, synthetic)
    )
    lost = []
    for name, about in columns.items():
        before, after = (frame[name] for frame in (real, made))
        if about["kind"] in NUMBERS:
            before, after = (cells.where(cells == "", "a value") for cells in (before, after))
        shares = before.value_counts(normalize=True)
        large = shares.index[shares > LARGE]
        lost += [f"{name}: {value or '(missing)'}" for value in large.difference(after.unique())]
    return lost


def completed(
    runs: Sequence[Run], rows: Sequence[dict[str, Any]], cache: Cache
) -> Iterator[dict[str, Any]]:
    """The rows with the facts of their tables and the categories that are missing."""
    known = {run.table.folder: facts(run.table) for run in runs}
    for run, row in zip(runs, rows, strict=True):
        private = run.epsilon != NO_PRIVACY
        more: dict[str, Any] = {"facts": known[run.table.folder]}
        more["epsilon"] = run.epsilon if private else None
        made = cache.file("synthetic", f"{digest(run.inputs())}.csv")
        if row["status"] == DONE and made.is_file():
            more["missing"] = missing_categories(run.table.train, made, run.table.meta)
        yield row | more
