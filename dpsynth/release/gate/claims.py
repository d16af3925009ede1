"""Rules on the privacy statement: public facts, so their outcomes may be shown to anybody."""

import math
from collections.abc import Iterator
from typing import Any

from pydantic import JsonValue

from audits.result import AuditResult
from dpsynth.privacy.lineage_record import Share
from dpsynth.privacy.statement import LedgerRecord, PrivacyStatement
from dpsynth.release.gate.outcome import RuleOutcome, counted, json_number
from dpsynth.release.policy import Limit, Policy, Verdict, policy_hash

#: Relative slack for epsilon spent against epsilon asked: rounding of the search that calibrates.
SLACK = 1e-9


def claim_rules(statement: PrivacyStatement, policy: Policy) -> Iterator[RuleOutcome]:
    """What was promised, what was booked and how it was made, in the order of the policy."""
    yield _budget(statement)
    yield _policy_fixed(statement, policy)
    if policy.max_epsilon is not None:
        largest = max(statement.epsilon, statement.epsilon_spent)
        yield _at_most("max_epsilon", largest, policy.max_epsilon)
    if policy.max_delta is not None:
        yield _at_most("max_delta", statement.delta, policy.max_delta)
    yield from _all_releases(statement.ledger, policy)
    if policy.max_input_generation is not None:
        yield _input_generation(statement.input_generation, policy.max_input_generation)
    if policy.min_real_share is not None:
        yield _min_real_share(real_share(statement), policy.min_real_share)
    yield from _shared_ledger(statement.ledger, policy)
    yield from _making(statement, policy)


def audited_claim(statement: PrivacyStatement, audit: AuditResult) -> Iterator[RuleOutcome]:
    """Attacks that were held against another claim say nothing about this one."""
    claim = audit.claim
    if claim is None:
        return
    pairs = ((claim.epsilon, statement.epsilon), (claim.delta, statement.delta))
    same = all(math.isclose(held, made, rel_tol=SLACK) for held, made in pairs)
    yield RuleOutcome(
        rule="audited_claim",
        verdict="allow" if same else "inconclusive",
        found={"epsilon": claim.epsilon, "delta": claim.delta},
        limit={"epsilon": json_number(statement.epsilon), "delta": json_number(statement.delta)},
        reason=f"the attacks were held against epsilon {claim.epsilon:.4g} at delta "
        f"{claim.delta:.4g}, the claim is {statement.epsilon:.4g} at {statement.delta:.4g}",
        why="The attacks must be held against the claim that is made, not against another.",
    )


def _budget(statement: PrivacyStatement) -> RuleOutcome:
    spent, asked = statement.epsilon_spent, statement.epsilon
    kept = math.isfinite(spent) and spent <= asked * (1 + SLACK)
    return RuleOutcome(
        rule="budget",
        verdict="allow" if kept else "refuse",
        found=json_number(spent),
        limit=json_number(asked),
        reason=f"epsilon spent is {spent:.4g}, epsilon asked for was {asked:.4g}",
        why="What was spent may not exceed what was promised.",
    )


def _policy_fixed(statement: PrivacyStatement, policy: Policy) -> RuleOutcome:
    """A limit that is chosen after the figures are known tests nothing."""
    fixed, applied = statement.policy_hash, policy_hash(policy)
    verdict: Verdict = "allow"
    reason = "its hash was booked before the first question was put to the private rows"
    if fixed is None and policy.audience == "development":
        reason = "no policy was fixed before the run; for development none needs to be"
    elif fixed is None:
        verdict, reason = "inconclusive", "no policy was fixed before the run"
    elif fixed != applied:
        verdict = "refuse"
        reason = (
            f"the policy was changed after the run, or is another one: the run fixed "
            f"{fixed[:12]}, this one is {applied[:12]}"
        )
    return RuleOutcome(
        rule="policy_fixed",
        verdict=verdict,
        found=fixed,
        limit=applied,
        reason=reason,
        why="Measuring first and choosing the limits afterwards is not a test.",
    )


def _all_releases(record: LedgerRecord | None, policy: Policy) -> Iterator[RuleOutcome]:
    """What all releases about the same people come to, by the ledger."""
    total, count = policy.max_total_epsilon, policy.max_releases
    if total is not None:
        yield (
            _no_ledger("max_total_epsilon", total)
            if record is None
            else _total(record, total, policy.max_delta)
        )
    if count is not None:
        yield (
            _no_ledger("max_releases", count)
            if record is None
            else _outcome(
                "max_releases",
                record.releases <= count.limit,
                found=record.releases,
                limit=count,
                reason=f"the ledger counts {counted(record.releases, 'release')} with this one, at "
                f"most {count.limit} {'is' if count.limit == 1 else 'are'} allowed",
            )
        )


def _shared_ledger(record: LedgerRecord | None, policy: Policy) -> Iterator[RuleOutcome]:
    """Whether the total is one over all releases, or over this one alone."""
    required = policy.require_shared_ledger
    if not required.limit:
        return
    shared = record is not None and record.shared
    reason = (
        "the charges are booked in a ledger that is kept for all releases of the dataset"
        if shared
        else "the ledger was made for this release alone, or there is none: earlier releases of "
        "the same people are not in it"
    )
    yield _outcome("require_shared_ledger", shared, found=shared, limit=required, reason=reason)


def _no_ledger(rule: str, limit: Limit[Any]) -> RuleOutcome:
    outcome = _outcome(
        rule, False, found=None, limit=limit, reason="no ledger is named, so nobody knows the total"
    )
    return outcome.model_copy(update={"verdict": "inconclusive"})


def _total(
    record: LedgerRecord, limit: Limit[float], max_delta: Limit[float] | None
) -> RuleOutcome:
    spent, delta = record.total_epsilon, record.total_delta
    kept = math.isfinite(spent) and spent <= limit.limit * (1 + SLACK)
    what = "all that the ledger counts, this one release, costs"
    if record.releases != 1:
        what = f"all {record.releases} releases together cost"
    reason = (
        f"{what} epsilon {spent:.4g} at delta {delta:.4g}, at most {limit.limit:.4g} is allowed"
    )
    if max_delta is not None and delta > max_delta.limit:
        # At a larger delta the same releases show a smaller epsilon.
        kept = False
        reason += f"; that delta is above max_delta {max_delta.limit:.4g}"
    return _outcome("max_total_epsilon", kept, found=json_number(spent), limit=limit, reason=reason)


_MOST_TIMES = {0: "not at all", 1: "once at most"}


def _input_generation(found: int, limit: Limit[int]) -> RuleOutcome:
    times = {0: "never went", 1: "went once"}.get(found, f"went {found} times")
    return _outcome(
        "max_input_generation",
        found <= limit.limit,
        found=found,
        limit=limit,
        reason=f"as far as is known the input {times} through a generator before; the policy "
        f"allows that {_MOST_TIMES.get(limit.limit, f'{limit.limit} times at most')}",
    )


def real_share(statement: PrivacyStatement) -> Share:
    """Share of the input's rows that nothing shows to be synthetic.

    A generation that is stated without a parent is about the whole table.
    """
    if statement.input_generation > 0 and not statement.lineage.made_from:
        return Share(value=0.0, lower=0.0, upper=0.0)
    return statement.lineage.real_share


def _min_real_share(real: Share, limit: Limit[float]) -> RuleOutcome:
    """Refused where the share is surely below the limit: its upper bound is.

    Where synthetic rows were recognized and only the lower bound is below, nobody can tell. Where
    none were, the table passes as real: noise alone must not stop every small one.
    """
    found = f"{real.value:.1%} ({real.lower:.1%} to {real.upper:.1%})"
    reason = f"as far as is known {found} of the input's rows are real"
    verdict: Verdict = "allow"
    if real.upper < limit.limit:
        verdict = "refuse"
    elif real.lower < limit.limit:
        verdict, reason = "inconclusive", f"{reason}: the interval straddles the limit"
    outcome = _outcome(
        "min_real_share",
        True,
        found=dict(real.model_dump()),
        limit=limit,
        reason=f"{reason}; at least {limit.limit:.1%} is asked for",
    )
    return outcome.model_copy(update={"verdict": verdict})


def _making(statement: PrivacyStatement, policy: Policy) -> Iterator[RuleOutcome]:
    """Noise and generator."""
    required = policy.require_releasable
    if required.limit:
        yield _outcome(
            "require_releasable",
            statement.releasable,
            found=statement.releasable,
            limit=required,
            reason=f"the noise came from: {statement.noise_source}",
        )
    allowed = policy.allowed_generators
    if allowed is not None:
        yield _outcome(
            "allowed_generators",
            statement.generator in allowed.limit,
            found=statement.generator,
            limit=allowed,
            reason=f"the generator is {statement.generator!r}",
        )


def _at_most(rule: str, found: float, limit: Limit[float]) -> RuleOutcome:
    return _outcome(
        rule,
        found <= limit.limit,
        found=json_number(found),
        limit=limit,
        reason=f"{rule.removeprefix('max_')} is {found:.4g}, at most {limit.limit:.4g} is allowed",
    )


def _outcome(
    rule: str, kept: bool, *, found: JsonValue, limit: Limit[Any], reason: str
) -> RuleOutcome:
    value = limit.limit
    return RuleOutcome(
        rule=rule,
        verdict="allow" if kept else "refuse",
        found=found,
        limit=list(value) if isinstance(value, tuple) else value,
        reason=reason,
        why=limit.reason,
        source=limit.source,
    )
