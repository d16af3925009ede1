"""Blocks of rows on several threads: the same rows however many threads there are.

Each block has a random stream of its own, and what a thread computes it computes alone: torch's own
threads are off inside a block, since they would fight over the same cores.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

BLOCK = 65_536
"""Most rows that are drawn together."""

Item = TypeVar("Item")
Block = TypeVar("Block")


def cut(rows: int, *, most: int = BLOCK) -> list[int]:
    """Sizes of as few blocks as hold `rows`, none larger than `most`, equal up to one row."""
    blocks = -(-rows // most)
    return [rows // blocks + (b < rows % blocks) for b in range(blocks)]


def streams(count: int, *, rng: np.random.Generator) -> list[np.random.Generator]:
    """Independent streams that are a function of the state of `rng`, which moves on."""
    seeds = rng.integers(0, 2**63, size=(count, 4))
    return [np.random.default_rng(seed) for seed in seeds]


def on_threads(
    items: Sequence[Item],
    work: Callable[[Item, np.random.Generator], Block],
    *,
    rng: np.random.Generator,
) -> list[Block]:
    """`work(item, stream)` of each item, in order; as many at a time as torch may use threads."""
    threads = torch.get_num_threads()
    try:
        # At least one thread of the pool: a block is then computed alone in every case.
        with ThreadPoolExecutor(max(1, min(threads, len(items))), initializer=_alone) as pool:
            return list(pool.map(work, items, streams(len(items), rng=rng)))
    finally:
        torch.set_num_threads(threads)  # the matrix library counts threads for the whole process


def _alone() -> None:
    torch.set_num_threads(1)
