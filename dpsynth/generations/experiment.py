"""The experiment over generations: split, run a chain for each mode, measure every table.

It reads the owner's real rows raw, and releases nothing: synthetic tables are measured and let go.
"""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dpsynth.drafting import draft_schema
from dpsynth.errors import InputError
from dpsynth.generations import theory
from dpsynth.generations.chain import Generation, Make, Start, chain, generation_one
from dpsynth.generations.curves import MEASURES, Yardstick
from dpsynth.generations.makers import frame_of
from dpsynth.generations.modes import Mode
from dpsynth.generations.result import Collapse, Curve
from dpsynth.schema import Schema
from dpsynth.table import Table, split

Progress = Callable[[str, int, int], None]

HOLDOUT_SHARE = 0.2
"""Share of the privacy units that no generation is fitted to, to test on."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked for.

    Attributes:
        generations: synthetic generations, at least 1.
        modes: one chain each.
        rows: of generation 0 and of every synthetic table, drawn at random from the training part;
            the others are then kept to be dealt as fresh rows. None takes the whole training part.
        target: column for train-on-synthetic, test-on-real; None leaves it out.
        seed: of split, subsamples and makers (not of private noise); None draws one.

    Raises:
        InputError: a number out of range.
    """

    generations: int
    modes: tuple[Mode, ...]
    rows: int | None = None
    target: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.generations < 1:
            raise InputError(
                f"generations is {self.generations}; give a whole number of at least 1"
            )
        if self.rows is not None and self.rows < 1:
            raise InputError(f"rows is {self.rows}; give a whole number of at least 1")
        if not self.modes:
            raise InputError("no mode is given; give at least one")


@dataclass(frozen=True, kw_only=True)
class Material:
    """The real rows as the experiment uses them, without identifiers. PRIVATE.

    Attributes:
        start: generation 0 and spare rows.
        yardstick: what all generations are measured by.
        seed: the one that was used.
    """

    start: Start
    yardstick: Yardstick
    seed: int


def prepare(table: Table, declared: Schema | None, plan: Plan) -> Material:
    """Split the table and check all that can be checked before the first fit.

    Privacy units are kept together in the split. Afterwards identifiers are dropped, so that a row
    is its own unit: synthetic and real rows cannot share one.

    Raises:
        InputError: a table, schema, target or number of rows that does not do.
    """
    if declared is not None:
        declared.check(table.names, table.source)
    read_by = declared or draft_schema(table)
    names = [column.name for column in read_by.modelled]
    seed = _drawn_seed(np.random.default_rng()) if plan.seed is None else plan.seed
    rng = np.random.default_rng([seed, 0])
    unit = declared.unit if declared is not None else None
    parts = split(table, unit=unit, share=HOLDOUT_SHARE, rng=rng)
    train, holdout = (frame_of(part.select(names)) for part in (parts.train, parts.holdout))
    start = _start(train, plan, rng)
    yardstick = Yardstick(
        real=start.zero,
        holdout=holdout,
        schema=without_identifiers(read_by),
        target=plan.target,
        seed=seed,
    )
    for mode in plan.modes:
        start.check_fresh(mode, plan.generations)
    return Material(start=start, yardstick=yardstick, seed=seed)


def without_identifiers(schema: Schema) -> Schema:
    """What the makers are given: the experiment drops identifiers, and a row is its own unit."""
    return Schema(columns=schema.modelled)


def collapse(
    material: Material,
    plan: Plan,
    make: Make,
    *,
    maker: str,
    progress: Progress = lambda label, done, total: None,
) -> Collapse:
    """Run one chain for each mode and measure every generation.

    Args:
        material: from `prepare` with the same plan.
        plan: modes and generations.
        make: fits a model to a table and draws rows of it.
        maker: what it is, in words, for the files.
        progress: told which fit is under way.

    Raises:
        InputError: a fit that is not possible, for example on too few rows.
    """
    total = 1 + len(plan.modes) * (plan.generations - 1)
    done = 0

    def tick(label: str) -> None:
        nonlocal done
        progress(f"generations: {label}", done, total)
        done += 1

    tick("1, all modes")
    rng = np.random.default_rng([material.seed, 1])
    first = generation_one(material.start, make=make, rng=rng)
    zero = material.yardstick.measure(material.start.zero)
    one = material.yardstick.measure(first.table)
    curves = []
    for number, mode in enumerate(plan.modes):
        stream = np.random.default_rng([material.seed, 2, number])
        links = chain(
            material.start,
            mode=mode,
            generations=plan.generations,
            make=make,
            rng=stream,
            first=first,
        )
        next(links)
        sizes, found = [_sizes(first)], [zero, one]
        for wanted in range(2, plan.generations + 1):
            tick(f"{wanted}, {mode.name}")
            link = next(links)
            sizes.append(_sizes(link))
            found.append(material.yardstick.measure(link.table))
        curves.append(_curve(mode, sizes, found, material))
    progress("generations", total, total)
    return Collapse(curves=tuple(curves), settings=_settings(material, plan, maker))


def _start(train: pd.DataFrame, plan: Plan, rng: np.random.Generator) -> Start:
    rows = len(train) if plan.rows is None else plan.rows
    if rows > len(train):
        raise InputError(
            f"rows is {rows}, but after a holdout of {HOLDOUT_SHARE:.0%} only {len(train)} rows "
            "are left for generation 0; ask for fewer"
        )
    order = rng.permutation(len(train))
    zero, spare = (np.sort(part) for part in (order[:rows], order[rows:]))
    return Start(
        zero=train.iloc[zero].reset_index(drop=True), spare=train.iloc[spare].reset_index(drop=True)
    )


def _drawn_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _sizes(generation: Generation) -> tuple[int, int]:
    return generation.training_rows, generation.real_rows


def _curve(
    mode: Mode,
    sizes: list[tuple[int, int]],
    found: list[dict[str, float | None]],
    material: Material,
) -> Curve:
    rows, count = len(material.start.zero), len(sizes)
    expected = {
        "support": theory.levels_left(mode, material.yardstick.copies(), generations=count),
    }
    start = {"support": 1.0, "log_variance": 0.0}
    if found[0]["log_variance"] is not None:
        expected["log_variance"] = theory.log_variance(mode, rows=rows, generations=count)
    return Curve(
        mode=mode.name,
        note=_note(mode, material.start, count),
        training_rows=tuple(rows for rows, _ in sizes),
        real_rows=tuple(real for _, real in sizes),
        figures={m.key: tuple(figures[m.key] for figures in found) for m in MEASURES},
        theory={key: (start[key], *values.tolist()) for key, values in expected.items()},
    )


def _note(mode: Mode, start: Start, generations: int) -> str:
    if mode.kind == "replace":
        return "each generation is fitted to the last synthetic table alone"
    if mode.kind == "accumulate":
        return "each generation is fitted to the real table and all synthetic ones so far"
    fresh = mode.fresh_rows(len(start.zero))
    text = f"{fresh} of {len(start.zero)} rows of each generation after the first are real"
    if len(start.spare):
        return f"{text}, and no generation before saw them"
    if start.again(mode, generations):
        return f"{text}; there were too few for all generations, so some are used more than once"
    return f"{text}: other rows of the real table in each generation"


def _settings(material: Material, plan: Plan, maker: str) -> dict[str, object]:
    packages = ("dpsynth", "numpy", "pandas", "scikit-learn", "torch")
    return {
        "generations": plan.generations,
        "modes": [mode.name for mode in plan.modes],
        "maker": maker,
        "rows": len(material.start.zero),
        "holdout_rows": len(material.yardstick.holdout),
        "spare_rows": len(material.start.spare),
        "columns": [column.name for column in material.yardstick.schema.columns],
        "target": plan.target,
        "seed": material.seed,
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }
