"""From scores and counts to estimates with intervals: pure functions of arrays.

Every interval is two-sided at the given confidence: each end is wrong with probability
(1 - confidence) / 2 at most, exactly where the docstring says exact, nearly otherwise. Every
p-value is one-sided ("more leakage than none"), and so is every lower bound. No function here
knows a policy's threshold.
"""

from audits.statistics.estimates import (
    Estimate,
    clopper_pearson,
    clustered_error,
    exact,
    median_interval,
    normal_interval,
    z_two_sided,
)
from audits.statistics.families import MaxT, holm, max_t, midranks_centred
from audits.statistics.gaussian import (
    canary_mu,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_mu,
    one_run_mu,
)
from audits.statistics.histograms import tvd
from audits.statistics.many_runs import ErrorCounts, many_run_epsilon, many_run_mu
from audits.statistics.one_run import Guesses, ceiling, guess, one_run_epsilon, one_run_p_value
from audits.statistics.power import POWER, detectable_auroc, detectable_share
from audits.statistics.ranks import (
    advantage,
    auroc,
    auroc_error,
    auroc_null_error,
    auroc_p_value,
    roc,
    tpr_at_fpr,
)
from audits.statistics.thresholds import (
    Corrected,
    Fixed,
    LowerBound,
    MultiSplit,
    OneRunBound,
    Rule,
    Split,
    epsilon_lower_bound,
)
from audits.statistics.trade_off import (
    one_run_curve_epsilon,
    one_run_curve_p_value,
    walk_exceeds,
)

__all__ = [
    "POWER",
    "Corrected",
    "ErrorCounts",
    "Estimate",
    "Fixed",
    "Guesses",
    "LowerBound",
    "MaxT",
    "MultiSplit",
    "OneRunBound",
    "Rule",
    "Split",
    "advantage",
    "auroc",
    "auroc_error",
    "auroc_null_error",
    "auroc_p_value",
    "canary_mu",
    "ceiling",
    "clopper_pearson",
    "clustered_error",
    "detectable_auroc",
    "detectable_share",
    "epsilon_lower_bound",
    "exact",
    "gaussian_delta",
    "gaussian_epsilon",
    "gaussian_mu",
    "guess",
    "holm",
    "many_run_epsilon",
    "many_run_mu",
    "max_t",
    "median_interval",
    "midranks_centred",
    "normal_interval",
    "one_run_curve_epsilon",
    "one_run_curve_p_value",
    "one_run_epsilon",
    "one_run_mu",
    "one_run_p_value",
    "roc",
    "tpr_at_fpr",
    "tvd",
    "walk_exceeds",
    "z_two_sided",
]
