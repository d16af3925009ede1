"""What a policy is sure to refuse, found before the budget is spent on it."""

from collections.abc import Iterator
from dataclasses import dataclass

from dpsynth.errors import ReleaseRefused
from dpsynth.release.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What is known of a release before a row is read; all public.

    Attributes:
        epsilon, delta: the budget that is asked for.
        generator: its name.
        input_generation: how often the rows went through a generator before.
        real_share: share of the rows that nothing shows to be synthetic, as far as is known now.
        shared_ledger: whether the ledger is kept for all releases of the dataset.
        earlier_epsilon, earlier_releases: what the ledger holds of the same people already.
    """

    epsilon: float
    delta: float
    generator: str
    input_generation: int
    real_share: float = 1.0
    shared_ledger: bool
    earlier_epsilon: float
    earlier_releases: int


def refuse_foreseen(policy: Policy, planned: Planned) -> None:
    """Stop a release that this policy could never allow, with all that stands in its way.

    A policy that lets any rule be set aside by name stops nothing here.

    Raises:
        ReleaseRefused: it could not; nothing was charged.
    """
    faults = [] if policy.waivers == "any" else list(_faults(policy, planned))
    if faults:
        raise ReleaseRefused(
            f"policy {policy.name!r} would refuse this release: {'; '.join(faults)}. "
            "Nothing was charged"
        )


def _faults(policy: Policy, planned: Planned) -> Iterator[str]:
    largest = (
        ("epsilon", planned.epsilon, policy.max_epsilon),
        ("delta", planned.delta, policy.max_delta),
        (
            "epsilon of all releases together",
            max(planned.epsilon, planned.earlier_epsilon),
            policy.max_total_epsilon,
        ),
        ("number of releases", planned.earlier_releases + 1, policy.max_releases),
        ("generation of the input", planned.input_generation, policy.max_input_generation),
    )
    for what, found, limit in largest:
        if limit is not None and found > limit.limit:
            yield f"{what} would be {found:g}, at most {limit.limit:g} is allowed"
    real = policy.min_real_share
    if real is not None and planned.real_share < real.limit:
        yield (
            f"share of real rows in the input would be {planned.real_share:.1%}, at least "
            f"{real.limit:.1%} is asked for"
        )
    if policy.require_shared_ledger.limit and not planned.shared_ledger:
        yield "it asks for a ledger kept for all releases of the same people, give --ledger"
    allowed = policy.allowed_generators
    if allowed is not None and planned.generator not in allowed.limit:
        yield f"generator {planned.generator!r} is not among {', '.join(allowed.limit)}"
