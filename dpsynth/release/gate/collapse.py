"""The rule on lost variety: what the monitor found at the finished model, a public fact."""

from collections.abc import Iterator

from dpsynth.release.gate.outcome import COLLAPSE, RuleOutcome, counted
from dpsynth.release.policy import Limit, Policy, Verdict
from dpsynth.release.training import Training

#: Alarms that the reason quotes.
MOST_QUOTED = 3


def collapse_rules(training: Training | None, policy: Policy) -> Iterator[RuleOutcome]:
    """The rule, where the policy has it; without a look at the finished model nobody can tell."""
    limit = policy.max_collapse_alarms
    if limit is not None:
        yield _unknown(limit) if training is None else _held(training, limit)


def _unknown(limit: Limit[int]) -> RuleOutcome:
    reason = "no look at the finished model is known, so nobody can tell whether variety was lost"
    return _outcome(limit, "inconclusive", found=None, reason=reason)


def _held(training: Training, limit: Limit[int]) -> RuleOutcome:
    found = len(training.alarms)
    # Up to the first colon these words name no value of the table: see `outcome.COLLAPSE`.
    reason = (
        f"{counted(found, 'alarm')} of lost variety {'holds' if found == 1 else 'hold'} at the "
        f"finished model, at most {limit.limit} {'is' if limit.limit == 1 else 'are'} allowed"
    )
    if found <= limit.limit:
        return _outcome(limit, "allow", found=found, reason=reason)
    more = f"; and {found - MOST_QUOTED} more" if found > MOST_QUOTED else ""
    quoted = "; ".join(training.alarms[:MOST_QUOTED])
    return _outcome(limit, "refuse", found=found, reason=f"{reason}: {quoted}{more}")


def _outcome(limit: Limit[int], verdict: Verdict, *, found: int | None, reason: str) -> RuleOutcome:
    return RuleOutcome(
        rule=COLLAPSE,
        verdict=verdict,
        found=found,
        limit=limit.limit,
        reason=reason,
        why=limit.reason,
        source=limit.source,
    )
