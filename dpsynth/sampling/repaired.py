"""Rows of a model, picked from a surplus so that they agree with what was measured.

A generator with `refine` has been reconciled with the noisy marginals already. Rows of any other
are repaired here: more rows are drawn than wanted, weighed (see `dpsynth.refinement.raking`), and
the rows wanted are picked by weight. Post-processing of public things, so free of charge.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dpsynth.generators.base import Generator, IntArray, Layout
from dpsynth.refinement.measured import Measured
from dpsynth.refinement.raking import MOST, aims, raked
from dpsynth.sampling.blocks import cut
from dpsynth.sampling.conditional import ConditionalCodes, effective_sample_size, systematic

POOL = round(MOST)
"""Rows drawn for each row wanted: as many as the largest weight, so that none is picked twice."""
_LEAST_POOL = 8_192
"""Fewer rows than this tell too little of what the model makes of a table."""


@dataclass(frozen=True, eq=False)
class Repair:
    """What rows are repaired towards.

    Attributes:
        measured: noisy marginals, and tables of pairs where there are any.
    """

    measured: Measured

    def codes(
        self, draw: Callable[[int], IntArray], rows: int, *, rng: np.random.Generator
    ) -> ConditionalCodes:
        """Exactly `rows` repaired rows.

        Args:
            draw: codes of shape (n, columns) of n rows of the model.
            rows: how many, at least 1.
            rng: picks rows.
        """
        return _joined([self._block(draw, size, rng=rng) for size in cut(rows)])

    def _block(
        self, draw: Callable[[int], IntArray], rows: int, *, rng: np.random.Generator
    ) -> ConditionalCodes:
        pool = draw(max(POOL * rows, _LEAST_POOL))
        weights = raked(pool, aims(self.measured, pool))
        picked = systematic(weights, rows, rng=rng)
        return ConditionalCodes(
            codes=pool[picked],
            effective=min(effective_sample_size(weights), float(rows)),
            distinct=len(np.unique(picked)),
            drawn=len(pool),
            probability=1.0,
        )


def repair_for(
    generator: Generator, layout: Layout, measured: Measured | None, *, one_way_std: float
) -> Repair | None:
    """How the rows of a model are repaired; None where they stay as they are drawn.

    Args:
        generator: the generator. One with `refine` repairs its own. One that draws column by
            column starts from the one-way marginals and learns on from them: with nothing else
            measured there is nothing to repair it with.
        layout: the noisy one-way marginals and row count.
        measured: the noisy tables of pairs; None where none were measured.
        one_way_std: noise in one cell of a one-way marginal, in rows; for a model without pairs.
    """
    if hasattr(generator, "refine"):
        return None
    if measured is not None:
        return Repair(measured)
    if hasattr(generator, "columns"):
        return None
    alone = Measured(max(layout.rows, 1.0), layout.one_way, one_way_std, (), (), 1.0)
    return Repair(alone)


def _joined(blocks: list[ConditionalCodes]) -> ConditionalCodes:
    if len(blocks) == 1:
        return blocks[0]
    return ConditionalCodes(
        codes=np.concatenate([block.codes for block in blocks]),
        effective=sum(block.effective for block in blocks),
        distinct=sum(block.distinct for block in blocks),
        drawn=sum(block.drawn for block in blocks),
        probability=1.0,
    )
