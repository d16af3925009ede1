"""dpsynth's generators side by side: fit, sample, score, and the monitor's alarms.

    python benchmarks/generators.py --tables DIR... [--rows 1000 5000 all]
        [--generators autoregressive vae gan diffusion independent] [--epsilon 1 3 10]
        [--non-private] [--seeds 1] [--scorer SCORE.py] [--cache DIR] [--limit-minutes 30]
        [--retry-failed] [--only-known] [--json OUT] [--markdown OUT] [--into PAGE] [--figure OUT]

DIR is a folder with train.csv, test.csv and meta.json, as for utility.py, which this shares its
cache, scorer and runner with: each fit is a process of its own on one thread, a stopped benchmark
goes on where it was, and a failure is a line of its own. A table is also run on samples of its
training rows (--rows). --non-private adds the same networks trained without privacy: not to be
released, and marked so. --into replaces what stands between the marks of a page (docs/generators.md
has them). Run it alone on the machine: it tells times by the clock.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from generators_figure import draw
from generators_report import markdown, put_between_marks
from generators_runs import completed, planned, sized
from rich.console import Console
from utility import results
from utility_cache import Cache
from utility_runs import OWN_SCORER, Bench
from utility_tables import BenchmarkTable

from dpsynth.generators import registry

ORDER = ("autoregressive", "vae", "gan", "diffusion", "independent")


def main() -> None:
    given = _arguments()
    cache = Cache(given.cache)
    bench = Bench(
        cache,
        scorer=given.scorer.absolute(),
        limit_s=given.limit_minutes * 60,
        again=given.retry_failed,
    )
    tables = [sized(BenchmarkTable(d), rows, cache) for d in given.tables for rows in given.rows]
    runs = planned(
        tables,
        given.generators,
        given.epsilon,
        range(given.first_seed, given.first_seed + given.seeds),
        delta=given.delta,
        non_private=given.non_private,
    )
    runs = [run for run in runs if bench.known(run)] if given.only_known else runs
    scored = results(bench, runs, Console(stderr=True))
    _write(given, list(completed(runs, scored, cache)))


def _write(given: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    report = markdown(rows)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1, allow_nan=False))
    if given.figure:
        draw(rows, given.figure)
    if given.into:
        given.into.write_text(put_between_marks(given.into.read_text(), report))
    if given.markdown:
        given.markdown.write_text(report)
    elif not given.into:
        print(report)


def _row_count(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; a whole number of rows, or all")
    return int(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--rows", type=_row_count, nargs="+", default=[None])
    parser.add_argument("--generators", nargs="+", default=ORDER, choices=registry.names())
    parser.add_argument("--epsilon", type=float, nargs="+", default=[1.0, 3.0, 10.0])
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--non-private", action="store_true")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--scorer", type=Path, default=OWN_SCORER)
    parser.add_argument("--cache", type=Path, default=Path("benchmark-cache"))
    parser.add_argument("--limit-minutes", type=float, default=30.0)
    parser.add_argument("--retry-failed", action="store_true")
    parser.add_argument("--only-known", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--figure", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
