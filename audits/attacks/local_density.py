"""Membership by crowding: synthetic rows pile up around rows that were learned by heart."""

from __future__ import annotations

import numpy as np

from audits.distance import nearest
from audits.records import Records

NAME = "local_density"
KNOWLEDGE = "the synthetic table alone (no box)"
BLIND_SPOT = (
    "It sees places where synthetic rows are dense, and cannot tell a place that the generator "
    "learned by heart from one where many people are. A single copy in a crowd stays hidden."
)

_NEIGHBOURS = 5
# Distances are rounded to nine decimals: the smallest that is not zero.
_RESOLUTION = 1e-9


def score(targets: Records, *, synthetic: Records) -> np.ndarray:
    """Minus the log of the mean Gower distance to the 5 nearest synthetic rows, (len(targets),).

    With fewer than 5 synthetic rows all of them count.

    Source: the neighbourhood attacks of Houssiau et al., TAPAS, arXiv:2211.06550, and of Hilprecht,
        Härterich and Bernau, PoPETs 2019(4) (Monte Carlo attack), with a neighbour count in place
        of a radius, so that it needs no tuning.
    """
    distances, _ = nearest(targets, synthetic, k=min(_NEIGHBOURS, len(synthetic)))
    # Columns are added in one fixed order; a library sum may regroup them.
    total = np.zeros(len(targets))
    for column in distances.T:
        total += column
    return np.asarray(-np.log(total / distances.shape[1] + _RESOLUTION))
