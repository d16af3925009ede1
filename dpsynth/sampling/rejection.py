"""Codes under a condition from any sampler: draw rows, keep those that fit.

The way for a generator that cannot draw column by column, and the reference that the faster way is
tested against.
"""

from collections.abc import Callable, Mapping

import numpy as np

from dpsynth.errors import InputError
from dpsynth.sampling.conditional import (
    LEAST_WANTED,
    MOST_DRAWS,
    ConditionalCodes,
    FloatArray,
    IntArray,
)

_LEAST_BLOCK, _LARGEST_BLOCK = 2_000, 100_000


def rejected_codes(
    draw: Callable[[int], IntArray],
    rows: int,
    *,
    evidence: Mapping[int, FloatArray],
    asked: str,
    rng: np.random.Generator,
) -> ConditionalCodes:
    """Exactly `rows` rows given evidence.

    Args:
        draw: codes of shape (n, columns) of n rows of the model.
        rows, evidence, asked, rng: as in `conditional_codes`.

    Raises:
        InputError: too few of the rows drawn fit.
    """
    most = MOST_DRAWS * max(rows, LEAST_WANTED)
    usual = min(max(rows, _LEAST_BLOCK), _LARGEST_BLOCK)
    kept: list[IntArray] = []
    found = drawn = 0
    while found < rows and drawn < most:
        codes = draw(min(usual, most - drawn))
        chance = np.prod([share[codes[:, c]] for c, share in evidence.items()], axis=0)
        kept.append(codes[rng.random(len(codes)) < chance])
        found += len(kept[-1])
        drawn += len(codes)
    if found < rows:
        raise InputError(
            f"only {found} of {drawn} synthetic rows fit {asked} ({found / drawn:.3%}), and "
            f"{rows} are wanted; ask for fewer rows or for less in --where"
        )
    codes = np.concatenate(kept)[:rows]
    return ConditionalCodes(codes, float(rows), rows, drawn, found / drawn)
