"""Utility of the synthetic table: fit, sample, score, at several epsilons and seeds.

    python benchmarks/utility.py DATA --scorer SCORE.py [--epsilon 1 10] [--seeds 3] [--json OUT]

DATA is a folder with train.csv, test.csv and meta.json (columns with kind, lower, upper, categories
and missing; and the target of the prediction task). SCORE.py is a command
`SCORE.py TRAIN TEST SYNTH --target COL` that prints one JSON object. The private fit reads
train.csv only; time and memory are those of the fit.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dpsynth import Schema, Synthesizer
from dpsynth.table import Table
from dpsynth.writing import write_frame

SHOWN = ("tvd1", "tvd2", "tvd3", "tstr_auc", "c2st_auc")


def main() -> None:
    arguments = _arguments()
    schema, target = read_meta(arguments.data / "meta.json")
    results: list[dict[str, Any]] = []
    for epsilon in arguments.epsilon:
        for seed in range(arguments.seeds):
            results.append(_one(arguments, schema, target, epsilon, seed))
            print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    print(markdown(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


def read_meta(path: Path) -> tuple[Schema, str]:
    """The schema that a benchmark table's owner would declare, and its target column."""
    meta = json.loads(path.read_text())
    columns = []
    for name, facts in meta["columns"].items():
        known = {
            key: facts[key] for key in ("kind", "lower", "upper", "categories") if key in facts
        }
        columns.append({"name": name, **known, "nullable": bool(facts.get("missing", True))})
    return Schema.from_dict({"columns": columns}), str(meta["target"])


def _one(
    arguments: argparse.Namespace, schema: Schema, target: str, epsilon: float, seed: int
) -> dict[str, Any]:
    train = arguments.data / "train.csv"
    started, cpu = time.perf_counter(), time.process_time()
    settings = Synthesizer(
        epsilon=epsilon, delta=arguments.delta, schema=schema, generator=arguments.generator
    )
    model = settings.fit(train)
    spent = {
        "fit_s": round(time.perf_counter() - started, 1),
        "fit_cpu_s": round(time.process_time() - cpu, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    with tempfile.TemporaryDirectory() as folder:
        synthetic = Path(folder) / "synthetic.csv"
        write_frame(model.sample(Table.read(train).num_rows, seed=seed), synthetic)
        command = [sys.executable, "-W", "ignore", str(arguments.scorer), str(train)]
        command += [str(arguments.data / "test.csv"), str(synthetic), "--target", target]
        scored = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"epsilon": epsilon, "run": seed, **spent, **json.loads(scored.stdout)}


def markdown(results: list[dict[str, Any]]) -> str:
    """Median and range over the runs, one line an epsilon."""
    lines = ["| epsilon | runs | " + " | ".join(SHOWN) + " | fit s |"]
    lines.append("|---" * (len(SHOWN) + 3) + "|")
    for epsilon in sorted({r["epsilon"] for r in results}):
        runs = [r for r in results if r["epsilon"] == epsilon]
        cells = [_cell([r[name] for r in runs]) for name in (*SHOWN, "fit_s")]
        lines.append(f"| {epsilon:g} | {len(runs)} | " + " | ".join(cells) + " |")
    floors = [f"{k} {v}" for k, v in results[0].items() if k.endswith("floor") or k == "trtr_auc"]
    return "\n".join([*lines, "", f"Real test rows against train: {', '.join(floors)}"])


def _cell(values: list[float]) -> str:
    digits = 1 if max(values) > 2 else 4
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--scorer", type=Path, required=True)
    parser.add_argument("--epsilon", type=float, nargs="+", default=[1.0, 10.0])
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--generator", default="autoregressive")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
