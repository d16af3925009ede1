"""Whole audits where the truth is known: false alarms, power, verbatim copies, seconds.

    python benchmarks/audit_rates.py --rates [--seeds 2000] [--markdown docs/audit_rates.md]
    python benchmarks/audit_rates.py --power [--seeds 200] [--markdown docs/audit_rates.md]
    python benchmarks/audit_rates.py --copies [--seeds 200] [--markdown docs/audit_rates.md]
    python benchmarks/audit_rates.py --speed [--rows 20000] [--csv TABLE] [--markdown ...]

Several tasks may be asked for at once. The first three write one JSON line for each seed to a file
in `--out` (by default `build/audits`) and go on from there if they are stopped; lines made by
another version of the code count for nothing. `--workers` processes share the seeds, which count up
from 0 and are taken in order, all worlds in turn. Of some fifty shares of alarms a few exceed two
standard errors by luck: a world with one is measured again on as many fresh seeds, both figures are
shown, and the second one counts. The exit status is 1 if a promise is broken.
"""

import argparse
import sys
from pathlib import Path

import audit_tables
import audit_tasks

SEEDS = {"rates": 2_000, "power": 200, "copies": 200}
Shown = tuple[str, list[str]]


def main() -> None:
    arguments = _arguments()
    broken: list[str] = []
    for task in audit_tables.TASKS:
        if not getattr(arguments, task):
            continue
        text, wrong = _speed(arguments) if task == "speed" else _seeds(task, arguments)
        if arguments.markdown:
            audit_tables.between_markers(arguments.markdown, task, text)
        print(text, flush=True)
        broken += wrong
    for line in broken:
        print(f"broken promise: {line}", file=sys.stderr)
    sys.exit(1 if broken else 0)


def _seeds(task: str, arguments: argparse.Namespace) -> Shown:
    seeds = arguments.seeds or SEEDS[task]
    if task == "rates":
        return _rates(seeds, arguments)
    if task == "power":
        return audit_tables.power(_lines(task, audit_tasks.power_jobs(seeds), arguments))
    return audit_tables.copies(_lines(task, audit_tasks.copy_jobs(seeds), arguments))


def _rates(seeds: int, arguments: argparse.Namespace) -> Shown:
    """Worlds with a share too high are measured again: of many shares a few are so by luck."""
    lines = _lines("rates", audit_tasks.rate_jobs(seeds), arguments)
    doubted = audit_tables.exceeded(lines)
    fresh = audit_tasks.rate_jobs(seeds, first=seeds, worlds=doubted)
    return audit_tables.rates(lines, _lines("rates", fresh, arguments))


def _lines(
    task: str, jobs: list[audit_tasks.Job], arguments: argparse.Namespace
) -> list[audit_tasks.Line]:
    return audit_tasks.work(
        jobs,
        path=arguments.out / f"{task}.jsonl",
        workers=arguments.workers,
        report=lambda done, total: _progress(task, done, total),
    )


def _speed(arguments: argparse.Namespace) -> Shown:
    return audit_tables.speed(
        audit_tasks.timed(rows=arguments.rows, threads=2, csv=arguments.csv, progress=_progress)
    )


def _progress(what: str, done: int, total: int) -> None:
    print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", action="store_true", help="false alarms without a leak")
    parser.add_argument("--power", action="store_true", help="leaks stated as detectable")
    parser.add_argument("--copies", action="store_true", help="verbatim binary copies never pass")
    parser.add_argument("--speed", action="store_true", help="the full suite on a large table")
    parser.add_argument("--seeds", type=int, help=f"by default {SEEDS}")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build/audits"))
    parser.add_argument("--rows", type=int, default=20_000, help="of each table of --speed")
    parser.add_argument("--csv", type=Path, help="table for --speed, dealt into three at random")
    parser.add_argument("--markdown", type=Path, help="document whose marked parts are rewritten")
    arguments = parser.parse_args()
    if not any(getattr(arguments, task) for task in audit_tables.TASKS):
        parser.error(f"nothing to do; give {', '.join('--' + task for task in audit_tables.TASKS)}")
    return arguments


if __name__ == "__main__":
    main()
