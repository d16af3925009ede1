"""Membership by a classifier that learned to tell synthetic rows from rows of the source."""

from __future__ import annotations

import numpy as np
from joblib import Parallel, delayed
from sklearn.tree import ExtraTreeClassifier

from audits.records import Records
from audits.tables.features import design

NAME = "classifier"
KNOWLEDGE = "the synthetic table, and rows of the same source known to be in neither arm"
BLIND_SPOT = (
    "It sees regions that the synthetic table fills more than the source does, as far as cuts "
    "along columns find them; a few copies in a crowd of real rows stay hidden."
)

# Three in four trees are grown out, with cuts drawn blindly; the rest stop at small crowds, which
# puts an order into the many targets that every grown tree calls synthetic.
_TREES = 60
_GROWN = {"max_features": 1}
_COARSE = {"min_samples_leaf": 20}


def score(
    targets: Records, *, synthetic: Records, reference: Records, rng: np.random.Generator
) -> np.ndarray:
    """Share of trees that take a target for synthetic, leaf by leaf, float64 in [0, 1].

    Extremely randomised trees are grown until a leaf holds one kind of row (or equal rows), on
    purpose too far: a target that a synthetic row copies ends up in that row's leaf. Where leaves
    are mixed, both tables weigh the same whatever their sizes; still, only the order of the scores
    means anything. Scores are the same bits for any number of threads and any order of the tables'
    rows, given the generator's state.

    Source: Hayes, Melis, Danezis and De Cristofaro, LOGAN, PoPETs 2019(1), arXiv:1705.07663
        (black box with auxiliary data: a discriminator of one's own); Geurts, Ernst and Wehenkel,
        Machine Learning 63, 2006 (the trees).
    """
    known = reference.ordered()
    made, known_rows, asked = (
        design(part, ranked_by=known) for part in (synthetic.ordered(), known, targets)
    )
    rows = np.concatenate([made, known_rows])
    labels = np.repeat([1, 0], [len(made), len(known)])
    weights = np.repeat([0.5 / len(made), 0.5 / len(known)], [len(made), len(known)]) * len(rows)
    seeds = rng.integers(0, 2**31, size=_TREES).tolist()
    # A whole forest in memory would take hundreds of megabytes; a tree is dropped once it voted.
    votes = Parallel(prefer="threads", return_as="generator")(
        delayed(_vote)(rows, labels, weights, asked, _tree(place, seed))
        for place, seed in enumerate(seeds)
    )
    total = np.zeros(len(targets))
    for vote in votes:
        total += vote
    return np.asarray(total / _TREES)


def _tree(place: int, seed: int) -> ExtraTreeClassifier:
    return ExtraTreeClassifier(random_state=seed, **(_GROWN if place % 4 else _COARSE))


def _vote(
    rows: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    asked: np.ndarray,
    tree: ExtraTreeClassifier,
) -> np.ndarray:
    tree.fit(rows, labels, sample_weight=weights)
    return np.asarray(tree.predict_proba(asked)[:, 1])
