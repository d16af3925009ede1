"""Membership by closeness: a row that the synthetic table comes very near to was trained on."""

from __future__ import annotations

import numpy as np

from audits.distance import nearest
from audits.records import Records

NAME = "closest_record"
KNOWLEDGE = "the synthetic table alone (no box)"
BLIND_SPOT = (
    "It sees rows that were copied or nearly copied. A generator can leak in other ways (through "
    "rare combinations, or to an attacker with data of the same source) and pass."
)


def score(targets: Records, *, synthetic: Records) -> np.ndarray:
    """Minus the Gower distance to the nearest synthetic row, float64 (len(targets),).

    Source: Chen, Yu, Zhang and Fritz, GAN-Leaks, CCS 2020, arXiv:1909.03935 (full black box).
    """
    distances, _ = nearest(targets, synthetic)
    return -distances[:, 0]
