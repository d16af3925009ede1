"""How long a fit takes and how much memory, by the size of the table.

    python benchmarks/scale.py [--rows 1000000] [--columns 20] [--epsilon 1] [--threads 2]
        [--steps N] [--json FILE]

Makes a public random table whose columns depend on each other, half of them categories and half
whole numbers, writes it as CSV, and fits it in a process of its own with the defaults and no
schema. Prints the fit's wall time, CPU time and peak memory, and how long each part of it took.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

CATEGORIES = 8
BLOCK_ROWS = 100_000

FIT = """
import json, resource, sys, time
from dataclasses import replace
start = time.perf_counter()
from dpsynth import Synthesizer
imported = time.perf_counter()
parts, last = {}, [imported, "reading"]
def progress(label, done, total):
    now = time.perf_counter()
    parts[last[1]] = parts.get(last[1], 0.0) + now - last[0]
    last[:] = [now, label]
settings = Synthesizer(epsilon=float(sys.argv[2]))
if int(sys.argv[3]):
    training = replace(settings.plan(["any"]).training, steps=int(sys.argv[3]))
    settings = replace(settings, training=training)
settings.fit(sys.argv[1], progress=progress)
end = time.perf_counter()
parts[last[1]] = parts.get(last[1], 0.0) + end - last[0]
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "import_seconds": imported - start,
    "fit_seconds": end - imported,
    "cpu_seconds": used.ru_utime + used.ru_stime,
    "peak_mib": used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
    "parts_seconds": parts,
}))
"""


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        start = time.perf_counter()
        write_table(path, rows=arguments.rows, columns=arguments.columns)
        made = time.perf_counter() - start
        size = path.stat().st_size
        found = fit(
            path, epsilon=arguments.epsilon, threads=arguments.threads, steps=arguments.steps
        )
    found = {
        "rows": arguments.rows,
        "columns": arguments.columns,
        "threads": arguments.threads,
        "steps": arguments.steps or "default",
        "csv_mib": size / 2**20,
        "making_seconds": made,
        **found,
    }
    text = json.dumps(_rounded(found), indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


def write_table(path: Path, *, rows: int, columns: int) -> None:
    """Write the table a block at a time; the same one for the same size.

    Each column leans on the one before it: with probability 0.7 it follows it.
    """
    rng = np.random.default_rng(0)
    writer = None
    for start in range(0, rows, BLOCK_ROWS):
        block = _block(min(BLOCK_ROWS, rows - start), columns, rng=rng)
        writer = writer or pa.csv.CSVWriter(path, block.schema)
        writer.write_table(block)
    if writer is not None:
        writer.close()


def _block(rows: int, columns: int, *, rng: np.random.Generator) -> pa.Table:
    names = np.array([f"kind {c}" for c in range(CATEGORIES)])
    share = 1.0 / np.arange(1, CATEGORIES + 1)
    found: dict[str, np.ndarray] = {}
    level = rng.choice(CATEGORIES, size=rows, p=share / share.sum())
    for column in range(columns):
        fresh = rng.choice(CATEGORIES, size=rows, p=share / share.sum())
        level = np.where(rng.random(rows) < 0.7, level, fresh)
        if column % 2:
            found[f"number {column}"] = level * 10 + rng.integers(0, 20, rows)
        else:
            found[f"category {column}"] = names[level]
    return pa.table(found)


def fit(path: Path, *, epsilon: float, threads: int, steps: int = 0) -> dict[str, object]:
    """Fit in a fresh process, whose peak memory is then the fit's own; 0 steps: the default."""
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", FIT, str(path), str(epsilon), str(steps)],
        env={**os.environ, **limits},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return round(value, 1) if isinstance(value, float) else value


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=0, help="fewer gradient steps, for a look")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
