"""How fast rows are drawn, how evenly, and what a condition or a filled gap costs.

    python benchmarks/sampling_speed.py [--rows 1000000] [--threads 2] [--hidden 0 64] [--error]

The model is made up: 15 columns in the proportions of the Adult table (6 numbers, 9 categories,
195 codes), with random tables and without measured pairs. Printed are rows a second of wall time
and of CPU time (all threads together), for the codes alone and with decoding to a DataFrame; on a
machine that does other work the CPU figure is the steadier one. `--error` adds the sampling error:
the total variation distance between a sample and a large one, over 1, 2 and 3 columns, for rows
drawn each on its own and as they are drawn.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable

import numpy as np
import torch

from dpsynth.encoding.binning import Intervals
from dpsynth.encoding.codec import CategoryCodec, ColumnCodec, NumberCodec, TableCodec
from dpsynth.generators import autoregressive
from dpsynth.generators.base import ColumnWise, IntArray, Layout
from dpsynth.privacy.queries import Grid
from dpsynth.sampling import drawing
from dpsynth.sampling.sampler import TableSampler
from dpsynth.schema import Column
from dpsynth.table import Table

NUMBERS = {0: 25, 2: 24, 4: 16, 10: 12, 11: 7, 12: 32}
CATEGORIES = {1: 8, 3: 16, 5: 7, 6: 15, 7: 6, 8: 5, 9: 2, 13: 18, 14: 2}


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    report: dict[str, object] = {"threads": arguments.threads, "load": os.getloadavg()[0]}
    for hidden in arguments.hidden:
        sampler = _sampler(hidden)
        report[f"hidden {hidden}"] = _speeds(sampler, arguments.rows)
        if arguments.error:
            columns = autoregressive.columns(sampler.model)
            report[f"sampling error, hidden {hidden}"] = _errors(columns, arguments.sample)
    print(json.dumps(report, indent=1))


def _sampler(hidden: int) -> TableSampler:
    parts = tuple(_part(c) for c in range(15))
    sizes = tuple(part.size for part in parts)
    rng = np.random.default_rng(0)
    layout = Layout(sizes, tuple(rng.dirichlet(np.ones(s)) for s in sizes), 32_561.0)
    model = autoregressive.build(layout, options={"hidden": hidden}, rng=rng)
    layers = [model.tables, *([model.inner, model.outer] if hidden else [])]
    with torch.no_grad():
        for layer in layers:
            for parameter, mask in zip(layer.parameters(), layer.trainable_masks(), strict=True):
                parameter += torch.from_numpy(rng.normal(0, 0.3, parameter.shape)).float() * mask
    names = tuple(part.column.name for part in parts)
    return TableSampler(autoregressive, model, TableCodec(parts), names)


def _part(column: int) -> ColumnCodec:
    name = f"c{column}"
    if column in CATEGORIES:
        size = CATEGORIES[column]
        return CategoryCodec(
            column=Column(name=name, kind="categorical"),
            categories=tuple(f"value {k}" for k in range(size)),
            codes=np.arange(size),
            weights=np.ones(size),
            other=None,
            missing=None,
            fallback=0,
        )
    size = NUMBERS[column]
    starts, pieces = np.arange(4 * size) * 25, np.arange(4 * size) // 4
    return NumberCodec(
        column=Column(name=name, kind="integer", lower=0, upper=100 * size - 1),
        grid=Grid(0.0, 1.0, 100 * size),
        intervals=Intervals(starts, pieces, np.full(4 * size, 0.25)),
        missing=None,
        fallback=0,
    )


def _speeds(sampler: TableSampler, rows: int) -> dict[str, object]:
    def codes() -> int:
        return len(sampler.generator.sample(sampler.model, rows, rng=np.random.default_rng(1)))

    def frame() -> int:
        parts = sampler.parts(rows, where=None, rng=np.random.default_rng(1))
        return sum(len(part.frame) for part in parts)

    def where() -> int:
        asked = {"c14": "value 1", "c0": "500..1499"}
        parts = sampler.parts(rows // 10, where=asked, rng=np.random.default_rng(1))
        return sum(len(part.frame) for part in parts)

    given = next(sampler.parts(10_000, where=None, rng=np.random.default_rng(2))).frame
    gaps = Table.from_frame(given.drop(columns=["c3"]))

    def fill() -> int:
        return len(sampler.fill(gaps, rng=np.random.default_rng(1)).frame)

    works = {"codes": codes, "codes and frame": frame, "where": where, "fill": fill}
    return {name: _rate(work) for name, work in works.items()}


def _rate(work: Callable[[], int]) -> dict[str, int]:
    """Best of three, in rows a second."""
    best = {"rows a second": 0, "rows a CPU second": 0}
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        rows = work()
        found = (rows / (time.perf_counter() - wall), rows / (time.process_time() - cpu))
        best = {k: max(v, round(f)) for (k, v), f in zip(best.items(), found, strict=True)}
    return best


def _errors(columns: ColumnWise, rows: int) -> dict[str, object]:
    """Mean total variation distance to 3,000,000 rows, by number of columns looked at."""
    rng = np.random.default_rng(0)
    every = range(len(columns.sizes))
    triples = list(itertools.combinations(every, 3))
    some = [triples[i] for i in rng.choice(len(triples), 60, replace=False)]
    views = {
        "1 column": [(c,) for c in every],
        "2 columns": list(itertools.combinations(every, 2)),
        "3 columns": some,
    }
    large = drawing.draw_rows(columns, 3_000_000, rng=np.random.default_rng(9))
    free = large[rng.choice(len(large), rows, replace=False)]  # rows that know nothing of another
    made = drawing.draw_rows(columns, rows, rng=np.random.default_rng(1))
    return {
        name: {
            "each row on its own": _distance(columns, free, large, sets),
            "as drawn": _distance(columns, made, large, sets),
        }
        for name, sets in views.items()
    }


def _distance(
    columns: ColumnWise, left: IntArray, right: IntArray, sets: list[tuple[int, ...]]
) -> float:
    found = []
    for chosen in sets:
        sizes = [columns.sizes[c] for c in chosen]
        shares = [
            np.bincount(
                np.ravel_multi_index(tuple(codes[:, c] for c in chosen), sizes),
                minlength=int(np.prod(sizes)),
            )
            / len(codes)
            for codes in (left, right)
        ]
        found.append(0.5 * np.abs(shares[0] - shares[1]).sum())
    return round(float(np.mean(found)), 5)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed and evenness of sampling.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--hidden", type=int, nargs="+", default=[0, 64])
    parser.add_argument("--error", action="store_true", help="measure the sampling error as well")
    parser.add_argument("--sample", type=int, default=32_561, help="rows of that sample")
    return parser.parse_args()


if __name__ == "__main__":
    main()
