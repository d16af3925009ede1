"""Membership by over-representation: denser in the synthetic table than in the population."""

from __future__ import annotations

import numpy as np

from audits.measures.density import log_density
from audits.records import Records

NAME = "density_ratio"
KNOWLEDGE = "the synthetic table, and rows of the same source known to be in neither arm"
BLIND_SPOT = (
    "It sees places where the synthetic table is denser than the source. With few reference rows, "
    "or with many columns, both densities are known too badly to see a small excess."
)


def score(targets: Records, *, synthetic: Records, reference: Records) -> np.ndarray:
    """Log of the synthetic over the reference density at each target, float64 (len(targets),).

    Null: members and non-members are draws from one source, so the ratio of either has the same
    distribution, however wrong both densities are. Without categories and gaps the score is the
    published one with kernel densities.

    Source: van Breugel, Sun, Qian and van der Schaar, DOMIAS, AISTATS 2023, arXiv:2302.12580,
        equation 2, with the densities of `audits.density`.
    """
    return np.asarray(log_density(targets, synthetic) - log_density(targets, reference))
