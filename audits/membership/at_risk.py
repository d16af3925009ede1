"""Whom the attacks reach: small groups tested on their own, and training rows by their number.

Achilles' heels: an average over all rows hides the few that stand apart. The groups are made of
values, never of labels, so that the test below stays exact; a record is named by its row number in
the training table as it was given, and by nothing else.

Source: Meeus, Guepin, Cretu and de Montjoye, Achilles' Heels, ESORICS 2023, arXiv:2306.10308.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from audits.judgement import LARGEST_BLIND_SHARE, MIN_ROWS, Evidence, Settings
from audits.membership.arms import Arms
from audits.membership.scoring import Scored
from audits.membership.vulnerability import record_risks, subgroups
from audits.statistics import (
    Estimate,
    MaxT,
    auroc,
    auroc_null_error,
    clopper_pearson,
    detectable_share,
    exact,
    max_t,
    midranks_centred,
)
from audits.tables.sampling import generator

NAME = "vulnerable_records"
# Training rows listed, most at risk first.
LISTED = 50
# A row is flagged where some attack puts it above this share of the rows never seen.
FLAG = 0.01
_BLIND_SPOT = (
    "A group or a record that no attack reaches may still be at risk from one that was not tried."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Cell:
    """One attack in one group of targets."""

    attack: str
    group: str
    mask: np.ndarray
    ranks: np.ndarray


def evidence(
    arms: Arms, scored: Sequence[Scored], exposure: np.ndarray, *, settings: Settings
) -> Evidence:
    """Each attack in each small group, corrected together (max-T), and the records most at risk.

    Null: training and holdout rows that are not lent are exchangeable given the synthetic table
    and the reference; all attacks that were asked about all of them are compared on those.

    Args:
        arms: the targets.
        scored: what the attacks said.
        exposure: (n,) how far each target stands apart.
        settings: of the audit.
    """
    groups = subgroups(arms.targets, minimum=2 * MIN_ROWS)
    # A choice of targets with as many members as non-members is not exchangeable with the rest.
    whole = [item for item in scored if item.asked[~arms.lent].all()]
    cells = [_cell(arms, item, name, mask) for item in whole for name, mask in groups.items()]
    cells = [cell for cell in cells if _both(arms, cell)]
    test = _test(arms, cells, settings=settings)
    confidence = settings.confidence
    order = np.argsort(-test.z, kind="stable") if cells else np.empty(0, dtype=np.int64)
    tables = [_row(arms, cells[place], test, place, settings=settings) for place in order]
    share = _detectable(arms, scored, cells, test)
    flagged, baseline = (
        _flagged(arms, scored, side, confidence=confidence) for side in (True, False)
    )
    return Evidence(
        name=NAME,
        family="membership",
        figures={
            "flagged_share": flagged,
            "flagged_share_baseline": baseline,
            "worst_group_auroc": _worst(tables, confidence),
            "detectable_copied_share": exact(min(1.0, share), confidence=confidence),
        },
        blind_spot=_BLIND_SPOT,
        p_value=float(test.p_adjusted.min()) if cells else None,
        found=_found(tables),
        nothing=_nothing(len(groups), len(cells), share),
        blind=_blind(share),
        curves={
            "groups": tables,
            "records": _records(arms, scored, exposure)[:LISTED],
        },
    )


def _cell(arms: Arms, item: Scored, name: str, mask: np.ndarray) -> _Cell:
    inside = mask & item.asked & ~arms.lent
    return _Cell(
        attack=item.attack.NAME,
        group=name,
        mask=inside,
        ranks=midranks_centred(item.scores, inside, _one_stratum(arms)),
    )


def _one_stratum(arms: Arms) -> np.ndarray:
    return np.zeros(len(arms.targets), dtype=np.int64)


def _both(arms: Arms, cell: _Cell) -> bool:
    """Enough rows on both sides for an estimate."""
    return all(
        np.count_nonzero(cell.mask & side) >= MIN_ROWS for side in (arms.members, ~arms.members)
    )


def _test(arms: Arms, cells: Sequence[_Cell], *, settings: Settings) -> MaxT:
    if not cells:
        return MaxT(z=np.empty(0), p_adjusted=np.empty(0), critical=np.inf)
    return max_t(
        np.column_stack([cell.ranks for cell in cells])[~arms.lent],
        arms.members[~arms.lent],
        _one_stratum(arms)[~arms.lent],
        rng=generator(settings.seed, NAME),
        alpha=settings.alpha_each,
    )


def _row(arms: Arms, cell: _Cell, test: MaxT, place: int, *, settings: Settings) -> dict[str, Any]:
    """One line of the table of groups; its interval holds for all lines at once."""
    inside, outside = (cell.ranks[cell.mask & side] for side in (arms.members, ~arms.members))
    # Bonferroni over the lines: the reader's eye goes to the largest.
    stricter = 1.0 - settings.alpha / len(test.z)
    area = auroc(inside, outside, confidence=stricter)
    return {
        "attack": cell.attack,
        "group": cell.group,
        "train": int(inside.size),
        "holdout": int(outside.size),
        "auroc": area.value,
        "lower": area.lower,
        "upper": area.upper,
        "p_adjusted": float(test.p_adjusted[place]),
    }


def _worst(tables: Sequence[Mapping[str, Any]], confidence: float) -> Estimate:
    if not tables:
        return Estimate(value=0.5, lower=0.0, upper=1.0, confidence=confidence)
    first = tables[0]
    return Estimate(
        value=first["auroc"], lower=first["lower"], upper=first["upper"], confidence=confidence
    )


def _flagged(arms: Arms, scored: Sequence[Scored], side: bool, *, confidence: float) -> Estimate:
    """Share of one arm's rows that some attack puts above its threshold.

    Thresholds come from the non-members; a non-member is compared with the others, so that both
    arms are treated alike. Attacks share the level. With too few non-members to tell so small a
    share, nothing is known.
    """
    level = FLAG / max(1, len(scored))
    arm = arms.members == side
    hit = np.zeros(len(arms.targets), dtype=bool)
    asked = np.zeros(len(arms.targets), dtype=bool)
    enough = False
    for item in scored:
        others = np.sort(item.scores[item.asked & ~arms.members])
        rows = np.flatnonzero(item.asked & arm)
        above = others.size - np.searchsorted(others, item.scores[rows], side="left")
        # A non-member counts itself; a member is put among them, so that both have a chance.
        rank = above + 1 if side else above
        hit[rows] |= rank / (others.size + side) <= level
        asked[rows] = True
        enough |= others.size * level >= 1.0
    if not enough or not asked.any():
        return Estimate(value=0.0, lower=0.0, upper=1.0, confidence=confidence)
    return clopper_pearson(int(hit.sum()), int(asked.sum()), confidence=confidence)


def _records(
    arms: Arms,
    scored: Sequence[Scored],
    exposure: np.ndarray,
) -> list[dict[str, Any]]:
    return record_risks(
        {item.attack.NAME: item.scores for item in scored},
        arms.members,
        arms.targets,
        exposure=exposure,
    )


def _detectable(arms: Arms, scored: Sequence[Scored], cells: Sequence[_Cell], test: MaxT) -> float:
    """Share of copied rows that shows in half of the groups, each by its best attack."""
    reach = {item.attack.NAME: item.control.lower for item in scored}
    best: dict[str, float] = {}
    for cell in cells:
        sides = [int((cell.mask & side).sum()) for side in (arms.members, ~arms.members)]
        share = detectable_share(
            reach[cell.attack],
            no_leak=0.5,
            standard_error=auroc_null_error(*sides),
            alpha=float(stats.norm.sf(test.critical)),
        )
        best[cell.group] = min(share, best.get(cell.group, np.inf))
    return float(np.median(list(best.values()))) if best else np.inf


def _blind(share: float) -> str:
    if share <= LARGEST_BLIND_SHARE:
        return ""
    return (
        "The groups are too small, or the attacks too weak on planted copies, to see even half of "
        "a group's rows being copied; silence means nothing."
    )


def _found(tables: Sequence[Mapping[str, Any]]) -> str:
    if not tables:
        return ""
    first = tables[0]
    return (
        f"In the group {first['group']} the attack {first['attack']} tells training rows from rows "
        f"never seen: AUROC {first['auroc']:.3f} [{first['lower']:.3f}, {first['upper']:.3f}], "
        f"after correction for all groups and attacks."
    )


def _nothing(groups: int, cells: int, share: float) -> str:
    if not cells:
        return (
            f"No small group has {MIN_ROWS} rows in both tables, so none was tested on its own; "
            f"the records that stand out most are listed."
        )
    return (
        f"No attack does better than guessing in any of {groups} small groups "
        f"({cells} tests); had {100 * share:.0f} % of a group's training rows been copied, half of "
        f"the groups would have shown it. The records that stand out most are listed."
    )
