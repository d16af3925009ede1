"""Utility of synthetic tables, side by side with other systems: fit, sample, score.

    python benchmarks/utility.py --tables DIR... [--made parity]
        [--systems dpsynth aim mst dpctgan tabularargn independent]
        [--epsilon 1 3 10] [--seeds 3] [--scorer SCORE.py] [--cache DIR] [--limit-minutes 75]
        [--retry-failed] [--only-known] [--json OUT] [--markdown OUT]

DIR is a folder with train.csv, test.csv and meta.json (columns with kind, lower, upper, categories
and missing; and the target of the prediction task). Each run fits in a process of its own on one
thread and draws as many rows as train.csv has. A rival's environment is made on first use. Results
are kept in the cache by a hash of all they depend on, so a stopped benchmark goes on where it was
(--only-known reports what there is), and a system that fails is a line of its own. SCORE.py is
called as `SCORE.py TRAIN TEST SYNTHETIC --target COLUMN` and prints one JSON object; without it
utility_score.py beside this file is used. Run it alone on the machine: it tells times by the clock.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from utility_cache import DONE, Cache
from utility_report import BEST, markdown
from utility_runs import OWN_SCORER, Bench, Run
from utility_systems import ALL, System
from utility_tables import MADE, BenchmarkTable, made


def main() -> None:
    given = _arguments()
    cache = Cache(given.cache)
    bench = Bench(
        cache,
        scorer=given.scorer.absolute(),
        limit_s=given.limit_minutes * 60,
        again=given.retry_failed,
    )
    tables = [*map(BenchmarkTable, given.tables), *(made(name, cache) for name in given.made)]
    systems = [ALL[name] for name in given.systems]
    runs = [
        Run(system, table, epsilon, given.delta, seed)
        for seed in range(given.first_seed, given.first_seed + given.seeds)
        for epsilon in given.epsilon
        for table in tables
        for system in systems
    ]
    runs = [run for run in runs if bench.known(run)] if given.only_known else runs
    rows = results(bench, runs, Console(stderr=True))
    report = markdown(rows, {system.name: system.about() for system in systems})
    _write(given, rows, systems, report)


def results(bench: Bench, runs: Iterable[Run], console: Console) -> list[dict[str, Any]]:
    """Every run's row, in the order given; what is running is shown, a line for each one ended."""
    runs = list(runs)
    fresh = sum(not bench.known(run) for run in runs)
    console.print(f"{len(runs)} runs, {len(runs) - fresh} of them known")
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    rows = []
    with Progress(TextColumn("{task.description}"), *columns, console=console) as progress:
        task = progress.add_task("", total=len(runs))
        for run in runs:
            progress.update(task, description=run.title)
            rows.append(bench.result(run))
            progress.advance(task)
            progress.print(f"{run.title}: {_told(rows[-1])}", highlight=False, soft_wrap=True)
    return rows


def _told(row: dict[str, Any]) -> str:
    if row["status"] != DONE:
        return f"failed: {row['message']}"
    figures = " ".join(f"{name} {row[name]:.4f}" for name in BEST)
    cost = f"fit {row['fit_s']:.0f} s, CPU {row['fit_cpu_s']:.0f} s, peak {row['peak_mb']:.0f} MB"
    return f"{figures}, {cost}"


def _write(
    given: argparse.Namespace, rows: list[dict[str, Any]], systems: list[System], report: str
) -> None:
    if given.json:
        about = {system.name: system.about() for system in systems}
        given.json.write_text(json.dumps({"systems": about, "results": rows}, indent=1))
    if given.markdown:
        given.markdown.write_text(report)
    else:
        print(report)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--made", nargs="+", default=[], choices=sorted(MADE))
    parser.add_argument("--systems", nargs="+", default=list(ALL), choices=list(ALL))
    parser.add_argument("--epsilon", type=float, nargs="+", default=[1.0, 3.0, 10.0])
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--scorer", type=Path, default=OWN_SCORER)
    parser.add_argument("--cache", type=Path, default=Path("benchmark-cache"))
    parser.add_argument("--limit-minutes", type=float, default=75.0)
    parser.add_argument("--retry-failed", action="store_true")
    parser.add_argument("--only-known", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    if not given.tables and not given.made:
        parser.error("no table: name folders with --tables, or --made parity")
    return given


if __name__ == "__main__":
    main()
