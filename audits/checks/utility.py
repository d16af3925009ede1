"""Does a model learnt from synthetic rows work on real ones? (train on synthetic, test on real)

For a few target columns, gradient-boosted trees learn the target from all other columns, once from
synthetic and once from equally many training rows, and both are tested on the same holdout rows.
Categories are scored by the AUROC, averaged over one label against the rest; numbers by the rank
correlation of prediction and truth. On the common scale of skill, 2 AUROC - 1 or the correlation,
guessing is 0 and perfection 1.

The intervals cover the draw of the holdout rows, the fitted models held fixed.

Source: Esteban, Hyland and Ratsch, arXiv 1706.02633, 2017 (the comparison).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audits.judgement import MIN_ROWS, Evidence, Settings
from audits.measures.resampling import anything, group_numbers, interval
from audits.measures.targets import Target, chosen_targets, skills
from audits.records import Encoded
from audits.statistics import Estimate
from audits.tables.sampling import generator, sizes, subsample

NAME = "utility"
MAX_ROWS = 10_000
_LARGEST_RATIO = 2.0
_BLIND_SPOT = (
    "It sees a few target columns and one kind of model; a copy of the training table scores as "
    "well as the real one."
)


@dataclass(frozen=True, kw_only=True)
class _Scored:
    """Skill on one target: with all test rows first, then with each jackknife group left out.

    Attributes:
        target: what was predicted.
        made: (1 + groups,) of the model learnt from synthetic rows.
        real: the same of the model learnt from training rows.
        sure: whether the test rows suffice for an interval.
    """

    target: Target
    made: np.ndarray
    real: np.ndarray
    sure: bool

    def shown(self, arm: str) -> float:
        """The score, on the target's own scale, of the model learnt from "made" or "real" rows."""
        skill: np.ndarray = getattr(self, arm)
        return float(self.target.figure(skill[:1])[0])


def run(tables: Encoded, *, settings: Settings) -> Evidence:
    """Mean scores by kind of target, their ratio to the real ones, and the worst target.

    Targets are chosen by looking at training rows alone (see `chosen_targets`).
    """
    rng = generator(settings.seed, NAME)
    # From all training rows: a small synthetic table must not decide what is asked.
    targets = chosen_targets(subsample(tables.train, MAX_ROWS, rng=rng), rng=rng)
    size = min(len(tables.train), len(tables.synthetic), MAX_ROWS)
    cut = Encoded(
        train=subsample(tables.train, size, rng=rng),
        holdout=subsample(tables.holdout, MAX_ROWS, rng=rng),
        synthetic=subsample(tables.synthetic, size, rng=rng),
    )
    groups = group_numbers(len(cut.holdout), rng=rng)
    scored = [_score(cut, target, groups) for target in targets]
    enough = min(size, len(cut.holdout)) >= MIN_ROWS
    figures = _figures(scored, enough=enough, confidence=settings.confidence)
    return Evidence(
        name=NAME,
        family="fidelity",
        figures=figures,
        blind_spot=_BLIND_SPOT,
        nothing=_summary(scored, figures, sizes(tables)),
        rows_used=sizes(cut),
        curves={
            "targets": [item.target.name for item in scored],
            "scores": [item.target.score for item in scored],
            "tstr": [item.shown("made") for item in scored],
            "trtr": [item.shown("real") for item in scored],
        },
    )


def _score(tables: Encoded, target: Target, groups: np.ndarray) -> _Scored:
    made, sure = skills(target, tables.synthetic, tables.holdout, groups, ranked_by=tables.train)
    real, _ = skills(target, tables.train, tables.holdout, groups, ranked_by=tables.train)
    return _Scored(target=target, made=made, real=real, sure=sure)


def _figures(scored: Sequence[_Scored], *, enough: bool, confidence: float) -> dict[str, Estimate]:
    figures: dict[str, Estimate] = {}
    for score, bounds in (("auroc", (0.0, 1.0)), ("rank_correlation", (-1.0, 1.0))):
        some = [item for item in scored if item.target.score == score]
        for ending, arm in (("", "made"), ("_baseline", "real")):
            # Without a target of this kind the figure stays, at guessing, and rules nothing out.
            figures[f"tstr_{score}_mean{ending}"] = (
                _mean(some, arm, enough=enough, confidence=confidence)
                if some
                else anything(sum(bounds) / 2.0, confidence=confidence, bounds=bounds)
            )
    figures["tstr_ratio"] = _ratio(scored, enough=enough, confidence=confidence)
    worst = _worst(scored) if scored else None
    for ending, arm in (("", "made"), ("_baseline", "real")):
        figures[f"tstr_worst{ending}"] = _estimate(
            np.zeros(1) if worst is None else getattr(worst, arm),
            sure=enough and worst is not None and worst.sure,
            bounds=(-1.0, 1.0),
            confidence=confidence,
            looks=len(scored),
        )
    return figures


def _mean(scored: Sequence[_Scored], arm: str, *, enough: bool, confidence: float) -> Estimate:
    values = np.mean([item.target.figure(getattr(item, arm)) for item in scored], axis=0)
    return _estimate(
        values,
        sure=enough and all(item.sure for item in scored),
        bounds=scored[0].target.bounds,
        confidence=confidence,
    )


def _ratio(scored: Sequence[_Scored], *, enough: bool, confidence: float) -> Estimate:
    """Mean skill from synthetic rows over mean skill from real ones, cut to 0 to 2.

    Where real rows teach nothing that is surely above guessing, there is nothing to keep: the
    interval is all that is possible.
    """
    if not scored:
        return anything(1.0, confidence=confidence, bounds=(0.0, _LARGEST_RATIO))
    made, real = (np.mean([getattr(i, arm) for i in scored], axis=0) for arm in ("made", "real"))
    sure = enough and all(item.sure for item in scored)
    taught = _estimate(real, sure=sure, bounds=(-1.0, 1.0), confidence=confidence).lower > 0.0
    # A figure that stays in place where the divisor is nought: 1 is "as good as real rows".
    ratio = np.where(real > 0, made / np.where(real > 0, real, 1.0), 1.0)
    return _estimate(
        np.clip(ratio, 0.0, _LARGEST_RATIO),
        sure=taught,
        bounds=(0.0, _LARGEST_RATIO),
        confidence=confidence,
    )


def _estimate(
    values: np.ndarray,
    *,
    sure: bool,
    bounds: tuple[float, float],
    confidence: float,
    looks: int = 1,
) -> Estimate:
    value = float(values[0])
    if not sure:
        return anything(value, confidence=confidence, bounds=bounds)
    return interval(value, values[1:], confidence=confidence, bounds=bounds, looks=looks)


def _worst(scored: Sequence[_Scored]) -> _Scored:
    """The target that loses most skill; the first of equals."""
    return max(scored, key=lambda item: float(item.real[0] - item.made[0]))


def _summary(scored: Sequence[_Scored], figures: dict[str, Estimate], rows: dict[str, int]) -> str:
    if not scored:
        return (
            "No column can be a target: it takes two columns, one of them with 2 to 20 labels of "
            "at least 10 training rows each or with numbers that vary. Nothing is ruled out."
        )
    ratio, worst = figures["tstr_ratio"], _worst(scored)
    parts = [
        f"Models learnt from synthetic rows keep {ratio.value:.2f} [{ratio.lower:.2f}, "
        f"{ratio.upper:.2f}] of the skill that real rows give, over "
        f"{', '.join(repr(item.target.name) for item in scored)}.",
        f"The largest loss is at {worst.target.name!r}: {worst.target.score.replace('_', ' ')} "
        f"{worst.shown('made'):.3f} against "
        f"{worst.shown('real'):.3f}.",
    ]
    for score, kind in (("auroc", "category"), ("rank_correlation", "number")):
        if not any(item.target.score == score for item in scored):
            parts.append(f"No {kind} column could be a target.")
    smallest = min(rows, key=lambda table: rows[table])
    if rows[smallest] < MIN_ROWS:
        parts.append(f"{rows[smallest]} rows in {smallest!r} are too few: nothing is ruled out.")
    unsure = [item.target.name for item in scored if not item.sure]
    if unsure:
        parts.append(f"The holdout has too few rows with and without the labels of {unsure}.")
    if ratio.lower == 0.0 and ratio.upper == _LARGEST_RATIO and not unsure:
        parts.append("Real rows do not predict these targets either, so the ratio says nothing.")
    return " ".join(parts)
