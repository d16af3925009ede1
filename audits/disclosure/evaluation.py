"""Run a disclosure attack in five arms: train, holdout, guessing, planted copies, nothing to leak.

Singling out, linkability and inference are the three tests of WP29 Opinion 05/2014. Success against
training rows says little by itself: an attribute can be guessed from what the whole population
shows. So the same attack is made on holdout rows (control) and without the synthetic table's help
(baseline), and only an excess over the control counts as a leak.

Source of the scheme and of the residual risk: Giomi, Boenisch, Wehmeyer and Tasnadi, A unified
framework for quantifying privacy risk in synthetic data, PoPETs 2023(2), equation 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from audits.disclosure.attempts import ARMS, Attempts, fisher
from audits.errors import AttackError
from audits.judgement import LARGEST_BLIND_SHARE, Evidence, Settings, too_few, unclean
from audits.records import Encoded, concatenate
from audits.registry import DisclosureAttack
from audits.statistics import POWER, Estimate, clopper_pearson, exact
from audits.tables.sampling import bounded, generator, sizes, subsample

__all__ = ["Attempts", "evaluate", "residual_risk"]

# Targets of either control: enough for its purpose, and it keeps the controls cheap.
CONTROL_TARGETS = 500
_DEFAULT_BLIND_SPOT = "It sees only what this one attack looks for; silence is no proof of privacy."


@dataclass(frozen=True, kw_only=True)
class _Power:
    """What the positive control showed.

    Attributes:
        place: the sub-attack that sees the smallest leak.
        planted: its success rate on planted rows.
        share: the smallest copied share of the training rows that the audit's test sees in 95 %
            of runs; infinite if none.
    """

    place: int
    planted: Estimate
    share: float


def evaluate(attack: DisclosureAttack, tables: Encoded, *, settings: Settings) -> Evidence:
    """Success rates of attack, control and baseline, their test and both controls, as evidence.

    Null: training and holdout rows are exchangeable given the synthetic table. Its test permutes
    the rows (see `Attempts.p_values`), so it is exact, and corrected over the sub-attacks. The
    figures are those of the sub-attack with the largest excess; their intervals are wide enough to
    hold for all sub-attacks at once, so that this choice is paid for.

    Args:
        attack: with `attempt`.
        tables: of the audit, in canonical order.
        settings: of the audit.

    Raises:
        AttackError: the attack did not give `Attempts`, or cannot run on such columns.
    """
    rng = generator(settings.seed, attack.NAME)
    used = bounded(tables, rng=rng)
    tried = _attempt(attack, used, rng=rng)
    z, p_values = tried.p_values(rng=rng)
    worst = int(np.argmax(np.round(z, 9)))
    power = _planted(attack, used, tried, settings=settings, rng=rng)
    figures = _figures(tried, worst, power, confidence=settings.confidence)
    return Evidence(
        name=attack.NAME,
        family="disclosure",
        figures=figures,
        blind_spot=getattr(attack, "BLIND_SPOT", _DEFAULT_BLIND_SPOT),
        knowledge=attack.KNOWLEDGE,
        p_value=float(p_values.min()),
        found=_found(tried.names[worst], figures),
        nothing=_nothing(figures, power.share),
        blind=_blind(tried.names[power.place], power),
        void=too_few(sizes(used)) or _unclean(attack, used, rng=rng),
        rows_used={**sizes(used), **tried.sizes()},
        curves={
            "sub_attack": list(tried.names),
            "attack": tried.attack.mean(axis=0).tolist(),
            "control": tried.control.mean(axis=0).tolist(),
            "baseline": tried.baseline.mean(axis=0).tolist(),
            "p_adjusted": p_values.tolist(),
        },
    )


def residual_risk(
    attack: tuple[int, int], control: tuple[int, int], *, confidence: float
) -> Estimate:
    """Excess success on training rows as a share of what the control left to gain, in [-1, 1].

    (a - c) / (1 - c) where the attack rate a is at least the control rate c: the share of training
    rows given away beyond what the population gives away. Below, (a - c) / (1 - a), the same with
    the arms' parts exchanged, so that the figure has a sign, is never cut at 0 and stays finite
    where the control always succeeds; 0 where both always do.

    The interval takes the worst of two Clopper-Pearson intervals, each at half the error: the
    figure rises in a and falls in c, so it holds at any sizes and whatever joins the two arms.

    Args:
        attack: (successes, tries) on training rows.
        control: (successes, tries) on holdout rows.
        confidence: of the interval.

    Source: PoPETs 2023(2), equation 3, for a >= c.
    """
    stricter = (1.0 + confidence) / 2.0
    a, c = (clopper_pearson(*arm, confidence=stricter) for arm in (attack, control))
    return Estimate(
        value=_residual(a.value, c.value),
        lower=_residual(a.lower, c.upper),
        upper=_residual(a.upper, c.lower),
        confidence=confidence,
    )


def _residual(attack: float, control: float) -> float:
    left = 1.0 - min(attack, control)
    return (attack - control) / left if left > 0.0 else 0.0


def _attempt(attack: DisclosureAttack, tables: Encoded, *, rng: np.random.Generator) -> Attempts:
    tried = attack.attempt(tables, rng=rng)
    if not isinstance(tried, Attempts):
        raise AttackError(
            f"attack {attack.NAME!r} gave a {type(tried).__name__}; attempt must give Attempts"
        )
    return tried


def _planted(
    attack: DisclosureAttack,
    tables: Encoded,
    tried: Attempts,
    *,
    settings: Settings,
    rng: np.random.Generator,
) -> _Power:
    """The attack on training rows planted in half of the synthetic table."""
    leaky, per_copy = _leaky(tables, statements=tried.paired, rng=rng)
    shown = _attempt(attack, leaky, rng=rng)
    alpha = settings.alpha_each / len(tried.names)
    stricter = (1.0 + settings.confidence) / 2.0
    shares = []
    for place in range(len(tried.names)):
        a, c = (
            clopper_pearson(*shown.count(arm, place), confidence=stricter)
            for arm in ("attack", "control")
        )
        shares.append(_share(tried, place, slope=(a.lower - c.upper) * per_copy, alpha=alpha))
    place = int(np.argmin(shares))
    rate = clopper_pearson(*shown.count("attack", place), confidence=settings.confidence)
    return _Power(place=place, planted=rate, share=shares[place])


def _leaky(tables: Encoded, *, statements: bool, rng: np.random.Generator) -> tuple[Encoded, float]:
    """Tables with a leak, and by what its excess grows for a whole training table of copies.

    A target row is copied or not, so the planted rows themselves are the targets. Statements are
    made from the synthetic table, of which the planted rows are half; their excess grows with the
    copies' share of it.
    """
    rows = len(tables.synthetic)
    planted = subsample(tables.train, max(1, rows // 2), rng=rng)
    rest = subsample(tables.synthetic, max(1, rows - len(planted)), rng=rng)
    synthetic = concatenate([planted, rest])
    if statements:
        leaky = Encoded(train=tables.train, holdout=tables.holdout, synthetic=synthetic)
        return leaky, len(tables.train) / rows * len(synthetic) / len(planted)
    targets = (
        subsample(records, CONTROL_TARGETS, rng=rng) for records in (planted, tables.holdout)
    )
    train, holdout = targets
    return Encoded(train=train, holdout=holdout, synthetic=synthetic), 1.0


def _share(tried: Attempts, place: int, *, slope: float, alpha: float) -> float:
    """Smallest copied share of training rows that a single test sees in 95 % of runs, or inf.

    Args:
        tried: the audit's own run, whose control tells what success a fresh row gives.
        place: of the sub-attack.
        slope: by what the success rate grows from no row copied to all.
        alpha: level of the test.
    """
    hits, tries = tried.count("control", place)
    members = tried.count("attack", place)[1]
    if slope <= 0.0:
        return math.inf
    for share in np.geomspace(1.0 / members, 1.0, 80):
        rate = min(1.0, hits / tries + share * slope)
        likely = int(stats.binom.ppf(1.0 - POWER, members, rate))
        if fisher(likely, members, hits, tries) <= alpha:
            return float(share)
    return math.inf


def _unclean(attack: DisclosureAttack, tables: Encoded, *, rng: np.random.Generator) -> str:
    """Why the attack's figures cannot be believed: it alarms where nothing can leak; or ""."""
    mixed = rng.permutation(len(tables.holdout))
    half = len(mixed) // 2
    if half == 0:
        return ""
    clean, outside = (tables.holdout.take(np.sort(part)) for part in (mixed[:half], mixed[half:]))
    control = Encoded(
        train=subsample(tables.train, CONTROL_TARGETS, rng=rng),
        holdout=subsample(outside, CONTROL_TARGETS, rng=rng),
        synthetic=clean,
    )
    try:
        tried = _attempt(attack, control, rng=rng)
    except AttackError as fault:
        return f"The negative control, with holdout rows for synthetic ones, cannot run: {fault}."
    return unclean(min(float(side.p_values(rng=rng)[1].min()) for side in (tried, tried.swapped())))


def _figures(
    tried: Attempts, place: int, power: _Power, *, confidence: float
) -> dict[str, Estimate]:
    """Of one sub-attack, chosen out of all; hence each interval at its share of the error."""
    stricter = 1.0 - (1.0 - confidence) / len(tried.names)
    figures = {
        f"{arm}_rate": clopper_pearson(*tried.count(arm, place), confidence=stricter)
        for arm in ARMS
    }
    figures["residual_risk"] = residual_risk(
        tried.count("attack", place), tried.count("control", place), confidence=stricter
    )
    # The intervals hold for all sub-attacks at once, at the confidence asked for.
    figures = {name: replace(figure, confidence=confidence) for name, figure in figures.items()}
    return figures | {
        "control_planted_rate": power.planted,
        "detectable_copied_share": exact(min(1.0, power.share), confidence=confidence),
    }


def _found(name: str, figures: Mapping[str, Estimate]) -> str:
    attack, control, risk = (
        figures[part] for part in ("attack_rate", "control_rate", "residual_risk")
    )
    return (
        f"The attack ({name}) succeeds in {100 * attack.value:.1f} % of its tries against train "
        f"but {100 * control.value:.1f} % against the holdout: residual risk {risk.value:.3f} "
        f"[{risk.lower:.3f}, {risk.upper:.3f}]."
    )


def _nothing(figures: Mapping[str, Estimate], share: float) -> str:
    attack, baseline = figures["attack_rate"], figures["baseline_rate"]
    remark = "" if attack.value > baseline.value else " It is no better than guessing, either."
    return (
        f"The attack succeeds no more often on training rows than on holdout rows; had "
        f"{100 * share:.2g} % of the training rows been copied, it would have shown in 95 % of "
        f"audits.{remark}"
    )


def _blind(name: str, power: _Power) -> str:
    if power.share <= LARGEST_BLIND_SHARE:
        return ""
    return (
        f"The instrument is blind here: on training rows planted in the synthetic table on purpose "
        f"the attack ({name}) succeeds in {100 * power.planted.value:.1f} % of its tries, hardly "
        f"more than on fresh ones, so silence means nothing. Too few rows, or rows repeat so much "
        f"that a copy looks like a fresh draw."
    )
