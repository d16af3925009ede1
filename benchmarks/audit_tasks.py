"""One audit after the other for benchmarks/audit_rates.py: seeds in, JSON lines out."""

import functools
import hashlib
import json
import resource
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from audit_worlds import COPIES, POWER, WORLDS, binary, draw, fifteen, plant

import audits

# What is tested; the other checks only measure, and would take most of the time.
TESTED = ("nearest_neighbours", "copies")
Job = tuple[str, str, int]
Line = dict[str, Any]
Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def rate_jobs(seeds: int, *, first: int = 0, worlds: Iterable[str] = tuple(WORLDS)) -> list[Job]:
    """These worlds at seeds first, first + 1, ...; in turn, so that a stopped run is balanced."""
    return [("rates", world, first + seed) for seed in range(seeds) for world in worlds]


def power_jobs(seeds: int) -> list[Job]:
    """The same for the worlds of the power table."""
    return [("power", world, seed) for seed in range(seeds) for world in POWER]


def copy_jobs(seeds: int) -> list[Job]:
    """Every size of the verbatim copy at every seed."""
    return [("copies", size, seed) for seed in range(seeds) for size in COPIES]


def run(job: Job) -> Line:
    """The outcome of one job; each draws its tables from its own name and seed."""
    task, world, seed = job
    make = {"rates": _without_leak, "power": _planted, "copies": _copied}[task]
    start = time.perf_counter()
    outcome = make(world, seed)
    seconds = round(time.perf_counter() - start, 3)
    return {"task": task, "world": world, "seed": seed, "seconds": seconds, **outcome}


def work(
    jobs: list[Job], *, path: Path, workers: int, report: Callable[[int, int], None]
) -> list[Line]:
    """All jobs done, those already in the file left out; lines in the order of the jobs."""
    code = fingerprint()
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = set(jobs)
    known = {_job(line): line for line in _read(path) if line["code"] == code}
    done = {job: line for job, line in known.items() if job in wanted}
    left = [job for job in jobs if job not in done]
    total, step = len(jobs), max(1, len(jobs) // 50)
    with path.open("a") as file:
        for line in _each(left, workers):
            line |= {"code": code}
            file.write(json.dumps(line) + "\n")
            file.flush()
            done[_job(line)] = line
            if len(done) % step == 0:
                report(len(done), total)
    return [done[job] for job in jobs]


def fingerprint() -> str:
    """Of the audit's code and of this benchmark's, so that a figure is never of mixed versions."""
    digest = hashlib.sha256()
    package = Path(audits.__file__).parent
    here = Path(__file__).parent
    files = [*package.rglob("*.py"), here / "audit_tasks.py", here / "audit_worlds.py"]
    for file in sorted(files, key=lambda file: (file.parent != here, file.as_posix())):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def timed(
    *, rows: int, threads: int, csv: Path | None, progress: Callable[[str, int, int], None]
) -> Line:
    """The full suite on three tables of this many rows: seconds by step, peak memory."""
    rng = np.random.default_rng(0)
    if csv is None:
        tables = draw(fifteen, (rows, rows, rows), rng)
    else:
        given = pd.read_csv(csv)
        size = min(rows, len(given) // 3)
        mixed = rng.permutation(len(given))
        train, holdout, synthetic = (
            given.iloc[mixed[place * size : (place + 1) * size]] for place in range(3)
        )
        tables = (train, holdout, synthetic)
    start = time.perf_counter()
    result = audits.run(*tables, n_jobs=threads, progress=progress)
    return {
        "table": "generated" if csv is None else csv.name,
        "rows": len(tables[0]),
        "columns": tables[0].shape[1],
        "threads": threads,
        "seconds": time.perf_counter() - start,
        "steps": dict(result.seconds),
        # Kibibytes on Linux, of this process, which did nothing else before.
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "verdict": result.verdict,
    }


def _without_leak(world: str, seed: int) -> Line:
    make, sizes = WORLDS[world]
    result = _audit(draw(make, sizes, _rng("rates", world, seed)), seed)
    return {"verdict": result.verdict, "groups": groups(), "findings": _tested(result)}


def _copied(size: str, seed: int) -> Line:
    train, holdout = COPIES[size]
    tables = draw(binary, (train, holdout, 1), _rng("copies", size, seed))
    result = _audit((tables[0], tables[1], tables[0]), seed)
    return {"verdict": result.verdict, "groups": groups(), "findings": _tested(result)}


def _planted(world: str, seed: int) -> Line:
    """For each finding: what a clean audit states as detectable, and whether it is then detected.

    The second audit is of fresh tables: the statement is on audits of this kind of table, and a
    figure and its check must not share their luck. It runs the finding's own group of tests only,
    at the level that the group has in the whole audit; groups share nothing else.
    """
    make, sizes = POWER[world]
    clean = _audit(draw(make, sizes, _rng("clean", world, seed)), seed)
    fresh = draw(make, sizes, _rng("planted", world, seed))
    rng = _rng("copied", world, seed)
    level = (1.0 - clean.confidence) / groups()
    outcome = {}
    for finding in clean.findings:
        share = finding.figures.get("detectable_copied_share")
        if share is None or finding.verdict != "none":
            continue
        again = _again(clean, finding, plant(fresh, share.value, rng))
        caught = again.verdict == "leak" and again.p_value is not None and again.p_value <= level
        outcome[finding.name] = {"stated": share.value, "caught": caught}
    return {"verdict": clean.verdict, "findings": outcome}


def _again(clean: audits.AuditResult, finding: audits.Finding, leaky: Tables) -> audits.Finding:
    """The finding in an audit of its own group of tests."""
    together = [item.name for item in clean.findings if item.group == finding.group]
    checks = [name for name in together if name in TESTED]
    attacks = [name for name in together if name not in TESTED]
    result = audits.run(*leaky, seed=clean.seed, attacks=attacks, checks=checks)
    return result.finding(finding.name)


@functools.cache
def groups() -> int:
    """How many groups of tests share the false-alarm rate of such an audit.

    Read off a copied table, whose p-values are small enough for none to be cut at 1.
    """
    make, sizes = WORLDS["mixed"]
    train, holdout, _ = draw(make, sizes, _rng("groups", "mixed", 0))
    found = _audit((train, holdout, train), 0).findings
    return max(
        round(item.p_adjusted / item.p_value)
        for item in found
        if item.p_value and item.p_adjusted is not None and item.p_adjusted < 1.0
    )


def _audit(tables: Tables, seed: int) -> audits.AuditResult:
    return audits.run(*tables, seed=seed, checks=TESTED)


def _tested(result: audits.AuditResult) -> dict[str, Line]:
    return {
        finding.name: {
            "group": finding.group,
            "verdict": finding.verdict,
            "p_value": finding.p_value,
            "p_adjusted": finding.p_adjusted,
        }
        for finding in result.findings
        if finding.p_value is not None
    }


def _rng(what: str, world: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(f"{what}|{world}".encode()), seed])


def _each(jobs: list[Job], workers: int) -> Iterator[Line]:
    """Lines as they come."""
    if workers == 1:
        yield from map(run, jobs)
        return
    # Fresh processes: threads of the numerical libraries do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for place in range(0, len(jobs), 50):
            for future in as_completed([pool.submit(run, job) for job in jobs[place : place + 50]]):
                yield future.result()


def _read(path: Path) -> list[Line]:
    """Lines of an earlier run; a last line cut short by a kill is left out."""
    if not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]


def _job(line: Line) -> Job:
    return (line["task"], line["world"], line["seed"])
