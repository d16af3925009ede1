"""Lower bounds on epsilon from canaries put through the generator itself.

One run: many canaries, each in by its own fair coin, one fit. Many runs: one target, many
independent fits. Both need only `refit` and a score; neither trusts the generator's own account of
its privacy. A bound of 0 reads "nothing ruled out", never "private".

The privacy audited is the one of adding or removing one row: a canary is added or left out, and
the number of training rows moves with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from joblib import Parallel, delayed

from audits.black_box.refit import Refit, guarded
from audits.errors import AttackError, AuditInputError
from audits.records import Records, concatenate
from audits.statistics import (
    ErrorCounts,
    LowerBound,
    MultiSplit,
    Rule,
    epsilon_lower_bound,
    many_run_epsilon,
)
from audits.tables.sampling import generator


@dataclass(frozen=True, kw_only=True, eq=False)
class Canaries:
    """Rows that are put in by a coin each, under names that their scores come back with.

    Attributes:
        records: m rows on the layout of the training rows. They work best if no other row
            resembles them; a canary equal to a training row shows nothing.
        ids: m different texts.
    """

    records: Records
    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.records) or not self.ids:
            raise AuditInputError(
                f"{len(self.ids)} ids for {len(self.records)} canaries; give one each, at least one"
            )
        if len(set(self.ids)) != len(self.ids):
            raise AuditInputError(f"id {_repeated(self.ids)!r} names two canaries; rename one")


Scorer = Callable[[Canaries, Records], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class OneRun:
    """How a one-run audit is done, fixed before it starts.

    Attributes:
        rule: how the numbers of guesses are chosen.
        delta: at which epsilon is bounded, in [0, 1).
        confidence: the bound is at most the true epsilon with at least this probability.
        seed: of the coins, the generator and the lots.
    """

    rule: Rule = field(default_factory=MultiSplit)
    delta: float = 0.0
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ManyRuns:
    """How a many-run audit is done, fixed before it starts.

    Attributes:
        models: fits, half with the target and half without; a multiple of 4, at least 8.
        threshold: scores above it are taken for "in"; None learns it on the first half of the
            models and tests it on the second.
        delta: at which epsilon is bounded, in [0, 1).
        confidence: the bound is at most the true epsilon with at least this probability.
        seed: of the generator and of the order of models.
        n_jobs: threads; None takes the number of a surrounding `joblib.parallel_config`, or one.
    """

    models: int = 200
    threshold: float | None = None
    delta: float = 0.0
    confidence: float = 0.95
    seed: int = 0
    n_jobs: int | None = None

    def __post_init__(self) -> None:
        if self.models < 8 or self.models % 4:
            raise AuditInputError(f"{self.models} models; give a multiple of 4, at least 8")


@dataclass(frozen=True, kw_only=True)
class ManyRunBound:
    """A lower bound on epsilon with what is needed to read it.

    Attributes:
        epsilon: ruled out at the confidence; 0 rules nothing out.
        ceiling: what a flawless attacker would have shown on the same models.
        counts: errors on the models that took part in the test.
        threshold: above which a model was taken for one with the target.
        delta: at which epsilon is bounded.
        confidence: of the bound.
    """

    epsilon: float
    ceiling: float
    counts: ErrorCounts
    threshold: float
    delta: float
    confidence: float

    @property
    def text(self) -> str:
        """One line for a report."""
        models = self.counts.without + self.counts.with_target
        wrong = self.counts.false_positives + self.counts.false_negatives
        terms = (
            f"{wrong} errors on {models} models; a flawless attacker would have shown "
            f"{self.ceiling:.2f}; delta {self.delta:g}, confidence {self.confidence:g}"
        )
        if self.epsilon == 0.0:
            return f"epsilon_lower_bound = 0: nothing ruled out ({terms})"
        return f"epsilon_lower_bound = {self.epsilon:.4f} ({terms})"


def audit_one_run(
    refit: Refit, rows: Records, canaries: Canaries, *, scorer: Scorer, plan: OneRun
) -> LowerBound:
    """Put each canary in by its own fair coin, fit once, guess which were in.

    Null: the generator is (epsilon, delta)-DP under adding or removing a row. The bound exceeds
    the true epsilon with probability at most 1 - confidence, whatever the scorer.

    Args:
        refit: the generator.
        rows: training rows that are always in.
        canaries: rows that may be in.
        scorer: `scorer(canaries, synthetic)` gives each canary's id a finite score, higher meaning
            "more likely in". It never sees the coins.
        plan: rule, level and seed.

    Raises:
        AttackError: the refit failed, or scores that do not belong to these canaries.
        AuditInputError: canaries on another layout, or a plan that does not fit their number.

    Source: Steinke, Nasr and Jagielski, NeurIPS 2023 (arXiv 2305.08846), algorithm 1.
    """
    _check_layout(rows, canaries.records)
    included = generator(plan.seed, "canary coins").random(len(canaries.ids)) < 0.5
    trained = _shuffled(rows, canaries.records.take(included), plan.seed, "canary order")
    synthetic = guarded(
        refit, trained, rng=generator(plan.seed, "canary fit"), what="one-run audit"
    )
    scores = aligned(canaries.ids, scorer(canaries, synthetic))
    return epsilon_lower_bound(
        scores,
        included,
        rule=plan.rule,
        delta=plan.delta,
        confidence=plan.confidence,
        rng=generator(plan.seed, "canary guesses"),
    )


def audit_many_runs(
    refit: Refit, rows: Records, target: Canaries, *, scorer: Scorer, plan: ManyRuns
) -> ManyRunBound:
    """Fit many times, half of them with the target, and guess for each fit whether it was in.

    Null and guarantee as in `audit_one_run`; a trial is a model, so the models' seeds are all
    different. The bound reads both directions of the DP inequality from Clopper-Pearson bounds.

    Args:
        refit: the generator.
        rows: training rows that are always in.
        target: one canary.
        scorer: as in `audit_one_run`.
        plan: number of models, threshold, level and seed.

    Raises:
        AttackError: a refit failed (the message has the model's number), or wrong scores.
        AuditInputError: not exactly one target, or one on another layout.

    Source: Nasr et al., USENIX Security 2023 (arXiv 2302.07956), eq. 1, as `many_run_epsilon`.
    """
    _check_layout(rows, target.records)
    if len(target.ids) != 1:
        raise AuditInputError(f"{len(target.ids)} targets; a many-run audit takes exactly one")
    # In and out alternate within both halves: learning and testing models are balanced alike.
    included = np.arange(plan.models) % 2 == 0

    def one(model: int) -> float:
        extra = target.records.take(np.arange(1 if included[model] else 0))
        trained = _shuffled(rows, extra, plan.seed, f"many order {model}")
        what = f"model {model + 1} of {plan.models}"
        rng = generator(plan.seed, f"many fit {model}")
        return float(
            aligned(target.ids, scorer(target, guarded(refit, trained, rng=rng, what=what)))[0]
        )

    found = Parallel(n_jobs=plan.n_jobs, prefer="threads")(
        delayed(one)(model) for model in range(plan.models)
    )
    return _many_run_bound(np.array(found), included, plan)


def aligned(ids: Sequence[str], scores: Mapping[str, float]) -> np.ndarray:
    """Scores in the order of the ids, joined by name, never by position: float64 (len(ids),).

    Args:
        ids: different texts.
        scores: a mapping, or a pandas Series whose index holds the ids.

    Raises:
        AttackError: a score is missing, twice there, of no canary, or not finite.
    """
    given = list(scores.keys())
    if len(set(given)) != len(given):
        raise AttackError(f"scores have canary {_repeated(given)!r} twice; give one score each")
    missing = [name for name in ids if name not in scores]
    if missing:
        raise AttackError(f"scores lack canary {missing[0]!r} ({len(missing)} in all)")
    if len(given) > len(ids):
        stranger = next(name for name in given if name not in set(ids))
        raise AttackError(f"scores have {stranger!r}, which is no canary of this audit")
    values = np.array([float(scores[name]) for name in ids])
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise AttackError(f"canary {ids[bad]!r} has score {values[bad]}; it must be finite")
    return values


def by_attack(score: Callable[..., np.ndarray]) -> Scorer:
    """The `score` function of a membership attack that needs the synthetic table alone."""

    def named(canaries: Canaries, synthetic: Records) -> Mapping[str, float]:
        values = np.asarray(score(canaries.records, synthetic=synthetic), dtype=np.float64)
        if values.shape != (len(canaries.ids),):
            raise AttackError(
                f"scores of shape {values.shape} for {len(canaries.ids)} canaries; need one each"
            )
        return dict(zip(canaries.ids, values.tolist(), strict=True))

    return named


def _many_run_bound(scores: np.ndarray, included: np.ndarray, plan: ManyRuns) -> ManyRunBound:
    tested = np.arange(scores.size) >= (scores.size // 2 if plan.threshold is None else 0)
    alpha = 1.0 - plan.confidence
    threshold = plan.threshold
    if threshold is None:
        threshold = _learned(scores[~tested], included[~tested])
    counts = _errors(scores[tested], included[tested], threshold)
    flawless = ErrorCounts(
        false_positives=0,
        without=counts.without,
        false_negatives=0,
        with_target=counts.with_target,
    )
    return ManyRunBound(
        epsilon=many_run_epsilon(counts, delta=plan.delta, alpha=alpha),
        ceiling=many_run_epsilon(flawless, delta=plan.delta, alpha=alpha),
        counts=counts,
        threshold=threshold,
        delta=plan.delta,
        confidence=plan.confidence,
    )


def _learned(scores: np.ndarray, included: np.ndarray) -> float:
    """The threshold whose errors on the learning models show most; the middle one of equals."""
    values = np.unique(scores)
    middles = (values[1:] + values[:-1]) / 2.0 if values.size > 1 else values
    # At a level of one half the intervals are narrow enough to rank thresholds on few models.
    worth = [
        many_run_epsilon(_errors(scores, included, middle), delta=0.0, alpha=0.4)
        for middle in middles.tolist()
    ]
    best = np.flatnonzero(np.array(worth) == max(worth))
    return float(middles[best[best.size // 2]])


def _errors(scores: np.ndarray, included: np.ndarray, threshold: float) -> ErrorCounts:
    above = scores > threshold
    return ErrorCounts(
        false_positives=int(np.count_nonzero(above & ~included)),
        without=int(np.count_nonzero(~included)),
        false_negatives=int(np.count_nonzero(~above & included)),
        with_target=int(np.count_nonzero(included)),
    )


def _shuffled(rows: Records, extra: Records, seed: int, name: str) -> Records:
    """Both in random order: a canary's place must say nothing."""
    both = concatenate([rows, extra])
    return both.take(generator(seed, name).permutation(len(both)))


def _check_layout(rows: Records, canaries: Records) -> None:
    if rows.layout != canaries.layout:
        raise AuditInputError(
            "canaries and training rows have different layouts; encode all in one call"
        )


def _repeated(names: Sequence[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""
