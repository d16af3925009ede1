"""Run one membership attack: on both arms, on planted copies, and where nothing can leak.

Positive control: training rows are planted in half of the synthetic table, and the same attack
must tell them from the holdout. Negative control: half of the holdout plays the synthetic table,
and the attack must not tell the training rows from the other half. A black-box attack gets, in
place of the generator, one that resamples its rows and one that ignores them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audits.black_box.refit import Refit, blind, leaky
from audits.errors import AttackError
from audits.judgement import Settings, unclean
from audits.membership.arms import Arms
from audits.records import Records, concatenate
from audits.registry import MembershipAttack, holds
from audits.statistics import Estimate, auroc, auroc_p_value
from audits.tables.sampling import generator, subsample

# Rows in each arm of a control: enough to see what the attack can do, few enough to cost little.
_CONTROL_ROWS = 2_500


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What one attack said.

    Attributes:
        attack: that was run.
        scores: (n,) one for each target; NaN where it was not asked.
        control: AUROC on planted copies.
        void: why its figures cannot be believed, or "".
    """

    attack: MembershipAttack
    scores: np.ndarray
    control: Estimate
    void: str = ""

    @property
    def asked(self) -> np.ndarray:
        """(n,) bool: targets that have a score."""
        return np.asarray(~np.isnan(self.scores))


@dataclass(frozen=True, kw_only=True, eq=False)
class _View:
    """What the attacker holds in one call."""

    synthetic: Records
    reference: Records | None
    refit: Refit | None
    rng: np.random.Generator


def run(
    attack: MembershipAttack,
    arms: Arms,
    *,
    settings: Settings,
    refit: Refit | None = None,
    asked: np.ndarray | None = None,
) -> Scored:
    """Scores of the targets and the outcome of both controls.

    Args:
        attack: to run; what it holds is read off its signature.
        arms: targets, references and the synthetic table.
        settings: of the audit.
        refit: the generator as a black box, for attacks that want it.
        asked: mask of the targets to ask about; all by default.

    Raises:
        AttackError: scores of a wrong shape or not finite, or a generator that failed.
    """
    mask = np.ones(len(arms.targets), dtype=bool) if asked is None else asked
    if "reference" in holds(attack):
        mask = mask & ~arms.lent
    rows = np.flatnonzero(mask)
    rng = generator(settings.seed, f"{attack.NAME} targets")
    view = _View(synthetic=arms.synthetic, reference=arms.reference, refit=refit, rng=rng)
    scores = np.full(len(arms.targets), np.nan)
    scores[rows] = _ask(attack, arms.targets.take(rows), view)
    black_box = "refit" in holds(attack)
    sides = _sides(arms, mask)
    return Scored(
        attack=attack,
        scores=scores,
        control=_planted(attack, arms, sides, settings=settings, black_box=black_box),
        void=_unclean(attack, arms, sides, settings=settings, black_box=black_box),
    )


def _ask(attack: MembershipAttack, targets: Records, view: _View) -> np.ndarray:
    """Scores of all targets from one call, so that an attack cannot treat the arms differently."""
    given = {name: getattr(view, name) for name in sorted(holds(attack))}
    scores = np.asarray(attack.score(targets, synthetic=view.synthetic, **given), dtype=np.float64)
    if scores.shape != (len(targets),) or not np.isfinite(scores).all():
        raise AttackError(
            f"attack {attack.NAME!r} gave scores of shape {scores.shape} for {len(targets)} "
            f"targets; it must give one finite score each"
        )
    return scores


def _sides(arms: Arms, mask: np.ndarray) -> tuple[Records, Records]:
    """Members and non-members that the attack is asked about."""
    return (
        arms.targets.take(np.flatnonzero(mask & arms.members)),
        arms.targets.take(np.flatnonzero(mask & ~arms.members)),
    )


def _planted(
    attack: MembershipAttack,
    arms: Arms,
    sides: tuple[Records, Records],
    *,
    settings: Settings,
    black_box: bool,
) -> Estimate:
    """AUROC of training rows planted in the synthetic table against the holdout."""
    rng = generator(settings.seed, f"{attack.NAME} planted")
    planted, synthetic = _plant(sides[0], arms.synthetic, rng=rng)
    refit = None
    if black_box:
        planted, refit = sides[0], leaky
        synthetic = leaky(sides[0], rng=rng)
    members = subsample(planted, _CONTROL_ROWS, rng=rng)
    outside = subsample(sides[1], _CONTROL_ROWS, rng=rng)
    view = _View(synthetic=synthetic, reference=arms.reference, refit=refit, rng=rng)
    scores = _ask(attack, concatenate([members, outside]), view)
    return auroc(scores[: len(members)], scores[len(members) :], confidence=settings.confidence)


def _plant(
    train: Records, synthetic: Records, *, rng: np.random.Generator
) -> tuple[Records, Records]:
    """Training rows, and a synthetic table that has them in one half."""
    count = min(len(train), max(1, len(synthetic) // 2))
    planted = train.take(np.sort(rng.permutation(len(train))[:count]))
    room = max(0, len(synthetic) - count)
    rest = synthetic.take(np.sort(rng.permutation(len(synthetic))[:room]))
    return planted, concatenate([planted, rest])


def _unclean(
    attack: MembershipAttack,
    arms: Arms,
    sides: tuple[Records, Records],
    *,
    settings: Settings,
    black_box: bool,
) -> str:
    """Why the attack's figures cannot be believed: it alarms where nothing can leak; or ""."""
    rng = generator(settings.seed, f"{attack.NAME} clean")
    mixed = rng.permutation(len(sides[1]))
    half = len(mixed) // 2
    clean, outside = (sides[1].take(np.sort(part)) for part in (mixed[:half], mixed[half:]))
    refit = blind(clean) if black_box and len(clean) else None
    if not len(clean):
        return "The holdout is too small for a negative control."
    members = subsample(sides[0], _CONTROL_ROWS, rng=rng)
    outside = subsample(outside, _CONTROL_ROWS, rng=rng)
    view = _View(synthetic=clean, reference=arms.reference, refit=refit, rng=rng)
    scores = _ask(attack, concatenate([members, outside]), view)
    inside, others = scores[: len(members)], scores[len(members) :]
    return unclean(min(auroc_p_value(inside, others), auroc_p_value(others, inside)))
