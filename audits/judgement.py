"""From evidence to verdicts: one place decides what counts as a leak.

All tests of one audit share its false-alarm rate. Tests that look at the same rows form a group,
within which their p-values are corrected already (max-T or Holm); the groups split the rate evenly
(Bonferroni), whatever their dependence. "Nothing found" is said only by a test that would have
noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audits.errors import AuditInputError
from audits.result import Family, Finding, Verdict
from audits.statistics import Estimate

MIN_ROWS = 50
# Two-sided level of a negative control; low, as several run in every audit.
CLEAN_LEVEL = 0.001
# A test that would miss half of all rows being copied has nothing to say about safety.
LARGEST_BLIND_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every attack and check is told.

    Attributes:
        seed: of the audit.
        confidence: of every interval.
        groups: how many groups of tests share the false-alarm rate 1 - confidence.
    """

    seed: int
    confidence: float
    groups: int

    @property
    def alpha(self) -> float:
        """False-alarm rate of the whole audit."""
        return 1.0 - self.confidence

    @property
    def alpha_each(self) -> float:
        """False-alarm rate of each group of tests."""
        return self.alpha / max(1, self.groups)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A finding before judgement; the fields named as in `Finding` go there unchanged.

    Attributes:
        group: tests of the same group are corrected together; "" for a group of its own.
        p_value: one-sided and corrected within its group; None for what is only measured.
        found: what to say if the test alarms.
        nothing: what to say if it stays silent and would have noticed.
        blind: why its silence means nothing, or "".
        void: why its alarm means nothing either, or "".
    """

    name: str
    family: Family
    figures: Mapping[str, Estimate]
    blind_spot: str
    knowledge: str = ""
    group: str = ""
    p_value: float | None = None
    found: str = ""
    nothing: str = ""
    blind: str = ""
    void: str = ""
    rows_used: Mapping[str, int] = field(default_factory=dict)
    curves: Mapping[str, list[Any]] = field(default_factory=dict)


def judge(evidence: Sequence[Evidence], *, settings: Settings) -> tuple[Finding, ...]:
    """Findings with verdicts; any false "leak" among them has probability at most alpha.

    Holds for true nulls whose p-values are valid within their groups, whatever the dependence
    between groups.

    Raises:
        AuditInputError: there are more groups of tests than the settings had been told.
    """
    groups = {item.group or item.name for item in evidence if item.p_value is not None}
    if len(groups) > settings.groups:
        raise AuditInputError(
            f"{len(groups)} groups of tests share a rate split into {settings.groups}; count "
            f"{', '.join(sorted(groups))}"
        )
    return tuple(_finding(item, settings) for item in evidence)


def unclean(p_value: float) -> str:
    """Why nothing can be believed: an attack alarms, either way, where nothing can leak; or "".

    Args:
        p_value: the smaller of both directions' one-sided p-values on the negative control.
    """
    if 2.0 * p_value >= CLEAN_LEVEL:
        return ""
    return (
        f"Negative control failed (p = {2.0 * p_value:.2g}): with holdout rows in place of the "
        f"synthetic table, the attack still tells train from holdout. They are not draws from one "
        f"source, or they overlap; split one table at random and audit again."
    )


def too_few(rows: Mapping[str, int]) -> str:
    """Why these sizes cannot carry a verdict, or ""."""
    for table, count in rows.items():
        if count < MIN_ROWS:
            return (
                f"Table {table!r} has {count} rows; a verdict needs at least {MIN_ROWS} in each "
                f"table."
            )
    return ""


def _finding(item: Evidence, settings: Settings) -> Finding:
    adjusted = None if item.p_value is None else min(1.0, item.p_value * settings.groups)
    verdict, reason = _verdict(item, adjusted, settings.alpha)
    return Finding(
        name=item.name,
        family=item.family,
        figures=item.figures,
        verdict=verdict,
        reason=reason,
        blind_spot=item.blind_spot,
        group="" if adjusted is None else item.group or item.name,
        knowledge=item.knowledge,
        rows_used=item.rows_used,
        p_value=item.p_value,
        p_adjusted=adjusted,
        curves=item.curves,
    )


def _verdict(item: Evidence, adjusted: float | None, alpha: float) -> tuple[Verdict, str]:
    if adjusted is None:
        return "measured", item.nothing
    if item.void:
        return "inconclusive", item.void
    if adjusted <= alpha:
        return "leak", item.found
    if item.blind:
        return "inconclusive", item.blind
    return "none", item.nothing
