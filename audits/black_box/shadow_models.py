"""Shadow models: the generator refitted many times, each target in half of the fits.

Both black-box attacks read the same runs, which are made once per audit. A finished model can be
kept on disk, so that a killed audit goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from scipy import special

from audits.black_box.refit import BlackBox, Refit, ShadowPlan, guarded
from audits.black_box.shadow_statistics import measure
from audits.errors import AttackError
from audits.records import Records, concatenate, row_ids
from audits.tables.sampling import MAX_ROWS, equal_groups, generator, subsample

Core = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

_FORMAT = "shadow model 1"
_DECIMALS = 9
# Parts of a synthetic table much larger than the shadow tables that are looked at.
_PARTS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class ShadowRuns:
    """Statistics of the targets in the shadow tables and in the real one.

    Attributes:
        included: (K, T) bool: target t was among the training rows of model k.
        shadow: (K, T, F) float64: statistics of target t in the table of model k.
        real: (G, T, F) float64: the same in G parts of the synthetic table under attack, each as
            large as a shadow table, together the whole table.
        places: (n,) int64: for each target as given, its place among the T distinct ones.
    """

    included: np.ndarray
    shadow: np.ndarray
    real: np.ndarray
    places: np.ndarray

    def scores(self, core: Core) -> np.ndarray:
        """Scores of the targets as given, (n,), by `core(real, shadow, included)` for each part.

        Log ratios of several parts are averaged as ratios: a copy is in one part, who knows which.
        """
        parts = np.stack([core(part, self.shadow, self.included) for part in self.real])
        mixed = special.logsumexp(parts, axis=0) - np.log(len(parts))
        return np.asarray(np.round(mixed, _DECIMALS)[self.places])


def shadow_runs(
    targets: Records,
    *,
    synthetic: Records,
    reference: Records,
    refit: Refit,
    rng: np.random.Generator,
) -> ShadowRuns:
    """Refit the generator on reference rows plus random halves of the targets.

    Equal targets count as one. All tables are cut to the same number of rows (at most `MAX_ROWS`),
    as distances shrink with that number; of the synthetic table every part is looked at. The
    order of rows in the arguments does not matter, nor does the number of threads.

    Args:
        targets: rows asked about, members and non-members alike.
        synthetic: the table under attack.
        reference: rows of the same source, in neither arm.
        refit: the generator; a `BlackBox` brings its plan and remembers its runs.
        rng: gives the seed of the runs if `refit` brings no plan.

    Raises:
        AttackError: a refit failed; the message has the model's number.
    """
    box = refit if isinstance(refit, BlackBox) else _box(refit, rng)
    distinct, places = _distinct(targets)
    synthetic, reference = synthetic.ordered(), reference.ordered()
    key = digest([distinct, synthetic, reference], f"{box.plan.models} {box.plan.seed}")
    if key not in box.memo:
        box.memo[key] = _runs(box, distinct, synthetic, reference)
    included, shadow, real = box.memo[key]
    return ShadowRuns(included=included, shadow=shadow, real=real, places=places)


def coins(models: int, targets: int, *, seed: int) -> np.ndarray:
    """Which target is in which model: bool (models, targets), each column half true.

    Each coin is fair and targets are independent of each other; that every target is in exactly
    half of the models is the design of Carlini et al. (arXiv 2112.03570, section V-B).
    """
    rng = generator(seed, "coins")
    ranks = np.argsort(rng.random((models, targets)), axis=0, kind="stable")
    return np.asarray(ranks < models // 2)


def digest(parts: Sequence[Records], *more: str) -> str:
    """SHA-256 of layouts, values and texts, as 64 hex digits."""
    summary = hashlib.sha256()
    for text in (_FORMAT, np.__version__, *more):
        summary.update(f"{len(text)}:{text}".encode())
    for part in parts:
        summary.update(repr((part.layout, part.numbers.shape, part.categories.shape)).encode())
        summary.update(np.ascontiguousarray(part.numbers, dtype="<f8").tobytes())
        summary.update(np.ascontiguousarray(part.categories, dtype="<i4").tobytes())
    return summary.hexdigest()


def _box(refit: Refit, rng: np.random.Generator) -> BlackBox:
    return BlackBox(refit=refit, plan=ShadowPlan(seed=int(rng.integers(2**31))))


def _distinct(targets: Records) -> tuple[Records, np.ndarray]:
    """The different targets in canonical order, and each given target's place among them."""
    (ids,) = row_ids([targets])
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    once = targets.take(first)
    order = replace(once, rows=np.arange(len(once))).ordered().rows
    rank = np.empty(len(once), dtype=np.int64)
    rank[order] = np.arange(len(once))
    return once.take(order), rank[inverse]


def _runs(
    box: BlackBox, targets: Records, synthetic: Records, reference: Records
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    plan = box.plan
    included = coins(plan.models, len(targets), seed=plan.seed)
    size = plan.train_rows or len(synthetic)
    trained = [
        _training_rows(targets.take(np.flatnonzero(coin)), reference, size, plan.seed, model)
        for model, coin in enumerate(included)
    ]
    tables = _in_parallel(box, trained)
    rows = min(MAX_ROWS, len(synthetic), *(len(table) for table in tables))
    cut = [
        subsample(table, rows, rng=generator(plan.seed, f"cut {model}"))
        for model, table in enumerate(tables)
    ]
    parts = equal_groups(len(synthetic), rows, rng=generator(plan.seed, "parts"))[:_PARTS]
    cut += [synthetic.take(part) for part in parts]
    measured = Parallel(n_jobs=plan.n_jobs, prefer="threads")(
        delayed(measure)(targets, table) for table in cut
    )
    return included, np.stack(measured[: len(tables)]), np.stack(measured[len(tables) :])


def _training_rows(
    chosen: Records, reference: Records, size: int, seed: int, model: int
) -> Records:
    """The chosen targets, filled up with reference rows to the size of the real table."""
    rng = generator(seed, f"background {model}")
    background = subsample(reference, max(0, size - len(chosen)), rng=rng)
    rows = concatenate([chosen, background])
    # Generators may read order; a target's place must say nothing.
    return rows.take(rng.permutation(len(rows)))


def _in_parallel(box: BlackBox, trained: Sequence[Records]) -> list[Records]:
    """One synthetic table per training table, in order, whatever order they finish in."""
    plan = box.plan
    report = plan.progress or (lambda what, done, total: None)
    tables: dict[int, Records] = {}
    jobs = (delayed(_one)(box, rows, model, len(trained)) for model, rows in enumerate(trained))
    pool = Parallel(n_jobs=plan.n_jobs, prefer="threads", return_as="generator_unordered")
    for model, table in pool(jobs):
        tables[model] = table
        report("shadow models", len(tables), len(trained))
    return [tables[model] for model in range(len(trained))]


def _one(box: BlackBox, rows: Records, model: int, models: int) -> tuple[int, Records]:
    plan = box.plan
    if plan.store is None:
        return model, _fit(box, rows, model, models)
    key = digest([rows], plan.label, str(plan.seed), str(model))
    path = plan.store / f"{key}.npz"
    kept = _load(path, key, rows)
    if kept is None:
        kept = _fit(box, rows, model, models)
        _save(path, key, kept)
    return model, kept


def _fit(box: BlackBox, rows: Records, model: int, models: int) -> Records:
    rng = generator(box.plan.seed, f"shadow {model}")
    return guarded(box.refit, rows, rng=rng, what=f"shadow model {model + 1} of {models}")


def _save(path: Path, key: str, table: Records) -> None:
    """Written beside, then renamed: a killed run leaves no half file under a good name."""
    beside = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            np.savez_compressed(
                file, key=np.array(key), numbers=table.numbers, categories=table.categories
            )
        beside.replace(path)
    except OSError as fault:
        raise AttackError(
            f"store {str(path.parent)!r} cannot be written ({fault.strerror}); give a folder that "
            f"can, or none"
        ) from fault


def _load(path: Path, key: str, rows: Records) -> Records | None:
    """The kept table; None where there is none, or one that is damaged or another's."""
    try:
        # Opened here: of a damaged file, np.load would leave its own handle open.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            found, numbers, categories = str(file["key"]), file["numbers"], file["categories"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    widths = (numbers.shape[1:], categories.shape[1:])
    if found != key or widths != (rows.numbers.shape[1:], rows.categories.shape[1:]):
        return None
    return Records(
        layout=rows.layout,
        numbers=np.ascontiguousarray(numbers, dtype=np.float64),
        categories=np.ascontiguousarray(categories, dtype=np.int32),
        rows=np.arange(len(numbers), dtype=np.int64),
    )
