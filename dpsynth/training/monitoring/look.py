"""One look at a generator: a sample of its codes against the public answers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dpsynth.training.monitoring.closeness import Apart, mean_apart, one_way_apart, pair_apart
from dpsynth.training.monitoring.diversity import Loss, entropy_loss, measurable, variance_loss
from dpsynth.training.monitoring.modes import absent, testable
from dpsynth.training.monitoring.noise_null import NoisyLaw, noisy_law
from dpsynth.training.monitoring.public_answers import PublicAnswers
from dpsynth.training.monitoring.readings import Missing, Reading

IntArray = NDArray[np.int64]
Counts = tuple[IntArray, ...]


def read(answers: PublicAnswers, codes: IntArray, *, step: int, level: float) -> Reading:
    """What the sample shows, without sentences.

    Args:
        answers: what to compare with.
        codes: shape (rows, columns).
        step: of the training.
        level: false alarm rate of this look in each family of tests.

    Raises:
        InputError: the codes do not fit the columns.
    """
    rows = len(codes)
    counts = answers.counts(codes)
    tables = answers.pair_counts(codes)
    laws = [noisy_law(c / rows, m.noise) for c, m in zip(counts, answers.columns, strict=True)]
    one_way, pairs = _one_way(answers, laws, rows), _pairs(answers, tables, rows)
    missing = _missing(answers, counts, rows, level)
    live, lost = _combinations(answers, counts, tables, rows, level)
    entropies, variances = _losses(answers, laws, rows, level / len(laws))
    entropy, variance = _names(answers, entropies), _names(answers, variances)
    return Reading(
        step=step,
        rows=rows,
        tvd_one_way=one_way.distance,
        tvd_pairs=None if pairs is None else pairs.distance,
        # One-way marginals are known best and repaired last; pairs say whether columns go together.
        score=one_way.excess + (0.0 if pairs is None else pairs.excess),
        stderr=one_way.stderr + (0.0 if pairs is None else pairs.stderr),
        entropies=tuple(None if loss is None else loss.ratio for loss in entropies),
        variances=tuple(None if loss is None else loss.ratio for loss in variances),
        entropy_column=entropy,
        variance_column=variance,
        missing=missing,
        live_pairs=live,
        lost_pairs=lost,
        narrow=_sure(entropies),
        shrunk=_sure(variances),
    )


def _one_way(answers: PublicAnswers, laws: Sequence[NoisyLaw], rows: int) -> Apart:
    found = [
        one_way_apart(column.shares, law, rows)
        for column, law in zip(answers.columns, laws, strict=True)
    ]
    return mean_apart(found)


def _pairs(answers: PublicAnswers, tables: Counts, rows: int) -> Apart | None:
    if not tables:
        return None
    found = [
        pair_apart(held, counts / rows, rows, answers.table_noise)
        for held, counts in zip(answers.tables, tables, strict=True)
    ]
    return mean_apart(found)


def _missing(
    answers: PublicAnswers, counts: Counts, rows: int, level: float
) -> tuple[Missing, ...]:
    modes = answers.modes
    seen = np.concatenate(counts)[modes.places]
    lost = np.flatnonzero(absent(seen, rows, modes.sure, modes.even, level=level))
    starts = np.cumsum([0, *answers.sizes])
    columns = np.searchsorted(starts, modes.places[lost], side="right") - 1
    return tuple(
        Missing(
            column=int(column),
            code=int(modes.places[mode] - starts[column]),
            expected=float(modes.shares[mode]),
            at_least=float(modes.sure[mode]),
            share=float(seen[mode] / rows),
        )
        for mode, column in zip(lost, columns, strict=True)
    )


def _combinations(
    answers: PublicAnswers,
    counts: Counts,
    tables: Counts,
    rows: int,
    level: float,
) -> tuple[int, int]:
    """Combinations of codes whose absence would be noticed, and how many of them are absent.

    A combination that is as rare as the generator's own columns would have it by chance is not
    lost: relations that were not learned are no collapse. Nor are those with a code that is itself
    missing: that is told already, and by chance it would have none.
    """
    modes = answers.combinations
    if not len(modes.places):
        return 0, 0
    seen = np.concatenate(tables)[modes.places]
    by_chance = [np.outer(counts[i], counts[j]).ravel() / rows**2 for i, j in answers.pairs]
    sure = np.minimum(modes.sure, np.concatenate(by_chance)[modes.places])
    lost = absent(seen, rows, sure, modes.even, level=level)
    live = testable(rows, sure, level=level) | lost
    return int(live.sum()), int(lost.sum())


Losses = list[Loss | None]


def _losses(
    answers: PublicAnswers, laws: Sequence[NoisyLaw], rows: int, level: float
) -> tuple[Losses, Losses]:
    """Entropy and variance of each column; None where the noise hides what the table has."""
    entropies: Losses = []
    variances: Losses = []
    known = [
        measurable(column, law, rows)
        for column, law in zip(answers.columns, answers.laws, strict=True)
    ]
    for (clear, spread), column, law in zip(known, answers.columns, laws, strict=True):
        entropy = entropy_loss(column, law, rows, level=level)
        variance = variance_loss(column, law, rows, level=level)
        entropies.append(entropy if clear or entropy.sure else None)
        told = variance is not None and (spread or variance.sure)
        variances.append(variance if told else None)
    return entropies, variances


def _names(answers: PublicAnswers, losses: Losses) -> str | None:
    """The name of the column with the smallest ratio."""
    ratios = [(loss.ratio, j) for j, loss in enumerate(losses) if loss is not None]
    return answers.names[min(ratios)[1]] if ratios else None


def _sure(losses: Losses) -> tuple[int, ...]:
    return tuple(j for j, loss in enumerate(losses) if loss is not None and loss.sure)
