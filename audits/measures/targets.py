"""Which columns a model is asked to predict, and how well it does: the parts of the utility check.

Both kinds of target are put on one scale, skill: 0 for guessing, 1 for perfection, below 0 for
worse than guessing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from audits.measures.learning import class_scores, number_scores
from audits.records import Records
from audits.tables.features import design

MAX_PER_KIND = 3
MIN_CLASS_ROWS = 10
MAX_CLASSES = 20
# A column that another one spells out (a code beside its label) shows little when predicted.
_SPELT_OUT = 0.98
_TRIAL_ROWS = 2_000
_MAX_TRIALS = 20

Score = Literal["auroc", "rank_correlation"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A column to predict from all others.

    Attributes:
        name: of the column.
        score: "auroc" for a category, "rank_correlation" for a number.
        codes: of the labels that are told from the rest; empty for a number.
        known: present training values of a number, sorted; empty for a category.
    """

    name: str
    score: Score
    codes: np.ndarray
    known: np.ndarray

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and greatest possible score."""
        return (0.0, 1.0) if self.score == "auroc" else (-1.0, 1.0)

    def figure(self, skill: np.ndarray) -> np.ndarray:
        """The scores that these skills stand for."""
        return (1.0 + skill) / 2.0 if self.score == "auroc" else skill


def chosen_targets(train: Records, *, rng: np.random.Generator) -> list[Target]:
    """At most three categories and three numbers, those that training rows predict best.

    A category needs 2 to 20 labels with at least 10 training rows each; a number two different
    values. Where there are more candidates than places, each is predicted within the training
    rows, one half from the other (at most 20 candidates of a kind, drawn at random); the most
    skilful are taken, those that another column spells out last. Neither the holdout nor the
    synthetic rows are looked at, so the choice favours neither side of the comparison.
    """
    candidates = _candidates(train)
    chosen: list[Target] = []
    for score in ("auroc", "rank_correlation"):
        kind = [target for target in candidates if target.score == score]
        if len(kind) > MAX_PER_KIND:
            kind = _best(train, kind, rng=rng)
        chosen += kind
    return chosen


def skills(
    target: Target,
    fit: Records,
    test: Records,
    groups: np.ndarray,
    *,
    ranked_by: Records,
) -> tuple[np.ndarray, bool]:
    """Skill at this target of a model learnt from `fit` and tested on `test`.

    Rows whose target is missing are left out of both.

    Args:
        target: what is predicted.
        fit: rows to learn from.
        test: rows to predict.
        groups: (test rows,) jackknife group of each, from 0.
        ranked_by: the rows that order the features' codes.

    Returns:
        float64 (1 + groups,): with all test rows, then with each group left out; and whether the
        test rows suffice for an interval (10 rows with and without each label; 2 values of a
        number).
    """
    learn = fit.take(_present(fit, target))
    held, count = _present(test, target), int(groups.max()) + 1
    asked, groups = test.take(held), groups[held]
    if len(asked) == 0:
        return np.zeros(1 + count), False
    rows, targets = (
        design(part, ranked_by=ranked_by, without=target.name) for part in (learn, asked)
    )
    if target.score == "auroc":
        labels, truth = (_labels(part, target) for part in (learn, asked))
        scores = class_scores(rows, labels, classes=target.codes.size + 1, targets=targets)
        return _auroc_skill(scores, truth, groups, count)
    values, truth = (_values(part, target) for part in (learn, asked))
    return _rank_skill(number_scores(rows, values, targets=targets), truth, groups, count)


def auroc_replicates(
    scores: np.ndarray, positive: np.ndarray, groups: np.ndarray, count: int
) -> np.ndarray:
    """AUROC, ties half, with all rows and with each of `count` groups left out: (1 + count,).

    Args:
        scores: (n,).
        positive: (n,) bool.
        groups: (n,) group numbers from 0.
        count: of the groups.

    Where no positive or no negative is left the value is 0.5.
    """
    levels, places = np.unique(scores, return_inverse=True)
    width = levels.size
    sides = []
    for mask in (positive, ~positive):
        split = np.bincount(groups[mask] * width + places[mask], minlength=count * width)
        split = split.reshape(count, width)
        total = split.sum(axis=0)
        sides.append(np.vstack([total, total - split]).astype(np.float64))
    above, below = sides
    # Whole and half numbers below 2**53: these sums have no rounding at all.
    wins = (above * (np.cumsum(below, axis=1) - below / 2.0)).sum(axis=1)
    pairs = above.sum(axis=1) * below.sum(axis=1)
    return np.asarray(np.where(pairs > 0, wins / np.maximum(pairs, 1.0), 0.5))


def _candidates(train: Records) -> list[Target]:
    layout = train.layout
    found: list[Target] = []
    if len(layout.names) < 2:
        return found
    for name in layout.names:
        if name in layout.category_names:
            codes, counts = np.unique(_raw(train, name), return_counts=True)
            common = codes[(counts >= MIN_CLASS_ROWS) & (codes >= 0)]
            if common.size >= 2 and np.count_nonzero(codes >= 0) <= MAX_CLASSES:
                found.append(Target(name=name, score="auroc", codes=common, known=np.empty(0)))
            continue
        known = np.sort(_raw(train, name))
        known = known[~np.isnan(known)]
        if known.size and known[0] < known[-1]:
            empty = np.empty(0, dtype=np.int32)
            found.append(Target(name=name, score="rank_correlation", codes=empty, known=known))
    return found


def _best(train: Records, kind: Sequence[Target], *, rng: np.random.Generator) -> list[Target]:
    """The three that one half of the training rows predicts best in the other half."""
    drawn = np.sort(rng.permutation(len(kind))[:_MAX_TRIALS])
    order = rng.permutation(len(train))
    half = min(len(train) // 2, _TRIAL_ROWS)
    fit, test = train.take(np.sort(order[:half])), train.take(np.sort(order[half : 2 * half]))
    alone = np.zeros(len(test), dtype=np.int64)
    ranked = []
    for place in drawn:
        skill, _ = skills(kind[place], fit, test, alone, ranked_by=train)
        # Rounded, so that noise in the last bits cannot change the choice.
        value = round(float(skill[0]), 6)
        ranked.append((value > _SPELT_OUT, -value, int(place)))
    taken = sorted(place for _, _, place in sorted(ranked)[:MAX_PER_KIND])
    return [kind[place] for place in taken]


def _raw(records: Records, name: str) -> np.ndarray:
    """The column of this name: numbers with NaN, or codes with -1."""
    layout = records.layout
    if name in layout.category_names:
        return np.asarray(records.categories[:, layout.category_names.index(name)])
    return np.asarray(records.numbers[:, layout.number_names.index(name)])


def _present(records: Records, target: Target) -> np.ndarray:
    values = _raw(records, target.name)
    return np.asarray(values >= 0 if target.score == "auroc" else ~np.isnan(values))


def _labels(records: Records, target: Target) -> np.ndarray:
    """Place of each label among the target's codes; all others are one label of their own."""
    codes = _raw(records, target.name)
    places = np.minimum(np.searchsorted(target.codes, codes), target.codes.size - 1)
    return np.where(target.codes[places] == codes, places, target.codes.size).astype(np.int64)


def _values(records: Records, target: Target) -> np.ndarray:
    """Numbers as their rank among the training values, 0 to 1; a wild one is no further out."""
    values = _raw(records, target.name)
    sides = [np.searchsorted(target.known, values, side=side) for side in ("left", "right")]
    return np.asarray((sides[0] + sides[1]) / (2.0 * target.known.size))


def _auroc_skill(
    scores: np.ndarray, truth: np.ndarray, groups: np.ndarray, count: int
) -> tuple[np.ndarray, bool]:
    """Mean over labels of 2 AUROC - 1, one label against the rest."""
    labels = scores.shape[1] - 1
    with_label = np.bincount(truth, minlength=labels + 1)[:labels]
    measured = np.flatnonzero((with_label > 0) & (with_label < truth.size))
    if measured.size == 0:
        return np.zeros(1 + count), False
    parts = [auroc_replicates(scores[:, c], truth == c, groups, count) for c in measured]
    fewest = min(int(with_label.min()), truth.size - int(with_label.max()))
    return 2.0 * np.mean(parts, axis=0) - 1.0, fewest >= MIN_CLASS_ROWS


def _rank_skill(
    scores: np.ndarray, truth: np.ndarray, groups: np.ndarray, count: int
) -> tuple[np.ndarray, bool]:
    """Spearman's rank correlation, 0 where predictions or truth do not vary."""
    kept = [np.full(groups.shape, True), *(groups != group for group in range(count))]
    values = np.array([_spearman(scores[rows], truth[rows]) for rows in kept])
    return values, bool(truth.min() < truth.max())


def _spearman(left: np.ndarray, right: np.ndarray) -> float:
    if left.size < 2 or left.min() == left.max() or right.min() == right.max():
        return 0.0
    a, b = (stats.rankdata(side) for side in (left, right))
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()), -1.0, 1.0))
