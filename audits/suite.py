"""The whole audit: three tables in, one result out."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import joblib
import numpy as np
import pandas as pd
import scipy

from audits import registry
from audits.checks import copies, diversity, fidelity, nearest_neighbours
from audits.errors import AttackError, AuditInputError
from audits.judgement import Evidence, Settings, judge
from audits.membership import evaluate
from audits.records import Encoded, encode
from audits.result import AuditResult
from audits.sampling import sizes

Progress = Callable[[str, int, int], None]
_TESTED_CHECKS = (nearest_neighbours, copies)
_MEASURED_CHECKS = (diversity, fidelity)


def run(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    kinds: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    seed: int = 0,
    n_jobs: int = 1,
    confidence: float = 0.95,
    attacks: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> AuditResult:
    """Audit a synthetic table against the rows it was made from and rows it never saw.

    The arguments are many because each is a separate choice of the caller; all have a default.

    Args:
        train: rows the generator was trained on.
        holdout: rows of the same source, drawn at random, that it never saw.
        synthetic: rows it made.
        kinds: "number", "category" or "datetime" by column; guessed where not given.
        ignore: columns to leave out, such as identifiers.
        seed: of the audit's own subsamples, 0 or more. Same seed and rows, same figures.
        n_jobs: threads; they change the time, no bit of the result.
        confidence: of every interval; 1 - confidence is the false-alarm rate of the audit.
        attacks: names to run; all installed ones by default.
        progress: called with (what, steps done, steps in all) before each step and at the end.

    Returns:
        The result; its verdict is "leak", "none" or "inconclusive".

    Raises:
        AuditInputError: tables that do not fit together, or an argument out of range.
    """
    _check_arguments(seed, n_jobs, confidence)
    chosen = registry.choose(attacks)
    _check_names(chosen)
    encoded = encode(train, holdout, synthetic, kinds=kinds, ignore=ignore)
    # Row order must not matter, so every seeded draw starts from one order.
    tables = Encoded(
        train=encoded.train.ordered(),
        holdout=encoded.holdout.ordered(),
        synthetic=encoded.synthetic.ordered(),
    )
    settings = Settings(seed=seed, confidence=confidence, tests=len(chosen) + len(_TESTED_CHECKS))
    steps: dict[str, Callable[[], Evidence]] = {
        name: partial(evaluate, attack, tables, settings=settings)
        for name, attack in chosen.items()
    }
    for check in (*_TESTED_CHECKS, *_MEASURED_CHECKS):
        steps[check.NAME] = partial(check.run, tables, settings=settings)
    evidence, seconds = _take(steps, n_jobs=n_jobs, progress=progress)
    return AuditResult(
        seed=seed,
        confidence=confidence,
        sizes=sizes(tables),
        findings=judge(evidence, alpha=settings.alpha),
        versions=_versions(),
        seconds=seconds,
    )


def _take(
    steps: Mapping[str, Callable[[], Evidence]], *, n_jobs: int, progress: Progress | None
) -> tuple[list[Evidence], dict[str, float]]:
    report = progress or (lambda what, done, total: None)
    evidence: list[Evidence] = []
    seconds: dict[str, float] = {}
    with joblib.parallel_config(backend="threading", n_jobs=n_jobs):
        for done, (name, step) in enumerate(steps.items()):
            report(name, done, len(steps))
            start = time.perf_counter()
            evidence.append(_guarded(name, step))
            seconds[name] = time.perf_counter() - start
    report("done", len(steps), len(steps))
    return evidence, seconds


def _guarded(name: str, step: Callable[[], Evidence]) -> Evidence:
    """The step's evidence; an attack that breaks its contract is one inconclusive finding."""
    try:
        return step()
    except AttackError as fault:
        return Evidence(
            name=name,
            family="membership",
            figures={},
            blind_spot="It did not run.",
            p_value=1.0,
            void=f"{fault}.",
        )


def _check_names(names: Iterable[str]) -> None:
    taken = {check.NAME for check in (*_TESTED_CHECKS, *_MEASURED_CHECKS)} & set(names)
    if taken:
        raise AttackError(f"an attack is named {min(taken)!r}, like a check; rename it")


def _check_arguments(seed: int, n_jobs: int, confidence: float) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise AuditInputError(f"seed is {seed!r}; give a whole number, 0 or more")
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise AuditInputError(f"n_jobs is {n_jobs!r}; give 1 or more threads, or -1 for all cores")
    if not 0.5 <= confidence < 1.0:
        raise AuditInputError(f"confidence is {confidence!r}; give a number from 0.5 to below 1")


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "pandas": pd.__version__,
        "joblib": joblib.__version__,
    }
