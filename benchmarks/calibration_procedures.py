"""Every bound and test of audits.statistics with the truth it is judged by, for calibration.py."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from calibration_worlds import (
    DELTA,
    Draw,
    Generator,
    World,
    heavy_tailed,
    rounded,
    shifted,
    skewed,
    worlds,
)
from scipy import special

from audits.statistics import (
    Corrected,
    ErrorCounts,
    Estimate,
    Fixed,
    MultiSplit,
    OneRunBound,
    Rule,
    Split,
    advantage,
    auroc,
    auroc_p_value,
    canary_mu,
    clopper_pearson,
    epsilon_lower_bound,
    gaussian_mu,
    guess,
    holm,
    many_run_epsilon,
    many_run_mu,
    max_t,
    median_interval,
    midranks_centred,
    one_run_curve_epsilon,
    one_run_epsilon,
    one_run_mu,
    tpr_at_fpr,
)

ALPHA = 0.05
CONFIDENCE = 1.0 - ALPHA
CANARIES = 1_000
MODELS = 250
COLUMNS = 10
GRID = tuple((k, other) for k in (10, 30, 100, 300) for other in (0, k))
RULES: dict[str, Rule] = {
    "fixed": Fixed(100, 100),
    "split": Split(),
    "multi-split": MultiSplit(),
    "corrected grid": Corrected(GRID),
}

Alarm = Callable[[Generator], bool]


@dataclass(frozen=True)
class Procedure:
    """One bound or test on one kind of data.

    Attributes:
        name: of the bound or test.
        data: what it is run on.
        alarms: whether it says more than the truth on data drawn by the generator.
        level: the alarm rate that it promises.
        naive: a rule known to break its promise.
    """

    name: str
    data: str
    alarms: Alarm
    level: float = ALPHA
    naive: bool = False


def procedures() -> list[Procedure]:
    """Every procedure, the naive ones last."""
    return [*_one_run(), *_mu(), *_many_runs(), *_intervals(), *_tests(), *_naive()]


def _one_run() -> list[Procedure]:
    """Bounds on epsilon from the guesses of one run, under every rule and mechanism."""
    found = [
        Procedure(f"one-run epsilon, {name}", data, _one_run_alarm(rule, world))
        for (name, rule), (data, world) in product(RULES.items(), worlds().items())
    ]
    return found + [
        Procedure(
            f"one-run epsilon by the curve, {name}",
            data,
            _one_run_alarm(RULES[name], world, one_run_curve_epsilon),
        )
        for name, (data, world) in product(("fixed", "corrected grid"), worlds().items())
    ]


def _one_run_alarm(rule: Rule, world: World, bound: OneRunBound = one_run_epsilon) -> Alarm:
    def alarms(rng: Generator) -> bool:
        scores, included = world.draw(rng, CANARIES)
        found = epsilon_lower_bound(
            scores,
            included,
            rule=rule,
            delta=world.delta,
            confidence=CONFIDENCE,
            rng=rng,
            bound=bound,
        )
        return found.epsilon > world.epsilon

    return alarms


def _mu() -> list[Procedure]:
    """Bounds on mu from one run, in the family that they assume; without leak in others too."""
    found = []
    for epsilon in (0.0, 1.0, 2.0, 4.0, 8.0):
        data = _titled(epsilon)
        found += [
            Procedure("one-run mu, fixed", data, _guessed_mu(_mu_of(epsilon))),
            Procedure("canary mu", data, _canary_mu(shifted(_mu_of(epsilon)), _mu_of(epsilon))),
        ]
    for data, draw in (("skewed", skewed), ("heavy tails", heavy_tailed), ("tied", rounded)):
        found.append(Procedure("canary mu", f"no leak, {data}", _canary_mu(draw, 0.0)))
    return found


def _titled(epsilon: float) -> str:
    return f"Gaussian, epsilon {epsilon:g}" if epsilon else "no leak"


def _mu_of(epsilon: float) -> float:
    return gaussian_mu(epsilon, delta=DELTA) if epsilon else 0.0


def _guessed_mu(mu: float) -> Alarm:
    def alarms(rng: Generator) -> bool:
        scores, included = shifted(mu)(rng, CANARIES)
        guesses = guess(scores, included, k_plus=100, k_minus=100, rng=rng)
        return one_run_mu(guesses, alpha=ALPHA) > mu

    return alarms


def _canary_mu(draw: Draw, mu: float) -> Alarm:
    return lambda rng: canary_mu(*draw(rng, CANARIES), alpha=ALPHA) > mu


def _many_runs() -> list[Procedure]:
    """Bounds from the errors of an attack, its threshold halfway, on independent models."""
    found = []
    for epsilon in (0.0, 2.0, 4.0):
        mu, data = _mu_of(epsilon), _titled(epsilon)
        found += [
            Procedure("many-run epsilon", data, _many_epsilon(mu, epsilon)),
            Procedure("many-run mu", data, _many_mu(mu, two_sided=False)),
            Procedure("many-run mu, two-sided", data, _many_mu(mu, two_sided=True)),
        ]
    return found


def _many_epsilon(mu: float, epsilon: float) -> Alarm:
    return lambda rng: many_run_epsilon(_errors(rng, mu), delta=DELTA, alpha=ALPHA) > epsilon


def _many_mu(mu: float, *, two_sided: bool) -> Alarm:
    return lambda rng: many_run_mu(_errors(rng, mu), alpha=ALPHA, two_sided=two_sided) > mu


def _errors(rng: Generator, mu: float) -> ErrorCounts:
    wrong = rng.binomial(MODELS, float(special.ndtr(-mu / 2.0)), 2)
    return ErrorCounts(
        false_positives=int(wrong[0]),
        without=MODELS,
        false_negatives=int(wrong[1]),
        with_target=MODELS,
    )


def _intervals() -> list[Procedure]:
    """Both ends of every interval: 200 rows in each arm, 1,000 for rare rates."""
    found = []
    for data, mu in (("no leak", 0.0), ("shift 1", 1.0)):
        area = float(special.ndtr(mu / math.sqrt(2.0)))
        gap = 2.0 * float(special.ndtr(mu / 2.0)) - 1.0
        found += _ends("AUROC", data, area, _of_arms(auroc, mu, 200))
        found += _ends("advantage", data, gap, _of_arms(advantage, mu, 200))
        for fpr in (0.01, 0.001):
            truth = float(special.ndtr(mu + special.ndtri(fpr)))
            found += _ends(f"TPR at FPR {fpr:g}", data, truth, _tpr(mu, fpr))
    found += _ends("median", "skewed", math.log(2.0), _median)
    return found + _ends("Clopper-Pearson", "share 0.03", 0.03, _share)


def _ends(
    name: str, data: str, truth: float, draw: Callable[[Generator], Estimate]
) -> list[Procedure]:
    return [
        Procedure(f"{name}, lower end", data, lambda rng: draw(rng).lower > truth, ALPHA / 2.0),
        Procedure(f"{name}, upper end", data, lambda rng: draw(rng).upper < truth, ALPHA / 2.0),
    ]


def _of_arms(
    statistic: Callable[..., Estimate], mu: float, rows: int
) -> Callable[[Generator], Estimate]:
    return lambda rng: statistic(*_arms(rng, mu, rows), confidence=CONFIDENCE)


def _tpr(mu: float, fpr: float) -> Callable[[Generator], Estimate]:
    return lambda rng: tpr_at_fpr(*_arms(rng, mu, 1_000), fpr=fpr, confidence=CONFIDENCE)


def _arms(rng: Generator, mu: float, rows: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(mu, 1.0, rows), rng.normal(0.0, 1.0, rows)


def _median(rng: Generator) -> Estimate:
    return median_interval(rng.exponential(size=60), confidence=CONFIDENCE)


def _share(rng: Generator) -> Estimate:
    return clopper_pearson(int(rng.binomial(200, 0.03)), 200, confidence=CONFIDENCE)


def _tests() -> list[Procedure]:
    """The rank test alone, and families of ten correlated ones."""
    return [
        Procedure("AUROC test", "no leak", lambda rng: _rank_test(rng, digits=9)),
        Procedure("AUROC test", "no leak, tied", lambda rng: _rank_test(rng, digits=0)),
        Procedure(
            "Holm over 10 AUROC tests", "no leak", lambda rng: min(holm(_family(rng))) <= ALPHA
        ),
        Procedure("max-T over 10 AUROC tests", "no leak", _max_t),
    ]


def _rank_test(rng: Generator, *, digits: int) -> bool:
    arms = (np.round(arm, digits) for arm in _arms(rng, 0.0, 200))
    return auroc_p_value(*arms) <= ALPHA


def _scores(rng: Generator) -> np.ndarray:
    """Ten attacks of correlation 1/2 on 200 rows, the first 100 of them members."""
    return rng.normal(size=(200, COLUMNS)) + rng.normal(size=(200, 1))


def _family(rng: Generator) -> list[float]:
    return [auroc_p_value(column[:100], column[100:]) for column in _scores(rng).T]


def _max_t(rng: Generator) -> bool:
    strata = np.arange(200) % 3
    ranks = [midranks_centred(column, np.ones(200, bool), strata) for column in _scores(rng).T]
    found = max_t(np.column_stack(ranks), np.arange(200) < 100, strata, rng=rng, permutations=199)
    return bool(found.p_adjusted.min() <= ALPHA)


def _naive() -> list[Procedure]:
    """Rules in use elsewhere that promise the same level."""
    return [
        Procedure(
            "best threshold of the grid, uncorrected", "no leak", _best_threshold, naive=True
        ),
        Procedure("absolute value of a mu bound", "no leak", _absolute, naive=True),
        Procedure(
            "smallest of 10 p-values, uncorrected",
            "no leak",
            lambda r: min(_family(r)) <= ALPHA,
            naive=True,
        ),
        Procedure(
            "TPR at FPR 0.01, threshold taken as known, lower end",
            "no leak",
            _known_threshold,
            ALPHA / 2.0,
            naive=True,
        ),
    ]


def _best_threshold(rng: Generator) -> bool:
    scores, included = shifted(0.0)(rng, CANARIES)
    tried = (guess(scores, included, k_plus=plus, k_minus=minus, rng=rng) for plus, minus in GRID)
    return max(one_run_epsilon(made, delta=DELTA, alpha=ALPHA) for made in tried) > 0.0


def _absolute(rng: Generator) -> bool:
    wrong = _errors(rng, 0.0)
    fpr = clopper_pearson(wrong.false_positives, wrong.without, confidence=CONFIDENCE).upper
    fnr = clopper_pearson(wrong.false_negatives, wrong.with_target, confidence=CONFIDENCE).upper
    return abs(float(special.ndtri(1.0 - fpr) - special.ndtri(fnr))) > 0.0


def _known_threshold(rng: Generator) -> bool:
    members, others = _arms(rng, 0.0, 1_000)
    hits = int(np.count_nonzero(members > np.sort(others)[-11]))
    return clopper_pearson(hits, members.size, confidence=CONFIDENCE).lower > 0.01
