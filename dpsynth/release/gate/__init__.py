"""The gate: a pure function of the privacy statement, the audit's evidence and the policy.

It holds no threshold of its own. Refuse if any rule refuses; else inconclusive if any rule is;
else allow. What was not measured is inconclusive, never allowed. `claims` holds the rules on the
statement, `evidence` and `controls` those on the audit, `outcome` what comes of them.
"""

from dpsynth.release.gate.claims import SLACK
from dpsynth.release.gate.decide import decide
from dpsynth.release.gate.evidence import figure_of
from dpsynth.release.gate.outcome import (
    COARSE_STEP,
    EXIT_CODES,
    Decision,
    RuleOutcome,
    UnusedWaiver,
)

__all__ = [
    "COARSE_STEP",
    "EXIT_CODES",
    "SLACK",
    "Decision",
    "RuleOutcome",
    "UnusedWaiver",
    "decide",
    "figure_of",
]
