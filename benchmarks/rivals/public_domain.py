"""What every rival is told: the rows as they stand, the public bounds and the public categories.

Used by the runners beside it, with the Python of the rival's own environment (pandas is there in
all of them). A job is a JSON file with system, train, meta, synthetic, rows, epsilon, delta, seed
and settings; a runner prints its report as one JSON object on its last line.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

MISSING = "missing value"
NUMBERS = ("integer", "numeric")


def read_job() -> tuple[dict[str, Any], dict[str, Any]]:
    """The job named on the command line, and the table's declared domain (its meta.json)."""
    job = json.loads(Path(sys.argv[1]).read_text())
    return job, json.loads(Path(job["meta"]).read_text())


def read_rows(job: dict[str, Any], meta: dict[str, Any]) -> pd.DataFrame:
    """The rows as they stand: numbers as numbers, everything else as text, empty as missing."""
    kinds = {name: facts["kind"] for name, facts in meta["columns"].items()}
    types = {name: float if kind in NUMBERS else str for name, kind in kinds.items()}
    return pd.read_csv(job["train"], dtype=types, keep_default_na=False, na_values=[""])


def labels(facts: dict[str, Any], most: int) -> list[str] | None:
    """The public categories of a column, or None for one that counts as a number.

    An integer column of at most `most` possible values is given as categories too; a missing value
    is one of them where the column is declared to have some.
    """
    if facts["kind"] not in NUMBERS:
        known = [str(label) for label in facts["categories"]]
    elif facts["kind"] == "integer" and facts["upper"] - facts["lower"] < most:
        known = [str(v) for v in range(int(facts["lower"]), int(facts["upper"]) + 1)]
    else:
        return None
    return [*known, *([MISSING] if facts["missing"] else [])]


def as_labels(values: "pd.Series[Any]", facts: dict[str, Any]) -> "pd.Series[Any]":
    """A column as text, with `MISSING` for what is missing."""
    if facts["kind"] == "integer":
        values = values.map(lambda v: v if pd.isna(v) else str(int(v)))
    return values.astype(object).where(values.notna(), MISSING)


def write_rows(drawn: pd.DataFrame, job: dict[str, Any], meta: dict[str, Any]) -> None:
    """The drawn rows in the order and the writing of the table."""
    drawn = drawn[list(meta["columns"])].copy()
    for name, facts in meta["columns"].items():
        drawn[name] = drawn[name].astype(object).where(drawn[name] != MISSING, None)
        if facts["kind"] in NUMBERS:
            drawn[name] = pd.to_numeric(drawn[name])
        if facts["kind"] == "integer":
            drawn[name] = drawn[name].round().astype("Int64")
    drawn.to_csv(job["synthetic"], index=False)


class Watch:
    """Seconds by the clock and of the processor, children included, and the peak of memory."""

    def __init__(self) -> None:
        self.report: dict[str, Any] = {}
        self._mark()

    def _mark(self) -> None:
        self._wall, self._cpu = time.perf_counter(), _cpu()

    def lap(self, part: str) -> None:
        """End a part: PART_s and PART_cpu_s since the last one."""
        self.report[f"{part}_s"] = round(time.perf_counter() - self._wall, 3)
        self.report[f"{part}_cpu_s"] = round(_cpu() - self._cpu, 3)
        self._mark()

    def say(self, **more: Any) -> None:
        """Print the report."""
        peak = max(resource.getrusage(who).ru_maxrss for who in _OWN_AND_CHILDREN)
        print(json.dumps({**self.report, "peak_mb": round(peak / 1024), **more}), flush=True)


_OWN_AND_CHILDREN = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in _OWN_AND_CHILDREN]
    return sum(u.ru_utime + u.ru_stime for u in used)
