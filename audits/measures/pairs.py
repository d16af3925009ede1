"""All pairs of two tables, in blocks that fit a core's cache and in threads that change no bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from joblib import Parallel, delayed

TARGET_BLOCK = 64
OTHER_BLOCK = 4096
_BLOCKS_A_TASK = 32


def blocks(rows: int, size: int = OTHER_BLOCK) -> Iterator[slice]:
    """Slices of at most `size` rows that cover 0..rows in order."""
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def by_target(rows: int, work: Callable[[slice], np.ndarray]) -> np.ndarray:
    """The work of every block of `TARGET_BLOCK` targets, one after the other, float64 (rows,).

    Threads are those of a surrounding `joblib.parallel_config`, or one. They change no bit, as a
    block does not know which thread it runs in.
    """
    every = list(blocks(rows, TARGET_BLOCK))
    tasks = [every[i : i + _BLOCKS_A_TASK] for i in range(0, len(every), _BLOCKS_A_TASK)]
    parts = Parallel(prefer="threads")(delayed(_run)(task, work) for task in tasks)
    return np.concatenate([np.empty(0), *parts])


def _run(task: list[slice], work: Callable[[slice], np.ndarray]) -> np.ndarray:
    return np.concatenate([work(block) for block in task])
