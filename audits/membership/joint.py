"""Membership attacks judged together: one permutation test over attacks and groups of targets.

Null: training and holdout rows are exchangeable given the synthetic table (and the reference, for
attacks that hold it). The labels are then dealt anew, all attacks at once, and the largest
statistic over attacks and groups of targets is what an alarm must beat (max-T): nothing is paid for
attacks that agree with each other. Attacks that were asked about other targets are tested apart, as
labels are dealt among the targets asked about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from audits.judgement import LARGEST_BLIND_SHARE, Evidence, Settings, too_few
from audits.membership.arms import Arms
from audits.membership.bounds import bound, canaries, claim_evidence, words
from audits.membership.scoring import Scored
from audits.result import Claim
from audits.statistics import (
    Estimate,
    LowerBound,
    MaxT,
    advantage,
    auroc,
    auroc_null_error,
    detectable_share,
    exact,
    max_t,
    midranks_centred,
    roc,
    tpr_at_fpr,
)
from audits.tables.sampling import generator

GROUP = "membership"
_CURVE_POINTS = 200
_DEFAULT_BLIND_SPOT = "It sees only what this one attack looks for; silence is no proof of privacy."


@dataclass(frozen=True, kw_only=True, eq=False)
class Joint:
    """The joint test of some attacks on all targets and on the most exposed ones.

    Attributes:
        arms: the targets.
        scored: one for each attack, in order.
        exposed: (n,) mask of the most exposed targets.
        test: over the columns "all" of every attack, then "exposed" of every attack.
        group: of the tests.
    """

    arms: Arms
    scored: Sequence[Scored]
    exposed: np.ndarray
    test: MaxT
    group: str


def joint(
    arms: Arms,
    scored: Sequence[Scored],
    exposed: np.ndarray,
    *,
    settings: Settings,
    group: str = GROUP,
) -> Joint:
    """Test these attacks at once.

    Args:
        arms: the targets.
        scored: what the attacks said; all were asked about the same targets.
        exposed: (n,) mask of the targets in the smaller group, chosen without their labels.
        settings: of the audit.
        group: of the tests; its name also seeds the permutations.
    """
    one = np.zeros(len(arms.targets), dtype=np.int64)
    every = [midranks_centred(item.scores, item.asked, one) for item in scored]
    few = [midranks_centred(item.scores, item.asked & exposed, one) for item in scored]
    # Rows that no attack was asked about would only dilute the labels that are dealt.
    rows = np.logical_or.reduce([item.asked for item in scored])
    test = max_t(
        np.column_stack([*every, *few])[rows],
        arms.members[rows],
        one[rows],
        rng=generator(settings.seed, group),
        alpha=settings.alpha_each,
    )
    return Joint(
        arms=arms,
        scored=scored,
        exposed=exposed,
        test=test,
        group=group,
    )


def evidence(
    outcomes: Sequence[Joint],
    sizes: Mapping[str, int],
    *,
    settings: Settings,
    claim: Claim | None,
) -> list[Evidence]:
    """One evidence for each attack, with its statistics, controls and bounds; one for the claim."""
    places = [(outcome, i) for outcome in outcomes for i in range(len(outcome.scored))]
    coins = [
        canaries(
            *_split(outcome, i, outcome.scored[i].asked),
            name=outcome.scored[i].attack.NAME,
            settings=settings,
        )
        for outcome, i in places
    ]
    bounds = [bound(item, settings=settings, claim=claim, attacks=len(coins)) for item in coins]
    # Arms that one attack can tell apart without a leak are no arms for the others either.
    voids = [item.void for outcome in outcomes for item in outcome.scored if item.void]
    found = [
        _one(outcome, i, sizes, settings=settings, limit=limit, void="".join(voids[:1]))
        for (outcome, i), limit in zip(places, bounds, strict=True)
    ]
    if claim is not None:
        found.append(claim_evidence(coins, bounds, claim, settings=settings))
    return found


def _one(
    outcome: Joint,
    place: int,
    sizes: Mapping[str, int],
    *,
    settings: Settings,
    limit: LowerBound,
    void: str,
) -> Evidence:
    item = outcome.scored[place]
    share = _detectable(outcome, place)
    p_values = outcome.test.p_adjusted[[place, place + len(outcome.scored)]]
    inside, outside = _split(outcome, place, item.asked)
    fpr, tpr = _thin(*roc(inside, outside))
    area = auroc(inside, outside, confidence=settings.confidence)
    rows = {**sizes, "train": inside.size, "holdout": outside.size}
    return Evidence(
        name=item.attack.NAME,
        family="membership",
        group=outcome.group,
        figures={
            "auroc": area,
            **_figures(outcome, place, confidence=settings.confidence),
            "control_auroc": item.control,
            "detectable_copied_share": exact(min(1.0, share), confidence=settings.confidence),
            "epsilon_lower_bound": exact(limit.epsilon, confidence=settings.confidence),
            "epsilon_ceiling": exact(limit.ceiling, confidence=settings.confidence),
        },
        blind_spot=getattr(item.attack, "BLIND_SPOT", _DEFAULT_BLIND_SPOT),
        knowledge=item.attack.KNOWLEDGE,
        p_value=float(p_values.min()),
        found=_found(area, vulnerable=p_values[1] < p_values[0]),
        nothing=(
            f"The attack does no better than guessing; had at least {100 * share:.1f} % of the "
            f"training rows been copied, it would have noticed in 95 % of audits. {words(limit)}"
        ),
        blind=_blind(share, item.control),
        void=too_few(rows) or void,
        rows_used=rows,
        curves={"roc_fpr": fpr.tolist(), "roc_tpr": tpr.tolist()},
    )


def _figures(outcome: Joint, place: int, *, confidence: float) -> dict[str, Estimate]:
    item = outcome.scored[place]
    inside, outside = _split(outcome, place, item.asked)
    exposed = _split(outcome, place, item.asked & outcome.exposed)
    # Without a row in one of the arms there is nothing to compare: all is possible.
    few = min(side.size for side in exposed) == 0
    unknown = Estimate(value=0.5, lower=0.0, upper=1.0, confidence=confidence)
    return {
        "auroc_vulnerable": unknown if few else auroc(*exposed, confidence=confidence),
        "tpr_at_fpr_0.01": tpr_at_fpr(inside, outside, fpr=0.01, confidence=confidence),
        "tpr_at_fpr_0.001": tpr_at_fpr(inside, outside, fpr=0.001, confidence=confidence),
        "advantage": advantage(inside, outside, confidence=confidence),
    }


def _split(outcome: Joint, place: int, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of members and of non-members under this mask."""
    scores, members = outcome.scored[place].scores, outcome.arms.members
    return scores[mask & members], scores[mask & ~members]


def _detectable(outcome: Joint, place: int) -> float:
    """Smallest share of copied training rows that the joint test sees in 95 % of audits."""
    inside, outside = _split(outcome, place, outcome.scored[place].asked)
    return detectable_share(
        outcome.scored[place].control.lower,
        no_leak=0.5,
        standard_error=auroc_null_error(inside.size, outside.size),
        alpha=float(stats.norm.sf(outcome.test.critical)),
    )


def _found(area: Estimate, *, vulnerable: bool) -> str:
    whom = ", most clearly for the rows that stand apart" if vulnerable else ""
    return (
        f"The attack tells training rows from rows never seen{whom}: AUROC {area.value:.3f} "
        f"[{area.lower:.3f}, {area.upper:.3f}], where guessing gives 0.5."
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
