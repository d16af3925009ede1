"""The policy: what a release must keep to, written down before anything is measured.

`model` holds the rules as frozen values and refuses those that contradict each other, `reading`
turns TOML into them, `names` knows how the rules are called.
"""

from dpsynth.release.policy.model import (
    FORMAT,
    Audience,
    Bound,
    FigureLimit,
    FindingRule,
    GroupRule,
    Limit,
    Policy,
    Publish,
    Verdict,
    Waivable,
    policy_hash,
    signature_required,
)
from dpsynth.release.policy.names import (
    NOT_WAIVABLE,
    check_rule_names,
    figure_rule_name,
    rule_names,
)
from dpsynth.release.policy.reading import (
    DEFAULT,
    default_policy_text,
    load_policy,
    parse_policy,
    policy_text_of,
    shipped_policies,
)

__all__ = [
    "DEFAULT",
    "FORMAT",
    "NOT_WAIVABLE",
    "Audience",
    "Bound",
    "FigureLimit",
    "FindingRule",
    "GroupRule",
    "Limit",
    "Policy",
    "Publish",
    "Verdict",
    "Waivable",
    "check_rule_names",
    "default_policy_text",
    "figure_rule_name",
    "load_policy",
    "parse_policy",
    "policy_hash",
    "policy_text_of",
    "rule_names",
    "shipped_policies",
    "signature_required",
]
