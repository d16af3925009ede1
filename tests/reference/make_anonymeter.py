"""Success rates of anonymeter 1.1.0 on seeded tables, for comparison with our disclosure attacks.

anonymeter needs an older numpy than we do, so it runs in an environment of its own:

    python -m venv anonymeter-env
    anonymeter-env/bin/pip install anonymeter==1.1.0
    anonymeter-env/bin/python tests/reference/make_anonymeter.py tests/reference/anonymeter.csv

The tables come from `make_tables`, which the tests call as well; it needs numpy and pandas only and
draws from a bit generator whose stream numpy keeps stable. anonymeter draws its targets and its
baseline from the global generator, which is seeded here before each attack; its statements of
singling out and linkability's baseline still differ a little from run to run.
"""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROWS = 1_000
LEAKS = (0.0, 0.3, 1.0)
TOWNS = ("north", "south", "east", "west")
HALVES = (("age", "town", "income"), ("visits", "height", "owner"))
SECRETS = {"town": False, "owner": False, "income": True, "visits": True}
FIELDS = (
    "attack",
    "detail",
    "leak",
    "attack_rate",
    "attack_tries",
    "control_rate",
    "control_tries",
    "baseline_rate",
    "baseline_tries",
    "risk",
    "risk_lower",
    "risk_upper",
)


def _uniform(rng: np.random.Generator, rows: int, low: int, high: int) -> np.ndarray:
    # Raw doubles only: other methods of a generator may change between releases of numpy.
    return np.floor(low + (high - low) * rng.random(rows))


def _people(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    town = (_uniform(rng, rows, 0, 4) * rng.random(rows) ** 0.5).astype(int)
    age = _uniform(rng, rows, 18, 91)
    visits = 1.0 + np.floor(rng.random(rows) ** 2 * 12)
    return pd.DataFrame(
        {
            "age": age,
            "town": np.array(TOWNS)[town],
            "income": 8_000.0 + 300.0 * age + _uniform(rng, rows, 0, 40_000),
            "visits": visits,
            "height": 150.0 + 10.0 * town + np.round(30.0 * rng.random(rows), 3),
            "owner": np.where(rng.random(rows) < 0.2 + 0.006 * age, "yes", "no"),
        }
    )


def make_tables(leak: float) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Train, holdout and synthetic table; this share of the synthetic rows copies a training row.

    The rest are fresh draws from the same population. All have `ROWS` rows.
    """
    rng = np.random.Generator(np.random.PCG64([31, round(100 * leak)]))
    train, holdout, synthetic = (_people(ROWS, rng) for _ in range(3))
    copied = round(leak * ROWS)
    synthetic.iloc[:copied] = train.iloc[:copied]
    # Mixed, so that the order of the rows gives nothing away.
    order = np.argsort(rng.random(ROWS))
    return train, holdout, synthetic.iloc[order].reset_index(drop=True)


def _row(attack: str, detail: str, leak: float, evaluator: Any) -> dict[str, object]:
    found = evaluator.results(confidence_level=0.95)
    risk = found.risk()
    counts = (found.n_success, found.n_control, found.n_baseline)
    tries = (found.n_attacks_ori, found.n_attacks_control, found.n_attacks_baseline)
    row: dict[str, object] = {"attack": attack, "detail": detail, "leak": leak}
    for name, count, total in zip(("attack", "control", "baseline"), counts, tries, strict=True):
        row[f"{name}_rate"] = f"{count / total:.6f}"
        row[f"{name}_tries"] = total
    ends = (risk.value, *risk.ci)
    return row | {
        name: f"{end:.6f}"
        for name, end in zip(("risk", "risk_lower", "risk_upper"), ends, strict=True)
    }


def run() -> Iterator[dict[str, object]]:
    """One row for each attack, detail and leak."""
    from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator

    for leak in LEAKS:
        train, holdout, synthetic = make_tables(leak)
        tables = {"ori": train, "syn": synthetic, "control": holdout}
        for secret, regression in SECRETS.items():
            np.random.seed(1)  # noqa: NPY002 - anonymeter draws from it
            known = [name for name in train.columns if name != secret]
            inference = InferenceEvaluator(
                **tables, aux_cols=known, secret=secret, regression=regression, n_attacks=ROWS
            )
            yield _row("attribute_inference", secret, leak, inference.evaluate(n_jobs=1))
        halves = (list(HALVES[0]), list(HALVES[1]))
        for k in (1, 5):
            np.random.seed(1)  # noqa: NPY002 - anonymeter draws from it
            link = LinkabilityEvaluator(**tables, aux_cols=halves, n_attacks=ROWS, n_neighbors=k)
            yield _row("linkability", f"k={k}", leak, link.evaluate(n_jobs=1))
        for mode, tries, columns in (("univariate", 500, 1), ("multivariate", 150, 3)):
            single = SinglingOutEvaluator(
                **tables, n_attacks=tries, n_cols=columns, max_attempts=9_000, seed=1
            )
            evaluated = single.evaluate(mode=mode)
            yield _row("singling_out", mode, leak, evaluated)


def main(target: Path) -> None:
    """Write all rows to a CSV file."""
    with warnings.catch_warnings(), target.open("w", newline="", encoding="utf-8") as stream:
        warnings.simplefilter("ignore")
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(run())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
