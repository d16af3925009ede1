"""What the rules of a policy are called, and whether the audits know the names they rest on."""

from collections.abc import Collection

from dpsynth.errors import InputError
from dpsynth.release.policy.model import FigureLimit, Policy
from dpsynth.release.toml_file import nearest

#: Rules that nobody can set aside: without them the other figures mean nothing.
NOT_WAIVABLE = frozenset({"budget", "policy_fixed", "require_releasable", "audited_claim"})


def figure_rule_name(rule: FigureLimit) -> str:
    """Such as "figure closest_record.auroc", with the bound where it is not the lower end."""
    return f"figure {rule.name}" + ("" if rule.bound == "lower" else f" ({rule.bound})")


def rule_names(policy: Policy) -> tuple[str, ...]:
    """Names of all rules that the gate may apply under this policy, in its order.

    `audited_claim` is applied where the audit names a claim. A leak of a finding that the policy
    does not name refuses as well, as "finding NAME".
    """
    limits = (
        "max_epsilon",
        "max_delta",
        "max_total_epsilon",
        "max_releases",
        "max_input_generation",
        "min_real_share",
    )
    return (
        "budget",
        "policy_fixed",
        *(name for name in limits if getattr(policy, name) is not None),
        *(("require_shared_ledger",) if policy.require_shared_ledger.limit else ()),
        *(("require_releasable",) if policy.require_releasable.limit else ()),
        *(("allowed_generators",) if policy.allowed_generators is not None else ()),
        *(("max_collapse_alarms",) if policy.max_collapse_alarms is not None else ()),
        "audited_claim",
        *(("require_controls",) if policy.require_controls.limit else ()),
        *(("min_rows",) if policy.min_rows is not None else ()),
        *(f"finding {rule.name}" for rule in policy.finding),
        *(f"group {rule.name}" for rule in policy.group),
        *map(figure_rule_name, policy.figure),
    )


def check_rule_names(policy: Policy, known: Collection[str]) -> None:
    """Find a misspelt name before the budget is spent on a release that could never be allowed.

    Args:
        policy: as read.
        known: names of findings and groups, and figures as "finding.figure", such as
            `installed_names()`. Where no figure of a finding is among them, any is taken.

    Raises:
        InputError: a finding, a group or a figure that is not known, with the nearest one.
    """
    plain = {name for name in known if "." not in name}
    for kind, rules in (("finding", policy.finding), ("group", policy.group)):
        for rule in rules:
            if rule.name not in plain:
                raise _unknown(policy, f"{kind} {rule.name!r}", rule.name, plain)
    for figure in policy.figure:
        head, _, tail = figure.name.partition(".")
        if head not in plain:
            raise _unknown(policy, f"figure {figure.name!r}", head, plain)
        figures = {name.partition(".")[2] for name in known if name.startswith(f"{head}.")}
        if figures and tail not in figures:
            raise _unknown(policy, f"figure {figure.name!r}", tail, figures)


def _unknown(policy: Policy, what: str, name: str, known: Collection[str]) -> InputError:
    return InputError(
        f"policy {policy.name!r}: {what}: no audit makes {name!r}; {nearest(name, known)}"
    )
