"""Exact nearest neighbours of a mixed table under Gower's distance: seconds, memory, same bits.

    python benchmarks/neighbours.py [--rows 100000] [--numbers 6] [--categories 8]
        [--rival-rows 4000] [--repeats 3]

Every query row against every reference row, on 1 and on 2 threads, each in a process of its own
whose peak memory is reported. The rival is a plain full matrix, one column at a time in numpy with
`argmin`; it is run at fewer rows, in turn with ours (A B A B ...), and the median of the paired
ratios is printed, since machines are noisy.
"""

import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import pandas as pd

from audits.distance import nearest
from audits.records import Encoded, Records, encode


def main() -> None:
    arguments = _arguments()
    if arguments.threads:
        print(json.dumps(_timed(arguments)))
        return
    runs = [_apart(arguments, threads) for threads in (1, 2)]
    result = {
        "rows": arguments.rows,
        "columns": arguments.numbers + arguments.categories,
        "runs": runs,
        "same_bits": len({run["sha256"] for run in runs}) == 1,
        "rival": _rival(arguments),
    }
    print(json.dumps(result, indent=1))


def tables(rows: int, *, numbers: int, categories: int) -> Encoded:
    """Two independent tables of normal numbers (one in four with atoms) and ten-way categories."""
    rng = np.random.default_rng(0)

    def table() -> pd.DataFrame:
        columns: dict[str, np.ndarray] = {}
        for i in range(numbers):
            values = rng.normal(size=rows)
            columns[f"x{i}"] = np.where(values > 0, values, 0.0) if i % 4 == 3 else values
        for i in range(categories):
            columns[f"c{i}"] = rng.choice(list("abcdefghij"), rows)
        return pd.DataFrame(columns)

    references, queries = table(), table()
    return encode(references, references, queries)


def plain(queries: Records, references: Records) -> np.ndarray:
    """Nearest distances by the full matrix."""
    total = np.zeros((len(queries), len(references)))
    for a, b in zip(queries.scaled.T, references.scaled.T, strict=True):
        total += np.minimum(np.abs(a[:, None] - b[None, :]), 1.0)
    for c, d in zip(queries.categories.T, references.categories.T, strict=True):
        total += c[:, None] != d[None, :]
    found = total.argmin(axis=1)
    return np.asarray(total[np.arange(len(queries)), found] / len(queries.names))


def _timed(arguments: argparse.Namespace) -> dict[str, object]:
    data = tables(arguments.rows, numbers=arguments.numbers, categories=arguments.categories)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, used = time.perf_counter(), time.process_time()
    distances, places = nearest(data.synthetic, data.train, n_jobs=arguments.threads)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    digest = hashlib.sha256(distances.tobytes() + places.tobytes()).hexdigest()
    return {
        "threads": arguments.threads,
        "seconds": round(seconds, 2),
        # Where other work holds the cores, these tell what the search itself took.
        "cpu_seconds": round(used, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "before_mib": before // 1024,
        "sha256": digest,
    }


def _apart(arguments: argparse.Namespace, threads: int) -> dict[str, object]:
    command = [sys.executable, __file__, "--threads", str(threads)]
    for name in ("rows", "numbers", "categories"):
        command += [f"--{name}", str(getattr(arguments, name))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def _rival(arguments: argparse.Namespace) -> dict[str, object]:
    data = tables(arguments.rival_rows, numbers=arguments.numbers, categories=arguments.categories)
    ratios = []
    for _ in range(arguments.repeats):
        start = time.perf_counter()
        expected = plain(data.synthetic, data.train)
        middle = time.perf_counter()
        found, _ = nearest(data.synthetic, data.train, n_jobs=1)
        ratios.append((middle - start) / (time.perf_counter() - middle))
        if not np.allclose(found[:, 0], expected, atol=1e-6):
            raise SystemExit("the rival found other distances")
    return {"rows": arguments.rival_rows, "median_ratio": round(statistics.median(ratios), 2)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--numbers", type=int, default=6)
    parser.add_argument("--categories", type=int, default=8)
    parser.add_argument("--rival-rows", type=int, default=4_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
