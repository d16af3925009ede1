"""One run of one system on one table: in a process of its own, measured, scored and cached."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utility_cache import DONE, FAILED, Cache, digest, file_digest
from utility_systems import RIVALS, System
from utility_tables import BenchmarkTable

OWN_SCORER = Path(__file__).with_name("utility_score.py")
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
"""Every system computes on one thread, so that the times can be compared."""


@dataclass(frozen=True)
class Run:
    """What a result depends on, and where it goes."""

    system: System
    table: BenchmarkTable
    epsilon: float
    delta: float
    seed: int

    @property
    def title(self) -> str:
        name = f"{self.system.name} on {self.table.name}"
        return f"{name}, epsilon {self.epsilon:g}, seed {self.seed}"

    def inputs(self) -> dict[str, Any]:
        """All that the result is found by."""
        return {
            "train": file_digest(self.table.train),
            "meta": file_digest(self.table.meta),
            "system": self.system.name,
            "settings": self.system.settings,
            **self.system.version(),
            "epsilon": self.epsilon,
            "delta": self.delta,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Bench:
    """How runs are made.

    Attributes:
        scorer: a script `SCORER TRAIN TEST SYNTHETIC --target COLUMN` that prints one JSON object.
        limit_s: after that many seconds by the clock a run is stopped and counts as failed.
        again: runs that failed before are tried once more.
    """

    cache: Cache
    scorer: Path = OWN_SCORER
    limit_s: float = 75 * 60
    again: bool = False

    def result(self, run: Run) -> dict[str, Any]:
        """One row: the run's report and scores, or how it failed; from the cache where known."""
        inputs = run.inputs()
        key = digest(inputs)
        stored = self.cache.load("runs", key)
        if stored is None or self._tried_in_vain(stored["outcome"]):
            outcome = self._perform(run, key)
            stored = {"inputs": inputs, "table": run.table.name, "outcome": outcome}
            if run.inputs() == inputs:
                self.cache.store("runs", key, stored)
            else:
                message = "the table, the code or the packages changed while it ran; run it again"
                stored["outcome"] = {"status": FAILED, "message": message}
        outcome = stored["outcome"]
        if outcome["status"] == DONE:
            outcome = outcome | self._scores(run, key)
        return {
            "table": run.table.name,
            "system": run.system.name,
            "epsilon": run.epsilon,
            "delta": run.delta,
            "seed": run.seed,
            **outcome,
        }

    def known(self, run: Run) -> bool:
        """Whether the result is there without another run."""
        stored = self.cache.load("runs", digest(run.inputs()))
        return stored is not None and not self._tried_in_vain(stored["outcome"])

    def _tried_in_vain(self, outcome: dict[str, Any]) -> bool:
        """Failed, and worth another try: it was asked for, or there is more time now."""
        if outcome["status"] == DONE:
            return False
        return self.again or outcome.get("limit_s", self.limit_s) < self.limit_s

    def _perform(self, run: Run, key: str) -> dict[str, Any]:
        rows = self.cache.file("synthetic", f"{key}.csv")
        job = self.cache.file("work", f"{key}.json")
        known = {"system": run.system.name, "settings": run.system.settings, "seed": run.seed}
        paths = {"train": run.table.train, "meta": run.table.meta, "synthetic": rows}
        known |= {name: str(path) for name, path in paths.items()}
        known |= {"rows": run.table.rows(), "epsilon": run.epsilon, "delta": run.delta}
        job.write_text(json.dumps(known))
        try:
            command = [str(run.system.python(self.cache)), str(RIVALS / run.system.runner)]
        except RuntimeError as error:
            return {"status": FAILED, "message": str(error)}
        return execute([*command, str(job)], limit_s=self.limit_s, log=job.with_suffix(".log"))

    def _scores(self, run: Run, key: str) -> dict[str, Any]:
        scored = {"run": key, "scorer": file_digest(self.scorer)}
        name = digest(scored | {"test": file_digest(run.table.test)})
        known: dict[str, Any] | None = self.cache.load("scores", name)
        if known is not None:
            return known
        paths = (run.table.train, run.table.test, self.cache.file("synthetic", f"{key}.csv"))
        command = [sys.executable, "-W", "ignore", str(self.scorer), *map(str, paths)]
        log = self.cache.file("work", f"{name}.log")
        figures = execute([*command, "--target", run.table.target], limit_s=self.limit_s, log=log)
        if figures.pop("status") == FAILED:
            return {"status": FAILED, "message": f"cannot be scored: {figures['message']}"}
        self.cache.store("scores", name, figures)
        return figures


def execute(command: list[str], *, limit_s: float, log: Path) -> dict[str, Any]:
    """Run to the end or to the limit: the JSON object on its last line, or the last error."""
    errors = log.with_suffix(".errors")
    began = time.perf_counter()
    with log.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen(
            command, stdout=out, stderr=err, env=os.environ | ONE_THREAD, start_new_session=True
        )
        try:
            code = process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return _failure(f"not finished in {limit_s / 60:g} min", log, began, limit_s=limit_s)
        finally:
            _end(process)
    if code:
        return _failure(_last(errors) or f"exit code {code}", log, began)
    try:
        return {"status": DONE, **json.loads(_last(log))}
    except (TypeError, ValueError):
        return _failure(f"its last line is no JSON object: {_last(log)!r}", log, began)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Stop it and what it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _failure(message: str, log: Path, began: float, **more: float) -> dict[str, Any]:
    spent = round(time.perf_counter() - began, 1)
    reached = _last(log)
    return {"status": FAILED, "message": message, "reached": reached, "wall_s": spent, **more}


def _last(path: Path) -> str:
    """The last line that is not blank."""
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")
