"""Run one attack in three arms: on members, on non-members, and on planted copies.

Positive control: training rows are planted in half of the synthetic table, and the same attack
must tell them from the holdout. Negative control: half of the holdout plays the synthetic table,
and the attack must not tell the training rows from the other half.
"""

from __future__ import annotations

import numpy as np

from audits.errors import AttackError
from audits.judgement import LARGEST_BLIND_SHARE, Evidence, Settings, too_few
from audits.records import Encoded, Records, concatenate
from audits.registry import Attack
from audits.sampling import bounded, generator, sizes
from audits.statistics import (
    Estimate,
    advantage,
    auroc,
    auroc_null_error,
    auroc_p_value,
    detectable_share,
    exact,
    roc,
    tpr_at_fpr,
)

# Two-sided level of the negative control; low, as it runs in every audit.
_CLEAN_LEVEL = 0.001
_CURVE_POINTS = 200
_DEFAULT_BLIND_SPOT = "It sees only what this one attack looks for; silence is no proof of privacy."


def evaluate(attack: Attack, tables: Encoded, *, settings: Settings) -> Evidence:
    """Scores of both arms, their statistics and both controls, as evidence.

    Null: training and holdout rows are exchangeable given the synthetic table.
    """
    rng = generator(settings.seed, attack.NAME)
    used = bounded(tables, rng=rng)
    confidence = settings.confidence
    members, outside = _arms(attack, used.train, used.holdout, synthetic=used.synthetic)
    control = _planted(attack, used, rng=rng, confidence=confidence)
    share = detectable_share(
        control.lower,
        no_leak=0.5,
        standard_error=auroc_null_error(members.size, outside.size),
        alpha=settings.alpha_each,
    )
    area = auroc(members, outside, confidence=confidence)
    fpr, tpr = _thin(*roc(members, outside))
    return Evidence(
        name=attack.NAME,
        family="membership",
        figures={
            "auroc": area,
            "tpr_at_fpr_0.01": tpr_at_fpr(members, outside, fpr=0.01, confidence=confidence),
            "tpr_at_fpr_0.001": tpr_at_fpr(members, outside, fpr=0.001, confidence=confidence),
            "advantage": advantage(members, outside, confidence=confidence),
            "control_auroc": control,
            "detectable_copied_share": exact(min(1.0, share), confidence=confidence),
        },
        blind_spot=getattr(attack, "BLIND_SPOT", _DEFAULT_BLIND_SPOT),
        p_value=auroc_p_value(members, outside),
        found=(
            f"The attack tells training rows from rows never seen: AUROC {area.value:.3f} "
            f"[{area.lower:.3f}, {area.upper:.3f}], where guessing gives 0.5."
        ),
        nothing=(
            f"The attack does no better than guessing; had at least {100 * share:.1f} % of the "
            f"training rows been copied, it would have noticed in 95 % of audits."
        ),
        blind=_blind(share, control),
        void=too_few(sizes(used)) or _unclean(attack, used, rng=rng),
        rows_used=sizes(used),
        curves={"roc_fpr": fpr.tolist(), "roc_tpr": tpr.tolist()},
    )


def _arms(
    attack: Attack, members: Records, outside: Records, *, synthetic: Records
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of both arms from one call, so that an attack cannot treat them differently."""
    targets = concatenate([members, outside])
    scores = np.asarray(attack.score(targets, synthetic=synthetic), dtype=np.float64)
    if scores.shape != (len(targets),) or not np.isfinite(scores).all():
        raise AttackError(
            f"attack {attack.NAME!r} gave scores of shape {scores.shape} for {len(targets)} "
            f"targets; it must give one finite score each"
        )
    return scores[: len(members)], scores[len(members) :]


def _planted(
    attack: Attack, tables: Encoded, *, rng: np.random.Generator, confidence: float
) -> Estimate:
    """AUROC of training rows planted in the synthetic table against the holdout."""
    count = min(len(tables.train), max(1, len(tables.synthetic) // 2))
    planted = tables.train.take(np.sort(rng.permutation(len(tables.train))[:count]))
    room = max(0, len(tables.synthetic) - count)
    rest = tables.synthetic.take(np.sort(rng.permutation(len(tables.synthetic))[:room]))
    leaky = concatenate([planted, rest])
    members, outside = _arms(attack, planted, tables.holdout, synthetic=leaky)
    return auroc(members, outside, confidence=confidence)


def _unclean(attack: Attack, tables: Encoded, *, rng: np.random.Generator) -> str:
    """Why the attack's figures cannot be believed: it alarms where nothing can leak; or ""."""
    mixed = rng.permutation(len(tables.holdout))
    half = len(mixed) // 2
    clean, outside = (tables.holdout.take(np.sort(part)) for part in (mixed[:half], mixed[half:]))
    members, others = _arms(attack, tables.train, outside, synthetic=clean)
    smaller = min(auroc_p_value(members, others), auroc_p_value(others, members))
    if 2.0 * smaller >= _CLEAN_LEVEL:
        return ""
    return (
        f"Negative control failed (p = {2.0 * smaller:.2g}): with holdout rows in place of the "
        f"synthetic table, the attack still tells train from holdout. They are not draws from one "
        f"source, or they overlap; split one table at random and audit again."
    )


def _blind(share: float, control: Estimate) -> str:
    if share <= LARGEST_BLIND_SHARE:
        return ""
    return (
        f"The instrument is blind here: training rows planted in the synthetic table on purpose "
        f"are hardly told from fresh ones (AUROC {control.value:.3f}), so silence means nothing. "
        f"Too few rows, or rows repeat so much that a copy looks like a fresh draw."
    )


def _thin(fpr: np.ndarray, tpr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most about 200 points of the curve, dense where false positives are few."""
    if fpr.size <= _CURVE_POINTS:
        return fpr, tpr
    lowest = max(float(fpr[fpr > 0].min(initial=1.0)), 1e-9)
    grid = np.unique(
        np.concatenate([np.geomspace(lowest, 1.0, _CURVE_POINTS // 2), np.linspace(0, 1, 100)])
    )
    kept = np.unique(np.searchsorted(fpr, grid, side="right") - 1)
    kept = np.unique(np.concatenate([[0], kept, [fpr.size - 1]]))
    return fpr[kept], tpr[kept]
